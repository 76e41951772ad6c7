//! YAML events → a tree of texts, under a budget. Nothing here knows what a conda document is.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{CondaError, CondaProblem};

pub(super) const MAX_TEXT: usize = 1 << 20;
pub(super) const MAX_NODES: usize = 10_000;
pub(super) const MAX_DEPTH: usize = 64;

/// A value and where it starts.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<Raw>),
    /// Sorted by key, bytewise; no key twice.
    Map(Vec<(String, Raw)>),
}

/// Line and column, both counted from 1.
#[derive(Clone, Copy)]
pub(super) struct At {
    line: usize,
    column: usize,
}

impl At {
    pub(super) fn error(self, problem: CondaProblem) -> CondaError {
        CondaError { line: self.line, column: self.column, problem }
    }
}

impl From<&Marker> for At {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// Reads one document. A text without any value is an empty text, which no caller takes for a document.
pub(super) fn read(text: &str) -> Result<Raw, CondaError> {
    let start = At { line: 1, column: 1 };
    if text.len() > MAX_TEXT {
        return Err(start.error(CondaProblem::TooMuchText { limit: MAX_TEXT }));
    }
    let mut reader = Reader::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (event, span) = event.map_err(syntax)?;
        let at = At::from(&span.start);
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                return Err(at.error(CondaProblem::SeveralDocuments));
            }
        }
        reader.event(event, at)?;
    }
    Ok(reader.root.unwrap_or(Raw { at: start, value: Value::Text(String::new()) }))
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// The anchors of plain nulls, which no list may hold by an alias either.
    nulls: HashSet<usize>,
    nodes: usize,
    text: usize,
    root: Option<Raw>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: At,
    anchor: usize,
    /// Nodes and text counted before it, so that its anchor knows what a repetition costs.
    before: (usize, usize),
    items: Items,
}

enum Items {
    List(Vec<Raw>),
    Map { entries: BTreeMap<String, Raw>, key: Option<(String, At)> },
}

struct Anchored {
    raw: Raw,
    nodes: usize,
    text: usize,
    depth: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, at: At) -> Result<(), CondaError> {
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err(at.error(CondaProblem::Tag)),
            Event::Scalar(text, style, anchor, None) => self.scalar(text.into_owned(), style, anchor, at),
            Event::SequenceStart(anchor, None) => self.open(anchor, Items::List(Vec::new()), at),
            Event::MappingStart(anchor, None) => {
                self.open(anchor, Items::Map { entries: BTreeMap::new(), key: None }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, anchor: usize, at: At) -> Result<(), CondaError> {
        self.spend(1, text.len(), at)?;
        let plain = style == ScalarStyle::Plain;
        if plain && text == "<<" && self.expect_value(at).is_err() {
            return Err(at.error(CondaProblem::MergeKey));
        }
        if plain && is_null(&text) {
            self.refuse_null(at)?;
            self.nulls.insert(anchor);
        }
        let text_len = text.len();
        self.keep(anchor, Raw { at, value: Value::Text(text) }, (1, text_len), 0)
    }

    fn open(&mut self, anchor: usize, items: Items, at: At) -> Result<(), CondaError> {
        let before = (self.nodes, self.text);
        self.spend(1, 0, at)?;
        self.expect_value(at)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(at.error(CondaProblem::TooDeep { limit: MAX_DEPTH }));
        }
        self.open.push(Open { at, anchor, before, items });
        Ok(())
    }

    fn close(&mut self) -> Result<(), CondaError> {
        let Some(Open { at, anchor, before, items }) = self.open.pop() else { return Ok(()) };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries.into_iter().collect()),
        };
        let raw = Raw { at, value };
        let depth = if anchor == 0 { 0 } else { depth(&raw) };
        self.keep(anchor, raw, (self.nodes - before.0, self.text - before.1), depth)
    }

    fn alias(&mut self, anchor: usize, at: At) -> Result<(), CondaError> {
        self.expect_value(at)?;
        // The parser knows every anchor it has met; one that is not finished is the value we stand in.
        let found = self.anchors.get(&anchor).ok_or_else(|| at.error(CondaProblem::RecursiveAlias))?;
        let (nodes, text, depth) = (found.nodes, found.text, found.depth);
        if self.open.len() + depth > MAX_DEPTH {
            return Err(at.error(CondaProblem::TooDeep { limit: MAX_DEPTH }));
        }
        self.spend(nodes, text, at)?;
        if self.nulls.contains(&anchor) {
            self.refuse_null(at)?;
        }
        let raw = self.anchors[&anchor].raw.clone();
        self.place(Raw { at, ..raw })
    }

    /// Remembers a finished value under its anchor (0 is none) and puts it where it belongs.
    fn keep(
        &mut self,
        anchor: usize,
        raw: Raw,
        cost: (usize, usize),
        depth: usize,
    ) -> Result<(), CondaError> {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { raw: raw.clone(), nodes: cost.0, text: cost.1, depth });
        }
        self.place(raw)
    }

    fn place(&mut self, raw: Raw) -> Result<(), CondaError> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(raw);
            return Ok(());
        };
        match &mut open.items {
            Items::List(items) => items.push(raw),
            Items::Map { entries, key } => match (key.take(), raw.value) {
                (Some((name, at)), value) => match entries.entry(name) {
                    Entry::Occupied(known) => {
                        return Err(at.error(CondaProblem::DuplicateKey(known.key().clone())));
                    }
                    Entry::Vacant(free) => {
                        free.insert(Raw { at: raw.at, value });
                    }
                },
                (None, Value::Text(name)) => *key = Some((name, raw.at)),
                (None, _) => return Err(raw.at.error(CondaProblem::KeyNotText)),
            },
        }
        Ok(())
    }

    /// Refuses a list, a mapping or an alias in the place of a key.
    fn expect_value(&self, at: At) -> Result<(), CondaError> {
        match self.open.last().map(|open| &open.items) {
            Some(Items::Map { key: None, .. }) => Err(at.error(CondaProblem::KeyNotText)),
            _ => Ok(()),
        }
    }

    fn refuse_null(&self, at: At) -> Result<(), CondaError> {
        match self.open.last().map(|open| &open.items) {
            Some(Items::List(_)) => Err(at.error(CondaProblem::NullEntry)),
            _ => Ok(()),
        }
    }

    fn spend(&mut self, nodes: usize, text: usize, at: At) -> Result<(), CondaError> {
        self.nodes += nodes;
        self.text += text;
        if self.nodes > MAX_NODES {
            return Err(at.error(CondaProblem::TooManyNodes { limit: MAX_NODES }));
        }
        if self.text > MAX_TEXT {
            return Err(at.error(CondaProblem::TooMuchText { limit: MAX_TEXT }));
        }
        Ok(())
    }
}

fn syntax(error: saphyr_parser::ScanError) -> CondaError {
    At::from(error.marker()).error(CondaProblem::Syntax(error.info().to_owned()))
}

/// How many levels of lists and mappings `raw` is made of; bounded by `MAX_DEPTH`, since it was read within it.
fn depth(raw: &Raw) -> usize {
    match &raw.value {
        Value::Text(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}
