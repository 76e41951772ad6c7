//! Selectors by labels (equality and set based) and by fields (names only).

use serde_json::Value;

use super::refusal::{Answer, Refusal};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    field: Field,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Field {
    Label(String),
    /// A path into the object, `metadata.name`.
    Path(String),
}

#[derive(Clone, Debug)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` as they stand in a request.
    pub fn parse(labels: &str, fields: &str) -> Answer<Self> {
        let labels = split(labels).into_iter().map(label_requirement);
        let fields = split(fields).into_iter().map(field_requirement);
        Ok(Self { requirements: labels.chain(fields).collect::<Answer<_>>()? })
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = match &requirement.field {
                Field::Label(label) => object["metadata"]["labels"].get(label),
                Field::Path(path) => path.split('.').try_fold(object, |value, part| value.get(part)),
            };
            let value = value.and_then(Value::as_str);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.iter().any(|other| other == value)),
                Operator::NotIn(values) => {
                    !value.is_some_and(|value| values.iter().any(|other| other == value))
                }
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
            }
        })
    }
}

/// Splits at commas that stand outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label_requirement(text: &str) -> Answer<Requirement> {
    let set = |values: &str| {
        values.trim_matches(['(', ')']).split(',').map(|value| value.trim().to_owned()).collect()
    };
    let label = |label: &str| Field::Label(label.trim().to_owned());
    if let Some((key, values)) = text.split_once(" notin ") {
        return Ok(Requirement { field: label(key), operator: Operator::NotIn(set(values.trim())) });
    }
    if let Some((key, values)) = text.split_once(" in ") {
        return Ok(Requirement { field: label(key), operator: Operator::In(set(values.trim())) });
    }
    let compared = compared(text).map(|(key, operator)| Requirement { field: label(key), operator });
    Ok(compared.unwrap_or_else(|| match text.strip_prefix('!') {
        Some(key) => Requirement { field: label(key), operator: Operator::Absent },
        None => Requirement { field: label(text), operator: Operator::Exists },
    }))
}

fn compared(text: &str) -> Option<(&str, Operator)> {
    let value = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, other)) = text.split_once("!=") {
        return Some((key, Operator::NotIn(value(other))));
    }
    let (key, other) = text.split_once("==").or_else(|| text.split_once('='))?;
    Some((key, Operator::In(value(other))))
}

fn field_requirement(text: &str) -> Answer<Requirement> {
    const SUPPORTED: [&str; 4] = ["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"];
    let (path, operator) =
        compared(text).ok_or_else(|| Refusal::bad_request(format!("invalid field selector: {text:?}")))?;
    if !SUPPORTED.contains(&path) {
        return Err(Refusal::bad_request(format!("field label not supported: {path}")));
    }
    Ok(Requirement { field: Field::Path(path.to_owned()), operator })
}
