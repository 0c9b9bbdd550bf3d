//! `/metrics`: the day's figures and how the board is, for Prometheus; `/metrics/merchant/{id}`: one
//! merchant's, for who watches it.
//!
//! Labels have few values: a merchant is a label only on a page of its own, which is scraped for those
//! that the operator names. Invariant: what is told here is what the API tells at the same moment.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::api::Refused;
use crate::counters::AllCounters;
use crate::exposition::{CONTENT_TYPE, Exposition, Family};
use crate::figures::{DayFigures, Item};
use crate::health::{self, Health};
use crate::keeper::Question;
use crate::record::Split;
use crate::server::Shared;
use crate::stream::STREAMS_MAX;

/// How the board is.
const STATE: [Family; 9] = [
    Family::gauge(
        "floodgate_board_caught_up",
        &[],
        "1 once everything that was there has been read.",
    ),
    Family::gauge("floodgate_board_trouble", &[], "1 while the counters cannot be read."),
    Family::gauge(
        "floodgate_board_newest_figure_timestamp_seconds",
        &[],
        "Log time of the newest counter.",
    ),
    Family::gauge(
        "floodgate_board_figures_age_seconds",
        &[],
        "Age of the newest counter, as the page shows it.",
    ),
    Family::gauge("floodgate_board_stale", &[], "1 while the page warns that its figures are old."),
    Family::counter(
        "floodgate_board_records_total",
        &[],
        "Records of the gmv topic that were read.",
    ),
    Family::counter(
        "floodgate_board_unreadable_records_total",
        &[],
        "Records of the gmv topic that are no counters.",
    ),
    Family::counter(
        "floodgate_board_passed_over_records_total",
        &[],
        "Records of merchants, locations, other values or days beyond what the board keeps.",
    ),
    Family::gauge("floodgate_board_streams", &[], "Pages that are told of new figures just now."),
];

/// What the page's state says, and of which partitions.
const STATE_NOW: Family = Family::gauge(
    "floodgate_board_state",
    &["state"],
    "1 for how the board is, 0 for everything else that it can be.",
);
const STANDSTILL: Family = Family::gauge(
    "floodgate_board_standstill_seconds",
    &["partition", "why"],
    "For how long a partition of the gmv topic has stood still, while it does.",
);

/// The business day's figures.
const DAY: [Family; 14] = [
    Family::gauge("floodgate_board_orders_placed", &[], "Orders placed this business day."),
    Family::gauge("floodgate_board_placed_fen", &[], "Their amount."),
    Family::gauge("floodgate_board_orders_settled", &[], "Orders settled this business day."),
    Family::gauge("floodgate_board_units_settled", &[], "Units in them."),
    Family::gauge("floodgate_board_settled_fen", &[], "Their amount: GMV."),
    Family::gauge("floodgate_board_orders_refunded", &[], "Refunds of this business day."),
    Family::gauge("floodgate_board_refunded_fen", &[], "Their amount."),
    Family::gauge("floodgate_board_net_fen", &[], "Settled less refunded: net GMV."),
    Family::gauge("floodgate_board_orders_rejected", &[], "Orders that were not accepted."),
    Family::gauge("floodgate_board_orders_released", &[], "Holds that were cancelled or expired."),
    Family::gauge("floodgate_board_dead_letters", &[], "Records that could not be accepted."),
    Family::gauge("floodgate_board_duplicates", &[], "Commands that came again and had no effect."),
    Family::gauge(
        "floodgate_board_orders_per_second",
        &[],
        "Orders placed a second, mean of the last three full seconds.",
    ),
    Family::gauge(
        "floodgate_board_peak_orders_per_second",
        &[],
        "The day's highest second so far.",
    ),
];

/// The day's settled amounts by the dimensions that have few values.
const SPLITS: [(Split, Family); 4] = [
    (
        Split::Channel,
        Family::gauge("floodgate_board_channel_settled_fen", &["channel"], "GMV of each channel."),
    ),
    (
        Split::Area,
        Family::gauge("floodgate_board_area_settled_fen", &["area"], "GMV of town and country."),
    ),
    (
        Split::Fulfilment,
        Family::gauge(
            "floodgate_board_fulfilment_settled_fen",
            &["fulfilment"],
            "GMV that is shipped, and that is picked up.",
        ),
    ),
    (
        Split::Province,
        Family::gauge(
            "floodgate_board_province_settled_fen",
            &["province"],
            "GMV of each province.",
        ),
    ),
];

/// One merchant's business day.
const MERCHANT: [Family; 6] = [
    Family::gauge("floodgate_merchant_orders_placed", &["merchant"], "Orders placed."),
    Family::gauge("floodgate_merchant_placed_fen", &["merchant"], "Their amount."),
    Family::gauge("floodgate_merchant_orders_settled", &["merchant"], "Orders settled."),
    Family::gauge("floodgate_merchant_units_settled", &["merchant"], "Units in them."),
    Family::gauge("floodgate_merchant_settled_fen", &["merchant"], "Their amount."),
    Family::gauge("floodgate_merchant_refunded_fen", &["merchant"], "Amount of its refunds."),
];

const LOCATION: Family = Family::gauge(
    "floodgate_merchant_location_settled_fen",
    &["merchant", "location"],
    "Settled amount of each of the merchant's stores and warehouses.",
);

/// Everything that the two pages can tell, for documents and their checks.
pub fn families() -> Vec<Family> {
    let splits = SPLITS.iter().map(|(_, family)| *family);
    let state = STATE.into_iter().chain([STATE_NOW, STANDSTILL]);
    let mut all: Vec<Family> = state.chain(DAY).chain(splits).collect();
    all.extend(MERCHANT);
    all.push(LOCATION);
    all
}

/// The board's page.
pub(crate) async fn board(State(shared): State<Shared>) -> Response {
    let figures = shared.kept.figures.borrow().clone();
    let health = Health::new(&figures, &shared.settings);
    let mut page = Exposition::default();
    let reading = &figures.reading;
    let streams = STREAMS_MAX - shared.streams.available_permits();
    let state = [
        Some(truth(reading.caught_up)),
        Some(truth(reading.trouble.is_some())),
        figures.newest_at_ms.map(seconds),
        health.age_ms.map(seconds),
        Some(truth(health.stale)),
        Some(reading.records as f64),
        Some(reading.unreadable as f64),
        Some(reading.passed_over as f64),
        Some(streams as f64),
    ];
    STATE.iter().zip(state).for_each(|(family, value)| page.add_one(family, value));
    add_state(&mut page, &health);
    // Before everything is read a figure would be wrong, and a missing one is none.
    if reading.caught_up {
        let all = figures.all.get(&health.today).copied().unwrap_or_default();
        add_day(&mut page, &all, figures.days.get(&health.today).map(|day| &**day));
    }
    page.add_process();
    answer(page)
}

fn add_state(page: &mut Exposition, health: &Health) {
    let states = health::State::ALL.map(|state| ([state.name()], truth(state == health.state)));
    page.add(&STATE_NOW, states.iter().map(|(labels, value)| (labels.as_slice(), *value)));
    let still = health.standstill.iter();
    let numbers: Vec<String> = still.clone().map(|still| still.partition.to_string()).collect();
    let labels: Vec<[&str; 2]> =
        still.clone().zip(&numbers).map(|(still, number)| [number, still.why.name()]).collect();
    let samples = labels.iter().zip(still);
    page.add(
        &STANDSTILL,
        samples.map(|(labels, still)| (labels.as_slice(), seconds(still.for_ms))),
    );
}

fn add_day(page: &mut Exposition, all: &AllCounters, day: Option<&DayFigures>) {
    let AllCounters { counters, answers } = all;
    let peak = |day: &DayFigures| day.pace.peak.map(|peak| peak.orders_per_second);
    let values = [
        counters.orders_placed as f64,
        counters.placed as f64,
        counters.orders_settled as f64,
        counters.units_settled as f64,
        counters.settled as f64,
        counters.orders_refunded as f64,
        counters.refunded as f64,
        counters.net() as f64,
        answers.orders_rejected as f64,
        answers.orders_released as f64,
        answers.dead_letters as f64,
        answers.duplicates as f64,
        day.map_or(0, |day| day.pace.orders_per_second) as f64,
        day.and_then(peak).unwrap_or(0) as f64,
    ];
    DAY.iter().zip(values).for_each(|(family, value)| page.add_one(family, value));
    for (split, family) in &SPLITS {
        let items: &[Item] = day.map_or(&[], |day| day.split(*split));
        let values: Vec<[&str; 1]> = items.iter().map(|item| [item.value.as_str()]).collect();
        let samples = values.iter().zip(items);
        page.add(
            family,
            samples.map(|(value, item)| (value.as_slice(), item.counters.settled as f64)),
        );
    }
}

/// One merchant's page; all zero if nothing was counted of it today.
pub(crate) async fn merchant(
    State(shared): State<Shared>,
    Path(merchant_id): Path<u64>,
) -> Result<Response, Refused> {
    let figures = shared.kept.figures.borrow().clone();
    if !figures.reading.caught_up {
        return Err(Refused::Reading);
    }
    let today = Health::new(&figures, &shared.settings).today;
    let shop = shared.kept.ask(|reply| Question::Shop(today, merchant_id, reply)).await?;
    let shop = shop.unwrap_or_default();
    let name = merchant_id.to_string();
    let mut page = Exposition::default();
    let values = [
        shop.counters.orders_placed as f64,
        shop.counters.placed as f64,
        shop.counters.orders_settled as f64,
        shop.counters.units_settled as f64,
        shop.counters.settled as f64,
        shop.counters.refunded as f64,
    ];
    for (family, value) in MERCHANT.iter().zip(values) {
        page.add(family, [([name.as_str()].as_slice(), value)]);
    }
    let locations: Vec<(String, f64)> = shop
        .locations
        .iter()
        .map(|(location, counters)| (location.to_string(), counters.settled as f64))
        .collect();
    let labels: Vec<[&str; 2]> =
        locations.iter().map(|(location, _)| [name.as_str(), location.as_str()]).collect();
    let samples = labels.iter().zip(&locations);
    page.add(&LOCATION, samples.map(|(labels, (_, settled))| (labels.as_slice(), *settled)));
    Ok(answer(page))
}

fn answer(page: Exposition) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.into_text()).into_response()
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
