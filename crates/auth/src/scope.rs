//! A good identity without the right.

use crate::{Attempt, Authenticator, Denied, Verdict};

/// Lets only callers through whose token carries a scope; the right identity without it is a 403.
///
/// Callers by key have no scopes, and neither has anybody where authentication is off.
#[derive(Debug, Clone)]
pub struct RequireScope<A> {
    inner: A,
    scope: Box<str>,
}

impl<A> RequireScope<A> {
    /// Asks `inner` who it is, and then for `scope`.
    pub fn new(inner: A, scope: impl Into<Box<str>>) -> Self {
        Self { inner, scope: scope.into() }
    }
}

impl<A: Authenticator> Authenticator for RequireScope<A> {
    fn authenticate(&self, attempt: &Attempt<'_>) -> Verdict {
        match self.inner.authenticate(attempt) {
            Verdict::Allow(principal) if !principal.has_scope(&self.scope) => {
                Verdict::Deny(Denied::Forbidden)
            }
            verdict => verdict,
        }
    }
}
