//! What a client is told when it gets no answer from a replica: statuses, texts and headers by profile.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use portway_auth::Denied;
use portway_deploy_config::Profile;
use portway_router::{Cause, RetryAfter};

use crate::answer::AnswerBody;
use crate::limits::table;

/// The request's GUID, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
/// Asks for a version in a request; names the version that answered in a response.
pub const DEPLOYMENT: HeaderName = HeaderName::from_static("azureml-model-deployment");

/// Why the gateway answers by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The path is none of a service.
    NoRoute,
    /// A method that cannot be forwarded.
    Method,
    /// The head of the request is contradictory.
    Malformed,
    /// The catalog has not been read yet.
    Starting,
    /// No such service, where that may be said.
    UnknownService,
    /// The credential.
    Denied(Denied),
    /// A version was asked for by name, and the caller may not choose.
    NotPinnable,
    /// A version was asked for by name, and there is none of that name.
    UnknownVersion,
    /// The body is larger than allowed.
    TooLarge { limit: u64 },
    /// The client stopped sending its body.
    Stalled,
    /// No slot in a replica, or no replica.
    NotAdmitted(portway_router::Refusal),
    /// The replica broke off before it answered.
    ReplicaFailed,
    /// The replica did not answer in time.
    TimedOut { limit: Duration },
}

impl Refusal {
    pub(crate) fn status(self, profile: Profile) -> StatusCode {
        match self {
            Self::NoRoute | Self::UnknownService | Self::UnknownVersion => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            // The v1 client waits half a minute after a 429.
            Self::Denied(Denied::Throttled { .. }) if profile == Profile::Documented => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Denied(denied) => known(denied.status()),
            Self::NotPinnable => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAdmitted(refusal) => known(table(profile).answer(refusal.cause).status),
            Self::ReplicaFailed => StatusCode::BAD_GATEWAY,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A short stable word for logs and metric labels.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::Malformed => "malformed",
            Self::Starting => "starting",
            Self::UnknownService => "unknown_service",
            Self::Denied(denied) => denied.code(),
            Self::NotPinnable | Self::UnknownVersion => "pin",
            Self::TooLarge { .. } => "too_large",
            Self::Stalled => "stalled",
            Self::NotAdmitted(refusal) => match refusal.cause {
                Cause::QueueFull => "full",
                Cause::QueueWait => "waited",
                Cause::RoomFull | Cause::RoomWait => "no_replica",
            },
            Self::ReplicaFailed => "replica_failed",
            Self::TimedOut { .. } => "timed_out",
        }
    }

    fn text(self, service: &str) -> String {
        match self {
            Self::NoRoute => "no such path; services are under /api/v1/service/<name>/score\n".into(),
            Self::Method => "this method cannot be forwarded\n".into(),
            Self::Malformed => "the request is malformed\n".into(),
            Self::Starting => "the gateway is starting\n".into(),
            Self::UnknownService => format!("service {service} does not exist\n"),
            Self::Denied(denied) => denied.body().into(),
            Self::NotPinnable => format!("this credential cannot choose a version of service {service}\n"),
            Self::UnknownVersion => format!("service {service} has no such version\n"),
            Self::TooLarge { limit } => format!("the request body is larger than {limit} bytes\n"),
            Self::Stalled => "the request body did not arrive in time\n".into(),
            Self::NotAdmitted(refusal) => match refusal.cause {
                Cause::QueueFull | Cause::QueueWait => {
                    format!("service {service} is overloaded: all replicas are busy\n")
                }
                Cause::RoomFull | Cause::RoomWait => format!("service {service} has no ready replicas\n"),
            },
            Self::ReplicaFailed => format!("a replica of service {service} closed the connection early\n"),
            Self::TimedOut { limit } => {
                format!("service {service} did not answer within {} ms\n", limit.as_millis())
            }
        }
    }

    /// Seconds to wait before the request is repeated, where the profile says so.
    fn retry_after(self, profile: Profile) -> Option<u64> {
        match self {
            Self::Starting => Some(1),
            Self::Denied(denied) if profile == Profile::Recommended => {
                denied.retry_after().map(|wait| RetryAfter(wait).seconds())
            }
            Self::NotAdmitted(refusal) if table(profile).answer(refusal.cause).retry_after => {
                Some(refusal.retry_after.seconds())
            }
            _ => None,
        }
    }

    /// The answer to a request for `service`.
    pub(crate) fn answer(self, profile: Profile, service: &str, method: &Method) -> Response<AnswerBody> {
        let text = self.text(service);
        let length = text.len();
        let body = if method == Method::HEAD { AnswerBody::empty() } else { AnswerBody::text(text) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status(profile);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NOT_CACHED));
        headers.insert(header::SERVER, HeaderValue::from_static("portway"));
        if let Some(seconds) = self.retry_after(profile) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let (Self::Denied(denied), Profile::Recommended) = (self, profile)
            && let Some(challenge) = denied.challenge()
        {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// What the original sent with its answers.
const NOT_CACHED: &str = "max-age=0, private, must-revalidate";

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(2_300);

    fn not_admitted(cause: Cause) -> Refusal {
        Refusal::NotAdmitted(portway_router::Refusal { cause, retry_after: RetryAfter(WAIT) })
    }

    fn answered(refusal: Refusal, profile: Profile) -> (u16, Option<String>) {
        let response = refusal.answer(profile, "iris", &Method::POST);
        let wait = response.headers().get(header::RETRY_AFTER);
        (response.status().as_u16(), wait.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn r_rtr_2_refusals_follow_the_table_of_profiles() {
        let full = not_admitted(Cause::QueueFull);
        let waited = not_admitted(Cause::QueueWait);
        let none = not_admitted(Cause::RoomWait);
        let late = Refusal::TimedOut { limit: WAIT };
        let large = Refusal::TooLarge { limit: 1 };
        for (refusal, recommended, documented) in [
            (full, (429, Some("3".to_owned())), (503, None)),
            (waited, (503, Some("3".to_owned())), (503, None)),
            (none, (503, Some("3".to_owned())), (503, None)),
            (late, (504, None), (504, None)),
            (large, (413, None), (413, None)),
            (Refusal::ReplicaFailed, (502, None), (502, None)),
            (Refusal::Denied(Denied::UnknownKey), (401, None), (401, None)),
            (Refusal::UnknownService, (404, None), (404, None)),
        ] {
            assert_eq!(answered(refusal, Profile::Recommended), recommended, "{refusal:?}");
            assert_eq!(answered(refusal, Profile::Documented), documented, "{refusal:?}");
        }
    }

    #[test]
    fn r_rtr_2_texts_name_the_service_and_say_what_is_wrong() {
        let full = not_admitted(Cause::QueueFull);
        assert!(full.text("iris").contains("iris") && full.text("iris").contains("overloaded"));
        let none = not_admitted(Cause::RoomFull);
        assert!(none.text("iris").contains("iris") && none.text("iris").contains("no ready replicas"));
        assert!(Refusal::ReplicaFailed.text("iris").contains("closed the connection early"));
    }

    #[test]
    fn r_rtr_2_the_documented_profile_sends_no_challenge() {
        let denied = Refusal::Denied(Denied::UnknownKey);
        let has = |profile| {
            denied.answer(profile, "iris", &Method::POST).headers().contains_key("www-authenticate")
        };
        assert!(has(Profile::Recommended));
        assert!(!has(Profile::Documented));
    }
}
