use core::fmt;

use crate::fault::impairment::decimal::Decimal;

/// Something that has units: times, rates and bytes, all counted in whole steps of the smallest unit.
#[derive(Debug)]
pub(in crate::fault) struct Quantity {
    /// What is expected where all of it is missing.
    pub(in crate::fault) value: &'static str,
    /// What is expected where the unit is missing.
    pub(in crate::fault) unit: &'static str,
    /// What is expected where the steps are not a whole number, or exceed 64 bits.
    pub(in crate::fault) whole: &'static str,
    zero: &'static str,
    /// From the largest one.
    units: &'static [Unit],
}

#[derive(Debug)]
struct Unit {
    name: &'static str,
    scale: u64,
    /// Of the units that are shown: 10 to this power is the scale.
    decimals: Option<u32>,
}

pub(in crate::fault) static TIME: Quantity = Quantity {
    value: "a time such as 50ms",
    unit: "a unit of time such as ms",
    whole: "a whole number of nanoseconds, 584 years at most",
    zero: "0ms",
    units: &[
        read("h", 3_600_000_000_000),
        read("min", 60_000_000_000),
        shown("s", 9),
        shown("ms", 6),
        shown("us", 3),
        // The micro sign and the Greek letter look the same.
        read("\u{b5}s", 1_000),
        read("\u{3bc}s", 1_000),
        shown("ns", 0),
    ],
};

pub(in crate::fault) static RATE: Quantity = Quantity {
    value: "a rate such as 10mbit",
    unit: "a unit of rate such as mbit",
    whole: "a whole number of bits per second, 18446744073709551615 at most",
    zero: "0bit",
    units: &[shown("gbit", 9), shown("mbit", 6), shown("kbit", 3), shown("bit", 0)],
};

pub(in crate::fault) static BYTES: Quantity = Quantity {
    value: "bytes such as 64kB",
    unit: "a unit of bytes such as kB",
    whole: "a whole number of bytes, 18446744073709551615 at most",
    zero: "0B",
    units: &[
        read("GiB", 1 << 30),
        shown("GB", 9),
        read("MiB", 1 << 20),
        shown("MB", 6),
        read("KiB", 1 << 10),
        shown("kB", 3),
        shown("B", 0),
    ],
};

impl Quantity {
    /// The steps of a unit.
    pub(in crate::fault) fn scale(&self, unit: &str) -> Option<u64> {
        self.units.iter().find(|it| it.name == unit).map(|it| it.scale)
    }

    pub(in crate::fault) const fn shown(&'static self, steps: u64) -> Shown {
        Shown { quantity: self, steps }
    }
}

/// A number of steps, in the largest unit of which there is one.
#[derive(Clone, Copy, Debug)]
pub(in crate::fault) struct Shown {
    quantity: &'static Quantity,
    steps: u64,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &Unit| unit.decimals.filter(|_| unit.scale <= self.steps).map(|it| (it, unit.name));
        match self.quantity.units.iter().find_map(fits) {
            Some((decimals, name)) => write!(f, "{}{name}", Decimal::trimmed(self.steps, decimals)),
            None => f.write_str(self.quantity.zero),
        }
    }
}

const fn shown(name: &'static str, decimals: u32) -> Unit {
    Unit { name, scale: 10_u64.pow(decimals), decimals: Some(decimals) }
}

const fn read(name: &'static str, scale: u64) -> Unit {
    Unit { name, scale, decimals: None }
}
