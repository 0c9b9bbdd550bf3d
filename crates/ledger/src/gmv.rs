//! The GMV counters of a partition while they are being counted (contract, section 6).
//!
//! Not the records that leave: `counters` has those. An order touches as little as possible: one cell
//! of a joint table by (province, channel, area, fulfilment), from which these four dimensions and
//! `all` are summed up when they are written; the minute; its merchant; its lines' categories and,
//! when it settles, their locations. Whatever counts by the day carries its day; a figure of an
//! earlier day that is not written yet moves to a list when the first event of a later day meets it.
//! Invariants: every event adds 1 to some number of orders, so that a counter exists exactly if one
//! of its numbers is not 0; what is written is a total, never a difference.

use crate::catalogue::{Categories, Merchants};
use crate::counters::{Answers, Counter, Dimension};
use crate::joint::{Joint, ROLLED};
use crate::ledger::Cadence;
use crate::paged::Paged;
use crate::places::Places;
use crate::snapshot::{Frozen, RestoreError, Thaw};
use crate::tally::{Change, Daily, Past, Subject, Tally};
use crate::units::{Channel, LocationId, Region};

const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;

/// What an order or a refund is counted under as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facets {
    pub(crate) merchant: u32,
    pub(crate) channel: Channel,
    pub(crate) region: Region,
    pub(crate) rural: bool,
    /// A refund has no fulfilment: it is counted beside `ship`, and left out of that dimension.
    pub(crate) pickup: bool,
}

/// One line of an order as far as counting goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CountedLine {
    pub(crate) category: u16,
    pub(crate) place: u32,
    pub(crate) units: u32,
    /// Units times unit price.
    pub(crate) gross: u64,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sale {
    /// It is held.
    Placed,
    /// It settled.
    Settled,
    /// Both at once.
    PlacedAndSettled,
}

impl Sale {
    #[inline(always)]
    pub(crate) fn places(self) -> bool {
        self != Sale::Settled
    }

    #[inline(always)]
    pub(crate) fn settles(self) -> bool {
        self != Sale::Placed
    }
}

/// Names of what counters number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) merchants: &'a Merchants,
    pub(crate) categories: &'a Categories,
    pub(crate) places: &'a Places,
}

#[derive(Debug, Default)]
pub(crate) struct Gmv {
    day: u64,
    minute: u64,
    /// When the next minute or day begins.
    next_turn: u64,
    /// Events so far; tells whether anything was counted since a sweep began.
    events: u64,
    joint: Joint,
    answers: Answers,
    this_minute: Tally,
    this_minute_written: Tally,
    categories: Daily,
    merchants: Daily,
    places: Daily,
    past_fast: Paged<Past>,
    past_slow: Paged<Past>,
    fast: Progress,
    slow: Progress,
}

/// How far a sweep over counters is.
#[derive(Debug, Default)]
struct Progress {
    /// Events when the sweep began.
    begun_at: u64,
    /// Everything counted up to this event is written; 0 before the first sweep.
    written_up_to: Option<u64>,
}

impl Gmv {
    /// Moves on to the minute and the day of T.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64, day_offset_ms: u64) {
        if now >= self.next_turn {
            self.turn(now, day_offset_ms);
        }
    }

    #[cold]
    fn turn(&mut self, now: u64, day_offset_ms: u64) {
        // A day offset that was lowered would go back to a day whose totals are written and forgotten,
        // and count it again from zero.
        let day = self.day.max((now + day_offset_ms) / DAY_MS);
        let minute = now / MINUTE_MS;
        if (day, minute) != (self.day, self.minute) {
            if self.this_minute != self.this_minute_written {
                let subject = Subject::Minute(self.minute);
                let past = Past::new(self.day, subject, self.this_minute, Answers::default());
                self.past_fast.push(past);
            }
            self.this_minute = Tally::default();
            self.this_minute_written = Tally::default();
        }
        if day != self.day {
            self.joint.close(self.day, &mut self.answers, &mut self.past_fast);
        }
        let next_day = (day + 1) * DAY_MS - day_offset_ms;
        (self.day, self.minute) = (day, minute);
        self.next_turn = next_day.min((minute + 1) * MINUTE_MS);
    }

    /// Takes note that other rules cut days elsewhere.
    pub(crate) fn forget_turn(&mut self) {
        self.next_turn = 0;
    }

    /// Makes room for counters of so many merchants, places and categories.
    pub(crate) fn make_room(&mut self, names: Names<'_>) {
        self.merchants.make_room(names.merchants.len());
        self.places.make_room(names.places.len());
        self.categories.make_room(names.categories.len());
    }

    /// Brings a merchant's counter near.
    #[inline]
    pub(crate) fn prefetch_merchant(&self, merchant: u32) {
        self.merchants.prefetch(merchant);
    }

    /// Brings a place's counter near.
    #[inline]
    pub(crate) fn prefetch_place(&self, place: u32) {
        self.places.prefetch(place);
    }

    /// Counts an order; `lines` in their order.
    pub(crate) fn sale(
        &mut self,
        sale: Sale,
        facets: &Facets,
        discount: u64,
        lines: &[CountedLine],
    ) {
        // Three copies of one function, each without the questions that its kind of sale answers.
        match sale {
            Sale::Placed => self.count_sale(Sale::Placed, facets, discount, lines),
            Sale::Settled => self.count_sale(Sale::Settled, facets, discount, lines),
            Sale::PlacedAndSettled => {
                self.count_sale(Sale::PlacedAndSettled, facets, discount, lines);
            }
        }
    }

    #[inline(always)]
    fn count_sale(&mut self, sale: Sale, facets: &Facets, discount: u64, lines: &[CountedLine]) {
        let (mut gross, mut units) = (0, 0);
        for line in lines {
            gross += line.gross;
            units += u64::from(line.units);
        }
        self.count(facets, Change::Sale { sale, order: true, amount: gross - discount, units });
        let mut shares = Shares::new(discount, gross);
        for (number, line) in lines.iter().enumerate() {
            let before = &lines[..number];
            let (amount, units) = (line.gross - shares.next(line.gross), u64::from(line.units));
            let order = before.iter().all(|earlier| earlier.category != line.category);
            let category = Subject::Category(line.category);
            let change = Change::Sale { sale, order, amount, units };
            self.categories.count(self.day, category, change, &mut self.past_fast);
            if sale.settles() {
                let order = before.iter().all(|earlier| earlier.place != line.place);
                let change = Change::Sale { sale: Sale::Settled, order, amount, units };
                self.places.count(
                    self.day,
                    Subject::Place(line.place),
                    change,
                    &mut self.past_slow,
                );
            }
        }
    }

    /// Counts a refund.
    pub(crate) fn refund(&mut self, facets: &Facets, amount: u64) {
        self.count(facets, Change::Refund { amount });
    }

    pub(crate) fn rejected(&mut self) {
        self.answers.orders_rejected += 1;
        self.events += 1;
    }

    pub(crate) fn released(&mut self) {
        self.answers.orders_released += 1;
        self.events += 1;
    }

    pub(crate) fn dead_letter(&mut self) {
        self.answers.dead_letters += 1;
        self.events += 1;
    }

    pub(crate) fn duplicate(&mut self) {
        self.answers.duplicates += 1;
        self.events += 1;
    }

    #[inline(always)]
    fn count(&mut self, facets: &Facets, change: Change) {
        self.events += 1;
        self.joint.count(facets, change);
        self.this_minute.add(change);
        let merchant = Subject::Merchant(facets.merchant);
        self.merchants.count(self.day, merchant, change, &mut self.past_slow);
    }

    /// Whether anything may be unwritten; exact after a sweep that nothing interrupted.
    pub(crate) fn changed(&self) -> bool {
        [&self.fast, &self.slow].iter().any(|sweep| sweep.written_up_to != Some(self.events))
    }

    /// Writes part `part` of `parts` of the counters that changed since they were written.
    pub(crate) fn write(
        &mut self,
        which: Cadence,
        part: u32,
        parts: u32,
        names: Names<'_>,
        emit: &mut impl FnMut(Counter<'_>),
    ) {
        let progress = match which {
            Cadence::Fast => &mut self.fast,
            Cadence::Slow => &mut self.slow,
        };
        if part == 0 {
            progress.begun_at = self.events;
        }
        if part + 1 >= parts && progress.begun_at == self.events {
            progress.written_up_to = Some(self.events);
        }
        let slice = Slice { part, parts };
        let day = self.day;
        let mut write = |subject, day, tally: &Tally, answers| {
            emit(Counter {
                day,
                dimension: name(subject, answers, names),
                figures: tally.figures(),
            });
        };
        match which {
            Cadence::Fast => {
                write_past(&mut self.past_fast, slice, &mut write);
                self.joint.write(slice, self.answers, |subject, tally, answers| {
                    write(subject, day, tally, answers);
                });
                if slice.is_last() && self.this_minute != self.this_minute_written {
                    self.this_minute_written = self.this_minute;
                    write(Subject::Minute(self.minute), day, &self.this_minute, Answers::default());
                }
                let none = Answers::default();
                self.categories.write(slice, |number, day, tally| {
                    write(Subject::Category(number as u16), day, tally, none);
                });
            }
            Cadence::Slow => {
                let none = Answers::default();
                write_past(&mut self.past_slow, slice, &mut write);
                self.merchants.write(slice, |number, day, tally| {
                    write(Subject::Merchant(number), day, tally, none);
                });
                self.places.write(slice, |number, day, tally| {
                    write(Subject::Place(number), day, tally, none);
                });
            }
        }
    }

    /// The business day on which events count, in days since 1970-01-01.
    pub(crate) fn day(&self) -> u64 {
        self.day
    }

    /// Gives every counter that can change or be written again: those of today and of this minute,
    /// written or not, and the unwritten ones of earlier days and minutes.
    pub(crate) fn for_each(&self, names: Names<'_>, on: &mut impl FnMut(Counter<'_>)) {
        let mut give = |subject, day, tally: &Tally, answers| {
            on(Counter { day, dimension: name(subject, answers, names), figures: tally.figures() });
        };
        for past in [&self.past_fast, &self.past_slow] {
            for number in 0..past.len() {
                let (day, subject, tally, answers) = past.get(number).parts();
                give(subject, day, &tally, answers);
            }
        }
        let (today, none) = (self.day, Answers::default());
        self.joint.for_each(self.answers, |subject, tally| {
            give(subject, today, tally, self.answers);
        });
        if self.this_minute != Tally::default() {
            give(Subject::Minute(self.minute), today, &self.this_minute, none);
        }
        self.categories.for_each(today, |number, day, tally| {
            give(Subject::Category(number as u16), day, tally, none);
        });
        self.merchants.for_each(today, |number, day, tally| {
            give(Subject::Merchant(number), day, tally, none);
        });
        self.places.for_each(today, |number, day, tally| {
            give(Subject::Place(number), day, tally, none);
        });
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        let Answers { orders_rejected, orders_released, dead_letters, duplicates } = self.answers;
        frozen.push_slice(&[self.day, self.minute, self.next_turn, self.events]);
        frozen.push_slice(&[orders_rejected, orders_released, dead_letters, duplicates]);
        frozen.push_slice(&[self.this_minute, self.this_minute_written]);
        self.joint.freeze(frozen);
        self.categories.freeze(frozen);
        self.merchants.freeze(frozen);
        self.places.freeze(frozen);
        frozen.push(self.past_fast.freeze());
        frozen.push(self.past_slow.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Gmv, RestoreError> {
        let scalars = thaw.exactly::<u64>(4)?;
        let answers = thaw.exactly::<u64>(4)?;
        let minute = thaw.exactly::<Tally>(2)?;
        Ok(Gmv {
            day: scalars[0],
            minute: scalars[1],
            next_turn: scalars[2],
            events: scalars[3],
            answers: Answers {
                orders_rejected: answers[0],
                orders_released: answers[1],
                dead_letters: answers[2],
                duplicates: answers[3],
            },
            this_minute: minute[0],
            this_minute_written: minute[1],
            joint: Joint::thaw(thaw)?,
            categories: Daily::thaw(thaw)?,
            merchants: Daily::thaw(thaw)?,
            places: Daily::thaw(thaw)?,
            past_fast: Paged::thaw(thaw)?,
            past_slow: Paged::thaw(thaw)?,
            fast: Progress::default(),
            slow: Progress::default(),
        })
    }
}

/// A share of a rotating sweep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    part: u32,
    parts: u32,
}

impl Slice {
    /// Everything at once.
    pub(crate) const WHOLE: Slice = Slice { part: 0, parts: 1 };

    pub(crate) fn is_first(self) -> bool {
        self.part == 0
    }

    fn is_last(self) -> bool {
        self.part + 1 >= self.parts
    }

    /// Where the slice of `len` things ends.
    pub(crate) fn end(self, len: usize) -> usize {
        if self.is_last() { len } else { len * (self.part as usize + 1) / self.parts as usize }
    }

    /// Where the slice of `len` things begins, if their number does not change.
    pub(crate) fn start(self, len: usize) -> usize {
        len * (self.part.min(self.parts) as usize) / self.parts.max(1) as usize
    }

    /// How many of `len` waiting things to take, so that the last slice takes the last of them.
    pub(crate) fn of_waiting(self, len: usize) -> usize {
        len.div_ceil(self.parts.saturating_sub(self.part).max(1) as usize)
    }
}

fn write_past(
    past: &mut Paged<Past>,
    slice: Slice,
    write: &mut impl FnMut(Subject, u64, &Tally, Answers),
) {
    for _ in 0..slice.of_waiting(past.len()) {
        if let Some(past) = past.pop() {
            let (day, subject, tally, answers) = past.parts();
            write(subject, day, &tally, answers);
        }
    }
}

fn name(subject: Subject, answers: Answers, names: Names<'_>) -> Dimension<'_> {
    match subject {
        Subject::Rolled(number) => match ROLLED[number] {
            Dimension::All(_) => Dimension::All(answers),
            dimension => dimension,
        },
        Subject::Category(category) => Dimension::Category(names.categories.name(category)),
        Subject::Merchant(merchant) => Dimension::Merchant(names.merchants.id(merchant)),
        Subject::Place(place) => {
            let place = names.places.get(place);
            Dimension::Location(names.merchants.id(place.merchant), LocationId(place.location))
        }
        Subject::Minute(minute) => Dimension::Minute(minute),
    }
}

/// Cuts an order's discount into its lines' shares, to the last unit.
#[derive(Debug)]
struct Shares {
    discount: u64,
    gross: u64,
    /// Gross of the lines so far.
    gross_so_far: u64,
    given_so_far: u64,
}

impl Shares {
    fn new(discount: u64, gross: u64) -> Shares {
        Shares { discount, gross, gross_so_far: 0, given_so_far: 0 }
    }

    /// The share of the next line.
    #[inline]
    fn next(&mut self, line_gross: u64) -> u64 {
        if self.discount == 0 {
            return 0;
        }
        self.gross_so_far += line_gross;
        let given = if self.gross_so_far == self.gross {
            self.discount
        } else if let Some(product) = self.discount.checked_mul(self.gross_so_far) {
            product / self.gross
        } else {
            // At most the discount, which is at most the gross.
            (u128::from(self.discount) * u128::from(self.gross_so_far) / u128::from(self.gross))
                as u64
        };
        let share = given - self.given_so_far;
        self.given_so_far = given;
        share
    }
}
