//! `floodgate drill replay`: recorded commands into a pipeline on Kafka, then the report.
//!
//! Only the wiring: what is published when is in `drill::recording`; waiting, verdict and report are
//! those of `drill run`. Invariant: the topics that a pipeline uses in earnest are never written to
//! without being asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use drill::load::{self, Answer, Answers, LoadError, Meter, WallClock};
use drill::recording::{Fresh, Manifest, Recording, Replay, Replayed, Speed, Timeline, drive};
use drill::report::{PlanTold, Report};
use kafka::publisher::{NewRecord, Publisher};
use pipeline::objects::Objects;

use super::ground::Ground as _;
use super::on_kafka::{AnswersOnKafka, load_error, prepare_topics, refuse_production};
use super::progress::Progress;
use super::run;
use super::sale::{self, Waits, await_rest, ends, settle_up};
use crate::arguments::DrillReplay;
use crate::configuration::Overrides;
use crate::exit::Exit;
use crate::print::grouped;
use crate::tools::Tools;
use crate::{connection, signals};

/// The first record is due so long after the command is ready.
const BEGINS_AFTER_MS: i64 = 1_000;
const LOOK: Duration = Duration::from_millis(200);
const TAG_CHARACTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Replays; exit code 1 unless all of it was, the verdict is clean and no threshold failed.
pub(crate) fn run(arguments: &DrillReplay) -> anyhow::Result<Exit> {
    let recording = open(arguments)?;
    let manifest = recording.manifest();
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    refuse_production(&configuration, arguments.yes_into_production)?;
    let recorded_partitions = u32::try_from(manifest.partitions.len()).context("partitions")?;
    prepare_topics(&configuration, arguments.partitions.unwrap_or(recorded_partitions))?;
    let mut tools = Tools::of(configuration)?;
    let stop = signals::stop()?;
    let progress = Progress::new(arguments.outcome.format);
    let waits = Waits {
        patience: Duration::from_secs(arguments.patience),
        stop: &stop,
        progress: &progress,
    };
    tell_differences(manifest, &tools, &progress);

    let mut report = replay(arguments, &recording, &mut tools, &waits)?;
    sale::judge(&mut tools, &mut report, &waits)?;
    run::finish(&arguments.outcome, &mut report, &stop)
}

fn open(arguments: &DrillReplay) -> anyhow::Result<Recording> {
    let (from, place) = (&arguments.from, arguments.from.display().to_string());
    // A place that is not there is a mistake of whoever named it, and is not made.
    ensure!(from.is_dir(), "there is no directory {place}; name the one of `drill record --to`");
    let recording = Recording::open(Objects::in_directory(from).context("--from")?, &place)?;
    ensure!(recording.manifest().records > 0, "the recording in {place} holds no records");
    Ok(recording)
}

/// Says what will not be as it was.
fn tell_differences(manifest: &Manifest, tools: &Tools, progress: &Progress) {
    let recorded = manifest.partitions.len();
    if recorded != tools.partitions as usize {
        progress.say(&format!(
            "{recorded} partitions were recorded and {} are written to: every key goes to its partition \
             of these, and T passes in other company than it did",
            tools.partitions
        ));
    }
    if manifest.stopped_early {
        progress.say("the recorder was stopped early: the end of the day is missing");
    }
}

/// Publishes, and waits until everything is settled and read. The report has no verdict yet but for what
/// was left undecided.
fn replay(
    arguments: &DrillReplay,
    recording: &Recording,
    tools: &mut Tools,
    waits: &Waits<'_>,
) -> anyhow::Result<Report> {
    let manifest = recording.manifest();
    let clock = WallClock::new();
    let begins_at = clock.now_ms() + BEGINS_AFTER_MS;
    let first_t = manifest.first_t_ms.unwrap_or(0);
    let tag = arguments.tag.clone().unwrap_or_else(random_tag);
    let fresh = Fresh::new(&tag, Fresh::shift_to_today(first_t, begins_at))
        .map_err(anyhow::Error::msg)
        .context("--tag")?;
    let speed = if arguments.unpaced { Speed::Unpaced } else { Speed::Times(arguments.speed) };
    let longest_pause_ms = i64::from(arguments.longest_pause) * 1_000;
    let begins_at_t = fresh.timestamp_ms(first_t.cast_signed());
    let timeline = Timeline::new(begins_at_t, begins_at, arguments.speed, longest_pause_ms);
    let replay = Replay::new(recording, &fresh, tools.partitions, speed, &timeline);
    let meter = Meter::new(begins_at, &ends(tools)?);
    let work = Work { replay: &replay, timeline: &timeline, speed, meter: &meter, clock: &clock };
    waits.progress.say(&format!(
        "{} records from {}; ids begin with {tag}., times are {} days later",
        grouped(manifest.records),
        arguments.from.display(),
        fresh.shift_ms() / 86_400_000
    ));
    let undecided = measure(tools, &work, manifest.records, waits)?;

    let told = PlanTold {
        profile: told(arguments, manifest, &tag),
        seconds: seconds(&meter),
        seed: 0,
        partitions: tools.partitions,
        opened_at_ms: begins_at,
        catalogue: 0,
    };
    let mut report = Report::new(told, meter.measured(), replay.orders());
    report.verdict.undecided = undecided;
    Ok(report)
}

fn random_tag() -> String {
    let character = |_| TAG_CHARACTERS[rand::random_range(0..TAG_CHARACTERS.len())];
    (0..5).map(character).map(char::from).collect()
}

/// What the report calls the shape of the load.
fn told(arguments: &DrillReplay, manifest: &Manifest, tag: &str) -> String {
    let speed = match arguments.unpaced {
        true => "unpaced".to_owned(),
        false => format!("at {} times its speed", arguments.speed),
    };
    format!("recording of {} {speed}, ids behind {tag}.", manifest.topic)
}

/// How long something was sent.
fn seconds(meter: &Meter) -> f64 {
    let seconds = meter.measured().seconds;
    seconds.iter().rposition(|second| second.sent > 0).map_or(0.0, |last| last as f64 + 1.0)
}

/// What goes on while a recording is replayed.
struct Work<'a> {
    replay: &'a Replay<'a>,
    timeline: &'a Timeline,
    speed: Speed,
    meter: &'a Meter,
    clock: &'a WallClock,
}

/// Publishes the recording while answers are read, and waits until it is settled and everything that was
/// written has been read; gives the number of records that are not settled.
fn measure(
    tools: &mut Tools,
    work: &Work<'_>,
    records: u64,
    waits: &Waits<'_>,
) -> anyhow::Result<u64> {
    let answers = tools.answers()?;
    let mut answers = Timed { answers, timeline: work.timeline, speed: work.speed };
    let mut publisher = OnKafka(Publisher::new(&tools.settings)?);
    let Work { meter, clock, .. } = *work;
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            load::listen(&mut answers, clock, meter, &over, &mut |error| {
                tracing::warn!(%error, "reading answers");
            });
        });
        threads.spawn(|| watch(meter, records, waits.progress, &over));
        let driven = drive(work.replay, &mut publisher, clock, meter, waits.stop)
            .map_err(anyhow::Error::from)
            .and_then(|()| settle_up(tools, waits))
            .and_then(|left| await_rest(tools, meter, waits.patience).map(|()| left));
        // Relaxed: nothing is handed over with the flag.
        over.store(true, Ordering::Relaxed);
        driven
    })
}

/// Shows how the replay goes until it is over.
fn watch(meter: &Meter, records: u64, progress: &Progress, over: &AtomicBool) {
    let mut told_at = Instant::now();
    // Relaxed: nothing is handed over with the flag.
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        progress.work(&mut told_at, || line(meter, records));
    }
    progress.clear();
}

fn line(meter: &Meter, records: u64) -> String {
    let measured = meter.measured();
    // The last second is not over.
    let last = measured.seconds.iter().rev().nth(1).cloned().unwrap_or_default();
    format!(
        "{} of {} records   sent {}/s   answered {}/s   p50 {} ms   p99 {} ms   behind {}   late {}",
        grouped(measured.sent),
        grouped(records),
        grouped(last.sent),
        grouped(last.answered),
        last.p50_ms,
        last.p99_ms,
        grouped(meter.behind()),
        grouped(measured.late)
    )
}

/// Answers as if their timestamps were the moments at which their causes were due.
struct Timed<'a> {
    answers: AnswersOnKafka,
    timeline: &'a Timeline,
    speed: Speed,
}

impl Answers for Timed<'_> {
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError> {
        let Timed { timeline, speed, .. } = *self;
        self.answers.look(wait, &mut |answer| {
            let timestamp_ms = match speed {
                Speed::Times(_) => timeline.due_ms(answer.timestamp_ms),
                // Nothing was due: before the opening no answer is timed.
                Speed::Unpaced => i64::MIN,
            };
            on(&Answer { timestamp_ms, ..*answer });
        })
    }
}

struct OnKafka(Publisher);

impl load::Publisher<Replayed> for OnKafka {
    fn publish(&mut self, replayed: &Replayed) -> Result<(), LoadError> {
        let record = NewRecord {
            partition: replayed.partition,
            timestamp_ms: replayed.record.timestamp_ms,
            key: replayed.record.key.as_deref(),
            value: replayed.record.value.as_deref(),
        };
        self.0.publish_with_headers(&record, &replayed.record.headers).map_err(load_error)
    }

    fn serve(&mut self, wait: Duration) {
        self.0.serve(wait);
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        self.0.flush().map_err(load_error)
    }

    fn failed(&self) -> u64 {
        self.0.failed()
    }
}
