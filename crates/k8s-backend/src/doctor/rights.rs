//! Which rights the doctor asks about: those of the roles that this crate generates.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::probe::Right;
use crate::rbac::{Features, Role};

/// A right for each kind of object that the rules name.
pub(super) fn of_rules(rules: &[PolicyRule]) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in rules {
        let names = rule.resource_names.clone().unwrap_or_default();
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.push(Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    names: names.clone(),
                    verbs: rule.verbs.clone(),
                });
            }
        }
    }
    rights
}

/// Which rights these roles need, as far as they end at the namespace.
pub(super) fn needed(roles: &[Role]) -> Vec<(&'static str, Right)> {
    let of = |role: &Role| {
        let name = role.as_str();
        of_rules(&role.rules(Features::new())).into_iter().map(move |right| (name, right))
    };
    roles.iter().flat_map(of).collect()
}
