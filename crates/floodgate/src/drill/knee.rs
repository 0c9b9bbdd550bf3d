//! `floodgate drill knee`: the highest rate at which a running pipeline holds a target.
//!
//! Which rate is tried next is decided by `drill::knee`; a step is a load as every other, with traffic
//! of its own. Invariant: a step begins when nothing is left of the one before it, and everything that
//! all of them published is judged in the end.

use std::sync::atomic::{AtomicBool, Ordering};
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
    let mut run = |rate, seed| {
        let plan = Plan {
            profile: profile(arguments, rate)?,
            traffic: traffic.clone(),
            seed,
            publishers: arguments.publishing.publishers(),
        };
        sale::run(&mut tools, &plan, &waits, &mut |_| Ok(()))
    };
    let broken_off = found.take_steps(arguments, &stop, &mut run, &mut |step| {
        progress.say(&line(step));
    });
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

    /// Takes step after step, by the load that `run` is with this rate and seed, until the knee is known or
    /// `stop` is set, or until one fails: then it gives why.
    fn take_steps(
        &mut self,
        arguments: &DrillKnee,
        stop: &AtomicBool,
        run: &mut dyn FnMut(f64, u64) -> anyhow::Result<Report>,
        told: &mut dyn FnMut(&Step),
    ) -> Option<anyhow::Error> {
        // Relaxed: nothing is handed over with the flag.
        while let Some(rate) = self.search.next_rate().filter(|_| !stop.load(Ordering::Relaxed)) {
            let report = match run(rate, arguments.seed + self.steps.len() as u64) {
                Ok(report) => report,
                Err(error) => {
                    return Some(error.context(format!("the step of {rate} orders a second")));
                }
            };
            // Relaxed: as above. A step that was cut short says nothing about its rate.
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let step = Step::of(rate, &report, &arguments.target);
            told(&step);
            self.take(step, report);
        }
        None
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

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use clap::Parser;
    use drill::load::Meter;
    use drill::report::PlanTold;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        knee: DrillKnee,
    }

    /// A load that nobody answered, so that no target holds.
    fn report() -> Report {
        let told = PlanTold {
            profile: "500/s for 1s".to_owned(),
            seconds: 1.0,
            seed: 1,
            partitions: 1,
            opened_at_ms: 0,
            catalogue: 0,
        };
        Report::new(told, Meter::new(0, &[0]).measured(), 500)
    }

    /// Takes steps, of which the second ends by `second`; gives why it was broken off, the rates and seeds
    /// that were run, and the steps of the report.
    fn taken(
        second: impl Fn(&AtomicBool) -> anyhow::Result<Report>,
    ) -> (Option<String>, Vec<(f64, u64)>, usize) {
        let arguments = Only::parse_from(["knee", "--from", "800", "--seed", "7"]).knee;
        let (stop, mut ran) = (AtomicBool::new(false), Vec::new());
        let mut found = Found::new(&arguments);
        let mut run = |rate, seed| {
            ran.push((rate, seed));
            if ran.len() == 2 { second(&stop) } else { Ok(report()) }
        };
        let broken_off = found.take_steps(&arguments, &stop, &mut run, &mut |_| {});
        let steps = found.into_report("p99<60ms").and_then(|report| report.knee);
        let steps = steps.map_or(0, |knee| knee.steps.len());
        (broken_off.map(|error| format!("{error:#}")), ran, steps)
    }

    #[test]
    fn a_step_that_fails_loses_the_report_of_those_before_it() {
        let (broken_off, ran, steps) = taken(|_| bail!("nobody answers"));
        assert_eq!((ran.len(), steps), (2, 1));
        assert_eq!(ran[0], (800.0, 7));
        assert_eq!(ran[1].1, 8, "traffic of its own");
        let why = broken_off.expect("it failed");
        assert!(why.starts_with("the step of") && why.ends_with("nobody answers"), "{why}");
    }

    #[test]
    fn a_step_that_was_cut_short_says_something_about_its_rate() {
        let (broken_off, ran, steps) = taken(|stop| {
            stop.store(true, Ordering::Relaxed);
            Ok(report())
        });
        assert_eq!((broken_off, ran.len(), steps), (None, 2, 1));
    }
}
