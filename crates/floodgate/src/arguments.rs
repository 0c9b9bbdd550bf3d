//! The command line.
//!
//! Only its shape and its help; each command's work is in the file of its name. Invariant: exit
//! codes are 0 well, 1 the thing checked does not hold, 2 usage, 78 wrong configuration.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use drill::knee::Target;
use drill::profile::Span;
use drill::recording::moment::Moment;
use drill::threshold::Threshold;
use drill::traffic;

#[derive(Debug, Parser)]
#[command(
    name = "floodgate",
    version,
    about = "Exactly-once order settlement and live GMV on Kafka",
    after_help = "Try it with nothing installed:\n  floodgate demo"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline in this process on generated traffic, then audit it.
    #[command(after_help = "Example:\n  floodgate demo --orders 1000000 --seed 7 --format json")]
    Demo(Demo),
    /// Put the pipeline's own code through crashes, zombies, lost answers and bad storage, seed by seed.
    #[command(
        after_help = "Examples:\n  floodgate simulate --seeds 2000\n  floodgate simulate --hours 8 --format json\n  floodgate simulate --seed 7 --trace"
    )]
    Simulate(Simulate),
    /// Settle orders: consume commands, hold and settle stock, write answers and counters.
    #[command(
        after_help = "Example:\n  floodgate settle --brokers 127.0.0.1:9092 --snapshots snapshots"
    )]
    Settle(Settle),
    /// Serve the live board: page and JSON API of the GMV counters.
    #[command(
        after_help = "Examples:\n  floodgate board --brokers 127.0.0.1:9092\n  floodgate board --listen 0.0.0.0:9465 --users-file /run/secrets/board-users --compare 2024-11-11.json"
    )]
    Board(Board),
    /// Print what Prometheus and Grafana need, for the configured names.
    #[command(subcommand)]
    Generate(Generate),
    /// Rehearse a sale day: load by the clock, and a verdict on speed and correctness together.
    #[command(subcommand)]
    Drill(Drill),
    /// Derive every output from the input again, with other code, and compare.
    #[command(
        long_about = "Derive every output from the input again, with other code, and compare. A \
                      partition whose input no longer reaches back to its beginning is audited from \
                      its oldest usable snapshot on.",
        after_help = "Example:\n  floodgate audit --brokers 127.0.0.1:9092 --format json"
    )]
    Audit(Audit),
    /// Create or check the topics.
    #[command(subcommand)]
    Topics(Topics),
    /// Say what is wrong with configuration, brokers, topics and snapshot store.
    #[command(after_help = "Example:\n  floodgate validate --config config/floodgate.toml")]
    Validate(Validate),
    /// List snapshots, or continue a partition from one.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Ask a running settle for live stock.
    #[command(subcommand)]
    Stock(Stock),
}

/// What every command that talks to Kafka takes.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Configuration file; config/floodgate.toml documents every key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Bootstrap servers.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) brokers: Option<String>,
    /// Put before every topic name and the group.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) topic_prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// The last line of standard output is one JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Orders to place.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pub(crate) orders: u64,
    /// The traffic is a function of the orders, this seed and the traffic's settings alone.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) traffic: TrafficFile,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The first seed; everything that happens in a run follows from its seed. Random if left out.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many seeds, this one and those that follow it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Go on for so many hours, however many seeds that are.
    #[arg(long, value_name = "H")]
    pub(crate) hours: Option<f64>,
    /// Threads, each with a world of its own; one for each core if left out.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Print everything that happens in the first seed's run.
    #[arg(long)]
    pub(crate) trace: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Settle {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Directory of the snapshots, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// Worker threads.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Name of this process, unique in the group; one that survives restarts recovers fastest.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Where metrics, health, status and stock are served; empty: nowhere.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Write no ticks, and stop when all assigned partitions have been at their end for two seconds.
    #[arg(long)]
    pub(crate) until_idle: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Board {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Where page and API are served.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// An earlier day to compare with: a saved answer of /api/v1/minutes.
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Only who sends one of these bearer tokens may read; one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Only these users may read; one user:password a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) users_file: Option<PathBuf>,
    /// The records carry a time of their own: tell ages and the day by it, not by this machine's clock.
    #[arg(long)]
    pub(crate) rehearsal: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Drill {
    /// Publish a sale day's traffic by the clock, time the answers, and judge.
    #[command(
        after_help = "Examples:\n  floodgate drill run --topic-prefix drill. --peak 5000\n  floodgate drill run --topic-prefix drill. --profile '500/s for 1m, 20k/s at +26s, 5k/s for 2m' --fail-if 'p99>80ms' --out friday"
    )]
    Run(DrillRun),
    /// Rehearse a whole sale day: start what is missing, publish, kill a process at the peak, judge.
    #[command(
        long_about = "Rehearse a whole sale day: start what is missing, publish, kill a process at the \
                      peak, judge. With --brokers (or --config) on that Kafka, with topics of its own; \
                      else in this process, with nothing installed.",
        after_help = "Examples:\n  floodgate drill rehearse --board\n  floodgate drill rehearse --brokers 127.0.0.1:9092 --peak 5000 --fail-if 'p99>500ms' --out friday"
    )]
    Rehearse(DrillRehearse),
    /// Search the highest rate at which a running pipeline holds a target.
    #[command(
        after_help = "Example:\n  floodgate drill knee --topic-prefix drill. --target 'p99<60ms' --step 20s --out friday"
    )]
    Knee(DrillKnee),
    /// Keep a topic's commands in files, with other names for buyers and orders if you like.
    #[command(
        after_help = "Examples:\n  floodgate drill record --to friday\n  floodgate drill record --to friday --since 2025-11-11T00:00:00+08:00 --until 2025-11-11T01:00:00+08:00 --pseudonymise"
    )]
    Record(DrillRecord),
    /// Publish recorded commands again, time the answers, and judge.
    #[command(
        after_help = "Examples:\n  floodgate drill replay --from friday --topic-prefix drill.\n  floodgate drill replay --from friday --topic-prefix drill. --speed 10 --fail-if 'p99>80ms' --out monday"
    )]
    Replay(DrillReplay),
    /// Draw a report again, beside an earlier one if you like.
    #[command(
        after_help = "Example:\n  floodgate drill report friday/drill-report.json --compare thursday/drill-report.json --out both.html"
    )]
    Report(DrillReport),
}

#[derive(Debug, Args)]
pub(crate) struct DrillRun {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Partitions of topics that have to be created first.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Wait for no answer and judge nothing: how much can this machine offer? No pipeline is needed.
    #[arg(long, conflicts_with_all = ["metrics", "fail_if"])]
    pub(crate) publish_only: bool,
    /// A settle whose metrics tell latency by stage; once for each.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Vec<String>,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
    /// Publish made-up orders into topics without a prefix.
    #[arg(long)]
    pub(crate) yes_into_production: bool,
}

/// What the traffic is like.
#[derive(Debug, Args)]
pub(crate) struct TrafficFile {
    /// Rates of the traffic; config/traffic.toml documents every one.
    #[arg(long, value_name = "FILE")]
    pub(crate) traffic: Option<PathBuf>,
}

impl TrafficFile {
    /// The settings of the file, or the default ones.
    pub(crate) fn settings(&self) -> Result<traffic::Settings, traffic::file::TrafficFileError> {
        self.traffic
            .as_deref()
            .map_or_else(|| Ok(traffic::Settings::default()), traffic::file::read)
    }
}

/// Who publishes a load.
#[derive(Debug, Args)]
pub(crate) struct Publishing {
    /// Clients that publish, each its share of the partitions on a thread of its own. What they publish
    /// does not depend on how many there are: a third of the cores if left out, at most 8.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    publishers: Option<usize>,
}

impl Publishing {
    /// How many there are.
    pub(crate) fn publishers(&self) -> usize {
        // Each takes a core, and its client another; what plans for all of them takes one.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.publishers.unwrap_or((cores / 3).clamp(1, 8))
    }
}

/// What a load is.
#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) traffic: TrafficFile,
    /// Orders a second over time, in stages: `RATE/s for TIME` holds a rate, `RATE/s at +TIME` reaches it
    /// in a straight line.
    #[arg(long, value_name = "STAGES", conflicts_with = "profile_file")]
    pub(crate) profile: Option<String>,
    /// The same from a file, stages separated by commas or lines; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_file: Option<PathBuf>,
    /// Orders a second at the peak of the built-in sale day of four minutes, which is the profile
    /// unless another one is given: quiet, the step at midnight, the peak, the plateau, the evening.
    #[arg(long, value_name = "RATE", default_value_t = 1_000.0)]
    pub(crate) peak: f64,
    /// Everything that is published follows from it and from the profile.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) publishing: Publishing,
    /// Give up when the pipeline has not moved for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) patience: u64,
}

/// What becomes of a load's report.
#[derive(Debug, Args)]
pub(crate) struct Outcome {
    /// Fail if this comes true, as in `p99>80ms`; can be given several times.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<Threshold>,
    /// Where the report is written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DrillRehearse {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Partitions of every topic.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Processes that settle; workers in this process if there is no Kafka.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub(crate) processes: usize,
    /// Kill one of them so long after the opening, as in `56s`; can be given several times. At the
    /// peak if left out.
    #[arg(long, value_name = "TIME", conflicts_with = "no_faults")]
    pub(crate) kill_at: Vec<Span>,
    /// Kill nobody.
    #[arg(long)]
    pub(crate) no_faults: bool,
    /// Serve the live board here, and leave it open in the end.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9465")]
    pub(crate) board: Option<String>,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Args)]
pub(crate) struct DrillKnee {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// What has to hold: a figure of `--fail-if`, with the bound that it stays below (or above).
    #[arg(long, value_name = "CONDITION", default_value = "p99<60ms")]
    pub(crate) target: Target,
    /// How long each rate is held.
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) step: Span,
    /// The first rate, in orders a second.
    #[arg(long, value_name = "RATE", default_value_t = 1_000.0, value_parser = rate)]
    pub(crate) from: f64,
    /// No rate is higher.
    #[arg(long, value_name = "RATE", default_value_t = 1_000_000.0, value_parser = rate)]
    pub(crate) up_to: f64,
    /// Stop when the knee is known to so many percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub(crate) precision: f64,
    /// Most rates that are tried.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) traffic: TrafficFile,
    /// Of the first step's traffic; each further step has the next one.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) publishing: Publishing,
    /// Partitions of topics that have to be created first.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Give a step up when the pipeline has not moved for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) patience: u64,
    /// Publish made-up orders into topics without a prefix.
    #[arg(long)]
    pub(crate) yes_into_production: bool,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=1e8).contains(rate));
    rate.ok_or_else(|| "a rate is 1 to 100000000 orders a second".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct DrillRecord {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Where the recording is written, a directory or s3://bucket/prefix; nothing may have been recorded there before.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Where it begins, an offset or a time like 2025-11-11T00:00:00+08:00; with the oldest record if
    /// left out.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Moment>,
    /// Where it ends, this offset or time excluded; where the topic ends now if left out.
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    pub(crate) until: Option<Moment>,
    /// Go on with what comes, until SIGINT or SIGTERM.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Give buyers, orders, payments, refunds and receipts other names, and leave out what the contract
    /// gives no meaning to.
    #[arg(long)]
    pub(crate) pseudonymise: bool,
    /// The secret that the other names follow from, at least 16 random bytes; a new one, which nobody
    /// keeps, if left out.
    #[arg(long, value_name = "FILE", requires = "pseudonymise")]
    pub(crate) secret_file: Option<PathBuf>,
    /// How to print what was recorded.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DrillReplay {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Where the recording is.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// So many times as fast as it was recorded, 0.1 to 100.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed, conflicts_with = "unpaced")]
    pub(crate) speed: f64,
    /// As fast as the publisher goes; answers are not timed then, since nothing is due.
    #[arg(long)]
    pub(crate) unpaced: bool,
    /// No silence of the recording lasts longer than so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) longest_pause: u32,
    /// What fresh ids begin with, 1 to 7 letters and digits; random if left out. The same one twice in the
    /// same topics makes repetitions.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Partitions of topics that have to be created first; the recording's if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: Option<u32>,
    /// Give up when the pipeline has not moved for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) patience: u64,
    /// Publish recorded orders into topics without a prefix.
    #[arg(long)]
    pub(crate) yes_into_production: bool,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| (0.1..=100.0).contains(speed));
    speed.ok_or_else(|| "write a number from 0.1 to 100, or --unpaced".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct DrillReport {
    /// The report's JSON.
    pub(crate) report: Option<PathBuf>,
    /// An earlier report to draw beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Where the page is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Judge by these conditions instead of the report's own.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<Threshold>,
    /// Print the JSON schema of reports instead.
    #[arg(long)]
    pub(crate) schema: bool,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Directory of the snapshots, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// Begin at the oldest usable snapshot, where there is one, even if the input is still whole.
    #[arg(long)]
    pub(crate) from_snapshot: bool,
    /// How to print the verdict.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Which services to scrape.
    #[command(
        after_help = "Example:\n  floodgate generate prometheus --settle a:9464 --settle b:9464 --board c:9465 --merchant 1001 > prometheus.yml"
    )]
    Prometheus(GeneratePrometheus),
    /// Recording rules and alerts.
    #[command(
        after_help = "Example:\n  floodgate generate alerts --runbook https://wiki.example/floodgate/runbook > floodgate.rules.yml"
    )]
    Alerts(GenerateAlerts),
    /// A dashboard.
    #[command(
        after_help = "Example:\n  floodgate generate grafana --dashboard pipeline-health > pipeline-health.json"
    )]
    Grafana(GenerateGrafana),
}

/// Where the names come from.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Configuration file; config/floodgate.toml documents every key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Put before the names of the jobs, as before those of topics and group.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) topic_prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GeneratePrometheus {
    #[command(flatten)]
    pub(crate) names: Names,
    /// Where a settle listens; once for each. The configured address if left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) settle: Vec<String>,
    /// Where a board listens; once for each. The configured address if left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) board: Vec<String>,
    /// A merchant that is watched; once for each.
    #[arg(long, value_name = "ID")]
    pub(crate) merchant: Vec<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateAlerts {
    #[command(flatten)]
    pub(crate) names: Names,
    /// Where the alerts find the runbook.
    #[arg(long, value_name = "URL")]
    pub(crate) runbook: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateGrafana {
    /// Which one.
    #[arg(long, value_enum)]
    pub(crate) dashboard: Dashboard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dashboard {
    /// The day's figures, and what becomes of the orders.
    SaleDay,
    /// Is the system well, and if not, where.
    PipelineHealth,
    /// One merchant and its stores.
    Merchant,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Create all topics with the settings that the guarantees need.
    #[command(
        after_help = "Example:\n  floodgate topics create --brokers 127.0.0.1:9092 --partitions 12 --replication 3"
    )]
    Create(TopicsCreate),
    /// Compare the topics' settings with what the guarantees need.
    #[command(after_help = "Example:\n  floodgate topics check --brokers 127.0.0.1:9092")]
    Check(TopicsCheck),
}

#[derive(Debug, Args)]
pub(crate) struct TopicsCreate {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Number of partitions of every topic, fixed for life.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Replicas of each partition.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) replication: u32,
    /// Whose clock stamps the orders.
    #[arg(long, value_enum, default_value_t = Timestamps::Append)]
    pub(crate) timestamps: Timestamps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timestamps {
    /// The broker's: for production.
    Append,
    /// The publisher's: for rehearsals and tests.
    Create,
}

#[derive(Debug, Args)]
pub(crate) struct TopicsCheck {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Whose clock should stamp the orders.
    #[arg(long, value_enum, default_value_t = Timestamps::Append)]
    pub(crate) timestamps: Timestamps,
    /// How to print the findings.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Directory of the snapshots, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// Whose clock should stamp the orders.
    #[arg(long, value_enum, default_value_t = Timestamps::Append)]
    pub(crate) timestamps: Timestamps,
    /// Only the configuration itself: no broker, no topics, no snapshot store.
    #[arg(long)]
    pub(crate) offline: bool,
    /// How to print the findings.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// List the snapshots of the pipeline's partitions, and whether each can be used.
    #[command(after_help = "Example:\n  floodgate snapshot list --snapshots snapshots")]
    List(SnapshotList),
    /// Continue a partition whose committed offset was lost from its newest usable snapshot.
    #[command(
        after_help = "Example:\n  floodgate snapshot adopt --partition 3 --snapshots snapshots"
    )]
    Adopt(SnapshotAdopt),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotList {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Directory of the snapshots, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// How to print the list.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotAdopt {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Directory of the snapshots, or s3://bucket/prefix.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshots: Option<PathBuf>,
    /// Which partition.
    #[arg(long, value_name = "P")]
    pub(crate) partition: u32,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stock {
    /// On hand, held and available of one SKU at each location.
    #[command(after_help = "Example:\n  floodgate stock get 1001 501 --at 127.0.0.1:9464")]
    Get(StockGet),
}

#[derive(Debug, Args)]
pub(crate) struct StockGet {
    /// The merchant.
    pub(crate) merchant: u64,
    /// The SKU.
    pub(crate) sku: u64,
    /// Where a settle that works on the merchant's partition listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub(crate) at: String,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_drill_can_use_is_found_out_when_it_runs() {
        let knee = ["--from", "--up-to", "--steps", "--partitions"].map(|flag| ("knee", flag));
        for (drill, flag) in knee.into_iter().chain([("run", "--partitions")]) {
            let parsed = |value| {
                Arguments::try_parse_from(["floodgate", "drill", drill, flag, value]).is_ok()
            };
            assert!(parsed("7"), "{flag}");
            let taken: Vec<_> =
                ["0", "-1", "NaN", "inf", "1e9"].into_iter().filter(|it| parsed(it)).collect();
            assert!(taken.is_empty(), "{drill} {flag} {taken:?}");
        }
    }
}
