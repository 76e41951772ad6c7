use std::fmt;

use crate::conda::Node;
use crate::{BaseImage, CondaDocument, ImageInputs};

/// How two sets of inputs differ, field by field; empty exactly if both have the same key.
///
/// `Display` writes one line a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    differences: Vec<Difference>,
}

/// One field in which two sets of inputs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `platform`, `steps[2]`, `conda.dependencies[3].pip[0]`. A position counts in `here`, or in `there` if the entry stands
    /// only there.
    pub field: String,
    /// What the first set has; `None` if the field is absent there.
    pub here: Option<String>,
    /// What the second set has; `None` if the field is absent there.
    pub there: Option<String>,
}

impl Explanation {
    /// The differences, in the order of the fields.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, field: &str, here: Option<String>, there: Option<String>) {
        self.differences.push(Difference { field: field.to_owned(), here, there });
    }

    fn text(&mut self, field: &str, here: &str, there: &str) {
        if here != there {
            self.add(field, Some(here.to_owned()), Some(there.to_owned()));
        }
    }

    fn base(&mut self, here: &BaseImage, there: &BaseImage) {
        match (here, there) {
            // The repository of a pinned image is not in the key.
            (BaseImage::Pinned(a), BaseImage::Pinned(b)) if a.digest() == b.digest() => {}
            (BaseImage::Pinned(_), BaseImage::AsWritten(_)) => {
                self.add("base", Some(format!("{here} (pinned)")), Some(format!("{there} (as written)")));
            }
            (BaseImage::AsWritten(_), BaseImage::Pinned(_)) => {
                self.add("base", Some(format!("{here} (as written)")), Some(format!("{there} (pinned)")));
            }
            _ => self.text("base", &here.to_string(), &there.to_string()),
        }
    }

    fn conda(&mut self, here: Option<&CondaDocument>, there: Option<&CondaDocument>) {
        match (here, there) {
            (Some(here), Some(there)) => self.node("conda", here.root(), there.root()),
            (None, None) => {}
            _ => {
                let text =
                    |document: Option<&CondaDocument>| document.map(|document| document.root().to_string());
                self.add("conda", text(here), text(there));
            }
        }
    }

    fn node(&mut self, field: &str, here: &Node, there: &Node) {
        match (here, there) {
            (Node::Text(here), Node::Text(there)) => self.text(field, here, there),
            (Node::List(here), Node::List(there)) => self.list(field, here, there),
            (Node::Map(here), Node::Map(there)) => self.map(field, here, there),
            _ => self.add(field, Some(here.to_string()), Some(there.to_string())),
        }
    }

    /// What both lists begin and end with is set aside, so that one entry more is one difference.
    fn list(&mut self, field: &str, here: &[Node], there: &[Node]) {
        let start = here.iter().zip(there).take_while(|(a, b)| a == b).count();
        let (here, there) = (&here[start..], &there[start..]);
        let end = here.iter().rev().zip(there.iter().rev()).take_while(|(a, b)| a == b).count();
        let (here, there) = (&here[..here.len() - end], &there[..there.len() - end]);
        for index in 0..here.len().max(there.len()) {
            let field = format!("{field}[{}]", start + index);
            match (here.get(index), there.get(index)) {
                (Some(here), Some(there)) => self.node(&field, here, there),
                (here, there) => self.add(&field, here.map(Node::to_string), there.map(Node::to_string)),
            }
        }
    }

    fn map(&mut self, field: &str, here: &[(String, Node)], there: &[(String, Node)]) {
        let find = |map: &'_ [(String, Node)], key: &str| map.iter().position(|(other, _)| other == key);
        for (key, value) in here {
            let field = format!("{field}.{key}");
            match find(there, key) {
                Some(at) => self.node(&field, value, &there[at].1),
                None => self.add(&field, Some(value.to_string()), None),
            }
        }
        for (key, value) in there.iter().filter(|(key, _)| find(here, key).is_none()) {
            self.add(&format!("{field}.{key}"), None, Some(value.to_string()));
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, difference) in self.differences.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{difference}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Option<String>| {
            side.as_ref().map_or_else(|| "absent".to_owned(), |text| format!("{text:?}"))
        };
        write!(f, "{}: {} here, {} there", self.field, side(&self.here), side(&self.there))
    }
}

/// Flow style, as in `{pip: [numpy]}`; for messages only, not for reading back.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

pub(crate) fn explain(here: &ImageInputs, there: &ImageInputs) -> Explanation {
    let mut out = Explanation::default();
    out.text("platform", &here.platform().to_string(), &there.platform().to_string());
    out.base(here.base(), there.base());
    let steps = |inputs: &ImageInputs| inputs.steps().iter().cloned().map(Node::Text).collect::<Vec<_>>();
    out.list("steps", &steps(here), &steps(there));
    out.conda(here.conda_document(), there.conda_document());
    out.text("recipe", here.recipe().as_ref(), there.recipe().as_ref());
    out
}
