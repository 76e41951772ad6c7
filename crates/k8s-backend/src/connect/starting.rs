//! A server that is still starting forbids everything: it has not read yet who may do what.
//!
//! Its refusal reads like that of a right that is missing. So a client that is denied a right asks whether the server is
//! ready, and if it is, once more for what was denied: only a server that was ready before it was asked is believed. A
//! starting server denies at first even to say whether it is ready, and its version, which a backend was given when it was
//! made; one that goes on hiding its readiness alone is taken for ready.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use tower_service::Service;

use super::secrets::Secrets;
use crate::error::{StillStarting, is_missing_right};

/// The same client, to which what a server forbids while it starts is [`StillStarting`], and which tells nobody what an answer
/// about Secrets says that cannot be read.
pub(crate) fn aware(client: Client) -> Client {
    let (namespace, valid_until) = (client.default_namespace().to_owned(), *client.valid_until());
    Client::new(Aware(client), namespace).with_valid_until(valid_until)
}

struct Aware(Client);

impl Service<Request<Body>> for Aware {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, kube::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<kube::Result<()>> {
        // The client waits for its turn when it sends.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let again = body.try_clone().map(|body| Request::from_parts(head.clone(), body));
            let secrets = Secrets::asked_for(&head);
            let answer = client.send(Request::from_parts(head, body)).await?;
            if answer.status() != StatusCode::FORBIDDEN {
                return readable(secrets, answer).await;
            }
            let (head, body) = answer.into_parts();
            let body = body.collect_bytes().await?;
            if let Ok(status) = serde_json::from_slice::<Status>(&body)
                && is_missing_right(&status)
            {
                if is_starting(&client).await {
                    return Err(kube::Error::Service(StillStarting::new(status.message).into()));
                }
                if let Some(again) = again {
                    return readable(secrets, client.send(again).await?).await;
                }
            }
            Ok(Response::from_parts(head, Body::from(body)))
        })
    }
}

/// Only what succeeded holds a Secret.
async fn readable(secrets: Option<Secrets>, answer: Response<Body>) -> kube::Result<Response<Body>> {
    match secrets {
        Some(secrets) if answer.status().is_success() => secrets.readable(answer).await,
        _ => Ok(answer),
    }
}

async fn is_starting(client: &Client) -> bool {
    let mut readiness = asked(client, READINESS).await;
    if readiness == Some(StatusCode::FORBIDDEN) {
        if asked(client, "/version").await == Some(StatusCode::FORBIDDEN) {
            return true;
        }
        // Who may ask the one may ask the other, unless it is hidden: the rights have been read just now.
        readiness = asked(client, READINESS).await;
    }
    // One that gives no answer was there a moment ago.
    readiness.is_none_or(|answer| answer.is_server_error())
}

async fn asked(client: &Client, path: &str) -> Option<StatusCode> {
    let request = Request::get(path).body(Body::empty()).ok()?;
    client.send(request).await.ok().map(|answer| answer.status())
}

const READINESS: &str = "/readyz";
