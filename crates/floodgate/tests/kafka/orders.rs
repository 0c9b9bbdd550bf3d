//! What the tests publish: the demo's traffic, and a few commands by hand.

use drill::traffic::{Settings, Traffic};

use crate::stage::Record;

/// When the traffic by hand begins: 2025-11-10 23:59:00 +8.
pub(crate) const START_MS: i64 = 1_762_790_340_000;

/// The traffic of a small sale day.
pub(crate) fn sale(orders: u64, seed: u64, partitions: u32) -> Vec<Record> {
    let traffic = Traffic::new(Settings::default(), orders, seed, partitions, START_MS);
    let record = |sent: drill::traffic::Sent| Record {
        partition: sent.partition,
        timestamp: sent.timestamp_ms,
        key: sent.key().map(<[u8]>::to_vec),
        value: sent.value().map(<[u8]>::to_vec),
        headers: Vec::new(),
    };
    traffic.map(record).collect()
}

/// Commands of one merchant with one SKU.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) merchant: u64,
    pub(crate) partition: u32,
    /// The time of its next command.
    pub(crate) now_ms: i64,
    orders: u32,
}

/// The SKU of every [`Shop`].
pub(crate) const SKU: u64 = 501;

impl Shop {
    /// A shop whose merchant belongs to this partition.
    pub(crate) fn in_partition(partition: u32, partitions: u32) -> Shop {
        let belongs = |merchant: &u64| {
            wire::partition::partition_of(merchant.to_string().as_bytes(), partitions) == partition
        };
        let merchant = (1_001..).find(belongs).expect("every partition has merchants");
        Shop { merchant, partition, now_ms: START_MS, orders: 0 }
    }

    /// One for each partition.
    pub(crate) fn everywhere(partitions: u32) -> Vec<Shop> {
        (0..partitions).map(|partition| Shop::in_partition(partition, partitions)).collect()
    }

    /// A record of this shop.
    pub(crate) fn record(&mut self, command: &str) -> Record {
        self.now_ms += 1;
        Record {
            partition: self.partition,
            timestamp: self.now_ms,
            key: Some(self.merchant.to_string().into_bytes()),
            value: Some(command.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    }

    /// Lists the SKU and puts units on the shelf.
    pub(crate) fn open(&mut self, units: u32) -> Vec<Record> {
        let Shop { merchant, now_ms, .. } = *self;
        let listed = format!(r#"{{"type":"sku.listed","merchant_id":{merchant},"sku":{SKU}}}"#);
        let received = format!(
            r#"{{"type":"stock.received","merchant_id":{merchant},"receipt_id":"R{now_ms}","received_at":{now_ms},"sku":{SKU},"qty":{units}}}"#
        );
        vec![self.record(&listed), self.record(&received)]
    }

    /// Holds one unit at 100.
    pub(crate) fn place(&mut self) -> Record {
        self.place_with("")
    }

    /// The same with more fields.
    pub(crate) fn place_with(&mut self, more: &str) -> Record {
        self.orders += 1;
        let Shop { merchant, now_ms, orders, .. } = *self;
        self.record(&format!(
            r#"{{"type":"order.placed","merchant_id":{merchant},"order_id":"O{orders}","buyer_id":7,"placed_at":{now_ms}{more},"lines":[{{"sku":{SKU},"qty":1,"unit_price":100}}]}}"#
        ))
    }

    /// Pays for the last order.
    pub(crate) fn pay(&mut self) -> Record {
        let Shop { merchant, now_ms, orders, .. } = *self;
        self.record(&format!(
            r#"{{"type":"order.paid","merchant_id":{merchant},"payment_id":"P{orders}","order_id":"O{orders}","amount":100,"paid_at":{now_ms}}}"#
        ))
    }

    /// Orders that are placed and paid.
    pub(crate) fn sell(&mut self, orders: u32) -> Vec<Record> {
        (0..orders).flat_map(|_| [self.place(), self.pay()]).collect()
    }
}
