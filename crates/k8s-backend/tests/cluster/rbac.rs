//! The roles on a real API server: enough for everything, and nothing in them that is not used.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::client::{Body, ClientBuilder};
use kube::config::AuthInfo;
use kube::{Api, Client, Config, ResourceExt as _};
use portway_backend::conformance::{self, Subject};
use portway_backend::{
    Backend as _, Catalog, Change, DocKey, DocKind, Document, Environment, Expected, Program, Status,
    Workload, WorkloadId,
};
use portway_k8s_backend::K8sBackend;
use portway_k8s_backend::rbac::{Features, Role};
use serde_json::{Value, json};
use tower_layer::layer_fn;
use tower_service::Service;

use crate::apply::{until, workload};
use crate::both::Both;
use crate::kubelet::Room;
use crate::patience::{PATIENCE, in_time};
use crate::site::{Site, with_room};

/// `apps/deployments/scale update`; with `*` in front for what is asked of the whole cluster.
type Rights = BTreeSet<String>;

#[tokio::test(flavor = "multi_thread")]
async fn r_k8s_6_the_roles_are_enough_and_nothing_in_them_is_unused() {
    with_room(&Room { gpus: 4, ..Room::default() }, async |site| {
        let admin = K8sBackend::from_client(site.client.clone(), site.options()).await.unwrap();
        let mut features = Features::new();
        features.accelerators = true;
        features.deletion_cost = admin.server().has_deletion_cost;
        features.keda = admin.server().has_scaled_objects;
        let outcome = AssertUnwindSafe(async {
            let gateway = Actor::new(site, Role::Gateway, features).await;
            let deployer = Actor::new(site, Role::Deployer, features).await;
            suite(site, &gateway, &deployer).await;
            [gateway, deployer]
        });
        let outcome = outcome.catch_unwind().await;
        for role in [Role::Gateway, Role::Deployer] {
            revoke(site, role, features).await;
        }
        for actor in outcome.unwrap_or_else(|panic| resume_unwind(panic)) {
            let used = actor.used.lock().unwrap().clone();
            // What the server lacks is not asked of it.
            let can_be_asked =
                |right: &&String| admin.server().has_disruption_budgets || !right.starts_with("policy/");
            let granted: Rights = actor.granted.iter().filter(can_be_asked).cloned().collect();
            let (unused, beyond) = (&granted - &used, &used - &granted);
            assert!(unused.is_empty() && beyond.is_empty(), "unused {unused:?}, beyond {beyond:?}");
        }
    })
    .await;
}

/// Everything that the seams promise, each call by the one who makes it.
async fn suite(site: &Site, gateway: &Actor, deployer: &Actor) {
    if let Some(kubelet) = &site.kubelet {
        kubelet.start_takes(Duration::from_secs(3));
    }
    let both = Both { gateway: gateway.backend(site).await, deployer: deployer.backend(site).await };
    let image = site.image.clone();
    let make = move |id: WorkloadId| {
        let environment = Environment::Image { reference: image.clone() };
        let mut workload = Workload::new(id, Program::entry_point(), environment);
        workload.termination_grace = Duration::from_secs(1);
        workload
    };
    let subject = Subject { backend: &both, workload: &make, patience: PATIENCE };
    conformance::backend(&subject).await;
    conformance::catalog(&both.deployer).await;
    conformance::leases(&both.gateway).await;
    conformance::fences(&subject, &both.gateway).await;
    for kind in [DocKind::Endpoint, DocKind::Verifier] {
        changes_are_told(&both.gateway, kind, &both.deployer).await;
    }
    for kind in DocKind::ALL {
        changes_are_told(&both.deployer, kind, &both.deployer).await;
    }
    accelerators_are_looked_for(site, &both.deployer).await;
    refusals(site, &gateway.unseen, &deployer.unseen).await;
    both.deployer.shut_down().await.unwrap();
}

async fn changes_are_told(to: &K8sBackend, kind: DocKind, writer: &K8sBackend) {
    let mut changes = Catalog::watch(to, kind).await.unwrap();
    let mut until = async |condition: &dyn Fn(&Change) -> bool| {
        let told = async { while !condition(&changes.next().await.unwrap()) {} };
        in_time("a change is told", told).await;
    };
    until(&|change| matches!(change, Change::Synced)).await;
    let (key, document) = (DocKey::new(kind, "iris").unwrap(), Document::from_json("1").unwrap());
    writer.put(&key, &document, Expected::Absent).await.unwrap();
    until(&|change| matches!(change, Change::Put(put, _) if *put == key)).await;
    writer.delete(&key, Expected::Any).await.unwrap();
}

async fn accelerators_are_looked_for(site: &Site, deployer: &K8sBackend) {
    let mut workload = workload(site, "with-gpu");
    workload.resources.gpu = 1;
    if site.kubelet.is_none() {
        // Nodes of others may have none; it is looked for all the same.
        workload.initial_replicas = 0;
    }
    deployer.apply(&workload).await.unwrap();
    until(deployer, &workload.id, |status| status.ready() == workload.initial_replicas).await;
    workload.variables.insert("A".into(), "1".into());
    deployer.apply(&workload).await.unwrap();
    deployer.remove(&workload.id).await.unwrap();
    until(deployer, &workload.id, |status| *status == Status::absent()).await;
}

/// What each must not be able to do.
async fn refusals(site: &Site, gateway: &Client, deployer: &Client) {
    fn forbidden<T: std::fmt::Debug>(found: kube::Result<T>) {
        match found {
            Err(kube::Error::Api(status)) if status.is_forbidden() => {}
            other => panic!("this should be forbidden: {other:?}"),
        }
    }
    let (all, post) = (ListParams::default(), PostParams::default());
    let here = site.namespace.as_str();
    forbidden(Api::<Secret>::namespaced(gateway.clone(), here).list(&all).await);
    forbidden(Api::<Secret>::namespaced(gateway.clone(), here).get("any").await);
    forbidden(Api::<ConfigMap>::namespaced(gateway.clone(), here).create(&post, &ConfigMap::default()).await);
    forbidden(
        Api::<Deployment>::namespaced(gateway.clone(), here).delete("any", &DeleteParams::default()).await,
    );
    let token = TokenRequest::default();
    for client in [gateway, deployer] {
        forbidden(Api::<Secret>::namespaced(client.clone(), "kube-system").list(&all).await);
        forbidden(Api::<Secret>::all(client.clone()).list(&all).await);
        forbidden(Api::<Pod>::namespaced(client.clone(), here).create(&post, &Pod::default()).await);
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "more"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        }))
        .unwrap();
        forbidden(Api::<RoleBinding>::namespaced(client.clone(), here).create(&post, &binding).await);
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), here);
        forbidden(accounts.create_token_request("default", &post, &token).await);
    }
}

// === who acts ===

/// A ServiceAccount with its role, and what it has asked for.
struct Actor {
    client: Client,
    /// The same, for what is to be refused.
    unseen: Client,
    granted: Rights,
    used: Arc<Mutex<Rights>>,
}

impl Actor {
    async fn new(site: &Site, role: Role, features: Features) -> Self {
        let options = site.options();
        let objects = objects(site, role, features);
        for object in &objects {
            let params = PatchParams::apply("test");
            api_of(site, object).patch(&object.name_any(), &params, &Patch::Apply(object)).await.unwrap();
        }
        let granted = objects.iter().flat_map(rights_of).collect();
        let token = token(site, &role.name(&options)).await;
        let used = Arc::new(Mutex::new(Rights::new()));
        let unseen = client(token.clone(), Arc::default()).await;
        let client = client(token, Arc::clone(&used)).await;
        let actor = Self { client, unseen, granted, used };
        actor.until_effective(site).await;
        actor
    }

    async fn backend(&self, site: &Site) -> K8sBackend {
        K8sBackend::from_client(self.client.clone(), site.options()).await.unwrap()
    }

    /// The authorizer sees new roles by a watch of its own, which nobody else can wait for.
    async fn until_effective(&self, site: &Site) {
        for right in &self.granted {
            let allowed = async { while !self.may(site, right).await {} };
            in_time(&format!("{right} is allowed"), allowed).await;
        }
    }

    async fn may(&self, site: &Site, right: &str) -> bool {
        let namespace = if right.starts_with('*') { None } else { Some(site.namespace.clone()) };
        let (what, verb) = right.trim_start_matches('*').split_once(' ').unwrap();
        let mut what = what.split('/').map(str::to_owned);
        let attributes = ResourceAttributes {
            group: what.next(),
            resource: what.next(),
            subresource: what.next(),
            namespace,
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    }
}

fn objects(site: &Site, role: Role, features: Features) -> Vec<DynamicObject> {
    let list: Value = serde_json::from_str(&role.to_json(&site.options(), features).unwrap()).unwrap();
    serde_json::from_value(list["items"].clone()).unwrap()
}

/// Takes away what lies outside the test's namespace, as far as it was made.
async fn revoke(site: &Site, role: Role, features: Features) {
    let objects = objects(site, role, features).into_iter();
    for object in objects.filter(|object| object.namespace().is_none()) {
        let _ = api_of(site, &object).delete(&object.name_any(), &DeleteParams::default()).await;
    }
}

pub(crate) fn api_of(site: &Site, object: &DynamicObject) -> Api<DynamicObject> {
    let types = object.types.clone().unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    match object.namespace() {
        Some(namespace) => Api::namespaced_with(site.client.clone(), &namespace, &kind),
        None => Api::all_with(site.client.clone(), &kind),
    }
}

fn rights_of(object: &DynamicObject) -> Vec<String> {
    let place = if object.namespace().is_none() { "*" } else { "" };
    let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut rights = Vec::new();
    for rule in object.data["rules"].as_array().into_iter().flatten() {
        let (groups, resources) = (texts(&rule["apiGroups"]), texts(&rule["resources"]));
        for verb in texts(&rule["verbs"]) {
            rights.push(format!("{place}{}/{} {verb}", groups[0], resources[0]));
        }
    }
    rights
}

async fn token(site: &Site, account: &str) -> String {
    let accounts = Api::<ServiceAccount>::namespaced(site.client.clone(), &site.namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

/// A client that has nothing but the token, and notes what it asks for.
async fn client(token: String, used: Arc<Mutex<Rights>>) -> Client {
    let mut config = Config::infer().await.unwrap();
    config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    let layer = layer_fn(|inner| Noting { inner, used: Arc::clone(&used) });
    ClientBuilder::try_from(config).unwrap().with_layer(&layer).build()
}

#[derive(Clone)]
struct Noting<S> {
    inner: S,
    used: Arc<Mutex<Rights>>,
}

impl<S> Service<Request<Body>> for Noting<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let mut used = self.used.lock().unwrap();
        used.extend(right(request.method(), path, query));
        // An apply that finds nothing makes the object, and needs the right to.
        if request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml") {
            used.extend(right(&Method::POST, path, query));
        }
        drop(used);
        Box::pin(self.inner.call(request))
    }
}

/// The right that a request needs; `None` for what anybody may ask.
fn right(method: &Method, path: &str, query: &str) -> Option<String> {
    let mut parts = path.split('/').skip(1);
    let group = match parts.next()? {
        "api" => "",
        "apis" => parts.next()?,
        _ => return None,
    };
    let mut rest: Vec<_> = parts.skip(1).collect();
    if rest.is_empty() || rest[0] == "selfsubjectaccessreviews" {
        return None;
    }
    let place = if rest[0] == "namespaces" && rest.len() > 2 { "" } else { "*" };
    if place.is_empty() {
        rest.drain(..2);
    }
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ if rest.len() > 1 => "get",
        _ if query.contains("watch=true") => "watch",
        _ => "list",
    };
    let subresource = rest.get(2).map(|name| format!("/{name}")).unwrap_or_default();
    Some(format!("{place}{group}/{}{subresource} {verb}", rest[0]))
}
