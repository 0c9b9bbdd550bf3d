//! A short run of every fuzz target, in an ordinary test: the corpus, the seeds, and some thousand
//! mutants of both, always the same.
//!
//! Not a search for new faults: that is cargo-fuzz (docs/reliability.md). Invariant: whatever was
//! found once lies in the corpus and is tried here for ever.

use fuzz::mutation::Mutations;
use fuzz::{fuzz_configuration, fuzz_json, fuzz_metadata, fuzz_recording, fuzz_snapshot, seeds};

/// Tries the corpus and the seeds as they are, then so many mutants of them.
fn run(decoder: &str, more: Vec<Vec<u8>>, mutants: usize, fuzz: impl Fn(&[u8])) {
    let mut all = seeds::files(decoder);
    assert!(!all.is_empty(), "the corpus of {decoder} is empty");
    all.extend(more);
    all.iter().for_each(|seed| fuzz(seed));
    let mut mutations = Mutations::new(1);
    for _ in 0..mutants {
        fuzz(&mutations.mutant(&all));
    }
}

#[test]
fn commands_are_decoded_as_the_model_does() {
    run("json", seeds::commands(), 200_000, fuzz_json);
}

#[test]
fn no_damaged_snapshot_is_accepted_and_none_makes_the_decoder_panic() {
    run("snapshot", seeds::snapshots(), 20_000, fuzz_snapshot);
}

/// Behind the compression, where the state itself is read.
#[test]
fn no_damaged_state_makes_the_decoder_panic() {
    run("snapshot", seeds::bodies(), 700, fuzz_snapshot);
}

#[test]
fn no_damaged_recording_is_accepted_and_none_makes_the_decoder_panic() {
    run("recording", seeds::recordings(), 10_000, fuzz_recording);
}

#[test]
fn metadata_keeps_what_it_says() {
    run("metadata", Vec::new(), 100_000, fuzz_metadata);
}

#[test]
fn a_wrong_configuration_names_its_key() {
    run("configuration", seeds::configurations(), 10_000, fuzz_configuration);
}

/// Mutants that are all refused would prove little.
#[test]
fn mutants_are_accepted_often_enough() {
    let commands = seeds::commands();
    let mut mutations = Mutations::new(2);
    let accepted =
        (0..4_000).filter(|_| model::canonical(&mutations.mutant(&commands)).is_some()).count();
    assert!((400..3_600).contains(&accepted), "{accepted} of 4000 are accepted");
}
