//! The simulator itself: that seeds reproduce, and that seeds hold.

use super::*;

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.matrix, second.matrix, "seed {seed}");
    }
}
