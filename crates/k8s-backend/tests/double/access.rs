//! Who may do what: roles, quotas, webhooks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::refusal::{Answer, Refusal};
use super::request::{Call, Place, Verb};
use super::resources::Kind;
use super::server::State;
use super::store::Key;

/// As whom the client under test is known.
const USER: &str = "system:serviceaccount:default:portway";

/// How far the server has come since it was started, as the client under test is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// It knows nobody's rights, and forbids everything.
    Blind,
    /// It knows all rights and is not ready.
    Unready,
    /// It is ready, and tells nobody.
    Hidden,
    #[default]
    Over,
}

/// The rights of the client under test, and what nobody may do.
#[derive(Debug, Default)]
pub struct Access {
    pub(super) start: Start,
    /// `None`: everything is allowed.
    roles: Option<Vec<Value>>,
    forbidden: Vec<(Verb, String)>,
    quotas: BTreeMap<String, usize>,
    denials: BTreeMap<String, String>,
}

/// What is to be done, for a decision.
struct Asked<'a> {
    verb: &'a str,
    group: &'a str,
    /// `deployments/scale`.
    resource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl Access {
    /// Allows just what these `Role`s (within their namespaces) and `ClusterRole`s (everywhere) grant.
    pub fn grant_only(&mut self, roles: Vec<Value>) {
        self.roles = Some(roles);
    }

    /// Forbids one thing, whatever roles say.
    pub fn forbid(&mut self, verb: Verb, resource: &str) {
        self.forbidden.push((verb, resource.to_owned()));
    }

    /// Allows everything again.
    pub fn grant_all(&mut self) {
        self.roles = None;
        self.forbidden.clear();
    }

    /// Lets at most so many objects of a kind be in each namespace; `None` lifts it.
    pub fn set_quota(&mut self, plural: &str, hard: Option<usize>) {
        match hard {
            Some(hard) => drop(self.quotas.insert(plural.to_owned(), hard)),
            None => drop(self.quotas.remove(plural)),
        }
    }

    /// Lets a webhook refuse new objects of a kind; `None` takes it away.
    pub fn set_denial(&mut self, plural: &str, why: Option<&str>) {
        match why {
            Some(why) => drop(self.denials.insert(plural.to_owned(), why.to_owned())),
            None => drop(self.denials.remove(plural)),
        }
    }

    /// What is answered to who asks for a path that is none of an object's, if that is no.
    pub(super) fn fixed(&self, path: &str) -> Option<Refusal> {
        let is_readiness = path == "/readyz";
        match self.start {
            Start::Hidden if is_readiness => {}
            Start::Unready if is_readiness => return Some(Refusal::internal()),
            Start::Blind => {}
            Start::Unready | Start::Hidden | Start::Over => return None,
        }
        Some(Refusal::forbidden_path(&format!("User {USER:?} cannot get path {path:?}")))
    }

    /// Refuses what the client under test may not do.
    pub fn check(&self, call: &Call) -> Answer<()> {
        let Place { kind, namespace, name, .. } = &call.place;
        let resource = call.place.resource();
        let asked = Asked { verb: call.verb.name(), group: kind.group, resource: &resource, namespace, name };
        if self.allows(&asked) {
            return Ok(());
        }
        let scope = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {namespace:?}")
        };
        let (verb, group) = (call.verb, kind.group);
        let why = format!("User {USER:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}");
        Err(Refusal::forbidden(kind, name, &why))
    }

    /// The answer to a `SelfSubjectAccessReview`.
    pub fn review(&self, mut review: Value) -> Value {
        let about = review["spec"]["resourceAttributes"].clone();
        let text = |field: &str| about[field].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let (verb, group, namespace, name) = (text("verb"), text("group"), text("namespace"), text("name"));
        let allowed = self.allows(&Asked { verb, group, resource: &resource, namespace, name });
        review["kind"] = "SelfSubjectAccessReview".into();
        review["apiVersion"] = "authorization.k8s.io/v1".into();
        review["status"] = json!({"allowed": allowed});
        review
    }

    fn allows(&self, asked: &Asked<'_>) -> bool {
        let is_forbidden =
            |(verb, resource): &(Verb, String)| verb.name() == asked.verb && resource == asked.resource;
        if self.start == Start::Blind || self.forbidden.iter().any(is_forbidden) {
            return false;
        }
        let Some(roles) = &self.roles else { return true };
        let reaches = |role: &&Value| {
            role["kind"] == "ClusterRole"
                || (!asked.namespace.is_empty() && role["metadata"]["namespace"] == asked.namespace)
        };
        let rules =
            roles.iter().filter(reaches).flat_map(|role| role["rules"].as_array().into_iter().flatten());
        rules.into_iter().any(|rule| grants(rule, asked))
    }
}

fn grants(rule: &Value, asked: &Asked<'_>) -> bool {
    let has = |field: &str, wanted: &str| {
        rule[field]
            .as_array()
            .is_some_and(|values| values.iter().any(|value| value == wanted || value == "*"))
    };
    let is_named = rule["resourceNames"]
        .as_array()
        .is_none_or(|names| names.is_empty() || names.iter().any(|name| name == asked.name));
    has("apiGroups", asked.group) && has("resources", asked.resource) && has("verbs", asked.verb) && is_named
}

impl State {
    /// Refuses new objects that a webhook or a quota does not let in, and pods of accounts that do not exist.
    pub(super) fn admit(&self, key: &Key, object: &Value) -> Answer<()> {
        if let Some(why) = self.access.denials.get(key.kind.plural) {
            let message = format!("admission webhook \"policy.example.com\" denied the request: {why}");
            return Err(Refusal::new(403, "Forbidden", message, json!({})));
        }
        let account = object["spec"]["serviceAccountName"].as_str().unwrap_or("default");
        let accounts = Kind::named("serviceaccounts");
        let is_known =
            account == "default" || self.store.get(&Key::new(accounts, &key.namespace, account)).is_some();
        if key.kind.plural == "pods" && !is_known {
            let of = &key.namespace;
            let why = format!(
                "error looking up service account {of}/{account}: serviceaccount {account:?} not found"
            );
            return Err(Refusal::forbidden(key.kind, &key.name, &why));
        }
        self.check_quotas(key)
    }

    fn check_quotas(&self, key: &Key) -> Answer<()> {
        let what = match key.kind.plural {
            "pods" => "pods".to_owned(),
            _ => format!("count/{}", key.kind.qualified()),
        };
        let own = self.access.quotas.get(key.kind.plural).map(|hard| ("double".to_owned(), *hard));
        let stored =
            self.store.list(Kind::named("resourcequotas"), &key.namespace).filter_map(|(quota, object)| {
                let hard = object["spec"]["hard"][&what].as_str()?.parse().ok()?;
                Some((quota.name.clone(), hard))
            });
        for (quota, hard) in own.into_iter().chain(stored) {
            let used = self.store.list(key.kind, &key.namespace).count();
            if used >= hard {
                let why = format!(
                    "exceeded quota: {quota}, requested: {what}=1, used: {what}={used}, limited: {what}={hard}"
                );
                return Err(Refusal::forbidden(key.kind, &key.name, &why));
            }
        }
        Ok(())
    }
}
