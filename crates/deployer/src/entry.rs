//! Which of the two kinds of entry script a file is, and whether it lies where it may.

use std::path::{Component, Path};

use portway_backend::EntryStyle;

/// How the Python file `text` serves: [`EntryStyle::InitRun`] if it binds both `init` and `run` at its top level, by
/// `def`, assignment or import, else [`EntryStyle::Listens`].
///
/// The file is read, never run; a definition inside a string, a comment, a class or a block does not count.
///
/// # Examples
///
/// ```
/// use portway_backend::EntryStyle;
/// use portway_deployer::entry_style;
///
/// assert_eq!(entry_style("def init():\n    pass\n\ndef run(data):\n    return data\n"), EntryStyle::InitRun);
/// assert_eq!(entry_style("'''\ndef init(): in a docstring\n'''\ndef run(data): pass\n"), EntryStyle::Listens);
/// ```
#[must_use]
pub fn entry_style(text: &str) -> EntryStyle {
    let statements = statements(text);
    let binds = |name: &str| statements.iter().any(|statement| binds(statement, name));
    if binds("init") && binds("run") { EntryStyle::InitRun } else { EntryStyle::Listens }
}

/// Why a script cannot be an entry script.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadScript {
    #[error("names a file outside the project folder")]
    Escapes,
    #[error("does not exist in the project folder")]
    Missing,
    #[error("is no regular file")]
    NoFile,
    #[error("cannot be read; check its permissions")]
    Unreadable,
}

/// Reads the script of a project folder.
pub(crate) fn read_script(folder: &Path, script: &str) -> Result<String, BadScript> {
    let relative = Path::new(script);
    if script.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(BadScript::Escapes);
    }
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => BadScript::Missing,
        _ => BadScript::Unreadable,
    };
    let path = folder.join(relative).canonicalize().map_err(missing)?;
    if !path.starts_with(folder.canonicalize().map_err(missing)?) {
        return Err(BadScript::Escapes);
    }
    if !path.is_file() {
        return Err(BadScript::NoFile);
    }
    let bytes = std::fs::read(path).map_err(missing)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn binds(statement: &str, name: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|w| !w.is_empty())
            .map(Into::into)
            .collect()
    };
    let defined = statement.strip_prefix("async ").map_or(statement, str::trim_start);
    if let Some(rest) = defined.strip_prefix("def ") {
        return words(rest).first().is_some_and(|word| word == name);
    }
    if statement.starts_with("from ") {
        let Some((_, imported)) = statement.split_once(" import ") else { return false };
        return imported.split(',').any(|item| words(item).last().is_some_and(|word| word == name));
    }
    let Some(rest) = statement.strip_prefix(name) else { return false };
    let rest = rest.trim_start();
    (rest.starts_with('=') && !rest.starts_with("==")) || (rest.starts_with(':') && rest.contains('='))
}

/// The logical lines that begin in the first column, without comments and without the insides of strings.
fn statements(text: &str) -> Vec<String> {
    let mut scanner = Scanner::default();
    let mut found: Vec<String> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let continues = scanner.is_inside();
        let code = scanner.code_of(line);
        match found.last_mut() {
            Some(last) if continues => {
                last.push(' ');
                last.push_str(&code);
            }
            // An empty entry keeps what continues an indented line from being taken for the statement before it.
            _ if line.starts_with([' ', '\t']) => found.push(String::new()),
            _ => found.push(code),
        }
    }
    found
}

/// Just enough of Python's lexer to know whether the next line begins a statement.
#[derive(Default)]
struct Scanner {
    /// The quotes that will close the string that spans lines.
    open: Option<&'static str>,
    depth: usize,
    backslash: bool,
}

impl Scanner {
    fn is_inside(&self) -> bool {
        self.open.is_some() || self.depth > 0 || self.backslash
    }

    fn code_of(&mut self, line: &str) -> String {
        let mut code = String::with_capacity(line.len());
        let mut rest = line;
        self.backslash = false;
        loop {
            if let Some(quotes) = self.open {
                let Some(after) = after_string(rest, quotes) else { return code };
                (self.open, rest) = (None, after);
            }
            let Some(next) = rest.chars().next() else { return code };
            let after = &rest[next.len_utf8()..];
            if let Some(quotes) = TRIPLE_QUOTES.into_iter().find(|quotes| rest.starts_with(quotes)) {
                (self.open, rest) = (Some(quotes), &rest[quotes.len()..]);
                continue;
            }
            rest = after;
            match next {
                '#' => return code,
                '"' | '\'' => {
                    let quotes = if next == '"' { "\"" } else { "'" };
                    // A string of one line that is not closed there is a syntax error: Python will say so.
                    let Some(after) = after_string(after, quotes) else { return code };
                    rest = after;
                }
                '\\' if after.is_empty() => self.backslash = true,
                '(' | '[' | '{' => {
                    self.depth += 1;
                    code.push(next);
                }
                ')' | ']' | '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    code.push(next);
                }
                other => code.push(other),
            }
        }
    }
}

/// What follows the closing `quotes`, or `None` if they are not in this line.
fn after_string<'a>(text: &'a str, quotes: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix(quotes) {
            return Some(after);
        }
        let mut chars = rest.chars();
        if chars.next()? == '\\' {
            chars.next();
        }
        rest = chars.as_str();
    }
}

const TRIPLE_QUOTES: [&str; 2] = ["\"\"\"", "'''"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_level_definitions_assignments_and_imports_count() {
        for text in [
            "def init():\n    pass\ndef run(data):\n    pass\n",
            "\u{feff}def init(): pass\r\n@schema('x')\r\nasync  def run(data): pass\r\n",
            "from model import init, run\n",
            "from model import (\n    init,  # one\n    serve as run,\n)\n",
            "from model import start as init\nrun = lambda data: data\n",
            "init: Callable = load\nrun=score\n",
            "def run(x=\"'''\"): pass\ndef init(): pass",
            "x = 1 + \\\n  2\ndef run(x): pass\ndef init(): pass",
        ] {
            assert_eq!(entry_style(text), EntryStyle::InitRun, "{text}");
        }
    }

    #[test]
    fn other_places_do_not_count() {
        for text in [
            "",
            "def init(): pass\n",
            "class A:\n    def init(self): pass\n    def run(self): pass\n",
            "'''\ndef init(): pass\ndef run(): pass\n'''\n",
            "\"\"\" ends \\\"\"\" not\ndef init(): pass\n\"\"\"\ndef run(): pass\n",
            "# def init()\n# def run()\n",
            "x = (\ndef init()\n,\ndef run()\n)\n",
            "def initialise(): pass\ndef runner(): pass\n",
            "init == 1\nrun == 2\n",
            "init()\nrun(data)\n",
            "from init import x\nfrom run import y\n",
            "from model import init as a, run as b\n",
            "if True:\n    init = (1,\n2)\n    run = 3\n",
            "x = 'unclosed\nrun = 1\n",
        ] {
            assert_eq!(entry_style(text), EntryStyle::Listens, "{text}");
        }
    }

    #[test]
    fn a_script_must_lie_inside_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("project");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(folder.join("deep/score.py"), "x = 1").unwrap();
        std::fs::write(outer.path().join("secret.py"), "x = 2").unwrap();
        std::os::unix::fs::symlink("../secret.py", folder.join("link.py")).unwrap();

        assert_eq!(read_script(&folder, "deep/score.py").as_deref(), Ok("x = 1"));
        for (script, fault) in [
            ("", BadScript::Escapes),
            ("../secret.py", BadScript::Escapes),
            ("/etc/passwd", BadScript::Escapes),
            ("link.py", BadScript::Escapes),
            ("none.py", BadScript::Missing),
            ("deep/score.py/more", BadScript::Missing),
            ("deep", BadScript::NoFile),
        ] {
            assert_eq!(read_script(&folder, script), Err(fault), "{script}");
        }
    }
}
