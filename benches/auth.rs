//! What authentication adds to a request in `portway-auth`, each beside `ring`'s bare operation in the same run.
//!
//! - `key`: a key just received against one verifier of 1, 1 000 and 100 000 at random; the same for keys that have predecessors.
//!   Floors: SHA-256 of the key, and one look at a verifier as far away in memory. Wrong keys that differ in the first or in
//!   the last character, the decoy, and the throttle in front.
//! - `verify`: a token checked in full. Floor: the bare signature check of the same message.
//! - `cached`: a token seen before, judged anew; also among 4 000 others, and with an issuer that has been away for 23 hours. Floor:
//!   SHA-256 of the token.
//! - `throttle`: one failure counted, addresses at random.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_auth::{
    Attempt, Authenticator, Bearer, Credentials, Entropy, FailureThrottle, Freshness, Grant, Issuer,
    IssuerKeys, KeySet, KeySlot, SigningKey, SigningKeyKind, Throttled, TokenAuthenticator, TokenPolicy,
    UnixSeconds, Verifier,
};
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::Value;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

fn attempt(credential: &str) -> Attempt<'_> {
    Attempt {
        bearer: Bearer::from_credential(credential.as_bytes()),
        audience: "scoring",
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        now: Duration::ZERO,
        wall: NOW,
    }
}

fn credentials(seed: u32) -> Credentials {
    let entropy = |slot: u8| {
        let mut bytes = [slot; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        Entropy::from_bytes(bytes)
    };
    Credentials::generate(&entropy(1), &entropy(2)).expect("different keys")
}

fn key(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    let known = credentials(0);
    let key = known.key(KeySlot::Secondary).expose();
    group.bench_function("floor: sha-256", |b| b.iter(|| digest(&SHA256, black_box(key).as_bytes())));
    let mut regenerated = known.clone();
    let entropy = Entropy::from_bytes([3; 32]);
    regenerated.regenerate(KeySlot::Primary, &entropy, NOW, Duration::ZERO).expect("another key");
    for endpoints in [1, 1_000, 100_000] {
        // All have the same key, so that the key is at hand, as one just received is, and only the verifier is far away.
        let verifiers = vec![known.verifier(); endpoints];
        let with_predecessors = vec![regenerated.verifier(); endpoints];
        let mut bits = random();
        // Each look waits for the one before, as a request waits for its own.
        let mut last = 0;
        group.bench_function(BenchmarkId::new("floor: look at one", endpoints), |b| {
            b.iter(|| last = black_box(&verifiers[below(endpoints, bits() ^ last)]).revision() >> 1);
        });
        group.bench_function(BenchmarkId::new("check", endpoints), |b| {
            b.iter(|| verifiers[below(endpoints, bits())].authenticate(&attempt(black_box(key))));
        });
        group.bench_function(BenchmarkId::new("check after a regeneration", endpoints), |b| {
            b.iter(|| with_predecessors[below(endpoints, bits())].authenticate(&attempt(black_box(key))));
        });
    }
    let verifier = known.verifier();
    let (first, last) = (format!("x{}", &key[1..]), format!("{}x", &key[..key.len() - 1]));
    for (name, wrong) in [("wrong in the first character", &first), ("wrong in the last character", &last)] {
        group.bench_function(name, |b| b.iter(|| verifier.authenticate(&attempt(black_box(wrong)))));
    }
    group.bench_function("unknown endpoint", |b| {
        b.iter(|| Verifier::decoy().authenticate(&attempt(black_box(&first))))
    });
    let throttle = FailureThrottle::new(20, Duration::from_secs(1), 16_384, 7);
    let throttled = Throttled::new(verifier, throttle);
    group.bench_function("check behind a throttle", |b| {
        b.iter(|| throttled.authenticate(&attempt(black_box(key))))
    });
    group.finish();
}

/// One token and what it takes to check it.
struct Sample {
    name: &'static str,
    token: String,
    keys: KeySet,
    policy: TokenPolicy,
    jwk: Value,
}

/// Ours, and the RS256 token of an identity provider, which only the tests' data can sign.
fn samples() -> Vec<Sample> {
    let issued = [("eddsa", SigningKeyKind::Ed25519), ("es256", SigningKeyKind::P256)].map(|(name, kind)| {
        let issuer = issuer(kind);
        let jwk = serde_json::from_str::<Value>(&issuer.jwks(NOW)).expect("a key set")["keys"][0].clone();
        let policy = TokenPolicy::new().issuer(issuer.name()).audience("scoring");
        Sample { name, token: token(&issuer, "alice"), keys: issuer.key_set(NOW), policy, jwk }
    });
    let data = include_str!("../crates/auth/tests/data/attacks.jsonl");
    let mut lines = data.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let jwk = lines.next().expect("defaults")["defaults"]["jwks"]["keys"][2].clone();
    let case = lines.find(|case| case["id"] == "good/rs256").expect("the case is there");
    let rs256 = Sample {
        name: "rs256",
        token: case["token"].as_str().expect("text").to_owned(),
        keys: KeySet::from_jwk(&jwk.to_string()).expect("a good key"),
        policy: TokenPolicy::new().issuer("https://issuer.example").audience("scoring"),
        jwk,
    };
    issued.into_iter().chain([rs256]).collect()
}

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    for Sample { name, token, keys, policy, jwk } in samples() {
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let part =
            |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).expect("base64url");
        let bare: Box<dyn Fn() -> bool> = if name == "rs256" {
            let (n, e) = (part("n"), part("e"));
            Box::new(move || {
                let key = RsaPublicKeyComponents { n: &n, e: &e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, black_box(signed).as_bytes(), &signature).is_ok()
            })
        } else {
            let is_curve = name == "es256";
            let with: &dyn VerificationAlgorithm = if is_curve { &ECDSA_P256_SHA256_FIXED } else { &ED25519 };
            let point = [vec![4; usize::from(is_curve)], part("x"), part("y")].concat();
            Box::new(move || {
                UnparsedPublicKey::new(with, &point).verify(black_box(signed).as_bytes(), &signature).is_ok()
            })
        };
        assert!(bare() && policy.verify(&token, &keys, NOW).is_ok());
        group.bench_function(BenchmarkId::new("floor: ring", name), |b| b.iter(&bare));
        group.bench_function(BenchmarkId::new("token", name), |b| {
            b.iter(|| policy.verify(black_box(&token), &keys, NOW))
        });
    }
    group.finish();
}

fn cached(c: &mut Criterion) {
    let mut group = c.benchmark_group("cached");
    let issuer = issuer(SigningKeyKind::Ed25519);
    let keys = Arc::new(IssuerKeys::fetched(Freshness::default()));
    let flight = keys.handle_timeout(Duration::ZERO).expect("nothing is known yet");
    keys.set_fetched(Duration::ZERO, flight, issuer.key_set(NOW), None, 0);
    let authenticator =
        TokenAuthenticator::with_capacity(16_384).trust(issuer.name(), TokenPolicy::new(), keys);
    let tokens: Vec<_> = (0..4_000).map(|number| token(&issuer, &number.to_string())).collect();
    for token in &tokens {
        authenticator.authenticate(&attempt(token)).settled().expect("a good token");
    }
    let bytes = tokens[0].len();
    group.bench_function(BenchmarkId::new("floor: sha-256", bytes), |b| {
        b.iter(|| digest(&SHA256, black_box(&tokens[0]).as_bytes()));
    });
    group.bench_function("one token", |b| {
        b.iter(|| authenticator.authenticate(&attempt(black_box(&tokens[0]))))
    });
    let mut bits = random();
    group.bench_function("4 000 tokens at random", |b| {
        b.iter(|| authenticator.authenticate(&attempt(&tokens[(bits() % 4_000) as usize])));
    });
    let away = Duration::from_secs(23 * 3600);
    group.bench_function("issuer away for 23 hours", |b| {
        b.iter(|| authenticator.authenticate(&Attempt { now: away, ..attempt(black_box(&tokens[0])) }));
    });
    group.finish();
}

fn throttle(c: &mut Criterion) {
    let throttle = FailureThrottle::new(20, Duration::from_secs(1), 16_384, 7);
    let mut bits = random();
    c.bench_function("throttle/failure", |b| {
        b.iter(|| {
            let client = IpAddr::V4(Ipv4Addr::from(bits() as u32));
            throttle.record_failure(Duration::ZERO, client);
            throttle.blocked_for(Duration::ZERO, client)
        });
    });
}

fn issuer(kind: SigningKeyKind) -> Issuer {
    Issuer::new("https://portway.example", SigningKey::generate(kind).expect("the system has randomness"))
}

fn token(issuer: &Issuer, subject: &str) -> String {
    let grant = Grant { audience: "scoring", subject, scopes: &["blue"] };
    let token = issuer.issue(&grant, NOW, &Entropy::from_bytes([7; 32])).expect("the system has randomness");
    token.access_token.expose().to_owned()
}

/// A number below `end` out of 64 random bits, without a division.
fn below(end: usize, bits: u64) -> usize {
    ((u128::from(bits) * end as u128) >> 64) as usize
}

/// Splitmix64: chance without a dependency.
fn random() -> impl FnMut() -> u64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

criterion_group!(benches, key, verify, cached, throttle);
criterion_main!(benches);
