use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// When the leases that we know will have run out, by our own clock.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashMap<String, Sighting>>);

#[derive(Debug)]
struct Sighting {
    version: Option<String>,
    until: Instant,
}

impl Sightings {
    /// Notes that `object` was seen in `version`, and answers when it will have run out: at `until`, unless it has been
    /// seen in this very version before.
    pub(super) fn saw(&self, object: String, version: Option<&str>, until: Instant) -> Instant {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&object) {
            Some(known) if known.version.as_deref() == version => known.until,
            _ => {
                all.insert(object, Sighting { version: version.map(str::to_owned), until });
                until
            }
        }
    }

    /// Notes what we wrote ourselves, and until when we hold it.
    pub(super) fn wrote(&self, object: String, version: Option<String>, until: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(object, Sighting { version, until });
    }
}
