#![no_main]

#[path = "../../crates/auth/tests/fuzz_bodies/auth_claims.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
