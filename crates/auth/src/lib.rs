//! Keys and tokens that survive rotation, outages and attackers.

mod authenticator;
mod bearer;
mod credentials;
mod denied;
mod secret;
mod time;
mod verifier;

pub use authenticator::{Attempt, Authenticator, KeysNeeded, Open, Principal, Verdict};
pub use bearer::{Bearer, BearerError, MAX_CREDENTIAL_BYTES};
pub use credentials::{ApiKey, Credentials, KEY_PREFIX, KeyError};
pub use denied::Denied;
pub use secret::{Entropy, NoEntropy, Secret};
pub use time::UnixSeconds;
pub use verifier::{CurrentVerifier, KeyCheck, KeyId, KeySlot, MalformedDocument, StaleVerifier, Verifier};
