//! Decimal numbers exactly as they were written.

use std::cmp::Ordering;
use std::fmt;

/// A decimal number of any length, compared and converted without rounding.
///
/// The value is `0.d₁d₂d₃… × 10^exponent`, with neither a leading nor a trailing zero among the digits, so that
/// equal numbers are equal structures: `0.10`, `1e-1` and `0.1` are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: Box<str>,
    exponent: i64,
}

/// What [`Decimal::scaled`] makes of a number that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scaled {
    /// The number in units, without a remainder.
    Exact(u64),
    /// The whole units in the number; something remains.
    Floor(u64),
    /// More units than a `u64` holds.
    TooLarge,
}

impl Decimal {
    /// Reads the text of a JSON number; `None` for anything that is not one.
    ///
    /// # Examples
    ///
    /// ```
    /// use portway_deploy_config::Decimal;
    ///
    /// assert_eq!(Decimal::parse("0.10"), Decimal::parse("1e-1"));
    /// assert!(Decimal::parse("0.1") < Decimal::parse("0.10000000000000000000000000000000000000000001"));
    /// assert_eq!(Decimal::parse("one"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], parse_power(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        if !all_digits(whole) || !all_digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        Some(Self::normal(negative, whole, fraction, power))
    }

    fn normal(negative: bool, whole: &str, fraction: &str, power: i64) -> Self {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let length = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let joined;
        let all = match (whole, fraction) {
            (whole, "") => whole,
            ("", fraction) => fraction,
            _ => {
                joined = [whole, fraction].concat();
                &joined
            }
        };
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0');
        if digits.is_empty() {
            return Self { negative: false, digits: "".into(), exponent: 0 };
        }
        let shift = i64::try_from(leading).unwrap_or(i64::MAX);
        let exponent = power.saturating_add(length).saturating_sub(shift);
        Self { negative, digits: digits.into(), exponent }
    }

    /// Whether the number is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether the number is above zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        !self.negative && !self.is_zero()
    }

    /// Whether the number is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether the number is whole: `3`, `3.0` and `30e-1` are, `1.5` is not.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.is_zero() || i64::try_from(self.digits.len()).is_ok_and(|digits| self.exponent >= digits)
    }

    /// The number as a `u64`, if it is one.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self.scaled(0) {
            Scaled::Exact(value) if !self.negative => Some(value),
            _ => None,
        }
    }

    /// The magnitude in units of `10^-places`.
    pub(crate) fn scaled(&self, places: u8) -> Scaled {
        let point = self.exponent.saturating_add(i64::from(places));
        if self.is_zero() {
            return Scaled::Exact(0);
        }
        if point > 20 {
            return Scaled::TooLarge;
        }
        let point = usize::try_from(point).unwrap_or(0);
        let kept = self.digits.get(..point).unwrap_or(&self.digits);
        let zeros = u32::try_from(point - kept.len()).unwrap_or(0);
        let whole = if kept.is_empty() { Some(0) } else { kept.parse::<u64>().ok() };
        match whole.and_then(|whole| whole.checked_mul(10_u64.checked_pow(zeros)?)) {
            None => Scaled::TooLarge,
            Some(units) if kept.len() == self.digits.len() => Scaled::Exact(units),
            Some(units) => Scaled::Floor(units),
        }
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An exponent; one that no `i64` holds is held at its end, where every comparison still comes out right.
fn parse_power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !all_digits(digits) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX / 2);
    Some(if text.starts_with('-') { -size } else { size })
}

impl From<u32> for Decimal {
    fn from(value: u32) -> Self {
        Self::normal(false, &value.to_string(), "", 0)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| i8::from(number.is_positive()) - i8::from(number.negative);
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
            if self.negative { size.reverse() } else { size }
        })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let count = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        match self.exponent {
            _ if self.is_zero() => f.write_str("0"),
            point if point <= 0 && point > -20 => {
                write!(f, "{sign}0.{}{}", "0".repeat(point.unsigned_abs() as usize), self.digits)
            }
            point if (1..count).contains(&point) => {
                let (whole, fraction) = self.digits.split_at(point.unsigned_abs() as usize);
                write!(f, "{sign}{whole}.{fraction}")
            }
            point if (count..=20).contains(&point) => {
                write!(f, "{sign}{}{}", self.digits, "0".repeat((point - count).unsigned_abs() as usize))
            }
            point => write!(f, "{sign}0.{}e{point}", self.digits),
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for (one, other) in [("0.1", "0.100"), ("100", "1e2"), ("0", "-0.0e7"), ("12.5", "0.0125E+3")] {
            assert_eq!(decimal(one), decimal(other), "{one} {other}");
        }
    }

    #[test]
    fn order_is_exact() {
        let rising =
            ["-1e9", "-1.5", "-1", "0", "1e-99999999999999999999", "0.1", "0.10000000000000000001", "1e999"];
        for pair in rising.windows(2) {
            assert!(decimal(pair[0]) < decimal(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn scaling_says_what_remains() {
        assert_eq!(decimal("0.1").scaled(3), Scaled::Exact(100));
        assert_eq!(decimal("0.0001").scaled(3), Scaled::Floor(0));
        assert_eq!(decimal("1.0015").scaled(3), Scaled::Floor(1001));
        assert_eq!(decimal("1e30").scaled(0), Scaled::TooLarge);
        assert_eq!(decimal("18446744073709551615").scaled(0), Scaled::Exact(u64::MAX));
        assert_eq!(decimal("18446744073709551616").scaled(0), Scaled::TooLarge);
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in ["", "-", "01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "+1", "1 "] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn display_is_the_shortest_plain_form() {
        for (text, shown) in
            [("0.10", "0.1"), ("-1.50", "-1.5"), ("2e1", "20"), ("5e-3", "0.005"), ("7.0", "7")]
        {
            assert_eq!(decimal(text).to_string(), shown);
        }
    }
}
