//! What the unpacker refuses; after each refusal nothing is left.
#![cfg(all(feature = "fs", unix))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Read;

use portway_hashing::fs::{Limits, UnpackError, unpack};
use tar::{Builder, EntryType, Header};

#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    /// An entry with whatever name and target, past the checks of the library that writes it.
    fn entry(mut self, kind: EntryType, name: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        let mut one = Builder::new(Vec::new());
        one.append(&header, content).unwrap();
        let mut bytes = one.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1024);
        self.0.extend_from_slice(&bytes);
        self
    }

    fn file(self, name: &str) -> Self {
        self.entry(EntryType::Regular, name, "", b"x")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    fn unpack(&self, limits: Limits) -> Result<Vec<String>, UnpackError> {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("into");
        let bytes = [&self.0[..], &[0; 1024]].concat();
        let result = unpack(bytes.as_slice(), &into, limits);
        let mut names: Vec<_> =
            fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        if result.is_err() {
            assert!(names.is_empty(), "left behind: {names:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        result.map(|_| names.into_iter().map(|name| name.into_string().unwrap()).collect())
    }

    fn refused(&self) -> String {
        self.unpack(Limits::default()).unwrap_err().to_string()
    }
}

fn archive() -> Archive {
    Archive::default()
}

#[test]
fn r_img_3_refuses_paths_that_lead_out() {
    let cases = [
        ("../x", "`..`"),
        ("a/../x", "`..`"),
        ("..", "`..`"),
        ("/etc/x", "absolute"),
        ("./x", "`.`"),
        ("a//x", "empty part"),
        ("a/", "empty part"),
        ("", "no usable path"),
    ];
    for (name, problem) in cases {
        let error = archive().file("good").file(name).refused();
        assert!(error.contains(problem), "{name}: {error}");
    }
}

#[test]
fn r_img_3_refuses_links_out_and_paths_through_links() {
    for target in ["/etc/passwd", "../x", "..", "a/../../x", ""] {
        let error = archive().link("l", target).refused();
        assert!(error.contains("leads out"), "{target}: {error}");
    }
    assert!(archive().folder("d").link("l", "d").file("l/x").refused().contains("no folder"));
    assert!(archive().file("f").file("f/x").refused().contains("no folder"));
    let up = archive().folder("d").folder("d/e").link("d/e/up", "../..").link("x", "d/e/up/../../y");
    assert!(up.refused().contains("leads out"));
    assert_eq!(
        archive().folder("d").link("d/l", "../x").file("x").unpack(Limits::default()).unwrap(),
        ["d", "x"]
    );
}

#[test]
fn r_img_3_refuses_the_same_path_twice() {
    for twice in [
        archive().file("a").file("a"),
        archive().link("a", "b").file("a"),
        archive().file("a").link("a", "b"),
        archive().file("d/a").file("d"),
        archive().file("a").folder("a/"),
        archive().folder("d").folder("d/"),
    ] {
        let error = twice.refused();
        assert!(error.contains("second time"), "{error}");
    }
    assert_eq!(archive().file("d/a").folder("d/").file("d/b").unpack(Limits::default()).unwrap(), ["d"]);
}

#[test]
fn r_img_3_refuses_whatever_is_neither_file_folder_nor_link() {
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'9')] {
        let error = archive().entry(kind, "a", "b", b"").refused();
        assert!(error.contains("neither"), "{kind:?}: {error}");
    }
    // A sparse file, whose holes cost nothing in the archive, is refused here or by the reader.
    assert!(archive().entry(EntryType::GNUSparse, "a", "", b"").unpack(Limits::default()).is_err());
}

#[test]
fn r_img_3_refuses_bombs_before_they_go_off() {
    let limits = Limits { files: 3, bytes: 10 };
    let many = archive().file("a").file("b").file("c").file("d");
    assert!(matches!(many.unpack(limits), Err(UnpackError::TooBig(_))));
    let folders = archive().folder("a").folder("b").folder("c").folder("d");
    assert!(matches!(folders.unpack(limits), Err(UnpackError::TooBig(_))));
    assert!(matches!(archive().folder("a/b/c/d").unpack(limits), Err(UnpackError::TooBig(_))));
    let big = archive().entry(EntryType::Regular, "a", "", b"0123456789a");
    assert!(matches!(big.unpack(limits), Err(UnpackError::TooBig(_))));

    // A length that nothing stands behind is refused for what it claims.
    let mut header = Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_mode(0o644);
    header.set_size(u64::MAX / 2);
    header.set_cksum();
    let claimed = Archive(header.as_bytes().to_vec());
    assert!(matches!(claimed.unpack(limits), Err(UnpackError::TooBig(_))));

    // A name without end is not read to its end.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let endless = header.as_bytes().chain(std::io::repeat(b'a'));
    let into = tempfile::tempdir().unwrap();
    assert!(matches!(unpack(endless, into.path(), Limits::NONE), Err(UnpackError::Damaged(_))));
}

#[test]
fn refuses_what_is_no_archive_or_is_cut_short() {
    let whole = archive().entry(EntryType::Regular, "a", "", &[7; 2000]).0;
    for bytes in [&[1; 512][..], &whole[..100], &whole[..512], &whole[..1500], b"PK\x03\x04 a zip file"] {
        let into = tempfile::tempdir().unwrap();
        let error = unpack(bytes, into.path(), Limits::default()).unwrap_err();
        assert!(matches!(error, UnpackError::Damaged(_)), "{error}");
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
    }
}

#[test]
fn refuses_a_target_that_is_not_empty_and_leaves_it_alone() {
    let into = tempfile::tempdir().unwrap();
    fs::write(into.path().join("mine"), "").unwrap();
    let error = unpack(archive().file("a").0.as_slice(), into.path(), Limits::default()).unwrap_err();
    assert!(matches!(error, UnpackError::NotEmpty { .. }), "{error}");
    assert!(into.path().join("mine").exists());
    let file = into.path().join("mine");
    assert!(matches!(unpack(&[][..], &file, Limits::default()), Err(UnpackError::NotEmpty { .. })));
    assert!(matches!(unpack(&[][..], file.join("x"), Limits::default()), Err(UnpackError::Write { .. })));
}
