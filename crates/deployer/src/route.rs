//! Changing the endpoint document: the rules are the roll-out's, the text is the document's.

use portway_backend::{BackendError, ErrorKind, Expected, Versioned};
use portway_deploy_config::{BucketRun, EndpointSpec, ServiceName, VersionName, VersionSpec};
use portway_router::{BucketRun as RouterRun, Buckets, Change, Rollout, RolloutError, Share, Tag, Version};

use crate::store::Store;
use crate::{Fault, Tags};

/// The document with one more version. A version that is there already as it should be is no fault: the write that put it
/// there may have been this operation's own, before a restart.
pub(crate) fn with_version(
    spec: &EndpointSpec,
    version: &VersionSpec,
    tags: Tags,
) -> Result<EndpointSpec, Fault> {
    if spec.version(&version.name) == Some(version) {
        return Ok(spec.clone());
    }
    let mut rollout = rollout_of(spec)?;
    let created = Version::new(version.name.clone(), share_of(version));
    rollout.create_tagged(created, change(tags)).map_err(|error| fault(&version.name, error))?;
    let mut next = spec.clone();
    next.versions.push(version.clone());
    Ok(written_back(&rollout, next))
}

/// The document with a version as it shall be.
pub(crate) fn with_update(
    spec: &EndpointSpec,
    version: &VersionSpec,
    tags: Tags,
) -> Result<EndpointSpec, Fault> {
    let mut rollout = rollout_of(spec)?;
    let change = change(tags).share(share_of(version));
    rollout.update(&version.name, change).map_err(|error| fault(&version.name, error))?;
    let mut next = spec.clone();
    for known in next.versions.iter_mut().filter(|known| known.name == version.name) {
        known.clone_from(version);
    }
    Ok(written_back(&rollout, next))
}

/// The document without a version; one that it does not have is no fault.
pub(crate) fn without_version(
    spec: &EndpointSpec,
    version: &VersionName,
    successor: Option<&VersionName>,
) -> Result<EndpointSpec, Fault> {
    if spec.version(version).is_none() {
        return Ok(spec.clone());
    }
    let mut rollout = rollout_of(spec)?;
    rollout.delete(version, successor).map_err(|error| fault(version, error))?;
    let mut next = spec.clone();
    next.versions.retain(|known| known.name != *version);
    Ok(written_back(&rollout, next))
}

/// The versions of `spec` under the settings of `settings`.
pub(crate) fn with_settings(spec: &EndpointSpec, settings: &EndpointSpec) -> Result<EndpointSpec, Fault> {
    let mut next = settings.clone();
    next.name.clone_from(&spec.name);
    next.versions.clone_from(&spec.versions);
    next.default.clone_from(&spec.default);
    next.control.clone_from(&spec.control);
    if let (Some(sticky), Some(before)) = (&mut next.sticky, &spec.sticky) {
        sticky.buckets.clone_from(&before.buckets);
    }
    Ok(written_back(&rollout_of(&next)?, next))
}

/// The document of a new endpoint, its sticky buckets dealt.
pub(crate) fn first(spec: &EndpointSpec) -> Result<EndpointSpec, Fault> {
    Ok(written_back(&rollout_of(spec)?, spec.clone()))
}

/// Why the document could not be changed.
#[derive(Debug)]
pub(crate) enum Unrouted {
    Fault(Fault),
    Seam(BackendError),
}

impl From<BackendError> for Unrouted {
    fn from(error: BackendError) -> Self {
        Self::Seam(error)
    }
}

/// Writes what `change` makes of the present document; again, if somebody else wrote meanwhile.
pub(crate) async fn write(
    store: &Store,
    service: &ServiceName,
    change: impl Fn(Option<&EndpointSpec>) -> Result<EndpointSpec, Fault>,
) -> Result<EndpointSpec, Unrouted> {
    let mut conflict = None;
    for _ in 0..ATTEMPTS {
        let present = store.endpoint(service).await?;
        let next = change(present.as_ref().map(|present| &present.value)).map_err(Unrouted::Fault)?;
        let expected = match present {
            Some(Versioned { value, .. }) if value == next => return Ok(next),
            Some(Versioned { revision, .. }) => Expected::At(revision),
            None => Expected::Absent,
        };
        match store.put_endpoint(&next, expected).await {
            Ok(_) => return Ok(next),
            Err(error) if error.kind() == ErrorKind::Conflict => conflict = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(conflict.expect("at least one attempt was made").into())
}

fn rollout_of(spec: &EndpointSpec) -> Result<Rollout<VersionName>, Fault> {
    let versions = spec.versions.iter().map(|version| Version::new(version.name.clone(), share_of(version)));
    let runs = spec.sticky.as_ref().map_or(&[][..], |sticky| &sticky.buckets);
    let runs = runs.iter().map(|run| RouterRun { version: run.version.clone(), count: run.count }).collect();
    // Buckets that make no sense are dealt anew.
    let buckets = Buckets::from_runs(runs).ok();
    Rollout::from_parts(versions.collect(), &spec.default, &spec.control, buckets)
        .map_err(|error| Fault::new("endpoint", error.to_string()))
}

fn written_back(rollout: &Rollout<VersionName>, mut spec: EndpointSpec) -> EndpointSpec {
    spec.default.clone_from(rollout.default_version());
    spec.control.clone_from(rollout.control_version());
    if let Some(sticky) = &mut spec.sticky {
        let runs = rollout.buckets().runs().iter();
        sticky.buckets =
            runs.map(|run| BucketRun { version: run.version.clone(), count: run.count }).collect();
    }
    spec
}

fn share_of(version: &VersionSpec) -> Share {
    Share::new(version.share.basis_points()).expect("both count basis points up to 10 000")
}

fn change(tags: Tags) -> Change {
    let change = if tags.default { Change::new().tag(Tag::Default) } else { Change::new() };
    if tags.control { change.tag(Tag::Control) } else { change }
}

fn fault(version: &VersionName, error: RolloutError) -> Fault {
    let field = match error {
        RolloutError::OverWhole { .. } => "share",
        RolloutError::NeedsSuccessor { .. } | RolloutError::BadSuccessor => "successor",
        _ => "version",
    };
    Fault::new(field, format!("{version}: {error}"))
}

const ATTEMPTS: u32 = 16;
