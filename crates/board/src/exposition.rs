//! Prometheus' text format, for figures that are looked up when they are asked for.
//!
//! Not a recorder: nothing is kept here. Invariant: every family has its help and its type once, and
//! comes even when it has no sample.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The content type of a page in this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric: its name with its unit, whether it only grows, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// As it is queried.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Family {
    /// Something that goes up and down.
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Family {
        Family { name, kind: "gauge", labels, help }
    }

    /// Something that only grows.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Family {
        Family { name, kind: "counter", labels, help }
    }

    /// Durations by buckets.
    pub const fn histogram(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: "histogram", labels: &[], help }
    }
}

/// A page under construction.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Adds a family with its samples: the labels' values in the order of their names, and a value.
    pub fn add<'a>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (&'a [&'a str], f64)>,
    ) {
        let Family { name, kind, labels, help } = family;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (values, value) in samples {
            debug_assert_eq!(values.len(), labels.len(), "{name}");
            let pairs = labels.iter().zip(values);
            let pairs: Vec<String> =
                pairs.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            match pairs.is_empty() {
                true => self.write(format_args!("{name} {value}\n")),
                false => self.write(format_args!("{name}{{{}}} {value}\n", pairs.join(","))),
            }
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }

    /// Adds a family that has one sample without labels, or none.
    pub fn add_one(&mut self, family: &Family, value: impl Into<Option<f64>>) {
        let none: &[&str] = &[];
        self.add(family, value.into().map(|value| (none, value)));
    }

    /// Adds what the system says of this process; nothing where there is no `/proc`.
    pub fn add_process(&mut self) {
        for (family, value) in PROCESS.iter().zip(process()) {
            self.add_one(family, value);
        }
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What [`Exposition::add_process`] adds.
pub const PROCESS: [Family; 4] = [
    Family::gauge("process_resident_memory_bytes", &[], "Memory that the process has in use."),
    Family::counter("process_cpu_seconds_total", &[], "CPU time that the process has used."),
    Family::gauge("process_open_fds", &[], "Files and connections that are open."),
    Family::gauge("process_start_time_seconds", &[], "When the process was started."),
];

fn process() -> [Option<f64>; PROCESS.len()] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything; the third field is the first behind it.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> =
        behind_name.split_whitespace().map(|it| it.parse().unwrap_or(0.0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
    [
        resident.map(|kilobytes: f64| kilobytes * 1024.0),
        field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_A_SECOND),
        open,
        field(22).zip(booted_at()).map(|(ticks, booted)| booted + ticks / TICKS_A_SECOND),
    ]
}

/// The unit in which Linux tells times of processes, on every architecture.
const TICKS_A_SECOND: f64 = 100.0;

/// When the system was started, in seconds since 1970-01-01 UTC.
fn booted_at() -> Option<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(seconds_now() - up)
}

/// Seconds since 1970-01-01 UTC.
pub fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOPS: Family = Family::gauge("shops", &["town", "kind"], "Shops.");

    #[test]
    fn a_label_cannot_break_the_page() {
        let mut page = Exposition::default();
        page.add(&SHOPS, [(["a\"b\\c\nd", "e"].as_slice(), 1.5)]);
        page.add_one(&Family::counter("sales_total", &[], "Sales."), None);
        let expected = "# HELP shops Shops.\n# TYPE shops gauge\n\
                        shops{town=\"a\\\"b\\\\c\\nd\",kind=\"e\"} 1.5\n\
                        # HELP sales_total Sales.\n# TYPE sales_total counter\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn the_process_is_known() {
        let [memory, cpu, open, started] = process().map(|value| value.unwrap());
        assert!(memory > 100_000.0 && cpu >= 0.0 && open >= 3.0, "{memory} {cpu} {open}");
        assert!((0.0..86_400.0).contains(&(seconds_now() - started)), "{started}");
    }
}
