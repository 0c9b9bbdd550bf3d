//! One input partition as the contract describes it: the clock, the sweep and the checks of
//! sections 4.1 and 4.2, then the rules, record by record.
//!
//! A pure function of its records and its rules: no wall clock, no random number, no other
//! partition. Outputs leave in the order in which they are to be written.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, Decoded, SkuListed, StockMoved, StockReceived};
use crate::counters::Counters;
use crate::decode::decode;
use crate::memory::{Id, Memory};
use crate::merchant::{Merchant, StockChange};
use crate::orders::Order;
use crate::output::{self, Code, Release};
use crate::record::{InputRecord, Moment, Output};
use crate::routing::partition_of;
use crate::rules::{Partitioner, Rules};

/// Timestamps above this one count as none (in milliseconds; the year 33658).
const TIMESTAMP_MAX: u64 = 1_000_000_000_000_000;
/// How many holds are swept for each record at most.
const SWEEP_MAX: usize = 1_024;
/// How many bytes a value may have.
const VALUE_BYTES_MAX: usize = 262_144;
/// How many categories may ever be listed in a partition.
const CATEGORIES_MAX: usize = 4_096;

/// The state machine of one input partition.
#[derive(Clone, Debug)]
pub struct PlainPartition {
    pub(crate) rules: Rules,
    partition: u32,
    input_topic: String,
    /// The record that is being applied, and the partition's time T.
    pub(crate) moment: Moment,
    pub(crate) merchants: BTreeMap<u64, Merchant>,
    /// Every category that was ever listed.
    pub(crate) categories: BTreeSet<String>,
    pub(crate) orders: Memory<Order>,
    pub(crate) payments: Memory<()>,
    pub(crate) refunds: Memory<()>,
    pub(crate) receipts: Memory<()>,
    /// The open holds' orders by `expires_at` and order of placement.
    pub(crate) expiries: BTreeMap<(u64, u64), Id>,
    /// How many holds were placed so far.
    pub(crate) placements: u64,
    pub(crate) counters: Counters,
    outputs: Vec<Output>,
    /// What the record's stock command did, for the audit's own account of stock.
    accepted_stock: Vec<(u64, StockChange)>,
}

/// How a command's own time stands to the partition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    Good,
    TooOld,
    FromTheFuture,
}

impl Timing {
    /// For the commands whose bad timing makes them dead letters.
    pub(crate) fn or_dead_letter(self) -> Result<(), Code> {
        match self {
            Timing::Good => Ok(()),
            Timing::TooOld => Err(Code::Stale),
            Timing::FromTheFuture => Err(Code::ClockSkew),
        }
    }
}

/// A dead letter in the making: its code, and words that help.
struct DeadLetter {
    code: Code,
    message: String,
}

impl From<Code> for DeadLetter {
    fn from(code: Code) -> Self {
        let message = match code {
            Code::Stale => "the command's own time is before the window",
            Code::ClockSkew => "the command's own time is too far in the future",
            Code::StockUnderflow => "it would take on_hand below zero",
            Code::StockOverflow => "it would take on_hand + held above 4294967295",
            Code::TooMany => "no further category or location can be added",
            Code::TooLarge | Code::Invalid | Code::Misrouted => "it cannot be accepted",
        };
        DeadLetter { code, message: message.to_owned() }
    }
}

impl PlainPartition {
    /// A partition before its first record. `partition` is its number, below `rules.partitions`.
    pub fn new(rules: Rules, partition: u32) -> PlainPartition {
        PlainPartition {
            partition,
            input_topic: "orders".to_owned(),
            moment: Moment { offset: 0, at: 0 },
            merchants: BTreeMap::new(),
            categories: BTreeSet::new(),
            orders: Memory::new(rules.order_window_ms),
            payments: Memory::new(rules.order_window_ms),
            refunds: Memory::new(rules.receipt_window_ms),
            receipts: Memory::new(rules.receipt_window_ms),
            expiries: BTreeMap::new(),
            placements: 0,
            counters: Counters::new(partition, rules.day_offset_ms),
            outputs: Vec::new(),
            accepted_stock: Vec::new(),
            rules,
        }
    }

    /// Names the input topic (default `orders`), which dead letters carry in a header.
    #[must_use]
    pub fn with_input_topic(mut self, name: &str) -> PlainPartition {
        name.clone_into(&mut self.input_topic);
        self
    }

    /// Applies the next record and returns what it causes, in order. Offsets must ascend.
    pub fn apply(&mut self, record: &InputRecord) -> Vec<Output> {
        self.moment.offset = record.offset;
        self.accepted_stock.clear();
        self.advance_clock(record.timestamp);
        self.sweep();
        self.forget();
        if let Err(dead) = self.check_and_run(record) {
            self.counters.dead_letter(self.moment);
            self.write(output::dead_letter(
                self.moment,
                &self.input_topic,
                self.partition,
                record,
                dead.code,
                &dead.message,
            ));
        }
        std::mem::take(&mut self.outputs)
    }

    /// The GMV counters up to and including the last applied record.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The partition's time T, in milliseconds.
    pub fn time(&self) -> u64 {
        self.moment.at
    }

    /// How many holds have not ended.
    pub fn open_holds(&self) -> usize {
        self.expiries.len()
    }

    /// How many ids are remembered, in all four id spaces.
    pub fn remembered_ids(&self) -> usize {
        self.orders.len() + self.payments.len() + self.refunds.len() + self.receipts.len()
    }

    /// What the last record's stock command added to cells, with the merchant, if it took effect.
    pub(crate) fn accepted_stock(&self) -> &[(u64, StockChange)] {
        &self.accepted_stock
    }

    pub(crate) fn merchant(&mut self, merchant_id: u64) -> &mut Merchant {
        self.merchants.entry(merchant_id).or_default()
    }

    pub(crate) fn write(&mut self, output: Output) {
        self.outputs.push(output);
    }

    // --- 4.1 Clock and checks ------------------------------------------------------------------

    fn advance_clock(&mut self, timestamp: i64) {
        match u64::try_from(timestamp) {
            Ok(timestamp) if timestamp <= TIMESTAMP_MAX => {
                self.moment.at = self.moment.at.max(timestamp);
            }
            _ => {}
        }
    }

    fn check_and_run(&mut self, record: &InputRecord) -> Result<(), DeadLetter> {
        let value = record.value.as_deref();
        if let Some(length) = value.map(<[u8]>::len).filter(|length| *length > VALUE_BYTES_MAX) {
            let message = format!("the value has {length} bytes, more than {VALUE_BYTES_MAX}");
            return Err(DeadLetter { code: Code::TooLarge, message });
        }
        let decoded = decode(value)
            .map_err(|invalid| DeadLetter { code: Code::Invalid, message: invalid.to_string() })?;
        match decoded {
            Decoded::Tick => Ok(()),
            Decoded::ForMerchant { merchant_id, command } => {
                self.check_routing(record, merchant_id)?;
                self.run(merchant_id, command).map_err(DeadLetter::from)
            }
        }
    }

    fn check_routing(&self, record: &InputRecord, merchant_id: u64) -> Result<(), DeadLetter> {
        let key = merchant_id.to_string().into_bytes();
        if record.key.as_ref() != Some(&key) {
            let message = format!("the key of merchant {merchant_id} is {merchant_id}");
            return Err(DeadLetter { code: Code::Misrouted, message });
        }
        let right = partition_of(&key, self.rules.partitions);
        if self.rules.partitioner == Partitioner::Murmur2 && right != self.partition {
            let message = format!("merchant {merchant_id} belongs to partition {right}");
            return Err(DeadLetter { code: Code::Misrouted, message });
        }
        Ok(())
    }

    fn run(&mut self, merchant_id: u64, command: Command) -> Result<(), Code> {
        match command {
            Command::OrderPlaced(order) => self.order_placed(merchant_id, order),
            Command::OrderPaid(paid) => self.order_paid(merchant_id, &paid),
            Command::OrderCancelled { order_id } => self.order_cancelled(merchant_id, order_id),
            Command::OrderRefunded(refund) => return self.order_refunded(merchant_id, &refund),
            Command::StockReceived(received) => return self.stock_received(merchant_id, received),
            Command::StockMoved(moved) => return self.stock_moved(merchant_id, moved),
            Command::SkuListed(listed) => return self.sku_listed(merchant_id, listed),
            Command::SkuWithdrawn { sku } => self.merchant(merchant_id).withdraw(sku),
            Command::LocationOpened(opened) => return self.merchant(merchant_id).open(opened),
            Command::LocationClosed { location } => self.merchant(merchant_id).close(location),
        }
        Ok(())
    }

    // --- 4.2 Expiry ----------------------------------------------------------------------------

    fn sweep(&mut self) {
        for _ in 0..SWEEP_MAX {
            match self.expiries.first_key_value() {
                Some(((expires_at, _), id)) if *expires_at <= self.moment.at => {
                    let id = id.clone();
                    self.release(&id, Release::Expired);
                }
                _ => return,
            }
        }
    }

    // --- 4.3 Once ------------------------------------------------------------------------------

    fn forget(&mut self) {
        let now = self.moment.at;
        self.orders.forget(now);
        self.payments.forget(now);
        self.refunds.forget(now);
        self.receipts.forget(now);
    }

    /// How `own_time` stands to T, given the id space's window.
    pub(crate) fn timing(&self, own_time: u64, window_ms: u64) -> Timing {
        let now = self.moment.at;
        if own_time.saturating_add(window_ms) < now {
            Timing::TooOld
        } else if own_time > now.saturating_add(self.rules.skew_ms) {
            Timing::FromTheFuture
        } else {
            Timing::Good
        }
    }

    // --- 4.9 Stock -----------------------------------------------------------------------------

    fn stock_received(&mut self, merchant_id: u64, received: StockReceived) -> Result<(), Code> {
        let StockReceived { receipt_id, received_at, sku, qty, location } = received;
        let changes = [StockChange { sku, location, units: qty }];
        self.change_stock_once(merchant_id, receipt_id, received_at, &changes)
    }

    fn stock_moved(&mut self, merchant_id: u64, moved: StockMoved) -> Result<(), Code> {
        let StockMoved { receipt_id, received_at, sku, from, to, qty } = moved;
        let changes = [
            StockChange { sku, location: from, units: -qty },
            StockChange { sku, location: to, units: qty },
        ];
        self.change_stock_once(merchant_id, receipt_id, received_at, &changes)
    }

    fn change_stock_once(
        &mut self,
        merchant_id: u64,
        receipt_id: String,
        received_at: u64,
        changes: &[StockChange],
    ) -> Result<(), Code> {
        let id = (merchant_id, receipt_id);
        if self.receipts.contains(&id) {
            self.counters.duplicate(self.moment);
            return Ok(());
        }
        self.timing(received_at, self.rules.receipt_window_ms).or_dead_letter()?;
        self.receipts.remember(id, (), received_at.max(self.moment.at));
        self.merchant(merchant_id).change_stock(changes)?;
        self.accepted_stock.extend(changes.iter().map(|change| (merchant_id, *change)));
        Ok(())
    }

    // --- 4.10 Catalogue ------------------------------------------------------------------------

    fn sku_listed(&mut self, merchant_id: u64, listed: SkuListed) -> Result<(), Code> {
        if !self.categories.contains(&listed.category) {
            if self.categories.len() == CATEGORIES_MAX {
                return Err(Code::TooMany);
            }
            self.categories.insert(listed.category.clone());
        }
        let offset = self.moment.offset;
        self.merchant(merchant_id).list(&listed, offset);
        Ok(())
    }
}
