//! One table from which `all`, channel, area, fulfilment and province are summed up.
//!
//! Not a cube for queries: it exists so that an order adds to one cell instead of five. The sums are
//! made when they are written, a few times a second. Invariant: the sums over any of the dimensions
//! are equal, since they are sums over the same cells (fulfilment without refunds).

use crate::counters::{Answers, Dimension};
use crate::gmv::{Facets, Slice};
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};
use crate::tally::{Change, Past, Subject, Tally};
use crate::units::Channel;
use std::ops::Range;

const PROVINCES: usize = 100;
const CHANNELS: usize = Channel::ALL.len();
const CELLS: usize = PROVINCES * CHANNELS * 2 * 2;

/// The counters that are summed up, in the order of their numbers.
pub(crate) const ROLLED: [Dimension<'static>; 1 + CHANNELS + 2 + 2 + PROVINCES] = {
    let mut rolled = [Dimension::All(NO_ANSWERS); 1 + CHANNELS + 2 + 2 + PROVINCES];
    let mut channel = 0;
    while channel < CHANNELS {
        rolled[1 + channel] = Dimension::Channel(Channel::ALL[channel]);
        channel += 1;
    }
    rolled[1 + CHANNELS] = Dimension::Area { rural: false };
    rolled[2 + CHANNELS] = Dimension::Area { rural: true };
    rolled[3 + CHANNELS] = Dimension::Fulfilment { pickup: false };
    rolled[4 + CHANNELS] = Dimension::Fulfilment { pickup: true };
    let mut province = 0;
    while province < PROVINCES {
        rolled[5 + CHANNELS + province] = Dimension::Province(province as u32);
        province += 1;
    }
    rolled
};

const NO_ANSWERS: Answers =
    Answers { orders_rejected: 0, orders_released: 0, dead_letters: 0, duplicates: 0 };

#[derive(Debug)]
pub(crate) struct Joint {
    /// By province, then channel, then area, then fulfilment.
    cells: Paged<Tally>,
    /// What was last written of today, by the numbers of [`ROLLED`].
    written: Paged<Tally>,
    written_answers: Answers,
}

impl Default for Joint {
    fn default() -> Joint {
        let (mut cells, mut written) = (Paged::default(), Paged::default());
        cells.grow(CELLS);
        written.grow(ROLLED.len());
        Joint { cells, written, written_answers: NO_ANSWERS }
    }
}

fn cell(province: usize, channel: usize, rural: usize, pickup: usize) -> usize {
    ((province * CHANNELS + channel) * 2 + rural) * 2 + pickup
}

impl Joint {
    #[inline(always)]
    pub(crate) fn count(&mut self, facets: &Facets, change: Change) {
        let province = facets.region.province() as usize;
        let (rural, pickup) = (usize::from(facets.rural), usize::from(facets.pickup));
        let cell = cell(province, facets.channel as usize, rural, pickup);
        self.cells.get_mut(cell).add(change);
    }

    /// Gives the slice's counters that changed since they were last given.
    pub(crate) fn write(
        &mut self,
        slice: Slice,
        answers: Answers,
        mut write: impl FnMut(Subject, &Tally, Answers),
    ) {
        let (start, end) = (slice.start(ROLLED.len()), slice.end(ROLLED.len()));
        for (number, dimension) in ROLLED.iter().enumerate().take(end).skip(start) {
            let total = self.total(number);
            let is_all = matches!(dimension, Dimension::All(_));
            if total != *self.written.get(number) || (is_all && answers != self.written_answers) {
                *self.written.get_mut(number) = total;
                if is_all {
                    self.written_answers = answers;
                }
                write(Subject::Rolled(number), &total, answers);
            }
        }
    }

    /// Gives today's counters that have had an event.
    pub(crate) fn for_each(&self, answers: Answers, mut on: impl FnMut(Subject, &Tally)) {
        for (number, dimension) in ROLLED.iter().enumerate() {
            let total = self.total(number);
            let is_answered = matches!(dimension, Dimension::All(_)) && answers != NO_ANSWERS;
            if total != Tally::default() || is_answered {
                on(Subject::Rolled(number), &total);
            }
        }
    }

    /// Ends a day: moves what is unwritten to `past` and starts from zero.
    pub(crate) fn close(&mut self, day: u64, answers: &mut Answers, past: &mut Paged<Past>) {
        let whole = Slice::WHOLE;
        self.write(whole, *answers, |subject, tally, answers| {
            past.push(Past::new(day, subject, *tally, answers));
        });
        for number in 0..CELLS {
            // Most cells are zero on most days; reading does not copy a page that is being frozen.
            if *self.cells.get(number) != Tally::default() {
                *self.cells.get_mut(number) = Tally::default();
            }
        }
        for number in 0..ROLLED.len() {
            *self.written.get_mut(number) = Tally::default();
        }
        self.written_answers = NO_ANSWERS;
        *answers = NO_ANSWERS;
    }

    /// Sums up the counter of this number.
    fn total(&self, number: usize) -> Tally {
        let only = |one: usize| one..one + 1;
        let mut of = Selection::default();
        let mut refunds = true;
        match ROLLED[number] {
            Dimension::Channel(channel) => of.channels = only(channel as usize),
            Dimension::Area { rural } => of.rural = only(usize::from(rural)),
            Dimension::Fulfilment { pickup } => {
                of.pickup = only(usize::from(pickup));
                refunds = false;
            }
            Dimension::Province(province) => of.provinces = only(province as usize),
            _ => {}
        }
        let mut total = Tally::default();
        of.for_each(|cell| total.merge(self.cells.get(cell), refunds));
        total
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        let Answers { orders_rejected, orders_released, dead_letters, duplicates } =
            self.written_answers;
        frozen.push_slice(&[orders_rejected, orders_released, dead_letters, duplicates]);
        frozen.push(self.cells.freeze());
        frozen.push(self.written.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Joint, RestoreError> {
        let answers = thaw.exactly::<u64>(4)?;
        let cells: Paged<Tally> = Paged::thaw(thaw)?;
        thaw.check(cells.len() == CELLS)?;
        let written: Paged<Tally> = Paged::thaw(thaw)?;
        thaw.check(written.len() == ROLLED.len())?;
        let written_answers = Answers {
            orders_rejected: answers[0],
            orders_released: answers[1],
            dead_letters: answers[2],
            duplicates: answers[3],
        };
        Ok(Joint { cells, written, written_answers })
    }
}

/// A box of cells.
struct Selection {
    provinces: Range<usize>,
    channels: Range<usize>,
    rural: Range<usize>,
    pickup: Range<usize>,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection { provinces: 0..PROVINCES, channels: 0..CHANNELS, rural: 0..2, pickup: 0..2 }
    }
}

impl Selection {
    fn for_each(&self, mut on: impl FnMut(usize)) {
        for province in self.provinces.clone() {
            for channel in self.channels.clone() {
                for rural in self.rural.clone() {
                    for pickup in self.pickup.clone() {
                        on(cell(province, channel, rural, pickup));
                    }
                }
            }
        }
    }
}
