//! `RULES.md` tells the truth: a rule that it calls built has a test named after it, and no test is named after a rule
//! that does not exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() && !entry.ends_with("target") {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// `CFG-10` for `fn r_cfg_10_at_most_six_versions`.
fn rule_of(line: &str) -> Option<String> {
    let rest = line.trim_start().trim_start_matches("async ").strip_prefix("fn r_")?;
    let mut parts = rest.split('_');
    let (group, number) = (parts.next()?, parts.next()?);
    number.parse::<u8>().is_ok().then(|| format!("{}-{number}", group.to_uppercase()))
}

fn proven() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["crates", "examples"] {
        rust_files(&Path::new(ROOT).join(folder), &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("text"));
    texts.flat_map(|text| text.lines().filter_map(rule_of).collect::<Vec<_>>()).collect()
}

/// The rows of the tables: a rule and its state.
fn stated() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(ROOT).join("RULES.md")).expect("the rules");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [rule, _, state] = cells[..] else { return None };
        let (group, number) = rule.split_once('-')?;
        let is_rule = group.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        (is_rule && number.parse::<u8>().is_ok()).then(|| (rule.to_owned(), state.to_owned()))
    });
    rows.collect()
}

#[test]
fn a_rule_that_is_called_built_has_a_test_named_after_it() {
    let proven = proven();
    let stated = stated();
    assert!(stated.len() > 50, "the tables of RULES.md are read: {} rules", stated.len());
    let missing: Vec<_> = stated
        .iter()
        .filter(|(rule, state)| state == "built" && !proven.contains(rule))
        .map(|(rule, _)| rule)
        .collect();
    assert!(missing.is_empty(), "called built, but no test is named after them: {missing:?}");
}

#[test]
fn no_test_is_named_after_a_rule_that_does_not_exist() {
    let stated: BTreeSet<_> = stated().into_iter().map(|(rule, _)| rule).collect();
    let unknown: Vec<_> = proven().into_iter().filter(|rule| !stated.contains(rule)).collect();
    assert!(unknown.is_empty(), "tests are named after rules that RULES.md does not have: {unknown:?}");
}
