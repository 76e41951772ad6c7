//! A part of an endpoint's traffic.

use std::fmt;

use thiserror::Error;

/// A part of an endpoint's traffic, in basis points: 0 to 10 000, where 10 000 is all of it.
///
/// ```
/// use portway_router::Share;
///
/// assert_eq!(Share::percent(20)?.basis_points(), 2_000);
/// assert_eq!(Share::new(1_250)?.to_string(), "12.5 %");
/// assert!(Share::percent(101).is_err());
/// # Ok::<(), portway_router::InvalidShare>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "u16", into = "u16")
)]
pub struct Share(u16);

impl Share {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(WHOLE);

    /// A share of so many basis points (hundredths of a percent).
    ///
    /// # Errors
    /// [`InvalidShare`] above 10 000.
    pub const fn new(basis_points: u16) -> Result<Self, InvalidShare> {
        if basis_points > WHOLE {
            return Err(InvalidShare { basis_points: basis_points as u32 });
        }
        Ok(Self(basis_points))
    }

    /// A share of so many whole percent.
    ///
    /// # Errors
    /// [`InvalidShare`] above 100.
    pub const fn percent(percent: u8) -> Result<Self, InvalidShare> {
        if percent > 100 {
            return Err(InvalidShare { basis_points: percent as u32 * 100 });
        }
        Ok(Self(percent as u16 * 100))
    }

    /// The share in basis points, 0 to 10 000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_valid(basis_points: u16) -> Self {
        debug_assert!(basis_points <= WHOLE);
        Self(basis_points)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{} %", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

impl TryFrom<u16> for Share {
    type Error = InvalidShare;

    fn try_from(basis_points: u16) -> Result<Self, InvalidShare> {
        Self::new(basis_points)
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> Self {
        share.0
    }
}

/// More than all of the traffic was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a share is at most 10000 basis points (100 %), found {basis_points}")]
pub struct InvalidShare {
    /// What was asked for, in basis points.
    pub basis_points: u32,
}

/// All of the traffic, in basis points.
pub(crate) const WHOLE: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_few_digits_as_needed() {
        let text = |bp| Share::new(bp).unwrap().to_string();
        assert_eq!(
            [text(0), text(1), text(10), text(1_250), text(10_000)],
            ["0 %", "0.01 %", "0.1 %", "12.5 %", "100 %"]
        );
    }

    #[test]
    fn refuses_more_than_everything() {
        assert_eq!(Share::new(10_001), Err(InvalidShare { basis_points: 10_001 }));
        assert_eq!(Share::percent(200), Err(InvalidShare { basis_points: 20_000 }));
    }
}
