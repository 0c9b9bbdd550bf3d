//! What a drill shows while it runs: one line that changes on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drill::load::{Measured, Meter, Second, Wrong};
use drill::report::Mark;
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::Format;
use crate::print::grouped;

const LOOK: Duration = Duration::from_millis(200);
/// How often a plain line is written.
const PLAIN_EACH: Duration = Duration::from_secs(5);

/// Tells how much of a load is left; none once nothing more is published.
pub(super) type Left<'a> = dyn Fn(&Measured) -> Option<String> + Sync + 'a;

/// See the module's documentation.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(format: Format) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        let is_shown = format == Format::Text;
        let bar = match is_shown && is_terminal {
            true => ProgressBar::new_spinner().with_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            ),
            false => ProgressBar::hidden(),
        };
        Progress { bar, is_terminal, is_shown }
    }

    /// Says something that stays.
    pub(super) fn say(&self, line: &str) {
        if self.is_shown && self.is_terminal {
            self.bar.println(line);
        } else if self.is_shown {
            plain(line);
        }
    }

    pub(super) fn catalogue(&self, records: u64) {
        self.show(&format!("catalogue: {} records published", grouped(records)));
    }

    pub(super) fn settling(&self, left: u64) {
        self.show(&format!("{} records not settled yet", grouped(left)));
    }

    /// Shows how far a work is that is looked at again and again; `told_at` is when a plain line was
    /// written last.
    pub(super) fn work(&self, told_at: &mut Instant, line: impl FnOnce() -> String) {
        if !self.is_shown || (!self.is_terminal && told_at.elapsed() < PLAIN_EACH) {
            return;
        }
        *told_at = Instant::now();
        if self.is_terminal { self.show(&line()) } else { plain(&line()) }
    }

    /// Takes away what does not stay.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        self.bar.tick();
    }

    /// Shows how the load goes until it is over.
    pub(super) fn watch(&self, meter: &Meter, left: &Left<'_>, over: &AtomicBool) {
        let mut told_at = Instant::now();
        let mut marks = Vec::new();
        // Relaxed: nothing is handed over with the flag.
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            if !self.is_shown {
                continue;
            }
            let measured = meter.measured();
            self.tell_news(&mut marks, &measured.marks);
            if let Some(left) = left(&measured) {
                self.work(&mut told_at, || line(&left, &measured, meter.behind()));
            }
        }
        self.clear();
    }

    /// Says what was done to the pipeline, and when it has got over it.
    fn tell_news(&self, told: &mut Vec<Mark>, marks: &[Mark]) {
        for (number, mark) in marks.iter().enumerate() {
            if told.get(number).is_none_or(|told| told.recovered_ms != mark.recovered_ms) {
                self.say(&format!("{:.1} s: {}", mark.second, mark.told()));
            }
        }
        marks.clone_into(told);
    }
}

fn line(left: &str, measured: &Measured, behind: u64) -> String {
    // The last second is not over.
    let last = measured.seconds.iter().rev().nth(1).cloned().unwrap_or_default();
    let Second { due, sent, answered, p50_ms, p99_ms, .. } = last;
    let rejected: u64 = measured.rejections.values().sum();
    format!(
        "{left}   due {}/s   sent {}/s   answered {}/s   p50 {p50_ms} ms   p99 {p99_ms} ms   \
         behind {}   late {}   rejected {}   {}",
        grouped(due),
        grouped(sent),
        grouped(answered),
        grouped(behind),
        grouped(measured.late),
        grouped(rejected),
        so_far(measured.wrong)
    )
}

/// What can be said before the audit.
fn so_far(wrong: Wrong) -> String {
    let Wrong { repeated, without_cause } = wrong;
    if wrong.is_nothing() {
        return "right so far".to_owned();
    }
    format!("WRONG: {repeated} answers came twice, {without_cause} to nothing")
}

#[allow(clippy::print_stderr, reason = "progress of a command, through here alone")]
fn plain(line: &str) {
    eprintln!("{line}");
}
