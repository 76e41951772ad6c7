#![no_main]

#[path = "../../crates/router/tests/fuzz_bodies/router_path.rs"]
mod router_path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| router_path::check(data));
