//! Members of the endpoint document that nothing reads: kept, so that a document of a newer release loses nothing.

use super::EndpointSpec;
use crate::finding::{Code, Report};
use crate::json::{Json, Member, Value};

/// Members that nothing reads, with their places; they are written back where they stood.
///
/// Empty for a document that was put together in code. What stands inside a part that is removed goes with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unknown(Vec<Kept>);

// Numbers are kept as they are written, so a value is always equal to itself.
impl Eq for Unknown {}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    /// The keys and indices that lead to the object.
    path: Vec<String>,
    key: String,
    json: Json,
}

impl Unknown {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same object with these members at the end of the parts that they stood in.
    pub(super) fn put_back(&self, mut json: Json) -> Json {
        for kept in &self.0 {
            if let Some(members) = descend(&mut json, &kept.path) {
                let json = kept.json.clone();
                members.push(Member { key: kept.key.as_str().into(), key_span: None, json });
            }
        }
        json
    }

    /// Whether one of them stands in the part of that name.
    pub(super) fn any_in(&self, part: &str) -> bool {
        self.0.iter().any(|kept| kept.path.first().is_some_and(|first| first == part))
    }
}

/// Gives `spec`, which was read from `json`, the members that the report calls unknown.
pub(super) fn keep(json: &Json, report: &Report, spec: &mut EndpointSpec) {
    for finding in report.iter().filter(|finding| finding.code == Code::UnknownKey) {
        let steps = finding.pointer.split('/').skip(1);
        let mut path: Vec<String> = steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let Some(json) = find(json, &path) else { continue };
        let Some(key) = path.pop() else { continue };
        let owner = match path.get(1).and_then(|index| index.parse().ok()) {
            Some(index) if path[0] == "versions" => {
                path.drain(..2);
                spec.versions.get_mut::<usize>(index).map(|version| &mut version.unknown)
            }
            _ => Some(&mut spec.unknown),
        };
        if let Some(Unknown(kept)) = owner {
            kept.push(Kept { path, key, json: json.clone() });
        }
    }
}

fn find<'a>(json: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(json, |json, step| match &json.value {
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => json.get(step),
    })
}

/// The members of the object at `path`, if it is still there.
fn descend<'a>(json: &'a mut Json, path: &[String]) -> Option<&'a mut Vec<Member>> {
    let found = path.iter().try_fold(json, |json, step| match &mut json.value {
        Value::Array(elements) => elements.get_mut(step.parse::<usize>().ok()?),
        Value::Object(members) => {
            members.iter_mut().find(|member| *member.key == **step).map(|member| &mut member.json)
        }
        _ => None,
    })?;
    match &mut found.value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
