//! `udp-retry proxy --config`: several listeners in one process.
#![cfg(unix)]

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::files::Scratch;
use crate::program::run;
use crate::steered::{Steered, ask, client, echo};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn each_listener_has_its_own_network_limits_seed_and_report_and_commands_find_it_by_name() {
    let (file, record) = (Scratch::new("listeners"), Scratch::new("recorded"));
    let (one, other) = (echo(), echo());
    let lines = format!(
        "# two services\n\
         dns:   --listen 127.0.0.1:0 --upstream {one} --seed 7 --max-sessions 1 --record {}\n\
         \n\
         ntp: --listen 127.0.0.1:0 --upstream '{other}' --to-client \"loss 100%; delay 1ms\" --shared # the other\n",
        record.path()
    );
    fs::write(&file.0, lines).unwrap();
    let proxy = Steered::run(&["--config", file.path()]);
    let names: Vec<&str> = proxy.listening.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["dns", "ntp"]);
    let [dns, ntp] = [0, 1].map(|n: usize| proxy.listening[n].0);
    let (first, second) = (client(dns), client(dns));
    for n in 0..3 {
        assert_eq!((ask(&first, &[n]), ask(&second, &[n])), (vec![n], vec![n]));
    }
    let mut commands = proxy.commands();
    let lossy = client(ntp);
    lossy.send(b"lost on its way back").unwrap();
    let both = loop {
        let both = commands.ask("stats");
        if both["listeners"][1]["to_client"]["dropped"]["loss"] == 1 {
            break both;
        }
    };
    assert_eq!(both["listeners"][0]["to_client"]["dropped"]["loss"], 0);

    // One by its name, then all.
    assert_eq!(commands.ask("@ntp set both none"), json!({ "ok": true, "listeners": ["ntp"] }));
    assert_eq!(ask(&lossy, b"here"), b"here");
    assert_eq!(commands.ask("set to_client headers 40"), json!({ "ok": true, "listeners": ["dns", "ntp"] }));
    let refused = commands.ask("@nts stats");
    assert_eq!((&refused["position"], &refused["expected"]), (&1.into(), &"@dns or @ntp".into()));
    let described = commands.ask("listeners");
    let own = json!({ "name": "ntp", "listen": ntp.to_string(), "upstream": other.to_string() });
    assert_eq!(described["listeners"][1], own);
    let [dns, ntp] = ["dns", "ntp"].map(|name| report(&both, name));
    assert_eq!((&dns["seed"], &dns["shared"], &ntp["shared"]), (&7.into(), &false.into(), &true.into()));

    let reports = proxy.reports();
    let named: Vec<_> = reports.iter().map(|report| report["listener"].as_str().unwrap()).collect();
    assert_eq!(named, ["dns", "ntp"], "a line for each, in the order of the file");
    assert_eq!((&reports[0]["sessions"]["evicted"], &reports[1]["sessions"]["evicted"]), (&5.into(), &0.into()));
    assert_eq!((&reports[0]["changes"]["number"], &reports[1]["changes"]["number"]), (&1.into(), &2.into()));
    assert!(reports.iter().all(|report| report["to_client"]["spec"] == "headers 40"), "{reports:?}");
    assert_eq!(record.text().lines().count(), 12, "of the one that records alone");
}

/// Of one listener, from an answer to `stats`.
fn report<'v>(answer: &'v Value, name: &str) -> &'v Value {
    let all = answer["listeners"].as_array().unwrap();
    all.iter().find(|report| report["listener"] == name).unwrap()
}

#[test]
fn a_wrong_line_is_wrong_usage_and_named_by_its_number() {
    let file = Scratch::new("wrong_listeners");
    let right = "a: --listen 127.0.0.1:0 --upstream 127.0.0.1:53";
    for (lines, said) in [
        (
            format!("{right}\n\nb: --listen 127.0.0.1:0\n"),
            "line 3: the following required arguments were not provided: --upstream",
        ),
        (format!("{right}\n# fine\n{right}"), "line 3: there is a listener \"a\" already"),
        (
            "a: --listen 127.0.0.1:4545 --upstream 127.0.0.1:53\nb: --listen 127.0.0.1:4545 --upstream 127.0.0.1:54"
                .to_owned(),
            "line 2: \"a\" listens on 127.0.0.1:4545 already",
        ),
        (format!("{right} --lose 5%"), "line 1: unexpected argument '--lose'"),
        (format!("\n  # one\n{right}\n\n dns --listen"), "line 5: expected a name"),
        (format!("{right} --both 'loss 5'"), "line 1: invalid value 'loss 5' for '--both <SPEC>': at 7: expected"),
        (format!("{right} --both \"loss 5%"), "line 1: a quote is not closed"),
        (format!("{right} --for 5"), "line 1: unexpected argument '--for'"),
        ("--listen 127.0.0.1:0 --upstream 127.0.0.1:53".to_owned(), "line 1: expected a name"),
        ("# nothing\n".to_owned(), "no listener"),
        (format!("{right} --record -\nb{} --record -", &right[1..]), "only one listener can have '--record -'"),
    ] {
        fs::write(&file.0, &lines).unwrap();
        let ended = run("proxy", &["--config", file.path(), "--for", "100ms"], PATIENCE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{lines}: {ended:?}");
        assert!(ended.stderr.contains(said), "{lines}: no {said:?} in {ended:?}");
    }
    for (arguments, said) in [
        (&["--config", "/nowhere/at/all"][..], "cannot read /nowhere/at/all"),
        (&["--config", file.path(), "--loss", "5%"], "cannot be used with"),
        (&["--config", file.path(), "--idle", "5s"], "cannot be used with"),
        (&["--config", file.path(), "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:53"], "cannot be used with"),
    ] {
        let ended = run("proxy", arguments, PATIENCE);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: no {said:?} in {ended:?}");
    }
}

#[test]
fn a_listener_that_cannot_listen_is_named_and_none_starts() {
    let file = Scratch::new("two_listeners");
    let taken = echo();
    let lines = format!("a: --listen 127.0.0.1:0 --upstream {taken}\nb: --listen {taken} --upstream 127.0.0.1:53\n");
    fs::write(&file.0, lines).unwrap();
    let ended = run("proxy", &["--config", file.path(), "--for", "100ms"], PATIENCE);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("error: b: cannot listen on {taken}: ")), "{ended:?}");
}
