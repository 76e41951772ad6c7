//! Processes that bear a mark in their environment: what left its process group, or what an earlier run left behind.
//!
//! A program can leave its group (`setsid`), and then its guard does not reach it. It keeps its environment, though.
//! Only Linux shows that of other processes; elsewhere nothing is found.

use std::ffi::OsStr;
use std::path::Path;

use portway_backend::ReplicaId;

/// The variable that holds the state folder a replica belongs to.
pub(crate) const STATE_MARK: &str = "PORTWAY_STATE";
/// The variable that holds the name of a replica, which is unique in its state folder only.
pub(crate) const REPLICA_MARK: &str = "PORTWAY_REPLICA";

/// Kills the processes of the state folder `state`, all of them or those of one replica; how many there were.
pub(crate) fn kill_marked(state: &Path, replica: Option<&ReplicaId>) -> usize {
    let mut marks = vec![mark(STATE_MARK, state.as_os_str())];
    marks.extend(replica.map(|replica| mark(REPLICA_MARK, OsStr::new(replica.as_str()))));
    let mut killed = 0;
    // What forks while it is looked for is found in the next round.
    for _ in 0..ROUNDS {
        match kill_once(&marks) {
            0 => break,
            count => killed += count,
        }
    }
    killed
}

/// A variable as it stands in the environment of a process.
fn mark(variable: &str, value: &OsStr) -> Vec<u8> {
    [variable.as_bytes(), b"=", value.as_encoded_bytes()].concat()
}

/// A program that forks faster than it can be killed is left to the administrator.
const ROUNDS: usize = 8;

#[cfg(target_os = "linux")]
fn kill_once(marks: &[Vec<u8>]) -> usize {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let own = std::process::id().to_string();
    let mut killed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().filter(|name| *name != own).and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // Opened before the environment is read: the number cannot pass to another process in between.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let has = |mark: &Vec<u8>| environment.split(|byte| *byte == 0).any(|variable| variable == mark);
        if marks.iter().all(has) && pidfd_send_signal(&handle, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

#[cfg(not(target_os = "linux"))]
fn kill_once(_marks: &[Vec<u8>]) -> usize {
    0
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_what_bears_all_marks_is_killed() {
        use std::io::Read as _;
        let state = format!("/state/of/test/{}", std::process::id());
        let start = |state: &str, replica: &str| {
            let mut child = Command::new("/bin/sh")
                .args(["-c", "echo up; read -r end"])
                .envs([(STATE_MARK, state), (REPLICA_MARK, replica)])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
            child
        };
        let mut marked = start(&state, "a.1");
        // A replica of that name may belong to another folder.
        let mut others = [start(&state, "a.11"), start("/elsewhere", "a.1")];
        assert!(kill_marked(Path::new(&state), Some(&ReplicaId::new("a.1"))) >= 1);
        assert_eq!(marked.wait().unwrap().signal(), Some(9));
        for other in &mut others {
            drop(other.stdin.take());
            assert_eq!(other.wait().unwrap().signal(), None);
        }
    }
}
