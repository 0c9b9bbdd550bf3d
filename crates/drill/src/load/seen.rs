//! What is wrong by the answers' own word, seen while they come.
//!
//! Not the verdict: the audit derives every answer again, which this does not. It knows two things
//! only: answers of one topic and partition name causes that do not go back, and nobody answers what
//! was not asked. Invariant: a pipeline that is right is never called wrong.

/// How many answers cannot be right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Their cause was answered before.
    pub repeated: u64,
    /// They name a cause that was not published.
    pub without_cause: u64,
}

impl Wrong {
    /// Whether nothing wrong was seen.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Wrong::default()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Seen {
    /// For each partition and topic the last cause that was answered there.
    last: Vec<[Option<u64>; TOPICS]>,
    wrong: Wrong,
}

const TOPICS: usize = 3;

impl Seen {
    pub(super) fn new(partitions: usize) -> Seen {
        Seen { last: vec![[None; TOPICS]; partitions], wrong: Wrong::default() }
    }

    pub(super) fn wrong(&self) -> Wrong {
        self.wrong
    }

    /// Takes note of an answer to the record at `offset`; `published` is the offset behind the last one
    /// of its partition.
    pub(super) fn answer(&mut self, partition: u32, kind: &str, offset: u64, published: u64) {
        if offset >= published {
            self.wrong.without_cause += 1;
            return;
        }
        let (topic, is_one) = match kind {
            "order.settled" | "order.refunded" => (0, true),
            "dead letter" => (1, true),
            // What a record's sweep releases comes before its own answer.
            _ => (2, false),
        };
        let Some(last) = self.last.get_mut(partition as usize) else { return };
        let last = &mut last[topic];
        match *last {
            Some(before) if offset < before || (is_one && offset == before) => {
                self.wrong.repeated += 1;
            }
            _ => *last = Some(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(answers: &[(u32, &str, u64)]) -> (u64, u64) {
        let mut seen = Seen::new(2);
        for (partition, kind, offset) in answers {
            seen.answer(*partition, kind, *offset, 10);
        }
        (seen.wrong.repeated, seen.wrong.without_cause)
    }

    #[test]
    fn what_is_right_is_called_wrong() {
        let right = [
            (0, "hold.placed", 3),
            (0, "order.settled", 4),
            // A sweep of three and the record's own answer.
            (0, "hold.released", 5),
            (0, "hold.released", 5),
            (0, "hold.rejected", 5),
            (0, "order.settled", 5),
            (1, "hold.placed", 0),
            (1, "dead letter", 9),
            (0, "dead letter", 9),
        ];
        assert_eq!(wrong(&right), (0, 0));
    }

    #[test]
    fn what_comes_twice_or_of_nothing_is_not_seen() {
        assert_eq!(wrong(&[(0, "order.settled", 4), (0, "order.settled", 4)]), (1, 0));
        assert_eq!(wrong(&[(0, "hold.placed", 4), (0, "hold.placed", 3)]), (1, 0));
        assert_eq!(wrong(&[(1, "dead letter", 2), (1, "dead letter", 2)]), (1, 0));
        assert_eq!(wrong(&[(1, "hold.placed", 10)]), (0, 1));
    }
}
