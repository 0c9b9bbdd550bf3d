//! Text looked at eight or sixteen bytes at a time.
//!
//! Not a cursor, and no grammar of JSON: where these bytes stand is `json`'s affair. Invariant: what is
//! said of a word is what would be said of its bytes one by one, and behind a text's end are zeros.
//!
//! S. E. Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n"; D. Lemire,
//! "Quickly parsing eight digits".

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = ONES << 7;

/// Bytes that a text may go on with, ready to be compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// The first byte is the lowest of the first word; zeros behind the last.
    words: [u64; 2],
    masks: [u64; 2],
    /// How many of them are passed.
    pub(crate) pass: usize,
}

impl Bytes {
    /// Most bytes that are compared at once.
    pub(crate) const MAX: usize = 16;

    /// These bytes, `Self::MAX` at most.
    pub(crate) const fn new(bytes: &[u8]) -> Bytes {
        let (mut words, mut masks, mut at) = ([0; 2], [0; 2], 0);
        while at < bytes.len() {
            let shift = 8 * (at % 8);
            words[at / 8] |= (bytes[at] as u64) << shift;
            masks[at / 8] |= 0xff << shift;
            at += 1;
        }
        Bytes { words, masks, pass: bytes.len() }
    }

    /// A string's text, at most 15 bytes, and its closing quote, which is not passed.
    const fn of_string(text: &str) -> Bytes {
        let mut bytes = Bytes::new(text.as_bytes());
        let (word, shift) = (text.len() / 8, 8 * (text.len() % 8));
        bytes.words[word] |= (b'"' as u64) << shift;
        bytes.masks[word] |= 0xff << shift;
        bytes
    }

    /// Whether a text begins with them whose first sixteen bytes are these, the first lowest.
    #[inline(always)]
    pub(crate) fn begin(&self, window: u128) -> bool {
        let [low, high] = [window as u64, (window >> 64) as u64];
        let Bytes { words, masks, .. } = self;
        ((low & masks[0]) ^ words[0]) | ((high & masks[1]) ^ words[1]) == 0
    }

    /// [`Self::of_string`] of each of these texts, of which there are `N`.
    pub(crate) const fn of_strings<const N: usize>(texts: &[&str]) -> [Bytes; N] {
        assert!(texts.len() == N, "each has its bytes");
        let (mut all, mut index) = ([Bytes::new(&[]); N], 0);
        while index < N {
            all[index] = Bytes::of_string(texts[index]);
            index += 1;
        }
        all
    }
}

/// How many bytes a string goes on with that need no second look: ASCII but for quotes, backslashes
/// and control characters.
#[inline(always)]
pub(crate) fn plain_bytes(mut rest: &[u8]) -> usize {
    let bytes = rest.len();
    loop {
        let word = first_word(rest);
        // Each test marks the high bit of the bytes it looks for. A borrow can mark bytes above a
        // real one, never below, so the lowest mark is right (the text's first byte is the lowest).
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = is_zero(word ^ (ONES * b'"' as u64));
        let backslash = is_zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (quote | backslash | control | word) & HIGH_BITS;
        if marks != 0 {
            // What is put behind the text's end is marked as control characters.
            return bytes - rest.len() + (marks.trailing_zeros() / 8) as usize;
        }
        rest = &rest[8..];
    }
}

/// The first eight bytes, the first lowest; zeros behind the end.
#[inline(always)]
fn first_word(rest: &[u8]) -> u64 {
    match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(rest),
    }
}

/// [`first_word`] of fewer than eight bytes.
#[cold]
#[inline(never)]
pub(crate) fn last_word(rest: &[u8]) -> u64 {
    match (rest.first_chunk(), rest.last_chunk()) {
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            first | (last << (8 * (rest.len() - 4)))
        }
        _ => rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

/// What is behind these bytes in the rest of a text, which is less than sixteen bytes, if they are there.
#[cold]
#[inline(never)]
pub(crate) fn behind_last<'a>(text: &[u8], rest: &'a [u8], bytes: &Bytes) -> Option<&'a [u8]> {
    rest.get(bytes.pass..).filter(|_| bytes.begin(last_window(text, rest.len())))
}

/// The last `len` bytes of a text, less than sixteen, the first lowest; zeros behind the end.
#[inline(always)]
pub(crate) fn last_window(text: &[u8], len: usize) -> u128 {
    match text.last_chunk() {
        Some(chunk) => u128::from_le_bytes(*chunk) >> 8 >> (8 * (15 - len)),
        None => text[text.len() - len..]
            .iter()
            .rev()
            .fold(0, |window, byte| window << 8 | u128::from(*byte)),
    }
}

/// How many of a word's first bytes are digits, and their value; `None` if all eight are.
#[inline(always)]
pub(crate) fn few_digits(word: u64) -> Option<(usize, u64)> {
    let digits = word ^ (ONES * b'0' as u64);
    // A byte above 9 gets its high bit; the carry out of one can only reach the bytes behind it.
    let marks = (digits.wrapping_add(ONES * (0x80 - 10)) | digits) & HIGH_BITS;
    if marks == 0 {
        return None;
    }
    // The first mark is the highest bit of the first byte that is no digit. All from that byte on is
    // shifted out, and zeros take the place of the missing leading digits but one.
    let mark = marks.trailing_zeros();
    let pairs = (digits << (63 - mark)).wrapping_mul((10 << 8) | 1);
    Some(((mark / 8) as usize, joined(pairs)))
}

/// The value of a word that is eight digits.
#[inline(always)]
pub(crate) fn eight_digits(word: u64) -> u64 {
    joined((word & (ONES * 0xf)).wrapping_mul((10 << 8) | 1) >> 8)
}

/// The value of four pairs of digits, each the low byte of two, the first lowest. Neighbours are joined:
/// to two quadruples, to the value.
#[inline(always)]
fn joined(pairs: u64) -> u64 {
    let pairs = pairs & 0x00ff_00ff_00ff_00ff;
    let quadruples = (pairs.wrapping_mul((100 << 16) | 1) >> 16) & 0x0000_ffff_0000_ffff;
    quadruples.wrapping_mul((10_000 << 32) | 1) >> 32
}
