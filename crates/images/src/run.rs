//! One program at a time, in a process group of its own that ends with us.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use portway_hashing::resolve::{BuildError, BuildErrorKind, BuildLog};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;

pub(crate) struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    remedy: &'static str,
    ending: Ending,
}

/// How a program ends that nobody waits for any more.
enum Ending {
    /// At once.
    Kill,
    /// It is asked first, so that it can clean up.
    #[cfg(all(feature = "buildah", target_os = "linux"))]
    Ask(Arc<dyn Ground>),
}

/// What programs stand on; it outlives them.
#[cfg(all(feature = "buildah", target_os = "linux"))]
pub(crate) trait Ground: Send + Sync {
    /// Ends what a program left behind outside its process group. It may block for a moment.
    fn end_strays(&self);
}

impl Command {
    pub(crate) fn new(program: impl AsRef<OsStr>, remedy: &'static str) -> Self {
        let program = program.as_ref().to_owned();
        Self { program, arguments: Vec::new(), environment: Vec::new(), remedy, ending: Ending::Kill }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(OsString::from));
        self
    }

    #[cfg(all(feature = "buildah", target_os = "linux"))]
    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Asks it to end before it is killed, and keeps `ground` until it has ended.
    #[cfg(all(feature = "buildah", target_os = "linux"))]
    pub(crate) fn on(mut self, ground: Arc<dyn Ground>) -> Self {
        self.ending = Ending::Ask(ground);
        self
    }

    /// Runs it to its end and passes on what it prints. `purpose` completes “could not …”.
    pub(crate) async fn run(self, purpose: &str, log: &Arc<dyn BuildLog>) -> Result<(), BuildError> {
        let mut group = self.spawn()?;
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let tail = Tail::new(log);
        let (out, err, status) = tokio::join!(lines(stdout, &tail), lines(stderr, &tail), group.wait());
        let status = out.and(err).and(status).map_err(|error| self.lost(purpose, error))?;
        self.judge(purpose, status, tail.into_lines())
    }

    /// Runs it to its end; what it printed on standard output. The log gets the rest.
    pub(crate) async fn output(self, purpose: &str, log: &Arc<dyn BuildLog>) -> Result<String, BuildError> {
        let mut group = self.spawn()?;
        let mut out = Vec::new();
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let tail = Tail::new(log);
        let (out_read, err_read, status) =
            tokio::join!(all(stdout, &mut out), lines(stderr, &tail), group.wait());
        let status = out_read.and(err_read).and(status).map_err(|error| self.lost(purpose, error))?;
        self.judge(purpose, status, tail.into_lines())?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn spawn(&self) -> Result<Group, BuildError> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| {
            let (program, remedy) = (self.program.to_string_lossy(), self.remedy);
            BuildError::new(BuildErrorKind::Unavailable, format!("could not start `{program}`; {remedy}"))
                .with_source(error)
        })?;
        let ending = match &self.ending {
            Ending::Kill => Ending::Kill,
            #[cfg(all(feature = "buildah", target_os = "linux"))]
            Ending::Ask(ground) => Ending::Ask(Arc::clone(ground)),
        };
        Ok(Group { child, ending })
    }

    fn judge(&self, purpose: &str, status: ExitStatus, tail: Vec<String>) -> Result<(), BuildError> {
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

/// Passes lines on and keeps the last ones.
struct Tail<'a> {
    log: &'a Arc<dyn BuildLog>,
    kept: Mutex<VecDeque<String>>,
}

impl<'a> Tail<'a> {
    fn new(log: &'a Arc<dyn BuildLog>) -> Self {
        Self { log, kept: Mutex::default() }
    }

    fn say(&self, line: &str) {
        let line = without_passwords(line);
        self.log.line(&line);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }

    fn into_lines(self) -> Vec<String> {
        self.kept.into_inner().unwrap_or_else(PoisonError::into_inner).into()
    }
}

/// The line with `****` in place of what stands before the `@` of a URL. Programs should not print that, but do.
fn without_passwords(line: &str) -> String {
    let mut parts = line.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(part.len());
        let hidden = part[..end].rfind('@');
        out.push_str("://");
        if let Some(at) = hidden {
            out.push_str("****");
            out.push_str(&part[at..]);
        } else {
            out.push_str(part);
        }
    }
    out
}

/// A child and whatever it starts.
struct Group {
    child: Child,
    ending: Ending,
}

impl Group {
    /// Waits for the child, then ends what it left behind: that would keep the pipes open.
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let group = self.id();
        let status = self.child.wait().await;
        end(group);
        #[cfg(all(feature = "buildah", target_os = "linux"))]
        if let Ending::Ask(ground) = &self.ending {
            let ground = Arc::clone(ground);
            tokio::task::spawn_blocking(move || ground.end_strays()).await.map_err(std::io::Error::other)?;
        }
        status
    }

    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `None` once the child was waited for.
        let Some(id) = self.id() else { return };
        match &self.ending {
            Ending::Kill => end(Some(id)),
            #[cfg(all(feature = "buildah", target_os = "linux"))]
            Ending::Ask(ground) => ask(id, Arc::clone(ground)),
        }
    }
}

fn end(group: Option<Pid>) {
    if let Some(group) = group {
        // It may be gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Asks the group to end, and ends it when its first process is gone or the patience is.
#[cfg(all(feature = "buildah", target_os = "linux"))]
fn ask(id: Pid, ground: Arc<dyn Ground>) {
    use rustix::process::{PidfdFlags, pidfd_open};

    // Not waited for yet: the number is still its own.
    let process = pidfd_open(id, PidfdFlags::empty());
    let _ = kill_process_group(id, Signal::TERM);
    // A destructor can't wait, and the runtime may be on its way out.
    let wait = move || {
        if let Ok(process) = process {
            gone(&process, PATIENCE);
        }
        end(Some(id));
        ground.end_strays();
    };
    if std::thread::Builder::new().name("ending a build".to_owned()).spawn(wait).is_err() {
        end(Some(id));
    }
}

/// Waits until a process is gone, or for as long as `patience` says.
#[cfg(all(feature = "buildah", target_os = "linux"))]
pub(crate) fn gone(process: &impl std::os::fd::AsFd, patience: std::time::Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let limit = Timespec { tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    // A failure counts as gone: there is nothing else to wait for.
    let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit));
}

async fn lines(from: Option<impl AsyncRead + Unpin>, tail: &Tail<'_>) -> std::io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end must not fill the memory.
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        tail.say(String::from_utf8_lossy(&line).trim_end());
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
/// How long a program that is asked to end may take for it.
#[cfg(all(feature = "buildah", target_os = "linux"))]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_passed_on() {
        for (said, passed) in [
            ("Looking in https://me:secret@r.test/simple, x", "Looking in https://****@r.test/simple, x"),
            ("a https://t@r.test b http://u:p@s.test", "a https://****@r.test b http://****@s.test"),
            ("https://me:p@ss@r.test/", "https://****@r.test/"),
            ("https://r.test/a@b", "https://r.test/a@b"),
            ("nothing: at all @ here", "nothing: at all @ here"),
        ] {
            assert_eq!(without_passwords(said), passed);
        }
    }
}
