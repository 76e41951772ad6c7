//! Finds the image of a conda document in a registry, or builds it there with `buildah`, and prints what its manifest says of it.
//!
//! `cargo run -p examples --example build_image --features buildah -- --registry registry.test/environments conda.yml`; it takes `buildah`
//! (Debian's package of that name), the right to push to that registry, and a base image with python3.

use std::sync::Arc;

use lexopt::prelude::*;
use portway_hashing::resolve::{FileLock, Resolver};
use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Platform};
use portway_images::{Access, BuildahBuilder, OciRegistry, OciSettings};

const HELP: &str = "\
Usage: build_image --registry HOST/REPOSITORY [OPTIONS] CONDA_FILE

  --registry HOST/REPO   where images are found and pushed
  --auth-file FILE       who asks, in docker's form [default: nobody in particular]
  --plain-http           the registry speaks HTTP without TLS
  --base IMAGE           what to start from [default: python:3.11-slim]
  --step INSTRUCTION     a docker instruction before the packages; may be repeated
  --folder FOLDER        where to build [default: state]
  --help                 this text
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (mut registry, mut access, mut plain_http) = (None, Access::anonymous(), false);
    let (mut base, mut steps) = ("python:3.11-slim".parse::<BaseImage>()?, Vec::new());
    let (mut folder, mut file) = (std::path::PathBuf::from("state"), None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("registry") => registry = Some(arguments.value()?.parse()?),
            Long("auth-file") => access = Access::file(arguments.value()?),
            Long("plain-http") => plain_http = true,
            Long("base") => base = arguments.value()?.parse()?,
            Long("step") => steps.push(arguments.value()?.string()?),
            Long("folder") => folder = arguments.value()?.into(),
            Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Value(path) => file = Some(path),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(registry), Some(file)) = (registry, file) else { anyhow::bail!("{HELP}") };
    let settings = OciSettings::new(registry).access(access);
    let registry = OciRegistry::new(if plain_http { settings.plain_http() } else { settings })?;
    let builder = BuildahBuilder::new(registry.clone(), folder.join("builds"));
    let resolver = Resolver::new(registry.clone(), builder, FileLock::open(folder.join("locks"))?);

    let conda = CondaDocument::parse(&std::fs::read_to_string(file)?)?;
    let inputs = ImageInputs::new(Platform::host(), base, BuildahBuilder::recipe()).conda(conda);
    let inputs = steps.into_iter().fold(inputs, ImageInputs::step);
    let image = resolver.resolve(&inputs, Arc::new(|line: &str| eprintln!("{line}"))).await?.image;
    println!("{image}");
    registry.annotations(&image).await?.iter().for_each(|(name, value)| println!("  {name} = {value}"));
    Ok(())
}
