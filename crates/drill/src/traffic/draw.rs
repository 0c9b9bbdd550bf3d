//! Chance that repeats itself: numbers drawn from a seed, a domain and a number alone. Not
//! cryptographic, and free of state: the draws of order 7 are the same whether or not order 6 was
//! ever made, and the same on every machine (integers throughout; weights are rounded to integers
//! once, from a `pow` that does not depend on the platform).

/// What a draw is for, so that two uses of one number stay independent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Domain {
    Merchant = 1,
    Location,
    Sku,
    Delivery,
    Flash,
    Livestream,
    Order,
    Fate,
    Script,
    Refund,
    Aside,
    Retry,
    Identifier,
    Simulation,
    Bot,
    Besides,
}

/// A stream of random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", 2014), begun at a hash of where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    /// The stream of `number` in `domain`.
    pub(crate) fn of(seed: u64, domain: Domain, number: u64) -> Self {
        Self { state: mix(seed ^ mix(number ^ mix(domain as u64))) }
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `first` to `last`, both included.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True in so many of a thousand cases.
    pub(crate) fn per_mille(&mut self, share: u16) -> bool {
        self.below(1000) < u64::from(share)
    }

    /// One of a few, each as likely; the list is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// SplitMix64's finaliser. One to one, so distinct numbers have distinct images.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Zipf's law over ranks 0, 1, 2…: rank r is drawn in proportion to 1 / (r + 1)^exponent. One
/// table serves every number of ranks up to its own length.
#[derive(Debug)]
pub(super) struct Zipf {
    /// Running sum of the weights, each scaled to 2^32 for rank 0; strictly increasing.
    sums: Vec<u64>,
}

impl Zipf {
    pub(super) fn new(exponent: f64, ranks: usize) -> Self {
        const SCALE: f64 = 4_294_967_296.0;
        let mut sum = 0;
        let weigh = |rank: usize| {
            sum += ((SCALE * libm::pow(rank as f64, -exponent)) as u64).max(1);
            sum
        };
        Self { sums: (1..=ranks.max(1)).map(weigh).collect() }
    }

    /// A rank below `ranks`, which is at least 1 and at most the length of the table.
    pub(super) fn rank(&self, draw: &mut Draw, ranks: usize) -> usize {
        let sums = &self.sums[..ranks];
        let point = draw.below(sums[ranks - 1]);
        sums.partition_point(|&sum| sum <= point)
    }

    /// How often `rank` is drawn among `ranks`: a share of 1.
    pub(super) fn share(&self, rank: usize, ranks: usize) -> f64 {
        let before = rank.checked_sub(1).map_or(0, |previous| self.sums[previous]);
        (self.sums[rank] - before) as f64 / self.sums[ranks - 1] as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_ranks_are_not_drawn_by_their_share() {
        let zipf = Zipf::new(1.0, 10);
        let mut draw = Draw::of(1, Domain::Order, 0);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[zipf.rank(&mut draw, 10)] += 1;
        }
        for (rank, count) in counts.into_iter().enumerate() {
            let expected = zipf.share(rank, 10) * 100_000.0;
            assert!((f64::from(count) - expected).abs() < 0.05 * expected, "{rank}: {count}");
        }
    }

    #[test]
    fn bounds_are_left() {
        let mut draw = Draw::of(2, Domain::Order, 0);
        assert!((0..10_000).all(|_| (3..=5).contains(&draw.between(3, 5))));
        assert_eq!(draw.below(0), 0);
    }
}
