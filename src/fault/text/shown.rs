use core::fmt;
use core::time::Duration;

use super::quantity::{BYTES, RATE, Shown, TIME};
use crate::fault::impairment::bottleneck::{Bottleneck, QueueLimit};
use crate::fault::impairment::delay::{DelayLaw, DelayModel, Shape};
use crate::fault::impairment::gilbert::{Asked, GilbertElliott};
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::loss::LossModel;
use crate::fault::impairment::mtu::Oversize;
use crate::fault::impairment::probability::Probability;
use crate::fault::impairment::script::{Rule, Script};
use crate::time::saturating_ns;

pub(in crate::fault) fn impairments(all: &Impairments, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Clauses { f, any: false };
    if *all.script() != Script::EMPTY {
        text.add(format_args!("script {{ {} }}", all.script()))?;
    }
    for outage in all.outages() {
        let every = Behind(" every ", outage.period().map(time));
        text.add(format_args!("outage from {} for {}{every}", time(outage.from()), time(outage.lasting())))?;
    }
    if all.headers() != Impairments::NONE.headers() {
        text.add(format_args!("headers {}", all.headers()))?;
    }
    if let Some(mtu) = all.mtu() {
        let oversize = match mtu.oversize() {
            Oversize::Drop => "",
            Oversize::Error => " error",
            Oversize::Report => " report",
            Oversize::Truncate => " truncate",
        };
        text.add(format_args!("mtu {}{oversize}", mtu.pmtu().bytes()))?;
    }
    if let Some(hop) = all.bottleneck() {
        text.add(format_args!("rate {} queue {}", RATE.shown(hop.rate()), Queue(hop)))?;
    }
    if *all.loss_model() != LossModel::NONE {
        text.add(format_args!("loss {}", Loss(all.loss_model())))?;
    }
    if let Some(duplicate) = all.duplicate() {
        let late = Behind(" late ", duplicate.lateness().map(Law));
        text.add(format_args!("duplicate {}{late}", duplicate.probability()))?;
    }
    if let Some(truncate) = all.truncate() {
        text.add(format_args!("truncate {}{}", truncate.probability(), Behind(" to ", truncate.length())))?;
    }
    if let Some(corrupt) = all.corrupt() {
        let bits = Behind(" bits ", Some(corrupt.bit_count()).filter(|&bits| bits != 1));
        text.add(format_args!("corrupt {}{bits}", corrupt.probability()))?;
    }
    if let Some(model) = all.delay() {
        text.add(format_args!("delay {}", Delay(model)))?;
    }
    if let Some(reorder) = all.reorder() {
        text.add(format_args!("reorder {} by {}", reorder.probability(), time(reorder.by())))?;
    }
    if let Some(dose) = all.dose() {
        let drops = Behind(" drops ", dose.most_in_a_row());
        text.add(format_args!("dose {} of {}{drops}", dose.faults(), dose.window()))?;
    }
    text.end()
}

pub(in crate::fault) fn script(script: &Script, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Clauses { f, any: false };
    for alike in script.rules().chunk_by(|(_, one), (_, next)| of_any_copy(*one) == of_any_copy(*next)) {
        let Some(&(_, rule)) = alike.first() else { continue };
        let numbers = Numbers(alike);
        match rule {
            Rule::Drop => text.add(format_args!("drop {numbers}")),
            Rule::Refuse { limit } => text.add(format_args!("refuse {numbers} above {limit}")),
            Rule::Delay { by } => text.add(format_args!("delay {numbers} by {}", time(by))),
            Rule::Duplicate { after } => text.add(format_args!("duplicate {numbers} after {}", time(after))),
            Rule::Truncate { to, .. } => text.add(format_args!("truncate {numbers} to {to}")),
            Rule::Corrupt { bit, .. } => text.add(format_args!("corrupt {numbers} bit {bit}")),
        }?;
    }
    text.end()
}

/// Clauses between semicolons, or `none`.
struct Clauses<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    any: bool,
}

impl Clauses<'_, '_> {
    fn add(&mut self, clause: fmt::Arguments<'_>) -> fmt::Result {
        if self.any {
            self.f.write_str("; ")?;
        }
        self.any = true;
        self.f.write_fmt(clause)
    }

    fn end(self) -> fmt::Result {
        if self.any { Ok(()) } else { self.f.write_str("none") }
    }
}

/// A word and what it says, if it is said at all.
struct Behind<T>(&'static str, Option<T>);

impl<T: fmt::Display> fmt::Display for Behind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(word, Some(value)) => write!(f, "{word}{value}"),
            Self(_, None) => Ok(()),
        }
    }
}

struct Queue<'a>(&'a Bottleneck);

impl fmt::Display for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.queue() {
            QueueLimit::Bytes(bytes) => write!(f, "{}", BYTES.shown(bytes)),
            QueueLimit::Time(limit) => write!(f, "{}", time(limit)),
            QueueLimit::Datagrams(datagrams) => write!(f, "{datagrams} datagrams"),
        }
    }
}

struct Loss<'a>(&'a LossModel);

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LossModel::Bernoulli(probability) => write!(f, "{probability}"),
            LossModel::GilbertElliott(chain) => self.chain(chain, f),
            LossModel::ExactPerBlock(block) => write!(f, "exactly {} of {}", block.drops(), block.of()),
            LossModel::Pattern(pattern) => {
                f.write_str("pattern ")?;
                pattern.iter().try_for_each(|lost| f.write_str(if lost { "1" } else { "0" }))
            }
        }
    }
}

impl Loss<'_> {
    fn chain(&self, chain: &GilbertElliott, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chain.asked() {
            Asked::MeanBurst { loss, mean_burst } => write!(f, "{loss} burst {mean_burst}"),
            Asked::Correlation { loss, correlation } => write!(f, "{loss} correlation {correlation}"),
            Asked::Transitions => {
                let good = Behind(" good ", Some(chain.loss_in_good()).filter(|&good| good != Probability::ZERO));
                let bad = Behind(" bad ", Some(chain.loss_in_bad()).filter(|&bad| bad != Probability::ONE));
                write!(f, "p {} r {}{good}{bad}", chain.p(), chain.r())
            }
        }
    }
}

struct Delay<'a>(&'a DelayModel);

impl fmt::Display for Delay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let correlation = self.0.correlation();
        let correlation = Behind(" correlation ", Some(correlation).filter(|&it| it != Probability::ZERO));
        let unordered = if self.0.is_unordered() { " unordered" } else { "" };
        write!(f, "{}{correlation}{unordered}", Law(self.0.law()))
    }
}

struct Law<'a>(&'a DelayLaw);

impl fmt::Display for Law<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ns: &u64| TIME.shown(*ns);
        match &self.0.0 {
            Shape::Fixed(delay) => write!(f, "{}", time(delay)),
            Shape::Uniform { mean, jitter } => write!(f, "{} ~{}", time(mean), time(jitter)),
            Shape::Normal { mean, sigma } => write!(f, "{} normal {}", time(mean), time(sigma)),
            Shape::Exponential { least, tail } => write!(f, "{} exponential {}", time(least), time(tail)),
            Shape::Quantiles(table) => {
                let (mut table, mut before) = (table.iter(), "quantiles ");
                table.try_for_each(|quantile| write!(f, "{}{}", core::mem::replace(&mut before, ","), time(quantile)))
            }
        }
    }
}

/// The datagrams of rules that are alike, and which copies of them.
struct Numbers<'a>(&'a [(u64, Rule)]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (number, rule)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{number}")?;
            match rule {
                Rule::Truncate { copy: copy @ 1.., .. } | Rule::Corrupt { copy: copy @ 1.., .. } => {
                    write!(f, ".{copy}")?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn of_any_copy(rule: Rule) -> Rule {
    match rule {
        Rule::Truncate { to, .. } => Rule::Truncate { copy: 0, to },
        Rule::Corrupt { bit, .. } => Rule::Corrupt { copy: 0, bit },
        rule => rule,
    }
}

fn time(duration: Duration) -> Shown {
    TIME.shown(saturating_ns(duration))
}
