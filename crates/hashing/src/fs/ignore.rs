use gix_glob::Pattern;
use gix_glob::pattern::{Case, Mode};
use gix_glob::wildmatch::Mode as Slashes;

/// The ignore files in force at one point of the walk, outermost first.
#[derive(Default)]
pub(super) struct Rules {
    lists: Vec<List>,
    only_root: bool,
}

/// The patterns of one ignore file, and how much of a path leads to its folder.
struct List {
    base: usize,
    patterns: Vec<Pattern>,
}

impl Rules {
    /// Under `.amlignore`, which stands alone: no other file is read.
    pub(super) fn only_root(&mut self) {
        self.only_root = true;
    }

    pub(super) const fn reads_nested(&self) -> bool {
        !self.only_root
    }

    /// Adds the rules of a file in `folder` (`""` or `a/b`), in force until [`leave`](Self::leave) is told to go back.
    pub(super) fn add(&mut self, folder: &[u8], content: &[u8]) {
        let base = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let patterns =
            gix_ignore::parse(&as_git_reads(content), false).map(|(pattern, _, _)| pattern).collect();
        self.lists.push(List { base, patterns });
    }

    pub(super) fn depth(&self) -> usize {
        self.lists.len()
    }

    pub(super) fn leave(&mut self, depth: usize) {
        self.lists.truncate(depth);
    }

    /// Whether the last rule that matches `path` excludes it. Every folder above has been asked before, so each list's folder is one
    /// that `path` lies in.
    pub(super) fn excludes(&self, path: &[u8], is_folder: bool) -> bool {
        let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let matching = self.lists.iter().rev().find_map(|list| {
            let (path, name) = (&path[list.base..], name - list.base);
            list.patterns.iter().rev().find(|pattern| matches(pattern, path, name, is_folder))
        });
        matching.is_some_and(|pattern| !pattern.is_negative())
    }
}

/// `name` is where the last part of `path` starts.
fn matches(pattern: &Pattern, path: &[u8], name: usize, is_folder: bool) -> bool {
    if pattern.mode.contains(Mode::MUST_BE_DIR) && !is_folder {
        return false;
    }
    let by_name = pattern.mode.contains(Mode::NO_SUB_DIR) && !pattern.mode.contains(Mode::ABSOLUTE);
    match pattern.first_wildcard_pos {
        // Git compares what stands before the first wildcard and then matches the rest on its own, so that `a**/b` means `a`, then `**/b`.
        // The library would take the two stars for one.
        Some(literal) if literal > 0 && !by_name => {
            let (start, rest) = pattern.text.split_at(literal);
            path.strip_prefix(start).is_some_and(|path| {
                gix_glob::wildmatch(rest.into(), path.into(), Slashes::NO_MATCH_SLASH_LITERAL)
            })
        }
        _ => {
            let name = (name > 0).then_some(name);
            let slashes = Slashes::NO_MATCH_SLASH_LITERAL;
            pattern.matches_repo_relative_path(path.into(), name, Some(is_folder), Case::Sensitive, slashes)
        }
    }
}

/// The lines as git sees them, where the library would see others: a line ends at a zero byte, one carriage return before
/// the end of a line is dropped (the library drops it only before a newline), and of all byte order marks only that of UTF-8 is one.
fn as_git_reads(content: &[u8]) -> Vec<u8> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut lines = Vec::with_capacity(content.len() + 2);
    lines.push(b'\n');
    for line in content.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        lines.extend_from_slice(line);
        lines.extend_from_slice(if line.ends_with(b"\r") { b"\r\n" } else { b"\n" });
    }
    lines
}
