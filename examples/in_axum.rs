//! The gateway inside a server of your own: an axum router serves one route by itself and hands the rest to Portway.
//!
//! `cargo run --example in_axum --features axum`, with a model server on port 5001 (`PORT=5001 python3 examples/iris/bayes/serve.py`),
//! then `curl http://127.0.0.1:8080/api/v1/service/iris/score -d '{"data": [[5.1, 3.5, 1.4, 0.2]]}'`

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use portway_gateway::config::{GatewayConfig, Source, StaticSource};
use portway_gateway::{Gateway, Peer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = GatewayConfig::from_toml(
        r#"
        [[endpoints]]
        name = "iris"
        auth = "off"
        [[endpoints.versions]]
        name = "softmax"
        addresses = ["127.0.0.1:5001"]
        "#,
    )?;
    let Source::Static(endpoints) = &config.source else { anyhow::bail!("the endpoints are written above") };
    let source = StaticSource::new();
    source.replace(endpoints).await?;
    let gateway = Gateway::builder(source.catalog(), source.fleet()).build();
    let control = gateway.start();
    gateway.ready().await;

    // Nested under a prefix, axum would cut the prefix off: the gateway wants the path as the client wrote it.
    let router = Router::new()
        .route("/", get(async || "services are under /api/v1/service/<name>/score\n"))
        .fallback_service(gateway)
        .layer(from_fn(tell_peer));
    let listener = TcpListener::bind(config.listen).await.with_context(|| config.listen.to_string())?;
    println!("serving on http://{}", config.listen);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    control.stop().await;
    Ok(())
}

/// The gateway throttles by client address and tells it to replicas: say where the request came from.
async fn tell_peer(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Peer::tcp(address));
    next.run(request).await
}
