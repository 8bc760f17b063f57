//! Any settings.

use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::servers::{ServerSettings, Spread};

use crate::dice::Dice;

/// As drawn, for the model, which sees nothing of what the set makes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) servers: u32,
    pub(super) spread: Spread,
    pub(super) floor: Duration,
    pub(super) dead_after: u32,
    pub(super) first_probe: Duration,
    pub(super) longest_probe: Duration,
    pub(super) longest_parked: Duration,
    pub(super) max_age: Duration,
    pub(super) hedged: Option<f64>,
}

impl Drawn {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let first_probe = ms(dice.within(1..=500));
        let longest_parked = first_probe * dice.within(1..=8) as u32;
        let most = dice.pick(&[1, 3, 8, 64]);
        Self {
            servers: dice.within(1..=most) as u32,
            spread: dice.pick(&[
                Spread::BAND,
                Spread::band(1.0, ms(0)),
                Spread::InOrder,
                Spread::Sticky,
                Spread::RoundRobin,
            ]),
            floor: ms(dice.within(1..=1_000)),
            dead_after: dice.within(1..=4) as u32,
            first_probe,
            longest_probe: longest_parked * dice.within(1..=30) as u32,
            longest_parked,
            max_age: ms(dice.pick(&[1_000, 60_000, 600_000])),
            hedged: dice.one_in(2).then_some(0.05),
        }
    }

    pub(super) fn settings(&self) -> ServerSettings {
        let settings = ServerSettings::new()
            .with_spread(self.spread)
            .and_then(|it| it.with_floor(self.floor))
            .and_then(|it| it.with_probes(self.first_probe, self.longest_probe, self.longest_parked))
            .and_then(|it| it.with_max_age(self.max_age))
            .unwrap();
        let settings = self.hedged.map_or(settings, |share| settings.with_hedging(share).unwrap());
        settings.with_dead_after(NonZeroU32::new(self.dead_after).unwrap())
    }
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
