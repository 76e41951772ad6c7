//! What a check found: every fault and every piece of advice of one document.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::json::Span;

mod code;

pub use code::{Code, Severity};

/// A line and a column in the text of a document, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// One fault or one piece of advice.
///
/// A finding never holds the value of a key or a password: what was found there is told by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which rule; stable over releases.
    pub code: Code,
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// JSON pointer to the value, in the spelling of the document that was checked; empty for the whole document.
    pub pointer: String,
    /// Where it stands, if the document was read from text.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is wrong, in one line with its numbers.
    pub message: Box<str>,
    /// What was found.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub found: Box<str>,
    /// What is allowed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub allowed: Box<str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: Box<str>,
    #[serde(skip)]
    pub(crate) span: Option<Span>,
}

/// All findings of one check, errors and advice, in the order of the document.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::EndpointSpec;
///
/// let report = EndpointSpec::from_json(r#"{"name": "X", "versions": 3}"#).unwrap_err();
/// let codes: Vec<_> = report.errors().map(|finding| finding.code.as_str()).collect();
/// assert_eq!(codes, ["config/missing", "config/missing", "config/name-invalid", "config/wrong-type"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "a report that nobody reads finds nothing"]
pub struct Report {
    findings: Vec<Finding>,
}

/// A value, if no error stands against it, and all that was found on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the findings say whether there is a value"]
pub struct Checked<T> {
    value: Option<T>,
    report: Report,
}

/// Where a value stands: its pointer, and its place in the text if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) pointer: String,
    pub(crate) span: Option<Span>,
}

impl At {
    pub(crate) fn new(pointer: String, span: Option<Span>) -> Self {
        Self { pointer, span }
    }

    pub(crate) fn root() -> Self {
        Self::new(String::new(), None)
    }
}

/// Something that knows where it stands, and says so only when a finding needs it.
pub(crate) trait Locate {
    fn at(&self) -> At;
}

impl Locate for At {
    fn at(&self) -> At {
        self.clone()
    }
}

impl<F: Fn() -> At> Locate for F {
    fn at(&self) -> At {
        self()
    }
}

/// Appends a reference token to a JSON pointer.
pub(crate) fn child(pointer: &mut String, key: &str) {
    pointer.push('/');
    if !key.contains(['~', '/']) {
        return pointer.push_str(key);
    }
    for character in key.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

// === impl Finding ===

impl Finding {
    pub(crate) fn new(code: Code, at: &At, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            severity: code.severity(),
            pointer: at.pointer.clone(),
            place: None,
            message: message.into(),
            found: Box::default(),
            allowed: Box::default(),
            remedy: Box::default(),
            span: at.span,
        }
    }

    pub(crate) fn found(self, found: impl Into<Box<str>>) -> Self {
        Self { found: found.into(), ..self }
    }

    pub(crate) fn allowed(self, allowed: impl Into<Box<str>>) -> Self {
        Self { allowed: allowed.into(), ..self }
    }

    pub(crate) fn remedy(self, remedy: impl Into<Box<str>>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        if !self.pointer.is_empty() {
            write!(f, " at {}", self.pointer)?;
        }
        if let Some(Place { line, column }) = self.place {
            write!(f, " ({line}:{column})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

// === impl Report ===

impl Report {
    /// All findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.findings.iter()
    }

    /// The findings for which the document is refused.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// The findings that are only advice.
    pub fn advice(&self) -> impl Iterator<Item = &Finding> {
        self.iter().filter(|finding| finding.severity == Severity::Advice)
    }

    /// Whether the document is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// How many findings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether there is neither error nor advice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: nothing in a finding can fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Turns byte positions into lines and columns of `text`, and the findings into the order of the document.
    pub(crate) fn located(mut self, text: &str) -> Self {
        self.findings.sort_by_key(|finding| finding.span.map_or(0, |span| span.start));
        let (mut line, mut line_start, mut seen) = (1, 0, 0);
        for finding in &mut self.findings {
            let Some(span) = finding.span else { continue };
            let start = text.len().min(span.start as usize);
            for (at, _) in text[seen..start].match_indices('\n') {
                line += 1;
                line_start = seen + at + 1;
            }
            seen = start;
            let column = text[line_start..start].chars().count();
            finding.place = Some(Place { line, column: u32::try_from(column + 1).unwrap_or(u32::MAX) });
        }
        self
    }
}

impl From<Finding> for Report {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding] }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.findings.serialize(serializer)
    }
}

impl<'a> IntoIterator for &'a Report {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Report {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.findings.into_iter()
    }
}

/// One finding a line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(finding, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(ToString::to_string)).finish()
    }
}

impl std::error::Error for Report {}

// === impl Checked ===

impl<T> Checked<T> {
    /// Drops the value if the report holds an error.
    pub(crate) fn new(value: Option<T>, report: Report) -> Self {
        debug_assert!(value.is_some() || report.has_errors(), "a refusal says why");
        Self { value: value.filter(|_| !report.has_errors()), report }
    }

    pub(crate) fn refused(report: Report) -> Self {
        Self::new(None, report)
    }

    /// The value, unless an error stands against it.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// All errors and all advice.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The value; its advice is dropped.
    ///
    /// # Errors
    ///
    /// The whole report, if it holds an error.
    pub fn into_result(self) -> Result<T, Report> {
        match self.value {
            Some(value) => Ok(value),
            None => Err(self.report),
        }
    }

    /// The value and the report apart.
    pub fn into_parts(self) -> (Option<T>, Report) {
        (self.value, self.report)
    }

    pub(crate) fn located(self, text: &str) -> Self {
        Self { report: self.report.located(text), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "{\n  \"ä\": x }";
        let mut report = Report::default();
        let start = u32::try_from(text.find('x').unwrap()).unwrap();
        let at = At::new("/ä".into(), Some(Span { start, end: start + 1 }));
        report.push(Finding::new(Code::JsonSyntax, &at, "odd"));
        let report = report.located(text);
        assert_eq!(report.iter().next().unwrap().place, Some(Place { line: 2, column: 8 }));
        assert_eq!(report.to_string(), "error[json/syntax]: odd at /ä (2:8)");
    }

    #[test]
    fn pointers_escape_their_two_characters() {
        let mut pointer = String::new();
        child(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/a~1b~0c");
    }
}
