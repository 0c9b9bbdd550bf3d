//! A cursor over one JSON text (RFC 8259): keys, strings, numbers and skipped values.
//!
//! Not a parser into a tree, and it knows no field names: its callers ask for what they expect, in
//! one pass, and skip the rest. What is rarely needed takes the cursor by value and gives it back: a
//! cursor whose address is known to no call can stay in registers. Invariant: every byte the cursor
//! has passed was checked against the grammar, UTF-8, control characters, surrogates and depth
//! included.

use crate::refused::Syntax;
use crate::words::{self, Bytes, plain_bytes};

/// How deep objects and lists may lie in each other; the outermost is 1.
pub(crate) const DEPTH_MAX: u32 = 32;

/// Why the cursor cannot give a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text is not JSON.
    Syntax(Syntax),
    /// The string is written with escapes: the text must be written out first.
    Escapes,
}

impl From<Syntax> for Stop {
    fn from(syntax: Syntax) -> Stop {
        Stop::Syntax(syntax)
    }
}

/// A field's name, ready to be compared with sixteen bytes at once.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) text: &'static str,
    /// Behind a zero byte for what precedes it: the name with its quotes and the colon, the first byte
    /// lowest.
    quoted: u128,
    mask: u128,
    bytes: usize,
}

impl Name {
    /// A name that is too long for sixteen bytes is never found this way.
    pub(crate) const fn new(text: &'static str) -> Name {
        const BYTES_MAX: usize = 16;
        let bytes = text.len() + 4;
        if bytes > BYTES_MAX {
            return Name { text, quoted: u128::MAX, mask: 0, bytes };
        }
        let mut quoted = [0; BYTES_MAX];
        quoted[1] = b'"';
        quoted[bytes - 2] = b'"';
        quoted[bytes - 1] = b':';
        let (_, name) = quoted.split_at_mut(2);
        let (name, _) = name.split_at_mut(text.len());
        name.copy_from_slice(text.as_bytes());
        let mask = u128::MAX >> (8 * (BYTES_MAX - bytes));
        Name { text, quoted: u128::from_le_bytes(quoted), mask, bytes }
    }
}

/// A cursor over a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a> {
    text: &'a [u8],
    /// What is not passed yet.
    rest: &'a [u8],
    /// What precedes the next item of the innermost object or list: a comma, or the bracket that
    /// opened it. Whoever comes upon a bracket asks for the first item next, so one serves all levels.
    separator: u8,
    /// All of `rest` is UTF-8. It is checked as a whole, but only once some byte is not ASCII.
    is_utf8: bool,
    /// Strings that can be written without escapes are; one that still has some equals no name and
    /// no value that the contract lists.
    is_written_out: bool,
}

impl<'a> Json<'a> {
    /// A cursor before the first byte.
    pub(crate) fn new(text: &'a [u8]) -> Json<'a> {
        Json { text, rest: text, separator: b',', is_utf8: false, is_written_out: false }
    }

    /// A cursor before the first byte of a text made by [`write_out`].
    pub(crate) fn of_written_out(text: &'a str) -> Json<'a> {
        Json { is_utf8: true, is_written_out: true, ..Json::new(text.as_bytes()) }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Bytes passed.
    pub(crate) fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// What is not passed yet, for [`Self::go_back`].
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes back to an earlier position within the same object.
    pub(crate) fn go_back(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// The byte under the cursor. 0 stands for the end too: no JSON text has a 0 outside a fault.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    /// Passes so many bytes, which are there.
    #[inline(always)]
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Passes white space and gives the byte behind it.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> u8 {
        match self.byte() {
            byte if byte > b' ' => byte,
            _ => self.pass_white_space(),
        }
    }

    #[inline(always)]
    fn pass_white_space(&mut self) -> u8 {
        *self = self.behind_white_space();
        self.byte()
    }

    #[inline(never)]
    fn behind_white_space(mut self) -> Json<'a> {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.pass(1);
        }
        self
    }

    /// Passes `wanted`, behind white space, if it is there.
    #[inline(always)]
    fn passes(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        if found {
            self.pass(1);
        }
        found
    }

    /// Passes `wanted`, behind white space.
    #[inline(always)]
    fn expect(&mut self, wanted: u8) -> Result<(), Syntax> {
        if self.passes(wanted) { Ok(()) } else { Err(Syntax::Unexpected) }
    }

    /// Comes upon the outermost object, which no white space may precede.
    pub(crate) fn open_outermost(&mut self) -> Result<(), Syntax> {
        if self.byte() != b'{' {
            return Err(Syntax::NotAnObject);
        }
        self.separator = b'{';
        Ok(())
    }

    /// Comes upon an object or list, whose bracket is `bracket`; `false` if it is not there.
    #[inline(always)]
    pub(crate) fn open(&mut self, bracket: u8) -> bool {
        let found = self.peek() == bracket;
        if found {
            self.separator = bracket;
        }
        found
    }

    /// Checks that nothing but white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Syntax> {
        self.peek();
        if self.rest.is_empty() { Ok(()) } else { Err(Syntax::Trailing) }
    }

    /// Whether another item follows in the object or list that `close` ends; the cursor is then
    /// before it, or else behind `close`.
    #[inline(always)]
    fn item(&mut self, close: u8) -> Result<bool, Syntax> {
        let separator = std::mem::replace(&mut self.separator, b',');
        let is_first = separator != b',';
        if !is_first && self.passes(close) {
            return Ok(false);
        }
        self.expect(separator)?;
        Ok(!(is_first && self.passes(close)))
    }

    /// Whether another element follows in the list; the cursor is then before it.
    #[inline(always)]
    pub(crate) fn element(&mut self) -> Result<bool, Syntax> {
        self.item(b']')
    }

    /// Whether another member follows in the object; the cursor is then before its key.
    #[inline(always)]
    pub(crate) fn member(&mut self) -> Result<bool, Syntax> {
        self.item(b'}')
    }

    /// Passes the next member's key and what stands around it, if it is `name` and there is no white
    /// space. `false` says nothing but that [`Self::member`] and [`Self::key`] must be asked.
    #[inline(always)]
    pub(crate) fn passes_name(&mut self, name: &Name) -> bool {
        let Some(bytes) = self.rest.first_chunk() else { return false };
        let wanted = name.quoted | u128::from(self.separator);
        let found = u128::from_le_bytes(*bytes) & name.mask == wanted;
        if found {
            self.pass(name.bytes);
            self.separator = b',';
        }
        found
    }

    /// Passes these bytes, if they are there.
    #[inline(always)]
    pub(crate) fn passes_bytes(&mut self, bytes: &Bytes) -> bool {
        let behind = match self.rest.first_chunk() {
            Some(chunk) if bytes.begin(u128::from_le_bytes(*chunk)) => self.rest.get(bytes.pass..),
            Some(_) => None,
            None => words::behind_last(self.text, self.rest, bytes),
        };
        if let Some(behind) = behind {
            self.rest = behind;
        }
        behind.is_some()
    }

    /// The index of the first of these bytes that are there, which are then passed.
    #[inline(always)]
    pub(crate) fn passes_one_of(&mut self, all: &[Bytes]) -> Option<usize> {
        let window = self.window();
        for (index, bytes) in all.iter().enumerate() {
            if bytes.begin(window) {
                self.rest = self.rest.get(bytes.pass..)?;
                return Some(index);
            }
        }
        None
    }

    /// The next sixteen bytes, the first lowest; zeros behind the end.
    #[inline(always)]
    fn window(&self) -> u128 {
        match self.rest.first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => words::last_window(self.text, self.rest.len()),
        }
    }

    /// Passes what a string has before its closing quote, if that is plain ASCII without escapes; stops
    /// at what is not.
    #[inline(always)]
    pub(crate) fn plain(&mut self) -> &'a [u8] {
        let (plain, rest) = self.rest.split_at(plain_bytes(self.rest));
        self.rest = rest;
        plain
    }

    /// The key under the cursor; the cursor is then before its value.
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Stop> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string that matters.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Stop> {
        let (string, has_escapes) = self.raw_string()?;
        if has_escapes && !self.is_written_out { Err(Stop::Escapes) } else { Ok(string) }
    }

    /// A string as it is written between its quotes, and whether escapes are in it.
    #[inline(always)]
    fn raw_string(&mut self) -> Result<(&'a [u8], bool), Syntax> {
        self.expect(b'"')?;
        let start = self.rest;
        self.pass(plain_bytes(start));
        let mut has_escapes = false;
        if self.byte() != b'"' {
            let special;
            (*self, special) = self.behind_special();
            has_escapes = special?;
        }
        let string = &start[..start.len() - self.rest.len()];
        self.pass(1);
        Ok((string, has_escapes))
    }

    /// The cursor at the end of a string in which something else than plain ASCII was found, or at
    /// the fault; and whether escapes are in it.
    #[cold]
    #[inline(never)]
    fn behind_special(mut self) -> (Json<'a>, Result<bool, Syntax>) {
        let has_escapes = self.pass_special();
        (self, has_escapes)
    }

    fn pass_special(&mut self) -> Result<bool, Syntax> {
        let mut has_escapes = false;
        loop {
            self.pass(plain_bytes(self.rest));
            match self.byte() {
                b'"' => return Ok(has_escapes),
                b'\\' => {
                    self.escape()?;
                    has_escapes = true;
                }
                0x80.. => self.pass_utf8()?,
                _ if self.rest.is_empty() => return Err(Syntax::Unexpected),
                _ => return Err(Syntax::Control),
            }
        }
    }

    /// Passes the bytes that are not ASCII, after a check of all the rest of the text.
    fn pass_utf8(&mut self) -> Result<(), Syntax> {
        if !self.is_utf8 {
            if let Err(error) = std::str::from_utf8(self.rest) {
                self.pass(error.valid_up_to());
                return Err(Syntax::NotUtf8);
            }
            self.is_utf8 = true;
        }
        let bytes = self.rest.iter().take_while(|byte| **byte >= 0x80).count();
        self.pass(bytes);
        Ok(())
    }

    /// Passes one escape, or a pair of them that make one character, and gives the character.
    fn escape(&mut self) -> Result<char, Syntax> {
        self.pass(1);
        let escape = *self.rest.first().ok_or(Syntax::Unexpected)?;
        self.pass(1);
        match escape {
            b'"' | b'\\' | b'/' => Ok(char::from(escape)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.escaped_unicode(),
            _ => Err(Syntax::Escape),
        }
    }

    fn escaped_unicode(&mut self) -> Result<char, Syntax> {
        let unit = self.hex4()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).ok_or(Syntax::Surrogate);
        }
        self.rest = self.rest.strip_prefix(b"\\u").ok_or(Syntax::Surrogate)?;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Syntax::Surrogate);
        }
        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).ok_or(Syntax::Surrogate)
    }

    fn hex4(&mut self) -> Result<u32, Syntax> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.byte()).to_digit(16);
            unit = (unit << 4) | digit.ok_or(Syntax::Escape)?;
            self.pass(1);
        }
        Ok(unit)
    }

    /// A plain unsigned integer; `None` if anything else stands here, or one that needs more than 64
    /// bits. The cursor is then somewhere within it.
    #[inline(always)]
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        self.peek();
        let value = self.digits()?;
        let is_plain = !matches!(self.byte(), b'.' | b'e' | b'E');
        is_plain.then_some(value)
    }

    /// The value of the digits under the cursor, without regard to what follows them; `None` if there
    /// are none, if they begin with a 0 that is not the only one, or if they need more than 64 bits.
    #[inline(always)]
    pub(crate) fn digits(&mut self) -> Option<u64> {
        let word = self.word();
        let Some((count, value)) = words::few_digits(word) else { return self.many_digits(word) };
        self.rest = self.rest.get(count..)?;
        match word as u8 {
            b'1'..=b'9' => Some(value),
            b'0' if count == 1 => Some(0),
            _ => None,
        }
    }

    /// The value of the digits under the cursor, if there are so many, at most 7.
    #[inline(always)]
    pub(crate) fn digits_exactly(&mut self, wanted: usize) -> Option<u64> {
        let (count, value) = words::few_digits(self.word())?;
        self.rest = self.rest.get(wanted..)?;
        (count == wanted).then_some(value)
    }

    /// [`Self::digits`] of a number whose first eight digits are those of `word`.
    #[inline(always)]
    fn many_digits(&mut self, word: u64) -> Option<u64> {
        const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        let mut value = words::eight_digits(word);
        self.rest = self.rest.get(8..)?;
        if word as u8 == b'0' {
            return None;
        }
        loop {
            let word = self.word();
            if let Some((count, last)) = words::few_digits(word) {
                self.rest = self.rest.get(count..)?;
                return value.checked_mul(POWERS[count])?.checked_add(last);
            }
            value = value.checked_mul(100_000_000)?.checked_add(words::eight_digits(word))?;
            self.rest = self.rest.get(8..)?;
        }
    }

    /// The next eight bytes, the first lowest; zeros behind the end.
    #[inline(always)]
    fn word(&self) -> u64 {
        if let Some(chunk) = self.rest.first_chunk() {
            return u64::from_le_bytes(*chunk);
        }
        match self.text.last_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk) >> 8 >> (8 * (7 - self.rest.len())),
            None => words::last_word(self.rest),
        }
    }

    /// A plain integer with or without a sign; `None` as in [`Self::unsigned`].
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let is_negative = self.passes(b'-');
        if !self.byte().is_ascii_digit() {
            return None;
        }
        let value = i64::try_from(self.unsigned()?).ok()?;
        Some(if is_negative { -value } else { value })
    }

    /// Passes `name`, one of JSON's three, whose first byte the caller has seen.
    pub(crate) fn literal(&mut self, name: &str) -> Result<(), Syntax> {
        self.rest = self.rest.strip_prefix(name.as_bytes()).ok_or(Syntax::Unexpected)?;
        Ok(())
    }

    /// Passes any value that stands in an object or list of this depth.
    pub(crate) fn skip(&mut self, depth: u32) -> Result<(), Syntax> {
        match self.peek() {
            b'"' => self.raw_string().map(|_| ()),
            b'{' => self.skip_items(b'}', depth + 1),
            b'[' => self.skip_items(b']', depth + 1),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.skip_number(),
        }
    }

    /// Passes an object or list; `depth` is its own.
    fn skip_items(&mut self, close: u8, depth: u32) -> Result<(), Syntax> {
        if depth > DEPTH_MAX {
            return Err(Syntax::TooDeep);
        }
        self.separator = self.byte();
        while self.item(close)? {
            if close == b'}' {
                self.raw_string()?;
                self.expect(b':')?;
            }
            self.skip(depth)?;
        }
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Syntax> {
        self.rest = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        let leading_zero = self.byte() == b'0';
        if self.skip_digits()? > 1 && leading_zero {
            return Err(Syntax::Number);
        }
        if self.byte() == b'.' {
            self.pass(1);
            self.skip_digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.pass(1);
            if matches!(self.byte(), b'+' | b'-') {
                self.pass(1);
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    /// Passes digits, at least one, and gives their number.
    fn skip_digits(&mut self) -> Result<usize, Syntax> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.pass(count);
        if count > 0 { Ok(count) } else { Err(Syntax::Number) }
    }
}

/// Writes a text again with each string that is plain printable ASCII behind its escapes written
/// without them, into `plain`. All that the contract lists is of that kind, so escapes matter nowhere
/// in the result. The text must have passed [`Json::skip`].
pub(crate) fn write_out(text: &[u8], plain: &mut String) -> Result<(), Syntax> {
    let text = std::str::from_utf8(text).map_err(|_| Syntax::NotUtf8)?;
    plain.clear();
    let mut rest = text;
    while let Some((before, string)) = rest.split_once('"') {
        plain.push_str(before);
        let mut json = Json { is_utf8: true, ..Json::new(string.as_bytes()) };
        let start = plain.len();
        plain.push('"');
        let is_plain = push_plain(&mut json, plain)?;
        let (string, behind) = string.split_at(json.at());
        if !is_plain {
            plain.truncate(start + 1);
            plain.push_str(string);
        }
        plain.push('"');
        rest = behind.strip_prefix('"').ok_or(Syntax::Unexpected)?;
    }
    plain.push_str(rest);
    Ok(())
}

/// Appends a string up to its closing quote, escapes resolved. `false`: some character is not plain
/// printable ASCII, or must be escaped; what was appended is then useless.
fn push_plain(json: &mut Json<'_>, plain: &mut String) -> Result<bool, Syntax> {
    let mut is_plain = true;
    loop {
        let character = match json.byte() {
            b'"' => return Ok(is_plain),
            b'\\' => json.escape()?,
            _ if json.rest.is_empty() => return Err(Syntax::Unexpected),
            byte => {
                json.pass(1);
                char::from(byte)
            }
        };
        is_plain &= matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
        plain.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words are read whole while there are eight bytes, and in other ways before the end of a text.
    #[test]
    fn digits_are_read_wherever_they_stand() {
        for before in ["", "[", "[1234567,", "[123456789012345,"] {
            for behind in ["", "]", "}]}", ":/x", ",\"buyer_id\":7", "\u{0}\u{0}"] {
                for digits in
                    ["", "0", "7", "00", "07", "18446744073709551615", "18446744073709551616"]
                {
                    check_digits(before, digits, behind);
                }
                for count in 1..=24 {
                    check_digits(before, &"123456789098765432123456"[..count], behind);
                    check_digits(before, &"900000000000000000000000"[..count], behind);
                    check_digits(before, &"000000000000000000000000"[..count], behind);
                }
            }
        }
    }

    fn check_digits(before: &str, digits: &str, behind: &str) {
        let text = [before, digits, behind].concat();
        let mut json = Json::new(text.as_bytes());
        json.pass(before.len());
        let start = json;
        let is_plain = digits == "0" || !digits.starts_with('0');
        let value = digits.parse().ok().filter(|_| is_plain);
        assert_eq!(json.digits(), value, "{text}");
        if value.is_some() {
            assert_eq!(json.rest(), behind.as_bytes(), "{text}");
        }
        let mut json = start;
        let six = digits.parse().ok().filter(|_| digits.len() == 6);
        assert_eq!(json.digits_exactly(6), six, "{text}");
    }

    #[test]
    fn bytes_are_passed_only_if_all_of_them_are_there() {
        const TEXT: &[u8] = b"{\"type\":\"order.placed\",\"lines\":[]}";
        for start in 0..=TEXT.len() {
            for end in start..=TEXT.len().min(start + Bytes::MAX) {
                let mut json = Json::new(TEXT);
                json.pass(start);
                let mut wanted = TEXT[start..end].to_vec();
                let mut longer = json;
                assert!(json.passes_bytes(&Bytes::new(&wanted)));
                assert_eq!(json.at(), end);
                if wanted.len() < Bytes::MAX {
                    wanted.push(if end == TEXT.len() { b' ' } else { TEXT[end] ^ 1 });
                    assert!(!longer.passes_bytes(&Bytes::new(&wanted)));
                    assert_eq!(longer.at(), start);
                }
            }
        }
    }

    #[test]
    fn string_is_one_of_these_only_with_its_closing_quote() {
        let names: [Bytes; 3] = Bytes::of_strings(&["app", "apple", "fifteen_letters"]);
        for (text, found) in [
            ("app\"", Some(0)),
            ("apple\"", Some(1)),
            ("fifteen_letters\"", Some(2)),
            ("apple\",\"region\":\"330106\"", Some(1)),
            ("app", None),
            ("apples\"", None),
            ("\"", None),
            ("", None),
        ] {
            let text = format!("{{\"channel\":\"{text}");
            let mut json = Json::new(text.as_bytes());
            json.pass(12);
            assert_eq!(json.passes_one_of(&names), found, "{text}");
            let behind =
                if found.is_some() { b'"' } else { text.as_bytes().get(12).copied().unwrap_or(0) };
            assert_eq!(json.byte(), behind, "{text}");
        }
    }
}
