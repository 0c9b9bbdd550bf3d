//! The state machine of one input partition: records in, effects out, in offset order.
//!
//! This file has the machine's frame: what it is made of, the clock, the sweep of expired holds, and
//! what others may ask. What each command does is in `orders` and `goods`. Invariant: nothing but the
//! records and the rules decides an effect; when and how often the machine is asked, frozen or
//! restored does not.

use crate::allocation::{Demand, Marks};
use crate::buyers::Buyers;
use crate::catalogue::{Categories, Merchants, Skus};
use crate::command::Command;
use crate::counters::Counter;
use crate::effect::{DeadLetter, Effect, PlacedLine};
use crate::expiry::Expiry;
use crate::gmv::{CountedLine, Gmv, Names};
use crate::holds::Holds;
use crate::memory::{Horizon, Memory};
use crate::orders::HoldEnd;
use crate::places::Places;
use crate::prefetch::Near;
use crate::rules::Rules;
use crate::snapshot::{Frozen, RestoreError, SectionSource, Thaw};
use crate::stockroom::Stockroom;
use crate::units::{LocationId, MONEY_AND_TIME_MAX, MerchantId, Millis, Offset, SkuId, Units};
use std::sync::Arc;
use stock::CellId;

/// Holds that are swept for one record at most.
const SWEPT_EACH: usize = 1024;

/// Which counters a sweep writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// Every dimension but merchant and location.
    Fast,
    /// Merchant and location.
    Slow,
}

/// What an index of the shared stock cells has to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A cell came into being.
    Cell {
        /// Whose stock.
        merchant: MerchantId,
        /// Of which SKU.
        sku: SkuId,
        /// Where.
        location: LocationId,
        /// Its number in [`stock::Cells`].
        cell: CellId,
    },
    /// A SKU was listed, listed again or withdrawn.
    Sku {
        /// Whose SKU.
        merchant: MerchantId,
        /// Which SKU.
        sku: SkuId,
        /// Whether it is listed now.
        listed: bool,
        /// Units that are never sold online; 0 when it is not listed.
        safety_stock: Units,
    },
}

/// A record of the input as the state machine sees it.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'c, 'a> {
    /// Where it stands in the partition.
    pub offset: Offset,
    /// Its own timestamp in milliseconds, whatever it says.
    pub timestamp: i64,
    /// What it asks for; the error of a record that could not be decoded or does not belong here.
    pub command: Result<&'c Command<'a>, DeadLetter>,
}

/// Why an id's own time rules its command out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untimely {
    Stale,
    ClockSkew,
}

/// Buffers that every order uses again, so that none is allocated for it.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) demands: Vec<Demand>,
    /// For each line, its demand.
    pub(crate) demand_of: Vec<u8>,
    /// Whether any demand is of a SKU with a limit for each buyer.
    pub(crate) limited: bool,
    pub(crate) placed: Vec<PlacedLine>,
    pub(crate) counted: Vec<CountedLine>,
    pub(crate) marks: Marks,
    pub(crate) near: Near,
}

/// The state machine of one input partition.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) rules: Rules,
    /// T, in milliseconds.
    pub(crate) time: u64,
    /// What the next hold, or the next beginning of a limit, gets as its place in their order.
    pub(crate) sequence: u64,
    next_offset: u64,
    pub(crate) merchants: Merchants,
    pub(crate) skus: Skus,
    pub(crate) categories: Categories,
    pub(crate) places: Places,
    pub(crate) stockroom: Stockroom,
    pub(crate) buyers: Buyers,
    pub(crate) holds: Holds,
    pub(crate) expiry: Expiry,
    pub(crate) orders: Memory,
    pub(crate) payments: Memory,
    pub(crate) refunds: Memory,
    pub(crate) receipts: Memory,
    pub(crate) gmv: Gmv,
    pub(crate) notices: Vec<Notice>,
    pub(crate) scratch: Scratch,
}

impl Ledger {
    /// A partition before its first record.
    ///
    /// # Panics
    /// If the rules are not valid ([`Rules::are_valid`]).
    pub fn new(rules: Rules) -> Ledger {
        assert!(rules.are_valid(), "rules are checked where they are configured");
        Ledger {
            rules,
            time: 0,
            sequence: 1,
            next_offset: 0,
            merchants: Merchants::default(),
            skus: Skus::default(),
            categories: Categories::default(),
            places: Places::default(),
            stockroom: Stockroom::default(),
            buyers: Buyers::default(),
            holds: Holds::default(),
            expiry: Expiry::default(),
            orders: Memory::default(),
            payments: Memory::default(),
            refunds: Memory::default(),
            receipts: Memory::default(),
            gmv: Gmv::default(),
            notices: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Applies records in their order: for each one moves the clock, sweeps expired holds, carries the
    /// command out. Effects are emitted in the order in which they have to be written, each with the
    /// number of its record among these and with T.
    ///
    /// A batch of some dozens is faster than its records one by one, because its waits for memory
    /// overlap; the effects are the same.
    pub fn apply_all<'c, 'a: 'c>(
        &mut self,
        records: impl IntoIterator<Item = LogRecord<'c, 'a>, IntoIter: Clone>,
        emit: &mut impl FnMut(usize, Millis, Effect<'_>),
    ) {
        let records = records.into_iter();
        self.prefetch(records.clone().map(|record| record.command.ok()));
        for (number, record) in records.enumerate() {
            self.scratch.near.begin(number);
            self.next_offset = record.offset.0 + 1;
            self.advance(record.timestamp);
            let at = Millis(self.time);
            let emit = &mut |effect: Effect<'_>| emit(number, at, effect);
            self.sweep(emit);
            self.carry_out(record.command, emit);
        }
        self.scratch.near.clear();
    }

    /// [`Self::apply_all`] of a single record.
    pub fn apply(
        &mut self,
        offset: Offset,
        timestamp: i64,
        command: Result<Command<'_>, DeadLetter>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        let command = command.as_ref().map_err(|code| *code);
        let record = LogRecord { offset, timestamp, command };
        self.apply_all([record], &mut |_, _, effect| emit(effect));
    }

    #[inline]
    fn carry_out(
        &mut self,
        command: Result<&Command<'_>, DeadLetter>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        match command {
            Ok(Command::OrderPlaced(order)) => self.place(order, emit),
            Ok(Command::OrderPaid(payment)) => self.pay(payment, emit),
            Ok(Command::OrderCancelled { merchant, order_id }) => {
                self.cancel(*merchant, *order_id, emit);
            }
            Ok(Command::OrderRefunded(refund)) => self.refund(refund, emit),
            Ok(Command::StockReceived(receipt)) => self.receive(receipt, emit),
            Ok(Command::StockMoved(moved)) => self.move_stock(moved, emit),
            Ok(Command::SkuListed(listing)) => self.list(listing, emit),
            Ok(Command::SkuWithdrawn { merchant, sku }) => self.withdraw(*merchant, *sku),
            Ok(Command::LocationOpened(opened)) => self.open_location(opened, emit),
            Ok(Command::LocationClosed { merchant, location }) => {
                self.close_location(*merchant, *location);
            }
            Ok(Command::Tick) => {}
            Err(code) => self.dead_letter(code, emit),
        }
    }

    /// The rules it goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Goes by other rules from the next record on. What was forgotten stays forgotten, and a hold
    /// keeps the time at which it expires.
    ///
    /// # Panics
    /// If the rules are not valid ([`Rules::are_valid`]).
    pub fn set_rules(&mut self, rules: Rules) {
        assert!(rules.are_valid(), "rules are checked where they are configured");
        let (orders, receipts) = (self.order_horizon(), self.receipt_horizon());
        self.orders.seal(orders);
        self.payments.seal(orders);
        self.refunds.seal(receipts);
        self.receipts.seal(receipts);
        self.gmv.forget_turn();
        self.rules = rules;
    }

    /// T: the largest record timestamp seen so far.
    pub fn time(&self) -> Millis {
        Millis(self.time)
    }

    /// The offset after the last record that was applied; 0 before the first.
    pub fn next_offset(&self) -> Offset {
        Offset(self.next_offset)
    }

    /// Holds that have not ended, expired ones that wait for the sweep included.
    pub fn holds_open(&self) -> u64 {
        self.holds.open()
    }

    /// Ids in the four once-memories that are not in an open hold; some may be forgotten and not
    /// collected yet.
    pub fn ids_remembered(&self) -> u64 {
        let memories = [&self.orders, &self.payments, &self.refunds, &self.receipts];
        memories.iter().map(|memory| memory.len()).sum()
    }

    /// Whether expired holds wait for the next record to be swept.
    pub fn sweep_is_due(&self) -> bool {
        self.expiry.first().is_some_and(|first| first.expires_at() <= self.time)
    }

    /// The stock cells, for readers on any thread.
    pub fn stock(&self) -> &Arc<stock::Cells> {
        self.stockroom.cells()
    }

    /// Gives what an index of the cells has to learn since the last call, and forgets it.
    pub fn take_notices(&mut self, on: impl FnMut(Notice)) {
        self.notices.drain(..).for_each(on);
    }

    /// Gives every cell and every listed SKU: for the index of a restored ledger.
    pub fn for_each_cell(&self, mut on: impl FnMut(Notice)) {
        for sku in self.skus.iter() {
            let merchant = self.merchants.id(sku.merchant);
            if sku.is_listed() {
                let safety_stock = Units(sku.safety_stock);
                on(Notice::Sku { merchant, sku: SkuId(sku.id), listed: true, safety_stock });
            }
            for at in self.stockroom.cells_of(sku) {
                let location = LocationId(self.places.get(at.place).location);
                on(Notice::Cell { merchant, sku: SkuId(sku.id), location, cell: CellId(at.cell) });
            }
        }
    }

    /// Writes part `part` of `parts` of a rotating sweep: the counters in it that changed since they
    /// were last written, with their totals up to now, and counters of past days and minutes, which
    /// then leave memory. Parts 0 to `parts` - 1 in turn write everything; `(0, 1)` does so at once.
    pub fn write_counters(
        &mut self,
        which: Cadence,
        part: u32,
        parts: u32,
        emit: &mut impl FnMut(Counter<'_>),
    ) {
        let names = Names {
            merchants: &self.merchants,
            categories: &self.categories,
            places: &self.places,
        };
        self.gmv.write(which, part, parts, names, emit);
    }

    /// Whether counters may be unwritten. Certainly false once every part of both sweeps was written
    /// and nothing was counted since.
    pub fn counters_changed(&self) -> bool {
        self.gmv.changed()
    }

    /// The state as it is now. Takes time by the number of pages, not by their bytes.
    pub fn snapshot(&mut self) -> Frozen {
        let mut frozen = Frozen::default();
        frozen.push_slice(&[self.time, self.sequence, self.next_offset]);
        self.merchants.freeze(&mut frozen);
        self.skus.freeze(&mut frozen);
        self.categories.freeze(&mut frozen);
        self.places.freeze(&mut frozen);
        self.stockroom.freeze(&mut frozen);
        self.buyers.freeze(&mut frozen);
        self.holds.freeze(&mut frozen);
        self.expiry.freeze(&mut frozen);
        self.orders.freeze(&mut frozen);
        self.payments.freeze(&mut frozen);
        self.refunds.freeze(&mut frozen);
        self.receipts.freeze(&mut frozen);
        self.gmv.freeze(&mut frozen);
        frozen
    }

    /// The ledger whose state was frozen; `rules` are those under which it was.
    ///
    /// # Errors
    /// [`RestoreError`] if a section is missing, cannot be read, or is not of the right shape.
    ///
    /// # Panics
    /// If the rules are not valid ([`Rules::are_valid`]).
    pub fn restore(rules: Rules, source: &mut impl SectionSource) -> Result<Ledger, RestoreError> {
        let mut thaw = Thaw::new(source);
        let thaw = &mut thaw;
        let mut ledger = Ledger::new(rules);
        let scalars = thaw.exactly::<u64>(3)?;
        ledger.time = scalars[0];
        ledger.sequence = scalars[1];
        ledger.next_offset = scalars[2];
        ledger.merchants = Merchants::thaw(thaw)?;
        ledger.skus = Skus::thaw(thaw)?;
        ledger.categories = Categories::thaw(thaw)?;
        ledger.places = Places::thaw(thaw)?;
        ledger.stockroom = Stockroom::thaw(thaw)?;
        ledger.buyers = Buyers::thaw(thaw)?;
        ledger.holds = Holds::thaw(thaw)?;
        ledger.expiry = Expiry::thaw(thaw)?;
        thaw.check(ledger.expiry.len() as u64 == ledger.holds.open())?;
        ledger.orders = Memory::thaw(thaw)?;
        ledger.payments = Memory::thaw(thaw)?;
        ledger.refunds = Memory::thaw(thaw)?;
        ledger.receipts = Memory::thaw(thaw)?;
        ledger.gmv = Gmv::thaw(thaw)?;
        Ok(ledger)
    }

    /// Moves T to a record's timestamp; one out of range leaves it.
    #[inline]
    fn advance(&mut self, timestamp: i64) {
        let seen = u64::try_from(timestamp).ok().filter(|seen| *seen <= MONEY_AND_TIME_MAX);
        self.time = self.time.max(seen.unwrap_or(0));
        self.gmv.advance(self.time, self.rules.day_offset_ms);
    }

    #[inline]
    fn sweep(&mut self, emit: &mut impl FnMut(Effect<'_>)) {
        for _ in 0..SWEPT_EACH {
            match self.expiry.first() {
                Some(first) if first.expires_at() <= self.time => {
                    self.release(first.hold(), HoldEnd::Expired, emit);
                }
                _ => break,
            }
        }
    }

    pub(crate) fn dead_letter(&mut self, code: DeadLetter, emit: &mut impl FnMut(Effect<'_>)) {
        self.gmv.dead_letter();
        emit(Effect::DeadLetter(code));
    }

    pub(crate) fn order_horizon(&self) -> Horizon {
        Horizon { now: self.time, window: self.rules.order_window_ms }
    }

    pub(crate) fn receipt_horizon(&self) -> Horizon {
        Horizon { now: self.time, window: self.rules.receipt_window_ms }
    }

    /// Whether a command's own time is neither too old nor from the future.
    pub(crate) fn timely(&self, own: Millis, horizon: Horizon) -> Result<(), Untimely> {
        if own.0 + horizon.window < self.time {
            Err(Untimely::Stale)
        } else if own.0 > self.time + self.rules.skew_ms {
            Err(Untimely::ClockSkew)
        } else {
            Ok(())
        }
    }

    /// The merchant's number, if the state has needed one before.
    pub(crate) fn merchant(&self, id: MerchantId) -> Option<u32> {
        self.merchants.find(id)
    }

    /// The merchant's number, for state that is about to come into being.
    pub(crate) fn merchant_or_new(&mut self, found: Option<u32>, id: MerchantId) -> u32 {
        found.unwrap_or_else(|| {
            let merchant = self.merchants.find_or_add(id);
            self.make_room();
            merchant
        })
    }

    pub(crate) fn make_room(&mut self) {
        self.gmv.make_room(Names {
            merchants: &self.merchants,
            categories: &self.categories,
            places: &self.places,
        });
    }
}
