//! `floodgate validate`: everything that can be checked before a start.
//!
//! Invariant: it changes nothing, except that it writes and removes one file in the snapshot store.

use kafka::admin;
use pipeline::log::Offsets as _;
use pipeline::store::ObjectSnapshots;
use serde::Serialize;

use crate::arguments::{self, Format, Timestamps};
use crate::configuration::{Configuration, Overrides};
use crate::connection;
use crate::exit::Exit;
use crate::print::say;

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    findings: Vec<String>,
}

impl Check {
    fn of(what: &'static str, findings: Vec<String>) -> Check {
        Check { what, ok: findings.is_empty(), findings }
    }
}

/// Checks and says what is wrong. A configuration that cannot be used ends with exit code 78,
/// anything else that does not hold with 1.
pub(crate) fn run(arguments: &arguments::Validate) -> anyhow::Result<Exit> {
    let mut overrides = Overrides::default();
    overrides.set("snapshots.directory", arguments.snapshots.as_ref());
    let configuration = connection::configuration_of_tool(&arguments.connection, &mut overrides)?;
    connection::settings(&configuration, "floodgate-tool")?;
    let mut checks = vec![Check::of("configuration", Vec::new())];
    if !arguments.offline {
        checks.push(check_store(&configuration));
        checks.extend(check_kafka(&configuration, arguments.timestamps)?);
    }
    let well = checks.iter().all(|check| check.ok);
    match arguments.format {
        Format::Json => say(&serde_json::json!({ "ok": well, "checks": checks }).to_string()),
        Format::Text => checks.iter().for_each(print),
    }
    Ok(if well { Exit::Well } else { Exit::DoesNotHold })
}

fn print(check: &Check) {
    say(&format!("{} {}", if check.ok { "ok  " } else { "BAD " }, check.what));
    check.findings.iter().for_each(|finding| say(&format!("     {finding}")));
}

fn check_store(configuration: &Configuration) -> Check {
    let directory = &configuration.snapshots.directory;
    let tried = ObjectSnapshots::at(directory).and_then(|store| store.probe());
    Check::of("snapshot store", tried.err().map(|error| error.to_string()).into_iter().collect())
}

fn check_kafka(
    configuration: &Configuration,
    timestamps: Timestamps,
) -> anyhow::Result<Vec<Check>> {
    let (settings, mut offsets) = connection::offsets(configuration)?;
    if let Err(error) = offsets.cluster_id() {
        return Ok(vec![Check::of("brokers", vec![error.to_string()])]);
    }
    let findings = match admin::check_topics(&settings, timestamps.into()) {
        Ok(findings) => findings.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    Ok(vec![Check::of("brokers", Vec::new()), Check::of("topics", findings)])
}
