//! How far chance takes the number of hits among independent tries: by the exact tails, however few are expected.

/// The least and the most hits of `of` tries; chance goes below or above either with less than [`RARE`].
pub(crate) fn reach(of: u64, p: f64) -> (u64, u64) {
    if p <= 0.0 || of == 0 {
        return (0, 0);
    }
    if p >= 1.0 {
        return (of, of);
    }
    (of - most(of, 1.0 - p), most(of, p))
}

/// The largest number that is reached or passed with [`RARE`] at least.
fn most(of: u64, p: f64) -> u64 {
    let mean = of as f64 * p;
    let (mut fits, mut fails) = ((mean as u64).min(of), of + 1);
    // Nothing as far out is ever reached: with the variance, Bernstein's inequality.
    let far = mean + 6.5 * (mean * (1.0 - p)).sqrt() + 30.0;
    if far < of as f64 {
        fails = far as u64 + 1;
    }
    while fails - fits > 1 {
        let middle = fits + (fails - fits) / 2;
        *(if at_least(middle, of, p) >= RARE { &mut fits } else { &mut fails }) = middle;
    }
    fits
}

/// The probability of `hits` hits or more, for more than the mean.
fn at_least(hits: u64, of: u64, p: f64) -> f64 {
    let (n, k) = (of as f64, hits as f64);
    let choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    let first = (choose + k * p.ln() + (n - k) * (-p).ln_1p()).exp();
    let odds = p / (1.0 - p);
    let (mut sum, mut term, mut k) = (first, first, k);
    // Each is a smaller part of the one before.
    while term > sum * 1e-12 && k < n {
        term *= (n - k) / (k + 1.0) * odds;
        k += 1.0;
        sum += term;
    }
    sum
}

/// Beyond 6 standard deviations of a normal distribution, on one side: one of a billion.
pub(crate) const RARE: f64 = 9.865_876e-10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_exact_where_they_can_be_counted() {
        // Of 10 tries at 1/2: 1 of 1024 sequences has 10 hits, 11 have 9 or 10.
        for (hits, sequences) in [(10, 1.0), (9, 11.0), (8, 56.0), (6, 386.0)] {
            assert!((at_least(hits, 10, 0.5) * 1024.0 - sequences).abs() < 1e-6, "{hits}");
        }
        assert!((at_least(1, 1000, 1e-3) - (1.0 - 0.999_f64.powi(1000))).abs() < 1e-12);
        // 2 expected: 16 or more come 4.2 times, 15 or more 3.4·8.5 times of 10⁻¹⁰.
        assert_eq!(reach(200_000, 1e-5), (0, 15));
        assert_eq!(reach(29, 0.5), (0, 29));
        assert_eq!(reach(30, 0.5), (1, 29));
    }

    #[test]
    fn a_large_count_reaches_as_far_as_a_normal_one() {
        for (of, p) in [(100_000, 0.5), (10_000_000, 0.01), (1_000_000_000_000, 0.3), (400_000, 0.95)] {
            let (least, most) = reach(of, p);
            let (mean, sigmas) = (of as f64 * p, 6.0 * (of as f64 * p * (1.0 - p)).sqrt());
            assert!((mean - least as f64 - sigmas).abs() < sigmas * 0.01 + 7.0, "{of} {p}: {least}");
            assert!((most as f64 - mean - sigmas).abs() < sigmas * 0.01 + 7.0, "{of} {p}: {most}");
        }
    }

    #[test]
    fn certainty_leaves_nothing_to_chance() {
        assert_eq!([reach(0, 0.5), reach(9, 0.0), reach(9, 1.0)], [(0, 0), (0, 0), (9, 9)]);
    }
}
