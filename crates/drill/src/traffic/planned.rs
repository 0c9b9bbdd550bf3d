//! A record that has its moment and its place, and its bytes, which follow from it. Planning is the
//! one part of the traffic that goes step by step; writing takes as long and can be done anywhere.
//! Not the plan: that is [`Traffic`](super::Traffic). Invariant: a record's bytes are a function of
//! the world and the planned record alone.

use std::sync::Arc;

use super::asides::Aside;
use super::catalogue::Item;
use super::orders::Order;
use super::script::Sequel;
use super::summary::Kind;
use super::world::{Merchant, World};

pub(super) const TICK: &[u8] = br#"{"type":"tick"}"#;

/// One record, as it is to be sent. Its buffers are used again by [`Writer::write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The partition it goes to.
    pub partition: u32,
    /// When it is due, in milliseconds since 1970: the record's timestamp under `CreateTime`.
    pub timestamp_ms: i64,
    /// What it is.
    pub kind: Kind,
    key: Vec<u8>,
    has_key: bool,
    value: Vec<u8>,
}

impl Sent {
    /// A record to be filled in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            partition: 0,
            timestamp_ms: 0,
            kind: Kind::Tick,
            key: Vec::new(),
            has_key: false,
            value: Vec::new(),
        }
    }

    /// The key, unless the record has none.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.has_key.then_some(&self.key)
    }

    /// The value, unless the record has none.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        (self.kind != Kind::WithoutValue).then_some(&self.value)
    }
}

impl Default for Sent {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a record goes and under which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Straight,
    KeyOfAnother,
    KeyPadded,
    KeyMissing,
    OtherPartition,
}

impl Route {
    /// Writes the key; without one, that by which the partition is found.
    pub(super) fn write_key(self, merchant: u64, out: &mut Vec<u8>) {
        if self == Self::KeyPadded {
            out.push(b'0');
        }
        let id = merchant ^ u64::from(self == Self::KeyOfAnother);
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    }
}

/// A record that is still to be written.
#[derive(Debug)]
pub struct Planned {
    /// The partition it goes to.
    pub partition: u32,
    /// When it is due, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What it is.
    pub kind: Kind,
    /// Id of the merchant, whose key it has unless the route says otherwise.
    pub(super) merchant: u64,
    pub(super) route: Route,
    pub(super) body: Body,
}

impl Planned {
    /// Whether it places an order for the first time.
    #[must_use]
    pub fn is_new_order(&self) -> bool {
        matches!(self.body, Body::Order { .. }) && self.kind != Kind::Repeated
    }

    pub(super) fn write(&self, world: &World, sent: &mut Sent) {
        (sent.partition, sent.timestamp_ms) = (self.partition, self.timestamp_ms);
        sent.kind = self.kind;
        sent.key.clear();
        sent.has_key = self.route != Route::KeyMissing;
        if sent.has_key {
            self.route.write_key(self.merchant, &mut sent.key);
        }
        let out = &mut sent.value;
        out.clear();
        match &self.body {
            Body::Catalogue { merchant, item } => item.write(merchant, self.timestamp_ms, out),
            Body::Order { order, start_ms } => order.write(*start_ms, out),
            Body::Sequel { sequel, number, own_at } => {
                sequel.write(world, &Order::of(world, *number), *own_at, out);
            }
            Body::Aside { aside, number, own_at } => aside.write(world, *number, *own_at, out),
            Body::ClosingTick => out.extend_from_slice(TICK),
        }
    }
}

/// What a record says.
#[derive(Debug)]
pub(super) enum Body {
    Catalogue {
        merchant: Merchant,
        item: Item,
    },
    /// `start_ms` is the run's.
    Order {
        order: Order,
        start_ms: i64,
    },
    /// What follows order `number`, with its own time in milliseconds since 1970.
    Sequel {
        sequel: Sequel,
        number: u64,
        own_at: i64,
    },
    /// An aside of this number, likewise.
    Aside {
        aside: Aside,
        number: u64,
        own_at: i64,
    },
    ClosingTick,
}

/// Writes what was planned, on any thread.
#[derive(Debug, Clone)]
pub struct Writer(pub(super) Arc<World>);

impl Writer {
    /// Puts a record into `sent`.
    pub fn write(&self, planned: &Planned, sent: &mut Sent) {
        planned.write(&self.0, sent);
    }
}
