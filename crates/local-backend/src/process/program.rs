//! A program that runs under a guard.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::guard::Guard;
use super::logs::ReplicaLog;

/// How long what a program wrote before its end may be on its way; only a process that left the group can use it up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program and all processes of its group; they end with this value.
#[derive(Debug)]
pub(crate) struct Running {
    program: Child,
    guard: Guard,
    log: JoinHandle<()>,
}

impl Running {
    /// Starts `command` under a guard, its output going to `log`.
    pub(crate) async fn start(mut command: Command, log: &Arc<ReplicaLog>) -> io::Result<Self> {
        let guard = Guard::start().await?;
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer).process_group(guard.group());
        let program = command.spawn()?;
        // The command keeps the writing ends, and the log would never end.
        drop(command);
        let reader = pipe::Receiver::from_owned_fd(reader.into())?;
        let log = Arc::clone(log);
        let log = tokio::spawn(async move { log.copy_from(reader).await });
        Ok(Self { program, guard, log })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.program.id()
    }

    /// Waits until the program ends and says how.
    pub(crate) async fn ended(&mut self) -> String {
        tokio::select! {
            status = self.program.wait() => match status {
                Ok(status) => describe(status),
                Err(error) => format!("cannot be waited for: {error}"),
            },
            // The program goes on, but nothing would end it if we crashed.
            _ = self.guard.ended() => "lost its guard, somebody killed it".to_owned(),
        }
    }

    /// Asks the program to stop; the other processes of its group are its own business.
    pub(crate) fn terminate(&self) {
        let pid = self.program.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Kills whatever is left of the group and waits until it is gone.
    pub(crate) async fn end(mut self) {
        if self.guard.is_child() || self.program.id().is_some() {
            self.guard.kill_group();
        }
        let _ = self.program.wait().await;
        let _ = self.guard.ended().await;
        if timeout(LAST_WORDS, &mut self.log).await.is_err() {
            self.log.abort();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
