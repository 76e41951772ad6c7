//! A full run, from the deployment to the last answer, with every log line of every crate written out: no key, no token
//! and no value of an environment variable is among them, nor in any error, metric or status.

#![allow(clippy::unwrap_used)] // a test

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use portway_auth::{ApiKey, Credentials, KeySlot};
use portway_backend::Environment;
use portway_deploy_config::{AuthMode, EndpointSpec, ServiceName, VersionSpec};
use portway_deployer::{Deployer, GivenImage, Source, scoring_path};
use portway_gateway::{Gateway, serve};
use portway_local_backend::LocalBackend;
use tokio::net::{TcpListener, TcpStream};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CHOSEN: [&str; 2] = ["chosen-primary-0123456789abcdefghij", "chosen-secondary-0123456789abcdefgh"];
const WRONG: &str = "guessed-0123456789abcdefghijklmnopqrst";
const VARIABLE: &str = "value-of-a-secret-variable";

fn python() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
    found.expect("Python 3 is one of the four things that the tests need")
}

async fn score(address: std::net::SocketAddr, path: &str, key: &str) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::new(Bytes::from_static(b"{\"data\": 1}")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, format!("{:?} {}", parts.headers, String::from_utf8_lossy(&body)))
}

/// Waits until a credential opens the service: the gateway hears of changes through its watch.
async fn until_opened(address: std::net::SocketAddr, path: &str, credential: &str) {
    let opened = async {
        while score(address, path, credential).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.expect("the credential opens the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_auth_6_no_secret_reaches_a_log_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();

    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("score.py"), "def init(): pass\ndef run(data): return 'scored'\n").unwrap();

    let backend = Arc::new(LocalBackend::open(folder.path().join("state")).await.unwrap());
    let python = Environment::Interpreter { python: python() };
    let images = Arc::new(GivenImage(python));
    let deployer = Deployer::new(backend.clone(), backend.clone(), backend.clone(), images);
    let gateway = Gateway::builder(backend.clone(), backend.clone()).leases(backend.clone()).build();
    let control = gateway.start();
    gateway.ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, gateway.clone(), async move { drop(stopped.await) }));

    let service: ServiceName = "secrets".parse().unwrap();
    let endpoint = EndpointSpec::new(service.clone(), VersionSpec::new("first".parse().unwrap()));
    let mut source = Source::new(&project, "score.py");
    source.variables.insert("PASSWORD".into(), VARIABLE.into());
    let keys =
        Credentials::new(ApiKey::chosen(CHOSEN[0]).unwrap(), ApiKey::chosen(CHOSEN[1]).unwrap()).unwrap();
    let operation = deployer.deploy_with_keys(endpoint, source, keys).await.unwrap();
    operation.wait().await.unwrap();

    let mut secrets: Vec<String> = CHOSEN.map(str::to_owned).to_vec();
    secrets.extend([WRONG.to_owned(), VARIABLE.to_owned()]);
    let path = scoring_path(&service);
    until_opened(address, &path, CHOSEN[0]).await;

    let mut shown =
        vec![score(address, &path, WRONG).await, score(address, "/api/v1/service/nobody/score", WRONG).await];
    deployer.regenerate_key(&service, KeySlot::Primary, None).await.unwrap();
    let fresh = deployer.keys(&service).await.unwrap();
    secrets.push(fresh.key(KeySlot::Primary).expose().to_owned());
    shown.push(score(address, &path, fresh.key(KeySlot::Secondary).expose()).await);

    let updating = deployer.update(&service, |endpoint| endpoint.auth = AuthMode::Token).await.unwrap();
    updating.wait().await.unwrap();
    let token = deployer.token(&service).await.unwrap();
    secrets.push(token.access_token.expose().to_owned());
    until_opened(address, &path, token.access_token.expose()).await;
    let refused = score(address, &path, fresh.key(KeySlot::Secondary).expose()).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED, "no key opens an endpoint of tokens");
    shown
        .extend([refused, score(address, "/api/v1/service/nobody/score", token.access_token.expose()).await]);
    let mut told: Vec<String> =
        shown.into_iter().map(|(status, answer)| format!("{status} {answer}")).collect();
    told.push(format!("{fresh:?} {token:?} {:?}", deployer.state(&service).await.unwrap()));
    told.push(gateway.metrics());
    told.push(format!("{:?}", gateway.snapshot()));

    deployer.delete(&service).await.unwrap().wait().await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    control.stop().await;
    backend.shut_down().await;

    let logged = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    for spoke in ["portway_gateway", "portway_local_backend"] {
        assert!(logged.contains(spoke), "{spoke} logged nothing:\n{logged}");
    }
    for secret in &secrets {
        let leak =
            logged.lines().chain(told.iter().map(String::as_str)).find(|line| line.contains(secret.as_str()));
        assert_eq!(leak, None, "a secret leaked");
    }
}
