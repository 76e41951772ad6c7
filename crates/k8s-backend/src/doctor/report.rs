//! What the doctor says.

use std::fmt;

use portway_deploy_config::Phase;

/// Everything that was looked at, in the order of need. `Display` is a report for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    lines: Vec<Line>,
}

/// One thing that was to be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// When it is needed.
    pub phase: Phase,
    /// What should be true, as a sentence without a full stop.
    pub what: String,
    /// What it is needed for.
    pub purpose: &'static str,
    /// Whether it is.
    pub outcome: Outcome,
}

/// What a look has shown.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is so; some detail, which may be empty.
    Well(String),
    /// It is so, and this should be known.
    Advice(String),
    /// It is not: why, and what to do about it.
    Failed(String),
    /// Nobody knows: why it was not looked at.
    LeftOut(String),
}

impl Diagnosis {
    pub(super) fn new(lines: Vec<Line>) -> Self {
        Self { lines }
    }

    /// Nothing can be looked at without a cluster's name.
    pub(super) fn without_cluster(why: String) -> Self {
        let line = Line {
            phase: Phase::ClusterCreation,
            what: "the cluster is named".to_owned(),
            purpose: "everything",
            outcome: Outcome::Failed(why),
        };
        Self::new(vec![line])
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The first thing that does not work; `None` if nothing failed.
    #[must_use]
    pub fn first_failure(&self) -> Option<&Line> {
        self.lines.iter().find(|line| matches!(line.outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phase = None;
        for line in &self.lines {
            if phase != Some(line.phase) {
                writeln!(f, "{}", title(line.phase))?;
                phase = Some(line.phase);
            }
            writeln!(f, "{line}")?;
        }
        match self.first_failure() {
            Some(Line { what, outcome: Outcome::Failed(why), .. }) => {
                writeln!(f, "\nfirst failure: that {what}\n  {why}")
            }
            _ => writeln!(f, "\nnothing failed"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, detail) = match &self.outcome {
            Outcome::Well(detail) => ('✓', detail),
            Outcome::Advice(detail) => ('!', detail),
            Outcome::Failed(why) => ('✗', why),
            Outcome::LeftOut(why) => ('–', why),
        };
        write!(f, "  {mark} {} (for {})", self.what, self.purpose)?;
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::ClusterCreation => "the cluster",
        Phase::RouterStart => "the gateway starts",
        Phase::RouterAtWork => "the gateway works",
        Phase::ModelDeployed => "a model is deployed",
        Phase::ModelRouted => "a model is found by its callers",
        Phase::ModelAtWork => "a model works",
    }
}
