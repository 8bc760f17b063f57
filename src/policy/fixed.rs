//! The arithmetic of intervals and factors: integers only, total, saturating, `const`.

use crate::time::Ns;

/// A factor in parts per billion.
pub(super) type Ppb = u64;

/// A factor in 64.64 fixed point.
pub(super) type Fixed = u128;

pub(super) const ONE: Ppb = 1_000_000_000;

/// The fraction of a fixed-point number.
const LOW: Fixed = (1 << 64) - 1;

/// The nearest number of parts per billion; `None` for what is not a number from 0 to 10⁹.
pub(super) const fn ppb(factor: f64) -> Option<Ppb> {
    if !(factor >= 0.0 && factor <= 1e9) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10¹⁸")]
    Some((factor * 1e9 + 0.5) as Ppb)
}

pub(super) const fn fraction(ppb: Ppb) -> f64 {
    ppb as f64 / ONE as f64
}

/// interval·factor, rounded down; saturating.
pub(super) const fn scaled_down(interval: Ns, factor: Ppb) -> Ns {
    scaled(interval, factor, 0)
}

/// interval·factor, rounded up; saturating.
pub(super) const fn scaled_up(interval: Ns, factor: Ppb) -> Ns {
    scaled(interval, factor, ONE - 1)
}

/// (interval·factor + bias) / 10⁹. Whole billions apart from the rest, so that the one division is of 64 bits by a
/// constant unless the factor exceeds 18.
const fn scaled(interval: Ns, factor: Ppb, bias: Ppb) -> Ns {
    let rest = (interval % ONE) as u128 * factor as u128 + bias as u128;
    let rest = if rest <= Ns::MAX as u128 { (saturated(rest) / ONE) as u128 } else { rest / ONE as u128 };
    saturated((interval / ONE) as u128 * factor as u128 + rest)
}

/// The largest c with c·factor ≤ bound.
pub(super) const fn largest_below(bound: Ns, factor: Ppb) -> Ns {
    saturated(bound as u128 * ONE as u128 / factor as u128)
}

/// To the nearest.
pub(super) const fn fixed(factor: Ppb) -> Fixed {
    (((factor as u128) << 64) + ONE as u128 / 2) / ONE as u128
}

/// width·draw/2⁶⁴, so that the largest draw gives all of the width but its last bit.
pub(super) const fn part(width: Fixed, draw: u64) -> Fixed {
    (width >> 64) * draw as u128 + (((width & LOW) * draw as u128) >> 64)
}

/// factorⁿ, by squaring, so that no count of slots costs more than 64 multiplications. Every product is rounded to
/// nearest, which keeps the relative error below n·2⁻⁶⁴.
pub(super) const fn power(factor: Ppb, n: u32) -> Fixed {
    let mut square = fixed(factor);
    let mut result = 1 << 64;
    let mut left = n;
    while left > 0 {
        if left & 1 == 1 {
            result = product(result, square);
        }
        square = product(square, square);
        left >>= 1;
    }
    result
}

/// a·b, to the nearest; saturating.
pub(super) const fn product(a: Fixed, b: Fixed) -> Fixed {
    let whole = (a >> 64) * (b >> 64);
    if whole > LOW {
        return u128::MAX;
    }
    let cross = (a >> 64).saturating_mul(b & LOW).saturating_add((a & LOW).saturating_mul(b >> 64));
    let fraction = ((a & LOW) * (b & LOW) + (1 << 63)) >> 64;
    (whole << 64).saturating_add(cross).saturating_add(fraction)
}

/// interval·factor, to the nearest; saturating.
pub(super) const fn times(interval: Ns, factor: Fixed) -> Ns {
    times_and(interval, factor, 1 << 63)
}

/// interval·factor, rounded down; saturating.
pub(super) const fn times_down(interval: Ns, factor: Fixed) -> Ns {
    times_and(interval, factor, 0)
}

/// a/b for a b above zero, rounded down, with every bit of the fraction; saturating.
pub(super) const fn quotient(a: Fixed, b: Fixed) -> Fixed {
    let (whole, mut rest) = (a / b, a % b);
    if whole > LOW {
        return u128::MAX;
    }
    let (mut fraction, mut bit) = (0, 0);
    while bit < 64 {
        // Twice the rest may exceed 128 bits.
        let is_one = rest >= b - rest;
        rest = if is_one { rest - (b - rest) } else { rest + rest };
        fraction = fraction << 1 | is_one as u128;
        bit += 1;
    }
    whole << 64 | fraction
}

const fn times_and(interval: Ns, factor: Fixed, bias: u128) -> Ns {
    let whole = (interval as u128).saturating_mul(factor >> 64);
    let fraction = (interval as u128 * (factor & LOW) + bias) >> 64;
    saturated(whole.saturating_add(fraction))
}

pub(super) const fn saturated(ns: u128) -> Ns {
    if ns > Ns::MAX as u128 {
        return Ns::MAX;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared with Ns::MAX just above")]
    {
        ns as Ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_has_every_bit_of_its_fraction() {
        let one: Fixed = 1 << 64;
        assert_eq!(quotient(one, one), one);
        assert_eq!(quotient(one, 3 * one), one / 3);
        assert_eq!(quotient(7 * one, 2 * one), 7 * one / 2);
        assert_eq!(quotient(2, 3), 2 * one / 3);
        assert_eq!(quotient(u128::MAX, u128::MAX), one);
        assert_eq!(quotient(u128::MAX - 1, u128::MAX), one - 1);
        assert_eq!(quotient(u128::MAX, one), u128::MAX);
        assert_eq!(quotient(u128::MAX, 1), u128::MAX);
        assert_eq!(quotient(0, one), 0);
    }
}
