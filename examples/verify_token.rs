//! Verifies tokens against a key set, strictly; an outside test suite can drive it.
//!
//! `cargo run --example verify_token` verifies a token now, too late, and after it was changed. `-- --stdin` reads JSON lines
//! `{"id", "token", "now", "jwks", "policy": {…}}`, `-- --jws` reads `{"id", "jws", "jwk"}` and checks the signature
//! alone; both answer `{"id", "accept", "reason"}` a line.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use portway_auth::{
    Algorithm, Algorithms, Entropy, Grant, Issuer, KeySet, SigningKey, SigningKeyKind, TokenPolicy,
    UnixSeconds, verify_jws,
};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let check: fn(&Value) -> Result<()> = match std::env::args().nth(1).as_deref() {
        None => return demonstrate(),
        Some("--stdin") => check_token,
        Some("--jws") => check_signature,
        Some(other) => bail!("unknown argument {other}: --stdin or --jws"),
    };
    for line in stdin().lock().split(b'\n') {
        let case = read(&String::from_utf8_lossy(&line?));
        let answer = check(&case);
        let reason = answer.as_ref().err().map_or_else(|| "ok".to_owned(), |error| format!("{error:#}"));
        writeln!(stdout(), "{}", json!({ "id": case["id"], "accept": answer.is_ok(), "reason": reason }))?;
    }
    Ok(())
}

/// Whatever a line holds, it gets an answer: half a surrogate pair, which no JSON text may hold, is read as it is spelled.
fn read(line: &str) -> Value {
    let spelled = || serde_json::from_str(&line.replace(r"\u", r"\\u"));
    serde_json::from_str(line).or_else(|_| spelled()).unwrap_or_default()
}

fn check_token(case: &Value) -> Result<()> {
    let now = case["now"].as_f64().context("now is not a number")?;
    let token = case["token"].as_str().context("token is not text")?;
    policy(&case["policy"])?.verify(token, &keys(&case["jwks"])?, UnixSeconds(now as u64))?;
    Ok(())
}

fn check_signature(case: &Value) -> Result<()> {
    let jws = case["jws"].as_str().context("jws is not text")?;
    verify_jws(jws, &keys(&case["jwk"])?, Algorithms::from(Algorithm::ALL))?;
    Ok(())
}

fn keys(source: &Value) -> Result<KeySet> {
    // As text it reaches the strict reader as it was written, names that occur twice included.
    let text = source.as_str().map_or_else(|| source.to_string(), str::to_owned);
    let is_set = serde_json::from_str::<Value>(&text)?.get("keys").is_some();
    Ok(if is_set { KeySet::from_json(&text)? } else { KeySet::from_jwk(&text)? })
}

fn policy(spec: &Value) -> Result<TokenPolicy> {
    let texts = |name: &str| match &spec[name] {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    let seconds = |name: &str| spec[name].as_f64().map(Duration::try_from_secs_f64).transpose();
    let mut policy = TokenPolicy::new();
    policy = texts("issuer").into_iter().fold(policy, TokenPolicy::issuer);
    policy = texts("audience").into_iter().fold(policy, TokenPolicy::audience);
    policy = texts("required").into_iter().fold(policy, TokenPolicy::require);
    if spec["algorithms"].is_array() {
        let known = texts("algorithms").iter().filter_map(|name| name.parse().ok()).collect::<Algorithms>();
        policy = policy.algorithms(known);
    }
    if let Some(types) = spec["typ_allowed"].as_array() {
        // A null among them stands for a token without `typ`.
        policy = policy.types(types.iter().map(|name| name.as_str().unwrap_or_default()));
    }
    policy = seconds("leeway_s")?.into_iter().fold(policy, TokenPolicy::leeway);
    policy = match seconds("max_life_s")? {
        Some(life) => policy.max_life(life),
        None if spec.get("max_life_s").is_some() => policy.any_life(),
        None => policy,
    };
    let max_bytes = spec["max_token_bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    Ok(max_bytes.into_iter().fold(policy, TokenPolicy::max_bytes))
}

/// A good token passes; the same one with one character changed does not.
fn demonstrate() -> Result<()> {
    let key = SigningKey::generate(SigningKeyKind::P256)?;
    let issuer = Issuer::new("https://portway.example", key);
    let now = UnixSeconds(1_700_000_000);
    let grant = Grant { audience: "scoring", subject: "alice", scopes: &[] };
    let token = issuer.issue(&grant, now, &Entropy::from_system()?)?;
    let policy = TokenPolicy::new().issuer(issuer.name()).audience("scoring");
    let keys = issuer.key_set(now);
    println!("as issued: {:?}", policy.verify(token.access_token.expose(), &keys, now)?.subject());
    println!(
        "an hour later: {:?}",
        policy.verify(token.access_token.expose(), &keys, UnixSeconds(now.0 + 3660))
    );
    println!("stretched: {:?}", policy.verify(&format!("{}A", token.access_token.expose()), &keys, now));
    Ok(())
}
