//! Contract section 4, rule by rule: one table for each failure that a rule prevents.

use crate::text_log::{brief, check, check_with, record};
use crate::{CounterKey, Day, Dimension, Figures, InputRecord, Partitioner, PlainPartition, Rules};

fn short_windows() -> Rules {
    Rules { order_window_ms: 100, receipt_window_ms: 1_000, skew_ms: 10, ..Rules::default() }
}

// --- 4.1 Clock and checks ----------------------------------------------------------------------

#[test]
fn time_never_goes_back_and_absurd_timestamps_do_not_move_it() {
    check(
        "-1               | order.placed z placed_at=0              | hold.rejected z unknown_sku sku=1
          0               | sku.listed 1                            |
          0               | stock.received r received_at=0 qty=9    |
          -5              | order.placed a placed_at=0              | hold.placed a [1@0] expires_at=900000
          1000000000000001 | order.placed b placed_at=0             | hold.placed b [1@0] expires_at=900000
          50              | order.placed c                          | hold.placed c [1@0] expires_at=900050
          20              | order.placed d                          | hold.placed d [1@0] expires_at=900050",
    );
}

#[test]
fn a_dead_letter_moves_time_and_sweeps_too() {
    check(
        "0    | sku.listed 1                      |
         0    | stock.received r qty=9            |
         0    | order.placed a pay_by=10          | hold.placed a [1@0] expires_at=10
         10   | order.cancelled a merchant_id=-1  | hold.released a expired; dead invalid
         10   | order.placed a                    | duplicate",
    );
}

#[test]
fn too_large_comes_before_invalid_and_invalid_before_misrouted() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    let mut code = |key: Option<&str>, value: Option<Vec<u8>>| {
        let key = key.map(|key| key.as_bytes().to_vec());
        let record = InputRecord { offset: 0, timestamp: 0, key, value, headers: Vec::new() };
        let outputs = partition.apply(&record);
        outputs.iter().map(brief).collect::<Vec<_>>().join("; ")
    };
    let sized = |bytes: usize| {
        let mut value = br#"{"type":"sku.withdrawn","merchant_id":7,"sku":1}"#.to_vec();
        value.resize(bytes, b' ');
        Some(value)
    };
    assert_eq!(code(Some("8"), sized(262_145)), "dead too_large");
    assert_eq!(code(Some("8"), sized(262_144)), "dead misrouted");
    assert_eq!(code(Some("7"), sized(262_144)), "");
    assert_eq!(code(Some("8"), Some(br#"{"type":"sku.withdrawn"}"#.to_vec())), "dead invalid");
    assert_eq!(code(Some("7"), None), "dead invalid");
    assert_eq!(code(Some("7"), Some(Vec::new())), "dead invalid");
    for key in [None, Some(""), Some("07"), Some("7 "), Some("+7"), Some("8")] {
        assert_eq!(code(key, sized(100)), "dead misrouted", "key {key:?}");
    }
    // A tick belongs nowhere, so it cannot be misrouted; nor is its merchant looked at.
    for key in [None, Some("x")] {
        assert_eq!(code(key, Some(br#"{"type":"tick","merchant_id":[]}"#.to_vec())), "");
    }
}

#[test]
fn a_command_in_another_partition_than_its_key_is_misrouted_unless_any_will_do() {
    for partitioner in [Partitioner::Murmur2, Partitioner::Any] {
        let rules = Rules { partitions: 8, partitioner, ..Rules::default() };
        let refusing: Vec<u32> = (0..8)
            .filter(|number| {
                let mut partition = PlainPartition::new(rules.clone(), *number);
                !partition.apply(&record(0, 0, "sku.listed 1")).is_empty()
            })
            .collect();
        let expected = if partitioner == Partitioner::Any { 0 } else { 7 };
        assert_eq!(refusing.len(), expected, "{partitioner:?}: {refusing:?}");
    }
}

// --- 4.2 Expiry --------------------------------------------------------------------------------

#[test]
fn holds_are_swept_by_expiry_and_then_by_placement() {
    check(
        "0  | sku.listed 1                |
         0  | stock.received r qty=9      |
         0  | order.placed a pay_by=30    | hold.placed a [1@0] expires_at=30
         0  | order.placed b pay_by=20    | hold.placed b [1@0] expires_at=20
         0  | order.placed c pay_by=30 deposit=10:30 | hold.placed c [1@0] expires_at=30
         0  | order.placed d pay_by=25 deposit=10:30 | hold.placed d [1@0] expires_at=25
         0  | order.placed e pay_by=30    | hold.placed e [1@0] expires_at=30
         0  | order.paid p order_id=d part=deposit amount=10 | hold.extended d expires_at=30
         19 | tick                        |
         20 | tick                        | hold.released b expired
         31 | tick | hold.released a expired; hold.released c expired; hold.released d expired forfeited=10; hold.released e expired",
    );
}

#[test]
fn a_record_sweeps_1024_holds_and_the_rest_counts_as_expired_already() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    let mut offset = 0;
    let mut apply = |time: i64, command: &str| {
        offset += 1;
        let outputs = partition.apply(&record(offset, time, command));
        outputs.iter().map(brief).collect::<Vec<_>>()
    };
    apply(0, "sku.listed 1 per_buyer_limit=1030");
    apply(0, "stock.received r qty=1030");
    for number in 0..1_030 {
        apply(0, &format!("order.placed o{number} pay_by=5"));
    }
    let swept = apply(5, "order.paid p order_id=o1029 paid_at=5");
    assert_eq!(swept.len(), 1_025);
    assert_eq!(swept[1_023], "hold.released o1023 expired");
    assert_eq!(swept[1_024], "payment.refused p o1029 expired");
    // The following record sweeps the other six before its own command looks at stock and counts.
    let rest = apply(5, "order.placed late lines=1x1030@1");
    assert_eq!(rest.len(), 7);
    assert_eq!(rest[6], "hold.placed late [1@0] expires_at=900005");
}

#[test]
fn an_unswept_hold_counts_as_expired_but_keeps_its_units() {
    let mut partition = PlainPartition::new(short_windows(), 0);
    let mut offset = 0;
    let mut apply = |time: i64, command: &str| {
        offset += 1;
        let outputs = partition.apply(&record(offset, time, command));
        outputs.iter().map(brief).collect::<Vec<_>>()
    };
    apply(0, "sku.listed 1 per_buyer_limit=5000");
    apply(0, "stock.received r qty=5000");
    for number in 0..5_000 {
        apply(0, &format!("order.placed o{number} pay_by=500"));
    }
    // Each of the following records sweeps 1,024 holds of the 5,000 before its own command.
    let mut own = |command: &str| apply(500, command)[1_024..].join("; ");
    assert_eq!(own("order.cancelled o4999"), "");
    assert_eq!(own("order.placed x lines=1x2049@1"), "hold.rejected x buyer_limit sku=1");
    assert_eq!(
        own("order.placed y lines=1x3073@1 buyer_id=2"),
        "hold.rejected y out_of_stock sku=1"
    );
    let late = "order.paid p order_id=o4999 paid_at=0";
    assert_eq!(own(late), "payment.refused p o4999 stale");
}

#[test]
fn a_hold_that_is_born_expired_is_announced_and_swept_by_the_next_record() {
    check(
        "10 | sku.listed 1                |
         10 | stock.received r qty=1      |
         10 | order.placed a pay_by=10    | hold.placed a [1@0] expires_at=10
         10 | order.placed b pay_by=0     | hold.released a expired; hold.placed b [1@0] expires_at=0
         10 | order.paid p order_id=b     | hold.released b expired; payment.refused p b expired",
    );
}

// --- 4.3 Once ----------------------------------------------------------------------------------

#[test]
fn an_id_takes_effect_once_in_its_own_space_and_merchant() {
    check(
        "0 | sku.listed 1                          |
         0 | stock.received x qty=5                |
         0 | stock.received x qty=5                | duplicate
         0 | stock.moved x qty=1                   | duplicate
         0 | order.placed x                        | hold.placed x [1@0] expires_at=900000
         0 | order.placed x buyer_id=9             | duplicate
         0 | order.paid x order_id=x amount=1      | payment.refused x x amount_mismatch
         0 | order.paid x order_id=x               | duplicate
         0 | order.refunded x                      | order.refunded x a []
         0 | order.refunded x                      | duplicate
         0 | order.placed X                        | hold.placed X [1@0] expires_at=900000
         0 | order.placed x merchant_id=8          | hold.rejected x unknown_sku sku=1
         0 | stock 1@0                             | 3 on_hand, 2 held",
    );
}

#[test]
fn commands_before_the_window_or_beyond_the_skew_are_turned_away_and_not_remembered() {
    check_with(
        &short_windows(),
        "5000 | sku.listed 1                              |
         5000 | order.placed a placed_at=4899             | hold.rejected a stale
         5000 | order.placed a placed_at=5011             | hold.rejected a clock_skew
         5000 | order.paid a order_id=z paid_at=4899      | payment.refused a z stale
         5000 | order.paid a order_id=z paid_at=5011      | payment.refused a z clock_skew
         5000 | order.refunded a refunded_at=3999         | dead stale
         5000 | order.refunded a refunded_at=5011         | dead clock_skew
         5000 | stock.received a received_at=3999 qty=1   | dead stale
         5000 | stock.received a received_at=5011 qty=1   | dead clock_skew
         5000 | stock.moved a received_at=3999 qty=1      | dead stale
         5000 | stock.moved a received_at=5011 qty=1      | dead clock_skew
         5000 | remembered                                | 0
         5000 | stock.received a received_at=4000 qty=1   |
         5000 | stock.received b received_at=5010 qty=1   |
         5000 | order.placed a placed_at=4900             | hold.placed a [1@0] expires_at=905000
         5000 | order.placed b placed_at=5010             | hold.placed b [1@0] expires_at=905000
         5000 | order.paid a order_id=z paid_at=4900      | payment.refused a z unknown_order
         5000 | order.paid b order_id=z paid_at=5010      | payment.refused b z unknown_order
         5000 | order.refunded a refunded_at=4000         | order.refunded a a []
         5000 | remembered                                | 7",
    );
}

#[test]
fn a_late_payment_still_meets_an_open_hold_and_is_remembered() {
    check_with(
        &short_windows(),
        "1000 | sku.listed 1                                   |
         1000 | stock.received r qty=9                         |
         1000 | order.placed a pay_by=2000                     | hold.placed a [1@0] expires_at=2000
         1500 | order.paid p order_id=a amount=1 paid_at=1000  | payment.refused p a amount_mismatch
         1500 | order.paid p order_id=a amount=1 paid_at=1000  | duplicate
         1600 | order.paid p order_id=a amount=1 paid_at=1000  | duplicate
         1601 | order.paid p order_id=a amount=1 paid_at=1000  | payment.refused p a amount_mismatch
         1601 | order.paid q order_id=a paid_at=1612           | payment.refused q a clock_skew
         1601 | order.paid q order_id=a paid_at=1000           | order.settled a [1@0]
         1601 | order.paid s order_id=a paid_at=1000           | payment.refused s a stale",
    );
}

#[test]
fn an_id_is_remembered_by_the_later_of_its_own_time_and_its_first_coming() {
    check_with(
        &short_windows(),
        "1000 | order.placed old placed_at=900   | hold.rejected old unknown_sku sku=1
         1000 | order.placed new placed_at=1010  | hold.rejected new unknown_sku sku=1
         1100 | order.placed old placed_at=900   | duplicate
         1101 | order.placed old placed_at=900   | hold.rejected old stale
         1110 | order.placed new placed_at=1010  | duplicate
         1111 | order.placed new placed_at=1010  | hold.rejected new stale
         1111 | remembered                       | 0",
    );
}

#[test]
fn an_order_is_remembered_while_it_is_held_and_for_a_window_after() {
    check_with(
        &short_windows(),
        "1000 | sku.listed 1                     |
         1000 | stock.received r qty=9           |
         1000 | order.placed a pay_by=3000       | hold.placed a [1@0] expires_at=3000
         1000 | order.placed b pay_by=3000       | hold.placed b [1@0] expires_at=3000
         1000 | order.placed c pay_by=3000       | hold.placed c [1@0] expires_at=3000
         1050 | order.cancelled c                | hold.released c cancelled
         1150 | order.placed c placed_at=1000    | duplicate
         1151 | order.placed c placed_at=1000    | hold.rejected c stale
         2000 | order.placed a placed_at=1000    | duplicate
         2000 | order.cancelled a                | hold.released a cancelled
         2100 | order.placed a placed_at=1000    | duplicate
         2100 | order.paid p order_id=a          | payment.refused p a cancelled
         2101 | order.placed a placed_at=1000    | hold.rejected a stale
         2101 | order.paid q order_id=a          | payment.refused q a unknown_order
         3050 | order.placed b placed_at=1000    | hold.released b expired; duplicate
         3150 | order.paid s order_id=b          | payment.refused s b expired
         3151 | order.paid t order_id=b          | payment.refused t b unknown_order
         3152 | order.placed b                   | hold.placed b [1@0] expires_at=903152",
    );
}

#[test]
fn a_deposit_is_remembered_while_its_hold_is_open_but_not_longer() {
    check_with(
        &short_windows(),
        "1000 | sku.listed 1                                             |
         1000 | stock.received r qty=9                                   |
         1000 | order.placed a deposit=10:5000                           | hold.placed a [1@0] expires_at=901000
         1000 | order.paid d order_id=a part=deposit amount=10           | hold.extended a expires_at=5000
         1000 | order.paid e order_id=a part=deposit amount=10           | payment.refused e a wrong_part
         2000 | order.paid d order_id=a part=deposit amount=10           | duplicate
         2000 | order.paid e order_id=a part=deposit amount=10 paid_at=1000 | payment.refused e a wrong_part
         2000 | order.paid f order_id=a part=balance amount=90           | order.settled a [1@0]
         2000 | order.paid d order_id=a part=deposit amount=10 paid_at=1000 | payment.refused d a stale",
    );
}

#[test]
fn memory_is_judged_after_the_sweep() {
    // The sweep ends the hold, and with it what kept the deposit's id; the order's own id is now
    // remembered by the time of its end.
    check_with(
        &short_windows(),
        "1000 | sku.listed 1                                             |
         1000 | stock.received r qty=9                                   |
         1000 | order.placed a deposit=10:5000                           | hold.placed a [1@0] expires_at=901000
         1000 | order.paid d order_id=a part=deposit amount=10           | hold.extended a expires_at=5000
         4999 | order.paid d order_id=a part=deposit amount=10 paid_at=1000 | duplicate
         5000 | order.paid d order_id=a part=deposit amount=10 paid_at=1000 | hold.released a expired forfeited=10; payment.refused d a stale
         5000 | order.placed a placed_at=1000                            | duplicate",
    );
}

#[test]
fn every_kind_of_id_is_forgotten_when_its_window_has_passed() {
    // Of each kind one command that is ahead of T, and one that is behind it.
    check_with(
        &short_windows(),
        "0    | stock.received r received_at=10 qty=9 |
         0    | order.refunded f refunded_at=10       | order.refunded f a []
         0    | order.paid p order_id=z paid_at=10    | payment.refused p z unknown_order
         0    | order.placed o placed_at=10           | hold.rejected o unknown_sku sku=1
         50   | stock.received s received_at=0 qty=9  |
         50   | order.refunded g refunded_at=0        | order.refunded g a []
         50   | order.paid q order_id=z paid_at=0     | payment.refused q z unknown_order
         50   | order.placed u placed_at=0            | hold.rejected u unknown_sku sku=1
         110  | tick                                  |
         110  | remembered                            | 8
         111  | tick                                  |
         111  | remembered                            | 6
         150  | order.placed u placed_at=0            | duplicate
         150  | order.paid q order_id=z paid_at=0     | duplicate
         151  | tick                                  |
         151  | remembered                            | 4
         1010 | order.refunded f refunded_at=10       | duplicate
         1010 | stock.received r received_at=10 qty=9 | duplicate
         1011 | order.refunded f refunded_at=10       | dead stale
         1011 | stock.received r received_at=10 qty=9 | dead stale
         1050 | order.refunded g refunded_at=0        | duplicate
         1050 | stock.received s received_at=0 qty=9  | duplicate
         1051 | tick                                  |
         1051 | remembered                            | 0",
    );
}

#[test]
fn memory_does_not_grow_with_the_log() {
    let mut partition = PlainPartition::new(short_windows(), 0);
    partition.apply(&record(0, 0, "sku.listed 1"));
    partition.apply(&record(1, 0, "stock.received r qty=1000000"));
    for offset in 2..5_000 {
        let (time, other) = (offset as i64, offset % 3);
        let command = match other {
            0 => format!("order.placed o{offset} pay_by=0"),
            1 => format!("order.paid p{offset} order_id=o{}", offset - 1),
            _ => format!("order.refunded f{offset}"),
        };
        partition.apply(&record(offset, time, &command));
        assert!(partition.remembered_ids() <= 405, "at {offset}: {}", partition.remembered_ids());
        assert!(partition.open_holds() <= 1);
    }
}

// --- 4.4 order.placed --------------------------------------------------------------------------

#[test]
fn the_first_reason_against_an_order_wins_and_names_the_first_sku_that_fails() {
    check(
        "0 | sku.listed 1 per_buyer_limit=1     |
         0 | sku.listed 2 per_buyer_limit=1     |
         0 | sku.listed 4                       |
         0 | sku.listed 5                       |
         0 | order.placed a pickup=9 lines=1x2@1,3x1@1,6x1@1 | hold.rejected a unknown_sku sku=3
         0 | order.placed b pickup=9 lines=1x2@1 | hold.rejected b location_unavailable
         0 | order.placed c pickup=0 lines=1x2@1 | hold.rejected c location_unavailable
         0 | order.placed d lines=4x1@1,2x2@1,1x2@1 | hold.rejected d buyer_limit sku=2
         0 | stock.received r4 sku=4 qty=1      |
         0 | order.placed e lines=4x1@1,5x1@1,1x1@1 | hold.rejected e out_of_stock sku=5
         0 | location.opened 9 pickup=false     |
         0 | order.placed f pickup=9            | hold.rejected f location_unavailable
         0 | location.opened 9                  |
         0 | order.placed g pickup=9 lines=4x1@1 | hold.rejected g out_of_stock sku=4
         0 | location.opened 9 kind=warehouse   |
         0 | order.placed h pickup=9            | hold.rejected h location_unavailable
         0 | stock 4@0                          | 1 on_hand, 0 held
         0 | order.paid p order_id=a            | payment.refused p a rejected",
    );
}

#[test]
fn lines_of_one_sku_are_one_demand() {
    check(
        "0 | sku.listed 1 per_buyer_limit=5               |
         0 | sku.listed 2                                 |
         0 | location.opened 3                            |
         0 | stock.received r0 qty=3                      |
         0 | stock.received r3 qty=4 location=3           |
         0 | stock.received s2 sku=2 qty=1                |
         0 | order.placed a lines=1x3@1,2x1@1,1x3@5       | hold.rejected a buyer_limit sku=1
         0 | order.placed b lines=1x2@1,2x1@1,1x2@5       | hold.placed b [1@3 2@0 1@3] expires_at=900000
         0 | stock 1@3                                    | 0 on_hand, 4 held",
    );
}

#[test]
fn an_order_that_settles_on_placement_is_not_announced_as_held() {
    check(
        "0 | sku.listed 1 per_buyer_limit=2                           |
         0 | stock.received r qty=3                                   |
         0 | order.placed a settle=on_placement pay_by=0 lines=1x2@1  | order.settled a [1@0]
         0 | stock 1@0                                                | 1 on_hand, 0 held
         0 | order.placed a settle=on_placement                       | duplicate
         0 | order.placed b settle=on_placement                       | hold.rejected b buyer_limit sku=1
         0 | order.paid p order_id=a                                  | payment.refused p a settled
         0 | order.cancelled a                                        |
         900001 | tick                                                |
         900001 | order.paid q order_id=a                             | payment.refused q a unknown_order",
    );
}

// --- 4.5 Allocation ----------------------------------------------------------------------------

#[test]
fn the_nearest_location_serves_then_priority_then_id() {
    // 10 is in the same district, 20 and 21 in the same city, 30 in the same province, 40 far
    // away, 50 unknown; location 0 is class 3 with priority 0.
    let stocked = "0 | sku.listed 1                                         |
         0 | location.opened 50 priority=0                            |
         0 | location.opened 40 region=440100 priority=0              |
         0 | location.opened 30 region=330200 priority=0              |
         0 | location.opened 21 region=330101 priority=5              |
         0 | location.opened 22 region=330101 priority=5              |
         0 | location.opened 20 region=330102 priority=6              |
         0 | location.opened 10 region=330106 priority=65535          |
         0 | location.opened 11 region=330106 ships=false priority=0  |
         0 | stock.received r0 qty=1                                  |
         0 | stock.received r10 qty=1 location=10                     |
         0 | stock.received r11 qty=1 location=11                     |
         0 | stock.received r20 qty=1 location=20                     |
         0 | stock.received r21 qty=1 location=21                     |
         0 | stock.received r22 qty=1 location=22                     |
         0 | stock.received r30 qty=1 location=30                     |
         0 | stock.received r40 qty=1 location=40                     |
         0 | stock.received r50 qty=1 location=50                     |\n";
    let near = "0 | order.placed a region=330106 | hold.placed a [1@10] expires_at=900000
         0 | order.placed b region=330106 | hold.placed b [1@21] expires_at=900000
         0 | order.placed c region=330106 | hold.placed c [1@22] expires_at=900000
         0 | order.placed d region=330106 | hold.placed d [1@20] expires_at=900000
         0 | order.placed e region=330106 | hold.placed e [1@30] expires_at=900000
         0 | order.placed f region=330106 | hold.placed f [1@0] expires_at=900000
         0 | order.placed g region=330106 | hold.placed g [1@40] expires_at=900000
         0 | order.placed h region=330106 | hold.placed h [1@50] expires_at=900000
         0 | order.placed i region=330106 | hold.rejected i out_of_stock sku=1
         0 | order.placed j pickup=11     | hold.placed j [1@11] expires_at=900000";
    check(&format!("{stocked}{near}"));
    let nowhere = "0 | order.placed a             | hold.placed a [1@0] expires_at=900000
         0 | order.placed b                     | hold.placed b [1@30] expires_at=900000
         0 | order.placed c                     | hold.placed c [1@40] expires_at=900000
         0 | order.placed d                     | hold.placed d [1@50] expires_at=900000
         0 | order.placed e                     | hold.placed e [1@21] expires_at=900000";
    check(&format!("{stocked}{nowhere}"));
}

#[test]
fn an_unknown_region_is_near_to_nothing() {
    check(
        "0 | sku.listed 1                                |
         0 | location.opened 5 region=000000 priority=0  |
         0 | location.opened 6 region=009900             |
         0 | stock.received r0 qty=1                     |
         0 | stock.received r5 qty=1 location=5          |
         0 | stock.received r6 qty=1 location=6          |
         0 | order.placed a region=000001                | hold.placed a [1@6] expires_at=900000
         0 | order.placed b region=000001                | hold.placed b [1@0] expires_at=900000
         0 | order.placed c region=000000                | hold.placed c [1@5] expires_at=900000",
    );
}

#[test]
fn a_whole_order_goes_to_one_location_if_any_serves_it_and_no_demand_is_split() {
    check(
        "0 | sku.listed 1                               |
         0 | sku.listed 2                               |
         0 | location.opened 5                          |
         0 | location.opened 6                          |
         0 | stock.received a1 sku=1 qty=5              |
         0 | stock.received a2 sku=1 qty=2 location=5   |
         0 | stock.received a3 sku=2 qty=2 location=5   |
         0 | stock.received a4 sku=2 qty=3 location=6   |
         0 | order.placed a lines=1x1@1,2x1@1           | hold.placed a [1@5 2@5] expires_at=900000
         0 | order.placed b lines=1x2@1,2x2@1           | hold.placed b [1@0 2@6] expires_at=900000
         0 | order.placed c lines=1x4@1                 | hold.rejected c out_of_stock sku=1
         0 | order.placed d lines=2x1@1,1x4@1           | hold.rejected d out_of_stock sku=1
         0 | location.opened 5 ships=false              |
         0 | order.placed e lines=1x1@1,2x1@1 pickup=5  | hold.placed e [1@5 2@5] expires_at=900000
         0 | order.placed f lines=1x1@1,2x1@1 pickup=6  | hold.rejected f out_of_stock sku=1",
    );
}

#[test]
fn safety_stock_is_not_sold() {
    check(
        "0 | sku.listed 1 safety_stock=2                    |
         0 | stock.received r qty=4                         |
         0 | order.placed a lines=1x3@1                     | hold.rejected a out_of_stock sku=1
         0 | order.placed b lines=1x2@1                     | hold.placed b [1@0] expires_at=900000
         0 | order.placed c                                 | hold.rejected c out_of_stock sku=1
         0 | sku.listed 1                                   |
         0 | order.placed d lines=1x2@1                     | hold.placed d [1@0] expires_at=900000",
    );
}

// --- 4.6 order.paid ----------------------------------------------------------------------------

#[test]
fn a_payment_settles_only_with_the_right_part_and_sum() {
    check(
        "0 | sku.listed 1                                    |
         0 | stock.received r qty=2                          |
         0 | order.placed a                                  | hold.placed a [1@0] expires_at=900000
         0 | order.paid p1 order_id=a part=deposit amount=1  | payment.refused p1 a wrong_part
         0 | order.paid p2 order_id=a part=balance           | payment.refused p2 a wrong_part
         0 | order.paid p3 order_id=a amount=101             | payment.refused p3 a amount_mismatch
         0 | order.paid p4 order_id=a                        | order.settled a [1@0]
         0 | order.paid p4 order_id=a                        | duplicate
         0 | order.paid p5 order_id=a                        | payment.refused p5 a settled
         0 | order.placed free discount=100                  | hold.placed free [1@0] expires_at=900000
         0 | order.paid p6 order_id=free amount=0            | order.settled free [1@0]
         0 | stock 1@0                                       | 0 on_hand, 0 held
         0 | order.paid p7 order_id=never                    | payment.refused p7 never unknown_order",
    );
}

#[test]
fn a_presale_takes_the_deposit_first_and_then_the_balance() {
    check(
        "0  | sku.listed 1                                      |
         0  | stock.received r qty=2                            |
         0  | order.placed a deposit=30:5000 pay_by=100         | hold.placed a [1@0] expires_at=100
         0  | order.paid p1 order_id=a                          | payment.refused p1 a wrong_part
         0  | order.paid p2 order_id=a part=balance amount=70   | payment.refused p2 a wrong_part
         0  | order.paid p3 order_id=a part=deposit amount=31   | payment.refused p3 a amount_mismatch
         0  | order.paid p4 order_id=a part=deposit amount=30   | hold.extended a expires_at=5000
         0  | order.paid p5 order_id=a part=deposit amount=30   | payment.refused p5 a wrong_part
         0  | order.paid p6 order_id=a part=balance amount=100  | payment.refused p6 a amount_mismatch
         99 | order.paid p7 order_id=a part=balance amount=70   | order.settled a [1@0]
         99 | order.placed b deposit=30:99                      | hold.placed b [1@0] expires_at=900099
         99 | order.paid p8 order_id=b part=deposit amount=30   | hold.extended b expires_at=99
         99 | tick                                              | hold.released b expired forfeited=30",
    );
}

// --- 4.7 order.cancelled -----------------------------------------------------------------------

#[test]
fn only_an_open_hold_can_be_cancelled() {
    check(
        "0 | sku.listed 1                                      |
         0 | stock.received r qty=2                            |
         0 | order.cancelled a                                 |
         0 | order.placed a deposit=30:5000                    | hold.placed a [1@0] expires_at=900000
         0 | order.paid p order_id=a part=deposit amount=30    | hold.extended a expires_at=5000
         0 | order.cancelled a merchant_id=8                   |
         0 | order.cancelled a                                 | hold.released a cancelled forfeited=30
         0 | order.cancelled a                                 |
         0 | stock 1@0                                         | 2 on_hand, 0 held
         0 | order.paid q order_id=a part=balance amount=70    | payment.refused q a cancelled
         900000 | tick                                         |",
    );
}

// --- 4.8 order.refunded, 4.9 stock -------------------------------------------------------------

#[test]
fn a_refund_restocks_only_when_asked_and_needs_no_order() {
    check(
        "0 | order.refunded a order_id=long-gone lines=1x2@3               | order.refunded a long-gone [1@3]
         0 | stock 1@3                                                     | 0 on_hand, 0 held
         0 | order.refunded b order_id=z lines=1x2@3,1x1@3 restock=true    | order.refunded b z [1@3 1@3]
         0 | stock 1@3                                                     | 3 on_hand, 0 held",
    );
}

#[test]
fn stock_can_neither_fall_below_zero_nor_grow_beyond_a_cell() {
    check(
        "0 | stock.received a qty=-1                         | dead stock_underflow
         0 | stock.received a qty=5                          | duplicate
         0 | stock.received b qty=5                          |
         0 | stock.received c qty=-5                         |
         0 | stock.moved d qty=1                             | dead stock_underflow
         0 | stock.received e qty=1000000000                 |
         0 | stock.received f qty=1000000000                 |
         0 | stock.received g qty=1000000000                 |
         0 | stock.received h qty=1000000000                 |
         0 | stock.received i qty=294967296                  | dead stock_overflow
         0 | stock.received j qty=294967295                  |
         0 | stock.received k qty=1 location=1               |
         0 | stock.moved l from=1 to=0 qty=1                 | dead stock_overflow
         0 | stock.moved m from=1 to=0 qty=2                 | dead stock_underflow
         0 | stock.moved l from=1 to=0 qty=1                 | duplicate
         0 | sku.listed 1                                    |
         0 | order.placed o lines=1x1000@1                   | hold.placed o [1@0] expires_at=900000
         0 | order.refunded r lines=1x1@0 restock=true       | dead stock_overflow
         0 | order.refunded r lines=1x1@1 restock=true       | duplicate
         0 | stock.received n qty=-1                         |
         0 | order.refunded s lines=1x1@0,1x1@0 restock=true | dead stock_overflow
         0 | order.refunded t lines=1x1@0,1x1@2 restock=true | order.refunded t a [1@0 1@2]
         0 | stock 1@0                                       | 4294966295 on_hand, 1000 held
         0 | stock 1@1                                       | 1 on_hand, 0 held
         0 | stock 1@2                                       | 1 on_hand, 0 held",
    );
}

// --- 4.10 Catalogue ----------------------------------------------------------------------------

#[test]
fn withdrawing_and_closing_touch_neither_stock_nor_open_holds() {
    check(
        "0 | sku.listed 1                          |
         0 | location.opened 3                     |
         0 | stock.received r qty=2 location=3     |
         0 | order.placed a                        | hold.placed a [1@3] expires_at=900000
         0 | sku.withdrawn 1                       |
         0 | location.closed 3                     |
         0 | sku.withdrawn 99                      |
         0 | location.closed 99                    |
         0 | stock 1@3                             | 1 on_hand, 1 held
         0 | order.placed b                        | hold.rejected b unknown_sku sku=1
         0 | sku.listed 1                          |
         0 | order.placed c                        | hold.rejected c out_of_stock sku=1
         0 | order.paid p order_id=a               | order.settled a [1@3]
         0 | location.opened 3                     |
         0 | order.placed d                        | hold.placed d [1@3] expires_at=900000",
    );
}

#[test]
fn the_4097th_category_and_the_4097th_open_location_are_too_many() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    let mut offset = 0;
    let mut apply = |command: &str| {
        offset += 1;
        let outputs = partition.apply(&record(offset, 0, command));
        outputs.iter().map(brief).collect::<Vec<_>>().join("; ")
    };
    for number in 1..4_096 {
        assert_eq!(apply(&format!("sku.listed {number} category=c{number}")), "");
    }
    assert_eq!(apply("sku.listed 5000 merchant_id=8"), "", "the category none is the 4096th");
    assert_eq!(apply("sku.withdrawn 1"), "");
    assert_eq!(apply("sku.listed 6000 category=one-more"), "dead too_many");
    assert_eq!(apply("order.placed a lines=6000x1@1"), "hold.rejected a unknown_sku sku=6000");
    assert_eq!(apply("sku.listed 6000 category=c1"), "");
    for location in 1..=4_096 {
        assert_eq!(apply(&format!("location.opened {location}")), "");
    }
    assert_eq!(apply("location.opened 4097"), "dead too_many");
    assert_eq!(apply("location.opened 4096 ships=false"), "", "replacing opens none");
    assert_eq!(apply("location.opened 4097 merchant_id=8"), "", "each merchant has its own");
    assert_eq!(apply("location.closed 1"), "");
    assert_eq!(apply("location.opened 4097"), "");
}

// --- 4.11 Buyer limits -------------------------------------------------------------------------

#[test]
fn a_buyers_count_follows_holds_and_not_settlements() {
    check(
        "0 | sku.listed 1 per_buyer_limit=3              |
         0 | stock.received r qty=99                     |
         0 | order.placed a lines=1x2@1                  | hold.placed a [1@0] expires_at=900000
         0 | order.placed b lines=1x2@1                  | hold.rejected b buyer_limit sku=1
         0 | order.placed c lines=1x2@1 buyer_id=2       | hold.placed c [1@0] expires_at=900000
         0 | order.paid p order_id=a amount=2            | order.settled a [1@0]
         0 | order.refunded f order_id=a lines=1x2@0 restock=true | order.refunded f a [1@0]
         0 | order.placed d lines=1x2@1                  | hold.rejected d buyer_limit sku=1
         0 | order.placed e                              | hold.placed e [1@0] expires_at=900000
         0 | order.cancelled e                           | hold.released e cancelled
         0 | sku.listed 1 per_buyer_limit=4              |
         0 | order.placed g lines=1x3@1                  | hold.rejected g buyer_limit sku=1
         0 | order.placed h lines=1x2@1                  | hold.placed h [1@0] expires_at=900000",
    );
}

#[test]
fn units_are_only_taken_off_the_counts_that_they_were_added_to() {
    check(
        "0 | sku.listed 1                                |
         0 | stock.received r qty=99                     |
         0 | order.placed before lines=1x9@1             | hold.placed before [1@0] expires_at=900000
         0 | sku.listed 1 per_buyer_limit=3              |
         0 | order.placed first lines=1x3@1              | hold.placed first [1@0] expires_at=900000
         0 | order.cancelled before                      | hold.released before cancelled
         0 | order.placed a                              | hold.rejected a buyer_limit sku=1
         0 | sku.withdrawn 1                             |
         0 | sku.listed 1 per_buyer_limit=3              |
         0 | order.placed second lines=1x2@1             | hold.placed second [1@0] expires_at=900000
         0 | order.cancelled first                       | hold.released first cancelled
         0 | order.placed b lines=1x2@1                  | hold.rejected b buyer_limit sku=1
         0 | sku.listed 1                                |
         0 | sku.listed 1 per_buyer_limit=3              |
         0 | order.cancelled second                      | hold.released second cancelled
         0 | order.placed c lines=1x3@1                  | hold.placed c [1@0] expires_at=900000
         0 | order.placed d                              | hold.rejected d buyer_limit sku=1",
    );
}

// --- 6 Counters --------------------------------------------------------------------------------

fn counter(partition: &PlainPartition, day: &str, dimension: Dimension, value: &str) -> Figures {
    let key = CounterKey { day: Day::parse(day).unwrap(), dimension, value: value.to_owned() };
    partition.counters().get(&key).map(|counter| counter.figures).unwrap_or_default()
}

#[test]
fn discounts_are_shared_out_by_line_without_losing_a_fen() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    for (offset, command) in [
        "sku.listed 1 category=x",
        "sku.listed 2 category=y",
        "stock.received a sku=1 qty=9",
        "stock.received b sku=2 qty=9",
        // Gross 3, 7 and 5 of 15, discount 10: floor(2), floor(6.67), 10 → 2, 4 and 4.
        "order.placed o discount=10 settle=on_placement lines=1x1@3,2x1@7,1x1@5",
        "order.placed free settle=on_placement lines=1x1@0",
    ]
    .into_iter()
    .enumerate()
    {
        partition.apply(&record(offset as u64, 0, command));
    }
    let day = "1970-01-01";
    let x = counter(&partition, day, Dimension::Category, "x");
    assert_eq!((x.orders_settled, x.units_settled, x.settled), (2, 3, 2));
    let y = counter(&partition, day, Dimension::Category, "y");
    assert_eq!((y.orders_settled, y.units_settled, y.settled), (1, 1, 3));
    let location = counter(&partition, day, Dimension::Location, "7:0");
    assert_eq!((location.orders_placed, location.orders_settled), (0, 2));
    assert_eq!((location.units_settled, location.settled), (4, 5));
    let all = counter(&partition, day, Dimension::All, "all");
    assert_eq!((all.placed, all.settled, all.units_settled), (5, 5, 4));
}

#[test]
fn an_order_counts_as_placed_and_settled_each_on_its_own_day_in_its_old_category() {
    let rules = Rules { day_offset_ms: 1_000, ..Rules::default() };
    let mut partition = PlainPartition::new(rules, 0);
    let midnight = 86_400_000;
    for (offset, (time, command)) in [
        (midnight - 2_000, "sku.listed 1 category=before"),
        (midnight - 2_000, "stock.received a qty=9"),
        (midnight - 1_001, "order.placed o region=330106 channel=app area=rural"),
        (midnight - 1_000, "sku.listed 1 category=after"),
        (midnight - 1_000, "order.paid p order_id=o"),
        (midnight, "order.refunded r order_id=o amount=30 region=110000"),
    ]
    .into_iter()
    .enumerate()
    {
        partition.apply(&record(offset as u64, time, command));
    }
    let placed = Figures { orders_placed: 1, placed: 100, ..Figures::default() };
    let settled =
        Figures { orders_settled: 1, units_settled: 1, settled: 100, ..Figures::default() };
    let refunded = Figures { orders_refunded: 1, refunded: 30, ..Figures::default() };
    let both = Figures { orders_refunded: 1, refunded: 30, ..settled };
    for (day, dimension, value, expected) in [
        ("1970-01-01", Dimension::All, "all", placed),
        ("1970-01-02", Dimension::All, "all", both),
        ("1970-01-01", Dimension::Category, "before", placed),
        ("1970-01-02", Dimension::Category, "before", settled),
        ("1970-01-02", Dimension::Category, "after", Figures::default()),
        ("1970-01-02", Dimension::Area, "rural", settled),
        ("1970-01-02", Dimension::Area, "urban", refunded),
        ("1970-01-02", Dimension::Channel, "other", refunded),
        ("1970-01-01", Dimension::Minute, "1439", placed),
        ("1970-01-02", Dimension::Minute, "1439", settled),
        ("1970-01-02", Dimension::Minute, "1440", refunded),
        ("1970-01-02", Dimension::Province, "33", settled),
        ("1970-01-02", Dimension::Province, "11", refunded),
        ("1970-01-02", Dimension::Merchant, "7", both),
        ("1970-01-02", Dimension::Fulfilment, "ship", settled),
        ("1970-01-02", Dimension::Fulfilment, "pickup", Figures::default()),
    ] {
        assert_eq!(counter(&partition, day, dimension, value), expected, "{dimension:?} {value}");
    }
}
