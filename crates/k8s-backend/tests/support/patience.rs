//! Waiting that ends: by what was waited for, or with the word that it did not come.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt::Debug;
use std::time::Duration;

use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// Far above what anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What comes of `awaited`, which has to come in time.
pub(crate) async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, awaited).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// The object once it is as it should be; a watch that fails meanwhile is begun again.
pub(crate) async fn until_object<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    is_so: impl Fn(Option<&K>) -> bool,
) -> Option<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let seen = async {
        loop {
            match await_condition(api.clone(), name, &is_so).await {
                Ok(seen) => return seen,
                Err(error) => eprintln!("{what}: {error}; trying again"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    in_time(what, seen).await
}

/// Returns when there is no such object any more.
pub(crate) async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    until_object(api, name, &format!("{name} goes"), |found| found.is_none()).await;
}
