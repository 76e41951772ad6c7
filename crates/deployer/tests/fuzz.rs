//! The fuzz body on the stable toolchain, fed with pieces of Python.

use proptest::prelude::*;

#[path = "fuzz_bodies/deployer_entry.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz target")]
mod deployer_entry;

fn piece() -> impl Strategy<Value = &'static str> {
    let pieces = [
        "def ", "async ", "init", "run", "(", ")", ":", "=", "'", "\"", "'''", "\"\"\"", "\\", "\n", "#",
        " ", "from ", "import ", ",", "as ", "class A", "\u{feff}", "ä",
    ];
    prop::sample::select(pieces.to_vec())
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        deployer_entry::check(&data);
    }

    #[test]
    fn anything_like_python(pieces in prop::collection::vec(piece(), 0..40)) {
        deployer_entry::check(pieces.concat().as_bytes());
    }
}
