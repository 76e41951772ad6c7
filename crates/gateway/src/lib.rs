#![doc = include_str!("../README.md")]

mod admin;
mod answer;
mod chance;
mod choice;
mod clock;
#[cfg(feature = "config")]
pub mod config;
mod control;
mod forward;
pub mod forwarded;
mod gateway;
pub mod headers;
mod inner;
mod lane;
mod leadership;
mod limits;
mod metrics;
mod orders;
mod record;
mod refusal;
mod scaling;
mod serve;
mod service;
mod snapshot;
mod stats;
mod tokens;
#[cfg(feature = "tower")]
mod tower;
mod tunnel;
mod upload;
mod upstream;

pub use admin::Admin;
pub use answer::{AnswerBody, AnswerError};
pub use gateway::{Control, Gateway, GatewayBuilder, GatewayOptions};
pub use refusal::{DEPLOYMENT, REQUEST_ID};
pub use serve::{listen, serve, serve_admin, serve_connection};
pub use service::Peer;
pub use snapshot::{EndpointSnapshot, GatewaySnapshot, VersionSnapshot};
pub use upstream::{Connector, Protocol, Tcp, Transport};
