//! Registries to test with: Debian's `docker-registry` and a double, and what is done to both.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod base;
pub(crate) mod double;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod suite;
pub(crate) mod tokens;
pub(crate) mod wheel;
