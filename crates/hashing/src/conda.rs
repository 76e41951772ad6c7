mod error;
mod events;

use crate::canonical::{Canonical, Tag};

pub use error::{CondaError, CondaProblem};
use events::{Raw, Value};

/// A conda environment document, read as texts in a tree.
///
/// Every scalar is its text: `1.10`, `"1.10"` and `'1.10'` are the same, and never a number; `no` is never a truth value.
/// The order of lists counts, the order of a mapping's keys doesn't. `name` and `prefix` are dropped; comments, layout, line
/// ends and a byte order mark don't matter. `numpy=1.10` and `numpy==1.10` differ: match specifications are not
/// interpreted. Aliases are expanded within a budget of 10 000 values, 64 levels and 1 MiB of text. JSON is YAML, so the JSON form of
/// an environment is read as well.
///
/// ```
/// use portway_hashing::CondaDocument;
///
/// let block = CondaDocument::parse("name: a\ndependencies:\n  - python=3.11 # the newest we tested\n  - pip:\n    - numpy==1.10\n")?;
/// let flow = CondaDocument::parse("{dependencies: ['python=3.11', {pip: [numpy==1.10]}]}")?;
/// assert_eq!(block, flow);
/// assert_eq!(block.pip(), ["numpy==1.10"]);
/// # Ok::<(), portway_hashing::CondaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CondaDocument {
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Text(String),
    List(Vec<Self>),
    /// Sorted by key, bytewise.
    Map(Vec<(String, Self)>),
}

impl CondaDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`CondaError`] with line and column: no valid YAML; a tag, a merge key, a key twice or a key that is no text, a second
    /// document, an empty list entry; more than the budget allows; or not the shape of a conda document (a mapping whose
    /// `channels` are texts and whose `dependencies` are texts and mappings to lists of texts, such as `pip`).
    pub fn parse(text: &str) -> Result<Self, CondaError> {
        let raw = events::read(text)?;
        let at = raw.at;
        let Value::Map(mut entries) = raw.value else {
            let expected = "a mapping with `dependencies`, `channels` and the like";
            return Err(at.error(CondaProblem::Shape { field: "the document", expected }));
        };
        entries.retain(|(key, _)| !matches!(key.as_str(), "name" | "prefix"));
        for (key, value) in &entries {
            match key.as_str() {
                "channels" => expect_texts("`channels`", value)?,
                "dependencies" => expect_dependencies(value)?,
                _ => {}
            }
        }
        Ok(Self { root: Node::Map(entries.into_iter().map(|(key, value)| (key, value.into())).collect()) })
    }

    /// The channels, in order.
    #[must_use]
    pub fn channels(&self) -> Vec<&str> {
        self.root.get("channels").map_or_else(Vec::new, |list| list.texts().collect())
    }

    /// The conda packages among the dependencies, in order, as match specifications.
    #[must_use]
    pub fn packages(&self) -> Vec<&str> {
        self.root.get("dependencies").map_or_else(Vec::new, |list| list.texts().collect())
    }

    /// The lines of the `pip` section, in order.
    #[must_use]
    pub fn pip(&self) -> Vec<&str> {
        let sections = self.root.get("dependencies").into_iter().flat_map(Node::items);
        sections.filter_map(|item| item.get("pip")).flat_map(Node::texts).collect()
    }

    /// The names of the other top-level entries and of installers other than `pip`, sorted. They are in the key; a builder
    /// that can't honour them should refuse.
    #[must_use]
    pub fn other_entries(&self) -> Vec<&str> {
        let top = self.root.keys().filter(|key| !matches!(*key, "channels" | "dependencies"));
        let sections = self.root.get("dependencies").into_iter().flat_map(Node::items);
        let mut names: Vec<&str> =
            top.chain(sections.flat_map(Node::keys).filter(|key| *key != "pip")).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn write(&self, out: &mut Canonical) {
        self.root.write(out);
    }

    pub(crate) const fn root(&self) -> &Node {
        &self.root
    }
}

impl Node {
    fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            Self::Text(_) | Self::List(_) => None,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = if let Self::Map(entries) = self { entries.as_slice() } else { &[] };
        entries.iter().map(|(key, _)| key.as_str())
    }

    fn items(&self) -> impl Iterator<Item = &Self> {
        let items = if let Self::List(items) = self { items.as_slice() } else { &[] };
        items.iter()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.items().filter_map(|item| if let Self::Text(text) = item { Some(text.as_str()) } else { None })
    }

    fn write(&self, out: &mut Canonical) {
        match self {
            Self::Text(text) => out.field(Tag::Text, text.as_bytes()),
            Self::List(items) => {
                out.list(Tag::List, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                out.list(Tag::Map, entries.len());
                for (key, value) in entries {
                    out.field(Tag::Text, key.as_bytes());
                    value.write(out);
                }
            }
        }
    }
}

impl From<Raw> for Node {
    fn from(raw: Raw) -> Self {
        match raw.value {
            Value::Text(text) => Self::Text(text),
            Value::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Map(entries) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

fn expect_dependencies(raw: &Raw) -> Result<(), CondaError> {
    let field = "`dependencies`";
    let shape = |raw: &Raw, expected| Err(raw.at.error(CondaProblem::Shape { field, expected }));
    let Value::List(items) = &raw.value else { return shape(raw, "a list") };
    for item in items {
        match &item.value {
            Value::Text(_) => {}
            Value::List(_) => return shape(item, "a list of texts and mappings"),
            Value::Map(sections) => {
                sections.iter().try_for_each(|(_, value)| expect_texts("`pip` and its like", value))?;
            }
        }
    }
    Ok(())
}

fn expect_texts(field: &'static str, raw: &Raw) -> Result<(), CondaError> {
    let shape = |raw: &Raw| raw.at.error(CondaProblem::Shape { field, expected: "a list of texts" });
    let Value::List(items) = &raw.value else { return Err(shape(raw)) };
    items.iter().find(|item| !matches!(item.value, Value::Text(_))).map_or(Ok(()), |item| Err(shape(item)))
}
