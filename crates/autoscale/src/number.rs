//! Numbers from outside, made safe.

/// `number` within two bounds; the lower one for a NaN, which `f64::clamp` would let through.
pub(crate) fn within(number: f64, low: f64, high: f64) -> f64 {
    if number >= low { number.min(high) } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_the_lower_bound() {
        let found = [f64::NAN, -1.0, 0.5, f64::INFINITY].map(|number| within(number, 0.0, 1.0));
        assert_eq!(found, [0.0, 0.0, 0.5, 1.0]);
    }
}
