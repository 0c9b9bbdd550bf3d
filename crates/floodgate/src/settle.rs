//! `floodgate settle`: the workers on Kafka, watched, until they are asked to stop.
//!
//! Top to bottom what a start does; each step says why it stands there. Invariant: the process
//! joins the group only when everything that can be checked has been, and leaves it in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use kafka::{KafkaOffsets, Settings, admin};
use pipeline::log::LogError;
use pipeline::metadata::{RulesHash, rules_text};
use pipeline::opening::Pipeline;
use pipeline::stock_view::StockViews;
use pipeline::store::ObjectSnapshots;
use serde_json::json;

use crate::arguments;
use crate::configuration::{Configuration, Overrides, Wrong};
use crate::connection::{self, Cluster, OnKafka};
use crate::exit::Exit;
use crate::fleet::{Fleet, LOOK, Plan};
use crate::http::{self, Served, Shown};
use crate::logging;
use crate::metrics;
use crate::print::say;
use crate::signals;

/// `--until-idle` ends when everything assigned has been at its end for this long.
const IDLE: Duration = Duration::from_secs(2);
/// ... or when nothing at all has been assigned for this long.
const UNASSIGNED: Duration = Duration::from_secs(20);
/// A cluster that does not answer is asked again this long after the last question began ...
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// ... and waited for this long, so that a stop is noticed soon.
const ANSWER_WAIT: Duration = Duration::from_millis(800);

/// Settles until a signal, until idle, or until something is wrong for good.
pub(crate) fn run(arguments: &arguments::Settle) -> anyhow::Result<Exit> {
    let configuration = configuration(arguments)?;
    logging::start(&configuration.log)?;
    let stop = signals::stop()?;

    // Before anything else: a port in use or a wrong address must not cost a rebalance, and health
    // can be asked for while Kafka is still away.
    let served = Served::new(metrics::install()?);
    if !configuration.settle.listen.is_empty() {
        let listener = http::bind(&configuration.settle.listen)?;
        tracing::info!("listening on http://{}", listener.local_addr()?);
        http::serve(listener, served.clone())?;
    }
    let store = Arc::new(ObjectSnapshots::at(&configuration.snapshots.directory)?);

    // Nothing can be decided without the number of partitions, which is one of the rules.
    let (settings, offsets) = connection::offsets(&configuration)?;
    let mut offsets = offsets.waiting_at_most(ANSWER_WAIT);
    let Some(cluster) = wait_for_cluster(&mut offsets, &served, &stop)? else {
        return Ok(Exit::Well);
    };
    let ticks = ticks_are_due(&settings, arguments.until_idle)?;
    drop(offsets);

    let rules = configuration.rules(cluster.partitions);
    let instance = instance(&configuration);
    tracing::info!(
        cluster = cluster.id,
        partitions = cluster.partitions,
        instance,
        ticks,
        rules = rules_text(&rules),
        rules_hash = %RulesHash::of(&rules),
        "joining the group"
    );
    let plan = Plan {
        pipeline: Pipeline {
            cluster: cluster.id,
            group: configuration.group(),
            topic: settings.topics.orders,
            rules,
        },
        settings: configuration.worker(ticks),
        store,
        views: Arc::new(StockViews::default()),
    };
    let workers = configuration.settle.workers;
    let stall = Duration::from_millis(configuration.settle.stall_ms);
    let mut fleet = Fleet::start(&plan, workers, OnKafka::new(configuration, instance))?;
    let (workers, views) = (fleet.shared(), Arc::clone(&plan.views));
    let settings = plan.settings.clone();
    served.show(Shown { workers, views, rules, settings });

    let watched = watch(&mut fleet, &stop, stall, arguments.until_idle);
    tracing::info!("draining");
    fleet.stop();
    let finished = finish(fleet, stall);
    watched.and(finished)
}

fn configuration(arguments: &arguments::Settle) -> Result<Configuration, Wrong> {
    let mut overrides = Overrides::default();
    overrides
        .set("snapshots.directory", arguments.snapshots.as_ref())
        .set("settle.workers", arguments.workers)
        .set("settle.listen", arguments.listen.as_ref())
        .set("kafka.instance", arguments.instance.as_ref());
    connection::configuration(&arguments.connection, &mut overrides)
}

/// Asks until the cluster answers; none if the process was asked to stop first. What nobody but an
/// operator can mend, as a wrong password, is not waited for.
fn wait_for_cluster(
    offsets: &mut KafkaOffsets,
    served: &Served,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Cluster>> {
    let mut logged: Option<(String, Instant)> = None;
    // Relaxed: nothing is handed over with the flag.
    while !stop.load(Ordering::Relaxed) {
        let asked_at = Instant::now();
        let error = match connection::cluster(offsets) {
            Ok(cluster) => {
                served.waiting_for(String::new());
                return Ok(Some(cluster));
            }
            Err(error @ LogError::Fatal(_)) => return Err(error).context("Kafka"),
            Err(error) => format!("Kafka: {error}"),
        };
        let again = logged
            .as_ref()
            .is_none_or(|(last, at)| *last != error || at.elapsed() >= Duration::from_secs(10));
        if again {
            tracing::warn!("{error}; trying again");
            logged = Some((error.clone(), Instant::now()));
        } else {
            tracing::debug!("{error}; still trying");
        }
        served.waiting_for(error);
        while asked_at.elapsed() < ASK_AGAIN && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
    }
    Ok(None)
}

/// Ticks carry the broker's time, so they make sense only where the broker stamps the orders.
fn ticks_are_due(settings: &Settings, until_idle: bool) -> anyhow::Result<bool> {
    if until_idle {
        return Ok(false);
    }
    let timestamps = admin::input_timestamps(settings).context("timestamps of the input topic")?;
    Ok(timestamps == admin::Timestamps::Append)
}

fn instance(configuration: &Configuration) -> String {
    let configured = &configuration.kafka.instance;
    if configured.is_empty() {
        format!("{:08x}", rand::random::<u32>())
    } else {
        configured.clone()
    }
}

/// Looks after the workers until it is time to stop.
fn watch(
    fleet: &mut Fleet,
    stop: &AtomicBool,
    stall: Duration,
    until_idle: bool,
) -> anyhow::Result<()> {
    let mut assigned_at = Instant::now();
    // Relaxed: nothing is handed over with the flag.
    while !stop.load(Ordering::Relaxed) && !fleet.has_ended() {
        std::thread::sleep(LOOK);
        end_if_stalled(fleet, stall);
        if fleet.has_partitions() {
            assigned_at = Instant::now();
        }
        if !until_idle {
            continue;
        }
        // It would be waited for for ever.
        if let Some(refusal) = fleet.refusal() {
            anyhow::bail!(refusal);
        }
        let idle = fleet.idle().is_some_and(|idle| idle >= IDLE);
        if idle || assigned_at.elapsed() >= UNASSIGNED {
            return Ok(());
        }
    }
    Ok(())
}

/// A call into the client library that never returns cannot be cancelled: only ending the process
/// lets another one take over.
fn end_if_stalled(fleet: &mut Fleet, stall: Duration) {
    if let Some(worker) = fleet.stalled(stall) {
        tracing::error!(worker, "its loop has not turned for {stall:?}, ending the process");
        std::process::exit(1);
    }
}

fn finish(mut fleet: Fleet, stall: Duration) -> anyhow::Result<Exit> {
    while !fleet.have_all_ended() {
        end_if_stalled(&mut fleet, stall);
        std::thread::sleep(LOOK);
    }
    let (records, seconds) = (fleet.records(), fleet.busy().as_secs_f64());
    fleet.join()?;
    let per_second = if seconds > 0.0 { (records as f64 / seconds) as u64 } else { 0 };
    let summary = json!({
        "records": records, "seconds": seconds, "records_per_second": per_second,
    });
    say(&summary.to_string());
    Ok(Exit::Well)
}
