//! A record of the topic `gmv` as the contract, section 6, describes it.
//!
//! Only reading: what becomes of it is for [`crate::totals`] to say. Invariant: whatever is not a
//! counter of the contract is a named [`Unreadable`], never a wrong figure; a counter has one name.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Deserialize;

use crate::calendar::{Day, MINUTE_MS};
use crate::counters::{Answers, Counters};

/// Most partitions that a topic may have.
pub(crate) const PARTITIONS_MAX: u32 = 100_000;
/// The latest time that the contract knows, in milliseconds since 1970-01-01 UTC.
const TIME_MAX_MS: u64 = 1_000_000_000_000_000;
/// Longest name of a category.
const CATEGORY_MAX: usize = 32;

/// Why a record counts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither a counter's value nor, without a value, a counter's key.
    #[error("it is not an object with the contract's fields")]
    NotACounter,
    /// The day is none.
    #[error("its day is no date")]
    NoDay,
    /// A dimension that the contract does not know.
    #[error("its dimension is not one of the contract's")]
    UnknownDimension,
    /// The value does not belong to the dimension, or is not written as the contract does.
    #[error("its value does not belong to its dimension")]
    WrongValue,
    /// The key is not that of the counter in the value.
    #[error("its key is that of another counter")]
    WrongKey,
    /// A partition or a time that there cannot be.
    #[error("its partition or its time is out of range")]
    OutOfRange,
}

/// A dimension of few values, each with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `app`, `web`, …
    Channel,
    /// `urban` or `rural`.
    Area,
    /// `ship` or `pickup`.
    Fulfilment,
    /// First two digits of the region.
    Province,
    /// The SKU's category.
    Category,
}

impl Split {
    /// All of them, in the order of their numbers.
    pub const ALL: [Split; 5] =
        [Split::Channel, Split::Area, Split::Fulfilment, Split::Province, Split::Category];

    /// The dimension's name.
    pub fn name(self) -> &'static str {
        match self {
            Split::Channel => "channel",
            Split::Area => "area",
            Split::Fulfilment => "fulfilment",
            Split::Province => "province",
            Split::Category => "category",
        }
    }

    fn has(self, value: &str) -> bool {
        match self {
            Split::Channel => matches!(
                value,
                "app" | "web" | "mini_program" | "livestream" | "store" | "phone" | "other"
            ),
            Split::Area => matches!(value, "urban" | "rural"),
            Split::Fulfilment => matches!(value, "ship" | "pickup"),
            Split::Province => matches!(value.as_bytes(), [b'0'..=b'9', b'0'..=b'9']),
            Split::Category => {
                let is_known =
                    |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
                (1..=CATEGORY_MAX).contains(&value.len()) && value.bytes().all(is_known)
            }
        }
    }
}

/// What a counter counts: dimension and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Everything, with the four further counters.
    All(Answers),
    /// A value of a dimension of few values.
    Split(Split, Cow<'a, str>),
    /// floor(T / 60,000).
    Minute(u64),
    /// A merchant.
    Merchant(u64),
    /// A merchant's location.
    Location(u64, u32),
}

/// One counter of one partition: absolute totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterRecord<'a> {
    /// The input partition.
    pub partition: u32,
    /// The business day.
    pub day: Day,
    /// What is counted.
    pub subject: Subject<'a>,
    /// The totals.
    pub counters: Counters,
    /// T when they were written, in milliseconds; 0 for a counter that was deleted.
    pub at_ms: u64,
}

#[derive(Deserialize)]
struct Value<'a> {
    partition: u32,
    #[serde(borrow)]
    day: Cow<'a, str>,
    #[serde(borrow)]
    dimension: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    orders_placed: u64,
    placed: u128,
    orders_settled: u64,
    units_settled: u64,
    settled: u128,
    orders_refunded: u64,
    refunded: u128,
    /// These four are there for dimension `all`.
    orders_rejected: Option<u64>,
    orders_released: Option<u64>,
    dead_letters: Option<u64>,
    duplicates: Option<u64>,
    /// It has to be there, and that is all.
    #[serde(rename = "offset")]
    _offset: u64,
    at: u64,
}

impl Value<'_> {
    fn answers(&self) -> Option<Answers> {
        Some(Answers {
            orders_rejected: self.orders_rejected?,
            orders_released: self.orders_released?,
            dead_letters: self.dead_letters?,
            duplicates: self.duplicates?,
        })
    }
}

/// What a key names: partition, day, dimension and value.
type Named<'a> = (u32, &'a str, &'a str, &'a str);

/// The key is `partition/day/dimension/value`.
fn named(key: &[u8]) -> Option<Named<'_>> {
    let mut parts = std::str::from_utf8(key).ok()?.splitn(4, '/');
    Some((number(parts.next()?)?, parts.next()?, parts.next()?, parts.next()?))
}

/// A number as the contract writes it: `+7` and `07` would be other names of the same.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    (is_plain && is_shortest).then(|| text.parse().ok()).flatten()
}

impl<'a> CounterRecord<'a> {
    /// Reads a record. One without a value says that its counter was deleted, which is a counter of
    /// nothing.
    pub fn read(
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<CounterRecord<'a>, Unreadable> {
        let Some(value) = value else { return CounterRecord::deleted(key.unwrap_or_default()) };
        let value: Value<'a> =
            serde_json::from_slice(value).map_err(|_| Unreadable::NotACounter)?;
        let names = (value.partition, &*value.day, &*value.dimension, &*value.value);
        let is_its_key = key.and_then(named) == Some(names);
        if value.partition >= PARTITIONS_MAX || value.at > TIME_MAX_MS {
            return Err(Unreadable::OutOfRange);
        }
        let answers = value.answers();
        let record = CounterRecord {
            partition: value.partition,
            day: value.day.parse().map_err(|_| Unreadable::NoDay)?,
            subject: subject(&value.dimension, value.value, answers)?,
            counters: Counters {
                orders_placed: value.orders_placed,
                placed: value.placed,
                orders_settled: value.orders_settled,
                units_settled: value.units_settled,
                settled: value.settled,
                orders_refunded: value.orders_refunded,
                refunded: value.refunded,
            },
            at_ms: value.at,
        };
        if is_its_key { Ok(record) } else { Err(Unreadable::WrongKey) }
    }

    fn deleted(key: &'a [u8]) -> Result<CounterRecord<'a>, Unreadable> {
        let (partition, day, dimension, value) = named(key).ok_or(Unreadable::NotACounter)?;
        Ok(CounterRecord {
            partition,
            day: day.parse().map_err(|_| Unreadable::NoDay)?,
            subject: subject(dimension, Cow::Borrowed(value), Some(Answers::default()))?,
            counters: Counters::default(),
            at_ms: 0,
        })
    }

    /// Whether nothing is counted, as of a counter that was deleted: a counter exists from its first
    /// event on.
    pub(crate) fn is_deleted(&self) -> bool {
        let answers = match self.subject {
            Subject::All(answers) => answers,
            _ => Answers::default(),
        };
        self.counters == Counters::default() && answers == Answers::default()
    }
}

/// `answers` is for dimension `all` alone.
fn subject<'a>(
    dimension: &str,
    value: Cow<'a, str>,
    answers: Option<Answers>,
) -> Result<Subject<'a>, Unreadable> {
    if let Some(split) = Split::ALL.into_iter().find(|split| split.name() == dimension) {
        let subject = split.has(&value).then_some(Subject::Split(split, value));
        return subject.ok_or(Unreadable::WrongValue);
    }
    let subject = match dimension {
        "all" if value == "all" => {
            return answers.map(Subject::All).ok_or(Unreadable::NotACounter);
        }
        "all" => None,
        "minute" => {
            let minute = number(&value).filter(|minute| *minute <= TIME_MAX_MS / MINUTE_MS);
            minute.map(Subject::Minute)
        }
        "merchant" => number(&value).map(Subject::Merchant),
        "location" => value.split_once(':').and_then(|(merchant, location)| {
            Some(Subject::Location(number(merchant)?, number(location)?))
        }),
        _ => return Err(Unreadable::UnknownDimension),
    };
    subject.ok_or(Unreadable::WrongValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As section 6 of the contract writes it.
    fn written(dimension: &str, value: &str) -> String {
        let further = match dimension {
            "all" => {
                r#""orders_rejected":8,"orders_released":9,"dead_letters":10,"duplicates":11,"#
            }
            _ => "",
        };
        format!(
            r#"{{"partition":3,"day":"2025-11-11","dimension":"{dimension}","value":"{value}","orders_placed":1,"placed":2,"orders_settled":3,"units_settled":4,"settled":340282366920938463463374607431768211455,"orders_refunded":6,"refunded":7,{further}"offset":12,"at":1762790400000}}"#
        )
    }

    /// A record with this value, under the key that belongs to it.
    fn read<'a>(key: &'a str, text: &'a str) -> Result<CounterRecord<'a>, Unreadable> {
        CounterRecord::read(Some(key.as_bytes()), Some(text.as_bytes()))
    }

    fn key(dimension: &str, value: &str) -> String {
        format!("3/2025-11-11/{dimension}/{value}")
    }

    #[test]
    fn no_field_is_taken_for_another() {
        let (key, text) = (key("all", "all"), written("all", "all"));
        let record = read(&key, &text).unwrap();
        assert_eq!((record.partition, record.day, record.at_ms), (3, Day(20_403), 1762790400000));
        let Counters { orders_placed, placed, orders_settled, units_settled, settled, .. } =
            record.counters;
        assert_eq!((orders_placed, placed, orders_settled, units_settled), (1, 2, 3, 4));
        assert_eq!(settled, u128::MAX);
        assert_eq!((record.counters.orders_refunded, record.counters.refunded), (6, 7));
        let answers =
            Answers { orders_rejected: 8, orders_released: 9, dead_letters: 10, duplicates: 11 };
        assert_eq!(record.subject, Subject::All(answers));
    }

    #[test]
    fn every_dimension_of_the_contract_is_known() {
        let split = |split, value| Subject::Split(split, Cow::Borrowed(value));
        let table = [
            ("channel", "livestream", split(Split::Channel, "livestream")),
            ("area", "rural", split(Split::Area, "rural")),
            ("fulfilment", "pickup", split(Split::Fulfilment, "pickup")),
            ("province", "33", split(Split::Province, "33")),
            ("category", "agri.fruit", split(Split::Category, "agri.fruit")),
            ("minute", "29379840", Subject::Minute(29_379_840)),
            ("merchant", "18446744073709551615", Subject::Merchant(u64::MAX)),
            ("location", "1001:7", Subject::Location(1001, 7)),
        ];
        for (dimension, value, subject) in table {
            let key = key(dimension, value);
            assert_eq!(read(&key, &written(dimension, value)).unwrap().subject, subject);
            let deleted = CounterRecord::read(Some(key.as_bytes()), None).unwrap();
            assert_eq!((deleted.partition, deleted.subject), (3, subject));
            assert_eq!(deleted.counters, Counters::default());
        }
    }

    #[test]
    fn what_is_no_counter_is_told_by_name() {
        let all = written("all", "all");
        let without = |field: &str| {
            let from = all.find(field).unwrap();
            let to = from + all[from..].find(',').unwrap();
            format!("{}{}", &all[..from], &all[to + 1..])
        };
        let table = [
            (String::new(), Unreadable::NotACounter),
            ("{}".to_owned(), Unreadable::NotACounter),
            (all.replace("2025-11-11", "2025-11-31"), Unreadable::NoDay),
            (without("\"refunded\""), Unreadable::NotACounter),
            (without("\"offset\""), Unreadable::NotACounter),
            // A figure that is missing is not 0.
            (without("\"orders_rejected\""), Unreadable::NotACounter),
            (without("\"orders_released\""), Unreadable::NotACounter),
            (without("\"dead_letters\""), Unreadable::NotACounter),
            (without("\"duplicates\""), Unreadable::NotACounter),
            // From the future it would keep old figures from ever looking old.
            (all.replace("1762790400000", "1000000000000001"), Unreadable::OutOfRange),
            (all.replace("\"partition\":3", "\"partition\":100000"), Unreadable::OutOfRange),
        ];
        for (text, why) in table {
            assert_eq!(read(&key("all", "all"), &text), Err(why), "{text}");
        }
        assert_eq!(CounterRecord::read(None, None), Err(Unreadable::NotACounter));
    }

    /// Neither as a figure nor as its deletion: a second name of a value would count it twice.
    #[test]
    fn a_value_is_one_of_its_dimension_and_has_one_name() {
        let table = [
            ("brand", "x", Unreadable::UnknownDimension),
            ("all", "some", Unreadable::WrongValue),
            ("channel", "App", Unreadable::WrongValue),
            ("area", "suburb", Unreadable::WrongValue),
            ("fulfilment", "", Unreadable::WrongValue),
            ("province", "330", Unreadable::WrongValue),
            ("province", "3x", Unreadable::WrongValue),
            ("category", "", Unreadable::WrongValue),
            ("category", "agri/fruit", Unreadable::WrongValue),
            ("category", "a-category-name-of-33-characters-", Unreadable::WrongValue),
            ("minute", "noon", Unreadable::WrongValue),
            ("minute", "029379840", Unreadable::WrongValue),
            ("minute", "16666666667", Unreadable::WrongValue),
            ("merchant", "+7", Unreadable::WrongValue),
            ("merchant", "18446744073709551616", Unreadable::WrongValue),
            ("location", "1001", Unreadable::WrongValue),
            ("location", "1001:07", Unreadable::WrongValue),
            ("location", "01001:7", Unreadable::WrongValue),
        ];
        for (dimension, value, why) in table {
            let key = key(dimension, value);
            assert_eq!(read(&key, &written(dimension, value)), Err(why), "{key}");
            assert_eq!(CounterRecord::read(Some(key.as_bytes()), None), Err(why), "{key}");
        }
    }

    /// Compaction goes by keys: under another one a counter would stay beside its successors.
    #[test]
    fn a_counter_under_the_key_of_another_is_none() {
        let text = written("merchant", "7");
        assert!(read("3/2025-11-11/merchant/7", &text).is_ok());
        for other in [
            "",
            "key",
            "2/2025-11-11/merchant/7",
            "03/2025-11-11/merchant/7",
            "3/2025-11-12/merchant/7",
            "3/2025-11-11/location/7",
            "3/2025-11-11/merchant/8",
            "3/2025-11-11/merchant/7/",
        ] {
            assert_eq!(read(other, &text), Err(Unreadable::WrongKey), "{other}");
        }
        let keyless = CounterRecord::read(None, Some(text.as_bytes()));
        assert_eq!(keyless, Err(Unreadable::WrongKey));
        let deleted = CounterRecord::read(Some(b"03/2025-11-11/merchant/7"), None);
        assert_eq!(deleted, Err(Unreadable::NotACounter));
    }
}
