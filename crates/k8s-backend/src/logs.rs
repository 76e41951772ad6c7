//! What replicas wrote, and what the cluster noted about them.
//!
//! A replica that is gone has taken its log along: Kubernetes keeps none. Of a program that was started again the log
//! of its last run comes first. One replica whose log cannot be read does not hide the others; it says why.
//!
//! Rights in use, in the backend's namespace: `list` on `pods` and `events`, `get` on `pods/log` and on `deployments`
//! (`apps`). Without the one on `events` the logs come without them.

use std::fmt::Write as _;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use portway_backend::{BackendError, WorkloadId};

use crate::backend::Inner;
use crate::error::refused;
use crate::finding::quoted;
use crate::names::{CONTAINER, object_name, replicas_of};
use crate::ownership;
use crate::part::DEPLOYMENT;

/// Logs that are read at once.
const AT_ONCE: usize = 8;
/// Bytes of one log that are read at most.
const MOST_BYTES: i64 = 1 << 20;
/// Events that are read with one request.
const PAGE: u32 = 500;
/// Events that are shown, the newest.
const MOST_EVENTS: usize = 50;

impl Inner {
    /// The last `lines` lines of each replica, and the latest events of the workload's objects.
    ///
    /// # Errors
    ///
    /// [`NotFound`](portway_backend::ErrorKind::NotFound) when there is neither a Deployment nor a pod of ours.
    pub(crate) async fn workload_logs(&self, id: &WorkloadId, lines: usize) -> Result<String, BackendError> {
        let name = object_name(id);
        let pods = self.api::<Pod>();
        let owner = &self.options.owner;
        let found = pods.list(&ListParams::default().labels(&replicas_of(&name, owner))).await;
        let mut found = found.map_err(|error| refused(&format!("list the replicas of {id}"), error))?.items;
        if found.is_empty() {
            let deployment = self.api::<Deployment>().get_opt(&name).await;
            let deployment = deployment.map_err(|error| refused(&format!("look for {id}"), error))?;
            let is_ours = |found: &Deployment| ownership::check(DEPLOYMENT, &found.metadata, owner).is_ok();
            if !deployment.as_ref().is_some_and(is_ours) {
                return Err(BackendError::not_found(format!("there is no workload {id}; apply it first")));
            }
        }
        found.sort_by_cached_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
        let logs = stream::iter(found).map(|pod| log_of(&pods, pod, lines)).buffered(AT_ONCE);
        let mut text: String = logs.collect().await;
        text.push_str(&self.events_of(&name).await);
        Ok(text)
    }

    async fn events_of(&self, name: &str) -> String {
        match read_events(&self.api(), name).await {
            Ok(events) => rendered(events),
            Err(error) => format!("==> events <==\n({})\n", refused("read the events", error)),
        }
    }
}

async fn log_of(pods: &Api<Pod>, pod: Pod, lines: usize) -> String {
    let name = pod.name_any();
    let mut text = format!("==> {name} <==\n");
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let restarts = containers.filter(|each| each.name == CONTAINER).map(|each| each.restart_count).max();
    let mut wanted = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: Some(i64::try_from(lines).unwrap_or(i64::MAX)),
        limit_bytes: Some(MOST_BYTES),
        ..LogParams::default()
    };
    let mut written = String::new();
    if restarts.is_some_and(|restarts| restarts > 0) {
        wanted.previous = true;
        // Its node may have thrown it away already.
        written = pods.logs(&name, &wanted).await.map(ended_line).unwrap_or_default();
        wanted.previous = false;
    }
    match pods.logs(&name, &wanted).await {
        Ok(log) => written.push_str(&ended_line(log)),
        Err(error) => {
            let _ = writeln!(written, "({})", refused("read this log", error));
        }
    }
    text.push_str(last_lines(&written, lines));
    text
}

fn ended_line(mut log: String) -> String {
    if !log.is_empty() && !log.ends_with('\n') {
        log.push('\n');
    }
    log
}

/// The last `count` lines of a text in which every line ends.
fn last_lines(text: &str, count: usize) -> &str {
    let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
    let lines = starts.len() - 1;
    &text[starts[lines.saturating_sub(count)]..]
}

/// The events of the Deployment, its ReplicaSets and its pods: all are called `name` or begin with it and a hyphen.
async fn read_events(events: &Api<Event>, name: &str) -> kube::Result<Vec<Event>> {
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = events.list(&page).await?;
        found.extend(list.items.into_iter().filter(|event| is_about(event, name)));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn is_about(event: &Event, name: &str) -> bool {
    let object = event.involved_object.name.as_deref().unwrap_or_default();
    object.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn rendered(mut events: Vec<Event>) -> String {
    if events.is_empty() {
        return String::new();
    }
    events.sort_by_cached_key(|event| (last_seen(event), event.name_any()));
    let mut text = "==> events <==\n".to_owned();
    for event in &events[events.len().saturating_sub(MOST_EVENTS)..] {
        let time =
            last_seen(event).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        let (kind, object) = (&event.involved_object.kind, &event.involved_object.name);
        let (kind, object) = (kind.as_deref().unwrap_or_default(), object.as_deref().unwrap_or_default());
        let reason = event.reason.as_deref().unwrap_or_default();
        let message = quoted(event.message.as_deref().unwrap_or_default());
        let _ = writeln!(text, "{time} {kind} {object}: {reason}: {message}");
    }
    text
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(first).or_else(|| event.creation_timestamp().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_at_the_end() {
        for (text, count, last) in [
            ("", 3, ""),
            ("a\nb\n", 3, "a\nb\n"),
            ("a\nb\n", 2, "a\nb\n"),
            ("a\nb\n", 1, "b\n"),
            ("a\nb\n", 0, ""),
            ("a\n\n\n", 2, "\n\n"),
        ] {
            assert_eq!(last_lines(text, count), last, "{text:?} {count}");
        }
    }
}
