//! `/version`, `/api`, `/apis`: what the server says of itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::render::api_version;
use super::resources::{KINDS, Kind, Profile};

/// The answer to a path that names nothing stored; `None` if there is none.
pub fn answer(path: &str, profile: &Profile) -> Option<Value> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match &segments[..] {
        ["version"] => Some(version(profile)),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => Some(groups(profile)),
        ["api", version] => resources("", version, profile),
        ["apis", group] => Some(self::group(group, profile)).filter(|group| group["versions"] != json!([])),
        ["apis", group, version] => resources(group, version, profile),
        _ => None,
    }
}

fn version(profile: &Profile) -> Value {
    json!({
        "major": "1", "minor": profile.minor.to_string(), "gitVersion": profile.git_version,
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1",
        "compiler": "gc", "platform": "linux/amd64",
    })
}

fn groups(profile: &Profile) -> Value {
    let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.group).filter(|group| !group.is_empty()).collect();
    let groups = names.into_iter().map(|group| self::group(group, profile));
    let served = groups.filter(|group| group["versions"] != json!([]));
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": served.collect::<Vec<_>>()})
}

fn group(group: &str, profile: &Profile) -> Value {
    let mut versions: Vec<&str> = Vec::new();
    for version in KINDS.iter().filter(|kind| kind.group == group).flat_map(|kind| profile.versions(kind)) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let shown = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let preferred = versions.first().map(shown);
    let versions: Vec<_> = versions.iter().map(shown).collect();
    json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": preferred,
    })
}

fn resources(group: &str, version: &str, profile: &Profile) -> Option<Value> {
    let of = |kind: &&Kind| kind.group == group && profile.versions(kind).contains(&version);
    let resources: Vec<Value> = KINDS.iter().filter(of).flat_map(resources_of).collect();
    let group_version = KINDS.iter().find(of).map(|kind| api_version(kind, version))?;
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

fn resources_of(kind: &Kind) -> Vec<Value> {
    let (plural, singular) = (kind.plural, kind.kind.to_lowercase());
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let whole = json!({
        "name": plural, "singularName": singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs,
    });
    let parts = kind.subresources.iter().map(|part| {
        let (shown, verbs) = match *part {
            "scale" => ("Scale", &["get", "patch", "update"][..]),
            "log" => (kind.kind, &["get"][..]),
            _ => (kind.kind, &["get", "patch", "update"][..]),
        };
        let name = format!("{plural}/{part}");
        let (singular, namespaced) = ("", kind.namespaced);
        json!({"name": name, "singularName": singular, "namespaced": namespaced, "kind": shown, "verbs": verbs})
    });
    std::iter::once(whole).chain(parts).collect()
}
