//! Values that are zeroed when dropped and never printed.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A piece of text that must not be seen: zeroed on drop, `[redacted]` in `Debug`, no `Display`, no serde.
///
/// ```
/// let secret = portway_auth::Secret::from("hunter2".to_owned());
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// The text itself. Each call is a place where the secret can get out: keep them few.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// 256 bits of chance, handed in as an argument so that everything else in this crate is a function of its inputs.
///
/// [`Entropy::from_system`] is the one place that asks the operating system; tests give bytes of their own.
#[derive(Clone)]
pub struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Draws from the operating system's generator.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system has no randomness to give; nothing may be issued then.
    pub fn from_system() -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| NoEntropy)?;
        Ok(Self(bytes))
    }

    /// Takes given bytes. They must be unpredictable outside of tests.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random generator gave nothing")]
pub struct NoEntropy;
