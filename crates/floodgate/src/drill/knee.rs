//! `floodgate drill knee`: the highest rate at which a running pipeline holds a target.
//!
//! Which rate is tried next is decided by `drill::knee`; a step is a load as every other, with traffic
//! of its own. Invariant: a step begins when nothing is left of the one before it, and everything that
//! all of them published is judged in the end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, anyhow};
use drill::knee::{Bounds, Knee, Search, Step};
use drill::profile::Profile;
use drill::report::Report;

use super::on_kafka::{prepare_topics, refuse_production};
use super::progress::Progress;
use super::report::make_out;
use super::run::finish;
use super::sale::{self, Plan, Waits};
use crate::arguments::DrillKnee;
use crate::configuration::Overrides;
use crate::exit::Exit;
use crate::print::grouped;
use crate::tools::Tools;
use crate::{connection, signals};

/// Searches; exit code 1 unless the knee is found and the verdict is clean.
pub(crate) fn run(arguments: &DrillKnee) -> anyhow::Result<Exit> {
    let traffic = arguments.traffic.settings()?;
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    refuse_production(&configuration, arguments.yes_into_production)?;
    make_out(&arguments.outcome.out)?;
    prepare_topics(&configuration, arguments.partitions)?;
    let mut tools = Tools::of(configuration)?;
    let stop = signals::stop()?;
    let progress = &Progress::new(arguments.outcome.format);
    let waits = Waits { patience: Duration::from_secs(arguments.patience), stop: &stop, progress };
    progress.say(HEAD);
    let mut found = Found::new(arguments);
    let mut broken_off = None;
    // Relaxed: nothing is handed over with the flag.
    while let Some(rate) = found.search.next_rate().filter(|_| !stop.load(Ordering::Relaxed)) {
        let seed = arguments.seed + found.steps.len() as u64;
        let plan = Plan {
            profile: profile(arguments, rate)?,
            traffic: traffic.clone(),
            seed,
            publishers: arguments.publishing.publishers(),
        };
        let report = match sale::run(&mut tools, &plan, &waits, &mut |_| Ok(())) {
            Ok(report) => report,
            Err(error) => {
                broken_off = Some(error.context(format!("the step of {rate} orders a second")));
                break;
            }
        };
        // Relaxed: as above. A step that was cut short says nothing about its rate.
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let step = Step::of(rate, &report, &arguments.target);
        progress.say(&line(&step));
        found.take(step, report);
    }
    let Some(mut report) = found.into_report(&arguments.target.to_string()) else {
        return Err(broken_off.unwrap_or_else(|| anyhow!("no step was taken")));
    };
    // What the steps before have found is worth its report.
    sale::judge(&mut tools, &mut report, &waits)?;
    let exit = finish(&arguments.outcome, &mut report, &stop)?;
    broken_off.map_or(Ok(exit), Err)
}

fn profile(arguments: &DrillKnee, rate: f64) -> anyhow::Result<Profile> {
    let profile = format!("{rate}/s for {}ms", arguments.step.0 * 1_000.0);
    profile.parse().with_context(|| format!("a step of {profile}"))
}

/// What the search has come to.
struct Found {
    search: Search,
    steps: Vec<Step>,
    /// Of the highest rate that held, or of the lowest one that did not.
    report: Option<Report>,
    /// Commands that some step left undecided.
    undecided: u64,
}

impl Found {
    fn new(arguments: &DrillKnee) -> Found {
        let DrillKnee { from, up_to, precision, steps, .. } = *arguments;
        let search = Search::new(Bounds { from, up_to, precision, steps_max: steps });
        Found { search, steps: Vec::new(), report: None, undecided: 0 }
    }

    fn take(&mut self, step: Step, report: Report) {
        self.undecided = self.undecided.max(report.verdict.undecided);
        if step.held || self.search.knee().is_none() {
            self.report = Some(report);
        }
        self.search.tried(step.rate, step.held);
        self.steps.push(step);
    }

    fn into_report(self, target: &str) -> Option<Report> {
        let mut report = self.report?;
        let (target, rate) = (target.to_owned(), self.search.knee());
        report.knee = Some(Knee { target, rate, steps: self.steps });
        report.verdict.undecided = self.undecided;
        Some(report)
    }
}

const HEAD: &str = "   orders/s  commands/s       p50       p99   longest   sent late      behind";

fn line(step: &Step) -> String {
    let ms = |ms: Option<u64>| ms.map_or("none".to_owned(), |ms| format!("{} ms", grouped(ms)));
    format!(
        "{:>11} {:>11} {:>9} {:>9} {:>9} {:>11} {:>11}   {}",
        grouped(step.rate as u64),
        grouped(step.commands_per_second as u64),
        ms(step.p50_ms),
        ms(step.p99_ms),
        ms(Some(step.max_ms)),
        grouped(step.late),
        grouped(step.behind),
        if step.held { "held" } else { "did not hold" }
    )
}
