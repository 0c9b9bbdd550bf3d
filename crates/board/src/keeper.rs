//! The thread that keeps the totals: reads, publishes, answers.
//!
//! It alone touches the totals, so nothing is locked and no reader of a page can hold it up: what is
//! published is shared and unchangeable, and of questions it answers a bounded number between two
//! looks at the source. Invariant: figures are published at most four times a second, and never go
//! back while the source is read anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::calendar::Day;
use crate::counters::Counters;
use crate::figures::{DayFigures, Figures, Item, LocationItem, Reading, TOP, Top, all_days};
use crate::ranking::{self, By};
use crate::record::CounterRecord;
use crate::server::Settings;
use crate::shops::{LocationCounters, Shop};
use crate::source::{Source, SourceError};
use crate::standstill::Standstill;
use crate::totals::{DayTotals, Totals};

/// Shortest time between two publications.
const PUBLISH: Duration = Duration::from_millis(250);
/// Merchants and locations are ranked, and copied for who asks, at most once in this time: their
/// counters are written every ten seconds.
const RANK: Duration = Duration::from_secs(1);
/// Longest wait for records, and so of a question on a quiet topic.
const LOOK: Duration = Duration::from_millis(20);
/// Pause before a source that is away is looked at again.
const AWAY: Duration = Duration::from_millis(200);
/// Trouble is told of for at least this long, unless records come: the client mends it by itself, and
/// does not say when.
const TROUBLE: Duration = Duration::from_secs(10);
/// What is passed over is told of in the log at most once in this time.
const TELL: Duration = Duration::from_secs(60);
/// Questions that may wait ...
const QUESTIONS_MAX: usize = 256;
/// ... and that are answered between two looks.
const ANSWERS_MAX: usize = 64;

/// All merchants of a day.
pub(crate) type Merchants = Arc<Vec<(u64, Counters)>>;
/// All locations of a day.
pub(crate) type Locations = Arc<Vec<((u64, u32), LocationCounters)>>;

/// What is not in the published figures.
#[derive(Debug)]
pub(crate) enum Question {
    /// A merchant and its locations; none if nothing was counted of it that day.
    Shop(Day, u64, oneshot::Sender<Option<Shop>>),
    Merchants(Day, oneshot::Sender<Merchants>),
    Locations(Day, oneshot::Sender<Locations>),
}

/// What the rest of the board has of the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) figures: watch::Receiver<Arc<Figures>>,
    pub(crate) questions: SyncSender<Question>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

impl Kept {
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(question(reply)).map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }
}

/// Starts the thread; it ends when `stop` is set.
pub(crate) fn start(
    source: Box<dyn Source>,
    settings: &Settings,
    stop: Arc<AtomicBool>,
) -> std::io::Result<(Kept, JoinHandle<()>)> {
    let (publish, figures) = watch::channel(Arc::new(Figures::nothing()));
    let (ask, questions) = sync_channel(QUESTIONS_MAX);
    let Settings { day_offset_ms, days, stale_ms, .. } = *settings;
    let keeper = Keeper {
        source,
        totals: Totals::new(day_offset_ms, days),
        day_offset_ms,
        days_max: days,
        stale: Duration::from_millis(stale_ms),
        standstill: Standstill::default(),
        told_of_passed_over: None,
        reading: Reading::default(),
        newest_came: Instant::now(),
        troubled: Instant::now(),
        days: BTreeMap::new(),
        questions,
        publish,
    };
    let thread = std::thread::Builder::new().name("keeper".to_owned());
    let thread = thread.spawn(move || keeper.run(&stop))?;
    Ok((Kept { figures, questions: ask }, thread))
}

struct Keeper {
    source: Box<dyn Source>,
    totals: Totals,
    day_offset_ms: u64,
    days_max: usize,
    /// How old figures may be, and for how long a partition may stand still.
    stale: Duration,
    standstill: Standstill,
    told_of_passed_over: Option<Instant>,
    reading: Reading,
    /// When the newest figure came.
    newest_came: Instant,
    /// When something went wrong last.
    troubled: Instant,
    /// What was taken of each day last.
    days: BTreeMap<Day, Taken>,
    questions: Receiver<Question>,
    publish: watch::Sender<Arc<Figures>>,
}

/// What was taken of a day, and how much had changed by then.
#[derive(Default)]
struct Taken {
    changes: Option<u64>,
    figures: Option<Arc<DayFigures>>,
    ranked: Option<(u64, Instant)>,
    top: Top,
    merchants: Option<(Instant, Merchants)>,
    locations: Option<(Instant, Locations)>,
}

impl Keeper {
    fn run(mut self, stop: &AtomicBool) {
        let mut published = Instant::now();
        // Relaxed: nothing is handed over with the flag.
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.look() {
                self.note(error);
                std::thread::sleep(AWAY);
            }
            for _ in 0..ANSWERS_MAX {
                let Ok(question) = self.questions.try_recv() else { break };
                self.answer(question);
            }
            if published.elapsed() >= PUBLISH {
                published = Instant::now();
                self.publish();
            }
        }
    }

    fn look(&mut self) -> Result<(), SourceError> {
        let Keeper { source, totals, reading, newest_came, standstill, .. } = self;
        let newest_at_ms = totals.newest_at_ms;
        let looked = source.look(LOOK, &mut |key, value| {
            match CounterRecord::read(key, value) {
                Ok(record) => totals.apply(&record),
                Err(why) => {
                    reading.unreadable += 1;
                    reading.unreadable_why = Some(why.to_string());
                }
            }
            reading.records += 1;
        })?;
        let now = Instant::now();
        if totals.newest_at_ms > newest_at_ms {
            *newest_came = now;
            reading.moved |= reading.caught_up;
        }
        if let Some(ends) = source.ends() {
            standstill.see(&ends, now);
        }
        if looked.records > 0 || self.troubled.elapsed() >= TROUBLE {
            reading.trouble = None;
        }
        reading.caught_up |= looked.caught_up;
        self.note_passed_over(now);
        Ok(())
    }

    fn note_passed_over(&mut self, now: Instant) {
        let Keeper { totals, reading, told_of_passed_over: told, .. } = self;
        if totals.passed_over.records == reading.passed_over {
            return;
        }
        reading.passed_over = totals.passed_over.records;
        if told.is_none_or(|told| now.duration_since(told) >= TELL) {
            *told = Some(now);
            reading.passed_over_why = totals.why_passed_over();
            let why = reading.passed_over_why.as_deref().unwrap_or_default();
            tracing::warn!(records = reading.passed_over, "{why}");
        }
    }

    fn note(&mut self, error: SourceError) {
        let why = error.to_string();
        if self.reading.trouble.as_ref() != Some(&why) {
            tracing::warn!("{why}");
        }
        if let SourceError::Anew(_) = error {
            self.totals = Totals::new(self.day_offset_ms, self.days_max);
            self.days.clear();
            self.reading = Reading::default();
            self.standstill = Standstill::default();
        }
        self.reading.trouble = Some(why);
        self.troubled = Instant::now();
    }

    /// Publishes what has changed, if anything has.
    fn publish(&mut self) {
        self.reading.still = self.standstill.longer_than(self.stale, Instant::now());
        let before = Arc::clone(&self.publish.borrow());
        if !self.reading.caught_up {
            if before.reading != self.reading {
                let reading = self.reading.clone();
                self.publish.send_replace(Arc::new(Figures { reading, ..(*before).clone() }));
            }
            return;
        }
        let mut changed = before.reading != self.reading;
        self.days.retain(|day, _| self.totals.days.contains_key(day));
        for (day, totals) in &mut self.totals.days {
            let taken = self.days.entry(*day).or_default();
            changed |= taken.take_anew(*day, day.starts_at_ms(self.day_offset_ms), totals, || {
                self.totals.all.get(day).map(|merged| *merged.sum()).unwrap_or_default()
            });
        }
        if changed {
            let figures = |(day, taken): (&Day, &Taken)| Some((*day, taken.figures.clone()?));
            self.publish.send_replace(Arc::new(Figures {
                days: self.days.iter().filter_map(figures).collect(),
                all: all_days(&self.totals),
                newest_at_ms: self.totals.newest_at_ms,
                newest_came: self.newest_came,
                reading: self.reading.clone(),
            }));
        }
    }

    /// A reply that nobody waits for any more is no matter.
    fn answer(&mut self, question: Question) {
        let Keeper { totals, days, .. } = self;
        let shops = |day: &Day| totals.days.get(day).map(|totals| &totals.shops);
        match question {
            Question::Shop(day, merchant, reply) => {
                let shop = shops(&day).and_then(|shops| shops.shop(merchant));
                reply.send(shop).ok();
            }
            Question::Merchants(day, reply) => {
                let Some(shops) = shops(&day) else { return drop(reply.send(Arc::default())) };
                let copy = &mut days.entry(day).or_default().merchants;
                reply.send(kept_copy(copy, || shops.all_merchants())).ok();
            }
            Question::Locations(day, reply) => {
                let Some(shops) = shops(&day) else { return drop(reply.send(Arc::default())) };
                let copy = &mut days.entry(day).or_default().locations;
                reply.send(kept_copy(copy, || shops.all_locations())).ok();
            }
        }
    }
}

/// The copy that was made last, or a new one if that is too old.
fn kept_copy<T>(
    kept: &mut Option<(Instant, Arc<Vec<T>>)>,
    copy: impl FnOnce() -> Vec<T>,
) -> Arc<Vec<T>> {
    match kept {
        Some((made, copy)) if made.elapsed() < RANK => Arc::clone(copy),
        _ => Arc::clone(&kept.insert((Instant::now(), Arc::new(copy()))).1),
    }
}

impl Taken {
    /// Takes the figures anew if they have changed; tells whether they had.
    fn take_anew(
        &mut self,
        day: Day,
        starts_at_ms: u64,
        totals: &mut DayTotals,
        all: impl FnOnce() -> crate::counters::AllCounters,
    ) -> bool {
        let rank_due = self
            .ranked
            .is_none_or(|(changes, at)| changes != totals.shop_changes && at.elapsed() >= RANK);
        if self.changes == Some(totals.changes) && !rank_due {
            return false;
        }
        if rank_due {
            self.ranked = Some((totals.shop_changes, Instant::now()));
            self.top = top(totals);
        }
        self.changes = Some(totals.changes);
        let all = all();
        totals.watched.see(all.counters.settled, totals.newest_at_ms);
        let figures = DayFigures::new(day, starts_at_ms, all, Some(totals), &self.top);
        self.figures = Some(Arc::new(figures));
        true
    }
}

fn top(totals: &DayTotals) -> Top {
    let (merchants, locations) = (totals.shops.all_merchants(), totals.shops.all_locations());
    let (merchant_count, location_count) = (merchants.len(), locations.len());
    let merchants = ranking::page(merchants, By::Settled, 0, TOP);
    let locations = ranking::page(locations, By::Settled, 0, TOP);
    let merchant =
        |(merchant, counters): (u64, Counters)| Item::new(merchant.to_string(), counters);
    let location = |(place, counters)| LocationItem::new(place, counters);
    Top {
        merchants: merchants.into_iter().map(merchant).collect(),
        locations: locations.into_iter().map(location).collect(),
        merchant_count,
        location_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With partitioner `any` a merchant's orders may come in any partition.
    #[test]
    fn a_store_of_two_partitions_is_one_store() {
        let mut totals = Totals::new(28_800_000, 1);
        for partition in [0, 1] {
            for (dimension, value) in [("merchant", "7"), ("location", "7:1")] {
                let key = format!("{partition}/2025-11-11/{dimension}/{value}");
                let value = format!(
                    r#"{{"partition":{partition},"day":"2025-11-11","dimension":"{dimension}","value":"{value}","orders_placed":1,"placed":2,"orders_settled":3,"units_settled":4,"settled":5,"orders_refunded":6,"refunded":7,"offset":12,"at":1762790400000}}"#
                );
                let record = CounterRecord::read(Some(key.as_bytes()), Some(value.as_bytes()));
                totals.apply(&record.unwrap());
            }
        }
        let top = top(totals.days.values().next().unwrap());
        assert_eq!((top.merchants.len(), top.merchant_count), (1, 1));
        assert_eq!((top.locations.len(), top.location_count), (1, 1));
    }
}
