//! The state of the board: every partition's last word on every counter, added up.
//!
//! Records go in, figures stand ready; it knows no Kafka, no clock and no page. Invariant: records are
//! absolute totals, so a record replaces its predecessor and reading one twice changes nothing; and what
//! was deleted leaves nothing behind, so that a board that starts now shows the same.

use std::collections::BTreeMap;

use crate::bounds::{BOUNDS, Bound, Bounds, PassedOver};
use crate::calendar::{Day, MINUTE_MS};
use crate::counters::{self, AllCounters, ByValue, Counters, Merged, Room};
use crate::milestones::Watched;
use crate::pace::Pace;
use crate::record::{CounterRecord, Split, Subject};
use crate::shops::{Full, LocationCounters, Shops};

/// A minute has to be one of its day, give or take what a change of the day offset moves.
const MINUTES_MAX: usize = 4 * 1_440;

/// What is kept of a business day in full.
#[derive(Debug)]
pub(crate) struct DayTotals {
    /// By the number of the [`Split`].
    pub(crate) splits: [ByValue<Box<str>>; Split::ALL.len()],
    pub(crate) minutes: ByValue<u64>,
    /// For their parts and the minutes' together.
    room: Room,
    pub(crate) shops: Shops,
    pub(crate) pace: Pace,
    pub(crate) watched: Watched,
    /// T of the newest record of dimension `all`.
    pub(crate) newest_at_ms: u64,
    /// How often anything, and anything of a shop, has changed.
    pub(crate) changes: u64,
    pub(crate) shop_changes: u64,
}

impl DayTotals {
    fn new(starts_at_ms: u64, bounds: &Bounds) -> DayTotals {
        DayTotals {
            splits: Default::default(),
            minutes: BTreeMap::new(),
            room: Room::of(bounds.values),
            shops: Shops::default(),
            pace: Pace::new(starts_at_ms),
            watched: Watched::default(),
            newest_at_ms: 0,
            changes: 0,
            shop_changes: 0,
        }
    }

    fn apply(&mut self, record: &CounterRecord<'_>, bounds: &Bounds) -> Result<(), Full> {
        let CounterRecord { partition, counters, .. } = record;
        self.changes += 1;
        let in_room = |is_set: bool| if is_set { Ok(()) } else { Err(Full(Bound::Values)) };
        match &record.subject {
            Subject::All(_) if record.is_deleted() => Ok(()),
            Subject::All(_) => {
                self.newest_at_ms = self.newest_at_ms.max(record.at_ms);
                self.pace.record(*partition, record.at_ms, counters.orders_placed);
                Ok(())
            }
            Subject::Split(split, value) => {
                let (values, room) = (&mut self.splits[*split as usize], &mut self.room);
                in_room(counters::set(values, value.as_ref().into(), *partition, counters, room))
            }
            Subject::Minute(minute) => {
                if self.minutes.len() >= MINUTES_MAX && !self.minutes.contains_key(minute) {
                    return Err(Full(Bound::Values));
                }
                let (minutes, room) = (&mut self.minutes, &mut self.room);
                in_room(counters::set(minutes, *minute, *partition, counters, room))
            }
            Subject::Merchant(merchant) => {
                self.shop_changes += 1;
                self.shops.set_merchant(*partition, *merchant, *counters, bounds)
            }
            Subject::Location(merchant, location) => {
                self.shop_changes += 1;
                let Counters { orders_settled, units_settled, settled, .. } = *counters;
                let counters = LocationCounters { orders_settled, units_settled, settled };
                self.shops.set_location(*partition, (*merchant, *location), counters, bounds)
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.splits.iter().all(BTreeMap::is_empty)
            && self.minutes.is_empty()
            && self.shops.is_empty()
    }

    /// Each minute's beginning, in milliseconds, and its counters.
    pub(crate) fn minutes(&self) -> impl Iterator<Item = (u64, &Counters)> {
        self.minutes.iter().map(|(minute, merged)| (minute.saturating_mul(MINUTE_MS), merged.sum()))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Totals {
    day_offset_ms: u64,
    days_max: usize,
    bounds: Bounds,
    /// Dimension `all` of every business day.
    pub(crate) all: BTreeMap<Day, Merged<AllCounters>>,
    all_room: Room,
    /// Everything else of the newest days.
    pub(crate) days: BTreeMap<Day, DayTotals>,
    /// The largest T that any record told of.
    pub(crate) newest_at_ms: Option<u64>,
    pub(crate) passed_over: PassedOver,
}

impl Totals {
    /// Nothing yet; of the newest `days_max` days everything will be kept, of the others dimension `all`.
    pub fn new(day_offset_ms: u64, days_max: usize) -> Totals {
        Totals::bounded(day_offset_ms, days_max, BOUNDS)
    }

    fn bounded(day_offset_ms: u64, days_max: usize, bounds: Bounds) -> Totals {
        Totals {
            day_offset_ms,
            days_max: days_max.max(1),
            bounds,
            all: BTreeMap::new(),
            all_room: Room::of(bounds.all),
            days: BTreeMap::new(),
            newest_at_ms: None,
            passed_over: PassedOver::default(),
        }
    }

    /// Takes a counter's new totals in the place of its old ones.
    pub fn apply(&mut self, record: &CounterRecord<'_>) {
        if let Subject::All(answers) = record.subject {
            self.apply_all(record, &AllCounters { counters: record.counters, answers });
        }
        if record.is_deleted() {
            self.delete(record);
            return;
        }
        self.newest_at_ms = self.newest_at_ms.max(Some(record.at_ms));
        let bounds = self.bounds;
        let Some(day) = self.day_to_keep(record.day) else { return };
        if let Err(Full(bound)) = day.apply(record, &bounds) {
            self.passed_over.note(record.day, bound);
        }
    }

    /// Where there is no room the oldest day makes some.
    fn apply_all(&mut self, record: &CounterRecord<'_>, new: &AllCounters) {
        let CounterRecord { day, partition, .. } = *record;
        while !counters::set(&mut self.all, day, partition, new, &mut self.all_room) {
            if self.all.keys().next().is_none_or(|oldest| day <= *oldest) {
                self.passed_over.note(day, Bound::Days);
                return;
            }
            self.pass_over_oldest();
        }
        if self.all.len() > self.bounds.days {
            self.pass_over_oldest();
        }
    }

    fn pass_over_oldest(&mut self) {
        let Some((day, merged)) = self.all.pop_first() else { return };
        self.all_room.give_back(merged.parts());
        self.passed_over.note(day, Bound::Days);
    }

    fn delete(&mut self, record: &CounterRecord<'_>) {
        let bounds = self.bounds;
        let Some(day) = self.days.get_mut(&record.day) else { return };
        // What was passed over needs no deletion.
        day.apply(record, &bounds).ok();
        if !self.all.contains_key(&record.day) && day.is_empty() {
            self.days.remove(&record.day);
        }
    }

    /// None for a day that is older than all that are kept.
    fn day_to_keep(&mut self, day: Day) -> Option<&mut DayTotals> {
        if !self.days.contains_key(&day) {
            if self.days.len() >= self.days_max {
                let oldest = *self.days.keys().next()?;
                if day < oldest {
                    return None;
                }
                self.days.remove(&oldest);
            }
            let starts_at_ms = day.starts_at_ms(self.day_offset_ms);
            self.days.insert(day, DayTotals::new(starts_at_ms, &self.bounds));
        }
        self.days.get_mut(&day)
    }

    /// Which bound the newest record that was passed over has reached, in words.
    pub(crate) fn why_passed_over(&self) -> Option<String> {
        self.passed_over.why(&self.bounds)
    }

    /// Dimension `all` of a business day.
    pub fn all(&self, day: Day) -> AllCounters {
        self.all.get(&day).map(|merged| *merged.sum()).unwrap_or_default()
    }

    /// Everything that is counted of a business day, in no order, as the contract names it.
    pub fn counters(&self, day: Day) -> Vec<(&'static str, String, Counters)> {
        let mut found = vec![("all", "all".to_owned(), self.all(day).counters)];
        let Some(totals) = self.days.get(&day) else { return found };
        for (split, values) in Split::ALL.into_iter().zip(&totals.splits) {
            let named = values.iter().map(|(value, merged)| (value.to_string(), *merged.sum()));
            found.extend(named.map(|(value, counters)| (split.name(), value, counters)));
        }
        let minutes = totals.minutes.iter();
        found.extend(minutes.map(|(minute, m)| ("minute", minute.to_string(), *m.sum())));
        let merchants = totals.shops.all_merchants();
        found.extend(merchants.into_iter().map(|(m, c)| ("merchant", m.to_string(), c)));
        for ((merchant, location), counters) in totals.shops.all_locations() {
            let LocationCounters { orders_settled, units_settled, settled } = counters;
            let counters =
                Counters { orders_settled, units_settled, settled, ..Counters::default() };
            found.push(("location", format!("{merchant}:{location}"), counters));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2025-11-11";

    fn written(day: &str, dimension: &str, value: &str) -> (String, String) {
        let further = match dimension {
            "all" => r#""orders_rejected":1,"orders_released":0,"dead_letters":0,"duplicates":0,"#,
            _ => "",
        };
        let text = format!(
            r#"{{"partition":0,"day":"{day}","dimension":"{dimension}","value":"{value}","orders_placed":1,"placed":2,"orders_settled":3,"units_settled":4,"settled":5,"orders_refunded":6,"refunded":7,{further}"offset":12,"at":1762790400000}}"#
        );
        (format!("0/{day}/{dimension}/{value}"), text)
    }

    fn set(totals: &mut Totals, (key, text): &(String, String)) {
        let record = CounterRecord::read(Some(key.as_bytes()), Some(text.as_bytes()));
        totals.apply(&record.unwrap());
    }

    fn delete(totals: &mut Totals, (key, _): &(String, String)) {
        totals.apply(&CounterRecord::read(Some(key.as_bytes()), None).unwrap());
    }

    /// A board that starts now finds nothing of what was deleted, not even a value with zeros.
    #[test]
    fn what_is_deleted_is_as_if_it_had_never_been() {
        let values = [
            ("all", "all"),
            ("channel", "app"),
            ("category", "agri.fruit"),
            ("minute", "29379840"),
            ("merchant", "7"),
            ("location", "7:1"),
        ];
        let written = values.map(|(dimension, value)| written(TODAY, dimension, value));
        for first in 0..written.len() {
            let mut totals = Totals::new(28_800_000, 2);
            written.iter().for_each(|record| set(&mut totals, record));
            let day = TODAY.parse().unwrap();
            assert_eq!(totals.counters(day).len(), written.len());
            for offset in 0..written.len() {
                delete(&mut totals, &written[(first + offset) % written.len()]);
            }
            assert_eq!(totals.counters(day), [("all", "all".to_owned(), Counters::default())]);
            assert!(totals.all.is_empty() && totals.days.is_empty(), "{first}: {totals:?}");
        }
    }

    /// What is deleted may be of a day that was never seen, later than all that are kept.
    #[test]
    fn a_deletion_takes_the_place_of_no_day() {
        let mut totals = Totals::new(28_800_000, 1);
        let sold = written(TODAY, "merchant", "7");
        set(&mut totals, &sold);
        let before = totals.counters(TODAY.parse().unwrap());
        for dimension in [("all", "all"), ("merchant", "7"), ("channel", "web")] {
            delete(&mut totals, &written("2025-11-12", dimension.0, dimension.1));
        }
        assert_eq!(totals.counters(TODAY.parse().unwrap()), before);
        assert_eq!(totals.days.len(), 1);
    }

    /// Two of each; what comes beyond is nobody's fault.
    const FEW: Bounds = Bounds { merchants: 2, locations: 2, values: 3, all: 2, days: 2 };

    fn few() -> Totals {
        Totals::bounded(28_800_000, 2, FEW)
    }

    fn count(totals: &Totals, dimension: &str) -> usize {
        let counters = totals.counters(TODAY.parse().unwrap());
        counters.iter().filter(|(name, ..)| *name == dimension).count()
    }

    #[test]
    fn what_comes_without_end_is_bounded_and_the_totals_go_on() {
        let mut totals = few();
        for number in 0..10 {
            set(&mut totals, &written(TODAY, "merchant", &number.to_string()));
            set(&mut totals, &written(TODAY, "location", &format!("1:{number}")));
            set(&mut totals, &written(TODAY, "category", &format!("category-{number}")));
            set(&mut totals, &written(TODAY, "minute", &(29_379_840 + number).to_string()));
        }
        assert_eq!((count(&totals, "merchant"), count(&totals, "location")), (2, 2));
        assert_eq!(count(&totals, "category") + count(&totals, "minute"), 3);
        assert_eq!(totals.passed_over.records, 8 + 8 + (20 - 3));
        let why = totals.why_passed_over().unwrap();
        assert!(why.contains(TODAY) && why.contains("more than 3 counters"), "{why}");

        let (key, text) = written(TODAY, "all", "all");
        set(&mut totals, &(key, text.replace("\"placed\":2", "\"placed\":777")));
        assert_eq!(totals.all(TODAY.parse().unwrap()).counters.placed, 777);
        let (key, text) = written(TODAY, "merchant", "1");
        set(&mut totals, &(key, text.replace("\"placed\":2", "\"placed\":888")));
        let shop = totals.days.values().next().unwrap().shops.shop(1).unwrap();
        assert_eq!(shop.counters.placed, 888, "who is known goes on being counted");
        assert_eq!(totals.passed_over.records, 33);
    }

    /// A deletion makes room in the small dimensions.
    #[test]
    fn what_was_deleted_takes_no_room() {
        let mut totals = few();
        for number in 0..20 {
            let category = written(TODAY, "category", &format!("category-{number}"));
            set(&mut totals, &category);
            set(&mut totals, &category);
            delete(&mut totals, &category);
            delete(&mut totals, &category);
        }
        assert_eq!(totals.passed_over, PassedOver::default());
    }

    #[test]
    fn of_too_many_days_the_newest_are_kept() {
        let days = ["2025-11-09", "2025-11-11", "2025-11-08", "2025-11-10"];
        let mut totals = few();
        days.iter().for_each(|day| set(&mut totals, &written(day, "all", "all")));
        let kept: Vec<String> = totals.all.keys().map(ToString::to_string).collect();
        assert_eq!(kept, ["2025-11-10", "2025-11-11"]);
        assert_eq!(totals.passed_over.records, 2);
        assert!(totals.why_passed_over().unwrap().contains("oldest days"));
        // Two partitions of one day take the room of two days.
        let (key, text) = written(TODAY, "all", "all");
        let of_another = |it: String| it.replace("0/20", "1/20").replace(":0,\"day", ":1,\"day");
        set(&mut totals, &(of_another(key), of_another(text)));
        assert_eq!(totals.all.keys().map(ToString::to_string).collect::<Vec<_>>(), [TODAY]);
        assert_eq!(totals.all(TODAY.parse().unwrap()).counters.placed, 4);
    }
}
