//! What there is to build, decided before anything is done.

use std::ffi::OsString;
use std::fmt::Write as _;

use portway_hashing::ImageInputs;
use portway_hashing::resolve::BuildError;

use super::base::{Base, BaseName};
use super::steps::instructions;
use crate::packages::{Packages, Refuser, refused};

/// A build, but for what only the base image can tell.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) base: BaseName,
    steps: Vec<String>,
    /// The last `USER` among the steps: as whom the image's programs run.
    user: Option<String>,
    /// Of the conda document; without one, nothing is added to what the base and the steps give.
    packages: Option<Packages>,
}

impl Plan {
    pub(super) fn of(inputs: &ImageInputs) -> Result<Self, BuildError> {
        let (mut steps, mut user) = (Vec::new(), None);
        for (index, step) in inputs.steps().iter().enumerate() {
            let found = instructions(step).map_err(|why| refused(format!("docker step {index} {why}")))?;
            let last = found.into_iter().rfind(|instruction| instruction.word == "USER");
            user = last.map(|instruction| instruction.rest).or(user);
            steps.push(step.replace("\r\n", "\n"));
        }
        let packages = inputs.conda_document().map(|conda| Packages::of(conda, REFUSER)).transpose()?;
        Ok(Self { base: BaseName::of(inputs.base())?, steps, user, packages })
    }

    /// The Containerfile. With `pip_configuration` there is a secret `pip` to be shown to pip, and to nobody else.
    ///
    /// The environment is made by root, and the user is afterwards who it was before.
    pub(super) fn containerfile(&self, base: &Base, pip_configuration: bool) -> String {
        let mut text = format!("FROM {}\nARG SOURCE_DATE_EPOCH={EPOCH}\n", base.pinned());
        for step in &self.steps {
            text.push_str(step.trim_end_matches('\n'));
            text.push('\n');
        }
        if self.packages.is_none() {
            return text;
        }
        let user = self.user.as_deref().unwrap_or(&base.user);
        let mounts = if pip_configuration { format!("{CONTEXT} {SECRET}") } else { CONTEXT.to_owned() };
        let run = format!("RUN {mounts} {INSTALL}\nENV VIRTUAL_ENV={VENV} PATH={VENV}/bin:$PATH\n");
        match user {
            "" => text.push_str(&run),
            user => _ = write!(text, "USER 0\n{run}USER {user}\n"),
        }
        text
    }

    /// The files that the Containerfile names, with their content. `arguments` are pip's.
    pub(super) fn files(&self, arguments: &[OsString]) -> Vec<(&'static str, String)> {
        let Some(Packages { requirements, python }) = &self.packages else { return Vec::new() };
        let clauses = python.iter().flat_map(|python| &python.clauses);
        let clauses: Vec<_> =
            clauses.map(|clause| (clause.operator, &clause.version, clause.prefix)).collect();
        let environment = serde_json::json!({
            "folder": VENV,
            "python": python.as_ref().map_or("", |python| &python.text),
            "clauses": clauses,
            "install": !requirements.is_empty(),
            "arguments": arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>(),
        });
        vec![
            ("install.py", include_str!("install.py").to_owned()),
            ("environment.json", environment.to_string()),
            ("requirements.txt", requirements.iter().flat_map(|line| [line, "\n"]).collect()),
        ]
    }
}

const REFUSER: Refuser = Refuser {
    who: "an image build",
    remedy: "move it into the `pip` section, install it with a docker step, or start from a base image that has it",
};
/// Where the environment stands in the image.
const VENV: &str = "/opt/portway/venv";
/// What files and the image are dated: the first second of 1980, since zip files (wheels among them) know no earlier one. Python's
/// compiled files then name the content of their source, whose time changes.
pub(super) const EPOCH: u32 = 315_532_800;
const CONTEXT: &str = "--mount=type=bind,source=.,target=/run/portway";
const SECRET: &str = "--mount=type=secret,id=pip,target=/run/portway-pip.conf";
/// The shell's `exec`, so that the exit status is the script's.
const INSTALL: &str = "command -v python3 >/dev/null || { echo 'portway: this image has no python3 for the conda document; \
                       install it with a docker step, or start from an image that has it' >&2; exit 1; }; \
                       exec python3 -I /run/portway/install.py";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use portway_hashing::{CondaDocument, Digest, Platform};

    use super::*;
    use crate::packages::{ALLOWED, NOT_ALLOWED};

    fn inputs(base: &str) -> ImageInputs {
        let platform = Platform::host();
        ImageInputs::new(platform, base.parse().unwrap(), crate::BuildahBuilder::recipe())
    }

    fn conda(text: &str) -> CondaDocument {
        CondaDocument::parse(text).unwrap()
    }

    fn containerfile(inputs: &ImageInputs, user: &str, secret: bool) -> String {
        let plan = Plan::of(inputs).unwrap();
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4)).parse::<Digest>().unwrap();
        let base = Base { name: plan.base.clone(), digest, user: user.to_owned() };
        plan.containerfile(&base, secret)
    }

    #[test]
    fn r_img_1_the_base_the_steps_in_order_and_the_conda_document_make_the_containerfile() {
        let inputs = inputs("python:3.11-slim")
            .step("RUN apt-get update && \\\r\n    apt-get install -y libgomp1\r\n")
            .step("ENV OMP_NUM_THREADS=1")
            .conda(conda("dependencies: [python=3.11, {pip: [numpy==1.10]}]"));
        assert_eq!(containerfile(&inputs, "", true), include_str!("golden/conda.containerfile"));
        let plain = containerfile(&inputs, "", false);
        assert!(!plain.contains("secret"), "{plain}");
    }

    #[test]
    fn without_a_conda_document_nothing_is_added_to_the_steps() {
        let text =
            containerfile(&inputs("registry.test:5000/base:1").step("RUN true").step("USER me"), "", true);
        let digest = "0123456789abcdef".repeat(4);
        let expected = "FROM registry.test:5000/base@sha256:DIGEST\nARG SOURCE_DATE_EPOCH=315532800\nRUN true\nUSER me\n";
        assert_eq!(text, expected.replace("DIGEST", &digest));
        assert!(Plan::of(&inputs("a")).unwrap().files(&[]).is_empty());
    }

    #[test]
    fn root_makes_the_environment_and_the_user_stays_who_it_was() {
        let inputs = inputs("a").conda(conda("dependencies: [python]"));
        let text = containerfile(&inputs, "app", false);
        assert!(text.contains("\nUSER 0\nRUN ") && text.ends_with("\nUSER app\n"), "{text}");
        let text = containerfile(&inputs.step("USER first\nUSER $ME:all").step("RUN true"), "app", false);
        assert!(text.contains("\nUSER 0\nRUN ") && text.ends_with("\nUSER $ME:all\n"), "{text}");
    }

    #[test]
    fn the_files_hold_the_requirements_and_what_python_has_to_be() {
        let document = "dependencies: [\"python>=3.9,<3.12\", {pip: [numpy==1.10, '--no-binary :all:']}]";
        let files = Plan::of(&inputs("a").conda(conda(document))).unwrap().files(&["--no-index".into()]);
        let text = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1.as_str();
        assert_eq!(text("requirements.txt"), "numpy==1.10\n--no-binary :all:\n");
        let expected = serde_json::json!({
            "folder": "/opt/portway/venv", "python": ">=3.9,<3.12", "install": true, "arguments": ["--no-index"],
            "clauses": [[">=", [3, 9], false], ["<", [3, 12], false]],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(text("environment.json")).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_the_remedy() {
        for (inputs, names) in [
            (
                inputs("a").conda(conda("dependencies: [numpy]")),
                "`numpy`; move it into the `pip` section, install it",
            ),
            (inputs("a").conda(conda("dependencies: [{pip: ['-r r.txt']}]")), "r.txt"),
            (inputs("a").step("RUN true").step("FROM b"), "docker step 1 has `FROM`"),
            (inputs("scratch"), "`scratch` has no digest"),
        ] {
            let error = Plan::of(&inputs).unwrap_err().to_string();
            assert!(error.starts_with("build refused") && error.contains(names), "{error}");
        }
    }

    /// The rule is written twice, in Rust and in the image's Python: both judge the same versions.
    #[test]
    fn python_judges_versions_as_we_do() {
        let versions: Vec<_> = ALLOWED.iter().chain(&NOT_ALLOWED).collect();
        let clauses = versions.iter().map(|version| {
            let document = conda(&format!("dependencies: ['python {version}']"));
            let files = Plan::of(&inputs("a").conda(document)).unwrap().files(&[]);
            serde_json::from_str::<serde_json::Value>(&files[1].1).unwrap()["clauses"].clone()
        });
        let script = format!(
            "import sys; sys.argv = ['']; exec({:?}.replace('if __name__', 'if 0 and __name__'), {{'__file__': '/x'}}, space := {{}}); import json\n\
             print([space['allows'](clauses, [3, 11, 7]) for clauses in json.loads({:?})])",
            include_str!("install.py"),
            serde_json::Value::from_iter(clauses).to_string(),
        );
        let Ok(output) = Command::new("python3").args(["-c", &script]).output() else {
            assert!(std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_none(), "python3 is missing");
            return eprintln!("skipped: python3 is missing; `apt-get install python3`");
        };
        let expected: Vec<_> =
            versions.iter().map(|version| if ALLOWED.contains(version) { "True" } else { "False" }).collect();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said.trim(),
            format!("[{}]", expected.join(", ")),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
