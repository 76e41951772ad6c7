//! A registry in this process, which can be told to fail.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use portway_hashing::Digest;
use portway_images::OciSettings;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::push::Pusher;

pub(crate) struct Double {
    state: Arc<Mutex<State>>,
    host: String,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// By repository and tag, and by repository and digest.
    manifests: HashMap<(String, String), (String, Bytes)>,
    blobs: HashMap<(String, String), Bytes>,
    /// What was asked: method, path and the `authorization` that came with it.
    asked: Vec<(Method, String, Option<String>)>,
    /// What goes wrong with requests whose method, path and `authorization` it is given.
    fault: Option<Fault>,
}

type Fault = Box<dyn Fn(&Method, &str, Option<&str>) -> Option<Reply> + Send>;

/// An answer that a registry should not give.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status and a body.
    Says(u16, &'static str),
    /// The true answer with another digest in its header.
    OtherDigest,
    /// The beginning of a body, then the connection closes.
    Truncated(&'static str),
    /// Nothing, ever.
    Hangs,
    /// The beginning of a body, and then nothing, ever.
    HangsHalfWay(&'static str),
    /// Somewhere else.
    Redirects(String),
    /// Where to send an upload.
    UploadsTo(String),
    /// 401, and that challenge.
    Challenges(String),
}

type Body = BoxBody<Bytes, io::Error>;

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&state)));
        Self { state, host, _serving: serving }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn settings(&self, path: &str) -> OciSettings {
        OciSettings::new(format!("{}/{path}", self.host).parse().unwrap()).plain_http()
    }

    pub(crate) fn pusher(&self, path: &str) -> Pusher {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Pusher::at(reqwest::Client::new(), format!("http://{}/v2/{path}", self.host))
    }

    /// Lets requests go wrong until [`heal`](Self::heal).
    pub(crate) fn break_with(&self, fault: impl Fn(&Method, &str) -> Option<Reply> + Send + 'static) {
        self.break_for(move |method, path, _| fault(method, path));
    }

    /// The same, by what the caller says of itself as well.
    pub(crate) fn break_for(
        &self,
        fault: impl Fn(&Method, &str, Option<&str>) -> Option<Reply> + Send + 'static,
    ) {
        self.state().fault = Some(Box::new(fault));
    }

    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<(Method, String, Option<String>)> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _ = connection.await;
        });
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let reply = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let fault = state.fault.as_ref().and_then(|fault| fault(&parts.method, &path, sent.as_deref()));
        state.asked.push((parts.method.clone(), path.clone(), sent));
        fault
    };
    // Read to the end: a client that is answered while it sends may see a reset instead of the answer.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let truth = |state: &Mutex<State>| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer(&parts.method, &path, query, &parts.headers, body.clone())
    };
    Ok(match reply {
        None => truth(&state),
        Some(Reply::Says(status, words)) => full(status, words.as_bytes().to_vec()),
        Some(Reply::OtherDigest) => {
            let mut answer = truth(&state);
            let other = Digest::of(b"other").to_string().parse().unwrap();
            answer.headers_mut().insert("docker-content-digest", other);
            answer
        }
        Some(Reply::Truncated(start)) => cut(start, false),
        Some(Reply::HangsHalfWay(start)) => cut(start, true),
        Some(Reply::Hangs) => std::future::pending().await,
        Some(Reply::Challenges(challenge)) => {
            let mut answer = full(401, br#"{"errors": [{"code": "UNAUTHORIZED"}]}"#.to_vec());
            answer.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            answer
        }
        Some(Reply::UploadsTo(place)) => {
            let mut answer = full(202, Vec::new());
            answer.headers_mut().insert("location", place.parse().unwrap());
            answer
        }
        Some(Reply::Redirects(to)) => {
            let mut answer = full(307, Vec::new());
            answer.headers_mut().insert("location", to.parse().unwrap());
            answer
        }
    })
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Body> {
        if path == "/v2/" {
            return full(200, b"{}".to_vec());
        }
        if let Some((repository, upload)) = path.strip_prefix("/v2/").unwrap().split_once("/blobs/uploads/") {
            return self.upload(repository, upload, query, body);
        }
        if let Some((repository, digest)) = path.strip_prefix("/v2/").unwrap().split_once("/blobs/") {
            let blob = self.blobs.get(&(repository.to_owned(), digest.to_owned()));
            return blob.map_or_else(|| unknown("BLOB_UNKNOWN"), |blob| full(200, blob.to_vec()));
        }
        let (repository, reference) = path.strip_prefix("/v2/").unwrap().split_once("/manifests/").unwrap();
        let place = (repository.to_owned(), reference.to_owned());
        match *method {
            Method::PUT => {
                let digest = Digest::of(&body).to_string();
                let media_type = headers["content-type"].to_str().unwrap().to_owned();
                self.manifests.insert((place.0.clone(), digest), (media_type.clone(), body.clone()));
                self.manifests.insert(place, (media_type, body));
                created(path)
            }
            Method::DELETE => {
                let gone = self.manifests.get(&place).cloned();
                self.manifests.retain(|_, manifest| Some(&*manifest) != gone.as_ref());
                full(202, Vec::new())
            }
            _ => match self.manifests.get(&place) {
                // As real ones do: what the caller does not accept is not there.
                Some((media_type, manifest)) if accepts(headers, media_type) => {
                    let mut answer = full(200, manifest.to_vec());
                    let digest = Digest::of(manifest).to_string().parse().unwrap();
                    answer.headers_mut().insert("docker-content-digest", digest);
                    answer.headers_mut().insert("content-type", media_type.parse().unwrap());
                    answer
                }
                _ => unknown("MANIFEST_UNKNOWN"),
            },
        }
    }

    fn upload(&mut self, repository: &str, upload: &str, query: &str, body: Bytes) -> Response<Body> {
        if upload.is_empty() {
            let mut answer = full(202, Vec::new());
            answer
                .headers_mut()
                .insert("location", format!("/v2/{repository}/blobs/uploads/1").parse().unwrap());
            return answer;
        }
        let digest = Digest::of(&body).to_string();
        if query.replace("%3A", ":") != format!("digest={digest}") {
            return full(400, br#"{"errors": [{"code": "DIGEST_INVALID"}]}"#.to_vec());
        }
        self.blobs.insert((repository.to_owned(), digest.clone()), body);
        created(&format!("/v2/{repository}/blobs/{digest}"))
    }
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all("accept").iter().any(|accepted| accepted.to_str().unwrap().contains(media_type))
}

fn full(status: u16, body: Vec<u8>) -> Response<Body> {
    let body = Full::from(body).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

fn created(location: &str) -> Response<Body> {
    let mut answer = full(201, Vec::new());
    answer.headers_mut().insert("location", location.parse().unwrap());
    answer
}

fn unknown(code: &str) -> Response<Body> {
    full(404, format!("{{\"errors\": [{{\"code\": \"{code}\", \"message\": \"unknown\"}}]}}").into_bytes())
}

/// A body that begins and does not end as it should.
fn cut(start: &'static str, hang: bool) -> Response<Body> {
    let begun = stream::iter([Ok(Frame::data(Bytes::from_static(start.as_bytes())))]);
    let body = if hang {
        BodyExt::boxed(StreamBody::new(begun.chain(stream::pending())))
    } else {
        BodyExt::boxed(StreamBody::new(begun.chain(stream::iter([Err(io::Error::other("cut"))]))))
    };
    Response::builder().header("content-length", "100000").body(body).unwrap()
}
