//! Issues a token, verifies it, and rotates the signing key under it.
//!
//! `cargo run --example issue_token`

use std::time::Duration;

use anyhow::Result;
use portway_auth::{Entropy, Grant, Issuer, SigningKey, SigningKeyKind, TokenPolicy, UnixSeconds};

fn main() -> Result<()> {
    // A real issuer reads its key from a PKCS#8 file in a secret: `openssl genpkey -algorithm ed25519`.
    let mut issuer = Issuer::new("https://portway.example", SigningKey::generate(SigningKeyKind::Ed25519)?);

    let mut now = UnixSeconds(1_700_000_000);
    let grant = Grant { audience: "workspace/scoring", subject: "alice", scopes: &["blue"] };
    let first = issuer.issue(&grant, now, &Entropy::from_system()?)?;
    println!("{}", first.access_token.expose());
    println!("refresh after {}, expires {}", first.refresh_after, first.expires);

    let policy = TokenPolicy::new().issuer(issuer.name()).audience("workspace/scoring");
    let claims = policy.verify(first.access_token.expose(), &issuer.key_set(now), now)?;
    println!("{} may {:?}", claims.subject().unwrap_or("nobody"), claims.scopes().collect::<Vec<_>>());

    // The file has changed: the new key is published at once and signs once every cached key set must have it.
    issuer.adopt(SigningKey::generate(SigningKeyKind::P256)?, now);
    now = now + Duration::from_secs(30 * 60);
    let second = issuer.issue(&grant, now, &Entropy::from_system()?)?;
    for token in [&first, &second] {
        policy.verify(token.access_token.expose(), &issuer.key_set(now), now)?;
    }
    println!("both keys published: {}", issuer.jwks(now));
    Ok(())
}
