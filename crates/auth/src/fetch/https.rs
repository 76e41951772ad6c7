//! `GET` over HTTPS, and nothing else.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ACCEPT, CACHE_CONTROL, HOST};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Fetch, FetchError, Fetched};
use crate::MAX_KEY_SET_BYTES;

/// Fetches over HTTPS with the certificates it is told to trust. Plain HTTP goes to this very machine only.
///
/// A connection a fetch: key sets are fetched every few minutes. Redirects are answers of another status than 200 and so
/// errors: an issuer does not get to send us elsewhere.
#[derive(Clone)]
pub struct HttpsFetch {
    tls: TlsConnector,
}

impl HttpsFetch {
    /// Trusts the certificate authorities in a PEM bundle.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if it holds no certificate that can be used.
    pub fn trusting(bundle: &[u8]) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(FetchError::unreachable("the bundle holds no usable certificate"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(FetchError::unreachable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Trusts what the system trusts: the first bundle of `SSL_CERT_FILE` and the usual places.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if there is none.
    pub fn system() -> Result<Self, FetchError> {
        let chosen = std::env::var_os("SSL_CERT_FILE");
        let places = chosen.iter().map(Path::new).chain(BUNDLES.iter().map(Path::new));
        let bundle = places.filter_map(|path| std::fs::read(path).ok()).next();
        Self::trusting(
            &bundle.ok_or_else(|| FetchError::unreachable("the system has no certificate bundle"))?,
        )
    }
}

#[async_trait]
impl Fetch for HttpsFetch {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        let target = Target::parse(url)?;
        let stream =
            TcpStream::connect((&*target.host, target.port)).await.map_err(FetchError::unreachable)?;
        if target.is_plain {
            return exchange(stream, &target).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(FetchError::unreachable)?;
        let stream = self.tls.connect(name, stream).await.map_err(FetchError::unreachable)?;
        exchange(stream, &target).await
    }
}

impl fmt::Debug for HttpsFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpsFetch")
    }
}

#[derive(Debug)]
struct Target {
    host: String,
    authority: String,
    port: u16,
    path: String,
    is_plain: bool,
}

impl Target {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let refused = || FetchError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refused)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let (is_plain, default_port) = match uri.scheme_str() {
            Some("https") => (false, 443),
            Some("http") if is_here => (true, 80),
            _ => return Err(refused()),
        };
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(default_port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: authority.to_string(),
            is_plain,
        })
    }
}

async fn exchange<S>(stream: S, target: &Target) -> Result<Fetched, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::unreachable)?;
    let pump = tokio::spawn(connection);
    let request = Request::get(&target.path)
        .header(HOST, &target.authority)
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(FetchError::unreachable)?;
    let response = sender.send_request(request).await.map_err(FetchError::unreachable)?;
    let answer = match response.status().as_u16() {
        200 => {
            let max_age = max_age(response.headers());
            read(response.into_body()).await.map(|body| Fetched { body, max_age })
        }
        status => Err(FetchError::Status(status)),
    };
    pump.abort();
    answer
}

async fn read(body: Incoming) -> Result<String, FetchError> {
    let body = Limited::new(body, MAX_KEY_SET_BYTES).collect().await.map_err(|_| FetchError::Body)?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::Body)
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    directives
        .flat_map(|value| value.split(','))
        .find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok())
        .map(Duration::from_secs)
}

const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_auth_5_only_https_or_this_machine_is_asked() {
        for url in [
            "https://login.example/keys?a=b",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/k",
        ] {
            assert!(Target::parse(url).is_ok(), "{url}");
        }
        for url in [
            "http://login.example/keys",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example/",
            "https://user:secret@login.example/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "/keys",
            "login.example",
            "",
        ] {
            assert!(matches!(Target::parse(url), Err(FetchError::Url(_))), "{url}");
        }
    }

    #[test]
    fn max_age_is_found_among_other_directives() {
        let of =
            |value: &'static str| max_age(&[(CACHE_CONTROL, value.parse().unwrap())].into_iter().collect());
        assert_eq!(of("public, max-age=3600, must-revalidate"), Some(Duration::from_secs(3600)));
        assert_eq!(of("no-store"), None);
        assert_eq!(of("max-age=soon"), None);
    }
}
