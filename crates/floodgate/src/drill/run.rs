//! `floodgate drill run`: traffic by the clock into a pipeline on Kafka, then the report.
//!
//! The pipeline is not started here: whatever consumes these topics is what is measured. Invariant:
//! the topics that a pipeline uses in earnest are never written to without being asked for.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use drill::load::{self, Answer, Answers, DeadLetter, LoadError, Meter, WallClock};
use drill::profile::Profile;
use drill::report::{PlanTold, Report, Verdict};
use drill::traffic::{Sent, Settings as TrafficSettings, Traffic};
use kafka::admin::{self, Timestamps};
use kafka::answers::{AnswerReader, Answered};
use kafka::publisher::{NewRecord, Publisher};
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::log::{LogError, Offsets, Partition};

use super::progress::Progress;
use super::report::write_files;
use crate::arguments::{DrillRun, Format};
use crate::configuration::{Configuration, Overrides};
use crate::exit::Exit;
use crate::print::{grouped, say};
use crate::tools::Tools;
use crate::{audit, connection, signals};

/// The sale opens so long after the catalogue is settled.
const OPENS_AFTER_MS: i64 = 1_000;
/// Longest wait for committed offsets.
const COMMITTED_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// Counters are written at the latest when no record has come for a second (contract, section 6), and
/// answers take no longer to be read; so long without any, and they are all there or never will be.
const REST: Duration = Duration::from_secs(3);
/// Findings that a report repeats.
const FINDINGS_MAX: usize = 20;

/// Runs the load; exit code 1 unless the verdict is clean and no threshold failed.
pub(crate) fn run(arguments: &DrillRun) -> anyhow::Result<Exit> {
    let profile = profile(arguments)?;
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    refuse_production(&configuration, arguments.yes_into_production)?;
    prepare_topics(&configuration, arguments.partitions)?;
    let mut tools = Tools::of(configuration)?;
    let stop = signals::stop()?;
    let report = rehearse(arguments, &profile, &mut tools, &stop)?;
    write_files(&arguments.out, &report)?;
    print(arguments.format, &arguments.out, &report)?;
    Ok(if report.passes() { Exit::Well } else { Exit::DoesNotHold })
}

fn profile(arguments: &DrillRun) -> anyhow::Result<Profile> {
    let DrillRun { profile, profile_file, peak, .. } = arguments;
    match (profile, profile_file) {
        (Some(text), _) => text.parse().context("--profile"),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--profile-file {}", file.display()))?;
            // A stage for each line reads better than one long line.
            let stages: Vec<&str> = text
                .lines()
                .map(|line| line.split('#').next().unwrap_or_default())
                .flat_map(|line| line.split(','))
                .map(str::trim)
                .filter(|stage| !stage.is_empty())
                .collect();
            stages.join(", ").parse().with_context(|| format!("{}", file.display()))
        }
        (None, None) => Profile::double11(*peak).context("--peak"),
    }
}

/// Without a prefix the topics are those that a pipeline uses in earnest.
pub(super) fn refuse_production(configuration: &Configuration, yes: bool) -> anyhow::Result<()> {
    ensure!(
        yes || !configuration.kafka.topic_prefix.is_empty(),
        "this would publish a drill's orders into the topics without a prefix; name a prefix of the \
         drill's own with --topic-prefix, or say --yes-into-production"
    );
    Ok(())
}

/// Creates what is missing, and refuses an input whose timestamps are not the publisher's.
pub(super) fn prepare_topics(configuration: &Configuration, partitions: u32) -> anyhow::Result<()> {
    let settings = connection::settings(configuration, "floodgate-drill")?;
    let created = admin::create_topics(&settings, partitions, 1, Timestamps::Create)?;
    if created.is_empty() && admin::input_timestamps(&settings)? == Timestamps::Append {
        bail!(
            "{} has the broker's timestamps, but a drill tells latency by its own; use a prefix whose \
             topics were made with `floodgate topics create --timestamps create`, or a new one",
            settings.topics.orders
        );
    }
    Ok(())
}

/// Catalogue, sale, what is left of it, audit.
fn rehearse(
    arguments: &DrillRun,
    profile: &Profile,
    tools: &mut Tools,
    stop: &AtomicBool,
) -> anyhow::Result<Report> {
    let progress = &Progress::new(arguments.format);
    let waits = Waits { patience: Duration::from_secs(arguments.patience), stop, progress };
    let clock = WallClock::new();
    let settings = traffic_settings(profile, &tools.pipeline.rules);
    let starts_at = clock.now_ms() - settings.opening_ms.cast_signed();
    let mut traffic =
        Traffic::new(settings, profile.orders(), arguments.seed, tools.partitions, starts_at);
    let mut publisher = OnKafka(Publisher::new(&tools.settings)?);
    let catalogue = settle_catalogue(tools, &mut traffic, &mut publisher, &waits)?;

    let opens_at = clock.now_ms() + OPENS_AFTER_MS;
    traffic.open_at(opens_at);
    let told = PlanTold {
        profile: profile.to_string(),
        seconds: profile.seconds(),
        seed: arguments.seed,
        partitions: tools.partitions,
        opened_at_ms: opens_at,
        catalogue,
    };
    let mut sale = Sale {
        traffic,
        publisher,
        meter: Meter::new(opens_at, &ends(tools)?),
        ends_at: opens_at + (profile.seconds() * 1_000.0) as i64,
    };
    let left = measure(tools, &mut sale, &clock, &waits)?;

    let mut report = Report::new(told, sale.meter.measured(), sale.traffic.summary().orders);
    progress.say("Now the audit derives every output again from the input, with other code ...");
    report.verdict = verdict(tools, left)?;
    report.judge(&arguments.fail_if);
    Ok(report)
}

/// How long is waited, and who is told meanwhile.
pub(super) struct Waits<'a> {
    /// Without anything moving.
    pub(super) patience: Duration,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a Progress,
}

/// What is published from the opening on.
struct Sale {
    traffic: Traffic,
    publisher: OnKafka,
    meter: Meter,
    /// In milliseconds since 1970.
    ends_at: i64,
}

/// Publishes the catalogue and waits until it is settled; gives the number of its records.
fn settle_catalogue(
    tools: &mut Tools,
    traffic: &mut Traffic,
    publisher: &mut OnKafka,
    waits: &Waits<'_>,
) -> anyhow::Result<u64> {
    let Waits { patience, stop, progress } = waits;
    let records =
        load::publish_catalogue(traffic, publisher, |records| progress.catalogue(records))?;
    progress.say(&format!("{} records of the catalogue are published", grouped(records)));
    let left = settle_up(tools, waits).context("settling the catalogue")?;
    // Relaxed: nothing is handed over with the flag.
    ensure!(!stop.load(Ordering::Relaxed), "stopped before the sale opened");
    ensure!(
        left == 0,
        "{} records of the catalogue are still not settled, and nothing has moved for {} s: does a \
         `floodgate settle` consume {}?",
        grouped(left),
        patience.as_secs(),
        tools.settings.topics.orders
    );
    Ok(records)
}

/// Publishes the sale while answers are read, and waits until it is settled and everything that was
/// written has been read; gives the number of records that are not settled.
fn measure(
    tools: &mut Tools,
    sale: &mut Sale,
    clock: &WallClock,
    waits: &Waits<'_>,
) -> anyhow::Result<u64> {
    let mut answers = AnswersOnKafka(AnswerReader::start(&tools.settings, tools.partitions)?);
    let Sale { traffic, publisher, meter, ends_at } = sale;
    let (meter, ends_at) = (&*meter, *ends_at);
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            load::listen(&mut answers, clock, meter, &over, &mut |error| {
                tracing::warn!(%error, "reading answers");
            });
        });
        threads.spawn(|| waits.progress.watch(meter, clock, ends_at, &over));
        let driven = load::drive(traffic, publisher, clock, ends_at, meter, waits.stop)
            .map_err(anyhow::Error::from)
            .and_then(|()| settle_up(tools, waits))
            .and_then(|left| await_rest(tools, meter, waits.patience).map(|()| left));
        // Relaxed: nothing is handed over with the flag.
        over.store(true, Ordering::Relaxed);
        driven
    })
}

/// The traffic of an ordinary sale day, in the shape of the profile and by the pipeline's rules.
fn traffic_settings(profile: &Profile, rules: &Rules) -> TrafficSettings {
    TrafficSettings {
        profile: Some(profile.clone()),
        order_window_ms: rules.order_window_ms,
        refund_window_ms: rules.receipt_window_ms,
        skew_ms: rules.skew_ms,
        time_to_live_ms: rules.hold_ttl_ms,
        ..TrafficSettings::default()
    }
}

/// For each partition of the input, where it ends.
pub(super) fn ends(tools: &mut Tools) -> Result<Vec<u64>, LogError> {
    (0..tools.partitions)
        .map(|partition| Ok(tools.offsets.input_bounds(partition)?.next.0))
        .collect()
}

/// Waits until all that was published is settled, or nothing has moved for `patience`; gives the
/// number of records that are not settled.
pub(super) fn settle_up(tools: &mut Tools, waits: &Waits<'_>) -> anyhow::Result<u64> {
    let Waits { patience, stop, progress } = waits;
    let all: Vec<Partition> = (0..tools.partitions).collect();
    let ends = ends(tools)?;
    let (mut least, mut moved_at) = (ends.iter().sum(), Instant::now());
    loop {
        let committed = match tools.offsets.committed(&all, COMMITTED_WAIT) {
            Ok(committed) => committed,
            Err(LogError::Retry(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let left = |(end, committed): (&u64, &pipeline::log::Committed)| {
            end.saturating_sub(committed.offset.map_or(0, |offset| offset.0))
        };
        if !committed.is_empty() {
            let left: u64 = ends.iter().zip(&committed).map(left).sum();
            if left < least {
                (least, moved_at) = (left, Instant::now());
            }
            progress.settling(left);
        }
        // Relaxed: nothing is handed over with the flag.
        if least == 0 || moved_at.elapsed() >= *patience || stop.load(Ordering::Relaxed) {
            return Ok(least);
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until no counter has been written and no answer read for a while, at most for `patience`.
pub(super) fn await_rest(tools: &Tools, meter: &Meter, patience: Duration) -> anyhow::Result<()> {
    let now = || -> Result<(Vec<Offset>, u64), LogError> {
        let end = |partition| tools.offsets.output_end(wire::Topic::Gmv, partition);
        let counters = (0..tools.partitions).map(end).collect::<Result<_, LogError>>()?;
        Ok((counters, meter.answers()))
    };
    let began = Instant::now();
    let (mut last, mut moved_at) = (now()?, began);
    while moved_at.elapsed() < REST && began.elapsed() < patience + REST {
        std::thread::sleep(LOOK);
        let seen = now()?;
        if seen != last {
            (last, moved_at) = (seen, Instant::now());
        }
    }
    Ok(())
}

pub(super) fn verdict(tools: &mut Tools, undecided: u64) -> anyhow::Result<Verdict> {
    let audited = audit::judge(tools, false, |_| {})?;
    let found = &audited.audit.verdict;
    Ok(Verdict {
        oversold: found.oversold,
        lost: found.lost,
        duplicated: found.duplicated,
        miscounted: found.miscounted,
        different: found.different,
        undecided,
        findings: audited.audit.findings.iter().take(FINDINGS_MAX).cloned().collect(),
    })
}

pub(super) fn print(format: Format, out: &Path, report: &Report) -> anyhow::Result<()> {
    if format == Format::Json {
        say(&serde_json::to_string(report).context("report")?);
        return Ok(());
    }
    super::report::summary(report).iter().for_each(|line| say(line));
    let place = |name: &str| out.join(name).display().to_string();
    say(&format!("\n{} and {}", place(super::report::PAGE), place(super::report::FIGURES)));
    Ok(())
}

struct OnKafka(Publisher);

pub(super) fn load_error(error: LogError) -> LoadError {
    LoadError(error.to_string())
}

impl load::Publisher for OnKafka {
    fn publish(&mut self, record: &Sent) -> Result<(), LoadError> {
        let record = NewRecord {
            partition: record.partition,
            timestamp_ms: record.timestamp_ms,
            key: record.key(),
            value: record.value(),
        };
        self.0.publish(&record).map_err(load_error)
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

pub(super) struct AnswersOnKafka(pub(super) AnswerReader);

impl Answers for AnswersOnKafka {
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError> {
        let mut on_answer = |answered: &Answered<'_>| {
            let number = |name| answered.header(name)?.parse().ok();
            let code = answered.header("__connect.errors.exception.class.name");
            let offset = number("__connect.errors.offset");
            let dead_letter = code.zip(offset).map(|(code, offset)| DeadLetter { code, offset });
            on(&Answer {
                partition: answered.partition(),
                timestamp_ms: answered.timestamp_ms(),
                value: answered.value(),
                dead_letter,
            });
        };
        self.0.look(wait, &mut on_answer).map_err(load_error)
    }
}
