//! Keys and tokens that survive rotation, outages and attackers.
//!
//! One question, answered before a request's body is read: who is calling, and may they? An [`Attempt`] goes in, a
//! [`Verdict`] comes out. There are two kinds of [`Authenticator`], and an endpoint has one of them:
//!
//! - **Keys.** [`Credentials`] hold a primary and a secondary key in plain text, for the one party that must be able to return
//!   them; [`Verifier`] holds their digests, for all others. [`CurrentVerifier`] swaps one for the next.
//! - **Tokens.** [`TokenAuthenticator`] verifies JWTs of trusted issuers: its own [`Issuer`] (so that tokens can be had when a far
//!   one is down), or one whose [`KeySet`] is fetched from outside and kept by [`IssuerKeys`].
//!
//! Around either: [`Throttled`] (failures by client address), [`RequireScope`]. A [`Denied`] says how HTTP puts it.
//!
//! Everything is a function of its arguments: time is [`std::time::Duration`] since the caller's origin and [`UnixSeconds`], chance is
//! [`Entropy`]. I/O is behind the features `fetch` (key sets over HTTPS, the last good one on disk, key files) and `tower` (a
//! layer for other people's servers). The crate is past two thousand lines and yet one idea, since a verifier that is only
//! half one's own is a verifier that nobody has read.
//!
//! # Threat model
//!
//! *Protected*: the right to call an endpoint; keys, tokens and signing keys; the service's being there for those who have the right.
//!
//! *Attackers* send anything to the gateway from any number of addresses; hold a valid token for another endpoint, an old key, or an
//! expired or revoked token; read logs, metrics, the gateway's documents and memory snapshots of its state folder; make an issuer or
//! the way to it fail, or answer slowly or wrongly. They do not have the issuer's private keys, do not break SHA-256, Ed25519, P-256 or
//! RSA-2048, and do not run code in our processes.
//!
//! | They try to | and fail, because |
//! |---|---|
//! | guess a key | generated keys are 256 random bits, chosen ones 32 characters or more; guesses are throttled by address |
//! | learn a key from the time a check takes | the key is hashed first, and all digests are compared in constant time, always |
//! | steal keys from the gateway | it holds digests; the log name of a key is 32 bits of its digest |
//! | use an old key | a stale [`Verifier`] is refused by revision; the predecessor is known as retired |
//! | find out which endpoints exist | an unknown one is checked against [`Verifier::decoy`]: same answer, same work |
//! | forge a token | signature first, by the one key that fits `kid` and `alg`; the key, not the token, says what algorithms it is for; no `none`; HMAC off by default and never with a public key; no key or URL of the token's is followed |
//! | make two readers see two tokens | strict base64url and JSON: one spelling, no name twice at any depth, nothing after the end |
//! | use a token elsewhere, or one of another kind | `aud` and `iss` are compared exactly, `typ` is on a list, nested and encrypted ones are refused |
//! | use a token for ever | `exp` is required, life is bounded, and a remembered token is judged anew with each request |
//! | exhaust memory or time | tokens, sets, names, depth, caches, throttle and revocations are all bounded; outsiders get nothing into a cache |
//! | have key sets fetched without end | one flight at a time, one fetch a window for unknown keys, a second of waiting at most |
//! | lock others out through failures | neither keys nor endpoints are throttled; late clients with a retired key or an expired token do not count |
//! | cut us off from the issuer | a failed or empty answer never replaces a good set; it is used for a day and kept on disk; a second issuer is local |
//! | read secrets in logs | zeroed on drop, `[redacted]` in `Debug`, no `Display`, no `Serialize`; errors never quote input |
//!
//! *Left to others*: TLS in front; the client's real address (behind a proxy that hides it, do not throttle); storing [`Credentials`]
//! as a secret; what a principal may do beyond a scope. A key's memory is zeroed where this crate owns it, not where the
//! network library does. A token in the endpoint's own mode costs a signature check that an unknown endpoint does not: who can tell
//! these apart learns that an endpoint takes tokens. Where that matters, ask the token authenticator for unknown endpoints too, as
//! the gateway does: their name is in no token's audience.

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
mod published;
mod revocations;
mod scope;
mod secret;
mod signing_key;
mod throttle;
mod time;
mod token;
mod token_authenticator;
mod token_cache;
mod token_error;
#[cfg(feature = "tower")]
mod tower;
mod verifier;
mod weak;

pub use algorithm::{Algorithm, Algorithms, UnknownAlgorithm};
pub use authenticator::{Attempt, Authenticator, KeysNeeded, Open, Principal, Verdict};
pub use bearer::{Bearer, BearerError, MAX_CREDENTIAL_BYTES};
pub use claims::Claims;
pub use credentials::{ApiKey, Credentials, KEY_PREFIX, KeyError};
pub use denied::Denied;
#[cfg(feature = "fetch")]
pub use fetch::{Fetch, FetchError, FetchStatus, Fetched, HttpsFetch, KeyFile, KeyFileError, RemoteKeys};
pub use issue::{Grant, IssuedToken, Issuer, KEY_OVERLAP};
pub use issuer_keys::IssuerKeys;
pub use jws::verify_jws;
pub use key_cache::{Flight, Freshness, KeyCache};
pub use key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
#[cfg(any(feature = "fetch", feature = "tower"))]
pub use key_source::{Clock, KeySource};
pub use published::PublishedIssuer;
pub use revocations::{MAX_REVOCATIONS, Revocations, RevocationsFull};
pub use scope::RequireScope;
pub use secret::{Entropy, NoEntropy, Secret};
pub use signing_key::{SigningKey, SigningKeyError, SigningKeyKind};
pub use throttle::{FailureThrottle, Throttled};
pub use time::UnixSeconds;
pub use token::TokenPolicy;
pub use token_authenticator::{DEFAULT_TOKEN_CACHE, TokenAuthenticator};
pub use token_error::TokenError;
#[cfg(feature = "tower")]
pub use tower::{AuthLayer, AuthService};
pub use verifier::{CurrentVerifier, KeyCheck, KeyId, KeySlot, MalformedDocument, StaleVerifier, Verifier};

/// The README's example is compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
