//! Settings by the environment: `FLOODGATE__SECTION__KEY`, and whatever was meant to be one.
//!
//! Invariant: a variable that names a setting in another spelling is refused with the right one, since
//! nobody would see that it does nothing; any other variable, whatever it begins with, is none of ours.

use std::collections::BTreeMap;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use figment::value::{Dict, Value};

use crate::configuration::{DEFAULTS, Wrong};

const PREFIX: &str = "FLOODGATE__";
const SEPARATOR: &str = "__";

/// The environment as a layer of the configuration.
pub(crate) fn layer() -> Result<Env, Wrong> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    refuse_misspelt(names)?;
    Ok(Env::prefixed(PREFIX).split(SEPARATOR))
}

fn refuse_misspelt(names: impl Iterator<Item = String>) -> Result<(), Wrong> {
    let settings = settings();
    for name in names {
        let meant = settings.get(&bare(&name)).filter(|right| !right.eq_ignore_ascii_case(&name));
        if let Some(right) = meant {
            return Err(Wrong(format!(
                "the environment variable {name} sets nothing: write {right}, with two underscores \
                 before the section and two before the key"
            )));
        }
    }
    Ok(())
}

/// A name without what tells its words apart.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
}

/// The variable of every documented setting, by its bare name.
fn settings() -> BTreeMap<String, String> {
    let defaults: Dict =
        Figment::from(Toml::string(DEFAULTS)).extract().expect("the documented file is valid");
    let mut found = Vec::new();
    variables(PREFIX.trim_end_matches(SEPARATOR), &defaults, &mut found);
    found.into_iter().map(|name| (bare(&name), name)).collect()
}

fn variables(above: &str, table: &Dict, found: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{above}{SEPARATOR}{}", key.to_ascii_uppercase());
        match value {
            Value::Dict(_, table) => variables(&name, table, found),
            _ => found.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> Option<String> {
        refuse_misspelt([name.to_owned()].into_iter()).err().map(|wrong| wrong.to_string())
    }

    #[test]
    fn a_setting_in_another_spelling_is_not_passed_over() {
        for (name, right) in [
            ("FLOODGATE_KAFKA_BROKERS", "FLOODGATE__KAFKA__BROKERS"),
            ("FLOODGATE__KAFKA_BROKERS", "FLOODGATE__KAFKA__BROKERS"),
            ("FLOODGATE_KAFKA__BROKERS", "FLOODGATE__KAFKA__BROKERS"),
            ("FLOODGATE.KAFKA.BROKERS", "FLOODGATE__KAFKA__BROKERS"),
            ("floodgate_kafka_brokers", "FLOODGATE__KAFKA__BROKERS"),
            ("FLOODGATE_KAFKA_TOPIC_PREFIX", "FLOODGATE__KAFKA__TOPIC_PREFIX"),
            ("FLOODGATE__KAFKA__TOPIC__PREFIX", "FLOODGATE__KAFKA__TOPIC_PREFIX"),
            ("FLOODGATE_KAFKA_TOPICS_GMV", "FLOODGATE__KAFKA__TOPICS__GMV"),
            ("FLOODGATE_LOG_LEVEL", "FLOODGATE__LOG__LEVEL"),
        ] {
            let said = refusal(name).unwrap_or_default();
            assert!(said.contains(name) && said.contains(&format!("write {right},")), "{said}");
        }
    }

    /// The tests' own, what Kubernetes sets for a service of that name, and settings as they should be.
    #[test]
    fn other_variables_are_none_of_ours() {
        for name in [
            "FLOODGATE_REQUIRE_KAFKA",
            "FLOODGATE_SEED",
            "FLOODGATE_SCREENSHOTS",
            "FLOODGATE_BOARD_SERVICE_HOST",
            "FLOODGATE_BOARD_PORT",
            "FLOODGATE_SETTLE_PORT_9464_TCP",
            "FLOODGATE__KAFKA__BROKERS",
            "floodgate__kafka__topic_prefix",
            "KAFKA_BROKERS",
            "PATH",
        ] {
            assert_eq!(refusal(name), None, "{name}");
        }
    }
}
