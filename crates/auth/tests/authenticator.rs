//! Verdicts: keys or tokens but never both, issuers, remembered tokens, revocation, throttling, equal answers.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use portway_auth::{
    Attempt, Authenticator, Bearer, BearerError, Claims, Credentials, Denied, Entropy, FailureThrottle,
    Flight, Freshness, Grant, Issuer, IssuerKeys, KeySet, KeySlot, Principal, RequireScope, Revocations,
    SigningKey, SigningKeyKind, Throttled, TokenAuthenticator, TokenError, TokenPolicy, UnixSeconds, Verdict,
    Verifier,
};
use proptest::prelude::*;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);
const LOCAL: &str = "https://portway.example";
const FAR: &str = "https://login.example";

fn issuer(name: &str) -> Issuer {
    Issuer::new(name, SigningKey::generate(SigningKeyKind::Ed25519).unwrap())
}

fn token_for(issuer: &Issuer, audience: &str, subject: &str, now: UnixSeconds) -> String {
    let grant = Grant { audience, subject, scopes: &["blue"] };
    issuer.issue(&grant, now, &Entropy::from_system().unwrap()).unwrap().access_token.expose().to_owned()
}

fn attempt(credential: &str) -> Attempt<'_> {
    Attempt {
        bearer: Bearer::from_credential(credential.as_bytes()),
        audience: "scoring",
        client: None,
        now: Duration::ZERO,
        wall: NOW,
    }
}

fn at(credential: &str, seconds: u64) -> Attempt<'_> {
    let since = Duration::from_secs(seconds);
    Attempt { now: since, wall: NOW + since, ..attempt(credential) }
}

fn subject(verdict: Verdict) -> Result<String, Denied> {
    verdict.settled().map(|principal| principal.subject().unwrap().to_owned())
}

fn trusting(issuers: &[&Issuer]) -> TokenAuthenticator {
    issuers.iter().fold(TokenAuthenticator::new(), |all, issuer| {
        all.trust(issuer.name(), TokenPolicy::new(), Arc::new(IssuerKeys::pinned(issuer.key_set(NOW))))
    })
}

#[test]
fn r_auth_2_one_endpoint_never_takes_both_keys_and_tokens() {
    let credentials =
        Credentials::generate(&Entropy::from_system().unwrap(), &Entropy::from_system().unwrap()).unwrap();
    let issuer = issuer(LOCAL);
    let (key, token) =
        (credentials.key(KeySlot::Primary).expose(), token_for(&issuer, "scoring", "alice", NOW));
    let (by_key, by_token) = (credentials.verifier(), trusting(&[&issuer]));
    assert!(matches!(by_key.authenticate(&attempt(key)), Verdict::Allow(Principal::Key { .. })));
    assert_eq!(by_key.authenticate(&attempt(&token)), Verdict::Deny(Denied::UnknownKey));
    assert_eq!(subject(by_token.authenticate(&attempt(&token))), Ok("alice".into()));
    assert_eq!(by_token.authenticate(&attempt(key)), Verdict::Deny(Denied::Token(TokenError::NotCompact)));
}

#[test]
fn r_auth_4_a_second_issuer_is_trusted_beside_the_first_each_for_its_own_name() {
    let (local, far) = (issuer(LOCAL), issuer(FAR));
    let authenticator = trusting(&[&far, &local]);
    for issuer in [&local, &far] {
        let token = token_for(issuer, "scoring", "alice", NOW);
        assert_eq!(subject(authenticator.authenticate(&attempt(&token))), Ok("alice".into()));
    }
    // Signed by a trusted key, in the name of the other trusted issuer.
    let pem = SigningKey::generate(SigningKeyKind::P256).unwrap().to_pem();
    let key = || SigningKey::from_pem(pem.expose()).unwrap();
    let authenticator = trusting(&[&far, &Issuer::new(LOCAL, key())]);
    let forged = token_for(&Issuer::new(FAR, key()), "scoring", "alice", NOW);
    assert!(authenticator.authenticate(&attempt(&forged)).settled().is_err());
    let stranger = token_for(&Issuer::new("https://else.example", key()), "scoring", "alice", NOW);
    assert_eq!(
        authenticator.authenticate(&attempt(&stranger)),
        Verdict::Deny(Denied::Token(TokenError::Issuer))
    );
}

#[test]
fn r_auth_4_a_remembered_token_is_judged_anew_every_time() {
    let issuer = issuer(LOCAL);
    let keys = Arc::new(IssuerKeys::pinned(issuer.key_set(NOW)));
    let authenticator =
        TokenAuthenticator::with_capacity(4).trust(LOCAL, TokenPolicy::new(), Arc::clone(&keys));
    let token = token_for(&issuer, "scoring", "alice", NOW);
    let verdict =
        |attempt: &Attempt<'_>| subject(authenticator.authenticate(attempt)).map_err(|denied| denied.code());
    assert_eq!(verdict(&attempt(&token)), Ok("alice".into()));
    assert_eq!(verdict(&at(&token, 3659)), Ok("alice".into()), "the last second of the leeway");
    assert_eq!(verdict(&Attempt { audience: "else", ..attempt(&token) }), Err("audience"));
    assert_eq!(verdict(&Attempt { audience: "", ..attempt(&token) }), Err("audience"));
    assert_eq!(verdict(&at(&token, 3660)), Err("expired"));
    assert_eq!(
        verdict(&attempt(&token)),
        Ok("alice".into()),
        "the wall clock went back, the signature is checked again"
    );

    keys.pin(self::issuer(LOCAL).key_set(NOW));
    assert_eq!(verdict(&attempt(&token)), Err("unknown_key_id"), "its key is no longer one of the issuer's");
}

#[test]
fn a_remembered_token_is_judged_without_allocating() {
    let issuer = issuer(LOCAL);
    let (authenticator, token) = (trusting(&[&issuer]), token_for(&issuer, "scoring", "alice", NOW));
    let attempt = attempt(&token);
    let check =
        || assert!(matches!(std::hint::black_box(authenticator.authenticate(&attempt)), Verdict::Allow(_)));
    check();
    assert_eq!(allocation_counter::measure(check).count_total, 0);
}

#[test]
fn r_auth_4_a_full_memory_of_tokens_still_answers_right() {
    let issuer = issuer(LOCAL);
    let authenticator = TokenAuthenticator::with_capacity(4).trust(
        LOCAL,
        TokenPolicy::new(),
        Arc::new(IssuerKeys::pinned(issuer.key_set(NOW))),
    );
    let tokens: Vec<_> =
        (0..32).map(|number| token_for(&issuer, "scoring", &number.to_string(), NOW)).collect();
    for _ in 0..3 {
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(subject(authenticator.authenticate(&attempt(token))), Ok(number.to_string()));
        }
    }
}

#[test]
fn r_auth_6_tokens_are_revoked_by_id_by_subject_and_by_time() {
    let issuer = issuer(LOCAL);
    let authenticator = trusting(&[&issuer]);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| token_for(&issuer, "scoring", name, NOW));
    let code =
        |token: &str| subject(authenticator.authenticate(&attempt(token))).map_err(|denied| denied.code());
    let claims = |token: &str| -> Arc<Claims> {
        match authenticator.authenticate(&attempt(token)).settled() {
            Ok(Principal::Token(claims)) => claims,
            other => panic!("{other:?}"),
        }
    };
    let (later, end) = (NOW + Duration::from_secs(1), NOW + Duration::from_secs(7200));
    let mut revocations = Revocations::default();
    revocations.revoke_id(LOCAL, claims(&alice).id().unwrap(), end).unwrap();
    revocations.revoke_subject(LOCAL, "bob", later, end).unwrap();
    revocations.revoke_subject(LOCAL, "carol", NOW, end).unwrap();
    assert_eq!(Revocations::from_json(&revocations.to_json()).unwrap(), revocations);
    authenticator.revoke(revocations.clone());
    assert_eq!(code(&alice), Err("revoked"), "a remembered token as well");
    assert_eq!(code(&bob), Err("revoked"));
    assert_eq!(code(&carol), Ok("carol".into()), "issued at the cut, not before it");

    revocations.revoke_issued_before(LOCAL, later);
    authenticator.revoke(revocations.clone());
    assert_eq!(code(&carol), Err("revoked"));
    let fresh = token_for(&issuer, "scoring", "carol", later);
    assert_eq!(subject(authenticator.authenticate(&at(&fresh, 1))), Ok("carol".into()));

    assert_eq!(revocations.len(), 3);
    revocations.forget_expired(end);
    assert_eq!((revocations.len(), revocations.is_empty()), (0, false), "the cut for the issuer stays");
    assert!(Revocations::default().is_empty());
}

#[test]
fn r_auth_6_unknown_endpoint_wrong_key_and_expired_token_answer_alike() {
    let issuer = issuer(LOCAL);
    let token = token_for(&issuer, "scoring", "alice", NOW);
    let by_token = trusting(&[&issuer]);
    let denied = |verdict: Verdict| verdict.settled().unwrap_err();
    let answers = [
        denied(Verifier::decoy().authenticate(&attempt("portway_unknown-endpoint"))),
        denied(by_token.authenticate(&at(&token, 9999))),
        denied(by_token.authenticate(&Attempt { audience: "no-such-endpoint", ..attempt(&token) })),
        denied(by_token.authenticate(&attempt(&format!("{token}A")))),
        denied(by_token.authenticate(&attempt("x"))),
        Denied::RetiredKey,
        Denied::Bearer(BearerError::Malformed),
    ];
    for answer in answers {
        assert_eq!(
            (answer.status(), answer.body(), answer.challenge(), answer.retry_after()),
            (401, "unauthorized\n", Some("Bearer error=\"invalid_token\""), None),
            "{answer:?}"
        );
    }
    let nothing = Denied::Bearer(BearerError::Missing);
    assert_eq!((nothing.status(), nothing.challenge()), (401, Some("Bearer")));
}

#[test]
fn r_auth_6_a_good_identity_without_the_right_is_forbidden() {
    let issuer = issuer(LOCAL);
    let token = token_for(&issuer, "scoring", "alice", NOW);
    let blue = RequireScope::new(trusting(&[&issuer]), "blue");
    let red = RequireScope::new(trusting(&[&issuer]), "red");
    assert_eq!(subject(blue.authenticate(&attempt(&token))), Ok("alice".into()));
    let denied = red.authenticate(&attempt(&token)).settled().unwrap_err();
    assert_eq!((denied, denied.status()), (Denied::Forbidden, 403));
    assert_eq!(red.authenticate(&attempt("x")).settled().unwrap_err().status(), 401);
}

#[test]
fn r_auth_4_without_any_keys_the_answer_is_unavailable_and_not_unauthorised() {
    let issuer = issuer(FAR);
    let token = token_for(&issuer, "scoring", "alice", NOW);
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), Arc::clone(&keys));
    let Verdict::NeedKeys(needed) = authenticator.authenticate(&attempt(&token)) else { panic!() };
    assert_eq!((&*needed.issuer, needed.otherwise.status()), (FAR, 503));
    let flight: Flight = keys.handle_timeout(Duration::ZERO).unwrap();
    assert!(matches!(authenticator.authenticate(&attempt(&token)), Verdict::NeedKeys(_)), "it is on its way");
    keys.set_failed(Duration::from_secs(1), flight, 0);
    let denied = authenticator.authenticate(&at(&token, 1)).settled().unwrap_err();
    assert_eq!(denied.status(), 503);
    assert!(denied.retry_after().unwrap() <= Duration::from_secs(30));

    let flight = keys.handle_timeout(Duration::from_secs(31)).unwrap();
    keys.set_fetched(Duration::from_secs(31), flight, issuer.key_set(NOW), None, 0);
    assert_eq!(subject(authenticator.authenticate(&at(&token, 31))), Ok("alice".into()));
}

// === throttle ===

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fn from(client: IpAddr, credential: &str, seconds: u64) -> Attempt<'_> {
    Attempt { client: Some(client), ..at(credential, seconds) }
}

#[test]
fn r_auth_6_failures_are_throttled_by_address_and_nobody_else_notices() {
    let mut credentials =
        Credentials::generate(&Entropy::from_system().unwrap(), &Entropy::from_system().unwrap()).unwrap();
    let old = credentials.key(KeySlot::Primary).clone();
    credentials.regenerate(KeySlot::Primary, &Entropy::from_system().unwrap(), NOW, Duration::ZERO).unwrap();
    let key = credentials.key(KeySlot::Primary).expose();
    let guarded =
        Throttled::new(credentials.verifier(), FailureThrottle::new(3, Duration::from_secs(10), 64, 1));
    let code = |attempt: &Attempt<'_>| {
        guarded.authenticate(attempt).settled().map(|_| ()).map_err(|denied| denied.code())
    };
    for _ in 0..100 {
        assert_eq!(code(&from(CLIENT, old.expose(), 0)), Err("retired_key"), "late, not guessing");
        assert_eq!(code(&from(CLIENT, key, 0)), Ok(()));
    }
    for _ in 0..3 {
        assert_eq!(code(&from(CLIENT, "guess", 0)), Err("unknown_key"));
    }
    assert_eq!(code(&from(CLIENT, "guess", 0)), Err("throttled"));
    assert_eq!(
        code(&from(CLIENT, key, 9)),
        Err("throttled"),
        "a guess must not be told from its being right"
    );
    let denied = guarded.authenticate(&from(CLIENT, key, 1)).settled().unwrap_err();
    assert_eq!((denied.status(), denied.retry_after()), (429, Some(Duration::from_secs(9))));
    assert_eq!(code(&from(CLIENT, key, 10)), Ok(()));
    assert_eq!(code(&from(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 8)), key, 0)), Ok(()));
    assert_eq!(code(&Attempt { client: None, ..from(CLIENT, "guess", 0) }), Err("unknown_key"));
}

#[test]
fn r_auth_6_an_ipv6_client_is_its_network() {
    let throttle = FailureThrottle::new(1, Duration::from_secs(10), 64, 1);
    let address =
        |network: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
    throttle.record_failure(Duration::ZERO, address(1, 1));
    assert!(throttle.blocked_for(Duration::ZERO, address(1, 2)).is_some());
    assert!(throttle.blocked_for(Duration::ZERO, address(2, 1)).is_none());
    throttle.record_failure(Duration::ZERO, IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()));
    assert!(throttle.blocked_for(Duration::ZERO, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))).is_some());
}

#[test]
fn r_auth_6_a_long_attack_ends_with_the_same_wait_and_many_addresses_take_no_memory() {
    let throttle = FailureThrottle::new(3, Duration::from_secs(10), 64, 1);
    for _ in 0..10_000 {
        throttle.record_failure(Duration::ZERO, CLIENT);
    }
    assert_eq!(throttle.blocked_for(Duration::ZERO, CLIENT), Some(Duration::from_secs(10)));
    let allocated = allocation_counter::measure(|| {
        for number in 0..100_000_u32 {
            throttle.record_failure(Duration::ZERO, IpAddr::V4(Ipv4Addr::from(number)));
        }
    });
    assert_eq!(allocated.count_total, 0);
    assert!(throttle.blocked_for(Duration::ZERO, CLIENT).is_some(), "who owes most is remembered longest");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a bucket that is emptied by failures and filled by time, one address at a time.
    #[test]
    fn r_auth_6_throttle_agrees_with_a_plain_bucket(steps in prop::collection::vec((0..8_u64, any::<bool>()), 0..60)) {
        let (burst, interval) = (4_u64, 5_u64);
        let throttle = FailureThrottle::new(4, Duration::from_secs(interval), 8, 7);
        let (mut now, mut owed) = (0, 0_u64);
        for (wait, fails) in steps {
            now += wait;
            owed = owed.saturating_sub(wait);
            let blocked = owed > (burst - 1) * interval;
            prop_assert_eq!(throttle.blocked_for(Duration::from_secs(now), CLIENT).is_some(), blocked);
            if fails && !blocked {
                throttle.record_failure(Duration::from_secs(now), CLIENT);
                owed += interval;
            }
        }
    }
}

// === key sets from outside, in virtual time ===

/// Pumps an issuer's keys as a shell would, one second at a time.
struct Shell {
    keys: Arc<IssuerKeys>,
    fetches: u32,
}

impl Shell {
    fn fly(&mut self, now: Duration, flight: Option<Flight>, answer: Option<&KeySet>) {
        let Some(flight) = flight else { return };
        self.fetches += 1;
        match answer {
            Some(keys) => self.keys.set_fetched(now, flight, keys.clone(), None, 12_345 * now.as_secs()),
            None => self.keys.set_failed(now, flight, 12_345 * now.as_secs()),
        }
    }

    fn tick(&mut self, now: Duration, answer: Option<&KeySet>) {
        let flight = self.keys.handle_timeout(now);
        self.fly(now, flight, answer);
    }
}

#[test]
fn r_auth_4_an_outage_of_23_hours_refuses_no_valid_token_and_lets_no_expired_one_in() {
    let issuer = issuer(FAR).life(Duration::from_secs(20 * 3600));
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), Arc::clone(&keys));
    let mut shell = Shell { keys: Arc::clone(&keys), fetches: 0 };
    let set = issuer.key_set(NOW);
    let (begin, end, bound) = (1800, 1800 + 23 * 3600, 1800 + 24 * 3600 + 600);
    let mut tokens: Vec<(u64, String)> = vec![];
    for second in 0..=bound + 10 {
        let now = Duration::from_secs(second);
        let is_down = second >= begin;
        shell.tick(now, (!is_down).then_some(&set));
        if second % 600 == 0 {
            // Another region issues on; only the key set cannot be had.
            tokens.push((second, token_for(&issuer, "scoring", "alice", NOW + now)));
        }
        if second % 60 == 0 && second <= end {
            for (issued, token) in tokens.iter().step_by(5) {
                let verdict = authenticator.authenticate(&at(token, second));
                assert!(
                    !matches!(verdict, Verdict::NeedKeys(_)),
                    "nobody waits for a set that cannot be had"
                );
                let answer = subject(verdict);
                let valid = second < issued + 20 * 3600 + 60;
                assert_eq!(answer.is_ok(), valid, "{second}: issued {issued}, {answer:?}");
                if !valid {
                    assert_eq!(answer, Err(Denied::Token(TokenError::Expired)));
                }
            }
        }
    }
    // At most one fetch a minute or so while it is down, and past the bound nobody is believed any more: 503, not 401.
    assert!(shell.fetches < 24 * 70, "{} fetches", shell.fetches);
    let fresh = token_for(&issuer, "scoring", "alice", NOW + Duration::from_secs(bound));
    let answer = authenticator.authenticate(&at(&fresh, bound + 10)).settled().unwrap_err();
    assert_eq!(answer.status(), 503);
    // The issuer is back: so are we, with the next fetch.
    for second in bound + 11..bound + 80 {
        shell.tick(Duration::from_secs(second), Some(&set));
    }
    assert_eq!(subject(authenticator.authenticate(&at(&fresh, bound + 80))), Ok("alice".into()));
}

#[test]
fn r_auth_5_ten_thousand_unknown_key_ids_cause_one_fetch_a_window() {
    let (known, unknown) = (issuer(FAR), issuer(FAR));
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), Arc::clone(&keys));
    let mut shell = Shell { keys: Arc::clone(&keys), fetches: 0 };
    let set = known.key_set(NOW);
    shell.tick(Duration::ZERO, Some(&set));
    let strange = token_for(&unknown, "scoring", "mallory", NOW);
    let good = token_for(&known, "scoring", "alice", NOW);
    for number in 0..10_000_u64 {
        let second = number / 100;
        let now = Duration::from_secs(second);
        if let Verdict::NeedKeys(needed) = authenticator.authenticate(&at(&strange, second)) {
            assert_eq!(&*needed.issuer, FAR);
            let flight = keys.handle_unknown_key(now);
            // Every other fetch fails: that must not hurt anybody.
            let answer = shell.fetches.is_multiple_of(2).then_some(&set);
            shell.fly(now, flight, answer);
        }
        assert!(authenticator.authenticate(&at(&strange, second)).settled().is_err());
        assert_eq!(subject(authenticator.authenticate(&at(&good, second))), Ok("alice".into()));
    }
    assert_eq!(shell.fetches, 1 + 100 / 30, "100 seconds");
}

#[test]
fn r_auth_5_a_new_key_is_learnt_at_the_first_token_that_names_it() {
    let mut issuer = issuer(FAR).overlap(Duration::ZERO);
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), Arc::clone(&keys));
    let mut shell = Shell { keys: Arc::clone(&keys), fetches: 0 };
    shell.tick(Duration::ZERO, Some(&issuer.key_set(NOW)));
    issuer.adopt(SigningKey::generate(SigningKeyKind::P256).unwrap(), NOW + Duration::from_secs(40));
    let token = token_for(&issuer, "scoring", "alice", NOW + Duration::from_secs(40));
    assert!(matches!(authenticator.authenticate(&at(&token, 40)), Verdict::NeedKeys(_)));
    let flight = keys.handle_unknown_key(Duration::from_secs(40));
    assert!(keys.handle_unknown_key(Duration::from_secs(40)).is_none(), "one flight at a time");
    shell.fly(Duration::from_secs(40), flight, Some(&issuer.key_set(NOW + Duration::from_secs(40))));
    assert_eq!(subject(authenticator.authenticate(&at(&token, 40))), Ok("alice".into()));
}

#[test]
fn r_auth_4_the_last_good_set_carries_over_a_restart_and_no_longer_than_the_bound() {
    let issuer = issuer(FAR);
    let token = token_for(&issuer, "scoring", "alice", NOW);
    let set = KeySet::from_json(&issuer.key_set(NOW).to_json()).unwrap();
    let rules = Freshness::default();
    for (age, usable) in [(rules.stale, true), (rules.stale + rules.fresh, false)] {
        let keys = Arc::new(IssuerKeys::fetched(rules));
        keys.restore(Duration::ZERO, set.clone(), age);
        let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), Arc::clone(&keys));
        let flight = keys.handle_timeout(Duration::ZERO).unwrap();
        keys.set_failed(Duration::from_secs(1), flight, 0);
        assert_eq!(authenticator.authenticate(&at(&token, 1)).settled().is_ok(), usable);
        assert!(keys.is_stale(Duration::from_secs(1)));
    }
}

#[test]
fn r_auth_4_a_lost_flight_is_replaced_and_counts_for_nothing_when_it_comes_back() {
    let rules = Freshness::default();
    let (set, other) = (issuer(FAR).key_set(NOW), issuer(FAR).key_set(NOW));
    let keys = IssuerKeys::fetched(rules);
    let lost = keys.handle_timeout(Duration::ZERO).unwrap();
    assert!(keys.handle_timeout(rules.flight - Duration::from_millis(1)).is_none());
    assert_eq!(keys.poll_timeout(), Some(rules.flight));
    let second = keys.handle_timeout(rules.flight).unwrap();
    keys.set_fetched(rules.flight, second, set, None, 0);
    let due = keys.poll_timeout();
    keys.set_fetched(rules.flight, lost, other, Some(Duration::from_secs(7200)), 0);
    assert_eq!(keys.poll_timeout(), due);
    assert_eq!(due, Some(rules.flight + rules.fresh * 3 / 4));
}
