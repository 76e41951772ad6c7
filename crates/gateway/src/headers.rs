//! Which header fields cross the gateway: RFC 9110, section 7.6.1, by the book.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};

/// Fields that belong to one connection and are never forwarded, besides those that `Connection` names.
///
/// `Content-Length` is not among them, yet it is dropped from requests all the same: the sending side frames the body
/// that it really has, so that two parties can never read two lengths.
pub const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes the fields of [`HOP_BY_HOP`] and every field that a `Connection` field names.
///
/// # Examples
///
/// ```
/// use http::HeaderMap;
/// use portway_gateway::headers::strip_hop_by_hop;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", "close, x-mine".parse()?);
/// headers.insert("x-mine", "1".parse()?);
/// headers.insert("accept", "*/*".parse()?);
/// strip_hop_by_hop(&mut headers);
/// assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["accept"]);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    static GONE: [HeaderName; 9] = HOP_BY_HOP;
    // They are rare: one look at the names that are there costs less than a look-up for each that might be.
    let mut gone: Vec<HeaderName> = headers.keys().filter(|name| GONE.contains(name)).cloned().collect();
    if gone.contains(&header::CONNECTION) {
        let named = tokens(headers, &header::CONNECTION);
        gone.extend(named.filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok()));
    }
    for name in gone {
        headers.remove(name);
    }
}

/// Whether the request asks to become a WebSocket.
///
/// Only HTTP/1.1, only `GET` without a body, only `websocket`: a tunnel for `h2c` would let a client speak to a replica
/// behind the gateway's back.
#[must_use]
pub fn wants_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11
        && method == Method::GET
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && is_websocket(headers)
}

/// Whether `Upgrade` says `websocket` and nothing else.
#[must_use]
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::UPGRADE).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Makes the head of a request ready for a replica: hop-by-hop fields and framing go, `TE: trailers` stays where the
/// client can read trailers, `Expect` has been answered by the gateway itself, and the credential stays here unless
/// `keep_authorization`.
pub fn strip_request(headers: &mut HeaderMap, websocket: bool, keep_authorization: bool) {
    let trailers = tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    strip_hop_by_hop(headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    if !keep_authorization {
        headers.remove(header::AUTHORIZATION);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        set_websocket(headers);
    }
}

/// Announces the switch of this connection to the WebSocket protocol.
pub fn set_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// The comma-separated tokens of all fields called `name`; a field that is no text has none.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn r_rtr_10_fields_named_by_any_connection_field_go() {
        let mut headers = map(&[
            ("connection", "x-one , keep-alive"),
            ("connection", "X-Two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic xx"),
            ("transfer-encoding", "chunked"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-three", "3")]));
    }

    #[test]
    fn r_rtr_10_only_a_plain_websocket_is_an_upgrade() {
        let good = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]);
        assert!(wants_websocket(&Method::GET, Version::HTTP_11, &good));
        assert!(!wants_websocket(&Method::POST, Version::HTTP_11, &good));
        assert!(!wants_websocket(&Method::GET, Version::HTTP_10, &good));
        for bad in [
            map(&[("connection", "upgrade"), ("upgrade", "h2c")]),
            map(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")]),
            map(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]),
            map(&[("connection", "upgrade"), ("upgrade", "websocket"), ("content-length", "5")]),
            map(&[("upgrade", "websocket")]),
        ] {
            assert!(!wants_websocket(&Method::GET, Version::HTTP_11, &bad), "{bad:?}");
        }
    }

    #[test]
    fn r_rtr_10_trailers_stay_possible_and_the_credential_stays_here() {
        let mut headers = map(&[
            ("te", "gzip, trailers"),
            ("authorization", "Bearer k"),
            ("expect", "100-continue"),
            ("content-length", "3"),
        ]);
        strip_request(&mut headers, false, false);
        assert_eq!(headers, map(&[("te", "trailers")]));
    }
}
