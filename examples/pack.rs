//! What of a folder is packed, and as what.
//!
//! `cargo run --example pack` lists this project's Iris example. `-- list FOLDER` prints the included paths sorted, one a
//! line; `-- digest FOLDER` prints the digest of the tree; `-- write FOLDER FILE` writes the pack, `-` for standard output.

use std::fs::File;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::bail;
use portway_hashing::fs::Project;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match (words.as_slice(), arguments.as_slice()) {
        ([], _) => list(&Project::new(concat!(env!("CARGO_MANIFEST_DIR"), "/iris"))),
        (["list", _], [_, folder]) => list(&Project::new(folder)),
        (["digest", _], [_, folder]) => {
            println!("{}", Project::new(folder).digest()?.digest);
            Ok(())
        }
        (["write", _, _], [_, folder, file]) => write(&Project::new(folder), Path::new(file)),
        _ => bail!("expected `list FOLDER`, `digest FOLDER` or `write FOLDER FILE`"),
    }
}

fn list(project: &Project) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for entry in project.entries()? {
        out.write_all(entry.path().as_os_str().as_encoded_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write(project: &Project, file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        project.pack(stdout().lock())?;
        return Ok(());
    }
    let packed = project.pack(File::create(file)?)?;
    println!("{} files, {} bytes, {}", packed.files, packed.bytes, packed.digest);
    Ok(())
}
