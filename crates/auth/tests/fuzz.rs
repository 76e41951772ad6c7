//! The bodies of the fuzz targets under random input, on any toolchain.

use proptest::prelude::*;

#[path = "fuzz_bodies/auth_bearer.rs"]
mod auth_bearer;
#[path = "fuzz_bodies/auth_claims.rs"]
mod auth_claims;
#[path = "fuzz_bodies/auth_jwks.rs"]
mod auth_jwks;
#[path = "fuzz_bodies/auth_jws.rs"]
mod auth_jws;

/// Pieces that mean something in a place or another.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0061",
    "null",
    "true",
    "1700000000",
    "1700000060",
    "1699999999.5",
    "-1",
    "1e400",
    "1e18",
    "\"exp\":1700003600",
    "\"iat\":1700000000",
    "\"nbf\":1699999999",
    "\"iss\":\"issuer\"",
    "\"aud\":\"scoring\"",
    "\"aud\":[\"scoring\",\"x\"]",
    "\"sub\":\"a\"",
    "\"jti\":1",
    "{\"keys\":[",
    "\"kty\":\"OKP\"",
    "\"kty\":\"RSA\"",
    "\"kty\":\"oct\"",
    "\"crv\":\"Ed25519\"",
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"",
    "\"k\":\"AAAA\"",
    "\"kid\":\"a\"",
    "\"use\":\"sig\"",
    "\"alg\":\"EdDSA\"",
    ".",
    "eyJhbGciOiJFZERTQSJ9",
    "Bearer ",
    " ",
    "\u{feff}",
    "\0",
];

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)
            .prop_map(|pieces| pieces.concat().into_bytes()),
        // Members in the right places: most of these are objects.
        prop::collection::vec(prop::sample::select(&PIECES[16..24]), 0..8).prop_map(|members| format!(
            "{{{}}}",
            members.join(",")
        )
        .into_bytes()),
        prop::collection::vec(prop::sample::select(&PIECES[25..34]), 0..6).prop_map(|members| format!(
            "{{\"keys\":[{{{}}}]}}",
            members.join(",")
        )
        .into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bearer_reads_or_refuses(data in pieces()) {
        auth_bearer::check(&data);
        auth_bearer::check(&[&b"Bearer "[..], &data].concat());
    }

    #[test]
    fn jws_verifies_what_was_signed_only(data in pieces()) {
        auth_jws::check(&data);
    }

    #[test]
    fn claims_are_judged_as_another_reader_reads_them(data in pieces()) {
        auth_claims::check(&data);
    }

    #[test]
    fn key_sets_read_or_refuse(data in pieces()) {
        auth_jwks::check(&data);
    }
}
