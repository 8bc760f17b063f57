//! What each clause means.

use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Dose, Duplicate, GilbertElliott, LossModel, MtuClamp, Outage, Oversize,
    Profile, QueueLimit, Reorder, Rule, Script, Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::{Impairments, Probability};

use super::{ms, ns, parsed, percent, secs};

#[test]
fn one_line_of_text_sets_every_knob_to_its_value() {
    let text = "loss 5% burst 3; delay 50ms ~10ms; rate 10mbit queue 100ms; duplicate 1%; corrupt 0.1%; mtu 1400; \
                reorder 2% by 30ms";
    let all: Impairments = text.parse().unwrap();
    let chain = GilbertElliott::with_mean_burst(percent(5), 3.0).unwrap();
    assert_eq!(*all.loss_model(), LossModel::GilbertElliott(chain));
    assert!((all.loss_model().stationary_loss() - 0.05).abs() < 1e-12);
    assert!((all.loss_model().mean_burst() - 3.0).abs() < 1e-12);
    let delay = all.delay().unwrap();
    assert_eq!(*delay.law(), DelayLaw::uniform(ms(50), ms(10)).unwrap());
    assert_eq!((delay.correlation(), delay.is_unordered()), (Probability::ZERO, false));
    let hop = all.bottleneck().unwrap();
    assert_eq!((hop.rate(), hop.queue()), (10_000_000, QueueLimit::Time(ms(100))));
    let duplicate = all.duplicate().unwrap();
    assert_eq!((duplicate.probability(), duplicate.lateness()), (percent(1), None));
    let corrupt = all.corrupt().unwrap();
    assert_eq!((corrupt.probability(), corrupt.bit_count()), (Probability::ratio(1, 1000).unwrap(), 1));
    let mtu = all.mtu().unwrap();
    assert_eq!((mtu.pmtu(), mtu.oversize()), (Pmtu::new(1400), Oversize::Drop));
    let reorder = all.reorder().unwrap();
    assert_eq!((reorder.probability(), reorder.by()), (percent(2), ms(30)));
    assert_eq!((all.headers(), all.outages(), all.script(), all.truncate()), (28, &[][..], &Script::EMPTY, None));
    assert_eq!(
        all.to_string(),
        "mtu 1400; rate 10mbit queue 100ms; loss 5% burst 3; duplicate 1%; corrupt 0.1%; delay 50ms ~10ms; \
         reorder 2% by 30ms"
    );
}

#[test]
fn nothing_at_all_is_none() {
    assert_eq!("none".parse(), Ok(Impairments::NONE));
    assert_eq!(" none\n".parse(), Ok(Impairments::NONE));
    assert_eq!(Impairments::NONE.to_string(), "none");
    assert_eq!("none".parse(), Ok(Script::EMPTY));
    assert_eq!(Script::EMPTY.to_string(), "none");
    for nothing in ["loss 0%", "script { none }", "script{none};loss 0%;"] {
        assert_eq!(nothing.parse(), Ok(Impairments::NONE), "{nothing}");
    }
}

#[test]
fn each_loss_is_the_model_that_it_names() {
    let chain = |chain: Result<GilbertElliott, _>| LossModel::GilbertElliott(chain.unwrap());
    let (zero, one, thousandth) = (Probability::ZERO, Probability::ONE, Probability::ratio(1, 1000).unwrap());
    let transitions = |good, bad| chain(GilbertElliott::new(percent(1), percent(20), good, bad));
    for (text, model) in [
        ("5%", LossModel::Bernoulli(percent(5))),
        ("33.333%", LossModel::Bernoulli(Probability::ratio(33_333, 100_000).unwrap())),
        ("100%", LossModel::Bernoulli(one)),
        ("5% burst 3", LossModel::bursts(percent(5), 3.0).unwrap()),
        ("5% burst 1.5", LossModel::bursts(percent(5), 1.5).unwrap()),
        ("5% burst 1000000000", LossModel::bursts(percent(5), 1e9).unwrap()),
        ("5% correlation 25%", chain(GilbertElliott::with_correlation(percent(5), percent(25)))),
        ("5% correlation 0%", chain(GilbertElliott::with_correlation(percent(5), zero))),
        ("p 1% r 20%", transitions(zero, one)),
        ("p 1% r 20% good 0.1%", transitions(thousandth, one)),
        ("p 1% r 20% bad 90%", transitions(zero, percent(90))),
        ("p 1% r 20% good 0.1% bad 90%", transitions(thousandth, percent(90))),
        ("exactly 3 of 10", LossModel::exactly(3, 10).unwrap()),
        ("exactly 0 of 4294967295", LossModel::exactly(0, u32::MAX).unwrap()),
        ("pattern 0100", LossModel::pattern(&[false, true, false, false]).unwrap()),
        ("pattern 1", LossModel::pattern(&[true]).unwrap()),
    ] {
        let text = format!("loss {text}");
        let all: Impairments = text.parse().unwrap();
        assert_eq!(*all.loss_model(), model, "{text}");
        assert_eq!(all, Impairments::NONE.with_loss(model), "{text}: something else too");
        assert_eq!(all.to_string(), text);
    }
    let LossModel::GilbertElliott(chain) = *parsed("loss p 1% r 20% good 0.1% bad 90%").loss_model() else { panic!() };
    assert_eq!((chain.p(), chain.r()), (percent(1), percent(20)));
    assert_eq!((chain.loss_in_good(), chain.loss_in_bad()), (thousandth, percent(90)));
}

#[test]
fn each_delay_is_the_law_that_it_names() {
    let law = |law: Result<DelayLaw, _>| DelayModel::new(law.unwrap());
    let table = [ms(10), ms(12), ms(80)];
    for (text, model) in [
        ("50ms", law(DelayLaw::fixed(ms(50)))),
        ("0ms", law(DelayLaw::fixed(ms(0)))),
        ("50ms unordered", law(DelayLaw::fixed(ms(50))).unordered()),
        ("50ms ~10ms", law(DelayLaw::uniform(ms(50), ms(10)))),
        ("50ms ~0ms", law(DelayLaw::uniform(ms(50), ms(0)))),
        ("50ms normal 10ms", law(DelayLaw::normal(ms(50), ms(10)))),
        ("50ms exponential 20ms", law(DelayLaw::exponential(ms(50), ms(20)))),
        ("quantiles 10ms,12ms,80ms", law(DelayLaw::measured(&table))),
        ("50ms ~10ms correlation 25%", law(DelayLaw::uniform(ms(50), ms(10))).correlated(percent(25)).unwrap()),
        ("50ms normal 10ms unordered", law(DelayLaw::normal(ms(50), ms(10))).unordered()),
        (
            "quantiles 10ms,12ms,80ms correlation 99% unordered",
            law(DelayLaw::measured(&table)).correlated(percent(99)).unwrap().unordered(),
        ),
    ] {
        let text = format!("delay {text}");
        let all = parsed(&text);
        assert_eq!(all, Impairments::NONE.with_delay(model), "{text}");
        assert_eq!(all.to_string(), text);
    }
    assert_eq!(parsed("delay 1s ~1s unordered correlation 5%"), parsed("delay 1s ~1s correlation 5% unordered"));
    assert_eq!(parsed("delay 1s correlation 0%").to_string(), "delay 1s");
    assert_eq!(parsed("delay quantiles 3s , 1s,2s").to_string(), "delay quantiles 1s,2s,3s");
}

#[test]
fn each_other_clause_is_the_value_that_it_names() {
    let none = || Impairments::NONE;
    let hop = |rate, queue| none().with_bottleneck(Bottleneck::new(rate, queue).unwrap());
    let mtu = |oversize| none().with_mtu(MtuClamp::new(Pmtu::new(1400), oversize)).unwrap();
    let late = |law: Result<DelayLaw, _>| none().with_duplicate(Duplicate::new(percent(1)).late(law.unwrap()));
    let outage = Outage::new(secs(10), ms(200)).unwrap();
    for (text, all) in [
        ("rate 10mbit queue 100ms", hop(10_000_000, QueueLimit::Time(ms(100)))),
        ("rate 56kbit queue 64kB", hop(56_000, QueueLimit::Bytes(64_000))),
        ("rate 1gbit queue 1.5kB", hop(1_000_000_000, QueueLimit::Bytes(1500))),
        ("rate 1bit queue 25 datagrams", hop(1, QueueLimit::Datagrams(25))),
        ("rate 1.5mbit queue 0 datagrams", hop(1_500_000, QueueLimit::Datagrams(0))),
        ("rate 9.6kbit queue 0B", hop(9600, QueueLimit::Bytes(0))),
        ("rate 9.6kbit queue 0ms", hop(9600, QueueLimit::Time(ms(0)))),
        ("headers 48", none().with_headers(48).unwrap()),
        ("headers 28", none().with_headers(28).unwrap()),
        ("headers 0", none().with_headers(0).unwrap()),
        ("mtu 1400", mtu(Oversize::Drop)),
        ("mtu 1400 error", mtu(Oversize::Error)),
        ("mtu 1400 report", mtu(Oversize::Report)),
        ("mtu 1400 truncate", mtu(Oversize::Truncate)),
        ("duplicate 1%", none().with_duplicate(Duplicate::new(percent(1)))),
        ("duplicate 1% late 2s", late(DelayLaw::fixed(secs(2)))),
        ("duplicate 1% late 2s ~1s", late(DelayLaw::uniform(secs(2), secs(1)))),
        ("duplicate 1% late 2s exponential 1s", late(DelayLaw::exponential(secs(2), secs(1)))),
        ("duplicate 1% late quantiles 1s,2s", late(DelayLaw::measured(&[secs(1), secs(2)]))),
        ("truncate 0.5%", none().with_truncate(Truncate::new(Probability::ratio(5, 1000).unwrap()))),
        ("truncate 1% to 100", none().with_truncate(Truncate::new(percent(1)).to(100))),
        ("truncate 0%", none().with_truncate(Truncate::new(percent(0)))),
        ("corrupt 1%", none().with_corrupt(Corrupt::new(percent(1)))),
        ("corrupt 1% bits 3", none().with_corrupt(Corrupt::new(percent(1)).bits(3).unwrap())),
        ("reorder 2% by 30ms", none().with_reorder(Reorder::new(percent(2), ms(30)).unwrap())),
        ("dose 6 of 10", none().with_dose(Dose::at_most(6, 10).unwrap())),
        ("dose 6 of 10 drops 3", none().with_dose(Dose::at_most(6, 10).unwrap().drops_in_a_row(3))),
        ("outage from 10s for 200ms", none().with_outage(outage).unwrap()),
        ("outage from 10s for 200ms every 15s", none().with_outage(outage.every(secs(15)).unwrap()).unwrap()),
        (
            "outage from 10s for 200ms; outage from 0ms for 1ns",
            none().with_outage(outage).unwrap().with_outage(Outage::new(ms(0), ns(1)).unwrap()).unwrap(),
        ),
        ("script { drop 1,3 }", none().with_script(Script::new([(1, Rule::Drop), (3, Rule::Drop)]).unwrap())),
    ] {
        assert_eq!(parsed(text), all, "{text}");
        assert_eq!(all.to_string(), text);
    }
    assert_eq!(parsed("rate 10mbit"), parsed("rate 10mbit queue 100ms"));
    assert_eq!(parsed("corrupt 1% bits 1"), parsed("corrupt 1%"));
}

#[test]
fn each_rule_of_a_script_is_the_one_that_it_names() {
    let text = "drop 1,3; duplicate 5 after 2s; delay 7 by 200ms; truncate 4 to 100; corrupt 9 bit 13; \
                refuse 6 above 1372; duplicate 8,8 after 1ms; corrupt 8.1,8.2,10.0 bit 0; truncate 8.2 to 0";
    let rules = [
        (1, Rule::Drop),
        (3, Rule::Drop),
        (4, Rule::Truncate { copy: 0, to: 100 }),
        (5, Rule::Duplicate { after: secs(2) }),
        (6, Rule::Refuse { limit: 1372 }),
        (7, Rule::Delay { by: ms(200) }),
        (8, Rule::Duplicate { after: ms(1) }),
        (8, Rule::Duplicate { after: ms(1) }),
        (8, Rule::Truncate { copy: 2, to: 0 }),
        (8, Rule::Corrupt { copy: 1, bit: 0 }),
        (8, Rule::Corrupt { copy: 2, bit: 0 }),
        (9, Rule::Corrupt { copy: 0, bit: 13 }),
        (10, Rule::Corrupt { copy: 0, bit: 0 }),
    ];
    let script: Script = text.parse().unwrap();
    assert_eq!(script.rules(), rules);
    let shown = "drop 1,3; truncate 4 to 100; duplicate 5 after 2s; refuse 6 above 1372; delay 7 by 200ms; \
                 duplicate 8,8 after 1ms; truncate 8.2 to 0; corrupt 8.1,8.2 bit 0; corrupt 9 bit 13; corrupt 10 bit 0";
    assert_eq!(script.to_string(), shown);
    let all = parsed(&format!("loss 1%; script {{ {text} }}; mtu 1400"));
    assert_eq!(*all.script(), script);
    assert_eq!(all.to_string(), format!("script {{ {shown} }}; mtu 1400; loss 1%"));
}

#[test]
fn units_are_those_of_the_trade() {
    for (text, time) in [
        ("7ns", ns(7)),
        ("7us", ns(7_000)),
        ("7\u{b5}s", ns(7_000)),
        ("7\u{3bc}s", ns(7_000)),
        ("7ms", ms(7)),
        ("7s", secs(7)),
        ("7min", secs(420)),
        ("7h", secs(25_200)),
        ("0.25us", ns(250)),
        ("1.000000001s", ns(1_000_000_001)),
        ("1.5 min", secs(90)),
        ("0000.50s", ms(500)),
        ("18446744073.709551615s", ns(u64::MAX)),
    ] {
        let law = DelayLaw::fixed(time).unwrap();
        assert_eq!(parsed(&format!("delay {text}")), Impairments::NONE.with_delay(DelayModel::new(law)), "{text}");
    }
    for (text, rate) in [
        ("7bit", 7),
        ("7kbit", 7_000),
        ("7mbit", 7_000_000),
        ("7gbit", 7_000_000_000),
        ("0.5kbit", 500),
        ("18446744073709551615bit", u64::MAX),
    ] {
        assert_eq!(parsed(&format!("rate {text}")).bottleneck().unwrap().rate(), rate, "{text}");
    }
    for (text, bytes) in [
        ("7B", 7),
        ("7kB", 7_000),
        ("7MB", 7_000_000),
        ("7GB", 7_000_000_000),
        ("7KiB", 7 << 10),
        ("7MiB", 7 << 20),
        ("7GiB", 7 << 30),
        ("0.5KiB", 512),
        ("18446744073709551615B", u64::MAX),
    ] {
        let hop = parsed(&format!("rate 1mbit queue {text}"));
        assert_eq!(hop.bottleneck().unwrap().queue(), QueueLimit::Bytes(bytes), "{text}");
    }
}

#[test]
fn quantities_are_shown_in_the_largest_unit_of_which_there_is_one() {
    for (text, shown) in [
        ("delay 0h", "delay 0ms"),
        ("delay 999ns", "delay 999ns"),
        ("delay 1000ns", "delay 1us"),
        ("delay 100us", "delay 100us"),
        ("delay 2500ms ~2500ms", "delay 2.5s ~2.5s"),
        ("delay 1h", "delay 3600s"),
        ("delay 1.000001ms", "delay 1.000001ms"),
        ("rate 999999bit", "rate 999.999kbit queue 100ms"),
        ("rate 1000000kbit", "rate 1gbit queue 100ms"),
        ("rate 1bit queue 64KiB", "rate 1bit queue 65.536kB"),
        ("rate 1bit queue 2GiB", "rate 1bit queue 2.147483648GB"),
    ] {
        assert_eq!(parsed(text).to_string(), shown);
    }
}

#[test]
fn neither_order_nor_blanks_nor_a_last_semicolon_matter() {
    let plain =
        parsed("script { drop 1,2; delay 3 by 5ms }; mtu 1400 error; rate 1mbit queue 5ms; loss 5%; delay 50ms ~10ms");
    for text in [
        "delay 50ms ~10ms; loss 5%; rate 1mbit queue 5ms; mtu 1400 error; script { delay 3 by 5ms; drop 2,1 }",
        "script{drop 1,2;delay 3 by 5ms};mtu 1400 error;rate 1mbit queue 5ms;loss 5%;delay 50ms~10ms;",
        "\n script {\n\tdrop 1 , 2 ;\n\tdelay 3 by 5 ms ;\n}\n;\nmtu 1400\terror;rate 1 mbit queue 5 ms;\r\nloss 5 % ; \
         delay 50 ms ~ 10 ms ;\n",
    ] {
        assert_eq!(parsed(text), plain, "{text}");
    }
}

#[test]
fn the_named_profiles_are_shown_as_they_are_written() {
    for name in Profile::NAMES {
        let profile = Profile::named(name).unwrap_or_else(|| panic!("{name}"));
        for all in [&profile.to_server, &profile.to_client] {
            assert_eq!(parsed(&all.to_string()), *all, "{name}");
        }
    }
    assert_eq!(
        Profile::named("evil").unwrap().to_server.to_string(),
        "loss 20% burst 4; duplicate 10% late 2.5s ~2.5s; truncate 0.5%; corrupt 1%; delay 0ms exponential 50ms; \
         reorder 10% by 100ms"
    );
}
