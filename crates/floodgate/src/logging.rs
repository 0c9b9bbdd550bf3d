//! Structured logs on standard error: standard output is for results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::configuration::{Log, LogFormat, Wrong};

/// Starts logging for a process that runs; once.
pub(crate) fn start(log: &Log) -> Result<(), Wrong> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Wrong(format!("log.level {:?}: {error}; write \"info\"", log.level)))?;
    start_with(filter, log.format)
}

/// Starts logging for a tool, of which only its result and what goes wrong is wanted; once.
pub(crate) fn start_for_tool(log: &Log) -> Result<(), Wrong> {
    start_with(EnvFilter::new("warn"), log.format)
}

fn start_with(filter: EnvFilter, format: LogFormat) -> Result<(), Wrong> {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => subscriber.json().try_init(),
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| Wrong(format!("logging: {error}")))
}
