use gix_glob::pattern::Case;
use gix_ignore::Search;
use gix_ignore::search::Ignore;

/// The ignore files in force at one point of the walk, outermost first.
#[derive(Default)]
pub(super) struct Rules {
    search: Search,
    only_root: bool,
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
        use gix_glob::search::Pattern as _;
        let patterns = Ignore::default().bytes_to_patterns(content, std::path::Path::new(""));
        let base = (!folder.is_empty()).then(|| [folder, b"/"].concat().into());
        self.search.patterns.push(gix_glob::search::pattern::List { patterns, source: None, base });
    }

    pub(super) fn depth(&self) -> usize {
        self.search.patterns.len()
    }

    pub(super) fn leave(&mut self, depth: usize) {
        self.search.patterns.truncate(depth);
    }

    /// Whether the last rule that matches `path` excludes it. Every folder above has been asked before.
    pub(super) fn excludes(&self, path: &[u8], is_folder: bool) -> bool {
        if self.search.patterns.is_empty() {
            return false;
        }
        let found = self.search.pattern_matching_relative_path(path.into(), Some(is_folder), Case::Sensitive);
        found.is_some_and(|found| !found.pattern.is_negative())
    }
}
