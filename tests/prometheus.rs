//! Prometheus' own programs, for what `floodgate generate` and `deploy/` say to them.
//!
//! They come with Debian's package `prometheus`. Invariant: a test that is skipped for want of one says so
//! where it is seen, and fails if `FLOODGATE_REQUIRE_PROMTOOL=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The program of this name: the one that an environment variable of that name in capitals tells, else in
/// `target/tools`, else in `PATH`.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(name.to_uppercase()).map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let unpacked = root.join("target/tools/usr/bin").join(name);
    let mut known = named.into_iter().chain([unpacked, PathBuf::from(name)]);
    let found = known.find(|path| Command::new(path).arg("--version").output().is_ok());
    let required = std::env::var("FLOODGATE_REQUIRE_PROMTOOL").is_ok_and(|value| value == "1");
    assert!(found.is_some() || !required, "there is no {name}; install Debian's `prometheus`");
    if found.is_none() {
        // Not `eprintln!`: the test harness would swallow it.
        let warning =
            format!("\n*** Rules and dashboards were NOT looked at: there is no {name}. ***\n\n");
        std::io::stderr().write_all(warning.as_bytes()).expect("stderr can be written");
    }
    found
}

/// Every query of a dashboard.
#[must_use]
pub fn queries(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(queries)).collect()
        }
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}
