//! Digest, stat cache, limits and packs of a project folder.
#![cfg(all(feature = "fs", unix))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use portway_hashing::Digest;
use portway_hashing::fs::{Kind, Limits, Project, ProjectError, unpack};
use proptest::prelude::*;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(path, content)| write(folder.path(), path, content));
    folder
}

fn digest(root: &Path) -> Digest {
    Project::new(root).digest().unwrap().digest
}

fn of(files: &[(&str, &str)]) -> Digest {
    digest(project(files).path())
}

// === the three collisions of the original ===

#[test]
fn r_img_7_renaming_a_folder_changes_the_digest() {
    assert_ne!(of(&[("a/x", "1")]), of(&[("b/x", "1")]));
}

#[test]
fn r_img_7_a_byte_moved_between_name_and_content_changes_the_digest() {
    assert_ne!(of(&[("b.py", "xa")]), of(&[("ab.py", "x")]));
}

#[test]
fn r_img_7_bytes_moved_between_files_change_the_digest() {
    assert_ne!(of(&[("a", "xy"), ("b", "")]), of(&[("a", "x"), ("b", "y")]));
}

#[test]
fn r_img_7_what_does_not_count() {
    let folder = project(&[("a", "1"), ("d/b", "2")]);
    let before = digest(folder.path());
    fs::create_dir_all(folder.path().join("empty/folder")).unwrap();
    fs::set_permissions(folder.path().join("a"), Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(folder.path().join("d"), Permissions::from_mode(0o700)).unwrap();
    fs::File::open(folder.path().join("a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(digest(folder.path()), before);
    assert_eq!(of(&[("d/b", "2"), ("a", "1")]), before, "another folder, another order of creation");
    let through_a_link = project(&[]);
    symlink(folder.path(), through_a_link.path().join("link")).unwrap();
    assert_eq!(digest(&through_a_link.path().join("link")), before);
}

#[test]
fn r_img_7_what_counts() {
    let folder = project(&[("a", "1"), ("d/b", "2")]);
    let before = digest(folder.path());
    fs::set_permissions(folder.path().join("a"), Permissions::from_mode(0o744)).unwrap();
    let executable = digest(folder.path());
    assert_ne!(executable, before);
    fs::set_permissions(folder.path().join("a"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(digest(folder.path()), before);
    write(folder.path(), "d/b", "3");
    assert_ne!(digest(folder.path()), before);
    let (file, link) = (project(&[("a", "b")]), project(&[]));
    symlink("b", link.path().join("a")).unwrap();
    assert_ne!(digest(file.path()), digest(link.path()));
}

// === what is in a project ===

#[test]
fn r_img_3_links_are_kept_and_never_followed() {
    let folder = project(&[("d/a", "1")]);
    symlink("d", folder.path().join("l")).unwrap();
    symlink("../d/a", folder.path().join("d/self")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    let entries = Project::new(folder.path()).entries().unwrap();
    let found: Vec<_> = entries.iter().map(|entry| (entry.path().to_str().unwrap(), entry.kind())).collect();
    let expected = [("d/a", Kind::File), ("d/self", Kind::Link), ("dangling", Kind::Link), ("l", Kind::Link)];
    assert_eq!(found, expected);
}

#[test]
fn r_img_3_links_out_and_special_files_are_refused_unless_ignored() {
    for target in ["/etc/passwd", "../x", "d/../../x", "d/.."] {
        let folder = project(&[("d/a", "")]);
        symlink(target, folder.path().join("l")).unwrap();
        let error = Project::new(folder.path()).digest().unwrap_err();
        assert!(matches!(&error, ProjectError::LinkOut { .. }), "{target}: {error}");
        assert!(error.to_string().contains(target), "{error}");
        write(folder.path(), ".amlignore", "/l\n");
        Project::new(folder.path()).digest().unwrap();
    }
    let folder = project(&[]);
    let _socket = UnixListener::bind(folder.path().join("s")).unwrap();
    let error = Project::new(folder.path()).digest().unwrap_err();
    assert!(matches!(&error, ProjectError::Special { kind: "a socket", .. }), "{error}");
    write(folder.path(), ".gitignore", "s\n");
    Project::new(folder.path()).digest().unwrap();
}

#[test]
fn r_img_3_past_the_limits_the_five_largest_are_named() {
    let files = [("a", 10), ("b/c", 700), ("d", 30), ("e", 600), ("f", 50), ("g", 500), ("h", 400)];
    let folder = project(&[]);
    files.iter().for_each(|(path, size)| write(folder.path(), path, &"x".repeat(*size)));
    let whole = Project::new(folder.path()).limits(Limits { files: 7, bytes: 2290 });
    assert_eq!(whole.digest().unwrap().bytes, 2290);
    for limits in [Limits { files: 6, bytes: u64::MAX }, Limits { files: u64::MAX, bytes: 2289 }] {
        let project = Project::new(folder.path()).limits(limits);
        for error in [project.digest().unwrap_err(), project.pack(Vec::new()).unwrap_err()] {
            let ProjectError::TooBig(too_big) = error else { panic!("{error}") };
            assert_eq!((too_big.files, too_big.bytes), (7, 2290));
            let named: Vec<_> =
                too_big.largest.iter().map(|(path, size)| (path.to_str().unwrap(), *size)).collect();
            assert_eq!(named, [("b/c", 700), ("e", 600), ("g", 500), ("h", 400), ("f", 50)]);
            assert!(too_big.to_string().contains("700 bytes  b/c"), "{too_big}");
        }
    }
    assert_eq!(Limits::default(), Limits { files: 2000, bytes: 300_000_000 });
}

#[test]
fn a_folder_that_is_missing_or_a_file_is_named() {
    let folder = project(&[("a", "")]);
    for name in ["missing", "a"] {
        let error = Project::new(folder.path().join(name)).entries().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_tree_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(vec!["d"; 201].join("/"))).unwrap();
    assert!(matches!(Project::new(folder.path()).digest(), Err(ProjectError::TooDeep { limit: 200, .. })));
}

// === stat cache ===

/// Waits until the file system's clock shows another time than it did when `path` was last changed.
fn until_the_clock_ticks(folder: &Path, path: &Path) {
    let changed = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let probe = folder.join("probe");
    loop {
        fs::write(&probe, "").unwrap();
        if changed(&probe) > changed(path) {
            return fs::remove_file(&probe).unwrap();
        }
    }
}

#[test]
fn r_img_7_an_unchanged_file_is_not_read_again() {
    let (folder, outside) =
        (project(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]), tempfile::tempdir().unwrap());
    let project = Project::new(folder.path()).stat_cache(outside.path().join("cache"));
    until_the_clock_ticks(outside.path(), &folder.path().join("d/c"));
    let first = project.digest().unwrap();
    assert_eq!((first.read, first.digest), (3, digest(folder.path())));
    let second = project.digest().unwrap();
    assert_eq!((second.read, second.digest), (0, first.digest));

    write(folder.path(), "d/b", "4");
    let third = project.digest().unwrap();
    assert_eq!((third.read, third.digest), (1, digest(folder.path())));
    fs::rename(folder.path().join("d"), folder.path().join("e")).unwrap();
    let renamed = project.digest().unwrap();
    assert_eq!(renamed.digest, digest(folder.path()));
    assert_ne!(renamed.digest, third.digest);
    fs::remove_file(folder.path().join("a")).unwrap();
    assert_eq!(project.digest().unwrap().digest, digest(folder.path()));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn r_img_7_a_file_changed_in_the_tick_in_which_it_was_read_is_read_again() {
    let (folder, outside) = (project(&[]), tempfile::tempdir().unwrap());
    let project = Project::new(folder.path()).stat_cache(outside.path().join("cache"));
    for round in 0..300 {
        write(folder.path(), "a", &format!("{round:04}"));
        assert_eq!(project.digest().unwrap().digest, digest(folder.path()), "round {round}");
    }
}

#[test]
fn r_img_7_a_damaged_cache_costs_time_and_nothing_else() {
    let (folder, outside) = (project(&[("a", "1"), ("b", "2")]), tempfile::tempdir().unwrap());
    let cache = outside.path().join("cache");
    let project = Project::new(folder.path()).stat_cache(&cache);
    until_the_clock_ticks(outside.path(), &folder.path().join("b"));
    let expected = project.digest().unwrap().digest;
    let good = fs::read(&cache).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&b""[..], b"garbage", &good[..good.len() - 1], &flipped, &[&good[..], b"x"].concat()] {
        fs::write(&cache, damaged).unwrap();
        let again = project.digest().unwrap();
        assert_eq!((again.read, again.digest), (2, expected));
        assert_eq!(fs::read(&cache).unwrap(), good, "it is written anew");
    }
    let nowhere = Project::new(folder.path()).stat_cache(outside.path().join("no/folder"));
    assert!(matches!(nowhere.digest(), Err(ProjectError::Cache { .. })));
}

// === packs ===

#[test]
fn r_img_3_a_pack_depends_on_the_project_alone_and_unpacks_to_it() {
    let files = [("z", "1"), ("a/b", "2"), ("a-b", "3"), (".amlignore", "*.txt\n"), ("x.txt", "4")];
    let (one, other) = (project(&files), project(&files));
    for folder in [&one, &other] {
        symlink("a/b", folder.path().join("link")).unwrap();
        let mode = if folder.path() == one.path() { 0o777 } else { 0o700 };
        fs::set_permissions(folder.path().join("z"), Permissions::from_mode(mode)).unwrap();
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let packed = Project::new(one.path()).pack(&mut first).unwrap();
    Project::new(other.path()).pack(&mut second).unwrap();
    assert_eq!(first, second);
    assert_eq!((packed.digest, packed.files, packed.bytes), (digest(one.path()), 5, 9));

    let into = other.path().join("x.txt.d");
    assert_eq!(unpack(first.as_slice(), &into, Limits::default()).unwrap().digest, packed.digest);
    assert_eq!(digest(&into), packed.digest);
    let mode = |name: &str| fs::metadata(into.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("z"), mode("a/b")), (0o755, 0o644));
    assert_eq!(fs::read_link(into.join("link")).unwrap(), Path::new("a/b"));
}

#[test]
fn a_pack_that_cannot_be_written_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = project(&[("a", "1")]);
    assert!(matches!(Project::new(folder.path()).pack(Full), Err(ProjectError::Write(_))));
}

#[test]
fn names_of_any_length_and_bytes_are_packed() {
    let long = ["d".repeat(120), "e".repeat(200)].join("/");
    let folder = project(&[(&long, "1"), ("a\nb", "2"), ("\u{1F980}", "3")]);
    symlink(&long, folder.path().join("link")).unwrap();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe");
    fs::write(folder.path().join(odd), "4").unwrap();
    let mut pack = Vec::new();
    let packed = Project::new(folder.path()).pack(&mut pack).unwrap();
    let into = tempfile::tempdir().unwrap();
    assert_eq!(unpack(pack.as_slice(), into.path(), Limits::default()).unwrap(), packed);
    assert_eq!(digest(into.path()), packed.digest);
}

/// A tree as a list of paths with content, executable bit, or link target.
type Drawn = Vec<(String, u8, bool)>;

fn lay(root: &Path, tree: &Drawn) {
    for (path, content, executable) in tree {
        let path = root.join(path);
        if fs::create_dir_all(path.parent().unwrap()).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        if *content == 0 {
            symlink("a", &path).unwrap();
        } else {
            fs::write(&path, vec![*content; usize::from(*content)]).unwrap();
            let mode = if *executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "a-", "a.b", "A"]), 1..4);
    prop::collection::vec((path.prop_map(|parts| parts.join("/")), 0u8..4, any::<bool>()), 0..8)
}

/// What a tree is, path by path, in a form of its own.
fn listing(root: &Path) -> Vec<String> {
    let entries = Project::new(root).entries().unwrap();
    let describe = |path: &Path| match fs::read_link(root.join(path)) {
        Ok(target) => format!("{target:?}"),
        Err(_) => format!("{:?}", fs::read(root.join(path)).unwrap()),
    };
    entries
        .iter()
        .map(|entry| format!("{:?} {:?} {}", entry.path(), entry.kind(), describe(entry.path())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn r_img_7_digests_are_equal_exactly_where_the_trees_are(left in drawn(), right in drawn()) {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        lay(one.path(), &left);
        lay(other.path(), &right);
        let same = listing(one.path()) == listing(other.path());
        prop_assert_eq!(digest(one.path()) == digest(other.path()), same);
        let (mut pack, into) = (Vec::new(), other.path().join("unpacked"));
        let packed = Project::new(one.path()).pack(&mut pack).unwrap();
        prop_assert_eq!(unpack(pack.as_slice(), &into, Limits::default()).unwrap(), packed);
        prop_assert_eq!(listing(&into), listing(one.path()));
    }
}
