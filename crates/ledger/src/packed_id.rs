//! External ids in as few words as they need, for as long as they have to be remembered.
//!
//! Not lossy: packing is one to one, so ids are compared and given back byte for byte. Numbers
//! without leading zeros take 8 bytes, UUIDs of one letter case 16, everything else its own bytes.
//! Invariant: two ids have the same tag and words exactly if their text is the same.

use crate::command::ExternalId;

/// Words of the longest packed id.
pub(crate) const WORDS_MAX: usize = ExternalId::BYTES_MAX / 4;

/// Tags 1..=40: that many bytes of text. The others follow.
const TAG_NUMBER: u8 = 41;
const TAG_UUID_LOWER: u8 = 42;
const TAG_UUID_UPPER: u8 = 43;
/// Bits that a tag needs.
pub(crate) const TAG_BITS: u32 = 6;

/// Most digits of a number that certainly fit into 64 bits.
const DIGITS_MAX: usize = 19;
const UUID_BYTES: usize = 36;
/// Where the dashes of a UUID stand.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];
/// Where the two groups of four hexadecimal digits begin that make up each of its words.
const UUID_WORDS: [[usize; 2]; 4] = [[0, 4], [9, 14], [19, 24], [28, 32]];

/// An id in its packed form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedId {
    tag: u8,
    words: [u32; WORDS_MAX],
}

/// Room for an id's text.
pub(crate) type Text = [u8; ExternalId::BYTES_MAX];

/// Words that an id of this tag takes.
pub(crate) fn words_of(tag: u8) -> usize {
    match tag {
        TAG_NUMBER => 2,
        TAG_UUID_LOWER | TAG_UUID_UPPER => 4,
        bytes => (bytes as usize).div_ceil(4).min(WORDS_MAX),
    }
}

impl PackedId {
    pub(crate) fn new(id: ExternalId<'_>) -> PackedId {
        let text = id.as_bytes();
        pack_number(text).or_else(|| pack_uuid(text)).unwrap_or_else(|| pack_text(text))
    }

    /// An id whose tag and words were taken out before.
    pub(crate) fn from_parts(tag: u8, words: impl IntoIterator<Item = u32>) -> PackedId {
        let mut id = PackedId { tag, words: [0; WORDS_MAX] };
        for (word, from) in id.words[..words_of(tag)].iter_mut().zip(words) {
            *word = from;
        }
        id
    }

    pub(crate) fn tag(&self) -> u8 {
        self.tag
    }

    #[inline]
    pub(crate) fn words(&self) -> &[u32] {
        &self.words[..words_of(self.tag)]
    }

    /// Whether the id with this tag and these words is the same.
    #[inline]
    pub(crate) fn is(&self, tag: u8, words: impl Iterator<Item = u32>) -> bool {
        self.tag == tag && self.words().iter().copied().eq(words.take(words_of(tag)))
    }

    /// The id as it came.
    pub(crate) fn unpack<'t>(&self, text: &'t mut Text) -> ExternalId<'t> {
        let len = match self.tag {
            TAG_NUMBER => {
                unpack_number(u64::from(self.words[0]) | u64::from(self.words[1]) << 32, text)
            }
            TAG_UUID_LOWER => unpack_uuid(&self.words, b"0123456789abcdef", text),
            TAG_UUID_UPPER => unpack_uuid(&self.words, b"0123456789ABCDEF", text),
            bytes => {
                text.copy_from_slice(bytemuck::cast_slice(&self.words));
                bytes as usize
            }
        };
        let text = str::from_utf8(&text[..len]).ok().and_then(ExternalId::new);
        text.expect("what was packed from an id unpacks to an id")
    }
}

fn pack_number(text: &[u8]) -> Option<PackedId> {
    if text.len() > DIGITS_MAX || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let (head, eights) = text.as_rchunks::<8>();
    let mut value = 0;
    for byte in head {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for digits in eights {
        value = value * 100_000_000 + eight_digits(u64::from_le_bytes(*digits))?;
    }
    let mut id = PackedId { tag: TAG_NUMBER, words: [0; WORDS_MAX] };
    (id.words[0], id.words[1]) = (value as u32, (value >> 32) as u32);
    Some(id)
}

/// The number that eight digits mean, the first in the lowest byte; all at once (Mula, Lemire).
fn eight_digits(text: u64) -> Option<u64> {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let digits = text.wrapping_sub(ALL * 0x30);
    // A byte that is no digit has, or gets by adding 118, its highest bit set.
    if (digits | digits.wrapping_add(ALL * 118)) & (ALL * 0x80) != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some(low.wrapping_add(high) >> 32)
}

fn pack_uuid(text: &[u8]) -> Option<PackedId> {
    let text: &[u8; UUID_BYTES] = text.try_into().ok()?;
    if UUID_DASHES.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut id = PackedId { tag: TAG_UUID_LOWER, words: [0; WORDS_MAX] };
    let mut cases = 0;
    for (word, [first, second]) in id.words.iter_mut().zip(UUID_WORDS) {
        let mut digits = [0; 8];
        digits[..4].copy_from_slice(&text[first..first + 4]);
        digits[4..].copy_from_slice(&text[second..second + 4]);
        let (value, case) = eight_hex_digits(u64::from_le_bytes(digits))?;
        *word = value;
        cases |= case;
    }
    if cases == UPPER {
        id.tag = TAG_UUID_UPPER;
    }
    (cases != LOWER | UPPER).then_some(id)
}

/// Letters that a run of hexadecimal digits contains.
const LOWER: u8 = 1;
const UPPER: u8 = 2;

/// The number that eight hexadecimal digits mean, the first in the lowest byte, and the cases of the
/// letters among them; all at once.
fn eight_hex_digits(text: u64) -> Option<(u32, u8)> {
    const ALL: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = ALL * 0x80;
    // Ids are ASCII, so adding to a byte does not carry into the next.
    let at_least = |bytes: u64, least: u8| bytes.wrapping_add(ALL * u64::from(0x80 - least)) & TOP;
    let within = |first: u8, last: u8| at_least(text, first) & !at_least(text, last + 1);
    let (digit, upper, lower) = (within(b'0', b'9'), within(b'A', b'F'), within(b'a', b'f'));
    if (text & TOP) != 0 || (digit | upper | lower) != TOP {
        return None;
    }
    // A letter's low half counts from 1.
    let nibbles = (text & (ALL * 0x0f)) + ((upper | lower) >> 7) * 9;
    let pairs = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs << 8 | pairs >> 16) & 0x0000_ffff_0000_ffff;
    let value = (quads << 16 | quads >> 32) as u32;
    let cases = if lower != 0 { LOWER } else { 0 } | if upper != 0 { UPPER } else { 0 };
    Some((value, cases))
}

fn pack_text(text: &[u8]) -> PackedId {
    let mut id = PackedId { tag: text.len() as u8, words: [0; WORDS_MAX] };
    bytemuck::cast_slice_mut(&mut id.words)[..text.len()].copy_from_slice(text);
    id
}

fn unpack_number(mut value: u64, text: &mut Text) -> usize {
    let mut digits = [0; DIGITS_MAX + 1];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let len = digits.len() - start;
    text[..len].copy_from_slice(&digits[start..]);
    len
}

fn unpack_uuid(words: &[u32; WORDS_MAX], digits: &[u8; 16], text: &mut Text) -> usize {
    for place in UUID_DASHES {
        text[place] = b'-';
    }
    for (word, starts) in words.iter().zip(UUID_WORDS) {
        for (half, start) in starts.into_iter().enumerate() {
            for (digit, byte) in text[start..start + 4].iter_mut().enumerate() {
                *byte = digits[(word >> (28 - 16 * half - 4 * digit)) as usize & 15];
            }
        }
    }
    UUID_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_that_differ_only_in_form_stay_apart() {
        let alike = [
            "1",
            "01",
            "001",
            "18446744073709551615",
            "9999999999999999999",
            "00000000000000000001",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
            "3f2504e0-4f89-11d3-9a0c-0305e82C3301",
            "3f2504e04f8911d39a0c0305e82c3301",
            "31",
            "a",
            "a:",
            "-",
            "0",
            "00",
        ];
        for (i, one) in alike.iter().enumerate() {
            for (j, other) in alike.iter().enumerate() {
                let one = PackedId::new(ExternalId::new(one).unwrap());
                let other = PackedId::new(ExternalId::new(other).unwrap());
                assert_eq!(one.is(other.tag(), other.words().iter().copied()), i == j);
            }
        }
    }

    #[test]
    fn numbers_and_uuids_take_few_words() {
        let words = |text| PackedId::new(ExternalId::new(text).unwrap()).words().len();
        assert_eq!(words("9999999999999999999"), 2);
        assert_eq!(words("3f2504e0-4f89-11d3-9a0c-0305e82c3301"), 4);
        assert_eq!(words("00000000-0000-0000-0000-000000000000"), 4);
    }

    proptest! {
        #[test]
        fn an_id_comes_back_as_it_was(
            text in "[A-Za-z0-9_.:-]{1,40}|[0-9]{1,25}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
        ) {
            let id = PackedId::new(ExternalId::new(&text).unwrap());
            let again = PackedId::from_parts(id.tag(), id.words().iter().copied());
            let mut room: Text = [0; ExternalId::BYTES_MAX];
            prop_assert_eq!(again.unpack(&mut room).as_str(), text.as_str());
        }
    }
}
