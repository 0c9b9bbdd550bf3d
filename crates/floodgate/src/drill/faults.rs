//! What a rehearsal does to its crew while the sale is open: kills one when it is planned, and starts
//! again whoever has ended, as a supervisor would.
//!
//! Invariant: nothing is done to the pipeline, and nothing happens to the crew, that no mark tells of.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use drill::stages::{Stage, Stages};

use super::crew::Crew;
use super::sale::Opened;
use super::scraper;

const LOOK: Duration = Duration::from_millis(20);
/// Whoever has ended by itself is started again so long afterwards.
const PAUSE: Duration = Duration::from_secs(1);
/// Whoever ends so often without having worked on any partition will not do it either.
const ENDINGS_MAX: u32 = 5;

/// See the module's documentation.
pub(super) struct Faults {
    /// In milliseconds after the opening, the earliest first.
    kills: VecDeque<i64>,
    /// Who is next.
    victim: usize,
    /// Of each of the crew.
    endings: Vec<Endings>,
    stages: Stages,
    scraped_at: Instant,
}

/// How one of the crew has ended by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Endings {
    /// How often since it worked on a partition.
    in_a_row: u32,
    /// When, if it is to be started again.
    at: Option<Instant>,
}

impl Faults {
    /// Kills at these seconds after the opening, one after the other.
    pub(super) fn new(kill_at: &[f64]) -> Faults {
        let mut kills: Vec<i64> = kill_at.iter().map(|at| (at * 1_000.0) as i64).collect();
        kills.sort_unstable();
        Faults {
            kills: kills.into(),
            victim: 0,
            endings: Vec::new(),
            stages: Stages::default(),
            scraped_at: Instant::now(),
        }
    }

    /// Latency that the crew told of.
    pub(super) fn told(&self) -> Vec<Stage> {
        self.stages.told()
    }

    /// Does all this until the load is over.
    pub(super) fn attend(&mut self, crew: &mut dyn Crew, sale: &Opened<'_>) -> anyhow::Result<()> {
        self.endings = vec![Endings::default(); crew.size()];
        self.scrape(crew);
        // Relaxed: nothing is handed over with the flag.
        while !sale.over.load(Ordering::Relaxed) {
            let since_ms = sale.clock.now_ms() - sale.opens_at;
            if self.kills.front().is_some_and(|at| *at <= since_ms) {
                self.kills.pop_front();
                self.kill_next(crew, sale)?;
            }
            for number in 0..crew.size() {
                self.see_to(number, crew, sale, Instant::now())?;
            }
            if self.scraped_at.elapsed() >= scraper::EACH {
                self.scrape(crew);
                self.forgive(crew);
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
        self.endings[victim].at = None;
        crew.restart(victim)
    }

    /// Starts one again that has ended, but not at once and not for ever.
    fn see_to(
        &mut self,
        number: usize,
        crew: &mut dyn Crew,
        sale: &Opened<'_>,
        now: Instant,
    ) -> anyhow::Result<()> {
        let Some(how) = crew.ended(number) else { return Ok(()) };
        let endings = &mut self.endings[number];
        let Some(at) = endings.at else {
            endings.in_a_row += 1;
            endings.at = Some(now);
            let what = format!("{} ended by itself ({how})", crew.name(number));
            sale.meter.mark(what, sale.clock.now_ms(), Vec::new());
            ensure!(
                endings.in_a_row < ENDINGS_MAX,
                "{} ended {ENDINGS_MAX} times in a row without working on any partition ({how}); {}",
                crew.name(number),
                crew.log(number)
            );
            return Ok(());
        };
        if now.saturating_duration_since(at) >= PAUSE {
            endings.at = None;
            crew.restart(number)?;
        }
        Ok(())
    }

    /// Whoever works again has not ended in a row.
    fn forgive(&mut self, crew: &mut dyn Crew) {
        for (number, endings) in self.endings.iter_mut().enumerate() {
            if endings.in_a_row > 0 && !crew.live(number).is_empty() {
                endings.in_a_row = 0;
            }
        }
    }

    fn scrape(&mut self, crew: &mut dyn Crew) {
        for (process, page) in crew.metrics() {
            self.stages.take(&process, &page);
        }
        self.scraped_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use drill::load::{Meter, WallClock};
    use pipeline::log::Partition;

    use super::*;

    /// One that ends whenever it is looked at.
    #[derive(Default)]
    struct Crashing {
        restarts: u32,
        works: bool,
    }

    impl Crew for Crashing {
        fn size(&self) -> usize {
            1
        }

        fn name(&self, _: usize) -> String {
            "one".to_owned()
        }

        fn fault(&self) -> &'static str {
            "crash"
        }

        fn live(&mut self, _: usize) -> Vec<Partition> {
            self.works.then_some(0).into_iter().collect()
        }

        fn kill(&mut self, _: usize) -> anyhow::Result<()> {
            Ok(())
        }

        fn restart(&mut self, _: usize) -> anyhow::Result<()> {
            self.restarts += 1;
            Ok(())
        }

        fn ended(&mut self, _: usize) -> Option<String> {
            Some("exit code 1".to_owned())
        }

        fn metrics(&mut self) -> Vec<(String, String)> {
            Vec::new()
        }

        fn log(&self, _: usize) -> String {
            "see its.log".to_owned()
        }

        fn logs(&self) -> String {
            String::new()
        }
    }

    /// Looks so often, each time a pause later; gives how often it was started again, and the marks.
    fn looked(crew: &mut Crashing, looks: u32) -> (anyhow::Result<()>, u32, usize) {
        let (clock, over) = (WallClock::new(), AtomicBool::new(false));
        let meter = Meter::new(clock.now_ms(), &[0]);
        let sale = Opened { meter: &meter, clock: &clock, opens_at: clock.now_ms(), over: &over };
        let mut faults = Faults::new(&[]);
        faults.endings = vec![Endings::default()];
        let began = Instant::now();
        let done = (0..looks).try_for_each(|look| {
            faults.forgive(crew);
            faults.see_to(0, crew, &sale, began + PAUSE * look)
        });
        (done, crew.restarts, meter.measured().marks.len())
    }

    #[test]
    fn a_crew_that_cannot_start_is_started_for_ever() {
        let (done, restarts, marks) = looked(&mut Crashing::default(), 1_000);
        assert!(done.unwrap_err().to_string().contains("its.log"));
        assert_eq!((restarts, marks), (ENDINGS_MAX - 1, ENDINGS_MAX as usize));
    }

    #[test]
    fn one_that_worked_in_between_is_given_up() {
        let (done, restarts, marks) = looked(&mut Crashing { restarts: 0, works: true }, 100);
        assert!(done.is_ok());
        assert_eq!((restarts, marks), (50, 50));
    }
}
