//! A scoring client that keeps its connection, and a load of many of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::iris::flowers;

/// Picks a version in a request, and names the one that answered in a response.
pub(crate) const VERSION_HEADER: &str = "azureml-model-deployment";

/// Where to score, and with which key.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) key: String,
}

impl Target {
    pub(crate) fn uri(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The species of the first flower asked about.
    pub(crate) fn species(&self) -> Option<String> {
        Some(self.json()?["species"][0].as_str()?.to_owned())
    }

    /// The process that answered.
    pub(crate) fn process(&self) -> Option<u64> {
        self.json()?["process"].as_u64()
    }

    fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A client with one connection, opened again when the server has closed it.
pub(crate) struct Client {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// Scores `body` with whatever version the split chooses, or with the one that is `pinned`.
    pub(crate) async fn score(&mut self, body: Bytes, pinned: Option<&str>) -> anyhow::Result<Answer> {
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => connect(self.target.address).await?,
        };
        if sender.ready().await.is_err() {
            sender = connect(self.target.address).await?;
        }
        let mut request = Request::post(&self.target.path)
            .header(header::HOST, self.target.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.target.key))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(version) = pinned {
            request = request.header(VERSION_HEADER, version);
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let version = response.headers().get(VERSION_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status, version, body })
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("the gateway refuses the connection")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What the clients of a load have seen so far.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) by_version: BTreeMap<String, u64>,
    /// Everything that was not a 200.
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

impl Tally {
    fn count(&mut self, answer: anyhow::Result<Answer>) {
        self.answered += 1;
        let failure = match answer {
            Ok(Answer { status: 200, version, .. }) => {
                *self.by_version.entry(version.unwrap_or_default()).or_default() += 1;
                return;
            }
            Ok(answer) => format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(error) => format!("{error:#}"),
        };
        self.failures += 1;
        self.first_failure.get_or_insert(failure);
    }
}

/// Clients that score one flower after the other until they are stopped.
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// `clients` at once, each of which pauses for `pause` after every answer.
    pub(crate) fn start(target: &Target, clients: usize, pause: Duration) -> Self {
        let mut load = Self { tally: Arc::default(), stop: Arc::default(), clients: JoinSet::new() };
        for first in 0..clients {
            let (tally, stop, client) = (load.tally.clone(), load.stop.clone(), Client::new(target.clone()));
            load.clients.spawn(run(client, first, pause, tally, stop));
        }
        load
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().expect("no client panics").clone()
    }

    /// Lets every client finish the request that it is in.
    pub(crate) async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.tally()
    }
}

async fn run(
    mut client: Client,
    first: usize,
    pause: Duration,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
) {
    let bodies: Vec<Bytes> = flowers().iter().map(|flower| flower.body()).collect();
    for body in bodies.iter().cycle().skip(first) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = client.score(body.clone(), None).await;
        tally.lock().expect("no client panics").count(answer);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
