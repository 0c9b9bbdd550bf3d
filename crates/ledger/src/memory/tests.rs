//! The once-memory against a plain map that forgets nothing by itself.

use super::*;
use crate::command::ExternalId;
use proptest::prelude::*;
use std::collections::HashMap;

const WINDOW: u64 = 1000;

/// What the contract says of one id: the time that decides, and the hold that pins it.
#[derive(Debug, Clone, Copy)]
struct Plain {
    time: u64,
    pinned: bool,
}

#[derive(Default)]
struct Pair {
    memory: Memory,
    plain: HashMap<(u32, String), Plain>,
    /// Where each pinning hold's entry is.
    pins: HashMap<u32, (u32, (u32, String))>,
    now: u64,
}

fn pack(text: &str) -> PackedId {
    PackedId::new(ExternalId::new(text).unwrap())
}

impl Pair {
    fn horizon(&self) -> Horizon {
        Horizon { now: self.now, window: WINDOW }
    }

    fn remembers(&self, merchant: u32, text: &str) -> bool {
        let id = pack(text);
        let found = self.memory.find(&Key::new(merchant, &id), |_| false);
        let remembered = match found {
            Some(Place::Log(entry)) => self.memory.outcome(entry, self.horizon()).is_some(),
            _ => false,
        };
        let plain = self.plain.get(&(merchant, text.to_owned()));
        let expected = plain.is_some_and(|p| p.pinned || p.time + WINDOW >= self.now);
        assert_eq!(remembered, expected, "{merchant} {text} at {}", self.now);
        remembered
    }

    fn add(&mut self, merchant: u32, text: &str, time: u64, pin: Option<u32>) {
        if self.remembers(merchant, text) {
            return;
        }
        let id = pack(text);
        let key = Key::new(merchant, &id);
        let before = self.memory.find(&key, |_| false);
        let entry = self.memory.add(&key, before, time, Outcome::Seen, pin);
        let name = (merchant, text.to_owned());
        self.plain.insert(name.clone(), Plain { time, pinned: pin.is_some() });
        if let Some(hold) = pin {
            self.pins.insert(hold, (entry, name));
        }
        let (horizon, pins) = (self.horizon(), &mut self.pins);
        self.memory.collect(horizon, |hold, entry| {
            pins.get_mut(&hold).expect("only pinned entries move").0 = entry;
        });
    }

    fn unpin(&mut self, hold: u32) {
        if let Some((entry, name)) = self.pins.remove(&hold) {
            self.memory.unpin(entry);
            self.plain.get_mut(&name).expect("what was pinned was added").pinned = false;
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add { merchant: u32, text: String, ahead: u64, pin: bool },
    Unpin(u32),
    Ask { merchant: u32, text: String },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let text = || "[0-9]{1,2}|[a-c]{1,3}";
    prop_oneof![
        6 => (0..3u32, text(), 0..100u64, prop::bool::weighted(0.1))
            .prop_map(|(merchant, text, ahead, pin)| Step::Add { merchant, text, ahead, pin }),
        1 => (0..200u32).prop_map(Step::Unpin),
        3 => (0..3u32, text()).prop_map(|(merchant, text)| Step::Ask { merchant, text }),
        3 => (1..60u64).prop_map(Step::Wait),
        1 => Just(Step::Wait(WINDOW)),
        1 => (DELTA_END / 2..DELTA_END * 2).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn an_id_is_remembered_exactly_as_long_as_it_must_be(
        steps in prop::collection::vec(step(), 0..300)
    ) {
        let mut pair = Pair { now: 5_000_000, ..Pair::default() };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add { merchant, text, ahead, pin } => {
                    let pin = pin.then_some(number as u32 + 1);
                    pair.add(merchant, &text, pair.now + ahead, pin);
                }
                Step::Unpin(hold) => pair.unpin(hold),
                Step::Ask { merchant, text } => _ = pair.remembers(merchant, &text),
                Step::Wait(time) => pair.now += time,
            }
        }
        let names: Vec<(u32, String)> = pair.plain.keys().cloned().collect();
        for (merchant, text) in names {
            pair.remembers(merchant, &text);
        }
    }
}

#[test]
fn a_steady_stream_takes_a_steady_amount_of_memory() {
    let mut pair = Pair::default();
    for number in 0..200_000u64 {
        pair.now = number;
        let id = pack(&number.to_string());
        let key = Key::new(7, &id);
        let before = pair.memory.find(&key, |_| false);
        pair.memory.add(&key, before, number, Outcome::Seen, None);
        pair.memory.collect(pair.horizon(), |_, _| {});
    }
    assert_eq!(pair.memory.len(), WINDOW + 1);
    // Four words for each of about a thousand ids, and the page that is being written.
    assert!(pair.memory.words.pages() <= 3, "{} pages", pair.memory.words.pages());
    assert!(pair.memory.index.len() <= 4 * WINDOW, "{} entries", pair.memory.index.len());
}

#[test]
fn positions_may_repeat_without_confusion() {
    // Close to the last page number, so that the log runs over it.
    let mut pair = Pair::default();
    pair.memory.oldest_page = PAGE_NUMBERS - 3;
    for number in 0..30_000u64 {
        pair.now = number;
        pair.add(
            1,
            &format!("id-{number}"),
            number,
            (number % 5000 == 0).then_some(number as u32 + 1),
        );
    }
    assert!(pair.memory.oldest_page < 100, "the numbers have begun anew");
    for number in 0..30_000u64 {
        assert_eq!(
            pair.remembers(1, &format!("id-{number}")),
            number % 5000 == 0 || number >= 28_999
        );
    }
}

#[test]
fn a_recycled_page_does_not_answer_for_what_it_held_before() {
    let mut pair = Pair::default();
    for round in 0..20u64 {
        for number in 0..1500u64 {
            pair.now = round * 2 * WINDOW;
            pair.add(number as u32 % 2, &format!("{number}"), pair.now, None);
        }
        assert!(pair.remembers(0, "0") && pair.remembers(1, "1499"));
        assert!(!pair.remembers(1, "0"));
    }
}
