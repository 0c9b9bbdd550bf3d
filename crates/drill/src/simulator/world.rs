//! One run: the steps of a world, what strikes it in each of them, and how it comes to rest.
//!
//! Not what a fault does to a call: that is `calls` and `shelf`. Invariant: whatever went wrong, once
//! nothing does any more every record is answered within a bounded time.

use std::sync::Arc;

use pipeline::embedded::{EmbeddedBroker, Settings};
use pipeline::log::Partition;

use super::calls::Hook;
use super::fault::Fault;
use super::input::Input;
use super::plan::{Plan, WORKERS_MAX};
use super::stage::{STARTS_AT_MS, Stage, Standing, lock};
use super::trace::{Event, Trace, WORLD};

/// Steps after which a run is stopped though its input is not used up: nested turns count, too.
const STEPS_MAX: u64 = 20_000;
/// Simulated time within which a world has to come to rest.
const REST_WITHIN_MS: u64 = 120_000;
/// Milliseconds of a step while it does.
const REST_STEP_MS: u64 = 40;
/// Statuses are as old as that at most.
const REPORT_MS: u64 = 300;
/// Longest that the store is down, that a partition stands still, or that input is held.
const OUTAGE_MS_MAX: u64 = 4_000;

impl Stage {
    /// A world as the plan has it, in which nothing has happened yet.
    pub(super) fn of(plan: Plan, is_traced: bool) -> Arc<Stage> {
        let hook = Hook::default();
        let settings = Settings {
            partitions: plan.partitions,
            input_timestamps: plan.timestamps,
            session_timeout_ms: Some(plan.session_timeout_ms),
            transaction_timeout_ms: Some(plan.transaction_timeout_ms),
        };
        let broker = EmbeddedBroker::simulated(settings, Box::new(hook.clone()));
        broker.set_now(STARTS_AT_MS.cast_signed());
        let input = Input::new(&plan, &broker);
        let stage = Arc::new(Stage::new(plan, broker, input, Trace::new(is_traced)));
        hook.hang_on(&stage);
        stage
    }

    /// Everything from the first worker's start to the last one's end, but the judgement.
    pub(super) fn play(self: &Arc<Self>) {
        for slot in 0..self.plan.workers {
            self.hire(slot);
        }
        for _ in 0..STEPS_MAX {
            if self.input_is_over() || self.has_failed() {
                break;
            }
            self.step();
        }
        self.calm_down();
        self.come_to_rest("after the last fault");
        // A fresh order is answered by those who went through all this ...
        self.probe();
        self.come_to_rest("after a fresh order");
        // ... and by one who knows of it only what they left behind.
        self.change_shifts();
        self.probe();
        self.come_to_rest("after a fresh order to a fresh worker");
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().violation.is_some()
    }

    /// Some time passes, and everybody has a turn, as far as nobody is in the midst of one.
    fn step(self: &Arc<Self>) {
        let ms = self.between(1, self.plan.step_ms_max);
        self.pass(ms);
        self.arrive();
        self.feed();
        self.strike_world();
        self.fill_vacancies();
        self.turns();
    }

    /// Others go on for so long while somebody's call waits.
    pub(super) fn let_others_go_on(self: &Arc<Self>, ms: u64) {
        self.state().depth += 1;
        let until = self.now() + ms;
        while self.now() < until && !self.has_failed() {
            self.step();
        }
        self.state().depth -= 1;
    }

    /// One turn each, beginning with anybody.
    fn turns(self: &Arc<Self>) {
        let mut everybody = self.everybody();
        if !everybody.is_empty() {
            let first = self.below(everybody.len() as u64) as usize;
            everybody.rotate_left(first);
        }
        for who in everybody {
            if !self.has_failed() {
                self.give_turn(who);
            }
        }
    }

    /// What was under way for long arrives.
    fn arrive(self: &Arc<Self>) {
        lock(&self.shelf).deliver_late(self.now());
        if self.broker.late_requests() > 0 && self.below(8) == 0 {
            self.deliver_late();
        }
    }

    /// One late request arrives, whichever.
    pub(super) fn deliver_late(self: &Arc<Self>) {
        let late = self.below(self.broker.late_requests() as u64) as usize;
        let changed = self.broker.deliver_late(late);
        self.note(WORLD, Event::Arrived { late, changed });
    }

    fn fill_vacancies(self: &Arc<Self>) {
        let now = self.now();
        let due: Vec<u32> = {
            let mut state = self.state();
            let due = state.vacancies.iter().filter(|(at, _)| *at <= now).map(|it| it.1).collect();
            state.vacancies.retain(|(at, _)| *at > now);
            due
        };
        due.into_iter().for_each(|slot| self.hire(slot));
        let nobody_comes = self.state().vacancies.is_empty();
        if nobody_comes && lock(&self.processes).is_empty() {
            self.hire(0);
        }
    }

    /// Faults that strike between turns.
    fn strike_world(self: &Arc<Self>) {
        let worlds = [
            Fault::StoreDown,
            Fault::PartitionStalled,
            Fault::InputHeld,
            Fault::InputAborted,
            Fault::Join,
            Fault::Leave,
            Fault::OffsetsLost,
            Fault::DigestDiffers,
        ];
        let favour = self.favour_of_world();
        if let Some(fault) = self.draw_fault(&worlds, favour) {
            self.strike_with(fault);
        }
        let everybody = self.everybody();
        if everybody.is_empty() {
            return;
        }
        // More often than at a call: there is one such moment in each step.
        let theirs = [Fault::Crash, Fault::Zombie, Fault::Fence, Fault::SessionLost];
        if let Some(fault) = self.draw_fault(&theirs, 6) {
            let who = everybody[self.below(everybody.len() as u64) as usize];
            self.strike_at(fault, who);
        }
    }

    /// While a call waits or somebody is in the midst of something brief, the more often.
    fn favour_of_world(&self) -> u64 {
        let state = self.state();
        let greatest = state.standings.values().map(Standing::favour).max();
        greatest.unwrap_or(1) * u64::from(1 + state.depth)
    }

    fn strike_with(self: &Arc<Self>, fault: Fault) {
        let ms = self.between(1, OUTAGE_MS_MAX);
        match fault {
            Fault::StoreDown => {
                self.strike_all(fault);
                let until = self.now() + ms;
                self.state().store_down_until = until;
            }
            Fault::PartitionStalled => {
                self.strike_all(fault);
                let partition = self.below(u64::from(self.plan.partitions)) as usize;
                let until = self.now() + ms;
                self.state().stalled_until[partition] = until;
            }
            Fault::InputHeld => self.hold_input(ms, false),
            Fault::InputAborted => self.hold_input(ms / 16, true),
            Fault::Join => {
                if let Some(slot) = self.free_slot() {
                    self.strike_all(fault);
                    self.hire(slot);
                }
            }
            Fault::Leave => {
                let everybody = self.everybody();
                if everybody.len() > 1 {
                    let who = everybody[self.below(everybody.len() as u64) as usize];
                    if self.stop(who) {
                        self.strike(who, fault);
                    }
                }
            }
            // Only while nobody is in the midst of a call, as everybody dies of it.
            Fault::OffsetsLost if self.state().depth == 0 => self.lose_offsets(),
            Fault::DigestDiffers if self.state().depth == 0 => self.doubt_history(),
            _ => {}
        }
    }

    fn strike_at(self: &Arc<Self>, fault: Fault, who: u64) {
        match fault {
            Fault::Crash => self.crash(who),
            Fault::Zombie => {
                self.strike(who, fault);
                let ms = self.plan.session_timeout_ms + self.between(1, 1_500);
                self.stand_still(who, ms);
            }
            Fault::Fence => {
                self.strike(who, fault);
                self.fence(who);
            }
            _ => {
                self.strike(who, fault);
                self.expire(who);
            }
        }
    }

    /// From now on nothing goes wrong; what is under way arrives.
    fn calm_down(self: &Arc<Self>) {
        self.note(WORLD, Event::Calm);
        {
            let mut state = self.state();
            state.calm = true;
            state.store_down_until = 0;
            state.stalled_until.fill(0);
        }
        self.wake_all();
        self.let_input_go();
        while self.broker.late_requests() > 0 {
            self.deliver_late();
        }
        lock(&self.shelf).deliver_late(u64::MAX);
    }

    /// Goes on until every partition is worked on, everything is answered for readers to see, and all
    /// has been idle for long enough that the counters are written.
    fn come_to_rest(self: &Arc<Self>, when: &str) {
        let began = self.now();
        let quiet_ms = self.plan.worker.counters_quiet + self.plan.worker.commit_interval;
        let idle_ms_min = quiet_ms.as_millis() as u64 + REPORT_MS;
        while self.now() < began + REST_WITHIN_MS && !self.has_failed() {
            self.pass(REST_STEP_MS);
            self.fill_vacancies();
            self.turns();
            let (statuses, idle_ms) = self.statuses();
            let is_live = |partition: Partition| {
                statuses.iter().any(|it| it.partition == partition && it.phase == "live")
            };
            let all_live = (0..self.plan.partitions).all(is_live);
            let is_quiet = idle_ms.is_some_and(|idle| idle >= idle_ms_min);
            let is_rest = all_live && is_quiet && self.now() >= began + idle_ms_min;
            // What a dead worker left open hides the others' outputs until it is timed out.
            let is_rest = is_rest && self.broker.open_transactions().is_empty();
            if is_rest && (0..self.plan.partitions).all(|it| self.is_answered(it)) {
                return;
            }
        }
        self.violate(|| {
            let (statuses, idle_ms) = self.statuses();
            format!("no rest {when}: idle for {idle_ms:?} ms, {statuses:?}")
        });
    }

    /// All workers leave in good order, and one comes who has never been here.
    fn change_shifts(self: &Arc<Self>) {
        for who in self.everybody() {
            self.stop(who);
        }
        let began = self.now();
        while !self.everybody().is_empty() && !self.has_failed() {
            self.pass(REST_STEP_MS);
            self.turns();
            if self.now() > began + REST_WITHIN_MS {
                self.violate(|| "the workers do not leave".to_owned());
            }
        }
        self.hire(WORKERS_MAX);
    }
}
