//! The fingerprint of RSA keys made by a broken generator (ROCA, CVE-2017-15361).

/// Whether a modulus bears the fingerprint: its private key can be computed from it.
///
/// The broken generator made primes of the form `k·M + (65537^a mod M)` with M the product of the first primes, so the
/// modulus lies in the subgroup that 65537 generates, modulo every one of these. By chance that happens once in 10^27.
pub(crate) fn is_vulnerable(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| is_power_of_65537(remainder(modulus, prime), prime))
}

fn remainder(modulus: &[u8], prime: u32) -> u32 {
    modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power_of_65537(value: u32, prime: u32) -> bool {
    let mut power = 1;
    // The order of the subgroup divides prime - 1.
    for _ in 1..prime {
        if power == value {
            return true;
        }
        power = power * (65537 % prime) % prime;
    }
    false
}

const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
