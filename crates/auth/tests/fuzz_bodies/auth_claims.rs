//! Claims under a right signature: what is accepted satisfies the policy by another reading of the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portway_auth::{Algorithm, KeySet, TokenPolicy, UnixSeconds, verify_jws};
use serde_json::Value;

pub(crate) fn check(data: &[u8]) {
    let keys = KeySet::from_jwk(&format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(SECRET)));
    let keys = keys.expect("a good key");
    let token = signed(data);
    assert_eq!(verify_jws(&token, &keys, [Algorithm::Hs256].into()).as_deref(), Ok(data));
    let policy = TokenPolicy::new()
        .issuer("issuer")
        .audience("scoring")
        .algorithms([Algorithm::Hs256])
        .max_bytes(1 << 20);
    let Ok(claims) = policy.verify(&token, &keys, UnixSeconds(NOW)) else { return };
    assert_eq!(claims.json().as_bytes(), data);
    let read: Value = serde_json::from_slice(data).expect("accepted claims are JSON");
    let number = |name: &str| read[name].as_f64();
    let now = NOW as f64;
    let exp = number("exp").expect("accepted claims expire");
    assert!(now < exp + 60.0 && exp.ceil() - number("iat").map_or(now, f64::ceil) <= 86_400.0);
    assert!(["nbf", "iat"].iter().all(|name| number(name).is_none_or(|at| at <= now + 60.0 && at < exp)));
    assert_eq!(read["iss"], "issuer");
    assert!(
        read["aud"] == "scoring" || read["aud"].as_array().is_some_and(|all| all.contains(&"scoring".into()))
    );
}

fn signed(claims: &[u8]) -> String {
    let signed = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(claims));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

const NOW: u64 = 1_700_000_000;
const SECRET: &[u8; 32] = b"this key has 32 bytes, no secret";
