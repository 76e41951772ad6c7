#![no_main]

#[path = "../../crates/gateway/tests/fuzz_bodies/gateway_forwarded.rs"]
mod gateway_forwarded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway_forwarded::check(data));
