//! Settings as they were given, each read once: types and single values are checked here.

use std::collections::BTreeMap;

use super::field::{Field, Group, Kind, ROWS, Spelling, Takes};
use crate::decimal::Decimal;
use crate::finding::{At, Code, Finding, Locate, Report, child};
use crate::json::{Json, Span, wrong_kind};
use crate::quantity::Share;
use crate::read::{self, Fields, label, quoted, unknown_key};
use crate::suggest;

/// What one setting is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Flag(bool),
    Number(Decimal),
    Text(String),
    Map(BTreeMap<String, String>),
    Counts(BTreeMap<String, u32>),
    Any(Json),
}

/// What became of one setting.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Absent,
    /// Reported already; no other rule looks at it.
    Bad,
    Given(Scalar, Option<Span>),
}

/// Where settings come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) spelling: Spelling,
    pub(crate) takes: Takes,
    /// What happens to a name that the source does not have.
    unknown: Unknown,
    /// A member that another reader takes.
    besides: Option<&'static str>,
    /// A setting that the call has, but does not take from here.
    except: Option<Field>,
}

#[derive(Clone, Copy, Debug)]
enum Unknown {
    Refused,
    Advised,
    Ignored,
}

impl Source {
    /// Arguments of a call: Python refuses those that it does not have.
    pub(crate) fn sdk(takes: Takes) -> Self {
        // This one call swallows whatever it does not know.
        let unknown = if takes == Takes::WebserviceUpdate { Unknown::Advised } else { Unknown::Refused };
        Self { spelling: Spelling::Sdk, takes, unknown, besides: None, except: None }
    }

    /// A description of what stands, in arguments of any call.
    pub(crate) fn standing() -> Self {
        Self {
            spelling: Spelling::Sdk,
            takes: Takes::Everything,
            unknown: Unknown::Ignored,
            besides: None,
            except: None,
        }
    }

    pub(crate) fn file(takes: Takes) -> Self {
        Self {
            spelling: Spelling::File,
            takes,
            unknown: Unknown::Advised,
            besides: Some("computeType"),
            except: None,
        }
    }

    /// The file of an endpoint does not name the compute target.
    pub(crate) fn without_compute_target(self) -> Self {
        Self { except: Some(Field::ComputeTargetName), ..self }
    }

    fn has(&self, field: Field) -> bool {
        let ours = field == Field::Accelerators && self.spelling != Spelling::Sdk;
        (self.takes.has(field) || ours) && self.except != Some(field)
    }

    /// The body of a call, which holds much besides settings.
    pub(crate) fn wire() -> Self {
        Self {
            spelling: Spelling::Wire,
            takes: Takes::Everything,
            unknown: Unknown::Ignored,
            besides: None,
            except: None,
        }
    }
}

/// All settings of one document.
#[derive(Debug)]
pub(crate) struct Settings {
    slots: Vec<Slot>,
    pub(crate) root: At,
    pub(crate) spelling: Spelling,
    pub(crate) takes: Takes,
}

impl Settings {
    pub(crate) fn read(json: &Json, source: &Source, report: &mut Report) -> Option<Self> {
        let mut fields = Fields::open(json, At::new(String::new(), json.span), report)?;
        let root = fields.at.clone();
        let mut settings = Self {
            slots: vec![Slot::Absent; ROWS.len()],
            root,
            spelling: source.spelling,
            takes: source.takes,
        };
        if let Some(key) = source.besides {
            fields.take(key);
        }
        settings.fill(None, &mut fields, source, report);
        if source.spelling != Spelling::Sdk {
            for group in Group::ALL {
                settings.read_group(group, &mut fields, source, report);
            }
        }
        note_unknown(&fields, None, source, report);
        Some(settings)
    }

    fn read_group(&mut self, group: Group, fields: &mut Fields<'_>, source: &Source, report: &mut Report) {
        let Some((json, at)) = fields.take(group.key()) else { return };
        match Fields::open(json, at, report) {
            Some(mut members) => {
                self.fill(Some(group), &mut members, source, report);
                note_unknown(&members, Some(group), source, report);
            }
            None => {
                for row in &ROWS {
                    if row.field.path(self.spelling).is_some_and(|(of, _)| of == Some(group)) {
                        self.slots[row.field as usize] = Slot::Bad;
                    }
                }
            }
        }
    }

    fn fill(&mut self, group: Option<Group>, members: &mut Fields<'_>, source: &Source, report: &mut Report) {
        for row in &ROWS {
            let Some((of, key)) = row.field.path(self.spelling) else { continue };
            if of != group || !source.has(row.field) {
                continue;
            }
            let Some(json) = members.take_json(key) else { continue };
            let kind = match row.kind {
                Kind::Inverted if self.spelling != Spelling::Wire => Kind::Flag,
                kind => kind,
            };
            self.slots[row.field as usize] = match scalar(kind, json, &|| members.child(key, json.span)) {
                Ok(value) => Slot::Given(value, json.span),
                Err(finding) => {
                    report.push(finding);
                    Slot::Bad
                }
            };
        }
    }

    /// Takes a setting out of all further rules.
    pub(crate) fn spoil(&mut self, field: Field) {
        self.slots[field as usize] = Slot::Bad;
    }

    pub(crate) fn is_bad(&self, field: Field) -> bool {
        self.slots[field as usize] == Slot::Bad
    }

    pub(crate) fn is_absent(&self, field: Field) -> bool {
        self.slots[field as usize] == Slot::Absent
    }

    pub(crate) fn is_given(&self, field: Field) -> bool {
        self.value(field).is_some()
    }

    fn value(&self, field: Field) -> Option<&Scalar> {
        match &self.slots[field as usize] {
            Slot::Given(value, _) => Some(value),
            _ => None,
        }
    }

    /// Where the setting stands, or where it would have to be added.
    pub(crate) fn at(&self, field: Field) -> At {
        let (Slot::Given(_, span), Some((group, key))) =
            (&self.slots[field as usize], field.path(self.spelling))
        else {
            return self.root.clone();
        };
        let mut pointer = String::new();
        for token in group.map(Group::key).into_iter().chain([key]) {
            child(&mut pointer, token);
        }
        At::new(pointer, *span)
    }

    pub(crate) fn flag(&self, field: Field) -> Option<bool> {
        match self.value(field)? {
            Scalar::Flag(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn number(&self, field: Field) -> Option<&Decimal> {
        match self.value(field)? {
            Scalar::Number(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn whole(&self, field: Field) -> Option<u32> {
        self.number(field).and_then(Decimal::as_u64).and_then(|value| u32::try_from(value).ok())
    }

    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        match self.value(field)? {
            Scalar::Text(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn map(&self, field: Field) -> Option<&BTreeMap<String, String>> {
        match self.value(field)? {
            Scalar::Map(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn counts(&self, field: Field) -> Option<&BTreeMap<String, u32>> {
        match self.value(field)? {
            Scalar::Counts(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn any(&self, field: Field) -> Option<&Json> {
        match self.value(field)? {
            Scalar::Any(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn share(&self) -> Option<Share> {
        self.number(Field::TrafficPercentile).and_then(|percent| Share::from_percent(percent).ok())
    }

    /// The setting's name as this document spells it.
    pub(crate) fn name(&self, field: Field) -> String {
        field.name(self.spelling).unwrap_or_else(|| field.row().sdk.to_owned())
    }
}

/// Reads one value; bounds of numbers wait for the rules, because some of them depend on other settings.
fn scalar(kind: Kind, json: &Json, at: &impl Locate) -> Result<Scalar, Finding> {
    match kind {
        Kind::Flag => read::boolean(json, at).map(Scalar::Flag),
        Kind::Inverted => read::boolean(json, at).map(|value| Scalar::Flag(!value)),
        Kind::Whole(..) | Kind::Amount | Kind::Percent => read::number(json, at).map(Scalar::Number),
        Kind::Text | Kind::Secret => read::text(json, at).map(|text| Scalar::Text(text.to_owned())),
        Kind::Map => map(json, at).map(Scalar::Map),
        Kind::Counts => counts(json, at).map(Scalar::Counts),
        Kind::Any => Ok(Scalar::Any(json.clone())),
    }
}

fn map(json: &Json, at: &impl Locate) -> Result<BTreeMap<String, String>, Finding> {
    const WANTED: &str = "an object of strings";
    if json.kind() != "an object" {
        return Err(wrong_kind(json, &at.at(), WANTED));
    }
    json.members()
        .map(|(key, value)| match value.as_str() {
            Some(text) => Ok((key.to_owned(), text.to_owned())),
            None => {
                let mut pointer = at.at().pointer;
                child(&mut pointer, key);
                Err(wrong_kind(value, &At::new(pointer, value.span), "a string"))
            }
        })
        .collect()
}

fn counts(json: &Json, at: &impl Locate) -> Result<BTreeMap<String, u32>, Finding> {
    if json.kind() != "an object" {
        return Err(wrong_kind(json, &at.at(), "an object of whole numbers"));
    }
    json.members()
        .map(|(key, value)| {
            let place = || {
                let mut pointer = at.at().pointer;
                child(&mut pointer, key);
                At::new(pointer, value.span)
            };
            let count = read::whole(&read::number(value, &place)?, &place, 0, u64::from(u32::MAX))?;
            Ok((key.to_owned(), u32::try_from(count).unwrap_or(u32::MAX)))
        })
        .collect()
}

fn note_unknown(members: &Fields<'_>, group: Option<Group>, source: &Source, report: &mut Report) {
    if matches!(source.unknown, Unknown::Ignored) {
        return;
    }
    for (key, at) in members.rest() {
        report.push(match known_elsewhere(key, group, source) {
            Some((code, why)) => Finding::new(code, &at, format!("{key:?} {why}"))
                .found(quoted(key))
                .allowed("a setting that is read here")
                .remedy("remove it"),
            None => strange(key, &at, group, source),
        });
    }
}

/// A setting that exists, but is not read from here.
fn known_elsewhere(key: &str, group: Option<Group>, source: &Source) -> Option<(Code, &'static str)> {
    match (source.spelling, group, key) {
        (Spelling::File, Some(Group::Resources), "gpu") => Some((
            Code::Ignored,
            "is ignored here; graphics processors are asked for by \"gpuCores\" at the top",
        )),
        (Spelling::File, None, "versionName" | "trafficPercentile") => {
            Some((Code::Ignored, "is ignored for a service; only endpoints have versions"))
        }
        (Spelling::File, None, "computeTargetName") => {
            Some((Code::Ignored, "is ignored for an endpoint; only services take it from the file"))
        }
        (Spelling::File, None, "tags" | "properties" | "description") => {
            Some((Code::Ignored, "is not read from the file; it is given beside it"))
        }
        (Spelling::Sdk, _, _) if ROWS.iter().any(|row| row.sdk == key) => match source.unknown {
            Unknown::Refused => Some((Code::UnknownArgument, "is no argument of this call")),
            _ => Some((Code::Ignored, "is ignored by this call")),
        },
        _ => None,
    }
}

fn strange(key: &str, at: &At, group: Option<Group>, source: &Source) -> Finding {
    let near = other_spelling(key, source)
        .or_else(|| suggest::nearest(key, names_here(group, source)).map(str::to_owned));
    let finding = unknown_key(key, at, near.as_deref());
    match source.unknown {
        Unknown::Refused => {
            Finding::new(Code::UnknownArgument, at, format!("the call has no argument {}", quoted(key)))
                .found(finding.found)
                .allowed("an argument that this call has")
                .remedy(finding.remedy)
        }
        _ => finding,
    }
}

/// The right name of a setting that was written as another document spells it.
fn other_spelling(key: &str, source: &Source) -> Option<String> {
    let others = [Spelling::Sdk, Spelling::File, Spelling::Wire];
    let row = ROWS
        .iter()
        .filter(|row| source.has(row.field))
        .find(|row| others.iter().any(|&other| row.field.path(other).is_some_and(|(_, name)| name == key)))?;
    row.field.name(source.spelling)
}

fn names_here(group: Option<Group>, source: &Source) -> impl Iterator<Item = &'static str> {
    let source = *source;
    let spelling = source.spelling;
    let groups = Group::ALL
        .iter()
        .map(|group| group.key())
        .filter(move |_| group.is_none() && spelling != Spelling::Sdk);
    ROWS.iter()
        .filter(move |row| source.has(row.field))
        .filter_map(move |row| row.field.path(spelling))
        .filter(move |(of, _)| *of == group)
        .map(|(_, key)| key)
        .chain(groups)
        .chain(source.besides.filter(|_| group.is_none()))
}

/// A finding about a number, said with its label.
pub(crate) fn number_fault(code: Code, spot: (&At, &Decimal), message: &str) -> Finding {
    let (at, value) = spot;
    Finding::new(code, at, format!("{} is {value}, {message}", label(at))).found(value.to_string())
}
