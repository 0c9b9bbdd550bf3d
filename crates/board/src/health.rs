//! How the board is, and how old its newest figure: one word for it, and what that word rests on.
//!
//! Not how the pipeline is: the board reads the topic `gmv` alone, in which a shop without customers and a
//! pipeline that stands look alike. Invariant: the board is well exactly if it has read everything that can
//! be read, nothing hides the rest, and the newest figure was young when it came.

use std::time::Duration;

use serde::Serialize;

use crate::calendar::Day;
use crate::figures::Figures;
use crate::server::Settings;
use crate::standstill::{Still, Why};

/// How the board is. Of several that hold the first is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The counters cannot be read.
    Trouble,
    /// What was there at the start is still being read.
    Reading,
    /// Partitions stand still although something stands in them that is not read.
    Standstill,
    /// Figures come, and are old already when they do.
    Late,
    /// The newest figure is old and everything has been read: nothing came to be counted.
    Quiet,
    /// The newest figure is young.
    Live,
}

impl State {
    /// All of them.
    pub(crate) const ALL: [State; 6] =
        [State::Trouble, State::Reading, State::Standstill, State::Late, State::Quiet, State::Live];

    /// As the API and the metrics name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Trouble => "trouble",
            State::Reading => "reading",
            State::Standstill => "standstill",
            State::Late => "late",
            State::Quiet => "quiet",
            State::Live => "live",
        }
    }

    /// A shop in which nothing is sold is no ailment of the board.
    fn is_well(self) -> bool {
        matches!(self, State::Quiet | State::Live)
    }
}

/// A partition of the topic that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct StillPartition {
    pub(crate) partition: u32,
    pub(crate) why: Why,
    pub(crate) for_ms: u64,
}

/// See the module's documentation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Health {
    ok: bool,
    pub(crate) state: State,
    caught_up: bool,
    pub(crate) stale: bool,
    now_ms: u64,
    newest_at_ms: Option<u64>,
    pub(crate) age_ms: Option<u64>,
    stale_ms: u64,
    pub(crate) today: Day,
    /// Of which there is everything.
    days: Vec<Day>,
    /// The day that was loaded to compare with.
    compare: Option<Day>,
    records: u64,
    unreadable: u64,
    unreadable_why: Option<String>,
    passed_over: u64,
    passed_over_why: Option<String>,
    trouble: Option<String>,
    pub(crate) standstill: Vec<StillPartition>,
}

impl Health {
    pub(crate) fn new(figures: &Figures, settings: &Settings) -> Health {
        let now_ms = settings.clock.now_ms(figures);
        let age_ms = figures.newest_at_ms.map(|newest| now_ms.saturating_sub(newest));
        let stale = age_ms.is_none_or(|age| age > settings.stale_ms);
        let reading = &figures.reading;
        let state = state(figures, age_ms, settings.stale_ms);
        Health {
            ok: state.is_well(),
            state,
            caught_up: reading.caught_up,
            stale,
            now_ms,
            newest_at_ms: figures.newest_at_ms,
            age_ms,
            stale_ms: settings.stale_ms,
            today: Day::of(now_ms, settings.day_offset_ms),
            days: figures.days.keys().copied().collect(),
            compare: settings.compare.as_ref().map(|compare| compare.day),
            records: reading.records,
            unreadable: reading.unreadable,
            unreadable_why: reading.unreadable_why.clone(),
            passed_over: reading.passed_over,
            passed_over_why: reading.passed_over_why.clone(),
            trouble: reading.trouble.clone(),
            standstill: reading.still.iter().map(still).collect(),
        }
    }
}

fn still(Still { partition, why, since }: &Still) -> StillPartition {
    StillPartition { partition: *partition, why: *why, for_ms: ms(since.elapsed()) }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn state(figures: &Figures, age_ms: Option<u64>, stale_ms: u64) -> State {
    let reading = &figures.reading;
    if reading.trouble.is_some() {
        State::Trouble
    } else if !reading.caught_up {
        State::Reading
    } else if !reading.still.is_empty() {
        State::Standstill
    } else if age_ms.is_some_and(|age| age <= stale_ms) {
        State::Live
    } else {
        let came_ms = ms(figures.newest_came.elapsed());
        let age_when_it_came_ms = age_ms.unwrap_or_default().saturating_sub(came_ms);
        // What the board read at its start says nothing of the way that it took.
        match reading.moved && came_ms <= stale_ms && age_when_it_came_ms > stale_ms {
            true => State::Late,
            false => State::Quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::figures::Reading;

    const STALE_MS: u64 = 5_000;

    /// The state of a board whose newest figure is so old and came so long ago.
    fn told(age_ms: Option<u64>, came_ms: u64, change: impl FnOnce(&mut Reading)) -> State {
        let reading = Reading { caught_up: true, moved: true, ..Reading::default() };
        let newest_came = Instant::now() - Duration::from_millis(came_ms);
        let mut figures = Figures { newest_came, reading, ..Figures::nothing() };
        change(&mut figures.reading);
        state(&figures, age_ms, STALE_MS)
    }

    fn as_ever(_: &mut Reading) {}

    #[test]
    fn a_quiet_shop_is_no_sick_board() {
        assert_eq!(told(Some(900), 0, as_ever), State::Live);
        assert_eq!(told(Some(5_900), 5_000, as_ever), State::Quiet);
        assert_eq!(told(Some(86_400_000), 86_399_000, as_ever), State::Quiet);
        assert_eq!(told(None, 86_399_000, as_ever), State::Quiet, "never was anything sold");
        let begun = |reading: &mut Reading| reading.moved = false;
        assert_eq!(told(Some(86_400_000), 100, begun), State::Quiet, "it has just been started");
        assert!(State::Quiet.is_well() && State::Live.is_well());
    }

    #[test]
    fn figures_that_are_old_when_they_come_are_late() {
        assert_eq!(told(Some(60_000), 100, as_ever), State::Late);
        assert_eq!(told(Some(60_000), 30_000, as_ever), State::Quiet, "no more of them come");
        let ailments = State::ALL.into_iter().filter(|state| !state.is_well());
        assert_eq!(ailments.count(), 4);
    }

    #[test]
    fn young_figures_hide_no_ailment() {
        let why = Why::OpenTransaction;
        let still = move |reading: &mut Reading| {
            reading.still = vec![Still { partition: 1, why, since: Instant::now() }];
        };
        assert_eq!(told(Some(900), 0, still), State::Standstill);
        let reading = |reading: &mut Reading| reading.caught_up = false;
        assert_eq!(told(Some(900), 0, reading), State::Reading);
        let away = |reading: &mut Reading| {
            still(reading);
            reading.trouble = Some("away".to_owned());
        };
        assert_eq!(told(Some(900), 0, away), State::Trouble);
    }

    #[test]
    fn the_names_are_those_of_the_api() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        for why in [Why::OutOfReach, Why::Unread, Why::OpenTransaction] {
            assert_eq!(serde_json::to_value(why).unwrap(), why.name());
        }
    }
}
