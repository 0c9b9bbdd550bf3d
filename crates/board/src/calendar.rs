//! Business days and the clock that the board goes by.
//!
//! Not a calendar for display: the page formats for its reader. Invariant: a day's text is the
//! contract's (`2025-11-11`), and reading and writing it are each other's reverse.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub(crate) const DAY_MS: u64 = 86_400_000;
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const MINUTES_A_DAY: u64 = DAY_MS / MINUTE_MS;
pub(crate) const SECONDS_A_DAY: usize = 86_400;

const DAYS_FROM_0000_03_01: u64 = 719_468;
const ERA_DAYS: u64 = 146_097;

/// A business day: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The business day of a time, in milliseconds since 1970-01-01 UTC.
    pub fn of(time_ms: u64, day_offset_ms: u64) -> Day {
        Day(u32::try_from(time_ms.saturating_add(day_offset_ms) / DAY_MS).unwrap_or(u32::MAX))
    }

    /// When it begins, in milliseconds since 1970-01-01 UTC.
    pub fn starts_at_ms(self, day_offset_ms: u64) -> u64 {
        (u64::from(self.0) * DAY_MS).saturating_sub(day_offset_ms)
    }
}

/// `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = u64::from(self.0) + DAYS_FROM_0000_03_01;
        let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
        let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
        let (month, next_year) =
            if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
        let year = era * 400 + year_of_era + next_year;
        write!(formatter, "{year:04}-{month:02}-{day_of_month:02}")
    }
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day; write one as 2025-11-11")]
pub struct NoDay(pub String);

impl FromStr for Day {
    type Err = NoDay;

    /// `days_from_civil` of the same source; whatever is not written as the contract does is no day.
    fn from_str(text: &str) -> Result<Day, NoDay> {
        let no_day = || NoDay(text.chars().take(40).collect());
        let mut parts = text.splitn(3, '-').map(str::parse::<u64>);
        let mut part = || parts.next().and_then(Result::ok).ok_or_else(no_day);
        let (year, month, day) = (part()?, part()?, part()?);
        if !(1970..100_000).contains(&year) || !(1..=12).contains(&month) {
            return Err(no_day());
        }
        let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * from_march + 2) / 5 + day.checked_sub(1).ok_or_else(no_day)?;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * ERA_DAYS + day_of_era).checked_sub(DAYS_FROM_0000_03_01);
        let days = days.and_then(|days| u32::try_from(days).ok()).map(Day).ok_or_else(no_day)?;
        // The 31st of a month of 30 days comes back as another text.
        if days.to_string() == text { Ok(days) } else { Err(no_day()) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_is_read_as_another() {
        for day in (0..60_000).chain([2_932_896, 2_932_897, 11_000_000]) {
            assert_eq!(Day(day).to_string().parse(), Ok(Day(day)));
        }
        assert_eq!("2025-11-11".parse(), Ok(Day(20_403)));
        for text in ["", "2025-11-31", "2025-02-29", "2025-1-1", "2025-11-00", "1969-12-31", "x"] {
            assert_eq!(text.parse::<Day>(), Err(NoDay(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn midnight_is_the_business_days() {
        let eight_hours = 28_800_000;
        let midnight = 1_762_790_400_000;
        assert_eq!(Day::of(midnight - 1, eight_hours), Day(20_402));
        assert_eq!(Day::of(midnight, eight_hours), Day(20_403));
        assert_eq!(Day(20_403).starts_at_ms(eight_hours), midnight);
    }
}
