//! A readable notation for logs of commands, and what is checked after every record of every log.
//!
//! A row is `time | command | effects`. Lines of orders are `2x7` (two of SKU 7) or `2x7@990` with a
//! price; lines of effects are `2x7@0`, where the number behind `@` is a location. `stock 7@0` and
//! `count all` are no records; they look at a cell (on_hand/held) and at a counter. Whatever a row
//! leaves out has the contract's default; a command's own time is the row's. Invariant: units are
//! conserved cell by cell at every record, and counters of all dimensions agree in the end.

#![allow(dead_code, reason = "each test file uses its own part of it")]

pub(crate) mod book;
pub(crate) mod notation;

use book::Book;
use ledger::{Ledger, RestoreError, SectionId, SectionSource, rules::Rules};
use notation::{Row, effect_text};

/// Sections in memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) sections: Vec<(SectionId, Vec<u8>)>,
    at: Option<(usize, usize)>,
}

impl Sections {
    pub(crate) fn of(frozen: &ledger::Frozen) -> Sections {
        let sections = frozen.sections().map(|section| {
            let mut bytes = Vec::new();
            let written: Result<(), ()> = section.write_to(&mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            });
            assert_eq!(written, Ok(()));
            assert_eq!(section.bytes(), bytes.len() as u64);
            (section.id(), bytes)
        });
        Sections { sections: sections.collect(), at: None }
    }

    pub(crate) fn restore(&self, rules: Rules) -> Result<Ledger, RestoreError> {
        Ledger::restore(rules, &mut self.clone())
    }
}

impl SectionSource for Sections {
    fn open(&mut self, section: SectionId) -> Option<u64> {
        let found = self.sections.iter().position(|(id, _)| *id == section)?;
        self.at = Some((found, 0));
        Some(self.sections[found].1.len() as u64)
    }

    fn read(&mut self, into: &mut [u8]) -> bool {
        let (section, from) = self.at.expect("a section was opened");
        let Some(bytes) = self.sections[section].1.get(from..from + into.len()) else {
            return false;
        };
        into.copy_from_slice(bytes);
        self.at = Some((section, from + into.len()));
        true
    }
}

/// The rows of a log.
pub(crate) fn rows(log: &str) -> Vec<Row> {
    log.lines().filter_map(Row::parse).collect()
}

/// Runs a log under the default rules and compares what comes with its last column.
#[track_caller]
pub(crate) fn check(log: &str) {
    check_with(Rules::default(), log);
}

/// Runs a log three ways: straight; frozen and restored before every record; counters swept in parts
/// after every record. Each must give the last column and keep the books.
#[track_caller]
pub(crate) fn check_with(rules: Rules, log: &str) {
    let rows = rows(log);
    let plain = run(rules, &rows, Way::Straight);
    // Long logs are restored now and then only.
    let every = rows.len().div_ceil(100);
    let restored = run(rules, &rows, Way::Restored { every });
    let swept = run(rules, &rows, Way::SweptAfterEveryRecord);
    assert_eq!(plain.counters(), restored.counters());
    assert_eq!(plain.counters(), swept.counters());
}

/// Runs a log one way only, for logs that are long; gives the books.
#[track_caller]
pub(crate) fn check_straight(rules: Rules, log: &str) -> Book {
    run(rules, &rows(log), Way::Straight)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Straight,
    Restored { every: usize },
    SweptAfterEveryRecord,
}

#[track_caller]
fn run(rules: Rules, rows: &[Row], way: Way) -> Book {
    let mut ledger = Ledger::new(rules);
    let mut book = Book::default();
    let mut frozen = Vec::new();
    for (offset, row) in rows.iter().enumerate() {
        if let Some(seen) = book.look(&mut ledger, row) {
            assert_eq!(seen, row.expected, "{way:?}, row {offset}: {}", row.text);
            continue;
        }
        if let Way::Restored { every } = way
            && offset % every == 0
        {
            let image = ledger.snapshot();
            let sections = Sections::of(&image);
            let restored = sections.restore(rules).expect("what was frozen can be restored");
            frozen.push((image, sections, std::mem::replace(&mut ledger, restored)));
        }
        let mut effects = Vec::new();
        book.apply(&mut ledger, offset as u64, row, &mut |effect| {
            effects.push(effect_text(effect))
        });
        assert_eq!(effects.join("; "), row.expected, "{way:?}, row {offset}: {}", row.text);
        if way == Way::SweptAfterEveryRecord {
            book.sweep(&mut ledger, 3);
        }
    }
    book.close(&mut ledger);
    for (image, sections, mut before) in frozen {
        // The ledger that was frozen goes on; what its image says must not.
        before.apply(
            ledger::units::Offset(1 << 40),
            1 << 49,
            Ok(ledger::command::Command::Tick),
            &mut |_| (),
        );
        assert!(Sections::of(&image) == sections, "an image changed");
    }
    book
}
