//! The port's conformance suite on a real Kafka broker, and what only Kafka can do wrong.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[macro_use]
mod conformance;
mod kafka_faults;
mod kafka_harness;

use kafka_harness::KafkaHarness;

macro_rules! conformance_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(harness) = KafkaHarness::new() {
                    conformance::$name(&harness);
                }
            }
        )*
    };
}

for_each_conformance_test!(conformance_tests);
