//! Commands as text, written by hand into a buffer that is used again. Publishers differ in how
//! they write what the contract allows: ids as numbers or strings, spaces, the order of fields,
//! defaults spelled out, as `null` or left out, fields of their own. Not a general writer: every
//! name and text here is free of characters that JSON would escape.

use super::draw::{Domain, Draw, mix};

/// How one merchant's publisher writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) ids: Ids,
    pub(super) shape: Shape,
    pub(super) defaults: Defaults,
    /// A space after every colon and comma, and a line feed at the end.
    pub(super) spaced: bool,
    /// `type` comes last instead of first.
    pub(super) type_last: bool,
    /// Fields that the contract does not know.
    pub(super) extras: bool,
}

/// How ids of merchants, buyers, SKUs and locations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    Numbers,
    Strings,
    PaddedStrings,
}

/// What a merchant's own order numbers (and payments', refunds', receipts') look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Decimal,
    LongDecimal,
    LowerUuid,
    UpperUuid,
    Dashed,
    Dotted,
}

/// What becomes of an optional field that has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Omitted,
    Written,
    Null,
}

/// The four spaces of ids that publishers give.
#[derive(Debug, Clone, Copy)]
pub(super) enum IdSpace {
    Order = 1,
    Payment,
    Refund,
    Receipt,
}

impl Style {
    /// A way of writing; plain numbers and omitted defaults are the commonest.
    pub(super) fn draw(draw: &mut Draw) -> Self {
        use Defaults::{Null, Omitted, Written};
        use Ids::{Numbers, PaddedStrings, Strings};
        use Shape::{Dashed, Decimal, Dotted, LongDecimal, LowerUuid, UpperUuid};
        Self {
            ids: draw.pick(&[Numbers, Numbers, Numbers, Strings, PaddedStrings]),
            shape: draw.pick(&[Decimal, LongDecimal, LowerUuid, UpperUuid, Dashed, Dotted]),
            defaults: draw.pick(&[Omitted, Omitted, Omitted, Written, Null]),
            spaced: draw.per_mille(150),
            type_last: draw.per_mille(150),
            extras: draw.per_mille(200),
        }
    }
}

/// One command being written.
#[derive(Debug)]
pub(super) struct Command<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    kind: &'static str,
}

impl<'a> Command<'a> {
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        style: Style,
        kind: &'static str,
        merchant: u64,
    ) -> Self {
        out.push(b'{');
        let mut command = Self { out, style, kind };
        if !style.type_last {
            command.text("type", kind);
        }
        command.id("merchant_id", merchant);
        command
    }

    pub(super) fn end(mut self) {
        if self.style.extras {
            self.extras();
        }
        if self.style.type_last {
            self.text("type", self.kind);
        }
        self.out.push(b'}');
        if self.style.spaced {
            self.out.push(b'\n');
        }
    }

    /// What publishers add for themselves: escapes, fractions, nesting, a field twice.
    fn extras(&mut self) {
        self.name("trace");
        self.out.extend_from_slice(
            br#"{"source":"erp-4","attempt":1.5e0,"type":"span","tags":["a",null,[true,{"b":-0}]]}"#,
        );
        self.name("remark");
        self.out.extend_from_slice(
            "\"\\u8c22\\u8c22 \\\"\u{8c22}\u{8c22}\\\" \\ud83c\\udf4e\"".as_bytes(),
        );
        self.text("remark", "again");
    }

    pub(super) fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if self.style.spaced { b"\": " } else { b"\":" });
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    pub(super) fn number(&mut self, name: &str, number: i64) {
        self.name(name);
        self.digits(number);
    }

    pub(super) fn unsigned(&mut self, name: &str, number: u64) {
        self.name(name);
        self.digits(number);
    }

    pub(super) fn truth(&mut self, name: &str, truth: bool) {
        self.name(name);
        self.out.extend_from_slice(if truth { b"true" } else { b"false" });
    }

    /// An id as this publisher writes them.
    pub(super) fn id(&mut self, name: &str, id: u64) {
        self.name(name);
        if self.style.ids == Ids::Numbers {
            return self.digits(id);
        }
        self.out.push(b'"');
        if self.style.ids == Ids::PaddedStrings {
            self.out.extend_from_slice(b"000");
        }
        self.digits(id);
        self.out.push(b'"');
    }

    /// An id that publishers give, of the shape this merchant's system gives them.
    pub(super) fn identifier(&mut self, name: &str, space: IdSpace, number: u64) {
        self.name(name);
        self.out.push(b'"');
        let letter = match space {
            IdSpace::Order => b'O',
            IdSpace::Payment => b'P',
            IdSpace::Refund => b'R',
            IdSpace::Receipt => b'S',
        };
        match self.style.shape {
            Shape::Decimal => self.digits(number + 1),
            Shape::LongDecimal => self.digits(20_251_111_000_000_000_000_u128 + u128::from(number)),
            Shape::LowerUuid => self.uuid(space, number, b"0123456789abcdef"),
            Shape::UpperUuid => self.uuid(space, number, b"0123456789ABCDEF"),
            Shape::Dashed => {
                self.out.push(letter);
                self.out.extend_from_slice(b"-1111-");
                self.digits(number);
            }
            Shape::Dotted => {
                self.out.extend_from_slice(b"pos:7.");
                self.digits(number);
                self.out.extend_from_slice(&[b'_', letter]);
            }
        }
        self.out.push(b'"');
    }

    fn uuid(&mut self, space: IdSpace, number: u64, digits: &[u8; 16]) {
        let high = mix(number ^ mix(space as u64));
        let low = Draw::of(high, Domain::Identifier, number).any();
        let both = u128::from(high) << 64 | u128::from(low);
        for place in (0..32).rev() {
            if matches!(place, 23 | 19 | 15 | 11) {
                self.out.push(b'-');
            }
            self.out.push(digits[(both >> (4 * place)) as usize & 15]);
        }
    }

    /// An optional field: written by `write` unless it has its default, and then after the
    /// publisher's custom.
    pub(super) fn optional(&mut self, name: &str, is_default: bool, write: impl FnOnce(&mut Self)) {
        match self.style.defaults {
            _ if !is_default => write(self),
            Defaults::Omitted => {}
            Defaults::Written => write(self),
            Defaults::Null => self.null(name),
        }
    }

    /// An optional field without a default.
    pub(super) fn absent(&mut self, name: &str) {
        if self.style.defaults == Defaults::Null {
            self.null(name);
        }
    }

    fn null(&mut self, name: &str) {
        self.name(name);
        self.out.extend_from_slice(b"null");
    }

    /// Opens a nested object or array (`{` or `[`).
    pub(super) fn open(&mut self, bracket: u8) {
        self.comma();
        self.out.push(bracket);
    }

    /// Closes a nested object or array (`}` or `]`).
    pub(super) fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
    }

    /// A comma, unless this is the first of its object or array, or the value of a name.
    fn comma(&mut self) {
        let last = if self.out.ends_with(b": ") { Some(&b':') } else { self.out.last() };
        if matches!(last, Some(b'{' | b'[' | b':')) {
            return;
        }
        self.out.extend_from_slice(if self.style.spaced { b", " } else { b"," });
    }

    fn digits(&mut self, number: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}
