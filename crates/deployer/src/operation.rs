//! Operations: what runs on after the call that started it has returned.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use portway_backend::ErrorKind;
use portway_deploy_config::ServiceName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::event::EventLog;
use crate::{Event, Events, Step};

/// The name of an operation: the service it works on and a number that grows with each of them, as in `iris.3`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId {
    service: ServiceName,
    number: u64,
}

impl OperationId {
    pub(crate) fn new(service: ServiceName, number: u64) -> Self {
        Self { service, number }
    }

    /// The service it works on.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Its number among the operations of that service, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.number)
    }
}

/// A text that is no [`OperationId`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an operation: expected a service name, a dot and a number, as in `iris.3`")]
pub struct InvalidOperationId(());

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, InvalidOperationId> {
        let (service, number) = text.split_once('.').ok_or(InvalidOperationId(()))?;
        let service = service.parse().map_err(|_| InvalidOperationId(()))?;
        let parsed = number.parse().map_err(|_| InvalidOperationId(()))?;
        // One spelling a number: `+3` and `03` are other texts.
        if parsed == 0 || u64::to_string(&parsed) != number {
            return Err(InvalidOperationId(()));
        }
        Ok(Self { service, number: parsed })
    }
}

impl TryFrom<String> for OperationId {
    type Error = InvalidOperationId;

    fn try_from(text: String) -> Result<Self, InvalidOperationId> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.to_string()
    }
}

/// How far an operation is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OperationState {
    /// It is under way.
    Running,
    /// All of it was done.
    Succeeded,
    /// It could not be done; what it had created is removed again, and what ran before still runs.
    Failed(Failure),
    /// Replicas were not ready in time; otherwise like [`Failed`](Self::Failed).
    TimedOut(Failure),
}

impl OperationState {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Running)
    }

    /// Why it did not succeed.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::TimedOut(failure) => Some(failure),
            Self::Running | Self::Succeeded => None,
        }
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Succeeded => f.write_str("done"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::TimedOut(failure) => write!(f, "timed out: {failure}"),
        }
    }
}

/// Why an operation failed. It outlives its process in the catalog, so causes are kept as text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// The step that could not be done.
    pub step: Step,
    /// What a caller can do about it.
    pub reaction: Reaction,
    /// What happened, its causes included, and the remedy.
    pub message: String,
    /// The last lines that the replicas wrote, when it was they that failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub logs: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reaction {
    /// Change the request: as it stands it can never succeed.
    Change,
    /// Try again: the fault lay elsewhere.
    Retry,
    /// Make room, or ask for less.
    MakeRoom,
    /// Look at what stands now: somebody changed it meanwhile.
    Look,
}

impl From<ErrorKind> for Reaction {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable => Self::Retry,
            ErrorKind::Capacity => Self::MakeRoom,
            ErrorKind::Conflict => Self::Look,
            _ => Self::Change,
        }
    }
}

/// An operation that was started. It goes on when this handle is dropped; clones watch the same one.
#[derive(Clone, Debug)]
pub struct Operation(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: OperationId,
    log: EventLog,
    state: watch::Sender<OperationState>,
}

impl Operation {
    pub(crate) fn start(id: OperationId) -> Self {
        Self(Arc::new(Shared {
            id,
            log: EventLog::new(),
            state: watch::Sender::new(OperationState::Running),
        }))
    }

    pub(crate) fn emit(&self, event: Event) {
        self.0.log.emit(event);
    }

    pub(crate) fn end(&self, state: OperationState) {
        self.0.log.emit(Event::Ended(state.clone()));
        self.0.state.send_replace(state);
    }

    /// Its name, under which [`Deployer::operation`](crate::Deployer::operation) finds it again.
    #[must_use]
    pub fn id(&self) -> &OperationId {
        &self.0.id
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> OperationState {
        self.0.state.borrow().clone()
    }

    /// What happened and will happen, from the first event on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.log.reader()
    }

    /// Waits until it is over. Dropping the future cancels nothing.
    ///
    /// # Errors
    ///
    /// The [`Failure`], if it did not succeed.
    pub async fn wait(&self) -> Result<(), Failure> {
        let mut state = self.0.state.subscribe();
        let ended = state.wait_for(OperationState::is_final).await.expect("the sender lives in `self`");
        ended.failure().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id: OperationId = "iris.3".parse().unwrap();
        assert_eq!((id.service().as_ref(), id.number()), ("iris", 3));
        assert_eq!(id.to_string(), "iris.3");
        for bad in ["", "iris", "iris.", "iris.0", "iris.03", "iris.+3", "iris.3.4", "I.1", ".1"] {
            assert!(bad.parse::<OperationId>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn everybody_who_waits_hears_the_end() {
        let operation = Operation::start("iris.1".parse().unwrap());
        let waiting = tokio::spawn({
            let operation = operation.clone();
            async move { operation.wait().await }
        });
        let failure = Failure {
            step: Step::Ready,
            reaction: Reaction::Change,
            message: "no".into(),
            logs: String::new(),
        };
        operation.end(OperationState::Failed(failure.clone()));
        assert_eq!(waiting.await.unwrap(), Err(failure.clone()));
        assert_eq!(operation.wait().await, Err(failure));
    }
}
