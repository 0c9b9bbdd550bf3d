//! Reading one object of a command: its listed fields, each at most once, and the unknown rest.
//!
//! Which fields there are is said in `commands`; here is how a field of each kind is read.
//! Invariant: a field's value is checked the moment it is met, whether or not it will have an effect.

use std::ops::RangeInclusive;

use ledger::command::{Command, ExternalId, Line, RefundLine};
use ledger::units::{Category, Channel, MONEY_AND_TIME_MAX, Money, Region, Units};

use crate::commands::{self, CommandType};
use crate::decode::Scratch;
use crate::json::{Json, Name, Stop};
use crate::refused::{Must, Place, Problem, Syntax};

/// Largest number of one SKU in a line.
pub(crate) const QTY_MAX: u64 = 1_000_000;
/// Most elements of `lines`.
pub(crate) const LINES_MAX: usize = 100;
/// The names of `area`, urban first.
pub(crate) const AREAS: &[&str] = &["urban", "rural"];
/// The names of the channels, in the order of [`Channel::ALL`].
pub(crate) const CHANNELS: &[&str] = &{
    let (mut names, mut index) = ([""; Channel::ALL.len()], 0);
    while index < names.len() {
        names[index] = Channel::ALL[index].name();
        index += 1;
    }
    names
};
/// Digits of a region.
pub(crate) const REGION_DIGITS: usize = 6;
/// Most fields that are listed for one shape.
pub(crate) const FIELDS_MAX: usize = 15;
/// Largest length of a number that is written as a string.
const DIGITS_MAX: usize = 39;

/// Why reading a command stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The text is not JSON.
    Syntax(Syntax),
    /// A string that is needed is written with escapes.
    Escapes,
    /// A field is wrong; its name is added by whoever knows it.
    Field(&'static str, Problem),
}

impl From<Syntax> for Fault {
    fn from(syntax: Syntax) -> Fault {
        Fault::Syntax(syntax)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        match stop {
            Stop::Syntax(syntax) => Fault::Syntax(syntax),
            Stop::Escapes => Fault::Escapes,
        }
    }
}

impl From<Must> for Fault {
    fn from(must: Must) -> Fault {
        Fault::Field("", Problem::Must(must))
    }
}

/// The state of reading one command.
#[derive(Debug)]
pub(crate) struct Reader<'r, 'a> {
    pub(crate) json: Json<'a>,
    /// The object being read, for the depth of what it skips and for the message when it is wrong.
    pub(crate) place: Place,
    /// The field `type` has been passed.
    pub(crate) type_seen: bool,
    /// The command's lines as far as they are read.
    pub(crate) staging: &'r mut Staging,
    /// Where they go when they are complete.
    pub(crate) scratch: &'a Scratch,
}

/// Buffers that are used again for every record; they grow up to the contract's bounds.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    pub(crate) lines: Vec<Line>,
    pub(crate) refund_lines: Vec<RefundLine>,
    /// Of each shape, which field came behind which the last time; behind the last, which was first.
    /// A publisher writes its fields in one order, so most keys need only be confirmed.
    guesses: [[u8; FIELDS_MAX + 1]; SHAPES],
    /// The value written without escapes, if they matter.
    pub(crate) written_out: String,
}

/// Reads the rest of the object under the cursor: fills a variable for each listed field by the
/// expression beside it, and passes what is not listed. A required field's variable is then its value,
/// an optional one's an `Option`.
macro_rules! fields {
    (
        $reader:ident, $shape:ident:
        required { $($required_name:literal => $required:ident = $read_required:expr;)* }
        optional { $($optional_name:literal => $optional:ident = $read_optional:expr;)* }
    ) => {
        const NAMES: &[$crate::json::Name] = &[
            $($crate::json::Name::new($required_name),)*
            $($crate::json::Name::new($optional_name),)*
        ];
        const { assert!(NAMES.len() <= $crate::fields::FIELDS_MAX, "each field has its guess") };
        #[allow(non_camel_case_types, reason = "numbers the fields by the names of their variables")]
        enum Listed { $($required,)* $($optional,)* }
        $(let mut $required = None;)*
        $(let mut $optional = None;)*
        let mut met = 0_u32;
        let mut last = NAMES.len();
        while let Some(index) = $reader.listed($crate::fields::Shape::$shape, NAMES, last)? {
            last = index;
            if (met >> index) & 1 == 1 {
                return Err($crate::fields::twice(NAMES[index].text));
            }
            met |= 1 << index;
            let start = $reader.json.rest();
            $(if index == Listed::$required as usize {
                match $read_required {
                    Ok(value) => $required = Some(value),
                    Err(fault) => $reader.null($required_name, start, fault)?,
                }
                continue;
            })*
            $(if index == Listed::$optional as usize {
                match $read_optional {
                    Ok(value) => $optional = Some(value),
                    Err(fault) => $reader.null($optional_name, start, fault)?,
                }
                continue;
            })*
        }
        $(let Some($required) = $required else {
            return Err($crate::fields::missing($required_name));
        };)*
    };
}
pub(crate) use fields;

/// The objects whose fields are listed somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    OrderPlaced,
    Line,
    Fulfilment,
    Presale,
    OrderPaid,
    OrderCancelled,
    OrderRefunded,
    RefundLine,
    StockReceived,
    StockMoved,
    SkuListed,
    SkuWithdrawn,
    LocationOpened,
    LocationClosed,
}

/// Number of shapes.
const SHAPES: usize = Shape::LocationClosed as usize + 1;

impl<'a> Reader<'_, 'a> {
    /// Passes members up to the next listed one, whose index in `names` it gives.
    #[inline(always)]
    pub(crate) fn listed(
        &mut self,
        shape: Shape,
        names: &'static [Name],
        last: usize,
    ) -> Result<Option<usize>, Fault> {
        loop {
            let guess = usize::from(self.staging.guesses[shape as usize][last]);
            if let Some(name) = names.get(guess)
                && self.json.passes_name(name)
            {
                return Ok(Some(guess));
            }
            if !self.json.member()? {
                return Ok(None);
            }
            if let Some(index) = self.looked_up(shape, names, last)? {
                return Ok(Some(index));
            }
        }
    }

    /// No value begins as `null` does: one that could not be read may be that.
    #[inline(always)]
    pub(crate) fn null(
        &mut self,
        name: &'static str,
        start: &'a [u8],
        fault: Fault,
    ) -> Result<(), Fault> {
        self.aside(|reader| {
            let Fault::Field("", problem) = fault else { return Err(fault) };
            reader.json.go_back(start);
            if reader.json.peek() == b'n' {
                return Ok(reader.json.literal("null")?);
            }
            Err(Fault::Field(name, problem))
        })
    }

    /// Passes the member under the cursor unless it is listed, whatever was guessed.
    #[inline(always)]
    fn looked_up(
        &mut self,
        shape: Shape,
        names: &'static [Name],
        last: usize,
    ) -> Result<Option<usize>, Fault> {
        self.aside(|reader| {
            let key = reader.json.key()?;
            let index = names.iter().position(|name| name.text.as_bytes() == key);
            match index {
                Some(index) => reader.staging.guesses[shape as usize][last] = index as u8,
                None => reader.unlisted(key)?,
            }
            Ok(index)
        })
    }

    /// Reads with a reader that is a copy of this one, in a place of its own. This one's address stays
    /// unknown to every call, so that it can be kept in registers.
    #[inline(always)]
    pub(crate) fn apart<T>(&mut self, read: impl FnOnce(&mut Reader<'_, 'a>) -> T) -> T {
        let Reader { json, place, type_seen, scratch, .. } = *self;
        let mut own = Reader { json, place, type_seen, scratch, staging: &mut *self.staging };
        let value = read(&mut own);
        let Reader { json, place, type_seen, .. } = own;
        (self.json, self.place, self.type_seen) = (json, place, type_seen);
        value
    }

    /// [`Self::apart`] for what is rarely needed.
    #[inline(always)]
    fn aside<T>(&mut self, read: impl FnOnce(&mut Reader<'_, 'a>) -> T) -> T {
        #[cold]
        #[inline(never)]
        fn call<R, T>(reader: &mut R, read: impl FnOnce(&mut R) -> T) -> T {
            read(reader)
        }
        self.apart(|reader| call(reader, read))
    }

    /// Reads the whole text; `found` tells the command's type as soon as it is known.
    #[inline(always)]
    pub(crate) fn command(
        &mut self,
        found: &mut Option<CommandType>,
    ) -> Result<Command<'a>, Fault> {
        let command_type = commands::read_type(self)?;
        *found = Some(command_type);
        let command = commands::read(self, command_type)?;
        self.json.end()?;
        Ok(command)
    }

    /// Passes a field that is not listed for this command and place. `type` is listed everywhere
    /// but read before the rest, so it comes here.
    pub(crate) fn unlisted(&mut self, key: &[u8]) -> Result<(), Fault> {
        let is_type = key == b"type" && self.place == Place::Command;
        if is_type && std::mem::replace(&mut self.type_seen, true) {
            return Err(Fault::Field("type", Problem::Twice));
        }
        let depth = match self.place {
            Place::Command => 1,
            Place::Fulfilment | Place::Presale => 2,
            Place::Line(_) => 3,
        };
        Ok(self.json.skip(depth)?)
    }

    #[inline(always)]
    fn range(&mut self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        match self.json.unsigned() {
            Some(value) if range.contains(&value) => Ok(value),
            _ => Err(out_of(range)),
        }
    }

    /// A number that fits in 32 bits, as all ranges of the contract for such numbers do.
    #[inline(always)]
    pub(crate) fn range_32(&mut self, min: u32, max: u32) -> Result<u32, Fault> {
        self.range(u64::from(min)..=u64::from(max)).map(|value| value as u32)
    }

    /// Money or a time.
    #[inline(always)]
    pub(crate) fn up_to_10_15(&mut self) -> Result<u64, Fault> {
        self.range(0..=MONEY_AND_TIME_MAX)
    }

    #[inline(always)]
    pub(crate) fn money(&mut self) -> Result<Money, Fault> {
        self.up_to_10_15().map(Money)
    }

    #[inline(always)]
    pub(crate) fn qty(&mut self) -> Result<Units, Fault> {
        self.range(1..=QTY_MAX).map(|value| Units(value as u32))
    }

    /// -`max`..=`max`, not 0; `-0` is excluded with it.
    pub(crate) fn nonzero(&mut self, max: i64) -> Result<i64, Fault> {
        match self.json.signed() {
            Some(value) if value != 0 && (-max..=max).contains(&value) => Ok(value),
            _ => Err(Must::Nonzero { min: -max, max }.into()),
        }
    }

    /// An unsigned number, or a string of digits.
    #[inline(always)]
    pub(crate) fn id_64(&mut self) -> Result<u64, Fault> {
        let value = if self.json.peek() == b'"' {
            digits(self.json.string()?)
        } else {
            self.json.unsigned()
        };
        value.ok_or(Must::Unsigned { bits: 64 }.into())
    }

    /// As [`Self::id_64`], of 32 bits.
    #[inline(always)]
    pub(crate) fn id_32(&mut self) -> Result<u32, Fault> {
        let value = if self.json.peek() == b'"' {
            digits(self.json.string()?)
        } else {
            self.json.unsigned()
        };
        value.and_then(|value| u32::try_from(value).ok()).ok_or(Must::Unsigned { bits: 32 }.into())
    }

    #[inline(always)]
    fn text(&mut self, must: Must) -> Result<&'a [u8], Fault> {
        if self.json.peek() != b'"' {
            return Err(must.into());
        }
        Ok(self.json.string()?)
    }

    #[inline(always)]
    pub(crate) fn external_id(&mut self) -> Result<ExternalId<'a>, Fault> {
        let text = self.text(Must::ExternalId)?;
        ExternalId::from_bytes(text).ok_or(Must::ExternalId.into())
    }

    pub(crate) fn category(&mut self) -> Result<Category<'a>, Fault> {
        let text = self.text(Must::Category)?;
        std::str::from_utf8(text).ok().and_then(Category::new).ok_or(Must::Category.into())
    }

    /// Any string; an unknown one is `Other`.
    #[inline(always)]
    pub(crate) fn channel(&mut self) -> Result<Channel, Fault> {
        self.text(Must::Text).map(channel)
    }

    #[inline(always)]
    pub(crate) fn region(&mut self) -> Result<Region, Fault> {
        let text = self.text(Must::Region)?;
        region(text).ok_or(Must::Region.into())
    }

    #[inline(always)]
    pub(crate) fn rural(&mut self) -> Result<bool, Fault> {
        self.one_of(AREAS).map(|index| index == 1)
    }

    /// The index of the string among `names`.
    #[inline(always)]
    pub(crate) fn one_of(&mut self, names: &'static [&'static str]) -> Result<usize, Fault> {
        let text = self.text(Must::OneOf(names))?;
        index_in(names, text).ok_or(Must::OneOf(names).into())
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.json.peek() {
            b't' => Ok(self.json.literal("true").map(|()| true)?),
            b'f' => Ok(self.json.literal("false").map(|()| false)?),
            _ => Err(Must::Boolean.into()),
        }
    }

    /// Opens the object under the cursor, reads it and goes back to the command.
    #[inline(always)]
    pub(crate) fn object<T>(
        &mut self,
        place: Place,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if !self.json.open(b'{') {
            return Err(Must::Object.into());
        }
        self.place = place;
        let value = read(self)?;
        self.place = Place::Command;
        Ok(value)
    }

    /// Reads the list `lines`, each element with `read`.
    #[inline(always)]
    pub(crate) fn list(
        &mut self,
        min: u8,
        mut read: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.json.open(b'[') {
            return Err(Must::Lines { min }.into());
        }
        let mut count = 0;
        while self.json.element()? {
            if usize::from(count) == LINES_MAX || self.json.peek() != b'{' {
                return Err(Must::Lines { min }.into());
            }
            self.object(Place::Line(count), &mut read)?;
            count += 1;
        }
        if count < min { Err(Must::Lines { min }.into()) } else { Ok(()) }
    }
}

#[cold]
pub(crate) fn twice(name: &'static str) -> Fault {
    Fault::Field(name, Problem::Twice)
}

#[cold]
pub(crate) fn missing(name: &'static str) -> Fault {
    Fault::Field(name, Problem::Missing)
}

#[cold]
fn out_of(range: RangeInclusive<u64>) -> Fault {
    Must::Integer { min: *range.start(), max: *range.end() }.into()
}

/// The channel of this name; an unknown one is `Other`.
#[inline]
pub(crate) fn channel(text: &[u8]) -> Channel {
    let known = Channel::ALL.into_iter().find(|channel| channel.name().as_bytes() == text);
    known.unwrap_or(Channel::Other)
}

#[inline]
pub(crate) fn region(text: &[u8]) -> Option<Region> {
    let code = if text.len() == REGION_DIGITS { digits(text) } else { None };
    code.and_then(|code| Region::new(code as u32))
}

/// The index of the text among `names`.
#[inline(always)]
pub(crate) fn index_in(names: &[&str], text: &[u8]) -> Option<usize> {
    names.iter().position(|name| name.as_bytes() == text)
}

/// The value of 1 to 39 decimal digits, leading zeros allowed; `None` above 64 bits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if !(1..=DIGITS_MAX).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}
