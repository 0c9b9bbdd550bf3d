//! What a crash must not lose or repeat, wherever it strikes.

use ledger::units::Offset;
use pipeline::embedded::faults::Verdict;
use pipeline::log::LogError;
use pipeline::worker::Turn;

use crate::sides;
use crate::world::{Hand, NAME, World, trouble};

/// Rounds that are published, one before each of the first turns.
const ROUNDS: u64 = 12;
/// Turns in which something happens besides waiting.
const TURNS: u64 = 40;

/// Runs a whole sale, with a new worker whenever the present one fails, or `kills` says so.
fn run(world: &mut World, mut kills: impl FnMut(u64, &World) -> bool) {
    let mut hand = world.hire(NAME);
    for turn in 0..TURNS {
        if turn < ROUNDS {
            world.publish();
        }
        if kills(turn, world) || world.turn(&mut hand).is_err() {
            world.kill(hand);
            hand = world.hire(NAME);
        }
    }
    for _ in 0..3 {
        hand = settle_through_failures(world, hand);
        match stop_or_die(world, hand) {
            None => return,
            Some(next) => hand = next,
        }
    }
    panic!("each worker dies of its stop");
}

/// Stops a worker; gives its successor if it dies of it.
fn stop_or_die(world: &World, mut hand: Hand) -> Option<Hand> {
    hand.shared.stop();
    for _ in 0..1_000 {
        match world.turn(&mut hand) {
            Ok(Turn::Again) => {}
            Ok(Turn::Left) => return None,
            Err(_) => {
                world.kill(hand);
                return Some(world.hire(NAME));
            }
        }
    }
    panic!("the worker does not leave");
}

/// Turns until nothing can be left to do; a worker that fails is replaced.
fn settle_through_failures(world: &World, mut hand: Hand) -> Hand {
    for _ in 0..150 {
        match world.turn(&mut hand) {
            Ok(Turn::Again) => {}
            Ok(Turn::Left) => panic!("nobody asked the worker to leave"),
            Err(_) => {
                world.kill(hand);
                hand = world.hire(NAME);
            }
        }
    }
    hand
}

#[test]
fn a_worker_killed_at_any_turn_loses_and_repeats_nothing() {
    for killed_at in 0..TURNS {
        let mut world = World::new(2);
        run(&mut world, |turn, _| turn == killed_at);
        world.assert_settled(&format!("killed at turn {killed_at}"));
    }
}

#[test]
fn a_worker_killed_again_and_again_loses_and_repeats_nothing() {
    for every in 1..8 {
        let mut world = World::new(2);
        run(&mut world, |turn, _| turn % every == every - 1);
        world.assert_settled(&format!("killed every {every} turns"));
    }
}

/// Runs the sale once for every call on the log, with `verdict` on that call.
fn at_every_call(verdict: &Verdict) {
    for call in 0.. {
        let mut world = World::new(2);
        world.script.expect_at(call, verdict.clone());
        run(&mut world, |_, _| false);
        let is_reached = world.script.is_over();
        world.script.clear();
        world.assert_settled(&format!("{verdict:?} at call {call}"));
        if !is_reached {
            assert!(call > 200, "the sale takes more than {call} calls");
            return;
        }
    }
}

#[test]
fn a_crash_just_before_any_call_on_the_log_loses_and_repeats_nothing() {
    at_every_call(&Verdict::FailBefore(LogError::Fatal("the process dies".to_owned())));
}

#[test]
fn a_crash_just_after_any_call_on_the_log_loses_and_repeats_nothing() {
    at_every_call(&Verdict::ApplyThenFail(LogError::Fatal("the process dies".to_owned())));
}

#[test]
fn a_request_that_is_lost_at_any_call_loses_and_repeats_nothing() {
    at_every_call(&Verdict::FailBefore(trouble()));
}

#[test]
fn an_answer_that_is_lost_at_any_call_loses_and_repeats_nothing() {
    at_every_call(&Verdict::ApplyThenFail(trouble()));
}

#[test]
fn a_transaction_that_breaks_at_any_call_loses_and_repeats_nothing() {
    at_every_call(&Verdict::FailBefore(LogError::Transaction("broken".to_owned())));
    at_every_call(&Verdict::ApplyThenFail(LogError::Transaction("broken".to_owned())));
}

#[test]
fn a_fence_at_any_call_loses_and_repeats_nothing() {
    at_every_call(&Verdict::ApplyThenFail(LogError::Fenced("somebody else".to_owned())));
}

#[test]
fn a_request_that_arrives_late_decides_nothing_that_is_not_its_own() {
    for verdict in [Verdict::ApplyLate(trouble()), Verdict::ApplyTwice("lost connection".into())] {
        for (name, occurrence) in ["init", "offsets", "end"]
            .into_iter()
            .flat_map(|name| [(name, 0), (name, 1), (name, 4)])
        {
            for delay in 0..5 {
                let mut world = World::new(2);
                let mut late_since = None;
                run(&mut world, |turn, world| {
                    if world.script.calls(name) == occurrence && world.broker.late_requests() == 0 {
                        world.script.clear();
                        world.script.expect(name, verdict.clone());
                    }
                    if world.broker.late_requests() > 0 {
                        let since = *late_since.get_or_insert(turn);
                        if turn >= since + delay {
                            world.broker.deliver_late(0);
                        }
                    }
                    false
                });
                while world.broker.late_requests() > 0 {
                    world.broker.deliver_late(0);
                }
                let what = format!("{verdict:?} on {name} {occurrence}, {delay} turns late");
                world.assert_settled(&what);
            }
        }
    }
}

#[test]
fn a_crash_before_the_very_first_commit_starts_again_at_the_beginning() {
    let mut world = World::new(1);
    world.publish();
    let mut hand = world.hire(NAME);
    world.until_in_transaction(&mut hand);
    world.kill(hand);
    assert_eq!(world.committed(0).offset, None);

    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let openings = hand.openings();
    assert_eq!(openings[0].outcome.as_ref().unwrap().at, Offset(0));
    world.stop(hand);
    world.assert_settled("the second first start");
}

#[test]
fn input_that_its_publisher_aborted_is_never_answered() {
    for killed_at in 0..16 {
        let mut world = World::new(1);
        let mut shop = world.broker.publisher("shop");
        let mut hand = world.hire(NAME);
        for turn in 0..16 {
            let now = world.now();
            let round = world.sales[0].round(now);
            shop.begin().unwrap();
            sides::append_in_transaction(&mut shop, 0, &round);
            world.turns(&mut hand, 1);
            if turn % 3 == 1 { shop.abort() } else { shop.commit() }.unwrap();
            world.turns(&mut hand, 1);
            if turn == killed_at {
                world.kill(hand);
                hand = world.hire(NAME);
            }
        }
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled(&format!("killed at turn {killed_at}"));
    }
}

/// No client hands a record on twice, but a worker does not rely on it.
#[test]
fn records_that_are_handed_on_twice_are_answered_once() {
    let mut world = World::new(2);
    world.echoes = true;
    run(&mut world, |turn, _| turn == TURNS / 2);
    world.assert_settled("every record came twice");
}
