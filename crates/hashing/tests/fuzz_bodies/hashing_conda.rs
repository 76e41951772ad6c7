//! The conda canonicaliser: reads or refuses, and what doesn't count doesn't count.

use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Platform, Recipe};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = CondaDocument::parse(text);
    match &read {
        Ok(document) => {
            let base = BaseImage::as_written("base").expect("a good name");
            let inputs = ImageInputs::new(Platform::host(), base, Recipe::new("r").expect("a good name"));
            let with = inputs.clone().conda(document.clone());
            assert_ne!(with.key(), inputs.key());
            assert!(with.explain(&with).is_empty());
            assert!(with.canonical().len() < 16 << 20);
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
    }
    if !text.starts_with('\u{feff}') {
        assert_eq!(CondaDocument::parse(&format!("\u{feff}{text}")), read);
    }
}
