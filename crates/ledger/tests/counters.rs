//! The GMV counters of the contract's section 6, one table for each way to miscount.

mod support;

use ledger::counters::Dimension;
use ledger::rules::Rules;
use ledger::units::Offset;
use ledger::{Cadence, Ledger};
use support::book::Book;
use support::{check, check_with};

#[test]
fn free_goods_make_a_counter() {
    check(
        "
        0 | list 1 cat=gift              |
        0 | receive r 1 5                |
        0 | place a 1x1@0 now            | settled a 0 1x1@0
          | count all                    | placed=1/0 settled=1/1/0 refunded=0/0 rejected=0 released=0 dead=0 duplicates=0
          | count category/gift          | placed=1/0 settled=1/1/0 refunded=0/0
          | count location/1:0           | placed=0/0 settled=1/1/0 refunded=0/0
          | count minute/0               | placed=1/0 settled=1/1/0 refunded=0/0
          | count channel/app            | none
        ",
    );
}

#[test]
fn a_dead_letter_or_a_duplicate_alone_makes_the_counter_of_all() {
    check(
        "
          | count all         | none
        0 | dead misrouted    | dead misrouted
          | count all         | placed=0/0 settled=0/0/0 refunded=0/0 rejected=0 released=0 dead=1 duplicates=0
          | count minute/0    | none
        ",
    );
}

#[test]
fn the_discount_is_shared_out_to_the_last_unit() {
    check(
        "
        0 | list 1 cat=a                        |
        0 | list 2 cat=b                        |
        0 | list 3 cat=c                        |
        0 | receive r1 1 9                      |
        0 | receive r2 2 9                      |
        0 | receive r3 3 9                      |
        0 | place a 1x1@1 1x2@1 1x3@1 discount=2 now | settled a 1 1x1@0 1x2@0 1x3@0
          | count category/a                    | placed=1/1 settled=1/1/1 refunded=0/0
          | count category/b                    | placed=1/0 settled=1/1/0 refunded=0/0
          | count category/c                    | placed=1/0 settled=1/1/0 refunded=0/0
          | count location/1:0                  | placed=0/0 settled=1/3/1 refunded=0/0
        0 | place b 1x1@0 1x2@0 now             | settled b 0 1x1@0 1x2@0
          | count category/a                    | placed=2/1 settled=2/2/1 refunded=0/0
        ",
    );
}

#[test]
fn shares_of_huge_sums_are_exact() {
    check(
        "
        0 | list 1 cat=a  |
        0 | list 2 cat=b  |
        0 | receive r1 1 9  |
        0 | receive r2 2 9  |
        0 | place a 1x1@333333333333333 1x2@666666666666667 discount=999999999999999 now | settled a 1 1x1@0 1x2@0
          | count category/a | placed=1/1 settled=1/1/1 refunded=0/0
          | count category/b | placed=1/0 settled=1/1/0 refunded=0/0
        ",
    );
}

#[test]
fn an_order_counts_once_for_each_category_and_location_it_touches() {
    check(
        "
        0 | list 1 cat=a                    |
        0 | list 2 cat=a                    |
        0 | list 3 cat=b                    |
        0 | open 5                          |
        0 | receive r1 1 9                  |
        0 | receive r2 2@5 9                |
        0 | receive r3 3 9                  |
        0 | place a 1x1@10 1x2@20 1x3@30 2x1@10 | placed a 80 until=900000 1x1@0 1x2@5 1x3@0 2x1@0
          | count category/a                | placed=1/50 settled=0/0/0 refunded=0/0
          | count location/1:0              | none
        0 | pay p a 80                      | settled a 80 1x1@0 1x2@5 1x3@0 2x1@0
          | count category/a                | placed=1/50 settled=1/4/50 refunded=0/0
          | count category/b                | placed=1/30 settled=1/1/30 refunded=0/0
          | count location/1:0              | placed=0/0 settled=1/4/60 refunded=0/0
          | count location/1:5              | placed=0/0 settled=1/1/20 refunded=0/0
          | count all                       | placed=1/80 settled=1/5/80 refunded=0/0 rejected=0 released=0 dead=0 duplicates=0
        ",
    );
}

#[test]
fn facets_are_those_of_the_order_and_of_the_refund() {
    check(
        "
        0 | list 1                                        |
        0 | receive r 1 9                                 |
        0 | place a 1x1@5 region=330106 rural channel=app | placed a 5 until=900000 1x1@0
        0 | pay p a 5                                     | settled a 5 1x1@0
        0 | refund f a 3 region=440000 channel=kiosk      | refunded f 3
          | count province/33                             | placed=1/5 settled=1/1/5 refunded=0/0
          | count province/44                             | placed=0/0 settled=0/0/0 refunded=1/3
          | count area/rural                              | placed=1/5 settled=1/1/5 refunded=0/0
          | count area/urban                              | placed=0/0 settled=0/0/0 refunded=1/3
          | count channel/app                             | placed=1/5 settled=1/1/5 refunded=0/0
          | count channel/other                           | placed=0/0 settled=0/0/0 refunded=1/3
          | count fulfilment/ship                         | placed=1/5 settled=1/1/5 refunded=0/0
          | count merchant/1                              | placed=1/5 settled=1/1/5 refunded=1/3
          | count category/none                           | placed=1/5 settled=1/1/5 refunded=0/0
        ",
    );
}

#[test]
fn each_event_counts_on_the_day_and_minute_of_its_own_time() {
    // The day offset is 8 h, so days begin at 57,600,000.
    check(
        "
        57599000 | list 1                 |
        57599000 | receive r 1 9          |
        57599999 | place a 1x1@5          | placed a 5 until=58499999 1x1@0
                 | count minute/959       | placed=1/5 settled=0/0/0 refunded=0/0
        57600000 | pay p a 5              | settled a 5 1x1@0
                 | count all              | placed=0/0 settled=1/1/5 refunded=0/0 rejected=0 released=0 dead=0 duplicates=0
                 | count merchant/1       | placed=0/0 settled=1/1/5 refunded=0/0
                 | count minute/960       | placed=0/0 settled=1/1/5 refunded=0/0
        57660000 | place b 1x1@5 now      | settled b 5 1x1@0
                 | count minute/960       | placed=0/0 settled=1/1/5 refunded=0/0
                 | count minute/961       | placed=1/5 settled=1/1/5 refunded=0/0
                 | count all              | placed=1/5 settled=2/2/10 refunded=0/0 rejected=0 released=0 dead=0 duplicates=0
        ",
    );
}

#[test]
fn unwritten_counters_of_past_days_and_minutes_are_not_lost() {
    let day = 86_400_000u64;
    let rows = (1..5u64).map(|n| {
        let at = n * day;
        format!(
            "{at} | place a{n} 1x1@5 now region=330106 | settled a{n} 5 1x1@0
             {at} | place b{n} 1x2@5 now m=2 | settled b{n} 5 1x2@0
             {} | place c{n} 1x1@5 now | settled c{n} 5 1x1@0
             {at} | dead invalid | dead invalid\n",
            at + 60_000
        )
    });
    let log = format!(
        "0 | list 1 cat=a |\n0 | list 2 cat=b m=2 |\n0 | receive r 1 99 |\n0 | receive r 2 99 m=2 |\n{}",
        rows.collect::<String>()
    );
    let book = support::check_straight(Rules::default(), &log);
    for n in 1..5u64 {
        let figures = |dimension, value: &str| {
            let (figures, further) = &book.counters()[&(n, dimension, value.to_owned())];
            (figures.orders_settled, figures.settled, further.clone())
        };
        let answers = " rejected=0 released=0 dead=1 duplicates=0".to_owned();
        assert_eq!(figures("all", "all"), (3, 15, answers));
        assert_eq!(figures("merchant", "1"), (2, 10, String::new()));
        assert_eq!(figures("location", "2:0"), (1, 5, String::new()));
        assert_eq!(figures("category", "b"), (1, 5, String::new()));
        assert_eq!(figures("province", "33"), (1, 5, String::new()));
        assert_eq!(figures("minute", &(n * 1440).to_string()), (2, 10, String::new()));
        assert_eq!(figures("minute", &(n * 1440 + 1).to_string()), (1, 5, String::new()));
    }
}

#[test]
fn a_minute_across_midnight_belongs_to_both_days() {
    let rules = Rules { day_offset_ms: 86_400_000 - 30_000, ..Rules::default() };
    let log = "
        0     | list 1              |
        0     | receive r 1 9       |
        29999 | place a 1x1@5 now   | settled a 5 1x1@0
        30000 | place b 1x1@5 now   | settled b 5 1x1@0
              | count minute/0      | placed=1/5 settled=1/1/5 refunded=0/0
    ";
    check_with(rules, log);
    let book = support::check_straight(rules, log);
    assert_eq!(book.counters().keys().filter(|name| name.1 == "minute").count(), 2);
}

#[test]
fn a_day_that_was_counted_is_not_counted_again_from_zero_when_the_day_offset_is_lowered() {
    let mut ledger = Ledger::new(Rules::default());
    let mut book = Book::default();
    let mut run = |ledger: &mut Ledger, log: &str| {
        support::rows(log).iter().for_each(|row| book.apply(ledger, 0, row, &mut |_| ()));
        book.sweep(ledger, 1);
    };
    // With 8 h day 1 begins at 57,600,000, without at 86,400,000.
    run(&mut ledger, "0 | list 1\n 0 | receive r 1 9\n 57000000 | place a 1x1@5 now");
    run(&mut ledger, "57600000 | place b 1x1@5 now");
    ledger.set_rules(Rules { day_offset_ms: 0, ..Rules::default() });
    run(&mut ledger, "57700000 | place c 1x1@5 now");
    run(&mut ledger, "86400000 | place d 1x1@5 now");
    book.close(&mut ledger);
    let settled = |day, dimension, value: &str| {
        book.counters()[&(day, dimension, value.to_owned())].0.orders_settled
    };
    for (dimension, value) in
        [("all", "all"), ("merchant", "1"), ("category", "none"), ("location", "1:0")]
    {
        let days = [0, 1].map(|day| settled(day, dimension, value));
        assert_eq!(days, [1, 3], "{dimension}: the last record of each day has all its orders");
    }
}

#[test]
fn a_counter_that_changes_during_a_sweep_is_written_once_in_it_and_again_in_the_next() {
    let mut ledger = Ledger::new(Rules::default());
    let run = |ledger: &mut Ledger, row: String| {
        let row = support::notation::Row::parse(&row).expect("a row");
        ledger.apply(Offset(0), row.time, row.command(), &mut |_| ());
    };
    let sweep = |ledger: &mut Ledger, part| {
        let mut merchants = Vec::new();
        ledger.write_counters(Cadence::Slow, part, 3, &mut |counter| {
            if let Dimension::Merchant(merchant) = counter.dimension {
                merchants.push((merchant.0, counter.figures.orders_settled));
            }
        });
        merchants
    };
    for merchant in 1..=6 {
        run(&mut ledger, format!("0 | list 1 m={merchant} |"));
        run(&mut ledger, format!("0 | receive r{merchant} 1 9 m={merchant} |"));
        run(&mut ledger, format!("0 | place a{merchant} 1x1@5 now m={merchant} |"));
    }
    let mut first = sweep(&mut ledger, 0);
    let early: Vec<u64> = first.iter().map(|(merchant, _)| *merchant).collect();
    for merchant in 1..=6 {
        run(&mut ledger, format!("0 | place b{merchant} 1x1@5 now m={merchant} |"));
    }
    first.extend([1, 2].into_iter().flat_map(|part| sweep(&mut ledger, part)));
    first.sort_unstable();
    let orders = |merchant| if early.contains(&merchant) { 1 } else { 2 };
    assert_eq!(first, (1..=6).map(|merchant| (merchant, orders(merchant))).collect::<Vec<_>>());
    let mut second: Vec<(u64, u64)> = (0..3).flat_map(|part| sweep(&mut ledger, part)).collect();
    second.sort_unstable();
    assert!(!early.is_empty() && early.len() < 6, "the sweep takes a part at a time");
    assert_eq!(second, early.iter().map(|merchant| (*merchant, 2)).collect::<Vec<_>>());
}
