//! Whether a custom docker step is what it says: instructions that stay in their place.

/// Reads the instructions of a step, or says what is wrong with it.
///
/// A step is one docker instruction or several; it may go on over lines that end in a backslash and hold comments, as in any
/// Containerfile. What some version of a reader would understand otherwise is refused: control characters, a line that ends in two
/// backslashes, here-documents, a line past [`MAX_LINE`].
pub(super) fn instructions(step: &str) -> Result<Vec<Instruction>, String> {
    let text = step.replace("\r\n", "\n");
    if let Some(found) = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c)) {
        return Err(format!("holds the control character {found:?}; remove it"));
    }
    if text.contains("<<") {
        return Err(
            "holds `<<`, and here-documents are not understood by every builder; use `printf`".to_owned()
        );
    }
    let mut instructions = Vec::new();
    let mut open: Option<String> = None;
    for line in text.split('\n') {
        if line.len() > MAX_LINE {
            let found = line.len();
            return Err(format!(
                "has a line of {found} bytes, past {MAX_LINE}; break it with `\\` at a line's end"
            ));
        }
        let start = line.trim_start();
        if start.is_empty() || start.starts_with('#') {
            continue;
        }
        let body = line.trim_end_matches([' ', '\t']);
        if body.ends_with("\\\\") {
            return Err(
                "has a line that ends in two backslashes, which readers understand differently".to_owned()
            );
        }
        let so_far = open.take().unwrap_or_default();
        match body.strip_suffix('\\') {
            Some(part) => open = Some(so_far + part),
            None => instructions.push(Instruction::parse(&(so_far + line))?),
        }
    }
    if open.is_some() {
        return Err("ends in a backslash, which would draw what follows into it; remove it".to_owned());
    }
    if instructions.is_empty() {
        return Err("holds no instruction; remove it".to_owned());
    }
    Ok(instructions)
}

/// One docker instruction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In capitals: one of [`ALLOWED`].
    pub(super) word: &'static str,
    /// What follows it.
    pub(super) rest: String,
}

impl Instruction {
    fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        let known = ALLOWED.iter().find(|allowed| allowed.eq_ignore_ascii_case(word));
        let Some(known) = known else { return Err(why_not(word)) };
        if *known == "RUN" && rest.starts_with("--") {
            return Err("has a `RUN` with options; mounts and the like are not for steps".to_owned());
        }
        Ok(Self { word: known, rest: rest.to_owned() })
    }
}

fn why_not(word: &str) -> String {
    let shown: String = word.chars().take(40).collect();
    let allowed = ALLOWED.join(", ");
    let why = match word.to_ascii_uppercase().as_str() {
        "FROM" => "the base image is set apart, and there are no further stages",
        "COPY" | "ADD" => {
            "the build has no files; fetch them with `RUN`, or start from a base image that has them"
        }
        "HEALTHCHECK" | "ONBUILD" | "SHELL" => "images of the OCI format have nothing of that kind",
        "MAINTAINER" => "it is obsolete; use `LABEL`",
        _ => "it is no docker instruction",
    };
    format!("has `{shown}`: {why} (allowed: {allowed})")
}

/// The instructions that a step may hold.
const ALLOWED: [&str; 11] =
    ["ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];
/// In bytes. From 64 KiB on, builders leave out the line and all that follows, without a word.
const MAX_LINE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(step: &str) -> Result<Vec<(&'static str, String)>, String> {
        Ok(instructions(step)?.into_iter().map(|found| (found.word, found.rest)).collect())
    }

    #[test]
    fn a_step_may_hold_comments_continued_lines_and_several_instructions() {
        assert_eq!(words("run echo a").unwrap(), [("RUN", "echo a".to_owned())]);
        let step =
            "# tools\r\nRUN apt-get update && \\ \t\n    # quietly\n\n  apt-get install -y git\n\nUSER\tme\n";
        let run = "apt-get update &&   apt-get install -y git".to_owned();
        assert_eq!(words(step).unwrap(), [("RUN", run), ("USER", "me".to_owned())]);
        assert_eq!(words("RU\\\nN true").unwrap(), [("RUN", "true".to_owned())]);
    }

    #[test]
    fn a_step_stays_in_its_place() {
        for (step, why) in [
            ("FROM scratch", "no further stages"),
            ("from\tscratch AS x", "no further stages"),
            ("RUN true\nFROM scratch", "no further stages"),
            ("RUN true \\\n# a comment\n\nFROM x\nFROM scratch", "no further stages"),
            ("FR\\\nOM scratch", "no further stages"),
            ("  \u{a0}FROM scratch", "no further stages"),
            ("RUN true\rFROM scratch", "control character '\\r'"),
            ("RUN true\0", "control character"),
            ("RUN true \\", "ends in a backslash"),
            ("RUN true \\\n\n# no more", "ends in a backslash"),
            ("RUN true \\\\\nFROM scratch", "two backslashes"),
            ("RUN cat <<E\nFROM scratch\nE", "here-documents"),
            ("COPY . /", "no files"),
            ("ADD https://r.test/a /", "no files"),
            ("ONBUILD RUN true", "OCI format"),
            ("SHELL [\"bash\"]", "OCI format"),
            ("RUN --mount=type=bind,source=/,target=/host true", "options"),
            ("echo hello", "no docker instruction"),
            ("RUNtrue", "no docker instruction"),
            ("# nothing", "no instruction"),
            ("", "no instruction"),
        ] {
            let error = words(step).unwrap_err();
            assert!(error.contains(why), "{step:?}: {error}");
        }
        let long = format!("RUN true {}", "a".repeat(MAX_LINE));
        assert!(words(&long).unwrap_err().contains("past 32768"));
    }
}
