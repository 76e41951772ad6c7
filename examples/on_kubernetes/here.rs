//! The gateway in this process. This is the quickstart's; only the seam is another one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use portway_gateway::{Control, Gateway, serve, serve_admin};
use portway_k8s_backend::K8sBackend;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Here {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    control: Control,
    servers: JoinSet<std::io::Result<()>>,
    stop: watch::Sender<bool>,
}

impl Here {
    pub(crate) async fn open(backend: &Arc<K8sBackend>, port: u16) -> anyhow::Result<Self> {
        let (listener, admin_listener) = (bind(port).await?, bind(0).await?);
        let (address, admin) = (listener.local_addr()?, admin_listener.local_addr()?);
        println!("gateway on http://{address}, metrics and health on http://{admin}");

        let gateway = Gateway::builder(backend.clone(), backend.clone()).leases(backend.clone()).build();
        let control = gateway.start();
        gateway.ready().await;
        let stop = watch::Sender::new(false);
        let stopped = || {
            let mut stop = stop.subscribe();
            async move { drop(stop.wait_for(|stop| *stop).await) }
        };
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, gateway.clone(), stopped()));
        servers.spawn(serve_admin(admin_listener, gateway.clone(), stopped()));
        Ok(Self { gateway, address, control, servers, stop })
    }

    /// Lets requests end. The control side goes on: it lets go of the replicas that are going away.
    pub(crate) async fn drain(&mut self) {
        self.stop.send_replace(true);
        while self.servers.join_next().await.is_some() {}
    }

    pub(crate) async fn close(self) {
        self.control.stop().await;
    }
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another port with --port, or leave it out for a free one")
    })
}
