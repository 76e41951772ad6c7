//! What a version runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portway_backend::EntryStyle;
use portway_deploy_config::{ProbeSpec, Resources, ServiceSpec};
use serde::{Deserialize, Serialize};

use crate::entry::{entry_style, read_script};
use crate::{Fault, ImageRequest};

/// The source of a version: its project folder and entry script, the image they run in, and what one replica is given.
///
/// # Examples
///
/// ```
/// use portway_deployer::Source;
///
/// let mut source = Source::new("examples/iris/softmax", "score.py");
/// source.variables.insert("WORK_MS".into(), "20".into());
/// source.image.conda = Some("dependencies:\n- pip:\n  - numpy==2.1.0\n".into());
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// The project folder. It is packed without what `.amlignore` or `.gitignore` name.
    pub folder: PathBuf,
    /// The entry script, relative to the folder.
    pub script: String,
    /// The script's arguments.
    pub arguments: Vec<String>,
    /// How the script serves; `None`: as [`entry_style`] reads it.
    pub style: Option<EntryStyle>,
    /// What the image holds.
    pub image: ImageRequest,
    /// Environment variables of the script.
    pub variables: BTreeMap<String, String>,
    /// CPU, memory and GPUs of one replica.
    pub resources: Resources,
    /// How a running replica is found to have failed.
    pub probe: ProbeSpec,
}

impl Source {
    /// A project folder and its entry script; everything else at its default.
    pub fn new(folder: impl Into<PathBuf>, script: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            script: script.into(),
            arguments: Vec::new(),
            style: None,
            image: ImageRequest::default(),
            variables: BTreeMap::new(),
            resources: Resources::default(),
            probe: ProbeSpec::default(),
        }
    }

    /// The same with the resources and the probe of a deployment configuration; its routing part is
    /// [`ServiceSpec::version_spec`].
    #[must_use]
    pub fn sized(self, spec: &ServiceSpec) -> Self {
        Self { resources: spec.resources.clone(), probe: spec.probe, ..self }
    }

    /// The style of the entry script, or all that is wrong with the folder and the script. Reads the disk.
    pub(crate) fn check(&self) -> Result<EntryStyle, Vec<Fault>> {
        let mut faults = Vec::new();
        if !self.folder.is_dir() {
            let folder = self.folder.display();
            faults.push(Fault::new(
                "folder",
                format!("{folder} is no folder that can be read; name the project folder"),
            ));
        }
        for name in self.variables.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("{name:?} can't be the name of an environment variable");
                faults.push(Fault::new("variables", message));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        match read_script(&self.folder, &self.script) {
            Ok(text) => Ok(self.style.unwrap_or_else(|| entry_style(&text))),
            Err(bad) => {
                let message = format!("the entry script {:?} {bad}", self.script);
                Err(vec![Fault::new("script", message)])
            }
        }
    }
}
