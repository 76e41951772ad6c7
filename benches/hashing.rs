//! What the key and the project folder cost.
//!
//! - `key`: canonical form and SHA-256 of an environment with a conda document of 40 packages; `conda` reads that document.
//! - `tree/unchanged`: digest of an unchanged tree of 10 000 files with a stat cache. Its floor is `tree/walk`, a bare walk over the same
//!   tree with the standard library that asks for each file's metadata. The bar is 1.25 times the floor; since both are
//!   a matter of milliseconds and of whatever else the machine does, they are also run in turns, and the median of the ratios is
//!   printed as `tree/ratio`.
//! - `tree/cold`: digest without a cache, all 10 000 files read; `pack`: the same tree as a tar archive into nothing.

use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use portway_hashing::fs::{Limits, Project};
use portway_hashing::{CondaDocument, ImageInputs, Recipe};

const FILES: usize = 10_000;

fn document() -> String {
    let line = |number: usize| format!("    - package-{number}==1.{number}.0 # pinned\n");
    format!(
        "name: bench\ndependencies:\n  - python=3.11\n  - pip:\n{}",
        (0..40).map(line).collect::<String>()
    )
}

fn key(criterion: &mut Criterion) {
    let text = document();
    criterion.bench_function("conda", |bencher| bencher.iter(|| CondaDocument::parse(black_box(&text))));
    let platform = "linux/amd64".parse().expect("a platform");
    let base = "debian:12".parse().expect("a base");
    let inputs = ImageInputs::new(platform, base, Recipe::new("bench-1").expect("a recipe"))
        .conda(CondaDocument::parse(&text).expect("a document"));
    criterion.bench_function("key", |bencher| bencher.iter(|| black_box(&inputs).key()));
}

/// 10 000 files of 1 kB in 400 folders, under an ordinary `.gitignore`.
fn lay(root: &Path) -> io::Result<()> {
    for number in 0..FILES {
        let folder = root.join(format!("package-{:02}/module-{:02}", number % 20, number % 400 / 20));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("file-{number:05}.py")), format!("{number:01024}"))?;
    }
    let rules = "__pycache__/\n*.pyc\n*.log\n.venv/\n/build/\n/dist/\n*.egg-info/\n.pytest_cache/\ndata/**/raw\n!keep.log\n";
    fs::write(root.join(".gitignore"), rules)
}

/// The floor: every name read, every file asked for its metadata.
fn walk(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { walk(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = WallTime.start();
    act();
    WallTime.end(start)
}

/// The median over turns of both: what slows the machine down slows both down.
fn ratio(root: &Path, project: &Project) -> f64 {
    let turn = || {
        let floor = timed(|| drop(black_box(walk(root))));
        let ours = timed(|| drop(black_box(project.digest())));
        ours.as_secs_f64() / floor.as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..51).map(|_| turn()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn tree(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("project");
    lay(&root).expect("a tree");
    let cold = Project::new(&root).limits(Limits::NONE);
    let cached = cold.clone().stat_cache(folder.path().join("cache"));
    // Twice, since what was written in the tick of the first run is not trusted yet.
    cached.digest().expect("a digest");
    let settled = cached.digest().expect("a digest");
    assert_eq!(settled.files, FILES as u64 + 1);
    let mut group = criterion.benchmark_group("tree");
    group.sample_size(20);
    group.bench_function("walk", |bencher| bencher.iter(|| walk(&root)));
    group.bench_function("unchanged", |bencher| bencher.iter(|| cached.digest()));
    group.bench_function("cold", |bencher| bencher.iter(|| cold.digest()));
    group.bench_function("pack", |bencher| bencher.iter(|| cold.pack(io::sink())));
    group.finish();
    assert_eq!(cached.digest().expect("a digest").read, 0);
    println!("tree/ratio              unchanged is {:.2} x walk (bar: 1.25)", ratio(&root, &cached));
}

criterion_group!(benches, key, tree);
criterion_main!(benches);
