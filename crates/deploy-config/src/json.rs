//! JSON that remembers where everything stood and how every number was written.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::Decimal;
use crate::finding::{At, Code, Finding, Report};

mod build;
mod de;
mod parse;
mod write;

pub(crate) use build::Object;

/// A stretch of bytes in the text a value was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A JSON value. Members keep their order, numbers their spelling; equality looks at neither place nor spacing.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::Json;
///
/// let json = Json::parse(r#"{"cpu": 0.10}"#)?;
/// assert_eq!(json.to_string(), r#"{"cpu":0.10}"#);
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone)]
pub struct Json {
    pub(crate) value: Value,
    /// `None` for a value that was made, not read.
    pub(crate) span: Option<Span>,
}

/// What a [`Json`] is.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// The number as written.
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Json>),
    Object(Vec<Member>),
}

/// One member of an object.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) key: Box<str>,
    pub(crate) key_span: Option<Span>,
    pub(crate) json: Json,
}

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

impl Json {
    /// Reads one JSON document of at most [`MAX_DOCUMENT_BYTES`], nested at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    ///
    /// A report with the first syntax error, or with every member that is written twice.
    pub fn parse(text: &str) -> Result<Self, Report> {
        let (json, report) = Self::parse_with_faults(text);
        match json {
            Some(json) if !report.has_errors() => Ok(json),
            _ => Err(report.located(text)),
        }
    }

    /// Reads on past members that are written twice: the first of them counts, the others are reported.
    pub fn parse_leniently(text: &str) -> (Option<Self>, Report) {
        let (json, report) = Self::parse_with_faults(text);
        (json, report.located(text))
    }

    /// Reads on past doubled keys, so that they and the rules' faults come out together.
    pub(crate) fn parse_with_faults(text: &str) -> (Option<Self>, Report) {
        let mut report = Report::default();
        let json = parse::document(text, &mut report);
        (json, report)
    }

    /// The member of that name, if this is an object that has one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => {
                members.iter().find(|member| *member.key == *key).map(|member| &member.json)
            }
            _ => None,
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn as_decimal(&self) -> Option<Decimal> {
        match &self.value {
            Value::Number(text) => Decimal::parse(text),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members in order, if this is an object.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = match &self.value {
            Value::Object(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|member| (&*member.key, &member.json))
    }

    /// Whether this is `null`, which every document treats like an absent member.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The document as text with two blanks of indentation and a final line break.
    #[must_use]
    pub fn to_pretty_string(&self) -> String {
        write::pretty(self)
    }

    /// What kind of value this is, for messages; a string is named without its text, which may be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

impl Value {
    pub(crate) fn unplaced(self) -> Json {
        Json { value: self, span: None }
    }
}

/// Shows the shape only: a document may hold keys.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.kind())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.json == other.json
    }
}

/// Writes compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write::compact(self, f)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(text) => match text.parse::<u64>() {
                Ok(whole) => serializer.serialize_u64(whole),
                Err(_) => match text.parse::<i64>() {
                    Ok(whole) => serializer.serialize_i64(whole),
                    Err(_) => serializer.serialize_f64(text.parse().unwrap_or(f64::MAX)),
                },
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(elements) => {
                let mut out = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    out.serialize_element(element)?;
                }
                out.end()
            }
            Value::Object(members) => {
                let mut out = serializer.serialize_map(Some(members.len()))?;
                for member in members {
                    out.serialize_entry(&*member.key, &member.json)?;
                }
                out.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(de::JsonVisitor)
    }
}

impl std::str::FromStr for Json {
    type Err = Report;

    fn from_str(text: &str) -> Result<Self, Report> {
        Self::parse(text)
    }
}

/// The finding for a value of the wrong kind.
pub(crate) fn wrong_kind(json: &Json, at: &At, wanted: &'static str) -> Finding {
    Finding::new(Code::WrongType, at, format!("{} where {wanted} belongs", json.kind()))
        .found(json.kind())
        .allowed(wanted)
        .remedy(format!("write {wanted}"))
}
