//! kill -9 under load, orderly restarts, damaged and missing snapshots.

use std::path::Path;

use rand::{Rng as _, SeedableRng as _};

use crate::orders::{Shop, sale};
use crate::process::Process;
use crate::stage::{Publisher, Record, Stage, Stamps};

/// Snapshots all the time, so that kills meet them too.
const MANY_SNAPSHOTS: &str = "[snapshots]\ninterval_ms = 300\n";
/// Records that are acknowledged before the next are sent: load, not a flood.
const RECORDS_AT_ONCE: usize = 25;

/// Publishes while `meanwhile` goes on.
fn publish_during<T>(
    publisher: &mut Publisher,
    records: &[Record],
    meanwhile: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            records.chunks(RECORDS_AT_ONCE).for_each(|records| publisher.publish(records));
        });
        meanwhile()
    })
}

#[test]
fn killed_again_and_again_under_load_nothing_is_lost_or_doubled() {
    let Some(stage) = Stage::new(4, Stamps::Create) else { return };
    stage.configure(MANY_SNAPSHOTS);
    let mut moments = rand::rngs::StdRng::seed_from_u64(5);
    let records = sale(2_400, 12, 4);
    // The last name is another one: its start has to wait for the open transaction of its
    // predecessor, which it cannot fence.
    let names = ["steady", "steady", "steady", "other"];
    let parts: Vec<&[Record]> = records.chunks(records.len().div_ceil(names.len())).collect();
    let mut publisher = stage.publisher();
    let mut answers = stage.follow("orders.status");
    for (name, part) in names.into_iter().zip(&parts) {
        publish_during(&mut publisher, part, || {
            let mut settle = stage.settle(name);
            // Fewer than half of the records of a part are answered there.
            answers.await_seen(answers.seen() + moments.random_range(1..part.len() / 8));
            settle.kill();
        });
    }
    stage.settle_with(&["--instance", "last", "--until-idle"]).wait().expect_code(0);
    stage.audit(publisher.ends());
}

/// How the partitions were opened: where they started and, if they had to, how far they replayed.
fn openings(settle: &Process) -> Vec<(u64, Option<u64>)> {
    let opened = settle.logged("opened").into_iter();
    let opening = |line: serde_json::Value| {
        let fields = &line["fields"];
        (fields["start"].as_u64().unwrap_or(u64::MAX), fields["replay_until"].as_u64())
    };
    opened.filter(|line| line["fields"]["message"] == "opened").map(opening).collect()
}

#[test]
fn an_orderly_restart_goes_on_without_replay() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut shops = Shop::everywhere(2);
    let mut publisher = stage.publisher();
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.open(100)).collect::<Vec<_>>());
    for round in 0..3_u64 {
        let mut settle = stage.settle("pod-0");
        let sold = shops.iter_mut().flat_map(|shop| shop.sell(5)).collect::<Vec<_>>();
        settle.await_live(2);
        let begins_at = 2 + round * 10;
        let expected = if round == 0 { [(0, None); 2] } else { [(begins_at, None); 2] };
        assert_eq!(openings(&settle), expected, "round {round}");
        publisher.publish(&sold);
        stage.await_settled(publisher.ends());
        let ended = settle.stop();
        assert_eq!(ended.json()["records"], if round == 0 { 24 } else { 20 }, "round {round}");
        let committed = begins_at.cast_signed() + 10;
        assert_eq!(stage.committed(), [Some(committed); 2]);
        for partition in 0..2 {
            let newest = stage.snapshot_files(partition).pop().expect("a stop leaves a snapshot");
            assert_eq!(newest.file_name().unwrap().to_str(), Some(&*format!("{committed:020}")));
        }
    }
    stage.audit(publisher.ends());
}

fn flip_a_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_or_missing_snapshot_costs_a_replay_and_nothing_else() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut shop = Shop::in_partition(0, 1);
    let mut publisher = stage.publisher();
    publisher.publish(&shop.open(100));
    let run = |publisher: &mut Publisher, records: &[Record]| {
        let mut settle = stage.settle("pod-0");
        settle.await_live(1);
        publisher.publish(records);
        stage.await_settled(publisher.ends());
        let openings = openings(&settle);
        (openings, settle.stop())
    };
    let (opened, _) = run(&mut publisher, &shop.sell(4));
    assert_eq!(opened, [(0, None)]);
    let (opened, _) = run(&mut publisher, &shop.sell(4));
    assert_eq!(opened, [(10, None)]);

    let files = stage.snapshot_files(0);
    assert_eq!(files.len(), 2, "two are kept: {files:?}");
    flip_a_byte(&files[1]);
    let listed = crate::process::run(
        &stage.arguments_with_snapshots(&["snapshot", "list"], &["--format", "json"]),
    )
    .expect_code(1)
    .json();
    let damage: Vec<bool> =
        listed["snapshots"].as_array().unwrap().iter().map(|s| s["damage"].is_string()).collect();
    assert_eq!(damage, [true, false], "{listed}");
    let (opened, ended) = run(&mut publisher, &shop.sell(4));
    assert_eq!(opened, [(10, Some(18))], "it falls back to the snapshot before");
    assert!(ended.stderr.contains("snapshot passed over: 18:"), "{ended:#?}");
    assert!(ended.stderr.contains("replay reached the committed digest"), "{ended:#?}");

    std::fs::remove_dir_all(stage.snapshots()).unwrap();
    let (opened, ended) = run(&mut publisher, &shop.sell(4));
    assert_eq!(opened, [(0, Some(26))], "it falls back to the whole input");
    assert!(ended.stderr.contains("replay reached the committed digest"), "{ended:#?}");
    stage.audit(publisher.ends());
}
