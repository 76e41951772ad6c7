//! Reading the endpoint document.

use std::num::NonZeroU32;
use std::time::Duration;

use super::check::{self, Places};
use super::{
    AuthMode, BucketRun, EndpointSpec, Limits, Pinning, Profile, STICKY_BUCKETS, StickyKey, StickySpec,
    Unknown, VersionSpec,
};
use crate::finding::{At, Code, Finding, Report};
use crate::json::{Json, wrong_kind};
use crate::name::{ServiceName, VersionName};
use crate::quantity::Share;
use crate::read::{Fields, Read, Spot, missing, quoted};
use crate::replicas::{AutoscaleSpec, Replicas};

pub(crate) const AUTH: [(&str, AuthMode); 3] =
    [("keys", AuthMode::Keys), ("token", AuthMode::Token), ("off", AuthMode::Off)];
pub(crate) const PROFILES: [(&str, Profile); 2] =
    [("recommended", Profile::Recommended), ("documented", Profile::Documented)];
pub(crate) const PINNING: [(&str, Pinning); 3] =
    [("off", Pinning::Off), ("scope", Pinning::Scope), ("any", Pinning::Any)];

const U32: (u64, u64) = (0, u32::MAX as u64);
const POSITIVE: (u64, u64) = (1, u32::MAX as u64);

pub(super) fn endpoint(json: &Json, report: &mut Report) -> Option<EndpointSpec> {
    let mut fields = Fields::open(json, At::new(String::new(), json.span), report)?;
    let mut places = Places { complete: true, ..Places::default() };
    let name: Read<ServiceName> = fields.name("name", report);
    let default: Read<VersionName> = fields.name("default", report);
    let control: Read<VersionName> = fields.name("control", report);
    for (key, absent) in
        [("name", name.is_absent()), ("default", default.is_absent()), ("control", control.is_absent())]
    {
        if absent {
            report.push(missing(&fields.at, key));
        }
    }
    places.default = default.spot().map(|spot| spot.at.clone());
    places.control = control.spot().map(|spot| spot.at.clone());
    let auth = fields.choice("auth", &AUTH, report).ok().unwrap_or_default();
    let profile = fields.choice("profile", &PROFILES, report).ok().unwrap_or_default();
    let pinning = fields.choice("pinning", &PINNING, report).ok();
    let idempotent = fields.boolean("idempotent", report).ok().unwrap_or_default();
    let sticky = fields.take("sticky").and_then(|(json, at)| sticky(json, at, &mut places, report));
    let limits = fields.take("limits").map(|(json, at)| limits(json, at, report)).unwrap_or_default();
    let versions = versions(&mut fields, &mut places, report);
    fields.finish(&ENDPOINT_KEYS, report);

    // Placeholders let the rules across fields run; the faults that made them necessary refuse the document.
    let placeholder =
        || versions.first().map(|version| version.name.clone()).or_else(|| "version".parse().ok());
    let spec = EndpointSpec {
        name: name.ok().or_else(|| "endpoint-name-was-not-readable".parse().ok())?,
        auth,
        profile,
        pinning,
        idempotent,
        sticky,
        limits,
        default: default.ok().or_else(placeholder)?,
        control: control.ok().or_else(placeholder)?,
        versions,
        unknown: Unknown::default(),
    };
    check::endpoint(&spec, &places, report);
    Some(spec)
}

fn versions(fields: &mut Fields<'_>, places: &mut Places, report: &mut Report) -> Vec<VersionSpec> {
    let Some((json, at)) = fields.required("versions", report) else {
        places.complete = false;
        return Vec::new();
    };
    let Some(elements) = json.as_array() else {
        report.push(wrong_kind(json, &at, "an array"));
        places.complete = false;
        return Vec::new();
    };
    let mut versions = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let at = At::new(format!("{}/{index}", at.pointer), element.span);
        match version(element, at, report) {
            Some((version, name, share)) => {
                versions.push(version);
                places.each.push((name, share));
            }
            None => places.complete = false,
        }
    }
    places.versions = Some(at);
    versions
}

/// A version with the places of its name and share.
fn version(json: &Json, at: At, report: &mut Report) -> Option<(VersionSpec, At, At)> {
    let mut fields = Fields::open(json, at, report)?;
    let name: Read<VersionName> = fields.name("name", report);
    if name.is_absent() {
        report.push(missing(&fields.at, "name"));
    }
    let share = fields.share("share", report);
    let share_at = share.spot().map_or_else(|| fields.at.clone(), |spot| spot.at.clone());
    let replicas =
        fields.take("replicas").and_then(|(json, at)| replicas(json, at, report)).unwrap_or_default();
    let max_concurrent = fields.whole("max_concurrent", POSITIVE, report);
    let scoring_timeout = fields.millis("scoring_timeout_ms", POSITIVE, report);
    let max_queue_wait = fields.millis("max_queue_wait_ms", POSITIVE, report).ok();
    let collect_model_data = fields.boolean("collect_model_data", report).ok().unwrap_or_default();
    let app_insights = fields.boolean("app_insights", report).ok().unwrap_or_default();
    fields.finish(&VERSION_KEYS, report);
    let Read::Good(Spot { value: name, at }) = name else { return None };
    let version = VersionSpec {
        share: share.ok().unwrap_or(Share::ZERO),
        replicas,
        max_concurrent: max_concurrent
            .ok()
            .and_then(narrow)
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN),
        scoring_timeout: scoring_timeout.ok().unwrap_or(VersionSpec::DEFAULT_SCORING_TIMEOUT),
        max_queue_wait,
        collect_model_data,
        app_insights,
        ..VersionSpec::new(name)
    };
    Some((version, at, share_at))
}

fn replicas(json: &Json, at: At, report: &mut Report) -> Option<Replicas> {
    let mut fields = Fields::open(json, at, report)?;
    let fixed = fields.whole("fixed", POSITIVE, report);
    let auto = fields.take("auto");
    let found = match (&fixed, auto) {
        (Read::Good(_) | Read::Bad, Some((_, at))) => {
            report.push(
                Finding::new(
                    Code::ReplicasAndAutoscale,
                    &at,
                    "a fixed number and automatic scaling exclude each other",
                )
                .found("both")
                .allowed("one of \"fixed\" and \"auto\"")
                .remedy("remove one of them"),
            );
            None
        }
        (_, Some((json, at))) => autoscale(json, at, report).map(Replicas::Auto),
        (Read::Absent, None) => {
            report.push(missing(&fields.at, "fixed").allowed("one of \"fixed\" and \"auto\""));
            None
        }
        (_, None) => fixed.good().copied().and_then(narrow).and_then(NonZeroU32::new).map(Replicas::Fixed),
    };
    fields.finish(&REPLICAS_KEYS, report);
    found
}

fn autoscale(json: &Json, at: At, report: &mut Report) -> Option<AutoscaleSpec> {
    let mut fields = Fields::open(json, at, report)?;
    let min = fields.whole("min", U32, report);
    let max = fields.whole("max", POSITIVE, report);
    let target = fields.whole("target_percent", (1, 100), report);
    let refresh = fields.millis("refresh_ms", POSITIVE, report);
    let at = min.spot().map_or_else(|| fields.at.clone(), |spot| spot.at.clone());
    let unread = matches!(min, Read::Bad) || matches!(max, Read::Bad);
    fields.finish(&AUTO_KEYS, report);
    let min = min.ok().and_then(narrow).unwrap_or(AutoscaleSpec::DEFAULT_MIN);
    let max = max.ok().and_then(narrow).unwrap_or(AutoscaleSpec::DEFAULT_MAX);
    let spec = match AutoscaleSpec::new(min, max) {
        Ok(spec) => spec,
        Err(_) if unread => return None,
        Err(_) => {
            report.push(min_above_max(&at, min, max));
            return None;
        }
    };
    let percent = target.ok().and_then(|percent| u8::try_from(percent).ok());
    spec.with_target_percent(percent.unwrap_or(AutoscaleSpec::DEFAULT_TARGET_PERCENT))
        .and_then(|spec| spec.with_refresh(refresh.ok().unwrap_or(AutoscaleSpec::DEFAULT_REFRESH)))
        .ok()
}

pub(crate) fn min_above_max(at: &At, min: u32, max: u32) -> Finding {
    Finding::new(Code::MinAboveMax, at, format!("at least {min} replicas, but at most {max}"))
        .found(min.to_string())
        .allowed(format!("at most {max}"))
        .remedy("lower the minimum or raise the maximum")
}

fn sticky(json: &Json, at: At, places: &mut Places, report: &mut Report) -> Option<StickySpec> {
    let mut fields = Fields::open(json, at, report)?;
    let key = fields.required("key", report).and_then(|(json, at)| sticky_key(json, at, report));
    let mut buckets = Vec::new();
    if let Some((json, at)) = fields.take("buckets") {
        match json.as_array() {
            Some(runs) => {
                let all: Option<Vec<_>> = runs
                    .iter()
                    .enumerate()
                    .map(|(index, run)| {
                        bucket(run, At::new(format!("{}/{index}", at.pointer), run.span), report)
                    })
                    .collect();
                // Runs that could not be read would only make the sum wrong.
                places.buckets = all.is_some().then_some(at);
                buckets = all.unwrap_or_default();
            }
            None => report.push(wrong_kind(json, &at, "an array")),
        }
    }
    fields.finish(&["key", "buckets"], report);
    Some(StickySpec { key: key?, buckets })
}

fn sticky_key(json: &Json, at: At, report: &mut Report) -> Option<StickyKey> {
    let mut fields = Fields::open(json, at, report)?;
    let header = fields.text("header", report);
    let cookie = fields.text("cookie", report);
    let at = fields.at.clone();
    fields.finish(&["header", "cookie"], report);
    let (key, spot) = match (header, cookie) {
        (Read::Good(spot), Read::Absent) => (StickyKey::Header(spot.value.to_owned()), spot),
        (Read::Absent, Read::Good(spot)) => (StickyKey::Cookie(spot.value.to_owned()), spot),
        (Read::Absent, Read::Absent) | (Read::Good(_), Read::Good(_)) => {
            report.push(
                missing(&at, "header")
                    .found("none, or two")
                    .allowed("exactly one of \"header\" and \"cookie\"")
                    .remedy("name one header or one cookie"),
            );
            return None;
        }
        _ => return None,
    };
    if !check::is_token(spot.value) {
        report.push(odd_key(spot.value, &spot.at));
        return None;
    }
    Some(key)
}

pub(super) fn odd_key(key: &str, at: &At) -> Finding {
    Finding::new(Code::HeaderName, at, format!("{} is no name of a header or cookie", quoted(key)))
        .found(quoted(key))
        .allowed("letters, digits and !#$%&'*+-.^_`|~")
        .remedy("write the name alone, without a value")
}

fn bucket(json: &Json, at: At, report: &mut Report) -> Option<BucketRun> {
    let mut fields = Fields::open(json, at, report)?;
    let version: Read<VersionName> = fields.name("version", report);
    let count = fields.whole("count", (1, u64::from(STICKY_BUCKETS)), report);
    for (key, absent) in [("version", version.is_absent()), ("count", count.is_absent())] {
        if absent {
            report.push(missing(&fields.at, key));
        }
    }
    fields.finish(&["version", "count"], report);
    Some(BucketRun { version: version.ok()?, count: u16::try_from(count.ok()?).ok()? })
}

fn limits(json: &Json, at: At, report: &mut Report) -> Limits {
    let Some(mut fields) = Fields::open(json, at, report) else { return Limits::default() };
    let mut millis = |key: &str, from: u64| -> Option<Duration> {
        fields.millis(key, (from, u64::from(u32::MAX)), report).ok()
    };
    let (queue_wait, waiting_room_wait) = (millis("queue_wait_ms", 0), millis("waiting_room_wait_ms", 0));
    let (first_byte, idle, total) = (millis("first_byte_ms", 1), millis("idle_ms", 1), millis("total_ms", 1));
    let limits = Limits {
        queue: fields.whole("queue", U32, report).ok().and_then(narrow),
        queue_wait,
        waiting_room: fields.whole("waiting_room", U32, report).ok().and_then(narrow),
        waiting_room_wait,
        first_byte,
        idle,
        total,
        max_body_bytes: fields.whole("max_body_bytes", (1, u64::MAX), report).ok(),
    };
    fields.finish(&LIMIT_KEYS, report);
    limits
}

fn narrow(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

const ENDPOINT_KEYS: [&str; 10] = [
    "name",
    "auth",
    "profile",
    "pinning",
    "idempotent",
    "sticky",
    "limits",
    "default",
    "control",
    "versions",
];
const VERSION_KEYS: [&str; 8] = [
    "name",
    "share",
    "replicas",
    "max_concurrent",
    "scoring_timeout_ms",
    "max_queue_wait_ms",
    "collect_model_data",
    "app_insights",
];
const REPLICAS_KEYS: [&str; 2] = ["fixed", "auto"];
const AUTO_KEYS: [&str; 4] = ["min", "max", "target_percent", "refresh_ms"];
const LIMIT_KEYS: [&str; 8] = [
    "queue",
    "queue_wait_ms",
    "waiting_room",
    "waiting_room_wait_ms",
    "first_byte_ms",
    "idle_ms",
    "total_ms",
    "max_body_bytes",
];
