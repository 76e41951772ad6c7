//! The corpus: every document gives exactly the findings written beside it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use portway_deploy_config::{Call, Json, Report};

/// Name, document and what it is expected to give.
fn corpus() -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), Json::parse(&text).unwrap())
        })
        .collect();
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    cases
}

fn text<'a>(case: &'a Json, key: &str) -> &'a str {
    case.get(key).and_then(Json::as_str).unwrap()
}

fn check(case: &Json) -> Report {
    let call = Call::named(text(case, "kind"), text(case, "call")).unwrap();
    call.check(case.get("input").unwrap(), case.get("current"))
}

#[test]
fn r_cfg_11_every_document_gives_exactly_its_findings() {
    let cases = corpus();
    assert!(cases.len() >= 60, "{} documents", cases.len());
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let report = check(case);
        let mut found: Vec<_> = report
            .iter()
            .map(|finding| (finding.code.as_str().to_owned(), finding.pointer.clone()))
            .collect();
        let mut expected: Vec<_> = (case.get("expect").and_then(Json::as_array).unwrap().iter())
            .map(|each| (text(each, "code").to_owned(), text(each, "pointer").to_owned()))
            .collect();
        found.sort();
        expected.sort();
        if found != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_finding_says_what_was_found_what_is_allowed_and_what_to_do() {
    for (name, case) in corpus() {
        for finding in check(&case) {
            let complete = ![&finding.message, &finding.found, &finding.allowed, &finding.remedy]
                .iter()
                .any(|text| text.is_empty());
            assert!(complete, "{name}: {finding:?}");
            assert!(
                !finding.message.ends_with('.') && !finding.message.starts_with(char::is_uppercase)
                    || finding.message.starts_with("FastProd")
                    || finding.message.starts_with("DevTest")
                    || finding.message.starts_with("Kubernetes"),
                "{name}: {}",
                finding.message
            );
        }
    }
}

#[test]
fn thirty_documents_come_from_complaints_and_worked_examples() {
    let taken = corpus()
        .iter()
        .filter(|(name, case)| name.contains("complaint") || text(case, "about").starts_with("worked"))
        .count();
    assert!(taken >= 30, "{taken}");
}
