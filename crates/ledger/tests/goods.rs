//! The rules for refunds, stock, catalogue and limits (contract, 4.8 to 4.11), one table for each way
//! to break them.

mod support;

use ledger::rules::Rules;
use support::{check, check_with};

// Refunds and stock (4.8, 4.9).

#[test]
fn a_refund_restocks_all_its_lines_or_none() {
    check(
        "
        0 | receive a 1 4294967290                  |
        0 | refund f1 o 5 2x1 restock               | refunded f1 5
          | stock 1                                 | 4294967292/0
        0 | refund f2 o 5 1x2 2x1 1x1@0 1x1 restock | dead stock_overflow
          | stock 2                                 | 0/0
        0 | refund f2 o 5 1x2                       |
        0 | refund f3 o 5 1x2 9x1                   | refunded f3 5
          | stock 1                                 | 4294967292/0
        0 | refund f4 o 0 restock                   | refunded f4 0
        0 | refund f5 o 5 1x2@3 3x1 1x2@3 restock   | refunded f5 5
          | stock 1                                 | 4294967295/0
          | stock 2@3                               | 2/0
          | count all                               | placed=0/0 settled=0/0/0 refunded=4/15 rejected=0 released=0 dead=1 duplicates=1
          | count fulfilment/ship                   | none
          | count area/urban                        | placed=0/0 settled=0/0/0 refunded=4/15
        ",
    );
}

#[test]
fn a_cell_neither_underflows_nor_overflows() {
    check(
        "
        0 | list 1                  |
        0 | receive a 1 -1          | dead stock_underflow
        0 | receive a 1 1           |
        0 | receive b 1 1000000000  |
        0 | receive c 1 1000000000  |
        0 | receive d 1 1000000000  |
        0 | receive e 1 1000000000  |
        0 | place o 295x1           | placed o 295 until=900000 295x1@0
        0 | receive f 1 294967296   | dead stock_overflow
        0 | receive g 1 294967295   |
          | stock 1                 | 4294967000/295
        0 | receive h 1 1           | dead stock_overflow
        0 | receive i 1 -4294967001 | dead stock_underflow
        0 | cancel o                | released o cancelled 295x1@0
        ",
    );
}

#[test]
fn a_move_checks_its_source_before_its_target_and_does_both_or_nothing() {
    check(
        "
        0 | receive a 1@5 1000000000   |
        0 | receive b 1@5 1000000000   |
        0 | receive c 1@5 1000000000   |
        0 | receive d 1@5 1000000000   |
        0 | receive e 1@5 294967290    |
        0 | receive f 1@6 10           |
        0 | move g 1@6 11 to=5         | dead stock_underflow
        0 | move h 1@6 6 to=5          | dead stock_overflow
        0 | move i 1@6 5 to=5          |
          | stock 1@5                  | 4294967295/0
          | stock 1@6                  | 5/0
        0 | move j 2@6 1 to=5          | dead stock_underflow
        0 | move k 1@9 1 to=6          | dead stock_underflow
        ",
    );
}

#[test]
fn stock_may_come_before_its_listing_and_its_location() {
    check(
        "
        0 | receive a 1@5 2     |
        0 | place a 1x1         | rejected a unknown_sku 1
        0 | list 1              |
        0 | place b 1x1         | rejected b out_of_stock 1
        0 | open 5              |
        0 | place c 1x1         | placed c 1 until=900000 1x1@5
        0 | close 5             |
        0 | withdraw 1          |
        0 | pay p c 1           | settled c 1 1x1@5
        0 | place d 1x1         | rejected d unknown_sku 1
          | stock 1@5           | 1/0
        ",
    );
}

// Catalogue (4.10) and limits (4.11).

#[test]
fn an_order_is_counted_under_the_category_it_was_placed_under() {
    check(
        "
        0 | list 1 cat=a        |
        0 | receive r 1 5       |
        0 | place a 1x1@7       | placed a 7 until=900000 1x1@0
        0 | list 1 cat=b        |
        0 | pay p a 7           | settled a 7 1x1@0
          | count category/a    | placed=1/7 settled=1/1/7 refunded=0/0
          | count category/b    | none
        ",
    );
}

#[test]
fn the_category_after_the_last_allowed_is_refused() {
    let listings = (1..4096).map(|n| format!("0 | list {n} cat=c{n} m={n} |\n"));
    let log = format!(
        "{}0 | list 1             |
        0 | list 9 cat=one-more  | dead too_many
        0 | place a 1x9          | rejected a unknown_sku 9
        0 | withdraw 1           |
        0 | list 9 cat=one-more  | dead too_many
        0 | list 1 cat=two-more  | dead too_many
        0 | place b 1x1          | rejected b unknown_sku 1
        0 | list 9 cat=c77       |
        0 | place c 1x9          | rejected c out_of_stock 9",
        listings.collect::<String>(),
    );
    check_straight(&log);
}

#[test]
fn the_open_location_after_the_last_allowed_is_refused() {
    let openings = (1..=4096).map(|n| format!("0 | open {n} |\n"));
    let log = format!(
        "{}0 | open 5000         | dead too_many
        0 | open 4096 pickup    |
        0 | open 5000 m=2       |
        0 | close 5000          |
        0 | close 7             |
        0 | close 7             |
        0 | open 5000           |
        0 | open 7              | dead too_many",
        openings.collect::<String>(),
    );
    check_straight(&log);
}

fn check_straight(log: &str) {
    support::check_straight(Rules::default(), log);
}

#[test]
fn a_buyer_gets_no_more_than_the_limit() {
    check(
        "
        0 | list 1 limit=3           |
        0 | receive r 1 99           |
        0 | place a 2x1              | placed a 2 until=900000 2x1@0
        0 | place b 2x1              | rejected b buyer_limit 1
        0 | place c 2x1 buyer=10     | placed c 2 until=900000 2x1@0
        0 | pay p a 2                | settled a 2 2x1@0
        0 | refund f a 2 2x1 restock | refunded f 2
        0 | place d 2x1              | rejected d buyer_limit 1
        0 | place e 1x1              | placed e 1 until=900000 1x1@0
        0 | cancel e                 | released e cancelled 1x1@0
        0 | place f 1x1 1x1          | rejected f buyer_limit 1
        0 | list 1 limit=4           |
        0 | place g 1x1 1x1          | placed g 2 until=900000 1x1@0 1x1@0
        0 | list 1 limit=1           |
        0 | cancel g                 | released g cancelled 1x1@0 1x1@0
        0 | place h 1x1              | rejected h buyer_limit 1
        ",
    );
}

#[test]
fn dropped_counts_stay_dropped() {
    check(
        "
        0 | list 1 limit=2           |
        0 | receive r 1 99           |
        0 | place a 2x1 now          | settled a 2 2x1@0
        0 | withdraw 1               |
        0 | list 1 limit=2           |
        0 | place b 2x1              | placed b 2 until=900000 2x1@0
        0 | list 1                   |
        0 | list 1 limit=2           |
        0 | place c 1x1              | placed c 1 until=900000 1x1@0
        0 | cancel b                 | released b cancelled 2x1@0
        0 | place d 2x1              | rejected d buyer_limit 1
        0 | place e 1x1              | placed e 1 until=900000 1x1@0
        ",
    );
}

#[test]
fn a_hold_from_before_the_limit_is_in_no_count() {
    check(
        "
        0 | list 1                   |
        0 | receive r 1 99           |
        0 | place a 3x1              | placed a 3 until=900000 3x1@0
        0 | list 1 limit=2           |
        0 | place b 2x1              | placed b 2 until=900000 2x1@0
        0 | cancel a                 | released a cancelled 3x1@0
        0 | place c 1x1              | rejected c buyer_limit 1
        0 | cancel b                 | released b cancelled 2x1@0
        0 | place d 2x1              | placed d 2 until=900000 2x1@0
        ",
    );
}

#[test]
fn an_unswept_hold_stays_in_the_buyers_count() {
    check_with(
        Rules { hold_ttl_ms: 50, ..Rules::default() },
        "
        0   | list 1 limit=1            |
        0   | receive r 1 9             |
        100 | place a 1x1 pay_by=90     | placed a 1 until=90 1x1@0
        100 | place b 1x1               | released a expired 1x1@0; placed b 1 until=150 1x1@0
        150 | place c 1x1               | released b expired 1x1@0; placed c 1 until=200 1x1@0
        ",
    );
}
