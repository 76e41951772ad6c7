//! The client library, set up as we need it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use portway_hashing::resolve::{RegistryError, RegistryErrorKind};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::OciSettings;

/// The library's client, and a plain one for what the library does not tell.
pub(super) fn clients(settings: &OciSettings) -> Result<(Client, reqwest::Client), RegistryError> {
    // The HTTP library takes the process's provider and panics without one. If another was installed before, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let extra_root_certificates = settings.trusted().map(certificates).transpose()?.unwrap_or_default();
    let plain = plain(settings, &extra_root_certificates)?;
    let protocol = if settings.is_plain_http() { ClientProtocol::Http } else { ClientProtocol::Https };
    let config = ClientConfig {
        protocol,
        extra_root_certificates,
        // One request for a blob: not every registry takes pieces.
        use_monolithic_push: true,
        // Its limit for reading would also end an upload that lasts: we watch over the time ourselves.
        connect_timeout: Some(settings.silence),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    };
    let client = Client::try_from(config).map_err(|error| {
        let message = "could not set up a client for the registry; see that the certificates are valid";
        RegistryError::new(RegistryErrorKind::Refused, message).with_source(error)
    })?;
    Ok((client, plain))
}

fn plain(settings: &OciSettings, trusted: &[Certificate]) -> Result<reqwest::Client, RegistryError> {
    check_trust()?;
    let trusted: Result<Vec<_>, _> =
        trusted.iter().map(|certificate| reqwest::Certificate::from_der(&certificate.data)).collect();
    let built = trusted.and_then(|trusted| {
        let builder = reqwest::Client::builder().user_agent(USER_AGENT).connect_timeout(settings.silence);
        builder.tls_certs_merge(trusted).build()
    });
    built.map_err(|error| {
        let message = "could not set up a client for the registry; see that the certificates are valid";
        RegistryError::new(RegistryErrorKind::Refused, message).with_source(error)
    })
}

const USER_AGENT: &str = concat!("portway/", env!("CARGO_PKG_VERSION"));

/// Tries what the client library does without asking: a client with the defaults, without which it would panic.
fn check_trust() -> Result<(), RegistryError> {
    static TRIED: OnceLock<()> = OnceLock::new();
    if TRIED.get().is_some() {
        return Ok(());
    }
    reqwest::Client::builder().build().map(|_| TRIED.get_or_init(|| ())).map(drop).map_err(|error| {
        let message = "could not set up a client for registries: this machine has no certificates of authorities to trust; \
                       install them (on Debian and Ubuntu: the package ca-certificates), or name a file of them in SSL_CERT_FILE";
        RegistryError::new(RegistryErrorKind::Refused, message).with_source(error)
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let refused = |message: String| RegistryError::new(RegistryErrorKind::Refused, message);
    let text = fs::read(path).map_err(|error| {
        refused(format!("could not read the certificates in {}", path.display())).with_source(error)
    })?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|error| {
        refused(format!("{} is damaged; it should hold certificates in PEM form", path.display()))
            .with_source(error)
    })?;
    if certificates.is_empty() {
        return Err(refused(format!("{} holds no certificate in PEM form", path.display())));
    }
    let as_der =
        |der: CertificateDer<'_>| Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() };
    Ok(certificates.into_iter().map(as_der).collect())
}
