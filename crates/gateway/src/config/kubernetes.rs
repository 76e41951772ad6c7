//! Endpoints and replicas of a Kubernetes cluster, as a file names them.

use super::fields::Fields;

/// Where in which cluster endpoints and replicas are found. This crate speaks to no cluster: whoever builds the gateway hands
/// it a backend that does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KubernetesSource {
    /// The namespace. Default: `default`.
    pub namespace: String,
    /// The owner whose endpoints are served. Default: `portway`.
    pub owner: String,
    /// A context of the kubeconfig. Default: its current one, or the pod's own cluster.
    pub context: Option<String>,
}

impl KubernetesSource {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let mut name = |key: &str, default: &str| match fields.string(key) {
            Some(text) if is_label(&text) => text,
            Some(text) => {
                fields.fault(
                    key,
                    format_args!(
                        "{text:?} is not 1 to 63 lower-case letters, digits and hyphens between them"
                    ),
                );
                default.to_owned()
            }
            None => default.to_owned(),
        };
        let (namespace, owner) = (name("namespace", "default"), name("owner", "portway"));
        let context = fields.string("context");
        fields.finish(&["namespace", "owner", "context"]);
        Self { namespace, owner, context }
    }
}

/// A DNS label, as Kubernetes wants it.
fn is_label(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
