//! The books that every log is checked against: units cell by cell, counters dimension by dimension.

use super::notation::Row;
use ledger::command::Command;
use ledger::counters::{Counter, Dimension, Figures};
use ledger::effect::{Effect, PlacedLine};
use ledger::units::Offset;
use ledger::{Cadence, Ledger, Notice};
use std::collections::BTreeMap;

/// Merchant, SKU, location.
type At = (u64, u64, u32);

/// On hand and held.
type Units = (i64, i64);

/// Day, dimension, value.
type CounterName = (u64, &'static str, String);

#[derive(Debug, Default)]
pub(crate) struct Book {
    counters: BTreeMap<CounterName, (Figures, String)>,
}

impl Book {
    /// Applies a row's record and checks that units went where the effects say.
    #[track_caller]
    pub(crate) fn apply(
        &mut self,
        ledger: &mut Ledger,
        offset: u64,
        row: &Row,
        emit: &mut impl FnMut(&Effect<'_>),
    ) {
        let command = row.command();
        let before = stock(ledger);
        let mut expected = before.clone();
        let at_once = matches!(&command, Ok(Command::OrderPlaced(_)));
        let mut dead = false;
        let mut settled_now = false;
        ledger.apply(Offset(offset), row.time, command, &mut |effect| {
            emit(&effect);
            dead |= matches!(effect, Effect::DeadLetter(_));
            settled_now |= matches!(effect, Effect::OrderSettled { .. });
            follow(&mut expected, &effect, at_once);
        });
        let after = stock(ledger);
        let mut received = expected.clone();
        match command {
            Ok(Command::StockReceived(receipt)) if !dead => {
                let at = (receipt.merchant.0, receipt.sku.0, receipt.location.0);
                received.entry(at).or_default().0 += receipt.qty;
            }
            Ok(Command::StockMoved(moved)) if !dead => {
                let units = i64::from(moved.qty.0);
                received.entry((moved.merchant.0, moved.sku.0, moved.from.0)).or_default().0 -=
                    units;
                received.entry((moved.merchant.0, moved.sku.0, moved.to.0)).or_default().0 += units;
            }
            _ => {}
        }
        // A repeated receipt changes nothing.
        let kept =
            occupied(&after) == occupied(&received) || occupied(&after) == occupied(&expected);
        assert!(kept, "units were lost or made: {}\n{before:?}\n{expected:?}\n{after:?}", row.text);
        assert!(after.values().all(|(on_hand, held)| *on_hand >= 0 && *held >= 0));
    }

    /// What a row that is no record looks at.
    #[track_caller]
    pub(crate) fn look(&mut self, ledger: &mut Ledger, row: &Row) -> Option<String> {
        match row.verb.as_str() {
            "stock" => {
                let (sku, location) = row.sku_at(0);
                let at = (row.merchant().0, sku.0, location.0);
                let (on_hand, held) = stock(ledger).get(&at).copied().unwrap_or_default();
                Some(format!("{on_hand}/{held}"))
            }
            "count" => {
                self.sweep(ledger, 1);
                let (dimension, value) =
                    row.word(0).split_once('/').unwrap_or((row.word(0), "all"));
                let found = self.counters.iter().rev();
                let mut found = found.filter(|((_, d, v), _)| *d == dimension && v == value);
                Some(found.next().map_or("none".to_owned(), |(_, (figures, answers))| {
                    format!("{}{answers}", figures_text(figures))
                }))
            }
            _ => None,
        }
    }

    /// Writes all counters that changed, in so many parts.
    #[track_caller]
    pub(crate) fn sweep(&mut self, ledger: &mut Ledger, parts: u32) {
        for which in [Cadence::Fast, Cadence::Slow] {
            for part in 0..parts {
                let counters = &mut self.counters;
                ledger.write_counters(which, part, parts, &mut |counter| note(counters, &counter));
            }
        }
        assert!(!ledger.counters_changed(), "everything was written a moment ago");
    }

    /// Checks that the counters of all dimensions agree.
    #[track_caller]
    pub(crate) fn close(&mut self, ledger: &mut Ledger) {
        self.sweep(ledger, 1);
        let days: std::collections::BTreeSet<u64> =
            self.counters.keys().map(|name| name.0).collect();
        for day in days {
            let sum = |dimension| self.sum(day, dimension);
            let all = sum("all");
            for dimension in ["channel", "area", "province", "merchant", "minute"] {
                assert_eq!(sum(dimension), all, "{dimension} of day {day}");
            }
            let sold = Figures { orders_refunded: 0, refunded: 0, ..all };
            assert_eq!(sum("fulfilment"), sold);
            let (category, location) = (sum("category"), sum("location"));
            assert_eq!((category.placed, category.settled), (all.placed, all.settled));
            assert_eq!((location.placed, location.settled), (0, all.settled));
            assert_eq!(category.units_settled, all.units_settled);
            assert_eq!(location.units_settled, all.units_settled);
        }
        let held: i64 = stock(ledger).values().map(|(_, held)| held).sum();
        assert_eq!(
            held > 0,
            ledger.holds_open() > 0,
            "units are held exactly while holds are open"
        );
    }

    fn sum(&self, day: u64, dimension: &str) -> Figures {
        let of = self.counters.iter().filter(|((d, name, _), _)| *d == day && *name == dimension);
        of.fold(Figures::default(), |sum, (_, (figures, _))| Figures {
            orders_placed: sum.orders_placed + figures.orders_placed,
            placed: sum.placed + figures.placed,
            orders_settled: sum.orders_settled + figures.orders_settled,
            units_settled: sum.units_settled + figures.units_settled,
            settled: sum.settled + figures.settled,
            orders_refunded: sum.orders_refunded + figures.orders_refunded,
            refunded: sum.refunded + figures.refunded,
        })
    }

    /// All counters as `dimension/value figures`, sorted.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line =
            |((_, dimension, value), (figures, further)): (&CounterName, &(Figures, String))| {
                format!("{dimension}/{value} {}{further}", figures_text(figures))
            };
        let mut lines: Vec<String> = self.counters.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// All counters, for tests that compare them with others.
    pub(crate) fn counters(&self) -> &BTreeMap<CounterName, (Figures, String)> {
        &self.counters
    }
}

fn figures_text(f: &Figures) -> String {
    let placed = format!("placed={}/{}", f.orders_placed, f.placed);
    let settled = format!("settled={}/{}/{}", f.orders_settled, f.units_settled, f.settled);
    format!("{placed} {settled} refunded={}/{}", f.orders_refunded, f.refunded)
}

#[track_caller]
fn note(counters: &mut BTreeMap<CounterName, (Figures, String)>, counter: &Counter<'_>) {
    let mut further = String::new();
    let (dimension, value) = match counter.dimension {
        Dimension::All(a) => {
            further = format!(
                " rejected={} released={} dead={} duplicates={}",
                a.orders_rejected, a.orders_released, a.dead_letters, a.duplicates
            );
            ("all", "all".to_owned())
        }
        Dimension::Channel(channel) => ("channel", channel.name().to_owned()),
        Dimension::Area { rural } => ("area", if rural { "rural" } else { "urban" }.to_owned()),
        Dimension::Fulfilment { pickup } => {
            ("fulfilment", if pickup { "pickup" } else { "ship" }.to_owned())
        }
        Dimension::Province(province) => ("province", format!("{province:02}")),
        Dimension::Category(category) => ("category", category.as_str().to_owned()),
        Dimension::Merchant(merchant) => ("merchant", merchant.0.to_string()),
        Dimension::Location(merchant, location) => {
            ("location", format!("{}:{}", merchant.0, location.0))
        }
        Dimension::Minute(minute) => ("minute", minute.to_string()),
    };
    let written = (counter.figures, further);
    let before = counters.insert((counter.day, dimension, value), written.clone());
    assert_ne!(before, Some(written), "an unchanged counter was written again");
}

/// What every cell holds.
pub(crate) fn stock(ledger: &Ledger) -> BTreeMap<At, Units> {
    let mut stock = BTreeMap::new();
    ledger.for_each_cell(|notice| {
        if let Notice::Cell { merchant, sku, location, cell } = notice {
            let now = ledger.stock().read(cell);
            let units = (i64::from(now.on_hand), i64::from(now.held));
            let twice = stock.insert((merchant.0, sku.0, location.0), units);
            assert_eq!(twice, None, "a SKU has one cell at a location");
        }
    });
    stock
}

fn occupied(stock: &BTreeMap<At, Units>) -> BTreeMap<At, Units> {
    stock.iter().filter(|(_, units)| **units != (0, 0)).map(|(at, units)| (*at, *units)).collect()
}

fn follow(stock: &mut BTreeMap<At, Units>, effect: &Effect<'_>, at_once: bool) {
    let mut shift = |merchant: u64, lines: &[PlacedLine], on_hand: i64, held: i64| {
        for line in lines {
            let units = i64::from(line.qty.0);
            let cell = stock.entry((merchant, line.sku.0, line.location.0)).or_default();
            cell.0 += on_hand * units;
            cell.1 += held * units;
        }
    };
    match effect {
        Effect::HoldPlaced { order, lines, .. } => shift(order.merchant.0, lines, -1, 1),
        Effect::HoldReleased { order, lines, .. } => shift(order.merchant.0, lines, 1, -1),
        Effect::OrderSettled { order, lines, .. } if at_once => {
            shift(order.merchant.0, lines, -1, 0);
        }
        Effect::OrderSettled { order, lines, .. } => shift(order.merchant.0, lines, 0, -1),
        Effect::OrderRefunded { order, lines, restock: true, .. } => {
            for line in *lines {
                let at = (order.merchant.0, line.sku.0, line.location.0);
                stock.entry(at).or_default().0 += i64::from(line.qty.0);
            }
        }
        _ => {}
    }
}
