//! When a failed request may be sent to another replica.

/// How far a request had come when its replica failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// The replica provably read nothing of it: no connection, or none of its bytes had left.
    Unread,
    /// The replica may have read and done some of it; nothing of an answer has come.
    Read,
    /// A part of the answer has gone to the caller.
    Answering,
}

/// Whether doing a request twice is as good as doing it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// It is: the method is idempotent, or the endpoint is declared to be.
    Idempotent,
    /// It may not be.
    Unknown,
}

impl Repeat {
    /// What a request's method, and the endpoint's own word for it, say.
    ///
    /// ```
    /// use portway_router::Repeat;
    ///
    /// assert_eq!(Repeat::of("GET", false), Repeat::Idempotent);
    /// assert_eq!(Repeat::of("POST", false), Repeat::Unknown);
    /// assert_eq!(Repeat::of("POST", true), Repeat::Idempotent);
    /// ```
    #[must_use]
    pub fn of(method: &str, declared_idempotent: bool) -> Self {
        if declared_idempotent || IDEMPOTENT_METHODS.contains(&method) {
            Self::Idempotent
        } else {
            Self::Unknown
        }
    }
}

/// Whether the body can be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// All of it is at hand: empty, kept, or not begun.
    Whole,
    /// Some of it was passed on and not kept.
    Spent,
}

/// Decides whether a failed request may go to another replica, as far as the request itself is concerned. The number of such
/// replays is limited by a [`RetryBudget`].
///
/// ```
/// use portway_router::{Body, Progress, Repeat, may_replay};
///
/// assert!(may_replay(Progress::Unread, Repeat::Unknown, Body::Whole));
/// assert!(!may_replay(Progress::Read, Repeat::Unknown, Body::Whole));
/// assert!(!may_replay(Progress::Answering, Repeat::Idempotent, Body::Whole));
/// ```
#[must_use]
pub const fn may_replay(progress: Progress, repeat: Repeat, body: Body) -> bool {
    let harmless = match progress {
        Progress::Unread => true,
        Progress::Read => matches!(repeat, Repeat::Idempotent),
        Progress::Answering => false,
    };
    harmless && matches!(body, Body::Whole)
}

/// Keeps replays to a part of the traffic, so that they never multiply the load of replicas that fail because of it.
///
/// Each first attempt pays in `percent` of a replay, each replay takes one out. At most `reserve` replays can be saved up, and that
/// many are there at the start.
///
/// ```
/// use portway_router::RetryBudget;
///
/// let mut budget = RetryBudget::new(20, 2);
/// assert!(budget.withdraw() && budget.withdraw());
/// assert!(!budget.withdraw());
/// (0..5).for_each(|_| budget.deposit());
/// assert!(budget.withdraw());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetryBudget {
    percent: u32,
    /// In hundredths of a replay.
    most: u32,
    balance: u32,
}

impl RetryBudget {
    /// A budget of `percent` replays per hundred requests, with `reserve` at hand.
    pub const fn new(percent: u32, reserve: u32) -> Self {
        let most = reserve.saturating_mul(100);
        Self { percent, most, balance: most }
    }

    /// A request is sent for the first time.
    pub fn deposit(&mut self) {
        self.balance = self.balance.saturating_add(self.percent).min(self.most);
    }

    /// Takes one replay out; false if there is none left.
    pub fn withdraw(&mut self) -> bool {
        let rest = self.balance.checked_sub(100);
        self.balance = rest.unwrap_or(self.balance);
        rest.is_some()
    }
}

impl Default for RetryBudget {
    /// One replay in five requests, and 100 at hand.
    fn default() -> Self {
        Self::new(20, 100)
    }
}

/// Methods that HTTP defines as idempotent, but for `TRACE` and `CONNECT`, which are never forwarded.
const IDEMPOTENT_METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"];
