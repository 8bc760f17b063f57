//! Tests of a sample against the uniform law, at a significance of 10⁻⁶: a fair sample fails one run in a million.

/// Kolmogorov-Smirnov distance of `sample` from the uniform law over `lo..=hi`, times √N.
pub(crate) fn distance_from_uniform(sample: &[u64], lo: u64, hi: u64) -> f64 {
    let (count, width) = (sample.len() as f64, (hi - lo) as f64 + 1.0);
    let mut sorted = sample.to_vec();
    sorted.sort_unstable();
    let farthest = sorted.iter().enumerate().map(|(rank, &value)| {
        let expected = ((value - lo) as f64 + 0.5) / width;
        (expected - rank as f64 / count).abs().max(((rank + 1) as f64 / count - expected).abs())
    });
    farthest.fold(0.0, f64::max) * count.sqrt()
}

/// √(−ln(10⁻⁶/2)/2): what `distance_from_uniform` exceeds by chance once in a million.
pub(crate) const CRITICAL: f64 = 2.6934;

/// How far the mean is from the middle, in standard errors.
pub(crate) fn mean_in_sigmas(sample: &[u64], lo: u64, hi: u64) -> f64 {
    let (count, width) = (sample.len() as f64, (hi - lo) as f64 + 1.0);
    let mean = sample.iter().map(|&value| (value - lo) as f64).sum::<f64>() / count;
    (mean - (width - 1.0) / 2.0).abs() / (width / 12_f64.sqrt() / count.sqrt())
}

/// The widest gap between neighbours, the ends of the range included.
pub(crate) fn widest_gap(sample: &[u64], lo: u64, hi: u64) -> u64 {
    let mut sorted = sample.to_vec();
    sorted.extend([lo, hi]);
    sorted.sort_unstable();
    sorted.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// How often the most frequent value occurs.
pub(crate) fn heaviest(sample: &[u64]) -> usize {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap_or(0)
}

pub(crate) fn distinct(sample: &[u64]) -> usize {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}

/// Pearson's correlation, times √N: normal with a standard deviation of 1 if the samples are independent.
pub(crate) fn correlation(a: &[u64], b: &[u64]) -> f64 {
    let mean = |sample: &[u64]| sample.iter().map(|&value| value as f64).sum::<f64>() / sample.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut var_a, mut var_b) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (a as f64 - mean_a, b as f64 - mean_b);
        both += a * b;
        var_a += a * a;
        var_b += b * b;
    }
    both / (var_a * var_b).sqrt() * (a.len() as f64).sqrt()
}
