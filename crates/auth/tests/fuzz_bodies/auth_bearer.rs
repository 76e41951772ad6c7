//! The bearer header: whatever is taken is one line of visible ASCII that was in the header.

use portway_auth::Bearer;

pub(crate) fn check(data: &[u8]) {
    let Ok(bearer) = Bearer::parse([data]) else { return };
    let credential = bearer.expose();
    assert!(!credential.is_empty() && credential.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(&data[7..], credential.as_bytes());
    assert!(data[..7].eq_ignore_ascii_case(b"Bearer "));
    assert!(!format!("{bearer:?}").contains(credential) || "[redacted]".contains(credential));
    assert!(Bearer::parse([data, data]).is_err(), "two headers");
}
