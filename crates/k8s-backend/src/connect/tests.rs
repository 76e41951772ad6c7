use std::error::Error as _;
use std::io::Write as _;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use portway_backend::ErrorKind;
use tower_service::Service;

use super::*;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A server that takes the request and never says a word, or says the head and no word after.
#[derive(Clone)]
struct Silent {
    after_head: bool,
}

struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::task::Poll::Pending
    }
}

impl Service<Request<()>> for Silent {
    type Response = Response<Never>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Never>, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let after_head = self.after_head;
        Box::pin(
            async move { if after_head { Ok(Response::new(Never)) } else { std::future::pending().await } },
        )
    }
}

async fn asked(after_head: bool, uri: &str) -> Result<(), BoxError> {
    let mut service = Bounded::new(Silent { after_head }, "10.0.0.1:6443".into());
    let request = Request::get(uri).body(()).unwrap();
    service.call(request).await?.into_body().collect().await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_named_after_a_while() {
    let error = asked(false, "/api/v1/pods").await.unwrap_err();
    let error = refused("list the pods", kube::Error::Service(error));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("10.0.0.1:6443") && error.to_string().contains("in time"), "{error}");
    assert!(asked(true, "/api/v1/pods?limit=5").await.is_err(), "an answer that stops is no answer");
}

const WATCH: &str = "/api/v1/pods?&watch=true&timeoutSeconds=60";
const FOLLOWED_LOG: &str = "/api/v1/namespaces/a/pods/b/log?follow=true";

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_watch_that_never_begins_is_given_up() {
    let error = tokio::time::timeout(Duration::from_secs(60), asked(false, WATCH)).await.expect("it ends");
    let error = refused("watch the pods", kube::Error::Service(error.unwrap_err()));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("10.0.0.1:6443") && error.to_string().contains("in time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn r_k8s_2_a_silent_watch_is_left_alone() {
    for (after_head, uri) in [(true, WATCH), (true, FOLLOWED_LOG), (false, FOLLOWED_LOG)] {
        let asked = tokio::time::timeout(Duration::from_secs(3_600), asked(after_head, uri)).await;
        assert!(asked.is_err(), "{uri} ended");
    }
}

async fn from_file(text: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(file.path());
    let error = match kubeconfig {
        Ok(kubeconfig) => {
            let choice = KubeConfigOptions { context: Some("prod".into()), ..KubeConfigOptions::default() };
            match Config::from_custom_kubeconfig(kubeconfig, &choice).await {
                Ok(config) => return address(&config),
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    let error = no_kubeconfig(error);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.source().is_none(), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error.to_string()
}

#[tokio::test]
async fn every_fault_of_a_kubeconfig_has_its_remedy() {
    let good = "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: 'https://10.0.0.1:6443'}\n\
                contexts:\n- name: prod\n  context: {cluster: c, user: u}\nusers:\n- name: u\n  user: {token: hunter2}\n";
    assert_eq!(from_file(good).await, "10.0.0.1:6443");
    let without_port = good.replace("10.0.0.1:6443", "[::1]");
    assert_eq!(from_file(&without_port).await, "[::1]:443");
    for (from, to, says) in [
        ("name: prod", "name: other", "no context prod"),
        ("- name: c\n  cluster", "- name: d\n  cluster", "a cluster c that it does not have"),
        ("{server: 'https://10.0.0.1:6443'}", "{}", "clusters[].cluster.server"),
        ("token: hunter2}", "token: hunter2", "no YAML of the expected shape"),
        ("6443'}", "6443', certificate-authority: /no/such/ca.pem}", "/no/such/ca.pem"),
        (
            "6443'}",
            "6443', certificate-authority-data: '%%'}",
            "certificate authority in the kubeconfig is damaged",
        ),
    ] {
        let text = good.replace(from, to);
        let error = from_file(&text).await;
        assert!(error.contains(says), "{says:?} is not in {error:?}");
    }
    let missing = kube::config::Kubeconfig::read_from("/no/such/kubeconfig").unwrap_err();
    let error = no_kubeconfig(missing).to_string();
    assert!(error.contains("/no/such/kubeconfig") && error.contains("KUBECONFIG"), "{error}");
}

#[tokio::test]
async fn nobody_who_listens_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    let client = client(config).await.unwrap();
    let error = K8sBackend::from_client(client, Options::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains(&address.to_string()) && error.to_string().contains("refused"),
        "{error}"
    );
}
