//! A broker that is not there yet, and one that dies in the middle.

use crate::orders::sale;
use crate::process::{Process, floodgate};
use crate::stage::{Stage, Stamps};

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn a_settle_without_a_cluster_asks_in_short_questions_and_can_be_stopped_between_them() {
    let mut command = floodgate();
    command.args(["settle", "--brokers", NOWHERE, "--listen", ""]);
    command.env("FLOODGATE__LOG__LEVEL", "info,floodgate=debug");
    command.env("FLOODGATE__LOG__FORMAT", "json");
    let directory = tempfile::tempdir().unwrap();
    command.arg("--snapshots").arg(directory.path());
    let mut settle = Process::spawn(command);
    // In questions of ten seconds it would take longer than anything is waited for.
    settle.await_some("many questions", |settle| {
        (settle.logged("still trying").len() >= 10).then_some(())
    });
    let complaints = settle.logged("trying again").len();
    assert!((1..=4).contains(&complaints), "{complaints} complaints\n{}", settle.stderr());
    let ended = settle.stop();
    assert_eq!(ended.stdout, "", "{ended:#?}");
}

#[test]
fn a_tool_says_on_standard_error_what_its_client_has_to_complain_of() {
    let tools = [
        &["audit", "--format", "json"][..],
        &["topics", "check", "--format", "json"],
        &["topics", "create", "--partitions", "1"],
        &["snapshot", "list", "--format", "json"],
        &["validate", "--format", "json"],
    ];
    let directory = tempfile::tempdir().unwrap();
    let running = tools.map(|tool| {
        let mut command = floodgate();
        command.args(tool).args(["--brokers", NOWHERE]);
        command.env("FLOODGATE__SNAPSHOTS__DIRECTORY", directory.path());
        Process::spawn(command)
    });
    for tool in running {
        let ended = tool.wait().expect_code(1);
        assert!(ended.stderr.contains("Connection refused"), "{ended:#?}");
        assert!(!ended.stdout.contains("Connection refused"), "{ended:#?}");
        assert!(ended.stdout.lines().count() <= 1, "{ended:#?}");
        // Some kinds of complaint, each once in ten seconds, not one for each attempt.
        assert!(ended.stderr.lines().count() <= 60, "{ended:#?}");
        let advice = "are these its addresses (kafka.brokers, --brokers)?";
        assert!(ended.stderr.contains(advice) || ended.stdout.contains(advice), "{ended:#?}");
    }
}

#[test]
fn a_broker_that_comes_late_or_dies_is_waited_for() {
    let Some(mut server) = e2e::start_or_skip(&e2e::Options::default()) else { return };
    let stage = Stage::on(server.bootstrap(), 2, Stamps::Create);
    server.stop();
    let mut settle = stage.settle("patient");
    settle.await_some("not ready for a reason", |settle| {
        let (code, body) = settle.get("/readyz");
        assert_eq!(code, 503, "{body}");
        body.contains("Kafka:").then_some(())
    });
    assert_eq!(settle.get("/livez"), (200, "ok\n".to_owned()));
    let waiting = settle.status()["waiting_for"].as_str().unwrap_or_default().to_owned();
    assert!(waiting.contains("Kafka:"), "{waiting}");
    server.restart().expect("it starts again");
    settle.await_live(2);
    // Two different reasons at most, and each again after ten seconds.
    let complaints = settle.logged("trying again").len();
    assert!((1..=8).contains(&complaints), "{complaints} complaints\n{}", settle.stderr());

    let records = sale(1_000, 14, 2);
    let mut publisher = stage.publisher();
    let mut answers = stage.follow("orders.status");
    std::thread::scope(|scope| {
        let (publisher, records) = (&mut publisher, &records);
        scope.spawn(move || records.chunks(20).for_each(|chunk| publisher.publish(chunk)));
        answers.await_seen(300);
        server.kill();
        settle.await_some("not ready for a reason", |settle| {
            let (code, body) = settle.get("/readyz");
            (code == 503).then_some(body)
        });
        server.restart().expect("it starts again");
    });
    stage.await_settled(publisher.ends());
    settle.await_live(2);
    settle.await_some("ready again", |settle| (settle.get("/readyz").0 == 200).then_some(()));
    settle.stop();
    stage.audit(publisher.ends());
}
