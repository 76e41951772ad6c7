//! Request paths: whatever is routed says exactly what its path says, and could not have been said otherwise.

#![allow(unreachable_pub, reason = "included by a test and by a fuzz target")]

use portway_router::{Route, Target};

/// Checks one path.
pub fn check(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let Some(route) = Route::parse(path) else { return };
    let target = match route.target {
        Target::Score => "score",
        Target::Swagger => "swagger.json",
    };
    assert_eq!(path, format!("/api/v1/service/{}/{target}", route.service));
    assert_eq!(route.replica_path(), format!("/{target}"));
    // The rule for names, written in another way than in the parser.
    let name = route.service;
    let parts: Vec<&str> = name.split('-').collect();
    let plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    assert!(name.len() >= 3 && name.len() <= 32 && parts.iter().all(plain));
    assert!(name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('-'));
}
