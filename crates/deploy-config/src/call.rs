//! One entrance for callers who hold a call's name and its arguments, in either spelling.

use crate::cluster::{AttachSpec, ProvisionSpec, VmSizes, check_cluster_size};
use crate::document::DeploymentConfig;
use crate::endpoint::{EndpointSpec, VersionSpec};
use crate::finding::{At, Report};
use crate::inference::InferenceConfig;
use crate::json::{Json, Value};
use crate::name::{NameKind, ServiceName, VersionName};
use crate::quantity::Share;
use crate::read;
use crate::service::{ServiceSpec, ServiceUpdate, Spelling};

/// A call of the Python SDK, or a file that goes into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `AksWebservice.deploy_configuration`.
    DeployService,
    /// `AksWebservice.update`.
    UpdateService,
    /// `deploymentconfig.json`.
    DeploymentConfig,
    /// `AksEndpoint.deploy_configuration`.
    DeployEndpoint,
    /// `AksEndpoint.update`.
    UpdateEndpoint,
    /// `AksEndpoint.create_version`.
    CreateVersion,
    /// `AksEndpoint.update_version`.
    UpdateVersion,
    /// `AksCompute.provisioning_configuration`.
    Provision,
    /// `AksCompute.attach_configuration`.
    Attach,
    /// `inferenceconfig.json`.
    InferenceConfig,
    /// Our own document of an endpoint.
    EndpointDocument,
    /// A name alone, as `{"value": "…"}`.
    Name(NameKind),
}

impl Call {
    /// The call by the kind of thing it is about and its own name: `("aks_deploy", "update")`.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_deploy_config::Call;
    ///
    /// assert_eq!(Call::named("aks_endpoint_version", "create_version"), Some(Call::CreateVersion));
    /// assert_eq!(Call::named("aks_deploy", "create_version"), None);
    /// ```
    #[must_use]
    pub fn named(kind: &str, call: &str) -> Option<Self> {
        Some(match (kind, call) {
            ("aks_deploy", "deploy_configuration") => Self::DeployService,
            ("aks_deploy", "update") => Self::UpdateService,
            ("aks_deploy" | "aks_endpoint_version", "deploymentconfig_json") => Self::DeploymentConfig,
            ("aks_deploy" | "aks_endpoint_version", "inferenceconfig_json") => Self::InferenceConfig,
            ("aks_endpoint_version", "endpoint_document") => Self::EndpointDocument,
            ("aks_endpoint_version", "deploy_configuration") => Self::DeployEndpoint,
            ("aks_endpoint_version", "update") => Self::UpdateEndpoint,
            ("aks_endpoint_version", "create_version") => Self::CreateVersion,
            ("aks_endpoint_version", "update_version") => Self::UpdateVersion,
            ("aks_provision", "provisioning_configuration") => Self::Provision,
            ("aks_attach", "attach_configuration") => Self::Attach,
            ("names", "webservice" | "endpoint") => Self::Name(NameKind::Service),
            ("names", "version") => Self::Name(NameKind::Version),
            ("names", "model") => Self::Name(NameKind::Model),
            ("names", "model_id") => Self::Name(NameKind::ModelId),
            ("names", "image") => Self::Name(NameKind::Image),
            ("names", "namespace") => Self::Name(NameKind::Namespace),
            ("names", "workspace") => Self::Name(NameKind::Workspace),
            ("names", "compute") => Self::Name(NameKind::Compute),
            ("names", "entry_script") => Self::Name(NameKind::EntryScript),
            _ => return None,
        })
    }

    /// Checks the call's arguments; `current` describes what stands, in the same arguments. For versions it may hold
    /// the endpoint's `versions` as an object of name to arguments.
    pub fn check(self, input: &Json, current: Option<&Json>) -> Report {
        let current = current.filter(|current| !current.is_null());
        let standing = || current.map(ServiceSpec::standing);
        match self {
            Self::DeployService => ServiceSpec::check(input, Spelling::Sdk).into_parts().1,
            Self::UpdateService => ServiceUpdate::check(input, standing().as_ref()).into_parts().1,
            Self::DeploymentConfig => match input.as_str() {
                Some(text) => DeploymentConfig::from_json(text).into_parts().1,
                None => DeploymentConfig::check_json(input).into_parts().1,
            },
            Self::InferenceConfig => match input.as_str() {
                Some(text) => InferenceConfig::from_json(text).into_parts().1,
                None => InferenceConfig::check_json(input).into_parts().1,
            },
            Self::EndpointDocument => match input.as_str() {
                Some(text) => EndpointSpec::check(text).into_parts().1,
                None => EndpointSpec::check_json(input).into_parts().1,
            },
            Self::DeployEndpoint => ServiceSpec::check_endpoint(input).into_parts().1,
            Self::UpdateEndpoint => ServiceUpdate::check_endpoint(input, standing().as_ref()).into_parts().1,
            Self::CreateVersion => {
                let endpoint = current.and_then(standing_endpoint);
                ServiceSpec::check_version(input, endpoint.as_ref()).into_parts().1
            }
            Self::UpdateVersion => {
                let endpoint = current.and_then(standing_endpoint);
                let version = current.map(|current| ServiceSpec::standing(standing_version(input, current)));
                ServiceUpdate::check_version(input, endpoint.as_ref(), version.as_ref()).into_parts().1
            }
            Self::Provision => ProvisionSpec::check(input, &VmSizes::default()).into_parts().1,
            Self::Attach => attach(input, current),
            Self::Name(kind) => name(kind, input),
        }
    }
}

fn name(kind: NameKind, input: &Json) -> Report {
    let mut report = Report::default();
    let root = At::new(String::new(), input.span);
    let Some(value) = input.get("value") else {
        report.push(read::missing(&root, "value"));
        return report;
    };
    let at = At::new("/value".to_owned(), value.span);
    report.extend(read::text(value, &at).and_then(|text| read::check_name(kind, text, &at)).err());
    report
}

/// The arguments, and the size of the cluster where that is told.
fn attach(input: &Json, current: Option<&Json>) -> Report {
    let (spec, mut report) = AttachSpec::check(input).into_parts();
    let (Some(spec), Some(current)) = (spec, current) else { return report };
    let count = current.get("agent_count").and_then(Json::as_decimal).and_then(|count| count.as_u64());
    let Some(nodes) = count.and_then(|count| u32::try_from(count).ok()) else { return report };
    let sizes = VmSizes::default();
    let size = current.get("vm_size").and_then(Json::as_str).and_then(|name| sizes.get(name));
    let found = check_cluster_size(spec.purpose, nodes, size.map(|size| size.vcpus.saturating_mul(nodes)));
    report.extend(found.into_iter().filter(|finding| finding.severity == crate::Severity::Error));
    report
}

/// The endpoint that stands: all its versions, or the one that is described.
fn standing_endpoint(current: &Json) -> Option<EndpointSpec> {
    let versions: Vec<_> = match current.get("versions").map(|versions| &versions.value) {
        Some(Value::Object(members)) => {
            members.iter().filter_map(|member| standing_share(Some(&member.key), &member.json)).collect()
        }
        Some(Value::Array(elements)) => {
            elements.iter().filter_map(|each| standing_share(each.as_str(), each)).collect()
        }
        _ => standing_share(None, current).into_iter().collect(),
    };
    let name = ["name", "endpoint_name", "service_name"].iter().find_map(|key| current.get(key)?.as_str());
    let name: Option<ServiceName> = name.and_then(|name| name.parse().ok());
    let first = versions.first()?.clone();
    let mut endpoint = EndpointSpec::new(name.or_else(|| UNNAMED.parse().ok())?, first);
    endpoint.versions = versions;
    Some(endpoint)
}

/// A name that no version is likely to bear, for an endpoint whose own is not told.
const UNNAMED: &str = "endpoint-whose-name-is-not-told";

fn standing_share(name: Option<&str>, settings: &Json) -> Option<VersionSpec> {
    let spec = ServiceSpec::standing(settings);
    let name: VersionName = match name {
        Some(name) => name.parse().ok()?,
        None => spec.version.clone()?,
    };
    let mut version = spec.version_spec(name);
    // A version may also be told by its share alone.
    if let Some(share) = settings.as_decimal().and_then(|percent| Share::from_percent(&percent).ok()) {
        version.share = share;
    }
    Some(version)
}

/// The version that is updated, as it stands.
fn standing_version<'a>(input: &Json, current: &'a Json) -> &'a Json {
    let name = input.get("version_name").and_then(Json::as_str);
    let among = |versions: &'a Json| {
        let listed = versions.as_array().into_iter().flatten();
        let named = listed.filter(|version| version.get("version_name").and_then(Json::as_str) == name);
        versions.get(name?).or_else(|| named.into_iter().next())
    };
    current.get("versions").and_then(among).unwrap_or(current)
}
