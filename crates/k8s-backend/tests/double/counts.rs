//! How often what was asked: `lists of pods: 1, watches of pods: 1`.

use std::collections::BTreeMap;
use std::fmt;

use super::request::{Call, Verb};

/// Requests that reached the server, by verb and resource. A list in pages counts once, its further pages apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    requests: BTreeMap<(String, Verb), usize>,
    pages: BTreeMap<String, usize>,
}

impl Counts {
    pub(super) fn add(&mut self, call: &Call) {
        let resource = call.place.resource();
        let count = if call.verb == Verb::List && !call.query.text("continue").is_empty() {
            self.pages.entry(resource).or_default()
        } else {
            self.requests.entry((resource, call.verb)).or_default()
        };
        *count += 1;
    }

    /// How often; resources are named `pods`, `deployments/scale`.
    pub fn of(&self, verb: Verb, resource: &str) -> usize {
        self.requests.get(&(resource.to_owned(), verb)).copied().unwrap_or_default()
    }

    /// How many further pages of lists.
    pub fn pages(&self, resource: &str) -> usize {
        self.pages.get(resource).copied().unwrap_or_default()
    }

    /// How many requests in all, further pages apart.
    pub fn total(&self) -> usize {
        self.requests.values().sum()
    }

    /// How many requests that write.
    pub fn writes(&self) -> usize {
        self.requests.iter().filter(|((_, verb), _)| verb.writes()).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ((resource, verb), count) in &self.requests {
            write!(f, "{separator}{verb} {resource}: {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}
