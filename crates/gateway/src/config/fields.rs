//! A TOML table, read key by key; what is wrong is noted and what is left over is unknown.

use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::{Table, Value};

pub(super) struct Fields<'a> {
    table: Table,
    path: String,
    findings: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: Table, path: String, findings: &'a mut Vec<String>) -> Self {
        Self { table, path, findings }
    }

    /// A table inside this one.
    pub(super) fn inner(&mut self, table: Table, path: &str) -> Fields<'_> {
        let path = self.place(path);
        Fields::new(table, path, self.findings)
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn fault(&mut self, key: &str, what: impl std::fmt::Display) {
        let place = self.place(key);
        self.findings.push(format!("{place}: {what}"));
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// Takes all that is left.
    pub(super) fn rest(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(value) => Some(value),
            other => self.wrong(key, &other, "true or false"),
        }
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => self.wrong(key, &other, "a text"),
        }
    }

    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        match self.take(key)? {
            Value::Integer(number) => {
                let inside = u64::try_from(number).ok().filter(|number| range.contains(number));
                if inside.is_none() {
                    self.fault(key, format_args!("{number} is outside {} to {}", range.start(), range.end()));
                }
                inside
            }
            other => self.wrong(key, &other, "a whole number"),
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.fault(key, format_args!("{text:?} is none of {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<T> {
        let text = self.string(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(key, format_args!("{text:?} is not {what}"));
        }
        parsed
    }

    pub(super) fn tables(&mut self, key: &str) -> Option<Vec<Table>> {
        let found = self.take(key)?;
        let tables: Option<Vec<Table>> = match &found {
            Value::Array(values) => values.iter().map(|value| value.as_table().cloned()).collect(),
            _ => None,
        };
        tables.or_else(|| self.wrong(key, &found, "a list of tables, [[…]]"))
    }

    pub(super) fn table(&mut self, key: &str) -> Option<Table> {
        match self.take(key)? {
            Value::Table(table) => Some(table),
            other => self.wrong(key, &other, &format!("a table, [{key}]")),
        }
    }

    pub(super) fn strings(&mut self, key: &str) -> Option<Vec<String>> {
        let found = self.take(key)?;
        let texts: Option<Vec<String>> = match &found {
            Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.or_else(|| self.wrong(key, &found, "a list of texts"))
    }

    /// The value itself is not told: it may be a key.
    fn wrong<T>(&mut self, key: &str, found: &Value, wanted: &str) -> Option<T> {
        self.fault(key, format_args!("found {}, {wanted} is needed", found.type_str()));
        None
    }

    /// Whatever nobody took is a mistake.
    pub(super) fn finish(mut self, known: &[&str]) {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            let near = known
                .iter()
                .map(|name| (strsim::damerau_levenshtein(&key, name), name))
                .filter(|(distance, name)| distance * 3 <= name.len().max(key.len()))
                .min_by_key(|(distance, _)| *distance);
            match near {
                Some((_, name)) => self.fault(&key, format_args!("unknown key; did you mean {name}?")),
                None => self.fault(&key, format_args!("unknown key; there are {}", known.join(", "))),
            }
        }
    }
}
