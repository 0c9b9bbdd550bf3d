//! A ledger's state told to the plain model, so that it can go on from a snapshot.
//!
//! Translation only, between types that share nothing on purpose; what the state consists of is said
//! by `ledger::export`, and what the model makes of it by `model::Fact`. The tests of the workspace
//! compile this file too and hold it to its law: a model that was handed over goes on exactly like
//! one that has seen every record.

use ledger::Ledger;
use ledger::command::{LocationOpened, SkuListed};
use ledger::counters::{Answers, Counter, Dimension, Figures};
use ledger::export::{self, Ending, IdSpace, OpenHold, OpenLine};

/// The plain model of the partition, standing where the ledger stands.
pub(crate) fn model_of(
    ledger: &Ledger,
    rules: model::Rules,
    partition: u32,
) -> model::PlainPartition {
    let mut resumed = model::PlainPartition::resume(rules, partition, ledger.time().0);
    ledger.export(|fact| resumed.learn(fact_of(&fact)));
    resumed
}

/// A fact as the model knows it.
pub(crate) fn fact_of(fact: &export::Fact<'_>) -> model::Fact {
    match *fact {
        export::Fact::Day(day) => model::Fact::Day(day),
        export::Fact::Category(category) => model::Fact::Category(category.as_str().to_owned()),
        export::Fact::Listed(listed) => listed_of(&listed),
        export::Fact::BuyerCount { merchant, sku, buyer, units } => model::Fact::BuyerCount {
            merchant_id: merchant.0,
            sku: sku.0,
            buyer_id: buyer.0,
            units: units.0.into(),
        },
        export::Fact::Opened(opened) => opened_of(&opened),
        export::Fact::Stock { merchant, sku, location, on_hand, held } => model::Fact::Stock {
            merchant_id: merchant.0,
            sku: sku.0,
            location: location.0,
            on_hand: on_hand.0,
            held: held.0,
        },
        export::Fact::Held(hold) => model::Fact::Held(hold_of(&hold)),
        export::Fact::Ended { order, ending, latest } => model::Fact::Ended {
            merchant_id: order.merchant.0,
            order_id: order.order_id.as_str().to_owned(),
            ending: match ending {
                Ending::Rejected => model::Ending::Rejected,
                Ending::Settled => model::Ending::Settled,
                Ending::Cancelled => model::Ending::Cancelled,
                Ending::Expired => model::Ending::Expired,
            },
            latest: latest.0,
        },
        export::Fact::Seen { space, merchant, id } => model::Fact::Seen {
            space: match space {
                IdSpace::Payments => model::IdSpace::Payments,
                IdSpace::Refunds => model::IdSpace::Refunds,
                IdSpace::Receipts => model::IdSpace::Receipts,
            },
            merchant_id: merchant.0,
            id: id.id.as_str().to_owned(),
            latest: id.latest.0,
        },
        export::Fact::Counter(counter) => counter_of(&counter),
    }
}

fn listed_of(listed: &SkuListed<'_>) -> model::Fact {
    model::Fact::Listed {
        merchant_id: listed.merchant.0,
        sku: listed.sku.0,
        category: listed.category.as_str().to_owned(),
        per_buyer_limit: listed.per_buyer_limit.0.into(),
        safety_stock: listed.safety_stock.0.into(),
    }
}

fn opened_of(opened: &LocationOpened) -> model::Fact {
    model::Fact::Opened {
        merchant_id: opened.merchant.0,
        location: opened.location.0,
        region: format!("{:06}", opened.region.code()),
        priority: opened.priority,
        ships: opened.ships,
        pickup: opened.pickup,
    }
}

fn hold_of(hold: &OpenHold<'_>) -> model::OpenHold {
    model::OpenHold {
        merchant_id: hold.order.merchant.0,
        order_id: hold.order.order_id.as_str().to_owned(),
        buyer_id: hold.buyer.0,
        placed_at: hold.placed_at.0,
        expires_at: hold.expires_at.0,
        placement: hold.placement,
        discount: hold.discount.0,
        channel: hold.channel.name().to_owned(),
        region: format!("{:06}", hold.region.code()),
        rural: hold.rural,
        pickup: hold.pickup,
        presale: hold.presale.map(|presale| model::OpenPresale {
            deposit: presale.deposit.0,
            balance_due: presale.balance_due.0,
            paid_by: hold.deposit_paid_by.map(|paid| (paid.id.as_str().to_owned(), paid.latest.0)),
        }),
        lines: hold.lines.iter().map(line_of).collect(),
    }
}

fn line_of(line: &OpenLine<'_>) -> model::OpenLine {
    model::OpenLine {
        sku: line.sku.0,
        qty: line.units.0.into(),
        unit_price: line.unit_price.0,
        location: line.location.0,
        category: line.category.as_str().to_owned(),
        in_buyer_count: line.in_buyer_count,
    }
}

fn counter_of(counter: &Counter<'_>) -> model::Fact {
    let (dimension, value, answers) = dimension_of(&counter.dimension);
    // A day is counted from 1970 in both, and times end long before it does not fit.
    let day = model::Day(counter.day.cast_signed());
    let key = model::CounterKey { day, dimension, value };
    model::Fact::Counter { key, figures: figures_of(&counter.figures, answers) }
}

/// Dimension and value as in a record's key, and the figures that only the dimension `all` has.
fn dimension_of(dimension: &Dimension<'_>) -> (model::Dimension, String, Answers) {
    let named = |dimension, value: String| (dimension, value, Answers::default());
    let one_of = |is_second, names: [&str; 2]| names[usize::from(is_second)].to_owned();
    match *dimension {
        Dimension::All(answers) => (model::Dimension::All, "all".to_owned(), answers),
        Dimension::Channel(channel) => named(model::Dimension::Channel, channel.name().to_owned()),
        Dimension::Area { rural } => {
            named(model::Dimension::Area, one_of(rural, ["urban", "rural"]))
        }
        Dimension::Fulfilment { pickup } => {
            named(model::Dimension::Fulfilment, one_of(pickup, ["ship", "pickup"]))
        }
        Dimension::Province(province) => {
            named(model::Dimension::Province, format!("{province:02}"))
        }
        Dimension::Category(category) => {
            named(model::Dimension::Category, category.as_str().to_owned())
        }
        Dimension::Merchant(merchant) => named(model::Dimension::Merchant, merchant.0.to_string()),
        Dimension::Location(merchant, location) => {
            named(model::Dimension::Location, format!("{}:{}", merchant.0, location.0))
        }
        Dimension::Minute(minute) => named(model::Dimension::Minute, minute.to_string()),
    }
}

fn figures_of(figures: &Figures, answers: Answers) -> model::Figures {
    model::Figures {
        orders_placed: figures.orders_placed.into(),
        placed: figures.placed,
        orders_settled: figures.orders_settled.into(),
        units_settled: figures.units_settled.into(),
        settled: figures.settled,
        orders_refunded: figures.orders_refunded.into(),
        refunded: figures.refunded,
        orders_rejected: answers.orders_rejected.into(),
        orders_released: answers.orders_released.into(),
        dead_letters: answers.dead_letters.into(),
        duplicates: answers.duplicates.into(),
    }
}
