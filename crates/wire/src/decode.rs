//! Records to commands: the checks that need no state, in the order of the contract's section 4.1.
//!
//! Not the reading of JSON (`json`), of fields (`fields`), of each command (`commands`) or of one that is
//! laid out as another (`layout`). Invariant:
//! a record is `too_large`, else `invalid`, else `misrouted`, else a command; nothing but the record
//! and the route decides which.

use bumpalo::Bump;
use ledger::command::Command;
use ledger::rules::Partitioner;
use ledger::units::MerchantId;

use crate::commands;
use crate::fields::{Fault, Reader, Staging};
use crate::json::{Json, write_out};
use crate::layout::{Layouts, Values};
use crate::partition::partition_of;
use crate::record::Record;
use crate::refused::{Place, Refused, Why};

/// Largest value in bytes that is looked at.
pub const VALUE_BYTES_MAX: usize = 262_144;

/// Where the records of a decoder come from, and how they were spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The input partition.
    pub partition: u32,
    /// How many there are; at least 1.
    pub partitions: u32,
    /// Whether the partition is checked.
    pub partitioner: Partitioner,
}

/// What decoded commands borrow besides their records: their lines, and text that was written with
/// escapes. It holds as many commands as are decoded into it, so a batch can be decoded ahead; once
/// it has grown to the largest batch it allocates no more.
#[derive(Debug, Default)]
pub struct Scratch(Bump);

impl Scratch {
    /// An empty scratch.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Forgets all commands; their memory is used again.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    #[inline]
    pub(crate) fn keep<T: Copy>(&self, items: &[T]) -> &[T] {
        self.0.alloc_slice_copy(items)
    }

    fn keep_text(&self, text: &str) -> &str {
        self.0.alloc_str(text)
    }
}

/// Decodes the records of one input partition.
#[derive(Debug)]
pub struct Decoder {
    route: Route,
    staging: Staging,
    layouts: Layouts,
}

impl Decoder {
    /// A decoder for records of this route.
    pub fn new(route: Route) -> Decoder {
        Decoder { route, staging: Staging::default(), layouts: Layouts::default() }
    }

    /// The command of a record. It borrows from the record's value and from `scratch`.
    ///
    /// # Errors
    /// Whatever the contract's sections 1 to 3 do not allow, by the first check that fails.
    pub fn decode<'a>(
        &mut self,
        record: &Record<'a>,
        scratch: &'a Scratch,
    ) -> Result<Command<'a>, Refused> {
        let value = record.value.ok_or(Why::NoValue)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Why::TooLarge { bytes: value.len() }.into());
        }
        let home = Home { route: self.route, key: record.key };
        let mut values = Values::new();
        let known = self.layouts.read(value, &mut self.staging, scratch, &mut values);
        if let Some(command_type) = known
            && home.is_of(values.merchant())
            && let Some(command) = values.command(command_type)
        {
            return Ok(command);
        }
        self.stranger(value, home, scratch)
    }

    /// The command of a record that is not laid out as one before it, or what is wrong with it.
    #[inline(never)]
    fn stranger<'a>(
        &mut self,
        value: &'a [u8],
        home: Home<'_>,
        scratch: &'a Scratch,
    ) -> Result<Command<'a>, Refused> {
        let command = self.read(Json::new(value), scratch);
        if let Ok(command) = &command {
            if let Some(merchant) = commands::merchant_of(command) {
                home.check(merchant)?;
            }
            self.layouts.learn(value, command, &mut self.staging, scratch);
        }
        command
    }

    #[inline(never)]
    fn read<'a>(&mut self, json: Json<'a>, scratch: &'a Scratch) -> Result<Command<'a>, Refused> {
        let staging = &mut self.staging;
        let mut reader = Reader { json, place: Place::Command, type_seen: false, staging, scratch };
        let mut command = None;
        let fault = match reader.command(&mut command) {
            Ok(command) => return Ok(command),
            Err(fault) => fault,
        };
        let (at, place) = (reader.json.at(), reader.place);
        match fault {
            Fault::Syntax(syntax) => Err(Why::Syntax { at, syntax }.into()),
            Fault::Field(field, problem) => {
                Err(Why::Field { command, place, field, problem }.into())
            }
            Fault::Escapes => self.read_written_out(json.text(), scratch),
        }
    }

    /// Reads a text in which a key or a listed string is written with escapes: it is written out
    /// first, which is slow, rare, and leaves no second way to compare strings.
    #[cold]
    #[inline(never)]
    fn read_written_out<'a>(
        &mut self,
        text: &[u8],
        scratch: &'a Scratch,
    ) -> Result<Command<'a>, Refused> {
        let mut json = Json::new(text);
        json.skip(0)
            .and_then(|()| json.end())
            .and_then(|()| write_out(text, &mut self.staging.written_out))
            .map_err(|syntax| Why::Syntax { at: json.at(), syntax })?;
        let plain = scratch.keep_text(&self.staging.written_out);
        self.read(Json::of_written_out(plain), scratch)
    }
}

/// What a record says about where it belongs, besides its merchant.
#[derive(Debug, Clone, Copy)]
struct Home<'k> {
    route: Route,
    key: Option<&'k [u8]>,
}

impl Home<'_> {
    /// Whether it is that of this merchant's records.
    #[inline(always)]
    fn is_of(self, merchant: MerchantId) -> bool {
        self.has_key_of(merchant) && self.right_partition() == self.route.partition
    }

    /// The key must be the merchant's digits, and the partition the key's.
    fn check(self, merchant: MerchantId) -> Result<(), Why> {
        if self.is_of(merchant) {
            return Ok(());
        }
        if !self.has_key_of(merchant) {
            return Err(Why::WrongKey { merchant });
        }
        let (partition, right) = (self.route.partition, self.right_partition());
        Err(Why::WrongPartition { merchant, partition, right })
    }

    #[inline(always)]
    fn has_key_of(self, merchant: MerchantId) -> bool {
        whole_number(self.key.unwrap_or_default()) == Some(merchant.0)
    }

    /// The partition that the key belongs to.
    #[inline(always)]
    fn right_partition(self) -> u32 {
        let Route { partition, partitions, partitioner } = self.route;
        match (partitioner, self.key) {
            (Partitioner::Murmur2, Some(key)) => partition_of(key, partitions),
            _ => partition,
        }
    }
}

/// The number that these digits are, which have no zero before them.
#[inline(always)]
fn whole_number(digits: &[u8]) -> Option<u64> {
    let mut json = Json::new(digits);
    let value = json.digits()?;
    json.rest().is_empty().then_some(value)
}
