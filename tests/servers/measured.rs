//! What a set measures, against what is true.

use udp_retry::servers::{Health, Sent, ServerSettings};

use crate::common::{Servers, at, ms};
use crate::dice::Dice;

#[test]
fn the_loss_that_is_measured_is_the_loss_that_there_is() {
    for per_mille in [0, 10, 100, 300, 510, 900] {
        let (mut mean, mut servers) = (0.0, Servers::new(1, immortal(ServerSettings::new())));
        let mut dice = Dice::new(per_mille);
        for attempt in 0..20_400 {
            if dice.within(1..=1_000) <= per_mille {
                servers.expired(0, ms(250));
            } else {
                servers.answered(0, ms(40));
            }
            if attempt >= 400 {
                mean += state_loss(&servers) / 20_000.0;
            }
        }
        let truth = per_mille as f64 / 1_000.0;
        // An average over 127 attempts, sampled over 20,000: 5 deviations of what 20,000 draws alone spread.
        let bound = 5.0 * (truth * (1.0 - truth) / 20_000.0).sqrt();
        assert!((mean - truth).abs() <= bound + 1e-6, "{mean} on average, not {truth} ± {bound}");
    }
}

#[test]
fn one_measurement_of_loss_is_no_further_off_than_an_average_of_the_last_127_would_be() {
    let mut far = 0;
    for world in 0..2_000 {
        let (mut servers, mut dice) = (Servers::new(1, immortal(ServerSettings::new())), Dice::new(world));
        for _ in 0..400 {
            if dice.within(1..=10) <= 3 {
                servers.expired(0, ms(250));
            } else {
                servers.answered(0, ms(40));
            }
        }
        let deviation = (0.3 * 0.7 / 127.0_f64).sqrt();
        far += u32::from((state_loss(&servers) - 0.3).abs() > 3.0 * deviation);
    }
    // 0.27 % of a normal distribution, and some more as it is none.
    assert!(far <= 20, "{far} of 2,000 are further off than 3 deviations");
}

#[test]
fn a_lossy_server_is_left_after_a_few_losses_and_looked_at_again_in_time() {
    let mut servers = Servers::new(3, ServerSettings::new());
    (0..3).for_each(|path| servers.answered(path, ms(40)));
    let (mut losses, mut odd) = (0, false);
    while (0..50).any(|_| servers.choose() == Some(0)) {
        odd = !odd;
        if odd {
            servers.expired(0, ms(250));
            losses += 1;
        } else {
            servers.answered(0, ms(40));
        }
    }
    assert!((3..=8).contains(&losses), "{losses} losses");
    // What it lost by a trouble of a moment is half forgotten after each 37.5 s.
    for _ in 0..4 {
        servers.pass(ms(37_500));
        (1..3).for_each(|path| servers.answered(path, ms(40)));
    }
    assert!((0..50).any(|_| servers.choose() == Some(0)));
}

#[test]
fn another_server_is_asked_after_the_floor_or_the_timeout_that_was_measured() {
    let mut servers = Servers::new(2, ServerSettings::new());
    assert_eq!(servers.set.failover_after(servers.now, at(0), ms(1_000)), ms(250));
    assert_eq!(servers.set.failover_after(servers.now, at(1), ms(100)), ms(250), "the timeout of the unknown");
    (0..100).for_each(|_| servers.answered(0, ms(40)));
    (0..100).for_each(|_| servers.answered(1, ms(400)));
    assert_eq!(servers.set.failover_after(servers.now, at(0), ms(1_000)), ms(250));
    assert_eq!(servers.set.failover_after(servers.now, at(0), ms(100)), ms(100), "the policy's own wait is shorter");
    let slow = servers.set.failover_after(servers.now, at(1), ms(100));
    assert!(slow >= ms(400) && slow <= ms(402), "{slow:?}");
    assert_eq!(servers.set.failover_after(servers.now, at(9), ms(1_000)), ms(250));
    // A timeout is doubled by an expiry, once for all that expire within it.
    let sent = servers.now;
    servers.pass(slow);
    (0..5).for_each(|_| servers.set.on_expired(servers.now, at(1), sent));
    assert_eq!(servers.set.failover_after(servers.now, at(1), ms(100)), slow * 2);
}

#[test]
fn a_server_that_never_replied_is_not_waited_for_any_longer_and_a_slow_one_is_until_it_is_measured() {
    let mut servers = Servers::new(2, ServerSettings::new());
    let wait = |servers: &Servers, path| servers.set.failover_after(servers.now, at(path), ms(1_000));
    for _ in 0..2 {
        servers.expired(0, wait(&servers, 0));
    }
    assert_eq!(wait(&servers, 0), ms(250), "a mute address costs each of the first requests no more than that");
    // Its replies come after 400 ms, when another one has answered.
    servers.expired(1, ms(250));
    servers.pass(ms(150));
    let _ = servers.set.on_reply(servers.now, at(1), None);
    servers.expired(1, wait(&servers, 1));
    assert_eq!(wait(&servers, 1), ms(500), "enough to measure it");
}

#[test]
fn late_replies_lengthen_the_waits_for_all_servers_and_those_in_time_shorten_them_again() {
    let mut servers = Servers::new(2, ServerSettings::new());
    let waits = |servers: &Servers| [0, 1].map(|path| servers.set.failover_after(servers.now, at(path), ms(1_000)));
    (0..20).for_each(|n| servers.answered(n % 2, ms(40)));
    // Ambiguous, but nothing has expired: a copy that was sent early.
    let _ = servers.set.on_reply(servers.now, at(0), None);
    assert_eq!(waits(&servers), [ms(250); 2]);
    for longer in [ms(1_000), ms(4_000), ms(4_000)] {
        servers.expired(0, ms(250));
        let _ = servers.set.on_reply(servers.now, at(0), None);
        servers.answered(0, ms(40));
        servers.answered(1, ms(40));
        let [one, other] = waits(&servers);
        assert!(one == other && one <= longer && one > longer.mul_f64(0.9), "{one:?}, {other:?}, not {longer:?}");
    }
    // (63/64)ⁿ is below a sixteenth from 176 on.
    (0..150).for_each(|_| servers.answered(1, ms(40)));
    assert!(waits(&servers)[0] > ms(250));
    (0..50).for_each(|_| servers.answered(1, ms(40)));
    assert_eq!(waits(&servers), [ms(250); 2]);
    // What is answered after a repeat may be late, and more likely was lost.
    servers.expired(0, ms(250));
    servers.set.on_transmitted(servers.now, at(0), Sent::Repeat);
    servers.pass(ms(40));
    let _ = servers.set.on_reply(servers.now, at(0), None);
    assert_eq!(waits(&servers)[1], ms(250));
    // What is lost, and never answered, is not late.
    servers.expired(0, ms(250));
    (0..60).for_each(|_| servers.answered(1, ms(40)));
    servers.answered(0, ms(40));
    let _ = servers.set.on_reply(servers.now, at(0), None);
    assert_eq!(waits(&servers), [ms(250); 2]);
}

#[test]
fn what_is_lost_in_a_queue_does_not_count_as_lost_on_the_path() {
    for (queue, counts) in [(40, true), (79, true), (120, true), (600, false)] {
        let mut servers = Servers::new(1, ServerSettings::new());
        servers.answered(0, ms(40));
        (0..20).for_each(|_| servers.answered(0, ms(queue)));
        // Within the 37 s for which the quickest is remembered.
        for _ in 0..15 {
            servers.expired(0, ms(700));
            servers.answered(0, ms(queue));
        }
        let loss = servers.loss(0);
        assert_eq!(loss > 0.05, counts, "{loss} with replies after {queue} ms");
        assert!(counts || loss == 0.0, "{loss}");
    }
    // A path that is as long loses as any.
    let mut servers = Servers::new(1, ServerSettings::new());
    (0..60).for_each(|_| servers.answered(0, ms(600)));
    for _ in 0..15 {
        servers.expired(0, ms(700));
        servers.answered(0, ms(600));
    }
    assert!(servers.loss(0) > 0.05);
}

#[test]
fn a_hedge_waits_until_all_but_its_share_have_been_answered() {
    for (share, world) in [(0.05, 1), (0.02, 2), (0.01, 3)] {
        let settings = immortal(ServerSettings::new().with_hedging(share).unwrap());
        let (mut servers, mut dice) = (Servers::new(1, settings), Dice::new(world));
        // From 10 to 1,010 ms, evenly, and 1 of 200 never.
        for _ in 0..40_000 {
            if dice.one_in(200) {
                servers.expired(0, ms(2_000));
            } else {
                servers.answered(0, ms(dice.within(10..=1_009)));
            }
        }
        let truth = 10.0 + 1_000.0 * (1.0 - (share - 0.005) / 0.995);
        let hedged = servers.set.hedge_after(servers.now, at(0)).unwrap().as_secs_f64() * 1_000.0;
        // The range that it falls in is up to a fourth of it wide; five deviations of 32 outcomes beyond it.
        assert!((truth * 0.95..=truth * 1.26).contains(&hedged), "{hedged} ms for {share}, not {truth}");
    }
}

#[test]
fn nothing_is_hedged_before_enough_was_seen_nor_where_more_than_the_share_is_lost() {
    let mut servers = Servers::new(1, ServerSettings::new());
    (0..1_000).for_each(|_| servers.answered(0, ms(40)));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), None, "off by default");

    let mut servers = Servers::new(1, ServerSettings::new().with_hedging(0.05).unwrap());
    (0..19).for_each(|_| servers.answered(0, ms(40)));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), None);
    servers.answered(0, ms(40));
    let hedged = servers.set.hedge_after(servers.now, at(0)).unwrap();
    assert!(hedged >= ms(40) && hedged <= ms(50), "{hedged:?}");
    (0..2).for_each(|_| servers.expired(0, ms(250)));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), None, "2 of 22 are more than a twentieth");
    (0..100).for_each(|_| servers.answered(0, ms(40)));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), Some(hedged));
    servers.die(0);
    let _ = servers.set.on_reply(servers.now, at(0), None);
    (0..19).for_each(|_| servers.answered(0, ms(40)));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), None, "of before it was dead");
    servers.answered(0, ms(40));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), Some(hedged));
    servers.pass(ms(600_001));
    assert_eq!(servers.set.hedge_after(servers.now, at(0)), None, "too old");
}

#[test]
fn a_copy_of_a_set_shares_nothing_with_it() {
    let mut servers = Servers::new(1, ServerSettings::new());
    servers.answered(0, ms(40));
    let copy = servers.set.clone();
    servers.die(0);
    assert!(matches!(copy.health(servers.now, at(0)), Health::Good { .. }));
    assert_eq!(copy.failover_after(servers.now, at(0), ms(1)), ms(120));
    let shown = format!("{:?}", servers.set);
    assert!(!shown.to_lowercase().contains("seed"), "{shown}");
}

/// Never dead, so that a loss of nine in ten can be measured.
fn immortal(settings: ServerSettings) -> ServerSettings {
    settings.with_dead_after(std::num::NonZeroU32::MAX)
}

/// A suspect shows no loss: after an answer, what it was before.
fn state_loss(servers: &Servers) -> f64 {
    let (mut copy, now) = (servers.set.clone(), servers.now);
    if matches!(copy.health(now, at(0)), Health::Good { .. }) {
        return servers.loss(0);
    }
    let _ = copy.on_reply(now, at(0), Some(ms(40)));
    match copy.health(now, at(0)) {
        Health::Good { loss, .. } => loss * 64.0 / 63.0,
        other => panic!("{other:?}"),
    }
}
