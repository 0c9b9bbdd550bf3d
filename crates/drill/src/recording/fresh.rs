//! Fresh ids and shifted times, so that a replay is not taken for a repetition of what was recorded, nor
//! a second replay for one of the first.
//!
//! Not random: the tag and the shift decide. Invariant: what had one id has one id, what had two has two,
//! and all distances in time are as they were.

use ledger::command::ExternalId;
use ledger::units::MONEY_AND_TIME_MAX;
use wire::decode::VALUE_BYTES_MAX;
use xxhash_rust::xxh3::xxh3_128;

use super::chunk::Record;
use super::moment::DAY_MS;
use super::rewrite::{IdSpace, Rewriting, rewrite, shifted};

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    tag: String,
    shift_ms: i64,
}

impl Fresh {
    /// Most characters of a tag: with a dot and a hash behind it, it is still an id.
    pub const TAG_CHARACTERS_MAX: usize = ExternalId::BYTES_MAX - 33;

    /// Ids behind this tag, and times shifted by so much.
    ///
    /// # Errors
    /// If the tag is none.
    pub fn new(tag: &str, shift_ms: i64) -> Result<Fresh, String> {
        let is_tag = (1..=Fresh::TAG_CHARACTERS_MAX).contains(&tag.len())
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_tag {
            return Err(format!(
                "a tag is 1 to {} letters and digits, {tag:?} is not",
                Fresh::TAG_CHARACTERS_MAX
            ));
        }
        Ok(Fresh { tag: tag.to_owned(), shift_ms })
    }

    /// Milliseconds by which what began at `first_t_ms` is shifted to begin today, at the same time of
    /// day: whole days, so that each minute and each business day holds what it held.
    #[must_use]
    pub fn shift_to_today(first_t_ms: u64, now_ms: i64) -> i64 {
        let apart = now_ms.saturating_sub(first_t_ms.cast_signed());
        apart.div_euclid(DAY_MS) * DAY_MS
    }

    /// What all fresh ids begin with, but for a dot.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// How far times are shifted.
    #[must_use]
    pub fn shift_ms(&self) -> i64 {
        self.shift_ms
    }

    /// The timestamp of a record; one that counts as none stays what it is.
    #[must_use]
    pub fn timestamp_ms(&self, timestamp_ms: i64) -> i64 {
        match u64::try_from(timestamp_ms) {
            Ok(time_ms) if time_ms <= MONEY_AND_TIME_MAX => {
                shifted(time_ms, self.shift_ms).cast_signed()
            }
            _ => timestamp_ms,
        }
    }

    /// Changes the timestamp, and the value if it is a command.
    pub(super) fn apply(&self, record: &mut Record, is_command: bool) {
        record.timestamp_ms = self.timestamp_ms(record.timestamp_ms);
        if is_command && let Some(value) = &record.value {
            let renewed = rewrite(value, self).filter(|renewed| renewed.len() <= VALUE_BYTES_MAX);
            let renewed = renewed.or_else(|| rewrite(value, &Terse(self)));
            record.value = renewed.or(record.value.take());
        }
    }

    /// The tag before the id, so that both can be found again; before its hash if it is too long.
    fn id_behind_tag(&self, id: &str) -> String {
        let Fresh { tag, .. } = self;
        match tag.len() + 1 + id.len() <= ExternalId::BYTES_MAX {
            true => format!("{tag}.{id}"),
            false => format!("{tag}.{:032x}", xxh3_128(id.as_bytes())),
        }
    }
}

/// For a command that longer ids would make too large: it becomes shorter by what means nothing.
struct Terse<'a>(&'a Fresh);

impl Rewriting for Terse<'_> {
    const HIDES: bool = true;

    fn id(&self, _: IdSpace, id: &str) -> String {
        self.0.id_behind_tag(id)
    }

    fn buyer(&self, _: u64) -> Option<u64> {
        None
    }

    fn time_ms(&self, time_ms: u64) -> u64 {
        shifted(time_ms, self.0.shift_ms)
    }
}

impl Rewriting for Fresh {
    const HIDES: bool = false;

    fn id(&self, _: IdSpace, id: &str) -> String {
        self.id_behind_tag(id)
    }

    fn buyer(&self, _: u64) -> Option<u64> {
        None
    }

    fn time_ms(&self, time_ms: u64) -> u64 {
        shifted(time_ms, self.shift_ms)
    }
}
