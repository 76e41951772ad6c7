//! The unpacker: whatever the archive, nothing outside the target, and nothing at all after an error.

use std::fs;
use std::path::Path;

use portway_hashing::fs::{Limits, Project, unpack};

pub(crate) fn check(data: &[u8]) {
    unpack_and_look(data);
    unpack_and_look(&archive(data));
}

fn unpack_and_look(archive: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let into = folder.path().join("into");
    let limits = Limits { files: 50, bytes: 100_000 };
    let unpacked = unpack(archive, &into, limits);
    let beside = fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(beside, 1, "something lies beside the target");
    let Ok(summary) = unpacked else {
        assert_eq!(fs::read_dir(&into).expect("the target").count(), 0, "something is left after an error");
        return;
    };
    assert!(summary.files <= limits.files && summary.bytes <= limits.bytes);
    let hides = look(&into, &into);
    if !hides {
        assert_eq!(
            Project::new(&into).limits(Limits::NONE).digest().expect("a project").digest,
            summary.digest
        );
    }
}

/// Every link resolves inside or not at all. Tells whether there is a name that a project treats on its own.
fn look(root: &Path, folder: &Path) -> bool {
    let inside = root.canonicalize().expect("the target");
    let mut hides = false;
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let kind = entry.file_type().expect("a kind");
        hides |= [".git", ".gitignore", ".amlignore"].iter().any(|name| entry.file_name() == **name);
        if kind.is_dir() {
            hides |= look(root, &entry.path());
        } else if kind.is_symlink() {
            assert!(
                entry.path().canonicalize().is_ok_and(|path| path.starts_with(&inside))
                    || !entry.path().exists()
            );
        } else {
            assert!(kind.is_file(), "{:?}", entry.path());
        }
    }
    hides
}

/// An archive whose headers are sound and whose names are hostile: five bytes an entry.
fn archive(data: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 16] = [
        b"a",
        b"b",
        b"..",
        b".",
        b"",
        b"/",
        b"a/b",
        b"a/../b",
        b"../a",
        b"/etc/passwd",
        b".git",
        b"a/b/c",
        b"\xff",
        b"a/",
        b"../../a",
        b"b/a",
    ];
    let kinds = b"00005521236LKSxg7";
    let mut out = Vec::new();
    for entry in data.chunks_exact(5).take(60) {
        let pick = |byte: u8| parts[usize::from(byte) % parts.len()];
        let name = if entry[4] & 1 == 0 {
            pick(entry[0]).to_vec()
        } else {
            [pick(entry[0]), b"/", pick(entry[4] >> 1)].concat()
        };
        let size = u64::from(entry[3]) * if entry[3] == 255 { u64::MAX / 512 } else { 1 };
        out.extend_from_slice(&header(
            &name,
            pick(entry[1]),
            kinds[usize::from(entry[2]) % kinds.len()],
            size,
        ));
        out.resize(out.len() + (usize::from(entry[3]).div_ceil(512) * 512), entry[0]);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn header(name: &[u8], target: &[u8], kind: u8, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000755");
    if size < 1 << 33 {
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = kind;
    block[157..157 + target.len()].copy_from_slice(target);
    block[257..265].copy_from_slice(b"ustar  \0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
