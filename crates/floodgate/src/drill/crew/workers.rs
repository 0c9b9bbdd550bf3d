//! Workers in this process, on the embedded log.
//!
//! The loop, the snapshots and the recovery are those of `settle`; what dies is a worker's thread with
//! all of its state. Invariant: of a worker that was killed not one further call reaches the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use pipeline::embedded::{EmbeddedBroker, EmbeddedLog, EmbeddedOffsets, MemberId};
use pipeline::log::{LogError, Partition};
use pipeline::status::Producing;

use super::Crew;
use crate::embedded::GROUP;
use crate::fleet::{Connect, Fleet, Plan};

/// How long the group waits for a killed worker to come back under its name.
const SESSION: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// See the module's documentation.
pub(in crate::drill) struct Workers {
    broker: Arc<EmbeddedBroker>,
    plan: Plan,
    metrics: PrometheusHandle,
    workers: Vec<Lone>,
}

/// A fleet of one.
struct Lone {
    fleet: Option<Fleet>,
    member: Member,
}

/// Who a worker is to the group, once it has made its log.
type Member = Arc<Mutex<Option<MemberId>>>;

impl Workers {
    pub(in crate::drill) fn start(
        broker: Arc<EmbeddedBroker>,
        plan: Plan,
        metrics: PrometheusHandle,
        count: usize,
    ) -> anyhow::Result<Workers> {
        let mut crew = Workers { broker, plan, metrics, workers: Vec::with_capacity(count) };
        for number in 0..count {
            let worker = crew.worker(number)?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    fn worker(&self, number: usize) -> anyhow::Result<Lone> {
        let member = Member::default();
        let named = Named { broker: Arc::clone(&self.broker), number, member: Arc::clone(&member) };
        Ok(Lone { fleet: Some(Fleet::start(&self.plan, 1, named)?), member })
    }
}

/// Makes one worker's member of the group, and remembers it.
struct Named {
    broker: Arc<EmbeddedBroker>,
    number: usize,
    member: Member,
}

impl Connect for Named {
    type Log = EmbeddedLog;
    type Offsets = EmbeddedOffsets;

    fn connect(&self, _: usize) -> Result<(EmbeddedLog, EmbeddedOffsets), LogError> {
        let log = self.broker.member(GROUP, &format!("{GROUP}-{}", self.number));
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = Some(log.id());
        Ok((log, self.broker.offsets(GROUP)))
    }
}

impl Lone {
    fn id(&self) -> Option<MemberId> {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        let shared = self.fleet.iter().flat_map(Fleet::shared);
        shared.into_iter().all(|shared| shared.status().producing == Some(Producing::Ready))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.workers.iter().flat_map(|worker| &worker.fleet).for_each(Fleet::stop);
        for worker in &mut self.workers {
            // Whatever went wrong has been told while the rehearsal ran.
            drop(worker.fleet.take().map(Fleet::join));
        }
    }
}

impl Crew for Workers {
    fn size(&self) -> usize {
        self.workers.len()
    }

    fn name(&self, number: usize) -> String {
        format!("worker {number}")
    }

    fn fault(&self) -> &'static str {
        "crash"
    }

    fn live(&mut self, number: usize) -> Vec<Partition> {
        let shared = self.workers[number].fleet.iter().flat_map(Fleet::shared);
        let partitions = shared.flat_map(|shared| shared.status().partitions);
        let live = partitions.filter(|partition| partition.phase == "live");
        live.map(|partition| partition.partition).collect()
    }

    fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let id = self.workers[number].id().context("the worker has not begun yet")?;
        self.broker.vanish(id);
        Ok(())
    }

    /// As a static member of a group on Kafka: its partitions wait for it, but not for ever.
    fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let (before, fleet) = (self.workers[number].id(), self.workers[number].fleet.take());
        // That it was killed is no news.
        drop(fleet.map(Fleet::join));
        self.workers[number] = self.worker(number)?;
        let began = Instant::now();
        while !self.workers[number].is_ready() && began.elapsed() < SESSION {
            std::thread::sleep(LOOK);
        }
        if let Some(before) = before {
            self.broker.expire_session(before);
        }
        Ok(())
    }

    fn ended(&mut self, number: usize) -> Option<String> {
        let has_ended = self.workers[number].fleet.as_ref().is_some_and(Fleet::has_ended);
        has_ended.then(|| "its loop ended".to_owned())
    }

    fn metrics(&mut self) -> Vec<(String, String)> {
        vec![("this process".to_owned(), self.metrics.render())]
    }

    fn log(&self, _: usize) -> String {
        self.logs()
    }

    fn logs(&self) -> String {
        "FLOODGATE__LOG__LEVEL=info shows more".to_owned()
    }
}
