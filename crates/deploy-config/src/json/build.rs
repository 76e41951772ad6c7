//! Values put together in code.

use std::fmt::Display;

use super::{Json, Member, Value};

impl Json {
    pub(crate) fn text(text: &str) -> Self {
        Value::String(text.into()).unplaced()
    }

    /// A number by its text; only numbers and checked decimals come here.
    pub(crate) fn number(number: &(impl Display + ?Sized)) -> Self {
        Value::Number(number.to_string().into()).unplaced()
    }

    pub(crate) fn boolean(value: bool) -> Self {
        Value::Bool(value).unplaced()
    }

    pub(crate) fn array(elements: impl Iterator<Item = Self>) -> Self {
        Value::Array(elements.collect()).unplaced()
    }
}

/// An object under construction.
#[derive(Default)]
pub(crate) struct Object(Vec<Member>);

impl Object {
    pub(crate) fn put(mut self, key: &str, json: Json) -> Self {
        self.0.push(Member { key: key.into(), key_span: None, json });
        self
    }

    pub(crate) fn some(self, key: &str, json: Option<Json>) -> Self {
        match json {
            Some(json) => self.put(key, json),
            None => self,
        }
    }

    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.put(key, Json::text(text))
    }

    pub(crate) fn text_if(self, given: bool, key: &str, text: &str) -> Self {
        if given { self.text(key, text) } else { self }
    }

    /// A flag that is off where it is not written.
    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        if value { self.put(key, Json::boolean(true)) } else { self }
    }

    pub(crate) fn done(self) -> Json {
        Value::Object(self.0).unplaced()
    }
}
