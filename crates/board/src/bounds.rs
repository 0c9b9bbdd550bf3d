//! How much is kept at most, whatever comes in the topic, and what was passed over for that.
//!
//! Not a limit of the pipeline: it counts what it is sent. Invariant: what is kept goes on being counted
//! exactly when a bound is reached, and dimension `all` has bounds of its own, which no merchant, place,
//! category or minute can use up.

use std::fmt;

use crate::calendar::Day;

/// A bound that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Merchants of a day.
    Merchants,
    /// Merchants' locations of a day.
    Locations,
    /// All values of the other dimensions of a day, minutes among them.
    Values,
    /// Days of dimension `all`.
    Days,
}

/// How much is kept; of merchants, locations and values for each of the days that are kept in full, and
/// each partition's counter of it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) merchants: usize,
    pub(crate) locations: usize,
    pub(crate) values: usize,
    /// Counters of dimension `all`, of all days.
    pub(crate) all: usize,
    pub(crate) days: usize,
}

/// A day fills them with half a gigabyte at most; a sale day of 200,000 merchants with three stores each takes
/// 66 MB.
pub(crate) const BOUNDS: Bounds = Bounds {
    merchants: 500_000,
    locations: 2_000_000,
    values: 1_000_000,
    all: 1_000_000,
    days: 10_000,
};

/// What was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PassedOver {
    /// How many records.
    pub(crate) records: u64,
    /// Of which day the newest of them was, and which bound that reached.
    pub(crate) newest: Option<(Day, Bound)>,
}

impl PassedOver {
    pub(crate) fn note(&mut self, day: Day, bound: Bound) {
        self.records += 1;
        self.newest = Some((day, bound));
    }

    /// What is missing now and what is not.
    pub(crate) fn why(&self, bounds: &Bounds) -> Option<String> {
        let (day, bound) = self.newest?;
        Some(Why { day, bound, bounds }.to_string())
    }
}

struct Why<'a> {
    day: Day,
    bound: Bound,
    bounds: &'a Bounds,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why { day, bound, bounds } = self;
        let Bounds { merchants, locations, values, days, all } = bounds;
        match bound {
            Bound::Merchants => write!(formatter, "{day} has more than {merchants} merchants"),
            Bound::Locations => write!(formatter, "{day} has more than {locations} locations"),
            Bound::Values => {
                write!(
                    formatter,
                    "{day} has more than {values} counters of categories, minutes and others"
                )
            }
            Bound::Days => {
                return write!(
                    formatter,
                    "there are more than {days} days, or {all} counters of them; the oldest days are \
                     passed over"
                );
            }
        }?;
        formatter.write_str("; further ones are passed over, and are in the totals all the same")
    }
}
