//! What a request path asks for.

/// What a request path asks for: a service, and one of the two things that a service offers.
///
/// ```
/// use portway_router::{Route, Target};
///
/// let route = Route::parse("/api/v1/service/my-service/score");
/// assert_eq!(route, Some(Route { service: "my-service", target: Target::Score }));
/// assert_eq!(Route::parse("/api/v1/service/My%2DService/score"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route<'a> {
    /// The service or endpoint: 3 to 32 characters, lower-case letters, digits and `-`, a letter first, no `-` last.
    pub service: &'a str,
    /// What is asked of it.
    pub target: Target,
}

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A prediction: split by share, or pinned.
    Score,
    /// The description of the interface: goes to the default version and takes no ticket.
    Swagger,
}

impl<'a> Route<'a> {
    /// The route that a path names, without query; `None` for any other path.
    ///
    /// The path is compared as it stands: nothing is decoded, no `..`, `//` or letter case is smoothed over, so what is
    /// routed is what is forwarded.
    #[must_use]
    pub fn parse(path: &'a str) -> Option<Self> {
        let (service, target) = path.strip_prefix(PREFIX)?.split_once('/')?;
        let target = match target {
            "score" => Target::Score,
            "swagger.json" => Target::Swagger,
            _ => return None,
        };
        is_service_name(service).then_some(Self { service, target })
    }

    /// The path on the replica.
    #[must_use]
    pub const fn replica_path(&self) -> &'static str {
        match self.target {
            Target::Score => "/score",
            Target::Swagger => "/swagger.json",
        }
    }
}

fn is_service_name(name: &str) -> bool {
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let bytes = name.as_bytes();
    (3..=32).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(inner)
        && bytes.last() != Some(&b'-')
}

/// What every path that is routed begins with.
const PREFIX: &str = "/api/v1/service/";
