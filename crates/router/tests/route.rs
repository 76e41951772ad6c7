//! Which paths are routed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use portway_router::{Route, Target};

#[test]
fn r_rtr_1_score_and_swagger_are_routed() {
    let score = Route::parse("/api/v1/service/my-service/score").unwrap();
    assert_eq!((score.service, score.target), ("my-service", Target::Score));
    let swagger = Route::parse("/api/v1/service/abc/swagger.json").unwrap();
    assert_eq!((swagger.service, swagger.target), ("abc", Target::Swagger));
}

#[test]
fn r_rtr_1_nothing_else_is_routed() {
    let long = format!("/api/v1/service/a{}/score", "b".repeat(32));
    for path in [
        "",
        "/",
        "/score",
        "/api/v1/service/",
        "/api/v1/service//score",
        "/api/v1/service/ab/score",
        "/api/v1/service/Abc/score",
        "/api/v1/service/1bc/score",
        "/api/v1/service/abc-/score",
        "/api/v1/service/a%62c/score",
        "/api/v1/service/abc",
        "/api/v1/service/abc/",
        "/api/v1/service/abc/score/",
        "/api/v1/service/abc/score?x=1",
        "/api/v1/service/abc/x/../score",
        "/api/v1//service/abc/score",
        "/API/v1/service/abc/score",
        "api/v1/service/abc/score",
        &long,
    ] {
        assert_eq!(Route::parse(path), None, "{path}");
    }
}
