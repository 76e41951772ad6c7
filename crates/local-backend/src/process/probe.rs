//! Is it there, is it alive: `GET /` on the loopback port.

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portway_deploy_config::ProbeSpec;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why a probe failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Nothing listens.
    Refused,
    /// Something listens and does not answer in time.
    Silent(Duration),
    /// What answers does not speak HTTP.
    NotHttp,
    /// It answers that it is not well.
    Unwell(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("nothing listens on $PORT"),
            Self::Silent(limit) => {
                write!(f, "it listens on $PORT but does not answer GET / within {limit:?}")
            }
            Self::NotHttp => f.write_str("what answers on $PORT is not HTTP"),
            Self::Unwell(status) => write!(f, "it answers GET / with {status}"),
        }
    }
}

/// Asks once. Every answer below 500 counts: a program that knows no `/` answers 404 and is well.
pub(crate) async fn probe(address: SocketAddr, limit: Duration) -> Result<(), Fault> {
    timeout(limit, ask(address)).await.unwrap_or(Err(Fault::Silent(limit)))
}

async fn ask(address: SocketAddr) -> Result<(), Fault> {
    let stream = TcpStream::connect(address).await.map_err(|_| Fault::Refused)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Fault::NotHttp)?;
    // A server that serves one connection at a time must not be kept waiting by ours.
    let request = Request::get("/")
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, "portway-probe")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("a constant request is well-formed");
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The connection may end in the step that brings the answer.
        _ = connection => answer.await,
    };
    let status = answer.map_err(|_| Fault::NotHttp)?.status();
    if status.is_server_error() { Err(Fault::Unwell(status.as_u16())) } else { Ok(()) }
}

/// Counts probes until they say that a replica is dead (RUN-4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Liveness {
    failures: u32,
    successes: u32,
}

impl Liveness {
    /// Takes the next probe into account; whether the replica counts as dead now.
    pub(crate) fn is_dead_after(&mut self, alive: bool, spec: &ProbeSpec) -> bool {
        if alive {
            self.successes = self.successes.saturating_add(1);
            if self.successes >= spec.success_threshold.get() {
                self.failures = 0;
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
        }
        self.failures >= spec.failure_threshold.get()
    }
}

/// How long a replica may take until it answers: until liveness probes would have given it up.
pub(crate) fn start_limit(spec: &ProbeSpec) -> Duration {
    spec.initial_delay.saturating_add(spec.period.saturating_mul(spec.failure_threshold.get()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Probes a server that says `answer` to whoever connects, or nothing at all.
    async fn answered(answer: Option<&'static [u8]>, limit: Duration) -> Result<(), Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => std::future::pending().await,
            }
            // The other side closes when it has read enough.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = probe(address, limit) => result,
            () = server => unreachable!("the server never ends"),
        }
    }

    #[tokio::test]
    async fn every_http_answer_below_500_counts() {
        let limit = Duration::from_secs(60);
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], Ok(())),
            (b"HTTP/1.0 404 Not Found\r\n\r\n", Ok(())),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Err(Fault::Unwell(503))),
            (b"\x00\x01garbage\xff\r\n\r\n", Err(Fault::NotHttp)),
        ] {
            assert_eq!(answered(Some(answer), limit).await, expected);
        }
    }

    #[tokio::test]
    async fn silence_and_absence_are_told_apart() {
        let short = Duration::from_millis(1);
        assert_eq!(answered(None, short).await, Err(Fault::Silent(short)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(probe(address, Duration::from_secs(60)).await, Err(Fault::Refused));
    }

    #[test]
    fn r_run_4_a_replica_is_dead_after_three_failures_in_a_row() {
        let spec = ProbeSpec::default();
        let dead_after = |probes: &[bool]| {
            let mut liveness = Liveness::default();
            probes.iter().map(|alive| liveness.is_dead_after(*alive, &spec)).collect::<Vec<_>>()
        };
        assert_eq!(dead_after(&[false, false, false]), [false, false, true]);
        assert_eq!(dead_after(&[false, false, true, false, false]), [false; 5]);
        assert_eq!(start_limit(&spec), Duration::from_secs(340));
    }
}
