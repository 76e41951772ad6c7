//! Keys and tokens that survive rotation, outages and attackers.

mod algorithm;
mod authenticator;
mod bearer;
mod claims;
mod credentials;
mod denied;
mod issue;
mod json;
mod jwk;
mod jws;
mod key_set;
mod roca;
mod secret;
mod time;
mod token;
mod token_error;
mod verifier;

pub use algorithm::{Algorithm, Algorithms, UnknownAlgorithm};
pub use authenticator::{Attempt, Authenticator, KeysNeeded, Open, Principal, Verdict};
pub use bearer::{Bearer, BearerError, MAX_CREDENTIAL_BYTES};
pub use claims::Claims;
pub use credentials::{ApiKey, Credentials, KEY_PREFIX, KeyError};
pub use denied::Denied;
pub use issue::{Grant, IssuedToken, Issuer, KEY_OVERLAP, SigningKey, SigningKeyError};
pub use jws::verify_jws;
pub use key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
pub use secret::{Entropy, NoEntropy, Secret};
pub use time::UnixSeconds;
pub use token::TokenPolicy;
pub use token_error::TokenError;
pub use verifier::{CurrentVerifier, KeyCheck, KeyId, KeySlot, MalformedDocument, StaleVerifier, Verifier};
