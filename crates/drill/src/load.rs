//! A load in real time: traffic is published at the moment at which each record is due, whatever the
//! pipeline makes of it, and the answers are timed from that moment.
//!
//! Open loop: a publisher that falls behind does not wait for anything, it is late, and what is late
//! is counted; its lateness is part of the latency (no coordinated omission). A record's timestamp is
//! the moment at which it was due, and an answer carries T, which is its cause's timestamp as long as
//! timestamps do not go back. So an answer's latency is the moment at which it was read less its own
//! timestamp, to the millisecond, and nothing has to be remembered of what was sent. Not a judge: the
//! audit is. Invariant: nothing is published before it is due.

mod clock;
mod meter;
mod seen;
mod shares;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::traffic::{Sent, Traffic};

pub use clock::WallClock;
pub use meter::{Measured, Meter, Second};
pub use seen::Wrong;
pub use shares::drive;

/// A record is late if it is published later than this after it was due.
pub const LATE_MS: i64 = 10;
/// Longest wait between two looks at the publisher.
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Records after which the meter is told, however busy the publisher is.
const TOLD_EACH: u64 = 4_096;

/// Why a load cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Where records are published.
pub trait Publisher<Record = Sent> {
    /// Hands a record on. Waits only where too many are under way.
    ///
    /// # Errors
    /// If no further record can be published.
    fn publish(&mut self, record: &Record) -> Result<(), LoadError>;

    /// Serves what is under way, for about `wait`.
    fn serve(&mut self, wait: Duration);

    /// Waits until every record is delivered, or has failed.
    ///
    /// # Errors
    /// If that does not come about.
    fn flush(&mut self) -> Result<(), LoadError>;

    /// Records that could not be delivered so far.
    fn failed(&self) -> u64;
}

/// An output of the pipeline, other than a counter.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Input and output partition.
    pub partition: u32,
    /// Its timestamp, which is T, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// What a dead letter says about itself.
    pub dead_letter: Option<DeadLetter<'a>>,
}

/// What a dead letter's headers say.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Why the record was not accepted.
    pub code: &'a str,
    /// Offset of the record.
    pub offset: u64,
}

/// Where answers are read, committed ones only.
pub trait Answers: Send {
    /// Hands on what has come; waits at most `wait` for the first.
    ///
    /// # Errors
    /// Why nothing can be read for now; it can be asked again.
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError>;
}

/// Publishes the catalogue as fast as the publisher takes it; gives the number of its records.
///
/// # Errors
/// The publisher's.
pub fn publish_catalogue(
    traffic: &mut Traffic,
    publisher: &mut impl Publisher,
    mut on_progress: impl FnMut(u64),
) -> Result<u64, LoadError> {
    let (writer, mut sent) = (traffic.writer(), Sent::new());
    let mut records = 0;
    while let Some(planned) = traffic.plan_catalogue() {
        writer.write(&planned, &mut sent);
        publisher.publish(&sent)?;
        records += 1;
        if records % TOLD_EACH == 0 {
            publisher.serve(Duration::ZERO);
            on_progress(records);
        }
    }
    publisher.flush()?;
    on_progress(records);
    Ok(records)
}

/// Where a publisher is in time.
pub(crate) struct Pace<'a> {
    clock: &'a WallClock,
    meter: &'a Meter,
    now_ms: i64,
    /// The millisecond whose records are being published.
    at_ms: i64,
    /// Records of it that the meter has not been told of.
    records: u64,
    /// Records that could not be delivered, as far as the meter has been told.
    failed: u64,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(clock: &'a WallClock, meter: &'a Meter) -> Pace<'a> {
        Pace { clock, meter, now_ms: clock.now_ms(), at_ms: i64::MIN, records: 0, failed: 0 }
    }

    /// Whether a record of this millisecond is not one of those that are being published.
    pub(crate) fn is_behind(&self, at_ms: i64) -> bool {
        at_ms != self.at_ms
    }

    /// Waits for a millisecond to come.
    pub(crate) fn begin<Record>(&mut self, at_ms: i64, publisher: &mut impl Publisher<Record>) {
        self.tell();
        self.at_ms = at_ms;
        self.now_ms = self.clock.now_ms();
        while self.now_ms < at_ms {
            let left = Duration::from_millis((at_ms - self.now_ms).unsigned_abs());
            publisher.serve(left.min(WAIT_MAX));
            self.now_ms = self.clock.now_ms();
        }
        self.tell_failed(publisher.failed());
    }

    /// Publishes a record of the millisecond that has begun.
    pub(crate) fn publish<Record>(
        &mut self,
        record: &Record,
        partition: u32,
        publisher: &mut impl Publisher<Record>,
    ) -> Result<(), LoadError> {
        self.meter.publishing(partition);
        publisher.publish(record)?;
        self.records += 1;
        if self.records == TOLD_EACH {
            self.now_ms = self.clock.now_ms();
            self.tell();
        }
        Ok(())
    }

    /// Waits until every record is delivered, or has failed.
    pub(crate) fn end<Record>(
        mut self,
        publisher: &mut impl Publisher<Record>,
    ) -> Result<(), LoadError> {
        self.tell();
        let flushed = publisher.flush();
        // Some fail only when they are waited for.
        self.tell_failed(publisher.failed());
        flushed
    }

    fn tell_failed(&mut self, failed: u64) {
        if failed > self.failed {
            self.meter.failed(failed - self.failed);
            self.failed = failed;
        }
    }

    fn tell(&mut self) {
        if self.records > 0 {
            self.meter.sent(self.at_ms, self.now_ms, self.records);
            self.records = 0;
        }
    }
}

/// Reads answers and has them measured until `stop` is set; what goes wrong is told to `on_trouble`.
pub fn listen(
    answers: &mut dyn Answers,
    clock: &WallClock,
    meter: &Meter,
    stop: &AtomicBool,
    on_trouble: &mut dyn FnMut(&LoadError),
) {
    const WAIT: Duration = Duration::from_millis(20);
    let mut batch = meter.batch();
    // Relaxed: nothing is handed over with the flag.
    while !stop.load(Ordering::Relaxed) {
        let looked = answers.look(WAIT, &mut |answer| batch.answer(answer, clock));
        meter.answered(&mut batch, clock.now_ms());
        if let Err(error) = looked {
            on_trouble(&error);
            std::thread::sleep(WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Settings;

    /// A publisher that keeps when it was handed each record.
    struct Noting {
        clock: WallClock,
        /// Due and published, in milliseconds since 1970.
        handed: Vec<(i64, i64)>,
        /// Records that turn out to have failed when all are waited for.
        failed: u64,
    }

    impl Publisher for Noting {
        fn publish(&mut self, record: &Sent) -> Result<(), LoadError> {
            self.handed.push((record.timestamp_ms, self.clock.now_ms()));
            Ok(())
        }

        fn serve(&mut self, wait: Duration) {
            std::thread::sleep(wait);
        }

        fn flush(&mut self) -> Result<(), LoadError> {
            self.failed += 3;
            Ok(())
        }

        fn failed(&self) -> u64 {
            self.failed
        }
    }

    #[test]
    fn nothing_is_published_before_it_is_due_nor_what_is_due_after_the_end() {
        let clock = WallClock::new();
        let profile: crate::profile::Profile = "2000/s for 300ms".parse().unwrap();
        let settings = Settings { profile: Some(profile.clone()), ..Settings::default() };
        let starts_at = clock.now_ms() - settings.opening_ms.cast_signed();
        let mut traffic = Traffic::new(settings, profile.orders(), 7, 2, starts_at);
        let mut publisher = Noting { clock, handed: Vec::new(), failed: 0 };
        let catalogue = publish_catalogue(&mut traffic, &mut publisher, |_| {}).unwrap();
        assert_eq!(catalogue, publisher.handed.len() as u64);

        publisher.handed.clear();
        publisher.failed = 0;
        let opens_at = clock.now_ms() + 20;
        traffic.open_at(opens_at);
        let meter = Meter::new(opens_at, &[0, 0]);
        let stop = AtomicBool::new(false);
        let publishers = std::slice::from_mut(&mut publisher);
        let orders =
            drive(&mut traffic, publishers, &clock, opens_at + 300, &meter, &stop).unwrap();
        assert_eq!(orders, profile.orders());
        let handed = &publisher.handed;
        assert!(handed.len() >= 600 && handed.iter().all(|(due, at)| due <= at), "{handed:?}");
        assert!(handed.iter().all(|(due, _)| (opens_at..opens_at + 300).contains(due)));
        assert!(handed.is_sorted());
        let measured = meter.measured();
        assert_eq!((measured.sent, meter.behind()), (handed.len() as u64, handed.len() as u64));
        assert_eq!(measured.failed, 3, "what fails at the very end");
    }
}
