//! The rules by their stable codes.

use std::fmt;

use serde::{Serialize, Serializer};

/// Whether a finding refuses the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted; this is worth knowing.
    Advice,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Advice => "advice",
        })
    }
}

macro_rules! codes {
    ($($severity:ident $Name:ident $text:literal $meaning:literal;)*) => {
        /// The rule that a finding is about. Its text is stable; new ones may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $Name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$Name),*];

            /// The stable text, `config/cpu-limit-below-request`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
            }

            /// What the code stands for, in half a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$Name => $meaning,)* }
            }

            /// Whether a finding of this code refuses the document.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$Name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    Error JsonSyntax "json/syntax" "the text is not JSON";
    Error JsonDuplicateKey "json/duplicate-key" "a member is written twice";
    Error JsonTooDeep "json/too-deep" "the document is nested too deeply";
    Error JsonTooLarge "json/too-large" "the document is too large";
    Error WrongType "config/wrong-type" "a value of another type belongs here";
    Error Missing "config/missing" "a required value is absent";
    Error UnknownValue "config/unknown-value" "the value is none of those that exist";
    Error UnknownArgument "config/unknown-argument" "the call has no such argument";
    Error NotAnInteger "config/not-an-integer" "a fraction where a whole number belongs";
    Error NotPositive "config/not-positive" "a number that must be above zero";
    Error Negative "config/negative" "a number that must not be below zero";
    Error TooLarge "config/too-large" "a number above what is allowed";
    Error NameInvalid "config/name-invalid" "a name breaks the rule of its kind";
    Error ShareOutOfRange "config/share-out-of-range" "a share of the traffic outside 0 to 100 percent";
    Error SharePrecision "config/share-precision" "a share of the traffic finer than 0.01 percent";
    Error SharesAboveWhole "config/shares-above-whole" "the shares of the versions add up to more than 100 percent";
    Error TooManyVersions "config/too-many-versions" "an endpoint has more than six versions";
    Error DuplicateVersion "config/duplicate-version" "two versions bear one name";
    Error UnknownVersion "config/unknown-version" "a version is named that does not exist";
    Error MinAboveMax "config/min-above-max" "fewest replicas above most replicas";
    Error ReplicasAndAutoscale "config/replicas-and-autoscale" "a fixed number of replicas and automatic scaling together";
    Error HeaderName "config/header-name" "a text that can name no header or cookie";
    Error CpuLimitBelowRequest "config/cpu-limit-below-request" "fewer cores at most than are reserved";
    Error MemoryLimitBelowRequest "config/memory-limit-below-request" "less memory at most than is reserved";
    Error ReplicasMissing "config/replicas-missing" "neither automatic scaling nor a number of replicas";
    Error AutoscaleOff "config/autoscale-off" "a setting of automatic scaling without automatic scaling";
    Error AuthConflict "config/auth-conflict" "keys and tokens are both switched on";
    Error AuthSwitch "config/auth-switch" "one way to authenticate is switched on while the other stands";
    Error NothingToUpdate "config/nothing-to-update" "an update that changes nothing";
    Error PropertyImmutable "config/property-immutable" "a property that exists would change";
    Error ModelsWithoutInference "config/models-without-inference" "models that need an inference configuration";
    Error TooManyModels "config/too-many-models" "more than 1000 models in one container";
    Error ComputeTypeElsewhere "config/compute-type-elsewhere" "a compute type that exists, but is not served here";
    Error CondaFile "config/conda-file" "a conda definition by a name that is none";
    Error EnvironmentAndOld "config/environment-and-old" "an environment beside the fields that it replaced";
    Error BaseImage "config/base-image" "a text that names no image";
    Error BaseImageConflict "config/base-image-conflict" "several of base image, Dockerfile and build context";
    Error RegistryIncomplete "config/registry-incomplete" "some of a registry's address, user and password";
    Error TooFewCores "cluster/too-few-cores" "a production cluster of fewer than 12 vCPUs";
    Error TooFewNodes "cluster/too-few-nodes" "a production cluster of fewer than 3 nodes";
    Error TlsIncomplete "cluster/tls-incomplete" "some of name, certificate and key";
    Error TlsConflict "cluster/tls-conflict" "a certificate of one's own together with a domain label";
    Error TlsOverwrite "cluster/tls-overwrite" "a domain label to overwrite, beside a certificate of one's own";
    Error TlsInternal "cluster/tls-internal" "a domain label on an internal load balancer";
    Error NetworkIncomplete "cluster/network-incomplete" "some of the six settings of a virtual network";
    Error SubnetWithoutInternal "cluster/subnet-without-internal" "a load balancer's subnet without an internal load balancer";
    Error ClusterUnnamed "cluster/unnamed" "no resource id, nor group and name";
    Error ClusterNamedTwice "cluster/named-twice" "a resource id beside group or name";
    Error ResourceId "cluster/resource-id" "a text that is no resource id of a cluster";
    Error AcceleratorAbsent "cluster/accelerator-absent" "an accelerator that the cluster's size lacks";
    Error VmSizeImmutable "cluster/vm-size-immutable" "nodes of another size";
    Error AttachedImmutable "cluster/attached-immutable" "a setting of an attached cluster would change";
    Error DoesNotFit "capacity/does-not-fit" "replicas that no node has room for";
    Error NoNode "capacity/no-node" "replicas that no node may take";
    Error RolloutStuck "capacity/rollout-stuck" "an update that can never finish";
    Error BucketCount "config/bucket-count" "the sticky buckets are not 10000 in all";
    Advice Ignored "config/ignored" "a setting that has no effect where it stands";
    Advice Rounded "config/rounded" "a number finer than its unit";
    Advice ProbeSuccessThreshold "config/probe-success-threshold" "a number of successes that liveness probes do not have";
    Advice NoServingPackage "config/no-serving-package" "no package that serves the script is listed";
    Advice UnknownVmSize "cluster/unknown-vm-size" "a size that the table does not know";
    Advice DevTest "cluster/dev-test" "a cluster that is not for production";
    Advice SmallCluster "cluster/small" "a cluster of fewer than 2 vCPUs";
    Advice NetworkForm "cluster/network-form" "a network setting that does not look like one";
    Advice SubscriptionForm "cluster/subscription-form" "a subscription that is not written as a GUID";
    Advice LoadBalancer "cluster/load-balancer" "a load balancer that cannot do what is asked";
    Advice AuthorizedRanges "cluster/authorized-ranges" "an API server that the control plane may not reach";
    Advice Egress "cluster/egress" "a cluster without a way out";
    Advice OldKubernetesLimit "cluster/old-kubernetes-limit" "a version above a limit that no longer holds";
    Advice NameTaken "cluster/name-taken" "a name that another cluster of the region bears";
    Advice ScalingEnds "config/scaling-ends" "a fixed number of replicas ends automatic scaling";
    Advice ClientCrash "config/client-crash" "a call that a client in use cannot make";
    Advice UnknownKey "config/unknown-key" "a member that nothing reads";
    Advice VersionNamedLikeEndpoint "config/version-named-like-endpoint" "a version bears its endpoint's name";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
