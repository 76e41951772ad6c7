use std::collections::HashSet;
use std::sync::Mutex;

use portway_deploy_config::Phase;

use super::*;

/// A world in which some things do not work, and one never answers.
#[derive(Default)]
struct World {
    broken: Vec<(&'static str, &'static str)>,
    silent: Option<&'static str>,
    looked_at: Mutex<Vec<String>>,
}

#[async_trait]
impl Look for World {
    async fn look(&self, probe: &Probe) -> Seen {
        let what = probe.to_string();
        self.looked_at.lock().unwrap().push(what.clone());
        if self.silent.is_some_and(|silent| what.contains(silent)) {
            std::future::pending::<()>().await;
        }
        match self.broken.iter().find(|(broken, _)| what.contains(broken)) {
            Some((_, why)) => Err((*why).to_owned()),
            None => Ok(Sight::Well(String::new())),
        }
    }
}

fn server() -> plan::ApiServer {
    plan::ApiServer { host: "api.example".into(), port: 6443, is_encrypted: true }
}

fn surroundings() -> Surroundings {
    let mut surroundings = Surroundings::new();
    surroundings.gateway_image = Some("registry.example/gateway:1".into());
    surroundings.images.push("models.example:5000/iris@sha256:00".into());
    surroundings.scoring = Some(("score.example".into(), 443));
    surroundings.model_calls.push(("features.example".into(), 5432));
    surroundings
}

fn the_plan() -> Vec<Check> {
    plan::plan(&server(), &Options::new(), &surroundings())
}

fn failures(diagnosis: &Diagnosis) -> Vec<&str> {
    let failed = diagnosis.lines().iter().filter(|line| matches!(line.outcome, Outcome::Failed(_)));
    failed.map(|line| line.what.as_str()).collect()
}

fn left_out(diagnosis: &Diagnosis) -> Vec<&str> {
    let left = diagnosis.lines().iter().filter(|line| matches!(line.outcome, Outcome::LeftOut(_)));
    left.map(|line| line.what.as_str()).collect()
}

#[test]
fn r_k8s_9_the_plan_follows_the_order_of_need_and_a_name_comes_before_what_is_behind_it() {
    let plan = the_plan();
    assert!(plan.windows(2).all(|pair| pair[0].phase <= pair[1].phase));
    let looks: Vec<String> = plan
        .iter()
        .filter(|check| !matches!(check.probe, Probe::Rights { .. }))
        .map(|check| check.probe.to_string())
        .collect();
    assert_eq!(
        looks,
        [
            "api.example has an address",
            "api.example:6443 takes connections",
            "api.example:6443 speaks TLS and is trusted",
            "the API server accepts the credentials",
            "the namespace default exists",
            "the API server has all that can be used",
            "the namespace's quotas leave room",
            "there are nodes to run on",
            "registry.example has an address",
            "registry.example:443 takes connections",
            "registry.example:443 speaks TLS and is trusted",
            "pods of the gateway are reached on port 8080",
            "pods of the models are reached on port 8080",
            "models.example has an address",
            "models.example:5000 takes connections",
            "score.example has an address",
            "score.example:443 takes connections",
            "score.example:443 speaks TLS and is trusted",
            "features.example has an address",
            "features.example:5432 takes connections",
        ]
    );
}

#[test]
fn r_k8s_9_the_list_of_the_original_is_part_of_the_plan() {
    let mut surroundings = surroundings();
    let original = Connectivity::new("prod", "westeurope", "models123", "storage123");
    let needs = original.requirements();
    surroundings.original = Some(original);
    let plan = plan::plan(&server(), &Options::new(), &surroundings);
    assert!(plan.windows(2).all(|pair| pair[0].phase <= pair[1].phase));
    let planned = |probe: &Probe| plan.iter().any(|check| check.probe == *probe);
    for need in needs {
        match need.step {
            portway_deploy_config::Step::Resolve { host } => assert!(planned(&Probe::Resolve { host })),
            portway_deploy_config::Step::Connect { host, port } => {
                assert!(planned(&Probe::Connect { host, port }))
            }
            _ => {}
        }
    }
    let probes: HashSet<_> = plan.iter().map(|check| &check.probe).collect();
    assert_eq!(probes.len(), plan.len(), "nothing is looked at twice");
}

#[test]
fn addresses_need_no_name_and_images_without_a_registry_have_one() {
    let server = plan::ApiServer { host: "10.0.0.1".into(), port: 80, is_encrypted: false };
    let plan = plan::plan(&server, &Options::new(), &Surroundings::new());
    assert_eq!(plan[0].probe.to_string(), "10.0.0.1:80 takes connections");
    assert_eq!(plan[1].probe, Probe::Credentials, "nothing is encrypted there");
    for (image, host, port) in [
        ("iris", "registry-1.docker.io", 443),
        ("models/iris:1", "registry-1.docker.io", 443),
        ("localhost:5000/iris", "localhost", 5000),
        ("registry.example/a/b@sha256:00", "registry.example", 443),
    ] {
        assert_eq!(plan::registry_of(image), (host.to_owned(), port), "{image}");
    }
}

#[tokio::test]
async fn r_k8s_9_the_first_thing_that_fails_is_named_with_its_remedy() {
    let remedy = "the connection is refused; see that it runs";
    let world = World {
        broken: vec![("6443 takes", remedy), ("features.example has", "no such name")],
        ..World::default()
    };
    let diagnosis = follow(the_plan(), &world).await;
    assert_eq!(diagnosis.first_failure().unwrap().what, "api.example:6443 takes connections");
    assert_eq!(
        failures(&diagnosis),
        ["api.example:6443 takes connections", "features.example has an address"]
    );
    // What hangs on a failure is named and not looked at; the rest is looked at.
    assert!(left_out(&diagnosis).contains(&"the API server accepts the credentials"));
    assert!(left_out(&diagnosis).contains(&"pods of the models are reached on port 8080"));
    assert!(!left_out(&diagnosis).contains(&"registry.example has an address"));
    assert!(!world.looked_at.lock().unwrap().contains(&"the namespace default exists".to_owned()));

    let report = diagnosis.to_string();
    assert!(
        report
            .contains("✗ api.example:6443 takes connections (for the API server): the connection is refused"),
        "{report}"
    );
    assert!(
        report.ends_with(&format!("\nfirst failure: that api.example:6443 takes connections\n  {remedy}\n")),
        "{report}"
    );
}

#[tokio::test]
async fn a_namespace_that_is_missing_hides_nothing_else() {
    let world = World { broken: vec![("namespace default", "create it")], ..World::default() };
    let diagnosis = follow(the_plan(), &world).await;
    assert_eq!(failures(&diagnosis), ["the namespace default exists"]);
    assert!(left_out(&diagnosis).is_empty());
}

#[tokio::test(start_paused = true)]
async fn r_k8s_9_a_look_that_never_ends_is_a_failure_with_a_remedy() {
    let world = World { silent: Some("registry.example:443 takes"), ..World::default() };
    let diagnosis = follow(the_plan(), &world).await;
    let Some(Line { outcome: Outcome::Failed(why), .. }) = diagnosis.first_failure() else {
        panic!("{diagnosis}")
    };
    assert_eq!(why, "no answer within 10 s; look for a firewall or a missing route between");
    assert_eq!(left_out(&diagnosis), ["registry.example:443 speaks TLS and is trusted"]);
}

#[tokio::test]
async fn all_is_well_when_nothing_fails() {
    let diagnosis = follow(the_plan(), &World::default()).await;
    assert!(diagnosis.first_failure().is_none());
    assert!(diagnosis.to_string().ends_with("\nnothing failed\n"));
    assert!(diagnosis.lines().iter().any(|line| line.phase == Phase::ModelAtWork));
}

#[test]
fn rules_become_one_right_for_each_kind_of_object() {
    let rule = serde_json::json!({"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get", "update"]});
    let rights = rights::of_rules(&[serde_json::from_value(rule).unwrap()]);
    let texts: Vec<String> =
        rights.into_iter().map(|right| Probe::Rights { role: "gateway", right }.to_string()).collect();
    assert_eq!(
        texts,
        [
            "the gateway may get, update deployments.apps",
            "the gateway may get, update deployments/scale.apps"
        ]
    );
}
