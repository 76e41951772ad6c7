use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use portway_backend::{BackendError, DocKey, Document, Expected, Revision, Versioned};

use super::sheet::{Content, Sheet, content, kept, sheet};
use crate::backend::Inner;
use crate::error::refused;

/// Where one document is kept.
pub(super) struct Spot<'a, K> {
    inner: &'a Inner,
    key: &'a DocKey,
    api: Api<K>,
    object_name: String,
}

/// Why a write of an exact revision came to nothing.
enum Lost {
    Changed,
    Gone,
}

impl<'a, K: Sheet> Spot<'a, K> {
    pub(super) fn of(inner: &'a Inner, key: &'a DocKey) -> Self {
        Self { inner, key, api: inner.api(), object_name: kept(&inner.options.owner, key).object_name() }
    }

    pub(super) async fn get(&self) -> Result<Option<Versioned<Document>>, BackendError> {
        match self.look().await? {
            None | Some(Content::Leaving) => Ok(None),
            Some(Content::Document(found)) => Ok(Some(found)),
            Some(hindrance) => Err(self.refusal(hindrance)),
        }
    }

    pub(super) async fn put(
        &self,
        document: &Document,
        expected: Expected,
    ) -> Result<Revision, BackendError> {
        match expected {
            Expected::Absent => self.put_new(document).await,
            Expected::At(revision) => match self.replace(document, &revision).await? {
                Ok(written) => Ok(written),
                Err(lost) => Err(self.lost(&lost)),
            },
            Expected::Any => self.put_anyway(document).await,
        }
    }

    async fn put_new(&self, document: &Document) -> Result<Revision, BackendError> {
        for _ in 0..ATTEMPTS {
            if let Some(revision) = self.create(document).await? {
                return Ok(revision);
            }
            if let Some(content) = self.look().await? {
                return Err(self.refusal(content));
            }
        }
        Err(self.contended())
    }

    /// Whoever loses a race here tries again: another one has written, so all get on.
    async fn put_anyway(&self, document: &Document) -> Result<Revision, BackendError> {
        for _ in 0..ATTEMPTS {
            let written = match self.look().await? {
                None => self.create(document).await?,
                Some(Content::Document(Versioned { revision, .. }) | Content::Damaged { revision, .. }) => {
                    self.replace(document, &revision).await?.ok()
                }
                Some(hindrance) => return Err(self.refusal(hindrance)),
            };
            if let Some(revision) = written {
                return Ok(revision);
            }
        }
        Err(self.contended())
    }

    pub(super) async fn delete(&self, expected: Expected) -> Result<(), BackendError> {
        match expected {
            Expected::Absent => match self.look().await? {
                None | Some(Content::Leaving) => Ok(()),
                Some(content) => Err(self.refusal(content)),
            },
            Expected::At(revision) => match self.remove(&revision).await? {
                Ok(()) => Ok(()),
                Err(lost) => Err(self.lost(&lost)),
            },
            Expected::Any => self.delete_anyway().await,
        }
    }

    async fn delete_anyway(&self) -> Result<(), BackendError> {
        for _ in 0..ATTEMPTS {
            let removed = match self.look().await? {
                None | Some(Content::Leaving) => return Ok(()),
                Some(Content::Document(Versioned { revision, .. }) | Content::Damaged { revision, .. }) => {
                    self.remove(&revision).await?
                }
                Some(hindrance) => return Err(self.refusal(hindrance)),
            };
            match removed {
                Ok(()) | Err(Lost::Gone) => return Ok(()),
                Err(Lost::Changed) => {}
            }
        }
        Err(self.contended())
    }

    // === requests ===

    async fn look(&self) -> Result<Option<Content>, BackendError> {
        let found = self.api.get_opt(&self.object_name).await;
        let found = found.map_err(|error| refused(&format!("read the document {}", self.key), error))?;
        Ok(found.map(|object| content(&self.inner.options.owner, self.key, object)))
    }

    /// `None` if there is an object of that name.
    async fn create(&self, document: &Document) -> Result<Option<Revision>, BackendError> {
        let params =
            PostParams { field_manager: Some(self.inner.options.field_manager()), ..PostParams::default() };
        match self.api.create(&params, &self.sheet(document)).await {
            Ok(object) => Ok(Some(revision_of(&object))),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(self.not_written(error)),
        }
    }

    /// A patch, so that labels and annotations of others stay.
    async fn replace(
        &self,
        document: &Document,
        at: &Revision,
    ) -> Result<Result<Revision, Lost>, BackendError> {
        if !is_exact(at) {
            return Ok(Err(Lost::Changed));
        }
        let mut object = self.sheet(document);
        object.meta_mut().resource_version = Some(at.as_str().to_owned());
        let params =
            PatchParams { field_manager: Some(self.inner.options.field_manager()), ..PatchParams::default() };
        match self.api.patch(&self.object_name, &params, &Patch::Merge(object)).await {
            Ok(object) => Ok(Ok(revision_of(&object))),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Err(Lost::Changed)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Err(Lost::Gone)),
            Err(error) => Err(self.not_written(error)),
        }
    }

    async fn remove(&self, at: &Revision) -> Result<Result<(), Lost>, BackendError> {
        if !is_exact(at) {
            return Ok(Err(Lost::Changed));
        }
        let exactly = Preconditions { resource_version: Some(at.as_str().to_owned()), uid: None };
        match self.api.delete(&self.object_name, &DeleteParams::default().preconditions(exactly)).await {
            Ok(_) => Ok(Ok(())),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Err(Lost::Changed)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Err(Lost::Gone)),
            Err(error) => Err(refused(&format!("delete the document {}", self.key), error)),
        }
    }

    fn sheet(&self, document: &Document) -> K {
        sheet(&self.inner.options.owner, self.key, document)
    }

    // === refusals ===

    fn refusal(&self, content: Content) -> BackendError {
        let (key, kept) = (self.key, kept(&self.inner.options.owner, self.key));
        let (namespace, object) = (&self.inner.options.namespace, &self.object_name);
        let place = format!("the {} {namespace}/{object}", K::RESOURCE);
        match content {
            Content::Document(_) => BackendError::conflict(format!("{key} exists already")),
            Content::Leaving => BackendError::conflict(format!(
                "{place} with the old {key} is being deleted, but a finalizer in its metadata holds it up; remove that"
            )),
            Content::Damaged { why, .. } => BackendError::invalid(format!(
                "{place} with {key} is damaged: {why}; mend it with `kubectl -n {namespace} edit {} {object}`, or delete \
                 it and write the document anew",
                K::RESOURCE
            )),
            Content::Other(name) => kept.shortens_like(&place, &name),
            Content::Foreign(whose) => kept.occupied(&place, &whose),
        }
    }

    fn lost(&self, lost: &Lost) -> BackendError {
        let what = match lost {
            Lost::Changed => "changed",
            Lost::Gone => "deleted",
        };
        BackendError::conflict(format!(
            "{} has been {what} meanwhile; read it again and decide anew",
            self.key
        ))
    }

    fn not_written(&self, error: kube::Error) -> BackendError {
        refused(&format!("write the document {}", self.key), error)
    }

    fn contended(&self) -> BackendError {
        BackendError::unavailable(format!(
            "{} was changed by others {ATTEMPTS} times in a row while it was to be changed; try again",
            self.key
        ))
    }
}

fn revision_of<K: Sheet>(object: &K) -> Revision {
    Revision::new(object.meta().resource_version.as_deref().unwrap_or_default())
}

/// Whether the server would compare it: nothing and zero mean "any" to it.
fn is_exact(revision: &Revision) -> bool {
    revision.as_str().parse::<u64>().is_ok_and(|number| number > 0)
}

/// Times that a change without expectation is tried anew after somebody else's.
const ATTEMPTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_that_would_match_anything_match_nothing() {
        for text in ["", "0", "00", "x", "-1"] {
            assert!(!is_exact(&Revision::new(text)), "{text}");
        }
        assert!(is_exact(&Revision::new("12")));
    }
}
