//! Writing: every value comes out as it went in, numbers in their own spelling.

use std::fmt::{self, Write};

use super::{Json, Value};

pub(super) fn compact(json: &Json, out: &mut impl Write) -> fmt::Result {
    write(json, out, None)
}

pub(super) fn pretty(json: &Json) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(json, &mut out, Some(0));
    out.push('\n');
    out
}

fn write(json: &Json, out: &mut impl Write, depth: Option<usize>) -> fmt::Result {
    match &json.value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Number(text) => out.write_str(text),
        Value::String(text) => string(text, out),
        Value::Array(elements) => {
            list(out, depth, ('[', ']'), elements, |element, out, depth| write(element, out, depth))
        }
        Value::Object(members) => list(out, depth, ('{', '}'), members, |member, out, depth| {
            string(&member.key, out)?;
            out.write_str(if depth.is_some() { ": " } else { ":" })?;
            write(&member.json, out, depth)
        }),
    }
}

fn list<T, W: Write>(
    out: &mut W,
    depth: Option<usize>,
    (open, close): (char, char),
    items: &[T],
    mut item: impl FnMut(&T, &mut W, Option<usize>) -> fmt::Result,
) -> fmt::Result {
    let inner = depth.map(|depth| depth + 1);
    out.write_char(open)?;
    for (index, each) in items.iter().enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        line(out, inner)?;
        item(each, out, inner)?;
    }
    if !items.is_empty() {
        line(out, depth)?;
    }
    out.write_char(close)
}

fn line(out: &mut impl Write, depth: Option<usize>) -> fmt::Result {
    match depth {
        Some(depth) => write!(out, "\n{:width$}", "", width = depth * 2),
        None => Ok(()),
    }
}

fn string(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}
