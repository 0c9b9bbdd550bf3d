//! GMV counters of one input partition (contract section 6).
//!
//! Events come in, absolute totals stand ready: the sums are exact, and a counter exists from its
//! first event on. When counters are written is the pipeline's rhythm and not known here; what a
//! record must say at a given offset is.

use std::collections::BTreeMap;

use crate::command::{OrderRefunded, Origin};
use crate::day::Day;
use crate::orders::Hold;
use crate::record::{Headers, Moment, Output, Topic};

const MINUTE_MS: u64 = 60_000;

/// What a counter counts by, in alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Everything in the partition; the only one with the four further figures.
    All,
    /// `urban` or `rural`.
    Area,
    /// The SKU's category when the order was placed; amounts per line.
    Category,
    /// The order's channel.
    Channel,
    /// `ship` or `pickup`; no refunds.
    Fulfilment,
    /// The line's allocated location, `merchant:location`; settled figures only, per line.
    Location,
    /// The merchant id.
    Merchant,
    /// Minutes since 1970-01-01 UTC.
    Minute,
    /// The first two digits of the region.
    Province,
}

impl CounterKey {
    /// The counter and partition that a record key names, if it is one.
    pub fn parse(key_text: &str) -> Option<(u32, CounterKey)> {
        let mut parts = key_text.splitn(4, '/');
        let partition = parts.next()?.parse().ok()?;
        let day = Day::parse(parts.next()?)?;
        let name = parts.next()?;
        let dimension = Dimension::ALL.into_iter().find(|known| known.name() == name)?;
        let value = parts.next()?.to_owned();
        Some((partition, CounterKey { day, dimension, value }))
    }
}

impl Dimension {
    /// All dimensions.
    pub const ALL: [Dimension; 9] = [
        Dimension::All,
        Dimension::Area,
        Dimension::Category,
        Dimension::Channel,
        Dimension::Fulfilment,
        Dimension::Location,
        Dimension::Merchant,
        Dimension::Minute,
        Dimension::Province,
    ];

    /// The dimension's name in records and keys.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::All => "all",
            Dimension::Area => "area",
            Dimension::Category => "category",
            Dimension::Channel => "channel",
            Dimension::Fulfilment => "fulfilment",
            Dimension::Location => "location",
            Dimension::Merchant => "merchant",
            Dimension::Minute => "minute",
            Dimension::Province => "province",
        }
    }
}

/// Which counter, within its partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// The business day.
    pub day: Day,
    /// What it counts by.
    pub dimension: Dimension,
    /// Which value of the dimension it counts.
    pub value: String,
}

/// A counter's absolute totals. Money is in the currency's minor unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Orders held, or settled on placement.
    pub orders_placed: u128,
    /// Their amount.
    pub placed: u128,
    /// Orders settled.
    pub orders_settled: u128,
    /// Their units.
    pub units_settled: u128,
    /// Their amount.
    pub settled: u128,
    /// `order.refunded` written.
    pub orders_refunded: u128,
    /// Their amount.
    pub refunded: u128,
    /// `hold.rejected` written; dimension `all` only, like those below.
    pub orders_rejected: u128,
    /// `hold.released` written.
    pub orders_released: u128,
    /// Dead letters written.
    pub dead_letters: u128,
    /// Commands whose id was remembered.
    pub duplicates: u128,
}

/// A counter and the offset of the input record that changed it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The absolute totals.
    pub figures: Figures,
    /// The offset of the input record that changed them last; 0 where that was before the state from
    /// which the partition resumed.
    pub changed_at: u64,
}

/// All counters of one input partition.
#[derive(Clone, Debug)]
pub struct Counters {
    partition: u32,
    day_offset_ms: i64,
    /// The business day of the latest event: days never go back.
    latest_day: Day,
    counters: BTreeMap<CounterKey, Counter>,
}

impl Counters {
    pub(crate) fn new(partition: u32, day_offset_ms: i64) -> Counters {
        Counters { partition, day_offset_ms, latest_day: Day(i64::MIN), counters: BTreeMap::new() }
    }

    /// Takes in on which day events counted where the partition goes on.
    pub(crate) fn learn_day(&mut self, day: u64) {
        self.latest_day = self.latest_day.max(Day(day as i64));
    }

    /// Takes in what a counter stood at where the partition goes on.
    pub(crate) fn learn(&mut self, key: CounterKey, figures: Figures) {
        self.counters.insert(key, Counter { figures, changed_at: 0 });
    }

    /// Every counter, by day, then dimension name, then value.
    pub fn iter(&self) -> impl Iterator<Item = (&CounterKey, &Counter)> {
        self.counters.iter()
    }

    /// The counter of `key`, if it has had an event.
    pub fn get(&self, key: &CounterKey) -> Option<&Counter> {
        self.counters.get(key)
    }

    /// The record that says what the counter stands at, as of the input record at `offset`, with
    /// the partition's time `at` in milliseconds.
    pub fn record(&self, key: &CounterKey, offset: u64, at: u64) -> Option<Output> {
        let figures = &self.get(key)?.figures;
        let partition = self.partition;
        let CounterKey { day, value, .. } = key;
        let dimension = key.dimension.name();
        let figures = figures_text(key.dimension, figures);
        let text = format!(
            r#"{{"partition":{partition},"day":"{day}","dimension":"{dimension}","value":"{value}",{figures},"offset":{offset},"at":{at}}}"#
        );
        Some(Output {
            topic: Topic::Gmv,
            key: Some(self.key_text(key).into_bytes()),
            value: Some(text.into_bytes()),
            timestamp: at as i64,
            headers: Headers::new(),
        })
    }

    /// The record key of `key`: `partition/day/dimension/value`.
    pub fn key_text(&self, key: &CounterKey) -> String {
        format!("{}/{}/{}/{}", self.partition, key.day, key.dimension.name(), key.value)
    }

    // --- Events --------------------------------------------------------------------------------

    pub(crate) fn order_placed(&mut self, moment: Moment, merchant_id: u64, hold: &Hold) {
        let amount = u128::from(hold.order.amount());
        let place = |figures: &mut Figures, amount: u128| {
            figures.orders_placed += 1;
            figures.placed += amount;
        };
        for (dimension, value) in order_dimensions(moment, merchant_id, hold) {
            place(self.figures(moment, dimension, value), amount);
        }
        for (category, share) in shares_by(hold, |line| line.category.clone()) {
            place(self.figures(moment, Dimension::Category, category), share.amount);
        }
    }

    pub(crate) fn order_settled(&mut self, moment: Moment, merchant_id: u64, hold: &Hold) {
        let units = hold.order.lines.iter().map(|line| u128::from(line.qty)).sum();
        let whole = Share { units, amount: u128::from(hold.order.amount()) };
        let settle = |figures: &mut Figures, share: Share| {
            figures.orders_settled += 1;
            figures.units_settled += share.units;
            figures.settled += share.amount;
        };
        for (dimension, value) in order_dimensions(moment, merchant_id, hold) {
            settle(self.figures(moment, dimension, value), whole);
        }
        for (category, share) in shares_by(hold, |line| line.category.clone()) {
            settle(self.figures(moment, Dimension::Category, category), share);
        }
        for (location, share) in shares_by(hold, |line| format!("{merchant_id}:{}", line.location))
        {
            settle(self.figures(moment, Dimension::Location, location), share);
        }
    }

    pub(crate) fn order_refunded(
        &mut self,
        moment: Moment,
        merchant_id: u64,
        refund: &OrderRefunded,
    ) {
        for (dimension, value) in shared_dimensions(moment, merchant_id, &refund.origin) {
            let figures = self.figures(moment, dimension, value);
            figures.orders_refunded += 1;
            figures.refunded += u128::from(refund.amount);
        }
    }

    pub(crate) fn order_rejected(&mut self, moment: Moment) {
        self.all(moment).orders_rejected += 1;
    }

    pub(crate) fn order_released(&mut self, moment: Moment) {
        self.all(moment).orders_released += 1;
    }

    pub(crate) fn dead_letter(&mut self, moment: Moment) {
        self.all(moment).dead_letters += 1;
    }

    pub(crate) fn duplicate(&mut self, moment: Moment) {
        self.all(moment).duplicates += 1;
    }

    fn all(&mut self, moment: Moment) -> &mut Figures {
        self.figures(moment, Dimension::All, "all".to_owned())
    }

    /// The figures that an event at `moment` changes.
    fn figures(&mut self, moment: Moment, dimension: Dimension, value: String) -> &mut Figures {
        let day = Day::of(moment.at, self.day_offset_ms).max(self.latest_day);
        self.latest_day = day;
        let counter = self.counters.entry(CounterKey { day, dimension, value }).or_default();
        counter.changed_at = moment.offset;
        &mut counter.figures
    }
}

/// The dimensions in which an order counts as a whole.
fn order_dimensions(moment: Moment, merchant_id: u64, hold: &Hold) -> Vec<(Dimension, String)> {
    let fulfilment = if hold.order.pickup.is_some() { "pickup" } else { "ship" };
    let mut dimensions = shared_dimensions(moment, merchant_id, &hold.order.origin);
    dimensions.push((Dimension::Fulfilment, fulfilment.to_owned()));
    dimensions
}

/// The dimensions in which orders and refunds alike count.
fn shared_dimensions(
    moment: Moment,
    merchant_id: u64,
    origin: &Origin,
) -> Vec<(Dimension, String)> {
    vec![
        (Dimension::All, "all".to_owned()),
        (Dimension::Area, origin.area.to_owned()),
        (Dimension::Channel, origin.channel.to_owned()),
        (Dimension::Merchant, merchant_id.to_string()),
        (Dimension::Minute, (moment.at / MINUTE_MS).to_string()),
        (Dimension::Province, origin.region[..2].to_owned()),
    ]
}

/// What an order has under one value of a per-line dimension.
#[derive(Clone, Copy, Default)]
struct Share {
    units: u128,
    amount: u128,
}

/// One line of an order as the per-line dimensions see it.
struct LineShare<'a> {
    category: &'a String,
    location: u32,
}

/// An order's units and amounts, added up by a value of its lines.
fn shares_by(hold: &Hold, value: impl Fn(LineShare<'_>) -> String) -> BTreeMap<String, Share> {
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    for (line, amount) in hold.order.lines.iter().zip(line_amounts(hold)) {
        let category = &hold.categories[&line.sku];
        let location = hold.allocation[&line.sku];
        let share = shares.entry(value(LineShare { category, location })).or_default();
        share.units += u128::from(line.qty);
        share.amount += amount;
    }
    shares
}

/// Each line's gross less its share of the discount.
fn line_amounts(hold: &Hold) -> Vec<u128> {
    let gross = u128::from(hold.order.gross());
    let discount = u128::from(hold.order.discount);
    let discounted_up_to = |so_far: u128| (discount * so_far).checked_div(gross).unwrap_or(0);
    let mut so_far = 0;
    let mut amounts = Vec::new();
    for line in &hold.order.lines {
        let line_gross = u128::from(line.gross());
        let discount = discounted_up_to(so_far + line_gross) - discounted_up_to(so_far);
        amounts.push(line_gross - discount);
        so_far += line_gross;
    }
    amounts
}

fn figures_text(dimension: Dimension, figures: &Figures) -> String {
    let mut named = vec![
        ("orders_placed", figures.orders_placed),
        ("placed", figures.placed),
        ("orders_settled", figures.orders_settled),
        ("units_settled", figures.units_settled),
        ("settled", figures.settled),
        ("orders_refunded", figures.orders_refunded),
        ("refunded", figures.refunded),
    ];
    if dimension == Dimension::All {
        named.extend([
            ("orders_rejected", figures.orders_rejected),
            ("orders_released", figures.orders_released),
            ("dead_letters", figures.dead_letters),
            ("duplicates", figures.duplicates),
        ]);
    }
    let texts: Vec<String> =
        named.into_iter().map(|(name, figure)| format!(r#""{name}":{figure}"#)).collect();
    texts.join(",")
}
