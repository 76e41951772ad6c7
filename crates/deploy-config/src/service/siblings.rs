//! A version among the other versions of its endpoint.

use super::field::Field;
use super::settings::Settings;
use crate::endpoint::{self, EndpointSpec, MAX_VERSIONS};
use crate::finding::Report;
use crate::name::VersionName;
use crate::quantity::Share;

/// Calls about one version must say which.
pub(super) fn named(settings: &Settings, report: &mut Report) -> bool {
    let named = settings.text(Field::VersionName).is_some_and(|name| !name.is_empty());
    if !named && !settings.is_bad(Field::VersionName) {
        report.push(crate::read::missing(&settings.root, Field::VersionName.row().sdk));
    }
    named
}

/// An endpoint's first version that has no name takes the endpoint's, which is asking for trouble.
pub(super) fn first(settings: &Settings, report: &mut Report) {
    if settings.text(Field::VersionName).unwrap_or_default().is_empty()
        && !settings.is_bad(Field::VersionName)
    {
        let finding = endpoint::named_like_endpoint(&settings.root);
        report.push(finding.remedy(format!("add {}", settings.name(Field::VersionName))));
    }
}

pub(super) fn created(settings: &Settings, endpoint: &EndpointSpec, report: &mut Report) {
    let Some(name) = name(settings) else { return };
    let at = &settings.at(Field::VersionName);
    if endpoint.version(&name).is_some() {
        report.push(endpoint::duplicate(at, &name));
        return;
    }
    if name.as_str() == endpoint.name.as_str() {
        report.push(endpoint::named_like_endpoint(at));
    }
    if endpoint.versions.len() >= MAX_VERSIONS {
        report.push(endpoint::too_many(at, endpoint.versions.len() + 1));
    }
    whole(settings, &name, endpoint, report);
}

pub(super) fn updated(settings: &Settings, endpoint: &EndpointSpec, report: &mut Report) {
    let Some(name) = name(settings) else { return };
    if endpoint.version(&name).is_none() {
        let known = endpoint.versions.iter().map(|version| &version.name);
        report.push(endpoint::unknown(&settings.at(Field::VersionName), &name, known));
        return;
    }
    whole(settings, &name, endpoint, report);
}

/// The shares with the new one in its place.
fn whole(settings: &Settings, name: &VersionName, endpoint: &EndpointSpec, report: &mut Report) {
    let Some(share) = settings.share().filter(|share| *share > Share::ZERO) else { return };
    let others =
        endpoint.versions.iter().filter(|version| version.name != *name).map(|version| version.share);
    report.extend(endpoint::above_whole(&settings.at(Field::TrafficPercentile), others.chain([share])));
}

fn name(settings: &Settings) -> Option<VersionName> {
    settings.text(Field::VersionName)?.parse().ok()
}
