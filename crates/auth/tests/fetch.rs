//! Key sets over the network: in virtual time with a scripted net, and over real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use portway_auth::{
    Attempt, Authenticator as _, Bearer, Clock, Entropy, Fetch, FetchError, Fetched, Freshness, Grant,
    HttpsFetch, Issuer, KeyFile, KeySource as _, RemoteKeys, SigningKey, SigningKeyKind, TokenAuthenticator,
    TokenPolicy, UnixSeconds, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);
const FAR: &str = "https://login.example";
const KEYS: &str = "https://keys.example/jwks";

/// Tokio's clock, which stands still in these tests but for its sleeps.
struct Virtual {
    origin: Instant,
    wall: UnixSeconds,
}

impl Virtual {
    fn starting(wall: UnixSeconds) -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), wall })
    }
}

impl Clock for Virtual {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> UnixSeconds {
        self.wall + self.now()
    }
}

/// A net of documents; what is not there cannot be reached.
#[derive(Default)]
struct Net {
    documents: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl Net {
    fn put(&self, url: &str, body: impl Into<String>) {
        self.documents.lock().unwrap().insert(url.to_owned(), body.into());
    }

    fn remove(&self, url: &str) {
        self.documents.lock().unwrap().remove(url);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Fetch for Net {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(url.to_owned());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let body = self.documents.lock().unwrap().get(url).cloned();
        body.map(|body| Fetched { body, max_age: None }).ok_or(FetchError::Status(502))
    }
}

fn issuer() -> Issuer {
    Issuer::new(FAR, SigningKey::generate(SigningKeyKind::Ed25519).unwrap())
}

fn token(issuer: &Issuer, now: UnixSeconds) -> String {
    let grant = Grant { audience: "scoring", subject: "alice", scopes: &[] };
    issuer.issue(&grant, now, &Entropy::from_system().unwrap()).unwrap().access_token.expose().to_owned()
}

struct Gate {
    authenticator: TokenAuthenticator,
    remote: RemoteKeys,
    clock: Arc<Virtual>,
}

impl Gate {
    fn new(remote: RemoteKeys, clock: Arc<Virtual>) -> Self {
        let authenticator = TokenAuthenticator::new().trust(FAR, TokenPolicy::new(), remote.keys());
        Self { authenticator, remote, clock }
    }

    fn ask(&self, token: &str) -> Verdict {
        self.authenticator.authenticate(&Attempt {
            bearer: Bearer::from_credential(token.as_bytes()),
            audience: "scoring",
            client: None,
            now: self.clock.now(),
            wall: self.clock.wall(),
        })
    }

    /// As a shell does: wait for keys if that may help, and ask once more.
    async fn admit(&self, token: &str) -> Result<(), &'static str> {
        let mut verdict = self.ask(token);
        if let Verdict::NeedKeys(needed) = &verdict {
            self.remote.refresh(&needed.issuer).await;
            verdict = self.ask(token);
        }
        verdict.settled().map(|_| ()).map_err(|denied| denied.code())
    }
}

fn at_keys(net: &Arc<Net>, clock: &Arc<Virtual>) -> RemoteKeys {
    RemoteKeys::at(FAR, [KEYS.to_owned()], net.clone(), clock.clone())
}

#[tokio::test(start_paused = true)]
async fn r_auth_5_a_thousand_requests_without_keys_share_one_fetch() {
    let (net, clock, issuer) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put(KEYS, issuer.jwks(NOW));
    let gate = Arc::new(Gate::new(at_keys(&net, &clock), clock));
    let token: Arc<str> = token(&issuer, NOW).into();
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (gate, token) = (Arc::clone(&gate), Arc::clone(&token));
            tokio::spawn(async move { gate.admit(&token).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    assert_eq!(net.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn r_auth_5_a_request_that_goes_away_does_not_end_the_fetch() {
    let (net, clock, issuer) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put(KEYS, issuer.jwks(NOW));
    let gate = Gate::new(at_keys(&net, &clock), clock);
    let token = token(&issuer, NOW);
    let impatient = tokio::time::timeout(Duration::from_millis(1), gate.admit(&token)).await;
    assert!(impatient.is_err());
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!((gate.admit(&token).await, net.asked()), (Ok(()), 1));
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_a_day_without_the_issuer_and_back() {
    let (net, clock, issuer) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put(KEYS, issuer.jwks(NOW));
    let gate = Gate::new(at_keys(&net, &clock), clock.clone());
    tokio::spawn(gate.remote.clone().run());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let before = net.asked();
    assert!((7..=9).contains(&before), "every 7.5 minutes or a little earlier: {before}");
    net.remove(KEYS);
    for half_hour in 0..46 {
        tokio::time::sleep(Duration::from_secs(1800)).await;
        // Failures of every kind take turns; none of them replaces the good set.
        match half_hour % 4 {
            0 => net.put(KEYS, "{\"keys\":[]}"),
            1 => net.put(KEYS, "<html>maintenance</html>"),
            2 => net.put(KEYS, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"),
            _ => net.remove(KEYS),
        }
        assert_eq!(gate.admit(&token(&issuer, clock.wall())).await, Ok(()), "{half_hour}");
        let expired = token(&issuer, UnixSeconds(clock.wall().0 - 3700));
        assert_eq!(gate.admit(&expired).await, Err("expired"));
    }
    let status = gate.remote.status();
    assert!(status.failures > 1000 && status.last_error.is_some(), "{status:?}");
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(gate.admit(&token(&issuer, clock.wall())).await, Err("unavailable"), "25 hours are too long");
    net.put(KEYS, issuer.jwks(clock.wall()));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(gate.admit(&token(&issuer, clock.wall())).await, Ok(()));
    assert_eq!(gate.remote.status().last_error, None);
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_a_restart_in_an_outage_goes_on_with_the_last_good_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("login.json");
    let (net, clock, issuer) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put(KEYS, issuer.jwks(NOW));
    let gate = Gate::new(at_keys(&net, &clock).last_good(&file), clock);
    assert_eq!(gate.admit(&token(&issuer, NOW)).await, Ok(()));
    assert_eq!(gate.remote.status().last_error, None);
    net.remove(KEYS);

    for (hours, answer) in [(23, Ok(())), (25, Err("unavailable"))] {
        let clock = Virtual::starting(NOW + Duration::from_secs(hours * 3600));
        let gate = Gate::new(at_keys(&net, &clock).last_good(&file), clock.clone());
        tokio::spawn(gate.remote.clone().run());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(gate.admit(&token(&issuer, clock.wall())).await, answer, "{hours} hours old");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&issuer.schedule().next().unwrap().0), "public keys, nothing else");
    std::fs::write(&file, "garbage").unwrap();
    let clock = Virtual::starting(NOW);
    let gate = Gate::new(at_keys(&net, &clock).last_good(&file), clock);
    tokio::spawn(gate.remote.clone().run());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(gate.admit(&token(&issuer, NOW)).await, Err("unavailable"));
}

#[tokio::test(start_paused = true)]
async fn r_auth_5_discovery_must_name_the_issuer_that_was_asked() {
    let (net, issuer) = (Arc::new(Net::default()), issuer());
    let document = format!("{FAR}/.well-known/openid-configuration");
    net.put(KEYS, issuer.jwks(NOW));
    for (name, answer) in [
        (FAR, Ok(())),
        ("https://evil.example", Err("unavailable")),
        (&format!("{FAR}/"), Err("unavailable")),
    ] {
        net.put(&document, serde_json::json!({ "issuer": name, "jwks_uri": KEYS }).to_string());
        let clock = Virtual::starting(NOW);
        let gate = Gate::new(RemoteKeys::discover(FAR, net.clone(), clock.clone()), clock);
        assert_eq!(gate.admit(&token(&issuer, NOW)).await, answer, "{name}");
    }
    // Once it was found, the key set is refreshed even if the discovery document cannot be had.
    net.put(&document, serde_json::json!({ "issuer": FAR, "jwks_uri": KEYS }).to_string());
    let clock = Virtual::starting(NOW);
    let gate = Gate::new(RemoteKeys::discover(FAR, net.clone(), clock.clone()), clock);
    tokio::spawn(gate.remote.clone().run());
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.remove(&document);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((gate.remote.status().failures, gate.remote.status().fetches > 5), (0, true));
}

#[tokio::test(start_paused = true)]
async fn r_auth_4_a_mirror_answers_for_the_first_url() {
    let (net, clock, issuer) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put("https://mirror.example/jwks", issuer.jwks(NOW));
    let urls = [KEYS.to_owned(), "https://mirror.example/jwks".to_owned()];
    let gate = Gate::new(RemoteKeys::at(FAR, urls, net.clone(), clock.clone()), clock);
    assert_eq!((gate.admit(&token(&issuer, NOW)).await, net.asked()), (Ok(()), 2));
}

#[tokio::test(start_paused = true)]
async fn r_auth_5_unknown_keys_never_wait_longer_than_a_second_nor_ask_twice_a_window() {
    let (net, clock, known) = (Arc::new(Net::default()), Virtual::starting(NOW), issuer());
    net.put(KEYS, known.jwks(NOW));
    let rules = Freshness { unknown_key_window: Duration::from_secs(60), ..Freshness::default() };
    let gate = Gate::new(at_keys(&net, &clock).freshness(rules), clock.clone());
    let strange = token(&issuer(), NOW);
    for _ in 0..1000 {
        let before = Instant::now();
        assert_eq!(gate.admit(&strange).await, Err("unknown_key_id"));
        assert!(before.elapsed() <= Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(180)).await;
    }
    assert_eq!(net.asked(), 3, "180 seconds");
    assert_eq!(gate.admit(&token(&known, NOW)).await, Ok(()));
}

// === real sockets ===

/// Answers every connection with the same bytes; gives its port.
async fn serve(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn any_roots() -> HttpsFetch {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    HttpsFetch::trusting(certificate.cert.pem().as_bytes()).unwrap()
}

#[tokio::test]
async fn r_auth_5_only_a_complete_answer_of_status_200_counts() {
    let fetch = any_roots();
    let get = async |answer: String| {
        let port = serve(answer).await;
        fetch.get(&format!("http://127.0.0.1:{port}/keys")).await
    };
    let good = get(answer("200 OK", "cache-control: max-age=300\r\n", "{}")).await.unwrap();
    assert_eq!(good, Fetched { body: "{}".into(), max_age: Some(Duration::from_secs(300)) });
    let redirect = get(answer("302 Found", "location: https://evil.example/\r\n", "")).await;
    assert!(matches!(redirect, Err(FetchError::Status(302))));
    assert!(matches!(get(answer("503 Unavailable", "", "{}")).await, Err(FetchError::Status(503))));
    let long = "x".repeat(1024 * 1024 + 1);
    assert!(matches!(get(answer("200 OK", "", &long)).await, Err(FetchError::Body)));
    let short = get("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".into()).await;
    assert!(matches!(short, Err(FetchError::Body)));
    assert!(matches!(get("no http at all\r\n\r\n".into()).await, Err(FetchError::Unreachable(_))));
    assert!(matches!(fetch.get("http://192.0.2.1/").await, Err(FetchError::Url(_))));
    assert!(HttpsFetch::trusting(b"no certificate").is_err());
}

#[tokio::test]
async fn r_auth_5_https_trusts_the_bundle_and_the_name_and_nobody_else() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer("200 OK", "", "{}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let trusting = HttpsFetch::trusting(certified.cert.pem().as_bytes()).unwrap();
    assert_eq!(trusting.get(&format!("https://localhost:{port}/")).await.unwrap().body, "{}");
    let wrong_name = trusting.get(&format!("https://127.0.0.1:{port}/")).await;
    assert!(matches!(wrong_name, Err(FetchError::Unreachable(_))));
    let stranger = any_roots().get(&format!("https://localhost:{port}/")).await;
    assert!(matches!(stranger, Err(FetchError::Unreachable(_))));
}

#[test]
fn r_auth_4_a_key_file_is_read_anew_when_it_changes_and_a_bad_one_keeps_the_old_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signing.pem");
    let mut file = KeyFile::new(&path);
    assert!(file.poll().is_err(), "not there yet");
    let pems = [SigningKeyKind::Ed25519, SigningKeyKind::P256]
        .map(|kind| SigningKey::generate(kind).unwrap().to_pem());
    std::fs::write(&path, pems[0].expose()).unwrap();
    let mut issuer = Issuer::new(FAR, file.poll().unwrap().unwrap());
    assert!(file.poll().unwrap().is_none(), "no news");
    std::fs::write(&path, &pems[1].expose()[..60]).unwrap();
    assert!(file.poll().is_err() && file.poll().is_err(), "reported until it is good");
    std::fs::write(&path, pems[1].expose()).unwrap();
    assert!(issuer.adopt(file.poll().unwrap().unwrap(), NOW));
    assert_eq!(issuer.schedule().count(), 2);
}
