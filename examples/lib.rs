//! The examples of Portway. Each is one file beside this one; `cargo run --example NAME` runs it.
