//! One object of a workload: read, applied, deleted.

use std::fmt;

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use portway_backend::BackendError;
use serde::Serialize;
use serde_json::Value;

use crate::backend::Inner;
use crate::conflicts::{FieldConflict, How, conflicts, listed};
use crate::error::refused;
use crate::server::Server;

/// The kinds of objects that a workload has on this server, the owner of the others first.
pub(crate) fn kinds(server: &Server) -> Vec<ApiResource> {
    use k8s_openapi::api::{apps, core, policy};
    let mut kinds = vec![
        ApiResource::erase::<apps::v1::Deployment>(&()),
        ApiResource::erase::<core::v1::Secret>(&()),
        ApiResource::erase::<core::v1::ServiceAccount>(&()),
        ApiResource::erase::<core::v1::Service>(&()),
    ];
    if server.has_disruption_budgets {
        kinds.push(ApiResource::erase::<policy::v1::PodDisruptionBudget>(&()));
    }
    kinds
}

/// The place of an object: its kind and its name in our namespace.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    inner: &'a Inner,
    resource: ApiResource,
    name: &'a str,
}

/// `Deployment iris-first-1234abcd`.
impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind, self.name)
    }
}

/// An object as the server has taken it, and what of it was put back by force.
pub(crate) struct Sent {
    pub(crate) object: DynamicObject,
    pub(crate) forced: Vec<FieldConflict>,
}

impl<'a> Part<'a> {
    pub(crate) fn new(inner: &'a Inner, resource: ApiResource, name: &'a str) -> Self {
        Self { inner, resource, name }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// The object as it is, or `None`.
    pub(crate) async fn read(&self) -> Result<Option<DynamicObject>, BackendError> {
        self.api().get_opt(self.name).await.map_err(|error| refused(&format!("read the {self}"), error))
    }

    /// Applies `object`; `aside` is said of a failure: what is done already and what to do.
    ///
    /// What another field manager has only edited is put back by force; what it declares is a conflict.
    pub(crate) async fn apply(&self, object: &impl Serialize, aside: &str) -> Result<Sent, BackendError> {
        let what = format!("apply the {self}{aside}");
        let object = self.typed(object)?;
        let params = PatchParams::apply(&self.inner.options.field_manager());
        let found = match self.api().patch(self.name, &params, &Patch::Apply(&object)).await {
            Ok(object) => return Ok(Sent { object, forced: Vec::new() }),
            Err(kube::Error::Api(status)) => match conflicts(&status) {
                found if found.is_empty() => return Err(refused(&what, kube::Error::Api(status))),
                found => found,
            },
            Err(error) => return Err(refused(&what, error)),
        };
        let declared: Vec<_> = found.iter().filter(|found| found.how == How::Declared).cloned().collect();
        if !declared.is_empty() {
            return Err(BackendError::conflict(format!(
                "cannot {what}: {}; take these fields out of what that manager applies and apply it once more, or remove the \
                 workload and apply it anew",
                listed(&declared)
            )));
        }
        let forced = self.api().patch(self.name, &params.force(), &Patch::Apply(&object)).await;
        forced.map(|object| Sent { object, forced: found }).map_err(|error| refused(&what, error))
    }

    /// Deletes the object `found`; one that is gone already is a success.
    pub(crate) async fn delete(&self, found: &DynamicObject) -> Result<(), BackendError> {
        let preconditions = Preconditions { uid: found.metadata.uid.clone(), resource_version: None };
        // The Deployment goes after its replicas, so that it is seen until the end. The others own nothing, and in the
        // foreground would wait for a garbage collector.
        let params = if self.resource.kind == DEPLOYMENT {
            DeleteParams::foreground()
        } else {
            DeleteParams::background()
        };
        let params = params.preconditions(preconditions);
        match self.api().delete(self.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(refused(&format!("delete the {self}"), error)),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.inner.client.clone(), &self.inner.options.namespace, &self.resource)
    }

    /// An apply must say what the object is, also where a type knows it only by itself.
    fn typed(&self, object: &impl Serialize) -> Result<Value, BackendError> {
        let unwritable =
            |error| BackendError::invalid(format!("the {self} cannot be written")).with_source(error);
        let mut object =
            serde_json::to_value(object).map_err(|error: serde_json::Error| unwritable(error))?;
        object["apiVersion"] = self.resource.api_version.as_str().into();
        object["kind"] = self.resource.kind.as_str().into();
        Ok(object)
    }
}

/// The kind that owns the others.
pub(crate) const DEPLOYMENT: &str = "Deployment";
