//! The key of an environment, and why two environments have different keys.
//!
//! `cargo run --example image_key` shows both for two small environments. `-- FOLDER` prints the key of a folder's
//! environment; `-- FOLDER --explain OTHER` prints the difference field by field (nothing if there is none).
//! A folder may have a conda document (`conda.yml`, `environment.yml`, or the only YAML file), `docker_steps` (one a line),
//! and `base_image` (a name as written, or `repository@sha256:…`); `--base` and `--platform` beat what is there.

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
    let conda = conda(folder).with_context(|| format!("in {}", folder.display()))?;
    let written = text(folder, "base_image")?.unwrap_or_else(|| "none".to_owned());
    let base = base.map_or_else(|| written.trim().parse(), Ok)?;
    let inputs = ImageInputs::new(platform, base, Recipe::new("example-1")?);
    let steps = text(folder, "docker_steps")?.unwrap_or_default();
    let inputs = steps.lines().filter(|step| !step.trim().is_empty()).fold(inputs, ImageInputs::step);
    Ok(conda.into_iter().fold(inputs, ImageInputs::conda))
}

fn conda(folder: &Path) -> anyhow::Result<Option<CondaDocument>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yml") || name.ends_with(".yaml")).collect();
    if let Some(known) =
        names.iter().position(|name| name.starts_with("conda.") || name.starts_with("environment."))
    {
        names = vec![names.swap_remove(known)];
    }
    anyhow::ensure!(names.len() <= 1, "which is the conda document? name it `conda.yml`: {names:?}");
    let Some(name) = names.first() else { return Ok(None) };
    let text = fs::read_to_string(folder.join(name)).with_context(|| name.clone())?;
    Ok(Some(CondaDocument::parse(&text).with_context(|| name.clone())?))
}

/// The text of a file that may be missing.
fn text(folder: &Path, name: &str) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {name} in {}", folder.display())),
    }
}
