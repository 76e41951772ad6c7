//! `inferenceconfig.json`: how a model is served.

use crate::finding::{At, Checked, Code, Finding, Report};
use crate::json::{Json, wrong_kind};
use crate::name::EntryScript;
use crate::read::{Fields, Read, missing, quoted};

mod environment;

pub use environment::{CondaSpec, EnvironmentSpec, RegistrySpec};

/// An inference configuration without a fault, and all that stands in it: it is written back as it was read.
///
/// # Examples
///
/// ```
/// use portway_deploy_config::InferenceConfig;
///
/// let config = InferenceConfig::from_json(
///     r#"{"entryScript": "score.py", "sourceDirectory": "src",
///         "environment": {"docker": {"baseImage": "ubuntu:22.04"},
///                         "python": {"condaDependencies": {"dependencies": [{"pip": ["azureml-defaults"]}]}}}}"#,
/// )
/// .into_result()?;
/// assert_eq!(config.entry_script().as_str(), "score.py");
/// # Ok::<(), portway_deploy_config::Report>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceConfig {
    entry_script: EntryScript,
    source_directory: Option<String>,
    description: Option<String>,
    environment: EnvironmentSpec,
    document: Json,
}

impl InferenceConfig {
    /// Reads the file's text and tells everything that was found.
    pub fn from_json(text: &str) -> Checked<Self> {
        let (json, syntax) = Json::parse_with_faults(text);
        let Some(json) = json else { return Checked::refused(syntax).located(text) };
        let (value, mut report) = Self::check_json(&json).into_parts();
        report.extend(syntax);
        Checked::new(value, report).located(text)
    }

    /// Checks a value tree.
    pub fn check_json(json: &Json) -> Checked<Self> {
        let mut report = Report::default();
        let value = read(json, &mut report);
        Checked::new(value, report)
    }

    /// Writes everything that was read, known or not, in its order.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document.to_pretty_string()
    }

    /// The script to run, relative to the source directory.
    #[must_use]
    pub fn entry_script(&self) -> &EntryScript {
        &self.entry_script
    }

    /// The folder that is packed; without one, the entry script alone is.
    #[must_use]
    pub fn source_directory(&self) -> Option<&str> {
        self.source_directory.as_deref()
    }

    /// A text for people.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What the script runs in.
    #[must_use]
    pub fn environment(&self) -> &EnvironmentSpec {
        &self.environment
    }
}

fn read(json: &Json, report: &mut Report) -> Option<InferenceConfig> {
    let mut fields = Fields::open(json, At::new(String::new(), json.span), report)?;
    let entry_script: Read<EntryScript> = fields.name("entryScript", report);
    if entry_script.is_absent() {
        report.push(missing(&fields.at, "entryScript"));
    }
    let source_directory = fields.text("sourceDirectory", report).ok().map(str::to_owned);
    let description = fields.text("description", report).ok().map(str::to_owned);
    let given = fields.take("environment");
    let old = old_fields(&mut fields, report);
    let environment = match given {
        Some((json, at)) => {
            for (key, at) in &old.given {
                report.push(beside_environment(key, at));
            }
            environment::read(json, at, report)
        }
        None => Some(old.environment),
    };
    fields.finish(&KEYS, report);
    Some(InferenceConfig {
        entry_script: entry_script.ok()?,
        source_directory,
        description,
        environment: environment?,
        document: json.clone(),
    })
}

/// The fields that an environment replaced.
struct Old {
    environment: EnvironmentSpec,
    given: Vec<(&'static str, At)>,
}

fn old_fields(fields: &mut Fields<'_>, report: &mut Report) -> Old {
    let mut given = Vec::new();
    let mut note = |key: &'static str, at: Option<&At>| given.extend(at.map(|at| (key, at.clone())));
    let runtime = fields.choice("runtime", &[("python", ()), ("spark-py", ())], report);
    note("runtime", runtime.spot().map(|spot| &spot.at));
    let conda_file = fields.text("condaFile", report);
    note("condaFile", conda_file.spot().map(|spot| &spot.at));
    let steps = fields.text("extraDockerfileSteps", report);
    note("extraDockerfileSteps", steps.spot().map(|spot| &spot.at));
    let gpu = fields.boolean("enableGpu", report);
    note("enableGpu", gpu.spot().map(|spot| &spot.at));
    let cuda = fields.choice("cudaVersion", &[("9.0", ()), ("9.1", ()), ("10.0", ())], report);
    note("cudaVersion", cuda.spot().map(|spot| &spot.at));
    let base_image = fields.text("baseImage", report);
    note("baseImage", base_image.spot().map(|spot| &spot.at));
    if let Read::Good(image) = &base_image {
        report.extend(environment::image_fault(image.value, &image.at));
    }
    if let Read::Good(file) = &conda_file
        && !(file.value.ends_with(".yml") || file.value.ends_with(".yaml"))
    {
        report.push(
            Finding::new(
                Code::CondaFile,
                &file.at,
                format!("{} is no conda definition by its name", quoted(file.value)),
            )
            .found(quoted(file.value))
            .allowed("a file ending in .yml or .yaml")
            .remedy("name the file that lists the packages"),
        );
    }
    let registry = fields.take("baseImageRegistry").and_then(|(json, at)| {
        note("baseImageRegistry", Some(&at));
        environment::registry(json, at, report)
    });
    let text = |read: Read<&str>| read.ok().filter(|text| !text.is_empty()).map(str::to_owned);
    let environment = EnvironmentSpec {
        base_image: text(base_image),
        conda_file: text(conda_file),
        docker_steps: text(steps),
        registry,
        gpu: gpu.ok().unwrap_or_default(),
        ..EnvironmentSpec::default()
    };
    Old { environment, given }
}

fn beside_environment(key: &str, at: &At) -> Finding {
    Finding::new(Code::EnvironmentAndOld, at, format!("an environment and {key:?} exclude each other"))
        .found("both")
        .allowed("an environment alone")
        .remedy(format!("move {key:?} into the environment"))
}

/// The environment may also be named by the folder that an earlier call wrote it to.
pub(crate) fn wants_environment(json: &Json, at: &At) -> Finding {
    wrong_kind(json, at, "an object or the path of a folder")
}

const KEYS: [&str; 11] = [
    "entryScript",
    "sourceDirectory",
    "description",
    "environment",
    "runtime",
    "condaFile",
    "extraDockerfileSteps",
    "enableGpu",
    "cudaVersion",
    "baseImage",
    "baseImageRegistry",
];
