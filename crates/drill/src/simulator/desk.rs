//! The threads of a worker that take their time, without threads: jobs are done when their time has
//! come, step by step, and others can have their turns between two steps.
//!
//! Not what a job does: that is the pipeline's own code. Invariant: as in a real process, at most one
//! opening or question and one publication are under way at once, each kind in its order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use pipeline::background::{Background, Done, Job, Publication, publish};
use pipeline::opening::Opener;
use pipeline::store::SnapshotStore;

use super::stage::{Stage, Transaction, lock};
use super::trace::Event;

/// Longest that a quick job takes.
const QUICK_MS_MAX: u64 = 20;

/// See the module's documentation. The worker has one handle, the world another.
#[derive(Clone)]
pub(super) struct Desk {
    who: u64,
    stage: Weak<Stage>,
    papers: Arc<Mutex<Papers>>,
}

struct Papers {
    /// None while it is at work.
    opener: Option<Opener>,
    store: Arc<dyn SnapshotStore>,
    is_publishing: bool,
    /// Each with the time at which it is begun.
    questions: VecDeque<(u64, Job)>,
    publications: VecDeque<(u64, Publication)>,
    /// Each with the time at which the worker can find it.
    done: VecDeque<(u64, Done)>,
}

impl Desk {
    pub(super) fn new(
        who: u64,
        stage: &Arc<Stage>,
        opener: Opener,
        store: Arc<dyn SnapshotStore>,
    ) -> Desk {
        let papers = Papers {
            opener: Some(opener),
            store,
            is_publishing: false,
            questions: VecDeque::new(),
            publications: VecDeque::new(),
            done: VecDeque::new(),
        };
        Desk { who, stage: Arc::downgrade(stage), papers: Arc::new(Mutex::new(papers)) }
    }

    /// Does what is due.
    pub(super) fn work(&self, stage: &Arc<Stage>) {
        self.answer(stage);
        self.publish(stage);
    }

    fn answer(&self, stage: &Arc<Stage>) {
        let (mut opener, job) = {
            let mut papers = lock(&self.papers);
            let is_due = papers.questions.front().is_some_and(|(due, _)| *due <= stage.now());
            if !is_due || papers.opener.is_none() {
                return;
            }
            let opener = papers.opener.take().expect("it was just looked at");
            let (_, job) = papers.questions.pop_front().expect("it was just looked at");
            (opener, job)
        };
        stage.state().at_work.push(self.who);
        let done = match job {
            Job::Open(partition, attempt) => {
                let outcome = opener.open(partition);
                stage.note_opening(self.who, partition, &outcome);
                Done::Opened(partition, attempt, outcome.map(Box::new))
            }
            Job::Committed(partitions) => {
                let answer = opener.committed(&partitions);
                for (number, partition) in partitions.into_iter().enumerate() {
                    let committed = answer.as_ref().ok().and_then(|found| found[number].offset);
                    let committed = committed.map(|offset| offset.0);
                    stage.note(self.who, Event::Answered { partition, committed });
                }
                Done::Committed(answer)
            }
            Job::Publish(_) => unreachable!("publications have their own queue"),
        };
        stage.state().at_work.pop();
        let mut papers = lock(&self.papers);
        papers.opener = Some(opener);
        drop(papers);
        self.hand_in(stage, done);
    }

    fn publish(&self, stage: &Arc<Stage>) {
        let (store, publication) = {
            let mut papers = lock(&self.papers);
            let is_due = papers.publications.front().is_some_and(|(due, _)| *due <= stage.now());
            if !is_due || papers.is_publishing {
                return;
            }
            papers.is_publishing = true;
            let (_, publication) = papers.publications.pop_front().expect("just looked at");
            (Arc::clone(&papers.store), publication)
        };
        let (partition, offset) = (publication.place.partition, publication.header.offset);
        let outcome = publish(&*store, publication);
        let well = outcome.is_ok();
        stage.note(self.who, Event::Published { partition, offset: offset.0, well });
        let mut papers = lock(&self.papers);
        papers.is_publishing = false;
        drop(papers);
        self.hand_in(stage, Done::Published { partition, offset, outcome });
    }

    /// What was found out can be stale when the worker hears of it.
    fn hand_in(&self, stage: &Stage, done: Done) {
        let at = stage.now() + job_ms(stage);
        lock(&self.papers).done.push_back((at, done));
    }
}

impl Background for Desk {
    fn submit(&mut self, job: Job) {
        let Some(stage) = self.stage.upgrade() else { return };
        let due = stage.now() + job_ms(&stage);
        let mut papers = lock(&self.papers);
        match job {
            Job::Publish(publication) => {
                stage.stand(self.who, |standing| standing.publishing += 1);
                papers.publications.push_back((due, publication));
            }
            question => {
                let is_opening = matches!(question, Job::Open(..));
                stage.stand(self.who, |standing| standing.opening += u32::from(is_opening));
                papers.questions.push_back((due, question));
            }
        }
    }

    /// What the worker learns here changes what it is in the midst of.
    fn finished(&mut self) -> Option<Done> {
        let stage = self.stage.upgrade()?;
        let mut papers = lock(&self.papers);
        if papers.done.front()?.0 > stage.now() {
            return None;
        }
        let (_, done) = papers.done.pop_front()?;
        drop(papers);
        stage.stand(self.who, |standing| match &done {
            Done::Opened(partition, _, outcome) => {
                standing.opening = standing.opening.saturating_sub(1);
                standing.replaying.remove(partition);
                let replay = outcome.as_ref().ok().and_then(|opened| opened.replay);
                standing.replaying.extend(replay.map(|replay| (*partition, replay.until.0)));
            }
            Done::Committed(Ok(_)) => standing.transaction = Transaction::None,
            Done::Committed(Err(_)) => {}
            Done::Published { .. } => standing.publishing = standing.publishing.saturating_sub(1),
        });
        Some(done)
    }
}

/// Most jobs are quick; a slow one can be overtaken by all that others do.
fn job_ms(stage: &Stage) -> u64 {
    let ms_max = if stage.below(4) == 0 { stage.plan.job_ms_max } else { QUICK_MS_MAX };
    stage.below(ms_max.min(stage.plan.job_ms_max) + 1)
}
