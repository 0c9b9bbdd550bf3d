//! Business days (contract section 6): days since 1970-01-01, written like `2025-11-11`.
//!
//! Proleptic Gregorian, without time zones: a day offset is all that the contract knows of them.

use std::fmt;

const DAY_MS: i64 = 86_400_000;

/// A day, as days since 1970-01-01. Displayed like `2025-11-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The business day of a time in milliseconds since 1970-01-01 UTC.
    pub fn of(time_ms: u64, day_offset_ms: i64) -> Day {
        Day((time_ms as i64 + day_offset_ms).div_euclid(DAY_MS))
    }

    /// Reads a day exactly as it is displayed.
    pub fn parse(text: &str) -> Option<Day> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(0..1_000_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        let day = Day(days_from_civil(year, month, day));
        (day.to_string() == text).then_some(day)
    }
}

// Both conversions are Howard Hinnant's (chrono-Compatible Low-Level Date Algorithms). Years begin
// on 1 March, so that a leap day is the last of its year, and come in eras of 400 years, which all
// have 146,097 days; 719,468 days lie between 0000-03-01 and 1970-01-01.

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_calendar_names() {
        for (day, text) in [
            (-1, "1969-12-31"),
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_403, "2025-11-11"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(Day(day).to_string(), text);
        }
    }

    #[test]
    fn a_day_is_read_as_it_is_written_and_nothing_else_is() {
        for day in (-700_000..12_000_000).step_by(997).chain(-800..800) {
            assert_eq!(Day::parse(&Day(day).to_string()), Some(Day(day)));
        }
        for text in ["", "2025-11", "2025-11-31", "2025-1-11", "2025-13-01", "+2025-11-11", "x"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_begins_where_its_offset_puts_midnight() {
        assert_eq!(Day::of(57_599_999, 28_800_000), Day(0));
        assert_eq!(Day::of(57_600_000, 28_800_000), Day(1));
        assert_eq!(Day::of(0, -1), Day(-1));
    }
}
