//! Each command of the contract's section 3 as it is decoded, field by field, and the checks of the
//! route. What is accepted and refused at the edges is in `values` and `syntax`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, LocationOpened, OrderPaid, OrderPlaced, OrderRefunded,
    Part, Presale, RefundLine, Settle, SkuListed, StockMoved, StockReceived,
};
use ledger::effect::DeadLetter;
use ledger::rules::Partitioner;
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};
use wire::{Decoder, NoHeaders, Record, Refused, Route, Scratch, Why};

const MERCHANT: MerchantId = MerchantId(1001);

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    Record { partition: 0, offset: Offset(7), timestamp: 0, key, value, headers: &NoHeaders }
}

fn decoder(partition: u32, partitions: u32, partitioner: Partitioner) -> Decoder {
    Decoder::new(Route { partition, partitions, partitioner })
}

fn check(value: &str, command: &Command<'_>) {
    let scratch = Scratch::new();
    let mut decoder = decoder(0, 1, Partitioner::Murmur2);
    let decoded = decoder.decode(&record(Some(b"1001"), Some(value.as_bytes())), &scratch);
    assert_eq!(decoded.as_ref(), Ok(command), "{value}");
}

fn id(text: &str) -> ExternalId<'_> {
    ExternalId::new(text).unwrap()
}

fn region(code: u32) -> Region {
    Region::new(code).unwrap()
}

#[test]
fn order_placed_with_every_default() {
    let lines = [Line { sku: SkuId(501), qty: Units(2), unit_price: Money(990) }];
    let order = OrderPlaced {
        merchant: MERCHANT,
        order_id: id("100"),
        buyer: BuyerId(9),
        placed_at: Millis(1_762_790_400_009),
        lines: &lines,
        amount: Money(1_980),
        discount: Money(0),
        channel: Channel::Other,
        region: Region::UNKNOWN,
        rural: false,
        fulfilment: Fulfilment::Ship,
        settle: Settle::OnPayment,
        pay_by: None,
        presale: None,
    };
    check(
        r#"{"type":"order.placed","merchant_id":1001,"order_id":"100","buyer_id":9,
            "placed_at":1762790400009,"lines":[{"sku":501,"qty":2,"unit_price":990}]}"#,
        &Command::OrderPlaced(order),
    );
}

#[test]
fn order_placed_with_every_field() {
    let lines = [
        Line { sku: SkuId(501), qty: Units(1), unit_price: Money(990) },
        Line { sku: SkuId(501), qty: Units(3), unit_price: Money(0) },
        Line { sku: SkuId(u64::MAX), qty: Units(1_000_000), unit_price: Money(10) },
    ];
    let order = OrderPlaced {
        merchant: MERCHANT,
        order_id: id("3F2504E0-4F89-11D3-9A0C-0305E82C3301"),
        buyer: BuyerId(9),
        placed_at: Millis(1),
        lines: &lines,
        amount: Money(10_000_890),
        discount: Money(100),
        channel: Channel::MiniProgram,
        region: region(330_106),
        rural: true,
        fulfilment: Fulfilment::Pickup(LocationId(7)),
        settle: Settle::OnPayment,
        pay_by: Some(Millis(2)),
        presale: Some(Presale { deposit: Money(200), balance_due: Millis(3) }),
    };
    check(
        r#"{"type":"order.placed","presale":{"balance_due":3,"deposit":200},"pay_by":2,
            "settle":"on_payment","fulfilment":{"location":7,"mode":"pickup"},"discount":100,
            "area":"rural","region":"330106","channel":"mini_program","lines":[
            {"sku":501,"qty":1,"unit_price":990},{"unit_price":0,"qty":3,"sku":"501"},
            {"sku":"18446744073709551615","qty":1000000,"unit_price":10}],"placed_at":1,
            "buyer_id":"9","order_id":"3F2504E0-4F89-11D3-9A0C-0305E82C3301","merchant_id":"1001"}"#,
        &Command::OrderPlaced(order),
    );
}

#[test]
fn order_placed_on_placement() {
    let lines = [Line { sku: SkuId(5), qty: Units(1), unit_price: Money(7) }];
    let order = OrderPlaced {
        merchant: MERCHANT,
        order_id: id("a"),
        buyer: BuyerId(0),
        placed_at: Millis(0),
        lines: &lines,
        amount: Money(0),
        discount: Money(7),
        channel: Channel::App,
        region: Region::UNKNOWN,
        rural: false,
        fulfilment: Fulfilment::Ship,
        settle: Settle::OnPlacement,
        pay_by: Some(Millis(0)),
        presale: None,
    };
    check(
        r#"{"type":"order.placed","merchant_id":1001,"order_id":"a","buyer_id":0,"placed_at":0,
            "channel":"app","settle":"on_placement","pay_by":0,"discount":7,"presale":null,
            "fulfilment":{"location":3},"lines":[{"sku":5,"qty":1,"unit_price":7}]}"#,
        &Command::OrderPlaced(order),
    );
}

#[test]
fn payments_and_cancellations() {
    for (field, part) in [
        ("", Part::Full),
        (r#","part":"full""#, Part::Full),
        (r#","part":"deposit""#, Part::Deposit),
        (r#","part":"balance""#, Part::Balance),
    ] {
        let paid = OrderPaid {
            merchant: MERCHANT,
            payment_id: id("p:1"),
            order_id: id("100"),
            amount: Money(13_789),
            part,
            paid_at: Millis(17),
        };
        let value = format!(
            r#"{{"type":"order.paid","merchant_id":1001,"payment_id":"p:1","order_id":"100","amount":13789,"paid_at":17{field}}}"#
        );
        check(&value, &Command::OrderPaid(paid));
    }
    check(
        r#"{"type":"order.cancelled","merchant_id":1001,"order_id":"108","reason":"changed mind"}"#,
        &Command::OrderCancelled { merchant: MERCHANT, order_id: id("108") },
    );
}

#[test]
fn refunds() {
    let lines = [RefundLine { sku: SkuId(502), location: LocationId(7), qty: Units(1) }];
    let refund = OrderRefunded {
        merchant: MERCHANT,
        refund_id: id("1"),
        order_id: id("100"),
        refunded_at: Millis(74),
        amount: Money(12_807),
        lines: &lines,
        restock: true,
        channel: Channel::App,
        region: region(330_106),
        rural: true,
    };
    check(
        r#"{"type":"order.refunded","merchant_id":1001,"refund_id":"1","order_id":"100",
            "refunded_at":74,"amount":12807,"lines":[{"sku":502,"location":7,"qty":1}],
            "restock":true,"channel":"app","region":"330106","area":"rural"}"#,
        &Command::OrderRefunded(refund),
    );
    check(
        r#"{"type":"order.refunded","merchant_id":1001,"refund_id":"1","order_id":"100",
            "refunded_at":74,"amount":12807,"lines":[]}"#,
        &Command::OrderRefunded(OrderRefunded {
            lines: &[],
            restock: false,
            channel: Channel::Other,
            region: Region::UNKNOWN,
            rural: false,
            ..refund
        }),
    );
}

#[test]
fn stock_commands() {
    let received = StockReceived {
        merchant: MERCHANT,
        receipt_id: id("4"),
        received_at: Millis(76),
        sku: SkuId(502),
        location: LocationId(0),
        qty: -9,
    };
    check(
        r#"{"type":"stock.received","merchant_id":1001,"receipt_id":"4","received_at":76,"sku":502,"qty":-9}"#,
        &Command::StockReceived(received),
    );
    check(
        r#"{"type":"stock.received","merchant_id":1001,"receipt_id":"4","received_at":76,"sku":502,"qty":1000000000,"location":"0004294967295"}"#,
        &Command::StockReceived(StockReceived {
            location: LocationId(u32::MAX),
            qty: 1_000_000_000,
            ..received
        }),
    );
    check(
        r#"{"type":"stock.moved","merchant_id":1001,"receipt_id":"3","received_at":75,"sku":502,"from":7,"to":0,"qty":2}"#,
        &Command::StockMoved(StockMoved {
            merchant: MERCHANT,
            receipt_id: id("3"),
            received_at: Millis(75),
            sku: SkuId(502),
            from: LocationId(7),
            to: LocationId(0),
            qty: Units(2),
        }),
    );
}

#[test]
fn catalogue_commands() {
    let listed = SkuListed {
        merchant: MERCHANT,
        sku: SkuId(501),
        category: Category::NONE,
        per_buyer_limit: Units(0),
        safety_stock: Units(0),
    };
    check(r#"{"type":"sku.listed","merchant_id":1001,"sku":501}"#, &Command::SkuListed(listed));
    check(
        r#"{"type":"sku.listed","merchant_id":1001,"sku":501,"category":"agri.fruit","per_buyer_limit":2,"safety_stock":1}"#,
        &Command::SkuListed(SkuListed {
            category: Category::new("agri.fruit").unwrap(),
            per_buyer_limit: Units(2),
            safety_stock: Units(1),
            ..listed
        }),
    );
    check(
        r#"{"type":"sku.withdrawn","merchant_id":1001,"sku":501}"#,
        &Command::SkuWithdrawn { merchant: MERCHANT, sku: SkuId(501) },
    );
}

#[test]
fn location_commands() {
    let warehouse = LocationOpened {
        merchant: MERCHANT,
        location: LocationId(7),
        region: Region::UNKNOWN,
        priority: 100,
        ships: true,
        pickup: false,
    };
    let opened = |rest: &str, command| {
        let value =
            format!(r#"{{"type":"location.opened","merchant_id":1001,"location":7{rest}}}"#);
        check(&value, &Command::LocationOpened(command));
    };
    opened(r#","kind":"warehouse""#, warehouse);
    opened(r#","kind":"store""#, LocationOpened { pickup: true, ..warehouse });
    opened(
        r#","pickup":false,"ships":false,"priority":65535,"region":"330106","kind":"store""#,
        LocationOpened { region: region(330_106), priority: u16::MAX, ships: false, ..warehouse },
    );
    opened(r#","kind":"warehouse","pickup":true"#, LocationOpened { pickup: true, ..warehouse });
    check(
        r#"{"type":"location.closed","merchant_id":1001,"location":7}"#,
        &Command::LocationClosed { merchant: MERCHANT, location: LocationId(7) },
    );
}

#[test]
fn type_may_stand_anywhere() {
    let cancelled = Command::OrderCancelled { merchant: MERCHANT, order_id: id("1") };
    for value in [
        r#"{"merchant_id":1001,"order_id":"1","type":"order.cancelled"}"#,
        r#"{"merchant_id":1001,"type":"order.cancelled","order_id":"1"}"#,
        r#"{"x":{"type":"tick"},"type":"order.cancelled","merchant_id":1001,"order_id":"1"}"#,
        r#"{"lines":[1],"merchant_id":1001,"qty":-0.5,"type":"order.cancelled","order_id":"1"}"#,
    ] {
        check(value, &cancelled);
    }
}

#[test]
fn escapes_mean_what_they_stand_for() {
    check(
        r#"{"\u0074ype":"order\u002ecancelled","merchant\u005fid":"\u0031001","order_id":"\u0041\u002db"}"#,
        &Command::OrderCancelled { merchant: MERCHANT, order_id: id("A-b") },
    );
    check(
        r#"{"type":"sku.listed","merchant_id":1001,"sku":1,"category":"\u0061","note":"\"\\ \ud83d\ude00 \u0000"}"#,
        &Command::SkuListed(SkuListed {
            merchant: MERCHANT,
            sku: SkuId(1),
            category: Category::new("a").unwrap(),
            per_buyer_limit: Units(0),
            safety_stock: Units(0),
        }),
    );
}

/// The commands of a batch live side by side, those whose text had to be written out too.
#[test]
fn batch_decoded_ahead_keeps_every_command() {
    let values = (0..200)
        .map(|n| {
            format!(
                r#"{{"type":"order.placed","merchant_id":1001,"order_id":"\u0041{n}","buyer_id":{n},"placed_at":{n},"lines":[{{"sku":{n},"qty":1,"unit_price":{n}}}]}}"#
            )
        })
        .collect::<Vec<_>>();
    let mut scratch = Scratch::new();
    let mut decoder = decoder(0, 1, Partitioner::Murmur2);
    for _ in 0..3 {
        scratch.clear();
        let commands = values
            .iter()
            .map(|value| {
                let record = record(Some(b"1001"), Some(value.as_bytes()));
                decoder.decode(&record, &scratch).unwrap()
            })
            .collect::<Vec<_>>();
        for (n, command) in (0..).zip(commands) {
            let Command::OrderPlaced(order) = command else { panic!("{command:?}") };
            assert_eq!(order.order_id.as_str(), format!("A{n}"));
            assert_eq!(order.lines[0].sku, SkuId(n));
        }
    }
}

fn refusal(decoder: &mut Decoder, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Refused> {
    decoder.decode(&record(key, value), &Scratch::new()).err()
}

#[test]
fn record_in_the_wrong_place_is_misrouted() {
    const VALUE: Option<&[u8]> = Some(br#"{"type":"sku.withdrawn","merchant_id":"0021","sku":1}"#);
    const LARGE: Option<&[u8]> =
        Some(br#"{"type":"sku.withdrawn","merchant_id":18446744073709551615,"sku":1}"#);
    let right = wire::partition::partition_of(b"21", 8);
    let mut home = decoder(right, 8, Partitioner::Murmur2);
    assert_eq!(refusal(&mut home, Some(b"21"), VALUE), None);
    for key in ["0021", "+21", "21 ", "2", "210", "", "\u{662}\u{661}"] {
        let refused = refusal(&mut home, Some(key.as_bytes()), VALUE).unwrap();
        assert_eq!(refused.code, DeadLetter::Misrouted, "{key}");
        assert_eq!(refused.why, Why::WrongKey { merchant: MerchantId(21) }, "{key}");
    }
    assert_eq!(refusal(&mut home, None, VALUE).unwrap().code, DeadLetter::Misrouted);

    let mut elsewhere = decoder(right ^ 1, 8, Partitioner::Murmur2);
    let refused = refusal(&mut elsewhere, Some(b"21"), VALUE).unwrap();
    assert_eq!(refused.code, DeadLetter::Misrouted);
    let text = format!("merchant 21 belongs to partition {right} (murmur2), not {}", right ^ 1);
    assert_eq!(refused.to_string(), text);

    let mut any = decoder(right ^ 1, 8, Partitioner::Any);
    assert_eq!(refusal(&mut any, Some(b"21"), VALUE), None);
    assert_eq!(refusal(&mut any, Some(b"21"), LARGE).unwrap().code, DeadLetter::Misrouted);
    assert_eq!(refusal(&mut any, Some(b"18446744073709551615"), LARGE), None);
    assert_eq!(refusal(&mut any, Some(b"22"), VALUE).unwrap().code, DeadLetter::Misrouted);
}

/// One that is laid out as another before it is read in another way, but belongs where every other does.
#[test]
fn record_of_a_known_layout_in_the_wrong_place_is_misrouted() {
    let paid = |merchant: u64| {
        format!(
            r#"{{"type":"order.paid","merchant_id":{merchant},"payment_id":"p","order_id":"o","amount":1,"paid_at":1}}"#
        )
    };
    let mut home = decoder(0, 1, Partitioner::Murmur2);
    for merchant in [0, 21, 1_001, 1_234_567, 12_345_678, 123_456_789, 10_u64.pow(15), u64::MAX] {
        let (value, key) = (paid(merchant), merchant.to_string());
        let mut refusal =
            |key: &str| refusal(&mut home, Some(key.as_bytes()), Some(value.as_bytes()));
        assert_eq!(refusal(&key), None);
        let wrong = [
            String::new(),
            format!("0{key}"),
            format!("{key}0"),
            format!("{key} "),
            format!("{key}x"),
            format!("-{key}"),
            key[1..].to_owned(),
            "18446744073709551616".to_owned(),
        ];
        for wrong in wrong {
            let refused = refusal(&wrong).unwrap();
            assert_eq!(refused.why, Why::WrongKey { merchant: MerchantId(merchant) }, "{wrong}");
        }
    }
    let mut home = decoder(3, 8, Partitioner::Murmur2);
    for merchant in 0..200_u64 {
        let (value, key) = (paid(merchant), merchant.to_string());
        let right = wire::partition::partition_of(key.as_bytes(), 8);
        let refused = refusal(&mut home, Some(key.as_bytes()), Some(value.as_bytes()));
        let wrong = Why::WrongPartition { merchant: MerchantId(merchant), partition: 3, right };
        assert_eq!(refused.map(|refused| refused.why), (right != 3).then_some(wrong), "{key}");
    }
}

#[test]
fn tick_is_not_routed_and_has_one_field() {
    let mut decoder = decoder(3, 8, Partitioner::Murmur2);
    for key in [None, Some(&b"x"[..])] {
        for value in [
            r#"{"type":"tick"}"#,
            r#"{"merchant_id":-1,"merchant_id":[],"order_id":"?","type":"tick"}"#,
        ] {
            assert_eq!(refusal(&mut decoder, key, Some(value.as_bytes())), None, "{value}");
        }
        for value in
            [r#"{"type":"tick","type":"tick"}"#, r#"{"type":"tick","x":01}"#, r#"{"type":"tick"}x"#]
        {
            let refused = refusal(&mut decoder, key, Some(value.as_bytes())).unwrap();
            assert_eq!(refused.code, DeadLetter::Invalid, "{value}");
        }
    }
}

/// 4.1: too_large, then invalid, then misrouted, whatever else would be wrong.
#[test]
fn checks_come_in_their_order() {
    let mut decoder = decoder(0, 1, Partitioner::Murmur2);
    let mut value = br#"{"type":"tick"}"#.to_vec();
    value.resize(262_144, b' ');
    assert_eq!(refusal(&mut decoder, None, Some(&value)), None);
    value.push(b' ');
    let refused = refusal(&mut decoder, None, Some(&value)).unwrap();
    assert_eq!(refused.code, DeadLetter::TooLarge);
    assert_eq!(refused.to_string(), "the value has 262145 bytes, 262144 are allowed");
    assert_eq!(refusal(&mut decoder, None, None).unwrap().code, DeadLetter::Invalid);
    assert_eq!(refusal(&mut decoder, None, Some(b"")).unwrap().code, DeadLetter::Invalid);
    let value = br#"{"type":"sku.withdrawn","merchant_id":1}"#;
    assert_eq!(refusal(&mut decoder, Some(b"2"), Some(value)).unwrap().code, DeadLetter::Invalid);
}
