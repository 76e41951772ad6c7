use std::error::Error as _;
use std::io;

use tokio_rustls::rustls;

use super::*;

fn api(body: &str) -> BackendError {
    let status: Status = serde_json::from_str(body).unwrap();
    refused("create the Deployment iris", Error::Api(status.boxed()))
}

fn says(error: &BackendError, kind: ErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    if let Some(source) = error.source() {
        assert!(!text.contains(&source.to_string()), "the message repeats its source: {text}");
    }
}

#[test]
fn a_missing_right_names_the_verb_the_resource_and_the_remedy() {
    let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
        "message":"deployments.apps is forbidden: User \"system:serviceaccount:models:gateway\" cannot create resource \"deployments\" in API group \"apps\" in the namespace \"models\"",
        "reason":"Forbidden","details":{"group":"apps","kind":"deployments"},"code":403}"#;
    let parts = [
        "system:serviceaccount:models:gateway",
        "create deployments.apps in the namespace models",
        "k8s_manifests",
    ];
    says(&api(body), ErrorKind::Invalid, &parts);
    assert!(api(body).source().unwrap().to_string().starts_with("deployments.apps is forbidden"));

    let nodes = r#"{"message":"nodes is forbidden: User \"me\" cannot list resource \"nodes\" in API group \"\" at the cluster scope","reason":"Forbidden","code":403}"#;
    says(&api(nodes), ErrorKind::Invalid, &["me has no right to list nodes in the whole cluster"]);
    let nobody = r#"{"message":"forbidden: User \"system:anonymous\" cannot get path \"/version\"","reason":"Forbidden","code":403}"#;
    says(&api(nobody), ErrorKind::Invalid, &["no credentials", "log in"]);
}

#[test]
fn a_quota_that_is_used_up_is_a_want_of_room() {
    let body = r#"{"message":"pods \"iris\" is forbidden: exceeded quota: compute, requested: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4",
        "reason":"Forbidden","details":{"name":"iris","kind":"pods"},"code":403}"#;
    says(
        &api(body),
        ErrorKind::Capacity,
        &["the quota compute", "limited: requests.cpu=4", "raise the quota"],
    );
    assert!(api(body).is_retryable());
    let unsaid = r#"{"message":"pods \"iris\" is forbidden: failed quota: compute: must specify limits.cpu","reason":"Forbidden","code":403}"#;
    says(&api(unsaid), ErrorKind::Invalid, &["compute: must specify limits.cpu", "LimitRange"]);
}

#[test]
fn a_webhook_is_named_whether_it_denies_or_is_silent() {
    let denied = r#"{"message":"admission webhook \"images.example.com\" denied the request: only our registry",
        "reason":"Forbidden","code":403}"#;
    says(&api(denied), ErrorKind::Invalid, &["images.example.com denies it", "ask its owner"]);
    assert!(api(denied).source().unwrap().to_string().ends_with("only our registry"));
    let odd = denied.replace("403", "400").replace("Forbidden", "BadRequest");
    says(&api(&odd), ErrorKind::Invalid, &["images.example.com denies it"]);
    let silent = r#"{"message":"Internal error occurred: failed calling webhook \"images.example.com\": Post \"https://w.svc:443/?timeout=10s\": dial tcp 10.0.0.1:443: connect: connection refused",
        "reason":"InternalError","code":500}"#;
    says(&api(silent), ErrorKind::Unavailable, &["images.example.com does not answer"]);
}

#[test]
fn policies_are_told_from_rights() {
    let security = r#"{"message":"pods \"iris\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true","reason":"Forbidden","code":403}"#;
    says(&api(security), ErrorKind::Invalid, &["PodSecurity \"restricted:latest\""]);
    let range = r#"{"message":"pods \"iris\" is forbidden: maximum cpu usage per Container is 1, but limit is 2","reason":"Forbidden","code":403}"#;
    says(&api(range), ErrorKind::Invalid, &["LimitRange"]);
    let going = r#"{"message":"secrets \"iris\" is forbidden: unable to create new content in namespace models because it is being terminated","reason":"Forbidden",
        "details":{"name":"iris","kind":"secrets","causes":[{"reason":"NamespaceTerminating","message":"namespace models is being terminated","field":"metadata.namespace"}]},"code":403}"#;
    says(&api(going), ErrorKind::Conflict, &["the namespace is being deleted"]);
}

#[test]
fn what_is_not_there_is_told_from_a_namespace_and_an_api_that_are_not_there() {
    let object = r#"{"message":"deployments.apps \"iris\" not found","reason":"NotFound","details":{"name":"iris","group":"apps","kind":"deployments"},"code":404}"#;
    says(&api(object), ErrorKind::NotFound, &["no deployments of the name iris"]);
    let namespace = r#"{"message":"namespaces \"models\" not found","reason":"NotFound","details":{"name":"models","kind":"namespaces"},"code":404}"#;
    says(
        &api(namespace),
        ErrorKind::Invalid,
        &["the namespace models does not exist", "kubectl create namespace models"],
    );
    let kind = r#"{"message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#;
    says(&api(kind), ErrorKind::Invalid, &["does not know such objects"]);
}

#[test]
fn conflicts_name_the_fields_and_their_owners() {
    let foreign = r#"{"message":"Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.replicas\n- .spec.paused","reason":"Conflict",
        "details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"kubectl\" using apps/v1","field":".spec.replicas"},
        {"reason":"FieldManagerConflict","message":"conflict with \"kubectl\" using apps/v1","field":".spec.paused"}]},"code":409}"#;
    says(
        &api(foreign),
        ErrorKind::Conflict,
        &[".spec.replicas by \"kubectl\" using apps/v1, .spec.paused by"],
    );
    let taken = r#"{"message":"deployments.apps \"iris\" already exists","reason":"AlreadyExists","details":{"name":"iris","group":"apps","kind":"deployments"},"code":409}"#;
    says(
        &api(taken),
        ErrorKind::Conflict,
        &["a deployments of the name iris already", "choose another name"],
    );
    let stale = r#"{"message":"Operation cannot be fulfilled on leases.coordination.k8s.io \"scaler\": the object has been modified; please apply your changes to the latest version and try again",
        "reason":"Conflict","details":{"name":"scaler","group":"coordination.k8s.io","kind":"leases"},"code":409}"#;
    says(&api(stale), ErrorKind::Conflict, &["changed it meanwhile"]);
}

#[test]
fn the_fields_that_are_invalid_are_named() {
    let body = r#"{"message":"Deployment.apps \"iris\" is invalid: spec.template.spec.containers[0].image: Required value","reason":"Invalid",
        "details":{"name":"iris","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueRequired","message":"Required value","field":"spec.template.spec.containers[0].image"}]},"code":422}"#;
    says(&api(body), ErrorKind::Invalid, &["at spec.template.spec.containers[0].image"]);
}

#[test]
fn credentials_that_are_not_accepted_and_trouble_of_the_server() {
    let expired = r#"{"message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    says(&api(expired), ErrorKind::Unavailable, &["expired", "log in again"]);
    let busy = r#"{"message":"too many requests","reason":"TooManyRequests","details":{"retryAfterSeconds":3},"code":429}"#;
    says(&api(busy), ErrorKind::Unavailable, &["try again in 3 s"]);
    for code in ["500", "503", "504"] {
        let down = format!(r#"{{"message":"etcdserver: request timed out","reason":"","code":{code}}}"#);
        says(&api(&down), ErrorKind::Unavailable, &[code, "try again later"]);
    }
    let large = r#"{"message":"Request entity too large: limit is 3145728","reason":"RequestEntityTooLarge","code":413}"#;
    says(&api(large), ErrorKind::Invalid, &["larger than the API server takes"]);
}

#[test]
fn secrets_that_the_server_quotes_are_not_repeated() {
    let quoted = r#"{"message":"Secret in version \"v1\" cannot be handled as a Secret: v1.Secret.Data: base64Codec: invalid input, error found in #10 byte of ...|hunter2|..., bigger context ...|{\"KEY\":\"hunter2\"}|...",
        "reason":"BadRequest","code":400}"#;
    let field = r#"{"message":"Secret \"iris\" is invalid: data[hunter2]: Invalid value: \"hunter2\"","reason":"Invalid","details":{"name":"iris","kind":"Secret"},"code":422}"#;
    for body in [quoted, field] {
        let error = api(body);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let answer = serde_json::from_str::<u32>("\"hunter2\"").unwrap_err();
    let error = refused("read the Secret", Error::SerdeError(answer));
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let output = std::process::Command::new("sh").args(["-c", "echo hunter2; exit 3"]).output().unwrap();
    let login = kube::client::AuthError::AuthExecRun { cmd: "login hunter2".into(), out: Box::new(output) };
    let error = refused("log in", Error::Auth(login));
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    says(&error, ErrorKind::Invalid, &["exit status: 3", "run it by hand"]);
}

#[test]
fn a_server_that_cannot_be_reached_is_named_with_what_stood_in_the_way() {
    let failed = |source: io::Error| {
        let unreachable = Unreachable { address: "10.0.0.1:6443".into(), source: source.into() };
        refused("list the Pods", Error::Service(unreachable.into()))
    };
    let refused_connection = failed(io::ErrorKind::ConnectionRefused.into());
    says(&refused_connection, ErrorKind::Unavailable, &["10.0.0.1:6443", "refused"]);
    says(
        &failed(io::ErrorKind::TimedOut.into()),
        ErrorKind::Unavailable,
        &["10.0.0.1:6443", "in time", "firewall"],
    );
    let name = failed(io::Error::other("dns error"));
    says(&name, ErrorKind::Unavailable, &["name cannot be resolved"]);
    let issuer = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let untrusted = failed(io::Error::new(io::ErrorKind::InvalidData, issuer));
    says(&untrusted, ErrorKind::Invalid, &["an authority that is not trusted here"]);
    assert!(!untrusted.is_retryable());
}
