//! `floodgate topics create` and `check`.

use kafka::admin::{self, Finding};
use serde_json::json;

use crate::arguments::{Format, Timestamps, TopicsCheck, TopicsCreate};
use crate::configuration::Overrides;
use crate::connection;
use crate::exit::Exit;
use crate::print::say;

/// Creates the topics that are missing; those that exist are left as they are.
pub(crate) fn create(arguments: &TopicsCreate) -> anyhow::Result<Exit> {
    let TopicsCreate { connection, partitions, replication, timestamps } = arguments;
    let configuration = connection::configuration_of_tool(connection, &mut Overrides::default())?;
    let settings = connection::settings(&configuration, "floodgate-tool")?;
    let timestamps = (*timestamps).into();
    let counts = admin::partition_counts(&settings)?;
    let created = admin::create_topics(&settings, *partitions, *replication, timestamps)?;
    for (topic, count) in settings.topics.all().into_iter().zip(counts) {
        if created.iter().any(|created| created == topic) {
            say(&format!("{topic}: created"));
        } else {
            say(&format!("{topic}: exists with {count} partitions, left as it is"));
        }
    }
    Ok(Exit::Well)
}

impl From<Timestamps> for admin::Timestamps {
    fn from(timestamps: Timestamps) -> admin::Timestamps {
        match timestamps {
            Timestamps::Append => admin::Timestamps::Append,
            Timestamps::Create => admin::Timestamps::Create,
        }
    }
}

/// Compares the topics with what the guarantees need; exit code 1 if something does not hold.
pub(crate) fn check(arguments: &TopicsCheck) -> anyhow::Result<Exit> {
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    let settings = connection::settings(&configuration, "floodgate-tool")?;
    let findings = admin::check_topics(&settings, arguments.timestamps.into())?;
    match arguments.format {
        Format::Json => {
            let findings: Vec<String> = findings.iter().map(Finding::to_string).collect();
            say(&json!({ "ok": findings.is_empty(), "findings": findings }).to_string());
        }
        Format::Text if findings.is_empty() => say("all topics are as the guarantees need them"),
        Format::Text => findings.iter().for_each(|finding| say(&finding.to_string())),
    }
    Ok(if findings.is_empty() { Exit::Well } else { Exit::DoesNotHold })
}
