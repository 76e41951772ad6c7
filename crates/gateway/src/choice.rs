//! An endpoint as requests see it, and the choice of the version that a request goes to.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderMap;
use portway_auth::{Attempt, Authenticator as _, Principal, Verdict, Verifier};
use portway_deploy_config::{AuthMode, EndpointSpec, Pinning, Profile, StickyKey, VersionName, VersionSpec};
use portway_router::{BucketRun, Buckets, Share, Shares, Split, Tickets};

use crate::lane::Lane;
use crate::limits::{self, RequestLimits};
use crate::metrics::{CONTROL, Meters, Metrics, TREATMENT};
use crate::refusal::{DEPLOYMENT, Refusal};
use crate::tokens::Tokens;

/// An endpoint: what its document says now, and the digests of its keys.
pub(crate) struct Endpoint {
    pub(crate) name: Arc<str>,
    pub(crate) live: ArcSwap<Live>,
    pub(crate) verifier: ArcSwapOption<Verifier>,
}

/// One state of an endpoint's document, with everything that a request needs of it. Counter and schedule of the split
/// stand in the same snapshot, so that no ticket is looked up in another's schedule.
pub(crate) struct Live {
    pub(crate) spec: EndpointSpec,
    pub(crate) choices: Vec<Arc<Choice>>,
    split: Split<VersionName>,
    tickets: Tickets,
}

/// One version that a request may go to.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) lane: Arc<Lane>,
    pub(crate) limits: RequestLimits,
    pub(crate) profile: Profile,
    /// Whether the document declares its requests repeatable.
    pub(crate) idempotent: bool,
    pub(crate) meters: Meters,
}

/// How a version was chosen.
pub(crate) enum Chosen {
    Version(Arc<Choice>),
    /// A change is going on: load the endpoint again.
    Changing,
}

impl Live {
    /// The first state of an endpoint.
    pub(crate) fn new(spec: EndpointSpec, lanes: &[Arc<Lane>], metrics: &Metrics) -> Self {
        let split = Split::new(shares(&spec));
        Self::build(spec, lanes, split, metrics)
    }

    /// The state that follows: closes the counter of this one and carries over what each version is owed.
    pub(crate) fn next(&self, spec: EndpointSpec, lanes: &[Arc<Lane>], metrics: &Metrics) -> Self {
        let split = self.split.next(self.tickets.close(), shares(&spec));
        Self::build(spec, lanes, split, metrics)
    }

    fn build(
        spec: EndpointSpec,
        lanes: &[Arc<Lane>],
        mut split: Split<VersionName>,
        metrics: &Metrics,
    ) -> Self {
        if let Some(buckets) = spec.sticky.as_ref().and_then(|sticky| {
            let run = |run: &portway_deploy_config::BucketRun| BucketRun {
                version: run.version.clone(),
                count: run.count,
            };
            Buckets::from_runs(sticky.buckets.iter().map(run).collect()).ok()
        }) {
            split = split.with_buckets(&buckets);
        }
        let choice = |(version, lane): (&VersionSpec, &Arc<Lane>)| {
            let role = if version.name == spec.control { CONTROL } else { TREATMENT };
            let meters = metrics.meters(spec.name.as_ref(), version.name.as_ref(), role);
            let (limits, profile) = (RequestLimits::of(&spec, version), spec.profile);
            Arc::new(Choice { lane: Arc::clone(lane), limits, profile, idempotent: spec.idempotent, meters })
        };
        let choices = spec.versions.iter().zip(lanes).map(choice).collect();
        Self { spec, choices, split, tickets: Tickets::new() }
    }

    pub(crate) fn choice(&self, name: &VersionName) -> Option<&Arc<Choice>> {
        self.choices.iter().find(|choice| choice.lane.id.version == *name)
    }

    fn by_name(&self, name: &VersionName) -> Chosen {
        Chosen::Version(Arc::clone(self.choice(name).unwrap_or(&self.choices[0])))
    }

    /// The version for a request without a ticket: the default.
    pub(crate) fn default_choice(&self) -> Chosen {
        self.by_name(&self.spec.default)
    }

    /// The version for a scoring request: pinned, sticky, or by the next ticket.
    pub(crate) fn choose(&self, headers: &HeaderMap, caller: &Principal) -> Result<Chosen, Refusal> {
        if let Some(pinned) = self.pinned(headers, caller)? {
            return Ok(Chosen::Version(Arc::clone(pinned)));
        }
        if let Some(key) = self.spec.sticky.as_ref().and_then(|sticky| sticky_key(&sticky.key, headers)) {
            return Ok(self.by_name(self.split.for_key(key)));
        }
        Ok(match self.tickets.take() {
            Some(ticket) => self.by_name(self.split.at(ticket)),
            None => Chosen::Changing,
        })
    }

    fn pinned(&self, headers: &HeaderMap, caller: &Principal) -> Result<Option<&Arc<Choice>>, Refusal> {
        let Some(wanted) = headers.get(DEPLOYMENT) else { return Ok(None) };
        // The scope is named like the version. A key has no scopes.
        let is_granted = || wanted.to_str().is_ok_and(|wanted| caller.has_scope(wanted));
        match limits::pinning(&self.spec) {
            Pinning::Off => Ok(None),
            Pinning::Scope if !is_granted() => Err(Refusal::NotPinnable),
            Pinning::Scope | Pinning::Any => {
                let found = self.choices.iter().find(|choice| choice.lane.name == wanted);
                found.map(Some).ok_or(Refusal::UnknownVersion)
            }
        }
    }

    /// The share that a version really gets, in percent.
    pub(crate) fn share_percent(&self, name: &VersionName) -> f64 {
        f64::from(self.split.share(name).basis_points()) / 100.0
    }
}

impl Endpoint {
    /// Judges a caller, by keys or by tokens and never by both. Where no key is known, the same work is done for nothing.
    pub(crate) fn authenticate(&self, live: &Live, tokens: &Tokens, attempt: &Attempt<'_>) -> Verdict {
        match live.spec.auth {
            AuthMode::Off => Verdict::Allow(Principal::Anonymous),
            AuthMode::Keys => match &*self.verifier.load() {
                Some(verifier) => verifier.authenticate(attempt),
                None => Verifier::decoy().authenticate(attempt),
            },
            AuthMode::Token => tokens.authenticate(attempt),
        }
    }
}

fn shares(spec: &EndpointSpec) -> Shares<VersionName> {
    let share = |share: portway_deploy_config::Share| Share::new(share.basis_points()).unwrap_or(Share::ALL);
    let configured = spec.versions.iter().map(|version| (version.name.clone(), share(version.share)));
    // A document that exists has at most six versions of different names and at most 100 %.
    Shares::new(spec.default.clone(), configured).unwrap_or_else(|_| Shares::all_to(spec.default.clone()))
}

/// A well-mixed number for what tells callers apart, the same in every gateway and every run.
fn sticky_key(key: &StickyKey, headers: &HeaderMap) -> Option<u64> {
    match key {
        StickyKey::Header(name) => headers.get(name.as_str()).map(|value| mix(value.as_bytes())),
        StickyKey::Cookie(name) => {
            let cookies = headers.get_all(http::header::COOKIE).iter();
            let pairs = cookies.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
            pairs
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(found, _)| found == name)
                .map(|(_, value)| mix(value.as_bytes()))
        }
    }
}

/// FNV-1a, finished by a multiplication so that the low bits depend on all others.
fn mix(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_rtr_5_a_sticky_key_is_a_header_or_a_cookie() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", "ada".parse().unwrap());
        headers.append("cookie", "a=1; session=xyz".parse().unwrap());
        let header = StickyKey::Header("x-user".into());
        assert_eq!(sticky_key(&header, &headers), Some(mix(b"ada")));
        assert_eq!(sticky_key(&StickyKey::Cookie("session".into()), &headers), Some(mix(b"xyz")));
        assert_eq!(sticky_key(&StickyKey::Cookie("sess".into()), &headers), None);
    }

    #[test]
    fn r_rtr_5_keys_spread_evenly_over_the_buckets() {
        let mut counts = [0_u32; 10];
        for user in 0..10_000 {
            counts[(mix(format!("user-{user}").as_bytes()) % 10_000 / 1_000) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
