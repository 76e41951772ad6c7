//! One request: route, authenticate, split, admit, forward, answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use portway_auth::{Attempt, Bearer, Denied, Principal};
use portway_deploy_config::Profile;
use portway_router::{Repeat, Route, Target};

use crate::answer::AnswerBody;
use crate::chance::is_guid;
use crate::choice::{Choice, Chosen, Endpoint, Live};
use crate::forward::{self, Outbound, Reply};
use crate::forwarded::{self, Arrival};
use crate::headers;
use crate::inner::Inner;
use crate::lane::{NotAdmitted, Permit, Seat};
use crate::limits::table;
use crate::record::Record;
use crate::refusal::{DEPLOYMENT, REQUEST_ID, Refusal};
use crate::upload::{Source, Upload};

/// The other end of a connection.
///
/// Whoever embeds the gateway in a server of their own puts it into the extensions of each request; without it, a
/// request has no client address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peer {
    /// Its address; `None` for a pipe.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

impl Peer {
    /// A client that connected over plain TCP.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { address: Some(address), secure: false }
    }
}

/// An answer in the making.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

/// Answers a request, whatever happens.
///
/// Boxed here, around a block that works on what it has caught: wrapping and moving a future copies all of its states.
pub(crate) fn respond(inner: Arc<Inner>, request: Request<Source>, peer: Peer) -> Answering {
    let (mut parts, source) = request.into_parts();
    let client = peer.address.map(|address| address.ip());
    let client = forwarded::client_address(&parts.headers, client, inner.settings.trust);
    let id = match parts.headers.get(REQUEST_ID) {
        Some(id) if is_guid(id.as_bytes()) => id.clone(),
        _ => inner.commons.chance.guid(),
    };
    let mut record = Record::new(inner, parts.method.clone(), id, client);
    Box::pin(async move {
        let id = record.id.clone();
        let mut profile = record.inner.settings.profile;
        let answered = exchange(&mut parts, source, peer, &mut record, &mut profile).await;
        let version = record.choice.as_ref().map(|choice| choice.lane.name.clone());
        let mut response = match answered {
            Ok(reply) => reply.into_response(record),
            Err(refusal) => {
                record.refuse(refusal.status(profile).as_u16(), refusal.code());
                let service = Route::parse(parts.uri.path()).map_or("", |route| route.service);
                refusal.answer(profile, service, &parts.method)
            }
        };
        if let Some(version) = version {
            response.headers_mut().insert(DEPLOYMENT, version);
        }
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    })
}

/// `profile` is that in whose words a refusal speaks.
async fn exchange(
    parts: &mut Parts,
    source: Source,
    peer: Peer,
    record: &mut Record,
    profile: &mut Profile,
) -> Result<Reply, Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    let route = Route::parse(parts.uri.path()).ok_or(Refusal::NoRoute)?;
    if !record.inner.is_synced() {
        return Err(Refusal::Starting);
    }
    let (endpoint, live, caller) = authenticate(&parts.headers, &route, record, profile)?;
    let mut choice = choose(&endpoint, live, &route, &parts.headers, &caller).await?;
    choice.lane.stats.arrived();
    record.choice = Some(Arc::clone(&choice));
    let limit = choice.limits.body;
    if source.size_hint().lower() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    let repeat = Repeat::of(parts.method.as_str(), choice.idempotent);
    let keep = if repeat == Repeat::Idempotent { record.inner.settings.replay_bytes } else { 0 };
    let upload = Upload::new(source, limit, keep, record.inner.commons.clock.at(record.arrived));
    record.upload = Some(Arc::clone(&upload));
    let websocket = headers::wants_websocket(&parts.method, parts.version, &parts.headers);
    let upgrade = if websocket { parts.extensions.remove::<OnUpgrade>() } else { None };
    let mut head = Request::new(());
    *head.method_mut() = parts.method.clone();
    *head.uri_mut() = replica_uri(&route, parts.uri.query());
    *head.headers_mut() = std::mem::take(&mut parts.headers);
    set_headers(head.headers_mut(), parts.uri.authority(), upgrade.is_some(), peer, record);
    let mut outbound = Outbound::new(head, repeat, upgrade);
    let mut failed: Option<Seat> = None;
    let mut tried: Vec<Seat> = Vec::new();
    loop {
        let Some(permit) = admit(&choice, failed.take().as_ref()).await? else {
            if !still_routes(&record.inner, route.service, &endpoint) {
                return Err(Refusal::UnknownService);
            }
            choice =
                choose(&endpoint, endpoint.live.load_full(), &route, outbound.headers(), &caller).await?;
            record.choice = Some(Arc::clone(&choice));
            continue;
        };
        record.admitted = Some(permit.since());
        if tried.contains(permit.seat()) {
            return Err(Refusal::ReplicaFailed);
        }
        let failure = match forward::attempt(permit, &mut outbound, &upload, &choice).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let seat = forward::may_repeat(failure, repeat, &choice, &upload, tried.len())?;
        record.replays += 1;
        tried.push(seat.clone());
        failed = Some(seat);
    }
}

/// A whole endpoint may have gone with its versions, and another of its name may have come, with other keys.
fn still_routes(inner: &Inner, service: &str, endpoint: &Arc<Endpoint>) -> bool {
    inner.routes.load().get(service).is_some_and(|now| Arc::ptr_eq(now, endpoint))
}

/// `None` when the version has gone meanwhile.
async fn admit(choice: &Choice, failed: Option<&Seat>) -> Result<Option<Permit>, Refusal> {
    let admitted = match failed {
        None => choice.lane.admit().await,
        Some(failed) => choice.lane.admit_again(failed).await,
    };
    match admitted {
        Ok(permit) => Ok(Some(permit)),
        Err(NotAdmitted::Gone) => Ok(None),
        Err(NotAdmitted::Refused(refusal)) => Err(Refusal::NotAdmitted(refusal)),
    }
}

/// The endpoint that a caller may use. For one that does not exist the same work is done and the same answer given as
/// for a wrong key, unless the gateway's own profile is the documented one, which says 404.
fn authenticate(
    headers: &HeaderMap,
    route: &Route<'_>,
    record: &mut Record,
    profile: &mut Profile,
) -> Result<(Arc<Endpoint>, Arc<Live>, Principal), Refusal> {
    let inner = &record.inner;
    let values = headers.get_all(header::AUTHORIZATION);
    let attempt = Attempt {
        bearer: Bearer::parse(values.iter().map(HeaderValue::as_bytes)),
        audience: route.service,
        client: record.client,
        now: record.arrived,
        wall: inner.commons.clock.wall(),
    };
    let found = inner.routes.load().get(route.service).cloned();
    let live = found.as_ref().map(|endpoint| endpoint.live.load_full());
    let verdict = inner.guarded(&attempt, || match (&found, &live) {
        (Some(endpoint), Some(live)) => endpoint.authenticate(live, &inner.tokens, &attempt),
        _ => inner.tokens.authenticate(&attempt),
    });
    // Where an unknown service is told from a wrong key anyway, an endpoint's own profile may speak.
    let may_tell = table(inner.settings.profile).unknown_service() == 404;
    match (found.zip(live), verdict.settled()) {
        (Some((endpoint, live)), Ok(caller)) => {
            record.service = Some(Arc::clone(&endpoint.name));
            *profile = live.spec.profile;
            Ok((endpoint, live, caller))
        }
        (Some((endpoint, live)), Err(denied)) => {
            record.service = Some(Arc::clone(&endpoint.name));
            if may_tell {
                *profile = live.spec.profile;
            }
            Err(Refusal::Denied(denied))
        }
        (None, _) if may_tell => Err(Refusal::UnknownService),
        (None, verdict) => Err(Refusal::Denied(verdict.err().unwrap_or(Denied::UnknownKey))),
    }
}

async fn choose(
    endpoint: &Endpoint,
    mut live: Arc<Live>,
    route: &Route<'_>,
    headers: &HeaderMap,
    caller: &Principal,
) -> Result<Arc<Choice>, Refusal> {
    loop {
        let chosen = match route.target {
            Target::Score => live.choose(headers, caller)?,
            Target::Swagger => live.default_choice(),
        };
        match chosen {
            Chosen::Version(choice) => return Ok(choice),
            // The next schedule is being computed, which takes a fraction of a millisecond.
            Chosen::Changing => tokio::task::yield_now().await,
        }
        live = endpoint.live.load_full();
    }
}

/// The header fields as the replica gets them, but for its own `Host`, which is set where the replica is known.
fn set_headers(
    sent: &mut HeaderMap,
    authority: Option<&Authority>,
    websocket: bool,
    peer: Peer,
    record: &Record,
) {
    let inner = &record.inner;
    let host = sent.get(header::HOST).cloned();
    let host = host.or_else(|| HeaderValue::try_from(authority?.host()).ok());
    headers::strip_request(sent, websocket, inner.settings.keep_authorization);
    let address = peer.address.map(|address| address.ip());
    let arrival = Arrival { peer: address, secure: peer.secure, host: host.as_ref() };
    forwarded::set_forwarded(sent, arrival, inner.settings.trust);
    let chance = &inner.commons.chance;
    forwarded::set_trace(sent, || (chance.wide(), chance.bits()));
    sent.insert(REQUEST_ID, record.id.clone());
}

/// The path on the replica, with the query that came along.
fn replica_uri(route: &Route<'_>, query: Option<&str>) -> Uri {
    // Parsed once: almost every request has it.
    static SCORE: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/score"));
    let path = route.replica_path();
    match (route.target, query) {
        (Target::Score, None) => SCORE.clone(),
        (Target::Swagger, None) => Uri::from_static(path),
        (_, Some(query)) => format!("{path}?{query}").parse().unwrap_or_else(|_| Uri::from_static(path)),
    }
}

/// Statuses that a replica's answer is given under.
pub(crate) fn passed_on(status: StatusCode, profile: Profile) -> StatusCode {
    match profile {
        // Where a script's own failure answered 500, the original's router said 502.
        Profile::Documented if status == StatusCode::INTERNAL_SERVER_ERROR => StatusCode::BAD_GATEWAY,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};
    use portway_backend::memory::{MemoryBackend, MemoryCatalog};

    use super::*;
    use crate::Gateway;

    #[tokio::test]
    async fn a_request_in_flight_stays_small() {
        let fleet = Arc::new(MemoryBackend::unreachable());
        let gateway = Gateway::builder(Arc::new(MemoryCatalog::new()), fleet).build();
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let answering = respond(gateway.inner, Request::new(Source::Boxed(body)), Peer::default());
        let size = size_of_val(&*answering);
        // Twice this is the first sign of a future that holds another one twice.
        assert!(size <= 4_096, "{size} bytes");
    }
}
