//! A sale over one publisher or several: the caller's thread plans, and each publisher writes and
//! publishes its own share of the partitions, on a thread of its own if there are several.
//!
//! Not the pace, which each publisher keeps by itself. Invariant: what is published, and in which
//! order in each partition, does not depend on how many publishers there are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{LoadError, Meter, Pace, Publisher, WallClock};
use crate::traffic::{Planned, Sent, Traffic, Writer};

/// Records that are planned for each publisher, on average, before all are handed on. All at once:
/// while one publisher has enough, nothing that is due is kept back from another.
const ROUND: usize = 256;
/// Rounds that wait for a publisher.
const ROUNDS: usize = 64;

/// Publishes the sale, each record when it is due, up to `ends_at_ms`; what is due later is left out.
/// Ends early when `stop` is set. Gives the number of distinct orders that were placed.
///
/// # Errors
/// A publisher's, and then all end.
pub fn drive<P: Publisher + Send>(
    traffic: &mut Traffic,
    publishers: &mut [P],
    clock: &WallClock,
    ends_at_ms: i64,
    meter: &Meter,
    stop: &AtomicBool,
) -> Result<u64, LoadError> {
    let over = &AtomicBool::new(false);
    let writer = traffic.writer();
    let share = |publisher| Share {
        writer: writer.clone(),
        sent: Sent::new(),
        pace: Pace::new(clock, meter),
        publisher,
        orders: 0,
        stops: [stop, over],
    };
    let sale = std::iter::from_fn(|| traffic.plan());
    let mut sale = sale.take_while(|next| next.timestamp_ms < ends_at_ms);
    if let [publisher] = publishers {
        return share(publisher).publish(sale);
    }
    std::thread::scope(|threads| {
        let (mut senders, mut shares) = (Vec::new(), Vec::new());
        for publisher in publishers {
            let (sender, rounds) = sync_channel(ROUNDS);
            let share = share(publisher);
            senders.push(sender);
            shares.push(threads.spawn(move || share.publish_rounds(rounds, over)));
        }
        plan_rounds(&mut sale, &senders, meter.partitions());
        drop(senders);
        // All of them are waited for, whatever becomes of one.
        let ends: Vec<_> = shares.into_iter().map(|share| share.join()).collect();
        let end =
            |end: std::thread::Result<_>| end.unwrap_or_else(|why| std::panic::resume_unwind(why));
        ends.into_iter().map(end).sum()
    })
}

/// Hands on what each publisher has to publish, until that is all or one of them takes no more.
fn plan_rounds(
    sale: &mut impl Iterator<Item = Planned>,
    senders: &[SyncSender<Vec<Planned>>],
    partitions: usize,
) {
    let share_of = |partition: u32| partition as usize * senders.len() / partitions;
    loop {
        let mut shares: Vec<Vec<Planned>> = Vec::new();
        shares.resize_with(senders.len(), || Vec::with_capacity(ROUND));
        for planned in sale.by_ref().take(ROUND * senders.len()) {
            shares[share_of(planned.partition)].push(planned);
        }
        if shares.iter().all(Vec::is_empty) {
            return;
        }
        for (sender, share) in senders.iter().zip(shares) {
            if sender.send(share).is_err() {
                return;
            }
        }
    }
}

/// What one publisher publishes.
struct Share<'a, P> {
    writer: Writer,
    sent: Sent,
    pace: Pace<'a>,
    publisher: &'a mut P,
    orders: u64,
    /// Ends early when one of them is set.
    stops: [&'a AtomicBool; 2],
}

impl<P: Publisher> Share<'_, P> {
    fn publish(mut self, records: impl Iterator<Item = Planned>) -> Result<u64, LoadError> {
        for planned in records {
            if self.pace.is_behind(planned.timestamp_ms) {
                self.pace.begin(planned.timestamp_ms, self.publisher);
                // Relaxed: nothing is handed over with the flags.
                if self.stops.iter().any(|stop| stop.load(Ordering::Relaxed)) {
                    break;
                }
            }
            self.writer.write(&planned, &mut self.sent);
            self.pace.publish(&self.sent, planned.partition, self.publisher)?;
            self.orders += u64::from(planned.is_new_order());
        }
        self.pace.end(self.publisher)?;
        Ok(self.orders)
    }

    /// The same; whoever ends before its end, ends all.
    fn publish_rounds(
        self,
        rounds: Receiver<Vec<Planned>>,
        over: &AtomicBool,
    ) -> Result<u64, LoadError> {
        let mut alarm = Alarm { over, is_needed: true };
        let published = self.publish(rounds.into_iter().flatten());
        alarm.is_needed = published.is_err();
        published
    }
}

/// Ends all when it is dropped: by an error, or by a panic.
struct Alarm<'a> {
    over: &'a AtomicBool,
    is_needed: bool,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if self.is_needed {
            // Relaxed: nothing is handed over with the flag.
            self.over.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::profile::Profile;
    use crate::traffic::Settings;

    /// Each record's partition, timestamp, key and value.
    type Handed = Vec<(u32, i64, Option<Vec<u8>>, Option<Vec<u8>>)>;

    /// A publisher that keeps what it was handed, and refuses records beyond so many.
    struct Keeping {
        handed: Handed,
        takes: usize,
    }

    impl Keeping {
        fn new(takes: usize) -> Keeping {
            Keeping { handed: Vec::new(), takes }
        }
    }

    impl Publisher for Keeping {
        fn publish(&mut self, record: &Sent) -> Result<(), LoadError> {
            if self.handed.len() == self.takes {
                return Err(LoadError("full".to_owned()));
            }
            let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let (key, value) = (own(record.key()), own(record.value()));
            self.handed.push((record.partition, record.timestamp_ms, key, value));
            Ok(())
        }

        fn serve(&mut self, wait: Duration) {
            std::thread::sleep(wait);
        }

        fn flush(&mut self) -> Result<(), LoadError> {
            Ok(())
        }

        /// Two that turn out to have failed, for each.
        fn failed(&self) -> u64 {
            2
        }
    }

    const PARTITIONS: usize = 5;

    /// A sale behind its catalogue, and when it ends.
    fn sale(profile: &str, opens_at: i64) -> (Traffic, i64) {
        let profile: Profile = profile.parse().unwrap();
        let ends_at = opens_at + (profile.seconds() * 1_000.0) as i64;
        let settings = Settings { profile: Some(profile.clone()), ..Settings::default() };
        let starts_at = opens_at - settings.opening_ms.cast_signed();
        let mut traffic = Traffic::new(settings, profile.orders(), 7, PARTITIONS as u32, starts_at);
        while traffic.plan_catalogue().is_some() {}
        (traffic, ends_at)
    }

    /// What each publisher was handed, the number of orders, and what the meter counted.
    fn published(publishers: usize, opened_at: i64) -> (Vec<Handed>, u64, Meter) {
        let (mut traffic, ends_at) = sale("400/s for 5s", opened_at);
        let mut all: Vec<Keeping> = (0..publishers).map(|_| Keeping::new(usize::MAX)).collect();
        let (clock, stop) = (WallClock::new(), AtomicBool::new(false));
        let meter = Meter::new(opened_at, &[0; PARTITIONS]);
        let orders = drive(&mut traffic, &mut all, &clock, ends_at, &meter, &stop).unwrap();
        (all.into_iter().map(|one| one.handed).collect(), orders, meter)
    }

    #[test]
    fn what_is_published_depends_on_how_many_publish() {
        let of_partition = |handed: &[Handed], partition| -> Handed {
            let here = handed.iter().flatten().filter(|record| record.0 == partition);
            here.cloned().collect()
        };
        // So long ago that nobody waits for anything.
        let opened_at = WallClock::new().now_ms() - 60_000;
        let (alone, orders, meter) = published(1, opened_at);
        let records = alone[0].len() as u64;
        assert_eq!((orders, meter.measured().sent), (2_000, records));
        for publishers in [2, 3, PARTITIONS] {
            let (together, orders, meter) = published(publishers, opened_at);
            assert_eq!(orders, 2_000);
            for partition in 0..PARTITIONS as u32 {
                let same = of_partition(&alone, partition) == of_partition(&together, partition);
                assert!(same, "partition {partition} of {publishers} publishers");
                // Two publishers of one partition would be in each other's way.
                let has = |handed: &&Handed| handed.iter().any(|record| record.0 == partition);
                assert_eq!(together.iter().filter(has).count(), 1);
            }
            assert!(together.iter().all(|handed| !handed.is_empty()));
            let measured = meter.measured();
            assert_eq!((measured.sent, measured.late, meter.behind()), (records, records, records));
            assert_eq!(measured.failed, 2 * publishers as u64);
        }
    }

    /// The sale takes an hour: whoever does not end early does not end in this test.
    #[test]
    fn publishers_go_on_when_one_of_them_cannot() {
        let clock = WallClock::new();
        let (mut traffic, ends_at) = sale("20/s for 1h", clock.now_ms());
        let mut all = [Keeping::new(usize::MAX), Keeping::new(3), Keeping::new(usize::MAX)];
        let meter = Meter::new(clock.now_ms(), &[0; PARTITIONS]);
        let stop = AtomicBool::new(false);
        let ended = drive(&mut traffic, &mut all, &clock, ends_at, &meter, &stop);
        assert_eq!(ended, Err(LoadError("full".to_owned())));
        assert_eq!(all[1].handed.len(), 3);
    }
}
