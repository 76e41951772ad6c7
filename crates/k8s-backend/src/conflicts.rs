//! Who else says what a field of ours is to be. Pure.

use std::collections::BTreeMap;

use kube::core::Status;

/// A field that we set and somebody else has set to something else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FieldConflict {
    /// Its path, for example `.spec.template.spec.containers[name="replica"].image`.
    pub(crate) field: String,
    /// The field manager that set it.
    pub(crate) manager: String,
    /// How it did so.
    pub(crate) how: How,
}

/// How a foreign field manager has set a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum How {
    /// By an apply: it declares the field and will do so again, so that two would fight over it.
    Declared,
    /// By an update, as `kubectl edit` does: a change that nobody stands behind.
    Edited,
}

/// The conflicts of a refused server-side apply; empty when it was refused for another reason.
pub(crate) fn conflicts(status: &Status) -> Vec<FieldConflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // `conflict with "<manager>"`, then ` using <version> at <time>` for an update and nothing for an apply.
            let mut quoted = cause.message.splitn(3, '"').skip(1);
            let manager = quoted.next().unwrap_or("an unknown manager").to_owned();
            let is_update = quoted.next().is_some_and(|rest| rest.contains(" using "));
            let is_edited = is_update && manager != CLIENT_SIDE_APPLY;
            let how = if is_edited { How::Edited } else { How::Declared };
            FieldConflict { field: cause.field.clone(), manager, how }
        })
        .collect()
}

/// What is said of conflicts: fields by manager, at most `MOST` of each.
pub(crate) fn listed(conflicts: &[FieldConflict]) -> String {
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.field);
    }
    let of_one = |(manager, fields): (&str, Vec<&str>)| {
        let more = fields.len().saturating_sub(MOST);
        let shown = fields[..fields.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{manager:?} owns {shown}{more}")
    };
    by_manager.into_iter().map(of_one).collect::<Vec<_>>().join("; ")
}

const MOST: usize = 5;
/// `kubectl apply` without `--server-side`: to the server an update, to whoever runs it a declaration.
const CLIENT_SIDE_APPLY: &str = "kubectl-client-side-apply";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(causes: &[(&str, &str)]) -> Status {
        let cause = |(message, field): &(&str, &str)| serde_json::json!({"reason": "FieldManagerConflict", "message": message, "field": field});
        serde_json::from_value(serde_json::json!({
            "status": "Failure", "reason": "Conflict", "code": 409,
            "details": {"causes": causes.iter().map(cause).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    // The messages are those of 1.20.2 and of 1.33.
    #[test]
    fn r_k8s_1_a_conflict_says_who_owns_what_and_how_it_came_to_that() {
        let status = refused(&[
            (r#"conflict with "argocd""#, ".spec.paused"),
            (r#"conflict with "kubectl-set" using apps/v1"#, ".spec.minReadySeconds"),
            (r#"conflict with "kubectl-edit" using apps/v1 at 2026-11-27T17:11:18Z"#, ".spec.a"),
            (r#"conflict with "kubectl-client-side-apply" using apps/v1"#, ".spec.c"),
            (r#"conflict with "scaler" with subresource "scale" using apps/v1"#, ".spec.b"),
        ]);
        let found = conflicts(&status);
        let hows: Vec<_> = found.iter().map(|found| (found.manager.as_str(), found.how)).collect();
        assert_eq!(
            hows,
            [
                ("argocd", How::Declared),
                ("kubectl-set", How::Edited),
                ("kubectl-edit", How::Edited),
                ("kubectl-client-side-apply", How::Declared),
                ("scaler", How::Edited)
            ]
        );
        assert!(
            listed(&found)
                .starts_with(r#""argocd" owns .spec.paused; "kubectl-client-side-apply" owns .spec.c;"#)
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let message = r#"conflict with "argocd""#;
        let status = refused(&[(message, ".a"); 7]);
        assert_eq!(listed(&conflicts(&status)), r#""argocd" owns .a, .a, .a, .a, .a and 2 more"#);
    }

    #[test]
    fn another_refusal_has_no_conflicts() {
        assert!(conflicts(&Status::failure("the object has been modified", "Conflict")).is_empty());
    }
}
