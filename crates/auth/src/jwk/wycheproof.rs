//! The published vectors of Project Wycheproof, below the token format: their messages are no JWS.

use serde_json::Value;

use super::*;

struct Case {
    number: u64,
    message: Vec<u8>,
    signature: Vec<u8>,
    is_valid: bool,
}

impl Case {
    fn read(row: &Value) -> Self {
        let bytes = |at: usize| URL_SAFE_NO_PAD.decode(row[at].as_str().unwrap()).unwrap();
        // Where the judgement is left to the reader ("acceptable"), the strict one is right.
        let is_valid = row[3] == "valid";
        Self { number: row[0].as_u64().unwrap(), message: bytes(1), signature: bytes(2), is_valid }
    }
}

/// Reads a key as a key set would.
fn read(jwk: &Value) -> Jwk {
    Jwk::read(&Object::parse(jwk.to_string().as_bytes()).unwrap()).unwrap()
}

/// Valid by Wycheproof, and refused here by rule (RFC 7518 section 3.2): a key shorter than the hash, half a tag.
fn is_refused_by_rule(algorithm: Algorithm, jwk: &Value, case: &Case) -> bool {
    let Some(with) = hmac_algorithm(algorithm) else { return false };
    let full = with.digest_algorithm().output_len();
    let key = URL_SAFE_NO_PAD.decode(jwk["k"].as_str().unwrap()).unwrap();
    key.len() < full || case.signature.len() < full
}

#[test]
fn r_auth_6_wycheproof_vectors_are_judged_as_published() {
    let (mut judged, mut refused_by_rule) = (0, 0);
    for line in include_str!("../../tests/data/wycheproof.jsonl").lines().skip(1) {
        let group: Value = serde_json::from_str(line).unwrap();
        let algorithm: Algorithm = group["algorithm"].as_str().unwrap().parse().unwrap();
        let key = read(&group["jwk"]);
        for case in group["cases"].as_array().unwrap().iter().map(Case::read) {
            let by_rule = case.is_valid && is_refused_by_rule(algorithm, &group["jwk"], &case);
            let expected = case.is_valid && !by_rule;
            assert_eq!(
                key.verify(algorithm, &case.message, &case.signature),
                expected,
                "{algorithm:?}, case {}",
                case.number
            );
            judged += 1;
            refused_by_rule += u32::from(by_rule);
        }
    }
    assert_eq!((judged, refused_by_rule), (2419, 108));
}
