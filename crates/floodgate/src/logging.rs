//! Structured logs on standard error: standard output is for results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::configuration::{Log, LogFormat, Wrong};

/// Starts logging; once in a process.
pub(crate) fn start(log: &Log) -> Result<(), Wrong> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Wrong(format!("log.level {:?}: {error}; write \"info\"", log.level)))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => subscriber.json().try_init(),
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| Wrong(format!("logging: {error}")))
}
