//! Keys: two slots, rotation, grace, documents, and nothing secret in anything printed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portway_auth::{
    ApiKey, Attempt, Authenticator as _, Bearer, Credentials, CurrentVerifier, Denied, Entropy, KEY_PREFIX,
    KeyCheck, KeyError, KeySlot, Open, Principal, StaleVerifier, UnixSeconds, Verdict, Verifier,
};
use proptest::prelude::*;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

fn entropy(seed: u8) -> Entropy {
    Entropy::from_bytes([seed; 32])
}

fn credentials() -> Credentials {
    Credentials::generate(&entropy(1), &entropy(2)).unwrap()
}

fn attempt(key: &str) -> Attempt<'_> {
    Attempt {
        bearer: Bearer::from_credential(key.as_bytes()),
        audience: "scoring",
        client: None,
        now: Duration::ZERO,
        wall: NOW,
    }
}

#[test]
fn r_auth_1_both_keys_are_valid_and_nothing_else_is() {
    let credentials = credentials();
    let verifier = credentials.verifier();
    for slot in KeySlot::ALL {
        let key = credentials.key(slot).expose();
        assert_eq!(verifier.check(key, NOW), KeyCheck::Valid { slot, id: verifier.key_id(slot) });
        let verdict = verifier.authenticate(&attempt(key));
        assert_eq!(verdict, Verdict::Allow(Principal::Key { slot, id: verifier.key_id(slot) }));
        for wrong in
            [&key[1..], &key[..key.len() - 1], &format!("{key}A"), &key.to_uppercase(), "", "portway_"]
        {
            assert_eq!(verifier.check(wrong, NOW), KeyCheck::Unknown);
        }
    }
}

#[test]
fn r_auth_1_a_generated_key_has_256_bits_behind_a_prefix_that_scanners_know() {
    let key = ApiKey::generate(&entropy(7));
    assert_eq!(key.expose().len(), KEY_PREFIX.len() + 43);
    assert!(key.expose().starts_with(KEY_PREFIX));
    assert_ne!(
        ApiKey::generate(&Entropy::from_system().unwrap()).expose(),
        ApiKey::generate(&Entropy::from_system().unwrap()).expose()
    );
}

#[test]
fn r_auth_1_regenerating_one_slot_leaves_the_other_valid() {
    for slot in KeySlot::ALL {
        let mut credentials = credentials();
        let before = [KeySlot::Primary, KeySlot::Secondary].map(|slot| credentials.key(slot).clone());
        credentials.regenerate(slot, &entropy(3), NOW, Duration::ZERO).unwrap();
        let verifier = credentials.verifier();
        assert_eq!(verifier.revision(), 2);
        assert_eq!(verifier.check(before[slot as usize].expose(), NOW), KeyCheck::Retired);
        assert_eq!(verifier.check(before[slot.other() as usize].expose(), NOW).slot(), Some(slot.other()));
        assert_eq!(verifier.check(credentials.key(slot).expose(), NOW).slot(), Some(slot));
    }
}

#[test]
fn r_auth_1_a_chosen_value_is_taken_if_it_is_long_plain_and_not_the_other_key() {
    let chosen = "0123456789abcdefghijklmnopqrstuv";
    let mut credentials = credentials();
    let key = ApiKey::chosen(chosen).unwrap();
    credentials.replace(KeySlot::Secondary, key.clone(), NOW, Duration::ZERO).unwrap();
    assert_eq!(credentials.verifier().check(chosen, NOW).slot(), Some(KeySlot::Secondary));
    assert_eq!(credentials.replace(KeySlot::Primary, key.clone(), NOW, Duration::ZERO), Err(KeyError::Equal));
    assert_eq!(credentials.revision(), 2, "a refused or a repeated key changes nothing");
    credentials.replace(KeySlot::Secondary, key, NOW, Duration::ZERO).unwrap();
    assert_eq!(credentials.revision(), 2);

    assert_eq!(ApiKey::chosen(&chosen[1..]).unwrap_err(), KeyError::Length { found: 31 });
    assert_eq!(ApiKey::chosen("x".repeat(257)).unwrap_err(), KeyError::Length { found: 257 });
    assert_eq!(ApiKey::chosen(format!("{chosen} ")).unwrap_err(), KeyError::Character);
    assert_eq!(ApiKey::chosen(format!("{chosen}\u{e4}")).unwrap_err(), KeyError::Character);
}

#[test]
fn r_auth_1_the_old_key_lives_through_its_grace_and_not_a_second_longer() {
    let mut credentials = credentials();
    let old = credentials.key(KeySlot::Primary).clone();
    credentials.regenerate(KeySlot::Primary, &entropy(3), NOW, Duration::from_secs(300)).unwrap();
    let verifier = credentials.verifier();
    let at = |second| verifier.check(old.expose(), NOW + Duration::from_secs(second));
    assert_eq!(at(299).slot(), Some(KeySlot::Primary));
    assert_eq!(at(300), KeyCheck::Retired);
}

#[test]
fn r_auth_1_a_key_that_comes_back_is_no_longer_retired() {
    let mut credentials = credentials();
    let old = credentials.key(KeySlot::Primary).clone();
    credentials.regenerate(KeySlot::Primary, &entropy(3), NOW, Duration::ZERO).unwrap();
    credentials.replace(KeySlot::Secondary, old.clone(), NOW, Duration::ZERO).unwrap();
    assert_eq!(credentials.verifier().check(old.expose(), NOW).slot(), Some(KeySlot::Secondary));
    credentials.regenerate(KeySlot::Secondary, &entropy(4), NOW, Duration::ZERO).unwrap();
    assert_eq!(credentials.verifier().check(old.expose(), NOW), KeyCheck::Retired);
}

#[test]
fn r_auth_1_documents_go_round() {
    let mut credentials = credentials();
    credentials.regenerate(KeySlot::Primary, &entropy(3), NOW, Duration::from_secs(60)).unwrap();
    let read = Credentials::from_document(credentials.to_document().expose()).unwrap();
    assert_eq!(read.verifier(), credentials.verifier());
    assert_eq!(read.key(KeySlot::Primary).expose(), credentials.key(KeySlot::Primary).expose());
    let verifier = credentials.verifier();
    assert_eq!(Verifier::from_json(&verifier.to_json()).unwrap(), verifier);
    let newer = verifier.to_json().replacen('{', "{\"from\":\"the future\",", 1);
    assert_eq!(Verifier::from_json(&newer).unwrap(), verifier);
    for text in [
        "",
        "{}",
        "null",
        "{\"revision\":1}",
        &credentials.to_document().expose().replace("portway_", "")[..30],
    ] {
        assert!(Credentials::from_document(text).is_err());
        assert!(Verifier::from_json(text).is_err());
    }
}

#[cfg(feature = "serde")]
#[test]
fn r_auth_1_the_verifier_is_the_same_document_by_serde() {
    let verifier = credentials().verifier();
    assert_eq!(serde_json::to_string(&verifier).unwrap(), verifier.to_json());
    assert_eq!(serde_json::from_str::<Verifier>(&verifier.to_json()).unwrap(), verifier);
    assert_eq!(serde_json::to_string(&(KeySlot::Primary, NOW)).unwrap(), "[\"primary\",1700000000]");
}

#[test]
fn r_auth_6_a_stale_verifier_is_refused() {
    let mut credentials = credentials();
    let first = credentials.verifier();
    let current = CurrentVerifier::new(first.clone());
    credentials.regenerate(KeySlot::Primary, &entropy(3), NOW, Duration::ZERO).unwrap();
    current.replace(credentials.verifier()).unwrap();
    assert_eq!(current.replace(first), Err(StaleVerifier { offered: 1, held: 2 }));
    assert_eq!(current.revision(), 2);
}

#[test]
fn r_auth_6_unknown_endpoint_and_wrong_key_get_the_same_answer() {
    let wrong = attempt("portway_wrong");
    let unknown_endpoint = Verifier::decoy().authenticate(&wrong).settled().unwrap_err();
    let wrong_key = credentials().verifier().authenticate(&wrong).settled().unwrap_err();
    assert_eq!(unknown_endpoint, wrong_key);
    assert_eq!((wrong_key.status(), wrong_key.body()), (401, "unauthorized\n"));
    assert_eq!(wrong_key.challenge(), Denied::RetiredKey.challenge());
    assert_eq!(wrong_key.body(), Denied::RetiredKey.body());
}

#[test]
fn r_auth_2_authentication_can_be_off() {
    assert_eq!(Open.authenticate(&attempt("whatever")), Verdict::Allow(Principal::Anonymous));
}

#[test]
fn r_auth_6_nothing_printed_holds_a_key() {
    let credentials = credentials();
    let key = credentials.key(KeySlot::Primary);
    let attempt = attempt(key.expose());
    let verdict = credentials.verifier().authenticate(&attempt);
    let document = credentials.to_document();
    let printed = format!(
        "{credentials:?} {key:?} {attempt:?} {verdict:?} {:?} {document:?} {:?} {}",
        credentials.verifier(),
        entropy(1),
        credentials.verifier().to_json()
    );
    for slot in KeySlot::ALL {
        let key = credentials.key(slot).expose();
        assert!(!printed.contains(&key[KEY_PREFIX.len()..]), "{printed}");
    }
    assert!(printed.contains("[redacted]"));
}

/// Both keys are regenerated in turn while threads ask with the one that stays: not one wrong answer.
#[test]
fn r_auth_1_rotation_of_every_key_under_load_gives_no_wrong_answer() {
    let mut credentials = credentials();
    let current = CurrentVerifier::new(credentials.verifier());
    let never = ApiKey::generate(&entropy(99));
    let stays = RwLock::new(credentials.key(KeySlot::Secondary).clone());
    let done = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let stays = stays.read().unwrap();
                    assert!(matches!(current.authenticate(&attempt(stays.expose())), Verdict::Allow(_)));
                    assert!(matches!(current.authenticate(&attempt(never.expose())), Verdict::Deny(_)));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..1_000_u64 {
            let slot = if round % 2 == 0 { KeySlot::Primary } else { KeySlot::Secondary };
            let mut bytes = [3; 32];
            bytes[..8].copy_from_slice(&round.to_be_bytes());
            let old = credentials.key(slot).clone();
            credentials.regenerate(slot, &Entropy::from_bytes(bytes), NOW, Duration::ZERO).unwrap();
            current.replace(credentials.verifier()).unwrap();
            assert_eq!(current.authenticate(&attempt(old.expose())), Verdict::Deny(Denied::RetiredKey));
            assert!(matches!(
                current.authenticate(&attempt(credentials.key(slot).expose())),
                Verdict::Allow(_)
            ));
            // Clients move over to the new key; the next round regenerates the other.
            *stays.write().unwrap() = credentials.key(slot).clone();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_ne!(asked.into_inner(), 0);
}

#[test]
fn the_key_path_does_not_allocate() {
    let credentials = credentials();
    let current = CurrentVerifier::new(credentials.verifier());
    let header = format!("Bearer {}", credentials.key(KeySlot::Secondary).expose());
    let check = || {
        let bearer = Bearer::parse([header.as_bytes()]);
        let attempt = Attempt { bearer, audience: "a", client: None, now: Duration::ZERO, wall: NOW };
        std::hint::black_box(current.authenticate(&attempt)).settled().unwrap();
    };
    check();
    assert_eq!(allocation_counter::measure(check).count_total, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Regenerate(KeySlot, u64, u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let slot = prop_oneof![Just(KeySlot::Primary), Just(KeySlot::Secondary)];
    prop_oneof![
        (slot, any::<u64>(), 0..100_u64).prop_map(|(slot, bits, grace)| Step::Regenerate(slot, bits, grace)),
        (0..100_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a list of every key that ever was, with the moment it ends.
    #[test]
    fn r_auth_1_agrees_with_a_plain_list_of_keys(steps in prop::collection::vec(step(), 0..24)) {
        let mut credentials = credentials();
        let mut now = NOW;
        let mut lives: Vec<(KeySlot, ApiKey, UnixSeconds)> = vec![];
        for step in steps {
            match step {
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Step::Regenerate(slot, bits, grace) => {
                    let mut bytes = [9; 32];
                    bytes[..8].copy_from_slice(&bits.to_be_bytes());
                    bytes[8] = slot as u8;
                    let grace = Duration::from_secs(grace);
                    let old = credentials.key(slot).clone();
                    credentials.regenerate(slot, &Entropy::from_bytes(bytes), now, grace).unwrap();
                    // Only the last predecessor of a slot can be in grace.
                    lives.retain(|(of, ..)| *of != slot);
                    if old.expose() != credentials.key(slot).expose() {
                        lives.push((slot, old, now + grace));
                    }
                }
            }
            let verifier = credentials.verifier();
            for slot in KeySlot::ALL {
                prop_assert_eq!(verifier.check(credentials.key(slot).expose(), now).slot(), Some(slot));
            }
            for (slot, key, until) in &lives {
                prop_assert_eq!(verifier.check(key.expose(), now).slot(), (now < *until).then_some(*slot));
            }
        }
    }
}
