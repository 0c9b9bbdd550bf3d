//! The pipeline on a real Kafka under fire, briefly: every kind of fault once, and a few kills.
//!
//! The long version is `cargo run --release -p e2e --bin fire`; `e2e::fire` says how both are played.
//! Invariant: no expectation is about time, and every wait is bounded.

use std::io::Write as _;

use e2e::fire::{Failure, Fault, Scenario, play};

const KILLS: u32 = 4;

#[test]
fn under_fire_of_every_kind_nothing_is_oversold_lost_doubled_or_miscounted() {
    let times = |fault| (fault, if fault == Fault::Kill { KILLS } else { 1 });
    let scenario = Scenario {
        seed: 1111,
        faults: Fault::ALL.map(times).to_vec(),
        at_least: std::time::Duration::ZERO,
        processes: 2..=3,
        partitions: 4,
        orders_per_second: 150,
        // The least that a broker grants: half of the faults are waited out.
        configuration: "[kafka]\nsession_timeout_ms = 6000\n".to_owned(),
        logs: None,
    };
    // Past the test harness, which would swallow it until the end.
    let mut say = |line: &str| drop(writeln!(std::io::stderr(), "{line}"));
    let report = match play(&scenario, &mut say) {
        Ok(report) => report,
        Err(Failure::Unavailable(why)) => return e2e::skip(why),
        Err(failure) => panic!("{failure}"),
    };
    assert!(report.is_clean(), "{report}");
    for fault in Fault::ALL {
        let played = report.strikes.get(&fault).copied().unwrap_or_default();
        // Not every system can limit the files of a running process; the report names it loudly.
        let excused = fault == Fault::SnapshotsFull && report.skipped.contains_key(&fault);
        assert!(
            played >= times(fault).1 || excused,
            "{fault:?} was played {played} times\n{report}"
        );
    }
    assert!(report.verdict.inputs >= report.published && report.published > 0, "{report}");
}
