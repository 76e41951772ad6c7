use portway_backend::EntryStyle;
use portway_deployer::entry_style;

/// Any text is read without a panic; what is indented all through binds nothing; what is bound is named in the text.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let style = entry_style(&text);
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    // Nothing that is indented all through binds a name at the top.
    assert_eq!(entry_style(&indented), EntryStyle::Listens, "{indented:?}");
    if style == EntryStyle::InitRun {
        assert!(text.contains("init") && text.contains("run"), "{text:?}");
    }
}
