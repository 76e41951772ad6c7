//! Issuing tokens: the local issuer that keeps working when the far one does not.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::jwk::{PublicJwk, Thumbprint};
use crate::key_set::PublicSet;
use crate::{Algorithm, Entropy, KeySet, NoEntropy, Secret, UnixSeconds};

/// A private key that tokens are signed with: Ed25519 or P-256, read from PKCS#8.
pub struct SigningKey {
    pair: Pair,
    thumbprint: Thumbprint,
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
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let thumbprint = Thumbprint::of_ed25519(pair.public_key().as_ref());
            return Ok(Self { pair: Pair::Ed25519(pair), thumbprint });
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new());
        let pair = pair.map_err(|_| SigningKeyError)?;
        let (x, y) = coordinates(&pair);
        let thumbprint = Thumbprint::of_p256(x, y);
        Ok(Self { pair: Pair::P256(pair), thumbprint })
    }

    /// Makes a new key of the system's randomness, as the text of a PKCS#8 file.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system has none to give, and for algorithms other than EdDSA and ES256.
    pub fn generate_pem(algorithm: Algorithm) -> Result<Secret, NoEntropy> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            _ => return Err(NoEntropy),
        };
        let document = document.map_err(|_| NoEntropy)?;
        let body = Zeroizing::new(STANDARD.encode(document.as_ref()));
        let mut pem = String::with_capacity(body.len() + 80);
        pem.push_str(PEM_BEGIN);
        for (at, character) in body.chars().enumerate() {
            if at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.extend(["\n", PEM_END, "\n"]);
        Ok(Secret::from(pem))
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

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoEntropy> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| NoEntropy)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    fn jwk(&self) -> PublicJwk {
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

/// Not a PKCS#8 private key for Ed25519 or P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key for Ed25519 or P-256")]
pub struct SigningKeyError;

/// Issues tokens and rotates the keys it signs them with, so that no verifier ever meets a key it cannot know.
///
/// A new key is published for one *cache life* before it signs; an old one stays published for one *token life* after it
/// signed for the last time.
///
/// # Examples
/// ```
/// use portway_auth::{Algorithm, Entropy, Grant, Issuer, KeySet, SigningKey, TokenPolicy, UnixSeconds};
///
/// let key = SigningKey::from_pem(SigningKey::generate_pem(Algorithm::EdDsa)?.expose())?;
/// let issuer = Issuer::new("https://portway.example", key);
/// let now = UnixSeconds(1_700_000_000);
/// let grant = Grant { audience: "scoring", subject: "alice", scopes: &["blue"] };
/// let token = issuer.issue(&grant, now, &Entropy::from_system()?)?;
///
/// let keys = KeySet::from_json(&issuer.jwks(now))?;
/// let policy = TokenPolicy::new().issuer("https://portway.example").audience("scoring");
/// let claims = policy.verify(token.access_token.expose(), &keys, now)?;
/// assert_eq!(claims.subject(), Some("alice"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Issuer {
    name: Box<str>,
    life: Duration,
    overlap: Duration,
    /// In the order in which they sign; at least one, the first since ever.
    keys: Vec<Scheduled>,
}

#[derive(Debug)]
struct Scheduled {
    key: SigningKey,
    signs_from: UnixSeconds,
}

impl Issuer {
    /// An issuer that signs with `key` at once. Tokens live an hour; keys overlap by the cache life of [`KEY_OVERLAP`].
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, key: SigningKey) -> Self {
        let keys = vec![Scheduled { key, signs_from: UnixSeconds(0) }];
        Self { name: name.into(), life: TOKEN_LIFE, overlap: KEY_OVERLAP, keys }
    }

    /// How long tokens live; at least a second.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life.max(Duration::from_secs(1));
        self
    }

    /// How long a new key is published before it signs: no verifier may cache the key set for longer.
    #[must_use]
    pub const fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Adds the next key with the time from which it signs: how a restarted issuer gets its [`schedule`](Self::schedule)
    /// back, oldest first, so that tokens of earlier keys stay good.
    #[must_use]
    pub fn successor(mut self, key: SigningKey, signs_from: UnixSeconds) -> Self {
        self.keys.push(Scheduled { key, signs_from });
        self
    }

    /// The ids of the keys held, oldest first, each with the time from which it signs: to be stored beside the keys.
    pub fn schedule(&self) -> impl Iterator<Item = (String, UnixSeconds)> {
        self.keys.iter().map(|scheduled| (scheduled.key.id(), scheduled.signs_from))
    }

    /// The name in `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the key that is in force now according to its file. Call it with whatever the file holds, as often as you like:
    /// a key that is known already changes nothing, a new one is published now and signs after the overlap.
    ///
    /// Gives `true` if the key is new. Keys whose last token has expired are dropped.
    pub fn adopt(&mut self, key: SigningKey, now: UnixSeconds) -> bool {
        let is_new = self.keys.last().is_none_or(|last| last.key.thumbprint != key.thumbprint);
        if is_new {
            // A key that comes back has been published already: its turn may come at once.
            let known = self.keys.iter().position(|known| known.key.thumbprint == key.thumbprint);
            let known = known.map(|at| self.keys.remove(at));
            let signs_from = known.map_or(now + self.overlap, |known| known.signs_from.max(now));
            self.keys.push(Scheduled { key, signs_from });
        }
        let needed = self.published_from(now);
        self.keys.drain(..needed);
        is_new
    }

    /// The key set to publish: those that sign, will sign, or have signed tokens that may still live.
    #[must_use]
    pub fn jwks(&self, now: UnixSeconds) -> String {
        let keys =
            self.keys[self.published_from(now)..].iter().map(|scheduled| scheduled.key.jwk()).collect();
        serde_json::to_string(&PublicSet { keys }).expect("text always serialises")
    }

    /// The same set, for verifying in the same process.
    #[must_use]
    pub fn key_set(&self, now: UnixSeconds) -> KeySet {
        KeySet::from_json(&self.jwks(now)).expect("a set of our own keys is sound and not empty")
    }

    /// Issues one token.
    ///
    /// # Errors
    /// [`NoEntropy`] if ES256 needs randomness and the system has none.
    pub fn issue(&self, grant: &Grant<'_>, now: UnixSeconds, id: &Entropy) -> Result<IssuedToken, NoEntropy> {
        let key = &self.keys[self.signing(now)].key;
        let expires = now + self.life;
        let kid = key.id();
        let header = JwtHeader { alg: key.algorithm().name(), typ: "at+jwt", kid: &kid };
        let jti = URL_SAFE_NO_PAD.encode(&id.bytes()[..16]);
        let claims = JwtClaims {
            iss: &self.name,
            aud: grant.audience,
            sub: grant.subject,
            iat: now.0,
            nbf: now.0,
            exp: expires.0,
            jti: &jti,
            scope: (!grant.scopes.is_empty()).then(|| grant.scopes.join(" ")),
        };
        let mut token = format!("{}.{}", part(&header), part(&claims));
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        let refresh_after = now + self.life * REFRESH_PERCENT / 100;
        Ok(IssuedToken { access_token: token.into(), token_type: "Bearer", refresh_after, expires })
    }

    /// The newest key whose turn has come.
    fn signing(&self, now: UnixSeconds) -> usize {
        self.keys.iter().rposition(|scheduled| scheduled.signs_from <= now).unwrap_or_default()
    }

    /// The first key that may still have living tokens. Its successor took over a token life (and a leeway) ago, or later.
    fn published_from(&self, now: UnixSeconds) -> usize {
        let over = |successor: &Scheduled| successor.signs_from + self.life + VERIFIER_LEEWAY <= now;
        self.keys.iter().skip(1).take_while(|successor| over(successor)).count()
    }
}

/// What a token is issued for.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// Whom it is meant for: workspace and endpoint, in the form that the verifier expects.
    pub audience: &'a str,
    /// Who may use it.
    pub subject: &'a str,
    /// What for; may be empty.
    pub scopes: &'a [&'a str],
}

/// A token and when to come back for the next one.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token itself.
    pub access_token: Secret,
    /// How to present it: `Bearer`.
    pub token_type: &'static str,
    /// From here on a client asks for a new one, with some jitter of its own so that not all ask at once.
    pub refresh_after: UnixSeconds,
    /// From here on it is worthless.
    pub expires: UnixSeconds,
}

/// How long a new key is published before it signs, unless changed: twice the ten minutes for which a set is fresh.
pub const KEY_OVERLAP: Duration = Duration::from_secs(20 * 60);

const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const VERIFIER_LEEWAY: Duration = Duration::from_secs(60);
const REFRESH_PERCENT: u32 = 80;
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

#[derive(Serialize)]
struct JwtHeader<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("text and integers always serialise"))
}

fn coordinates(pair: &EcdsaKeyPair) -> (&[u8], &[u8]) {
    // One byte says "uncompressed", then 32 bytes each.
    pair.public_key().as_ref()[1..].split_at(32)
}
