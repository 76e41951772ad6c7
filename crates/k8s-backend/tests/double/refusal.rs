//! What the server says when it does not do what it was asked: `Status` bodies, word for word as the real one's.

use serde_json::{Value, json};

use super::resources::Kind;

/// A request that is not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The body.
    pub status: Value,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

/// What is done, or why not.
pub type Answer<T> = Result<T, Refusal>;

/// One broken rule of an invalid object, or one field that somebody else owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, ….
    pub reason: &'static str,
    /// What is wrong, without the field.
    pub message: String,
    /// The field's path.
    pub field: String,
}

impl Cause {
    pub fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: field.into() }
    }

    /// A value that may not stand in its field.
    pub fn invalid(field: &str, value: &Value, why: &str) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
    }

    /// A field that must be there.
    pub fn required(field: &str, why: &str) -> Self {
        Self::new("FieldValueRequired", field, format!("Required value: {why}").trim_end_matches(": "))
    }

    fn to_json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

impl Refusal {
    pub fn new(code: u16, reason: &str, message: impl Into<String>, details: Value) -> Self {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message.into(), "reason": reason, "code": code,
        });
        if details != Value::Null {
            status["details"] = details;
        }
        Self { code, status, retry_after: None }
    }

    /// What the refusal says.
    pub fn message(&self) -> &str {
        self.status["message"].as_str().unwrap_or_default()
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.qualified());
        Self::new(404, "NotFound", message, details(kind, name, kind.plural))
    }

    /// The scale of what is not there.
    pub fn no_scale(kind: &Kind, name: &str) -> Self {
        let what = format!("{}/scale", kind.plural);
        let message = format!("{what}.{} {name:?} not found", kind.group);
        Self::new(404, "NotFound", message, details(kind, name, &what))
    }

    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.qualified());
        Self::new(409, "AlreadyExists", message, details(kind, name, kind.plural))
    }

    /// Somebody else was faster.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::new(409, "Conflict", message, details(kind, name, kind.plural))
    }

    /// A precondition of a deletion does not hold; the real server names the kind here where it names the resource elsewhere.
    pub fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let of = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let message = format!("Operation cannot be fulfilled on {of} {name:?}: {why}");
        Self::new(409, "Conflict", message, details(kind, name, kind.kind))
    }

    /// The `resourceVersion` given is not the current one.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// An object that breaks rules.
    pub fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let mut said: Vec<_> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        said.dedup();
        let said = if let [one] = &said[..] { one.clone() } else { format!("[{}]", said.join(", ")) };
        let of = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let mut details = details(kind, name, kind.kind);
        details["causes"] = causes.iter().map(Cause::to_json).collect();
        Self::new(422, "Invalid", format!("{of} {name:?} is invalid: {said}"), details)
    }

    /// A PUT without `resourceVersion` where one must be given; the resource is named where other messages name the kind.
    pub fn without_revision(kind: &Kind, name: &str) -> Self {
        let why = "Invalid value: 0x0: must be specified for an update";
        let cause = Cause::new("FieldValueInvalid", "metadata.resourceVersion", why);
        let mut details = details(kind, name, kind.plural);
        details["causes"] = json!([cause.to_json()]);
        let message = format!("{} {name:?} is invalid: {}: {why}", kind.qualified(), cause.field);
        Self::new(422, "Invalid", message, details)
    }

    /// Fields that other managers own.
    pub fn fields_owned(causes: &[Cause], message: impl Into<String>) -> Self {
        let causes: Vec<_> = causes.iter().map(Cause::to_json).collect();
        Self::new(409, "Conflict", message, json!({"causes": causes}))
    }

    /// A right that is missing, a quota that is used up, a webhook that says no.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let what = if name.is_empty() { kind.qualified() } else { format!("{} {name:?}", kind.qualified()) };
        let message = format!("{what} is forbidden: {why}");
        Self::new(403, "Forbidden", message, details(kind, name, kind.plural))
    }

    pub fn forbidden_path(why: &str) -> Self {
        Self::new(403, "Forbidden", format!("forbidden: {why}"), json!({}))
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized", Value::Null)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message, Value::Null)
    }

    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message, json!({}))
    }

    /// A `resourceVersion` or a continue token from before the compaction.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message, Value::Null)
    }

    pub fn too_many_requests(retry_after: u32) -> Self {
        let message = "the server has received too many requests and has asked us to try again later";
        let details = json!({"retryAfterSeconds": retry_after});
        let refusal = Self::new(429, "TooManyRequests", message, details);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    pub fn internal() -> Self {
        let details = json!({"causes": [{"message": "etcdserver: leader changed"}]});
        let message = "Internal error occurred: etcdserver: leader changed";
        Self::new(500, "InternalError", message, details)
    }

    pub fn unavailable() -> Self {
        Self::new(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
            Value::Null,
        )
    }

    pub fn timeout() -> Self {
        let message =
            "Timeout: request did not complete within requested timeout - context deadline exceeded";
        Self::new(504, "Timeout", message, json!({}))
    }
}

fn details(kind: &Kind, name: &str, called: &str) -> Value {
    let mut details = serde_json::Map::new();
    if !name.is_empty() {
        details.insert("name".to_owned(), name.into());
    }
    if !kind.group.is_empty() {
        details.insert("group".to_owned(), kind.group.into());
    }
    details.insert("kind".to_owned(), called.into());
    Value::Object(details)
}
