//! Writing the endpoint document: what is at its default is left out.

use std::time::Duration;

use super::read::{AUTH, PINNING, PROFILES};
use super::{AuthMode, BucketRun, EndpointSpec, Limits, Profile, StickyKey, StickySpec, VersionSpec};
use crate::json::{Json, Object};
use crate::quantity::Share;
use crate::replicas::{AutoscaleSpec, Replicas};

pub(super) fn endpoint(spec: &EndpointSpec) -> Json {
    let has_limits = spec.limits != Limits::default() || spec.unknown.any_in("limits");
    let json = Object::default()
        .text("name", spec.name.as_str())
        .text_if(spec.auth != AuthMode::Keys, "auth", word(&AUTH, spec.auth))
        .text_if(spec.profile != Profile::Recommended, "profile", word(&PROFILES, spec.profile))
        .some("pinning", spec.pinning.map(|pinning| Json::text(word(&PINNING, pinning))))
        .flag("idempotent", spec.idempotent)
        .some("sticky", spec.sticky.as_ref().map(sticky))
        .some("limits", has_limits.then(|| limits(&spec.limits)))
        .text("default", spec.default.as_str())
        .text("control", spec.control.as_str())
        .put("versions", Json::array(spec.versions.iter().map(version)))
        .done();
    spec.unknown.put_back(json)
}

fn version(version: &VersionSpec) -> Json {
    let plain = VersionSpec::new(version.name.clone());
    let has_replicas = version.replicas != plain.replicas || version.unknown.any_in("replicas");
    let json = Object::default()
        .text("name", version.name.as_str())
        .some("share", (version.share != Share::ZERO).then(|| Json::number(&version.share.as_percent())))
        .some("replicas", has_replicas.then(|| replicas(&version.replicas)))
        .some(
            "max_concurrent",
            (version.max_concurrent.get() > 1).then(|| Json::number(&version.max_concurrent)),
        )
        .some(
            "scoring_timeout_ms",
            (version.scoring_timeout != plain.scoring_timeout).then(|| millis(version.scoring_timeout)),
        )
        .some("max_queue_wait_ms", version.max_queue_wait.map(millis))
        .flag("collect_model_data", version.collect_model_data)
        .flag("app_insights", version.app_insights)
        .done();
    version.unknown.put_back(json)
}

fn replicas(replicas: &Replicas) -> Json {
    match replicas {
        Replicas::Fixed(count) => Object::default().put("fixed", Json::number(count)).done(),
        Replicas::Auto(spec) => Object::default().put("auto", autoscale(spec)).done(),
    }
}

fn autoscale(spec: &AutoscaleSpec) -> Json {
    Object::default()
        .put("min", Json::number(&spec.min()))
        .put("max", Json::number(&spec.max()))
        .put("target_percent", Json::number(&spec.target_percent()))
        .put("refresh_ms", millis(spec.refresh()))
        .done()
}

fn sticky(spec: &StickySpec) -> Json {
    let (kind, name) = match &spec.key {
        StickyKey::Header(name) => ("header", name),
        StickyKey::Cookie(name) => ("cookie", name),
    };
    let run = |run: &BucketRun| {
        Object::default().text("version", run.version.as_str()).put("count", Json::number(&run.count)).done()
    };
    Object::default()
        .put("key", Object::default().text(kind, name).done())
        .some("buckets", (!spec.buckets.is_empty()).then(|| Json::array(spec.buckets.iter().map(run))))
        .done()
}

fn limits(limits: &Limits) -> Json {
    let number = |value: Option<u32>| value.map(|value| Json::number(&value));
    Object::default()
        .some("queue", number(limits.queue))
        .some("queue_wait_ms", limits.queue_wait.map(millis))
        .some("waiting_room", number(limits.waiting_room))
        .some("waiting_room_wait_ms", limits.waiting_room_wait.map(millis))
        .some("first_byte_ms", limits.first_byte.map(millis))
        .some("idle_ms", limits.idle.map(millis))
        .some("total_ms", limits.total.map(millis))
        .some("max_body_bytes", limits.max_body_bytes.map(|bytes| Json::number(&bytes)))
        .done()
}

fn millis(time: Duration) -> Json {
    Json::number(&time.as_millis())
}

fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, each)| *each == value).map_or("", |(word, _)| word)
}
