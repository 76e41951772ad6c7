//! Reading a value tree into typed values, every fault noted and none twice.

use std::str::FromStr;
use std::time::Duration;

use crate::decimal::Decimal;
use crate::finding::{At, Code, Finding, Locate, Report, child};
use crate::json::{Json, Member, Value, wrong_kind};
use crate::name::{InvalidName, NameKind};
use crate::quantity::{QuantityError, Share};
use crate::suggest;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spot<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

/// What became of a member: a fault that was reported must not be reported again for what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<T> {
    Absent,
    Bad,
    Good(Spot<T>),
}

impl<T> Read<T> {
    pub(crate) fn good(&self) -> Option<&T> {
        self.spot().map(|spot| &spot.value)
    }

    pub(crate) fn spot(&self) -> Option<&Spot<T>> {
        match self {
            Self::Good(spot) => Some(spot),
            _ => None,
        }
    }

    pub(crate) fn ok(self) -> Option<T> {
        match self {
            Self::Good(spot) => Some(spot.value),
            _ => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// The members of one object, each taken once.
pub(crate) struct Fields<'a> {
    members: &'a [Member],
    taken: Vec<bool>,
    pub(crate) at: At,
}

impl<'a> Fields<'a> {
    /// The members of an object; anything else is a fault.
    pub(crate) fn open(json: &'a Json, at: At, report: &mut Report) -> Option<Self> {
        let Value::Object(members) = &json.value else {
            report.push(wrong_kind(json, &at, "an object"));
            return None;
        };
        Some(Self { members, taken: vec![false; members.len()], at })
    }

    /// A member by name; `null` counts as absent.
    pub(crate) fn take(&mut self, key: &str) -> Option<(&'a Json, At)> {
        self.take_json(key).map(|json| (json, self.child(key, json.span)))
    }

    /// The same without its place.
    pub(crate) fn take_json(&mut self, key: &str) -> Option<&'a Json> {
        let index = self.members.iter().position(|member| *member.key == *key)?;
        self.taken[index] = true;
        Some(&self.members[index].json).filter(|json| !json.is_null())
    }

    pub(crate) fn child(&self, key: &str, span: Option<crate::json::Span>) -> At {
        let mut pointer = self.at.pointer.clone();
        child(&mut pointer, key);
        At::new(pointer, span)
    }

    /// Members that nothing took, with the places of their names.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&'a str, At)> {
        self.members
            .iter()
            .zip(&self.taken)
            .filter(|(_, taken)| !**taken)
            .map(|(member, _)| (&*member.key, self.child(&member.key, member.key_span)))
    }

    /// Advises on every member that nothing took.
    pub(crate) fn finish(self, known: &[&str], report: &mut Report) {
        for (key, at) in self.rest() {
            report.push(unknown_key(key, &at, suggest::nearest(key, known.iter().copied())));
        }
    }

    /// A member that must be there.
    pub(crate) fn required(&mut self, key: &str, report: &mut Report) -> Option<(&'a Json, At)> {
        let found = self.take(key);
        if found.is_none() {
            report.push(missing(&self.at, key));
        }
        found
    }

    fn read<T>(
        &mut self,
        key: &str,
        report: &mut Report,
        read: impl FnOnce(&'a Json, &At) -> Result<T, Finding>,
    ) -> Read<T> {
        let Some((json, at)) = self.take(key) else { return Read::Absent };
        match read(json, &at) {
            Ok(value) => Read::Good(Spot { value, at }),
            Err(finding) => {
                report.push(finding);
                Read::Bad
            }
        }
    }

    pub(crate) fn text(&mut self, key: &str, report: &mut Report) -> Read<&'a str> {
        self.read(key, report, text)
    }

    pub(crate) fn boolean(&mut self, key: &str, report: &mut Report) -> Read<bool> {
        self.read(key, report, boolean)
    }

    pub(crate) fn whole(&mut self, key: &str, (min, max): (u64, u64), report: &mut Report) -> Read<u64> {
        self.read(key, report, |json, at| whole(&number(json, at)?, at, min, max))
    }

    pub(crate) fn millis(
        &mut self,
        key: &str,
        (min, max): (u64, u64),
        report: &mut Report,
    ) -> Read<Duration> {
        self.read(key, report, |json, at| whole(&number(json, at)?, at, min, max).map(Duration::from_millis))
    }

    pub(crate) fn name<T: FromStr<Err = InvalidName>>(&mut self, key: &str, report: &mut Report) -> Read<T> {
        self.read(key, report, |json, at| parse_name(text(json, at)?, at))
    }

    pub(crate) fn share(&mut self, key: &str, report: &mut Report) -> Read<Share> {
        self.read(key, report, |json, at| share(&number(json, at)?, at))
    }

    /// One of a fixed set of words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report,
    ) -> Read<T> {
        self.read(key, report, |json, at| choice(text(json, at)?, at, choices))
    }
}

pub(crate) fn text<'a>(json: &'a Json, at: &impl Locate) -> Result<&'a str, Finding> {
    json.as_str().ok_or_else(|| wrong_kind(json, &at.at(), "a string"))
}

pub(crate) fn boolean(json: &Json, at: &impl Locate) -> Result<bool, Finding> {
    match json.value {
        Value::Bool(value) => Ok(value),
        _ => Err(wrong_kind(json, &at.at(), "true or false")),
    }
}

pub(crate) fn number(json: &Json, at: &impl Locate) -> Result<Decimal, Finding> {
    json.as_decimal().ok_or_else(|| wrong_kind(json, &at.at(), "a number"))
}

/// A whole number from `min` to `max`.
pub(crate) fn whole(value: &Decimal, at: &impl Locate, min: u64, max: u64) -> Result<u64, Finding> {
    let whole = value.as_u64();
    if let Some(whole) = whole.filter(|whole| (min..=max).contains(whole)) {
        return Ok(whole);
    }
    let at = at.at();
    let label = label(&at);
    let (code, message) = if !value.is_integer() {
        (Code::NotAnInteger, format!("{label} is {value}, not a whole number"))
    } else if value.is_negative() || whole.is_some_and(|whole| whole < min) {
        let code = if min == 0 { Code::Negative } else { Code::NotPositive };
        (code, format!("{label} is {value}, must be at least {min}"))
    } else {
        (Code::TooLarge, format!("{label} is {value}, {max} is the most"))
    };
    let allowed = if max >= u64::from(u32::MAX) {
        format!("a whole number, at least {min}")
    } else {
        format!("a whole number, {min} to {max}")
    };
    Err(Finding::new(code, &at, message)
        .found(value.to_string())
        .allowed(allowed)
        .remedy("write a number that is allowed"))
}

pub(crate) fn share(value: &Decimal, at: &impl Locate) -> Result<Share, Finding> {
    Share::from_percent(value).map_err(|error| {
        let (code, message) = match error {
            QuantityError::TooFine => (Code::SharePrecision, "is finer than 0.01 %"),
            _ => (Code::ShareOutOfRange, "is outside 0 to 100 %"),
        };
        let at = at.at();
        Finding::new(code, &at, format!("{} {value} {message}", label(&at)))
            .found(value.to_string())
            .allowed("0 to 100, with at most two decimals")
            .remedy("write the percentage of all requests that the version is to get")
    })
}

pub(crate) fn parse_name<T: FromStr<Err = InvalidName>>(text: &str, at: &At) -> Result<T, Finding> {
    text.parse().map_err(|error: InvalidName| name_fault(text, &error, at))
}

pub(crate) fn check_name(kind: NameKind, text: &str, at: &impl Locate) -> Result<(), Finding> {
    kind.check(text).map_err(|error| name_fault(text, &error, &at.at()))
}

fn name_fault(text: &str, error: &InvalidName, at: &At) -> Finding {
    Finding::new(Code::NameInvalid, at, error.to_string())
        .found(quoted(text))
        .allowed(error.kind().allowed())
        .remedy("choose a name that the rule allows")
}

pub(crate) fn choice<T: Copy>(text: &str, at: &At, choices: &[(&str, T)]) -> Result<T, Finding> {
    let words = || choices.iter().map(|(word, _)| *word);
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let allowed = words().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let remedy = suggest::nearest(text, words())
            .map_or_else(|| format!("write one of {allowed}"), |near| format!("did you mean {near:?}?"));
        Finding::new(Code::UnknownValue, at, format!("{} is none of {allowed}", quoted(text)))
            .found(quoted(text))
            .allowed(allowed)
            .remedy(remedy)
    })
}

pub(crate) fn missing(parent: &At, key: &str) -> Finding {
    Finding::new(Code::Missing, parent, format!("{key:?} is missing"))
        .found("nothing")
        .allowed(format!("{key:?} must be given"))
        .remedy(format!("add {key:?}"))
}

pub(crate) fn unknown_key(key: &str, at: &At, near: Option<&str>) -> Finding {
    let remedy = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near:?}?"));
    Finding::new(Code::UnknownKey, at, format!("nothing reads {}", quoted(key)))
        .found(quoted(key))
        .allowed("a member that this document has")
        .remedy(remedy)
}

/// The last token of a pointer: what a reader calls the value.
pub(crate) fn label(at: &At) -> &str {
    at.pointer.rsplit('/').next().filter(|label| !label.is_empty()).unwrap_or("the value")
}

/// A text as it may be shown: shortened, its control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
