#![no_main]

#[path = "../../crates/deploy-config/tests/fuzz_bodies/deploy_config_names.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
