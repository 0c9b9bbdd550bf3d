//! How many commands a second this machine can make: a sale that is long due, over 1, 2, … publishers
//! that throw everything away. Not what a broker takes, nor what a client costs: `floodgate drill run
//! --publish-only` tells that.
//!
//! ```sh
//! cargo run --release -p drill --example commands -- 1 2
//! ```

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use drill::load::{LoadError, Meter, Publisher, WallClock, drive, publish_catalogue};
use drill::profile::Profile;
use drill::traffic::{Sent, Settings, Traffic};

const PARTITIONS: u32 = 12;
const PROFILE: &str = "250k/s for 8s";
/// So long ago did the sale open: everything is late, and nobody waits.
const AGO_MS: i64 = 3_600_000;

/// Takes every record and keeps none.
struct Nobody;

impl Publisher for Nobody {
    fn publish(&mut self, record: &Sent) -> Result<(), LoadError> {
        black_box((record.key(), record.value()));
        Ok(())
    }

    fn serve(&mut self, _: Duration) {}

    fn flush(&mut self) -> Result<(), LoadError> {
        Ok(())
    }

    fn failed(&self) -> u64 {
        0
    }
}

#[allow(clippy::print_stdout, reason = "the result of an example")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<usize> =
        std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>()?;
    let all = if given.is_empty() { vec![1, 2] } else { given };
    for publishers in all {
        let (commands, seconds) = measure(publishers)?;
        let rate = commands as f64 / seconds / 1e6;
        println!("{publishers} publishers: {commands} commands in {seconds:.2} s, {rate:.2} M/s");
    }
    Ok(())
}

/// Commands of a sale, and the seconds that they took.
fn measure(publishers: usize) -> Result<(u64, f64), Box<dyn std::error::Error>> {
    let clock = WallClock::new();
    let profile: Profile = PROFILE.parse()?;
    let opens_at = clock.now_ms() - AGO_MS;
    let settings = Settings { profile: Some(profile.clone()), ..Settings::default() };
    let starts_at = opens_at - settings.opening_ms.cast_signed();
    let mut traffic = Traffic::new(settings, profile.orders(), 3, PARTITIONS, starts_at);
    let mut nobody: Vec<Nobody> = std::iter::repeat_with(|| Nobody).take(publishers).collect();
    publish_catalogue(&mut traffic, &mut Nobody, |_| {})?;
    let meter = Meter::new(opens_at, &[0; PARTITIONS as usize]);
    let ends_at = opens_at + (profile.seconds() * 1_000.0) as i64;
    let began = Instant::now();
    drive(&mut traffic, &mut nobody, &clock, ends_at, &meter, &AtomicBool::new(false))?;
    Ok((meter.measured().sent, began.elapsed().as_secs_f64()))
}
