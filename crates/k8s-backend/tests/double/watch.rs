//! Watches: streams of JSON lines, resumed from a revision, broken and delayed at the will of a test.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::refusal::{Answer, Cause, Refusal};
use super::render::{api_version, render};
use super::request::Call;
use super::resources::{Kind, Profile, StreamingLists};
use super::selector::Selector;
use super::store::{Change, Event, Store};

/// The body of an answer: whole, or lines while they come.
#[derive(Debug)]
pub enum Reply {
    Whole(Option<Bytes>),
    Lines(UnboundedReceiver<io::Result<Bytes>>),
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lines(lines) => lines.poll_recv(context).map(|line| line.map(|line| line.map(Frame::data))),
        }
    }
}

/// How a server says that a revision is too old.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expiry {
    /// As the answer to the request: HTTP 410.
    Answer,
    /// As an `ERROR` event in a stream that began with 200.
    Event,
}

/// Everybody who watches.
#[derive(Debug, Default)]
pub struct Watches {
    watchers: Vec<Watcher>,
    /// Which of the next watches find their revision too old.
    expiring: VecDeque<(String, Expiry)>,
    /// Whether every event comes twice.
    pub duplicates: bool,
    /// Whether bookmarks wait for [`Watches::release_bookmarks`].
    pub holds_bookmarks: bool,
}

#[derive(Debug)]
struct Watcher {
    what: Watched,
    takes_bookmarks: bool,
    /// Bookmarks that are held back.
    held: Vec<Bytes>,
    lines: UnboundedSender<io::Result<Bytes>>,
}

/// Which objects a watch is about, and how they are shown.
#[derive(Debug)]
struct Watched {
    kind: &'static Kind,
    version: String,
    namespace: String,
    selector: Selector,
    metadata_only: bool,
}

impl Watched {
    fn has(&self, object: &Value) -> bool {
        self.selector.matches(object)
    }

    /// The line that tells an event; `None` if it is about something else.
    fn line(&self, event: &Event) -> Option<Bytes> {
        let is_here = self.namespace.is_empty() || event.key.namespace == self.namespace;
        if event.key.kind != self.kind || !is_here {
            return None;
        }
        match &event.change {
            Change::Added(new) => self.has(new).then(|| self.told("ADDED", new)),
            Change::Deleted(last) => self.has(last).then(|| self.told("DELETED", last)),
            Change::Modified { old, new } => match (self.has(old), self.has(new)) {
                (true, true) => Some(self.told("MODIFIED", new)),
                (false, true) => Some(self.told("ADDED", new)),
                (true, false) => Some(self.told("DELETED", &with_revision(old, event.revision))),
                (false, false) => None,
            },
        }
    }

    fn told(&self, what: &str, object: &Arc<Value>) -> Bytes {
        line(what, &render(object, self.kind, &self.version, self.metadata_only))
    }

    fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let api_version = api_version(self.kind, &self.version);
        line("BOOKMARK", &json!({"kind": self.kind.kind, "apiVersion": api_version, "metadata": metadata}))
    }
}

fn with_revision(object: &Value, revision: u64) -> Arc<Value> {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = revision.to_string().into();
    Arc::new(object)
}

fn line(what: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n"))
}

impl Store {
    /// Begins a watch.
    pub fn watch(&mut self, call: &Call, profile: &Profile) -> Answer<Reply> {
        let mut fields = call.query.text("fieldSelector").to_owned();
        if !call.place.name.is_empty() {
            fields = format!("metadata.name={}", call.place.name);
        }
        let what = Watched {
            kind: call.place.kind,
            version: call.place.version.clone(),
            namespace: call.place.namespace.clone(),
            selector: Selector::parse(call.query.text("labelSelector"), &fields)?,
            metadata_only: call.metadata_only,
        };
        let (sender, lines) = unbounded_channel();
        let takes_bookmarks = call.query.flag("allowWatchBookmarks");
        let mut watcher = Watcher { what, takes_bookmarks, held: Vec::new(), lines: sender };
        match self.begin(&mut watcher, call, profile)? {
            Begun::Runs => self.watches.watchers.push(watcher),
            Begun::Ended => {}
        }
        Ok(Reply::Lines(lines))
    }

    /// Sends what comes before the first new event.
    fn begin(&mut self, watcher: &mut Watcher, call: &Call, profile: &Profile) -> Answer<Begun> {
        if let Some(expiry) = self.watches.expires(call.place.kind.plural) {
            return watcher.expire(expiry, "too old resource version");
        }
        let streams = call.query.flag("sendInitialEvents") && streams_lists(call, profile)?;
        let from = call.query.text("resourceVersion");
        if streams || matches!(from, "" | "0") {
            for (_, object) in self.list(watcher.what.kind, &watcher.what.namespace) {
                if watcher.what.has(object) {
                    watcher.send(watcher.what.told("ADDED", object));
                }
            }
            if streams {
                watcher.bookmark(self.revision(), true, self.watches.holds_bookmarks);
            }
            return Ok(Begun::Runs);
        }
        let from: u64 = from.parse().map_err(|_| invalid_revision(call))?;
        if from > self.revision() {
            return Err(too_large(from, self.revision()));
        }
        if from < self.compacted() {
            let why = format!("too old resource version: {from} ({})", self.compacted());
            return watcher.expire(Expiry::Event, &why);
        }
        self.since(from).filter_map(|event| watcher.what.line(event)).for_each(|line| watcher.send(line));
        Ok(Begun::Runs)
    }
}

enum Begun {
    Runs,
    Ended,
}

/// Whether initial events are sent as such.
fn streams_lists(call: &Call, profile: &Profile) -> Answer<bool> {
    let refuse = |why: &str| {
        let field = "sendInitialEvents";
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: Forbidden: {why}");
        let cause = Cause::new("FieldValueForbidden", field, format!("Forbidden: {why}"));
        let details = json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}]});
        Err(Refusal::new(422, "Invalid", message, details))
    };
    match profile.streaming_lists {
        StreamingLists::Ignored => Ok(false),
        StreamingLists::Refused => {
            refuse("sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
        }
        StreamingLists::Supported if call.query.text("resourceVersionMatch") != "NotOlderThan" => {
            refuse("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        StreamingLists::Supported => Ok(true),
    }
}

fn invalid_revision(call: &Call) -> Refusal {
    let given = call.query.text("resourceVersion");
    let message = format!("resourceVersion: Invalid value: {given:?}: strconv.ParseUint: invalid syntax");
    Refusal::new(400, "BadRequest", message, Value::Null)
}

fn too_large(from: u64, current: u64) -> Refusal {
    let message = format!("Timeout: Too large resource version: {from}, current: {current}");
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    Refusal::new(504, "Timeout", message, json!({"causes": [cause], "retryAfterSeconds": 1}))
}

impl Watcher {
    fn send(&self, line: Bytes) {
        // A watcher that is gone is forgotten at the next event.
        let _ = self.lines.send(Ok(line));
    }

    fn bookmark(&mut self, revision: u64, ends_initial_events: bool, holds: bool) {
        let line = self.what.bookmark(revision, ends_initial_events);
        if holds {
            self.held.push(line);
        } else {
            self.send(line);
        }
    }

    fn expire(&self, expiry: Expiry, why: &str) -> Answer<Begun> {
        let refusal = Refusal::expired(why);
        if expiry == Expiry::Answer {
            return Err(refusal);
        }
        self.send(line("ERROR", &refusal.status));
        Ok(Begun::Ended)
    }
}

impl Watches {
    /// Tells everybody whom it concerns.
    pub fn tell(&mut self, event: &Event) {
        let times = if self.duplicates { 2 } else { 1 };
        self.watchers.retain(|watcher| !watcher.lines.is_closed());
        for watcher in &self.watchers {
            if let Some(line) = watcher.what.line(event) {
                (0..times).for_each(|_| watcher.send(line.clone()));
            }
        }
    }

    /// How many watch a kind.
    pub fn open(&self, plural: &str) -> usize {
        let of = |watcher: &&Watcher| watcher.what.kind.plural == plural && !watcher.lines.is_closed();
        self.watchers.iter().filter(of).count()
    }

    /// Ends all streams as a server does after `timeoutSeconds`.
    pub fn end_all(&mut self) {
        self.watchers.clear();
    }

    /// Breaks all connections in the middle of the stream.
    pub fn break_all(&mut self) {
        for watcher in self.watchers.drain(..) {
            let _ = watcher.lines.send(Err(io::ErrorKind::ConnectionReset.into()));
        }
    }

    /// Makes the next watch of a kind find its revision too old.
    pub fn expire_next(&mut self, plural: &str, expiry: Expiry) {
        self.expiring.push_back((plural.to_owned(), expiry));
    }

    /// Tells a running watch of a kind that it has fallen out of the history.
    pub fn expire_running(&mut self, plural: &str) {
        let status = Refusal::expired("The resourceVersion for the provided watch is too old.").status;
        let (expired, rest) = std::mem::take(&mut self.watchers)
            .into_iter()
            .partition(|watcher: &Watcher| watcher.what.kind.plural == plural);
        self.watchers = rest;
        for watcher in expired {
            watcher.send(line("ERROR", &status));
        }
    }

    fn expires(&mut self, plural: &str) -> Option<Expiry> {
        let position = self.expiring.iter().position(|(of, _)| of == plural)?;
        self.expiring.remove(position).map(|(_, expiry)| expiry)
    }

    /// Sends a bookmark to everybody who takes them, unless they are held.
    pub fn send_bookmarks(&mut self, revision: u64) {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.takes_bookmarks) {
            watcher.bookmark(revision, false, self.holds_bookmarks);
        }
    }

    /// Sends the bookmarks that were held, late as they are, and holds no more.
    pub fn release_bookmarks(&mut self) {
        self.holds_bookmarks = false;
        for watcher in &mut self.watchers {
            for line in std::mem::take(&mut watcher.held) {
                watcher.send(line);
            }
        }
    }
}
