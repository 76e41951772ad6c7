//! Quantities in whole units: no float ever meets a limit.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::decimal::{Decimal, Scaled};

/// Processor time in thousandths of a core; `0.1` cores are 100 millicores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicores(pub u32);

/// Memory in MiB; a configuration's `memory_gb` counts 1024 of them to the gigabyte and is rounded up.
///
/// The documents say “GB” and leave open which one; 1024 MiB is the larger reading, so a container never gets less than was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryMib(pub u32);

/// A share of the traffic in basis points: 10 000 are all of it; written as a percentage with at most two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u16);

/// Why a number is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// Below zero, where nothing below zero has a meaning.
    #[error("is below zero")]
    Negative,
    /// Above what the type holds or the rule allows.
    #[error("is too large")]
    TooLarge,
    /// Finer than the smallest unit.
    #[error("is finer than the smallest unit")]
    TooFine,
}

impl Millicores {
    /// A number of cores, rounded up to the next thousandth.
    ///
    /// # Errors
    ///
    /// [`QuantityError::Negative`] and [`QuantityError::TooLarge`] (above 4 294 967 cores).
    pub fn from_cores(cores: &Decimal) -> Result<Self, QuantityError> {
        rounded_up(cores, 3, 1).map(Self)
    }

    /// The same number in cores, as text without needless zeros: `0.1`.
    #[must_use]
    pub fn cores(self) -> String {
        fixed(self.0, 1000, 3)
    }
}

impl MemoryMib {
    /// A number of gigabytes of 1024 MiB, rounded up to the next MiB.
    ///
    /// # Errors
    ///
    /// [`QuantityError::Negative`] and [`QuantityError::TooLarge`] (above 4 194 303 GB).
    pub fn from_gigabytes(gigabytes: &Decimal) -> Result<Self, QuantityError> {
        rounded_up(gigabytes, 9, 1024).map(Self)
    }

    /// The same amount in gigabytes of 1024 MiB, as exact text: 512 MiB are `0.5`, 1 MiB is `0.0009765625`.
    #[must_use]
    pub fn gigabytes(self) -> String {
        // 1/1024 has ten decimals, so ten are always enough.
        let ten_decimals = u64::from(self.0 % 1024) * 9_765_625;
        let text = format!("{}.{ten_decimals:010}", self.0 / 1024);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// `value × factor` in units of `10^-places` turned into whole units, upwards.
fn rounded_up(value: &Decimal, places: u8, factor: u64) -> Result<u32, QuantityError> {
    if value.is_negative() {
        return Err(QuantityError::Negative);
    }
    let (units, rest) = match value.scaled(places) {
        Scaled::Exact(units) => (units, 0),
        Scaled::Floor(units) => (units, 1),
        Scaled::TooLarge => return Err(QuantityError::TooLarge),
    };
    let divisor = if factor == 1 { 1 } else { 10_u128.pow(u32::from(places)) };
    let whole = (u128::from(units) * u128::from(factor) + rest).div_ceil(divisor);
    u32::try_from(whole).map_err(|_| QuantityError::TooLarge)
}

fn fixed(value: u32, unit: u32, places: usize) -> String {
    let text = format!("{}.{:0places$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

impl fmt::Display for MemoryMib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

// === impl Share ===

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of the traffic, 100 %.
    pub const ALL: Self = Self(10_000);

    /// A share in basis points, 0 to 10 000; `None` above.
    #[must_use]
    pub const fn from_basis_points(points: u16) -> Option<Self> {
        if points <= Self::ALL.0 { Some(Self(points)) } else { None }
    }

    /// A whole percentage, 0 to 100; `None` above.
    #[must_use]
    pub const fn percent(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent as u16 * 100)) } else { None }
    }

    /// A percentage as it was written.
    ///
    /// # Errors
    ///
    /// Below 0, above 100, or finer than 0.01.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_deploy_config::{Decimal, QuantityError, Share};
    ///
    /// let percent = |text| Share::from_percent(&Decimal::parse(text).ok_or(QuantityError::TooFine)?);
    /// assert_eq!(percent("12.5")?.basis_points(), 1250);
    /// assert_eq!(percent("100.01"), Err(QuantityError::TooLarge));
    /// assert_eq!(percent("0.001"), Err(QuantityError::TooFine));
    /// # Ok::<(), QuantityError>(())
    /// ```
    pub fn from_percent(percent: &Decimal) -> Result<Self, QuantityError> {
        if percent.is_negative() {
            return Err(QuantityError::Negative);
        }
        if *percent > Decimal::from(100) {
            return Err(QuantityError::TooLarge);
        }
        match percent.scaled(2) {
            Scaled::Exact(points) => u16::try_from(points).map(Self).map_err(|_| QuantityError::TooLarge),
            Scaled::Floor(_) => Err(QuantityError::TooFine),
            Scaled::TooLarge => Err(QuantityError::TooLarge),
        }
    }

    /// The share in basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// The share as a percentage without needless zeros: `12.5`.
    #[must_use]
    pub fn as_percent(self) -> String {
        fixed(u32::from(self.0), 100, 2)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.as_percent())
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(100) {
            serializer.serialize_u16(self.0 / 100)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A float's shortest text is what was written, up to its 15 digits; two decimals survive that.
        let percent = f64::deserialize(deserializer)?;
        Decimal::parse(&percent.to_string())
            .ok_or(QuantityError::TooLarge)
            .and_then(|percent| Self::from_percent(&percent))
            .map_err(|error| de::Error::custom(format_args!("share {percent} {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn a_tenth_of_a_core_is_a_hundred_millicores() {
        assert_eq!(Millicores::from_cores(&decimal("0.1")), Ok(Millicores(100)));
        assert_eq!(Millicores::from_cores(&decimal("0.0001")), Ok(Millicores(1)));
        assert_eq!(Millicores::from_cores(&decimal("-1")), Err(QuantityError::Negative));
        assert_eq!(Millicores(1500).cores(), "1.5");
    }

    #[test]
    fn memory_never_shrinks_on_the_way_in_and_comes_back_whole() {
        assert_eq!(MemoryMib::from_gigabytes(&decimal("0.5")), Ok(MemoryMib(512)));
        assert_eq!(MemoryMib::from_gigabytes(&decimal("0.2")), Ok(MemoryMib(205)));
        assert_eq!(MemoryMib::from_gigabytes(&decimal("1e30")), Err(QuantityError::TooLarge));
        for mib in [0, 1, 205, 1023, 1024, 4_194_303] {
            let text = MemoryMib(mib).gigabytes();
            assert_eq!(MemoryMib::from_gigabytes(&decimal(&text)), Ok(MemoryMib(mib)), "{text}");
        }
    }

    #[test]
    fn shares_are_written_as_percentages() {
        for points in [0, 1, 1234, 1250, 3000, 10_000] {
            let share = Share::from_basis_points(points).unwrap();
            let text = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Share>(&text).unwrap(), share, "{text}");
            assert_eq!(Share::from_percent(&decimal(&share.as_percent())), Ok(share));
        }
        assert!(serde_json::from_str::<Share>("100.01").is_err());
        assert!(serde_json::from_str::<Share>("-1").is_err());
    }
}
