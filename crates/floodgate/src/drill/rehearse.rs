//! `floodgate drill rehearse`: a whole sale day in one command, with faults, judged.
//!
//! It starts what is missing: topics of its own, the processes that settle, a board if one is wanted;
//! with no broker named everything runs in this process, on the embedded log. Invariant: nothing that
//! exists is touched, and whatever was started ends with it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use board::{Access, Board, Clock, Source};
use drill::profile::{Profile, Span};
use kafka::admin::{self, Timestamps};
use ledger::rules::Rules;

use super::crew::processes::{Processes, Start};
use super::crew::workers::Workers;
use super::crew::{self, Crew};
use super::faults::Faults;
use super::ground::Ground;
use super::on_embedded::Embedded;
use super::progress::Progress;
use super::report;
use super::run;
use super::sale::{self, Plan, Waits};
use crate::arguments::{Connection, DrillRehearse};
use crate::configuration::{Configuration, Overrides};
use crate::exit::Exit;
use crate::fleet::LOOK;
use crate::tools::Tools;
use crate::{board as board_command, connection, embedded, logging, metrics, signals};

/// Figures that are older are shown with a warning.
const STALE_MS: u64 = 10_000;
/// Share of the load after which nobody is killed unasked: whoever is must have something to answer.
const KILLED_BEFORE: f64 = 0.9;

/// Rehearses; exit code 1 unless the verdict is clean and no threshold failed.
pub(crate) fn run(arguments: &DrillRehearse) -> anyhow::Result<Exit> {
    let plan = run::plan(&arguments.load)?;
    let DrillRehearse { processes, partitions, .. } = *arguments;
    ensure!(
        processes <= partitions as usize,
        "--processes {processes}: with --partitions {partitions} some would have nothing to settle; \
         start fewer, or make more partitions"
    );
    report::make_out(&arguments.outcome.out)?;
    let scene = Scene {
        arguments,
        kill_at: kill_at(&arguments.kill_at, arguments.no_faults, &plan.profile)?,
        plan,
        stop: signals::stop()?,
        progress: Progress::new(arguments.outcome.format),
        listener: arguments.board.as_deref().map(listen).transpose()?,
    };
    let connection = &arguments.connection;
    if connection.brokers.is_some() || connection.config.is_some() {
        on_kafka(scene)
    } else {
        on_embedded(scene)
    }
}

/// What both forms have in common.
struct Scene<'a> {
    arguments: &'a DrillRehearse,
    plan: Plan,
    /// In seconds after the opening.
    kill_at: Vec<f64>,
    stop: Arc<AtomicBool>,
    progress: Progress,
    /// Where the board is to be served; taken before anything is started.
    listener: Option<TcpListener>,
}

fn kill_at(given: &[Span], no_faults: bool, profile: &Profile) -> anyhow::Result<Vec<f64>> {
    let seconds = profile.seconds();
    let given: Vec<f64> = given.iter().map(|at| at.0).collect();
    if let Some(late) = given.iter().find(|at| **at >= seconds) {
        bail!("--kill-at {late}s: the load is over after {seconds} s");
    }
    Ok(match (no_faults, given.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => vec![profile.peak_at().min(seconds * KILLED_BEFORE)],
        (false, false) => given,
    })
}

fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; choose another with --board"))
}

fn on_kafka(scene: Scene<'_>) -> anyhow::Result<Exit> {
    let arguments = scene.arguments;
    let prefix = match &arguments.connection.topic_prefix {
        Some(prefix) => prefix.clone(),
        None => format!("rehearsal-{}.", seconds_since_1970()),
    };
    let Connection { config, brokers, .. } = &arguments.connection;
    let connection = Connection {
        config: config.clone(),
        brokers: brokers.clone(),
        topic_prefix: Some(prefix.clone()),
    };
    let configuration = connection::configuration_of_tool(&connection, &mut Overrides::default())?;
    let settings = connection::settings(&configuration, "floodgate-drill")?;
    refuse_existing(admin::partition_counts(&settings)?.iter().any(|count| *count > 0), &prefix)?;
    let workplace = Workplace::make(&arguments.outcome.out, &prefix)?;
    create_topics(&settings, &prefix, arguments.partitions)?;
    scene.progress.say(&format!("Topics, group and snapshots of this rehearsal: {prefix}*"));

    let start = Start {
        arguments: settle_arguments(&configuration, config.as_deref(), &prefix),
        directory: workplace.0.clone(),
    };
    let mut tools = Tools::of(configuration)?;
    let board = open_board(&scene, tools.rules(), || board_command::source(settings))?;
    let exit = rehearse(&scene, &mut tools, Processes::start(start, arguments.processes)?)?;
    workplace.leave(exit, &scene.progress);
    stay_open(&scene, board.as_ref());
    Ok(exit)
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn create_topics(settings: &kafka::Settings, prefix: &str, partitions: u32) -> anyhow::Result<()> {
    let created = admin::create_topics(settings, partitions, 1, Timestamps::Create)?;
    // Somebody may have been quicker since it was looked.
    refuse_existing(created.len() < settings.topics.all().len(), prefix)
}

fn refuse_existing(some_exist: bool, prefix: &str) -> anyhow::Result<()> {
    ensure!(
        !some_exist,
        "there are topics that begin with {prefix} already, and a rehearsal needs its own: choose another \
         --topic-prefix, or none"
    );
    Ok(())
}

fn settle_arguments(
    configuration: &Configuration,
    file: Option<&Path>,
    prefix: &str,
) -> Vec<String> {
    let mut arguments = vec!["--brokers".to_owned(), configuration.kafka.brokers.clone()];
    arguments.extend(["--topic-prefix".to_owned(), prefix.to_owned()]);
    if let Some(file) = file {
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    arguments
}

/// Where snapshots and logs of the processes are: a directory that was not there before.
struct Workplace(PathBuf);

impl Workplace {
    fn make(out: &Path, prefix: &str) -> anyhow::Result<Workplace> {
        let name = prefix.trim_end_matches('.');
        ensure!(
            !name.is_empty(),
            "--topic-prefix {prefix:?} names nothing that is the rehearsal's own; write one like rehearsal."
        );
        let directory = out.join(name);
        match std::fs::create_dir(&directory) {
            Ok(()) => Ok(Workplace(directory)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "{} is there already, and a rehearsal needs a directory of its own: choose another --out \
                 or --topic-prefix",
                directory.display()
            ),
            Err(error) => Err(error).with_context(|| format!("creating {}", directory.display())),
        }
    }

    /// What is left behind where something went wrong helps to find out what.
    fn leave(self, exit: Exit, progress: &Progress) {
        if exit != Exit::Well {
            return;
        }
        // The rehearsal went well all the same.
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            progress.say(&format!("{} is left behind: {error}", self.0.display()));
        }
    }
}

fn on_embedded(scene: Scene<'_>) -> anyhow::Result<Exit> {
    let arguments = scene.arguments;
    let log = Configuration::load(None, &Overrides::default())?.log;
    logging::start_for_tool(&log)?;
    let rules = Rules { partitions: arguments.partitions, ..Rules::default() };
    let broker = embedded::broker(arguments.partitions);
    let mut ground = Embedded::new(Arc::clone(&broker), rules);
    scene.progress.say("No --brokers: log and workers run in this process.");
    let metrics = metrics::install()?;
    let crew = Workers::start(broker, embedded::plan(rules)?, metrics, arguments.processes)?;
    let board = open_board(&scene, &rules, || Box::new(ground.counters()))?;
    let exit = rehearse(&scene, &mut ground, crew)?;
    stay_open(&scene, board.as_ref());
    Ok(exit)
}

/// The rehearsal itself; the crew ends with it.
fn rehearse(
    scene: &Scene<'_>,
    ground: &mut impl Ground,
    mut crew: impl Crew,
) -> anyhow::Result<Exit> {
    let Scene { arguments, plan, stop, progress, .. } = scene;
    let patience = Duration::from_secs(arguments.load.patience);
    crew::await_ready(&mut crew, ground.rules().partitions, patience, stop)?;

    let waits = Waits { patience, stop, progress };
    let (mut faults, logs) = (Faults::new(&scene.kill_at), crew.logs());
    let mut report = sale::run(ground, plan, &waits, &mut |sale| faults.attend(&mut crew, sale))
        .with_context(|| format!("the rehearsal broke off; {}{logs}", last_words(&mut crew)))?;
    drop(crew);
    report.add_stages(faults.told());
    sale::judge(ground, &mut report, &waits)?;
    run::finish(&arguments.outcome, &mut report, stop)
}

/// Who has ended by itself, and how: before the sale opens nobody else looks.
fn last_words(crew: &mut impl Crew) -> String {
    let size = crew.size();
    let told = |number| Some(format!("{} has ended: {}; ", crew.name(number), crew.ended(number)?));
    (0..size).filter_map(told).collect()
}

/// A running board and where it is served.
struct OpenBoard {
    /// It reads as long as it is kept.
    _board: Board,
    address: SocketAddr,
}

/// Serves the board, if one is wanted.
fn open_board(
    scene: &Scene<'_>,
    rules: &Rules,
    source: impl FnOnce() -> Box<dyn Source>,
) -> anyhow::Result<Option<OpenBoard>> {
    let Some(listener) = &scene.listener else { return Ok(None) };
    let settings = board::Settings {
        day_offset_ms: rules.day_offset_ms,
        days: 2,
        stale_ms: STALE_MS,
        clock: Clock::Wall,
        compare: None,
        access: Access::default(),
    };
    let board = Board::start(source(), settings).context("the board's thread")?;
    let address = listener.local_addr().context("socket")?;
    board::serve(listener.try_clone().context("socket")?, &board).context("http server")?;
    scene.progress.say(&format!("The board: http://{address}"));
    Ok(Some(OpenBoard { _board: board, address }))
}

/// Leaves the board open for whoever wants to see how it ended.
fn stay_open(scene: &Scene<'_>, board: Option<&OpenBoard>) {
    let Some(OpenBoard { address, .. }) = board else { return };
    scene.progress.say(&format!("The board stays open at http://{address} until Ctrl-C"));
    // Relaxed: nothing is handed over with the flag.
    while !scene.stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_only_rises_is_refused_for_a_kill_that_nobody_asked_for() {
        let kill_at = |given: &[Span], no_faults, profile: &str| {
            kill_at(given, no_faults, &profile.parse().unwrap()).ok()
        };
        let rising = "10/s for 1s, 100/s at +9s";
        assert_eq!(kill_at(&[], false, rising), Some(vec![9.0]));
        assert_eq!(kill_at(&[], true, rising), Some(vec![]));
        assert_eq!(kill_at(&[], false, "10/s for 1s, 100/s for 9s"), Some(vec![1.0]));
        assert_eq!(kill_at(&[Span(9.9)], false, rising), Some(vec![9.9]));
        assert_eq!(kill_at(&[Span(1.0), Span(10.0)], false, rising), None);
    }

    /// What went well is removed, so nothing may be in it that was there before.
    #[test]
    fn a_rehearsal_removes_what_it_has_not_made() {
        let out = tempfile::tempdir().unwrap();
        std::fs::create_dir(out.path().join("drill")).unwrap();
        let refused = |prefix: &str| Workplace::make(out.path(), prefix).is_err();
        for prefix in ["drill.", "drill", "", ".", ".."] {
            assert!(refused(prefix), "{prefix:?}");
        }
        let workplace = Workplace::make(out.path(), "other.").unwrap();
        assert!(out.path().join("other").is_dir() && refused("other."));
        workplace.leave(Exit::Well, &Progress::new(crate::arguments::Format::Json));
        assert!(!out.path().join("other").exists() && out.path().join("drill").is_dir());
    }
}
