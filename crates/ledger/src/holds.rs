//! Open holds, packed into words: about 100 bytes for an order of two lines.
//!
//! Not an index: a hold is found by its reference, which others keep (the once-memory under its
//! order id, the expiry heap by its time). A hold is a run of 64-bit words inside one page:
//!
//! | word | content, from the lowest bit |
//! |---|---|
//! | 0 | expires_at 50, lines 7, pickup 1, rural 1, channel 3, presale state 2 |
//! | 1 | placed_at 50, id tag 6 |
//! | 2 | discount 50 |
//! | 3 | buyer 64 |
//! | 4 | merchant 32, position in the expiry heap 32 |
//! | 5 | sequence 44, region 20 |
//! | then | the order id, two 32-bit words in each |
//! | then | only with a presale: deposit, balance due, reference to the deposit's payment id |
//! | then | for each line: cell 32, units 32; unit price 50, category 13 |
//!
//! The amount is derived. Runs that become free are chained by length and used again; a length is
//! rounded up to two words. Invariant: a reference stays valid, and points to the same hold, until
//! that hold is removed.

use crate::expiry::{Positions, SEQUENCE_BITS};
use crate::packed_id::{PackedId, TAG_BITS};
use crate::paged::{PAGE_BYTES, Paged};
use crate::snapshot::{Frozen, RestoreError, Thaw};
use crate::units::{Channel, Region};

/// Bits of a time or a sum of money up to 10^15, and some more.
const TIME_BITS: u32 = 50;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const LINES_SHIFT: u32 = TIME_BITS;
const PICKUP_SHIFT: u32 = 57;
const RURAL_SHIFT: u32 = 58;
const CHANNEL_SHIFT: u32 = 59;
const PRESALE_SHIFT: u32 = 62;

const HEADER_WORDS: usize = 6;
const PRESALE_WORDS: usize = 3;
const LINE_WORDS: usize = 2;
/// Words that one step of a reference stands for, and to which lengths are rounded up.
const GRAIN: usize = 2;
const PAGE_WORDS: usize = PAGE_BYTES / 8;
/// Longest hold: the longest id, a presale and 100 lines.
const WORDS_MAX: usize = HEADER_WORDS + 5 + PRESALE_WORDS + 100 * LINE_WORDS;
const LENGTHS: usize = WORDS_MAX.div_ceil(GRAIN) + 1;

/// How far a hold's presale is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PresaleState {
    None,
    AwaitsDeposit,
    DepositPaid,
}

/// One line of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldLine {
    pub(crate) cell: u32,
    pub(crate) units: u32,
    pub(crate) unit_price: u64,
    /// The SKU's category when the order was placed.
    pub(crate) category: u16,
}

impl HeldLine {
    /// Units times unit price.
    pub(crate) fn gross(&self) -> u64 {
        u64::from(self.units) * self.unit_price
    }
}

/// Everything about a hold but its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldTerms {
    pub(crate) merchant: u32,
    pub(crate) id: PackedId,
    pub(crate) buyer: u64,
    pub(crate) placed_at: u64,
    pub(crate) expires_at: u64,
    pub(crate) sequence: u64,
    pub(crate) discount: u64,
    pub(crate) channel: Channel,
    pub(crate) region: Region,
    pub(crate) rural: bool,
    pub(crate) pickup: bool,
    /// Deposit and when the balance is due.
    pub(crate) presale: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Holds {
    words: Paged<u64>,
    /// First word of the last page that was never used.
    fresh: usize,
    /// First free run of each length; 0 for none. A free run's first word is the next one.
    free: [u32; LENGTHS],
    open: u64,
}

impl Default for Holds {
    fn default() -> Holds {
        Holds { words: Paged::default(), fresh: 0, free: [0; LENGTHS], open: 0 }
    }
}

/// A hold's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold<'a>(&'a [u64]);

impl Hold<'_> {
    pub(crate) fn expires_at(&self) -> u64 {
        self.0[0] & TIME_MASK
    }

    fn line_count(&self) -> usize {
        (self.0[0] >> LINES_SHIFT) as usize & 0x7f
    }

    pub(crate) fn pickup(&self) -> bool {
        self.0[0] >> PICKUP_SHIFT & 1 == 1
    }

    pub(crate) fn rural(&self) -> bool {
        self.0[0] >> RURAL_SHIFT & 1 == 1
    }

    pub(crate) fn channel(&self) -> Channel {
        Channel::ALL.get((self.0[0] >> CHANNEL_SHIFT) as usize & 7).copied().unwrap_or_default()
    }

    pub(crate) fn presale(&self) -> PresaleState {
        match self.0[0] >> PRESALE_SHIFT {
            0 => PresaleState::None,
            1 => PresaleState::AwaitsDeposit,
            _ => PresaleState::DepositPaid,
        }
    }

    pub(crate) fn placed_at(&self) -> u64 {
        self.0[1] & TIME_MASK
    }

    fn tag(&self) -> u8 {
        (self.0[1] >> TIME_BITS) as u8 & ((1 << TAG_BITS) - 1)
    }

    pub(crate) fn discount(&self) -> u64 {
        self.0[2] & TIME_MASK
    }

    pub(crate) fn buyer(&self) -> u64 {
        self.0[3]
    }

    pub(crate) fn merchant(&self) -> u32 {
        self.0[4] as u32
    }

    pub(crate) fn position(&self) -> u32 {
        (self.0[4] >> 32) as u32
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.0[5] & ((1 << SEQUENCE_BITS) - 1)
    }

    pub(crate) fn region(&self) -> Region {
        Region::new((self.0[5] >> SEQUENCE_BITS) as u32).unwrap_or_default()
    }

    fn id_words(&self) -> impl Iterator<Item = u32> {
        self.0[HEADER_WORDS..].iter().flat_map(|word| [*word as u32, (*word >> 32) as u32])
    }

    /// Whether this is the hold of that merchant's order.
    pub(crate) fn is(&self, merchant: u32, id: &PackedId) -> bool {
        self.merchant() == merchant && id.is(self.tag(), self.id_words())
    }

    pub(crate) fn id(&self) -> PackedId {
        PackedId::from_parts(self.tag(), self.id_words())
    }

    fn after_id(&self) -> usize {
        HEADER_WORDS + id_words(self.tag())
    }

    fn presale_word(&self, which: usize) -> u64 {
        debug_assert_ne!(self.presale(), PresaleState::None);
        self.0[self.after_id() + which]
    }

    /// A presale's deposit.
    pub(crate) fn deposit(&self) -> u64 {
        self.presale_word(0)
    }

    /// When a presale's balance is due.
    pub(crate) fn balance_due(&self) -> u64 {
        self.presale_word(1)
    }

    /// Where the payments' once-memory keeps the id that paid the deposit.
    pub(crate) fn deposit_payment(&self) -> u32 {
        self.presale_word(2) as u32
    }

    fn lines_at(&self) -> usize {
        let presale = if self.presale() == PresaleState::None { 0 } else { PRESALE_WORDS };
        self.after_id() + presale
    }

    fn words(&self) -> usize {
        self.lines_at() + self.line_count() * LINE_WORDS
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = HeldLine> {
        self.0[self.lines_at()..self.words()].chunks_exact(LINE_WORDS).map(|line| HeldLine {
            cell: line[0] as u32,
            units: (line[0] >> 32) as u32,
            unit_price: line[1] & TIME_MASK,
            category: (line[1] >> TIME_BITS) as u16,
        })
    }
}

impl Hold<'_> {
    /// What the order costs.
    pub(crate) fn amount(&self) -> u64 {
        self.lines().map(|line| line.gross()).sum::<u64>() - self.discount()
    }
}

/// 64-bit words that the id takes.
fn id_words(tag: u8) -> usize {
    crate::packed_id::words_of(tag).div_ceil(2)
}

impl Holds {
    /// Number of open holds.
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    /// Brings a hold near that will be looked at soon; one of two lines takes two cache lines.
    pub(crate) fn prefetch(&self, hold: u32) {
        let words = self.get(hold).0;
        prefetch::prefetch(&words[0]);
        prefetch::prefetch(&words[words.len().min(9) - 1]);
    }

    pub(crate) fn get(&self, hold: u32) -> Hold<'_> {
        let word = word_of(hold);
        Hold(&self.words.page(word / PAGE_WORDS)[word % PAGE_WORDS..])
    }

    fn get_mut(&mut self, hold: u32) -> &mut [u64] {
        let word = word_of(hold);
        &mut self.words.page_mut(word / PAGE_WORDS)[word % PAGE_WORDS..]
    }

    /// Stores a hold; gives its reference, which is never 0 and below 2^31.
    pub(crate) fn insert(
        &mut self,
        terms: &HoldTerms,
        lines: impl ExactSizeIterator<Item = HeldLine>,
    ) -> u32 {
        let id_words = id_words(terms.id.tag());
        let presale_words = if terms.presale.is_some() { PRESALE_WORDS } else { 0 };
        let words = HEADER_WORDS + id_words + presale_words + lines.len() * LINE_WORDS;
        let hold = self.allocate(words);
        let run = &mut self.get_mut(hold)[..words];
        write_header(run, terms, lines.len());
        let (id, rest) = run[HEADER_WORDS..].split_at_mut(id_words);
        for (word, halves) in id.iter_mut().zip(terms.id.words().chunks(2)) {
            *word = u64::from(halves[0]) | u64::from(*halves.get(1).unwrap_or(&0)) << 32;
        }
        let (presale, rest) = rest.split_at_mut(presale_words);
        if let Some((deposit, balance_due)) = terms.presale {
            presale.copy_from_slice(&[deposit, balance_due, 0]);
        }
        for (words, line) in rest.chunks_exact_mut(LINE_WORDS).zip(lines) {
            words[0] = u64::from(line.cell) | u64::from(line.units) << 32;
            words[1] = line.unit_price | u64::from(line.category) << TIME_BITS;
        }
        self.open += 1;
        hold
    }

    /// Frees a hold's words.
    pub(crate) fn remove(&mut self, hold: u32) {
        let words = self.get(hold).words();
        self.open -= 1;
        self.free_run(hold, words.div_ceil(GRAIN));
    }

    /// Notes that the deposit was paid, and by which payment.
    pub(crate) fn pay_deposit(&mut self, hold: u32, payment: u32) {
        let run = self.get_mut(hold);
        run[0] = run[0] & !(3 << PRESALE_SHIFT) | 2 << PRESALE_SHIFT;
        self.move_deposit_payment(hold, payment);
    }

    /// Notes where the payments' once-memory keeps the deposit's id now.
    pub(crate) fn move_deposit_payment(&mut self, hold: u32, payment: u32) {
        let word = self.get(hold).after_id() + 2;
        self.get_mut(hold)[word] = u64::from(payment);
    }

    pub(crate) fn set_expires_at(&mut self, hold: u32, expires_at: u64) {
        let run = self.get_mut(hold);
        run[0] = run[0] & !TIME_MASK | expires_at;
    }

    /// A run of at least so many words, inside one page.
    fn allocate(&mut self, words: usize) -> u32 {
        let length = words.div_ceil(GRAIN);
        let free = self.free[length];
        if free != 0 {
            self.free[length] = self.get(free).0[0] as u32;
            return free;
        }
        let left = self.words.len() - self.fresh;
        if left < length * GRAIN {
            // Shorter than the longest hold, so there is a chain for it; and even, as all runs are.
            if left > 0 {
                self.free_run(reference_of(self.fresh), left / GRAIN);
            }
            self.fresh = self.words.push_page() * PAGE_WORDS;
        }
        let hold = reference_of(self.fresh);
        self.fresh += length * GRAIN;
        hold
    }

    fn free_run(&mut self, run: u32, length: usize) {
        self.get_mut(run)[0] = u64::from(self.free[length]);
        self.free[length] = run;
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push_slice(&[self.fresh as u64, self.open]);
        frozen.push_slice(&self.free);
        frozen.push(self.words.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Holds, RestoreError> {
        let scalars = thaw.exactly::<u64>(2)?;
        let (fresh, open) = (scalars[0] as usize, scalars[1]);
        let mut free = [0; LENGTHS];
        free.copy_from_slice(&thaw.exactly::<u32>(LENGTHS)?);
        let words: Paged<u64> = Paged::thaw(thaw)?;
        thaw.check(words.len().is_multiple_of(PAGE_WORDS) && fresh <= words.len())?;
        Ok(Holds { words, fresh, free, open })
    }
}

impl Positions for Holds {
    fn set_position(&mut self, hold: u32, position: u32) {
        let run = self.get_mut(hold);
        run[4] = run[4] & u64::from(u32::MAX) | u64::from(position) << 32;
    }
}

fn write_header(run: &mut [u64], terms: &HoldTerms, lines: usize) {
    let presale = u64::from(terms.presale.is_some());
    run[0] = terms.expires_at
        | (lines as u64) << LINES_SHIFT
        | u64::from(terms.pickup) << PICKUP_SHIFT
        | u64::from(terms.rural) << RURAL_SHIFT
        | (terms.channel as u64) << CHANNEL_SHIFT
        | presale << PRESALE_SHIFT;
    run[1] = terms.placed_at | u64::from(terms.id.tag()) << TIME_BITS;
    run[2] = terms.discount;
    run[3] = terms.buyer;
    run[4] = u64::from(terms.merchant);
    run[5] = terms.sequence | u64::from(terms.region.code()) << SEQUENCE_BITS;
}

fn word_of(hold: u32) -> usize {
    (hold as usize - 1) * GRAIN
}

fn reference_of(word: usize) -> u32 {
    let reference = word / GRAIN + 1;
    assert!(reference < 1 << 31, "one partition's open holds have reached 32 GiB");
    reference as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ExternalId;
    use proptest::prelude::*;

    type Terms = (HoldTerms, Vec<HeldLine>);

    fn id() -> impl Strategy<Value = PackedId> {
        "[0-9]{1,19}|[A-Z_.]{1,40}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
            .prop_map(|text| PackedId::new(ExternalId::new(&text).unwrap()))
    }

    fn terms() -> impl Strategy<Value = Terms> {
        let largest = 1_000_000_000_000_000u64;
        let line = (any::<u32>(), 1..=1_000_000u32, 0..=largest, 0..4096u16);
        let line = line.prop_map(|(cell, units, unit_price, category)| HeldLine {
            cell,
            units,
            unit_price,
            category,
        });
        let sums = (0..=largest, 0..=largest + 100_000_000_000_000, 0..=largest, 0..1u64 << 44);
        let facets = (0..7usize, 0..=999_999u32, any::<bool>(), any::<bool>());
        let presale = prop::option::of((1..=largest, 0..=largest));
        let keys = (any::<u32>(), id(), any::<u64>());
        let lines = prop::collection::vec(line, 1..=100);
        (keys, sums, facets, presale, lines).prop_map(|(keys, sums, facets, presale, lines)| {
            let terms = HoldTerms {
                merchant: keys.0,
                id: keys.1,
                buyer: keys.2,
                placed_at: sums.0,
                expires_at: sums.1,
                sequence: sums.3,
                discount: sums.2,
                channel: Channel::ALL[facets.0],
                region: Region::new(facets.1).unwrap(),
                rural: facets.2,
                pickup: facets.3,
                presale,
            };
            (terms, lines)
        })
    }

    fn check(hold: Hold<'_>, (terms, lines): &Terms, position: u32) {
        assert!(hold.is(terms.merchant, &terms.id));
        assert!(!hold.is(terms.merchant ^ 1, &terms.id));
        assert!(terms.id.is(hold.id().tag(), hold.id().words().iter().copied()));
        assert_eq!(hold.buyer(), terms.buyer);
        assert_eq!((hold.placed_at(), hold.expires_at()), (terms.placed_at, terms.expires_at));
        assert_eq!((hold.sequence(), hold.discount()), (terms.sequence, terms.discount));
        assert_eq!((hold.channel(), hold.region()), (terms.channel, terms.region));
        assert_eq!((hold.rural(), hold.pickup()), (terms.rural, terms.pickup));
        assert_eq!(hold.position(), position);
        match terms.presale {
            None => assert_eq!(hold.presale(), PresaleState::None),
            Some((deposit, due)) => {
                assert_eq!((hold.deposit(), hold.balance_due()), (deposit, due));
            }
        }
        assert!(hold.lines().eq(lines.iter().copied()));
    }

    proptest! {
        #[test]
        fn holds_come_back_as_they_were(
            steps in prop::collection::vec((terms(), any::<prop::sample::Index>(), 0..4u8), 1..120)
        ) {
            let mut holds = Holds::default();
            let mut plain: Vec<(u32, Terms, u32)> = Vec::new();
            for (number, (terms, which, kind)) in steps.into_iter().enumerate() {
                if kind == 0 && !plain.is_empty() {
                    let (hold, ..) = plain.swap_remove(which.index(plain.len()));
                    holds.remove(hold);
                } else if kind == 1 && !plain.is_empty() {
                    let at = which.index(plain.len());
                    let (hold, terms, position) = &mut plain[at];
                    terms.0.expires_at = number as u64;
                    holds.set_expires_at(*hold, number as u64);
                    if terms.0.presale.is_some() {
                        holds.pay_deposit(*hold, 7);
                        assert_eq!(holds.get(*hold).presale(), PresaleState::DepositPaid);
                        assert_eq!(holds.get(*hold).deposit_payment(), 7);
                    }
                    *position = number as u32;
                    holds.set_position(*hold, *position);
                } else {
                    let hold = holds.insert(&terms.0, terms.1.iter().copied());
                    plain.push((hold, terms, 0));
                }
            }
            prop_assert_eq!(holds.open(), plain.len() as u64);
            for (hold, terms, position) in &plain {
                check(holds.get(*hold), terms, *position);
            }
        }
    }

    #[test]
    fn freed_words_are_used_again() {
        let text = ExternalId::new("3f2504e0-4f89-11d3-9a0c-0305e82c3301").unwrap();
        let terms = HoldTerms {
            merchant: 0,
            id: PackedId::new(text),
            buyer: 1,
            placed_at: 2,
            expires_at: 3,
            sequence: 4,
            discount: 5,
            channel: Channel::App,
            region: Region::UNKNOWN,
            rural: false,
            pickup: false,
            presale: None,
        };
        let line = HeldLine { cell: 1, units: 2, unit_price: 3, category: 4 };
        let mut holds = Holds::default();
        for _ in 0..50 {
            let open: Vec<u32> =
                (0..500).map(|_| holds.insert(&terms, [line; 2].into_iter())).collect();
            open.into_iter().for_each(|hold| holds.remove(hold));
        }
        // 500 holds of 12 words.
        assert_eq!(holds.words.pages(), 3);
    }
}
