//! The folder of one build: it ends with the build, and so does all that runs in it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_hashing::ImageKey;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::run::{Ground, gone};

/// A folder that nobody else can look into, held by a lock that dies with this process.
///
/// What builders that died left beside it is removed first, whatever key it was for.
#[derive(Debug)]
pub(super) struct Work {
    path: PathBuf,
    clean: AtomicBool,
    _lock: File,
}

impl Work {
    /// A new folder in `parent`, which is created if need be. Blocks.
    pub(super) fn open(parent: &Path, key: &ImageKey) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let parent = fs::canonicalize(parent)?;
        // Nobody removes a folder between its creation and its lock.
        let entrance = File::create(parent.join("lock"))?;
        entrance.lock()?;
        remove_left_over(&parent)?;
        for number in 0_u32.. {
            let path = parent.join(format!("{PREFIX}{key}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    fs::set_permissions(&path, Permissions::from_mode(0o700))?;
                    let lock = File::create(path.join("lock"))?;
                    lock.lock()?;
                    let work = Self { path, clean: AtomicBool::new(false), _lock: lock };
                    fs::create_dir(work.path("tmp"))?;
                    return Ok(work);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no number is free"))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A path beside the build's, for what all builds share.
    pub(super) fn shared(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// What programs take for their temporary folder; it also tells them from all others.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// Ends what still runs in the folder and removes it. Blocks.
    pub(super) fn clean(&self) {
        if !self.clean.swap(true, Ordering::Relaxed) {
            remove(&self.path);
        }
    }
}

impl Ground for Work {
    fn end_strays(&self) {
        end_strays(&self.path);
    }
}

/// A destructor must not block its caller's thread for long: a big image takes a while to remove.
impl Drop for Work {
    fn drop(&mut self) {
        if *self.clean.get_mut() {
            return;
        }
        let (path, lock) = (self.path.clone(), self._lock.try_clone());
        let removal = move || {
            remove(&path);
            drop(lock);
        };
        // Without a thread, the next build removes it.
        let _ = std::thread::Builder::new().name("removing a build".to_owned()).spawn(removal);
    }
}

/// Removes the folders of builders that are gone: their locks are free.
fn remove_left_over(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let lock = File::open(entry.path().join("lock"));
        let in_use = lock.as_ref().is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        if !in_use {
            remove(&entry.path());
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    end_strays(path);
    unmount_below(path);
    // What can't be removed is in nobody's way: the next build takes another name, and tries again.
    let _ = fs::remove_dir_all(path);
}

/// Some storage drivers mount their layers; a builder that was killed leaves that behind.
fn unmount_below(path: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| point.replace("\\040", " "));
    let mut below: Vec<PathBuf> = points.map(PathBuf::from).filter(|point| point.starts_with(path)).collect();
    below.sort();
    for point in below.into_iter().rev() {
        let _ = unmount(&point, UnmountFlags::DETACH);
    }
}

/// Ends every process that was started for the build in `path`, also those that left their process group: a step may start a
/// daemon, which would run on outside of any image.
fn end_strays(path: &Path) {
    // A process that is being ended may start another: a few rounds, then the next build tries again.
    for _ in 0..20 {
        let strays = strays(path);
        if strays.is_empty() {
            return;
        }
        for process in strays {
            let _ = pidfd_send_signal(&process, Signal::KILL);
            gone(&process, PATIENCE);
        }
    }
}

/// The processes whose root is in the folder, or that take its temporary folder for theirs.
fn strays(path: &Path) -> Vec<impl AsFd + use<>> {
    let mark = format!("TMPDIR={}", path.join("tmp").display()).into_bytes();
    let is_stray = |process: &Path| {
        fs::read_link(process.join("root")).is_ok_and(|root| root.starts_with(path))
            || fs::read(process.join("environ"))
                .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == mark))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = processes.filter_map(|process| {
        let id = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
        // First hold it, then look at it: a number may be given to another process meanwhile.
        let held = pidfd_open(id, PidfdFlags::empty()).ok()?;
        is_stray(&process.path()).then_some(held)
    });
    found.collect()
}

const PREFIX: &str = "build-";
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::process::Command;

    use portway_hashing::Digest;

    use super::*;

    fn key(text: &str) -> ImageKey {
        format!("v1-{}", Digest::of(text.as_bytes()).hex()).parse().unwrap()
    }

    #[test]
    fn what_a_dead_builder_left_is_removed_with_its_processes_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let living = Work::open(folder.path(), &key("a")).unwrap();
        let parent = living.path.parent().unwrap().to_owned();
        let dead = parent.join(format!("{PREFIX}{}-7", key("b")));
        fs::create_dir_all(dead.join("storage/layer")).unwrap();
        File::create(dead.join("lock")).unwrap();
        let mut stray = Command::new("sleep")
            .arg("600")
            .env("TMPDIR", dead.join("tmp"))
            .spawn()
            .expect("sleep is on every machine");
        let mut other = Command::new("sleep")
            .arg("600")
            .env("TMPDIR", living.temporary())
            .spawn()
            .expect("sleep is on every machine");

        let next = Work::open(folder.path(), &key("b")).unwrap();
        assert!(!dead.exists());
        assert!(!stray.wait().unwrap().success(), "it was killed");
        assert!(living.path("lock").exists() && other.try_wait().unwrap().is_none());
        assert_ne!(next.path, living.path);

        living.clean();
        assert!(!living.path.exists());
        assert!(!other.wait().unwrap().success(), "it was killed");
    }
}
