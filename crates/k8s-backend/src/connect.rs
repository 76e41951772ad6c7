//! Finding the cluster: from inside a pod, or by a kubeconfig.

mod bounded;
mod secrets;
mod starting;

use std::env;
use std::io;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError, LoadDataError};
use kube::{Client, Config};
use portway_backend::BackendError;
use tokio::task::spawn_blocking;
use tower_layer::layer_fn;

use crate::backend::K8sBackend;
use crate::error::{Said, refused};
use crate::options::Options;
use bounded::Bounded;
pub(crate) use starting::aware;

impl K8sBackend {
    /// A backend for the cluster that this program's surroundings name.
    ///
    /// `$KUBECONFIG` counts first; without it, a program inside a pod speaks to the pod's cluster as the pod's service account,
    /// and any other one reads `~/.kube/config`. [`Options::context`] picks a context of the kubeconfig, and then a pod's
    /// surroundings do not count.
    ///
    /// Connecting may take 10 s. A request has to be answered within 30 s, and its answer must not pause for longer. A watch
    /// may pause once it has begun; the server is asked to end each one after a minute, so that a server that has gone away
    /// unheard is noticed about then. Followed logs are exempt. A refusal is not retried here, so that it is heard at once.
    ///
    /// TLS is rustls' with the process's own crypto provider, `ring` where nothing else is compiled in; a program with several of
    /// them installs one first.
    ///
    /// # Errors
    ///
    /// [`Invalid`](portway_backend::ErrorKind::Invalid) when there is no kubeconfig or it cannot be used,
    /// [`Unavailable`](portway_backend::ErrorKind::Unavailable) when the server does not answer or accepts no credentials.
    pub async fn connect(options: Options) -> Result<Self, BackendError> {
        let config = configuration(&options).await?;
        Self::from_client(client(config).await?, options).await
    }
}

/// Which cluster, and as whom.
pub(crate) async fn configuration(options: &Options) -> Result<Config, BackendError> {
    let named = env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty()) || options.context.is_some();
    let in_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let mut config = if in_pod && !named {
        Config::incluster().map_err(no_pod)?
    } else {
        let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
        Config::from_kubeconfig(&choice).await.map_err(no_kubeconfig)?
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.default_retry = false;
    Ok(config)
}

/// A client whose requests end. May run the login program that a kubeconfig names.
pub(crate) async fn client(config: Config) -> Result<Client, BackendError> {
    let built = spawn_blocking(move || {
        let address = address(&config);
        let layer = layer_fn(move |inner| Bounded::new(inner, address.clone()));
        Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
    });
    match built.await {
        Ok(built) => built.map_err(|error| refused("log in to the cluster", error)),
        Err(_) => {
            Err(BackendError::unavailable("cannot log in to the cluster: the runtime is shutting down"))
        }
    }
}

/// `host:port` of the API server.
pub(crate) fn address(config: &Config) -> String {
    let (host, port) = host_and_port(config);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The API server's name or address, without brackets, and its port.
pub(crate) fn host_and_port(config: &Config) -> (String, u16) {
    let url = &config.cluster_url;
    let default = if url.scheme_str() == Some("http") { 80 } else { 443 };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), url.port_u16().unwrap_or(default))
}

fn no_pod(error: InClusterError) -> BackendError {
    let message = match &error {
        InClusterError::ReadDefaultNamespace(_) | InClusterError::ReadCertificateBundle(_) => {
            "cannot find the cluster: this pod has no service account token; set automountServiceAccountToken: true, or name a \
             kubeconfig by KUBECONFIG"
        }
        _ => {
            "cannot find the cluster: what this pod is told of it cannot be used; name a kubeconfig by KUBECONFIG"
        }
    };
    BackendError::invalid(message).with_source(Said::new(error.to_string()))
}

/// Parts of the file are never told: it holds credentials.
fn no_kubeconfig(error: KubeconfigError) -> BackendError {
    let why = match &error {
        KubeconfigError::ReadConfig(cause, path) if cause.kind() == io::ErrorKind::NotFound => format!(
            "there is no kubeconfig at {}; name one by KUBECONFIG, or run inside the cluster",
            path.display()
        ),
        KubeconfigError::ReadConfig(cause, path) => {
            format!("the kubeconfig {} cannot be read ({})", path.display(), cause.kind())
        }
        KubeconfigError::FindPath => {
            "there is no kubeconfig; name one by KUBECONFIG, or run inside the cluster".to_owned()
        }
        KubeconfigError::CurrentContextNotSet => {
            "the kubeconfig has no current context; choose one (kubectl config use-context NAME), or name it"
                .to_owned()
        }
        KubeconfigError::LoadContext(name) => {
            format!("the kubeconfig has no context {name}; kubectl config get-contexts lists them")
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("the kubeconfig's context names a cluster {name} that it does not have; correct it")
        }
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "the kubeconfig gives its cluster no server that can be used; correct clusters[].cluster.server"
                .to_owned()
        }
        KubeconfigError::LoadCertificateAuthority(cause) => {
            unloaded("the cluster's certificate authority", cause)
        }
        KubeconfigError::LoadClientCertificate(cause) => unloaded("the client's certificate", cause),
        KubeconfigError::LoadClientKey(cause) => unloaded("the client's key", cause),
        KubeconfigError::ParseCertificates(_) => {
            "the kubeconfig's certificates are no PEM; fetch a fresh kubeconfig".to_owned()
        }
        KubeconfigError::Parse(_) => {
            "the kubeconfig is no YAML of the expected shape; fetch a fresh one".to_owned()
        }
        _ => "the kubeconfig cannot be used; fetch a fresh one".to_owned(),
    };
    BackendError::invalid(format!("cannot find the cluster: {why}"))
}

fn unloaded(what: &str, cause: &LoadDataError) -> String {
    match cause {
        LoadDataError::ReadFile(cause, path) => format!(
            "{what} cannot be read from {} ({}), as the kubeconfig says; correct the path",
            path.display(),
            cause.kind()
        ),
        _ => format!("{what} in the kubeconfig is damaged; fetch a fresh kubeconfig"),
    }
}

/// For how long the server keeps a watch before the next one goes on; shortly after that, a silent one is given up.
pub(crate) const WATCH_SECONDS: u32 = 60;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
