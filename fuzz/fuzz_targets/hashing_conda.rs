#![no_main]

#[path = "../../crates/hashing/tests/fuzz_bodies/hashing_conda.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
