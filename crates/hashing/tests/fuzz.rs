//! The bodies of the fuzz targets under random input, on any toolchain.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;

#[path = "fuzz_bodies/hashing_conda.rs"]
mod hashing_conda;
#[cfg(all(feature = "fs", unix))]
#[path = "fuzz_bodies/hashing_unpack.rs"]
mod hashing_unpack;

/// Pieces that YAML gives a meaning to.
fn yamlish() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        ":",
        " ",
        "\n",
        "- ",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "!!str ",
        "'",
        "\"",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "#",
        "dependencies:",
        "pip:",
        "channels:",
        "~",
        "<<",
        "\t",
        "\r\n",
        "%",
        "\u{feff}",
        "é",
        "? ",
        "\\",
        "1.10",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn conda_reads_or_refuses(text in yamlish(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        hashing_conda::check(text.as_bytes());
        hashing_conda::check(&bytes);
    }

    #[test]
    #[cfg(all(feature = "fs", unix))]
    fn unpack_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        hashing_unpack::check(&bytes);
    }
}
