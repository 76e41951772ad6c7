//! The examples of Portway. Each is one file beside this one; `cargo run --example NAME` runs it.

/// The examples of the README, so that they are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
