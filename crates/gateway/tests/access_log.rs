//! The access log, in a process of its own: who subscribes to it for one thread only misses lines that another thread was
//! the first to write.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{Rig, endpoint, ok, settle, version};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r_rtr_14_the_access_log_tells_a_line_a_request_and_no_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let rig = Rig::new().await.with_keys("iris").await;
    let server = rig.pipes.add(|_, _| async { ok("answer") });
    rig.show("iris", "blue", &[&server]).await;
    rig.put(&endpoint("iris", vec![version("blue", 0)])).await;
    let mut request = rig.request("iris", "secret body");
    *request.uri_mut() = "/api/v1/service/iris/score?token=secret".parse().unwrap();
    rig.send(request).await;
    let mut wrong = rig.request("iris", "");
    wrong.headers_mut().insert("authorization", "Bearer secret-guess".parse().unwrap());
    rig.send(wrong).await;
    settle(|| lines.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count() >= 2).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let access: Vec<&str> = text.lines().filter(|line| line.contains("portway_gateway::access")).collect();
    assert_eq!(access.len(), 2, "{text}");
    for part in
        ["client=192.0.2.7", "service=\"iris\"", "version=\"blue\"", "status=200", "received=11", "sent=6"]
    {
        assert!(access[0].contains(part), "{part} is not in {}", access[0]);
    }
    assert!(access[1].contains("status=401") && access[1].contains("unknown_key"), "{}", access[1]);
    assert!(!text.contains("secret") && !text.contains(&rig.key), "{text}");
}
