//! A small sale for one partition, in which every kind of answer occurs every few rounds.
//!
//! Not realistic traffic: that is the drill's. Invariant: a function of its arguments alone.

use model::InputRecord;
use pipeline::log::Partition;
use wire::partition::partition_of;

/// The sale of one merchant whose records belong to one partition.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    merchant: u64,
    rounds: u64,
}

impl Sale {
    /// The sale of the first merchant who belongs to `partition` of `partitions`.
    pub(crate) fn in_partition(partition: Partition, partitions: u32) -> Sale {
        let belongs =
            |merchant: &u64| partition_of(merchant.to_string().as_bytes(), partitions) == partition;
        let merchant = (1_u64..).find(belongs).expect("every partition has merchants");
        Sale { merchant, rounds: 0 }
    }

    /// Whose sale it is.
    pub(crate) fn merchant(&self) -> u64 {
        self.merchant
    }

    /// What comes before the first order.
    pub(crate) fn opening(&self, at: u64) -> Vec<InputRecord> {
        vec![
            self.record(at, "sku.listed", r#""sku":1,"category":"fruit""#),
            self.record(at, "sku.listed", r#""sku":2,"category":"tea","per_buyer_limit":400"#),
            self.record(
                at,
                "location.opened",
                r#""location":5,"kind":"store","region":"330106","priority":10"#,
            ),
            self.stock(at, "stock-1", 1, 100_000, 0),
            self.stock(at, "stock-2", 2, 60, 5),
        ]
    }

    /// The next few orders and what follows them, from log time `at` on.
    pub(crate) fn round(&mut self, at: u64) -> Vec<InputRecord> {
        let n = self.rounds;
        self.rounds += 1;
        let ordinary = format!(
            r#""order_id":"o{n}","buyer_id":{},"placed_at":{at},"channel":"app","region":"330106","discount":7,"lines":[{{"sku":1,"qty":2,"unit_price":50}},{{"sku":2,"qty":1,"unit_price":33}}]"#,
            n % 5
        );
        let at_the_counter = format!(
            r#""order_id":"s{n}","buyer_id":9,"placed_at":{at},"settle":"on_placement","channel":"store","lines":[{{"sku":1,"qty":1,"unit_price":50}}]"#
        );
        let mut round = vec![
            self.record(at, "order.placed", &ordinary),
            self.record(at, "order.placed", &ordinary),
            self.record(at, "order.placed", &at_the_counter),
            self.unpaid(at, &format!("x{n}"), at + 30),
            self.paid(at, &format!("wrong{n}"), &format!("o{n}"), 1, "full"),
        ];
        match n % 3 {
            0 => round.push(self.record(at, "order.cancelled", &format!(r#""order_id":"o{n}""#))),
            _ => round.push(self.paid(at, &format!("p{n}"), &format!("o{n}"), 126, "full")),
        }
        round.extend(match n % 4 {
            0 => self.presale(at, n),
            1 => vec![self.refund(at, n)],
            2 => vec![self.broken(at)],
            _ => vec![self.stock(at, &format!("more{n}"), 2, 20, 5)],
        });
        round
    }

    /// An order that is never paid and expires at `pay_by`.
    pub(crate) fn unpaid(&self, at: u64, order_id: &str, pay_by: u64) -> InputRecord {
        let fields = format!(
            r#""order_id":"{order_id}","buyer_id":8,"placed_at":{at},"pay_by":{pay_by},"lines":[{{"sku":1,"qty":1,"unit_price":50}}]"#
        );
        self.record(at, "order.placed", &fields)
    }

    fn presale(&self, at: u64, n: u64) -> Vec<InputRecord> {
        let due = at + 500;
        let fields = format!(
            r#""order_id":"d{n}","buyer_id":7,"placed_at":{at},"presale":{{"deposit":10,"balance_due":{due}}},"lines":[{{"sku":1,"qty":1,"unit_price":50}}]"#
        );
        let mut records = vec![
            self.record(at, "order.placed", &fields),
            self.paid(at, &format!("deposit{n}"), &format!("d{n}"), 10, "deposit"),
        ];
        if n.is_multiple_of(8) {
            records.push(self.paid(at, &format!("balance{n}"), &format!("d{n}"), 40, "balance"));
        }
        records
    }

    fn paid(&self, at: u64, payment: &str, order: &str, amount: u64, part: &str) -> InputRecord {
        let fields = format!(
            r#""payment_id":"{payment}","order_id":"{order}","amount":{amount},"paid_at":{at},"part":"{part}""#
        );
        self.record(at, "order.paid", &fields)
    }

    fn refund(&self, at: u64, n: u64) -> InputRecord {
        let fields = format!(
            r#""refund_id":"r{n}","order_id":"s{n}","refunded_at":{at},"amount":50,"lines":[{{"sku":1,"location":0,"qty":1}}],"restock":true"#
        );
        self.record(at, "order.refunded", &fields)
    }

    fn stock(&self, at: u64, receipt: &str, sku: u64, qty: i64, location: u32) -> InputRecord {
        let fields = format!(
            r#""receipt_id":"{receipt}","received_at":{at},"sku":{sku},"qty":{qty},"location":{location}"#
        );
        self.record(at, "stock.received", &fields)
    }

    fn broken(&self, at: u64) -> InputRecord {
        let headers = vec![("trace".to_owned(), Some(b"7".to_vec()))];
        InputRecord { headers, ..self.record(at, "order.placed", r#""order_id":7"#) }
    }

    fn record(&self, at: u64, kind: &str, fields: &str) -> InputRecord {
        let merchant = self.merchant;
        let value = format!(r#"{{"type":"{kind}","merchant_id":{merchant},{fields}}}"#);
        InputRecord {
            offset: 0,
            timestamp: at.cast_signed(),
            key: Some(merchant.to_string().into_bytes()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
        }
    }
}
