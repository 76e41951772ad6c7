//! Why a request is refused at once, before any operation begins.

use std::fmt;

use portway_backend::BackendError;
use portway_deploy_config::{Finding, Report, ServiceName};

use crate::OperationId;

/// Why a call was refused. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// Another operation works on the service: wait for it.
    #[error("{} is busy with operation {operation}; wait for its end and try again", .operation.service())]
    Busy {
        /// What it is busy with.
        operation: OperationId,
    },
    /// An operation of an earlier run was left half-way: [`resume`](crate::Deployer::resume) ends it.
    #[error("operation {0} of an earlier run is unfinished; resume it first")]
    Unfinished(OperationId),
    /// There is such a service already.
    #[error("{0} exists already; add a version to it, update it, or choose another name")]
    Exists(ServiceName),
    /// There is no such service, version or operation.
    #[error("there is no {0}")]
    NotFound(String),
    /// The request can never be granted as it stands: all that is wrong with it.
    #[error("{}", Faults(.0))]
    Refused(Vec<Fault>),
    /// A seam did not do its part.
    #[error(transparent)]
    Seam(#[from] BackendError),
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Which part of the request, for example `source.script`.
    pub field: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The errors of a report on a document.
    pub(crate) fn all_of(report: &Report) -> Vec<Self> {
        let fault = |finding: &Finding| {
            let remedy =
                if finding.remedy.is_empty() { String::new() } else { format!("; {}", finding.remedy) };
            let field = if finding.pointer.is_empty() { "endpoint" } else { &finding.pointer };
            Self::new(field, format!("{}{remedy}", finding.message))
        };
        report.errors().map(fault).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

struct Faults<'a>(&'a [Fault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// An error and its causes in one line, for records that outlive them.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // A transparent wrapper repeats its cause word for word.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
