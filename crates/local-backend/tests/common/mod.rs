//! What the tests with real processes share.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use portway_backend::{
    Artifacts as _, Environment, Fleet as _, Phase, Program, Project, Replica, Status, Waited, Workload,
    WorkloadId, wait_for,
};
use portway_local_backend::{LocalBackend, Options};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Far above what anything here takes; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A script that answers everything with its process number.
pub(crate) const SERVER: &str = "
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
Server(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";

/// The interpreter itself: a version manager's script in front of it would start it a second later.
pub(crate) fn python() -> PathBuf {
    let output = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3 on the PATH");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

pub(crate) fn id(endpoint: &str, version: &str) -> WorkloadId {
    WorkloadId::new(endpoint.parse().unwrap(), version.parse().unwrap())
}

/// A state folder and the backend that has it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) backend: LocalBackend,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::with(Options::new().drain_notice(Duration::from_millis(1))).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = options.open(folder.path()).await.unwrap();
        Self { folder, backend }
    }

    /// Stores a project of these files and describes a workload that runs the first one.
    pub(crate) async fn workload(&self, id: WorkloadId, files: &[(&str, &str)]) -> Workload {
        let mut program = Program::script(files[0].0);
        program.project = Some(store(&self.backend, &id, files).await);
        Workload::new(id, program, Environment::Interpreter { python: python() })
    }

    pub(crate) async fn watch(&self, id: &WorkloadId) -> watch::Receiver<Arc<Status>> {
        self.backend.watch(id).await.unwrap()
    }
}

pub(crate) async fn store(backend: &LocalBackend, id: &WorkloadId, files: &[(&str, &str)]) -> Project {
    let artifact = format!("projects/{id}.tar").parse().unwrap();
    let packed = Bytes::from(pack(files));
    let info = backend.put(&artifact, stream::iter([Ok(packed)]).boxed(), None).await.unwrap();
    Project { artifact, digest: info.digest }
}

pub(crate) fn pack(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Waits for a status; panics with the last one seen.
pub(crate) async fn until(
    status: &mut watch::Receiver<Arc<Status>>,
    what: &str,
    condition: impl FnMut(&Status) -> bool,
) -> Arc<Status> {
    match wait_for(status, PATIENCE, condition).await {
        Waited::Reached(status) => status,
        other => panic!("{what}: {other:?}"),
    }
}

/// The only entry of a folder.
pub(crate) fn only_entry(folder: &Path) -> PathBuf {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

/// Sends one request and returns the status and the body; `None` if the connection broke.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .expect("an answer comes")
        .ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// `GET path` on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")).await
}

/// The address of the only ready replica.
pub(crate) fn address(status: &Status) -> SocketAddr {
    let ready: Vec<_> = status.replicas.iter().filter_map(Replica::address).collect();
    assert_eq!(ready.len(), 1, "{status:?}");
    ready[0]
}

/// All wanted replicas are ready and there are no others.
pub(crate) fn settled(status: &Status) -> bool {
    status.phase == Phase::Healthy && status.replicas.len() == status.wanted as usize
}

/// Whether a process lives; one that nobody has waited for does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let exists = rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    exists && !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// Waits until `condition` holds, looking often.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !condition().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: it never happened"));
}

/// The numbers that a script printed after the word.
pub(crate) fn numbers_after(log: &str, word: &str) -> Vec<i32> {
    let lines = log.lines().filter_map(|line| line.strip_prefix(word));
    lines.flat_map(|line| line.split_whitespace().map(|number| number.parse().unwrap())).collect()
}
