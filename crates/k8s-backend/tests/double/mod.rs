//! A Kubernetes API server inside the test: a `tower` service under `kube::Client`.
//!
//! It keeps objects with revisions, hands out watches that resume, merges server-side applies by field manager, and
//! says no in the real server's words. What goes wrong is decided by the test: watches end or expire, answers are lost,
//! requests are held, refused or forbidden, the server is down. Nothing here sleeps; a test waits with
//! [`ApiServer::until`] or on what it tests. `truth` holds the double against a real server.
//!
//! - `server`, `service`: the server in a test's hand, and what arrives at it
//! - `request`, `resources`, `discovery`: what can be asked, and of which version of the server
//! - `serve`, `write`, `delete`, `patch`, `validate`, `refusal`: what becomes of it
//! - `apply`, `fields`, `schema`: server-side apply, and who owns which fields
//! - `controllers`: garbage, Deployments, ReplicaSets and a kubelet in miniature
//! - `store`, `watch`, `selector`, `render`: what is remembered and how it is told
//! - `faults`, `access`, `counts`: what a test does to it and learns of it
#![allow(dead_code, unused_imports, reason = "every test binary uses a part of it")]
#![allow(unreachable_pub, reason = "`pub` here says what tests are to use")]

mod access;
mod apply;
mod clock;
mod controllers;
mod counts;
mod defaults;
mod delete;
mod discovery;
mod faults;
mod fields;
mod patch;
mod refusal;
mod render;
mod request;
mod resources;
mod schema;
mod selector;
mod serve;
mod server;
mod service;
mod store;
mod validate;
mod watch;
mod write;

pub use access::Start;
pub use controllers::{Outcome, Which};
pub use counts::Counts;
pub use faults::{Fault, Gate, On};
pub use refusal::Refusal;
pub use request::Verb;
pub use resources::{Profile, StreamingLists};
pub use server::ApiServer;
pub use watch::Expiry;
