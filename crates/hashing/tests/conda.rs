//! What a conda document is, and what is refused, with line and column.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_hashing::{CondaDocument, CondaProblem};
use proptest::prelude::*;

/// Where a document is refused, and why.
fn refused(text: &str) -> (usize, usize, CondaProblem) {
    let error = CondaDocument::parse(text).expect_err(text);
    (error.line, error.column, error.problem)
}

#[test]
fn r_img_1_scalars_are_texts_whatever_they_look_like() {
    let plain =
        CondaDocument::parse("dependencies: [python=3.10, 1.10, 0x10, no, on, 1e3, .5, 2026-11-27]").unwrap();
    let quoted = CondaDocument::parse(
        "dependencies: ['python=3.10', \"1.10\", '0x10', 'no', 'on', '1e3', '.5', '2026-11-27']",
    );
    assert_eq!(plain, quoted.unwrap());
    assert_eq!(plain.packages(), ["python=3.10", "1.10", "0x10", "no", "on", "1e3", ".5", "2026-11-27"]);
}

#[test]
fn r_img_1_comments_and_layout_do_not_count_and_order_does() {
    let parse = |text: &str| CondaDocument::parse(text).unwrap();
    let document = parse("channels: [a, b]\ndependencies: [x, {pip: [p, q]}]\n");
    let same = [
        "# c\nname: n\nchannels:\n- a # c\n- b\n\n\ndependencies:\n  - x\n  - pip:\n      - p\n      - q\n",
        "dependencies: ['x', {\"pip\": [p, 'q']}]\nprefix: /p\nchannels: [a, b]\n",
        "\u{feff}channels:\r\n  - a\r\n  - b\r\ndependencies: [x, {pip: [p, q]}]\r\n",
        "{\"channels\": [\"a\", \"b\"], \"dependencies\": [\"x\", {\"pip\": [\"p\", \"q\"]}]}",
    ];
    for text in same {
        assert_eq!(parse(text), document, "{text}");
    }
    let different = [
        "channels: [b, a]\ndependencies: [x, {pip: [p, q]}]\n",
        "channels: [a, b]\ndependencies: [{pip: [p, q]}, x]\n",
        "channels: [a, b]\ndependencies: [x, {pip: [q, p]}]\n",
        "channels: [a, b]\ndependencies: [x, p, q]\n",
        "channels: [a, b]\ndependencies: [x, {pip: [p]}, {pip: [q]}]\n",
        "channels: [a, b]\ndependencies: [x, {pip: ['p ', q]}]\n",
    ];
    for text in different {
        assert_ne!(parse(text), document, "{text}");
    }
}

#[test]
fn reads_channels_packages_and_the_pip_section() {
    let text = "channels: [a]\ndependencies:\n- python\n- pip: [x]\n- pip\n- pip: [y]\n- npm: [z]\nvariables: {V: w}\n";
    let document = CondaDocument::parse(text).unwrap();
    assert_eq!(document.channels(), ["a"]);
    assert_eq!(document.packages(), ["python", "pip"]);
    assert_eq!(document.pip(), ["x", "y"]);
    assert_eq!(document.other_entries(), ["npm", "variables"]);
}

#[test]
fn refuses_with_line_and_column() {
    let cases = [
        ("a: 1\na: 2\n", (2, 1, CondaProblem::DuplicateKey("a".into()))),
        ("x:\n  b: 1\n  'b': 2\n", (3, 3, CondaProblem::DuplicateKey("b".into()))),
        ("a: &m {b: 1}\nc:\n  <<: *m\n", (3, 3, CondaProblem::MergeKey)),
        ("a: !!str 1\n", (1, 4, CondaProblem::Tag)),
        ("a: ! 1\n", (1, 4, CondaProblem::Tag)),
        ("a: !x [1]\n", (1, 4, CondaProblem::Tag)),
        ("a: 1\n---\nb: 2\n", (2, 1, CondaProblem::SeveralDocuments)),
        ("[a]: 1\n", (1, 1, CondaProblem::KeyNotText)),
        ("? {a: b}\n: 1\n", (1, 3, CondaProblem::KeyNotText)),
        ("dependencies:\n- a\n-\n- b\n", (3, 2, CondaProblem::NullEntry)),
        ("dependencies: [a, ~]\n", (1, 19, CondaProblem::NullEntry)),
        ("channels: [null]\n", (1, 12, CondaProblem::NullEntry)),
        ("dependencies: [{pip: [Null]}]\n", (1, 23, CondaProblem::NullEntry)),
        ("a: &n ~\ndependencies: [*n]\n", (2, 16, CondaProblem::NullEntry)),
        ("a: &x [*x]\n", (1, 8, CondaProblem::RecursiveAlias)),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert!(CondaDocument::parse("dependencies: ['null', '']\n").is_ok(), "quoted, it is a text");
}

#[test]
fn refuses_other_shapes() {
    let cases = [
        ("", 1),
        ("# nothing\n", 1),
        ("just a text\n", 1),
        ("- a\n", 1),
        ("dependencies: numpy\n", 1),
        ("a: 1\ndependencies:\n", 2),
        ("dependencies:\n- [a]\n", 2),
        ("dependencies:\n- pip: numpy\n", 2),
        ("dependencies:\n- pip:\n  - [a]\n", 3),
        ("dependencies:\n- pip:\n", 2),
        ("channels: {a: b}\n", 1),
        ("channels:\n- a: b\n", 2),
    ];
    for (text, line) in cases {
        let (found, _, problem) = refused(text);
        assert!(matches!(problem, CondaProblem::Shape { .. }), "{text}: {problem}");
        assert_eq!(found, line, "{text}: {problem}");
    }
}

#[test]
fn what_is_no_yaml_is_an_error_and_never_text() {
    for text in [
        "a: [1\n",
        "a: 'b\n",
        "a:\n\t- b\n",
        "a: b: c\n",
        "{a: 1\n",
        "a: *nothing\n",
        "%YAML 9.9.9\n",
        "a: \"\\q\"\n",
    ] {
        let (line, column, problem) = refused(text);
        assert!(matches!(problem, CondaProblem::Syntax(_)), "{text}: {problem}");
        assert!(line >= 1 && column >= 1);
    }
}

#[test]
fn an_error_reads_as_a_sentence() {
    let error = CondaDocument::parse("a: 1\na: 2\n").unwrap_err();
    assert_eq!(error.to_string(), "conda document, line 2, column 1: the key \"a\" a second time");
}

#[test]
fn budgets_hold_against_bombs() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let before = level - 1;
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    assert!(matches!(refused(&laughs).2, CondaProblem::TooManyNodes { limit: 10_000 }));

    let long = "x".repeat(200_000);
    let repeated = format!("a: &a {long}\nb: [{}]\n", ["*a"; 9].join(", "));
    assert!(matches!(refused(&repeated).2, CondaProblem::TooMuchText { .. }));
    assert!(matches!(refused(&"x".repeat((1 << 20) + 1)).2, CondaProblem::TooMuchText { .. }));

    let deep = |levels: usize| format!("a: {}{}\n", "[".repeat(levels), "]".repeat(levels));
    assert!(CondaDocument::parse(&deep(63)).is_ok());
    assert!(matches!(refused(&deep(64)).2, CondaProblem::TooDeep { limit: 64 }));
    let deeper_by_alias =
        format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(matches!(refused(&deeper_by_alias).2, CondaProblem::TooDeep { limit: 64 }));

    let many = format!("a: [{}]\n", vec!["x"; 10_001].join(", "));
    assert!(matches!(refused(&many).2, CondaProblem::TooManyNodes { .. }));
}

/// The same value in block and in flow style, with the texts quoted in ways that don't change them.
fn styles() -> impl Strategy<Value = (String, String)> {
    let texts = prop::collection::vec("[a-z0-9.=<>!~ é\"'#:-]{0,8}", 0..6);
    (texts.clone(), texts).prop_map(|(packages, pip)| {
        let single = |text: &String| format!("'{}'", text.replace('\'', "''"));
        let double = |text: &String| format!("\"{}\"", text.replace('"', "\\\""));
        let mut block = String::from("dependencies: # block\n");
        packages.iter().for_each(|text| block.push_str(&format!("    - {}\n", single(text))));
        block.push_str("    - pip:\n");
        pip.iter().for_each(|text| block.push_str(&format!("       -   {} # c\n", double(text))));
        if pip.is_empty() {
            block = block.replace("pip:\n", "pip: []\n");
        }
        let list = |texts: &[String]| texts.iter().map(double).collect::<Vec<_>>();
        let mut flow = list(&packages);
        flow.push(format!("{{pip: [{}]}}", list(&pip).join(",")));
        (block, format!("{{name: other, dependencies: [{}]}}", flow.join(", ")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn r_img_1_style_never_counts((block, flow) in styles()) {
        prop_assert_eq!(CondaDocument::parse(&block).unwrap(), CondaDocument::parse(&flow).unwrap());
    }
}
