//! Erlang B and C: how likely a request waits, and how many servers keep that rare.
//!
//! `load` is the offered load in erlangs: arrival rate × mean service time. Servers are slots: replicas × requests inside one.
//! All functions take any `f64`; a load that is not a positive number counts as none.

use crate::number::within;

/// The probability that a request is lost with `servers` servers and no queue (Erlang B).
///
/// ```
/// use portway_autoscale::erlang::erlang_b;
/// assert!((erlang_b(10, 5.0) - 0.018_385).abs() < 1e-6);
/// ```
#[must_use]
pub fn erlang_b(servers: u32, load: f64) -> f64 {
    if is_idle(load) { f64::from(u8::from(servers == 0)) } else { 1.0 / inverse_b(servers, load) }
}

/// The probability that a request waits with `servers` servers and an endless queue (Erlang C); 1 when overloaded.
#[must_use]
pub fn erlang_c(servers: u32, load: f64) -> f64 {
    if is_idle(load) {
        return f64::from(u8::from(servers == 0));
    }
    if f64::from(servers) <= load {
        1.0
    } else {
        c_from_inverse_b(inverse_b(servers, load), f64::from(servers), load)
    }
}

/// The probability that a request waits longer than `wait`, service times being exponential with mean `service` (same unit).
#[must_use]
pub fn wait_exceeds(servers: u32, load: f64, service: f64, wait: f64) -> f64 {
    wait_exceeds_general(servers, load, service, wait, 1.0)
}

/// [`wait_exceeds`] for another shape of service time, by its squared coefficient of variation (0 constant, 1 exponential).
///
/// The usual M/G/c approximation: the exponent is divided by `(1 + cv²) / 2`.
#[must_use]
pub fn wait_exceeds_general(servers: u32, load: f64, service: f64, wait: f64, cv_squared: f64) -> f64 {
    let waits = erlang_c(servers, load);
    if waits >= 1.0 {
        1.0
    } else {
        waits * tail(f64::from(servers) - load.max(0.0), wait / service, cv_squared)
    }
}

/// The least number of servers with which a request waits longer than `wait` with a probability of at most `late`.
///
/// Exact, in time of about the square root of `load`; past a million erlangs the square-root rule answers.
///
/// ```
/// use portway_autoscale::erlang::servers_for;
/// assert_eq!(servers_for(20.0, 1.0, 0.2, 0.01), 29);
/// ```
#[must_use]
pub fn servers_for(load: f64, service: f64, wait: f64, late: f64) -> u32 {
    if is_idle(load) {
        return 0;
    }
    let patience = if service > 0.0 && wait > 0.0 { wait / service } else { 0.0 };
    let late = within(late, LEAST_LATE, 1.0);
    let least = load.floor() + 1.0;
    if load > MOST_EXACT_LOAD {
        return (load + beta_for(late) * load.sqrt()).ceil().min(f64::from(u32::MAX)) as u32;
    }
    search(load, patience, late, least as u32)
}

/// Square-root staffing: `load + beta × √load` servers, rounded up.
#[must_use]
pub fn square_root_staffing(load: f64, beta: f64) -> u32 {
    if is_idle(load) {
        0
    } else {
        (load + beta.max(0.0) * load.sqrt()).ceil().min(f64::from(u32::MAX)) as u32
    }
}

/// The `beta` with which [`square_root_staffing`] lets a share `waits` of the requests wait at all (Halfin and Whitt's limit):
/// the solution of `waits = 1 / (1 + beta Φ(beta) / φ(beta))`.
#[must_use]
pub fn beta_for(waits: f64) -> f64 {
    let waits = within(waits, LEAST_LATE, 1.0);
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if halfin_whitt(middle) > waits { low = middle } else { high = middle }
    }
    high
}

/// The share of requests that wait at all in Halfin and Whitt's limit, with `load + beta √load` servers.
#[must_use]
pub fn halfin_whitt(beta: f64) -> f64 {
    if beta <= 0.0 {
        return 1.0;
    }
    let density = (-beta * beta / 2.0).exp() / std::f64::consts::TAU.sqrt();
    1.0 / (1.0 + beta * normal_cdf(beta) / density)
}

/// Below this probability the answer is about the arithmetic, not about waiting.
const LEAST_LATE: f64 = 1e-9;
/// Beyond this load Halfin and Whitt's limit is exact to a server in ten thousand.
const MOST_EXACT_LOAD: f64 = 1e6;

fn is_idle(load: f64) -> bool {
    load.is_nan() || load <= 0.0
}

/// Walks from a guess: up while too many are late, down while one fewer would do. Both directions use the one-step recursion.
fn search(load: f64, patience: f64, late: f64, least: u32) -> u32 {
    let guess = (load + beta_for_quick(late) * load.sqrt() / (1.0 + patience)).max(f64::from(least)) as u32;
    let mut servers = guess.max(least);
    let mut inverse = inverse_b(servers, load);
    let is_late = |inverse: f64, servers: u32| {
        let m = f64::from(servers);
        c_from_inverse_b(inverse, m, load) * tail(m - load, patience, 1.0) > late
    };
    if is_late(inverse, servers) {
        while is_late(inverse, servers) && servers < u32::MAX {
            servers += 1;
            inverse = 1.0 + f64::from(servers) / load * inverse;
        }
        return servers;
    }
    while servers > least {
        let fewer = (inverse - 1.0) * load / f64::from(servers);
        if is_late(fewer, servers - 1) {
            break;
        }
        servers -= 1;
        inverse = fewer;
    }
    servers
}

/// A starting point for the search: within a few servers of the answer for the usual 0.1 % to 10 %.
fn beta_for_quick(late: f64) -> f64 {
    (-1.4 * late.ln()).max(0.0).sqrt()
}

fn tail(spare: f64, patience: f64, cv_squared: f64) -> f64 {
    if patience.is_nan() {
        return 1.0;
    }
    (-spare * patience.max(0.0) / ((1.0 + cv_squared.max(0.0)) / 2.0)).exp()
}

fn c_from_inverse_b(inverse: f64, servers: f64, load: f64) -> f64 {
    let b = 1.0 / inverse;
    b / (1.0 - (load / servers) * (1.0 - b))
}

/// `1 / B = Σ m (m - 1) … (m - j + 1) / load^j`: a sum of positive terms that can stop once they no longer count.
fn inverse_b(servers: u32, load: f64) -> f64 {
    let per_load = 1.0 / load;
    let (mut sum, mut term, mut left) = (1.0_f64, 1.0_f64, f64::from(servers));
    while left > 0.0 {
        term *= left * per_load;
        sum += term;
        if (left < load && term < sum * f64::EPSILON) || !sum.is_finite() {
            break;
        }
        left -= 1.0;
    }
    sum
}

/// The normal distribution function for `x ≥ 0`, to 7 digits (Abramowitz and Stegun 26.2.17).
fn normal_cdf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    1.0 - (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erlang_b_agrees_with_published_tables() {
        // Traffic tables at 1 % loss: 5 servers carry 1.361 erlangs, 10 carry 4.461, 20 carry 12.031, 50 carry 37.901, 100 carry 84.064.
        for (servers, load) in [(5, 1.361), (10, 4.461), (20, 12.031), (50, 37.901), (100, 84.064)] {
            let lost = erlang_b(servers, load);
            assert!((lost - 0.01).abs() < 2e-5, "{servers} {load}: {lost}");
        }
    }

    #[test]
    fn erlang_c_agrees_with_published_values() {
        // M/M/1 waits with probability rho; M/M/2 at rho 0.5 with 1/3; 10 servers at 8 erlangs with 0.4092.
        assert!((erlang_c(1, 0.7) - 0.7).abs() < 1e-12);
        assert!((erlang_c(2, 1.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((erlang_c(10, 8.0) - 0.409_18).abs() < 1e-4);
        assert_eq!(
            (erlang_c(3, 3.0), erlang_c(0, 1.0), erlang_c(5, 0.0), erlang_c(1, f64::NAN)),
            (1.0, 1.0, 0.0, 0.0)
        );
    }

    #[test]
    fn servers_for_agrees_with_the_table_of_waiting_times() {
        let loads = [0.3, 1.0, 2.0, 5.0, 7.0, 14.0, 20.0, 50.0, 100.0];
        let short = [2, 3, 4, 7, 9, 16, 23, 53, 103];
        let long = [3, 5, 6, 11, 13, 22, 29, 61, 114];
        for (i, load) in loads.into_iter().enumerate() {
            assert_eq!(servers_for(load, 0.1, 0.2, 0.01), short[i], "short {load}");
            assert_eq!(servers_for(load, 1.0, 0.2, 0.01), long[i], "long {load}");
        }
    }

    #[test]
    fn the_search_finds_what_counting_up_finds() {
        for load in [0.01, 0.4, 3.3, 12.0, 77.7, 512.0, 4_000.0] {
            for (service, wait, late) in
                [(1.0, 0.0, 0.2), (0.1, 0.2, 0.01), (2.0, 0.2, 0.01), (30.0, 1.0, 1e-6)]
            {
                let mut servers = load as u32 + 1;
                while wait_exceeds(servers, load, service, wait) > late {
                    servers += 1;
                }
                assert_eq!(servers_for(load, service, wait, late), servers, "{load} {service} {wait} {late}");
            }
        }
    }

    #[test]
    fn square_root_staffing_agrees_with_erlang_c() {
        // The published solutions: 50 % wait at beta 0.506, 20 % at 1.062, 10 % at 1.420, 1 % at 2.375.
        for (waits, beta) in [(0.5, 0.506), (0.2, 1.062), (0.1, 1.420), (0.01, 2.375)] {
            assert!((beta_for(waits) - beta).abs() < 1e-3, "{waits}: {}", beta_for(waits));
        }
        let servers = square_root_staffing(400.0, beta_for(0.2));
        assert!((erlang_c(servers, 400.0) - 0.2).abs() < 0.02);
    }

    #[test]
    fn the_shape_of_service_changes_the_tail() {
        let at = |cv_squared| wait_exceeds_general(12, 9.0, 1.0, 0.5, cv_squared);
        assert!(at(0.0) < at(1.0) && at(1.0) < at(4.0));
        assert_eq!(at(1.0), wait_exceeds(12, 9.0, 1.0, 0.5));
    }

    #[test]
    fn impossible_numbers_are_no_load_or_no_patience() {
        assert_eq!(servers_for(f64::NAN, 1.0, 1.0, 0.01), 0);
        assert_eq!(servers_for(-1.0, 1.0, 1.0, 0.01), 0);
        assert_eq!(servers_for(1.0, f64::NAN, 0.0, 0.01), servers_for(1.0, 1.0, 0.0, 0.01));
        assert_eq!(servers_for(f64::INFINITY, 1.0, 1.0, 0.01), u32::MAX);
        assert!(servers_for(1e9, 1.0, 0.0, 0.5) > 1_000_000_000);
    }
}
