//! `floodgate generate`: what Prometheus and Grafana need, for the configured names.
//!
//! The files of `deploy/` are the templates and, with default names, the output. Invariant: whatever
//! is generated asks only for metrics that a service tells; a test compares.

use crate::arguments;
use crate::configuration::{Configuration, Overrides};
use crate::exit::Exit;
use crate::print::say;

const PROMETHEUS: &str = include_str!("../../../deploy/prometheus/prometheus.yml");
const RULES: &str = include_str!("../../../deploy/prometheus/rules.yml");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const SALE_DAY: &str = include_str!("../../../deploy/grafana/sale-day.json");
const PIPELINE_HEALTH: &str = include_str!("../../../deploy/grafana/pipeline-health.json");
const MERCHANT: &str = include_str!("../../../deploy/grafana/merchant.json");

/// As the templates name them.
const SETTLE_JOB: &str = "floodgate-settle";
const BOARD_JOB: &str = "floodgate-board";
const SETTLE_TARGETS: &str = "[\"127.0.0.1:9464\"]";
const BOARD_TARGETS: &str = "[\"127.0.0.1:9465\"]";
const RUNBOOK: &str = "docs/runbook.md#";

/// Prints the scrape configuration.
pub(crate) fn prometheus(arguments: &arguments::GeneratePrometheus) -> anyhow::Result<Exit> {
    let configuration = configuration(&arguments.names)?;
    let or = |given: &[String], listen: &str| match given {
        [] => vec![listen.to_owned()],
        given => given.to_vec(),
    };
    let settle = or(&arguments.settle, &configuration.settle.listen);
    let board = or(&arguments.board, &configuration.board.listen);
    let mut text = PROMETHEUS.replace(SETTLE_TARGETS, &list(&settle));
    text = text.replace(BOARD_TARGETS, &list(&board));
    text.push_str(&merchants(&arguments.merchant, &board));
    print(&named(&text, &configuration))
}

/// Prints recording rules and alerts, as one file.
pub(crate) fn alerts(arguments: &arguments::GenerateAlerts) -> anyhow::Result<Exit> {
    let configuration = configuration(&arguments.names)?;
    let text = format!("{RULES}{}", ALERTS.replace("groups:\n", ""));
    let text = match &arguments.runbook {
        None => text,
        Some(address) => text.replace(RUNBOOK, &format!("{address}#")),
    };
    print(&named(&text, &configuration))
}

/// Prints a dashboard.
pub(crate) fn grafana(arguments: &arguments::GenerateGrafana) -> anyhow::Result<Exit> {
    print(match arguments.dashboard {
        arguments::Dashboard::SaleDay => SALE_DAY,
        arguments::Dashboard::PipelineHealth => PIPELINE_HEALTH,
        arguments::Dashboard::Merchant => MERCHANT,
    })
}

fn configuration(names: &arguments::Names) -> anyhow::Result<Configuration> {
    let mut overrides = Overrides::default();
    overrides.set("kafka.topic_prefix", names.topic_prefix.as_ref());
    Ok(Configuration::load(names.config.as_deref(), &overrides)?)
}

/// A second pipeline beside the real one has jobs of its own.
fn named(text: &str, configuration: &Configuration) -> String {
    let prefix = &configuration.kafka.topic_prefix;
    [SETTLE_JOB, BOARD_JOB]
        .iter()
        .fold(text.to_owned(), |text, job| text.replace(job, &format!("{prefix}{job}")))
}

/// A page for each merchant that is watched: see `docs/metrics.md`.
fn merchants(merchants: &[u64], board: &[String]) -> String {
    let page = |merchant: &u64| {
        format!(
            "\n  - job_name: {BOARD_JOB}-merchant-{merchant}\n    scrape_interval: 30s\n    \
             metrics_path: /metrics/merchant/{merchant}\n    static_configs:\n      - targets: {}\n",
            list(board)
        )
    };
    merchants.iter().map(page).collect()
}

fn list(targets: &[String]) -> String {
    let quoted: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

fn print(text: &str) -> anyhow::Result<Exit> {
    say(text.trim_end());
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::metrics;

    /// The words of a text that can be names of metrics.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == ':'))
            .filter(|word| word.starts_with("floodgate_") || word.starts_with("process_"))
    }

    /// Everything that can be asked for: metrics with a histogram's parts.
    fn told() -> BTreeSet<String> {
        let families = metrics::families().into_iter().chain(board::metrics::families());
        let parts = |family: board::exposition::Family| match family.kind {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .map(|part| format!("{}{part}", family.name))
                .collect(),
            _ => vec![family.name.to_owned()],
        };
        families.flat_map(parts).collect()
    }

    fn recorded() -> BTreeSet<&'static str> {
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect()
    }

    fn alert_names() -> Vec<&'static str> {
        ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
    }

    /// Every text under one of these keys, wherever it is.
    fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match value.as_str() {
                Some(text) if keys.contains(&key.as_str()) => found.push(text),
                _ => texts(value, keys, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
            _ => {}
        }
    }

    fn assert_told(what: &str, text: &str) {
        let (told, recorded) = (told(), recorded());
        for word in words(text) {
            assert!(told.contains(word), "{what} asks for {word}, which nobody tells");
        }
        let names = text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == ':'));
        for name in names.filter(|name| name.starts_with("floodgate:")) {
            assert!(recorded.contains(name), "{what} asks for {name}, which no rule records");
        }
    }

    #[test]
    fn nothing_is_asked_for_that_nobody_tells() {
        for (what, text) in [("rules.yml", RULES), ("alerts.yml", ALERTS)] {
            let text = text.lines().filter(|line| !line.trim().starts_with("runbook_url"));
            assert_told(what, &text.collect::<Vec<_>>().join("\n"));
        }
        for (what, text) in
            [("sale-day", SALE_DAY), ("pipeline-health", PIPELINE_HEALTH), ("merchant", MERCHANT)]
        {
            let dashboard: Value = serde_json::from_str(text).unwrap();
            let mut queries = Vec::new();
            texts(&dashboard, &["expr", "query"], &mut queries);
            assert!(queries.len() > 5, "{what}: {queries:?}");
            queries.iter().for_each(|query| assert_told(what, query));
        }
    }

    #[test]
    fn every_alert_has_its_entry_in_the_runbook() {
        let runbook = include_str!("../../../docs/runbook.md");
        let entries: BTreeSet<&str> =
            runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let alerts = alert_names();
        assert!(alerts.len() >= 20, "{alerts:?}");
        assert_eq!(alerts.iter().copied().collect::<BTreeSet<_>>(), entries);
        for alert in alerts {
            let link = format!("runbook_url: {RUNBOOK}{}\n", alert.to_lowercase());
            assert!(ALERTS.contains(&link), "{link}");
        }
        // It speaks of histograms as a whole.
        let whole: BTreeSet<&str> = metrics::families().iter().map(|family| family.name).collect();
        let others: Vec<&str> = words(runbook).filter(|word| !whole.contains(word)).collect();
        assert_told("runbook.md", &others.join(" "));
    }

    #[test]
    fn names_are_put_in_where_they_stand() {
        let mut configuration = Configuration::load(None, &Overrides::default()).unwrap();
        assert_eq!(named(PROMETHEUS, &configuration), PROMETHEUS);
        for template in [SETTLE_TARGETS, BOARD_TARGETS] {
            assert!(PROMETHEUS.contains(template), "{template}");
        }
        assert_eq!(configuration.settle.listen, "127.0.0.1:9464");
        assert_eq!(configuration.board.listen, "127.0.0.1:9465");
        configuration.kafka.topic_prefix = "shadow.".to_owned();
        let alerts = named(ALERTS, &configuration);
        assert!(alerts.contains("up{job=\"shadow.floodgate-settle\"}"), "{alerts}");
        let merchants = merchants(&[7], &["a:1".to_owned(), "b:2".to_owned()]);
        assert!(merchants.contains("metrics_path: /metrics/merchant/7\n"), "{merchants}");
        assert!(merchants.ends_with("targets: [\"a:1\", \"b:2\"]\n"), "{merchants}");
    }
}
