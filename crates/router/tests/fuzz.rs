//! The fuzz bodies on inputs that a stable toolchain makes.

#[path = "fuzz_bodies/router_path.rs"]
mod router_path;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn paths(path in "(/api/v1/service/)?[a-zA-Z0-9%./-]{0,40}(/score|/swagger.json)?") {
        router_path::check(path.as_bytes());
    }

    #[test]
    fn names(path in "/api/v1/service/[a-z0-9-]{0,34}/(score|swagger.json)") {
        router_path::check(path.as_bytes());
    }

    #[test]
    fn bytes(path in prop::collection::vec(any::<u8>(), 0..80)) {
        router_path::check(&path);
    }
}
