//! A place in a topic as people name it: an offset, or a time such as `2025-11-11T00:00:00+08:00`.
//!
//! Not a calendar: only what RFC 3339 allows, without leap seconds. Invariant: what is told of a time is
//! read as the same time.

use std::str::FromStr;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This offset, in every partition.
    Offset(u64),
    /// The first record with this timestamp or a later one, in milliseconds since 1970.
    Time(i64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(offset) = text.parse() {
            return Ok(Moment::Offset(offset));
        }
        time_ms(text).map(Moment::Time).ok_or_else(|| {
            format!("{text:?} is neither an offset nor a time like 2025-11-11T00:00:00+08:00")
        })
    }
}

/// A time in UTC, to the second.
#[must_use]
pub fn told(time_ms: u64) -> String {
    let time_ms = time_ms.cast_signed();
    let (year, month, day) = civil(time_ms.div_euclid(DAY_MS));
    let second = time_ms.rem_euclid(DAY_MS) / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn time_ms(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', ' '])?;
    let at = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at(at);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = match time.len() {
        5 => numbers(&format!("{time}:00"), ':')?,
        _ => numbers(time, ':')?,
    };
    let days = days(year, month, day);
    let is_valid = civil(days) == (year, month, day) && hour < 24 && minute < 60 && second < 60;
    let zone_minutes = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':')?;
            let minutes = hours * 60 + minutes;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let seconds = (hour * 60 + minute - zone_minutes) * 60 + second;
    is_valid.then_some(days * DAY_MS + seconds * 1_000)
}

/// As many numbers of digits alone as are wanted, none longer than a year's.
fn numbers<const COUNT: usize>(text: &str, separator: char) -> Option<[i64; COUNT]> {
    let number = |part: &str| {
        let is_number =
            (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let found: Vec<i64> = text.split(separator).map(number).collect::<Option<_>>()?;
    found.try_into().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day; the inverse.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod moment_tests {
    use super::*;

    #[test]
    fn offsets_and_times_are_told_apart() {
        let cases = [
            ("0", Ok(Moment::Offset(0))),
            ("20251111", Ok(Moment::Offset(20_251_111))),
            ("2025-11-11T00:00:00+08:00", Ok(Moment::Time(1_762_790_400_000))),
            ("2025-11-10T16:00:00Z", Ok(Moment::Time(1_762_790_400_000))),
            ("2025-11-10 11:30-04:30", Ok(Moment::Time(1_762_790_400_000))),
            ("1970-01-01T00:00:00Z", Ok(Moment::Time(0))),
            ("2024-02-29T12:00:00Z", Ok(Moment::Time(1_709_208_000_000))),
        ];
        for (text, moment) in cases {
            assert_eq!(text.parse(), moment, "{text}");
        }
        let wrong = [
            "",
            "-1",
            "yesterday",
            "2025-02-29T00:00:00Z",
            "2025-11-11",
            "2025-11-11T00:00:00",
            "2025-11-11T24:00:00Z",
            "2025-11-11T00:60:00Z",
            "2025-13-01T00:00:00Z",
            "2025-11-11T00:00:00+0800",
            "2025-11-11T00:00:00Zulu",
            "+2025-11-11T00:00:00Z",
        ];
        for text in wrong {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_was_told_is_read_as_the_same() {
        for time_ms in (0..4_000_000_000_000).step_by(12_345_678_000) {
            assert_eq!(told(time_ms).parse(), Ok(Moment::Time(time_ms.cast_signed())), "{time_ms}");
        }
    }
}
