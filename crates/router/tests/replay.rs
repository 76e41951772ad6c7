//! What may be sent twice, and how often; and what the profiles say.

use portway_router::{Answer, Body, Cause, Profile, Progress, Repeat, RetryBudget, TimeoutSpan, may_replay};

#[test]
fn r_rtr_9_only_what_is_unread_or_idempotent_is_replayed() {
    use Progress::{Answering, Read, Unread};
    use Repeat::{Idempotent, Unknown};
    for (progress, repeat, body, expected) in [
        (Unread, Unknown, Body::Whole, true),
        (Unread, Idempotent, Body::Whole, true),
        (Unread, Idempotent, Body::Spent, false),
        (Read, Unknown, Body::Whole, false),
        (Read, Idempotent, Body::Whole, true),
        (Read, Idempotent, Body::Spent, false),
        (Answering, Unknown, Body::Whole, false),
        (Answering, Idempotent, Body::Whole, false),
    ] {
        assert_eq!(may_replay(progress, repeat, body), expected, "{progress:?} {repeat:?} {body:?}");
    }
}

#[test]
fn r_rtr_9_idempotent_by_method_or_by_declaration() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(Repeat::of(method, false), Repeat::Idempotent);
    }
    for method in ["POST", "PATCH", "CONNECT", "get", ""] {
        assert_eq!(Repeat::of(method, false), Repeat::Unknown, "{method}");
        assert_eq!(Repeat::of(method, true), Repeat::Idempotent, "{method}");
    }
}

#[test]
fn r_rtr_9_retries_have_a_budget() {
    let mut budget = RetryBudget::new(20, 10);
    let mut replays = 0;
    // Every request fails and would be replayed for ever.
    for _ in 0..1_000 {
        budget.deposit();
        while budget.withdraw() {
            replays += 1;
        }
    }
    assert_eq!(replays, 10 + 1_000 / 5 - 1, "the reserve (what came on top of it was lost) and a fifth");

    let mut idle = RetryBudget::new(20, 10);
    (0..1_000).for_each(|_| idle.deposit());
    assert_eq!(
        std::iter::from_fn(|| idle.withdraw().then_some(())).count(),
        10,
        "no more than the reserve is saved"
    );
    let mut none = RetryBudget::new(20, 0);
    none.deposit();
    assert!(!none.withdraw());
}

#[test]
fn r_rtr_2_profiles_answer_as_the_table_says() {
    let causes = [Cause::QueueFull, Cause::QueueWait, Cause::RoomFull, Cause::RoomWait];
    let status = |profile: Profile| causes.map(|cause| profile.answer(cause).status);
    assert_eq!(status(Profile::Documented), [503; 4], "never 429");
    assert_eq!(status(Profile::Recommended), [429, 503, 503, 503]);
    assert!(causes.iter().all(|cause| Profile::Recommended.answer(*cause).retry_after));
    assert_eq!(Profile::Documented.answer(Cause::QueueFull), Answer { status: 503, retry_after: false });
    assert_eq!(Profile::default(), Profile::Recommended);
    assert_eq!((Profile::Documented.unknown_service(), Profile::Recommended.unknown_service()), (404, 401));
    assert_eq!(Profile::Documented.timeout_span(), TimeoutSpan::Exchange);
    assert_eq!(Profile::Recommended.timeout_span(), TimeoutSpan::FirstByte);
}
