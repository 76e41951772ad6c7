use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes the lines that a look-up and a build write. `()` throws them away; a closure over `&str` is a log.
pub trait BuildLog: Send + Sync {
    /// One line, without its end.
    fn line(&self, line: &str);
}

impl BuildLog for () {
    fn line(&self, _: &str) {}
}

impl<F: Fn(&str) + Send + Sync> BuildLog for F {
    fn line(&self, line: &str) {
        self(line);
    }
}

/// Writes to the logs of all callers of one flight. A late caller first gets the last lines that it missed.
#[derive(Default)]
pub(super) struct Fanout {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logs: Vec<Arc<dyn BuildLog>>,
    kept: VecDeque<String>,
}

impl Fanout {
    pub(super) fn add(&self, log: Arc<dyn BuildLog>) {
        let missed = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.logs.push(Arc::clone(&log));
            state.kept.clone()
        };
        missed.iter().for_each(|line| log.line(line));
    }
}

impl BuildLog for Fanout {
    /// The logs are called without the lock, so that one of them may be slow or join another flight.
    fn line(&self, line: &str) {
        let logs = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.kept.len() == KEPT_LINES {
                state.kept.pop_front();
            }
            state.kept.push_back(line.to_owned());
            state.logs.clone()
        };
        logs.iter().for_each(|log| log.line(line));
    }
}

const KEPT_LINES: usize = 50;
