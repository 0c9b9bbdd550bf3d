//! `floodgate drill replay`: recorded commands into a pipeline on Kafka, then the report.
//!
//! Only the wiring: what is published when is in `drill::recording`; waiting, verdict and report are
//! those of `drill run`. Invariant: the topics that a pipeline uses in earnest are never written to
//! without being asked for.

use std::time::Duration;

use anyhow::{Context, ensure};
use drill::load::{Answer, Answers, LoadError, Measured, Meter, WallClock};
use drill::recording::moment::DAY_MS;
use drill::recording::{Fresh, Manifest, Recording, Replay, Speed, Timeline, drive};
use drill::report::{PlanTold, Report};
use pipeline::objects::Objects;

use super::ground::Ground as _;
use super::on_kafka::{AnswersOnKafka, prepare_topics, refuse_production};
use super::progress::Progress;
use super::report::make_out;
use super::run;
use super::sale::{self, Course, Opened, Waits};
use crate::arguments::DrillReplay;
use crate::configuration::Overrides;
use crate::exit::Exit;
use crate::print::grouped;
use crate::tools::Tools;
use crate::{connection, signals};

/// The first record is due so long after the command is ready.
const BEGINS_AFTER_MS: i64 = 1_000;
const TAG_CHARACTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Replays; exit code 1 unless all of it was, the verdict is clean and no threshold failed.
pub(crate) fn run(arguments: &DrillReplay) -> anyhow::Result<Exit> {
    let recording = open(arguments)?;
    let manifest = recording.manifest();
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    refuse_production(&configuration, arguments.yes_into_production)?;
    make_out(&arguments.outcome.out)?;
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
    let objects =
        Objects::existing_at(from).context("--from names what `drill record --to` wrote")?;
    let recording = Recording::open(objects, &place)?;
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
    if !arguments.unpaced {
        sale::refuse_ahead(tools, begins_at_t)?;
    }
    let timeline = Timeline::new(begins_at_t, begins_at, arguments.speed, longest_pause_ms);
    let replay = Replay::new(recording, &fresh, tools.partitions, speed, &timeline);
    let meter = Meter::new(begins_at, &sale::ends(tools)?);
    waits.progress.say(&format!(
        "{} records from {}; ids begin with {tag}., times are {} days later",
        grouped(manifest.records),
        arguments.from.display(),
        fresh.shift_ms() / DAY_MS
    ));
    let left = |measured: &Measured| {
        let records = manifest.records;
        let is_open = measured.sent < records;
        is_open.then(|| format!("{} of {} records", grouped(measured.sent), grouped(records)))
    };
    let course = Course { meter: &meter, clock: &clock, opens_at: begins_at, left: &left };
    let mut answers = Timed { answers: tools.answers()?, timeline: &timeline, speed };
    let mut publisher = tools.publisher()?;
    let nothing = &mut |_: &Opened<'_>| Ok(());
    let undecided = sale::attend(tools, &course, &mut answers, waits, nothing, || {
        Ok(drive(&replay, &mut publisher, &clock, &meter, waits.stop)?)
    })?;

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
