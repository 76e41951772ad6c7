//! Why no token was given: the client library keeps the words of such an answer and forgets its status, so that a server of tokens that
//! is down would look like one that refuses.

use oci_client::{Reference, RegistryOperation};
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Client, Response};

use super::access::Credentials;

/// The status and words with which a token is denied when it is asked for once more; `None` if one is given this time.
pub(super) async fn denial(
    client: &Client,
    scheme: &str,
    reference: &Reference,
    operation: RegistryOperation,
    credentials: &Credentials,
) -> reqwest::Result<Option<(u16, String)>> {
    let door = client.get(format!("{scheme}://{}/v2/", reference.resolve_registry())).send().await?;
    let challenge =
        door.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(realm) = parameter(challenge, "realm") else { return denied(door).await };
    let actions = if operation == RegistryOperation::Push { "pull,push" } else { "pull" };
    let mut query = vec![("scope", format!("repository:{}:{actions}", reference.repository()))];
    query.extend(parameter(challenge, "service").map(|service| ("service", service.to_owned())));
    let mut asked = client.get(realm).query(&query);
    if let Credentials::Password { user, password } = credentials {
        asked = asked.basic_auth(user, Some(password));
    }
    denied(asked.send().await?).await
}

async fn denied(answer: Response) -> reqwest::Result<Option<(u16, String)>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(None);
    }
    Ok(Some((status.as_u16(), answer.text().await.unwrap_or_default())))
}

/// `Bearer realm="https://…",service="…"`
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (before, rest) = challenge.split_once(&format!("{name}=\""))?;
    before.ends_with([' ', ',']).then(|| rest.split_once('"')).flatten().map(|(value, _)| value)
}
