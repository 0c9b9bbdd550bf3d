//! The rules for orders and payments (contract, 4.1 to 4.7), one table for each way to break them.

mod support;

use ledger::rules::Rules;
use support::{check, check_with};

/// Windows short enough to be read in a table.
fn short() -> Rules {
    Rules {
        order_window_ms: 100,
        receipt_window_ms: 1000,
        skew_ms: 10,
        hold_ttl_ms: 50,
        ..Rules::default()
    }
}

// Clock and expiry (4.1, 4.2).

#[test]
fn absurd_timestamps_do_not_move_the_clock() {
    check_with(
        short(),
        "
        0                | list 1                        |
        0                | receive r 1 5                 |
        10               | place a 1x1                   | placed a 1 until=60 1x1@0
        -1               | tick                          |
        1000000000000001 | tick                          |
        5                | place b 1x1 at=10             | placed b 1 until=60 1x1@0
        59               | tick                          |
        60               | dead invalid                  | released a expired 1x1@0; released b expired 1x1@0; dead invalid
        1000000000000000 | place c 1x1                   | placed c 1 until=1000000000000050 1x1@0
        ",
    );
}

#[test]
fn holds_expire_by_time_then_by_placement() {
    check_with(
        short(),
        "
        0  | list 1                |
        0  | receive r 1 9         |
        1  | place a 1x1 pay_by=30 | placed a 1 until=30 1x1@0
        2  | place b 1x1 pay_by=20 | placed b 1 until=20 1x1@0
        3  | place c 1x1 pay_by=20 | placed c 1 until=20 1x1@0
        4  | place d 1x1 pay_by=10 | placed d 1 until=10 1x1@0
        30 | tick                  | released d expired 1x1@0; released b expired 1x1@0; released c expired 1x1@0; released a expired 1x1@0
        ",
    );
}

#[test]
fn an_extended_hold_keeps_its_place_among_holds_of_one_moment() {
    check_with(
        short(),
        "
        0  | list 1                       |
        0  | receive r 1 9                |
        1  | place a 1x1@10 presale=4,40  | placed a 10 until=51 1x1@0
        2  | place b 1x1 pay_by=40        | placed b 1 until=40 1x1@0
        3  | place c 1x1@10 presale=4,40  | placed c 10 until=53 1x1@0
        4  | pay p1 c 4 deposit           | extended c until=40
        5  | pay p2 a 4 deposit           | extended a until=40
        40 | tick                         | released a expired 1x1@0 forfeited=4; released b expired 1x1@0; released c expired 1x1@0 forfeited=4
        ",
    );
}

#[test]
fn a_sweep_releases_at_most_1024_holds_for_each_record() {
    let placed = (0..1100).map(|n| format!("1 | place o{n} 1x1 | placed o{n} 1 until=51 1x1@0\n"));
    let released = |range: std::ops::Range<u32>| {
        range.map(|n| format!("released o{n} expired 1x1@0")).collect::<Vec<_>>().join("; ")
    };
    let rows: Vec<String> = placed.collect();
    // An unswept hold counts as expired for commands, but its units are still held.
    let log = format!(
        "0 | list 1 |
        0 | receive r 1 1100 |
        {}
        51 | pay p o1099 1 | {}; refused p expired
           | stock 1       | 1024/76
        51 | cancel o1099  | {}
           | stock 1       | 1100/0",
        rows.concat(),
        released(0..1024),
        released(1024..1100),
    );
    check_with(short(), &log);
}

#[test]
fn an_unswept_hold_cannot_be_cancelled_and_its_id_is_known() {
    let placed = (0..2049).map(|n| format!("1 | place o{n} 1x1 | placed o{n} 1 until=51 1x1@0\n"));
    let released = |range: std::ops::Range<u32>| {
        range.map(|n| format!("released o{n} expired 1x1@0")).collect::<Vec<_>>().join("; ")
    };
    let log = format!(
        "0 | list 1 |
        0 | receive r 1 3000 |
        {}
        51 | cancel o2048         | {}
        51 | place o2048 1x1 at=1 | {}
        51 | tick                 | {}
           | stock 1              | 3000/0
           | count all            | placed=2049/2049 settled=0/0/0 refunded=0/0 rejected=0 released=2049 dead=0 duplicates=1",
        placed.collect::<String>(),
        released(0..1024),
        released(1024..2048),
        released(2048..2049),
    );
    check_with(short(), &log);
}

#[test]
fn a_hold_that_is_born_expired_is_announced_and_swept_with_the_next_record() {
    check_with(
        short(),
        "
        0   | list 1                |
        0   | receive r 1 1         |
        100 | place a 1x1 pay_by=90 | placed a 1 until=90 1x1@0
            | stock 1               | 0/1
        100 | place b 1x1           | released a expired 1x1@0; placed b 1 until=150 1x1@0
        ",
    );
}

// Once (4.3).

#[test]
fn a_repeated_order_takes_effect_once() {
    check_with(
        short(),
        "
        0   | list 1               |
        0   | receive r 1 5        |
        10  | place a 1x1          | placed a 1 until=60 1x1@0
        11  | place a 1x1 at=10    |
        12  | place a 2x1 at=12    |
        20  | place b 9x1          | rejected b out_of_stock 1
        21  | place b 1x1 at=20    |
        30  | cancel a             | released a cancelled 1x1@0
        31  | place a 1x1 at=10    |
        40  | place c 1x1 now      | settled c 1 1x1@0
        41  | place c 1x1 now at=40 |
            | count all            | placed=2/2 settled=1/1/1 refunded=0/0 rejected=1 released=1 dead=0 duplicates=5
        ",
    );
}

#[test]
fn an_id_is_forgotten_one_millisecond_after_its_window() {
    check_with(
        short(),
        "
        0   | list 1              |
        0   | receive r 1 5       |
        10  | place a 9x1         | rejected a out_of_stock 1
        110 | place a 1x1 at=110  |
        111 | place a 1x1 at=111  | placed a 1 until=161 1x1@0
        111 | place a 1x1 at=111  |
        ",
    );
}

#[test]
fn an_id_from_the_near_future_is_remembered_by_its_own_time() {
    check_with(
        short(),
        "
        0   | list 1              |
        0   | receive r 1 5       |
        10  | place a 9x1 at=20   | rejected a out_of_stock 1
        120 | place a 1x1 at=120  |
        121 | place a 1x1 at=121  | placed a 1 until=171 1x1@0
        ",
    );
}

#[test]
fn an_old_command_is_remembered_from_its_first_coming() {
    check_with(
        short(),
        "
        0   | list 1              |
        0   | receive r 1 5       |
        100 | place a 9x1 at=0    | rejected a out_of_stock 1
        200 | place a 1x1 at=200  |
        201 | place a 1x1 at=201  | placed a 1 until=251 1x1@0
        ",
    );
}

#[test]
fn an_order_is_remembered_while_it_is_held_and_a_window_after_its_end() {
    check_with(
        short(),
        "
        0    | list 1                  |
        0    | receive r 1 5           |
        10   | place a 1x1 pay_by=5000 | placed a 1 until=5000 1x1@0
        1000 | place a 1x1             |
        2000 | cancel a                | released a cancelled 1x1@0
        2100 | place a 1x1             |
        2101 | place a 1x1             | placed a 1 until=2151 1x1@0
        ",
    );
}

#[test]
fn a_swept_order_is_remembered_from_its_sweep() {
    check_with(
        short(),
        "
        0    | list 1                |
        0    | receive r 1 5         |
        10   | place a 1x1           | placed a 1 until=60 1x1@0
        1000 | pay p a 1             | released a expired 1x1@0; refused p expired
        1100 | pay q a 1             | refused q expired
        1101 | pay s a 1             | refused s unknown_order
        1101 | place a 1x1           | placed a 1 until=1151 1x1@0
        ",
    );
}

#[test]
fn too_old_and_too_early_commands_are_turned_away_and_not_remembered() {
    check_with(
        short(),
        "
        0    | list 1               |
        0    | receive r 1 5        |
        200  | place a 1x1 at=99    | rejected a stale
        200  | place a 1x1 at=99    | rejected a stale
        200  | place a 1x1 at=211   | rejected a clock_skew
        200  | place a 1x1 at=100   | placed a 1 until=250 1x1@0
        200  | place b 1x1 at=210   | placed b 1 until=250 1x1@0
        201  | pay p z 1 at=100     | refused p stale
        201  | pay p z 1 at=212     | refused p clock_skew
        201  | pay p z 1 at=101     | refused p unknown_order
        201  | pay p z 1 at=101     |
        2000 | receive s 1 1 at=999  | released a expired 1x1@0; released b expired 1x1@0; dead stale
        2000 | receive s 1 1 at=2011 | dead clock_skew
        2000 | receive s 1 1 at=1000 |
             | stock 1              | 6/0
        2000 | refund f a 1 at=999  | dead stale
        2000 | refund f a 1 at=2011 | dead clock_skew
        2000 | refund f a 1 at=2010 | refunded f 1
        2000 | refund f a 1 at=2010 |
        ",
    );
}

#[test]
fn a_stale_payment_still_meets_an_open_hold() {
    check_with(
        short(),
        "
        0    | list 1                        |
        0    | receive r 1 5                 |
        10   | place a 1x1@7 pay_by=5000     | placed a 7 until=5000 1x1@0
        1000 | pay p a 6 at=10               | refused p amount_mismatch
        1001 | pay p a 7 at=10               |
        1001 | pay q a 7 at=1012             | refused q clock_skew
        1101 | pay p a 7 at=10               | settled a 7 1x1@0
        1102 | pay s a 7 at=10               | refused s stale
        ",
    );
}

#[test]
fn a_stale_payment_of_an_expired_hold_is_stale() {
    let placed = (0..1025).map(|n| format!("1 | place o{n} 1x1 | placed o{n} 1 until=51 1x1@0\n"));
    let released = |range: std::ops::Range<u32>| {
        range.map(|n| format!("released o{n} expired 1x1@0")).collect::<Vec<_>>().join("; ")
    };
    let log = format!(
        "0 | list 1 |
        0 | receive r 1 3000 |
        {}
        500 | pay p o1024 1 at=1 | {}; refused p stale
        500 | tick               | {}",
        placed.collect::<String>(),
        released(0..1024),
        released(1024..1025),
    );
    check_with(short(), &log);
}

#[test]
fn a_deposits_payment_id_is_remembered_until_its_hold_ends() {
    check_with(
        short(),
        "
        0    | list 1                          |
        0    | receive r 1 5                   |
        10   | place a 1x1@9 presale=4,5000    | placed a 9 until=60 1x1@0
        20   | pay d a 4 deposit               | extended a until=5000
        1000 | pay d a 4 deposit               |
        1000 | pay d a 5 balance               |
        2000 | pay e a 5 balance               | settled a 9 1x1@0
        2000 | pay d a 4 deposit               | refused d settled
        2000 | pay d a 4 deposit               |
        ",
    );
}

#[test]
fn pinned_payment_ids_survive_any_number_of_later_ones() {
    let others =
        (0..3000u64).map(|n| format!("{} | pay o{n} z 1 | refused o{n} unknown_order\n", 100 + n));
    let log = format!(
        "0 | list 1 |
        0 | receive r 1 5 |
        10 | place a 1x1@9 presale=4,90000 | placed a 9 until=60 1x1@0
        11 | place b 1x1@9 presale=4,90000 | placed b 9 until=61 1x1@0
        20 | pay d a 4 deposit | extended a until=90000
        21 | pay e b 4 deposit | extended b until=90000
        {}
        4000 | pay d a 5 balance |
        4000 | cancel b          | released b cancelled 1x1@0 forfeited=4
        4000 | pay e a 5 balance | settled a 9 1x1@0
        4000 | pay e a 5 balance |
        4000 | pay d a 5 balance | refused d settled",
        others.collect::<String>(),
    );
    check_with(short(), &log);
}

#[test]
fn a_deposit_is_forgotten_in_the_record_that_sweeps_its_hold() {
    check_with(
        short(),
        "
        0    | list 1                          |
        0    | receive r 1 5                   |
        10   | place a 1x1@9 presale=4,1000    | placed a 9 until=60 1x1@0
        20   | pay d a 4 deposit               | extended a until=1000
        999  | pay d a 4 deposit               |
        1000 | pay d a 4 deposit               | released a expired 1x1@0 forfeited=4; refused d expired
        ",
    );
}

#[test]
fn id_spaces_and_merchants_do_not_share_ids() {
    check(
        "
        0  | list 1                |
        0  | list 1 m=2            |
        0  | receive x 1 5         |
        0  | receive x 1 5 m=2     |
        1  | place x 1x1           | placed x 1 until=900001 1x1@0
        1  | place x 1x1 m=2       | placed x 1 until=900001 1x1@0
        2  | refund x x 1          | refunded x 1
        2  | refund x x 1 m=2      | refunded x 1
        3  | pay x x 1             | settled x 1 1x1@0
        3  | pay x x 1 m=2         | settled x 1 1x1@0
           | count merchant/2      | placed=1/1 settled=1/1/1 refunded=1/1
        ",
    );
}

#[test]
fn receipts_and_moves_share_one_id_space() {
    check(
        "
        0 | receive a 1 5       |
        0 | move a 1 2 to=3     |
        0 | move b 1 2 to=3     |
        0 | receive b 1 5       |
          | stock 1             | 3/0
          | stock 1@3           | 2/0
          | count all           | placed=0/0 settled=0/0/0 refunded=0/0 rejected=0 released=0 dead=0 duplicates=2
        ",
    );
}

// Orders (4.4).

#[test]
fn rejections_follow_their_order_of_precedence() {
    check(
        "
        0 | list 1 limit=1               |
        0 | list 2                       |
        0 | open 5                       |
        0 | place a 2x1 1x9 pickup=5     | rejected a unknown_sku 9
        0 | place b 2x1 1x2 pickup=5     | rejected b location_unavailable
        0 | place c 2x1 1x2              | rejected c buyer_limit 1
        0 | place d 1x2 1x1              | rejected d out_of_stock 2
        0 | place e 1x9 1x8              | rejected e unknown_sku 9
        ",
    );
}

#[test]
fn lines_of_one_sku_are_one_demand() {
    check(
        "
        0 | list 1 limit=4          |
        0 | open 5                  |
        0 | receive r 1 3           |
        0 | receive s 1@5 3         |
        0 | place a 2x1@5 2x1@6     | rejected a out_of_stock 1
        0 | place b 2x1@5 1x1@6     | placed b 16 until=900000 2x1@0 1x1@0
        0 | place c 1x1 1x1         | rejected c buyer_limit 1
          | stock 1                 | 0/3
          | stock 1@5               | 3/0
        ",
    );
}

#[test]
fn pickup_needs_an_open_location_that_offers_it() {
    check(
        "
        0 | list 1                  |
        0 | list 2                  |
        0 | receive r 1@5 3         |
        0 | receive s 1 9           |
        0 | place a 1x1 pickup=5    | rejected a location_unavailable
        0 | open 5                  |
        0 | place b 1x1 pickup=5    | rejected b location_unavailable
        0 | open 5 pickup no-ship   |
        0 | place c 1x1 pickup=5    | placed c 1 until=900000 1x1@5
        0 | place d 1x1 1x2 pickup=5 | rejected d out_of_stock 2
        0 | place e 3x1 pickup=5    | rejected e out_of_stock 1
        0 | place f 1x1 pickup=0    | rejected f location_unavailable
        0 | close 5                 |
        0 | place g 1x1 pickup=5    | rejected g location_unavailable
        0 | pay p c 1               | settled c 1 1x1@5
          | count fulfilment/pickup | placed=1/1 settled=1/1/1 refunded=0/0
        ",
    );
}

#[test]
fn an_order_settled_on_placement_announces_no_hold() {
    check(
        "
        0 | list 1 limit=3          |
        0 | receive r 1 5           |
        0 | place a 2x1@10 now discount=1 | settled a 19 2x1@0
          | stock 1                 | 3/0
        0 | pay p a 19              | refused p settled
        0 | cancel a                |
        0 | place b 2x1             | rejected b buyer_limit 1
          | count all               | placed=1/19 settled=1/2/19 refunded=0/0 rejected=1 released=0 dead=0 duplicates=0
        ",
    );
}

#[test]
fn safety_stock_is_never_sold() {
    check(
        "
        0 | list 1 safety=2         |
        0 | receive r 1 3           |
        0 | place a 2x1             | rejected a out_of_stock 1
        0 | place b 1x1             | placed b 1 until=900000 1x1@0
        0 | list 1 safety=5         |
        0 | pay p b 1               | settled b 1 1x1@0
        0 | place c 1x1             | rejected c out_of_stock 1
        0 | list 1                  |
        0 | place d 2x1 now         | settled d 2 2x1@0
        ",
    );
}

// Allocation (4.5).

#[test]
fn distance_comes_before_priority_and_priority_before_id() {
    check(
        "
        0 | list 1                           |
        0 | receive r0 1 1                   |
        0 | open 11 region=330203 prio=5     |
        0 | open 12 region=330102 prio=9     |
        0 | open 14 region=330106 prio=50    |
        0 | open 13 region=330106 prio=50    |
        0 | open 15 region=330106 prio=1 no-ship |
        0 | open 16 region=440000 prio=0     |
        0 | receive r1 1@11 1                |
        0 | receive r2 1@12 1                |
        0 | receive r3 1@14 1                |
        0 | receive r4 1@13 1                |
        0 | receive r5 1@15 1                |
        0 | receive r6 1@16 1                |
        0 | place a 1x1 now region=330106    | settled a 1 1x1@13
        0 | place b 1x1 now region=330106    | settled b 1 1x1@14
        0 | place c 1x1 now region=330106    | settled c 1 1x1@12
        0 | place d 1x1 now region=330106    | settled d 1 1x1@11
        0 | place e 1x1 now region=330106    | settled e 1 1x1@0
        0 | place f 1x1 now region=330106    | settled f 1 1x1@16
        0 | place g 1x1 now region=330106    | rejected g out_of_stock 1
        ",
    );
}

#[test]
fn an_unknown_region_is_far_from_everything() {
    check(
        "
        0 | list 1                           |
        0 | open 1 prio=7                    |
        0 | open 2 prio=3 region=330106      |
        0 | receive r1 1@1 1                 |
        0 | receive r2 1@2 1                 |
        0 | place a 1x1 now                  | settled a 1 1x1@2
        0 | place b 1x1 now                  | settled b 1 1x1@1
        ",
    );
}

#[test]
fn one_location_for_the_whole_order_is_preferred_to_nearer_ones_for_its_parts() {
    check(
        "
        0 | list 1                              |
        0 | list 2                              |
        0 | list 3                              |
        0 | open 5 region=330106                |
        0 | open 6 region=330107                |
        0 | open 7 region=440000                |
        0 | receive a 1@5 9                     |
        0 | receive b 2@6 9                     |
        0 | receive c 1@7 9                     |
        0 | receive d 2@7 9                     |
        0 | place a 1x1 1x2 region=330106       | placed a 2 until=900000 1x1@7 1x2@7
        0 | place b 9x1 1x2 region=330106       | placed b 10 until=900000 9x1@5 1x2@6
        0 | place c 1x2 1x3 region=330106       | rejected c out_of_stock 3
        0 | receive e 3 1                       |
        0 | place d 1x1 1x2 1x3 region=330106   | placed d 3 until=900000 1x1@7 1x2@6 1x3@0
        ",
    );
}

#[test]
fn the_first_of_several_locations_that_serve_everything_is_taken() {
    check(
        "
        0 | list 1                              |
        0 | list 2                              |
        0 | open 5 prio=1                       |
        0 | open 6 prio=2                       |
        0 | open 7 prio=3                       |
        0 | open 8 prio=4                       |
        0 | receive a 1@5 1                     |
        0 | receive b 1@8 9                     |
        0 | receive c 1@7 9                     |
        0 | receive d 2@8 9                     |
        0 | receive e 2@7 9                     |
        0 | receive f 2@6 9                     |
        0 | place a 1x1 1x2                     | placed a 2 until=900000 1x1@7 1x2@7
        0 | close 7                             |
        0 | place b 1x1 1x2                     | placed b 2 until=900000 1x1@8 1x2@8
        ",
    );
}

#[test]
fn a_demand_is_never_split() {
    check(
        "
        0 | list 1              |
        0 | open 5              |
        0 | receive a 1 2       |
        0 | receive b 1@5 2     |
        0 | place a 3x1         | rejected a out_of_stock 1
        0 | place b 2x1         | placed b 2 until=900000 2x1@0
        0 | place c 2x1         | placed c 2 until=900000 2x1@5
        ",
    );
}

#[test]
fn many_locations_of_one_sku_are_all_considered() {
    let setup = (1..=100).map(|n| {
        format!(
            "0 | open {n} prio={} |\n0 | receive r{n} 1@{n} 1 |\n0 | receive s{n} 2@{n} 1 |\n",
            200 - n
        )
    });
    let singles =
        (51..=100).rev().map(|n| format!("0 | place o{n} 1x1 now | settled o{n} 1 1x1@{n}\n"));
    let doubles = (1..=50)
        .rev()
        .map(|n| format!("0 | place d{n} 1x1 1x2 now | settled d{n} 2 1x1@{n} 1x2@{n}\n"));
    let log = format!(
        "0 | list 1 |\n0 | list 2 |\n{}{}{}0 | place z 1x1 now | rejected z out_of_stock 1",
        setup.collect::<String>(),
        singles.collect::<String>(),
        doubles.collect::<String>(),
    );
    check(&log);
}

// Payments (4.6) and cancellations (4.7).

#[test]
fn a_payment_must_name_the_part_and_the_sum_that_the_hold_expects() {
    check(
        "
        0 | list 1                              |
        0 | receive r 1 9                       |
        0 | place a 1x1@10 discount=1           | placed a 9 until=900000 1x1@0
        1 | pay p1 a 9 deposit                  | refused p1 wrong_part
        1 | pay p2 a 9 balance                  | refused p2 wrong_part
        1 | pay p3 a 10                         | refused p3 amount_mismatch
        1 | pay p4 a 9                          | settled a 9 1x1@0
        2 | place b 1x1@10 presale=4,5000       | placed b 10 until=900002 1x1@0
        2 | pay q1 b 10                         | refused q1 wrong_part
        2 | pay q2 b 4 balance                  | refused q2 wrong_part
        2 | pay q3 b 5 deposit                  | refused q3 amount_mismatch
        2 | pay q4 b 4 deposit                  | extended b until=5000
        2 | pay q5 b 4 deposit                  | refused q5 wrong_part
        2 | pay q6 b 10                         | refused q6 wrong_part
        2 | pay q7 b 10 balance                 | refused q7 amount_mismatch
        2 | pay q8 b 6 balance                  | settled b 10 1x1@0
        3 | pay q9 b 6 balance                  | refused q9 settled
        3 | pay q10 c 6                         | refused q10 unknown_order
        3 | pay q11 a 6 m=7                     | refused q11 unknown_order
        ",
    );
}

#[test]
fn a_balance_may_be_due_sooner_than_the_deposit_was() {
    check(
        "
        0   | list 1                        |
        0   | receive r 1 9                 |
        0   | place a 1x1@10 presale=4,100  | placed a 10 until=900000 1x1@0
        0   | place b 1x1@10 presale=4,100  | placed b 10 until=900000 1x1@0
        200 | pay p a 4 deposit             | extended a until=100
        200 | pay q a 6 balance             | released a expired 1x1@0 forfeited=4; refused q expired
        200 | cancel b                      | released b cancelled 1x1@0
        ",
    );
}

#[test]
fn a_payment_learns_what_became_of_its_order() {
    check(
        "
        0 | list 1          |
        0 | receive r 1 2   |
        0 | place a 3x1     | rejected a out_of_stock 1
        0 | place b 1x1     | placed b 1 until=900000 1x1@0
        0 | cancel b        | released b cancelled 1x1@0
        0 | pay p a 3       | refused p rejected
        0 | pay q b 1       | refused q cancelled
        0 | cancel b        |
        0 | cancel z        |
        0 | cancel z m=8    |
          | count all       | placed=1/1 settled=0/0/0 refunded=0/0 rejected=1 released=1 dead=0 duplicates=0
        ",
    );
}

#[test]
fn other_rules_do_not_bring_back_what_was_forgotten() {
    use ledger::{Ledger, units::Offset};
    let rows = |log: &str| support::rows(log);
    let mut ledger = Ledger::new(short());
    let run = |ledger: &mut Ledger, log: &str| {
        let mut seen = Vec::new();
        for row in rows(log) {
            ledger.apply(Offset(0), row.time, row.command(), &mut |effect| {
                seen.push(support::notation::effect_text(&effect));
            });
        }
        seen.join("; ")
    };
    assert_eq!(
        run(&mut ledger, "10 | place a 1x1\n 50 | place b 1x1\n 111 | tick"),
        "rejected a unknown_sku 1; rejected b unknown_sku 1"
    );
    ledger.set_rules(Rules { order_window_ms: 10_000, ..short() });
    assert_eq!(
        run(&mut ledger, "111 | place a 1x1\n 120 | place b 1x1"),
        "rejected a unknown_sku 1"
    );
}
