//! Answers about Secrets are read here first: `kube` writes one that it cannot read to the log, whole. Secrets are always asked
//! for whole, never for their metadata alone.

use http::request::Parts;
use http::{Method, Response};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectList;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde_json::Error;

/// What an answer about Secrets holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrets {
    One,
    List,
}

impl Secrets {
    /// `None` for a request about something else, and for a watch, whose events are not written to the log.
    pub(super) fn asked_for(request: &Parts) -> Option<Self> {
        let query = request.uri.query().unwrap_or_default();
        if query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1") {
            return None;
        }
        let mut path = request.uri.path().split('/').skip_while(|part| *part != "secrets");
        path.next()?;
        let is_list = path.next().is_none() && request.method == Method::GET;
        Some(if is_list { Self::List } else { Self::One })
    }

    /// The same answer, if it can be read.
    pub(super) async fn readable(self, answer: Response<Body>) -> kube::Result<Response<Body>> {
        let (head, body) = answer.into_parts();
        let body = body.collect_bytes().await?;
        self.read(&body).map_err(kube::Error::SerdeError)?;
        Ok(Response::from_parts(head, Body::from(body)))
    }

    fn read(self, body: &[u8]) -> Result<(), Error> {
        match self {
            Self::List => serde_json::from_slice::<ObjectList<Secret>>(body).map(drop),
            // Whoever deletes one may be told what became of it.
            Self::One if serde_json::from_slice::<Kind>(body)?.kind == "Status" => {
                serde_json::from_slice::<Status>(body).map(drop)
            }
            Self::One => serde_json::from_slice::<Secret>(body).map(drop),
        }
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Write as _};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use http::Request;
    use kube::{Api, Client};
    use tower_service::Service;
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::super::aware;
    use super::*;

    const ANSWER: &str = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":"hunter2"}"#;

    const DENIAL: &str = r#"{"apiVersion":"v1","kind":"Status","status":"Failure","code":403,"reason":"Forbidden",
        "message":"secrets \"a\" is forbidden: User \"u\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"",
        "details":{"name":"a","kind":"secrets"}}"#;

    /// Everything that is written to the log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<String>>);

    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = writeln!(self.0.lock().unwrap(), "{field}: {value:?}");
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
            attributes.record(&mut self.clone());
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, values: &span::Record<'_>) {
            values.record(&mut self.clone());
        }
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// A server, or what stands before it, that garbles what it says, at first after it has denied it.
    #[derive(Clone, Default)]
    struct Garbled {
        denies: Arc<AtomicBool>,
    }

    impl Service<Request<Body>> for Garbled {
        type Response = Response<Body>;
        type Error = std::io::Error;
        type Future = std::future::Ready<Result<Response<Body>, std::io::Error>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), std::io::Error>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let denied =
                request.uri().path().contains("secrets") && self.denies.swap(false, Ordering::Relaxed);
            let (status, text) = if denied { (403, DENIAL) } else { (200, ANSWER) };
            let answer = Response::builder().status(status).body(Body::from(text.as_bytes().to_vec()));
            std::future::ready(Ok(answer.unwrap()))
        }
    }

    #[tokio::test]
    async fn r_k8s_6_what_cannot_be_read_of_a_secret_is_not_written_to_the_log() {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        let logged = || log.0.lock().unwrap().contains("hunter2");
        let server = Garbled::default();
        let secrets: Api<Secret> = Api::default_namespaced(aware(Client::new(server.clone(), "default")));
        let post = kube::api::PostParams::default();
        assert!(secrets.get("a").await.is_err() && !logged());
        assert!(secrets.list(&kube::api::ListParams::default()).await.is_err() && !logged());
        assert!(secrets.create(&post, &Secret::default()).await.is_err() && !logged());
        server.denies.store(true, Ordering::Relaxed);
        assert!(secrets.get("a").await.is_err() && !logged());
        assert!(!server.denies.load(Ordering::Relaxed), "it was denied, and asked for once more");
        // Without this it does get there.
        let secrets: Api<Secret> = Api::default_namespaced(Client::new(server, "default"));
        assert!(secrets.get("a").await.is_err() && logged());
    }

    #[test]
    fn requests_about_secrets_are_told_from_others() {
        let asked = |method: Method, uri: &str| {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            Secrets::asked_for(&request.into_parts().0)
        };
        let place = "https://host/api/v1/namespaces/n";
        assert_eq!(asked(Method::GET, &format!("{place}/secrets/a")), Some(Secrets::One));
        assert_eq!(asked(Method::GET, &format!("{place}/secrets?limit=5")), Some(Secrets::List));
        assert_eq!(asked(Method::POST, &format!("{place}/secrets")), Some(Secrets::One));
        assert_eq!(asked(Method::GET, &format!("{place}/secrets?watch=true")), None);
        assert_eq!(asked(Method::GET, &format!("{place}/configmaps/a")), None);
    }
}
