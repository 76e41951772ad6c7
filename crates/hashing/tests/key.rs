//! The key as a function of its inputs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_hashing::{BaseImage, CondaDocument, Digest, ImageInputs, ImageKey, ImageRef, Platform, Recipe};
use proptest::prelude::*;

fn inputs() -> ImageInputs {
    ImageInputs::new(
        "linux/amd64".parse().unwrap(),
        "debian:12".parse().unwrap(),
        Recipe::new("r-1").unwrap(),
    )
}

fn conda(text: &str) -> CondaDocument {
    CondaDocument::parse(text).unwrap()
}

#[test]
fn r_img_4_a_key_is_a_tag_and_reads_back() {
    let key = inputs().key();
    let text = key.to_string();
    assert_eq!(text.len(), 67);
    assert_eq!(text.parse::<ImageKey>().unwrap(), key);
    for bad in [
        "",
        "v1-",
        &text[1..],
        &text[..66],
        &text.to_uppercase(),
        &text.replace("v1-", "v2-"),
        &format!("{text}0"),
    ] {
        assert!(bad.parse::<ImageKey>().is_err(), "{bad}");
    }
}

#[test]
fn r_img_4_a_pinned_base_is_its_digest_wherever_it_lies() {
    let digest = Digest::of(b"base");
    let with = |base: BaseImage| {
        ImageInputs::new("linux/amd64".parse().unwrap(), base, Recipe::new("r-1").unwrap()).key()
    };
    let pinned = |repository: &str| with(BaseImage::Pinned(ImageRef::new(repository, digest).unwrap()));
    assert_eq!(pinned("a/b"), pinned("mirror.test/b"));
    assert_eq!(pinned("a/b"), with(format!("a/b@{digest}").parse().unwrap()));
    assert_ne!(pinned("a/b"), with(BaseImage::as_written(&format!("a/b@{digest}")).unwrap()));
    assert_ne!(pinned("a/b"), with(BaseImage::Pinned(ImageRef::new("a/b", Digest::of(b"other")).unwrap())));
}

#[test]
fn r_img_4_absent_is_not_empty() {
    let keys = [inputs().key(), inputs().step("").key(), inputs().conda(conda("{}")).key()];
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
}

#[test]
fn refuses_inputs_that_cannot_be() {
    for bad in ["", "a b", "a\n", &"x".repeat(513)] {
        assert!(bad.parse::<BaseImage>().is_err(), "{bad}");
    }
    for bad in ["", "A", "a b", &"x".repeat(65)] {
        assert!(Recipe::new(bad).is_err(), "{bad}");
    }
    let error = Recipe::new("A").unwrap_err();
    assert_eq!(error.to_string(), "not a recipe: expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`, found \"A\"");
}

#[test]
fn r_img_6_a_miss_explains_itself_field_by_field() {
    let here = inputs()
        .step("RUN a")
        .step("RUN b")
        .conda(conda("channels: [c]\ndependencies: [p=1, q, {pip: [x, y]}]"));
    let there = ImageInputs::new(
        "linux/arm64".parse().unwrap(),
        "debian:13".parse().unwrap(),
        Recipe::new("r-2").unwrap(),
    )
    .step("RUN a")
    .step("RUN new")
    .step("RUN b")
    .conda(conda("dependencies: [p=2, q, {pip: [x]}]\nvariables: {V: w}"));
    let lines: Vec<String> = here.explain(&there).to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "platform: \"linux/amd64\" here, \"linux/arm64\" there",
            "base: \"debian:12\" here, \"debian:13\" there",
            "steps[1]: absent here, \"RUN new\" there",
            "conda.channels: \"[c]\" here, absent there",
            "conda.dependencies[0]: \"p=1\" here, \"p=2\" there",
            "conda.dependencies[2].pip[1]: \"y\" here, absent there",
            "conda.variables: absent here, \"{V: w}\" there",
            "recipe: \"r-1\" here, \"r-2\" there",
        ]
    );
    let document = inputs().conda(conda("dependencies: [p]"));
    assert_eq!(inputs().explain(&document).to_string(), "conda: absent here, \"{dependencies: [p]}\" there");
    assert!(here.explain(&here).is_empty());
}

#[test]
fn r_img_6_pinned_and_as_written_are_told_apart() {
    let image = ImageRef::new("a/b", Digest::of(b"base")).unwrap();
    let with = |base: BaseImage| ImageInputs::new(Platform::host(), base, Recipe::new("r-1").unwrap());
    let pinned = with(BaseImage::Pinned(image.clone()));
    let written = with(BaseImage::as_written(&image.to_string()).unwrap());
    let text = pinned.explain(&written).to_string();
    assert!(text.contains("(pinned)") && text.contains("(as written)"), "{text}");
    let mirror = with(BaseImage::Pinned(ImageRef::new("c/d", Digest::of(b"base")).unwrap()));
    assert!(pinned.explain(&mirror).is_empty());
}

#[cfg(feature = "serde")]
#[test]
fn keys_digests_references_and_platforms_are_their_text_in_json() {
    let (key, digest) = (inputs().key(), Digest::of(b"x"));
    let image = ImageRef::new("a/b", digest).unwrap();
    let platform: Platform = "linux/arm64/v8".parse().unwrap();
    let text = serde_json::to_string(&(key, digest, &image, &platform)).unwrap();
    assert_eq!(text, format!("[\"{key}\",\"{digest}\",\"{image}\",\"{platform}\"]"));
    let back: (ImageKey, Digest, ImageRef, Platform) = serde_json::from_str(&text).unwrap();
    assert_eq!(back, (key, digest, image, platform));
    assert!(serde_json::from_str::<ImageKey>("\"v1-0\"").is_err());
}

/// Inputs whose parts are short and alike, so that two draws often differ only in where a boundary lies.
fn drawn() -> impl Strategy<Value = ImageInputs> {
    let text = "[ab]{0,2}";
    let lists = prop::collection::vec(text, 0..3);
    let document = (lists.clone(), prop::option::of(lists.clone()), prop::option::of(lists.clone()));
    (prop::option::of("[ab]{1,2}"), "[ab]{1,2}", lists, prop::option::of(document), "[ab]{1,2}").prop_map(
        |(variant, base, steps, document, recipe)| {
            let platform = match variant {
                Some(variant) => format!("a/b/{variant}"),
                None => "a/b".to_owned(),
            };
            let base = base.parse().unwrap();
            let inputs = ImageInputs::new(platform.parse().unwrap(), base, Recipe::new(&recipe).unwrap());
            let inputs = steps.into_iter().fold(inputs, ImageInputs::step);
            match document {
                Some((packages, pip, channels)) => inputs.conda(conda(&yaml(&packages, pip, channels))),
                None => inputs,
            }
        },
    )
}

fn yaml(packages: &[String], pip: Option<Vec<String>>, channels: Option<Vec<String>>) -> String {
    let list = |texts: &[String]| texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ");
    let mut dependencies = list(packages);
    if let Some(pip) = pip {
        let comma = if dependencies.is_empty() { "" } else { ", " };
        dependencies.push_str(&format!("{comma}{{pip: [{}]}}", list(&pip)));
    }
    let channels = channels.map(|channels| format!("channels: [{}]\n", list(&channels))).unwrap_or_default();
    format!("{channels}dependencies: [{dependencies}]\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Equal inputs, equal bytes, equal keys and an empty explanation: all four or none.
    #[test]
    fn r_img_4_keys_are_injective_on_field_boundaries(left in drawn(), right in drawn()) {
        let same = left == right;
        prop_assert_eq!(left.canonical() == right.canonical(), same);
        prop_assert_eq!(left.key() == right.key(), same);
        prop_assert_eq!(left.explain(&right).is_empty(), same);
        prop_assert_eq!(right.explain(&left).differences().len(), left.explain(&right).differences().len());
    }
}
