//! What a worker's thread sleeps on while nothing has come.
//!
//! Not a queue: it only says that one of the queues became non-empty. Invariant: a signal that is
//! given after [`Wake::reset`] ends the next wait, however the two are interleaved with a look at
//! the queues.

use std::ffi::c_void;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafka;

/// Shared by the thread that waits and librdkafka's threads, which signal.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    signalled: Mutex<bool>,
    condition: Condvar,
}

impl Wake {
    /// Forgets earlier signals; call it before looking at the queues.
    pub(crate) fn reset(&self) {
        *self.lock() = false;
    }

    /// Ends the present or the next wait.
    pub(crate) fn signal(&self) {
        *self.lock() = true;
        self.condition.notify_one();
    }

    /// Waits until the deadline for a signal since the last reset; false if none came.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut signalled = self.lock();
        while !*signalled {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            let waited = self.condition.wait_timeout(signalled, left);
            signalled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A bool cannot be left half written.
        self.signalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `rd_kafka_queue_cb_event_enable`, with a pointer to a `Wake` as its opaque.
    ///
    /// # Safety
    /// `wake` points to a `Wake` that lives until the callback is disabled.
    pub(crate) unsafe extern "C" fn signal_from_queue(_client: *mut RDKafka, wake: *mut c_void) {
        // SAFETY: that is the caller's promise.
        unsafe { &*wake.cast_const().cast::<Wake>() }.signal();
    }
}
