//! Where the battle is fought: the broker, the proxy before it, the topics, the snapshots.
//!
//! Invariant: whatever is done to it can be undone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Scenario;
use crate::KafkaServer;
use crate::proxy::Proxy;
use crate::stage::{Stage, Stamps};

/// How long a hold without `pay_by` lasts: short, so that holds expire while a run lasts.
pub(super) const HOLD_TTL_MS: u64 = 60_000;
/// Often enough that kills meet snapshots, too.
const SNAPSHOT_INTERVAL_MS: u64 = 3_000;

/// See the module's documentation.
pub(super) struct Ground {
    pub(super) server: KafkaServer,
    pub(super) proxy: Proxy,
    pub(super) stage: Stage,
}

impl Ground {
    pub(super) fn prepare(scenario: &Scenario, server: KafkaServer, proxy: Proxy) -> Ground {
        let stage = Stage::on(server.bootstrap(), scenario.partitions, Stamps::Append)
            .settled_through(&proxy.address());
        stage.configure_as(&format!(
            "[log]\nformat = 'json'\n[rules]\nhold_ttl_ms = {HOLD_TTL_MS}\n[snapshots]\n\
             interval_ms = {SNAPSHOT_INTERVAL_MS}\n{}",
            scenario.configuration
        ));
        Ground { server, proxy, stage }
    }

    /// Puts the snapshots' directory away, and a file in its place: a path below it is no directory
    /// any more, for whoever has it open too, and whatever rights they have.
    pub(super) fn hide_snapshots(&self) -> io::Result<()> {
        fs::rename(self.stage.snapshots(), self.hidden())?;
        self.put_in_place(|place| fs::write(place, "not a directory"))
    }

    pub(super) fn restore_snapshots(&self) -> io::Result<()> {
        fs::remove_file(self.stage.snapshots())?;
        self.put_in_place(|place| fs::rename(self.hidden(), place))
    }

    /// While nothing is in the directory's place, a process that publishes makes the directory anew;
    /// then what it began there goes.
    fn put_in_place(&self, put: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        const ATTEMPTS_MAX: u32 = 100;
        let place = self.stage.snapshots();
        let mut attempt = put(&place);
        for _ in 0..ATTEMPTS_MAX {
            if attempt.is_ok() || !place.is_dir() {
                break;
            }
            // It may be written to meanwhile, and be there still.
            drop(fs::remove_dir_all(&place));
            attempt = put(&place);
        }
        attempt
    }

    fn hidden(&self) -> PathBuf {
        self.stage.snapshots().with_extension("hidden")
    }
}

/// As Kafka counts time.
pub(super) fn millis_since_1970(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).expect("it is before the year 292 million")
}
