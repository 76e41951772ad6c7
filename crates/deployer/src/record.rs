//! What the catalog knows of a service's operations: enough to go on after a restart.

use std::collections::BTreeMap;

use portway_backend::Workload;
use portway_deploy_config::{ServiceName, VersionName};
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{OperationId, OperationState};

/// The deployer's own document about one service, of the kind `Operation`.
///
/// It is one document and not one per operation, so that its revision is the lock that admits one operation at a time,
/// and so that an operation's end and what it leaves behind are one write.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Record {
    /// How many operations there were.
    last: u64,
    /// The one under way, with all that is needed to begin it again.
    running: Option<Request>,
    /// How the latest ones ended, oldest first.
    ended: Vec<Ended>,
    /// What was applied for each version that is routed: what an update that fails goes back to.
    pub(crate) workloads: BTreeMap<VersionName, Workload>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Ended {
    number: u64,
    request: RequestKind,
    state: OperationState,
}

/// Which request an operation carries out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequestKind {
    Delete,
    Other,
}

impl Record {
    /// The operation under way.
    pub(crate) fn running(&self, service: &ServiceName) -> Option<(OperationId, &Request)> {
        let request = self.running.as_ref()?;
        Some((OperationId::new(service.clone(), self.last), request))
    }

    /// Notes the next operation; only when none is running.
    pub(crate) fn begin(&mut self, service: &ServiceName, request: Request) -> OperationId {
        debug_assert!(self.running.is_none(), "one operation at a time");
        self.last += 1;
        self.running = Some(request);
        OperationId::new(service.clone(), self.last)
    }

    /// Notes how the operation under way ended.
    pub(crate) fn end(&mut self, state: OperationState) {
        let Some(request) = self.running.take() else { return };
        self.ended.push(Ended { number: self.last, request: request.kind(), state });
        let surplus = self.ended.len().saturating_sub(KEPT_OPERATIONS);
        self.ended.drain(..surplus);
    }

    /// How far operation `number` is; `None` if it is unknown or too long ago.
    pub(crate) fn state(&self, number: u64) -> Option<OperationState> {
        if number == self.last && self.running.is_some() {
            return Some(OperationState::Running);
        }
        self.ended.iter().find(|ended| ended.number == number).map(|ended| ended.state.clone())
    }

    /// The newest operation and how far it is.
    pub(crate) fn newest(&self, service: &ServiceName) -> Option<(OperationId, OperationState)> {
        Some((OperationId::new(service.clone(), self.last), self.state(self.last)?))
    }

    /// Whether the last thing that happened to the service is that it was deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        let last = self.ended.last();
        self.running.is_none()
            && last.is_some_and(|last| {
                last.request == RequestKind::Delete && last.state == OperationState::Succeeded
            })
    }
}

/// How many ended operations are remembered for those who ask late.
const KEPT_OPERATIONS: usize = 20;
