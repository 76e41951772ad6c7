//! The verbs: what each does to the store and what it answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::patch::patched;
use super::refusal::{Answer, Refusal};
use super::render::{render, render_list};
use super::request::{Call, Place, Verb};
use super::selector::Selector;
use super::server::State;
use super::store::Key;
use super::watch::Reply;
use super::write::{Part, Tracking, Write, resource_version};

/// The most that a request may bring.
const MAX_BODY: usize = 3 * 1024 * 1024;
const APPLY: &str = "application/apply-patch+yaml";

impl State {
    /// Does what was asked.
    pub(super) fn perform(&mut self, call: &Call) -> Answer<Response<Reply>> {
        if call.body.len() > MAX_BODY {
            let message = format!("Request entity too large: limit is {MAX_BODY}");
            return Err(Refusal::new(413, "RequestEntityTooLarge", message, json!({})));
        }
        match call.verb {
            Verb::Get => self.get(call),
            Verb::List => self.list(call),
            Verb::Watch => self.store.watch(call, &self.profile).map(stream_reply),
            Verb::Create => self.create(call),
            Verb::Update => self.update(call),
            Verb::Patch => self.patch(call),
            Verb::Delete => self.delete(call),
            Verb::DeleteCollection => self.delete_collection(call),
        }
    }

    /// The object that a request is about.
    pub(super) fn current(&self, place: &Place) -> Answer<Arc<Value>> {
        let found = self.store.get(&key(place)).cloned();
        found.ok_or_else(|| match place.subresource.as_deref() {
            Some("scale") => Refusal::no_scale(place.kind, &place.name),
            _ => Refusal::not_found(place.kind, &place.name),
        })
    }

    fn get(&self, call: &Call) -> Answer<Response<Reply>> {
        let object = self.current(&call.place)?;
        Ok(match call.place.subresource.as_deref() {
            Some("scale") => json_reply(200, &scale_of(&object)),
            Some("log") => text_reply(200, &self.log_of(&object, call.query.number("tailLines"))),
            _ => json_reply(200, &shown(&object, call)),
        })
    }

    /// What a container has printed: a line for each of its starts.
    fn log_of(&self, pod: &Value, lines: Option<usize>) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let all = [format!("{name} starts"), format!("{name} serves")];
        let skipped = lines.map_or(0, |lines| all.len().saturating_sub(lines));
        all[skipped..].iter().map(|line| format!("{line}\n")).collect()
    }

    fn list(&self, call: &Call) -> Answer<Response<Reply>> {
        let Place { kind, version, namespace, .. } = &call.place;
        let selector = Selector::parse(call.query.text("labelSelector"), call.query.text("fieldSelector"))?;
        let page = Page::parse(call.query.text("continue"), self.store.revision())?;
        if page.revision < self.store.compacted() && page.after.is_some() {
            return Err(Refusal::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a \
                 new list without the continue parameter.",
            ));
        }
        let limit = call.query.number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut matching = self
            .store
            .list(kind, namespace)
            .filter(|(key, _)| {
                page.after.as_ref().is_none_or(|after| (&key.namespace, &key.name) > (&after.0, &after.1))
            })
            .filter(|(_, object)| selector.matches(object));
        let found: Vec<_> = matching.by_ref().take(limit).collect();
        let mut metadata = json!({"resourceVersion": page.revision.to_string()});
        let rest = matching.count();
        if let (1.., Some((last, _))) = (rest, found.last()) {
            metadata["continue"] = format!("{}/{}/{}", page.revision, last.namespace, last.name).into();
            metadata["remainingItemCount"] = rest.into();
        }
        let objects = found.into_iter().map(|(_, object)| shown(object, call));
        Ok(json_reply(200, &render_list(objects, kind, version, call.metadata_only, &metadata)))
    }

    fn create(&mut self, call: &Call) -> Answer<Response<Reply>> {
        let mut object = call.json()?;
        check_type(call, &object)?;
        if !resource_version(&object).is_empty() {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
        if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() && !prefix.is_empty() {
            object["metadata"]["name"] = format!("{prefix}{}", self.give_suffix()).into();
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let key = Key::new(call.place.kind, &call.place.namespace, name);
        let write = self.write_of(call);
        let stored = self.insert(&key, object, &write)?;
        Ok(json_reply(201, &shown(&stored, call)))
    }

    fn update(&mut self, call: &Call) -> Answer<Response<Reply>> {
        let new = call.json()?;
        if call.place.subresource.as_deref() == Some("scale") {
            return self.rescale(call, &new);
        }
        check_type(call, &new)?;
        let (key, write) = (key(&call.place), self.write_of(call));
        let Some(old) = self.store.get(&key).cloned() else {
            if call.place.kind.create_on_update && call.place.subresource.is_none() {
                let stored = self.insert(&key, new, &write)?;
                return Ok(json_reply(201, &shown(&stored, call)));
            }
            return Err(Refusal::not_found(call.place.kind, &call.place.name));
        };
        let stored = self.replace(&key, &old, new, &write)?;
        Ok(json_reply(200, &shown(&stored, call)))
    }

    fn patch(&mut self, call: &Call) -> Answer<Response<Reply>> {
        if call.content_type == APPLY {
            return self.apply(call);
        }
        let old = self.current(&call.place)?;
        if call.place.subresource.as_deref() == Some("scale") {
            let scale = patched(&scale_of(&old), call.json()?, &call.content_type)?;
            return self.rescale(call, &scale);
        }
        let new = patched(&shown(&old, call), call.json()?, &call.content_type)?;
        let write = self.write_of(call);
        let stored = self.replace(&key(&call.place), &old, new, &write)?;
        Ok(json_reply(200, &shown(&stored, call)))
    }

    /// Sets the count of a scale subresource and nothing else.
    fn rescale(&mut self, call: &Call, scale: &Value) -> Answer<Response<Reply>> {
        let old = self.current(&call.place)?;
        let given = resource_version(scale);
        if !given.is_empty() && given != resource_version(&old) {
            return Err(Refusal::modified(call.place.kind, &call.place.name));
        }
        let mut new = Value::clone(&old);
        new["spec"]["replicas"] = scale["spec"]["replicas"].as_u64().unwrap_or_default().into();
        let mut write = Write { part: Part::Whole, ..self.write_of(call) };
        if self.profile.minor < 22 {
            write.tracking = Tracking::Nobody; // Older servers do not note who scales.
        }
        let stored = self.replace(&key(&call.place), &old, new, &write)?;
        Ok(json_reply(200, &scale_of(&stored)))
    }
}

/// Where a list goes on.
struct Page {
    revision: u64,
    after: Option<(String, String)>,
}

impl Page {
    fn parse(token: &str, revision: u64) -> Answer<Self> {
        if token.is_empty() {
            return Ok(Self { revision, after: None });
        }
        let mut parts = token.splitn(3, '/');
        let revision = parts.next().and_then(|revision| revision.parse().ok());
        match (revision, parts.next(), parts.next()) {
            (Some(revision), Some(namespace), Some(name)) => {
                Ok(Self { revision, after: Some((namespace.to_owned(), name.to_owned())) })
            }
            _ => Err(Refusal::bad_request("continue key is not valid")),
        }
    }
}

/// The key of the object that a path names.
pub(super) fn key(place: &Place) -> Key {
    Key::new(place.kind, &place.namespace, &place.name)
}

/// An object as the request wants to see it.
pub(super) fn shown(object: &Value, call: &Call) -> Value {
    render(object, call.place.kind, &call.place.version, call.metadata_only)
}

/// Refuses bodies that are not of the kind, the name or the namespace of the path.
pub(super) fn check_type(call: &Call, object: &Value) -> Answer<()> {
    let Place { kind, version, namespace, name, .. } = &call.place;
    let says = |value: &Value, expected: &str| {
        value.as_str().is_none_or(|value| value.is_empty() || value == expected)
    };
    if !object.is_object() || !matches!(object["metadata"], Value::Object(_) | Value::Null) {
        return Err(Refusal::bad_request("the body of the request is no object with metadata"));
    }
    let api_version = kind.api_version(version);
    if !says(&object["kind"], kind.kind) || !says(&object["apiVersion"], &api_version) {
        let (given, of) = (&object["kind"], &object["apiVersion"]);
        let why = format!(
            "{given} in version {of} cannot be handled as a {} in version {api_version:?}",
            kind.kind
        );
        return Err(Refusal::bad_request(why));
    }
    let metadata = &object["metadata"];
    if !says(&metadata["namespace"], namespace) {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(why));
    }
    if !name.is_empty() && metadata["name"] != **name {
        let given = metadata["name"].as_str().unwrap_or_default();
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Refusal::bad_request(why));
    }
    Ok(())
}

/// The scale subresource of an object.
fn scale_of(object: &Value) -> Value {
    let of = &object["metadata"];
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let selector = labels
        .into_iter()
        .flatten()
        .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()));
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": of["name"], "namespace": of["namespace"], "uid": of["uid"],
            "resourceVersion": of["resourceVersion"], "creationTimestamp": of["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"].as_u64().unwrap_or_default()},
        "status": {
            "replicas": object["status"]["replicas"].as_u64().unwrap_or_default(),
            "selector": selector.collect::<Vec<_>>().join(","),
        },
    })
}

/// An answer that is text.
pub(super) fn text_reply(code: u16, text: &str) -> Response<Reply> {
    let mut reply = Response::new(Reply::Whole(Some(Bytes::copy_from_slice(text.as_bytes()))));
    *reply.status_mut() = StatusCode::from_u16(code).expect("the double answers with legal codes");
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply
}

/// An answer that is JSON.
pub(super) fn json_reply(code: u16, value: &Value) -> Response<Reply> {
    let mut reply = Response::new(Reply::Whole(Some(Bytes::from(value.to_string()))));
    *reply.status_mut() = StatusCode::from_u16(code).expect("the double answers with legal codes");
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn stream_reply(lines: Reply) -> Response<Reply> {
    let mut reply = Response::new(lines);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
