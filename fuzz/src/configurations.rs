//! A configuration file of any bytes: it is loaded, or refused with a text that names the key.
//!
//! Not the environment or the command line. Invariant: the command's own loader does the work, on a
//! file, as it does for an operator.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Seek, Write};

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use tempfile::NamedTempFile;

use crate::configuration::{Configuration, DEFAULTS, Overrides, Wrong};

thread_local! {
    static FILE: RefCell<NamedTempFile> =
        RefCell::new(NamedTempFile::new().expect("the temporary directory takes a file"));
}

/// Panics if a file is refused without saying where, or accepted with what cannot be worked with.
pub fn fuzz_configuration(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    match load(bytes) {
        Ok(configuration) => {
            assert!(configuration.rules(1).are_valid(), "{shown}");
            let worker = configuration.worker(true);
            assert!(!worker.commit_interval.is_zero() && worker.commit_outputs_max > 0, "{shown}");
            assert!(configuration.settle.workers > 0, "{shown}");
        }
        Err(Wrong(text)) => {
            assert!(says_where(&text, bytes), "{text:?} does not say where: {shown}")
        }
    }
}

fn load(bytes: &[u8]) -> Result<Configuration, Wrong> {
    FILE.with_borrow_mut(|file| {
        let inner = file.as_file_mut();
        inner
            .set_len(0)
            .and_then(|()| inner.rewind())
            .and_then(|()| inner.write_all(bytes))
            .expect("the temporary file can be written");
        Configuration::load(Some(file.path()), &Overrides::default())
    })
}

/// The encoding or a line where the file is no TOML, and a key everywhere else.
fn says_where(error: &str, bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return error.contains("UTF-8") };
    match Figment::from(Toml::string(text)).extract::<Dict>() {
        Err(_) => error.contains("at line "),
        Ok(given) => {
            let mut keys = BTreeSet::new();
            collect("", &given, &mut keys);
            if let Ok(known) = Figment::from(Toml::string(DEFAULTS)).extract::<Dict>() {
                collect("", &known, &mut keys);
            }
            keys.iter().any(|key| error.contains(key.as_str()))
        }
    }
}

/// The keys of a table with the tables they lie in: `settle.workers`.
fn collect(prefix: &str, table: &Dict, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if let Value::Dict(_, inner) = value {
            collect(&key, inner, keys);
        }
        keys.insert(key);
    }
}
