//! The deployment configuration of a service or of a version: all of its settings, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::endpoint::{AuthMode, EndpointSpec, Unknown, VersionSpec};
use crate::finding::{Checked, Report};
use crate::json::Json;
use crate::name::{ComputeName, Namespace, VersionName};
use crate::probe::ProbeSpec;
use crate::quantity::Share;
use crate::replicas::Replicas;
use crate::resources::Resources;

mod build;
mod field;
mod rules;
mod settings;
mod siblings;
mod update;
mod write;

pub(crate) use field::Takes;
pub use field::{Field, Spelling};
#[cfg(feature = "schema")]
pub(crate) use field::{Group, Kind, ROWS};
#[cfg(feature = "schema")]
pub(crate) use rules::AUTOSCALE_NUMBERS;
pub(crate) use settings::{Settings, Source};
pub use update::ServiceUpdate;
pub(crate) use update::property_changed;

/// A deployment configuration without a fault. Times, sizes and counts are effective: defaults are filled in.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{AuthMode, Json, Millicores, ServiceSpec, Spelling};
///
/// let arguments = Json::parse(r#"{"cpu_cores": 0.1, "memory_gb": 0.5, "token_auth_enabled": true}"#)?;
/// let spec = ServiceSpec::check(&arguments, Spelling::Sdk).into_result()?;
/// assert_eq!(spec.resources.cpu, Millicores(100));
/// assert_eq!(spec.auth, AuthMode::Token);
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The compute target to deploy to, if the configuration names it.
    pub compute: Option<ComputeName>,
    /// The Kubernetes namespace, if the configuration names it.
    pub namespace: Option<Namespace>,
    /// A text for people.
    pub description: Option<String>,
    /// Labels that may be changed.
    pub tags: BTreeMap<String, String>,
    /// Labels that may be added, never changed.
    pub properties: BTreeMap<String, String>,
    /// How callers prove who they are.
    pub auth: AuthMode,
    /// Keys of the caller's choice; otherwise they are generated.
    pub keys: Option<ChosenKeys>,
    /// The version's name, for endpoints.
    pub version: Option<VersionName>,
    /// The version's share of the traffic, for endpoints; 0 by default.
    pub share: Share,
    /// How many replicas.
    pub replicas: Replicas,
    /// What a replica asks of its node.
    pub resources: Resources,
    /// When a replica counts as alive.
    pub probe: ProbeSpec,
    /// Requests inside one replica at a time; 1 by default.
    pub max_concurrent: NonZeroU32,
    /// Time for a replica to answer, up to 300 s; 60 s by default.
    pub scoring_timeout: Duration,
    /// Time a request may wait for a replica; `None` is the profile's (500 ms as documented).
    pub max_queue_wait: Option<Duration>,
    /// Whether requests and answers are sampled and kept.
    pub collect_model_data: bool,
    /// Whether metrics are kept in detail.
    pub app_insights: bool,
    /// Whether models are mounted rather than copied; on by default.
    pub blobfuse: bool,
}

/// Keys that the caller chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenKeys {
    /// The primary key.
    pub primary: Secret,
    /// The secondary key; generated if absent.
    pub secondary: Option<Secret>,
}

/// A text that shows in no message and no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl ServiceSpec {
    /// Checks the settings of a new service, in any spelling. For the SDK's spelling these are the arguments of
    /// `AksWebservice.deploy_configuration`; for the file's, `computeType` is left to [`crate::DeploymentConfig`].
    pub fn check(json: &Json, spelling: Spelling) -> Checked<Self> {
        let source = match spelling {
            Spelling::Sdk => Source::sdk(Takes::Webservice),
            Spelling::File => Source::file(Takes::Webservice),
            Spelling::Wire => Source::wire(),
        };
        Self::check_source(json, &source)
    }

    /// Checks the arguments of `AksEndpoint.deploy_configuration`: a service's, with the first version's name and share.
    pub fn check_endpoint(json: &Json) -> Checked<Self> {
        Self::check_source(json, &Source::sdk(Takes::Endpoint))
    }

    /// Checks the arguments of `AksEndpoint.create_version`, against the endpoint's other versions as far as they are known.
    pub fn check_version(json: &Json, endpoint: Option<&EndpointSpec>) -> Checked<Self> {
        let mut report = Report::default();
        let Some(mut settings) = Settings::read(json, &Source::sdk(Takes::Version), &mut report) else {
            return Checked::refused(report);
        };
        siblings::named(&settings, &mut report);
        rules::create(&mut settings, &mut report);
        report.extend(rules::client_crash(&settings));
        if let Some(endpoint) = endpoint {
            siblings::created(&settings, endpoint, &mut report);
        }
        Checked::new(Some(build::onto(&Self::default(), &settings)), report)
    }

    /// What stands, described in arguments of any call; whatever does not fit is left at its default.
    #[must_use]
    pub fn standing(json: &Json) -> Self {
        let mut unread = Report::default();
        let settings = Settings::read(json, &Source::standing(), &mut unread);
        settings.map_or_else(Self::default, |settings| build::onto(&Self::default(), &settings))
    }

    pub(crate) fn check_source(json: &Json, source: &Source) -> Checked<Self> {
        let mut report = Report::default();
        let Some(mut settings) = Settings::read(json, source, &mut report) else {
            return Checked::refused(report);
        };
        rules::create(&mut settings, &mut report);
        if source.takes == Takes::Endpoint {
            siblings::first(&settings, &mut report);
        }
        let spec = build::onto(&Self::default(), &settings);
        Checked::new(Some(spec), report)
    }

    /// The spec as a value tree in one of the spellings, without what is at its default.
    #[must_use]
    pub fn to_settings(&self, spelling: Spelling) -> Json {
        write::settings(self, spelling)
    }

    /// The part of the endpoint document that this configuration describes, for a version of that name.
    #[must_use]
    pub fn version_spec(&self, name: VersionName) -> VersionSpec {
        VersionSpec {
            name,
            share: self.share,
            replicas: self.replicas,
            max_concurrent: self.max_concurrent,
            scoring_timeout: self.scoring_timeout,
            max_queue_wait: self.max_queue_wait,
            collect_model_data: self.collect_model_data,
            app_insights: self.app_insights,
            unknown: Unknown::default(),
        }
    }
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            compute: None,
            namespace: None,
            description: None,
            tags: BTreeMap::new(),
            properties: BTreeMap::new(),
            auth: AuthMode::default(),
            keys: None,
            version: None,
            share: Share::ZERO,
            replicas: Replicas::default(),
            resources: Resources::default(),
            probe: ProbeSpec::default(),
            max_concurrent: NonZeroU32::MIN,
            scoring_timeout: VersionSpec::DEFAULT_SCORING_TIMEOUT,
            max_queue_wait: None,
            collect_model_data: false,
            app_insights: false,
            blobfuse: true,
        }
    }
}
