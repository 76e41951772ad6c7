//! A value from any serde format; it has no place in a text.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};

use super::{Json, Member, Value};

pub(super) struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Value::Null.unplaced())
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Value::Null.unplaced())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Value::Bool(value).unplaced())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Value::Number(value.to_string().into()).unplaced())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Value::Number(value.to_string().into()).unplaced())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        if value.is_finite() {
            Ok(Value::Number(value.to_string().into()).unplaced())
        } else {
            Err(E::custom("a number that is not finite"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Value::String(value.into()).unplaced())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements).unplaced())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some((key, json)) = map.next_entry::<String, Json>()? {
            members.push(Member { key: key.into(), key_span: None, json });
        }
        Ok(Value::Object(members).unplaced())
    }
}
