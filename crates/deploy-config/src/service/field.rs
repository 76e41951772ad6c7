//! Every setting by its three names.

/// A vocabulary for the same settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// Arguments of the Python SDK: `cpu_cores`.
    Sdk,
    /// `deploymentconfig.json`: `containerResourceRequirements.cpu`.
    File,
    /// The body of a REST call: as the file, with `aadAuthEnabled`, `kvTags`, `containerResourceRequirements.gpu`.
    Wire,
}

/// An object of the file or of the wire that holds settings of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    AutoScaler,
    Resources,
    DataCollection,
    Keys,
    Probe,
}

impl Group {
    pub(crate) const ALL: [Self; 5] =
        [Self::AutoScaler, Self::Resources, Self::DataCollection, Self::Keys, Self::Probe];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::AutoScaler => "autoScaler",
            Self::Resources => "containerResourceRequirements",
            Self::DataCollection => "dataCollection",
            Self::Keys => "keys",
            Self::Probe => "livenessProbeRequirements",
        }
    }
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flag,
    /// A flag that the wire inverts.
    Inverted,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// A decimal above zero.
    Amount,
    Percent,
    Text,
    /// A text that no message shows.
    Secret,
    Map,
    /// Numbers by name.
    Counts,
    /// Looked at by other rules, or by nobody.
    Any,
}

/// A call, by the arguments that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Webservice,
    Endpoint,
    WebserviceUpdate,
    EndpointUpdate,
    Version,
    /// Whatever there is: a description of what stands.
    Everything,
}

pub(crate) type Path = (Option<Group>, &'static str);

pub(crate) struct Row {
    pub(crate) field: Field,
    pub(crate) kind: Kind,
    pub(crate) sdk: &'static str,
    pub(crate) file: Option<Path>,
    pub(crate) wire: Option<Path>,
}

const POSITIVE: Kind = Kind::Whole(1, u32::MAX as u64);

macro_rules! fields {
    ($($Name:ident $kind:expr, $sdk:literal, $file:expr, $wire:expr, $doc:literal;)*) => {
        /// A setting of a deployment configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $(#[doc = concat!("`", $sdk, "`: ", $doc, ".")] $Name,)*
        }

        pub(crate) static ROWS: [Row; Field::ALL.len()] = [
            $(Row { field: Field::$Name, kind: $kind, sdk: $sdk, file: $file, wire: $wire }),*
        ];

        impl Field {
            /// Every setting there is.
            pub const ALL: &'static [Self] = &[$(Self::$Name),*];

            /// What the setting says, with its unit and default.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$Name => $doc,)* }
            }
        }
    };
}

const fn top(key: &'static str) -> Option<Path> {
    Some((None, key))
}

const fn scaler(key: &'static str) -> Option<Path> {
    Some((Some(Group::AutoScaler), key))
}

const fn resource(key: &'static str) -> Option<Path> {
    Some((Some(Group::Resources), key))
}

const fn probe(key: &'static str) -> Option<Path> {
    Some((Some(Group::Probe), key))
}

const fn key(key: &'static str) -> Option<Path> {
    Some((Some(Group::Keys), key))
}

const STORAGE: Option<Path> = Some((Some(Group::DataCollection), "storageEnabled"));

#[rustfmt::skip]
fields! {
    AutoscaleEnabled Kind::Flag, "autoscale_enabled", scaler("autoscaleEnabled"), scaler("autoscaleEnabled"), "whether the number of replicas follows the traffic; on unless a fixed number is given";
    AutoscaleMinReplicas POSITIVE, "autoscale_min_replicas", scaler("minReplicas"), scaler("minReplicas"), "fewest replicas; 1";
    AutoscaleMaxReplicas POSITIVE, "autoscale_max_replicas", scaler("maxReplicas"), scaler("maxReplicas"), "most replicas; 10";
    AutoscaleRefreshSeconds POSITIVE, "autoscale_refresh_seconds", scaler("refreshPeriodInSeconds"), scaler("refreshPeriodInSeconds"), "seconds between two scaling decisions; 1";
    AutoscaleTargetUtilization Kind::Whole(1, 100), "autoscale_target_utilization", scaler("targetUtilization"), scaler("targetUtilization"), "utilisation aimed at in percent; 70";
    CollectModelData Kind::Flag, "collect_model_data", STORAGE, STORAGE, "whether requests and answers are kept; off";
    AuthEnabled Kind::Flag, "auth_enabled", top("authEnabled"), top("authEnabled"), "whether callers need a key; on unless tokens are";
    TokenAuthEnabled Kind::Flag, "token_auth_enabled", top("tokenAuthEnabled"), top("aadAuthEnabled"), "whether callers need a token; off";
    CpuCores Kind::Amount, "cpu_cores", resource("cpu"), resource("cpu"), "cores reserved for a replica; 0.1";
    CpuCoresLimit Kind::Amount, "cpu_cores_limit", resource("cpuLimit"), resource("cpuLimit"), "cores that a replica never exceeds; none";
    MemoryGb Kind::Amount, "memory_gb", resource("memoryInGB"), resource("memoryInGB"), "gigabytes reserved for a replica; 0.5";
    MemoryGbLimit Kind::Amount, "memory_gb_limit", resource("memoryInGBLimit"), resource("memoryInGBLimit"), "gigabytes that a replica never exceeds; none";
    GpuCores Kind::Whole(0, u32::MAX as u64), "gpu_cores", top("gpuCores"), resource("gpu"), "graphics processors of a replica; 0";
    Accelerators Kind::Counts, "accelerators", resource("accelerators"), resource("accelerators"), "other accelerators of a replica, by the name of their extended resource; none, and no argument of the SDK";
    ScoringTimeoutMs Kind::Whole(1, 300_000), "scoring_timeout_ms", top("scoringTimeoutMs"), top("scoringTimeoutMs"), "milliseconds for an answer, at most 300000; 60000";
    ReplicaMaxConcurrentRequests POSITIVE, "replica_max_concurrent_requests", top("maxConcurrentRequestsPerContainer"), top("maxConcurrentRequestsPerContainer"), "requests inside one replica at a time; 1";
    MaxRequestWaitTime POSITIVE, "max_request_wait_time", top("maxQueueWaitMs"), top("maxQueueWaitMs"), "milliseconds in the queue before a request is refused; 500";
    NumReplicas POSITIVE, "num_replicas", top("numReplicas"), top("numReplicas"), "a fixed number of replicas; none";
    EnableAppInsights Kind::Flag, "enable_app_insights", top("appInsightsEnabled"), top("appInsightsEnabled"), "whether metrics are kept in detail; off";
    PrimaryKey Kind::Secret, "primary_key", key("primaryKey"), key("primaryKey"), "the primary key; generated";
    SecondaryKey Kind::Secret, "secondary_key", key("secondaryKey"), key("secondaryKey"), "the secondary key; generated";
    PeriodSeconds POSITIVE, "period_seconds", probe("periodSeconds"), probe("periodSeconds"), "seconds between two probes; 10";
    InitialDelaySeconds POSITIVE, "initial_delay_seconds", probe("initialDelaySeconds"), probe("initialDelaySeconds"), "seconds before the first probe; 310";
    TimeoutSeconds POSITIVE, "timeout_seconds", probe("timeoutSeconds"), probe("timeoutSeconds"), "seconds that a probe may take; 2";
    SuccessThreshold POSITIVE, "success_threshold", probe("successThreshold"), probe("successThreshold"), "successes after which a failed replica is alive; 1";
    FailureThreshold POSITIVE, "failure_threshold", probe("failureThreshold"), probe("failureThreshold"), "failures after which a replica is dead; 3";
    Namespace Kind::Text, "namespace", top("namespace"), top("namespace"), "the Kubernetes namespace; the cluster's choice";
    Tags Kind::Map, "tags", None, top("kvTags"), "labels that may be changed";
    Properties Kind::Map, "properties", None, top("properties"), "labels that may be added, never changed";
    Description Kind::Text, "description", None, top("description"), "a text for people";
    ComputeTargetName Kind::Text, "compute_target_name", top("computeTargetName"), top("computeName"), "the compute target";
    BlobfuseEnabled Kind::Inverted, "blobfuse_enabled", None, top("storageInitEnabled"), "whether models are mounted rather than copied; on";
    VersionName Kind::Text, "version_name", top("versionName"), None, "the version's name, of endpoints";
    TrafficPercentile Kind::Percent, "traffic_percentile", top("trafficPercentile"), top("trafficPercentile"), "the version's share in percent, of endpoints; 0";
    IsDefault Kind::Flag, "is_default", None, top("isDefault"), "whether the version becomes the default";
    IsControlVersionType Kind::Flag, "is_control_version_type", None, None, "whether the version becomes the control";
    Image Kind::Any, "image", None, None, "an image to run";
    Models Kind::Any, "models", None, None, "the models to serve";
    InferenceConfig Kind::Any, "inference_config", None, None, "how to serve them";
}

impl Field {
    pub(crate) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The setting's name in a spelling, with the object that holds it; `None` where that spelling has no such setting.
    #[must_use]
    pub fn name(self, spelling: Spelling) -> Option<String> {
        let row = self.row();
        let path = match spelling {
            Spelling::Sdk => return Some(row.sdk.to_owned()),
            Spelling::File => row.file,
            Spelling::Wire => row.wire,
        };
        path.map(|(group, key)| {
            group.map_or_else(|| key.to_owned(), |group| format!("{}.{key}", group.key()))
        })
    }

    pub(crate) fn path(self, spelling: Spelling) -> Option<Path> {
        match spelling {
            Spelling::Sdk => Some((None, self.row().sdk)),
            Spelling::File => self.row().file,
            Spelling::Wire => self.row().wire,
        }
    }
}

impl Takes {
    /// Whether the call has such an argument.
    pub(crate) fn has(self, field: Field) -> bool {
        let versions = matches!(field, Field::VersionName | Field::TrafficPercentile);
        let tags = matches!(field, Field::IsDefault | Field::IsControlVersionType);
        let parts = matches!(field, Field::Models | Field::InferenceConfig);
        let keys = matches!(field, Field::PrimaryKey | Field::SecondaryKey);
        let once = keys || matches!(field, Field::ComputeTargetName | Field::BlobfuseEnabled);
        let whole = matches!(
            field,
            Field::AuthEnabled | Field::TokenAuthEnabled | Field::EnableAppInsights | Field::Namespace
        );
        // Ours alone: no call has it, files and bodies do.
        if field == Field::Accelerators {
            return self == Self::Everything;
        }
        let image = field == Field::Image;
        match self {
            Self::Everything => true,
            Self::Webservice => !(versions || tags || parts || image),
            Self::Endpoint => !(tags || parts || image || field == Field::BlobfuseEnabled),
            Self::WebserviceUpdate => !(versions || tags || once),
            Self::Version => !(once || whole || image),
            Self::EndpointUpdate => {
                matches!(field, Field::Tags | Field::Properties | Field::Description)
                    || whole && field != Field::Namespace
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_stands_at_its_field_and_no_name_is_used_twice() {
        for spelling in [Spelling::Sdk, Spelling::File, Spelling::Wire] {
            let names: Vec<_> = Field::ALL.iter().filter_map(|field| field.path(spelling)).collect();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        }
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.field as usize, index);
        }
    }

    #[test]
    fn both_spellings_of_the_fields_that_differ() {
        let names = |field: Field| {
            [Spelling::Sdk, Spelling::File, Spelling::Wire].map(|spelling| field.name(spelling).unwrap())
        };
        assert_eq!(
            names(Field::TokenAuthEnabled),
            ["token_auth_enabled", "tokenAuthEnabled", "aadAuthEnabled"]
        );
        assert_eq!(names(Field::GpuCores), ["gpu_cores", "gpuCores", "containerResourceRequirements.gpu"]);
    }
}
