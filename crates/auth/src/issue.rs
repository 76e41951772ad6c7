//! Issuing tokens: the local issuer that keeps working when the far one does not.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::key_set::PublicSet;
use crate::{
    Entropy, KeySet, MalformedDocument, NoEntropy, PublishedIssuer, Secret, SigningKey, UnixSeconds,
};

/// Issues tokens and rotates the keys it signs them with, so that no verifier ever meets a key it cannot know.
///
/// A new key is published for one *cache life* before it signs; an old one stays published for one *token life* after it
/// signed for the last time.
///
/// # Examples
/// ```
/// use portway_auth::{Entropy, Grant, Issuer, KeySet, SigningKey, SigningKeyKind, TokenPolicy, UnixSeconds};
///
/// let key = SigningKey::generate(SigningKeyKind::Ed25519)?;
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

    /// The secret document for the store of whoever issues: a restarted issuer goes on from it, so that tokens of earlier
    /// keys stay good. JSON with all private keys.
    #[must_use]
    pub fn to_document(&self) -> Secret {
        let keys = self
            .keys
            .iter()
            .map(|scheduled| KeyOut { pem: scheduled.key.to_pem(), signs_from: scheduled.signs_from.0 });
        let document = DocumentOut {
            name: &self.name,
            life_seconds: self.life.as_secs(),
            overlap_seconds: self.overlap.as_secs(),
            keys: keys.collect(),
        };
        serde_json::to_string(&document).map(Secret::from).expect("text and integers always serialise")
    }

    /// Reads what [`Issuer::to_document`] wrote.
    ///
    /// # Errors
    /// [`MalformedDocument`] if `text` is anything else.
    pub fn from_document(text: &str) -> Result<Self, MalformedDocument> {
        const MALFORMED: MalformedDocument = MalformedDocument("issuer");
        let document: DocumentIn = serde_json::from_str(text).map_err(|_| MALFORMED)?;
        let pems = document.keys.into_iter().map(|key| (Secret::from(key.pem), UnixSeconds(key.signs_from)));
        let pems: Vec<_> = pems.collect();
        let mut keys = Vec::with_capacity(pems.len());
        for (pem, signs_from) in &pems {
            let key = SigningKey::from_pem(pem.expose()).map_err(|_| MALFORMED)?;
            keys.push(Scheduled { key, signs_from: *signs_from });
        }
        if keys.is_empty() || document.life_seconds == 0 {
            return Err(MALFORMED);
        }
        let [life, overlap] = [document.life_seconds, document.overlap_seconds].map(Duration::from_secs);
        Ok(Self { name: document.name.into(), life, overlap, keys })
    }

    /// The ids of the keys held, oldest first, each with the time from which it signs.
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
        // First of all: a key that is no longer published is forgotten, and new if it comes back.
        self.keys.drain(..self.published_from(now));
        let is_new = self.keys.last().is_none_or(|last| last.key.id() != key.id());
        if is_new {
            // A key that comes back in time has been published all along: its turn may come at once.
            let known = self.keys.iter().position(|known| known.key.id() == key.id());
            let known = known.map(|at| self.keys.remove(at));
            let signs_from = known.map_or(now + self.overlap, |known| known.signs_from.max(now));
            self.keys.push(Scheduled { key, signs_from });
        }
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

    /// What those who verify have to know of it now.
    #[must_use]
    pub fn published(&self, now: UnixSeconds) -> PublishedIssuer {
        PublishedIssuer::new(self.name.clone(), self.key_set(now))
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
        let refresh_after = now + self.life / 100 * REFRESH_PERCENT;
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentOut<'a> {
    name: &'a str,
    life_seconds: u64,
    overlap_seconds: u64,
    keys: Vec<KeyOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyOut {
    #[serde(serialize_with = "exposed")]
    pem: Secret,
    signs_from: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentIn {
    name: String,
    life_seconds: u64,
    overlap_seconds: u64,
    keys: Vec<KeyIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyIn {
    pem: String,
    signs_from: u64,
}

fn exposed<S: serde::Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose())
}
