//! `/api/v1/`: the figures as JSON, as `crates/board/assets/openapi.json` describes them.
//!
//! Invariant: whatever is refused is a named [`Refused`], and nothing is answered with figures that
//! are not read to their end yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::assets;
use crate::calendar::Day;
use crate::figures::{AllItem, DayFigures, Figures, Item, LocationItem, MinuteItem};
use crate::health::Health;
use crate::keeper::{Busy, Question};
use crate::ranking::{self, By};
use crate::record::Split;
use crate::server::Shared;
use crate::shops::LocationCounters;
use crate::stream;

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("this board asks who you are; send a bearer token or basic auth")]
    NotAdmitted,
    #[error("the counters are still being read; ask again in a moment")]
    Reading,
    #[error("too many ask at once; ask again in a moment")]
    Busy,
    #[error("{0}")]
    Wrong(String),
    #[error(
        "of {0} only the totals are kept; `days` in [board] says of how many days there is more"
    )]
    DayNotKept(Day),
    #[error("there is no dimension {0:?}; docs/contract.md, section 6, lists them")]
    NoDimension(String),
    #[error("there is nothing at this address; /api/v1/openapi.json lists what there is")]
    Nothing,
    #[error("no day to compare with was loaded; --compare FILE loads one")]
    NoCompare,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let code = match &self {
            Refused::NotAdmitted => StatusCode::UNAUTHORIZED,
            Refused::Reading | Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Wrong(_) => StatusCode::BAD_REQUEST,
            Refused::DayNotKept(_)
            | Refused::NoDimension(_)
            | Refused::Nothing
            | Refused::NoCompare => StatusCode::NOT_FOUND,
        };
        (code, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

impl From<Busy> for Refused {
    fn from(_: Busy) -> Refused {
        Refused::Busy
    }
}

/// The routes under `/api/v1`.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/totals", get(totals))
        .route("/dimensions/{dimension}", get(dimension))
        .route("/merchants/{merchant_id}", get(merchant))
        .route("/minutes", get(minutes))
        .route("/compare", get(compare))
        .route("/live", get(live))
        .route("/health", get(health))
        .route("/openapi.json", get(openapi))
        .fallback(|| async { Refused::Nothing })
}

async fn health(State(shared): State<Shared>) -> Json<Health> {
    let figures = shared.kept.figures.borrow().clone();
    Json(Health::new(&figures, &shared.settings))
}

async fn openapi(headers: HeaderMap) -> Response {
    assets::serve("openapi.json", &headers)
}

/// What was asked after the question mark.
struct Asked(BTreeMap<String, String>);

impl Asked {
    fn new(query: BTreeMap<String, String>, known: &[&str]) -> Result<Asked, Refused> {
        match query.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Asked(query)),
            Some(key) => {
                let known = known.join(", ");
                Err(Refused::Wrong(format!("there is no parameter {key:?} here, only {known}")))
            }
        }
    }

    fn day(&self) -> Result<Option<Day>, Refused> {
        let day = self.0.get("day").map(|day| day.parse());
        day.transpose().map_err(|error: crate::NoDay| Refused::Wrong(error.to_string()))
    }

    fn number(&self, key: &str, default: usize, max: usize) -> Result<usize, Refused> {
        let Some(text) = self.0.get(key) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| Refused::Wrong(format!("{key} is {text:?}; write 0 to {max}")))
    }

    fn by(&self) -> Result<By, Refused> {
        let Some(text) = self.0.get("by") else { return Ok(By::default()) };
        named(text).map_err(|error| Refused::Wrong(format!("by: {error}")))
    }
}

fn named<T: DeserializeOwned>(text: &str) -> Result<T, ValueError> {
    let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
    T::deserialize(deserializer)
}

type Parameters = Query<BTreeMap<String, String>>;

/// The figures, once they are read to their end, and the day that was asked for: today by default.
fn figures(shared: &Shared, asked: &Asked) -> Result<(Arc<Figures>, Day), Refused> {
    let figures = shared.kept.figures.borrow().clone();
    if !figures.reading.caught_up && figures.days.is_empty() {
        return Err(Refused::Reading);
    }
    let today = Health::new(&figures, &shared.settings).today;
    Ok((figures, asked.day()?.unwrap_or(today)))
}

/// The figures of a day; none if nothing was counted of it.
fn day_figures(figures: &Figures, day: Day) -> Result<Option<&DayFigures>, Refused> {
    match figures.days.get(&day) {
        Some(found) => Ok(Some(found)),
        None if figures.all.contains_key(&day) => Err(Refused::DayNotKept(day)),
        None => Ok(None),
    }
}

#[derive(Serialize)]
struct TotalsAnswer {
    day: String,
    #[serde(flatten)]
    all: AllItem,
}

async fn totals(
    State(shared): State<Shared>,
    Query(query): Parameters,
) -> Result<Json<TotalsAnswer>, Refused> {
    let mut asked = Asked::new(query, &["day"])?;
    let every_day = asked.0.get("day").is_some_and(|day| day == "all");
    if every_day {
        asked.0.clear();
    }
    let (figures, day) = figures(&shared, &asked)?;
    let (day, all) = match every_day {
        true => ("all".to_owned(), figures.every_day()),
        false => (day.to_string(), figures.all.get(&day).copied().unwrap_or_default()),
    };
    Ok(Json(TotalsAnswer { day, all: AllItem::new(all) }))
}

#[derive(Serialize)]
struct Page<T> {
    day: Day,
    dimension: String,
    offset: usize,
    /// How many values the dimension has.
    count: usize,
    items: Vec<T>,
}

async fn dimension(
    State(shared): State<Shared>,
    Path(dimension): Path<String>,
    Query(query): Parameters,
) -> Result<Response, Refused> {
    let asked = Asked::new(query, &["day", "by", "limit", "offset"])?;
    let (by, limit) = (asked.by()?, asked.number("limit", LIMIT, LIMIT_MAX)?);
    let offset = asked.number("offset", 0, usize::MAX)?;
    let (figures, day) = figures(&shared, &asked)?;
    let found = day_figures(&figures, day)?;
    let items = |items: Vec<(String, crate::Counters)>| {
        let count = items.len();
        let items = ranking::page(items, by, offset, limit).into_iter();
        let items = items.map(|(value, counters)| Item::new(value, counters)).collect();
        Json(Page { day, dimension: dimension.clone(), offset, count, items }).into_response()
    };
    if let Some(split) = Split::ALL.into_iter().find(|split| split.name() == dimension) {
        let found = found.iter().flat_map(|found| found.split(split));
        return Ok(items(found.map(|item| (item.value.clone(), item.counters)).collect()));
    }
    match dimension.as_str() {
        "all" => {
            let all = found.map(|found| ("all".to_owned(), found.all.counters.counters));
            Ok(items(all.into_iter().collect()))
        }
        "minute" => {
            let minutes = found.iter().flat_map(|found| &found.minutes);
            Ok(items(minutes.map(|item| (item.minute.to_string(), item.counters)).collect()))
        }
        "merchant" => {
            let all = shared.kept.ask(|reply| Question::Merchants(day, reply)).await?;
            let count = all.len();
            let items = ranked(move || ranking::page(all.to_vec(), by, offset, limit)).await?;
            let item = |(merchant, counters): (u64, _)| Item::new(merchant.to_string(), counters);
            let items = items.into_iter().map(item).collect();
            Ok(Json(Page { day, dimension, offset, count, items }).into_response())
        }
        "location" => {
            if !matches!(by, By::Settled | By::OrdersSettled | By::UnitsSettled) {
                let why =
                    "a location counts settled, orders_settled and units_settled; choose by one";
                return Err(Refused::Wrong(why.to_owned()));
            }
            let all = shared.kept.ask(|reply| Question::Locations(day, reply)).await?;
            let count = all.len();
            let items = ranked(move || ranking::page(all.to_vec(), by, offset, limit)).await?;
            let item = |(place, counters)| LocationItem::new(place, counters);
            let items = items.into_iter().map(item).collect();
            Ok(Json(Page { day, dimension, offset, count, items }).into_response())
        }
        _ => Err(Refused::NoDimension(dimension)),
    }
}

/// Putting 200,000 in order takes milliseconds, which other readers need not wait for.
async fn ranked<T: Send + 'static>(
    rank: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(rank).await.map_err(|_| Refused::Busy)
}

#[derive(Serialize)]
struct MerchantAnswer {
    day: Day,
    merchant_id: u64,
    /// Whether anything was counted of it that day.
    counted: bool,
    #[serde(flatten)]
    counters: crate::Counters,
    net: i128,
    locations: Vec<LocationAnswer>,
}

#[derive(Serialize)]
struct LocationAnswer {
    location: u32,
    orders_settled: u64,
    units_settled: u64,
    settled: u128,
}

async fn merchant(
    State(shared): State<Shared>,
    Path(merchant_id): Path<String>,
    Query(query): Parameters,
) -> Result<Json<MerchantAnswer>, Refused> {
    let wrong = || Refused::Wrong(format!("{merchant_id:?} is no merchant id; write its digits"));
    let merchant_id: u64 = merchant_id.parse().map_err(|_| wrong())?;
    let asked = Asked::new(query, &["day"])?;
    let (figures, day) = figures(&shared, &asked)?;
    day_figures(&figures, day)?;
    let shop = shared.kept.ask(|reply| Question::Shop(day, merchant_id, reply)).await?;
    let counted = shop.is_some();
    let shop = shop.unwrap_or_default();
    let location = |(location, counters): (u32, LocationCounters)| {
        let LocationCounters { orders_settled, units_settled, settled } = counters;
        LocationAnswer { location, orders_settled, units_settled, settled }
    };
    Ok(Json(MerchantAnswer {
        day,
        merchant_id,
        counted,
        counters: shop.counters,
        net: shop.counters.net(),
        locations: shop.locations.into_iter().map(location).collect(),
    }))
}

#[derive(Serialize)]
struct MinutesAnswer {
    day: Day,
    starts_at_ms: u64,
    minutes: Vec<MinuteItem>,
}

async fn minutes(
    State(shared): State<Shared>,
    Query(query): Parameters,
) -> Result<Json<MinutesAnswer>, Refused> {
    let asked = Asked::new(query, &["day"])?;
    let (figures, day) = figures(&shared, &asked)?;
    let found = day_figures(&figures, day)?;
    Ok(Json(MinutesAnswer {
        day,
        starts_at_ms: day.starts_at_ms(shared.settings.day_offset_ms),
        minutes: found.map(|found| found.minutes.clone()).unwrap_or_default(),
    }))
}

async fn compare(State(shared): State<Shared>) -> Result<Response, Refused> {
    let compare = shared.settings.compare.as_ref().ok_or(Refused::NoCompare)?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, compare.text.clone()).into_response())
}

async fn live(State(shared): State<Shared>, Query(query): Parameters) -> Result<Response, Refused> {
    let day = Asked::new(query, &["day"])?.day()?;
    Ok(stream::answer(shared, day))
}
