//! The pool against a naive model, over random sequences of everything that can happen.

#[path = "fuzz_bodies/router_pool.rs"]
mod router_pool;

use std::time::Duration;

use portway_router::{Limits, Outcome, Waiting};
use proptest::prelude::*;
use router_pool::Step;

fn waiting() -> impl Strategy<Value = Waiting> {
    prop_oneof![
        Just(Waiting::NONE),
        (0..6_u32, 1..300_u64).prop_map(|(most, ms)| Waiting::at_most(most, Duration::from_millis(ms))),
        (1..300_u64).prop_map(|ms| Waiting::for_at_most(Duration::from_millis(ms))),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (waiting(), waiting()).prop_map(|(queue, waiting_room)| Limits { queue, waiting_room })
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        6 => Just(Outcome::Success),
        2 => Just(Outcome::Failure),
        1 => Just(Outcome::Unreachable),
        1 => Just(Outcome::Neutral),
    ];
    prop_oneof![
        2 => (0..6_u8, 1..4_u8).prop_map(|(name, cap)| Step::Add { name, cap }),
        1 => (0..6_u8).prop_map(|name| Step::Remove { name }),
        8 => any::<u64>().prop_map(|bits| Step::Offer { bits }),
        1 => (any::<u64>(), any::<usize>()).prop_map(|(bits, pick)| Step::OfferAgain { bits, pick }),
        1 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
        6 => (any::<usize>(), outcome).prop_map(|(pick, outcome)| Step::Finish { pick, outcome }),
        3 => (1..120_u64).prop_map(|ms| Step::Pass { ms }),
        1 => limits().prop_map(Step::SetLimits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r_rtr_6_agrees_with_a_naive_model(limits in limits(), steps in prop::collection::vec(step(), 1..300)) {
        router_pool::run(limits, steps);
    }

    #[test]
    fn r_rtr_6_agrees_with_a_naive_model_on_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        router_pool::check(&data);
    }
}
