use core::fmt;
use core::time::Duration;

use super::quantity::{BYTES, RATE, Shown, TIME};
use super::traces::FileName;
use crate::fault::impairment::bottleneck::{Bottleneck, QueueLimit};
use crate::fault::impairment::delay::{DelayLaw, DelayModel, Shape};
use crate::fault::impairment::gilbert::{Asked, GilbertElliott};
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::loss::LossModel;
use crate::fault::impairment::mtu::Oversize;
use crate::fault::impairment::probability::Probability;
use crate::fault::impairment::rate_trace::RateTrace;
use crate::fault::impairment::script::{Rule, Script};
use crate::fault::impairment::timeline::Setting;
use crate::time::saturating_ns;

pub(in crate::fault) fn impairments(all: &Impairments, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Clauses { f, any: false };
    if *all.script() != Script::EMPTY {
        text.add(format_args!("{}", Clause(&Setting::Script(all.script().clone()))))?;
    }
    for outage in all.outages() {
        let every = Behind(" every ", outage.period().map(time));
        text.add(format_args!("outage from {} for {}{every}", time(outage.from()), time(outage.lasting())))?;
    }
    let settings = [
        all.chosen_headers().map(|bytes| Setting::Headers(Some(bytes))),
        all.mtu().map(|mtu| Setting::Mtu(Some(*mtu))),
        all.bottleneck().map(|hop| Setting::Bottleneck(Some(hop.clone()))),
        Some(all.loss_model()).filter(|&loss| *loss != LossModel::NONE).map(|loss| Setting::Loss(*loss)),
        all.duplicate().map(|duplicate| Setting::Duplicate(Some(duplicate.clone()))),
        all.truncate().map(|truncate| Setting::Truncate(Some(*truncate))),
        all.corrupt().map(|corrupt| Setting::Corrupt(Some(*corrupt))),
        all.delay().map(|delay| Setting::Delay(Some(delay.clone()))),
        all.reorder().map(|reorder| Setting::Reorder(Some(*reorder))),
        all.dose().map(|dose| Setting::Dose(Some(*dose))),
    ];
    for setting in settings.iter().flatten() {
        text.add(format_args!("{}", Clause(setting)))?;
    }
    for (at, setting) in all.changes() {
        text.add(format_args!("at {} {}", time(at), Clause(setting)))?;
    }
    if let Some((from, every)) = all.repetition() {
        let from = Behind(" from ", Some(from).filter(|from| !from.is_zero()).map(time));
        text.add(format_args!("repeat{from} every {}", time(every)))?;
    }
    text.end()
}

/// A setting as the clause that makes it.
pub(in crate::fault) struct Clause<'a>(&'a Setting);

impl fmt::Display for Clause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Setting::Nothing => f.write_str("none"),
            Setting::Script(script) => write!(f, "script {{ {script} }}"),
            Setting::Headers(Some(bytes)) => write!(f, "headers {bytes}"),
            Setting::Mtu(Some(mtu)) => {
                let oversize = match mtu.oversize() {
                    Oversize::Drop => "",
                    Oversize::Error => " error",
                    Oversize::Report => " report",
                    Oversize::Truncate => " truncate",
                };
                write!(f, "mtu {}{oversize}", mtu.pmtu().bytes())
            }
            Setting::Bottleneck(Some(hop)) => match hop.trace() {
                Some(trace) => write!(f, "rate trace {} queue {}", Recorded(trace), Queue(hop)),
                None => write!(f, "rate {} queue {}", RATE.shown(hop.rate()), Queue(hop)),
            },
            Setting::Loss(loss) => write!(f, "loss {}", Loss(loss)),
            Setting::Duplicate(Some(duplicate)) => {
                let late = Behind(" late ", duplicate.lateness().map(Law));
                write!(f, "duplicate {}{late}", duplicate.probability())
            }
            Setting::Truncate(Some(truncate)) => {
                write!(f, "truncate {}{}", truncate.probability(), Behind(" to ", truncate.length()))
            }
            Setting::Corrupt(Some(corrupt)) => {
                let bits = Behind(" bits ", Some(corrupt.bit_count()).filter(|&bits| bits != 1));
                write!(f, "corrupt {}{bits}", corrupt.probability())
            }
            Setting::Delay(Some(model)) => write!(f, "delay {}", Delay(model)),
            Setting::Reorder(Some(reorder)) => write!(f, "reorder {} by {}", reorder.probability(), time(reorder.by())),
            Setting::Dose(Some(dose)) => {
                let drops = Behind(" drops ", dose.most_in_a_row());
                write!(f, "dose {} of {}{drops}", dose.faults(), dose.window())
            }
            Setting::Headers(None) => f.write_str("headers none"),
            Setting::Mtu(None) => f.write_str("mtu none"),
            Setting::Bottleneck(None) => f.write_str("rate none"),
            Setting::Duplicate(None) => f.write_str("duplicate none"),
            Setting::Truncate(None) => f.write_str("truncate none"),
            Setting::Corrupt(None) => f.write_str("corrupt none"),
            Setting::Delay(None) => f.write_str("delay none"),
            Setting::Reorder(None) => f.write_str("reorder none"),
            Setting::Dose(None) => f.write_str("dose none"),
        }
    }
}

/// A recorded rate as its file, or as its milliseconds.
struct Recorded<'a>(&'a RateTrace);

impl fmt::Display for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.0.file() {
            return write!(f, "{}", FileName(file));
        }
        let mut before = "{ ";
        for at in self.0.millis() {
            write!(f, "{}{at}", core::mem::replace(&mut before, ","))?;
        }
        f.write_str(" }")
    }
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
