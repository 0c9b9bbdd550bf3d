//! The shape of a load: orders a second over time, as straight lines.
//!
//! Not traffic: it says when an order arrives, not which. Invariant: the moments at which orders
//! arrive are a function of the profile alone (only operations that IEEE 754 rounds exactly are
//! used), and never go back.

use std::fmt;
use std::str::FromStr;

/// Most orders a second that a profile may ask for.
const RATE_MAX: f64 = 1e8;
/// Longest profile: a day.
const SECONDS_MAX: f64 = 86_400.0;
const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];

/// Orders a second over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    text: String,
    stages: Vec<Stage>,
}

/// A stretch of time in which the rate goes from one value to another in a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    /// Seconds since the profile's start.
    starts_at: f64,
    seconds: f64,
    /// Orders a second.
    from: f64,
    to: f64,
    /// Orders that arrive before it.
    before: f64,
}

impl Stage {
    fn orders(&self) -> f64 {
        self.seconds * (self.from + self.to) / 2.0
    }

    fn rate_at(&self, since_start: f64) -> f64 {
        self.from + (self.to - self.from) * since_start / self.seconds
    }

    /// After how many seconds of it so many of its orders have arrived.
    fn seconds_until(&self, orders: f64) -> f64 {
        // The root of slope/2 t^2 + from t = orders, in the form that loses no digits and needs no
        // case for a slope of 0.
        let slope = (self.to - self.from) / self.seconds;
        let under_root = (self.from * self.from + 2.0 * slope * orders).max(0.0);
        let divisor = self.from + under_root.sqrt();
        // A rate that rises from 0 has its first order at once, as every other.
        if divisor > 0.0 { (2.0 * orders / divisor).min(self.seconds) } else { 0.0 }
    }
}

/// Why a text is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A part of it is not of the form.
    #[error(
        "`{0}` is no stage of a profile; write `RATE/s for TIME` to hold a rate, or `RATE/s at +TIME` \
         to reach it in a straight line, for instance `500/s for 1m, 20k/s at +26s, 5k/s for 2m`"
    )]
    Stage(String),
    /// A rate is not a number of orders a second.
    #[error(
        "`{0}` is no rate; write orders a second up to 100M, for instance `500`, `20k` or `1.5M`"
    )]
    Rate(String),
    /// A length of time is none.
    #[error(
        "`{0}` is no length of time; write for instance `26s`, `90s`, `5m`, `1m30s` or `500ms`"
    )]
    Time(String),
    /// It is longer than a day, or holds no order.
    #[error("the profile {0}")]
    Whole(&'static str),
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Profile, ProfileError> {
        let mut profile = Profile { text: text.trim().to_owned(), stages: Vec::new() };
        for stage in text.split(',').map(str::trim) {
            profile.push(stage)?;
        }
        let (seconds, orders) = (profile.seconds(), profile.orders());
        if seconds > SECONDS_MAX {
            return Err(ProfileError::Whole("is longer than a day"));
        }
        if orders == 0 {
            return Err(ProfileError::Whole("holds no order"));
        }
        Ok(profile)
    }
}

/// A length of time in seconds, written as a profile writes it: `56s`, `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span(pub f64);

impl FromStr for Span {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Span, ProfileError> {
        parse_time(text.trim()).map(Span)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Profile {
    /// A sale day in four minutes, with this many orders a second at its peak: quiet, the step at
    /// midnight, the peak 26 s later, the long plateau, the evening.
    ///
    /// # Errors
    /// [`ProfileError`] if the peak is below 1 or above what a profile may ask for.
    pub fn double11(peak: f64) -> Result<Profile, ProfileError> {
        let rate = |share: f64| (peak * share).ceil();
        let text = format!(
            "{}/s for 30s, {}/s at +0s, {}/s at +26s, {}/s for 4s, {}/s at +30s, {}/s for 90s, \
             {}/s at +15s, {}/s for 30s, {}/s at +15s",
            rate(0.02),
            rate(0.6),
            rate(1.0),
            rate(1.0),
            rate(0.35),
            rate(0.35),
            rate(0.5),
            rate(0.5),
            rate(0.05),
        );
        text.parse()
    }

    /// How long it lasts, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.stages.last().map_or(0.0, |last| last.starts_at + last.seconds)
    }

    /// How many orders arrive.
    #[must_use]
    pub fn orders(&self) -> u64 {
        self.stages.last().map_or(0.0, |last| last.before + last.orders()).floor() as u64
    }

    /// The highest rate, in orders a second.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.stages.iter().fold(0.0, |peak, stage| peak.max(stage.from).max(stage.to))
    }

    /// When the highest rate is first reached, in seconds after the start.
    #[must_use]
    pub fn peak_at(&self) -> f64 {
        let peak = self.peak();
        let ends = self.stages.iter().flat_map(|stage| {
            [(stage.from, stage.starts_at), (stage.to, stage.starts_at + stage.seconds)]
        });
        ends.filter(|(rate, _)| *rate >= peak).map(|(_, at)| at).fold(f64::INFINITY, f64::min)
    }

    /// The rate so many seconds after the start; 0 behind the end.
    #[must_use]
    pub fn rate_at(&self, second: f64) -> f64 {
        let number = self.stages.partition_point(|stage| stage.starts_at <= second);
        let Some(stage) = number.checked_sub(1).map(|number| self.stages[number]) else {
            return 0.0;
        };
        let since = second - stage.starts_at;
        if since < stage.seconds { stage.rate_at(since) } else { 0.0 }
    }

    /// When the order of this number, from 0, arrives, in milliseconds after the start.
    #[must_use]
    pub fn arrival_ms(&self, order: u64) -> u64 {
        let order = order as f64;
        let number = self.stages.partition_point(|stage| stage.before <= order);
        let Some(stage) = number.checked_sub(1).map(|number| self.stages[number]) else { return 0 };
        ((stage.starts_at + stage.seconds_until(order - stage.before)) * 1_000.0) as u64
    }

    fn push(&mut self, text: &str) -> Result<(), ProfileError> {
        let unreadable = || ProfileError::Stage(text.to_owned());
        let (rate, rest) = text.split_once("/s").ok_or_else(unreadable)?;
        let rate = parse_rate(rate.trim())?;
        let (how, time) = rest.trim().split_once(' ').ok_or_else(unreadable)?;
        let time = time.trim();
        let last = self.stages.last().copied();
        let (from, seconds) = match how {
            "for" => (rate, parse_time(time)?),
            "at" => {
                let time = time.strip_prefix('+').ok_or_else(unreadable)?;
                (last.map_or(0.0, |last| last.to), parse_time(time)?)
            }
            _ => return Err(unreadable()),
        };
        let starts_at = self.seconds();
        let before = last.map_or(0.0, |last| last.before + last.orders());
        // A step is a stage without length: it only says from where the next one starts.
        self.stages.push(Stage { starts_at, seconds, from, to: rate, before });
        Ok(())
    }
}

fn parse_rate(text: &str) -> Result<f64, ProfileError> {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    let rate = plain_number(number).map(|number| number * factor);
    rate.filter(|rate| *rate <= RATE_MAX).ok_or_else(|| ProfileError::Rate(text.to_owned()))
}

/// A sum of numbers with units, as in `1m30s`.
fn parse_time(text: &str) -> Result<f64, ProfileError> {
    let wrong = || ProfileError::Time(text.to_owned());
    let (mut seconds, mut rest) = (0.0, text);
    loop {
        let digits = rest.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|letter: char| !letter.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
        let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        seconds += plain_number(number).ok_or_else(wrong)? * factor;
        if behind.is_empty() {
            return Ok(seconds);
        }
        rest = behind;
    }
}

/// Digits with a point at most: no sign, no exponent, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        text.parse().unwrap()
    }

    fn arrivals(profile: &Profile) -> Vec<u64> {
        (0..profile.orders()).map(|order| profile.arrival_ms(order)).collect()
    }

    #[test]
    fn a_rate_that_is_held_spaces_orders_evenly() {
        let profile = profile("4/s for 1s, 2/s for 1500ms");
        assert_eq!(profile.orders(), 7);
        assert_eq!(arrivals(&profile), [0, 250, 500, 750, 1_000, 1_500, 2_000]);
    }

    #[test]
    fn a_rise_in_a_straight_line_has_half_of_its_orders_after_its_root() {
        let profile = profile("10/s for 1s, 1000/s at +10s");
        assert_eq!(profile.orders(), 10 + 5_050);
        // 10 t + 49.5 t^2 orders after t seconds.
        assert_eq!(profile.arrival_ms(10), 1_000);
        let after_five = 10.0 * 5.0 + 49.5 * 25.0;
        assert!(profile.arrival_ms(10 + after_five as u64).abs_diff(6_000) <= 2);
        assert!((profile.rate_at(6.0) - 505.0).abs() < 1e-9);
    }

    #[test]
    fn every_second_of_a_profile_holds_as_many_orders_as_its_rate_says() {
        for text in
            ["500/s for 3s, 20k/s at +4s, 3k/s at +0s, 3k/s for 2s", "0/s for 1s, 900/s at +3s"]
        {
            let profile = profile(text);
            let mut counted = vec![0_u64; profile.seconds().ceil() as usize];
            for at in arrivals(&profile) {
                counted[(at / 1_000) as usize] += 1;
            }
            for (second, count) in counted.iter().enumerate() {
                let second = second as f64;
                // The trapezoid between the seconds' ends, just inside of them.
                let expected =
                    (profile.rate_at(second) + profile.rate_at(second + 1.0 - 1e-9)) / 2.0;
                assert!(
                    (*count as f64 - expected).abs() <= 2.0,
                    "{text}, second {second}: {count}"
                );
            }
        }
    }

    #[test]
    fn time_never_goes_back_on_double11() {
        let profile = Profile::double11(5_000.0).unwrap();
        assert!((profile.peak() - 5_000.0).abs() < 1e-9);
        assert!((profile.seconds() - 240.0).abs() < 1e-9);
        assert!((profile.peak_at() - 56.0).abs() < 1e-9);
        let arrivals = arrivals(&profile);
        assert!(arrivals.is_sorted());
        assert!(arrivals[arrivals.len() - 1] <= 240_000);
        // Midnight is a step, and the peak comes 26 s after it.
        assert!((profile.rate_at(29.9) - 100.0).abs() < 1e-9);
        assert!((profile.rate_at(30.0) - 3_000.0).abs() < 1e-9);
        assert!((profile.rate_at(56.0) - 5_000.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_profile_is_refused_with_what_to_write() {
        let cases = [
            ("", "stage"),
            ("500 for 1m", "stage"),
            ("500/s during 1m", "stage"),
            ("500/s at 26s", "stage"),
            ("-5/s for 1m", "rate"),
            ("1e3/s for 1m", "rate"),
            ("inf/s for 1m", "rate"),
            ("200M/s for 1s", "rate"),
            ("5/s for 1", "length of time"),
            ("5/s for 1d", "length of time"),
            ("5/s for 1m30", "length of time"),
            ("5/s for 25h", "longer than a day"),
            ("0/s for 1m", "no order"),
        ];
        for (text, hint) in cases {
            let error = text.parse::<Profile>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
