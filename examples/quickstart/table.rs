//! The live table.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use portway_gateway::{Gateway, VersionSnapshot};

/// Shows what the gateway sees, until its future is dropped: in place on a terminal, else now and then.
pub(crate) async fn show(gateway: &Gateway, service: &str) -> std::io::Result<()> {
    let in_place = std::io::stdout().is_terminal();
    let mut every =
        tokio::time::interval(if in_place { Duration::from_secs(1) } else { Duration::from_secs(5) });
    let mut lines_above = 0;
    loop {
        every.tick().await;
        let table = render(gateway, service);
        let mut out = std::io::stdout().lock();
        if in_place && lines_above > 0 {
            // Up to where the last one began, and away with it.
            write!(out, "\x1b[{lines_above}A\x1b[J")?;
        }
        write!(out, "{table}")?;
        out.flush()?;
        lines_above = table.lines().count();
    }
}

fn render(gateway: &Gateway, service: &str) -> String {
    let mut table = format!(
        "{:<10} {:>7} {:>9} {:>6} {:>7} {:>11} {:>8} {:>8}\n",
        "version", "share", "replicas", "busy", "queued", "requests/s", "p50", "p99"
    );
    let snapshot = gateway.snapshot();
    for version in
        snapshot.endpoints.iter().filter(|endpoint| endpoint.name == service).flat_map(|e| &e.versions)
    {
        table.push_str(&row(version));
    }
    table
}

fn row(version: &VersionSnapshot) -> String {
    let millis = |time: Option<Duration>| match time {
        Some(time) => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        None => "–".into(),
    };
    let replicas = format!("{} of {}", version.ready, version.wanted.max(version.ready));
    let trouble = if version.trouble.is_empty() { String::new() } else { format!("  {}", version.trouble) };
    format!(
        "{:<10} {:>6}% {:>9} {:>6} {:>7} {:>11.1} {:>8} {:>8}{trouble}\n",
        version.name,
        version.share_percent,
        replicas,
        version.busy,
        version.queued,
        version.rps,
        millis(version.p50),
        millis(version.p99),
    )
}
