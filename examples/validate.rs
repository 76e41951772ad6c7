//! Checks deployment configurations: every fault in one pass, each with its place and its remedy.
//!
//! `cargo run --example validate -- deploymentconfig.json` prints the findings; the exit code is 1 if one is an error.
//! `--json` prints them as JSON. A file is taken by its content: an inference configuration has an `entryScript`, an
//! endpoint document has `versions`, everything else is a deployment configuration. Without a file a bad one is shown.
//! `--stdin-cases` answers calls, one JSON object a line: `{"id", "kind", "call", "input", "current"}`.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::Context;
use lexopt::prelude::*;
use portway_deploy_config::{Call, DeploymentConfig, EndpointSpec, InferenceConfig, Json, Report};
use serde_json::{Value as Answer, json};

fn main() -> anyhow::Result<ExitCode> {
    let (mut files, mut as_json, mut cases) = (Vec::new(), false, false);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("json") => as_json = true,
            Long("stdin-cases") => cases = true,
            Value(file) => files.push(file.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if cases {
        return answer_cases();
    }
    let mut texts = Vec::new();
    for file in files {
        let text = std::fs::read(&file).with_context(|| format!("reading {file}"))?;
        texts.push((file, String::from_utf8_lossy(&text).into_owned()));
    }
    if texts.is_empty() {
        texts.push(("a bad example".to_owned(), BAD.to_owned()));
    }
    let mut refused = false;
    for (file, text) in &texts {
        let report = check(text);
        refused |= report.has_errors();
        let findings = if as_json { report.to_json() + "\n" } else { report.render(file, text) };
        print!("{findings}");
    }
    Ok(ExitCode::from(u8::from(refused && texts[0].1 != BAD)))
}

fn check(text: &str) -> Report {
    // By the names that stand in it, so that a file that is no JSON is still told apart.
    if text.contains("\"entryScript\"") {
        InferenceConfig::from_json(text).into_parts().1
    } else if text.contains("\"versions\"") {
        EndpointSpec::check(text).into_parts().1
    } else {
        DeploymentConfig::from_json(text).into_parts().1
    }
}

/// One answer a line; a line that cannot be answered gets an error and ends nothing.
fn answer_cases() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            writeln!(out, "{}", answer(&text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(line: &str) -> Answer {
    let (case, faults) = Json::parse_leniently(line);
    let Some(case) = case else {
        return json!({"id": null, "verdict": "refused", "error": faults.to_string(), "findings": faults});
    };
    let id = serde_json::to_value(case.get("id")).unwrap_or_default();
    let text = |key| case.get(key).and_then(Json::as_str).unwrap_or_default();
    let (Some(call), Some(input)) = (Call::named(text("kind"), text("call")), case.get("input")) else {
        let error = "a case has a kind, a call that this kind knows, and an input";
        return json!({"id": id, "verdict": "refused", "error": error, "findings": faults});
    };
    let report = call.check(input, case.get("current"));
    let verdict = if faults.has_errors() || report.has_errors() { "refused" } else { "ok" };
    let findings: Vec<_> = faults.into_iter().chain(report).collect();
    json!({"id": id, "verdict": verdict, "findings": findings})
}

const BAD: &str = r#"{
  "computeType": "aks",
  "autoScaler": {"autoscaleEnabled": true, "minReplicas": 4, "maxReplica": 8, "maxReplicas": 3},
  "containerResourceRequirements": {"cpu": 1.5, "cpuLimit": 1, "memoryInGB": 0},
  "authEnabled": "yes"
}
"#;
