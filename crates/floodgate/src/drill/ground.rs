//! Where a load runs: the topics of a pipeline as its publishers and readers see them.
//!
//! Not the pipeline: whatever consumes these topics is what is measured. Invariant: nobody here is a
//! member of the pipeline's group.

use drill::load;
use ledger::rules::Rules;
use ledger::units::Offset;
use model::AuditReport;
use pipeline::log::{LogError, Offsets};

/// See the module's documentation.
pub(super) trait Ground {
    type Publisher: load::Publisher + Send;
    type Answers: load::Answers;

    /// What the pipeline decides by.
    fn rules(&self) -> &Rules;

    /// Name of the input.
    fn input(&self) -> &str;

    fn offsets(&mut self) -> &mut dyn Offsets;

    /// Whether some partition of the input holds a record that is later than this, in milliseconds since
    /// 1970.
    fn input_is_beyond(&self, time_ms: i64) -> Result<bool, LogError>;

    /// Where each partition of the counters ends.
    fn counters_end(&self) -> Result<Vec<Offset>, LogError>;

    fn publisher(&self) -> Result<Self::Publisher, LogError>;

    /// Answers from now on.
    fn answers(&self) -> Result<Self::Answers, LogError>;

    /// Derives all that was answered again from the input.
    fn audit(&mut self) -> anyhow::Result<AuditReport>;
}
