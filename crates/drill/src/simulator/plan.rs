//! What a seed stands for: the size of the world, the rhythm of its workers, and how likely each
//! fault is. Most seeds leave some faults out and exaggerate others (swarm testing: Groce et al.,
//! ISSTA 2012), since a world in which everything happens at once seldom gets far enough for the
//! rarer mistakes.
//!
//! Not what happens: that is drawn as it happens. Invariant: a function of the seed alone.

use std::time::Duration;

use ledger::rules::{Partitioner, Rules};
use pipeline::embedded::Timestamps;
use pipeline::settings::WorkerSettings;

use super::fault::Fault;
use crate::traffic::Settings as TrafficSettings;
use crate::traffic::draw::{Domain, Draw};

/// Most workers at once.
pub(super) const WORKERS_MAX: u32 = 6;
/// Odds are so many in this.
pub(super) const ODDS_OF: u64 = 1_000_000;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) partitions: u32,
    pub(super) timestamps: Timestamps,
    pub(super) rules: Rules,
    pub(super) worker: WorkerSettings,
    pub(super) session_timeout_ms: u64,
    pub(super) transaction_timeout_ms: u64,
    /// Workers at the beginning.
    pub(super) workers: u32,
    /// Whether a worker that is started again keeps its transactional id.
    pub(super) names_are_stable: bool,
    pub(super) orders: u64,
    pub(super) traffic: TrafficSettings,
    /// Records that are published in a step, at most.
    pub(super) burst_max: u64,
    /// Values of more bytes are left out of the traffic.
    pub(super) value_bytes_max: usize,
    /// Milliseconds that pass in a step, at most.
    pub(super) step_ms_max: u64,
    /// Milliseconds that a job waits to be begun, and its answer to be heard, at most.
    pub(super) job_ms_max: u64,
    /// How likely each fault is wherever it can strike, in [`ODDS_OF`].
    odds: [u64; Fault::ALL.len()],
    /// How likely it is that a call or a job takes so long that others get their turns meanwhile.
    pub(super) slow_odds: u64,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Plan {
        let mut draw = Draw::of(seed, Domain::Simulation, 0);
        let draw = &mut draw;
        let partitions = draw.pick(&[1, 1, 2, 2, 3, 4]);
        let timestamps = draw.pick(&[
            Timestamps::CreateTime,
            Timestamps::CreateTime,
            Timestamps::CreateTime,
            Timestamps::LogAppendTime,
        ]);
        Plan {
            seed,
            partitions,
            timestamps,
            rules: rules(draw, partitions, timestamps),
            worker: worker(draw, timestamps),
            session_timeout_ms: draw.between(400, 3_000),
            transaction_timeout_ms: draw.between(400, 3_000),
            workers: draw.between(1, 3) as u32,
            names_are_stable: draw.per_mille(600),
            orders: draw.between(40, 260),
            traffic: traffic(draw),
            burst_max: draw.between(3, 12),
            value_bytes_max: if draw.per_mille(30) { usize::MAX } else { 8_192 },
            step_ms_max: draw.pick(&[20, 40, 80]),
            job_ms_max: draw.pick(&[1, 100, 800, 3_000]),
            odds: odds(draw),
            slow_odds: draw.pick(&[0, 1_000, 4_000]),
        }
    }

    /// How likely a fault is where it can strike, in [`ODDS_OF`].
    pub(super) fn odds(&self, fault: Fault) -> u64 {
        self.odds[fault as usize]
    }
}

/// Under `LogAppendTime` the publishers' times have nothing to do with the log's, so that only wide
/// windows let a command pass.
fn rules(draw: &mut Draw, partitions: u32, timestamps: Timestamps) -> Rules {
    const DAY_MS: u64 = 86_400_000;
    let wide = timestamps == Timestamps::LogAppendTime;
    Rules {
        partitions,
        partitioner: draw.pick(&[Partitioner::Murmur2, Partitioner::Murmur2, Partitioner::Any]),
        hold_ttl_ms: draw.pick(&[300, 2_000, 60_000, 900_000]),
        order_window_ms: if wide { 9 * DAY_MS } else { draw.pick(&[2_000, 900_000, 900_000]) },
        receipt_window_ms: if wide { 9 * DAY_MS } else { DAY_MS },
        skew_ms: if wide { 9 * DAY_MS } else { 60_000 },
        ..Rules::default()
    }
}

fn worker(draw: &mut Draw, timestamps: Timestamps) -> WorkerSettings {
    let mut ms = |choices: &[u64]| Duration::from_millis(draw.pick(choices));
    WorkerSettings {
        commit_interval: ms(&[0, 10, 50, 100, 250]),
        counters_fast: ms(&[200, 1_000]),
        counters_slow: ms(&[500, 3_000]),
        counters_quiet: ms(&[100, 300]),
        snapshot_interval: ms(&[50, 150, 400, 1_500, 60_000]),
        drain: ms(&[100, 1_000, 10_000]),
        // Seldom, so that a world with several partitions is seen at rest; what is due to expire
        // brings a tick at once.
        tick_quiet: ms(&[4_000, 10_000]),
        ticks: timestamps == Timestamps::LogAppendTime,
        commit_outputs_max: draw.pick(&[7, 100_000, 100_000]),
        ..WorkerSettings::default()
    }
}

/// Few merchants with few things, much of it scarce, and much that goes wrong upstream.
fn traffic(draw: &mut Draw) -> TrafficSettings {
    TrafficSettings {
        merchants_min: draw.between(1, 5) as u32,
        merchants_max: 5,
        skus_per_merchant_max: 3,
        orders_per_buyer: 10,
        opening_ms: 1_000,
        sale_ms_min: draw.pick(&[2_000, 20_000, 60_000]),
        stock_percent: draw.pick(&[50, 200]),
        stock_base: draw.pick(&[2, 30]),
        scarce_skus_per_mille: 300,
        flash_orders_per_mille: 60,
        refunded_per_mille: 150,
        repeated_soon_per_mille: draw.pick(&[10, 200]),
        repeated_late_per_ten_thousand: draw.pick(&[0, 300]),
        orders_per_aside: draw.pick(&[3, 20]),
        ..TrafficSettings::default()
    }
}

/// A fault in four is left out, one is rare, one as it should be, one frequent.
fn odds(draw: &mut Draw) -> [u64; Fault::ALL.len()] {
    Fault::ALL.map(|fault| usual_odds(fault) * draw.pick(&[0, 1, 4, 12]) / 4)
}

/// How likely a fault is wherever it can strike, in a seed that neither favours nor spares it.
fn usual_odds(fault: Fault) -> u64 {
    match fault {
        // At every call on the log or the store, and between turns.
        Fault::Crash => 800,
        Fault::Zombie => 300,
        Fault::Fence => 120,
        Fault::SessionLost => 2_000,
        Fault::RequestLost | Fault::AnswerLost => 1_500,
        // At the calls that make a transaction.
        Fault::TransactionBroken => 4_000,
        Fault::RequestLate | Fault::RequestDoubled => 6_000,
        // At every poll.
        Fault::Redelivery => 15_000,
        // At every call on the store of their kind.
        Fault::WriteTorn | Fault::WriteLost | Fault::WriteLate | Fault::WriteUnanswered => 40_000,
        Fault::ReadDamaged => 80_000,
        // In every step of the world.
        Fault::StoreDown | Fault::PartitionStalled | Fault::InputHeld => 5_000,
        Fault::Join | Fault::Leave => 12_000,
        Fault::InputAborted => 8_000,
        Fault::OffsetsLost => 1_500,
        // Everybody dies of it, which ends much that could have gone wrong otherwise.
        Fault::DigestDiffers => 500,
        // At every published record.
        Fault::Duplicate => 4_000,
        Fault::ClockJump => 6_000,
    }
}
