//! One partition's machine: records in, encoded outputs and a running digest out.
//!
//! It joins the decoder, the state machine, the encoder and the digest, and is the same in live
//! work, in replay, in the demo and in the golden tests. It knows no log, no store and no clock.
//! Invariant: `next`, the digest and the state machine always stand at the same record.

use std::fmt;

use ledger::command::Command;
use ledger::counters::Counter;
use ledger::effect::Effect;
use ledger::rules::Rules;
use ledger::units::{Millis, Offset};
use ledger::{Cadence, Frozen, Ledger};
use wire::{Decoder, Encoder, Outputs, Record, Refused, Route, Scratch};

use crate::digest::Digest;
use crate::log::Partition;
use crate::tally::Tally;

/// Records that are decoded ahead, so that the state machine's waits for memory overlap.
pub const AHEAD: usize = 32;

/// See the module's documentation.
pub struct Engine {
    partition: Partition,
    ledger: Ledger,
    decoder: Decoder,
    scratch: Scratch,
    encoder: Encoder,
    digest: Digest,
    next: Offset,
    tally: Tally,
}

impl Engine {
    /// The machine of a partition that has seen nothing yet.
    pub fn new(partition: Partition, input_topic: &str, rules: Rules) -> Engine {
        Engine::resume(
            partition,
            input_topic,
            rules,
            Ledger::new(rules),
            Digest::default(),
            Offset(0),
        )
    }

    /// The machine of a partition whose state stands before record `next`.
    pub fn resume(
        partition: Partition,
        input_topic: &str,
        rules: Rules,
        ledger: Ledger,
        digest: Digest,
        next: Offset,
    ) -> Engine {
        let route =
            Route { partition, partitions: rules.partitions, partitioner: rules.partitioner };
        Engine {
            partition,
            ledger,
            decoder: Decoder::new(route),
            scratch: Scratch::new(),
            encoder: Encoder::new(input_topic),
            digest,
            next,
            tally: Tally::default(),
        }
    }

    /// Applies records in offset order and appends what they cause to `outputs`.
    pub fn apply(&mut self, records: &[Record<'_>], outputs: &mut Outputs) {
        let first = outputs.len();
        let Engine { ledger, decoder, scratch, encoder, next, tally, .. } = self;
        scratch.clear();
        let mut decoded = Vec::with_capacity(AHEAD);
        for records in records.chunks(AHEAD) {
            decoded.clear();
            decoded.extend(records.iter().map(|record| decoder.decode(record, scratch)));
            ledger.prefetch(decoded.iter().flatten());
            for (record, command) in records.iter().zip(&decoded) {
                apply_one(ledger, encoder, tally, record, command, outputs);
                *next = Offset(record.offset.0 + 1);
            }
        }
        self.digest.fold(outputs, first);
    }

    /// Appends the counters of one slice of a rotation that changed since they were last written.
    pub fn write_counters(
        &mut self,
        cadence: Cadence,
        part: u32,
        parts: u32,
        outputs: &mut Outputs,
    ) {
        let Engine { ledger, encoder, partition, next, .. } = self;
        let (offset, at) = (Offset(next.0.saturating_sub(1)), ledger.time());
        ledger.write_counters(cadence, part, parts, &mut |counter: Counter<'_>| {
            encoder.counter(outputs, *partition, &counter, offset, at);
        });
    }

    /// Appends every counter that changed since it was last written.
    pub fn write_all_counters(&mut self, outputs: &mut Outputs) {
        self.write_counters(Cadence::Fast, 0, 1, outputs);
        self.write_counters(Cadence::Slow, 0, 1, outputs);
    }

    /// The state as it is now, to be serialised elsewhere.
    pub fn freeze(&mut self) -> Frozen {
        self.ledger.snapshot()
    }

    /// The state machine, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The state machine, to take its notices.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The first offset that is not applied yet.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// Digest of everything that the applied records caused.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What was caused since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Log time of the partition.
    pub fn time(&self) -> Millis {
        self.ledger.time()
    }
}

fn apply_one(
    ledger: &mut Ledger,
    encoder: &mut Encoder,
    tally: &mut Tally,
    record: &Record<'_>,
    decoded: &Result<Command<'_>, Refused>,
    outputs: &mut Outputs,
) {
    let at = ledger.time_at(record.timestamp);
    let command = decoded.map_err(|refused| refused.code);
    ledger.apply(record.offset, record.timestamp, command, &mut |effect| {
        tally.count(&effect);
        match decoded {
            // Only the decoder knows what is wrong with a record that it refused.
            Err(why) if matches!(effect, Effect::DeadLetter(_)) => {
                encoder.refused(outputs, record, at, why);
            }
            _ => encoder.effect(outputs, record, at, &effect),
        }
    });
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("partition", &self.partition)
            .field("next", &self.next)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
