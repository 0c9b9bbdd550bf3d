//! Sale-day traffic: the commands that upstream checkout systems would publish on a peak shopping
//! day, each with the moment at which it is due. Not a load generator (it sends nothing and knows
//! no wall clock) and not a judge (it keeps no stock and expects no answer).
//!
//! Invariant: the records are a function of the settings, the number of orders, the seed, the
//! number of partitions and the start alone. The same arguments give the same bytes on every
//! machine; `pinned_bytes` in the tests says which. An order, what follows it and every aside are
//! functions of the seed and their number, so what is pending holds numbers and times, no text, and
//! what is planned can be written by other threads than the one that plans.

mod asides;
mod catalogue;
pub(crate) mod draw;
pub mod file;
mod json;
#[cfg(test)]
mod judged_tests;
mod malformed;
mod orders;
mod planned;
mod regions;
mod script;
mod settings;
mod summary;
#[cfg(test)]
mod tests;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use asides::{Aside, ROUND};
use catalogue::Catalogue;
use draw::Domain;
use orders::Order;
use planned::{Body, Route};
use script::{Sequel, follow};
use world::{World, merchant_id};

use wire::partition::partition_of;

pub use planned::{Planned, Sent, Writer};
pub use settings::{Fate, Settings};
pub use summary::{Kind, Summary};

/// Expired holds that one record sweeps at most (contract, 4.2).
const HOLDS_SWEPT_MAX: u64 = 1024;

/// Something that waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    due_ms: u64,
    /// First come, first served among those due together.
    sequence: u64,
    /// Its own time, before `due_ms` for most.
    own_ms: i64,
    /// Of the order or the aside.
    number: u64,
    step: Step,
    is_repeat: bool,
}

impl Pending {
    /// Something sent for the first time.
    fn first(due_ms: u64, own_ms: i64, number: u64, step: Step) -> Self {
        Self { due_ms, sequence: 0, own_ms, number, step, is_repeat: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Place,
    /// What follows an order of the merchant of this index.
    Follow {
        sequel: Sequel,
        merchant: u32,
    },
    Aside(Aside),
}

/// The traffic of one sale, record by record in the order of time: the catalogue, the orders and
/// what follows them, and in the end enough ticks on each partition that every hold expires.
#[derive(Debug)]
pub struct Traffic {
    world: Arc<World>,
    partitions: u32,
    start_ms: i64,
    catalogue: Catalogue,
    /// Orders that have arrived, which is the number of the next one too.
    arrived: u64,
    pending: BinaryHeap<Reverse<Pending>>,
    sequence: u64,
    now_ms: u64,
    /// When the last hold can expire.
    expires_ms_max: u64,
    /// For each partition, how many holds it can have if none was paid.
    holds_max: Vec<u64>,
    /// The partition that gets its closing ticks, and how many it got.
    closing: (u32, u64),
    summary: Summary,
    /// The last record's key, by which its partition was found.
    key: Vec<u8>,
}

impl Traffic {
    /// The traffic of `orders` orders, spread over `partitions` (0 counts as 1).
    ///
    /// `start_ms`, in milliseconds since 1970, is when the catalogue begins; the sale opens
    /// [`Settings::opening_ms`] later. It has to lie at least two days after 1970 for late commands
    /// to be as late as they should be.
    #[must_use]
    pub fn new(settings: Settings, orders: u64, seed: u64, partitions: u32, start_ms: i64) -> Self {
        let partitions = partitions.max(1);
        Self {
            world: Arc::new(World::new(settings, orders, seed)),
            partitions,
            start_ms,
            catalogue: Catalogue::default(),
            arrived: 0,
            pending: BinaryHeap::new(),
            sequence: 0,
            now_ms: 0,
            expires_ms_max: 0,
            holds_max: vec![0; partitions as usize],
            closing: (0, 0),
            summary: Summary::default(),
            key: Vec::new(),
        }
    }

    /// What has been planned so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What writes the records of this traffic.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer(Arc::clone(&self.world))
    }

    /// Plans the next record, or none if there is none. Timestamps never go back.
    pub fn plan(&mut self) -> Option<Planned> {
        self.plan_catalogue().or_else(|| self.plan_due()).or_else(|| self.plan_closing_tick())
    }

    /// The same for what comes before the sale.
    pub fn plan_catalogue(&mut self) -> Option<Planned> {
        let (due_ms, merchant, item) = self.catalogue.next(&self.world)?;
        self.now_ms = due_ms;
        let body = Body::Catalogue { merchant, item };
        let (partition, route) = self.address(merchant.id, Route::Straight);
        let timestamp_ms = self.timestamp_ms();
        let kind = item.kind();
        self.summary.add(kind);
        Some(Planned { partition, timestamp_ms, kind, merchant: merchant.id, route, body })
    }

    /// Plans the next record and puts it into `sent`, or returns false if there is none.
    pub fn next_into(&mut self, sent: &mut Sent) -> bool {
        let Some(planned) = self.plan() else { return false };
        planned.write(&self.world, sent);
        true
    }

    /// Has the sale open at that moment, in milliseconds since 1970, instead of when it was to. Only
    /// between catalogue and sale, and to a moment that is not earlier.
    pub fn open_at(&mut self, opens_at_ms: i64) {
        self.start_ms = opens_at_ms - self.world.settings.opening_ms.cast_signed();
    }

    fn timestamp_ms(&self) -> i64 {
        self.start_ms + self.now_ms.cast_signed()
    }

    /// Plans what is due next: what is pending, or else the next order.
    fn plan_due(&mut self) -> Option<Planned> {
        let next = self.pop()?;
        self.now_ms = next.due_ms;
        Some(match next.step {
            Step::Place => self.plan_order(next),
            Step::Follow { sequel, merchant } => self.plan_sequel(sequel, merchant, &next),
            Step::Aside(aside) => self.plan_aside(aside, &next),
        })
    }

    /// What comes next, pending or new; of those due together, the new order comes last.
    fn pop(&mut self) -> Option<Pending> {
        let number = self.arrived;
        let has_order = number < self.world.orders;
        let arrival_ms = if has_order { self.world.arrival_ms(number) } else { u64::MAX };
        if let Some(next) = self.pending.peek_mut()
            && next.0.due_ms <= arrival_ms
        {
            return Some(PeekMut::pop(next).0);
        }
        if !has_order {
            return None;
        }
        self.arrived += 1;
        Some(Pending::first(arrival_ms, 0, number, Step::Place))
    }

    fn plan_order(&mut self, next: Pending) -> Planned {
        let order = Order::of(&self.world, next.number);
        let next = Pending { own_ms: order.placed_ms, ..next };
        // A repetition can be the one that is accepted: an order from the future has become due.
        let expires_ms = order.expires_ms_max(&self.world, self.now_ms);
        self.expires_ms_max = self.expires_ms_max.max(expires_ms);
        let (partition, route) = self.address(order.merchant.id, Route::Straight);
        let kind = self.classify(Kind::OrderPlaced, &next);
        if !next.is_repeat {
            self.summary.orders += 1;
            self.holds_max[partition as usize] += 1;
            self.prepare_sequels(&order);
            self.prepare_asides(order.number);
            self.prepare_mischief(order.number);
        }
        let (merchant, start_ms) = (order.merchant.id, self.start_ms);
        let body = Body::Order { order, start_ms };
        Planned { partition, timestamp_ms: self.timestamp_ms(), kind, merchant, route, body }
    }

    fn plan_sequel(&mut self, sequel: Sequel, merchant: u32, next: &Pending) -> Planned {
        let kind = match sequel {
            Sequel::Pay(_) => Kind::OrderPaid,
            Sequel::Cancel => Kind::OrderCancelled,
            Sequel::Refund => Kind::OrderRefunded,
        };
        let kind = self.classify(kind, next);
        let merchant = merchant_id(merchant);
        let (partition, route) = self.address(merchant, Route::Straight);
        let body = Body::Sequel { sequel, number: next.number, own_at: self.own_at(next) };
        Planned { partition, timestamp_ms: self.timestamp_ms(), kind, merchant, route, body }
    }

    fn plan_aside(&mut self, aside: Aside, next: &Pending) -> Planned {
        if let Some((amends, after_ms)) = aside.amends() {
            self.push_aside(amends, next.number, after_ms);
        }
        let kind = self.classify(aside.kind(), next);
        let merchant = aside.merchant(&self.world, next.number).id;
        let (partition, route) = self.address(merchant, aside.route());
        let body = Body::Aside { aside, number: next.number, own_at: self.own_at(next) };
        Planned { partition, timestamp_ms: self.timestamp_ms(), kind, merchant, route, body }
    }

    /// Plans what follows an order that has just been sent.
    fn prepare_sequels(&mut self, order: &Order) {
        let (pending, sequence) = (&mut self.pending, &mut self.sequence);
        follow(&self.world, order, |cue| {
            *sequence += 1;
            let step = Step::Follow { sequel: cue.sequel, merchant: order.merchant.index };
            let next = Pending::first(cue.due_ms, cue.own_ms, order.number, step);
            pending.push(Reverse(Pending { sequence: *sequence, ..next }));
        });
    }

    /// Plans the asides whose turn it is after this order.
    fn prepare_asides(&mut self, order: u64) {
        let world = &self.world;
        let every = world.settings.orders_per_aside.min(world.orders / ROUND).max(1);
        let livestream_every = world.livestream_every();
        let oversized_every = world.settings.orders_per_oversized.min(world.orders).max(1);
        if order.is_multiple_of(every) {
            self.push_aside(Aside::of(order / every), order / every, 0);
        }
        if order.is_multiple_of(livestream_every) {
            self.push_aside(Aside::LivestreamStock, order / livestream_every, 0);
        }
        if order % oversized_every == oversized_every / 2 {
            self.push_aside(Aside::Largest, 2 * order, 0);
            self.push_aside(Aside::Oversized, 2 * order + 1, 0);
        }
    }

    /// Plans what upstream gets wrong besides the round of asides.
    fn prepare_mischief(&mut self, order: u64) {
        /// Numbers of these, beyond those of the round.
        const BESIDES: u64 = 1 << 40;
        let settings = &self.world.settings;
        let mut draw = self.world.draw(Domain::Besides, order);
        let is_late = draw.below(10_000) < settings.late_per_ten_thousand;
        let is_malformed = draw.below(10_000) < settings.malformed_per_ten_thousand;
        if is_late {
            self.push_aside(Aside::late(&mut draw), BESIDES + 2 * order, 0);
        }
        if is_malformed {
            self.push_aside(Aside::malformed(&mut draw), BESIDES + 2 * order + 1, 0);
        }
    }

    fn push_aside(&mut self, aside: Aside, number: u64, after_ms: u64) {
        let due_ms = self.now_ms + after_ms;
        let own_ms = due_ms.cast_signed() - aside.lag_ms(&self.world);
        self.push(Pending::first(due_ms, own_ms, number, Step::Aside(aside)));
    }

    /// Lets `next` wait for its time, behind all that wait for the same.
    fn push(&mut self, next: Pending) {
        self.sequence += 1;
        self.pending.push(Reverse(Pending { sequence: self.sequence, ..next }));
    }

    /// Says what a record is, counts it, and plans its repetition.
    fn classify(&mut self, kind: Kind, next: &Pending) -> Kind {
        if !next.is_repeat && kind.is_repeated_by_publishers() {
            self.plan_repetition(next);
        }
        let kind = if next.is_repeat { Kind::Repeated } else { self.timeliness(kind, next) };
        self.summary.add(kind);
        kind
    }

    /// Publishers repeat until they are acknowledged: mostly at once, a few after an outage.
    fn plan_repetition(&mut self, next: &Pending) {
        let settings = &self.world.settings;
        let mut draw = self.world.draw(Domain::Retry, self.summary.records);
        let soon = draw.per_mille(settings.repeated_soon_per_mille);
        let late = draw.below(10_000) < settings.repeated_late_per_ten_thousand;
        let repeat = Pending { is_repeat: true, ..*next };
        if soon {
            let after_ms = if draw.per_mille(500) { 0 } else { draw.below(10_000) };
            self.push(Pending { due_ms: self.now_ms + after_ms, ..repeat });
        }
        if late {
            let after_ms = draw.between(600_000, 7_200_000);
            self.push(Pending { due_ms: self.now_ms + after_ms, ..repeat });
        }
    }

    /// The kind of a command, unless its own time is out of bounds.
    fn timeliness(&self, kind: Kind, next: &Pending) -> Kind {
        let settings = &self.world.settings;
        let window_ms = match kind {
            Kind::OrderPlaced | Kind::OrderPaid => settings.order_window_ms,
            Kind::OrderRefunded | Kind::StockReceived | Kind::StockMoved => {
                settings.refund_window_ms
            }
            _ => return kind,
        };
        let now_ms = self.now_ms.cast_signed();
        if next.own_ms < now_ms - window_ms.cast_signed() {
            Kind::Late
        } else if next.own_ms > now_ms + settings.skew_ms.cast_signed() {
            Kind::Ahead
        } else {
            kind
        }
    }

    /// The own time of `next`, in milliseconds since 1970.
    fn own_at(&self, next: &Pending) -> i64 {
        (self.start_ms + next.own_ms).max(0)
    }

    /// The partition of a merchant's record, and how it gets there.
    fn address(&mut self, merchant: u64, route: Route) -> (u32, Route) {
        let is_impossible = route == Route::OtherPartition && self.partitions == 1;
        let route = if is_impossible { Route::KeyPadded } else { route };
        self.key.clear();
        route.write_key(merchant, &mut self.key);
        let step = u32::from(route == Route::OtherPartition);
        ((partition_of(&self.key, self.partitions) + step) % self.partitions, route)
    }

    /// Once all is sent: ticks after the last moment at which a hold can expire, as many as it
    /// takes to sweep every hold that a partition can have.
    fn plan_closing_tick(&mut self) -> Option<Planned> {
        self.now_ms = self.now_ms.max(self.expires_ms_max);
        let (partition, ticks) = self.closing;
        let holds_max = self.holds_max.get(partition as usize)?;
        let is_last = ticks >= holds_max / HOLDS_SWEPT_MAX;
        self.closing = if is_last { (partition + 1, 0) } else { (partition, ticks + 1) };
        self.summary.add(Kind::Tick);
        Some(Planned {
            partition,
            timestamp_ms: self.timestamp_ms(),
            kind: Kind::Tick,
            merchant: 0,
            route: Route::KeyMissing,
            body: Body::ClosingTick,
        })
    }
}

impl Iterator for Traffic {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        let mut sent = Sent::new();
        self.next_into(&mut sent).then_some(sent)
    }
}
