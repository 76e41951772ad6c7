//! From settings without a fault to the spec.

use std::num::NonZeroU32;
use std::time::Duration;

use super::field::Field;
use super::settings::Settings;
use super::{ChosenKeys, Secret, ServiceSpec};
use crate::endpoint::AuthMode;
use crate::probe::ProbeSpec;
use crate::quantity::{MemoryMib, Millicores};
use crate::replicas::{AutoscaleSpec, Replicas};
use crate::resources::Resources;

/// `base` with every setting that is given. A faulty setting leaves the base's value; its report refuses the whole.
pub(super) fn onto(base: &ServiceSpec, settings: &Settings) -> ServiceSpec {
    let text = |field| settings.text(field).filter(|text| !text.is_empty());
    let millis = |field| settings.whole(field).map(|ms| Duration::from_millis(ms.into()));
    let flag = |field, otherwise| settings.flag(field).unwrap_or(otherwise);
    let mut properties = base.properties.clone();
    properties.extend(settings.map(Field::Properties).cloned().unwrap_or_default());
    ServiceSpec {
        compute: text(Field::ComputeTargetName)
            .and_then(|name| name.parse().ok())
            .or_else(|| base.compute.clone()),
        namespace: text(Field::Namespace)
            .and_then(|name| name.parse().ok())
            .or_else(|| base.namespace.clone()),
        description: text(Field::Description).map(str::to_owned).or_else(|| base.description.clone()),
        tags: settings.map(Field::Tags).unwrap_or(&base.tags).clone(),
        properties,
        auth: auth(base.auth, settings),
        keys: keys(settings).or_else(|| base.keys.clone()),
        version: text(Field::VersionName).and_then(|name| name.parse().ok()).or_else(|| base.version.clone()),
        share: settings.share().unwrap_or(base.share),
        replicas: replicas(base.replicas, settings),
        resources: resources(&base.resources, settings),
        probe: probe(base.probe, settings),
        max_concurrent: count(settings, Field::ReplicaMaxConcurrentRequests).unwrap_or(base.max_concurrent),
        scoring_timeout: millis(Field::ScoringTimeoutMs).unwrap_or(base.scoring_timeout),
        max_queue_wait: millis(Field::MaxRequestWaitTime).or(base.max_queue_wait),
        collect_model_data: flag(Field::CollectModelData, base.collect_model_data),
        app_insights: flag(Field::EnableAppInsights, base.app_insights),
        blobfuse: flag(Field::BlobfuseEnabled, base.blobfuse),
    }
}

fn count(settings: &Settings, field: Field) -> Option<NonZeroU32> {
    settings.whole(field).and_then(NonZeroU32::new)
}

/// Switching tokens on switches keys off.
fn auth(base: AuthMode, settings: &Settings) -> AuthMode {
    match (settings.flag(Field::AuthEnabled), settings.flag(Field::TokenAuthEnabled), base) {
        (_, Some(true), _) | (None, None, AuthMode::Token) | (Some(false), None, AuthMode::Token) => {
            AuthMode::Token
        }
        (Some(true), _, _) | (None, _, AuthMode::Keys) => AuthMode::Keys,
        _ => AuthMode::Off,
    }
}

fn keys(settings: &Settings) -> Option<ChosenKeys> {
    let key =
        |field| settings.text(field).filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned()));
    Some(ChosenKeys { primary: key(Field::PrimaryKey)?, secondary: key(Field::SecondaryKey) })
}

fn replicas(base: Replicas, settings: &Settings) -> Replicas {
    if let Some(fixed) = count(settings, Field::NumReplicas) {
        return Replicas::Fixed(fixed);
    }
    if settings.flag(Field::AutoscaleEnabled) != Some(true) {
        return base;
    }
    let standing = match base {
        Replicas::Auto(spec) => spec,
        Replicas::Fixed(_) => AutoscaleSpec::default(),
    };
    let min = settings.whole(Field::AutoscaleMinReplicas).unwrap_or_else(|| standing.min());
    let max = settings.whole(Field::AutoscaleMaxReplicas).unwrap_or_else(|| standing.max());
    let target =
        settings.whole(Field::AutoscaleTargetUtilization).and_then(|percent| u8::try_from(percent).ok());
    let refresh =
        settings.whole(Field::AutoscaleRefreshSeconds).map(|seconds| Duration::from_secs(seconds.into()));
    let spec = AutoscaleSpec::new(min, max)
        .and_then(|spec| spec.with_target_percent(target.unwrap_or_else(|| standing.target_percent())))
        .and_then(|spec| spec.with_refresh(refresh.unwrap_or_else(|| standing.refresh())));
    spec.map_or(base, Replicas::Auto)
}

fn resources(base: &Resources, settings: &Settings) -> Resources {
    let cores = |field| settings.number(field).and_then(|cores| Millicores::from_cores(cores).ok());
    let memory =
        |field| settings.number(field).and_then(|gigabytes| MemoryMib::from_gigabytes(gigabytes).ok());
    Resources {
        cpu: cores(Field::CpuCores).unwrap_or(base.cpu),
        cpu_limit: cores(Field::CpuCoresLimit).or(base.cpu_limit),
        memory: memory(Field::MemoryGb).unwrap_or(base.memory),
        memory_limit: memory(Field::MemoryGbLimit).or(base.memory_limit),
        gpu: settings.whole(Field::GpuCores).unwrap_or(base.gpu),
        accelerators: settings.counts(Field::Accelerators).unwrap_or(&base.accelerators).clone(),
    }
}

fn probe(base: ProbeSpec, settings: &Settings) -> ProbeSpec {
    let seconds = |field, otherwise| {
        settings.whole(field).map_or(otherwise, |seconds| Duration::from_secs(seconds.into()))
    };
    ProbeSpec {
        period: seconds(Field::PeriodSeconds, base.period),
        initial_delay: seconds(Field::InitialDelaySeconds, base.initial_delay),
        timeout: seconds(Field::TimeoutSeconds, base.timeout),
        success_threshold: count(settings, Field::SuccessThreshold).unwrap_or(base.success_threshold),
        failure_threshold: count(settings, Field::FailureThreshold).unwrap_or(base.failure_threshold),
    }
}
