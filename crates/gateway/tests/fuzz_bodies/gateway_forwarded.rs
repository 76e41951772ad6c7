//! Whatever a client claims in its forwarding and trace fields: what a replica reads is well-formed, and the gateway's.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use portway_gateway::forwarded::{
    Arrival, ForwardedTrust, TRACEPARENT, TRACESTATE, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO,
    client_address, is_traceparent, set_forwarded, set_trace,
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Lines: `X-Forwarded-For`, `Forwarded`, `Host`, `traceparent`.
pub(crate) fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n').map(|line| HeaderValue::from_bytes(line).ok());
    let mut headers = HeaderMap::new();
    let mut host = None;
    for name in ["x-forwarded-for", "forwarded", "host", "traceparent", "tracestate", "traceparent"] {
        let Some(value) = lines.next().flatten() else { continue };
        match name {
            "host" => host = Some(value),
            _ => drop(headers.append(name, value)),
        }
    }
    let arrival = Arrival { peer: Some(PEER), secure: true, host: host.as_ref() };
    assert_eq!(client_address(&headers, Some(PEER), ForwardedTrust::Peer), Some(PEER));
    assert!(client_address(&headers, Some(PEER), ForwardedTrust::Proxy).is_some());

    let mut plain = headers.clone();
    set_forwarded(&mut plain, arrival, ForwardedTrust::Peer);
    assert!(plain.get_all(X_FORWARDED_FOR).iter().eq(["192.0.2.1"]));
    assert!(plain.get_all(X_FORWARDED_PROTO).iter().eq(["https"]));
    assert!(plain.get_all(X_FORWARDED_HOST).iter().eq(host.iter()));
    let forwarded = plain.get_all("forwarded").iter().collect::<Vec<_>>();
    assert_eq!(forwarded.len(), 1);
    assert!(forwarded[0].as_bytes().starts_with(b"for=192.0.2.1;proto=https"));
    quoted_text_is_closed(forwarded[0].as_bytes());

    let mut behind = headers.clone();
    set_forwarded(&mut behind, arrival, ForwardedTrust::Proxy);
    let last = behind[X_FORWARDED_FOR].as_bytes();
    assert!(last.ends_with(b"192.0.2.1") && behind.get_all(X_FORWARDED_FOR).iter().count() == 1);

    set_trace(&mut headers, || (7, 9));
    assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
    assert!(is_traceparent(headers[TRACEPARENT].as_bytes()));
    let fresh = headers[TRACEPARENT] == "00-00000000000000000000000000000007-0000000000000009-00";
    assert!(!fresh || !headers.contains_key(TRACESTATE));
}

/// A host cannot break out of its quotation marks and add elements of its own.
fn quoted_text_is_closed(value: &[u8]) {
    let (mut inside, mut escaped) = (false, false);
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' => assert!(inside, "an element was added"),
            _ => {}
        }
    }
    assert!(!inside && !escaped);
}
