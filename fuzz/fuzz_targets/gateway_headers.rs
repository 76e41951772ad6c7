#![no_main]

#[path = "../../crates/gateway/tests/fuzz_bodies/gateway_headers.rs"]
mod gateway_headers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway_headers::check(data));
