//! Key sets: read or refused, never empty, and written out as the same set.

use portway_auth::{Algorithm, Algorithms, KeySet, verify_jws};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for keys in [KeySet::from_json(text), KeySet::from_jwk(text)].into_iter().flatten() {
        assert!(keys.len() > 0);
        let written = KeySet::from_json(&keys.to_json());
        assert_eq!(written.map_or(0, |again| again.len()), if keys.is_secret() { 0 } else { keys.len() });
        // No key makes a message without a signature good.
        for unsigned in ["eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJFZERTQSJ9.e30.", "eyJhbGciOiJIUzI1NiJ9.e30."]
        {
            assert!(verify_jws(unsigned, &keys, Algorithms::from(Algorithm::ALL)).is_err());
        }
    }
}
