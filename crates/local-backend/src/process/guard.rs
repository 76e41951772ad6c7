//! The guard of a process group: a small shell that ends the group when its parent goes away.
//!
//! The guard is started first and leads a process group of its own; the program then joins that group. The guard reads
//! a pipe whose other end is in our hands. However we end, `kill -9` included, the kernel closes that end, the guard
//! reads the end of file and kills its group, itself included. Between `fork` and `exec` a new program holds a copy of
//! our end, so the guard cannot fire before the program is in the group: there is no moment at which a crash leaves a
//! program behind. Parent-death signals would be simpler, but they follow the *thread* that started the program.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// Ignores what would end it alone, says that it does, and waits for the pipe to close.
const SCRIPT: &str = "trap '' HUP INT QUIT TERM PIPE; echo up; read -r end; kill -KILL 0";
/// How long a shell may take to start, far above what any needs.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A process group that ends with this value.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    group: Pid,
    /// Dropping it, by whatever kind of end, lets the guard act.
    _pipe: ChildStdin,
}

impl Guard {
    /// Starts a guard; it stands when this returns.
    pub(crate) async fn start() -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let missing = || io::Error::other("the guard ended before it stood");
        let group = shell.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (group, pipe) = group.zip(shell.stdin.take()).ok_or_else(missing)?;
        let mut answer = shell.stdout.take().ok_or_else(missing)?;
        let mut word = [0; 3];
        match timeout(START_LIMIT, answer.read_exact(&mut word)).await {
            Ok(Ok(_)) => Ok(Self { shell, group, _pipe: pipe }),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
        }
    }

    /// The number of the process group, for a program to join.
    pub(crate) fn group(&self) -> i32 {
        self.group.as_raw_pid()
    }

    /// Waits until the guard ends, which it does by itself only when somebody kills it.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.shell.wait().await
    }

    /// Kills the whole group at once, the guard included. The number of the group is its own as long as the guard or
    /// another child of ours in it has not been waited for. A group that is gone is no error.
    pub(crate) fn kill_group(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Whether the guard has not been waited for.
    pub(crate) fn is_child(&self) -> bool {
        self.shell.id().is_some()
    }
}
