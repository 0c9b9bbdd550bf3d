//! Why a record is refused before the state machine sees it: named values with a helpful text.
//!
//! Only the checks that need no state (`too_large`, `invalid`, `misrouted`). Invariant: the code is
//! fixed by the contract, the text is not and may change; it repeats nothing the publisher wrote but
//! numbers, so its length is bounded.

use std::fmt;

use ledger::effect::DeadLetter;
use ledger::units::MerchantId;
use thiserror::Error;

use crate::commands::CommandType;

/// A record that goes to the dead letters instead of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct Refused {
    /// The contract's code.
    pub code: DeadLetter,
    /// What is wrong, for the reader of the dead letter.
    pub why: Why,
}

impl From<Why> for Refused {
    fn from(why: Why) -> Refused {
        let code = match why {
            Why::TooLarge { .. } => DeadLetter::TooLarge,
            Why::NoValue | Why::Syntax { .. } | Why::Field { .. } => DeadLetter::Invalid,
            Why::WrongKey { .. } | Why::WrongPartition { .. } => DeadLetter::Misrouted,
        };
        Refused { code, why }
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Why {
    /// The value is too long to be looked at.
    #[error("the value has {bytes} bytes, {max} are allowed", max = crate::decode::VALUE_BYTES_MAX)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The record has no value.
    #[error("the record has no value")]
    NoValue,
    /// The value is not one JSON object as the contract wants it.
    #[error("not a JSON object at byte {at}: {syntax}")]
    Syntax {
        /// Where reading stopped.
        at: usize,
        /// What was wrong there.
        syntax: Syntax,
    },
    /// A listed field is not as the contract wants it.
    #[error("{}{place}{} {problem}", Prefix(*command), Name(*place, field))]
    Field {
        /// The command, once its type is known.
        command: Option<CommandType>,
        /// The object that the field belongs to.
        place: Place,
        /// The field; empty if the place itself is wrong.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The key is not the merchant's.
    #[error("the key must be the digits of \"merchant_id\", {}", merchant.0)]
    WrongKey {
        /// The merchant that the command names.
        merchant: MerchantId,
    },
    /// The key is right, the partition is not.
    #[error("merchant {} belongs to partition {right} (murmur2), not {partition}", merchant.0)]
    WrongPartition {
        /// The merchant that the command names.
        merchant: MerchantId,
        /// Where the record stands.
        partition: u32,
        /// Where it belongs.
        right: u32,
    },
}

/// How a text fails to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Syntax {
    /// The first byte is not the one that opens an object.
    #[error("the first byte must be '{{'")]
    NotAnObject,
    /// Some other byte had to stand here, or the text ends too early.
    #[error("unexpected byte or end")]
    Unexpected,
    /// Something follows the object.
    #[error("something follows the object")]
    Trailing,
    /// Objects and lists lie too deep in each other.
    #[error("nested deeper than {}", crate::json::DEPTH_MAX)]
    TooDeep,
    /// Bytes that are no character.
    #[error("not UTF-8")]
    NotUtf8,
    /// A raw control character in a string.
    #[error("control character in a string")]
    Control,
    /// An escape that JSON does not know.
    #[error("unknown escape")]
    Escape,
    /// Half of a surrogate pair.
    #[error("unpaired surrogate")]
    Surrogate,
    /// Not a number by JSON's grammar.
    #[error("malformed number")]
    Number,
}

/// The object that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The command itself.
    Command,
    /// The element of `lines` with this index.
    Line(u8),
    /// The object `fulfilment`.
    Fulfilment,
    /// The object `presale`.
    Presale,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Problem {
    /// It is required and absent (or `null`).
    #[error("is missing")]
    Missing,
    /// It stands twice in one object.
    #[error("stands twice")]
    Twice,
    /// Its value is not allowed.
    #[error("must be {0}")]
    Must(Must),
}

/// What a field's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Must {
    /// A plain integer in a range.
    #[error("{min}..={max}, a number without fraction, exponent or -0")]
    Integer {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Any integer of the range but 0.
    #[error("a plain integer other than 0 of {min}..={max}")]
    Nonzero {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number or a string of digits.
    #[error("an unsigned {bits}-bit number, or a string of 1 to 39 digits with such a value")]
    Unsigned {
        /// Width of the number.
        bits: u8,
    },
    /// A location that can be opened and closed.
    #[error("above 0")]
    AboveZero,
    /// An id that the publisher chose.
    #[error("a string of 1 to 40 characters A-Z a-z 0-9 _ . : -")]
    ExternalId,
    /// A category's name.
    #[error("a string of 1 to 32 characters a-z 0-9 . _ -")]
    Category,
    /// A region's code.
    #[error("a string of 6 digits")]
    Region,
    /// Any string.
    #[error("a string")]
    Text,
    /// One of a few names.
    #[error("one of {}", Names(.0))]
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    #[error("true or false")]
    Boolean,
    /// An object.
    #[error("an object")]
    Object,
    /// A list of so many objects.
    #[error("a list of {min} to 100 objects")]
    Lines {
        /// Fewest elements.
        min: u8,
    },
    /// The gross sum is out of range.
    #[error("lines whose gross sum is at most 10^15")]
    GrossInRange,
    /// The discount exceeds what is discounted.
    #[error("at most the gross sum of the lines")]
    AtMostGross,
    /// The deposit is not a part of the amount.
    #[error("at least 1 and below the order's amount")]
    BelowAmount,
    /// A presale cannot settle on placement.
    #[error("absent when \"settle\" is \"on_placement\"")]
    AbsentOnPlacement,
    /// Stock moves between two locations.
    #[error("another location than \"from\"")]
    OtherThanFrom,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Command => f.write_str("\""),
            Place::Line(index) => write!(f, "\"lines[{index}]"),
            Place::Fulfilment => f.write_str("\"fulfilment"),
            Place::Presale => f.write_str("\"presale"),
        }
    }
}

/// The rest of a field's path behind its place, and the closing quote.
struct Name(Place, &'static str);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.0 == Place::Command || self.1.is_empty() { "" } else { "." };
        write!(f, "{dot}{}\"", self.1)
    }
}

/// The command's type in front of a field's path.
struct Prefix(Option<CommandType>);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |command| write!(f, "{}: ", command.name()))
    }
}

/// Names in quotes, with commas between.
struct Names(&'static [&'static str]);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}\"{name}\"", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
