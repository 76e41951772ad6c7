//! `deploymentconfig.json`.

use std::fmt;

use crate::finding::{At, Checked, Code, Finding, Report};
use crate::json::{Json, Member, Value};
use crate::read::{self, quoted};
use crate::service::{ServiceSpec, Source, Spelling, Takes};
use crate::suggest;

/// A deployment configuration file without a fault, and all that stands in it: it is written back as it was read.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::{DeploymentConfig, Millicores};
///
/// let text = r#"{"computeType": "AKS", "containerResourceRequirements": {"cpu": 0.5}, "mine": 1.0}"#;
/// let checked = DeploymentConfig::from_json(text);
/// assert_eq!(checked.report().advice().count(), 1); // nothing reads "mine"
/// let config = checked.into_result()?;
/// assert_eq!(config.spec().resources.cpu, Millicores(500));
/// assert!(config.to_json().contains(r#""mine": 1.0"#));
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct DeploymentConfig {
    compute_type: ComputeType,
    spec: ServiceSpec,
    document: Json,
}

/// What a deployment configuration deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComputeType {
    /// A service: `aks`.
    Aks,
    /// An endpoint's first version: `aksendpoint`.
    AksEndpoint,
}

impl ComputeType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Aks => "aks",
            Self::AksEndpoint => "aksendpoint",
        }
    }
}

impl DeploymentConfig {
    /// Reads the file's text and tells everything that was found.
    pub fn from_json(text: &str) -> Checked<Self> {
        let (json, syntax) = Json::parse_with_faults(text);
        let Some(json) = json else { return Checked::refused(syntax).located(text) };
        let (spec, mut report) = check(&json);
        report.extend(syntax);
        Self::checked(json, spec, report).located(text)
    }

    /// Checks a value tree.
    pub fn check_json(json: &Json) -> Checked<Self> {
        let (spec, report) = check(json);
        Self::checked(json.clone(), spec, report)
    }

    fn checked(document: Json, spec: Option<(ComputeType, ServiceSpec)>, report: Report) -> Checked<Self> {
        let config = spec.map(|(compute_type, spec)| Self { compute_type, spec, document });
        Checked::new(config, report)
    }

    /// The file for a configuration; what the file cannot hold (tags, properties, description) is given beside it.
    #[must_use]
    pub fn new(compute_type: ComputeType, spec: ServiceSpec) -> Self {
        let mut document = spec.to_settings(Spelling::File);
        if let Value::Object(members) = &mut document.value {
            let json = Json::text(compute_type.as_str());
            members.insert(0, Member { key: "computeType".into(), key_span: None, json });
        }
        Self { compute_type, spec, document }
    }

    /// Writes everything that was read, known or not, in its order and with its numbers as they were written.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document.to_pretty_string()
    }

    /// What is deployed.
    #[must_use]
    pub fn compute_type(&self) -> ComputeType {
        self.compute_type
    }

    /// The settings.
    #[must_use]
    pub fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// The settings alone.
    #[must_use]
    pub fn into_spec(self) -> ServiceSpec {
        self.spec
    }
}

/// Leaves the document out: it may hold keys.
impl fmt::Debug for DeploymentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentConfig")
            .field("compute_type", &self.compute_type)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

fn check(json: &Json) -> (Option<(ComputeType, ServiceSpec)>, Report) {
    let compute_type = match compute_type(json, &At::new(String::new(), json.span)) {
        Ok(compute_type) => compute_type,
        // Another kind of deployment has other settings; a kind that cannot be read is most likely a service.
        Err(finding) if finding.code == Code::ComputeTypeElsewhere || json.kind() != "an object" => {
            return (None, Report::from(finding));
        }
        Err(finding) => {
            let mut report = Report::from(finding);
            report.extend(ServiceSpec::check_source(json, &Source::file(Takes::Webservice)).into_parts().1);
            return (None, report);
        }
    };
    let source = match compute_type {
        ComputeType::Aks => Source::file(Takes::Webservice),
        ComputeType::AksEndpoint => Source::file(Takes::Endpoint).without_compute_target(),
    };
    let (spec, report) = ServiceSpec::check_source(json, &source).into_parts();
    (spec.map(|spec| (compute_type, spec)), report)
}

fn compute_type(json: &Json, root: &At) -> Result<ComputeType, Finding> {
    const ALLOWED: &str = "\"aks\" or \"aksendpoint\"";
    if json.members().next().is_none() && json.kind() != "an object" {
        return Err(crate::json::wrong_kind(json, root, "an object"));
    }
    let Some(value) = json.get("computeType").filter(|value| !value.is_null()) else {
        return Err(read::missing(root, "computeType")
            .allowed(ALLOWED)
            .remedy("add \"computeType\": \"aks\""));
    };
    let at = At::new("/computeType".to_owned(), value.span);
    let text = read::text(value, &at)?;
    let refused = |code, message: String, remedy: String| {
        Err(Finding::new(code, &at, message).found(quoted(text)).allowed(ALLOWED).remedy(remedy))
    };
    match text.to_lowercase().as_str() {
        "aks" => Ok(ComputeType::Aks),
        "aksendpoint" => Ok(ComputeType::AksEndpoint),
        "aci" => refused(
            Code::ComputeTypeElsewhere,
            "container instances have no cluster, so there is nothing to place replicas on".to_owned(),
            "describe the service for a cluster: \"aks\"".to_owned(),
        ),
        "local" => refused(
            Code::ComputeTypeElsewhere,
            "a local container has neither replicas nor traffic to describe".to_owned(),
            "use \"aks\" with the local backend".to_owned(),
        ),
        other => refused(
            Code::UnknownValue,
            format!("there is no compute type {}", quoted(text)),
            suggest::nearest(other, ["aks", "aksendpoint"].into_iter())
                .map_or_else(|| format!("write {ALLOWED}"), |near| format!("did you mean {near:?}?")),
        ),
    }
}
