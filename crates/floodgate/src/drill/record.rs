//! `floodgate drill record`: a topic's commands into files.
//!
//! Only the wiring: what is read is in `kafka::span`, what is written in `drill::recording`. Invariant:
//! a recording that was stopped says so, and one whose recorder died has no manifest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use drill::recording::moment::{Moment, told};
use drill::recording::{Manifest, Pseudonyms, Record, Recorder, RecordingError};
use kafka::reader::OwnedRecord;
use kafka::span::{Edge, SpanReader};
use pipeline::log::Offsets;
use pipeline::objects::Objects;

use super::progress::Progress;
use crate::arguments::{DrillRecord, Format};
use crate::configuration::Overrides;
use crate::exit::Exit;
use crate::print::{grouped, say};
use crate::{connection, signals};

const LOOK: Duration = Duration::from_millis(100);

/// Records; exit code 1 if it was stopped before it had what was asked for.
pub(crate) fn run(arguments: &DrillRecord) -> anyhow::Result<Exit> {
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    let pseudonyms = pseudonyms(arguments)?;
    let (settings, mut offsets) = connection::offsets(&configuration)?;
    let partitions = offsets
        .partition_count()
        .with_context(|| format!("asking Kafka at {}", settings.brokers))?;
    let place = arguments.to.display().to_string();
    let objects = Objects::at(&arguments.to).context("--to")?;
    let topic = &settings.topics.orders;
    let mut recorder =
        Recorder::new(objects, &place, rand::random(), topic, partitions, pseudonyms)?;
    let stop = signals::stop()?;
    let (since, until) = edges(arguments);
    let mut span = SpanReader::start(&settings, partitions, since, until)?;
    let progress = Progress::new(arguments.format);
    let copied = copy(&mut span, &mut recorder, &progress, &stop);
    if copied.as_ref().is_err_and(|error| error.is::<RecordingError>()) {
        // What could not be kept would be missing in the middle.
        return copied.map(|()| Exit::DoesNotHold);
    }
    let is_whole = copied.is_ok() && (arguments.follow || span.is_done());
    let manifest = recorder.finish(!is_whole)?;
    // What was read before the reading broke off is a recording too, one that says so.
    copied.with_context(|| cut_short(&place, &manifest))?;
    print(arguments.format, &place, &manifest)?;
    Ok(if is_whole { Exit::Well } else { Exit::DoesNotHold })
}

fn cut_short(place: &str, manifest: &Manifest) -> String {
    let records = grouped(manifest.records);
    format!("the recording broke off; {place} holds the {records} records before, and says so")
}

fn pseudonyms(arguments: &DrillRecord) -> anyhow::Result<Option<Pseudonyms>> {
    if !arguments.pseudonymise {
        return Ok(None);
    }
    let Some(file) = &arguments.secret_file else {
        // Nobody keeps it, so nobody can ask for it.
        return Ok(Some(Pseudonyms::new(&rand::random::<[u8; 32]>())));
    };
    let secret = secret(file)?;
    Ok(Some(Pseudonyms::new(&secret)))
}

fn secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let secret =
        std::fs::read(file).with_context(|| format!("--secret-file {}", file.display()))?;
    ensure!(
        secret.len() >= Pseudonyms::SECRET_BYTES_MIN,
        "--secret-file {}: {} bytes can be guessed; write at least {} random ones, as `openssl rand 32` \
         makes them",
        file.display(),
        secret.len(),
        Pseudonyms::SECRET_BYTES_MIN
    );
    Ok(secret)
}

fn edges(arguments: &DrillRecord) -> (Edge, Edge) {
    let edge = |moment: Moment| match moment {
        Moment::Offset(offset) => Edge::Offset(offset),
        Moment::Time(time_ms) => Edge::Time(time_ms),
    };
    let until = if arguments.follow { Edge::Open } else { Edge::Now };
    (arguments.since.map_or(Edge::Oldest, edge), arguments.until.map_or(until, edge))
}

/// Copies the span until its end, or until somebody stops it.
fn copy(
    span: &mut SpanReader,
    recorder: &mut Recorder,
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let (began, mut told_at) = (Instant::now(), Instant::now());
    // Relaxed: nothing is handed over with the flag.
    while !span.is_done() && !stop.load(Ordering::Relaxed) {
        span.look(LOOK, &mut |partition, record| {
            Ok::<_, anyhow::Error>(recorder.push(partition, recorded(record))?)
        })?;
        let (records, left) = (recorder.records(), span.left());
        progress.work(&mut told_at, || {
            let rate = records as f64 / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
            let left =
                if left > 0 { format!(", {} to come", grouped(left)) } else { String::new() };
            format!("{} records, {}/s{left}", grouped(records), grouped(rate as u64))
        });
    }
    progress.clear();
    Ok(())
}

fn recorded(record: OwnedRecord) -> Record {
    let OwnedRecord { offset, timestamp: timestamp_ms, key, value, headers } = record;
    Record { offset, timestamp_ms, key, value, headers }
}

fn print(format: Format, place: &str, manifest: &Manifest) -> anyhow::Result<()> {
    match format {
        Format::Json => say(&serde_json::to_string(manifest).context("manifest")?),
        Format::Text => sentences(place, manifest).iter().for_each(|line| say(line)),
    }
    Ok(())
}

fn sentences(place: &str, manifest: &Manifest) -> Vec<String> {
    let Manifest { topic, partitions, records, bytes, bytes_compressed, .. } = manifest;
    let mut lines = vec![format!(
        "{} records of {topic} in {} partitions, {} bytes, are in {place} as {} bytes",
        grouped(records),
        partitions.len(),
        grouped(bytes),
        grouped(bytes_compressed)
    )];
    if let (Some(first), Some(last)) = (manifest.first_t_ms, manifest.last_t_ms) {
        lines.push(format!("from {} to {}", told(first), told(last)));
    }
    if let Some(withheld) = &manifest.pseudonymised {
        lines.push(format!(
            "buyers and orders have other names; withheld: {} values that were no commands, {} keys, the \
             headers of {} records",
            grouped(withheld.values),
            grouped(withheld.keys),
            grouped(withheld.headers)
        ));
    }
    if manifest.stopped_early {
        lines.push("stopped before the end: what is missing was not recorded".to_owned());
    }
    lines
}
