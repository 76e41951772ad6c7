//! One public key, read from a JSON Web Key and used for checking signatures.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use ring::{hmac, signature::VerificationAlgorithm};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::json::{NotText, Object};
use crate::{Algorithm, weak};

/// A key that can check signatures, with the restrictions that its owner wrote on it.
pub(crate) struct Jwk {
    pub(crate) kid: Option<Box<str>>,
    /// The only algorithm that the key may be used with, if it names one.
    algorithm: Option<Algorithm>,
    material: Material,
    pub(crate) thumbprint: Thumbprint,
}

enum Material {
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// The uncompressed point.
    P256(Box<[u8]>),
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
    Secret(Zeroizing<Vec<u8>>),
}

impl Jwk {
    /// Reads a key. Members that it does not know, private ones among them, are neither read nor kept.
    ///
    /// # Errors
    /// [`Unusable`] for a key of another kind, for another use, or a malformed or weak one.
    pub(crate) fn read(jwk: &Object<'_>) -> Result<Self, Unusable> {
        check_use(jwk)?;
        let algorithm = jwk.text("alg")?.map(str::parse).transpose().map_err(|_| Unusable)?;
        let kty = jwk.text("kty")?.ok_or(Unusable)?;
        let (material, canonical) = match (kty, jwk.text("crv")?) {
            ("RSA", _) => read_rsa(jwk)?,
            ("EC", Some("P-256")) => read_point(jwk, "P-256", 32)?,
            ("EC", Some("P-384")) => read_point(jwk, "P-384", 48)?,
            ("OKP", Some("Ed25519")) => read_ed25519(jwk)?,
            ("oct", _) => read_secret(jwk)?,
            _ => return Err(Unusable),
        };
        let thumbprint = Thumbprint::of(&canonical);
        let key = Self { kid: jwk.text("kid")?.map(Into::into), algorithm, material, thumbprint };
        // A key that names an algorithm of another kind is a mistake or a trick; either way nobody can use it.
        if algorithm.is_some_and(|algorithm| !key.material.fits(algorithm)) { Err(Unusable) } else { Ok(key) }
    }

    /// Whether the key may check signatures of `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }

    pub(crate) const fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    /// The key as it may be shown to anybody; `None` for a secret.
    pub(crate) fn public(&self) -> Option<PublicJwk> {
        let base = PublicJwk {
            kid: self.kid.as_deref().map(Into::into),
            alg: self.algorithm.map(Algorithm::name),
            ..PublicJwk::default()
        };
        let point = |crv, bytes: &[u8]| {
            let (x, y) = bytes[1..].split_at(bytes.len() / 2);
            PublicJwk { kty: "EC", crv: Some(crv), x: Some(encode(x)), y: Some(encode(y)), ..base.clone() }
        };
        match &self.material {
            Material::Rsa { n, e } => {
                Some(PublicJwk { kty: "RSA", n: Some(encode(n)), e: Some(encode(e)), ..base })
            }
            Material::P256(bytes) => Some(point("P-256", bytes)),
            Material::P384(bytes) => Some(point("P-384", bytes)),
            Material::Ed25519(x) => {
                Some(PublicJwk { kty: "OKP", crv: Some("Ed25519"), x: Some(encode(x)), ..base })
            }
            Material::Secret(_) => None,
        }
    }

    /// Checks a signature; `false` as well if the key does not fit.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let asymmetric = |with: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(with, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            Material::P256(point) => asymmetric(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => asymmetric(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => asymmetric(&signature::ED25519, point),
            Material::Secret(secret) => hmac_algorithm(algorithm).is_some_and(|with| {
                // RFC 7518 section 3.2: a key shorter than the hash is not to be used.
                secret.len() >= with.digest_algorithm().output_len()
                    && hmac::verify(&hmac::Key::new(with, secret), message, signature).is_ok()
            }),
        }
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Material {
    const fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => rsa_parameters(algorithm).is_some(),
            Self::P256(_) => matches!(algorithm, Algorithm::Es256),
            Self::P384(_) => matches!(algorithm, Algorithm::Es384),
            Self::Ed25519(_) => matches!(algorithm, Algorithm::EdDsa),
            Self::Secret(_) => matches!(algorithm, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512),
        }
    }
}

/// A public key as JSON.
#[derive(Clone, Default, Serialize)]
pub(crate) struct PublicJwk {
    pub(crate) kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alg: Option<&'static str>,
    #[serde(rename = "use")]
    pub(crate) purpose: Signing,
}

/// The only purpose that keys have here.
#[derive(Clone, Default, Serialize)]
pub(crate) enum Signing {
    #[default]
    #[serde(rename = "sig")]
    Signatures,
}

/// Why a key is left out. No detail: whoever publishes a set finds it by trying, and a set is not refused for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusable;

impl From<NotText> for Unusable {
    fn from(_: NotText) -> Self {
        Self
    }
}

/// SHA-256 over the key's canonical form (RFC 7638): the same key has the same thumbprint everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thumbprint([u8; 32]);

impl Thumbprint {
    fn of(canonical: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        Self(bytes)
    }

    pub(crate) fn of_ed25519(x: &[u8]) -> Self {
        Self::of(&ed25519_canonical(x))
    }

    pub(crate) fn of_p256(x: &[u8], y: &[u8]) -> Self {
        Self::of(&point_canonical("P-256", x, y))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

fn check_use(jwk: &Object<'_>) -> Result<(), Unusable> {
    if jwk.text("use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Unusable);
    }
    let Some(operations) = jwk.get("key_ops") else { return Ok(()) };
    let operations = operations.as_list().ok_or(Unusable)?;
    if operations.iter().any(|operation| operation.as_text() == Some("verify")) {
        Ok(())
    } else {
        Err(Unusable)
    }
}

fn bytes(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD.decode(jwk.text(name)?.ok_or(Unusable)?).map_err(|_| Unusable)
}

fn read_rsa(jwk: &Object<'_>) -> Result<(Material, String), Unusable> {
    // RFC 7518 section 6.3.1.1 knows of libraries that write a leading zero.
    let natural =
        |name| bytes(jwk, name).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect());
    let (n, e): (Box<[u8]>, Box<[u8]>) = (natural("n")?, natural("e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let exponent_is_sound = match *e {
        [] => false,
        [only] => only >= 3 && only % 2 == 1,
        [.., last] => e.len() <= MAX_EXPONENT_BYTES && last % 2 == 1,
    };
    if !RSA_BITS.contains(&bits) || !exponent_is_sound || weak::is_roca(&n) {
        return Err(Unusable);
    }
    let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(&e), encode(&n));
    Ok((Material::Rsa { n, e }, canonical))
}

fn read_point(jwk: &Object<'_>, curve: &str, width: usize) -> Result<(Material, String), Unusable> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != width || y.len() != width {
        return Err(Unusable);
    }
    let point = [&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat().into();
    let material = if width == 32 { Material::P256(point) } else { Material::P384(point) };
    Ok((material, point_canonical(curve, &x, &y)))
}

fn read_ed25519(jwk: &Object<'_>) -> Result<(Material, String), Unusable> {
    let x: [u8; 32] = bytes(jwk, "x")?.try_into().map_err(|_| Unusable)?;
    if weak::has_small_order(&x) {
        return Err(Unusable);
    }
    Ok((Material::Ed25519(Box::new(x)), ed25519_canonical(&x)))
}

fn read_secret(jwk: &Object<'_>) -> Result<(Material, String), Unusable> {
    let secret = Zeroizing::new(bytes(jwk, "k")?);
    let canonical = format!(r#"{{"k":"{}","kty":"oct"}}"#, encode(&secret));
    Ok((Material::Secret(secret), canonical))
}

fn point_canonical(curve: &str, x: &[u8], y: &[u8]) -> String {
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
}

fn ed25519_canonical(x: &[u8]) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

const fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// 2^33 - 1 is the largest exponent in use anywhere; larger ones only cost time.
const MAX_EXPONENT_BYTES: usize = 5;

const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod wycheproof;
