//! Tokens against the attack list and the worked examples of the standards, both as data.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::time::Duration;

use portway_auth::{
    Algorithm, Algorithms, Entropy, Grant, Issuer, KEY_OVERLAP, KeySet, SigningKey, SigningKeyKind,
    TokenError, TokenPolicy, UnixSeconds, verify_jws,
};
use proptest::prelude::*;
use serde_json::Value;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

/// Each line of `attacks.jsonl` after the first is a case; what it leaves out stands in the first.
#[test]
fn r_auth_6_every_row_of_the_attack_list_gets_its_answer() {
    let mut lines =
        include_str!("data/attacks.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let defaults = lines.next().unwrap()["defaults"].clone();
    let mut cases = 0;
    for case in lines {
        let of = |name: &str| case.get(name).unwrap_or_else(|| &defaults[name]);
        let answer = match KeySet::from_json(&of("jwks").to_string()) {
            Err(_) => "key_set",
            Ok(keys) => {
                let now = UnixSeconds(of("now").as_u64().unwrap());
                let token = case["token"].as_str().unwrap();
                policy(of("policy")).verify(token, &keys, now).map_or_else(TokenError::code, |_| "ok")
            }
        };
        assert_eq!(answer, case["expect"], "{}", case["id"]);
        cases += 1;
    }
    assert!(cases > 300, "only {cases} cases");
}

fn policy(spec: &Value) -> TokenPolicy {
    let texts = |name: &str| {
        spec[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect::<Vec<_>>()
    };
    let seconds = |name: &str| Duration::from_secs(spec[name].as_u64().unwrap());
    let policy = TokenPolicy::new()
        .issuer(spec["issuer"].as_str().unwrap())
        .audience(spec["audience"].as_str().unwrap())
        .algorithms(
            texts("algorithms").iter().map(|name| name.parse::<Algorithm>().unwrap()).collect::<Algorithms>(),
        )
        .leeway(seconds("leeway_s"))
        .max_life(seconds("max_life_s"))
        .max_bytes(usize::try_from(spec["max_token_bytes"].as_u64().unwrap()).unwrap())
        .types(texts("typ_allowed"));
    texts("required").into_iter().fold(policy, TokenPolicy::require)
}

#[test]
fn r_auth_6_the_worked_examples_of_the_standards_verify_and_no_changed_one_does() {
    for line in include_str!("data/rfc.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let keys = KeySet::from_jwk(&case["jwk"].to_string()).unwrap();
        let public = KeySet::from_json(&keys.to_json());
        assert_eq!(public.is_err(), keys.is_secret(), "secrets are not written, public keys are");
        let keys = public.unwrap_or(keys);
        let jws = case["jws"].as_str().unwrap();
        let check = |jws: &str| verify_jws(jws, &keys, Algorithms::from(Algorithm::ALL)).is_ok();
        assert_eq!(check(jws), case["accept"], "{}", case["id"]);
        for (at, byte) in jws.bytes().enumerate().step_by(3) {
            let mut changed = jws.as_bytes().to_vec();
            changed[at] = if byte == b'A' { b'B' } else { b'A' };
            assert!(!check(std::str::from_utf8(&changed).unwrap()), "{} changed at {at}", case["id"]);
        }
    }
}

fn issuer(kind: SigningKeyKind) -> Issuer {
    Issuer::new("https://portway.example", SigningKey::generate(kind).unwrap())
}

fn grant() -> Grant<'static> {
    Grant { audience: "scoring", subject: "alice", scopes: &["blue", "green"] }
}

fn entropy() -> Entropy {
    Entropy::from_system().unwrap()
}

#[test]
fn r_auth_2_what_is_issued_verifies_and_says_when_to_come_back() {
    for kind in [SigningKeyKind::Ed25519, SigningKeyKind::P256] {
        let issuer = issuer(kind).life(Duration::from_secs(1000));
        let token = issuer.issue(&grant(), NOW, &entropy()).unwrap();
        assert_eq!(
            (token.token_type, token.refresh_after, token.expires),
            ("Bearer", UnixSeconds(NOW.0 + 800), UnixSeconds(NOW.0 + 1000))
        );
        let policy =
            TokenPolicy::new().issuer(issuer.name()).audience("scoring").types(["at+jwt"]).require("jti");
        let claims = policy.verify(token.access_token.expose(), &issuer.key_set(NOW), NOW).unwrap();
        assert_eq!((claims.subject(), claims.issued_at()), (Some("alice"), Some(NOW)));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["blue", "green"]);
        assert_eq!(claims.audiences().collect::<Vec<_>>(), ["scoring"]);
        let again = issuer.issue(&grant(), NOW, &entropy()).unwrap();
        let again = policy.verify(again.access_token.expose(), &issuer.key_set(NOW), NOW).unwrap();
        assert_ne!(claims.id(), again.id(), "each token has a name of its own");
    }
}

#[test]
fn r_auth_2_keys_come_as_pkcs8_with_or_without_their_public_half() {
    let openssl = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(openssl).unwrap();
    assert_eq!(key.algorithm(), Algorithm::EdDsa);
    // RFC 8037 A.3 prints this key's thumbprint.
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    for text in [
        "",
        "-----BEGIN PRIVATE KEY-----",
        &openssl.replace("MC4", "MC5"),
        &openssl.replace("PRIVATE", "PUBLIC"),
    ] {
        assert!(SigningKey::from_pem(text).is_err());
    }
    assert_eq!(key.to_pem().expose(), openssl);
    assert!(!format!("{key:?}").contains("nWGxne"));
}

/// Verifiers cache the key set for up to the overlap; every token must verify with any set they may hold.
#[test]
fn r_auth_4_no_token_meets_a_verifier_that_cannot_know_its_key() {
    let (life, overlap) = (Duration::from_secs(3600), Duration::from_secs(1200));
    let mut issuer = issuer(SigningKeyKind::Ed25519).life(life).overlap(overlap);
    let policy = TokenPolicy::new().issuer(issuer.name()).audience("scoring");
    let mut sets = vec![];
    let mut tokens = vec![];
    for minute in (0..600_u64).step_by(2) {
        let now = NOW + Duration::from_secs(60 * minute);
        if minute % 98 == 50 {
            let pem = SigningKey::generate(SigningKeyKind::Ed25519).unwrap().to_pem();
            assert!(issuer.adopt(SigningKey::from_pem(pem.expose()).unwrap(), now));
            assert!(
                !issuer.adopt(SigningKey::from_pem(pem.expose()).unwrap(), now),
                "the same file again is no news"
            );
        }
        sets.push(issuer.key_set(now));
        tokens.push(issuer.issue(&grant(), now, &entropy()).unwrap());
        let oldest_cached = sets.len().saturating_sub(10);
        for token in tokens.iter().rev().take(30).step_by(9) {
            for keys in sets[oldest_cached..].iter().step_by(5) {
                policy.verify(token.access_token.expose(), keys, now).unwrap();
            }
        }
    }
    assert!(issuer.schedule().count() <= 3, "old keys are dropped");
    let last = NOW + Duration::from_secs(60 * 598);
    let expired = tokens[0].access_token.expose();
    assert_eq!(policy.verify(expired, &sets[0], last), Err(TokenError::Expired));
    assert_eq!(policy.verify(expired, sets.last().unwrap(), last), Err(TokenError::UnknownKey));
}

#[test]
fn r_auth_4_a_restarted_issuer_keeps_its_schedule_and_a_key_that_comes_back_signs_at_once() {
    let pems: Vec<_> = (0..2).map(|_| SigningKey::generate(SigningKeyKind::P256).unwrap().to_pem()).collect();
    let key = |at: usize| SigningKey::from_pem(pems[at].expose()).unwrap();
    let mut issuer = Issuer::new("i", key(0));
    issuer.adopt(key(1), NOW);
    let times: Vec<_> = issuer.schedule().map(|(_, from)| from).collect();
    let document = issuer.to_document();
    let restarted = Issuer::from_document(document.expose()).unwrap();
    assert_eq!(restarted.jwks(NOW), issuer.jwks(NOW));
    assert_eq!(restarted.to_document().expose(), document.expose());
    for text in [
        "",
        "{}",
        r#"{"name":"i","lifeSeconds":1,"overlapSeconds":1,"keys":[]}"#,
        &document.expose().replace("BEGIN", "END"),
    ] {
        assert!(Issuer::from_document(text).is_err());
    }

    let signer = |issuer: &Issuer, now| {
        let token = issuer.issue(&grant(), now, &entropy()).unwrap();
        (0..2).find(|at| {
            let only = Issuer::new("i", key(*at)).key_set(now);
            TokenPolicy::new().verify(token.access_token.expose(), &only, now).is_ok()
        })
    };
    assert_eq!(signer(&restarted, NOW), Some(0), "the new key waits until it can be known");
    assert_eq!(signer(&restarted, times[1]), Some(1));
    issuer.adopt(key(0), NOW + Duration::from_secs(9));
    assert_eq!(signer(&issuer, NOW + Duration::from_secs(9)), Some(0), "the rotation was called off");
    assert_eq!(signer(&issuer, times[1] + Duration::from_secs(9)), Some(0));

    // After a day nobody has the other key in a cache any more: it starts anew.
    let day = NOW + Duration::from_secs(86_400);
    assert!(issuer.adopt(key(1), day));
    assert_eq!(signer(&issuer, day + Duration::from_secs(9)), Some(0));
    assert_eq!(signer(&issuer, day + KEY_OVERLAP), Some(1));
}

#[test]
fn r_auth_6_nothing_printed_holds_a_token_or_a_signing_key() {
    let key = SigningKey::generate(SigningKeyKind::Ed25519).unwrap();
    let (pem, mut issuer) = (key.to_pem(), Issuer::new("i", key));
    issuer.adopt(SigningKey::generate(SigningKeyKind::P256).unwrap(), NOW);
    let token = issuer.issue(&grant(), NOW, &entropy()).unwrap();
    let printed =
        format!("{pem:?} {issuer:?} {token:?} {:?} {:?}", issuer.key_set(NOW), issuer.to_document());
    let secret_half = &pem.expose().lines().nth(1).unwrap()[24..48];
    let signature = token.access_token.expose().rsplit('.').next().unwrap();
    assert!(!printed.contains(secret_half) && !printed.contains(signature), "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Against the rules written down once more, on numbers alone.
    #[test]
    fn r_auth_6_times_agree_with_the_plain_rules(
        exp in 0..400_u64, nbf in prop::option::of(0..400_u64), iat in prop::option::of(0..400_u64), leeway in 0..60_u64, longest in 1..300_u64
    ) {
        let base = NOW.0 - 200;
        let key = SigningKey::from_pem("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----").unwrap();
        let keys = Issuer::new("i", key).key_set(NOW);
        let mut claims = serde_json::json!({ "exp": base + exp });
        for (name, value) in [("nbf", nbf), ("iat", iat)] {
            if let Some(value) = value {
                claims[name] = (base + value).into();
            }
        }
        let token = sign_with_rfc_8037_key(&claims.to_string());
        let policy = TokenPolicy::new().leeway(Duration::from_secs(leeway)).max_life(Duration::from_secs(longest));
        let now = 200;
        let valid = now < exp + leeway
            && nbf.is_none_or(|nbf| nbf <= now + leeway && nbf < exp)
            && iat.is_none_or(|iat| iat <= now + leeway && iat < exp)
            && exp.saturating_sub(iat.unwrap_or(now)) <= longest;
        prop_assert_eq!(policy.verify(&token, &keys, NOW).is_ok(), valid);
    }
}

fn sign_with_rfc_8037_key(claims: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
}
