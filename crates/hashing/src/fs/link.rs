/// Whether a link in the folder of `path` may point to `target`: relative, with `..` only at the start, and not above the root.
///
/// A `..` after a name is refused although it may stay inside: the name may be a link itself, and then only the file system knows where
/// its parent is. Without it, every link resolves inside the root as long as all the others do.
pub(super) fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let mut above = path.iter().filter(|byte| **byte == b'/').count();
    let mut named = false;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named || above == 0 => return false,
            b".." => above -= 1,
            _ => named = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_img_3_a_link_stays_inside() {
        let inside = [
            ("a", "b"),
            ("a", "b/c"),
            ("d/a", "../b"),
            ("d/e/a", "../../b"),
            ("a", "./b"),
            ("d/a", ".."),
            ("a", "b//c"),
        ];
        for (path, target) in inside {
            assert!(stays_inside(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        let outside = [
            ("a", ".."),
            ("a", "../b"),
            ("d/a", "../../b"),
            ("a", "/etc"),
            ("a", ""),
            ("d/a", "b/../../c"),
            ("a", "b/.."),
        ];
        for (path, target) in outside {
            assert!(!stays_inside(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }
}
