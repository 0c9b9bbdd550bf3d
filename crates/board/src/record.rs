//! A record of the topic `gmv` as the contract, section 6, describes it.
//!
//! Only reading: what becomes of it is for [`crate::totals`] to say. Invariant: whatever is not a
//! counter of the contract is a named [`Unreadable`], never a wrong figure.

use std::borrow::Cow;

use serde::Deserialize;

use crate::calendar::Day;
use crate::counters::{Answers, Counters};

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
    /// The value does not belong to the dimension.
    #[error("its value does not belong to its dimension")]
    WrongValue,
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
    #[serde(default)]
    orders_rejected: u64,
    #[serde(default)]
    orders_released: u64,
    #[serde(default)]
    dead_letters: u64,
    #[serde(default)]
    duplicates: u64,
    at: u64,
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
        let answers = Answers {
            orders_rejected: value.orders_rejected,
            orders_released: value.orders_released,
            dead_letters: value.dead_letters,
            duplicates: value.duplicates,
        };
        Ok(CounterRecord {
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
        })
    }

    /// The key is `partition/day/dimension/value`.
    fn deleted(key: &'a [u8]) -> Result<CounterRecord<'a>, Unreadable> {
        let key = std::str::from_utf8(key).map_err(|_| Unreadable::NotACounter)?;
        let mut parts = key.splitn(4, '/');
        let mut part = || parts.next().ok_or(Unreadable::NotACounter);
        let (partition, day, dimension, value) = (part()?, part()?, part()?, part()?);
        Ok(CounterRecord {
            partition: partition.parse().map_err(|_| Unreadable::NotACounter)?,
            day: day.parse().map_err(|_| Unreadable::NoDay)?,
            subject: subject(dimension, Cow::Borrowed(value), Answers::default())?,
            counters: Counters::default(),
            at_ms: 0,
        })
    }
}

fn subject<'a>(
    dimension: &str,
    value: Cow<'a, str>,
    answers: Answers,
) -> Result<Subject<'a>, Unreadable> {
    if let Some(split) = Split::ALL.into_iter().find(|split| split.name() == dimension) {
        return Ok(Subject::Split(split, value));
    }
    let number = |text: &str| text.parse().map_err(|_| Unreadable::WrongValue);
    match dimension {
        "all" if value == "all" => Ok(Subject::All(answers)),
        "all" => Err(Unreadable::WrongValue),
        "minute" => number(&value).map(Subject::Minute),
        "merchant" => number(&value).map(Subject::Merchant),
        "location" => {
            let (merchant, location) = value.split_once(':').ok_or(Unreadable::WrongValue)?;
            let location = location.parse().map_err(|_| Unreadable::WrongValue)?;
            Ok(Subject::Location(number(merchant)?, location))
        }
        _ => Err(Unreadable::UnknownDimension),
    }
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

    fn read<'a>(text: &'a str) -> Result<CounterRecord<'a>, Unreadable> {
        CounterRecord::read(Some(b"key"), Some(text.as_bytes()))
    }

    #[test]
    fn no_field_is_taken_for_another() {
        let text = written("all", "all");
        let record = read(&text).unwrap();
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
            assert_eq!(read(&written(dimension, value)).unwrap().subject, subject);
            let key = format!("3/2025-11-11/{dimension}/{value}");
            let deleted = CounterRecord::read(Some(key.as_bytes()), None).unwrap();
            assert_eq!((deleted.partition, deleted.subject), (3, subject));
            assert_eq!(deleted.counters, Counters::default());
        }
    }

    #[test]
    fn what_is_no_counter_is_told_by_name() {
        let text = written("all", "all");
        let table = [
            (String::new(), Unreadable::NotACounter),
            ("{}".to_owned(), Unreadable::NotACounter),
            (text.replace("2025-11-11", "2025-11-31"), Unreadable::NoDay),
            (text.replace("\"refunded\":7,", ""), Unreadable::NotACounter),
            (written("brand", "x"), Unreadable::UnknownDimension),
            (written("all", "some"), Unreadable::WrongValue),
            (written("minute", "noon"), Unreadable::WrongValue),
            (written("location", "1001"), Unreadable::WrongValue),
        ];
        for (text, why) in table {
            assert_eq!(read(&text), Err(why), "{text}");
        }
        assert_eq!(CounterRecord::read(None, None), Err(Unreadable::NotACounter));
    }
}
