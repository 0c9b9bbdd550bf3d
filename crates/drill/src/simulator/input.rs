//! The publishers of a world: the traffic of a small sale, with everything that can be wrong about
//! how it reaches the topic.
//!
//! Not what the traffic says: that is `traffic`. Invariant: what is in the topic is what the plain
//! model is asked about, so that whatever is done here, there is one right answer to it.

use std::collections::VecDeque;
use std::sync::Arc;

use pipeline::embedded::{EmbeddedBroker, EmbeddedPublisher, NewRecord, Timestamps};
use pipeline::log::Partition;
use wire::NoHeaders;

use super::fault::Fault;
use super::plan::Plan;
use super::stage::{STARTS_AT_MS, Stage, State, lock};
use super::trace::{Event, WORLD};
use crate::traffic::{Sent, Traffic};

/// Records that a publisher may repeat.
const RECENT_MAX: usize = 64;
/// The largest timestamp that moves a clock (contract, 4.1).
const TIME_MAX: i64 = 1_000_000_000_000_000;
/// The transactional id of the publisher that writes in transactions.
const PUBLISHER: &str = "shop";

/// See the module's documentation.
pub(super) struct Input {
    traffic: Traffic,
    sent: Sent,
    is_over: bool,
    recent: VecDeque<Record>,
    /// The clock of each partition, as far as what was published has moved it.
    clocks: Vec<i64>,
    publisher: EmbeddedPublisher,
    /// The transaction that is open.
    held: Option<Held>,
}

/// A record as it was published.
#[derive(Debug, Clone)]
struct Record {
    partition: Partition,
    timestamp: i64,
    /// The partition's clock when it was published.
    clock: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    until: u64,
    is_aborted: bool,
}

impl Input {
    pub(super) fn new(plan: &Plan, broker: &Arc<EmbeddedBroker>) -> Input {
        let starts_at = STARTS_AT_MS.cast_signed();
        let traffic =
            Traffic::new(plan.traffic.clone(), plan.orders, plan.seed, plan.partitions, starts_at);
        Input {
            traffic,
            sent: Sent::new(),
            is_over: false,
            recent: VecDeque::with_capacity(RECENT_MAX),
            clocks: vec![starts_at; plan.partitions as usize],
            publisher: broker.publisher(PUBLISHER),
            held: None,
        }
    }

    /// The next record of the traffic; none when it is over.
    fn next_record(&mut self, value_bytes_max: usize) -> Option<Record> {
        while self.traffic.next_into(&mut self.sent) {
            let Sent { partition, timestamp_ms, .. } = self.sent;
            let (key, value) = (self.sent.key(), self.sent.value());
            if value.is_none_or(|value| value.len() <= value_bytes_max) {
                let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
                let (timestamp, clock) = (timestamp_ms, timestamp_ms);
                return Some(Record { partition, timestamp, clock, key, value });
            }
        }
        self.is_over = true;
        None
    }

    /// The next record, or one that was published before.
    fn draw_record(&mut self, plan: &Plan, state: &mut State) -> Option<(Record, Option<Fault>)> {
        if !self.recent.is_empty() && state.draw_fault(plan, &[Fault::Duplicate], 1).is_some() {
            let number = state.chance.below(self.recent.len() as u64) as usize;
            let mut record = self.recent[number].clone();
            if let Some(after_ms) = end_of_memory_ms(plan, state) {
                record.timestamp = record.clock + after_ms;
                self.move_clock(&mut record);
            }
            return Some((record, Some(Fault::Duplicate)));
        }
        let mut record = self.next_record(plan.value_bytes_max)?;
        let mut fault = None;
        if plan.timestamps == Timestamps::CreateTime {
            fault = state.draw_fault(plan, &[Fault::ClockJump], 1);
            if fault.is_some() {
                record.timestamp = jumped(record.timestamp, state);
            }
        }
        self.move_clock(&mut record);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(record.clone());
        Some((record, fault))
    }

    /// Notes where a record leaves its partition's clock.
    fn move_clock(&mut self, record: &mut Record) {
        let clock = &mut self.clocks[record.partition as usize];
        if (0..=TIME_MAX).contains(&record.timestamp) {
            *clock = record.timestamp.max(*clock);
        }
        record.clock = *clock;
    }

    fn append(&mut self, broker: &EmbeddedBroker, record: &Record) {
        let Record { partition, timestamp, key, value, .. } = record;
        let (key, value) = (key.as_deref(), value.as_deref());
        let new = [NewRecord { timestamp: *timestamp, key, value, headers: &NoHeaders }];
        if self.held.is_none() || self.publisher.append(*partition, &new).is_err() {
            broker.append(*partition, &new);
        }
    }
}

/// How long after its first coming a command is repeated, if that is to be around the very moment at
/// which its id may be forgotten: where that is soon enough for the rest of the traffic not to become
/// too old.
fn end_of_memory_ms(plan: &Plan, state: &mut State) -> Option<i64> {
    const SOON_MS: u64 = 2_000;
    let window = plan.rules.order_window_ms;
    let is_soon = plan.timestamps == Timestamps::CreateTime && window <= SOON_MS;
    let comes_then = is_soon && state.chance.below(2) == 0;
    comes_then.then(|| window.cast_signed() + [-1, 0, 0, 1][state.chance.below(4) as usize])
}

/// Back or ahead, by a second or by a day, or to where no time is.
fn jumped(timestamp: i64, state: &mut State) -> i64 {
    let ms = state.chance.between(1, 90_000).cast_signed();
    match state.chance.below(16) {
        0..6 => timestamp - ms,
        6..12 => timestamp + ms / 10,
        12 => timestamp + ms,
        13 => timestamp - 1_000 * ms,
        14 => -ms,
        _ => i64::MAX,
    }
}

impl Stage {
    /// Whether all of the traffic is published.
    pub(super) fn input_is_over(&self) -> bool {
        lock(&self.input).is_over
    }

    /// Publishes what this step brings.
    pub(super) fn feed(&self) {
        let mut input = lock(&self.input);
        self.decide_held(&mut input, false);
        let burst = self.below(self.plan.burst_max + 1);
        for _ in 0..burst {
            let drawn = input.draw_record(&self.plan, &mut self.state());
            let Some((record, fault)) = drawn else { return };
            input.append(&self.broker, &record);
            fault.into_iter().for_each(|fault| self.strike_all(fault));
        }
        let end = self.broker.bounds(pipeline::embedded::Topic::Input, 0).next.0;
        self.note(WORLD, Event::Fed { partition: 0, records: burst as usize, end });
        drop(input);
    }

    /// Begins a publisher's transaction that will stay open for so long.
    pub(super) fn hold_input(&self, ms: u64, is_aborted: bool) {
        let mut input = lock(&self.input);
        if input.held.is_none() && input.publisher.begin().is_ok() {
            input.held = Some(Held { until: self.now() + ms, is_aborted });
            if !is_aborted {
                self.strike_all(Fault::InputHeld);
            }
        }
    }

    /// Ends the publisher's transaction.
    pub(super) fn let_input_go(&self) {
        self.decide_held(&mut lock(&self.input), true);
    }

    fn decide_held(&self, input: &mut Input, at_once: bool) {
        let Some(held) = input.held.filter(|held| at_once || held.until <= self.now()) else {
            return;
        };
        input.held = None;
        let ended = match held.is_aborted {
            true => input.publisher.abort(),
            false => input.publisher.commit(),
        };
        if ended.is_err() {
            // The coordinator did not wait for it: it is aborted, and its producer fenced.
            input.publisher = self.broker.publisher(PUBLISHER);
        }
        if held.is_aborted {
            self.strike_all(Fault::InputAborted);
        }
    }
}
