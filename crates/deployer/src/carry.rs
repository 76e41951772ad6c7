//! From a request that was checked to an operation that has ended.

use portway_auth::Credentials;
use portway_backend::{BackendError, ErrorKind, Expected, Versioned};
use portway_deploy_config::ServiceName;

use crate::record::Record;
use crate::request::Request;
use crate::{DeployError, Deployer, Operation, OperationId, OperationState};

impl Deployer {
    /// Notes the operation in the catalog and begins it, in a task: a caller that goes away leaves nothing half-begun.
    pub(crate) async fn start(
        &self,
        service: ServiceName,
        request: Request,
        keys: Option<Credentials>,
    ) -> Result<Operation, DeployError> {
        let deployer = self.clone();
        let begun = tokio::spawn(async move {
            // Between the note in the catalog and the one in memory nobody may look.
            let _door = deployer.live.door.lock().await;
            let id = deployer.note(&service, &request).await?;
            let operation = Operation::start(id);
            deployer.live.add(&operation);
            tokio::spawn(deployer.clone().carry_out(operation.clone(), request, keys, false));
            Ok(operation)
        });
        begun.await.unwrap_or_else(|error| {
            Err(BackendError::unavailable("the operation could not be begun").with_source(error).into())
        })
    }

    async fn note(&self, service: &ServiceName, request: &Request) -> Result<OperationId, DeployError> {
        loop {
            let (mut record, expected) = match self.store.record(service).await? {
                Some(Versioned { value, revision }) => (value, Expected::At(revision)),
                None => (Record::default(), Expected::Absent),
            };
            if let Some((id, _)) = record.running(service) {
                let busy = self.live.is_running(&id);
                return Err(if busy {
                    DeployError::Busy { operation: id }
                } else {
                    DeployError::Unfinished(id)
                });
            }
            let id = record.begin(service, request.clone());
            match self.store.put_record(service, &record, expected).await {
                Ok(_) => return Ok(id),
                // Somebody else was faster: what is there now says whether it is busy.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Performs a request that is noted, undoes it if it fails, and notes how it ended.
    pub(crate) async fn carry_out(
        self,
        operation: Operation,
        request: Request,
        keys: Option<Credentials>,
        again: bool,
    ) {
        // In a task of its own, so that even a bug ends the operation instead of leaving it under way for ever.
        let performing = tokio::spawn(self.clone().perform(operation.clone(), request.clone(), keys, again));
        let outcome = performing.await.unwrap_or_else(|error| Err(crate::steps::interrupted(&error)));
        let ended = match outcome {
            Ok(aftermath) => (OperationState::Succeeded, aftermath),
            Err(state) => {
                let aftermath = self.undo(&operation, &request).await;
                (state, aftermath)
            }
        };
        let (state, aftermath) = ended;
        self.conclude(&operation, &state, aftermath).await;
        self.live.ended(operation.id());
        operation.end(state);
    }
}
