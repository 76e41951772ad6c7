//! Images as a builder would push them, and what can be done to them afterwards: plain HTTP requests, with nothing of ours.

use portway_hashing::{Digest, ImageKey};
use portway_images::KEY_ANNOTATION;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::registry::{DockerRegistry, PASSWORD, USER};

/// Somebody else's client of a registry.
pub(crate) struct Pusher {
    client: Client,
    root: String,
    token: Option<String>,
}

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl Pusher {
    /// A client of the repository `path`.
    pub(crate) fn new(registry: &DockerRegistry, path: &str) -> Self {
        // The HTTP library has none of its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder();
        if let Some(ca) = registry.ca() {
            let pem = std::fs::read(ca).unwrap();
            client = client.tls_certs_merge([reqwest::Certificate::from_pem(&pem).unwrap()]);
        }
        let scheme = if registry.ca().is_some() { "https" } else { "http" };
        Self::at(client.build().unwrap(), format!("{scheme}://{}/v2/{path}", registry.host()))
    }

    pub(crate) const fn at(client: Client, root: String) -> Self {
        Self { client, root, token: None }
    }

    /// With a token instead of the password.
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request.basic_auth(USER, Some(PASSWORD)),
        }
    }

    pub(crate) async fn blob(&self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let begun =
            self.request(Method::POST, &format!("{}/blobs/uploads/", self.root)).send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::ACCEPTED);
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let url = begun.url().join(&location).unwrap();
        let url = format!("{url}{}digest={digest}", if url.query().is_some() { "&" } else { "?" });
        let done = self.request(Method::PUT, &url).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(done.status(), StatusCode::CREATED);
        json!({"digest": digest, "size": bytes.len()})
    }

    pub(crate) async fn manifest(&self, tag: &str, media_type: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        let url = format!("{}/manifests/{tag}", self.root);
        let put = self.request(Method::PUT, &url).header("content-type", media_type).body(bytes);
        let put = put.send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED, "{:?}", put.text().await);
        digest
    }

    /// An OCI image with one layer that says `content`, annotated with `key`, under the key's tag.
    pub(crate) async fn image(&self, key: &ImageKey, content: &str) -> Digest {
        let manifest = self.image_manifest(content, json!({KEY_ANNOTATION: key.to_string()})).await;
        self.manifest(&key.to_string(), OCI, &manifest).await
    }

    pub(crate) async fn image_manifest(&self, content: &str, annotations: Value) -> Value {
        let layer = layer(content);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        });
        let mut layer = self.blob(&layer).await;
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        let mut config = self.blob(config.to_string().as_bytes()).await;
        config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        json!({
            "schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer], "annotations": annotations,
        })
    }

    pub(crate) async fn get_manifest(&self, digest: Digest) -> Value {
        serde_json::from_slice(&self.get_manifest_bytes(digest).await).unwrap()
    }

    pub(crate) async fn get_manifest_bytes(&self, digest: Digest) -> Vec<u8> {
        self.get(&format!("{}/manifests/{digest}", self.root)).await
    }

    pub(crate) async fn get_blob(&self, digest: &Value) -> Vec<u8> {
        self.get(&format!("{}/blobs/{}", self.root, digest.as_str().unwrap())).await
    }

    async fn get(&self, url: &str) -> Vec<u8> {
        let accepted = format!("{OCI}, {DOCKER}, application/vnd.oci.image.index.v1+json");
        let answer = self.request(Method::GET, url).header("accept", accepted).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        answer.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn delete(&self, digest: Digest) {
        let url = format!("{}/manifests/{digest}", self.root);
        let answer = self.request(Method::DELETE, &url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
}

/// A tar archive with one file that says `content`.
fn layer(content: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, "content", content.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}
