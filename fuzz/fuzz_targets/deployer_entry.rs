#![no_main]

#[path = "../../crates/deployer/tests/fuzz_bodies/deployer_entry.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
