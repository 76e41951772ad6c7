//! The fuzz bodies on inputs that a stable toolchain makes.

#[path = "fuzz_bodies/autoscale_decisions.rs"]
mod autoscale_decisions;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn decisions(data in prop::collection::vec(any::<u8>(), 0..4_000)) {
        autoscale_decisions::check(&data);
    }

    #[test]
    fn decisions_on_ordinary_numbers(numbers in prop::collection::vec(prop_oneof![0..5_000_u64, (0.0..9.0_f64).prop_map(f64::to_bits)], 0..400)) {
        let data: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        autoscale_decisions::check(&data);
    }
}
