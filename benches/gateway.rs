//! CPU time of a proxied request: a POST of 1 KiB answered with 200 B, over loopback, 32 connections, HTTP/1.1 keep-alive.
//!
//! In the same run: a plain hyper proxy (hyper-util's pooled client, no routing, no authentication, no limits) and the
//! gateway with everything on (key, exact split over two versions, admission, time limits, metrics). Each proxy runs on
//! one thread, whose CPU clock is read; client and replicas have threads of their own. Rounds alternate, and the median of
//! the ratios within a round counts, since the machine's own speed drifts. Goal: a ratio of at most 1.
//!
//! `cargo bench --bench gateway`; with `-- --test`, a single small round. With `-- --only gateway 4000` (or `plain`), just
//! that proxy and so many requests, to be counted instead of timed:
//!
//! `valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file=OUT BENCH --only gateway 4000` writes a file for
//! each thread; that of the proxy holds `serve_connection`. The difference of two such runs, over the difference of their
//! requests, is free of start-up.
//!
//! So counted, a request costs 49 800 instructions in the gateway and 39 700 in the plain proxy (it was 70 000), over the
//! same four system calls. What the gateway does beyond HTTP: writing the request's fields 5 000 (forwarding 2 300, removal
//! 800, trace and id the rest), the key 3 800 (2 400 are SHA-256, which valgrind runs without the processor's own
//! instructions), sending with a time limit 3 800, the box of the future with its id and its record 2 000, the time limit on
//! reading a head 850, granting and returning the slot 770, split and choice 370, counters 350.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portway_gateway::config::{GatewayConfig, Source, StaticSource};
use portway_gateway::{Gateway, Peer, serve_connection};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "a-key-of-more-than-thirty-two-characters";
const CONNECTIONS: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let replicas = [replica(), replica()];
    let plain = || Proxy::start(move |listener, asked| plain_proxy(listener, replicas[0], asked));
    let full = || Proxy::start(move |listener, asked| gateway(listener, replicas, asked));
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        let proxy = if arguments[at + 1] == "plain" { plain() } else { full() };
        load(proxy.address, arguments[at + 2].parse().expect("a number of requests"));
        return;
    }
    let smoke = arguments.iter().any(|argument| argument == "--test");
    let (rounds, requests) = if smoke { (1, 200) } else { (9, 20_000) };
    let (plain, full) = (plain(), full());
    let mut ratios = Vec::new();
    for round in 0..rounds {
        // The order turns round, so that neither always meets the warmer machine.
        let order = if round % 2 == 0 { [&plain, &full] } else { [&full, &plain] };
        let mut spent = order.map(|proxy| proxy.measure(requests));
        if round % 2 == 1 {
            spent.reverse();
        }
        let [plain, full] = spent.map(|time| time.as_secs_f64() * 1e6 / requests as f64);
        println!("round {round}: hyper {plain:6.2} µs, gateway {full:6.2} µs, ratio {:.3}", full / plain);
        ratios.push(full / plain);
    }
    ratios.sort_by(f64::total_cmp);
    println!("CPU of a request, gateway / plain hyper proxy: {:.3} (median of {rounds})", ratios[rounds / 2]);
}

/// A proxy on a thread of its own.
struct Proxy {
    address: SocketAddr,
    /// Asks the thread for its CPU clock.
    ask: tokio::sync::mpsc::UnboundedSender<mpsc::Sender<Duration>>,
}

type Asked = tokio::sync::mpsc::UnboundedReceiver<mpsc::Sender<Duration>>;

impl Proxy {
    fn start<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener, Asked) -> F + Send + 'static) -> Self {
        let (ask, asked) = tokio::sync::mpsc::unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            runtime().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                ready.send(listener.local_addr().expect("an address")).expect("main waits");
                serve(listener, asked).await;
            });
        });
        Self { address: is_ready.recv().expect("the proxy starts"), ask }
    }

    fn clock(&self) -> Duration {
        let (answer, answered) = mpsc::channel();
        self.ask.send(answer).expect("the proxy runs");
        answered.recv().expect("the proxy answers")
    }

    /// The CPU time that so many requests take.
    fn measure(&self, requests: usize) -> Duration {
        load(self.address, requests / 10);
        let before = self.clock();
        load(self.address, requests);
        self.clock() - before
    }
}

async fn tell_clock(mut asked: Asked) {
    while let Some(answer) = asked.recv().await {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(now.tv_nsec).expect("less than a second");
        answer
            .send(Duration::new(u64::try_from(now.tv_sec).expect("not negative"), nanos))
            .expect("main waits");
    }
}

async fn plain_proxy(listener: TcpListener, replica: SocketAddr, asked: Asked) {
    tokio::spawn(tell_clock(asked));
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let client = client.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let uri = format!("http://{replica}{}", request.uri().path());
            *request.uri_mut() = uri.parse::<Uri>().expect("an address and a path");
            let sent = client.request(request);
            async move { Ok::<_, Infallible>(sent.await.expect("the replica answers")) }
        });
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn gateway(listener: TcpListener, replicas: [SocketAddr; 2], asked: Asked) {
    tokio::spawn(tell_clock(asked));
    let [one, two] = replicas;
    let config = GatewayConfig::from_toml(&format!(
        r#"
        [[endpoints]]
        name = "iris"
        keys = ["{KEY}", "{KEY}-secondary"]
        [[endpoints.versions]]
        name = "one"
        max_concurrent = 64
        addresses = ["{one}"]
        [[endpoints.versions]]
        name = "two"
        share = 50
        max_concurrent = 64
        addresses = ["{two}"]
        "#
    ))
    .expect("the configuration above");
    let Source::Static(endpoints) = &config.source else { unreachable!("the endpoints are written above") };
    let source = StaticSource::new();
    source.replace(endpoints).await.expect("a small document");
    let gateway = Gateway::builder(source.catalog(), source.fleet()).build();
    let _control = gateway.start();
    gateway.ready().await;
    loop {
        let (stream, address) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(serve_connection(stream, gateway.clone(), Peer::tcp(address)));
    }
}

/// A replica that answers at once, on a thread of its own.
fn replica() -> SocketAddr {
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            ready.send(listener.local_addr().expect("an address")).expect("main waits");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                let service = service_fn(|request: Request<Incoming>| async {
                    request.into_body().collect().await.expect("a body");
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 200]))))
                });
                tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    is_ready.recv().expect("the replica starts")
}

fn load(address: SocketAddr, requests: usize) {
    runtime().block_on(async {
        let each = requests.div_ceil(CONNECTIONS);
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(send(address, each))).collect();
        for client in clients {
            client.await.expect("every request is answered");
        }
    });
}

async fn send(address: SocketAddr, requests: usize) {
    let stream = TcpStream::connect(address).await.expect("the proxy listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let body = Bytes::from_static(&[b'x'; 1024]);
    for _ in 0..requests {
        sender.ready().await.expect("a connection that is kept");
        let request = Request::post("/api/v1/service/iris/score")
            .header("host", "bench")
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(body.clone()))
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("its body");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
