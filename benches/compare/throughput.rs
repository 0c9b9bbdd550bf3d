//! How many orders a second each contender settles, end to end.
//!
//! One clock for all: the last stable offset of `orders.settled`, which is what a reader with
//! `read_committed` may see, looked at from outside every 20 ms. The time runs from the first look at
//! which outputs were committed to the first at which all were; what was committed at the first look is
//! left out of the count. So starting up is nobody's loss, and nothing counts that is not committed.
//! Invariant: a run whose outputs are not the expected ones gives no figure.

use std::time::{Duration, Instant};

use anyhow::ensure;
use indicatif::ProgressBar;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::arguments::{Arguments, Contender};
use crate::ground::{Ground, Place, WAIT, bar};
use crate::measured::{Came, Contended, Round, Written};
use crate::running::Running;
use crate::workload::Workload;
use crate::{outcome, redis};

const LOOK: Duration = Duration::from_millis(20);
/// Longest that nothing may be committed: a JVM starts, joins and reads its catalogue meanwhile.
const STALLED: Duration = Duration::from_secs(120);
/// Counters are written at the latest when no record has come for a second.
const COUNTERS_WAIT: Duration = Duration::from_millis(1_500);
/// Number of the round before the first, which counts for nothing.
const WARM_UP: usize = 0;
/// Points of the curve in the raw figures.
const PROGRESS_POINTS: usize = 200;

/// Measures every contender in every round, after a warm-up.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground) -> anyhow::Result<Vec<Contended>> {
    let contenders = arguments.contenders();
    let whole = Workload { merchants: arguments.merchants, orders: arguments.records };
    let part = Workload { orders: arguments.peer_records(), ..whole };
    let mut contended: Vec<Contended> = contenders.iter().map(|one| of(*one)).collect();
    let mut like = warm_up(&contenders, ground, &whole)?;
    for round in 1..=arguments.rounds {
        for place in order(&contenders, round) {
            let contender = contenders[place];
            let workload = if contender.is_java() { &part } else { &whole };
            let measured = if contender == Contender::Redis {
                redis::round(whole.orders.min(part.orders))?
            } else {
                Some(run(contender, round, ground, workload, &like)?)
            };
            let Some(measured) = measured else { continue };
            if contender.is_floodgate() {
                like = measured.written;
            }
            eprintln_round(contender, round, &measured);
            contended[place].rounds.push(measured);
        }
    }
    contended.retain(|one| !one.rounds.is_empty());
    Ok(contended)
}

fn of(contender: Contender) -> Contended {
    Contended {
        contender: contender.word().to_owned(),
        title: contender.title().to_owned(),
        rounds: Vec::new(),
    }
}

/// Runs Floodgate and the yardstick once for nothing: the broker compiles meanwhile what both ask of it,
/// which takes it as long as the work itself. Returns what Floodgate wrote, for the yardstick to write
/// as much.
fn warm_up(
    contenders: &[Contender],
    ground: &Ground,
    workload: &Workload,
) -> anyhow::Result<Written> {
    let mut like = Written::ordinary(workload.orders);
    let floodgate = contenders.iter().find(|one| one.is_floodgate());
    let yardstick = contenders.iter().find(|one| **one == Contender::Passthrough);
    for contender in floodgate.into_iter().chain(yardstick) {
        let measured = run(*contender, WARM_UP, ground, workload, &like)?;
        eprintln_round(*contender, WARM_UP, &measured);
        if contender.is_floodgate() {
            like = measured.written;
        }
    }
    Ok(like)
}

fn name(round: usize) -> String {
    if round == WARM_UP { "warm-up".to_owned() } else { format!("round {round}") }
}

/// Each round in the other direction.
fn order(contenders: &[Contender], round: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..contenders.len()).collect();
    if !round.is_multiple_of(2) {
        places.reverse();
    }
    places
}

#[expect(clippy::print_stderr, reason = "long work shows where it stands")]
fn eprintln_round(contender: Contender, round: usize, measured: &Round) {
    eprintln!(
        "{}  {:34} {:>9.0} orders/s  ({:.0} in the second half)",
        name(round),
        contender.title(),
        measured.orders_per_second,
        measured.second_half_per_second
    );
}

/// One run through the log.
fn run(
    contender: Contender,
    round: usize,
    ground: &Ground,
    workload: &Workload,
    like: &Written,
) -> anyhow::Result<Round> {
    let input = format!("log{}", workload.orders);
    ground.prefill(&input, workload)?;
    let word = format!("{}-{round}", contender.word());
    let place = ground.place(&word, Some(&format!("{input}.orders")))?;
    let mut running = Running::start(contender, contender.commit_ms(), ground, &place, like)?;
    let progress = bar(workload.orders, &format!("{}, {}", name(round), contender.title()));
    let curve = watch(ground, &place, workload, contender, &mut running, &progress)?;
    let used = running.used();
    std::thread::sleep(COUNTERS_WAIT + 2 * Duration::from_millis(contender.commit_ms()));
    running.stop();
    progress.set_message("counting what came");
    let (came, mut written) = outcome::read(ground, &place, workload)?;
    ground.clear(&place)?;
    progress.finish_and_clear();
    judge(contender, workload, &came)?;
    written.gmv.value_bytes =
        written.gmv.value_bytes * curve.gmv.min(written.gmv.records) / written.gmv.records.max(1);
    written.gmv.records = written.gmv.records.min(curve.gmv);
    Ok(Round {
        orders: workload.orders,
        orders_per_second: curve.rate(workload.orders, 0.0),
        second_half_per_second: curve.rate(workload.orders, 0.5),
        cpu_seconds_per_million: used.cpu_seconds * 1e6 / workload.orders as f64,
        resident_bytes: used.resident_bytes,
        came,
        written,
        progress: curve.points(),
    })
}

/// Fails if a contender did not do the job.
fn judge(contender: Contender, workload: &Workload, came: &Came) -> anyhow::Result<()> {
    let expected = workload.expected();
    let title = contender.title();
    if contender == Contender::Passthrough {
        let (settled, due) = (came.answered.settled, expected.settled);
        let near = due.abs_diff(settled) <= 1 + due / 50;
        ensure!(near, "{title} wrote {settled} records to orders.settled, not some {due}");
        return Ok(());
    }
    let (counted, mut answered) = (came.counted, came.answered);
    answered.duplicates = expected.duplicates;
    ensure!(
        counted == expected && answered == expected && came.settled_twice == 0,
        "{title} is wrong: expected {expected:?}, came {came:?}"
    );
    Ok(())
}

/// How far the committed outputs were, when.
#[derive(Debug, Default)]
struct Curve {
    /// Seconds and offsets, only where they moved.
    looks: Vec<(f64, u64)>,
    /// Records of `gmv` when the last settled order was committed.
    gmv: u64,
}

impl Curve {
    /// Orders a second since `share` of the outputs were committed.
    fn rate(&self, orders: u64, share: f64) -> f64 {
        let Some(&(end, all)) = self.looks.last() else { return f64::NAN };
        let behind = |look: &&(f64, u64)| look.1 as f64 >= share * all as f64;
        let Some(&(start, before)) = self.looks.iter().find(behind) else { return f64::NAN };
        orders as f64 * ((all - before) as f64 / all as f64) / (end - start)
    }

    fn points(&self) -> Vec<(f64, f64)> {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else {
            return Vec::new();
        };
        let each = self.looks.len().div_ceil(PROGRESS_POINTS).max(1);
        let point = |look: &(f64, u64)| (look.0 - first.0, look.1 as f64 / last.1 as f64);
        self.looks.iter().step_by(each).chain([last]).map(point).collect()
    }
}

/// Looks at the outputs until all are committed.
fn watch(
    ground: &Ground,
    place: &Place,
    workload: &Workload,
    contender: Contender,
    running: &mut Running,
    progress: &ProgressBar,
) -> anyhow::Result<Curve> {
    let client: BaseConsumer = ground.client().create()?;
    let expected = workload.expected().settled;
    // Markers take offsets too, and the yardstick's fractions may leave one out.
    let enough = expected - expected / 1_000;
    let rest = Duration::from_millis(500 + 3 * contender.commit_ms());
    let (started, mut moved_at) = (Instant::now(), Instant::now());
    let mut curve = Curve::default();
    loop {
        let (settled, gmv) = stable(ground, place, &client)?.unwrap_or_default();
        let before = curve.looks.last().map_or(0, |look| look.1);
        if settled > before {
            moved_at = Instant::now();
            curve.looks.push((started.elapsed().as_secs_f64(), settled));
            curve.gmv = gmv;
            progress.set_position(settled * workload.orders / expected);
        } else if settled >= enough && moved_at.elapsed() >= rest {
            return Ok(curve);
        }
        running.check()?;
        ensure!(
            moved_at.elapsed() < STALLED,
            "{} does not get on: {before} of {expected} orders are settled",
            contender.title()
        );
        std::thread::sleep(LOOK);
    }
}

/// The last stable offsets of `orders.settled` and `gmv`, each over all partitions, in one request; none
/// while the topics are so new that the broker does not know them yet.
fn stable(
    ground: &Ground,
    place: &Place,
    client: &BaseConsumer,
) -> anyhow::Result<Option<(u64, u64)>> {
    let mut ends = TopicPartitionList::new();
    for topic in [&place.topics.settled, &place.topics.gmv] {
        for partition in 0..ground.partitions.cast_signed() {
            ends.add_partition_offset(topic, partition, Offset::End)?;
        }
    }
    let Ok(ends) = client.offsets_for_times(ends, WAIT) else { return Ok(None) };
    if ends.elements().iter().any(|end| end.error().is_err()) {
        return Ok(None);
    }
    let sum = |topic: &str| -> u64 {
        let of_topic = ends.elements_for_topic(topic);
        let offset = |offset| if let Offset::Offset(end) = offset { end.unsigned_abs() } else { 0 };
        of_topic.iter().map(|element| offset(element.offset())).sum()
    };
    Ok(Some((sum(&place.topics.settled), sum(&place.topics.gmv))))
}
