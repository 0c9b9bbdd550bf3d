//! `floodgate board`: the live board on a pipeline's `gmv` topic.
//!
//! Only its settings and its way to Kafka; what it shows is the crate `board`. Invariant: whatever can
//! be refused (a file, an address, a setting) is refused before anything is read.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use board::{Access, Board, Clock, Compare, End, Looked, OnRecord, Source, SourceError};
use kafka::Settings;
use kafka::follower::{Followed, Follower};
use pipeline::log::LogError;

use crate::arguments;
use crate::configuration::{self, Configuration, Overrides, Wrong};
use crate::connection;
use crate::exit::Exit;
use crate::fleet::LOOK;
use crate::{http, logging, signals};

/// Serves until a signal.
pub(crate) fn run(arguments: &arguments::Board) -> anyhow::Result<Exit> {
    let configuration = configuration(arguments)?;
    logging::start(&configuration.log)?;
    let stop = signals::stop()?;
    let settings = settings(&configuration)?;
    let open = settings.access.is_open();
    let client = connection::settings(&configuration, "floodgate-board")?;
    // A port in use is told before the whole topic is read.
    let listener = http::bind(&configuration.board.listen)?;
    let address = listener.local_addr()?;
    tracing::info!("listening on http://{address}");
    if open && !address.ip().is_loopback() {
        tracing::warn!(
            "everybody who can reach {address} can read the board; board.token_file or \
             board.users_file asks who they are"
        );
    }
    let topic = client.topics.gmv.clone();
    tracing::info!(topic, "reading");
    let board = Board::start(source(client), settings).context("the board's thread")?;
    board::serve(listener, &board).context("http server")?;
    // Relaxed: nothing is handed over with the flag.
    while !stop.load(Ordering::Relaxed) {
        anyhow::ensure!(board.is_running(), "the board stopped reading: this is a defect");
        std::thread::sleep(LOOK);
    }
    Ok(Exit::Well)
}

fn configuration(arguments: &arguments::Board) -> Result<Configuration, Wrong> {
    let mut overrides = Overrides::default();
    overrides
        .set("board.listen", arguments.listen.as_ref())
        .set("board.compare", arguments.compare.as_ref())
        .set("board.token_file", arguments.token_file.as_ref())
        .set("board.users_file", arguments.users_file.as_ref())
        .set("board.rehearsal", arguments.rehearsal.then_some(true));
    connection::configuration(&arguments.connection, &mut overrides)
}

fn settings(configuration: &Configuration) -> Result<board::Settings, Wrong> {
    let configuration::Board { days, stale_ms, rehearsal, compare, token_file, users_file, .. } =
        &configuration.board;
    let wrong = |key: &str, error: &dyn std::fmt::Display| Wrong(format!("board.{key}: {error}"));
    let mut access = Access::default();
    if let Some(file) = given(token_file) {
        access = access.with_tokens(file).map_err(|error| wrong("token_file", &error))?;
    }
    if let Some(file) = given(users_file) {
        access = access.with_users(file).map_err(|error| wrong("users_file", &error))?;
    }
    let compare = given(compare).map(Compare::load).transpose();
    Ok(board::Settings {
        day_offset_ms: configuration.rules(1).day_offset_ms,
        days: *days,
        stale_ms: *stale_ms,
        clock: if *rehearsal { Clock::Records } else { Clock::Wall },
        compare: compare.map_err(|error| wrong("compare", &error))?,
        access,
    })
}

/// An empty path is none.
fn given(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

/// The counters on Kafka.
pub(crate) fn source(settings: Settings) -> Box<dyn Source> {
    Box::new(Following { settings, follower: None })
}

/// The topic, followed for as long as it is the same.
struct Following {
    settings: Settings,
    follower: Option<Follower>,
}

impl Following {
    fn follower(&mut self) -> Result<&mut Follower, LogError> {
        if self.follower.is_none() {
            self.follower = Some(Follower::start(&self.settings, &self.settings.topics.gmv)?);
        }
        Ok(self.follower.as_mut().expect("it was made above"))
    }
}

impl Source for Following {
    fn look(
        &mut self,
        wait: Duration,
        on_record: &mut OnRecord<'_>,
    ) -> Result<Looked, SourceError> {
        let begun = self.follower.is_some();
        let looked = self.follower().and_then(|follower| follower.look(wait, on_record));
        match looked {
            Ok(Followed { records, caught_up }) => Ok(Looked { records, caught_up }),
            // Before anything was read there is nothing to be read anew.
            Err(error @ LogError::Fatal(_)) if begun => {
                self.follower = None;
                Err(SourceError::Anew(error.to_string()))
            }
            Err(error) => Err(SourceError::Away(error.to_string())),
        }
    }

    fn ends(&mut self) -> Option<Vec<End>> {
        let ends = self.follower.as_ref()?.ends()?;
        let end = |end: kafka::End| {
            let kafka::End { partition, next, readable, written, reached } = end;
            End { partition, next, readable, written, reached }
        };
        Some(ends.into_iter().map(end).collect())
    }
}
