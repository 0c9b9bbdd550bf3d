//! `/api/v1/live`: the figures of a day as server-sent events.
//!
//! The figures' text is made once for all readers. Invariant: a reader who is slow misses what is
//! between, and never holds up anything or anybody.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use crate::api::Refused;
use crate::calendar::Day;
use crate::counters::AllCounters;
use crate::figures::{DayFigures, Figures, Reading, Top};
use crate::health::Health;
use crate::server::{SILENCE_MAX, Shared};

/// Readers at once; the page of one who is turned away tries again by itself.
pub(crate) const STREAMS_MAX: usize = 4_096;

#[derive(Serialize)]
struct Frame<'a> {
    health: &'a Health,
    day: &'a RawValue,
}

struct Listening {
    shared: Shared,
    figures: watch::Receiver<Arc<Figures>>,
    /// Today's, whichever day that is, if none was asked for.
    day: Option<Day>,
    told: Option<(Arc<DayFigures>, Reading)>,
    _permit: OwnedSemaphorePermit,
}

/// Answers with the stream.
pub(crate) fn answer(shared: Shared, day: Option<Day>) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        return Refused::Busy.into_response();
    };
    let figures = shared.kept.figures.clone();
    let listening = Listening { shared, figures, day, told: None, _permit: permit };
    let events = stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((Ok::<Event, Infallible>(event), listening))
    });
    Sse::new(events).into_response()
}

impl Listening {
    /// Figures as soon as there are new ones, health at least every second; none when the board ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let figures = Arc::clone(&self.figures.borrow_and_update());
            if let Some(event) = self.news(&figures) {
                return Some(event);
            }
            match timeout(SILENCE_MAX, self.figures.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => {
                    let health = Health::new(&figures, &self.shared.settings);
                    return Event::default().event("health").json_data(health).ok();
                }
            }
        }
    }

    fn news(&mut self, figures: &Figures) -> Option<Event> {
        let health = Health::new(figures, &self.shared.settings);
        let reading = Reading { records: 0, ..figures.reading.clone() };
        if !figures.reading.caught_up && figures.days.is_empty() {
            return None;
        }
        let wanted = self.day.unwrap_or(health.today);
        let day = figures.days.get(&wanted).cloned();
        let told = self.told.as_ref().map(|(told, reading)| (told, reading));
        let is_old = |told: &Arc<DayFigures>| match &day {
            Some(day) => Arc::ptr_eq(day, told),
            None => told.day == wanted,
        };
        if told.is_some_and(|(told, before)| is_old(told) && *before == reading) {
            return None;
        }
        let starts_at_ms = wanted.starts_at_ms(self.shared.settings.day_offset_ms);
        let all = || figures.all.get(&wanted).copied().unwrap_or_else(AllCounters::default);
        let day = day.unwrap_or_else(|| {
            Arc::new(DayFigures::new(wanted, starts_at_ms, all(), None, &Top::default()))
        });
        let frame = Frame { health: &health, day: &day.told };
        let event = Event::default().event("figures").json_data(frame).ok();
        self.told = Some((day, reading));
        event
    }
}
