//! The reader: strict JSON, every value with its place, bounded in size and depth.

use std::collections::HashSet;

use super::{Json, MAX_DEPTH, MAX_DOCUMENT_BYTES, Member, Span, Value};
use crate::finding::{At, Code, Finding, Report, child};

/// The one value in `text`; doubled keys are reported and the first of them kept.
pub(super) fn document(text: &str, report: &mut Report) -> Option<Json> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let finding = Finding::new(Code::JsonTooLarge, &At::root(), "the document is too large")
            .found(format!("{} bytes", text.len()))
            .allowed(format!("at most {MAX_DOCUMENT_BYTES} bytes"))
            .remedy("split the document, or check that it is the right file");
        report.push(finding);
        return None;
    }
    // A byte order mark is what some editors leave at the front; it means nothing here.
    let position = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut parser = Parser { text, bytes: text.as_bytes(), position, report, path: String::new() };
    match parser.whole() {
        Ok(json) => Some(json),
        Err(fault) => {
            report.push(fault.finding());
            None
        }
    }
}

struct Fault {
    code: Code,
    at: At,
    found: String,
    wanted: &'static str,
}

impl Fault {
    fn finding(self) -> Finding {
        let message = match self.code {
            Code::JsonTooDeep => "the document is nested too deeply".to_owned(),
            _ => format!("this is not JSON: {} instead of {}", self.found, self.wanted),
        };
        Finding::new(self.code, &self.at, message)
            .found(self.found)
            .allowed(self.wanted)
            .remedy("repair the JSON; nothing else can be checked before")
    }
}

/// Which keys an object has. Small objects are searched; a set keeps a hostile large one from costing its square.
#[derive(Default)]
struct Keys(HashSet<Box<str>>);

impl Keys {
    fn repeats(&mut self, members: &[Member], key: &str) -> bool {
        const SEARCHED: usize = 16;
        if members.len() < SEARCHED {
            return members.iter().any(|member| *member.key == *key);
        }
        if self.0.is_empty() {
            self.0.extend(members.iter().map(|member| member.key.clone()));
        }
        !self.0.insert(key.into())
    }
}

struct Parser<'t, 'r> {
    text: &'t str,
    bytes: &'t [u8],
    position: usize,
    report: &'r mut Report,
    /// JSON pointer of the value being read.
    path: String,
}

impl Parser<'_, '_> {
    fn whole(&mut self) -> Result<Json, Fault> {
        self.blanks();
        let json = self.value(0)?;
        self.blanks();
        if self.position == self.bytes.len() {
            Ok(json)
        } else {
            Err(self.unexpected("the end of the document"))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, Fault> {
        let start = self.position;
        if depth > MAX_DEPTH {
            return Err(Fault { code: Code::JsonTooDeep, ..self.unexpected("at most 64 levels") });
        }
        let value = match self.bytes.get(start) {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Json { value, span: Some(self.span_from(start)) })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        self.position += 1;
        let mut members: Vec<Member> = Vec::with_capacity(8);
        let mut keys = Keys::default();
        self.blanks();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.blanks();
            if self.bytes.get(self.position) != Some(&b'"') {
                return Err(self.unexpected("a member name in double quotes"));
            }
            let start = self.position;
            let key = self.string()?;
            let key_span = self.span_from(start);
            self.blanks();
            if !self.take(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.blanks();
            let length = self.path.len();
            child(&mut self.path, &key);
            let json = self.value(depth + 1)?;
            if keys.repeats(&members, &key) {
                self.doubled(&key, key_span);
            } else {
                members.push(Member { key, key_span: Some(key_span), json });
            }
            self.path.truncate(length);
            self.blanks();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        self.position += 1;
        let mut elements = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            self.blanks();
            let length = self.path.len();
            child(&mut self.path, &elements.len().to_string());
            elements.push(self.value(depth + 1)?);
            self.path.truncate(length);
            self.blanks();
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
        }
    }

    fn doubled(&mut self, key: &str, span: Span) {
        let at = At::new(self.path.clone(), Some(span));
        let finding = Finding::new(Code::JsonDuplicateKey, &at, format!("{key:?} is written twice"))
            .found("a second member of the same name")
            .allowed("one")
            .remedy("remove one of them; readers disagree on which counts");
        self.report.push(finding);
    }

    fn number(&mut self) -> Result<Box<str>, Fault> {
        let start = self.position;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.text[start..self.position].into())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.position;
        while self.bytes.get(self.position).is_some_and(u8::is_ascii_digit) {
            self.position += 1;
        }
        if self.position > start { Ok(()) } else { Err(self.unexpected("a digit")) }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, Fault> {
        if self.bytes[self.position..].starts_with(word.as_bytes()) {
            self.position += word.len();
            Ok(value)
        } else {
            Err(self.unexpected("a value"))
        }
    }

    fn string(&mut self) -> Result<Box<str>, Fault> {
        self.position += 1;
        let mut start = self.position;
        let mut text = String::new();
        loop {
            match self.bytes.get(self.position) {
                Some(b'"') => {
                    let rest = &self.text[start..self.position];
                    self.position += 1;
                    return Ok(if text.is_empty() { rest.into() } else { (text + rest).into() });
                }
                Some(b'\\') => {
                    text.push_str(&self.text[start..self.position]);
                    text.push(self.escape()?);
                    start = self.position;
                }
                Some(b' '..) => self.position += 1,
                _ => return Err(self.unexpected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let plain = match self.bytes.get(self.position + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected("an escape that JSON knows")),
        };
        self.position += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        const WANTED: &str = "four hexadecimal digits of a character";
        let first = self.hex(self.position).ok_or_else(|| self.unexpected(WANTED))?;
        if let Some(plain) = char::from_u32(first) {
            self.position += 6;
            return Ok(plain);
        }
        let second =
            self.hex(self.position + 6).filter(|low| (0xdc00..0xe000).contains(low) && first < 0xdc00);
        let pair =
            second.and_then(|low| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00)));
        let character = pair.ok_or_else(|| self.unexpected(WANTED))?;
        self.position += 12;
        Ok(character)
    }

    /// The value of `\uXXXX` at `at`.
    fn hex(&self, at: usize) -> Option<u32> {
        let escape = self.bytes.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |sum, &digit| Some(sum * 16 + char::from(digit).to_digit(16)?))
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.position), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.position) == Some(&byte);
        self.position += usize::from(found);
        found
    }

    fn span_from(&self, start: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: narrow(start), end: narrow(self.position) }
    }

    fn unexpected(&self, wanted: &'static str) -> Fault {
        let next = self.text.get(self.position..).and_then(|rest| rest.chars().next());
        let end = self.position + next.map_or(0, char::len_utf8);
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let span = Span { start: narrow(self.position), end: narrow(end) };
        let found = next.map_or_else(|| "the end of the document".to_owned(), |next| format!("{next:?}"));
        Fault { code: Code::JsonSyntax, at: At::new(self.path.clone(), Some(span)), found, wanted }
    }
}
