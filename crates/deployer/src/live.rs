//! The operations of this process.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::{Operation, OperationId};

/// The operations that this process carries out, and the latest of those it has ended, with their events.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// One operation is begun at a time.
    pub(crate) door: tokio::sync::Mutex<()>,
    operations: Mutex<Operations>,
}

#[derive(Debug, Default)]
struct Operations {
    running: Vec<Operation>,
    ended: VecDeque<Operation>,
}

impl Live {
    pub(crate) fn add(&self, operation: &Operation) {
        self.with(|all| all.running.push(operation.clone()));
    }

    pub(crate) fn ended(&self, id: &OperationId) {
        self.with(|all| {
            let Some(at) = all.running.iter().position(|operation| operation.id() == id) else { return };
            all.ended.push_back(all.running.swap_remove(at));
            if all.ended.len() > KEPT_WITH_EVENTS {
                all.ended.pop_front();
            }
        });
    }

    pub(crate) fn is_running(&self, id: &OperationId) -> bool {
        self.with(|all| all.running.iter().any(|operation| operation.id() == id))
    }

    pub(crate) fn find(&self, id: &OperationId) -> Option<Operation> {
        self.with(|all| all.running.iter().chain(&all.ended).find(|operation| operation.id() == id).cloned())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Operations) -> T) -> T {
        work(&mut self.operations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const KEPT_WITH_EVENTS: usize = 64;
