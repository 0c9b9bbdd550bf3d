//! Topics that the brokers say they do not know.
//!
//! Just after a topic was created, or while brokers restart, one of them may not know it though it is
//! there: Kafka's own client counts that among the errors that pass
//! (`UnknownTopicOrPartitionException` is a `RetriableException`) and waits a minute at most
//! (`max.block.ms`). Not a watch over topics: only one that was missed is asked for. Invariant: a
//! topic is missing for good only when the brokers have answered so for the whole of the wait.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pipeline::log::{LogError, Partition};

/// Pause between two questions for what is missed.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Absence {
    wait: Duration,
    /// Since when the brokers have answered, without a break, that they do not know what is missed.
    missed: BTreeMap<Place, Option<Instant>>,
    asked_at: Option<Instant>,
}

/// A topic, and a partition that it must have.
type Place = (String, Partition);

impl Absence {
    /// Topics may be missing for so long.
    pub(crate) fn new(wait: Duration) -> Absence {
        Absence { wait, missed: BTreeMap::new(), asked_at: None }
    }

    /// A call failed, perhaps because the brokers do not know this partition of this topic.
    pub(crate) fn miss(&mut self, topic: &str, partition: Partition) {
        self.missed.entry((topic.to_owned(), partition)).or_default();
    }

    /// Whether nothing is missed.
    pub(crate) fn is_over(&self) -> bool {
        self.missed.is_empty()
    }

    /// Asks after what is missed, if it is time: `Retry` while the wait goes on, `Fatal` after it.
    pub(crate) fn look(
        &mut self,
        mut is_known: impl FnMut(&str, Partition) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        if self.asked_at.is_some_and(|at| at.elapsed() < ASK_PAUSE) {
            return Ok(());
        }
        while let Some(mut entry) = self.missed.first_entry() {
            self.asked_at = Some(Instant::now());
            let (topic, partition) = entry.key();
            match is_known(topic, *partition) {
                Ok(true) => drop(entry.remove()),
                Ok(false) => {
                    let since = *entry.get_mut().get_or_insert_with(Instant::now);
                    return Err(missing(entry.key(), since.elapsed(), self.wait));
                }
                Err(error) => {
                    entry.insert(None);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn missing((topic, partition): &Place, missed: Duration, wait: Duration) -> LogError {
    const REMEDY: &str = "create the topics with `floodgate topics create`, or mend kafka.topics or \
                          kafka.topic_prefix; `floodgate topics check` says what is wrong";
    let unknown = format!("the brokers do not know partition {partition} of the topic {topic}");
    if missed < wait {
        let wait = wait.as_secs();
        LogError::Retry(format!("{unknown} yet; if they do not within {wait} s: {REMEDY}"))
    } else {
        LogError::Fatal(format!("{unknown}: {REMEDY}"))
    }
}

#[cfg(test)]
mod absence_tests {
    use super::*;

    fn missing_with(wait: Duration) -> Absence {
        let mut absence = Absence::new(wait);
        assert_eq!(absence.look(|_, _| unreachable!("nothing is missed")), Ok(()));
        absence.miss("orders", 0);
        absence
    }

    /// The next look comes at once.
    fn look(absence: &mut Absence, answer: Result<bool, LogError>) -> Result<(), LogError> {
        absence.asked_at = None;
        absence.look(|_, _| answer.clone())
    }

    #[test]
    fn a_missed_topic_passes_at_first_and_is_refused_with_what_to_do_in_the_end() {
        let early = look(&mut missing_with(Duration::MAX), Ok(false));
        assert!(matches!(early, Err(LogError::Retry(_))), "{early:?}");
        let late = look(&mut missing_with(Duration::ZERO), Ok(false));
        let Err(LogError::Fatal(late)) = late else { panic!("it is given up") };
        assert!(late.contains("orders") && late.contains("floodgate topics create"), "{late}");
    }

    #[test]
    fn a_missed_topic_that_turns_up_is_forgotten() {
        let mut absence = missing_with(Duration::ZERO);
        assert_eq!(look(&mut absence, Ok(true)), Ok(()));
        assert_eq!(look(&mut absence, Ok(false)), Ok(()), "nobody asks");
    }

    #[test]
    fn the_time_in_which_brokers_do_not_answer_does_not_count() {
        let mut absence = missing_with(Duration::MAX);
        assert!(look(&mut absence, Ok(false)).is_err());
        let since = |absence: &Absence| absence.missed.values().next().copied().flatten();
        assert!(since(&absence).is_some());
        let silence = LogError::Retry("no answer".to_owned());
        assert_eq!(look(&mut absence, Err(silence.clone())), Err(silence));
        assert_eq!(since(&absence), None);
    }
}
