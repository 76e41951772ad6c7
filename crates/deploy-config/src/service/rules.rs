//! The rules of settings: bounds of single values, then what they must be to each other.

use super::field::{Field, Kind};
use super::settings::{Settings, number_fault};
use crate::decimal::Decimal;
use crate::endpoint::named_replicas_fault;
use crate::finding::{Code, Finding, Report};
use crate::json::Json;
use crate::name::NameKind;
use crate::quantity::{MemoryMib, Millicores};
use crate::read;
use crate::replicas::AutoscaleSpec;

/// Most models in one container.
pub(crate) const MAX_MODELS: usize = 1000;

/// Everything that a new service or version must obey.
pub(crate) fn create(settings: &mut Settings, report: &mut Report) {
    single_values(settings, report);
    names(settings, report);
    replicas(settings, report);
    min_and_max(settings, Some(AutoscaleSpec::default()), report);
    limits(settings, report);
    if settings.flag(Field::AuthEnabled) == Some(true) && settings.flag(Field::TokenAuthEnabled) == Some(true)
    {
        report.push(auth_conflict(settings));
    }
    keys(settings, report);
    models(settings, report);
    advice(settings, report);
}

/// Bounds of every number that counts in itself; autoscaling's count only where it is on.
pub(crate) fn single_values(settings: &mut Settings, report: &mut Report) {
    let scaling = settings.flag(Field::AutoscaleEnabled) == Some(true);
    for &field in Field::ALL {
        if AUTOSCALE_NUMBERS.contains(&field) && !scaling {
            continue;
        }
        let Some(value) = settings.number(field) else { continue };
        if let Err(finding) = bounds(field, value, settings) {
            report.push(finding);
            settings.spoil(field);
        }
    }
}

fn bounds(field: Field, value: &Decimal, settings: &Settings) -> Result<(), Finding> {
    let at = || settings.at(field);
    match field.row().kind {
        Kind::Whole(min, max) => read::whole(value, &at, min, max).map(drop),
        Kind::Percent => read::share(value, &at).map(drop),
        _ if !value.is_positive() => Err(number_fault(Code::NotPositive, (&at(), value), "must be above 0")
            .allowed("a number above 0, fractions allowed")
            .remedy("ask for what a replica needs, or leave it out for the default")),
        _ => {
            let fits = match field {
                Field::CpuCores | Field::CpuCoresLimit => Millicores::from_cores(value).is_ok(),
                _ => MemoryMib::from_gigabytes(value).is_ok(),
            };
            if fits {
                return Ok(());
            }
            Err(number_fault(Code::TooLarge, (&at(), value), "more than any machine has")
                .allowed("less than 4194303")
                .remedy("write cores, or gigabytes, not a smaller unit"))
        }
    }
}

pub(crate) fn names(settings: &mut Settings, report: &mut Report) {
    let kinds = [
        (Field::Namespace, NameKind::Namespace),
        (Field::VersionName, NameKind::Version),
        (Field::ComputeTargetName, NameKind::Compute),
    ];
    for (field, kind) in kinds {
        // An empty text is what the client sends for “none”.
        let Some(text) = settings.text(field).filter(|text| !text.is_empty()) else { continue };
        if let Err(finding) = read::check_name(kind, text, &|| settings.at(field)) {
            report.push(finding);
            settings.spoil(field);
        }
    }
}

/// A fixed number and automatic scaling exclude each other, and one of them is needed.
pub(crate) fn replicas(settings: &mut Settings, report: &mut Report) {
    if settings.is_bad(Field::AutoscaleEnabled) {
        return;
    }
    if settings.flag(Field::AutoscaleEnabled) == Some(true) {
        if settings.number(Field::NumReplicas).is_some() {
            report.push(both(settings));
            settings.spoil(Field::NumReplicas);
        }
        return;
    }
    if settings.flag(Field::AutoscaleEnabled) == Some(false) && settings.is_absent(Field::NumReplicas) {
        report.push(no_number(settings));
    }
    for field in AUTOSCALE_NUMBERS {
        let Some(value) = settings.number(field) else { continue };
        let zero = value.is_zero();
        report.push(if zero { idle_zero(settings, field) } else { scaling_is_off(settings, field, value) });
        settings.spoil(field);
    }
}

fn both(settings: &Settings) -> Finding {
    Finding::new(
        Code::ReplicasAndAutoscale,
        &settings.at(Field::NumReplicas),
        "a fixed number of replicas and automatic scaling exclude each other",
    )
    .found("both")
    .allowed("one of them")
    .remedy(format!(
        "remove {}, or switch {} off",
        settings.name(Field::NumReplicas),
        settings.name(Field::AutoscaleEnabled)
    ))
}

fn no_number(settings: &Settings) -> Finding {
    Finding::new(
        Code::ReplicasMissing,
        &settings.at(Field::AutoscaleEnabled),
        "automatic scaling is off, but there is no number of replicas",
    )
    .found("neither")
    .allowed("automatic scaling, or a fixed number of replicas")
    .remedy(format!("add {}", settings.name(Field::NumReplicas)))
}

fn scaling_is_off(settings: &Settings, field: Field, value: &Decimal) -> Finding {
    let state = if settings.is_absent(Field::AutoscaleEnabled) { "not switched on" } else { "off" };
    number_fault(
        Code::AutoscaleOff,
        (&settings.at(field), value),
        &format!("but automatic scaling is {state}"),
    )
    .allowed("settings of automatic scaling only together with it")
    .remedy(format!("set {} to true, or remove the setting", settings.name(Field::AutoscaleEnabled)))
}

fn idle_zero(settings: &Settings, field: Field) -> Finding {
    Finding::new(
        Code::Ignored,
        &settings.at(field),
        "a 0 here counts as nothing given while automatic scaling is off",
    )
    .found("0")
    .allowed("nothing, while automatic scaling is off")
    .remedy("remove it")
}

/// Fewest above most, the one that is not given taken from what stands, if that is known.
pub(crate) fn min_and_max(settings: &Settings, standing: Option<AutoscaleSpec>, report: &mut Report) {
    let on = settings.flag(Field::AutoscaleEnabled) == Some(true);
    if !on || settings.is_bad(Field::AutoscaleMinReplicas) || settings.is_bad(Field::AutoscaleMaxReplicas) {
        return;
    }
    let given = (settings.whole(Field::AutoscaleMinReplicas), settings.whole(Field::AutoscaleMaxReplicas));
    let min = given.0.or_else(|| standing.map(|spec| spec.min()));
    let max = given.1.or_else(|| standing.map(|spec| spec.max()));
    let (Some(min), Some(max)) = (min, max) else { return };
    if min > max {
        let at = if given.0.is_some() { Field::AutoscaleMinReplicas } else { Field::AutoscaleMaxReplicas };
        report.push(named_replicas_fault(&settings.at(at), min, max));
    }
}

/// A limit below its request, where one that is not given is the default.
fn limits(settings: &Settings, report: &mut Report) {
    for pair in LIMITS {
        if settings.is_bad(pair.request) {
            continue;
        }
        let Some(limit) = settings.number(pair.limit) else { continue };
        let default = pair.default();
        let request = settings.number(pair.request).unwrap_or(&default);
        if limit < request {
            report.push(limit_below(settings, &pair, limit, request, "reserved"));
        }
    }
}

pub(crate) fn limit_below(
    settings: &Settings,
    pair: &Pair,
    limit: &Decimal,
    request: &Decimal,
    what: &str,
) -> Finding {
    let unit = pair.unit;
    Finding::new(
        pair.code,
        &settings.at(pair.limit),
        format!("at most {limit} {unit}, but {request} are {what}"),
    )
    .found(limit.to_string())
    .allowed(format!("at least {request}"))
    .remedy(format!("raise {} or lower {}", settings.name(pair.limit), settings.name(pair.request)))
}

/// A request with its limit.
pub(crate) struct Pair {
    pub(crate) request: Field,
    pub(crate) limit: Field,
    pub(crate) code: Code,
    pub(crate) unit: &'static str,
    default: &'static str,
}

impl Pair {
    pub(crate) fn default(&self) -> Decimal {
        Decimal::parse(self.default).unwrap_or_else(|| Decimal::from(0))
    }
}

pub(crate) const LIMITS: [Pair; 2] = [
    Pair {
        request: Field::CpuCores,
        limit: Field::CpuCoresLimit,
        code: Code::CpuLimitBelowRequest,
        unit: "cores",
        default: "0.1",
    },
    Pair {
        request: Field::MemoryGb,
        limit: Field::MemoryGbLimit,
        code: Code::MemoryLimitBelowRequest,
        unit: "GB",
        default: "0.5",
    },
];

pub(crate) const AUTOSCALE_NUMBERS: [Field; 4] = [
    Field::AutoscaleMinReplicas,
    Field::AutoscaleMaxReplicas,
    Field::AutoscaleRefreshSeconds,
    Field::AutoscaleTargetUtilization,
];

pub(crate) fn auth_conflict(settings: &Settings) -> Finding {
    Finding::new(
        Code::AuthConflict,
        &settings.at(Field::TokenAuthEnabled),
        "keys and tokens exclude each other, and both are switched on",
    )
    .found("both")
    .allowed("one of them, or neither")
    .remedy(format!("remove {}", settings.name(Field::AuthEnabled)))
}

fn keys(settings: &Settings, report: &mut Report) {
    let given = |field| settings.text(field).is_some_and(|text| !text.is_empty());
    if given(Field::SecondaryKey) && !given(Field::PrimaryKey) && !settings.is_bad(Field::PrimaryKey) {
        report.push(
            Finding::new(
                Code::Ignored,
                &settings.at(Field::SecondaryKey),
                "a secondary key alone is dropped",
            )
            .found("a secondary key, no primary one")
            .allowed("both keys, the primary one, or none")
            .remedy(format!("add {}", settings.name(Field::PrimaryKey))),
        );
    }
}

/// Models and inference configuration of a version that is created.
fn models(settings: &Settings, report: &mut Report) {
    check_models(settings, report);
    if let Some(config) = settings.any(Field::InferenceConfig)
        && config.members().next().is_some()
        && config.get("environment").is_none_or(Json::is_null)
    {
        report.push(
            read::missing(&settings.at(Field::InferenceConfig), "environment")
                .remedy("give the inference configuration an environment"),
        );
    }
}

pub(crate) fn check_models(settings: &Settings, report: &mut Report) {
    let Some(models) = settings.any(Field::Models) else { return };
    let at = &settings.at(Field::Models);
    let Some(models) = models.as_array() else {
        report.push(crate::json::wrong_kind(models, at, "an array"));
        return;
    };
    if models.len() > MAX_MODELS {
        report.push(
            Finding::new(
                Code::TooManyModels,
                at,
                format!("{} models, a container has at most {MAX_MODELS}", models.len()),
            )
            .found(models.len().to_string())
            .allowed(format!("at most {MAX_MODELS}"))
            .remedy("spread the models over several services"),
        );
    }
}

/// What is accepted and still worth a word.
pub(crate) fn advice(settings: &Settings, report: &mut Report) {
    if settings.whole(Field::SuccessThreshold).is_some_and(|count| count > 1) {
        report.push(
            Finding::new(
                Code::ProbeSuccessThreshold,
                &settings.at(Field::SuccessThreshold),
                "Kubernetes takes one success of a liveness probe, whatever is asked for",
            )
            .found(settings.number(Field::SuccessThreshold).map(ToString::to_string).unwrap_or_default())
            .allowed("1 has the same effect")
            .remedy("remove it"),
        );
    }
    for field in [Field::CpuCores, Field::CpuCoresLimit] {
        let Some(cores) = settings.number(field).filter(|cores| cores.is_positive()) else { continue };
        let Ok(rounded) = Millicores::from_cores(cores) else { continue };
        if Decimal::parse(&rounded.cores()).as_ref() != Some(cores) {
            report.push(
                number_fault(
                    Code::Rounded,
                    (&settings.at(field), cores),
                    &format!("rounded up to {rounded}"),
                )
                .allowed("whole thousandths of a core")
                .remedy(format!("write {}", rounded.cores())),
            );
        }
    }
}

/// A version with sizes of its own cannot be created by the client that most scripts use.
pub(crate) fn client_crash(settings: &Settings) -> Option<Finding> {
    let sized = LIMITS.iter().any(|pair| settings.is_given(pair.request) || settings.is_given(pair.limit));
    sized.then(|| {
        Finding::new(
            Code::ClientCrash,
            &settings.root,
            "azureml-core 1.35 to 1.61 crashes when it creates a version with sizes of its own",
        )
        .found("a size")
        .allowed("sizes, with another client")
        .remedy("leave sizes out when that client is used")
    })
}
