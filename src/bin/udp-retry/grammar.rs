//! The text form of impairments, for `--help`.

/// What a SPEC may be. The tests hold it against the parser and against the documentation of `Impairments`.
pub(crate) const GRAMMAR: &str = "\
A SPEC is clauses between \";\", in any order, each at most once except outage and at; or \"none\":
  loss 5%                                loses each datagram by itself
  loss 5% burst 3                        in bursts of 3 on average
  loss 5% correlation 25%                each like the one before, to that degree
  loss p 1% r 20% good 0.1% bad 90%      Gilbert-Elliott; good 0% and bad 100% by default
  loss exactly 3 of 10                   of every 10, neither more nor less
  loss pattern 0100                      over and over, 1 is lost
  delay 50ms ~10ms                       a distribution; \"correlation 25%\", \"unordered\" may follow
  rate 10mbit queue 100ms                a bottleneck; or \"queue 64kB\"; 100ms by default
  rate trace FILE queue 64kB             the rate of a mahimahi file; or \"trace { 3,3,10 }\", in ms
  duplicate 1% late 2s                   a copy, later by a distribution; at once without \"late\"
  reorder 2% by 30ms                     holds a datagram back, so that later ones overtake it
  corrupt 0.1% bits 3                    flips bits; 1 by default
  truncate 0.5% to 100                   cuts to 100 bytes; to any shorter length without \"to\"
  mtu 1400                               larger packets vanish; or \"error\" or \"truncate\" behind it
  outage from 10s for 200ms every 15s    nothing passes; once, without \"every\"
  headers 48                             bytes of headers; 28 by default, 48 between IPv6 addresses
  dose 6 of 10 drops 3                   of any 10 at most 6 are harmed, and 3 in a row lost
  script { drop 1,3; delay 7 by 200ms }  rules for single datagrams, counted from 1
  at 5s loss 30%                         this clause from then on; \"loss none\", or \"none\": all gone
  repeat from 5s every 200ms             the changes from then on, over and over; from 0s by default

1 and 9 Mbit/s by turns are \"rate 1mbit; at 100ms rate 9mbit; repeat every 200ms\". Times count
from the beginning, when the proxy starts.

A distribution of times is one of:
  50ms                                   always
  50ms ~10ms                             uniform, from 40 to 60 ms
  50ms normal 10ms                       the mean and the standard deviation
  50ms exponential 20ms                  the least, and the mean of what comes on top
  quantiles 10ms,12ms,80ms               measured, at equal steps from the least to the most

A rule of a script takes a list of datagrams:
  drop 1,3                               loses them
  refuse 6 above 1372                    as too big for the path, if longer than that
  delay 7 by 200ms                       later than otherwise
  duplicate 5 after 2s                   once more; the copies count by the time that they come
  truncate 4 to 100                      cuts it; 4.1 is the first copy of datagram 4
  corrupt 9 bit 13                       flips the bit; copies as above

Units of time are ns, us, ms, s, min, h; of rate bit, kbit, mbit, gbit, per second;
of a queue datagrams, B, kB, MB, GB, KiB, MiB, GiB: a kB has 1,000 bytes, a KiB 1,024.";

#[cfg(test)]
mod tests {
    use std::fs;

    use udp_retry::Impairments;

    use super::*;

    #[test]
    fn every_example_in_the_help_is_what_the_parser_takes() {
        for (section, around, number) in [
            ("A SPEC is clauses", ["", ""], 20),
            ("A distribution of times", ["delay ", ""], 5),
            ("A rule of a script", ["script { ", " }"], 6),
        ] {
            let examples = examples(section);
            assert_eq!(examples.len(), number, "{section}: {examples:?}");
            for example in examples {
                parses(&format!("{}{}{}", around[0], complete(example), around[1]));
            }
        }
        let more = |it: &&str| !it.starts_with("loss ") && !it.starts_with("rate trace");
        let whole: Vec<_> = examples("A SPEC is clauses").into_iter().filter(more).map(complete).collect();
        parses(&format!("{}; outage from 1s for 1ms; loss 5%", whole.join("; ")));
        parses("none");
    }

    #[test]
    fn every_variant_and_unit_that_the_help_names_is_what_the_parser_takes() {
        for variant in [
            "delay 50ms ~10ms correlation 25%",
            "delay 50ms ~10ms unordered",
            "rate 10mbit queue 64kB",
            "rate 10mbit queue 25 datagrams",
            "mtu 1400 error",
            "mtu 1400 truncate",
            "mtu 1400 report",
            "rate trace { 3,3,10 }",
            "at 5s none",
            "rate 1mbit; at 100ms rate 9mbit; repeat every 200ms",
            "duplicate 1% late 50ms normal 10ms",
            "script { duplicate 4,9 after 2s; truncate 4.1 to 100; corrupt 9.1 bit 13 }",
        ] {
            parses(variant);
        }
        let units = GRAMMAR.split_once("Units of time are ").unwrap().1;
        let (times, rest) = units.split_once("; of rate ").unwrap();
        let (rates, rest) = rest.split_once(", per second;\nof a queue datagrams, ").unwrap();
        let (queues, _) = rest.split_once(':').unwrap();
        for (list, number, [before, after]) in [
            (times, 6, ["outage from 0s for 2", ""]),
            (rates, 4, ["rate 100000", ""]),
            (queues, 7, ["rate 10mbit queue 2", ""]),
        ] {
            let units: Vec<_> = list.split(", ").collect();
            assert_eq!(units.len(), number, "{units:?}");
            units.iter().for_each(|unit| parses(&format!("{before}{unit}{after}")));
        }
    }

    #[test]
    fn everything_that_the_defaults_say_is_so() {
        for (short, long) in [
            ("loss p 1% r 20%", "loss p 1% r 20% good 0% bad 100%"),
            ("rate 10mbit", "rate 10mbit queue 100ms"),
            ("corrupt 0.1%", "corrupt 0.1% bits 1"),
            ("at 5s loss none", "at 5s loss 0%"),
            ("at 1s loss 1%; repeat every 2s", "at 1s loss 1%; repeat from 0s every 2s"),
        ] {
            assert_eq!(parsed(short), parsed(long));
        }
    }

    /// So that the next clause, distribution or rule is added here too.
    #[test]
    fn the_help_has_every_row_of_the_documentation() {
        let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fault/text/mod.rs");
        let text = fs::read_to_string(documented).unwrap();
        let rows: Vec<_> =
            text.lines().filter_map(|line| Some(line.strip_prefix("/// | `")?.split_once("` | ")?.0)).collect();
        assert!(rows.len() >= 25, "{rows:?}");
        for row in rows {
            assert!(GRAMMAR.lines().any(|line| line.starts_with(&format!("  {row} "))), "the help lacks {row:?}");
        }
    }

    #[test]
    fn the_help_fits_a_terminal_of_a_hundred_columns() {
        for line in GRAMMAR.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    /// The first column below a heading.
    fn examples(section: &str) -> Vec<&'static str> {
        let lines = GRAMMAR.lines().skip_while(|line| !line.starts_with(section)).skip(1);
        let rows = lines.map_while(|line| line.strip_prefix("  "));
        rows.map(|row| row.split_once("  ").unwrap_or_else(|| panic!("{row:?} explains nothing")).0).collect()
    }

    /// With what an example needs besides: a trace that is there, and something to repeat.
    fn complete(example: &str) -> String {
        let example = example.replace("FILE", "{ 3,3,10 }");
        if example.starts_with("repeat") { format!("at 5.1s delay 1ms; {example}") } else { example }
    }

    fn parses(spec: &str) {
        parsed(spec);
    }

    fn parsed(spec: &str) -> Impairments {
        spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"))
    }
}
