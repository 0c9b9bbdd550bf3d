//! SIGTERM and SIGINT: the way in which whatever runs is asked to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;

/// A flag that both signals set: they ask for an orderly stop; a second one ends the process at once.
pub(crate) fn stop() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let again = Arc::clone(&stop);
        signal_hook::flag::register_conditional_shutdown(signal, 1, again).context("signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signals")?;
    }
    Ok(stop)
}
