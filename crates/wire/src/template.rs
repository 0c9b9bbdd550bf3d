//! Writing JSON members one after the other into prepared room.
//!
//! Not a serializer: which members an object has, and in which order, is said in `encode`; here is how
//! a value of each type is written. Invariant: a value brings its own quotes and never needs an
//! escape, because the contract lets in no character that would.

use ledger::command::{ExternalId, RefundLine};
use ledger::counters::Dimension;
use ledger::effect::PlacedLine;
use ledger::units::{
    BuyerId, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};

/// Bytes that are written from front to back. The room is prepared for the largest output of its
/// kind, so that nothing need grow between two values. Whoever writes takes the writer and returns
/// it, so that it stays in registers.
#[derive(Debug)]
#[must_use]
pub(crate) struct Writer<'w> {
    /// What is not written yet.
    room: &'w mut [u8],
}

impl<'w> Writer<'w> {
    pub(crate) fn new(room: &'w mut [u8]) -> Writer<'w> {
        Writer { room }
    }

    /// Bytes that are left.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.room.len()
    }

    #[inline(always)]
    pub(crate) fn put(self, text: &[u8]) -> Writer<'w> {
        let (written, room) = self.room.split_at_mut(text.len());
        written.copy_from_slice(text);
        Writer { room }
    }

    /// Appends `before` and the first `bytes` of `text`. All of it is stored, which costs less than
    /// to choose.
    #[inline(always)]
    fn put_start<const N: usize>(self, before: &str, text: [u8; N], bytes: usize) -> Writer<'w> {
        let fixed = before.len();
        let written = &mut self.room[..fixed + N];
        written[..fixed].copy_from_slice(before.as_bytes());
        written[fixed..].copy_from_slice(&text);
        Writer { room: &mut self.room[fixed + bytes..] }
    }

    /// Appends `before`, and `text` in quotes.
    #[inline(always)]
    fn put_quoted(self, before: &str, text: &[u8]) -> Writer<'w> {
        self.put_start(before, *b"\"", 1).put(text).put(b"\"")
    }
}

/// Text of at most `N` bytes that is made once and written often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<const N: usize> {
    text: [u8; N],
    bytes: usize,
}

impl<const N: usize> Prepared<N> {
    /// What `write` appends. `N` must hold what is stored for it, which may be a little more.
    pub(crate) fn new(write: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Prepared<N> {
        let mut text = [0; N];
        let bytes = N - write(Writer::new(&mut text)).left();
        Prepared { text, bytes }
    }

    /// A name of our own in quotes.
    const fn quoted(name: &str) -> Prepared<N> {
        let mut text = [b'"'; N];
        let (_, inside) = text.split_at_mut(1);
        inside.split_at_mut(name.len()).0.copy_from_slice(name.as_bytes());
        Prepared { text, bytes: name.len() + 2 }
    }
}

impl<const N: usize> Piece for Prepared<N> {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        writer.put_start(before, self.text, self.bytes)
    }
}

/// A value that stands in an object.
pub(crate) trait Piece {
    /// Appends `before`, which is fixed text, and the value as the contract writes it.
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w>;
}

/// Appends the start of an object and its first member. A type is known when the template is
/// written, so it is one piece of text with what surrounds it.
macro_rules! open {
    ($writer:ident: type $name:literal) => {
        $writer = $writer.put(concat!("{\"type\":\"", $name, "\"").as_bytes())
    };
    ($writer:ident: $name:literal => $value:expr) => {
        $writer = $crate::template::Piece::write(&$value, concat!("{\"", $name, "\":"), $writer);
    };
}

/// Appends further members.
macro_rules! members {
    ($writer:ident: $($name:literal => $value:expr;)+) => {$(
        $writer = $crate::template::Piece::write(&$value, concat!(",\"", $name, "\":"), $writer);
    )+};
}
pub(crate) use {members, open};

/// A member that is left out, name and all, where it has no value.
impl<T: Piece> Piece for Option<T> {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        match self {
            Some(value) => value.write(before, writer),
            None => writer,
        }
    }
}

/// One of our own names.
impl Piece for &str {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        writer.put_quoted(before, self.as_bytes())
    }
}

const TEN_TO_8: u64 = 100_000_000;
const TEN_TO_16: u64 = TEN_TO_8 * TEN_TO_8;
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

impl Piece for u64 {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        if *self < 10 {
            writer.put_start(before, [b'0' + *self as u8], 1)
        } else if *self < TEN_TO_8 {
            let (text, digits) = first_digits(*self);
            writer.put_start(before, text, digits)
        } else {
            long(*self, writer.put(before.as_bytes()))
        }
    }
}

/// The digits of a number below 10^8 without leading zeros, and how many they are.
#[inline(always)]
fn first_digits(number: u64) -> ([u8; 8], usize) {
    // The last digit stays, whatever it is.
    let digits = eight_digits(number);
    let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
    (((digits | ASCII_ZEROS) >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize)
}

/// The eight decimal digits of a number below 10^8, one in each byte, the first lowest. Two halves,
/// then four quarters, then eight digits are divided at once by multiplication (P. Khuong, "How to
/// print integers really fast"). A quotient q of n and d is put before its remainder in one step:
/// q + ((n - d * q) << s) = (n << s) - q * ((d << s) - 1).
#[inline(always)]
fn eight_digits(number: u64) -> u64 {
    let halves = (number << 32) - (number / 10_000) * ((10_000 << 32) - 1);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let quarters = (halves << 16) - hundreds * ((100 << 16) - 1);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    (quarters << 8) - tens * ((10 << 8) - 1)
}

/// A number that is written more than once: its digits are found once.
#[derive(Debug)]
pub(crate) struct Repeated {
    number: u64,
    /// Its digits, and how many they are, if it is below 10^8.
    text: [u8; 8],
    digits: usize,
}

impl Repeated {
    #[inline(always)]
    pub(crate) fn new(number: u64) -> Repeated {
        let (text, digits) = if number < TEN_TO_8 { first_digits(number) } else { ([0; 8], 0) };
        Repeated { number, text, digits }
    }
}

impl Piece for Repeated {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        match self.digits {
            0 => long(self.number, writer.put(before.as_bytes())),
            digits => writer.put_start(before, self.text, digits),
        }
    }
}

/// The digits of the last instant that was written but for its last eight, which are the same for more
/// than a day.
#[derive(Debug, Clone)]
pub(crate) struct Days {
    /// The instant less its last eight digits.
    number: u64,
    text: [u8; 8],
    digits: usize,
}

impl Days {
    pub(crate) fn new() -> Days {
        Days { number: 0, text: [b'0'; 8], digits: 1 }
    }

    /// An instant that is to be written.
    #[inline(always)]
    pub(crate) fn instant(&mut self, at: Millis) -> Instant<'_> {
        let number = at.0 / TEN_TO_8;
        let has_days = (TEN_TO_8..TEN_TO_16).contains(&at.0);
        if has_days && number != self.number {
            let (text, digits) = first_digits(number);
            *self = Days { number, text, digits };
        }
        Instant { at, days: has_days.then_some(self) }
    }
}

/// An instant; one with as many digits as those of our time is written by [`Days`].
pub(crate) struct Instant<'d> {
    at: Millis,
    days: Option<&'d Days>,
}

impl Piece for Instant<'_> {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        let Some(days) = self.days else { return self.at.write(before, writer) };
        let rest = eight_digits(self.at.0 - days.number * TEN_TO_8) | ASCII_ZEROS;
        let writer = writer.put_start(before, days.text, days.digits);
        writer.put_start("", rest.to_le_bytes(), 8)
    }
}

/// Appends a number of at least nine digits.
#[inline(never)]
fn long(number: u64, writer: Writer<'_>) -> Writer<'_> {
    if number >= TEN_TO_16 {
        return longest(number, writer);
    }
    let (text, digits) = first_digits(number / TEN_TO_8);
    let rest = eight_digits(number % TEN_TO_8) | ASCII_ZEROS;
    writer.put_start("", text, digits).put_start("", rest.to_le_bytes(), 8)
}

#[cold]
#[inline(never)]
fn longest(number: u64, writer: Writer<'_>) -> Writer<'_> {
    writer.put(itoa::Buffer::new().format(number).as_bytes())
}

impl Piece for u32 {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        u64::from(*self).write(before, writer)
    }
}

impl Piece for u128 {
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        writer.put(before.as_bytes()).put(itoa::Buffer::new().format(*self).as_bytes())
    }
}

macro_rules! newtypes {
    ($($newtype:ty),*) => {$(
        impl Piece for $newtype {
            #[inline(always)]
            fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
                self.0.write(before, writer)
            }
        }
    )*};
}
newtypes!(MerchantId, BuyerId, SkuId, LocationId, Units, Money, Millis, Offset);

impl Piece for ExternalId<'_> {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        writer.put_quoted(before, self.as_bytes())
    }
}

impl Piece for Channel {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        const NAMES: [Prepared<16>; Channel::ALL.len()] = {
            let mut names = [Prepared::quoted(""); Channel::ALL.len()];
            let mut number = 0;
            while number < names.len() {
                names[number] = Prepared::quoted(Channel::ALL[number].name());
                number += 1;
            }
            names
        };
        NAMES[*self as usize].write(before, writer)
    }
}

impl Piece for bool {
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        writer.put(before.as_bytes()).put(if *self { b"true" } else { b"false" })
    }
}

/// Six digits in quotes.
impl Piece for Region {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        // Of eight digits the first two are 0 and make room for the quotes.
        let text = eight_digits(self.code().into()) >> 8 | 0x2230_3030_3030_3022;
        writer.put_start(before, text.to_le_bytes(), 8)
    }
}

/// A number in exactly so many digits.
fn padded<const DIGITS: usize>(mut number: u32, writer: Writer<'_>) -> Writer<'_> {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    writer.put(&digits)
}

/// Town or countryside, by whether it is countryside.
pub(crate) const fn area(rural: bool) -> &'static str {
    if rural { "rural" } else { "urban" }
}

impl Piece for &[PlacedLine] {
    #[inline(always)]
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        list(self, writer.put(before.as_bytes()), |line, mut writer| {
            open! { writer: "sku" => line.sku }
            members! { writer:
                "qty" => line.qty;
                "unit_price" => line.unit_price;
                "location" => line.location;
            }
            writer
        })
    }
}

impl Piece for &[RefundLine] {
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        list(self, writer.put(before.as_bytes()), |line, mut writer| {
            open! { writer: "sku" => line.sku }
            members! { writer: "location" => line.location; "qty" => line.qty; }
            writer
        })
    }
}

/// A list of objects; `write` appends one but for its closing brace.
fn list<'w, T>(
    items: &[T],
    mut writer: Writer<'w>,
    write: impl Fn(&T, Writer<'w>) -> Writer<'w>,
) -> Writer<'w> {
    writer = writer.put(b"[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            writer = writer.put(b",");
        }
        writer = write(item, writer).put(b"}");
    }
    writer.put(b"]")
}

/// Appends a business day, given in days since 1970-01-01, as `2025-11-11`, without quotes.
///
/// This is `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": a year
/// is counted from 1 March and an era has 400 years, so that leap days come last in both.
pub(crate) fn date(day: u64, writer: Writer<'_>) -> Writer<'_> {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    const ERA_DAYS: u64 = 146_097;
    let days = day + DAYS_FROM_0000_03_01;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    let year = era * 400 + year_of_era + next_year;
    let writer =
        if year > 9_999 { year.write("", writer) } else { padded::<4>(year as u32, writer) };
    let writer = padded::<2>(month as u32, writer.put(b"-"));
    padded::<2>(day_of_month as u32, writer.put(b"-"))
}

/// A business day that stands in an object.
pub(crate) struct Day(pub(crate) u64);

impl Piece for Day {
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        date(self.0, writer.put_start(before, *b"\"", 1)).put(b"\"")
    }
}

/// A dimension's value that stands in an object.
pub(crate) struct Value<'a>(pub(crate) &'a Dimension<'a>);

impl Piece for Value<'_> {
    fn write<'w>(&self, before: &'static str, writer: Writer<'w>) -> Writer<'w> {
        dimension_value(self.0, writer.put_start(before, *b"\"", 1)).put(b"\"")
    }
}

/// A dimension's name.
pub(crate) const fn dimension_name(dimension: &Dimension<'_>) -> &'static str {
    match dimension {
        Dimension::All(_) => "all",
        Dimension::Channel(_) => "channel",
        Dimension::Area { .. } => "area",
        Dimension::Fulfilment { .. } => "fulfilment",
        Dimension::Province(_) => "province",
        Dimension::Category(_) => "category",
        Dimension::Merchant(_) => "merchant",
        Dimension::Location(..) => "location",
        Dimension::Minute(_) => "minute",
    }
}

/// Appends the value that a dimension counts, without quotes.
pub(crate) fn dimension_value<'w>(dimension: &Dimension<'_>, writer: Writer<'w>) -> Writer<'w> {
    let name = match *dimension {
        Dimension::All(_) => "all",
        Dimension::Channel(channel) => channel.name(),
        Dimension::Area { rural } => area(rural),
        Dimension::Fulfilment { pickup: true } => "pickup",
        Dimension::Fulfilment { pickup: false } => "ship",
        Dimension::Category(category) => category.as_str(),
        Dimension::Province(province) => return padded::<2>(province, writer),
        Dimension::Merchant(merchant) => return merchant.write("", writer),
        Dimension::Minute(minute) => return minute.write("", writer),
        Dimension::Location(merchant, location) => {
            return location.write(":", merchant.write("", writer));
        }
    };
    writer.put(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(day: u64) -> String {
        let mut room = [0; 16];
        let bytes = 16 - date(day, Writer::new(&mut room)).left();
        String::from_utf8(room[..bytes].to_vec()).unwrap()
    }

    fn member(piece: impl Piece) -> String {
        let mut room = [0; 64];
        let bytes = 64 - piece.write(",\"name\":", Writer::new(&mut room)).left();
        String::from_utf8(room[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn no_channel_or_region_is_cut_or_padded() {
        for channel in Channel::ALL {
            assert_eq!(member(channel), format!(",\"name\":\"{}\"", channel.name()));
        }
        for code in (0..1_000_000).step_by(7).chain([999_999]) {
            let region = Region::new(code).unwrap();
            assert_eq!(member(region), format!(",\"name\":\"{code:06}\""));
        }
    }

    #[test]
    fn business_day_is_the_calendars() {
        let days = [
            (0, "1970-01-01"),
            (30, "1970-01-31"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_403, "2025-11-11"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "10000-01-01"),
        ];
        for (day, date) in days {
            assert_eq!(written(day), date);
        }
    }

    /// The slow way: count the days of every month since 1970.
    #[test]
    fn no_day_of_four_centuries_is_skipped() {
        let mut day = 0;
        for year in 1970..2400_u32 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day_of_month in 1..=length {
                    assert_eq!(written(day), format!("{year:04}-{month:02}-{day_of_month:02}"));
                    day += 1;
                }
            }
        }
    }

    #[test]
    fn no_number_loses_or_gains_a_digit() {
        let mut days = Days::new();
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 7 * 9]);
        let mixed = (0..1_000_000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 64));
        for number in around.chain(mixed).chain([u64::MAX]) {
            let expected = format!(",\"name\":{number}");
            assert_eq!(member(number), expected);
            assert_eq!(member(Repeated::new(number)), expected);
            assert_eq!(member(days.instant(Millis(number))), expected);
        }
    }

    /// The leading digits are kept from one instant to the next.
    #[test]
    fn no_instant_has_the_days_of_another() {
        const TODAY: u64 = 1_762_790_400_000;
        let mut days = Days::new();
        let around = [TODAY, 0, 7, TODAY + 1, TODAY - 200_000_000, 99_999_999, 100_000_000, TODAY];
        let next_days = (0..100).map(|n| TODAY + n * 33_333_333);
        for at in
            around.into_iter().chain(next_days).chain([10_u64.pow(15), TODAY, u64::MAX, TODAY])
        {
            assert_eq!(member(days.instant(Millis(at))), format!(",\"name\":{at}"));
        }
    }
}
