//! `floodgate drill run`: traffic by the clock into a pipeline on Kafka, then the report.
//!
//! The pipeline is not started here: whatever consumes these topics is what is measured. What is
//! asked for of a load, and how its report is handed over, is here for every drill. Invariant: exit
//! code 0 means that the whole load was run, that it is right, and that no threshold failed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use drill::profile::Profile;
use drill::report::Report;

use super::on_kafka::{prepare_topics, refuse_production};
use super::progress::Progress;
use super::report::{make_out, write_files};
use super::sale::{self, Plan, Waits};
use super::scraper::{self, Scraper};
use crate::arguments::{DrillRun, Format, Load, Outcome};
use crate::configuration::Overrides;
use crate::exit::Exit;
use crate::print::{grouped, say};
use crate::tools::Tools;
use crate::{connection, signals};

/// Runs the load; exit code 1 unless the verdict is clean and no threshold failed.
pub(crate) fn run(arguments: &DrillRun) -> anyhow::Result<Exit> {
    let DrillRun { load, outcome, .. } = arguments;
    let plan = plan(load)?;
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    refuse_production(&configuration, arguments.yes_into_production)?;
    if !arguments.publish_only {
        make_out(&outcome.out)?;
    }
    prepare_topics(&configuration, arguments.partitions)?;
    let mut tools = Tools::of(configuration)?;
    let stop = signals::stop()?;
    let progress = &Progress::new(outcome.format);
    let waits = Waits { patience: Duration::from_secs(load.patience), stop: &stop, progress };
    if arguments.publish_only {
        let offered = sale::offer(&mut tools, &plan, &waits)?;
        offer_told(&offered).iter().for_each(|line| say(line));
        return Ok(if offered.commands.failed == 0 { Exit::Well } else { Exit::DoesNotHold });
    }
    let mut scraper = Scraper::new(arguments.metrics.clone());
    let mut report = sale::run(&mut tools, &plan, &waits, &mut |sale| {
        scraper::attend(&mut scraper, sale);
        Ok(())
    })?;
    report.add_stages(scraper.told());
    sale::judge(&mut tools, &mut report, &waits)?;
    finish(outcome, &mut report, &stop)
}

/// What this machine could offer.
fn offer_told(report: &Report) -> Vec<String> {
    let each: Vec<String> = report.series.iter().map(|at| grouped(at.sent)).collect();
    let mut lines = super::report::summary(report);
    lines.truncate(2);
    lines.push(format!("sent in each second: {}", each.join("  ")));
    lines
}

/// What is to be published.
pub(super) fn plan(load: &Load) -> anyhow::Result<Plan> {
    Ok(Plan {
        profile: profile(load)?,
        traffic: load.traffic.settings()?,
        seed: load.seed,
        publishers: load.publishing.publishers(),
    })
}

fn profile(load: &Load) -> anyhow::Result<Profile> {
    let Load { profile, profile_file, peak, .. } = load;
    match (profile, profile_file) {
        (Some(text), _) => text.parse().context("--profile"),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--profile-file {}", file.display()))?;
            // A stage for each line reads better than one long line.
            let stages: Vec<&str> = text
                .lines()
                .map(|line| line.split('#').next().unwrap_or_default())
                .flat_map(|line| line.split(','))
                .map(str::trim)
                .filter(|stage| !stage.is_empty())
                .collect();
            stages.join(", ").parse().with_context(|| format!("{}", file.display()))
        }
        (None, None) => Profile::double11(*peak).context("--peak"),
    }
}

/// Looks at the thresholds, prints and writes the report.
pub(super) fn finish(
    outcome: &Outcome,
    report: &mut Report,
    stop: &AtomicBool,
) -> anyhow::Result<Exit> {
    report.judge(&outcome.fail_if);
    // What cannot be written is printed at least.
    if outcome.format == Format::Json {
        say(&serde_json::to_string(report).context("report")?);
    } else {
        super::report::summary(report).iter().for_each(|line| say(line));
    }
    write_files(&outcome.out, report)?;
    if outcome.format == Format::Text {
        let place = |name: &str| Path::new(&outcome.out).join(name).display().to_string();
        say(&format!("\n{} and {}", place(super::report::PAGE), place(super::report::FIGURES)));
    }
    // Relaxed: nothing is handed over with the flag. A load that was cut short proves nothing.
    let is_whole = !stop.load(Ordering::Relaxed);
    Ok(if report.passes() && is_whole { Exit::Well } else { Exit::DoesNotHold })
}
