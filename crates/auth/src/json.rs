//! JSON as security wants it: no name twice, no deep nesting, nothing after the end.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One value, borrowing its text where nothing is escaped.
pub(crate) enum Value<'a> {
    Null,
    Bool,
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Object<'a>),
}

impl Value<'_> {
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Number {
    Natural(u64),
    Negative,
    Fraction(f64),
}

/// An object whose names are all different.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Reads exactly one object, white space around it allowed.
    ///
    /// Refuses what readers are known to disagree about: a name twice (also if spelled with escapes), a byte-order mark,
    /// invalid UTF-8, numbers out of range; and more than [`MAX_DEPTH`] levels.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Levels(MAX_DEPTH).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        if let Value::Object(object) = value { Some(object) } else { None }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Whether there is a member of this name that is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, Value::Null))
    }

    /// The text under `name`: `Ok(None)` if there is no such member, `Err` if it is not text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, NotText> {
        self.get(name).map(|value| value.as_text().ok_or(NotText)).transpose()
    }

    fn has_repeated_name(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// A member that should be text is something else.
#[derive(Debug)]
pub(crate) struct NotText;

/// Deeper than any known token or key set, shallow enough for any stack.
const MAX_DEPTH: u8 = 32;

struct Levels(u8);

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl Levels {
    fn descend<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(Number::Natural(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        // serde_json gives what is not negative to `visit_u64`.
        Ok(Value::Number(Number::Negative))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(Number::Fraction(number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.descend()?)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Object(Vec::with_capacity(8));
        while let Some(name) = members.next_key_seed(Name)? {
            object.0.push((name, members.next_value_seed(self.descend()?)?));
        }
        if object.has_repeated_name() {
            return Err(A::Error::custom("a name occurs twice"));
        }
        Ok(Value::Object(object))
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_object(text: &str) -> bool {
        Object::parse(text.as_bytes()).is_some()
    }

    #[test]
    fn takes_plain_objects() {
        for text in ["{}", " {\"a\" : 1.5e3}\r\n", r#"{"a":{"b":[1,-2,null,true,"\u00e4"]},"b":0}"#] {
            assert!(is_object(text), "{text}");
        }
    }

    #[test]
    fn refuses_what_readers_disagree_about() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            "\u{feff}{}",
            "{} {}",
            "{}x",
            "[]",
            "1",
            "",
            r#"{"a":1,}"#,
            r#"{'a':1}"#,
            r#"{"a":01}"#,
            r#"{"a":1e400}"#,
            r#"{"a":NaN}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\n\"}",
            "{/**/}",
        ] {
            assert!(!is_object(text), "{text}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn refuses_deep_nesting() {
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_object(&nested(31)));
        assert!(!is_object(&nested(32)));
        assert!(!is_object(&nested(100_000)));
    }
}
