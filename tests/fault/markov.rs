//! A chain of two states with a loss in each, by the algebra of its matrix: no closed form, no line in common with
//! the library.

pub(crate) struct Markov {
    /// From state to state, good first.
    change: [[f64; 2]; 2],
    loss: [f64; 2],
}

impl Markov {
    pub(crate) fn new(p: f64, r: f64, k: f64, h: f64) -> Self {
        Self { change: [[1.0 - p, p], [r, 1.0 - r]], loss: [k, h] }
    }

    /// The share of time in each state: where the mean of the first 2⁶⁰ moments ends, from either.
    fn stationary(&self) -> [f64; 2] {
        // A lazy chain has the same stationary state and no period.
        let lazy = |i: usize, j: usize| (self.change[i][j] + f64::from(u8::from(i == j))) / 2.0;
        let mut power = [[lazy(0, 0), lazy(0, 1)], [lazy(1, 0), lazy(1, 1)]];
        for _ in 0..60 {
            power = product(&power, &power);
            // Squaring doubles every error of rounding; rows are distributions.
            power = power.map(|[a, b]| [a / (a + b), b / (a + b)]);
        }
        power[0]
    }

    pub(crate) fn loss(&self) -> f64 {
        let share = self.stationary();
        share[0] * self.loss[0] + share[1] * self.loss[1]
    }

    /// Losses for each loss that a delivery follows.
    pub(crate) fn mean_burst(&self) -> f64 {
        let delivered_next = self.change.map(|row| row[0] * (1.0 - self.loss[0]) + row[1] * (1.0 - self.loss[1]));
        let lost_now = self.stationary().into_iter().zip(self.loss).map(|(share, loss)| share * loss);
        let ends: f64 = lost_now.zip(delivered_next).map(|(lost, delivered)| lost * delivered).sum();
        if self.loss() == 0.0 { 0.0 } else { self.loss() / ends }
    }

    /// One and twice the sum of the correlations at every distance.
    pub(crate) fn variance_inflation(&self) -> f64 {
        let (share, mean) = (self.stationary(), self.loss());
        let variance = mean * (1.0 - mean);
        if variance == 0.0 {
            return 1.0;
        }
        // What a loss in each state foretells of the loss n datagrams later, less what is lost anyway.
        let mut foretold = self.loss.map(|loss| loss - mean);
        let mut inflation = 1.0;
        let mut before = 0.0;
        for _ in 0..20_000 {
            foretold = self.change.map(|row| row[0] * foretold[0] + row[1] * foretold[1]);
            let covariance: f64 = (0..2).map(|i| share[i] * self.loss[i] * foretold[i]).sum();
            // Halfway between two partial sums: those of a chain with a period never come to rest.
            inflation += (before + covariance) / variance;
            before = covariance;
        }
        inflation
    }
}

fn product(a: &[[f64; 2]; 2], b: &[[f64; 2]; 2]) -> [[f64; 2]; 2] {
    [0, 1].map(|i| [0, 1].map(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
}
