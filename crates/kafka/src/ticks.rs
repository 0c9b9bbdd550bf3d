//! The producer of ticks.
//!
//! Not transactional, on purpose: an open transaction on the input would hide later input from its
//! readers. Invariant: it never waits, and a tick that cannot be sent is forgotten.

use std::sync::Arc;
use std::time::Duration;

use pipeline::log::{LogError, Partition};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::errors::log_error;
use crate::logging::Logging;
use crate::settings::Settings;

const TICK: &str = r#"{"type":"tick"}"#;

/// See the module's documentation.
pub(crate) struct Ticks {
    topic: String,
    producer: Arc<BaseProducer<Logging>>,
}

impl Ticks {
    pub(crate) fn new(settings: &Settings) -> Result<Ticks, LogError> {
        let producer = settings
            .ticks()
            .create_with_context(Logging::with_rights("ticks", settings))
            .map_err(|error| log_error("making the producer of ticks", &error))?;
        Ok(Ticks { topic: settings.topics.orders.clone(), producer: Arc::new(producer) })
    }

    pub(crate) fn append(&self, partition: Partition) {
        let partition = i32::try_from(partition).expect("partitions come from the group");
        let tick: BaseRecord<'_, [u8], str> =
            BaseRecord::to(&self.topic).partition(partition).payload(TICK);
        if let Err((error, _)) = self.producer.send(tick) {
            tracing::debug!(%error, partition, "tick not sent");
        }
        self.serve();
    }

    /// Lets the client write its log and forget what was delivered.
    pub(crate) fn serve(&self) {
        self.producer.poll(Duration::ZERO);
        // SAFETY: the producer keeps its client alive.
        unsafe { self.producer.context().bootstrap.remind(self.producer.client().native_ptr()) };
    }
}

impl std::fmt::Debug for Ticks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticks").field("in_flight", &self.producer.in_flight_count()).finish()
    }
}
