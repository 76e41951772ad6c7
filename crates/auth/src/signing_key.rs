//! Private keys for signing tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::jwk::{PublicJwk, Thumbprint};
use crate::{Algorithm, NoEntropy, Secret};

/// A private key that tokens are signed with: Ed25519 or P-256, read from PKCS#8.
pub struct SigningKey {
    pair: Pair,
    thumbprint: Thumbprint,
    /// Kept for [`SigningKey::to_pem`]: `ring` does not give keys back.
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads the text of a PKCS#8 file: PEM (`BEGIN PRIVATE KEY`), of either kind of key.
    ///
    /// Both forms of an Ed25519 key are taken: with the public key in it (RFC 5958) and without, as OpenSSL writes it.
    ///
    /// # Errors
    /// [`SigningKeyError`] if it is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, SigningKeyError> {
        let body = pem
            .split_once(PEM_BEGIN)
            .and_then(|(_, rest)| rest.split_once(PEM_END))
            .ok_or(SigningKeyError)?
            .0;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = STANDARD.decode(&*body).map_err(|_| SigningKeyError)?;
        Self::from_pkcs8(&Zeroizing::new(der))
    }

    /// Reads PKCS#8 in its binary form; see [`SigningKey::from_pem`].
    ///
    /// # Errors
    /// [`SigningKeyError`] if it is anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        let pkcs8 = Zeroizing::new(der.to_vec());
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let thumbprint = Thumbprint::of_ed25519(pair.public_key().as_ref());
            return Ok(Self { pair: Pair::Ed25519(pair), thumbprint, pkcs8 });
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new());
        let pair = pair.map_err(|_| SigningKeyError)?;
        let (x, y) = coordinates(&pair);
        let thumbprint = Thumbprint::of_p256(x, y);
        Ok(Self { pair: Pair::P256(pair), thumbprint, pkcs8 })
    }

    /// Makes a new key of the system's randomness.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system has none to give.
    pub fn generate(kind: SigningKeyKind) -> Result<Self, NoEntropy> {
        let random = SystemRandom::new();
        let document = match kind {
            SigningKeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
            SigningKeyKind::P256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        };
        let document = document.map_err(|_| NoEntropy)?;
        Ok(Self::from_pkcs8(document.as_ref()).expect("ring reads what it has just written"))
    }

    /// The text of a PKCS#8 file that [`SigningKey::from_pem`] reads.
    #[must_use]
    pub fn to_pem(&self) -> Secret {
        let body = Zeroizing::new(STANDARD.encode(&self.pkcs8));
        let mut pem = String::with_capacity(body.len() * 65 / 64 + PEM_BEGIN.len() + PEM_END.len() + 3);
        pem.push_str(PEM_BEGIN);
        for (at, character) in body.chars().enumerate() {
            if at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.extend(["\n", PEM_END, "\n"]);
        Secret::from(pem)
    }

    /// The key's name in tokens and key sets: its RFC 7638 thumbprint.
    #[must_use]
    pub fn id(&self) -> String {
        self.thumbprint.to_string()
    }

    /// What it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::P256(_) => Algorithm::Es256,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoEntropy> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| NoEntropy)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    pub(crate) fn jwk(&self) -> PublicJwk {
        let base =
            PublicJwk { kid: Some(self.id()), alg: Some(self.algorithm().name()), ..PublicJwk::default() };
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        match &self.pair {
            Pair::Ed25519(pair) => {
                PublicJwk { kty: "OKP", crv: Some("Ed25519"), x: encode(pair.public_key().as_ref()), ..base }
            }
            Pair::P256(pair) => {
                let (x, y) = coordinates(pair);
                PublicJwk { kty: "EC", crv: Some("P-256"), x: encode(x), y: encode(y), ..base }
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.thumbprint)
    }
}

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKeyKind {
    /// Signs with EdDSA: short tokens, no randomness needed to sign.
    Ed25519,
    /// Signs with ES256, which every verifier knows.
    P256,
}

/// Not a PKCS#8 private key for Ed25519 or P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key for Ed25519 or P-256")]
pub struct SigningKeyError;

fn coordinates(pair: &EcdsaKeyPair) -> (&[u8], &[u8]) {
    // One byte says "uncompressed", then 32 bytes each.
    pair.public_key().as_ref()[1..].split_at(32)
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
