//! The one place where the deployer asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use portway_auth::UnixSeconds;

/// Wall time, for what tokens claim.
pub(crate) fn wall() -> UnixSeconds {
    #[expect(clippy::disallowed_methods, reason = "a shell's clock")]
    let now = SystemTime::now();
    UnixSeconds(now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
