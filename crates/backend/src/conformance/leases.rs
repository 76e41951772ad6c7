use std::time::Duration;

use super::{accepted, assert_refused};
use crate::{ErrorKind, Leases};

/// A time to live that whole-second clocks can tell.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Checks the promises of [`Leases`]; takes about two seconds of tokio's clock.
pub async fn leases(leases: &dyn Leases) {
    let name = "conformance";
    let first = accepted(leases.acquire(name, "a", LONG).await, "acquiring");
    let first = first.expect("a lease that nobody holds is given");
    assert_eq!(
        (first.name.as_str(), first.holder.as_str()),
        (name, "a"),
        "a lease says what it is and whose"
    );

    assert_eq!(
        accepted(leases.acquire(name, "b", LONG).await, "asking"),
        None,
        "a held lease is not given twice"
    );
    let other = accepted(leases.acquire("conformance-other", "b", LONG).await, "acquiring another");
    accepted(leases.release(other.expect("names are apart")).await, "releasing");
    let again = accepted(leases.acquire(name, "a", LONG).await, "acquiring what one holds");
    assert_eq!(again.as_ref(), Some(&first), "the holder gets its own lease again, with its fence");
    accepted(leases.renew(&first, LONG).await, "renewing");

    accepted(leases.release(first.clone()).await, "releasing");
    accepted(leases.release(first.clone()).await, "releasing what is no longer held");
    assert_refused(leases.renew(&first, LONG).await, ErrorKind::Conflict, "renewing what was released");

    let second = accepted(leases.acquire(name, "b", LONG).await, "acquiring what was released");
    let second = second.expect("a released lease is free");
    assert!(second.fence > first.fence, "the fence grows when the lease changes hands");
    assert_refused(leases.renew(&first, LONG).await, ErrorKind::Conflict, "renewing somebody else's lease");
    accepted(leases.release(first).await, "releasing somebody else's lease is no error");
    assert_eq!(
        accepted(leases.acquire(name, "a", LONG).await, "asking"),
        None,
        "and takes nothing from its holder"
    );

    accepted(leases.renew(&second, SHORT).await, "renewing for a shorter time");
    tokio::time::sleep(SHORT * 2).await;
    assert_refused(leases.renew(&second, LONG).await, ErrorKind::Conflict, "renewing what has run out");
    let third = accepted(leases.acquire(name, "b", LONG).await, "acquiring what has run out");
    let third = third.expect("a lease that has run out is free");
    assert!(third.fence > second.fence, "the fence grows even when the same holder takes it again");
    accepted(leases.release(third).await, "releasing");
    assert_refused(leases.acquire("", "a", LONG).await, ErrorKind::Invalid, "a lease without a name");
}
