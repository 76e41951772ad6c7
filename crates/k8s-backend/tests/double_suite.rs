//! The API server double: that it does not lie, what can be done to it, and the suites of replicas and fences on it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "double_suite/controllers.rs"]
mod controllers;
mod double;
#[path = "double_suite/seams.rs"]
mod seams;
#[path = "double_suite/server.rs"]
mod server;
#[path = "double_suite/starting.rs"]
mod starting;
#[path = "double/truth/mod.rs"]
mod truth;
#[path = "double_suite/truthful.rs"]
mod truthful;
