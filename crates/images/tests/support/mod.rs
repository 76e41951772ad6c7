//! A real registry (Debian's `docker-registry`), and what it needs around it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod tokens;
