//! Asks running processes for their metrics while a load runs, for the latency of each stage.
//!
//! Not a monitoring system: it keeps nothing but two histograms. Invariant: a process that does not
//! answer costs the load nothing but its stages.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drill::stages::{Stage, Stages};

use super::sale::Opened;
use crate::ask;

/// How often the processes are asked: what a killed one counted since is lost.
pub(super) const EACH: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

/// See the module's documentation.
pub(super) struct Scraper {
    /// `HOST:PORT`, or the address of a page.
    urls: Vec<String>,
    stages: Stages,
}

impl Scraper {
    pub(super) fn new(urls: Vec<String>) -> Scraper {
        Scraper { urls, stages: Stages::default() }
    }

    pub(super) fn look(&mut self) {
        for url in &self.urls {
            let (at, path) = parts(url);
            match ask::get(at, path) {
                Ok((200, page)) => self.stages.take(url, &page),
                Ok((status, _)) => tracing::debug!(url, status, "metrics"),
                Err(error) => tracing::debug!(url, "metrics: {error:#}"),
            }
        }
    }

    pub(super) fn told(&self) -> Vec<Stage> {
        self.stages.told()
    }
}

/// Asks until the load is over, and once more then.
pub(super) fn attend(scraper: &mut Scraper, sale: &Opened<'_>) {
    // Relaxed: nothing is handed over with the flag.
    while !sale.over.load(Ordering::Relaxed) {
        scraper.look();
        let asked_at = Instant::now();
        while asked_at.elapsed() < EACH && !sale.over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
    }
    scraper.look();
}

/// Host with port, and path.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    match rest.find('/') {
        Some(slash) => (&rest[..slash], &rest[slash..]),
        None => (rest, "/metrics"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_whole_url_name_the_same_page() {
        for url in ["a:9464", "http://a:9464", "http://a:9464/metrics", "a:9464/metrics"] {
            assert_eq!(parts(url), ("a:9464", "/metrics"), "{url}");
        }
    }
}
