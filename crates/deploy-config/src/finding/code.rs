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
    Error BucketCount "config/bucket-count" "the sticky buckets are not 10000 in all";
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
