//! One attempt to have a replica answer a request, and what follows when it does not.

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use portway_deploy_config::Profile;
use portway_router::{Body, Outcome, Progress, Repeat, may_replay};
use tokio::time::Instant;

use crate::answer::{AnswerBody, Passage, Streamed};
use crate::choice::Choice;
use crate::headers;
use crate::lane::{Permit, Seat};
use crate::limits::RequestLimits;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::service::passed_on;
use crate::tunnel;
use crate::upload::{Broken, Cursor, Upload};
use crate::upstream::{Carrier, Failed, SendError};

/// The head of a request on its way to a replica.
pub(crate) struct Outbound {
    repeat: Repeat,
    head: Option<Request<()>>,
    upgrade: Option<OnUpgrade>,
}

impl Outbound {
    pub(crate) fn new(head: Request<()>, repeat: Repeat, upgrade: Option<OnUpgrade>) -> Self {
        Self { repeat, head: Some(head), upgrade }
    }

    /// The fields as the replica gets them; none once the head was given away.
    pub(crate) fn headers(&self) -> &HeaderMap {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        self.head.as_ref().map_or(&NONE, |head| head.headers())
    }

    /// The request for the next attempt; `None` once it was given away and may not be repeated.
    fn request(&mut self, upload: &Arc<Upload>) -> Option<Request<Cursor>> {
        let head = if self.repeat == Repeat::Idempotent { self.head.clone() } else { self.head.take() };
        head.map(|head| head.map(|()| upload.cursor()))
    }
}

/// The head of an answer, with all that the rest of it needs.
pub(crate) struct Reply {
    response: Response<Incoming>,
    passage: Passage,
    limits: RequestLimits,
    total: Option<Instant>,
    upgrade: Option<OnUpgrade>,
    profile: Profile,
}

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is no fault of the replica's, or there is no time for another.
    Final(Refusal),
    /// This replica failed it.
    Failed(Progress, Seat),
}

/// Sends a request to the replica that `permit` is for.
pub(crate) async fn attempt(
    mut permit: Permit,
    outbound: &mut Outbound,
    upload: &Arc<Upload>,
    choice: &Choice,
) -> Result<Reply, Failure> {
    let Some(request) = outbound.request(upload) else {
        return Err(Failure::Failed(Progress::Read, permit.seat().clone()));
    };
    let limits = choice.limits;
    let started = Instant::now();
    let total = limits.total.map(|total| started + total);
    let sent = {
        let mut sending = pin!(permit.seat().0.send(request, started));
        tokio::select! {
            biased;
            sent = &mut sending => Ok(sent),
            late = deadline(limits, started, upload) => Err(late),
        }
    };
    match sent {
        Ok(Ok((response, carrier))) => {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS && outbound.upgrade.is_none() {
                permit.set_outcome(Outcome::Failure);
                return Err(Failure::Final(Refusal::ReplicaFailed));
            }
            let upgrade = outbound.upgrade.take();
            Ok(reply(response, carrier, permit, upload, choice, total, upgrade))
        }
        // Rare and large: boxed, so that every other request need not carry room for it.
        Ok(Err(failed)) => Err(Box::pin(failure(*failed, permit, outbound, upload, limits.body)).await),
        Err(refusal) => {
            if matches!(refusal, Refusal::TimedOut { .. }) {
                permit.set_outcome(Outcome::Failure);
            }
            Err(Failure::Final(refusal))
        }
    }
}

fn reply(
    response: Response<Incoming>,
    carrier: Carrier,
    permit: Permit,
    upload: &Arc<Upload>,
    choice: &Choice,
    total: Option<Instant>,
    upgrade: Option<OnUpgrade>,
) -> Reply {
    let passage = Passage { permit, carrier: Some(carrier), upload: Arc::clone(upload) };
    let (limits, profile) = (choice.limits, choice.profile);
    Reply { response, passage, limits, total, upgrade, profile }
}

/// Waits until the request has taken too long.
///
/// The time to the first byte counts from the last piece of the request's body, since a replica cannot answer what has
/// not arrived; the total counts from the start.
async fn deadline(limits: RequestLimits, started: Instant, upload: &Upload) -> Refusal {
    let total = limits.total.map(|total| (started + total, total));
    loop {
        let first = upload.progress().max(started) + limits.first_byte;
        let (due, limit) = match total {
            Some((due, limit)) if due <= first => (due, limit),
            _ => (first, limits.first_byte),
        };
        tokio::time::sleep_until(due).await;
        let moved = upload.progress().max(started) + limits.first_byte;
        let over = total.is_some_and(|(due, _)| Instant::now() >= due);
        if over || Instant::now() >= moved {
            return if upload.ended() { Refusal::TimedOut { limit } } else { Refusal::Stalled };
        }
    }
}

/// Sorts a failure, and looks after the replica where it is at fault.
async fn failure(
    failed: Failed,
    mut permit: Permit,
    outbound: &mut Outbound,
    upload: &Upload,
    limit: u64,
) -> Failure {
    match upload.broken() {
        Some(Broken::TooLarge) => return Failure::Final(Refusal::TooLarge { limit }),
        Some(Broken::Client) => return Failure::Final(Refusal::Malformed),
        None => {}
    }
    let (lane, seat) = (Arc::clone(permit.lane()), permit.seat().clone());
    tracing::debug!(replica = %seat.0.replica, address = %seat.0.address, "{}", failed.error);
    permit.set_outcome(Outcome::Unreachable);
    let reachable = match failed.error {
        SendError::Connect(_) => false,
        SendError::Unsent(_) | SendError::Lost(_) => seat.0.probe().await,
    };
    // Out of the pool before the slot comes back, so that nobody who waits is sent to a replica that is gone.
    if !reachable {
        lane.suspend(&seat);
    }
    drop(permit);
    match failed.unread {
        Some(request) => {
            outbound.head = Some(request.map(|_| ()));
            Failure::Failed(Progress::Unread, seat)
        }
        None => Failure::Failed(Progress::Read, seat),
    }
}

/// The replica that a request failed at, if it goes to another; otherwise what its client is told.
pub(crate) fn may_repeat(
    failure: Failure,
    repeat: Repeat,
    choice: &Choice,
    upload: &Upload,
    attempts: usize,
) -> Result<Seat, Refusal> {
    let (progress, seat) = match failure {
        Failure::Final(refusal) => return Err(refusal),
        Failure::Failed(progress, seat) => (progress, seat),
    };
    let body = if upload.is_replayable() { Body::Whole } else { Body::Spent };
    let again =
        may_replay(progress, repeat, body) && attempts < MOST_REPLAYS && choice.lane.withdraw_replay();
    if again { Ok(seat) } else { Err(Refusal::ReplicaFailed) }
}

/// Replays of one request.
const MOST_REPLAYS: usize = 3;

impl Reply {
    /// The answer for the client; `record` goes along to its end.
    pub(crate) fn into_response(self, mut record: Record) -> Response<AnswerBody> {
        let Self { mut response, mut passage, limits, total, upgrade, profile } = self;
        let status = passed_on(response.status(), profile);
        record.head(status.as_u16());
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(upgrade)) = (status, upgrade) {
            let replica = hyper::upgrade::on(&mut response);
            let (mut parts, _) = response.into_parts();
            headers::strip_hop_by_hop(&mut parts.headers);
            headers::set_websocket(&mut parts.headers);
            tunnel::spawn(upgrade, replica, passage, record);
            return Response::from_parts(parts, AnswerBody::empty());
        }
        let (mut parts, incoming) = response.into_parts();
        parts.status = status;
        headers::strip_hop_by_hop(&mut parts.headers);
        if record.method != Method::HEAD {
            // The sending side frames the body that there is.
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        passage.permit.set_outcome(Outcome::Neutral);
        let mut streamed = Streamed::new(incoming, passage, record);
        (streamed.idle, streamed.total) = (limits.idle, total);
        Response::from_parts(parts, AnswerBody::streamed(streamed))
    }
}

/// The longest that anything here waits for a replica to accept a connection.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
