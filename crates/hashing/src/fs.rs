//! The project folder (feature `fs`, Unix): what the ignore rules leave of it, its digest, its pack.
//!
//! [`Project`] walks the folder top-down under git's rules: `.amlignore` in the root, or else every `.gitignore`. `.git` is never
//! part of a project, links are kept and never followed, and a folder exists only through what it holds, as with git.
//! The digest is a Merkle tree over names, contents, the executable bit and link targets; times, owners and inodes don't count.
//! [`Project::pack`] writes a tar archive whose bytes depend on the same things only, and [`unpack`] reads it into an empty
//! folder without ever touching anything outside.

mod entry;
mod error;
mod ignore;
mod limits;
mod link;
mod pack;
mod project;
mod read;
mod stat_cache;
mod tree;
mod unpack;
mod walk;

pub use entry::{Entry, Kind};
pub use error::ProjectError;
pub use limits::{Limits, TooBig};
pub use project::{Project, Summary};
pub use unpack::{UnpackError, unpack};
