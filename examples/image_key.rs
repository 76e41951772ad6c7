//! The key of an environment, and why two environments have different keys.
//!
//! `cargo run --example image_key` shows both for two small environments. `-- FOLDER` prints the key of a folder's
//! environment; `-- FOLDER --explain OTHER` prints the difference field by field (nothing if there is none).
//! A folder may have a conda document (`conda.yml`, `environment.yml`, also `.yaml`), `docker_steps` (one a line), and
//! `base_image` (a name as written, or `repository@sha256:…`); `--base` and `--platform` beat what is there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lexopt::prelude::*;
use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Platform, Recipe};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/environments");

fn main() -> anyhow::Result<()> {
    let (mut folder, mut other, mut base, mut platform) = (None, None, None, Platform::host());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("explain") => other = Some(PathBuf::from(arguments.value()?)),
            Long("base") => base = Some(arguments.value()?.parse::<BaseImage>()?),
            Long("platform") => platform = arguments.value()?.parse()?,
            Value(value) if folder.is_none() => folder = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let inputs = |folder: &Path| inputs(folder, base.clone(), platform.clone());
    let Some(folder) = folder else {
        let (first, second) =
            (inputs(&Path::new(DEMO).join("first"))?, inputs(&Path::new(DEMO).join("second"))?);
        println!("first  {}\nsecond {}\n{}", first.key(), second.key(), first.explain(&second));
        return Ok(());
    };
    match other {
        None => println!("{}", inputs(&folder)?.key()),
        Some(other) => {
            let explanation = inputs(&folder)?.explain(&inputs(&other)?);
            explanation.differences().iter().for_each(|difference| println!("{difference}"));
        }
    }
    Ok(())
}

fn inputs(folder: &Path, base: Option<BaseImage>, platform: Platform) -> anyhow::Result<ImageInputs> {
    fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let written = text(folder, "base_image")?.unwrap_or_else(|| "none".to_owned());
    let base = base.map_or_else(|| written.trim().parse(), Ok)?;
    let mut inputs = ImageInputs::new(platform, base, Recipe::new("example-1")?);
    for step in
        text(folder, "docker_steps")?.unwrap_or_default().lines().filter(|step| !step.trim().is_empty())
    {
        inputs = inputs.step(step);
    }
    for name in ["conda.yml", "conda.yaml", "environment.yml", "environment.yaml"] {
        if let Some(text) = text(folder, name)? {
            return Ok(inputs.conda(CondaDocument::parse(&text).with_context(|| name.to_owned())?));
        }
    }
    Ok(inputs)
}

/// The text of a file that may be missing.
fn text(folder: &Path, name: &str) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {name} in {}", folder.display())),
    }
}
