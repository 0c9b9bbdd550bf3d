//! Commands that are laid out as one before them: only what differs is read.
//!
//! A publisher writes its orders with one serialiser: the same fields in the same order, with the same
//! bytes between their values. A layout keeps these bytes. The next command is compared with them,
//! sixteen at a time, and only what stands between them is looked at. Not a second opinion: whatever
//! differs, is escaped or out of range is left to `fields`, which alone says what is wrong.
//! Invariant: a command that is read here is the one that `fields` would have read.

use ledger::command::{Command, ExternalId, Fulfilment, Line, OrderPaid, Part, Presale};
use ledger::units::{
    BuyerId, Channel, MONEY_AND_TIME_MAX, MerchantId, Millis, Money, Region, SkuId, Units,
};

use crate::commands::{self, CommandType, Placed};
use crate::decode::Scratch;
use crate::fields::{self, Fault, Reader, Staging};
use crate::json::Json;
use crate::refused::Place;
use crate::words::Bytes;

/// Layouts that are kept. One publisher needs one for each set of optional fields that it uses.
const LAYOUTS_MAX: usize = 16;
/// Steps of a layout that is kept.
const STEPS_MAX: usize = 64;
/// Once so many layouts are known, only one in so many strangers is learned: a publisher without a
/// fixed layout must not pay for learning each time.
const STRANGERS: u32 = 64;

/// The layouts that one decoder knows.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    /// One that fits moves forward by one place, so that the common ones come first.
    known: Vec<Layout>,
    strangers: u32,
}

/// How the text of a command is laid out.
#[derive(Debug)]
struct Layout {
    command: CommandType,
    steps: Vec<Step>,
    line: LineLayout,
    /// The slots that are filled, by their bits.
    filled: u16,
}

/// How the elements of `lines` are laid out.
#[derive(Debug, Default)]
struct LineLayout {
    /// The first value of an element; what stands before it in the first element belongs to the order.
    first: What,
    /// The rest of an element.
    rest: Vec<Step>,
    /// What stands between the last value of an element and the first one of the next; empty if that
    /// is not known.
    between: Vec<Step>,
}

/// Bytes that must be there, and what follows them.
#[derive(Debug, Clone, Copy)]
struct Step {
    bytes: Bytes,
    what: What,
}

/// What stands behind the bytes of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum What {
    /// The next step's bytes, or the end.
    #[default]
    Nothing,
    /// An unsigned number.
    Number(Slot),
    /// Digits between quotes.
    Digits(Slot),
    /// The text of an id that the publisher chose.
    Id(Slot),
    /// The text of one of these strings, whose index is the value.
    OneOf(Slot, &'static [Bytes]),
    /// The text of a channel's name, or any other.
    Channel,
    /// The six digits of a region.
    Region,
    /// The elements of `lines`.
    Lines,
    /// The object of this place.
    Object(Place),
    /// A value that is not listed, in an object of this depth.
    Unlisted(u32),
}

impl What {
    /// Where a number is put.
    fn slot(self) -> Option<Slot> {
        match self {
            What::Number(slot) | What::Digits(slot) | What::OneOf(slot, _) => Some(slot),
            What::Channel => Some(CHANNEL),
            What::Region => Some(REGION),
            _ => None,
        }
    }

    /// Whether it stands between quotes.
    fn is_text(self) -> bool {
        use What::{Channel, Digits, Id, OneOf, Region};
        matches!(self, Digits(_) | Id(_) | OneOf(..) | Channel | Region)
    }
}

/// Where a value is put until the command is complete.
type Slot = u8;

const MERCHANT: Slot = 0;
const BUYER: Slot = 1;
/// `placed_at` or `paid_at`.
const AT: Slot = 2;
const CHANNEL: Slot = 3;
const REGION: Slot = 4;
const AREA: Slot = 5;
const DISCOUNT: Slot = 6;
const SETTLE: Slot = 7;
const PAY_BY: Slot = 8;
const AMOUNT: Slot = 9;
const PART: Slot = 10;
const SLOTS: usize = 16;

/// Where a line's values are put.
const SKU: Slot = 0;
const QTY: Slot = 1;
const UNIT_PRICE: Slot = 2;
const LINE_SLOTS: usize = 4;

/// Where ids are put.
const ORDER_ID: Slot = 0;
const PAYMENT_ID: Slot = 1;
const ID_SLOTS: usize = 2;

const CHANNELS: &[Bytes] = &Bytes::of_strings::<7>(fields::CHANNELS);
const AREAS: &[Bytes] = &Bytes::of_strings::<2>(fields::AREAS);
const SETTLE_NAMES: &[Bytes] = &Bytes::of_strings::<2>(commands::SETTLE_NAMES);
const PART_NAMES: &[Bytes] = &Bytes::of_strings::<3>(commands::PART_NAMES);

/// The listed fields of an object.
type Fields = &'static [(&'static str, What)];

const PLACED: Fields = &[
    ("merchant_id", What::Number(MERCHANT)),
    ("order_id", What::Id(ORDER_ID)),
    ("buyer_id", What::Number(BUYER)),
    ("placed_at", What::Number(AT)),
    ("lines", What::Lines),
    ("channel", What::Channel),
    ("region", What::Region),
    ("area", What::OneOf(AREA, AREAS)),
    ("discount", What::Number(DISCOUNT)),
    ("settle", What::OneOf(SETTLE, SETTLE_NAMES)),
    ("pay_by", What::Number(PAY_BY)),
    ("fulfilment", What::Object(Place::Fulfilment)),
    ("presale", What::Object(Place::Presale)),
];

const PAID: Fields = &[
    ("merchant_id", What::Number(MERCHANT)),
    ("payment_id", What::Id(PAYMENT_ID)),
    ("order_id", What::Id(ORDER_ID)),
    ("amount", What::Number(AMOUNT)),
    ("paid_at", What::Number(AT)),
    ("part", What::OneOf(PART, PART_NAMES)),
];

const LINE: Fields = &[
    ("sku", What::Number(SKU)),
    ("qty", What::Number(QTY)),
    ("unit_price", What::Number(UNIT_PRICE)),
];

impl Layouts {
    /// Takes the values out of a command that is laid out as one that is known, and tells its type.
    #[inline(never)]
    pub(crate) fn read<'a>(
        &mut self,
        text: &'a [u8],
        staging: &mut Staging,
        scratch: &'a Scratch,
        values: &mut Values<'a>,
    ) -> Option<CommandType> {
        for index in 0..self.known.len() {
            let layout = &self.known[index];
            if layout.pass(text, staging, scratch, values).is_some() {
                let command = layout.command;
                if index > 0 {
                    self.known.swap(index, index - 1);
                }
                return Some(command);
            }
        }
        None
    }

    /// Learns how the text of a command is laid out.
    #[cold]
    #[inline(never)]
    pub(crate) fn learn(
        &mut self,
        text: &[u8],
        command: &Command<'_>,
        staging: &mut Staging,
        scratch: &Scratch,
    ) {
        let (command_type, fields) = match command {
            Command::OrderPlaced(_) => (CommandType::OrderPlaced, PLACED),
            Command::OrderPaid(_) => (CommandType::OrderPaid, PAID),
            _ => return,
        };
        self.strangers = self.strangers.wrapping_add(1);
        if self.known.len() == LAYOUTS_MAX && !self.strangers.is_multiple_of(STRANGERS) {
            return;
        }
        let Some(layout) = Learner::new(text).layout(command_type, fields) else { return };
        // What does not fit its own example is of no use.
        let mut own = Layouts { known: vec![layout], strangers: 0 };
        let mut values = Values::new();
        let fits = own.read(text, staging, scratch, &mut values);
        if fits.and_then(|command_type| values.command(command_type)).as_ref() == Some(command) {
            self.known.truncate(LAYOUTS_MAX - 1);
            self.known.append(&mut own.known);
        }
    }
}

impl Layout {
    /// Passes the whole text and takes the values out of it.
    #[inline(always)]
    fn pass<'a>(
        &self,
        text: &'a [u8],
        staging: &mut Staging,
        scratch: &'a Scratch,
        values: &mut Values<'a>,
    ) -> Option<()> {
        // An earlier layout that did not fit may have left others; all that is filled is put anew.
        (values.filled, values.fulfilment, values.presale) = (self.filled, None, None);
        let mut json = Json::new(text);
        for step in &self.steps {
            step.pass(&mut json)?;
            match step.what {
                What::Nothing => {}
                What::Number(slot) => values.numbers.put(slot, json.digits()?),
                What::Digits(slot) => values.numbers.put(slot, quoted_digits(&mut json)?),
                What::Unlisted(depth) => pass_unlisted(&mut json, depth)?,
                What::Id(slot) => {
                    let id = ExternalId::leading(json.rest())?;
                    json.pass(id.as_bytes().len());
                    values.ids[usize::from(slot) % ID_SLOTS] = Some(id);
                }
                What::OneOf(slot, texts) => {
                    values.numbers.put(slot, json.passes_one_of(texts)? as u64);
                }
                What::Channel => values.numbers.put(CHANNEL, channel(&mut json) as u64),
                What::Region => {
                    values.numbers.put(REGION, json.digits_exactly(fields::REGION_DIGITS)?);
                }
                What::Lines => {
                    json.go_back(self.line.read(text, json.rest(), &mut staging.lines)?);
                    values.lines = scratch.keep(&staging.lines);
                }
                What::Object(Place::Fulfilment) => {
                    let read = commands::read_fulfilment;
                    (json, values.fulfilment) = object(json, staging, scratch, read)?;
                }
                What::Object(_) => {
                    let read = commands::read_presale;
                    (json, values.presale) = object(json, staging, scratch, read)?;
                }
            }
        }
        json.rest().is_empty().then_some(())
    }
}

impl LineLayout {
    /// Reads the elements that `rest` begins with, and gives what is behind the last value of the last
    /// one.
    #[inline(never)]
    fn read<'a>(&self, text: &'a [u8], rest: &'a [u8], lines: &mut Vec<Line>) -> Option<&'a [u8]> {
        let mut json = Json::new(text);
        json.go_back(rest);
        let mut numbers = Numbers::<LINE_SLOTS>::new();
        lines.clear();
        while lines.len() < fields::LINES_MAX {
            numbers.read(self.first, &mut json)?;
            for step in &self.rest {
                step.pass(&mut json)?;
                numbers.read(step.what, &mut json)?;
            }
            lines.push(numbers.line()?);
            let behind = json.rest();
            if self.between.is_empty()
                || self.between.iter().any(|step| step.pass(&mut json).is_none())
            {
                return Some(behind);
            }
        }
        None
    }
}

impl Step {
    /// Passes the bytes, if they are there.
    #[inline(always)]
    fn pass(&self, json: &mut Json<'_>) -> Option<()> {
        json.passes_bytes(&self.bytes).then_some(())
    }
}

/// Reads an object of which there is one in an order at most, as `fields` does. The cursor comes and
/// goes by value: one whose address is known to no call can stay in registers.
#[inline(never)]
fn object<'a, T>(
    json: Json<'a>,
    staging: &mut Staging,
    scratch: &'a Scratch,
    read: impl FnOnce(&mut Reader<'_, 'a>) -> Result<T, Fault>,
) -> Option<(Json<'a>, Option<T>)> {
    let place = Place::Command;
    let mut reader = Reader { json, place, type_seen: true, staging, scratch };
    let value = reader.object(place, read).ok()?;
    Some((reader.json, Some(value)))
}

/// Passes a channel's name.
#[inline(always)]
fn channel(json: &mut Json<'_>) -> Channel {
    match json.passes_one_of(CHANNELS) {
        Some(index) => Channel::ALL[index],
        None => {
            json.plain();
            Channel::Other
        }
    }
}

/// The value of digits between quotes.
#[inline(always)]
fn quoted_digits(json: &mut Json<'_>) -> Option<u64> {
    #[inline(never)]
    fn read(mut json: Json<'_>) -> Option<(u64, &[u8])> {
        let start = json.rest();
        let value = json.digits().or_else(|| {
            json.go_back(start);
            fields::digits(json.plain())
        });
        Some((value?, json.rest()))
    }
    let (value, behind) = read(*json)?;
    json.go_back(behind);
    Some(value)
}

/// Passes a value that is not listed, in an object of this depth.
#[inline(always)]
fn pass_unlisted(json: &mut Json<'_>, depth: u32) -> Option<()> {
    #[inline(never)]
    fn behind(mut json: Json<'_>, depth: u32) -> Option<&[u8]> {
        json.skip(depth).ok()?;
        Some(json.rest())
    }
    json.go_back(behind(*json, depth)?);
    Some(())
}

/// The numbers of a command or line as they are read, and the indexes that stand for listed strings.
#[derive(Debug, Clone, Copy)]
struct Numbers<const SLOTS: usize>([u64; SLOTS]);

impl<const SLOTS: usize> Numbers<SLOTS> {
    fn new() -> Self {
        Numbers([0; SLOTS])
    }

    /// Reads what may be in a line.
    #[inline(always)]
    fn read(&mut self, what: What, json: &mut Json<'_>) -> Option<()> {
        match what {
            What::Number(slot) => self.put(slot, json.digits()?),
            What::Digits(slot) => self.put(slot, quoted_digits(json)?),
            What::Unlisted(depth) => pass_unlisted(json, depth)?,
            _ => {}
        }
        Some(())
    }

    #[inline(always)]
    fn put(&mut self, slot: Slot, value: u64) {
        self.0[usize::from(slot) % SLOTS] = value;
    }

    #[inline(always)]
    fn get(&self, slot: Slot) -> u64 {
        self.0[usize::from(slot) % SLOTS]
    }

    /// Money or a time.
    #[inline(always)]
    fn up_to_10_15(&self, slot: Slot) -> Option<u64> {
        Some(self.get(slot)).filter(|number| *number <= MONEY_AND_TIME_MAX)
    }
}

impl Numbers<LINE_SLOTS> {
    #[inline(always)]
    fn line(&self) -> Option<Line> {
        let qty = self.get(QTY);
        (1..=fields::QTY_MAX).contains(&qty).then_some(())?;
        let unit_price = Money(self.up_to_10_15(UNIT_PRICE)?);
        Some(Line { sku: SkuId(self.get(SKU)), qty: Units(qty as u32), unit_price })
    }
}

/// The values of a command, as they stand in its text: whether they are in range is seen when the
/// command is made.
pub(crate) struct Values<'a> {
    numbers: Numbers<SLOTS>,
    ids: [Option<ExternalId<'a>>; ID_SLOTS],
    lines: &'a [Line],
    fulfilment: Option<Fulfilment>,
    presale: Option<Presale>,
    /// The slots of `numbers` that are filled, by their bits.
    filled: u16,
}

impl<'a> Values<'a> {
    #[inline(always)]
    pub(crate) fn new() -> Values<'a> {
        Values {
            numbers: Numbers::new(),
            ids: [None; ID_SLOTS],
            lines: &[],
            fulfilment: None,
            presale: None,
            filled: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn merchant(&self) -> MerchantId {
        MerchantId(self.numbers.get(MERCHANT))
    }

    /// The command, if they are valid.
    #[inline(always)]
    pub(crate) fn command(&self, command: CommandType) -> Option<Command<'a>> {
        match command {
            CommandType::OrderPaid => self.paid(),
            _ => self.placed(),
        }
    }

    /// What an optional field says; `None` if it is wrong.
    #[inline(always)]
    fn optional<T>(&self, slot: Slot, read: impl FnOnce(u64) -> Option<T>) -> Option<Option<T>> {
        let is_filled = self.filled >> slot & 1 == 1;
        if is_filled { read(self.numbers.get(slot)).map(Some) } else { Some(None) }
    }

    #[inline(always)]
    fn placed(&self) -> Option<Command<'a>> {
        let up_to_10_15 = |number| (number <= MONEY_AND_TIME_MAX).then_some(number);
        let placed = Placed {
            merchant: self.merchant(),
            order_id: self.ids[usize::from(ORDER_ID)]?,
            buyer: BuyerId(self.numbers.get(BUYER)),
            placed_at: Millis(self.numbers.up_to_10_15(AT)?),
            lines: self.lines,
            channel: self.optional(CHANNEL, |index| Channel::ALL.get(index as usize).copied())?,
            region: self.optional(REGION, |code| Region::new(code as u32))?,
            rural: self.optional(AREA, |index| Some(index == 1))?,
            discount: self.optional(DISCOUNT, up_to_10_15)?.map(Money),
            settle: self.optional(SETTLE, |index| commands::SETTLE.get(index as usize).copied())?,
            pay_by: self.optional(PAY_BY, up_to_10_15)?.map(Millis),
            fulfilment: self.fulfilment,
            presale: self.presale,
        };
        placed.complete().ok()
    }

    fn paid(&self) -> Option<Command<'a>> {
        let part = self.optional(PART, |index| commands::PARTS.get(index as usize).copied())?;
        Some(Command::OrderPaid(OrderPaid {
            merchant: self.merchant(),
            payment_id: self.ids[usize::from(PAYMENT_ID)]?,
            order_id: self.ids[usize::from(ORDER_ID)]?,
            amount: Money(self.numbers.up_to_10_15(AMOUNT)?),
            part: part.unwrap_or(Part::Full),
            paid_at: Millis(self.numbers.up_to_10_15(AT)?),
        }))
    }
}

/// Takes apart a text that is known to be a command.
struct Learner<'a> {
    json: Json<'a>,
    /// The end of the last value.
    behind: usize,
    filled: u16,
}

impl<'a> Learner<'a> {
    fn new(text: &'a [u8]) -> Learner<'a> {
        Learner { json: Json::new(text), behind: 0, filled: 0 }
    }

    /// The layout; `None` if there is something in the text that a layout cannot have.
    fn layout(mut self, command: CommandType, fields: Fields) -> Option<Layout> {
        let (mut steps, mut line) = (Vec::new(), LineLayout::default());
        self.json.open_outermost().ok()?;
        while self.json.member().ok()? {
            let what = self.value(fields, 1)?;
            if what == What::Nothing {
                continue;
            }
            if let Some(slot) = what.slot() {
                self.filled |= 1 << slot;
            }
            if what == What::Lines {
                line = self.lines(&mut steps)?;
            } else {
                self.step(&mut steps, what)?;
            }
        }
        self.json.end().ok()?;
        self.bytes(&mut steps, self.json.text().len(), What::Nothing);
        let count = steps.len() + line.rest.len() + line.between.len();
        let filled = self.filled;
        (count <= STEPS_MAX).then_some(Layout { command, steps, line, filled })
    }

    /// What the value of the member under the cursor is, which is then before it; [`What::Nothing`]
    /// if it is passed as a part of the layout.
    fn value(&mut self, fields: Fields, depth: u32) -> Option<What> {
        let key = self.json.key().ok()?;
        let listed = fields.iter().find(|(name, _)| name.as_bytes() == key);
        let unlisted =
            if key == b"type" && depth == 1 { What::Nothing } else { What::Unlisted(depth) };
        let what = match (listed, self.json.peek()) {
            (None, _) => unlisted,
            // `null` stands for a field that is not there.
            (Some(_), b'n') => What::Nothing,
            (Some((_, What::Number(slot))), b'"') => What::Digits(*slot),
            (Some((_, what)), _) => *what,
        };
        if what == What::Nothing {
            self.json.skip(depth).ok()?;
        }
        Some(what)
    }

    /// Adds what stands before the value under the cursor, and passes the value.
    fn step(&mut self, steps: &mut Vec<Step>, what: What) -> Option<()> {
        let start = self.json.at();
        self.json.skip(3).ok()?;
        let is_text = what.is_text();
        self.bytes(steps, start + usize::from(is_text), what);
        self.behind = self.json.at() - usize::from(is_text);
        Some(())
    }

    /// Adds the bytes behind the last value up to `end`.
    fn bytes(&self, steps: &mut Vec<Step>, end: usize, what: What) {
        let bytes = &self.json.text()[self.behind..end];
        let chunks = bytes.chunks(Bytes::MAX).map(Bytes::new);
        steps.extend(chunks.map(|bytes| Step { bytes, what: What::Nothing }));
        if let Some(last) = steps.last_mut() {
            last.what = what;
        }
    }

    /// The layout of the elements of the list under the cursor; what is before the first value of the
    /// first one is added to `steps`.
    fn lines(&mut self, steps: &mut Vec<Step>) -> Option<LineLayout> {
        let mut layout = LineLayout::default();
        let mut elements = 0;
        self.json.open(b'[');
        while self.json.element().ok()? {
            self.json.open(b'{');
            let mut is_first = true;
            while self.json.member().ok()? {
                let what = self.value(LINE, 3)?;
                if what == What::Nothing {
                    continue;
                }
                let mut unused = Vec::new();
                let steps = match (elements, is_first) {
                    (0, true) => &mut *steps,
                    (0, false) => &mut layout.rest,
                    (1, true) => &mut layout.between,
                    _ => &mut unused,
                };
                self.step(steps, what)?;
                is_first = false;
            }
            elements += 1;
        }
        // What is read behind these bytes is the line's, not the order's.
        let first = steps.last_mut()?;
        layout.first = std::mem::replace(&mut first.what, What::Lines);
        Some(layout)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Route};
    use crate::record::{NoHeaders, Record};
    use ledger::rules::Partitioner;
    use ledger::units::Offset;

    const PLACED: &str = concat!(
        r#"{"type":"order.placed", "merchant_id":7,"order_id":"a-1","buyer_id":"00012","placed_at":0,"#,
        r#""presale":null,"trace":{"id":[1,"x"]},"channel":"app","area":"rural","region":"330106","#,
        r#""lines":[{"sku":1,"qty":2,"note":"n","unit_price":300},{"sku":2,"qty":1,"note":"","unit_price":4}],"#,
        r#""discount":5,"fulfilment":{"location":3,"mode":"pickup"}}"#
    );

    /// What is made of a text by the layouts of others alone.
    fn by_layout(seen: &[&str], text: &str) -> Option<String> {
        let (mut layouts, mut staging) = (Layouts::default(), Staging::default());
        let scratch = Scratch::new();
        let mut read = |layouts: &mut Layouts, text: &str| {
            let mut values = Values::new();
            let known = layouts.read(text.as_bytes(), &mut staging, &scratch, &mut values);
            let command = known.and_then(|command| values.command(command));
            command.map(|command| format!("{command:?}"))
        };
        for value in seen {
            if read(&mut layouts, value).is_none() {
                let command = decoded(value, &scratch);
                layouts.learn(value.as_bytes(), &command, &mut Staging::default(), &scratch);
            }
        }
        read(&mut layouts, text)
    }

    fn decoded<'a>(value: &'a str, scratch: &'a Scratch) -> Command<'a> {
        let partitioner = Partitioner::Any;
        let mut decoder = Decoder::new(Route { partition: 0, partitions: 1, partitioner });
        let (key, value) = (Some(b"7".as_slice()), Some(value.as_bytes()));
        let (offset, headers) = (Offset(0), &NoHeaders);
        let record = Record { partition: 0, offset, timestamp: 0, key, value, headers };
        decoder.decode(&record, scratch).unwrap()
    }

    #[test]
    fn values_may_differ_in_kind_and_length_and_lines_in_number() {
        let other = PLACED
            .replace("a-1", "3F2504E0-4F89-11D3-9A0C-0305E82C3301")
            .replace("00012", "18446744073709551615")
            .replace(r#"{"id":[1,"x"]}"#, "-1.5e9")
            .replace(r#""placed_at":0"#, r#""placed_at":1762790400009"#)
            .replace(r#"{"sku":2,"#, r#"{"sku":8,"qty":9,"note":1,"unit_price":0},{"sku":2,"#);
        let expected = format!("{:?}", decoded(&other, &Scratch::new()));
        assert_eq!(by_layout(&[PLACED], &other), Some(expected));
    }

    #[test]
    fn no_more_lines_are_read_than_an_order_may_have() {
        let line = r#"{"sku":2,"qty":1,"note":"","unit_price":4}"#;
        let with = |lines: usize| PLACED.replace(line, &vec![line; lines - 1].join(","));
        assert!(by_layout(&[PLACED], &with(100)).is_some());
        assert_eq!(by_layout(&[PLACED], &with(101)), None);
    }

    #[test]
    fn a_layout_takes_no_more_memory_than_orders_need() {
        let fields: String = (0..100).map(|n| format!(r#""x{n}":{n},"#)).collect();
        for before in [r#""note""#, r#""merchant_id""#] {
            let long = PLACED.replace(before, &format!("{fields}{before}"));
            assert_eq!(by_layout(&[&long], &long), None, "{before}");
        }
    }

    #[test]
    fn another_layout_is_not_read() {
        for (from, to) in [
            (r#", "merchant_id""#, r#","merchant_id""#),
            (r#""presale":null"#, r#""presale":{}"#),
            (r#""channel":"app","#, ""),
            (r#""discount":5"#, r#""discount":-5"#),
            ("}}", "}} "),
            ("}}", "}"),
            ("order.placed", "order.paid"),
        ] {
            assert!(PLACED.contains(from));
            assert_eq!(by_layout(&[PLACED], &PLACED.replacen(from, to, 1)), None, "{to}");
        }
    }

    #[test]
    fn common_layouts_stay_when_strangers_come() {
        let strangers: Vec<String> =
            (0..200).map(|n| PLACED.replace("trace", &format!("trace{n}"))).collect();
        let mut seen = vec![PLACED];
        for stranger in &strangers {
            seen.extend([stranger.as_str(), PLACED]);
        }
        assert!(by_layout(&seen, PLACED).is_some());
    }
}
