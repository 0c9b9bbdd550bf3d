//! One load from its catalogue to its last answer, on any ground.
//!
//! The pipeline is not started here. Invariant: a load is over only when everything that was
//! published is settled and everything that was written is read, or when nothing has moved for as
//! long as was asked for; what is left then is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use drill::load::{self, Answers, LoadError, Measured, Meter, WallClock};
use drill::profile::Profile;
use drill::report::{PlanTold, Report, Verdict};
use drill::traffic::{Settings as TrafficSettings, Traffic};
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::log::{Committed, LogError, Partition};

use super::ground::Ground;
use super::progress::{Left, Progress};
use crate::print::grouped;

/// The sale opens so long after the catalogue is settled.
const OPENS_AFTER_MS: i64 = 1_000;
/// Longest wait for committed offsets.
pub(super) const COMMITTED_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// Counters are written at the latest when no record has come for a second (contract, section 6), and
/// answers take no longer to be read; so long without any, and they are all there or never will be.
const REST: Duration = Duration::from_secs(3);
/// Findings that a report repeats.
const FINDINGS_MAX: usize = 20;

/// What is to be published.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    /// Its profile and its windows are not looked at.
    pub(super) traffic: TrafficSettings,
    pub(super) seed: u64,
    /// Clients that publish, each its share of the partitions; what they publish does not depend on it.
    pub(super) publishers: usize,
}

/// How long is waited, and who is told meanwhile.
pub(super) struct Waits<'a> {
    /// Without anything moving.
    pub(super) patience: Duration,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a Progress,
}

/// A sale that is open.
pub(super) struct Opened<'a> {
    pub(super) meter: &'a Meter,
    pub(super) clock: &'a WallClock,
    /// In milliseconds since 1970.
    pub(super) opens_at: i64,
    /// Set when the load is over.
    pub(super) over: &'a AtomicBool,
}

/// What happens on a thread of its own from the opening until the load is over.
pub(super) type Beside<'a> = dyn FnMut(&Opened<'_>) -> anyhow::Result<()> + Send + 'a;

/// Runs a load. The report has no verdict yet but for what was left undecided.
pub(super) fn run<G: Ground>(
    ground: &mut G,
    plan: &Plan,
    waits: &Waits<'_>,
    beside: &mut Beside<'_>,
) -> anyhow::Result<Report> {
    refuse_ahead(ground, WallClock::new().now_ms() + OPENS_AFTER_MS)?;
    let (mut sale, told) = prepare(ground, plan, |ground, traffic, publisher| {
        settle_catalogue(ground, traffic, publisher, waits)
    })?;
    let (orders, undecided) = measure(ground, &mut sale, waits, beside)?;
    let mut report = Report::new(told, sale.meter.measured(), orders);
    report.verdict.undecided = undecided;
    Ok(report)
}

/// Publishes a load and waits for nothing but its delivery; the report knows of nothing else.
pub(super) fn offer<G: Ground>(
    ground: &mut G,
    plan: &Plan,
    waits: &Waits<'_>,
) -> anyhow::Result<Report> {
    let (mut sale, told) = prepare(ground, plan, |_, traffic, publisher| {
        Ok(load::publish_catalogue(traffic, publisher, |records| {
            waits.progress.catalogue(records);
        })?)
    })?;
    let Sale { traffic, publishers, meter, clock, ends_at, .. } = &mut sale;
    let orders = load::drive(traffic, publishers, clock, *ends_at, meter, waits.stop)?;
    Ok(Report::new(told, sale.meter.measured(), orders))
}

/// Has everything in the topics judged, and takes it into the report.
pub(super) fn judge(
    ground: &mut impl Ground,
    report: &mut Report,
    waits: &Waits<'_>,
) -> anyhow::Result<()> {
    waits
        .progress
        .say("Now the audit derives every output again from the input, with other code ...");
    let audited = ground.audit()?;
    let found = &audited.verdict;
    report.verdict = Verdict {
        oversold: found.oversold,
        lost: found.lost,
        duplicated: found.duplicated,
        miscounted: found.miscounted,
        different: found.different,
        undecided: report.verdict.undecided,
        findings: audited.findings.into_iter().take(FINDINGS_MAX).collect(),
    };
    Ok(())
}

/// What is published from the opening on.
struct Sale<P> {
    traffic: Traffic,
    publishers: Vec<P>,
    meter: Meter,
    clock: WallClock,
    /// In milliseconds since 1970, as is `ends_at`.
    opens_at: i64,
    ends_at: i64,
}

/// Publishes the catalogue, and has the sale open soon after.
fn prepare<G: Ground>(
    ground: &mut G,
    plan: &Plan,
    publish_catalogue: impl FnOnce(&mut G, &mut Traffic, &mut G::Publisher) -> anyhow::Result<u64>,
) -> anyhow::Result<(Sale<G::Publisher>, PlanTold)> {
    let clock = WallClock::new();
    let partitions = ground.rules().partitions;
    let settings = traffic_settings(plan, ground.rules());
    let starts_at = clock.now_ms() - settings.opening_ms.cast_signed();
    let mut traffic =
        Traffic::new(settings, plan.profile.orders(), plan.seed, partitions, starts_at);
    // Whoever had no partition would have nothing to do.
    let publishers = plan.publishers.clamp(1, partitions as usize);
    let mut publishers =
        (0..publishers).map(|_| ground.publisher()).collect::<Result<Vec<_>, _>>()?;
    let catalogue = publish_catalogue(ground, &mut traffic, &mut publishers[0])?;

    let opens_at = clock.now_ms() + OPENS_AFTER_MS;
    traffic.open_at(opens_at);
    let told = PlanTold {
        profile: plan.profile.to_string(),
        seconds: plan.profile.seconds(),
        seed: plan.seed,
        partitions,
        opened_at_ms: opens_at,
        catalogue,
    };
    let ends_at = opens_at + (plan.profile.seconds() * 1_000.0) as i64;
    let meter = Meter::new(opens_at, &ends(ground)?);
    let sale = Sale { traffic, publishers, meter, clock, opens_at, ends_at };
    Ok((sale, told))
}

/// The traffic in the shape of the profile and by the pipeline's rules.
fn traffic_settings(plan: &Plan, rules: &Rules) -> TrafficSettings {
    TrafficSettings {
        profile: Some(plan.profile.clone()),
        order_window_ms: rules.order_window_ms,
        refund_window_ms: rules.receipt_window_ms,
        skew_ms: rules.skew_ms,
        time_to_live_ms: rules.hold_ttl_ms,
        ..plan.traffic.clone()
    }
}

/// Publishes the catalogue and waits until it is settled; gives the number of its records.
fn settle_catalogue<G: Ground>(
    ground: &mut G,
    traffic: &mut Traffic,
    publisher: &mut G::Publisher,
    waits: &Waits<'_>,
) -> anyhow::Result<u64> {
    let Waits { patience, stop, progress } = waits;
    let records =
        load::publish_catalogue(traffic, publisher, |records| progress.catalogue(records))?;
    progress.say(&format!("{} records of the catalogue are published", grouped(records)));
    let left = settle_up(ground, waits).context("settling the catalogue")?;
    // Relaxed: nothing is handed over with the flag.
    ensure!(!stop.load(Ordering::Relaxed), "stopped before the sale opened");
    ensure!(
        left == 0,
        "{} records of the catalogue are still not settled, and nothing has moved for {} s: does a \
         `floodgate settle` consume {}?",
        grouped(left),
        patience.as_secs(),
        ground.input()
    );
    Ok(records)
}

/// Publishes the sale; gives the number of its orders, and of the records that are not settled.
fn measure<G: Ground>(
    ground: &mut G,
    sale: &mut Sale<G::Publisher>,
    waits: &Waits<'_>,
    beside: &mut Beside<'_>,
) -> anyhow::Result<(u64, u64)> {
    let mut answers = ground.answers()?;
    let Sale { traffic, publishers, meter, clock, opens_at, ends_at } = sale;
    let (meter, clock, ends_at) = (&*meter, &*clock, *ends_at);
    let left = |_: &Measured| {
        let left_ms = ends_at - clock.now_ms();
        (left_ms > 0).then(|| format!("{:>4} s left", left_ms / 1_000))
    };
    let course = Course { meter, clock, opens_at: *opens_at, left: &left };
    let mut orders = 0;
    let undecided = attend(ground, &course, &mut answers, waits, beside, || {
        orders = load::drive(traffic, publishers, clock, ends_at, meter, waits.stop)?;
        Ok(())
    })?;
    Ok((orders, undecided))
}

/// A load that is about to be published.
pub(super) struct Course<'a> {
    pub(super) meter: &'a Meter,
    pub(super) clock: &'a WallClock,
    /// In milliseconds since 1970.
    pub(super) opens_at: i64,
    pub(super) left: &'a Left<'a>,
}

/// Publishes a load by `drive` while answers are read, and waits until it is settled and everything that
/// was written has been read; gives the number of records that are not settled.
pub(super) fn attend(
    ground: &mut impl Ground,
    course: &Course<'_>,
    answers: &mut dyn Answers,
    waits: &Waits<'_>,
    beside: &mut Beside<'_>,
    drive: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let Course { meter, clock, opens_at, left } = *course;
    let over = &AtomicBool::new(false);
    std::thread::scope(|threads| {
        let at_end = Over(over);
        threads.spawn(|| {
            load::listen(answers, clock, meter, over, &mut |error: &LoadError| {
                tracing::warn!(%error, "reading answers");
            });
        });
        threads.spawn(|| waits.progress.watch(meter, left, over));
        let beside = threads.spawn(|| {
            let done = beside(&Opened { meter, clock, opens_at, over });
            if done.is_err() {
                // Relaxed: nothing is handed over with the flag. The load proves nothing any more.
                waits.stop.store(true, Ordering::Relaxed);
            }
            done
        });
        let driven = drive()
            .and_then(|()| settle_up(ground, waits))
            .and_then(|left| await_rest(ground, meter, waits.patience).map(|()| left));
        drop(at_end);
        let beside = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What went wrong beside the load is why the load did.
        beside.and(driven)
    })
}

/// Says that the load is over when it is dropped: threads that wait for that must not do so for ever
/// where publishing panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // Relaxed: nothing is handed over with the flag.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Refuses an input that is later already than what is to be timed first: answers carry T, which does not
/// go back, so every latency would come out as none.
pub(super) fn refuse_ahead(ground: &impl Ground, begins_at_ms: i64) -> anyhow::Result<()> {
    ensure!(
        !ground.input_is_beyond(begins_at_ms)?,
        "{} holds records that are later than the first one of this load, so its latency could not be \
         told; name a fresh prefix with --topic-prefix",
        ground.input()
    );
    Ok(())
}

/// For each partition of the input, where it ends.
pub(super) fn ends(ground: &mut impl Ground) -> Result<Vec<u64>, LogError> {
    (0..ground.rules().partitions)
        .map(|partition| Ok(ground.offsets().input_bounds(partition)?.next.0))
        .collect()
}

/// Waits until all that was published is settled, or nothing has moved for `patience`; gives the
/// number of records that are not settled.
fn settle_up(ground: &mut impl Ground, waits: &Waits<'_>) -> anyhow::Result<u64> {
    let Waits { patience, stop, progress } = waits;
    let all: Vec<Partition> = (0..ground.rules().partitions).collect();
    let ends = await_ends(ground, waits)?;
    let (mut least, mut moved_at) = (ends.iter().sum(), Instant::now());
    loop {
        let committed = match ground.offsets().committed(&all, COMMITTED_WAIT) {
            Ok(committed) => committed,
            Err(LogError::Retry(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let left = |(end, committed): (&u64, &Committed)| {
            end.saturating_sub(committed.offset.map_or(0, |offset| offset.0))
        };
        if !committed.is_empty() {
            let left: u64 = ends.iter().zip(&committed).map(left).sum();
            if left < least {
                (least, moved_at) = (left, Instant::now());
            }
            progress.settling(left);
        }
        // Relaxed: nothing is handed over with the flag.
        if least == 0 || moved_at.elapsed() >= *patience || stop.load(Ordering::Relaxed) {
            return Ok(least);
        }
        std::thread::sleep(LOOK);
    }
}

/// The same; brokers that do not answer for now are asked again for as long as something has to move.
fn await_ends(ground: &mut impl Ground, waits: &Waits<'_>) -> Result<Vec<u64>, LogError> {
    let began = Instant::now();
    loop {
        let ends = ends(ground);
        // Relaxed: nothing is handed over with the flag.
        let is_over = began.elapsed() >= waits.patience || waits.stop.load(Ordering::Relaxed);
        if is_over || !matches!(ends, Err(LogError::Retry(_))) {
            return ends;
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until no counter has been written and no answer read for a while, at most for `patience`.
fn await_rest(ground: &impl Ground, meter: &Meter, patience: Duration) -> anyhow::Result<()> {
    // Brokers that do not answer for now say nothing of a rest.
    let now = || -> Result<Option<(Vec<Offset>, u64)>, LogError> {
        match ground.counters_end() {
            Ok(ends) => Ok(Some((ends, meter.answers()))),
            Err(LogError::Retry(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let began = Instant::now();
    let (mut last, mut moved_at) = (now()?, began);
    while moved_at.elapsed() < REST && began.elapsed() < patience + REST {
        std::thread::sleep(LOOK);
        let seen = now()?;
        if seen.is_none() || seen != last {
            (last, moved_at) = (seen, Instant::now());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
