//! What a replica learns about the client and the trace: `Forwarded`, `X-Forwarded-*`, `traceparent`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The client address as older software reads it.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The `Host` that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Its vendor part, meaningless without the first.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What the gateway believes of the forwarding fields that a request brings along.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForwardedTrust {
    /// Nothing: whoever connects is the client. Fields that came along are replaced. The default.
    #[default]
    Peer,
    /// Whoever connects is a proxy that sets them: they are kept and added to, and the last address in
    /// `X-Forwarded-For` is the client's.
    Proxy,
}

/// How a request came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The other end of the connection; `None` where there is no address (a pipe, an in-memory transport).
    pub peer: Option<IpAddr>,
    /// Whether the connection was encrypted.
    pub secure: bool,
    /// The host that was asked for.
    pub host: Option<&'a HeaderValue>,
}

/// The client's own address: the peer, or what a trusted proxy says it is.
///
/// # Examples
///
/// ```
/// use portway_gateway::forwarded::{ForwardedTrust, client_address};
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "203.0.113.9, 198.51.100.7".parse()?);
/// let proxy = Some([10, 0, 0, 1].into());
/// assert_eq!(client_address(&headers, proxy, ForwardedTrust::Peer), proxy);
/// assert_eq!(client_address(&headers, proxy, ForwardedTrust::Proxy), Some([198, 51, 100, 7].into()));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn client_address(headers: &HeaderMap, peer: Option<IpAddr>, trust: ForwardedTrust) -> Option<IpAddr> {
    match trust {
        ForwardedTrust::Peer => peer,
        ForwardedTrust::Proxy => {
            let last = headers.get_all(X_FORWARDED_FOR).iter().next_back();
            let told = last.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
            told.and_then(|text| text.trim().parse().ok()).or(peer)
        }
    }
}

/// Writes the forwarding fields of a request on its way to a replica.
pub fn set_forwarded(headers: &mut HeaderMap, arrival: Arrival<'_>, trust: ForwardedTrust) {
    headers.reserve(ADDED_FIELDS);
    let scheme = if arrival.secure { "https" } else { "http" };
    let mut client = listed(headers, &X_FORWARDED_FOR, trust);
    let client = arrival.peer.and_then(|peer| {
        push_address(&mut client, peer.to_canonical());
        text(client)
    });
    let mut element = listed(headers, &header::FORWARDED, trust);
    write_forwarded(&mut element, arrival, scheme);
    let scheme = HeaderValue::from_static(scheme);
    match trust {
        ForwardedTrust::Peer => {
            replace(headers, X_FORWARDED_FOR, client);
            replace(headers, X_FORWARDED_PROTO, Some(scheme));
            replace(headers, X_FORWARDED_HOST, arrival.host.cloned());
        }
        ForwardedTrust::Proxy => {
            if let Some(client) = client {
                headers.insert(X_FORWARDED_FOR, client);
            }
            headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
            if let Some(host) = arrival.host {
                headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
            }
        }
    }
    replace(headers, header::FORWARDED, text(element));
}

/// Puts a value in place of all that there are.
fn replace(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// What is written here and elsewhere on the way to a replica: room for all of it is made once.
const ADDED_FIELDS: usize = 8;

/// One element of `Forwarded` (RFC 7239).
fn write_forwarded(text: &mut Vec<u8>, arrival: Arrival<'_>, scheme: &str) {
    text.extend_from_slice(b"for=");
    match arrival.peer.map(|peer| peer.to_canonical()) {
        Some(peer @ IpAddr::V4(_)) => push_address(text, peer),
        Some(peer @ IpAddr::V6(_)) => {
            text.extend_from_slice(b"\"[");
            push_address(text, peer);
            text.extend_from_slice(b"]\"");
        }
        None => text.extend_from_slice(b"unknown"),
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(scheme.as_bytes());
    if let Some(host) = arrival.host.filter(|host| host.to_str().is_ok()) {
        text.extend_from_slice(b";host=\"");
        for byte in host.as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.push(b'"');
    }
}

/// What is believed of the list in the fields called `name`, ready for one more element.
fn listed(headers: &HeaderMap, name: &HeaderName, trust: ForwardedTrust) -> Vec<u8> {
    let mut list = Vec::with_capacity(64);
    if trust == ForwardedTrust::Proxy {
        for value in headers.get_all(name) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    list
}

fn text(text: Vec<u8>) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

/// An address as text; that of IPv4, by far the most frequent, without the machinery of formatting.
fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(text, "{address}");
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push(b'.');
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(b'0' + octet / unit % 10);
            }
        }
    }
}

/// Passes a valid W3C trace context on as it is; without one, starts a trace that is not sampled, whose trace and span
/// numbers come from `fresh`.
///
/// The gateway exports no spans of its own, so it must not put itself between the caller's span and the replica's.
pub fn set_trace(headers: &mut HeaderMap, fresh: impl FnOnce() -> (u128, u64)) {
    let mut values = headers.get_all(TRACEPARENT).iter();
    if let (Some(value), None) = (values.next(), values.next())
        && is_traceparent(value.as_bytes())
    {
        return;
    }
    headers.remove(TRACESTATE);
    let (trace, span) = fresh();
    // All zeros would be invalid; the lowest bit costs nothing.
    let mut text = Vec::with_capacity(55);
    text.extend_from_slice(b"00-");
    push_hex(&mut text, &(trace | 1).to_be_bytes());
    text.push(b'-');
    push_hex(&mut text, &(span | 1).to_be_bytes());
    text.extend_from_slice(b"-00");
    replace(headers, TRACEPARENT, self::text(text));
}

/// Two hexadecimal digits a byte, without the machinery of formatting.
pub(crate) fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
}

/// Whether `value` is a `traceparent` that must be passed on.
///
/// Version 00 has exactly four parts; a later version may have more behind them; version ff is forbidden.
#[must_use]
pub fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let Some((known, rest)) = value.split_at_checked(55) else { return false };
    let (version, trace, span, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..55]);
    let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
    let tail = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    let digits = hex(version) && hex(trace) && hex(span) && hex(flags);
    dashes && tail && digits && version != b"ff" && some(trace) && some(span)
}

/// The address of a peer without its scope, for the log.
pub(crate) fn shown(peer: Option<IpAddr>) -> IpAddr {
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn arrival(host: &HeaderValue) -> Arrival<'_> {
        Arrival { peer: PEER, secure: false, host: Some(host) }
    }

    #[test]
    fn r_rtr_10_what_a_client_claims_is_replaced() {
        let host = HeaderValue::from_static("model.example");
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("127.0.0.1"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.1"));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.insert(header::FORWARDED, HeaderValue::from_static("for=127.0.0.1"));
        set_forwarded(&mut headers, arrival(&host), ForwardedTrust::Peer);
        assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>(), ["192.0.2.1"]);
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_HOST], "model.example");
        assert_eq!(headers[header::FORWARDED], "for=192.0.2.1;proto=http;host=\"model.example\"");
    }

    #[test]
    fn r_rtr_10_what_a_trusted_proxy_says_is_kept_and_added_to() {
        let host = HeaderValue::from_static("a\"b");
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        set_forwarded(&mut headers, arrival(&host), ForwardedTrust::Proxy);
        assert_eq!(headers[X_FORWARDED_FOR], "203.0.113.9, 192.0.2.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[header::FORWARDED], "for=192.0.2.1;proto=http;host=\"a\\\"b\"");
    }

    #[test]
    fn r_rtr_10_addresses_are_written_as_the_standard_library_does() {
        let written = |address: IpAddr| {
            let mut text = Vec::new();
            push_address(&mut text, address);
            String::from_utf8(text).unwrap()
        };
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 0, 255 - octet, 10]);
            assert_eq!(written(address), address.to_string());
        }
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(written(address), "2001:db8::1");
    }

    #[test]
    fn r_rtr_10_without_an_address_nothing_that_was_claimed_stays() {
        let mut headers = HeaderMap::new();
        for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, header::FORWARDED] {
            headers.insert(name, HeaderValue::from_static("claimed"));
        }
        let arrival = Arrival { peer: None, secure: true, host: None };
        set_forwarded(&mut headers, arrival, ForwardedTrust::Peer);
        assert_eq!(headers[header::FORWARDED], "for=unknown;proto=https");
        assert_eq!((headers[X_FORWARDED_PROTO].to_str().unwrap(), headers.len()), ("https", 2));
    }

    #[test]
    fn r_rtr_14_a_valid_trace_passes_and_an_invalid_one_starts_anew() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(valid.as_bytes()));
        assert!(is_traceparent(format!("01{}-more", &valid[2..]).as_bytes()));
        for bad in [
            "",
            &valid[..54],
            &format!("{valid}-more"),
            &format!("ff{}", &valid[2..]),
            &valid.to_uppercase(),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(valid));
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
        set_trace(&mut headers, || (0, 0));
        assert_eq!((headers[TRACEPARENT].to_str().unwrap(), headers.len()), (valid, 2));
        headers.append(TRACEPARENT, HeaderValue::from_static(valid));
        set_trace(&mut headers, || (0, 0));
        assert!(is_traceparent(headers[TRACEPARENT].as_bytes()));
        assert_eq!(headers.len(), 1);
    }
}
