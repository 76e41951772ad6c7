//! “Did you mean …?”

/// The candidate nearest to `text`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if text.len() > LONGEST {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(text.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_are_recognised_and_strangers_are_not() {
        let keys = ["minReplicas", "maxReplicas", "numReplicas"];
        assert_eq!(nearest("minreplica", keys.into_iter()), Some("minReplicas"));
        assert_eq!(nearest("nunReplicas", keys.into_iter()), Some("numReplicas"));
        assert_eq!(nearest("gpu", keys.into_iter()), None);
        assert_eq!(nearest(&"minReplicas".repeat(99), keys.into_iter()), None);
    }
}
