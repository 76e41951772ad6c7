//! Server-side apply: who owns which fields, who is told of whom, what goes and what stays.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Error;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Place, refusal};

/// A Deployment as it is applied.
fn applied(name: &str, image: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "paused": true,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main", "image": image, "env": [{"name": "A", "value": "1"}],
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                }]},
            },
        },
    })
}

impl Place {
    async fn apply(&self, manager: &str, config: &Value) -> Result<Deployment, Error> {
        let name = config["metadata"]["name"].as_str().unwrap_or_default();
        self.api::<Deployment>().patch(name, &PatchParams::apply(manager), &Patch::Apply(config)).await
    }

    async fn patch_as(&self, manager: &str, name: &str, patch: Value) -> Deployment {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patched = self.api::<Deployment>().patch(name, &params, &Patch::Merge(patch)).await;
        patched.expect("patches that do not apply ask nobody")
    }
}

fn image_of(deployment: &Deployment) -> Option<&str> {
    deployment.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.as_deref()
}

pub(super) async fn applied_fields_are_owned(place: &Place) {
    let made = place.apply("one", &applied("owned", "first", json!({"a": "1"}))).await.expect("it is new");
    let entries = serde_json::to_value(&made.metadata.managed_fields).expect("it is JSON");
    let mine = entries.as_array().and_then(|entries| entries.iter().find(|entry| entry["manager"] == "one"));
    let mine = mine.expect("the applier is noted").clone();
    assert_eq!((&mine["operation"], &mine["apiVersion"]), (&json!("Apply"), &json!("apps/v1")));
    let container =
        &mine["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"main\"}"];
    assert_eq!(container["f:image"], json!({}), "{mine}");
    assert_eq!(container["."], json!({}), "{mine}");
    let port = "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}";
    assert_eq!(container["f:ports"][port]["f:containerPort"], json!({}), "{mine}");
    assert_eq!(mine["fieldsV1"]["f:metadata"]["f:labels"]["f:a"], json!({}), "{mine}");

    let again = place.apply("one", &applied("owned", "first", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(again.metadata.generation, made.metadata.generation, "the same again changes nothing");
    let next = place.apply("one", &applied("owned", "second", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(image_of(&next), Some("second"));
}

pub(super) async fn what_others_own_is_a_conflict(place: &Place) {
    place.apply("one", &applied("fought", "first", json!({"a": "1"}))).await.expect("it is new");
    let strategic =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "other"}]}}}});
    let params = PatchParams { field_manager: Some("two".to_owned()), ..PatchParams::default() };
    let deployments = place.api::<Deployment>();
    let patched = deployments
        .patch("fought", &params, &Patch::Strategic(strategic))
        .await
        .expect("no apply, no conflict");
    assert_eq!(image_of(&patched), Some("other"));
    assert_eq!(patched.spec.map_or(0, |spec| spec.template.spec.map_or(0, |spec| spec.containers.len())), 1);

    let conflict = refusal(place.apply("one", &applied("fought", "first", json!({"a": "1"}))).await);
    let field = ".spec.template.spec.containers[name=\"main\"].image";
    assert_eq!((conflict.code, &*conflict.reason), (409, "Conflict"), "{conflict:?}");
    assert!(
        conflict.message.starts_with("Apply failed with 1 conflict: conflict with \"two\" using apps/v1"),
        "{conflict:?}"
    );
    assert!(conflict.message.ends_with(field), "{conflict:?}");
    let causes = conflict.details.map(|details| details.causes).expect("it says with whom");
    assert_eq!((&*causes[0].reason, &*causes[0].field), ("FieldManagerConflict", field));
    assert!(causes[0].message.starts_with("conflict with \"two\" using apps/v1"), "{causes:?}");

    let params = PatchParams::apply("one").force();
    let config = applied("fought", "first", json!({"a": "1"}));
    let forced =
        deployments.patch("fought", &params, &Patch::Apply(&config)).await.expect("force asks nobody");
    assert_eq!(image_of(&forced), Some("first"));
    place.apply("one", &applied("fought", "third", json!({"a": "1"}))).await.expect("it is mine again");

    let labels = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fought", "labels": {"a": "2"}}});
    let conflict = refusal(place.apply("three", &labels).await);
    let cause = conflict.details.map(|details| details.causes).and_then(|causes| causes.into_iter().next());
    let cause = cause.expect("it says with whom");
    assert_eq!((&*cause.field, &*cause.message), (".metadata.labels.a", "conflict with \"one\""));
}

pub(super) async fn what_is_no_longer_applied_is_removed(place: &Place) {
    let labels = |deployment: &Deployment| {
        deployment.metadata.labels.clone().unwrap_or_default().into_keys().collect::<Vec<_>>()
    };
    place
        .apply("one", &applied("shrinks", "first", json!({"a": "1", "b": "1", "c": "1"})))
        .await
        .expect("it is new");
    let shared = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shrinks", "labels": {"b": "1"}}});
    place.apply("two", &shared).await.expect("the same value is no conflict");
    place.patch_as("three", "shrinks", json!({"metadata": {"labels": {"d": "1"}}})).await;
    let mut config = applied("shrinks", "first", json!({"a": "1"}));
    config["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "2"}]);
    let next = place.apply("one", &config).await.expect("it is mine");
    assert_eq!(labels(&next), ["a", "b", "d"], "c was mine alone");
    let spec = next.spec.and_then(|spec| spec.template.spec).expect("it has a template");
    let names: Vec<_> = spec.containers[0].env.iter().flatten().map(|variable| &*variable.name).collect();
    assert_eq!(names, ["B"]);
}

pub(super) async fn what_is_not_applied_is_left_alone(place: &Place) {
    place.apply("one", &applied("left", "first", json!({"a": "1"}))).await.expect("it is new");
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    place
        .api::<Deployment>()
        .patch_scale("left", &PatchParams::default(), &patch)
        .await
        .expect("nobody else scales it");
    place.patch_as("two", "left", json!({"metadata": {"annotations": {"note": "x"}}})).await;
    let again = place.apply("one", &applied("left", "second", json!({"a": "1"}))).await.expect("it is mine");
    assert_eq!(again.spec.and_then(|spec| spec.replicas), Some(3), "the count is whose who scales");
    assert_eq!(again.metadata.annotations.unwrap_or_default().get("note").map(String::as_str), Some("x"));
    let mut counted = applied("left", "second", json!({"a": "1"}));
    counted["spec"]["replicas"] = 1.into();
    let taken = place.apply("one", &counted).await;
    if place.minor < 22 {
        taken.expect("servers before 1.22 do not note who scales");
    } else {
        let conflict = refusal(taken);
        assert!(conflict.message.contains(".spec.replicas"), "{conflict:?}");
    }
}
