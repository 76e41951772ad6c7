//! From the spec back to settings.

use std::num::NonZeroU32;
use std::time::Duration;

use super::field::{Field, Group, Kind, ROWS, Spelling};
use super::{Secret, ServiceSpec};
use crate::endpoint::AuthMode;
use crate::json::{Json, Object};
use crate::probe::ProbeSpec;
use crate::quantity::Share;
use crate::replicas::{AutoscaleSpec, Replicas};

/// All settings that are not at their default, in their groups.
pub(super) fn settings(spec: &ServiceSpec, spelling: Spelling) -> Json {
    let mut top = Object::default();
    let mut groups = Group::ALL.map(|group| (group, Object::default(), false));
    for row in &ROWS {
        let (Some((group, key)), Some(json)) = (row.field.path(spelling), value(row.field, spec)) else {
            continue;
        };
        if row.field == Field::Accelerators && spelling == Spelling::Sdk {
            continue;
        }
        let json = match (row.kind, spelling) {
            (Kind::Inverted, Spelling::Wire) => Json::boolean(!spec.blobfuse),
            _ => json,
        };
        match groups.iter_mut().find(|(of, ..)| Some(*of) == group) {
            Some((_, members, used)) => {
                *members = std::mem::take(members).put(key, json);
                *used = true;
            }
            None => top = top.put(key, json),
        }
    }
    for (group, members, _) in groups.into_iter().filter(|(.., used)| *used) {
        top = top.put(group.key(), members.done());
    }
    top.done()
}

fn value(field: Field, spec: &ServiceSpec) -> Option<Json> {
    let plain = ServiceSpec::default();
    let text = |text: Option<&str>| text.map(Json::text);
    let differs = |differs: bool, json: Json| differs.then_some(json);
    match field {
        Field::AutoscaleEnabled
        | Field::NumReplicas
        | Field::AutoscaleMinReplicas
        | Field::AutoscaleMaxReplicas
        | Field::AutoscaleRefreshSeconds
        | Field::AutoscaleTargetUtilization => replicas(field, &spec.replicas),
        Field::CollectModelData => differs(spec.collect_model_data, Json::boolean(true)),
        Field::AuthEnabled => differs(spec.auth == AuthMode::Off, Json::boolean(false)),
        Field::TokenAuthEnabled => differs(spec.auth == AuthMode::Token, Json::boolean(true)),
        Field::CpuCores
        | Field::CpuCoresLimit
        | Field::MemoryGb
        | Field::MemoryGbLimit
        | Field::GpuCores
        | Field::Accelerators => resources(field, spec),
        Field::ScoringTimeoutMs => differs(
            spec.scoring_timeout != plain.scoring_timeout,
            Json::number(&spec.scoring_timeout.as_millis()),
        ),
        Field::ReplicaMaxConcurrentRequests => {
            differs(spec.max_concurrent.get() > 1, Json::number(&spec.max_concurrent))
        }
        Field::MaxRequestWaitTime => spec.max_queue_wait.map(|wait| Json::number(&wait.as_millis())),
        Field::EnableAppInsights => differs(spec.app_insights, Json::boolean(true)),
        Field::PrimaryKey => text(spec.keys.as_ref().map(|keys| keys.primary.expose())),
        Field::SecondaryKey => {
            text(spec.keys.as_ref().and_then(|keys| keys.secondary.as_ref()).map(Secret::expose))
        }
        Field::PeriodSeconds
        | Field::InitialDelaySeconds
        | Field::TimeoutSeconds
        | Field::SuccessThreshold
        | Field::FailureThreshold => probe(field, &spec.probe),
        Field::Namespace => text(spec.namespace.as_ref().map(AsRef::as_ref)),
        Field::Tags => differs(!spec.tags.is_empty(), map(&spec.tags)),
        Field::Properties => differs(!spec.properties.is_empty(), map(&spec.properties)),
        Field::Description => text(spec.description.as_deref()),
        Field::ComputeTargetName => text(spec.compute.as_ref().map(AsRef::as_ref)),
        Field::BlobfuseEnabled => differs(!spec.blobfuse, Json::boolean(false)),
        Field::VersionName => text(spec.version.as_ref().map(AsRef::as_ref)),
        Field::TrafficPercentile => {
            differs(spec.share != Share::ZERO, Json::number(&spec.share.as_percent()))
        }
        Field::IsDefault
        | Field::IsControlVersionType
        | Field::Image
        | Field::Models
        | Field::InferenceConfig => None,
    }
}

fn probe(field: Field, probe: &ProbeSpec) -> Option<Json> {
    let plain = ProbeSpec::default();
    let seconds = |own: Duration, plain: Duration| (own != plain).then(|| Json::number(&own.as_secs()));
    let count = |own: NonZeroU32, plain: NonZeroU32| (own != plain).then(|| Json::number(&own));
    match field {
        Field::PeriodSeconds => seconds(probe.period, plain.period),
        Field::InitialDelaySeconds => seconds(probe.initial_delay, plain.initial_delay),
        Field::TimeoutSeconds => seconds(probe.timeout, plain.timeout),
        Field::SuccessThreshold => count(probe.success_threshold, plain.success_threshold),
        Field::FailureThreshold => count(probe.failure_threshold, plain.failure_threshold),
        _ => None,
    }
}

fn resources(field: Field, spec: &ServiceSpec) -> Option<Json> {
    let (plain, own) = (ServiceSpec::default().resources, &spec.resources);
    match field {
        Field::CpuCores => (own.cpu != plain.cpu).then(|| Json::number(&own.cpu.cores())),
        Field::CpuCoresLimit => own.cpu_limit.map(|limit| Json::number(&limit.cores())),
        Field::MemoryGb => (own.memory != plain.memory).then(|| Json::number(&own.memory.gigabytes())),
        Field::MemoryGbLimit => own.memory_limit.map(|limit| Json::number(&limit.gigabytes())),
        Field::Accelerators => (!own.accelerators.is_empty()).then(|| {
            let counts = own.accelerators.iter();
            counts
                .fold(Object::default(), |object, (name, count)| object.put(name, Json::number(count)))
                .done()
        }),
        _ => (own.gpu > 0).then(|| Json::number(&own.gpu)),
    }
}

fn replicas(field: Field, replicas: &Replicas) -> Option<Json> {
    let spec = match (replicas, field) {
        (Replicas::Fixed(count), Field::NumReplicas) => return Some(Json::number(count)),
        // Scaling at its defaults is what a configuration that says nothing gets.
        (Replicas::Auto(spec), _) if *spec != AutoscaleSpec::default() => spec,
        _ => return None,
    };
    match field {
        Field::AutoscaleEnabled => Some(Json::boolean(true)),
        Field::AutoscaleMinReplicas => Some(Json::number(&spec.min())),
        Field::AutoscaleMaxReplicas => Some(Json::number(&spec.max())),
        Field::AutoscaleRefreshSeconds => Some(Json::number(&spec.refresh().as_secs())),
        Field::AutoscaleTargetUtilization => Some(Json::number(&spec.target_percent())),
        _ => None,
    }
}

fn map(map: &std::collections::BTreeMap<String, String>) -> Json {
    map.iter().fold(Object::default(), |object, (key, value)| object.text(key, value)).done()
}
