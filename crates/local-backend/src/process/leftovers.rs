//! Processes that bear a mark in their environment: what left its process group, or what an earlier run left behind.
//!
//! A program can leave its group (`setsid`), and then its guard does not reach it. It keeps its environment, though.
//! Only Linux shows that of other processes; elsewhere nothing is found.

use std::ffi::OsStr;

/// The variable that holds the state folder a replica belongs to.
pub(crate) const STATE_MARK: &str = "PORTWAY_STATE";
/// The variable that holds the name of a replica.
pub(crate) const REPLICA_MARK: &str = "PORTWAY_REPLICA";

/// Kills every process whose environment has `variable` set to `value`, but for this one; how many there were.
pub(crate) fn kill_marked(variable: &str, value: &OsStr) -> usize {
    let mut mark = variable.as_bytes().to_vec();
    mark.push(b'=');
    mark.extend_from_slice(value.as_encoded_bytes());
    let mut killed = 0;
    // What forks while it is looked for is found in the next round.
    for _ in 0..ROUNDS {
        match kill_once(&mark) {
            0 => break,
            count => killed += count,
        }
    }
    killed
}

/// A program that forks faster than it can be killed is left to the administrator.
const ROUNDS: usize = 8;

#[cfg(target_os = "linux")]
fn kill_once(mark: &[u8]) -> usize {
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
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark)
            && pidfd_send_signal(&handle, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    killed
}

#[cfg(not(target_os = "linux"))]
fn kill_once(_mark: &[u8]) -> usize {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_marked_processes_are_killed() {
        let start = |value: &str| {
            Command::new("/bin/sh")
                .args(["-c", "echo up; read -r end"])
                .env(REPLICA_MARK, value)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let value = format!("test-{}", std::process::id());
        let (mut marked, mut other) = (start(&value), start(&format!("{value}-other")));
        for child in [&mut marked, &mut other] {
            use std::io::Read as _;
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        }
        assert!(kill_marked(REPLICA_MARK, value.as_ref()) >= 1);
        assert_eq!(marked.wait().unwrap().signal(), Some(9));
        drop(other.stdin.take());
        assert_eq!(other.wait().unwrap().signal(), None);
    }
}
