//! Rules over the whole document, for one that was read and for one that was made.

use super::{
    EndpointSpec, MAX_SCORING_TIMEOUT, MAX_VERSIONS, Profile, STICKY_BUCKETS, StickyKey, StickySpec,
};
use crate::finding::{At, Code, Finding, Report};
use crate::name::VersionName;
use crate::quantity::Share;

/// Where the parts of a document stand; a place that is absent was reported on already, or never was in a text.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) versions: Option<At>,
    /// Name and share of each version.
    pub(super) each: Vec<(At, At)>,
    pub(super) default: Option<At>,
    pub(super) control: Option<At>,
    pub(super) buckets: Option<At>,
    /// Whether every version could be read: only then does a name that is not among them not exist.
    pub(super) complete: bool,
}

impl Places {
    /// For a document made in code.
    pub(super) fn none() -> Self {
        let at = |pointer: &str| Some(At::new(pointer.to_owned(), None));
        Self {
            versions: at("/versions"),
            each: Vec::new(),
            default: at("/default"),
            control: at("/control"),
            buckets: at("/sticky/buckets"),
            complete: true,
        }
    }

    fn name(&self, index: usize) -> At {
        self.each
            .get(index)
            .map_or_else(|| At::new(format!("/versions/{index}/name"), None), |each| each.0.clone())
    }
}

pub(super) fn endpoint(spec: &EndpointSpec, places: &Places, report: &mut Report) {
    versions(spec, places, report);
    for (name, at) in [(&spec.default, &places.default), (&spec.control, &places.control)] {
        if let Some(at) = at {
            exists(spec, places, name, at, report);
        }
    }
    if let Some(sticky) = &spec.sticky {
        buckets(spec, sticky, places, report);
    }
    for (index, version) in spec.versions.iter().enumerate() {
        if spec.profile == Profile::Documented && version.scoring_timeout > MAX_SCORING_TIMEOUT {
            let at = At::new(format!("/versions/{index}/scoring_timeout_ms"), places.name(index).span);
            report.push(
                Finding::new(Code::TooLarge, &at, "the documented profile scores for at most 300000 ms")
                    .found(format!("{} ms", version.scoring_timeout.as_millis()))
                    .allowed("at most 300000 ms")
                    .remedy("shorten the time-out, or use the recommended profile"),
            );
        }
    }
}

fn versions(spec: &EndpointSpec, places: &Places, report: &mut Report) {
    let Some(at) = &places.versions else { return };
    let count = spec.versions.len();
    if count == 0 && places.complete {
        report.push(crate::read::missing(at, "a version").remedy("describe at least one version"));
    }
    if count > MAX_VERSIONS {
        report.push(too_many(at, count));
    }
    for (index, version) in spec.versions.iter().enumerate() {
        if spec.versions[..index].iter().any(|earlier| earlier.name == version.name) {
            report.push(duplicate(&places.name(index), &version.name));
        }
        if version.name.as_str() == spec.name.as_str() {
            report.push(named_like_endpoint(&places.name(index)));
        }
    }
    if let Some(finding) = above_whole(at, spec.versions.iter().map(|version| version.share)) {
        report.push(finding);
    }
}

fn exists(spec: &EndpointSpec, places: &Places, name: &VersionName, at: &At, report: &mut Report) {
    if places.complete && !spec.versions.is_empty() && spec.version(name).is_none() {
        report.push(unknown(at, name, spec.versions.iter().map(|version| &version.name)));
    }
}

fn buckets(spec: &EndpointSpec, sticky: &StickySpec, places: &Places, report: &mut Report) {
    let Some(at) = &places.buckets else { return };
    let (StickyKey::Header(key) | StickyKey::Cookie(key)) = &sticky.key;
    if !is_token(key) {
        report.push(super::read::odd_key(key, &At::new("/sticky/key".to_owned(), at.span)));
    }
    if sticky.buckets.is_empty() {
        return;
    }
    let total: u32 = sticky.buckets.iter().map(|run| u32::from(run.count)).sum();
    if total != STICKY_BUCKETS || sticky.buckets.iter().any(|run| run.count == 0) {
        report.push(
            Finding::new(
                Code::BucketCount,
                at,
                format!("the sticky buckets are {total} in all, not {STICKY_BUCKETS}"),
            )
            .found(total.to_string())
            .allowed(format!("runs of at least 1, {STICKY_BUCKETS} in all"))
            .remedy("leave the buckets out; the control side writes them"),
        );
    }
    for run in &sticky.buckets {
        exists(spec, places, &run.version, at, report);
    }
}

/// A header's or cookie's name: the token of HTTP.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(crate) fn too_many(at: &At, count: usize) -> Finding {
    Finding::new(
        Code::TooManyVersions,
        at,
        format!("{count} versions, an endpoint has at most {MAX_VERSIONS}"),
    )
    .found(count.to_string())
    .allowed(format!("1 to {MAX_VERSIONS}"))
    .remedy("delete a version first")
}

pub(crate) fn duplicate(at: &At, name: &VersionName) -> Finding {
    Finding::new(Code::DuplicateVersion, at, format!("version {name} exists already"))
        .found(format!("{name:?}"))
        .allowed("a name that no other version bears")
        .remedy("choose another name, or update the version that bears it")
}

pub(crate) fn unknown<'a>(
    at: &At,
    name: &VersionName,
    known: impl Iterator<Item = &'a VersionName>,
) -> Finding {
    let known: Vec<_> = known.map(VersionName::as_str).collect();
    Finding::new(Code::UnknownVersion, at, format!("there is no version {name}"))
        .found(format!("{name:?}"))
        .allowed(format!("one of {}", known.join(", ")))
        .remedy(crate::suggest::nearest(name.as_str(), known.iter().copied()).map_or_else(
            || "name a version that exists".to_owned(),
            |near| format!("did you mean {near:?}?"),
        ))
}

pub(crate) fn above_whole(at: &At, shares: impl Iterator<Item = Share>) -> Option<Finding> {
    let total: u32 = shares.map(|share| u32::from(share.basis_points())).sum();
    if total <= u32::from(Share::ALL.basis_points()) {
        return None;
    }
    let percent = format!("{}.{:02}", total / 100, total % 100);
    let percent = percent.trim_end_matches('0').trim_end_matches('.').to_owned();
    Some(
        Finding::new(
            Code::SharesAboveWhole,
            at,
            format!("the shares add up to {percent} %, at most 100 are possible"),
        )
        .found(format!("{percent} %"))
        .allowed("at most 100 % in all; the default version gets the unassigned rest")
        .remedy("lower the share of one version"),
    )
}

pub(crate) fn named_like_endpoint(at: &At) -> Finding {
    Finding::new(Code::VersionNamedLikeEndpoint, at, "the version bears its endpoint's name")
        .found("one name for both")
        .allowed("any version name; another one than the endpoint's is safer")
        .remedy("name the version: with the original service, later updates of such an endpoint fail")
}
