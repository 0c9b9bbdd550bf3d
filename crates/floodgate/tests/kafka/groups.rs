//! Several processes in one group: rebalances, and two that share a name by mistake.

use serde_json::Value;

use crate::orders::{SKU, Shop, sale};
use crate::process::{Process, await_some};
use crate::stage::{Record, Stage, Stamps};

fn numbers(partitions: &[Value]) -> Vec<u64> {
    partitions.iter().filter_map(|partition| partition["partition"].as_u64()).collect()
}

/// No partition that was opened had to be replayed.
#[track_caller]
fn assert_no_replay(settle: &Process) {
    let opened = settle.logged("opened").into_iter();
    let replays: Vec<Value> =
        opened.filter(|line| line["fields"]["replay_until"].is_u64()).collect();
    assert!(replays.is_empty(), "{replays:#?} in\n{}", settle.stderr());
}

#[test]
fn partitions_change_hands_under_load_without_replay() {
    let Some(stage) = Stage::new(4, Stamps::Create) else { return };
    let records = sale(1_500, 13, 4);
    let mut publisher = stage.publisher();
    let mut first = stage.settle("first");
    first.await_live(4);
    let half = records.len() / 2;
    let mut second = std::thread::scope(|scope| {
        let publisher = &mut publisher;
        let records = &records[..half];
        scope.spawn(move || records.chunks(20).for_each(|chunk| publisher.publish(chunk)));
        let mut second = stage.settle("second");
        second.await_live(2);
        second
    });
    first.await_live(2);
    assert_no_replay(&second);
    let (ours, theirs) = (numbers(&first.partitions()), numbers(&second.partitions()));
    for shop in Shop::everywhere(4) {
        // Nobody has heard of the SKU, but only the owner of the partition may say so.
        let path = format!("/api/v1/stock/{}/{SKU}", shop.merchant);
        let number = u64::from(shop.partition);
        let codes = [first.get(&path).0, second.get(&path).0];
        let expected = if ours.contains(&number) { [404, 421] } else { [421, 404] };
        assert_eq!(codes, expected, "partition {number} of {ours:?} and {theirs:?}");
    }

    let ended = std::thread::scope(|scope| {
        let publisher = &mut publisher;
        let records = &records[half..];
        scope.spawn(move || records.chunks(20).for_each(|chunk| publisher.publish(chunk)));
        first.stop()
    });
    assert!(ended.json()["records"].as_u64() > Some(0), "{ended:#?}");
    second.await_live(4);
    assert_no_replay(&second);
    stage.await_settled(publisher.ends());
    second.stop();
    stage.audit(publisher.ends());
}

/// The longest that the client takes, and longer than anything is waited for: whoever has to wait until
/// a session times out waits in vain.
const ENDLESS_SESSION: &str = "[kafka]\nsession_timeout_ms = 300000\n[log]\nformat = 'json'\n";

#[test]
fn a_killed_process_that_comes_back_under_its_name_waits_for_no_session() {
    let Some(stage) = Stage::new(4, Stamps::Create) else { return };
    stage.configure_as(ENDLESS_SESSION);
    let mut shops = Shop::everywhere(4);
    let mut publisher = stage.publisher();
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.open(100_000)).collect::<Vec<_>>());
    // The first to come leads the group: both the one that leads and one that follows are killed.
    let mut settles = ["leader", "follower"].map(|name| {
        let mut settle = stage.settle(name);
        settle.await_some("partitions", |settle| (!settle.partitions().is_empty()).then_some(()));
        (name, settle)
    });
    for killed in [1, 0, 1] {
        settles.iter_mut().for_each(|(_, settle)| settle.await_live(2));
        let had = numbers(&settles[killed].1.partitions());
        let (name, settle) = &mut settles[killed];
        settle.kill();
        publisher.publish(&shops.iter_mut().flat_map(|shop| shop.sell(3)).collect::<Vec<_>>());
        *settle = stage.settle(name);
        settle.await_live(2);
        assert_eq!(numbers(&settle.partitions()), had, "{name} gets back what it had");
        stage.await_settled(publisher.ends());
    }
    // A stop in order is waited for no longer, either.
    let [(_, leader), (_, mut follower)] = settles;
    leader.stop();
    follower.await_live(4);
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.sell(1)).collect::<Vec<_>>());
    stage.await_settled(publisher.ends());
    follower.stop();
    stage.audit(publisher.ends());
}

/// A request to join that was delayed can do this to a process that nobody else's name collides with.
#[test]
fn a_process_whose_place_a_ghost_of_its_name_has_taken_joins_anew() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    stage.configure_as(ENDLESS_SESSION);
    let mut shops = Shop::everywhere(2);
    let mut publisher = stage.publisher();
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.open(100_000)).collect::<Vec<_>>());
    let mut settle = stage.settle("pod");
    settle.await_live(2);
    drop(stage.joined_as("pod-0"));
    settle.await_logged("joining the group anew");
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.sell(1)).collect::<Vec<_>>());
    stage.await_settled(publisher.ends());
    settle.await_live(2);
    settle.stop();
    stage.audit(publisher.ends());
}

#[test]
fn a_name_that_two_processes_share_is_told_to_one_and_harms_nothing() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut shops = Shop::everywhere(2);
    let mut publisher = stage.publisher();
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.open(100_000)).collect::<Vec<_>>());
    let mut settles = [stage.settle("twin"), stage.settle("twin")];
    // Both need something to commit to notice each other.
    let ended = await_some("the end of one of them", || {
        let records: Vec<Record> = shops.iter_mut().flat_map(|shop| shop.sell(1)).collect();
        publisher.publish(&records);
        settles.iter_mut().position(Process::has_ended)
    });
    let [first, second] = settles;
    let (ended, mut other) = if ended == 0 { (first, second) } else { (second, first) };
    let ended = ended.wait().expect_code(1);
    eprintln!("the one that has ended said\n{}", ended.stderr);
    let last = ended.stderr.lines().next_back().unwrap_or_default();
    assert!(last.contains("another process uses"), "{ended:#?}");
    assert!(last.contains("--instance"), "{ended:#?}");
    other.await_live(2);
    stage.await_settled(publisher.ends());
    other.stop();
    stage.audit(publisher.ends());
}
