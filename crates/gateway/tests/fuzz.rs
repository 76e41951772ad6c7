//! The fuzz bodies on inputs that a stable toolchain makes.

#[path = "fuzz_bodies/gateway_forwarded.rs"]
mod gateway_forwarded;
#[path = "fuzz_bodies/gateway_headers.rs"]
mod gateway_headers;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn header_sets(
        lines in prop::collection::vec(
            "(connection|upgrade|te|transfer-encoding|keep-alive|content-length|authorization|x-[a-c]|accept|expect)\
             :(close|x-[a-c]|websocket|upgrade, x-a|trailers|chunked|h2c|[ -~]{0,12})",
            0..12,
        )
    ) {
        gateway_headers::check(lines.join("\n").as_bytes());
    }

    #[test]
    fn header_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        gateway_headers::check(&data);
    }

    #[test]
    fn forwarded_claims(
        lines in prop::collection::vec(
            "([0-9.]{1,15}(, [0-9a-f:]{2,20})?|for=[ -~]{0,20}|[ -~]{0,30}|0[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-0[01])",
            0..7,
        )
    ) {
        gateway_forwarded::check(lines.join("\n").as_bytes());
    }

    #[test]
    fn forwarded_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        gateway_forwarded::check(&data);
    }
}
