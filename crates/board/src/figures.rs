//! What the board shows, taken from the totals at one moment and never changed afterwards.
//!
//! Whoever serves the page shares these and never touches the totals. Invariant: all figures of a day
//! are of one moment, so that shares add up.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::calendar::{Day, MINUTE_MS, MINUTES_A_DAY};
use crate::counters::{AllCounters, Counters, Sum as _};
use crate::milestones::{self, Milestone};
use crate::pace::Pace;
use crate::record::Split;
use crate::shops::LocationCounters;
use crate::standstill::Still;
use crate::totals::{DayTotals, Totals};

/// Farm produce is sold under this category and those below it (`agri.fruit`).
const FARM: &str = "agri";
/// The page is told of so many categories, merchants and locations.
pub(crate) const TOP: usize = 12;
/// And of so many of the newest minutes; it asks for the others once.
const NEWEST_MINUTES: usize = 3;

/// A counter with its value and its net.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    pub(crate) value: String,
    #[serde(flatten)]
    pub(crate) counters: Counters,
    pub(crate) net: i128,
}

impl Item {
    pub(crate) fn new(value: String, counters: Counters) -> Item {
        Item { value, counters, net: counters.net() }
    }
}

/// A location's counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LocationItem {
    pub(crate) value: String,
    pub(crate) orders_settled: u64,
    pub(crate) units_settled: u64,
    pub(crate) settled: u128,
}

impl LocationItem {
    pub(crate) fn new((merchant, location): (u64, u32), counters: LocationCounters) -> Self {
        let LocationCounters { orders_settled, units_settled, settled } = counters;
        let value = format!("{merchant}:{location}");
        LocationItem { value, orders_settled, units_settled, settled }
    }
}

/// A minute's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct MinuteItem {
    /// Minutes since 1970-01-01 UTC.
    pub(crate) minute: u64,
    /// Minutes since the business day began.
    pub(crate) of_day: i64,
    #[serde(flatten)]
    pub(crate) counters: Counters,
}

/// Dimension `all`, with its net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct AllItem {
    #[serde(flatten)]
    pub(crate) counters: AllCounters,
    pub(crate) net: i128,
}

impl AllItem {
    pub(crate) fn new(counters: AllCounters) -> AllItem {
        AllItem { counters, net: counters.counters.net() }
    }
}

/// The highest pace of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Peak {
    pub(crate) orders_per_second: u64,
    pub(crate) at_ms: u64,
    /// Mean over so many seconds: 60 where no single second is known to have been higher.
    pub(crate) over_seconds: u64,
}

/// Orders placed a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PaceItem {
    pub(crate) orders_per_second: u64,
    pub(crate) peak: Option<Peak>,
    /// The newest complete seconds, oldest first.
    pub(crate) seconds: Vec<u32>,
}

/// Merchants and locations with the highest settled amounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Top {
    pub(crate) merchants: Vec<Item>,
    pub(crate) locations: Vec<LocationItem>,
    pub(crate) merchant_count: usize,
    pub(crate) location_count: usize,
}

/// All figures of a business day but for its merchants and locations, of which it has the top.
#[derive(Debug, Clone)]
pub(crate) struct DayFigures {
    pub(crate) day: Day,
    pub(crate) all: AllItem,
    /// By the number of the [`Split`].
    pub(crate) splits: [Vec<Item>; Split::ALL.len()],
    pub(crate) minutes: Vec<MinuteItem>,
    pub(crate) pace: PaceItem,
    /// As the page is told, JSON.
    pub(crate) told: Box<serde_json::value::RawValue>,
}

/// What the page is told of a day at most four times a second.
#[derive(Serialize)]
struct Told<'a> {
    day: Day,
    starts_at_ms: u64,
    totals: &'a AllItem,
    pace: &'a PaceItem,
    milestones: Vec<Milestone>,
    next_milestone: Option<u128>,
    minutes: &'a [MinuteItem],
    channel: &'a [Item],
    area: &'a [Item],
    fulfilment: &'a [Item],
    province: &'a [Item],
    category: Vec<&'a Item>,
    category_count: usize,
    farm: Item,
    top: &'a Top,
}

impl DayFigures {
    pub(crate) fn new(
        day: Day,
        starts_at_ms: u64,
        all: AllCounters,
        totals: Option<&DayTotals>,
        top: &Top,
    ) -> DayFigures {
        let all = AllItem::new(all);
        let splits = std::array::from_fn(|split| {
            let values = totals.iter().flat_map(|totals| &totals.splits[split]);
            values.map(|(value, merged)| Item::new(value.to_string(), *merged.sum())).collect()
        });
        let minutes: Vec<MinuteItem> = totals
            .iter()
            .flat_map(|totals| totals.minutes())
            .map(|(at_ms, counters)| MinuteItem {
                minute: at_ms / MINUTE_MS,
                of_day: (at_ms as i64 - starts_at_ms as i64).div_euclid(MINUTE_MS as i64),
                counters: *counters,
            })
            .collect();
        let pace = pace(totals.map(|totals| &totals.pace), &minutes);
        let told = serde_json::value::RawValue::NULL.to_owned();
        let mut figures = DayFigures { day, all, splits, minutes, pace, told };
        figures.told = figures.tell(starts_at_ms, totals, top);
        figures
    }

    pub(crate) fn split(&self, split: Split) -> &[Item] {
        &self.splits[split as usize]
    }

    /// As the page is told.
    fn tell(
        &self,
        starts_at_ms: u64,
        totals: Option<&DayTotals>,
        top: &Top,
    ) -> Box<serde_json::value::RawValue> {
        let mut category: Vec<&Item> = self.split(Split::Category).iter().collect();
        category.sort_by_key(|item| Reverse(item.counters.settled));
        category.truncate(TOP);
        let watched = totals.map(|totals| totals.watched.passed(totals.minutes_settled()));
        let told = Told {
            day: self.day,
            starts_at_ms,
            totals: &self.all,
            pace: &self.pace,
            milestones: watched.unwrap_or_default(),
            next_milestone: milestones::next(self.all.counters.counters.settled),
            minutes: &self.minutes[self.minutes.len().saturating_sub(NEWEST_MINUTES)..],
            channel: self.split(Split::Channel),
            area: self.split(Split::Area),
            fulfilment: self.split(Split::Fulfilment),
            province: self.split(Split::Province),
            category,
            category_count: self.split(Split::Category).len(),
            farm: farm(self.split(Split::Category)),
            top,
        };
        serde_json::value::to_raw_value(&told).expect("figures have text for keys")
    }
}

impl DayTotals {
    fn minutes_settled(&self) -> impl Iterator<Item = (u64, u128)> {
        self.minutes().map(|(at_ms, counters)| (at_ms, counters.settled))
    }
}

fn farm(categories: &[Item]) -> Item {
    let mut sum = Counters::default();
    let is_farm = |item: &&Item| {
        let rest = item.value.strip_prefix(FARM);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for item in categories.iter().filter(is_farm) {
        sum.exchange(&Counters::default(), &item.counters);
    }
    Item::new(FARM.to_owned(), sum)
}

/// Seconds are known since the board began to read, minutes for ever.
fn pace(pace: Option<&Pace>, minutes: &[MinuteItem]) -> PaceItem {
    let of_day = minutes.iter().filter(|item| (0..MINUTES_A_DAY as i64).contains(&item.of_day));
    let minute = of_day.max_by_key(|item| item.counters.orders_placed).map(|item| Peak {
        orders_per_second: item.counters.orders_placed / 60,
        at_ms: item.minute * MINUTE_MS,
        over_seconds: 60,
    });
    let second = pace.and_then(Pace::peak).map(|(orders_per_second, at_ms)| Peak {
        orders_per_second,
        at_ms,
        over_seconds: 1,
    });
    PaceItem {
        orders_per_second: pace.map(Pace::present).unwrap_or_default(),
        peak: [second, minute]
            .into_iter()
            .flatten()
            .filter(|peak| peak.orders_per_second > 0)
            .min_by_key(|peak| (Reverse(peak.orders_per_second), peak.over_seconds)),
        seconds: pace.map(|pace| pace.shown().to_vec()).unwrap_or_default(),
    }
}

/// What the keeper publishes.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) days: BTreeMap<Day, Arc<DayFigures>>,
    /// Dimension `all` of all days.
    pub(crate) all: BTreeMap<Day, AllCounters>,
    /// The largest T that any counter told of, and when it came.
    pub(crate) newest_at_ms: Option<u64>,
    pub(crate) newest_came: Instant,
    pub(crate) reading: Reading,
}

/// How the reading goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whether everything that was there at the start has been read.
    pub(crate) caught_up: bool,
    /// Why nothing comes.
    pub(crate) trouble: Option<String>,
    pub(crate) records: u64,
    pub(crate) unreadable: u64,
    /// Why the newest of those could not be read.
    pub(crate) unreadable_why: Option<String>,
    /// Records of values beyond what is kept, and which bound the newest of those reached.
    pub(crate) passed_over: u64,
    pub(crate) passed_over_why: Option<String>,
    /// Partitions that stand still for longer than figures may be old.
    pub(crate) still: Vec<Still>,
    /// Whether a newer figure has come since everything that was there at the start was read.
    pub(crate) moved: bool,
}

impl Figures {
    pub(crate) fn nothing() -> Figures {
        Figures {
            days: BTreeMap::new(),
            all: BTreeMap::new(),
            newest_at_ms: None,
            newest_came: Instant::now(),
            reading: Reading::default(),
        }
    }

    /// Dimension `all` of all days together.
    pub(crate) fn every_day(&self) -> AllCounters {
        let mut sum = AllCounters::default();
        self.all.values().for_each(|all| sum.exchange(&AllCounters::default(), all));
        sum
    }
}

/// Dimension `all` of every day.
pub(crate) fn all_days(totals: &Totals) -> BTreeMap<Day, AllCounters> {
    totals.all.iter().map(|(day, merged)| (*day, *merged.sum())).collect()
}

/// Which clock the age of figures is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's: records carry the time at which they were written.
    Wall,
    /// The records' own, which goes on while none come: a rehearsal's records carry any time.
    Records,
}

impl Clock {
    /// The present, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn now_ms(self, figures: &Figures) -> u64 {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match (self, figures.newest_at_ms) {
            (Clock::Records, Some(newest_at_ms)) => {
                newest_at_ms + ms(figures.newest_came.elapsed())
            }
            _ => SystemTime::now().duration_since(UNIX_EPOCH).map(ms).unwrap_or_default(),
        }
    }
}
