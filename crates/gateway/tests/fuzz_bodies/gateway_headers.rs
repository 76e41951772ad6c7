//! Any set of header fields, made ready for a replica: nothing of the connection is left, nothing else is lost.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portway_gateway::headers::{HOP_BY_HOP, strip_hop_by_hop, strip_request, wants_websocket};

/// One field a line, name and value parted by the first colon; what is no field is left out.
pub(crate) fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]))
        {
            headers.append(name, value);
        }
    }
    let before = headers.clone();
    let named = |name: &HeaderName| {
        before
            .get_all("connection")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(name.as_str())))
    };
    strip_hop_by_hop(&mut headers);
    for name in before.keys() {
        let goes = HOP_BY_HOP.contains(name) || named(name);
        assert_eq!(headers.contains_key(name), !goes, "{name}");
        if !goes {
            assert!(headers.get_all(name).iter().eq(before.get_all(name).iter()), "{name}");
        }
    }
    let once = headers.clone();
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, once);

    let websocket = wants_websocket(&Method::GET, Version::HTTP_11, &before);
    let mut sent = before.clone();
    strip_request(&mut sent, websocket, false);
    for name in ["content-length", "transfer-encoding", "authorization", "expect", "keep-alive"] {
        assert!(!sent.contains_key(name), "{name}");
    }
    assert_eq!(sent.get("upgrade").map(HeaderValue::as_bytes), websocket.then_some(b"websocket".as_slice()));
    assert_eq!(sent.get("connection").map(HeaderValue::as_bytes), websocket.then_some(b"upgrade".as_slice()));
    assert!(sent.get("te").is_none_or(|te| te == "trailers"));
}
