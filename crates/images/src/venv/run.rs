//! One program at a time, in a process group of its own that ends with us.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::sync::Arc;

use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;

pub(super) struct Command {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Command {
    pub(super) fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), arguments: Vec::new() }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(super) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(OsString::from));
        self
    }

    /// Runs it to its end and passes on what it prints. `purpose` completes “could not …”.
    pub(super) async fn run(self, purpose: &str, log: &Arc<dyn BuildLog>) -> Result<(), BuildError> {
        let mut group = self.spawn()?;
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let tail = std::sync::Mutex::new(VecDeque::new());
        let say = |line: &str| {
            log.line(line);
            let mut tail = tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if tail.len() == KEPT_LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        };
        let (out, err, status) = tokio::join!(lines(stdout, &say), lines(stderr, &say), group.wait());
        let status = out.and(err).and(status).map_err(|error| self.lost(purpose, error))?;
        let tail = tail.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.judge(purpose, status, tail.into())
    }

    /// Runs it to its end; what it printed on standard output.
    pub(super) async fn output(self, purpose: &str) -> Result<String, BuildError> {
        let mut group = self.spawn()?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let (out_read, err_read, status) =
            tokio::join!(all(stdout, &mut out), all(stderr, &mut err), group.wait());
        let status = out_read.and(err_read).and(status).map_err(|error| self.lost(purpose, error))?;
        let tail = String::from_utf8_lossy(&err).lines().map(str::to_owned).collect();
        self.judge(purpose, status, tail)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn spawn(&self) -> Result<Group, BuildError> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| {
            let program = self.program.to_string_lossy();
            let remedy = "install Python 3 or name another interpreter";
            BuildError::new(BuildErrorKind::Unavailable, format!("could not start `{program}`; {remedy}"))
                .with_source(error)
        })?;
        Ok(Group { child })
    }

    fn judge(
        &self,
        purpose: &str,
        status: std::process::ExitStatus,
        tail: Vec<String>,
    ) -> Result<(), BuildError> {
        if status.success() {
            return Ok(());
        }
        // Killed from outside says nothing about the recipe.
        let kind = if status.code().is_some() { BuildErrorKind::Failed } else { BuildErrorKind::Died };
        let program = self.program.to_string_lossy();
        Err(BuildError::new(kind, format!("could not {purpose}: `{program}` ended with {status}"))
            .with_log(tail))
    }

    fn lost(&self, purpose: &str, error: std::io::Error) -> BuildError {
        let program = self.program.to_string_lossy();
        BuildError::new(BuildErrorKind::Died, format!("could not {purpose}: lost `{program}`"))
            .with_source(error)
    }
}

/// A child and whatever it starts.
struct Group {
    child: Child,
}

impl Group {
    /// Waits for the child, then ends what it left behind: that would keep the pipes open.
    async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        let group = self.id();
        let status = self.child.wait().await;
        end(group);
        status
    }

    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `None` once the child was waited for.
        end(self.id());
    }
}

fn end(group: Option<Pid>) {
    if let Some(group) = group {
        // It may be gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

async fn lines(from: Option<impl AsyncRead + Unpin>, say: &impl Fn(&str)) -> std::io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end must not fill the memory.
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        say(String::from_utf8_lossy(&line).trim_end());
    }
}

async fn all(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> std::io::Result<()> {
    if let Some(from) = from {
        from.take(MAX_OUTPUT).read_to_end(into).await?;
    }
    Ok(())
}

const KEPT_LINES: usize = 20;
const MAX_LINE: u64 = 8 * 1024;
const MAX_OUTPUT: u64 = 16 << 20;
