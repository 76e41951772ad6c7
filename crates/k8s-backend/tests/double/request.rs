//! What a request asks: its path, its parameters, its verb.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use serde_json::Value;

use super::refusal::{Answer, Refusal};
use super::resources::{Kind, Profile};

/// What is done to a resource, as RBAC calls it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As roles and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a path names.
#[derive(Clone, Debug)]
pub enum Target {
    /// `/version`, `/api`, `/apis`, `/apis/apps/v1`, `/healthz`: nothing that is stored.
    Fixed(String),
    /// Objects, an object, or a part of one.
    Objects(Place),
}

/// Objects, an object, or a part of one.
#[derive(Clone, Debug)]
pub struct Place {
    pub kind: &'static Kind,
    pub version: String,
    /// Empty for kinds without namespaces, and for lists over all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    pub subresource: Option<String>,
}

impl Place {
    /// `deployments`, `deployments/scale`: what faults, counters and roles name.
    pub fn resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.kind.plural),
            None => self.kind.plural.to_owned(),
        }
    }
}

/// A request that was understood.
#[derive(Debug)]
pub struct Call {
    pub verb: Verb,
    pub place: Place,
    pub query: Query,
    pub body: Bytes,
    /// The media type of the body, without parameters.
    pub content_type: String,
    /// Who is to own the fields that are written.
    pub manager: String,
    /// Whether just metadata is asked for (`as=PartialObjectMetadata`).
    pub metadata_only: bool,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decode_pair).collect())
    }

    /// A parameter's value; empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1")
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.text(name).parse().ok()
    }

    pub fn is_dry_run(&self) -> bool {
        self.text("dryRun") == "All"
    }
}

fn decode_pair((name, value): (&str, &str)) -> (String, String) {
    (decode(name), decode(value))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(hex.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if hex.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a path names; `None` for what is not served, which the real server answers with a plain `404 page not found`.
pub fn target(path: &str, profile: &Profile) -> Option<Target> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, rest) = match &segments[..] {
        ["api", rest @ ..] => ("", rest),
        ["apis", group, rest @ ..] => (*group, rest),
        _ => return Some(Target::Fixed(path.to_owned())),
    };
    let [version, rest @ ..] = rest else { return Some(Target::Fixed(path.to_owned())) };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if !matches!(*plural, "status" | "finalize") => {
            (*namespace, [&[*plural], rest].concat())
        }
        _ => ("", rest.to_vec()),
    };
    let (plural, name, subresource) = match &rest[..] {
        [] => return Some(Target::Fixed(path.to_owned())),
        ["selfsubjectaccessreviews"] => return Some(Target::Fixed(path.to_owned())),
        [plural] => (*plural, "", None),
        [plural, name] => (*plural, *name, None),
        [plural, name, subresource] => (*plural, *name, Some((*subresource).to_owned())),
        _ => return None,
    };
    let kind = profile.find(group, version, plural)?;
    let is_known = subresource.as_ref().is_none_or(|subresource| kind.has(subresource));
    let is_apart = namespace.is_empty() || kind.namespaced;
    let (version, namespace, name) = ((*version).to_owned(), namespace.to_owned(), decode(name));
    let place = Place { kind, version, namespace, name, subresource };
    (is_known && is_apart).then_some(Target::Objects(place))
}

impl Call {
    pub fn new(parts: &Parts, place: Place, body: Bytes) -> Answer<Self> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let header = |name: header::HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let verb = match (&parts.method, place.name.is_empty()) {
            (&Method::GET, _) if query.flag("watch") => Verb::Watch,
            (&Method::GET, true) => Verb::List,
            (&Method::GET, false) => Verb::Get,
            (&Method::POST, true) => Verb::Create,
            (&Method::PUT, false) => Verb::Update,
            (&Method::PATCH, false) => Verb::Patch,
            (&Method::DELETE, true) => Verb::DeleteCollection,
            (&Method::DELETE, false) => Verb::Delete,
            _ => return Err(Refusal::method_not_allowed()),
        };
        let media = header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        let metadata_only = header(header::ACCEPT).contains("as=PartialObjectMetadata");
        let manager = match query.text("fieldManager") {
            "" => header(header::USER_AGENT)
                .split('/')
                .next()
                .filter(|agent| !agent.is_empty())
                .unwrap_or("unknown"),
            manager => manager,
        };
        let (content_type, manager) = (media.to_owned(), manager.to_owned());
        Ok(Self { verb, place, query, body, content_type, manager, metadata_only })
    }

    /// The body as JSON.
    pub fn json(&self) -> Answer<Value> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad_request(format!("the body of the request is no JSON: {error}")))
    }
}
