//! Compact JWS: only what was signed verifies, whatever is put around it or changed in it.

use portway_auth::{Algorithm, Algorithms, KeySet, TokenPolicy, UnixSeconds, verify_jws};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keys = KeySet::from_jwk(KEY).expect("a good key");
    let all = Algorithms::from(Algorithm::ALL);
    // Nobody but the author of RFC 8037 has the private key.
    assert!(text == SIGNED || verify_jws(text, &keys, all).is_err());
    assert!(TokenPolicy::new().verify(text, &keys, UnixSeconds(1_700_000_000)).is_err());
    // The same with one byte of a good message replaced, at a place and by a byte that the input chooses.
    let [place, byte, ..] = *data else { return };
    let mut changed = SIGNED.as_bytes().to_vec();
    let at = usize::from(place) % changed.len();
    changed[at] = byte & 0x7f;
    if let Ok(changed) = std::str::from_utf8(&changed) {
        assert_eq!(verify_jws(changed, &keys, all).is_ok(), changed == SIGNED, "{changed}");
    }
}

/// RFC 8037 appendix A.4.
const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
