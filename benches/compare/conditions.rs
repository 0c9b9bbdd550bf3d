//! Under which conditions was measured: machine, versions, settings.
//!
//! Invariant: whatever a figure depends on and the arguments do not say stands here.

use std::process::Command;

use e2e::KAFKA_VERSION;

use crate::arguments::Arguments;
use crate::running::FLINK_COMMIT_MS;

/// Name and value of each.
pub(crate) fn of(arguments: &Arguments) -> Vec<(String, String)> {
    let Arguments { records, rounds, merchants, partitions, workers, .. } = arguments;
    let peers = arguments.peer_records();
    let each = [
        ("processor", processor()),
        ("cores", std::thread::available_parallelism().map_or(0, usize::from).to_string()),
        ("memory", memory()),
        ("system", said("uname", &["-sr"])),
        ("Java", said("java", &["-version"])),
        ("Rust", said("rustc", &["--version"])),
        ("source", said("git", &["describe", "--always", "--dirty"])),
        ("broker", format!("Apache Kafka {KAFKA_VERSION}, one node, 1 GB heap, on this machine, on loopback")),
        ("client", "librdkafka 2.12.1 (rdkafka 0.39) for Floodgate and the pass-through".to_owned()),
        ("peers", "Kafka Streams 4.2.1; Flink 2.0.0 with Kafka connector 4.0.1-2.0; heap 6 GB, ParallelGC".to_owned()),
        ("log", format!("{records} orders of two lines ({peers} for the peers in Java), {merchants} merchants with 11 SKUs each, {partitions} partitions, lz4")),
        ("threads", format!("{workers} workers, stream threads or subtasks; the pass-through has one")),
        ("commits", format!("as named; Kafka Streams 50 ms; Flink with each checkpoint, every {FLINK_COMMIT_MS} ms")),
        ("rounds", format!("{rounds}, in alternating order, after a warm-up")),
    ];
    each.map(|(name, value)| (name.to_owned(), value)).into()
}

fn processor() -> String {
    let of = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    kib.map_or("unknown".to_owned(), |kib| format!("{:.1} GiB", kib / 1_048_576.0))
}

/// The first line that a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("unknown").to_owned()
}
