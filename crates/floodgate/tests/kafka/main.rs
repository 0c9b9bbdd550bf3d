//! The `floodgate` binary on a real Kafka: what operators do to it and what happens to it.
//!
//! Not the port's conformance suite and not the simulator: here are the process, its files, its
//! exit codes, and a broker that was started from Maven jars. Most tests are judged by
//! `floodgate audit`. Invariant: the tests share one broker and nothing on it; where Kafka cannot
//! run they say so loudly, or fail if `FLOODGATE_REQUIRE_KAFKA=1`.

mod answers;
mod brokers_away;
mod crashes;
mod groups;
mod history;
mod orders;
mod process;
mod served;
mod stage;
mod wrong;

#[test]
fn zz_hunt() {
    let Some(stage) = stage::Stage::new(4, stage::Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    publisher.publish(&orders::sale(300, 1, 4));
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    stage.configure("level = 'debug'\n[kafka.consumer_properties]\ndebug = 'fetch,cgrp,topic,broker,metadata'\n");
    for i in 0..250 {
        let began = std::time::Instant::now();
        let ended = process::run(&stage.arguments(&["audit"], &["--format", "json"]));
        if began.elapsed().as_secs() > 5 {
            std::fs::write(format!("/tmp/hunt-{i}.log"), &ended.stderr).unwrap();
            println!("{i}: {:?}", began.elapsed());
        }
    }
}
