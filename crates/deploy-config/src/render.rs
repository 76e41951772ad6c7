//! Findings as a compiler prints them.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::finding::{Finding, Report, Severity};
use crate::json::{Json, Span, Value};

impl Report {
    /// The findings with the lines of `text` that they are about; `name` is what the text is called, a file for example.
    ///
    /// Keys and passwords in the lines are blotted out.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_deploy_config::DeploymentConfig;
    ///
    /// let text = r#"{"computeType": "aks", "numReplicas": 1.5}"#;
    /// let shown = DeploymentConfig::from_json(text).report().render("deploymentconfig.json", text);
    /// assert!(shown.contains("error[config/not-an-integer]: numReplicas is 1.5, not a whole number"));
    /// assert!(shown.contains("--> deploymentconfig.json:1:39"));
    /// ```
    #[must_use]
    pub fn render(&self, name: &str, text: &str) -> String {
        let text = blotted(text);
        let renderer = Renderer::plain().decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for finding in self {
            out.push_str(&renderer.render(&[group(finding, name, &text)]));
            out.push_str("\n\n");
        }
        out
    }
}

fn group<'a>(finding: &'a Finding, name: &'a str, text: &'a str) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Advice => Level::WARNING.with_name("advice"),
    };
    let title = level.primary_title(&*finding.message).id(finding.code.as_str());
    let mut group = match excerpt(finding, text) {
        Some((line, start, number)) => {
            let annotation = AnnotationKind::Primary.span(start);
            let label = if finding.found.is_empty() { annotation } else { annotation.label(&*finding.found) };
            title.element(Snippet::source(line).line_start(number).path(name).annotation(label))
        }
        None => Group::with_title(title),
    };
    if !finding.allowed.is_empty() {
        group = group.element(Level::NOTE.message(format!("allowed: {}", finding.allowed)));
    }
    if !finding.remedy.is_empty() {
        group = group.element(Level::HELP.message(&*finding.remedy));
    }
    group
}

/// The line that the finding begins on, the part of it that is meant, and its number: the printer takes the longer the
/// more text it is given, and the lines around are no help in a file.
fn excerpt<'a>(finding: &Finding, text: &'a str) -> Option<(&'a str, Range<usize>, usize)> {
    let (span, place) = (finding.span?, finding.place?);
    let (start, end) = (span.start as usize, (span.end as usize).min(text.len()));
    let from = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(from..)?.split('\n').next().unwrap_or_default();
    // The whole document is shown by its first character.
    let end = if finding.pointer.is_empty() { end.min(start + 1) } else { end };
    let range = start - from..(end.max(start) - from).min(line.len());
    line.get(range.clone()).map(|_| (line, range, place.line as usize))
}

/// The text with every key and password replaced by as many stars. Where it is no proper JSON, whatever follows the name
/// of a secret counts as one.
fn blotted(text: &str) -> String {
    let (json, faults) = Json::parse_with_faults(text);
    let mut spans = Vec::new();
    if let Some(json) = &json {
        collect(json, &mut spans);
    }
    if faults.has_errors() {
        unparsed(text, &mut spans);
    }
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        if let Some(secret) = bytes.get_mut(span.start as usize..span.end as usize) {
            secret.fill(b'*');
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

const SECRETS: [&str; 6] =
    ["primaryKey", "secondaryKey", "primary_key", "secondary_key", "password", "keyValue"];

fn collect(json: &Json, spans: &mut Vec<Span>) {
    match &json.value {
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, spans)),
        Value::Object(members) => {
            for member in members {
                if SECRETS.contains(&&*member.key) {
                    spans.extend(member.json.span);
                } else {
                    collect(&member.json, spans);
                }
            }
        }
        _ => {}
    }
}

/// The text in quotes after a secret's name, or all to the end of the line.
fn unparsed(text: &str, spans: &mut Vec<Span>) {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    for name in SECRETS {
        for (at, _) in text.match_indices(name) {
            let start = at + name.len();
            let line = text[start..].split('\n').next().unwrap_or_default();
            let value = line.trim_start_matches(['"', ' ', '\t', ':', '\r']);
            let before = line.len() - value.len();
            let quoted = line[..before].ends_with('"') && line[..before].contains(':');
            let length = if quoted { value.find('"').unwrap_or(value.len()) } else { value.len() };
            // An escaped quote ends nothing; such a text is blotted to the end of its line.
            let length = if value[..length].ends_with('\\') { value.len() } else { length };
            spans.push(Span { start: narrow(start + before), end: narrow(start + before + length) });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::DeploymentConfig;

    #[test]
    fn keys_are_blotted_out_of_the_lines_shown() {
        for text in [
            r#"{"computeType": "aks", "keys": {"primaryKey": "sesame", "primaryKey": "sesame"}, "numReplicas": 0}"#,
            r#"{"computeType": "aks", "keys": {"primaryKey": "sesame", "secondaryKey": ["sesame"]}, "numReplicas": 0}"#,
            "{\"computeType\": \"aks\", \"keys\": {\"primaryKey\": \"sesame\", oops",
        ] {
            let shown = DeploymentConfig::from_json(text).report().render("file", text);
            assert!(!shown.contains("sesame"), "{shown}");
            assert!(shown.contains("error["), "{shown}");
        }
    }

    #[test]
    fn a_document_without_text_is_still_shown() {
        let json = crate::Json::parse("{}").unwrap();
        let shown = DeploymentConfig::check_json(&json).report().render("file", "");
        assert!(shown.contains("error[config/missing]"), "{shown}");
    }
}
