//! From what the server tells of objects to what readers are told of documents. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use kube::runtime::watcher::Event;
use portway_backend::{Change, DocKey, DocKind, Revision};

use super::sheet::{Content, Sheet, content, key_of};

/// What one reader has been told.
#[derive(Debug)]
pub(super) struct Feed {
    owner: String,
    kind: DocKind,
    /// By the name of the object, which stays readable whatever happens to the rest.
    told: HashMap<String, (DocKey, Revision)>,
    /// The objects of the list that is going on.
    listed: HashSet<String>,
    /// The newest version since the list began. A watch tells each version once, in order: whatever is not newer is a
    /// repetition.
    newest: u64,
    synced: bool,
}

impl Feed {
    pub(super) fn new(owner: &str, kind: DocKind) -> Self {
        let (told, listed) = Default::default();
        Self { owner: owner.to_owned(), kind, told, listed, newest: 0, synced: false }
    }

    /// Adds to `changes` what an event means for the reader.
    pub(super) fn take<K: Sheet>(&mut self, event: Event<K>, changes: &mut VecDeque<Change>) {
        match event {
            Event::Init => {
                self.listed.clear();
                self.newest = 0;
            }
            Event::InitApply(object) => {
                self.is_newer(&object);
                self.listed.extend(object.meta().name.clone());
                changes.extend(self.stands(object));
            }
            Event::InitDone => self.finish_list(changes),
            Event::Apply(object) if self.is_newer(&object) => changes.extend(self.stands(object)),
            Event::Apply(_) => {}
            Event::Delete(object) => {
                self.is_newer(&object);
                changes.extend(self.gone(&object));
            }
        }
    }

    /// What is not in the list was deleted while nobody watched.
    fn finish_list(&mut self, changes: &mut VecDeque<Change>) {
        let listed = std::mem::take(&mut self.listed);
        let gone = self.told.extract_if(|object, _| !listed.contains(object));
        changes.extend(gone.map(|(_, (key, _))| Change::Deleted(key)));
        if !self.synced {
            self.synced = true;
            changes.push_back(Change::Synced);
        }
    }

    fn is_newer<K: Sheet>(&mut self, object: &K) -> bool {
        // Versions that are no numbers cannot be compared: then the server's word is taken.
        let Some(version) = number(object.meta().resource_version.as_deref()) else { return true };
        let newer = version > self.newest;
        self.newest = self.newest.max(version);
        newer
    }

    fn stands<K: Sheet>(&mut self, object: K) -> Option<Change> {
        let name = object.meta().name.clone().unwrap_or_default();
        let Some(key) = key_of(&self.owner, self.kind, object.meta()) else {
            report(&name, "its full name is missing or another one's");
            return None;
        };
        let found = match content(&self.owner, &key, object) {
            Content::Document(found) => found,
            Content::Leaving => return self.told.remove(&name).map(|(key, _)| Change::Deleted(key)),
            Content::Damaged { why, .. } | Content::Foreign(why) | Content::Other(why) => {
                report(&name, &why);
                return None;
            }
        };
        let told = self.told.insert(name, (key.clone(), found.revision.clone()));
        // A new list repeats what has not changed.
        (told.is_none_or(|(_, revision)| revision != found.revision)).then_some(Change::Put(key, found))
    }

    fn gone<K: Sheet>(&mut self, object: &K) -> Option<Change> {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let (_, told) = self.told.get(name)?;
        let (end, told) = (number(object.meta().resource_version.as_deref()), number(Some(told.as_str())));
        // The repeated end of what has been made anew since.
        if end.zip(told).is_some_and(|(end, told)| end < told) {
            return None;
        }
        self.told.remove(name).map(|(key, _)| Change::Deleted(key))
    }
}

fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// The others go on, and readers keep the last state that could be read.
fn report(object: &str, why: &str) {
    tracing::error!(object, why, "a document of the catalog is damaged and passed over");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use portway_backend::{Document, Versioned};
    use proptest::prelude::*;

    use super::super::sheet::sheet;
    use super::*;

    fn key(name: &str) -> DocKey {
        DocKey::new(DocKind::Endpoint, name).unwrap()
    }

    fn object(name: &str, version: u64) -> ConfigMap {
        let mut object: ConfigMap = sheet("portway", &key(name), &Document::of(&version).unwrap());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn put(name: &str, version: u64) -> Change {
        let (value, revision) = (Document::of(&version).unwrap(), Revision::new(version.to_string()));
        Change::Put(key(name), Versioned { value, revision })
    }

    fn gone(name: &str) -> Change {
        Change::Deleted(key(name))
    }

    fn feed() -> Feed {
        Feed::new("portway", DocKind::Endpoint)
    }

    fn told(feed: &mut Feed, events: impl IntoIterator<Item = Event<ConfigMap>>) -> Vec<Change> {
        let mut changes = VecDeque::new();
        events.into_iter().for_each(|event| feed.take(event, &mut changes));
        changes.into()
    }

    use Event::{Apply, Delete, Init, InitApply, InitDone};

    #[test]
    fn r_k8s_4_what_stands_then_synced_then_changes() {
        let events = [
            Init,
            InitApply(object("a", 1)),
            InitApply(object("b", 2)),
            InitDone,
            Apply(object("a", 3)),
            Delete(object("b", 4)),
        ];
        let expected = [put("a", 1), put("b", 2), Change::Synced, put("a", 3), gone("b")];
        assert_eq!(told(&mut feed(), events), expected);
    }

    #[test]
    fn r_k8s_4_a_new_list_tells_what_has_changed_in_the_gap_and_synced_once() {
        let mut feed = feed();
        told(
            &mut feed,
            [Init, InitApply(object("a", 1)), InitApply(object("b", 2)), InitApply(object("c", 3)), InitDone],
        );
        let list = [Init, InitApply(object("a", 1)), InitApply(object("b", 9)), InitDone];
        assert_eq!(told(&mut feed, list), [put("b", 9), gone("c")]);
    }

    #[test]
    fn r_k8s_4_a_list_that_breaks_off_tells_no_deletions() {
        let mut feed = feed();
        told(&mut feed, [Init, InitApply(object("a", 1)), InitApply(object("b", 2)), InitDone]);
        assert_eq!(told(&mut feed, [Init, InitApply(object("a", 1)), Init, InitApply(object("b", 2))]), []);
        assert_eq!(told(&mut feed, [InitDone]), [gone("a")], "only the list that ended counts");
    }

    #[test]
    fn r_k8s_4_repetitions_bring_nothing_old_back() {
        let mut feed = feed();
        told(&mut feed, [Init, InitDone, Apply(object("a", 1)), Apply(object("a", 2))]);
        assert_eq!(told(&mut feed, [Apply(object("a", 2)), Apply(object("a", 1))]), []);
        assert_eq!(
            told(&mut feed, [Delete(object("a", 3)), Apply(object("a", 2)), Delete(object("a", 3))]),
            [gone("a")]
        );
        assert_eq!(
            told(&mut feed, [Apply(object("a", 4)), Delete(object("a", 3))]),
            [put("a", 4)],
            "made anew"
        );
        assert_eq!(
            told(&mut feed, [Delete(object("a", 4))]),
            [gone("a")],
            "a server that tells the last version"
        );
    }

    #[test]
    fn r_k8s_4_a_damaged_document_hides_no_other_and_is_not_deleted() {
        let mut feed = feed();
        let damaged = |version| {
            let mut damaged = object("a", version);
            damaged.data = Some(BTreeMap::from([("document".to_owned(), "{".to_owned())]));
            damaged
        };
        let nameless = |version| {
            let mut nameless = object("a", version);
            nameless.metadata.annotations = None;
            nameless
        };
        let events = [
            Init,
            InitApply(object("a", 1)),
            InitDone,
            Apply(damaged(2)),
            Apply(nameless(3)),
            Apply(object("b", 4)),
        ];
        assert_eq!(told(&mut feed, events), [put("a", 1), Change::Synced, put("b", 4)]);
        let list = [Init, InitApply(nameless(3)), InitApply(object("b", 4)), InitDone];
        assert_eq!(told(&mut feed, list), [], "it is there, if unreadable");
        assert_eq!(told(&mut feed, [Delete(nameless(5))]), [gone("a")]);
    }

    #[test]
    fn a_document_that_waits_for_a_finalizer_is_gone() {
        let mut feed = feed();
        let mut leaving = object("a", 2);
        leaving.metadata.deletion_timestamp = serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap();
        let events = [Init, InitApply(object("a", 1)), InitDone, Apply(leaving), Delete(object("a", 3))];
        assert_eq!(told(&mut feed, events), [put("a", 1), Change::Synced, gone("a")]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Put(u8),
        Delete(u8),
        /// The watch repeats its last event.
        Repeat,
        /// What happens now is seen by the next list only.
        Gap,
        List,
        /// A list that tells some and breaks off.
        HalfList,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u8..4).prop_map(Step::Put),
            2 => (0_u8..4).prop_map(Step::Delete),
            1 => Just(Step::Repeat),
            1 => Just(Step::Gap),
            1 => Just(Step::List),
            1 => Just(Step::HalfList),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// A reader that believes every change ends with what stands, and never sees a version after a newer one.
        #[test]
        fn r_k8s_4_readers_end_with_what_stands(steps in steps()) {
            let (mut feed, mut version, mut changes) = (feed(), 0, VecDeque::new());
            let (mut stands, mut events) = (BTreeMap::<u8, u64>::new(), Vec::new());
            let name = |number: u8| format!("doc-{number}");
            let list = |stands: &BTreeMap<u8, u64>, take: usize| {
                let objects = stands.iter().take(take).map(|(number, version)| InitApply(object(&name(*number), *version)));
                [Init].into_iter().chain(objects.collect::<Vec<_>>())
            };
            events.extend([Init, InitDone]);
            let mut watching = true;
            for step in steps.into_iter().chain([Step::List]) {
                match step {
                    Step::Put(number) => {
                        version += 1;
                        stands.insert(number, version);
                        events.extend(watching.then(|| Apply(object(&name(number), version))));
                    }
                    Step::Delete(number) if stands.remove(&number).is_some() => {
                        version += 1;
                        events.extend(watching.then(|| Delete(object(&name(number), version))));
                    }
                    Step::Delete(_) => {}
                    Step::Repeat if watching => events.extend(events.last().cloned().filter(|event| matches!(event, Apply(_) | Delete(_)))),
                    Step::Repeat => {}
                    Step::Gap => watching = false,
                    Step::List => {
                        events.extend(list(&stands, usize::MAX).chain([InitDone]));
                        watching = true;
                    }
                    Step::HalfList => {
                        events.extend(list(&stands, 2));
                        watching = false;
                    }
                }
            }
            events.into_iter().for_each(|event| feed.take(event, &mut changes));
            let mut believed = BTreeMap::new();
            let mut newest = BTreeMap::<DocKey, u64>::new();
            for change in &changes {
                match change {
                    Change::Put(key, found) => {
                        let version: u64 = found.revision.as_str().parse().unwrap();
                        prop_assert!(newest.insert(key.clone(), version).is_none_or(|before| before < version));
                        believed.insert(key.clone(), version);
                    }
                    Change::Deleted(key) => prop_assert!(believed.remove(key).is_some(), "{} was never told", key),
                    Change::Synced => {}
                }
            }
            let stands: BTreeMap<_, _> = stands.into_iter().map(|(number, version)| (key(&name(number)), version)).collect();
            prop_assert_eq!(believed, stands);
            prop_assert_eq!(changes.iter().filter(|change| **change == Change::Synced).count(), 1);
        }
    }
}
