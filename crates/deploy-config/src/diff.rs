//! What a change costs: nothing, a new document, new replicas, or a new deployment.

use std::fmt;

use crate::cluster::{AttachSpec, ProvisionSpec};
use crate::endpoint::{EndpointSpec, VersionSpec};
use crate::finding::{At, Code, Finding, Report, child};
use crate::service::{Field, ServiceSpec, property_changed};

/// The cost of a change, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeClass {
    /// Nothing differs.
    NoOp,
    /// Gateway and autoscaler take it up; replicas that run keep running.
    Live,
    /// Every replica is replaced, one after the other.
    Rolling,
    /// What stands is deleted and made anew.
    Replacement,
}

/// What differs between two documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    changes: Vec<Difference>,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, by the name of its place in the document type: `resources`, `versions/versiona/share`.
    pub field: String,
    /// What changing it costs.
    pub class: ChangeClass,
}

/// Documents that can be compared.
pub trait Compare {
    /// What differs, old against new.
    ///
    /// # Errors
    ///
    /// A finding for every field that must not change.
    fn compare(&self, new: &Self) -> Result<Diff, Report>;
}

/// What it costs to turn `old` into `new`.
///
/// # Errors
///
/// A finding for every field that must not change.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{ChangeClass, Millicores, ServiceSpec, diff};
///
/// let old = ServiceSpec::default();
/// let mut new = old.clone();
/// new.app_insights = true;
/// assert_eq!(diff(&old, &new)?.class(), ChangeClass::Live);
/// new.resources.cpu = Millicores(500);
/// assert_eq!(diff(&old, &new)?.class(), ChangeClass::Rolling);
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
pub fn diff<T: Compare>(old: &T, new: &T) -> Result<Diff, Report> {
    old.compare(new)
}

impl Diff {
    /// The dearest of all changes.
    #[must_use]
    pub fn class(&self) -> ChangeClass {
        self.changes.iter().map(|change| change.class).max().unwrap_or(ChangeClass::NoOp)
    }

    /// Every field that differs.
    #[must_use]
    pub fn changes(&self) -> &[Difference] {
        &self.changes
    }
}

impl fmt::Display for ChangeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoOp => "no-op",
            Self::Live => "live",
            Self::Rolling => "rolling",
            Self::Replacement => "replacement",
        })
    }
}

/// Differences and refusals, as they are found.
#[derive(Default)]
struct Found {
    changes: Vec<Difference>,
    refused: Report,
}

impl Found {
    fn field<T: PartialEq>(&mut self, field: &str, class: ChangeClass, old: &T, new: &T) {
        if old != new {
            self.changes.push(Difference { field: field.to_owned(), class });
        }
    }

    fn finish(self) -> Result<Diff, Report> {
        if self.refused.is_empty() { Ok(Diff { changes: self.changes }) } else { Err(self.refused) }
    }
}

impl Compare for ServiceSpec {
    fn compare(&self, new: &Self) -> Result<Diff, Report> {
        use ChangeClass::{Live, Replacement, Rolling};
        let mut found = Found::default();
        for (key, old) in &self.properties {
            if new.properties.get(key) != Some(old) {
                let mut pointer = format!("/{}", Field::Properties.row().sdk);
                child(&mut pointer, key);
                found.refused.push(property_changed(&At::new(pointer, None), key));
            }
        }
        found.field("compute", Replacement, &self.compute, &new.compute);
        found.field("namespace", Replacement, &self.namespace, &new.namespace);
        found.field("version", Replacement, &self.version, &new.version);
        found.field("resources", Rolling, &self.resources, &new.resources);
        found.field("probe", Rolling, &self.probe, &new.probe);
        found.field("blobfuse", Rolling, &self.blobfuse, &new.blobfuse);
        found.field("description", Live, &self.description, &new.description);
        found.field("tags", Live, &self.tags, &new.tags);
        found.field("properties", Live, &self.properties, &new.properties);
        found.field("auth", Live, &self.auth, &new.auth);
        found.field("keys", Live, &self.keys, &new.keys);
        found.field("share", Live, &self.share, &new.share);
        found.field("replicas", Live, &self.replicas, &new.replicas);
        found.field("max_concurrent", Live, &self.max_concurrent, &new.max_concurrent);
        found.field("scoring_timeout", Live, &self.scoring_timeout, &new.scoring_timeout);
        found.field("max_queue_wait", Live, &self.max_queue_wait, &new.max_queue_wait);
        found.field("collect_model_data", Live, &self.collect_model_data, &new.collect_model_data);
        found.field("app_insights", Live, &self.app_insights, &new.app_insights);
        found.finish()
    }
}

impl Compare for EndpointSpec {
    /// All of the document but its name is taken up while requests flow; a version that comes or goes disturbs none
    /// of the others.
    fn compare(&self, new: &Self) -> Result<Diff, Report> {
        use ChangeClass::{Live, Replacement};
        let mut found = Found::default();
        found.field("name", Replacement, &self.name, &new.name);
        found.field("auth", Live, &self.auth, &new.auth);
        found.field("profile", Live, &self.profile, &new.profile);
        found.field("pinning", Live, &self.pinning, &new.pinning);
        found.field("idempotent", Live, &self.idempotent, &new.idempotent);
        found.field("sticky", Live, &self.sticky, &new.sticky);
        found.field("limits", Live, &self.limits, &new.limits);
        found.field("default", Live, &self.default, &new.default);
        found.field("control", Live, &self.control, &new.control);
        for version in &self.versions {
            match new.version(&version.name) {
                Some(other) => compare_versions(version, other, &mut found),
                None => found.field(&format!("versions/{}", version.name), Live, &true, &false),
            }
        }
        for version in new.versions.iter().filter(|version| self.version(&version.name).is_none()) {
            found.field(&format!("versions/{}", version.name), Live, &false, &true);
        }
        found.finish()
    }
}

fn compare_versions(old: &VersionSpec, new: &VersionSpec, found: &mut Found) {
    let mut live = |field: &str, differs: bool| {
        found.field(&format!("versions/{}/{field}", old.name), ChangeClass::Live, &false, &differs);
    };
    live("share", old.share != new.share);
    live("replicas", old.replicas != new.replicas);
    live("max_concurrent", old.max_concurrent != new.max_concurrent);
    live("scoring_timeout", old.scoring_timeout != new.scoring_timeout);
    live("max_queue_wait", old.max_queue_wait != new.max_queue_wait);
    live("collect_model_data", old.collect_model_data != new.collect_model_data);
    live("app_insights", old.app_insights != new.app_insights);
}

impl Compare for ProvisionSpec {
    /// The number of nodes can change; their size cannot.
    fn compare(&self, new: &Self) -> Result<Diff, Report> {
        use ChangeClass::{Live, Replacement};
        let mut found = Found::default();
        if !self.vm_size.eq_ignore_ascii_case(&new.vm_size) {
            let message = format!("the nodes are {} and stay it", self.vm_size);
            found.refused.push(
                Finding::new(Code::VmSizeImmutable, &At::new("/vm_size".to_owned(), None), message)
                    .found(new.vm_size.clone())
                    .allowed(self.vm_size.clone())
                    .remedy("create another cluster and move the services"),
            );
        }
        found.field("agent_count", Live, &self.agent_count, &new.agent_count);
        found.field("tls", Live, &self.tls, &new.tls);
        found.field("load_balancer", Live, &self.load_balancer, &new.load_balancer);
        found.field("purpose", Replacement, &self.purpose, &new.purpose);
        found.field("location", Replacement, &self.location, &new.location);
        found.field("network", Replacement, &self.network, &new.network);
        found.finish()
    }
}

impl Compare for AttachSpec {
    /// Nothing of an attachment changes: it is detached and attached again.
    fn compare(&self, new: &Self) -> Result<Diff, Report> {
        let mut found = Found::default();
        let differs = [
            ("cluster", self.cluster != new.cluster),
            ("purpose", self.purpose != new.purpose),
            ("tls", self.tls != new.tls),
            ("load_balancer", self.load_balancer != new.load_balancer),
        ];
        for (field, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            found.refused.push(
                Finding::new(
                    Code::AttachedImmutable,
                    &At::root(),
                    format!("{field} of an attached cluster stays as it is"),
                )
                .found(format!("another {field}"))
                .allowed("what the cluster was attached with")
                .remedy("detach the cluster, then attach it with the new setting"),
            );
        }
        found.finish()
    }
}
