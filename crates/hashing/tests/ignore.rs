//! What belongs to a project, with git as the judge.
#![cfg(all(feature = "fs", unix))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portway_hashing::fs::{Limits, Project, ProjectError};
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

fn paths(root: &Path) -> Vec<String> {
    let entries = Project::new(root).limits(Limits::NONE).entries().unwrap();
    entries.iter().map(|entry| entry.path().to_str().unwrap().to_owned()).collect()
}

#[test]
fn r_img_3_every_gitignore_counts_below_its_folder() {
    let folder = project(&[
        (".gitignore", "*.log\n/build/\n"),
        ("a.log", ""),
        ("a.py", ""),
        ("build/x", ""),
        ("d/.gitignore", "!keep.log\nx\n"),
        ("d/build/y", ""),
        ("d/keep.log", ""),
        ("d/other.log", ""),
        ("d/x", ""),
        ("x", ""),
    ]);
    assert_eq!(paths(folder.path()), [".gitignore", "a.py", "d/.gitignore", "d/build/y", "d/keep.log", "x"]);
}

#[test]
fn r_img_3_amlignore_in_the_root_replaces_every_gitignore() {
    let folder = project(&[
        (".amlignore", "*.csv\n"),
        (".gitignore", "*.py\n"),
        ("a.csv", ""),
        ("a.py", ""),
        ("d/.amlignore", "b.py\n"),
        ("d/.gitignore", "*\n"),
        ("d/b.py", ""),
    ]);
    let expected = [".amlignore", ".gitignore", "a.py", "d/.amlignore", "d/.gitignore", "d/b.py"];
    assert_eq!(paths(folder.path()), expected, "a nested .amlignore is a file like any other");
}

#[test]
fn r_img_3_git_is_never_packed() {
    let folder = project(&[
        (".git/config", ""),
        (".gitattributes", ""),
        (".gitignore", "!.git\n!.git/config\n"),
        ("a/.git/HEAD", ""),
        ("b/.git", "gitdir: elsewhere"),
        ("b/c.git", ""),
    ]);
    assert_eq!(paths(folder.path()), [".gitattributes", ".gitignore", "b/c.git"]);
}

#[test]
fn r_img_3_an_exception_below_an_excluded_folder_is_void() {
    let folder = project(&[
        (".amlignore", "d/\n!d/keep\ne/*\n!e/keep\n"),
        ("d/keep", ""),
        ("e/keep", ""),
        ("e/x", ""),
    ]);
    assert_eq!(paths(folder.path()), [".amlignore", "e/keep"]);
}

#[test]
fn an_excluded_folder_is_never_entered() {
    let folder = project(&[(".gitignore", "/locked\n"), ("locked/x", ""), ("a", "")]);
    let deep = folder.path().join("locked");
    // A link that would be refused, were it looked at.
    std::os::unix::fs::symlink("/etc/passwd", deep.join("out")).unwrap();
    assert_eq!(paths(folder.path()), [".gitignore", "a"]);
}

#[test]
fn r_img_3_a_literal_start_before_two_stars_is_set_aside_as_git_does() {
    let folder = project(&[
        (".gitignore", "foo**/bar\n/x.***/**\n"),
        ("foobar", ""),
        ("foo/a/bar", ""),
        ("fooa/bar", ""),
        ("x.y", ""),
    ]);
    assert_eq!(paths(folder.path()), [".gitignore"]);
    if has_git() {
        git(folder.path()).args(["init", "-q", "--template="]).status().unwrap();
        assert_eq!(judged_by_git(folder.path()).len(), 1);
    }
}

#[test]
fn an_amlignore_that_is_no_file_is_an_error() {
    let folder = project(&[("a", "")]);
    std::os::unix::fs::symlink("a", folder.path().join(".amlignore")).unwrap();
    let error = Project::new(folder.path()).entries().unwrap_err();
    assert!(matches!(error, ProjectError::IgnoreFile { .. }), "{error}");
    // A .gitignore that is a link is one that git doesn't read.
    let folder = project(&[("rules", "a\n"), ("a", "")]);
    std::os::unix::fs::symlink("rules", folder.path().join(".gitignore")).unwrap();
    assert_eq!(paths(folder.path()), [".gitignore", "a", "rules"]);
}

// === git as the judge ===

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(root).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    git.args(["-c", "core.excludesFile=/dev/null", "-c", "core.quotePath=false"]);
    git
}

fn has_git() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok();
    if !there {
        let required = std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_some_and(|value| value == "1");
        assert!(!required, "git is missing");
        eprintln!("skipped: git is missing; install it to run this test");
    }
    there
}

/// Every file below `folder`, relative to `root`, without `.git`.
fn all_files(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name() == ".git" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            all_files(root, &entry.path(), found);
        } else {
            found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
}

/// What git keeps of all files.
fn judged_by_git(root: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    all_files(root, root, &mut files);
    let mut check = git(root);
    check.args(["check-ignore", "--no-index", "-z", "--stdin"]);
    let mut child =
        check.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = Vec::new();
    for file in &files {
        input.extend_from_slice(file.as_os_str().as_encoded_bytes());
        input.push(0);
    }
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    // 1 says that none of them is ignored.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    for ignored in output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        assert!(files.remove(Path::new(std::str::from_utf8(ignored).unwrap())));
    }
    files
}

fn drawn_rules() -> impl Strategy<Value = String> {
    let pieces = [
        "*",
        "?",
        "**",
        "/",
        "/",
        "a",
        "b",
        "ab",
        ".b",
        "[ab]",
        "[!a]",
        "[a-b]",
        "[b-a]",
        "[[:alpha:]]",
        "[^a]",
        "[",
        "]",
        "[]a]",
        "[a\\]]",
        "{a,b}",
        "!",
        "#",
        "\\",
        " ",
        "\t",
        "$",
        "é",
        "a b",
        "A",
        "**/",
        "/**",
        "***",
        "\\!",
        "\\#",
        "\\ ",
        "\r",
        "\0",
        "\u{feff}",
        ".",
    ];
    let line =
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..5).prop_map(|pieces| pieces.concat());
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n\n", ""]);
    let lines = prop::collection::vec((line, end), 0..6);
    lines.prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

fn drawn_path() -> impl Strategy<Value = String> {
    let names = [
        "a", "b", "ab", "a.b", ".b", "A", "a b", "é", "[", "{a,b}", "#a", "!a", "$a", "ba", "\\", "a ", "a\t",
    ];
    prop::collection::vec(prop::sample::select(names.to_vec()), 1..4).prop_map(|names| names.join("/"))
}

type Drawn = (Vec<String>, Vec<(String, String)>, String);

fn drawn_project() -> impl Strategy<Value = Drawn> {
    let nested = prop::collection::vec((drawn_path(), drawn_rules()), 0..3);
    (prop::collection::vec(drawn_path(), 1..14), nested, drawn_rules())
}

/// Writes what can be written: a path whose parent is a file already is left out.
fn lay(root: &Path, (files, nested, rules): &Drawn) {
    fs::create_dir_all(root).unwrap();
    let put = |path: PathBuf, content: &str| {
        if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.is_dir() {
            fs::write(path, content).unwrap();
        }
    };
    files.iter().for_each(|file| put(root.join(file), ""));
    nested.iter().for_each(|(folder, rules)| put(root.join(folder).join(".gitignore"), rules));
    put(root.join(".gitignore"), rules);
}

proptest! {
    // Several projects side by side in one repository: starting git is what takes the time.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn r_img_3_what_is_packed_is_what_git_keeps(drawn in prop::collection::vec(drawn_project(), 1..12)) {
        if !has_git() {
            return Ok(());
        }
        let folder = tempfile::tempdir().unwrap();
        prop_assert!(git(folder.path()).args(["init", "-q", "--template="]).status().unwrap().success());
        for (number, drawn) in drawn.iter().enumerate() {
            let root = if number == 0 { folder.path().to_owned() } else { folder.path().join(number.to_string()) };
            lay(&root, drawn);
        }
        let kept: BTreeSet<PathBuf> = paths(folder.path()).into_iter().map(PathBuf::from).collect();
        prop_assert_eq!(kept, judged_by_git(folder.path()));
    }
}
