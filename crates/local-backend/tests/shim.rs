//! The scoring server for scripts with `init()` and `run()` (RUN-3).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::net::SocketAddr;

use common::{PATIENCE, Place, SERVER, address, ask, id, settled, until};
use portway_backend::{Backend as _, EntryStyle, Phase, SCORING_SERVER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn serving(files: &[(&str, &str)], max_concurrent: u32) -> (Place, SocketAddr) {
    let place = Place::new().await;
    let mut workload = place.workload(id("iris", "first"), files).await;
    workload.program.style = EntryStyle::InitRun;
    workload.program.arguments = vec!["--level".into(), "3".into()];
    workload.max_concurrent = max_concurrent.try_into().unwrap();
    place.backend.apply(&workload).await.unwrap();
    let ready = until(&mut place.watch(&workload.id).await, "it comes", settled).await;
    (place, address(&ready))
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Sends bytes and reads whatever comes until the connection is closed.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let ends = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    ends.unwrap_or_else(|_| panic!("not closed after {}", String::from_utf8_lossy(bytes))).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const SCRIPT: &str = "
import json, os, sys
from helper import GREETING

class Response:
    def __init__(self, body, status, headers): self.body, self.status_code, self.headers = body, status, headers

def init():
    global model
    with open(os.path.join(os.environ['AZUREML_MODEL_DIR'], 'weights.txt')) as file: model = float(file.read())
    open('initialised', 'x')

def run(data, request_headers):
    asked = json.loads(data)
    if asked == 'arguments': return sys.argv[1:]
    if asked == 'headers': return request_headers.get('x-custom')
    if asked == 'fail': raise ValueError('no such flower')
    if asked == 'none': return None
    if asked == 'bytes': return b'\\x00\\x01'
    if asked == 'teapot': return Response('short and stout', 418, {'X-Kind': 'pot', 'Content-Length': '1'})
    if asked == 'down': return Response('', 503, {})
    if asked == 'split': return Response('', 200, {'X-A': 'b\\r\\nx-evil: 1'})
    if asked == 'odd': return object()
    return {'model': model, 'asked': asked, 'greeting': GREETING}
";
const FILES: [(&str, &str); 4] = [
    ("deep/score.py", SCRIPT),
    ("deep/helper.py", "GREETING = 'hé'"),
    ("azureml-models/weights.txt", "0.5"),
    ("deep/swagger.json", "{\"swagger\": \"2.0\"}"),
];

#[tokio::test]
async fn r_run_3_init_runs_once_and_run_answers_every_kind_of_request() {
    let (place, address) = serving(&FILES, 1).await;
    let answer = async |body: &str| ask(address, &post(body)).await.unwrap();
    let greeted =
        |asked: &str| (200, format!(r#"{{"model": 0.5, "asked": {asked}, "greeting": "h\u00e9"}}"#));
    assert_eq!(answer(r#"{"data": [1, 2]}"#).await, greeted(r#"{"data": [1, 2]}"#));
    assert_eq!(answer("\"arguments\"").await, (200, r#"["--level", "3"]"#.into()));
    assert_eq!(answer("\"none\"").await, (200, "{}".into()));
    assert_eq!(answer("\"bytes\"").await, (200, "\0\x01".into()));
    assert_eq!(answer("\"teapot\"").await, (418, "short and stout".into()));
    assert_eq!(answer("\"down\"").await.0, 503);
    for broken in ["\"fail\"", "\"odd\"", "\"split\"", "no json"] {
        let (status, body) = answer(broken).await;
        assert_eq!(status, 500, "{broken}");
        assert_eq!(
            body,
            r#"{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}"#
        );
    }
    let get = async |path: &str| common::get(address, path).await.unwrap();
    assert_eq!(get("/score?a=1&b=x&b=%5B2%5D").await, greeted(r#"{"a": 1, "b": ["x", [2]]}"#));
    assert_eq!(get("/").await, (200, "Healthy".into()));
    assert_eq!(get("/swagger.json").await, (200, "{\"swagger\": \"2.0\"}".into()));
    assert_eq!(get("/swagger.json?version=3").await.0, 404);
    assert_eq!(get("/elsewhere").await.0, 404);
    let options = "OPTIONS /score HTTP/1.1\r\nconnection: close\r\n\r\n";
    assert_eq!(ask(address, options).await.unwrap().0, 200);
    assert_eq!(ask(address, &options.replace("OPTIONS", "PUT")).await.unwrap().0, 405);
    let log = place.backend.logs(&id("iris", "first"), 200).await.unwrap();
    assert!(log.contains("ValueError: no such flower"), "the reason is in the log: {log}");
}

#[tokio::test]
async fn r_run_3_answers_bear_the_headers_of_the_original() {
    let (_place, address) = serving(&FILES, 1).await;
    let answer = exchange(address, post("1").as_bytes()).await;
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    for part in [
        "content-type: application/json",
        "x-ms-run-function-failed: False",
        "x-ms-run-fn-exec-ms: 0.",
        "x-request-id: ",
    ] {
        assert!(head.contains(part), "{part:?} is not in {head}");
    }
    let named = post("\"fail\"").replace("host: x", "x-request-id: mine\r\nx-ms-client-request-id: theirs");
    let answer = exchange(address, named.as_bytes()).await;
    for part in [
        "x-ms-run-function-failed: True",
        "x-request-id: mine\r\n",
        "x-ms-client-request-id: theirs\r\n",
        "x-ms-request-id: theirs\r\n",
    ] {
        assert!(answer.contains(part), "{part:?} is not in {answer}");
    }
    let teapot = exchange(address, post("\"teapot\"").as_bytes()).await;
    assert!(teapot.contains("x-kind: pot\r\n") && teapot.matches("content-length").count() == 1, "{teapot}");
    let custom = post("\"headers\"").replace("host: x", "X-Custom: yes");
    assert!(exchange(address, custom.as_bytes()).await.ends_with("\r\n\r\n\"yes\""));
    let long = post("1").replace("host: x", &format!("x-request-id: {}", "a".repeat(101)));
    assert!(exchange(address, long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn r_run_3_requests_follow_each_other_on_one_connection_in_any_framing() {
    let (_place, address) = serving(&[("score.py", "def init(): pass\ndef run(data): return data")], 1).await;
    let requests = "POST /score HTTP/1.1\r\ncontent-length: 3\r\n\r\none\
         POST /score HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\ntw\r\n1\r\no\r\n0\r\ntrailer: t\r\n\r\n\
         GET / HTTP/1.1\r\n\r\n\
         POST /score HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthree";
    let answer = exchange(address, requests.as_bytes()).await;
    let bodies = ["\"one\"", "\"two\"", "Healthy", "HTTP/1.1 100 Continue\r\n\r\n", "\"three\""];
    let places: Vec<_> = bodies.iter().map(|body| answer.find(body)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");

    // The same bytes one by one.
    let mut stream = TcpStream::connect(address).await.unwrap();
    for byte in requests.as_bytes() {
        stream.write_all(std::slice::from_ref(byte)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut slowly = String::new();
    stream.read_to_string(&mut slowly).await.unwrap();
    assert_eq!(slowly.len(), answer.len(), "{slowly}");
}

#[tokio::test]
async fn requests_that_are_ambiguous_are_refused_and_the_connection_is_closed() {
    let (_place, address) = serving(&[("score.py", "def init(): pass\ndef run(data): return data")], 1).await;
    let smuggled = "GET / HTTP/1.1\r\n\r\n";
    for (head, status) in [
        ("POST /score HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked", 400),
        ("POST /score HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1", 400),
        ("POST /score HTTP/1.1\r\ntransfer-encoding: chunked, identity", 400),
        ("POST /score HTTP/1.1\r\ncontent-length: +1", 400),
        ("POST /score HTTP/1.1\r\ncontent-length : 1", 400),
        ("POST /score HTTP/1.1\r\nx: a\r\n folded", 400),
        ("POST /score HTTP/1.1\r\nx: a\nb", 400),
        ("POST /score HTTP/1.1\r\ncontent-length: 104857601", 413),
        ("POST /score HTTP/1.1\r\nexpect: miracles", 417),
        ("POST /score HTTP/2.0", 505),
        ("garbage", 400),
    ] {
        let answer = exchange(address, format!("{head}\r\n\r\n{smuggled}").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {answer}");
        assert!(answer.contains("connection: close") && !answer.contains("Healthy"), "{head:?}: {answer}");
    }
    let chunk = "POST /score HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n";
    assert!(exchange(address, chunk.as_bytes()).await.starts_with("HTTP/1.1 400 "));
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(70_000));
    assert!(exchange(address, endless.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let not_text = [post("ab").trim_end_matches("ab").as_bytes(), b"\xff\xfe"].concat();
    assert!(exchange(address, &not_text).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(common::get(address, "/").await.unwrap().0, 200, "it is well after all that");
}

#[tokio::test]
async fn as_many_requests_run_at_once_as_the_workload_says() {
    // Two that meet pass at once, one alone would wait for ever.
    let meeting = "
import threading
barrier, lock, here, most = threading.Barrier(2), threading.Lock(), 0, 0
def init(): pass
def run(data):
    global here, most
    with lock:
        here += 1; most = max(most, here)
    if data == 'meet': barrier.wait()
    with lock: here -= 1
    return most
";
    let (_place, address) = serving(&[("score.py", meeting)], 2).await;
    let meet = post("meet");
    let answers = futures_util::future::join_all((0..6).map(|_| ask(address, &meet))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().0 == 200), "{answers:?}");
    assert_eq!(ask(address, &post("")).await.unwrap().1, "2", "never more than two");
}

#[tokio::test]
async fn a_script_that_cannot_be_served_says_why() {
    for (script, reason) in [
        ("def init(): pass", "defines no function run()"),
        ("def init(): raise RuntimeError('no weights')\ndef run(data): pass", "RuntimeError: no weights"),
        ("def init(): pass\ndef run(*data): pass", "may not have positional-only parameters"),
        ("def init(: pass", "SyntaxError"),
    ] {
        let place = Place::with(portway_local_backend::Options::new().starts_before_giving_up(1)).await;
        let mut workload = place.workload(id("iris", "first"), &[("score.py", script)]).await;
        workload.program.style = EntryStyle::InitRun;
        place.backend.apply(&workload).await.unwrap();
        let mut status = place.watch(&workload.id).await;
        let failed = until(&mut status, "it fails", |status| status.phase == Phase::Failed).await;
        assert!(failed.message.contains(reason), "{reason:?} is not in {}", failed.message);
    }
}

/// As on a cluster, where a replica is asked at an address of its own.
#[tokio::test]
async fn r_run_3_it_listens_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("score.py");
    let text = "def init(): print('initialised', flush=True)\ndef run(data): return data";
    std::fs::write(&script, text).unwrap();
    let server = folder.path().join("server.py");
    std::fs::write(&server, SCORING_SERVER).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.2:0").and_then(|free| free.local_addr()).unwrap();
    let mut child = tokio::process::Command::new("python3")
        .arg(&server)
        .arg(&script)
        .env("PORT", free.port().to_string())
        .env("PORTWAY_HOST", "127.0.0.2")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let answered = async {
        loop {
            if let Some(answer) = ask(free, &post("\"x\"")).await {
                return answer;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, answered).await.unwrap(), (200, r#""\"x\"""#.into()));
}

#[tokio::test]
async fn r_run_3_the_original_server_is_used_where_it_is_installed() {
    let original = "
import os, serve
def run(host, port, workers):
    serve.answer = f'{host} {workers} {os.environ[\"AZUREML_ENTRY_SCRIPT\"]} {os.path.basename(os.environ[\"AML_APP_ROOT\"])}'
    assert str(port) == os.environ['PORT']
    serve.forever()
";
    let serve = SERVER.replace("Server((", "def forever(): Server((").replace("str(os.getpid())", "answer");
    let files = [
        ("score.py", "def init(): pass\ndef run(data): return 'shim'"),
        ("serve.py", &*serve),
        ("azureml_inference_server_http/__init__.py", ""),
        ("azureml_inference_server_http/amlserver_linux.py", original),
    ];
    let (place, address) = serving(&files, 4).await;
    assert_eq!(common::get(address, "/").await, Some((200, "127.0.0.1 4 score.py project".into())));

    let mut workload = place.workload(id("iris", "other"), &files).await;
    workload.program.style = EntryStyle::InitRun;
    workload.variables.insert("PORTWAY_SCORING_SERVER".into(), "shim".into());
    place.backend.apply(&workload).await.unwrap();
    let ready = until(&mut place.watch(&workload.id).await, "it comes", settled).await;
    assert_eq!(ask(common::address(&ready), &post("1")).await, Some((200, "\"shim\"".into())));
}
