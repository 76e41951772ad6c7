//! Changing a service or a version that stands.

use super::field::{Field, Takes};
use super::rules::{self, LIMITS};
use super::settings::{Settings, Source};
use super::{ServiceSpec, build, siblings};
use crate::decimal::Decimal;
use crate::endpoint::{AuthMode, EndpointSpec};
use crate::finding::{At, Checked, Code, Finding, Report, child};
use crate::json::Json;
use crate::replicas::Replicas;

/// A change without a fault, ready to be laid over what stands.
#[derive(Debug)]
pub struct ServiceUpdate {
    settings: Settings,
}

impl ServiceUpdate {
    /// Checks the arguments of `AksWebservice.update` against what stands, as far as that is known.
    pub fn check(json: &Json, current: Option<&ServiceSpec>) -> Checked<Self> {
        Self::check_source(json, Takes::WebserviceUpdate, current)
    }

    /// Checks the arguments of `AksEndpoint.update`: authentication, labels and the like, but no version.
    pub fn check_endpoint(json: &Json, current: Option<&ServiceSpec>) -> Checked<Self> {
        Self::check_source(json, Takes::EndpointUpdate, current)
    }

    /// Checks the arguments of `AksEndpoint.update_version`, which the client sends unchecked: what counts is
    /// whether the version is sound afterwards.
    pub fn check_version(
        json: &Json,
        endpoint: Option<&EndpointSpec>,
        current: Option<&ServiceSpec>,
    ) -> Checked<Self> {
        let (update, mut report) = Self::check_all(json, Takes::Version, current);
        if let (Some(update), Some(endpoint)) = (&update, endpoint) {
            siblings::updated(&update.settings, endpoint, &mut report);
        }
        Checked::new(update, report)
    }

    fn check_source(json: &Json, takes: Takes, current: Option<&ServiceSpec>) -> Checked<Self> {
        let (update, report) = Self::check_all(json, takes, current);
        Checked::new(update, report)
    }

    /// The settings even if there are errors, for rules that look further.
    fn check_all(json: &Json, takes: Takes, current: Option<&ServiceSpec>) -> (Option<Self>, Report) {
        let mut report = Report::default();
        let Some(mut settings) = Settings::read(json, &Source::sdk(takes), &mut report) else {
            return (None, report);
        };
        let named = takes != Takes::Version || siblings::named(&settings, &mut report);
        if named && !report.has_errors() && !gives_anything(&settings) {
            report.push(nothing(&settings));
            return (None, report);
        }
        rules(&mut settings, current, &mut report);
        (Some(Self { settings }), report)
    }

    /// What stands with the change laid over it. Booleans, maps and limits count when they are given, numbers and
    /// texts when they are neither 0 nor empty.
    #[must_use]
    pub fn apply(&self, current: &ServiceSpec) -> ServiceSpec {
        build::onto(current, &self.settings)
    }

    /// The version that the change is about.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.settings.text(Field::VersionName)
    }

    /// Whether the version is to become the default (`true`) or to stay what it is.
    #[must_use]
    pub fn makes_default(&self) -> bool {
        self.settings.flag(Field::IsDefault) == Some(true)
    }

    /// Whether the version is to become the control (`true`) or to stay what it is.
    #[must_use]
    pub fn makes_control(&self) -> bool {
        self.settings.flag(Field::IsControlVersionType) == Some(true)
    }
}

/// For numbers and texts, given means neither 0 nor empty; the two limits and a version's share count even as 0.
fn gives_anything(settings: &Settings) -> bool {
    Field::ALL.iter().filter(|field| **field != Field::VersionName).any(|&field| {
        let counts_as_zero =
            matches!(field, Field::CpuCoresLimit | Field::MemoryGbLimit | Field::TrafficPercentile);
        match (settings.number(field), settings.text(field)) {
            (Some(number), _) => counts_as_zero || !number.is_zero(),
            (_, Some(text)) => !text.is_empty(),
            // An image that is falsy is none.
            _ if field == Field::Image => settings.any(field).is_some_and(|image| image.as_str() != Some("")),
            _ => !settings.is_absent(field),
        }
    })
}

fn nothing(settings: &Settings) -> Finding {
    Finding::new(Code::NothingToUpdate, &settings.root, "the update changes nothing")
        .found("nothing, or only zeros and empty texts, which count as not given")
        .allowed("at least one setting")
        .remedy("give the setting that is to change")
}

fn rules(settings: &mut Settings, current: Option<&ServiceSpec>, report: &mut Report) {
    rules::single_values(settings, report);
    rules::names(settings, report);
    rules::replicas(settings, report);
    let standing = current.map(|spec| match spec.replicas {
        Replicas::Auto(auto) => auto,
        Replicas::Fixed(_) => crate::replicas::AutoscaleSpec::default(),
    });
    rules::min_and_max(settings, standing, report);
    limits(settings, current, report);
    auth(settings, current, report);
    properties(settings, current, report);
    rules::check_models(settings, report);
    if settings.takes == Takes::WebserviceUpdate {
        models_alone(settings, report);
    }
    rules::advice(settings, report);
    fixed_beside_scaling(settings, current, report);
}

/// Requests and limits against each other and against what stands.
fn limits(settings: &Settings, current: Option<&ServiceSpec>, report: &mut Report) {
    for pair in &LIMITS {
        let (request, limit) = (settings.number(pair.request), settings.number(pair.limit));
        let stored = current.map(|spec| stored(spec, pair));
        let stored_limit = stored.as_ref().and_then(|(_, limit)| limit.as_ref());
        let stored_request = stored.as_ref().map(|(request, _)| request);
        // A service is told off for a new limit below the old request even if the request falls with it; a version,
        // which the client leaves to the server, only for what it would be afterwards.
        let strict = settings.takes != Takes::Version;
        let finding = match (request, limit) {
            (Some(request), Some(limit)) if limit < request => {
                Some(rules::limit_below(settings, pair, limit, request, "reserved"))
            }
            (None, Some(limit)) if !settings.is_bad(pair.request) => stored_request
                .filter(|request| limit < *request)
                .map(|request| rules::limit_below(settings, pair, limit, request, "reserved so far")),
            (Some(_), Some(limit)) if strict => stored_request
                .filter(|request| limit < *request)
                .map(|request| rules::limit_below(settings, pair, limit, request, "reserved so far"))
                .or_else(|| above_stored(settings, pair, stored_limit)),
            (Some(_), None) if !settings.is_bad(pair.limit) => above_stored(settings, pair, stored_limit),
            _ => None,
        };
        report.extend(finding);
    }
}

fn above_stored(settings: &Settings, pair: &rules::Pair, limit: Option<&Decimal>) -> Option<Finding> {
    let (request, limit) = (settings.number(pair.request)?, limit?);
    (request > limit).then(|| {
        let unit = pair.unit;
        Finding::new(
            pair.code,
            &settings.at(pair.request),
            format!("{request} {unit} asked for, but at most {limit} so far"),
        )
        .found(request.to_string())
        .allowed(format!("at most {limit}"))
        .remedy(format!("raise {} in an update of its own first", settings.name(pair.limit)))
    })
}

/// Request and limit that stand, in the unit of the settings.
fn stored(spec: &ServiceSpec, pair: &rules::Pair) -> (Decimal, Option<Decimal>) {
    let resources = &spec.resources;
    let (request, limit) = match pair.request {
        Field::CpuCores => (resources.cpu.cores(), resources.cpu_limit.map(|limit| limit.cores())),
        _ => (resources.memory.gigabytes(), resources.memory_limit.map(|limit| limit.gigabytes())),
    };
    let decimal = |text: &str| Decimal::parse(text).unwrap_or_else(|| Decimal::from(0));
    (decimal(&request), limit.as_deref().map(decimal))
}

/// One way to authenticate is switched on only where the other is switched off in the same call.
fn auth(settings: &Settings, current: Option<&ServiceSpec>, report: &mut Report) {
    let (keys, tokens) = (settings.flag(Field::AuthEnabled), settings.flag(Field::TokenAuthEnabled));
    if settings.is_bad(Field::AuthEnabled) || settings.is_bad(Field::TokenAuthEnabled) {
        return;
    }
    let standing = current.map(|spec| spec.auth);
    let (on, off) = match (keys, tokens) {
        (Some(true), Some(true)) => return report.push(rules::auth_conflict(settings)),
        (None, Some(true)) if standing == Some(AuthMode::Keys) => {
            (Field::TokenAuthEnabled, Field::AuthEnabled)
        }
        (Some(true), None) if standing == Some(AuthMode::Token) => {
            (Field::AuthEnabled, Field::TokenAuthEnabled)
        }
        _ => return,
    };
    let off = settings.name(off);
    report.push(
        Finding::new(
            Code::AuthSwitch,
            &settings.at(on),
            format!("{off} stands and is not switched off in this call"),
        )
        .found("one switched on, the other left on")
        .allowed("one switched on and the other off in the same call")
        .remedy(format!("add {off} = false")),
    );
}

/// Properties that exist never change.
fn properties(settings: &Settings, current: Option<&ServiceSpec>, report: &mut Report) {
    let (Some(new), Some(current)) = (settings.map(Field::Properties), current) else { return };
    for (key, value) in new {
        if current.properties.get(key).is_some_and(|old| old != value) {
            let at = &settings.at(Field::Properties);
            let mut pointer = at.pointer.clone();
            child(&mut pointer, key);
            report.push(property_changed(&At::new(pointer, at.span), key));
        }
    }
}

pub(crate) fn property_changed(at: &At, key: &str) -> Finding {
    Finding::new(
        Code::PropertyImmutable,
        at,
        format!("property {} exists and cannot change", crate::read::quoted(key)),
    )
    .found("another value")
    .allowed("new properties; those that exist stay as they are")
    .remedy("use a tag for what changes")
}

/// Without an inference configuration there is room for exactly one model, of a framework with an environment of its own.
fn models_alone(settings: &Settings, report: &mut Report) {
    let Some(models) = settings.any(Field::Models).and_then(Json::as_array) else { return };
    if models.is_empty() || settings.is_given(Field::InferenceConfig) {
        return;
    }
    let framework = |model: &Json| {
        let named =
            ["model_framework", "framework", "modelFramework"].iter().find_map(|key| model.get(key))?;
        Some(named.as_str().is_some_and(|name| SELF_SERVING.contains(&name)))
    };
    let fits = models.len() == 1 && framework(&models[0]).unwrap_or(true);
    if !fits {
        report.push(
            Finding::new(
                Code::ModelsWithoutInference,
                &settings.at(Field::Models),
                "models are updated together with an inference configuration",
            )
            .found(format!("{} models, no inference configuration", models.len()))
            .allowed(format!("one model of {}, or an inference configuration", SELF_SERVING.join(", ")))
            .remedy("give inference_config in the same call"),
        );
    }
}

/// Frameworks whose models are served without a script.
const SELF_SERVING: [&str; 4] = ["Onnx", "ScikitLearn", "TensorFlow", "Multi"];

fn fixed_beside_scaling(settings: &Settings, current: Option<&ServiceSpec>, report: &mut Report) {
    let scales = current.is_some_and(|spec| matches!(spec.replicas, Replicas::Auto(_)));
    if scales && settings.whole(Field::NumReplicas).is_some() && settings.is_absent(Field::AutoscaleEnabled) {
        report.push(
            Finding::new(
                Code::ScalingEnds,
                &settings.at(Field::NumReplicas),
                "a fixed number ends automatic scaling",
            )
            .found("a fixed number, while automatic scaling stands")
            .allowed("both ways to say it")
            .remedy(format!("say it: {} = false", settings.name(Field::AutoscaleEnabled))),
        );
    }
}
