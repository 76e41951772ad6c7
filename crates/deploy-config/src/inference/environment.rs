//! The environment: base image, packages and variables.

use std::collections::BTreeMap;

use crate::finding::{At, Code, Finding, Report};
use crate::json::{Json, wrong_kind};
use crate::read::{Fields, Read, quoted};
use crate::service::Secret;

/// What a script runs in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvironmentSpec {
    /// Its name, in no way part of its image.
    pub name: Option<String>,
    /// Its version, in no way part of its image.
    pub version: Option<String>,
    /// Variables of the container.
    pub variables: BTreeMap<String, String>,
    /// The image to build on; excludes the two that follow.
    pub base_image: Option<String>,
    /// A Dockerfile's text.
    pub base_dockerfile: Option<String>,
    /// A folder with a Dockerfile.
    pub build_context: Option<Json>,
    /// Docker steps after the base image.
    pub docker_steps: Option<String>,
    /// Where the base image is pulled from, if that needs a password.
    pub registry: Option<RegistrySpec>,
    /// Packages, as a definition.
    pub conda: Option<CondaSpec>,
    /// Packages, as a file.
    pub conda_file: Option<String>,
    /// Whether the image has its packages already: nothing is installed then.
    pub user_managed: bool,
    /// Whether the image is to be one for graphics processors.
    pub gpu: bool,
    /// A folder that holds the environment's definition.
    pub folder: Option<String>,
}

/// A conda definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CondaSpec {
    /// Its name.
    pub name: Option<String>,
    /// Where packages come from, in order.
    pub channels: Vec<String>,
    /// Conda packages, in order.
    pub dependencies: Vec<String>,
    /// Packages that pip installs, in order.
    pub pip: Vec<String>,
}

/// A registry with its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySpec {
    /// Its host.
    pub address: String,
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
}

pub(super) fn read(json: &Json, at: At, report: &mut Report) -> Option<EnvironmentSpec> {
    if let Some(folder) = json.as_str() {
        return Some(EnvironmentSpec { folder: Some(folder.to_owned()), ..EnvironmentSpec::default() });
    }
    if json.kind() != "an object" {
        report.push(super::wants_environment(json, &at));
        return None;
    }
    let mut fields = Fields::open(json, at, report)?;
    let name = fields.text("name", report).ok().map(str::to_owned);
    let version = match fields.take("version") {
        // Versions are texts; a registry of environments hands them out as numbers, too.
        Some((json, _)) if json.as_decimal().is_some() => Some(json.to_string()),
        Some((json, at)) => json.as_str().map(str::to_owned).or_else(|| {
            report.push(wrong_kind(json, &at, "a string"));
            None
        }),
        None => None,
    };
    let variables =
        fields.take("environmentVariables").map(|(json, at)| strings(json, at, report)).unwrap_or_default();
    let mut spec = EnvironmentSpec { name, version, variables, ..EnvironmentSpec::default() };
    if let Some((json, at)) = fields.take("docker") {
        docker(json, at, &mut spec, report);
    }
    match fields.take("python") {
        Some((json, at)) => python(json, at, &mut spec, report),
        None => report.push(no_defaults(&fields.at)),
    }
    for key in UNREAD {
        fields.take(key);
    }
    fields.finish(&ENVIRONMENT_KEYS, report);
    Some(spec)
}

fn docker(json: &Json, at: At, spec: &mut EnvironmentSpec, report: &mut Report) {
    let Some(mut fields) = Fields::open(json, at, report) else { return };
    let image = fields.text("baseImage", report);
    let dockerfile = fields.text("baseDockerfile", report);
    let context = fields.take("buildContext");
    let sources: Vec<At> = [
        image.spot().map(|spot| &spot.at),
        dockerfile.spot().map(|spot| &spot.at),
        context.as_ref().map(|(_, at)| at),
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    if let [_, second, ..] = sources.as_slice() {
        report.push(
            Finding::new(
                Code::BaseImageConflict,
                second,
                "a base image, a Dockerfile and a build context exclude each other",
            )
            .found(format!("{} of them", sources.len()))
            .allowed("one of \"baseImage\", \"baseDockerfile\" and \"buildContext\"")
            .remedy("keep the one that is meant"),
        );
    }
    if let Read::Good(image) = &image {
        report.extend(image_fault(image.value, &image.at));
    }
    if let Some((json, at)) = &context {
        spec.build_context = Fields::open(json, at.clone(), report).map(|mut context| {
            for key in ["locationType", "location", "dockerfilePath"] {
                let _ = context.text(key, report);
            }
            context.finish(&["locationType", "location", "dockerfilePath"], report);
            (*json).clone()
        });
    }
    spec.base_image = image.ok().map(str::to_owned);
    spec.base_dockerfile = dockerfile.ok().map(str::to_owned);
    spec.registry = fields.take("baseImageRegistry").and_then(|(json, at)| registry(json, at, report));
    for key in DOCKER_UNREAD {
        fields.take(key);
    }
    fields.finish(&DOCKER_KEYS, report);
}

pub(super) fn registry(json: &Json, at: At, report: &mut Report) -> Option<RegistrySpec> {
    let mut fields = Fields::open(json, at, report)?;
    let (address, username, password) =
        (fields.text("address", report), fields.text("username", report), fields.text("password", report));
    let identity = fields.take("registryIdentity").is_some();
    let given = [&address, &username, &password];
    let bad = given.iter().any(|read| matches!(read, Read::Bad));
    let empty = |read: &&Read<&str>| read.good().is_none_or(|text| text.is_empty());
    let absent = given.iter().filter(|read| empty(read)).count();
    if !bad && !identity && absent > 0 && absent < 3 {
        report.push(
            Finding::new(
                Code::RegistryIncomplete,
                &fields.at,
                "a registry's address, user and password go together",
            )
            .found(format!("{} of 3", 3 - absent))
            .allowed("all three, or none")
            .remedy("add what is missing"),
        );
    }
    fields.finish(&["address", "username", "password", "registryIdentity"], report);
    Some(RegistrySpec {
        address: address.ok()?.to_owned(),
        username: username.ok()?.to_owned(),
        password: Secret::new(password.ok()?.to_owned()),
    })
}

fn python(json: &Json, at: At, spec: &mut EnvironmentSpec, report: &mut Report) {
    let Some(mut fields) = Fields::open(json, at, report) else { return };
    spec.user_managed = fields.boolean("userManagedDependencies", report).ok().unwrap_or_default();
    spec.conda_file = fields.text("condaDependenciesFile", report).ok().map(str::to_owned);
    let _ = fields.text("interpreterPath", report);
    fields.take("baseCondaEnvironment");
    if let Some((json, at)) = fields.take("condaDependencies") {
        let faults = report.len();
        spec.conda = conda(json, at.clone(), report);
        let listed = spec.conda.as_ref().is_some_and(|conda| {
            conda.pip.iter().chain(&conda.dependencies).any(|package| is_package(package, "azureml-defaults"))
        });
        if !listed && report.len() == faults && !spec.user_managed {
            report.push(no_defaults(&at));
        }
    } else if spec.conda_file.is_none() && !spec.user_managed {
        report.push(no_defaults(&fields.at));
    }
    fields.finish(&PYTHON_KEYS, report);
}

fn no_defaults(at: &At) -> Finding {
    Finding::new(
        Code::NoServingPackage,
        at,
        "the packages do not list azureml-defaults, with which the original serves a script",
    )
    .found("no azureml-defaults")
    .allowed("any packages; the shim that comes with the local backend needs none")
    .remedy("add \"azureml-defaults\" under pip, or make sure that the image has it")
}

fn is_package(requirement: &str, name: &str) -> bool {
    requirement
        .strip_prefix(name)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c)))
}

fn conda(json: &Json, at: At, report: &mut Report) -> Option<CondaSpec> {
    let mut fields = Fields::open(json, at, report)?;
    let name = fields.text("name", report).ok().map(str::to_owned);
    let channels = fields.take("channels").map(|(json, at)| texts(json, &at, report)).unwrap_or_default();
    let mut spec = CondaSpec { name, channels, ..CondaSpec::default() };
    if let Some((json, at)) = fields.take("dependencies") {
        let Some(elements) = json.as_array() else {
            report.push(wrong_kind(json, &at, "an array"));
            return Some(spec);
        };
        for (index, element) in elements.iter().enumerate() {
            let at = At::new(format!("{}/{index}", at.pointer), element.span);
            match element.as_str() {
                Some(package) => spec.dependencies.push(package.to_owned()),
                None => pip(element, at, &mut spec, report),
            }
        }
    }
    fields.finish(&["name", "channels", "dependencies", "prefix", "variables"], report);
    Some(spec)
}

fn pip(json: &Json, at: At, spec: &mut CondaSpec, report: &mut Report) {
    if json.kind() != "an object" {
        report.push(wrong_kind(json, &at, "a package, or an object with \"pip\""));
        return;
    }
    let Some(mut fields) = Fields::open(json, at, report) else { return };
    if let Some((json, at)) = fields.take("pip") {
        spec.pip.extend(texts(json, &at, report));
    }
    fields.finish(&["pip"], report);
}

fn texts(json: &Json, at: &At, report: &mut Report) -> Vec<String> {
    let Some(elements) = json.as_array() else {
        report.push(wrong_kind(json, at, "an array of strings"));
        return Vec::new();
    };
    let mut texts = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        match element.as_str() {
            Some(text) => texts.push(text.to_owned()),
            None => report.push(wrong_kind(
                element,
                &At::new(format!("{}/{index}", at.pointer), element.span),
                "a string",
            )),
        }
    }
    texts
}

fn strings(json: &Json, at: At, report: &mut Report) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    if let Some(fields) = Fields::open(json, at, report) {
        for (key, value) in json.members() {
            match value.as_str() {
                Some(text) => _ = map.insert(key.to_owned(), text.to_owned()),
                None => report.push(wrong_kind(value, &fields.child(key, value.span), "a string")),
            }
        }
    }
    map
}

/// What is wrong with a reference to an image: `[host[:port]/]path[:tag][@algorithm:digest]`.
pub(super) fn image_fault(text: &str, at: &At) -> Option<Finding> {
    (!is_image(text)).then(|| {
        Finding::new(Code::BaseImage, at, format!("{} names no image", quoted(text)))
            .found(quoted(text))
            .allowed("[host[:port]/]path[:tag][@sha256:digest], the path in small letters")
            .remedy("write the reference as a registry shows it")
    })
}

fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match name[last..].split_once(':') {
        Some((file, tag)) => (&name[..last + file.len()], Some(tag)),
        None => (name, None),
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let tag_fits = tag.is_none_or(|tag| {
        (1..=128).contains(&tag.len())
            && tag.bytes().all(|byte| word(byte) || b".-".contains(&byte))
            && tag.bytes().next().is_some_and(word)
    });
    let mut parts = path.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    if path.contains('/') && (first.contains(['.', ':']) || first == "localhost") {
        parts.next();
    }
    digest_fits && tag_fits && name.len() <= 255 && parts.all(is_path_part)
}

fn is_path_part(part: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    part.bytes().all(|byte| plain(&byte) || b"._-".contains(&byte))
        && part.as_bytes().first().is_some_and(plain)
        && part.as_bytes().last().is_some_and(plain)
}

const UNREAD: [&str; 6] =
    ["spark", "databricks", "r", "inferencingStackVersion", "assetId", "condaEnvironment"];
const ENVIRONMENT_KEYS: [&str; 11] = [
    "name",
    "version",
    "environmentVariables",
    "docker",
    "python",
    "spark",
    "databricks",
    "r",
    "inferencingStackVersion",
    "assetId",
    "condaEnvironment",
];
const DOCKER_UNREAD: [&str; 5] = ["enabled", "sharedVolumes", "shmSize", "arguments", "platform"];
const DOCKER_KEYS: [&str; 9] = [
    "baseImage",
    "baseDockerfile",
    "buildContext",
    "baseImageRegistry",
    "enabled",
    "sharedVolumes",
    "shmSize",
    "arguments",
    "platform",
];
const PYTHON_KEYS: [&str; 5] = [
    "userManagedDependencies",
    "interpreterPath",
    "condaDependenciesFile",
    "baseCondaEnvironment",
    "condaDependencies",
];
