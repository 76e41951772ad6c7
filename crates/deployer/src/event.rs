//! What an operation tells its watchers, step by step.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use portway_backend::{ArtifactName, Phase, WorkloadId};
use portway_deploy_config::VersionName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{ImageOrigin, OperationState};

/// The steps of the documented sequence (RUN-1), and those of taking things away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// Reading what stands, and deciding whether the request can be granted.
    Check,
    /// Packing the project folder.
    Pack,
    /// Looking whether there is room; only where the nodes are known.
    Fit,
    /// Looking the image up, or building it.
    Image,
    /// Bringing the packed project to where every replica finds it: among the artifacts, or into its image.
    Upload,
    /// Handing the workload to the backend.
    Apply,
    /// Waiting for its replicas.
    Ready,
    /// Writing the keys, or the issuer of tokens, and what the gateway checks them with.
    Credentials,
    /// Writing the endpoint document, after which traffic flows.
    Route,
    /// Removing what is no longer wanted.
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Pack => "pack",
            Self::Fit => "fit",
            Self::Image => "image",
            Self::Upload => "upload",
            Self::Apply => "apply",
            Self::Ready => "ready",
            Self::Credentials => "credentials",
            Self::Route => "route",
            Self::Remove => "remove",
        })
    }
}

/// One thing that happened during an operation. `Display` is a line for people.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step begins.
    Began(Step),
    /// A step of the documented sequence that is not needed.
    Skipped {
        /// Which one.
        step: Step,
        /// Why.
        why: &'static str,
    },
    /// The project folder is packed.
    Packed {
        /// Files in the package; what the ignore files name is not among them.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// There is room for the first replicas.
    Fits {
        /// How many.
        replicas: u32,
    },
    /// The image builder wrote a line.
    BuildLine(String),
    /// The image is at hand.
    Image {
        /// What the replicas will run in.
        name: String,
        /// Whether it had to be built.
        origin: ImageOrigin,
    },
    /// The packed project is where the backend finds it.
    Uploaded {
        /// Under which name.
        artifact: ArtifactName,
        /// How large it is.
        bytes: u64,
        /// False if the same bytes lay there already.
        new: bool,
    },
    /// The project is part of an image, on top of the one that was found or built.
    Layered {
        /// `repository@sha256:…`: what the replicas will run.
        reference: String,
        /// How large the layer is.
        bytes: u64,
        /// False if the image stood there already.
        new: bool,
    },
    /// The backend took the workload.
    Applied(WorkloadId),
    /// The replicas changed.
    Replicas {
        /// Whose.
        id: WorkloadId,
        /// How many answer.
        ready: u32,
        /// How many are wanted.
        wanted: u32,
        /// The state of the whole.
        phase: Phase,
        /// Why, while all is not well.
        message: String,
    },
    /// The endpoint's keys stand.
    Credentials {
        /// False if they stood before.
        new: bool,
    },
    /// The issuer stands that the endpoint's tokens come from; it is one for all endpoints.
    Issuer {
        /// False if it stood before.
        new: bool,
    },
    /// The endpoint document stands; the gateway follows it.
    Routed {
        /// Effective shares in basis points, remainder included.
        shares: Vec<(VersionName, u16)>,
        /// Which version gets what is not assigned.
        default: VersionName,
        /// Which version the others are compared with.
        control: VersionName,
    },
    /// The endpoint document is gone; requests are refused from here on.
    Unrouted,
    /// The operation failed, and what ran before is applied again.
    Restored(WorkloadId),
    /// The backend was told to end the workload and its replicas.
    Removed(WorkloadId),
    /// Something its watchers should know that is no fault.
    Note(String),
    /// The operation is over; nothing follows.
    Ended(OperationState),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(step) => write!(f, "{step} …"),
            Self::Skipped { step, why } => write!(f, "{step} skipped: {why}"),
            Self::Packed { files, bytes } => {
                write!(f, "packed {files} file{}, {}", plural(*files), Bytes(*bytes))
            }
            Self::Fits { replicas } => {
                write!(f, "there is room for {replicas} replica{}", plural(u64::from(*replicas)))
            }
            Self::BuildLine(line) => write!(f, "build: {}", shortened(line)),
            Self::Image { name, origin } => write!(f, "image {origin}: {}", shortened(name)),
            Self::Uploaded { artifact, bytes, new } => {
                let verb = if *new { "uploaded" } else { "already uploaded" };
                write!(f, "{verb} {}, {}", shortened(artifact.as_str()), Bytes(*bytes))
            }
            Self::Layered { reference, bytes, new } => {
                let verb = if *new { "pushed as a layer" } else { "already a layer" };
                write!(f, "{verb} of {}, {}", shortened(reference), Bytes(*bytes))
            }
            Self::Applied(id) => write!(f, "applied {id}"),
            Self::Replicas { id, ready, wanted, phase, message } => {
                write!(f, "{id}: {ready} of {wanted} replica{} ready", plural(u64::from(*wanted)))?;
                if message.is_empty() { Ok(()) } else { write!(f, " ({phase}: {message})") }
            }
            Self::Credentials { new: true } => f.write_str("keys made"),
            Self::Credentials { new: false } => f.write_str("keys kept"),
            Self::Issuer { new: true } => f.write_str("issuer of tokens made"),
            Self::Issuer { new: false } => f.write_str("issuer of tokens kept"),
            Self::Routed { shares, default, .. } => {
                f.write_str("routed:")?;
                for (at, (version, share)) in shares.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma} {version} {}%", f64::from(*share) / 100.0)?;
                }
                write!(f, "; the default is {default}")
            }
            Self::Unrouted => f.write_str("no longer routed"),
            Self::Restored(id) => write!(f, "restored {id} as it was"),
            Self::Removed(id) => write!(f, "removed {id}"),
            Self::Note(text) => f.write_str(text),
            Self::Ended(state) => write!(f, "{state}"),
        }
    }
}

/// Cuts what looks like a SHA-256 down to its first twelve digits.
fn shortened(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = word.chars().take_while(char::is_ascii_hexdigit).count();
        if digits == 64 {
            short.push_str(&word[..12]);
            short.push('…');
            short.push_str(&word[64..]);
        } else {
            short.push_str(word);
        }
    }
    short
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            small @ 0..1_000 => write!(f, "{small} bytes"),
            kilo @ 1_000..1_000_000 => write!(f, "{} kB", kilo.div_ceil(1_000)),
            large => write!(f, "{} MB", large.div_ceil(1_000_000)),
        }
    }
}

/// The events of an operation, from its first one on, however late the reader comes.
#[derive(Clone, Debug)]
pub struct Events {
    log: Arc<Mutex<Vec<Event>>>,
    length: watch::Receiver<usize>,
    next: usize,
    ended: bool,
}

impl Events {
    /// The next event; `None` after [`Event::Ended`].
    ///
    /// Safe to drop half-way: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let next = self.next;
        // An error means that nobody writes any more; what is there can still be read.
        let _ = self.length.wait_for(|length| *length > next).await;
        let event = self.log.lock().unwrap_or_else(PoisonError::into_inner).get(next).cloned()?;
        self.next += 1;
        self.ended = matches!(event, Event::Ended(_));
        Some(event)
    }
}

/// The writing end of [`Events`].
#[derive(Debug)]
pub(crate) struct EventLog {
    log: Arc<Mutex<Vec<Event>>>,
    length: watch::Sender<usize>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { log: Arc::default(), length: watch::Sender::new(0) }
    }

    pub(crate) fn emit(&self, event: Event) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // A build that never stops talking must not fill the memory.
            Event::BuildLine(_) if log.len() > MAX_KEPT_EVENTS => return,
            Event::BuildLine(_) if log.len() == MAX_KEPT_EVENTS => {
                log.push(Event::Note(format!(
                    "further lines of the build are not kept (past {MAX_KEPT_EVENTS})"
                )));
            }
            event => log.push(event),
        }
        let length = log.len();
        drop(log);
        self.length.send_modify(|known| *known = length.max(*known));
    }

    pub(crate) fn reader(&self) -> Events {
        Events { log: Arc::clone(&self.log), length: self.length.subscribe(), next: 0, ended: false }
    }
}

const MAX_KEPT_EVENTS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_reader_hears_everything_and_then_the_end() {
        let log = EventLog::new();
        log.emit(Event::Began(Step::Pack));
        let mut reader = log.reader();
        log.emit(Event::Ended(OperationState::Succeeded));
        assert_eq!(reader.next().await, Some(Event::Began(Step::Pack)));
        assert_eq!(reader.next().await, Some(Event::Ended(OperationState::Succeeded)));
        assert_eq!(reader.next().await, None);
    }

    #[test]
    fn a_talkative_build_is_cut_and_says_so() {
        let log = EventLog::new();
        for line in 0..MAX_KEPT_EVENTS + 10 {
            log.emit(Event::BuildLine(line.to_string()));
        }
        log.emit(Event::Ended(OperationState::Succeeded));
        let kept = log.log.lock().unwrap();
        assert_eq!(kept.len(), MAX_KEPT_EVENTS + 2);
        assert!(matches!(kept[MAX_KEPT_EVENTS], Event::Note(_)));
    }

    #[test]
    fn events_read_as_sentences() {
        let (a, b): (VersionName, VersionName) = ("soft".parse().unwrap(), "bayes".parse().unwrap());
        let routed =
            Event::Routed { shares: vec![(a.clone(), 9_000), (b, 1_050)], default: a.clone(), control: a };
        assert_eq!(routed.to_string(), "routed: soft 90%, bayes 10.5%; the default is soft");
        assert_eq!(Event::Packed { files: 1, bytes: 999 }.to_string(), "packed 1 file, 999 bytes");
        let line = format!("no registry has v1-{}, building it", "0a".repeat(32));
        assert_eq!(
            Event::BuildLine(line).to_string(),
            "build: no registry has v1-0a0a0a0a0a0a…, building it"
        );
        assert_eq!(Event::Packed { files: 2, bytes: 1_001 }.to_string(), "packed 2 files, 2 kB");
    }
}
