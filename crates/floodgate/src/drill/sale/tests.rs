//! What becomes of a load when something around it fails.
//!
//! Not the load itself: the rehearsals run that. The ground is the embedded log, which never fails,
//! behind brokers that at first do not answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::bail;
use model::AuditReport;
use pipeline::log::{InputBounds, Offsets};

use super::*;
use crate::arguments::Format;
use crate::drill::on_embedded::{AnswersOnEmbedded, Embedded, OnEmbedded};
use crate::embedded;

/// Brokers that leave so many questions without an answer.
struct Away {
    ground: Embedded,
    refusals: u32,
}

impl Away {
    fn new(refusals: u32) -> Away {
        let rules = Rules { partitions: 1, ..Rules::default() };
        Away { ground: Embedded::new(embedded::broker(1), rules), refusals }
    }

    fn answer(&mut self) -> Result<&mut dyn Offsets, LogError> {
        match self.refusals.checked_sub(1) {
            Some(left) => {
                self.refusals = left;
                Err(LogError::Retry("nobody answers".to_owned()))
            }
            None => Ok(self.ground.offsets()),
        }
    }
}

impl Offsets for Away {
    fn committed(
        &mut self,
        partitions: &[Partition],
        wait: Duration,
    ) -> Result<Vec<Committed>, LogError> {
        self.answer()?.committed(partitions, wait)
    }

    fn input_bounds(&mut self, partition: Partition) -> Result<InputBounds, LogError> {
        self.answer()?.input_bounds(partition)
    }

    fn outputs_are_empty(&mut self, partition: Partition) -> Result<bool, LogError> {
        self.answer()?.outputs_are_empty(partition)
    }

    fn partition_count(&mut self) -> Result<u32, LogError> {
        self.answer()?.partition_count()
    }

    fn cluster_id(&mut self) -> Result<String, LogError> {
        self.answer()?.cluster_id()
    }
}

impl Ground for Away {
    type Publisher = OnEmbedded;
    type Answers = AnswersOnEmbedded;

    fn rules(&self) -> &Rules {
        self.ground.rules()
    }

    fn input(&self) -> &str {
        self.ground.input()
    }

    fn offsets(&mut self) -> &mut dyn Offsets {
        self
    }

    fn input_is_beyond(&self, time_ms: i64) -> Result<bool, LogError> {
        self.ground.input_is_beyond(time_ms)
    }

    fn counters_end(&self) -> Result<Vec<Offset>, LogError> {
        self.ground.counters_end()
    }

    fn publisher(&self) -> Result<OnEmbedded, LogError> {
        self.ground.publisher()
    }

    fn answers(&self) -> Result<AnswersOnEmbedded, LogError> {
        self.ground.answers()
    }

    fn audit(&mut self) -> anyhow::Result<AuditReport> {
        self.ground.audit()
    }
}

#[test]
fn brokers_that_are_away_for_a_moment_end_the_load() {
    let (stop, progress) = (AtomicBool::new(false), Progress::new(Format::Json));
    let patience = Duration::from_secs(60);
    let waits = Waits { patience, stop: &stop, progress: &progress };
    let mut ground = Away::new(3);
    assert_eq!(settle_up(&mut ground, &waits).unwrap(), 0);
    assert_eq!(ground.refusals, 0);
    // Whoever stays away is not waited for beyond the patience.
    let waits = Waits { patience: Duration::ZERO, ..waits };
    assert!(settle_up(&mut Away::new(u32::MAX), &waits).is_err());
}

/// Runs a load of no records with what publishes it, and what is done beside it.
fn attended(
    stop: &AtomicBool,
    beside: &mut Beside<'_>,
    drive: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let progress = Progress::new(Format::Json);
    let waits = Waits { patience: Duration::ZERO, stop, progress: &progress };
    let clock = WallClock::new();
    let opens_at = clock.now_ms();
    let meter = Meter::new(opens_at, &[0]);
    let course = Course { meter: &meter, clock: &clock, opens_at, left: &|_| None };
    let mut ground = Away::new(0);
    let mut answers = ground.answers()?;
    attend(&mut ground, &course, &mut answers, &waits, beside, drive)
}

/// Without an end of its threads this would not come back.
#[test]
fn a_publisher_that_panics_leaves_threads_running_for_ever() {
    let stop = AtomicBool::new(false);
    let mut until_over = |sale: &Opened<'_>| {
        while !sale.over.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    };
    let drive = || panic!("as this test wants it");
    let attended = AssertUnwindSafe(|| attended(&stop, &mut until_over, drive));
    assert!(catch_unwind(attended).is_err());
}

#[test]
fn a_load_goes_on_for_which_nothing_can_be_done_any_more() {
    let stop = AtomicBool::new(false);
    let mut failing = |_: &Opened<'_>| bail!("the crew is lost");
    let (began, mut stopped) = (Instant::now(), false);
    let ended = attended(&stop, &mut failing, || {
        while !stopped && began.elapsed() < Duration::from_secs(60) {
            stopped = stop.load(Ordering::Relaxed);
            std::thread::yield_now();
        }
        bail!("no more to publish")
    });
    assert!(stopped);
    assert_eq!(ended.unwrap_err().to_string(), "the crew is lost");
}
