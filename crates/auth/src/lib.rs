//! Keys and tokens that survive rotation, outages and attackers.

mod algorithm;
mod authenticator;
mod bearer;
mod claims;
mod credentials;
mod denied;
#[cfg(feature = "fetch")]
mod fetch;
mod issue;
mod issuer_keys;
mod json;
mod jwk;
mod jws;
mod key_cache;
mod key_set;
#[cfg(any(feature = "fetch", feature = "tower"))]
mod key_source;
mod revocations;
mod roca;
mod scope;
mod secret;
mod throttle;
mod time;
mod token;
mod token_authenticator;
mod token_cache;
mod token_error;
#[cfg(feature = "tower")]
mod tower;
mod verifier;

pub use algorithm::{Algorithm, Algorithms, UnknownAlgorithm};
pub use authenticator::{Attempt, Authenticator, KeysNeeded, Open, Principal, Verdict};
pub use bearer::{Bearer, BearerError, MAX_CREDENTIAL_BYTES};
pub use claims::Claims;
pub use credentials::{ApiKey, Credentials, KEY_PREFIX, KeyError};
pub use denied::Denied;
#[cfg(feature = "fetch")]
pub use fetch::{Fetch, FetchError, FetchStatus, Fetched, HttpsFetch, KeyFile, KeyFileError, RemoteKeys};
pub use issue::{Grant, IssuedToken, Issuer, KEY_OVERLAP, SigningKey, SigningKeyError};
pub use issuer_keys::IssuerKeys;
pub use jws::verify_jws;
pub use key_cache::{Flight, Freshness, KeyCache};
pub use key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
#[cfg(any(feature = "fetch", feature = "tower"))]
pub use key_source::{Clock, KeySource};
pub use revocations::{MAX_REVOCATIONS, Revocations, RevocationsFull};
pub use scope::RequireScope;
pub use secret::{Entropy, NoEntropy, Secret};
pub use throttle::{FailureThrottle, Throttled};
pub use time::UnixSeconds;
pub use token::TokenPolicy;
pub use token_authenticator::{DEFAULT_TOKEN_CACHE, TokenAuthenticator};
pub use token_error::TokenError;
#[cfg(feature = "tower")]
pub use tower::{AuthLayer, AuthService};
pub use verifier::{CurrentVerifier, KeyCheck, KeyId, KeySlot, MalformedDocument, StaleVerifier, Verifier};
