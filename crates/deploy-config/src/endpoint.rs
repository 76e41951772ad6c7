//! Our own document of an endpoint: what the gateway routes by and the deployer writes.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::finding::{Checked, Report};
use crate::json::Json;
use crate::name::{ServiceName, VersionName};
use crate::quantity::Share;
use crate::replicas::Replicas;

mod check;
mod read;
mod unknown;
mod write;

pub(crate) use check::{above_whole, duplicate, named_like_endpoint, too_many, unknown};
pub(crate) use read::min_above_max as named_replicas_fault;
#[cfg(feature = "schema")]
pub(crate) use read::{AUTH, PINNING, PROFILES};
pub use unknown::Unknown;

/// Most versions of one endpoint.
pub const MAX_VERSIONS: usize = 6;
/// Sticky buckets of an endpoint.
pub const STICKY_BUCKETS: u32 = 10_000;
/// The longest scoring time-out of the documented service.
pub const MAX_SCORING_TIMEOUT: Duration = Duration::from_secs(300);

/// An endpoint with its versions. One that was read is valid: one to six versions of different names, default and
/// control among them, shares of at most 100 % in all.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::EndpointSpec;
///
/// let spec = EndpointSpec::from_json(
///     r#"{"name": "mynewendpoint", "default": "prod", "control": "prod",
///         "versions": [{"name": "test", "share": 10}, {"name": "prod", "share": 30}]}"#,
/// )?;
/// assert_eq!(spec.effective_share(&spec.default).as_percent(), "90");
/// assert_eq!(EndpointSpec::from_json(&spec.to_json())?, spec);
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The endpoint's name.
    pub name: ServiceName,
    /// How callers prove who they are.
    pub auth: AuthMode,
    /// Which table of limits and refusals applies where the document says nothing.
    pub profile: Profile,
    /// Whether a request may choose its version; `None` is the profile's default.
    pub pinning: Option<Pinning>,
    /// Whether scoring is a pure function, so that a request may be repeated on another replica.
    pub idempotent: bool,
    /// Keeps callers of one key on one version.
    pub sticky: Option<StickySpec>,
    /// Limits that beat the profile's.
    pub limits: Limits,
    /// The version that gets what no share assigns.
    pub default: VersionName,
    /// The version that treatments are compared with.
    pub control: VersionName,
    /// One to six versions, in the order in which they were created.
    pub versions: Vec<VersionSpec>,
    /// Members that nothing reads; they are written back.
    pub unknown: Unknown,
}

/// One version of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSpec {
    /// The version's name.
    pub name: VersionName,
    /// The share that was asked for; the default version gets the unassigned rest as well.
    pub share: Share,
    /// How many replicas.
    pub replicas: Replicas,
    /// Requests inside one replica at a time; 1 by default.
    pub max_concurrent: NonZeroU32,
    /// Time for a replica to answer; 60 s by default.
    pub scoring_timeout: Duration,
    /// Time a request may wait for a replica; `None` is the endpoint's or the profile's.
    pub max_queue_wait: Option<Duration>,
    /// Whether requests and answers are sampled and kept.
    pub collect_model_data: bool,
    /// Whether metrics are kept in detail for this version.
    pub app_insights: bool,
    /// Members that nothing reads; they are written back.
    pub unknown: Unknown,
}

/// How callers prove who they are; never by two ways at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// By one of two keys.
    #[default]
    Keys,
    /// By a token with an expiry.
    Token,
    /// Not at all.
    Off,
}

/// A table of limits and refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A queue that outlasts a burst, and refusals that say when to come again.
    #[default]
    Recommended,
    /// The original's numbers: half a second in the queue, then 503.
    Documented,
}

/// Whether a request may choose its version by the header `azureml-model-deployment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pinning {
    /// The header is not looked at.
    Off,
    /// Only with a token whose scope names it.
    Scope,
    /// Every authenticated caller may.
    Any,
}

/// Keeps callers of one key on one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickySpec {
    /// What the caller is told apart by.
    pub key: StickyKey,
    /// The versions of the 10 000 buckets in order, written by the control side; empty means: by the shares.
    pub buckets: Vec<BucketRun>,
}

/// The part of a request that tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StickyKey {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie(String),
}

/// Neighbouring sticky buckets of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRun {
    /// The version they belong to.
    pub version: VersionName,
    /// How many they are, 1 to 10 000.
    pub count: u16,
}

/// Limits of an endpoint; `None` is the profile's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for one version.
    pub queue: Option<u32>,
    /// Time a request may wait.
    pub queue_wait: Option<Duration>,
    /// Requests that may wait while there is no replica at all.
    pub waiting_room: Option<u32>,
    /// Time a request may wait while there is no replica at all.
    pub waiting_room_wait: Option<Duration>,
    /// Time to the first byte of an answer.
    pub first_byte: Option<Duration>,
    /// Time between two pieces of an answer.
    pub idle: Option<Duration>,
    /// Time for the whole exchange.
    pub total: Option<Duration>,
    /// Largest request body.
    pub max_body_bytes: Option<u64>,
}

impl EndpointSpec {
    /// An endpoint with its first version, which is default and control; everything else at its default.
    #[must_use]
    pub fn new(name: ServiceName, first: VersionSpec) -> Self {
        Self {
            name,
            auth: AuthMode::default(),
            profile: Profile::default(),
            pinning: None,
            idempotent: false,
            sticky: None,
            limits: Limits::default(),
            default: first.name.clone(),
            control: first.name.clone(),
            versions: vec![first],
            unknown: Unknown::default(),
        }
    }

    /// Reads the document; advice is dropped.
    ///
    /// # Errors
    ///
    /// All findings, if one of them is an error.
    pub fn from_json(text: &str) -> Result<Self, Report> {
        Self::check(text).into_result()
    }

    /// Reads the document and tells everything that was found.
    pub fn check(text: &str) -> Checked<Self> {
        let (json, mut report) = Json::parse_with_faults(text);
        let value = json.and_then(|json| read(&json, &mut report));
        Checked::new(value, report).located(text)
    }

    /// Reads a value tree, for callers that hold the document as part of another.
    pub fn check_json(json: &Json) -> Checked<Self> {
        let mut report = Report::default();
        let value = read(json, &mut report);
        Checked::new(value, report)
    }

    /// Checks a document that was put together in code.
    ///
    /// # Errors
    ///
    /// All findings, if one of them is an error.
    pub fn validate(&self) -> Result<(), Report> {
        let mut report = Report::default();
        check::endpoint(self, &check::Places::none(), &mut report);
        if report.has_errors() { Err(report) } else { Ok(()) }
    }

    /// Writes the document; what is at its default is left out, what nothing reads is written back.
    #[must_use]
    pub fn to_json(&self) -> String {
        write::endpoint(self).to_pretty_string()
    }

    /// The version of that name.
    #[must_use]
    pub fn version(&self, name: &VersionName) -> Option<&VersionSpec> {
        self.versions.iter().find(|version| version.name == *name)
    }

    /// The share of the traffic a version really gets: the default version has the unassigned rest on top of its own.
    #[must_use]
    pub fn effective_share(&self, name: &VersionName) -> Share {
        let assigned: u32 = self.versions.iter().map(|version| u32::from(version.share.basis_points())).sum();
        let rest = u32::from(Share::ALL.basis_points()).saturating_sub(assigned);
        let own = self.version(name).map_or(0, |version| u32::from(version.share.basis_points()));
        let total = if *name == self.default { own + rest } else { own };
        u16::try_from(total).ok().and_then(Share::from_basis_points).unwrap_or(Share::ALL)
    }
}

fn read(json: &Json, report: &mut Report) -> Option<EndpointSpec> {
    let mut spec = read::endpoint(json, report)?;
    unknown::keep(json, report, &mut spec);
    Some(spec)
}

impl VersionSpec {
    /// A version of that name with a share of 0 and everything else at its default.
    #[must_use]
    pub fn new(name: VersionName) -> Self {
        Self {
            name,
            share: Share::ZERO,
            replicas: Replicas::default(),
            max_concurrent: NonZeroU32::MIN,
            scoring_timeout: Self::DEFAULT_SCORING_TIMEOUT,
            max_queue_wait: None,
            collect_model_data: false,
            app_insights: false,
            unknown: Unknown::default(),
        }
    }

    /// Time for a replica to answer, where nothing is given.
    pub const DEFAULT_SCORING_TIMEOUT: Duration = Duration::from_secs(60);
}

impl Serialize for EndpointSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write::endpoint(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EndpointSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::check_json(&json).into_result().map_err(de::Error::custom)
    }
}
