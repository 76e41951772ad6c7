//! Portway's backend for one machine: replicas are guarded child processes, everything else is one folder.
//!
//! [`LocalBackend`] implements all seams of `portway-backend` at once: a deployer and a gateway of the same program share
//! it, and need no container runtime, no cluster and no root. It is for Unix; where a promise below needs Linux it says
//! so.
//!
//! # Replicas
//!
//! A replica is `python <script> <arguments>` in a temporary folder with the unpacked project, listening on the loopback
//! port in `$PORT`. [`EntryStyle::InitRun`](portway_backend::EntryStyle::InitRun) scripts are served by the
//! [scoring server](portway_backend::SCORING_SERVER) (Python's standard library only), or by
//! `azureml-inference-server-http` where the interpreter has it.
//!
//! | variable | meaning |
//! |---|---|
//! | `PORT` | where to listen |
//! | `PORTWAY_HOST` | at which address: 127.0.0.1 |
//! | `PORTWAY_ENDPOINT`, `PORTWAY_VERSION`, `PORTWAY_REPLICA` | who it is |
//! | `PORTWAY_MAX_CONCURRENT` | how many requests it may be given at once |
//! | `AZUREML_MODEL_DIR` | `azureml-models` of the project if there is one, otherwise the project; a workload may set it |
//! | `AZUREML_ENTRY_SCRIPT` | the entry script |
//! | `TMPDIR` | a folder of its own |
//!
//! Of the environment of the program that has the backend a replica sees only what interpreters need (`PATH`, `HOME`,
//! locale, time zone, proxies, certificates), and what the workload sets.
//!
//! *Ready* is who answers `GET /` on its port with anything below 500; that is asked every 100 ms until it is so once.
//! *Alive* is who goes on doing so by the workload's probe: documented defaults, first asked 310 s after the start. A
//! script should therefore answer `GET /` while it works, from another thread. A replica that is not ready when its
//! liveness probes would have given it up has failed.
//!
//! A replica that fails is followed by a new one with a new name: at once the first time, then after growing delays. A
//! workload of which no replica was ever ready is [`Failed`](portway_backend::Phase::Failed) after five attempts, or at
//! once where another attempt cannot help; the next apply or scale tries again. The message says why, with the last line
//! that the script wrote.
//!
//! # How a replica goes
//!
//! 1. It is shown as [`Terminating`](portway_backend::ReplicaState::Terminating): gateways give it nothing new and close
//!    their idle connections to it.
//! 2. After [`drain_notice`](Options::drain_notice) it is told to stop by SIGTERM: a scoring server at once, since it
//!    finishes what it has; any other program when no connection to its port is left (Linux), at the latest after the
//!    workload's `termination_grace`. One that was named as drained is told immediately.
//! 3. What still runs at the end of the grace period, or five seconds after it was told to stop if that is later, is
//!    killed with its whole process group.
//! 4. Its `./outputs` are saved among the artifacts as `outputs/<endpoint>/<version>/<replica>/…` (at most 1000 files and
//!    256 MiB; links are not followed), its temporary folder is removed, its log stays.
//!
//! # What survives what
//!
//! Each replica has a guard, a small shell that kills the replica's process group when the pipe to its parent closes. So
//! no replica outlives the program that has the backend, `kill -9` included. A process that leaves its group is found by
//! its environment (Linux) when its replica ends, or by the next [`open`](LocalBackend::open).
//!
//! The state folder is locked for the life of one process. Every file in it is written beside its place, synced and
//! renamed, and sealed with a digest; what is damaged is reported with its place and kept. Workloads are recorded with
//! the number of replicas that was last wanted, and started again by the next `open`.
//!
//! # Examples
//!
//! ```no_run
//! use portway_backend::{Backend, Environment, Fleet, Program, Workload, WorkloadId};
//! use portway_local_backend::LocalBackend;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = LocalBackend::open("state").await?;
//! let id = WorkloadId::new("iris".parse()?, "first".parse()?);
//! let python = Environment::Interpreter { python: "/usr/bin/python3".into() };
//! backend.apply(&Workload::new(id.clone(), Program::script("/srv/score.py"), python)).await?;
//! backend.watch(&id).await?.wait_for(|status| status.ready() == 1).await?;
//! backend.shut_down().await;
//! # Ok(()) }
//! ```
#![cfg(unix)]

mod backend;
mod host;
mod options;
mod process;
mod state;
mod workload;

pub use backend::LocalBackend;
pub use options::Options;
