//! The life of one replica, from its folder to its end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portway_backend::{EntryStyle, Environment, ReplicaId, Workload};
use portway_deploy_config::ProbeSpec;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};

use super::command::{self, RunFolder};
use super::connections::established;
use super::logs::ReplicaLog;
use super::port::Port;
use super::probe::{Fault, Liveness, probe, start_limit};
use super::program::Running;
use super::unpack::{Limits, UnpackError, unpack};
use crate::host::Host;

/// How long a program that was told to stop has at least, however late it was told, unless its own grace is shorter.
const LEAST_GRACE: Duration = Duration::from_secs(5);
/// How often a draining replica is looked at.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// What a replica is told.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stop {
    /// Go on.
    #[default]
    No,
    /// Finish what you have, then stop.
    Drain,
    /// You have nothing: stop.
    Now,
}

/// How the life of a replica ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// It failed.
    Failed(Failure),
}

/// Why a replica failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) kind: FailureKind,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    /// It will fail again until somebody changes something.
    Permanent,
    /// Somebody else has its port: another port will do.
    PortTaken,
    /// It failed before it was ready.
    BeforeReady,
    /// It had been ready for this long.
    AfterReady(Duration),
}

impl Failure {
    fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: FailureKind::Permanent }
    }

    fn before_ready(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: FailureKind::BeforeReady }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::before_ready(format!("cannot be started on this machine: {error}"))
    }
}

/// A replica that is to live.
pub(crate) struct Replica<'a> {
    pub(crate) host: &'a Arc<Host>,
    pub(crate) workload: &'a Workload,
    pub(crate) id: &'a ReplicaId,
    pub(crate) stop: &'a mut watch::Receiver<Stop>,
    /// Called when it answers, before anybody may send to it.
    pub(crate) ready: &'a (dyn Fn(SocketAddr) + Send + Sync),
    /// Called when it has failed, before it is cleared away.
    pub(crate) failed: &'a (dyn Fn(&Failure) + Send + Sync),
}

impl Replica<'_> {
    /// Lives until it is told to stop or fails; nothing of it is left afterwards but its log and its outputs.
    pub(crate) async fn live(mut self) -> End {
        let Self { host, workload, id, .. } = self;
        let made = ReplicaLog::create(&host.logs_of(&workload.id), id)
            .and_then(|log| Ok((Arc::new(log), RunFolder::create(&host.folder.runs(), id)?)));
        let (log, folder) = match made {
            Ok(made) => made,
            Err(error) => return self.fails(error.into()),
        };
        let end = match self.live_in(&folder, &log).await {
            Ok(()) => End::Stopped,
            Err(failure) => {
                log.note(&failure.message);
                self.fails(failure)
            }
        };
        host.kill_escaped(id).await;
        let saved = host.clear(&folder, &workload.id, id.as_str()).await;
        if saved.files > 0 {
            log.note(&format!("saved {} files of ./outputs", saved.files));
        }
        for skipped in saved.skipped {
            log.note(&format!("did not save {skipped}"));
        }
        host.prune_logs(&workload.id).await;
        end
    }

    fn fails(&self, failure: Failure) -> End {
        (self.failed)(&failure);
        End::Failed(failure)
    }

    async fn live_in(&mut self, folder: &RunFolder, log: &Arc<ReplicaLog>) -> Result<(), Failure> {
        self.bring_project(folder).await?;
        self.check_files(folder)?;
        if *self.stop.borrow() != Stop::No {
            return Ok(());
        }
        let port = self.host.ports.free()?;
        let state = self.host.folder.root();
        let command = command::command(self.workload, folder, self.id, state, port.number())
            .map_err(|error| Failure::permanent(error.to_string()))?;
        let mut running = Running::start(command, log).await?;
        let pid = running.pid().unwrap_or_default();
        log.note(&format!("started as process {pid} on port {}", port.number()));
        tracing::info!(replica = %self.id, pid, port = port.number(), "started");
        let lived = self.run(&mut running, &port, log).await;
        running.end().await;
        log.note("ended");
        lived.map_err(|failure| explain(failure, &port, log))
    }

    /// Unpacks the project into the folder.
    async fn bring_project(&self, folder: &RunFolder) -> Result<(), Failure> {
        let Some(project) = self.workload.program.project.clone() else { return Ok(()) };
        let (artifacts, target) = (Arc::clone(&self.host.artifacts), folder.project());
        let unpacked = spawn_blocking(move || {
            let packed = artifacts.open_blob(&project.digest)?;
            let result = unpack(io::BufReader::new(packed), &project.digest, &target, Limits::DEFAULT);
            result.map_err(|error| match error {
                UnpackError::Refused(why) => {
                    Failure::permanent(format!("the project {} cannot be unpacked: {why}", project.artifact))
                }
                UnpackError::Io(error) => error.into(),
            })
        });
        unpacked.await.unwrap_or_else(|_| Err(Failure::before_ready("the program is shutting down")))
    }

    /// Names what is missing before the system does so in its own words.
    fn check_files(&self, folder: &RunFolder) -> Result<(), Failure> {
        let script = command::script(self.workload, folder);
        if !script.is_file() {
            let name = self.workload.program.script.as_deref().unwrap_or_default();
            return Err(Failure::permanent(format!(
                "there is no entry script {name:?} in the project, which holds {}; name one of its files",
                contents(&folder.project())
            )));
        }
        match &self.workload.environment {
            Environment::Interpreter { python } if !python.is_file() => Err(Failure::permanent(format!(
                "there is no Python at {}; install it or name another interpreter",
                python.display()
            ))),
            _ => Ok(()),
        }
    }

    /// From the start of the process to its end, or to the moment when it has to be ended.
    async fn run(&mut self, running: &mut Running, port: &Port, log: &ReplicaLog) -> Result<(), Failure> {
        let started = Instant::now();
        tokio::select! {
            biased;
            ended = running.ended() => {
                return Err(Failure::before_ready(format!("{ended} before it answered on $PORT")));
            }
            () = told(self.stop) => {
                // Nobody was ever told to send it anything.
                let grace = self.workload.termination_grace;
                stop(running, Instant::now() + grace, grace, log).await;
                return Ok(());
            }
            ready = become_ready(&self.workload.probe, self.host.options.probe_interval, started, port.address()) => {
                ready?;
            }
        }
        log.note("ready");
        tracing::info!(replica = %self.id, "ready");
        (self.ready)(port.address());
        self.serve(running, started, port, log).await
    }

    /// From the moment when it answers.
    async fn serve(
        &mut self,
        running: &mut Running,
        started: Instant,
        port: &Port,
        log: &ReplicaLog,
    ) -> Result<(), Failure> {
        let since = Instant::now();
        let failure = |message| Failure { message, kind: FailureKind::AfterReady(since.elapsed()) };
        tokio::select! {
            biased;
            ended = running.ended() => Err(failure(format!("{ended} after it had been ready"))),
            () = told(self.stop) => {
                self.wind_down(running, port.number(), log).await;
                Ok(())
            }
            fault = become_dead(&self.workload.probe, started, port.address()) => {
                let failure = failure(format!("did not answer its liveness probes: {fault}"));
                (self.failed)(&failure);
                stop(running, Instant::now(), self.workload.termination_grace, log).await;
                Err(failure)
            }
        }
    }

    /// Lets a replica finish what it has, tells it to stop, and waits for that.
    async fn wind_down(&mut self, running: &mut Running, port: u16, log: &ReplicaLog) {
        let deadline = Instant::now() + self.workload.termination_grace;
        log.note("going away");
        let idle = async {
            let _ = timeout_at(deadline, self.become_idle(port)).await;
        };
        tokio::select! {
            () = idle => {}
            _ = running.ended() => return,
        }
        stop(running, deadline, self.workload.termination_grace, log).await;
    }

    /// Waits until the replica can be told to stop without breaking a request (RTR-8).
    ///
    /// Whoever named it as drained knows that it is idle. Otherwise gateways get time to notice that it is going away;
    /// then the shim may be told, since it finishes what it has; any other program may not do that, so it is told when
    /// no connection is left, or, where the system does not show connections, at the end of its grace period.
    async fn become_idle(&mut self, port: u16) {
        let style = self.workload.program.style;
        let notice = self.host.options.drain_notice;
        let idle = async {
            sleep(notice).await;
            while style == EntryStyle::Listens
                && spawn_blocking(move || established(port)).await.ok() != Some(Some(0))
            {
                sleep(DRAIN_INTERVAL).await;
            }
        };
        tokio::select! {
            () = idle => {}
            _ = self.stop.wait_for(|stop| *stop == Stop::Now) => {}
        }
    }
}

/// Tells a program to stop and waits until it does, until `deadline` if that is later than the least grace.
async fn stop(running: &mut Running, deadline: Instant, grace: Duration, log: &ReplicaLog) {
    log.note("told to stop");
    running.terminate();
    let deadline = deadline.max(Instant::now() + LEAST_GRACE.min(grace));
    if timeout_at(deadline, running.ended()).await.is_err() {
        log.note("did not stop in time and is killed");
    }
}

/// Waits until a replica is told to stop; a backend that is gone tells it as well.
async fn told(stop: &mut watch::Receiver<Stop>) {
    let _ = stop.wait_for(|stop| *stop != Stop::No).await;
}

/// Waits until the replica answers.
async fn become_ready(
    spec: &ProbeSpec,
    each: Duration,
    started: Instant,
    address: SocketAddr,
) -> Result<(), Failure> {
    let mut ticks = interval(each);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Fault::Refused;
    let answers = async {
        loop {
            ticks.tick().await;
            match probe(address, spec.timeout).await {
                Ok(()) => return,
                Err(fault) => last = fault,
            }
        }
    };
    let limit = start_limit(spec);
    if timeout_at(started + limit, answers).await.is_ok() {
        return Ok(());
    }
    Err(Failure::before_ready(format!(
        "was not ready within {limit:?}: {last}; let the script listen on 127.0.0.1 at the port in $PORT, or give \
         its probe a longer initial delay"
    )))
}

/// Waits until the liveness probes say that the replica is dead.
async fn become_dead(spec: &ProbeSpec, started: Instant, address: SocketAddr) -> Fault {
    sleep_until(started + spec.initial_delay).await;
    let mut liveness = Liveness::default();
    loop {
        let answer = probe(address, spec.timeout).await;
        if liveness.is_dead_after(answer.is_ok(), spec) {
            return answer.err().unwrap_or(Fault::Refused);
        }
        sleep(spec.period).await;
    }
}

/// Adds what the log says about a failure.
fn explain(mut failure: Failure, port: &Port, log: &ReplicaLog) -> Failure {
    if failure.kind == FailureKind::BeforeReady && (port.is_taken() || log.mentions_taken_port()) {
        failure.kind = FailureKind::PortTaken;
        failure.message = format!("{}: somebody else has port {}", failure.message, port.number());
    }
    if let Some(line) = log.last_line() {
        failure.message = format!("{}; its last line: {line}", failure.message);
    }
    failure
}

/// The first few names in a folder, for a message.
fn contents(folder: &Path) -> String {
    let names: BTreeSet<String> = fs::read_dir(folder)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    match names.len() {
        0 => "nothing".to_owned(),
        count => {
            let first: Vec<String> = names.into_iter().take(8).collect();
            let more = if count > 8 { format!(" and {} more", count - 8) } else { String::new() };
            format!("{}{more}", first.join(", "))
        }
    }
}
