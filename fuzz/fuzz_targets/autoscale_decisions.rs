#![no_main]

#[path = "../../crates/autoscale/tests/fuzz_bodies/autoscale_decisions.rs"]
mod autoscale_decisions;

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoscale_decisions::check(data));
