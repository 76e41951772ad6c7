//! The wall's clock. What merely passes is measured with tokio's.

use k8s_openapi::jiff::Timestamp;

/// The time of day.
pub(crate) fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a shell's clock")]
    let now = std::time::SystemTime::now();
    Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH)
}
