//! A strict JSON parser for command values (contract section 2).
//!
//! The tree keeps what the contract's rules need and common parsers lose: members in their order
//! with repetitions, and numbers as they were written. It accepts exactly RFC 8259 objects in UTF-8
//! that start with `{`, are at most [`DEPTH_MAX`] deep and hold no unpaired surrogate escape. It
//! does not know which fields mean something.

use thiserror::Error;

/// The deepest allowed nesting of objects and arrays; the outermost object is 1.
pub(crate) const DEPTH_MAX: usize = 32;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// The number's text as it was written.
    Number(String),
    /// The string with its escapes resolved.
    String(String),
    Array(Vec<Json>),
    Object(Object),
}

/// An object's members, in order, with repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object(pub(crate) Vec<(String, Json)>);

/// Why a value is not an acceptable JSON object. `at` counts bytes from the start of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum JsonError {
    #[error("the value is not UTF-8")]
    NotUtf8,
    #[error("the first byte is not an opening brace")]
    NotAnObject,
    #[error("not JSON at byte {at}")]
    Syntax { at: usize },
    #[error("an unpaired surrogate escape at byte {at}")]
    UnpairedSurrogate { at: usize },
    #[error("nested deeper than {DEPTH_MAX} at byte {at}")]
    TooDeep { at: usize },
    #[error("something follows the object at byte {at}")]
    Trailing { at: usize },
}

/// Parses a whole command value.
pub(crate) fn parse(value: &[u8]) -> Result<Object, JsonError> {
    let text = std::str::from_utf8(value).map_err(|_| JsonError::NotUtf8)?;
    if !text.starts_with('{') {
        return Err(JsonError::NotAnObject);
    }
    let mut parser = Parser { text, at: 0 };
    let object = parser.object(1)?;
    parser.skip_whitespace();
    if parser.at < text.len() {
        return Err(JsonError::Trailing { at: parser.at });
    }
    Ok(object)
}

/// The text and how far it has been read. `at` always stands on a character boundary.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn syntax<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at: self.at })
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it comes next.
    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.accept(byte) { Ok(()) } else { self.syntax() }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth).map(Json::Object),
            Some(b'[') => self.array(depth).map(Json::Array),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.syntax(),
        }
    }

    fn word(&mut self, word: &str, meaning: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return self.syntax();
        }
        self.at += word.len();
        Ok(meaning)
    }

    fn object(&mut self, depth: usize) -> Result<Object, JsonError> {
        self.check_depth(depth)?;
        self.expect(b'{')?;
        let mut members = Vec::new();
        self.skip_whitespace();
        if self.accept(b'}') {
            return Ok(Object(members));
        }
        loop {
            self.skip_whitespace();
            let name = self.string()?;
            self.skip_whitespace();
            self.expect(b':')?;
            self.skip_whitespace();
            members.push((name, self.value(depth + 1)?));
            self.skip_whitespace();
            if self.accept(b'}') {
                return Ok(Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Json>, JsonError> {
        self.check_depth(depth)?;
        self.expect(b'[')?;
        let mut elements = Vec::new();
        self.skip_whitespace();
        if self.accept(b']') {
            return Ok(elements);
        }
        loop {
            self.skip_whitespace();
            elements.push(self.value(depth + 1)?);
            self.skip_whitespace();
            if self.accept(b']') {
                return Ok(elements);
            }
            self.expect(b',')?;
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX { Err(JsonError::TooDeep { at: self.at }) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            if !self.accept(b'+') {
                self.accept(b'-');
            }
            self.digits()?;
        }
        Ok(self.text[start..self.at].to_owned())
    }

    /// One decimal digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.syntax() } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let special =
                |character: char| character == '"' || character == '\\' || character < ' ';
            let plain = rest.find(special).unwrap_or(rest.len());
            string.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                // A control character must be escaped, and the text must not end here.
                _ => return self.syntax(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.expect(b'\\')?;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.syntax(),
        };
        self.at += 1;
        Ok(character)
    }

    /// `uXXXX`, or a pair of them that is one character outside the basic plane.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let at = self.at;
        let unpaired = JsonError::UnpairedSurrogate { at };
        let first = self.hex_unit()?;
        if !(0xd800..=0xdfff).contains(&first) {
            return char::from_u32(first).ok_or(unpaired);
        }
        if first >= 0xdc00 || !self.text[self.at..].starts_with("\\u") {
            return Err(unpaired);
        }
        self.at += 1;
        let second = self.hex_unit()?;
        if !(0xdc00..=0xdfff).contains(&second) {
            return Err(unpaired);
        }
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(scalar).ok_or(unpaired)
    }

    /// The number after a `u`: four hexadecimal digits.
    fn hex_unit(&mut self) -> Result<u32, JsonError> {
        self.expect(b'u')?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return self.syntax() };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}
