//! How far chance takes what a chain of losses does: by the law of the very number of datagrams that there were.
//!
//! The moments of a count over a chain are a product of matrices, one for each datagram. From them Chernoff's inequality
//! bounds both tails, whether there are millions of losses or half a one.

use udp_retry::fault::LossModel;

/// A chain of two states, each with a loss of its own; it begins in its stationary distribution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// From good to bad, and back.
    p: f64,
    r: f64,
    loss_in_good: f64,
    loss_in_bad: f64,
}

/// Datagrams that several links have carried together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) datagrams: u64,
    pub(crate) links: u64,
    /// Whether other stages have taken some out.
    pub(crate) picked: bool,
}

impl Chain {
    /// `None` where nothing is left to chance.
    pub(crate) fn of(model: &LossModel) -> Option<Self> {
        let simple = |p, r| Self { p, r, loss_in_good: 0.0, loss_in_bad: 1.0 };
        match model {
            LossModel::Bernoulli(loss) => Some(simple(loss.as_f64(), 1.0 - loss.as_f64())),
            LossModel::GilbertElliott(chain) => Some(Self {
                p: chain.p().as_f64(),
                r: chain.r().as_f64(),
                loss_in_good: chain.loss_in_good().as_f64(),
                loss_in_bad: chain.loss_in_bad().as_f64(),
            }),
            // With the same share and the same bursts. Within a block they vary less, as each loss rules out others.
            LossModel::ExactPerBlock(_) => {
                let (share, burst) = (model.stationary_loss(), model.mean_burst());
                Some(simple((share / ((1.0 - share) * burst)).min(1.0), 1.0 / burst))
            }
            _ => None,
        }
    }

    /// The least and the most that chance makes of `losses`·(number of losses) + `bursts`·(number of bursts).
    pub(crate) fn reach(&self, carried: Carried, losses: f64, bursts: f64) -> (f64, f64) {
        let upward = |losses: f64, bursts: f64| {
            let tilted = |t: f64| (self.moments(carried, t * losses, t * bursts) + FAR) / t;
            least(|log| tilted(log.exp()))
        };
        (-upward(-losses, -bursts), upward(losses, bursts))
    }

    /// Whether this many of the losses may have ended a burst, where each does by itself with the same probability; up to
    /// `hidden` ends were not seen as what they are.
    pub(crate) fn may_end(&self, losses: u64, ends: u64, hidden: u64) -> bool {
        if self.loss_in_good > 0.0 || self.loss_in_bad < 1.0 || self.r >= 1.0 {
            return true;
        }
        // Without those that would have to be most of the excess.
        let excess = (ends as f64 - self.r * losses as f64) / (1.0 - self.r);
        let left_out = excess.clamp(0.0, hidden.min(ends) as f64);
        let (tries, ends) = (losses as f64 - left_out, ends as f64 - left_out);
        if tries <= 0.0 {
            return true;
        }
        let part = |share: f64, of: f64| if share > 0.0 { share * (share / of).ln() } else { 0.0 };
        let share = (ends / tries).min(1.0);
        tries * (part(share, self.r) + part(1.0 - share, 1.0 - self.r)) <= FARTHER
    }

    /// The logarithm of the mean of e^(`loss`·losses + `burst`·bursts).
    fn moments(&self, Carried { datagrams, links, picked }: Carried, loss: f64, burst: f64) -> f64 {
        let links = links.clamp(1, datagrams.max(1));
        let alone = self.of_run(datagrams, loss, burst);
        // Several short runs vary less than a long one where losses attract each other, and more where they do not.
        let (each, longer) = (datagrams / links, datagrams % links);
        let together = || {
            (links - longer) as f64 * self.of_run(each, loss, burst)
                + longer as f64 * self.of_run(each + 1, loss, burst)
        };
        let several = if links > 1 { together() } else { alone };
        // What is picked from such a chain repels itself less.
        let repels = picked && burst == 0.0 && self.p + self.r > 1.0;
        let share = (self.r * self.loss_in_good + self.p * self.loss_in_bad) / (self.p + self.r);
        let apart = if repels { datagrams as f64 * (share * loss.exp_m1()).ln_1p() } else { alone };
        alone.max(several).max(apart)
    }

    fn of_run(&self, datagrams: u64, loss: f64, burst: f64) -> f64 {
        let Some(steps) = datagrams.checked_sub(1) else { return 0.0 };
        let Self { p, r, loss_in_good: k, loss_in_bad: h } = *self;
        let (good, bad) = (r / (p + r), p / (p + r));
        // All as logarithms: what a datagram adds that is lost first, and what one behind another.
        let (first, next) = (loss + burst, loss);
        if k == 0.0 && h == 1.0 {
            // To be lost and to be in the bad state are one.
            let step = [[(1.0 - p).ln(), p.ln() + first], [r.ln(), (1.0 - r).ln() + next]];
            return ln_total([good.ln(), bad.ln() + first], step, steps);
        }
        // The state, and whether the datagram there was lost.
        let to = |good: f64, bad: f64, lost: f64| {
            [(good * (1.0 - k)).ln(), (good * k).ln() + lost, (bad * (1.0 - h)).ln(), (bad * h).ln() + lost]
        };
        let (from_good, from_bad) = (|lost| to(1.0 - p, p, lost), |lost| to(r, 1.0 - r, lost));
        ln_total(to(good, bad, first), [from_good(first), from_good(next), from_bad(first), from_bad(next)], steps)
    }
}

/// The logarithm of the sum over `start`·`step`^`steps`, all given as logarithms.
fn ln_total<const N: usize>(start: [f64; N], step: [[f64; N]; N], steps: u64) -> f64 {
    by_products(start, step, steps).unwrap_or_else(|| by_logarithms(start, step, steps))
}

/// `None` if floats do not reach from the least to the largest.
fn by_products<const N: usize>(start: [f64; N], step: [[f64; N]; N], mut steps: u64) -> Option<f64> {
    // What was taken out of each, so that nothing overflows.
    let mut ln_start = start.into_iter().fold(f64::MIN, f64::max);
    let mut ln_step = step.iter().flatten().copied().fold(f64::MIN, f64::max);
    let mut start = start.map(|ln| (ln - ln_start).exp());
    let mut step = step.map(|row| row.map(|ln| (ln - ln_step).exp()));
    let in_reach = |values: &[f64]| values.iter().all(|&it| it > LEAST);
    loop {
        if !in_reach(&start) || !step.iter().all(|row| in_reach(row)) {
            return None;
        }
        if steps & 1 == 1 {
            start = std::array::from_fn(|to| (0..N).map(|from| start[from] * step[from][to]).sum());
            let largest = start.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            start = start.map(|it| it / largest);
            ln_start += ln_step + largest.ln();
        }
        steps >>= 1;
        if steps == 0 {
            return Some(ln_start + start.iter().sum::<f64>().ln());
        }
        step = std::array::from_fn(|from| {
            std::array::from_fn(|to| (0..N).map(|over| step[from][over] * step[over][to]).sum())
        });
        let largest = step.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        step = step.map(|row| row.map(|it| it / largest));
        ln_step = 2.0 * ln_step + largest.ln();
    }
}

/// As slow as it is safe.
fn by_logarithms<const N: usize>(mut start: [f64; N], mut step: [[f64; N]; N], mut steps: u64) -> f64 {
    loop {
        if steps & 1 == 1 {
            start =
                std::array::from_fn(|to| ln_sum(std::array::from_fn::<_, N, _>(|from| start[from] + step[from][to])));
        }
        steps >>= 1;
        if steps == 0 {
            return ln_sum(start);
        }
        step = std::array::from_fn(|from| {
            std::array::from_fn(|to| ln_sum(std::array::from_fn::<_, N, _>(|over| step[from][over] + step[over][to])))
        });
    }
}

fn ln_sum<const N: usize>(terms: [f64; N]) -> f64 {
    let largest = terms.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).iter().sum::<f64>().ln()
}

/// The least value of a function of the logarithm of t that falls and then rises: by the golden section.
fn least(value: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (-32.0, 4.2);
    let inner = |low: f64, high: f64| (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (value(left), value(right));
    while high - low > 1e-3 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high).0;
            at_left = value(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high).1;
            at_right = value(right);
        }
    }
    at_left.min(at_right)
}

/// Below it a product of two may be no float.
const LEAST: f64 = 1e-150;
/// 6²/2. Whatever the law, chance goes beyond with e⁻¹⁸ at most, which is 15 of a billion; of a sum of many, as good as
/// normal, that is beyond 6 standard deviations, with one of a billion.
const FAR: f64 = 18.0;
/// The same for a number of tries that chance has a hand in: by as much more as there are different scales of it.
const FARTHER: f64 = 23.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(text: &str) -> Chain {
        let all: udp_retry::Impairments = format!("loss {text}").parse().unwrap();
        Chain::of(all.loss_model()).unwrap()
    }

    /// Every sequence of states and of fates, one by one.
    fn by_hand(chain: &Chain, datagrams: u32, loss: f64, burst: f64) -> f64 {
        let Chain { p, r, loss_in_good: k, loss_in_bad: h } = *chain;
        let mut sum = 0.0;
        for states in 0..1_u32 << datagrams {
            for fates in 0..1_u32 << datagrams {
                let (mut likely, mut value, mut before) = (1.0, 0.0, None);
                for n in 0..datagrams {
                    let (bad, lost) = (states >> n & 1 == 1, fates >> n & 1 == 1);
                    likely *= match (before, bad) {
                        (None, bad) => (if bad { p } else { r }) / (p + r),
                        (Some((false, _)), bad) => {
                            if bad {
                                p
                            } else {
                                1.0 - p
                            }
                        }
                        (Some((true, _)), bad) => {
                            if bad {
                                1.0 - r
                            } else {
                                r
                            }
                        }
                    };
                    let share = if bad { h } else { k };
                    likely *= if lost { share } else { 1.0 - share };
                    let is_first = before.is_none_or(|(_, lost): (bool, bool)| !lost);
                    value += if lost { loss + if is_first { burst } else { 0.0 } } else { 0.0 };
                    before = Some((bad, lost));
                }
                sum += likely * f64::exp(value);
            }
        }
        sum.ln()
    }

    #[test]
    fn moments_are_those_of_every_sequence() {
        for text in ["10%", "20% burst 3", "20% correlation 60%", "p 10% r 30% good 5% bad 80%", "p 99% r 98%"] {
            let chain = chain(text);
            for datagrams in 1..=6 {
                for (loss, burst) in [(0.3, 0.0), (-0.7, 0.0), (0.5, -1.5), (-0.2, 0.9)] {
                    let (law, hand) =
                        (chain.of_run(datagrams.into(), loss, burst), by_hand(&chain, datagrams, loss, burst));
                    assert!((law - hand).abs() < 1e-12, "{text}, {datagrams} datagrams: {law}, not {hand}");
                }
            }
        }
    }

    #[test]
    fn many_losses_reach_six_standard_deviations_and_few_much_farther() {
        let carried = |datagrams| Carried { datagrams, links: 1, picked: false };
        let (least, most) = chain("5% burst 3").reach(carried(1_000_000), 1.0, 0.0);
        // A chain with r = 1/3 and p = 1/57 has an inflation of (2 - p - r)/(p + r).
        let sigmas = 6.0 * (1e6_f64 * 0.05 * 0.95 * (2.0 - 1.0 / 57.0 - 1.0 / 3.0) / (1.0 / 57.0 + 1.0 / 3.0)).sqrt();
        assert!((50_000.0 - least - sigmas).abs() < 60.0 && (most - 50_000.0 - sigmas).abs() < 60.0);
        // One burst of a hundred in a hundred runs.
        let (least, most) = chain("0.01% burst 100").reach(carried(10_000), 1.0, 0.0);
        assert!(least <= 0.0 && most > 1000.0 && most < 3000.0, "{least} {most}");
        let (none, all) = chain("1% burst 1000").reach(carried(10), 1.0, 0.0);
        assert!(none <= 0.0 && all >= 10.0, "{none} {all}");
    }
}
