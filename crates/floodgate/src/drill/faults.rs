//! What a rehearsal does to its crew while the sale is open: kills one when it is planned, and starts
//! again whoever has ended, as a supervisor would.
//!
//! Invariant: nothing is done to the pipeline, and nothing happens to the crew, that no mark tells of.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drill::stages::{Stage, Stages};

use super::crew::Crew;
use super::sale::Opened;
use super::scraper;

const LOOK: Duration = Duration::from_millis(20);

/// See the module's documentation.
pub(super) struct Faults {
    /// In milliseconds after the opening, the earliest first.
    kills: VecDeque<i64>,
    /// Who is next.
    victim: usize,
    stages: Stages,
    scraped_at: Instant,
}

impl Faults {
    /// Kills at these seconds after the opening, one after the other.
    pub(super) fn new(kill_at: &[f64]) -> Faults {
        let mut kills: Vec<i64> = kill_at.iter().map(|at| (at * 1_000.0) as i64).collect();
        kills.sort_unstable();
        let stages = Stages::default();
        Faults { kills: kills.into(), victim: 0, stages, scraped_at: Instant::now() }
    }

    /// Latency that the crew told of.
    pub(super) fn told(&self) -> Vec<Stage> {
        self.stages.told()
    }

    /// Does all this until the load is over.
    pub(super) fn attend(&mut self, crew: &mut dyn Crew, sale: &Opened<'_>) -> anyhow::Result<()> {
        self.scrape(crew);
        // Relaxed: nothing is handed over with the flag.
        while !sale.over.load(Ordering::Relaxed) {
            let since_ms = sale.clock.now_ms() - sale.opens_at;
            if self.kills.front().is_some_and(|at| *at <= since_ms) {
                self.kills.pop_front();
                self.kill_next(crew, sale)?;
            }
            restart_ended(crew, sale)?;
            if self.scraped_at.elapsed() >= scraper::EACH {
                self.scrape(crew);
            }
            std::thread::sleep(LOOK);
        }
        self.scrape(crew);
        Ok(())
    }

    fn kill_next(&mut self, crew: &mut dyn Crew, sale: &Opened<'_>) -> anyhow::Result<()> {
        let victim = self.victim % crew.size();
        self.victim += 1;
        let partitions = crew.live(victim);
        crew.kill(victim)?;
        let what = format!("{} of {}", crew.fault(), crew.name(victim));
        sale.meter.mark(what, sale.clock.now_ms(), partitions);
        crew.restart(victim)
    }

    fn scrape(&mut self, crew: &mut dyn Crew) {
        for (process, page) in crew.metrics() {
            self.stages.take(&process, &page);
        }
        self.scraped_at = Instant::now();
    }
}

fn restart_ended(crew: &mut dyn Crew, sale: &Opened<'_>) -> anyhow::Result<()> {
    for number in 0..crew.size() {
        if let Some(how) = crew.ended(number) {
            let what = format!("{} ended by itself ({how})", crew.name(number));
            sale.meter.mark(what, sale.clock.now_ms(), Vec::new());
            crew.restart(number)?;
        }
    }
    Ok(())
}
