//! Keys that anybody can sign for.

/// Whether an RSA modulus bears the fingerprint of a broken generator (ROCA, CVE-2017-15361): its private key can be computed.
///
/// The broken generator made primes of the form `k·M + (65537^a mod M)` with M the product of the first primes, so the
/// modulus lies in the subgroup that 65537 generates, modulo every one of these. By chance that happens once in 10^27.
pub(crate) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| is_power_of_65537(remainder(modulus, prime), prime))
}

/// Whether an Ed25519 point has an order of at most eight: signatures for it can be made without a private key.
///
/// There are five such y coordinates, and two of them (0 and 1) have a second spelling, as p and p + 1; the sign of x does not
/// matter.
pub(crate) fn has_small_order(point: &[u8; 32]) -> bool {
    let mut y = *point;
    y[31] &= 0x7f;
    let [first, middle @ .., last] = y;
    let is_round = |byte: u8, end: u8| middle.iter().all(|other| *other == byte) && last == end;
    (is_round(0, 0) && first <= 1)
        || (is_round(0xff, 0x7f) && (0xec..=0xee).contains(&first))
        || ORDER_EIGHT.contains(&y)
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

const ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];
