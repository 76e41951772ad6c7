//! Why no answer came: a name, a connection, a certificate, or time.

use std::error::Error;
use std::io;

use portway_backend::ErrorKind;
use tokio_rustls::rustls;

use super::{Finding, Said};

/// A request to the API server at an address that we know, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{address} gave no answer")]
pub(crate) struct Unreachable {
    pub(crate) address: String,
    #[source]
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

pub(super) fn of_chain(error: &(dyn Error + 'static)) -> (Finding, Option<Said>) {
    let chain = chain(error);
    let address = chain.iter().find_map(|link| Some(link.downcast_ref::<Unreachable>()?.address.as_str()));
    let server =
        address.map_or_else(|| "the API server".to_owned(), |address| format!("the API server {address}"));
    let (kind, why) = why_unreachable(error);
    let said = chain.last().map(|last| Said::new(last.to_string()));
    (Finding::new(kind, format!("{server} cannot be reached: {why}")), said)
}

/// What stood in the way, with the remedy.
pub(crate) fn why_unreachable(error: &(dyn Error + 'static)) -> (ErrorKind, String) {
    let chain = chain(error);
    let tls = chain.iter().find_map(|link| link.downcast_ref::<rustls::Error>());
    if let Some(tls) = tls {
        return why_no_tls(tls);
    }
    let why = match chain.iter().find_map(|link| link.downcast_ref::<io::Error>().map(io::Error::kind)) {
        _ if chain.iter().any(|link| link.to_string().starts_with("dns error")) => {
            "its name cannot be resolved; look at the name, and at the name servers of this machine"
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            "the connection is refused; see that it runs and listens there, and that the address is the right one"
        }
        Some(io::ErrorKind::TimedOut) => {
            "no answer came in time; look for a firewall or a missing route between"
        }
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            "there is no route to it; connect to its network"
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => {
            "the connection broke; it may be starting anew: try again"
        }
        _ => "the connection failed; try again",
    };
    (ErrorKind::Unavailable, why.to_owned())
}

fn why_no_tls(error: &rustls::Error) -> (ErrorKind, String) {
    use rustls::{CertificateError, Error};
    let why = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate comes from an authority that is not trusted here; name the right one"
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "its certificate has expired or is not valid yet; renew it, and look at this machine's clock",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name; use the name that it is for",
        Error::InvalidMessage(_) => {
            "it does not speak TLS; see whether the address wants http, or is another port"
        }
        Error::AlertReceived(_) => {
            "it ends the TLS handshake; it may want a client certificate that is not ours"
        }
        _ => "no TLS session comes about; look at its certificate and at the versions of TLS that it speaks",
    };
    (ErrorKind::Invalid, why.to_owned())
}

/// An error and its causes. An [`io::Error`] passes over the error that it wraps, which may be the one that tells most.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = vec![error];
    let mut last = error;
    for _ in 0..DEEPEST {
        let wrapped = last.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let Some(next) = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| last.source())
        else {
            break;
        };
        chain.push(next);
        last = next;
    }
    chain
}

const DEEPEST: usize = 32;
