//! The compact form of a signed message (RFC 7515), taken apart and checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Object;
use crate::jwk::Jwk;
use crate::key_set::Found;
use crate::{Algorithm, Algorithms, KeySet, TokenError};

/// Checks the signature of a compact JWS and gives its payload back.
///
/// The signature alone: no claim is read. Tokens go through [`TokenPolicy`](crate::TokenPolicy).
///
/// # Errors
/// [`TokenError`] for anything that is not exactly three parts of strict base64url with a strict header, for `crit` and
/// `b64`, for an algorithm that is not in `algorithms` or not the key's, and for a wrong signature.
pub fn verify_jws(jws: &str, keys: &KeySet, algorithms: Algorithms) -> Result<Vec<u8>, TokenError> {
    let parts = Parts::split(jws)?;
    let header = parts.header()?;
    let header = Header::read(&Object::parse(&header).ok_or(TokenError::NotJson)?)?;
    let payload = parts.payload()?;
    let key = header.key(keys, algorithms)?;
    parts.verify(&header, key)?;
    Ok(payload)
}

/// The three parts, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn split(jws: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = jws.rsplit_once('.').ok_or(TokenError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::NotCompact)?;
        if payload.contains('.') {
            return Err(TokenError::NotCompact);
        }
        Ok(Self { signed, header, payload, signature })
    }

    pub(crate) fn header(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.header)
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.payload)
    }

    pub(crate) fn verify(&self, header: &Header, key: &Jwk) -> Result<(), TokenError> {
        let signature = decode(self.signature)?;
        if key.verify(header.algorithm, self.signed.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(TokenError::Signature)
        }
    }
}

/// The header's members that decide about the signature. `jwk`, `jku`, `x5u` and `x5c` are not among them: a message does
/// not get to say which key it is to be believed by.
pub(crate) struct Header {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
}

impl Header {
    pub(crate) fn read(members: &Object<'_>) -> Result<Self, TokenError> {
        // No extension is understood, so whatever is critical is refused; so is unencoded payload even if unannounced.
        if members.get("crit").is_some() || members.get("b64").is_some() {
            return Err(TokenError::Critical);
        }
        let algorithm = members.text("alg").ok().flatten().ok_or(TokenError::Algorithm)?;
        let algorithm = algorithm.parse().map_err(|_| TokenError::Algorithm)?;
        let kid = members.text("kid").map_err(|_| TokenError::KeyId)?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(TokenError::KeyId);
        }
        Ok(Self { algorithm, kid: kid.map(Into::into) })
    }

    /// The one key of the set that this header points to.
    pub(crate) fn key<'k>(&self, keys: &'k KeySet, algorithms: Algorithms) -> Result<&'k Jwk, TokenError> {
        if !algorithms.contains(self.algorithm) {
            return Err(TokenError::Algorithm);
        }
        match keys.find(self.kid.as_deref(), self.algorithm) {
            Found::One(key) => Ok(key),
            Found::Several => Err(TokenError::AmbiguousKey),
            Found::Misfit => Err(TokenError::Algorithm),
            Found::Nothing => Err(TokenError::UnknownKey),
        }
    }
}

/// Base64url without padding, without white space, without stray bits at the end.
fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::NotCompact)
}

/// Names of keys are short; what is longer names nothing and is not worth a look-up.
const MAX_KID_BYTES: usize = 512;
