#![no_main]

#[path = "../../crates/router/tests/fuzz_bodies/router_path.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
