//! One key for one environment, on every machine.
//!
//! An image is found by what it is made of: [`ImageInputs`] (platform, base image, docker steps, conda document, recipe)
//! become canonical bytes, and their SHA-256 is the [`ImageKey`]. Names, versions, environment variables, comments and
//! layout don't count; the order of channels, dependencies and steps does.
//!
//! ```
//! use portway_hashing::{BaseImage, CondaDocument, ImageInputs, Platform, Recipe};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let conda = CondaDocument::parse("dependencies: [python=3.11, {pip: [numpy==1.10]}]")?;
//! let inputs = ImageInputs::new("linux/amd64".parse::<Platform>()?, "debian:12".parse::<BaseImage>()?, Recipe::new("venv-1")?)
//!     .step("RUN useradd app")
//!     .conda(conda);
//! assert!(inputs.key().to_string().starts_with("v1-"));
//! # Ok(())
//! # }
//! ```
//!
//! The crate is pure, but for two features:
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `fs` | the project folder (Unix): what git's ignore rules leave of it, its digest, a deterministic pack and a safe unpack |
//! | `resolve` | `Resolver`: workspace registry, global registry, build; exactly one build for any number of callers |
//! | `serde` | `Serialize` and `Deserialize` for keys, digests and references, as their text |

mod canonical;
mod conda;
mod digest;
mod explain;
#[cfg(all(feature = "fs", unix))]
pub mod fs;
mod inputs;
mod key;
mod platform;
mod reference;
#[cfg(feature = "resolve")]
pub mod resolve;

pub use conda::{CondaDocument, CondaError, CondaProblem};
pub use digest::{Digest, InvalidDigest};
pub use explain::{Difference, Explanation};
pub use inputs::{BaseImage, BaseName, ImageInputs, InvalidInput, Recipe};
pub use key::{ImageKey, InvalidKey};
pub use platform::{InvalidPlatform, Platform};
pub use reference::{ImageRef, InvalidRef};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
