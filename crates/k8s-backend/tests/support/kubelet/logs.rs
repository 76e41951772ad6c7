//! What pods wrote, served to the API server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::Fate;

/// What each pod wrote, in its present run and in the one before.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<HashMap<String, [Vec<String>; 2]>>>);

impl Logs {
    pub(super) fn write(&self, pod: &str, line: &str) {
        self.0.lock().expect("nobody panics").entry(pod.to_owned()).or_default()[0].push(line.to_owned());
    }

    /// A pod that crashed has written why.
    pub(super) fn of_fate(&self, pod: &str, fate: &Fate) {
        if let Fate::CrashLoop { code, .. } = fate {
            let mut all = self.0.lock().expect("nobody panics");
            all.entry(pod.to_owned()).or_default()[1].push(format!("ending with {code}"));
        }
    }

    /// `/containerLogs/NAMESPACE/POD/CONTAINER?tailLines=…&previous=true`
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let pod = request.uri().path().split('/').nth(3).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        let value = |key: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key)
        };
        let run = usize::from(value("previous").is_some_and(|(_, value)| value == "true"));
        let lines = value("tailLines").and_then(|(_, count)| count.parse().ok()).unwrap_or(usize::MAX);
        let all = self.0.lock().expect("nobody panics");
        let written = all.get(pod).map(|runs| &runs[run]).filter(|lines| !lines.is_empty());
        let Some(written) = written else {
            let mut response = Response::new(Full::from(format!("no log of pod {pod}\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let last = &written[written.len().saturating_sub(lines)..];
        Response::new(Full::from(last.iter().map(|line| format!("{line}\n")).collect::<String>()))
    }
}

/// Serves logs as a kubelet does, with a certificate that nobody has signed.
pub(super) async fn serve_logs(listener: TcpListener, logs: Logs) {
    let own =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key as it should be");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.into()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("the key is that of the certificate")));
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (acceptor, logs) = (acceptor.clone(), logs.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = hyper::service::service_fn(move |request| {
                let answer = logs.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
