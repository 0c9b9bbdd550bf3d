//! A fresh order in every partition, to see that they are answered.
//!
//! Not part of the traffic. Invariant: an order that nothing is wrong with is settled at once.

use ledger::rules::Partitioner;
use ledger::units::Offset;
use pipeline::embedded::{Isolation, NewRecord, Topic};
use pipeline::log::Partition;
use wire::NoHeaders;
use wire::partition::partition_of;

use super::stage::{INPUT, STARTS_AT_MS, Stage};
use super::trace::{Event, WORLD};

/// Merchants from here on have no other traffic.
const MERCHANTS_FROM: u64 = 7_000_000;
/// No timestamp of the traffic that moves a partition's clock is so far ahead.
const TIME_MAX: i64 = 4_000_000_000_000;

impl Stage {
    /// Publishes, for each partition, an order that settles on placement.
    pub(super) fn probe(&self) {
        for partition in 0..self.plan.partitions {
            let merchant = self.merchant_of(partition);
            let number = self.broker.bounds(Topic::Input, partition).next.0;
            let at = self.time_of(partition);
            let kinds = [
                r#""sku.listed","sku":1,"category":"probe""#.to_owned(),
                format!(
                    r#""stock.received","receipt_id":"probe-{number}","received_at":{at},"sku":1,"qty":1"#
                ),
                format!(
                    r#""order.placed","order_id":"probe-{number}","buyer_id":1,"placed_at":{at},"settle":"on_placement","lines":[{{"sku":1,"qty":1,"unit_price":100}}]"#
                ),
            ];
            let key = merchant.to_string();
            for kind in kinds {
                let value = format!(r#"{{"merchant_id":{merchant},"type":{kind}}}"#);
                let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
                let new = [NewRecord { timestamp: at, key, value, headers: &NoHeaders }];
                self.broker.append(partition, &new);
            }
            self.note(WORLD, Event::Probed { partition, offset: number });
        }
    }

    /// Every probe in a partition's input is settled, once.
    pub(super) fn check_probes(&self, partition: Partition) {
        let (mut asked, mut settled) = (0, 0);
        let is_probe = |value: Option<&[u8]>| {
            let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            text.contains(r#""order_id":"probe-"#)
        };
        let from = Offset(0);
        let committed = Isolation::ReadCommitted;
        self.broker.read(Topic::Input, partition, from, committed, &mut |record| {
            asked += u64::from(is_probe(record.value));
        });
        let topic = Topic::Output(wire::Topic::Settled);
        self.broker.read(topic, partition, from, committed, &mut |record| {
            settled += u64::from(is_probe(record.value));
        });
        if asked != settled {
            self.violate(|| {
                format!("{INPUT} {partition}: {asked} fresh orders, {settled} of them settled")
            });
        }
    }

    fn merchant_of(&self, partition: Partition) -> u64 {
        let belongs = |merchant: &u64| {
            self.plan.rules.partitioner == Partitioner::Any
                || partition_of(merchant.to_string().as_bytes(), self.plan.partitions) == partition
        };
        (MERCHANTS_FROM..).find(belongs).expect("every partition has merchants")
    }

    /// The partition's clock.
    fn time_of(&self, partition: Partition) -> i64 {
        let mut time = STARTS_AT_MS.cast_signed();
        let committed = Isolation::ReadCommitted;
        self.broker.read(Topic::Input, partition, Offset(0), committed, &mut |record| {
            if record.timestamp < TIME_MAX {
                time = time.max(record.timestamp);
            }
        });
        time
    }
}
