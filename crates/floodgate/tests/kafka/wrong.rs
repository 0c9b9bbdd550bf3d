//! What is wrong is said with what to write instead, and with the right exit code.

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::process::{Ended, Process, floodgate, run};
use crate::stage::{Stage, Stamps, WAIT};

/// Runs `settle` with this configuration, of which nothing may reach a broker.
fn settle_with_file(text: &str) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("floodgate.toml");
    std::fs::write(&file, text).unwrap();
    let snapshots = directory.path().join("snapshots");
    let arguments = ["settle", "--config", file.to_str().unwrap(), "--snapshots"];
    run(&[&arguments[..], &[snapshots.to_str().unwrap()]].concat())
}

#[test]
fn a_wrong_configuration_ends_with_78_and_a_hint() {
    let cases = [
        // An unknown key, a wrong type, a value out of bounds.
        ("[settle]\nworker = 2", "workers"),
        ("[settle]\nworkers = 'two'", "settle.workers"),
        ("[settle]\nworkers = 0", "at least 1"),
        ("[kafka]\nsession_timeout_ms = 5000", "6000"),
        ("[rules]\npartitioner = 'md5'", "murmur2"),
        ("[log]\nlevel = 'kafka=loud'", "info"),
        ("not toml at all", "floodgate.toml"),
        // Addresses.
        ("[kafka]\nbrokers = ''", "host:port"),
        ("[kafka]\nbrokers = 'localhost:kafka'", "host:port"),
        ("[settle]\nlisten = 'everywhere'", "host:port"),
        // Properties of the client that are not the deployment's to choose, or that nobody knows.
        ("[kafka.consumer_properties]\n'isolation.level' = 'read_uncommitted'", "remove it"),
        ("[kafka.properties]\n'security.protocl' = 'ssl'", "security.protocl"),
        ("[kafka.producer_properties]\n'linger' = 5", "linger"),
        ("[kafka.secret_files]\n'sasl.password' = '/nowhere/password'", "/nowhere/password"),
    ];
    for (text, hint) in cases {
        let ended = settle_with_file(text);
        assert_eq!(ended.code, Some(78), "{text}: {ended:#?}");
        let last = ended.stderr.lines().next_back().unwrap_or_default();
        assert!(last.contains(hint), "{text}: {hint:?} is not in {ended:#?}");
        assert!(!ended.stderr.contains("panicked"), "{text}: {ended:#?}");
    }
}

#[test]
fn the_environment_is_configuration_too() {
    let mut command = floodgate();
    command.args(["validate", "--offline"]).env("FLOODGATE__SETTLE__WORKERS", "0");
    let ended = Process::spawn(command).wait().expect_code(78);
    assert!(ended.stderr.contains("settle.workers"), "{ended:#?}");
    let mut command = floodgate();
    command.args(["validate", "--offline"]).env("FLOODGATE_SETTLE_WORKERS", "4");
    let ended = Process::spawn(command).wait().expect_code(78);
    assert!(ended.stderr.contains("write FLOODGATE__SETTLE__WORKERS"), "{ended:#?}");
    run(&["validate", "--offline"]).expect_code(0);
}

#[test]
fn a_wrong_usage_ends_with_2() {
    for arguments in [
        &["settle", "--worker", "2"][..],
        &["settle", "--workers", "two"],
        &["topics", "create"],
        &["snapshot", "adopt"],
        &["demo", "--orders", "0"],
        &["nonsense"],
    ] {
        let ended = run(arguments).expect_code(2);
        assert!(ended.stderr.contains("--help"), "{ended:#?}");
    }
}

/// Gives a topic this setting and, as that request does, takes all others from it.
fn alter(stage: &Stage, topic: &str, setting: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> = stage.client().create().unwrap();
    let topic = stage.topic(topic);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set(setting, value);
    let options = AdminOptions::new().request_timeout(Some(WAIT));
    let altered = futures_executor::block_on(admin.alter_configs([&change], &options)).unwrap();
    altered.into_iter().for_each(|altered| drop(altered.unwrap()));
}

#[test]
fn topics_that_endanger_a_guarantee_are_found() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let json = ["--timestamps", "create", "--format", "json"];
    let check = || run(&stage.arguments(&["topics", "check"], &json));
    let validate = || run(&stage.arguments_with_snapshots(&["validate"], &json));
    let good = check().expect_code(0).json();
    assert_eq!((&good["ok"], good["findings"].as_array().unwrap().len()), (&true.into(), 0));
    let good = validate().expect_code(0).json();
    let checks: Vec<&str> = good["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["what"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["configuration", "snapshot store", "brokers", "topics"]);
    assert_eq!(std::fs::read_dir(stage.snapshots()).unwrap().count(), 0, "the probe is removed");

    alter(&stage, "gmv", "cleanup.policy", "delete");
    let checked = check().expect_code(1).json();
    let wrong = format!("topic {} has cleanup.policy=delete", stage.topic("gmv"));
    let findings = checked["findings"].as_array().unwrap().iter().filter_map(Value::as_str);
    let finding = findings.into_iter().find(|finding| finding.starts_with(&wrong));
    let finding = finding.unwrap_or_else(|| panic!("{wrong} is not in {checked}"));
    assert!(finding.contains("--add-config cleanup.policy=compact"), "{finding}");
    let bad = validate().expect_code(1).json();
    assert_eq!((&bad["ok"], &bad["checks"][3]["ok"]), (&false.into(), &false.into()));
    // The orders' clock is not the one that production wants.
    let production = run(&stage.arguments(&["topics", "check"], &[])).expect_code(1);
    assert!(production.stdout.contains("message.timestamp.type=CreateTime"), "{production:#?}");
}

#[test]
fn topics_that_are_not_there_are_named() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let more = ["--topic-prefix", "nowhere.", "--brokers", &stage.brokers];
    let missing = run(&[&["topics", "check"][..], &more].concat()).expect_code(1);
    assert!(missing.stdout.contains("nowhere.orders does not exist"), "{missing:#?}");
    assert!(missing.stdout.contains("floodgate topics create"), "{missing:#?}");
    let audit = run(&[&["audit"][..], &more].concat()).expect_code(1);
    assert!(audit.stderr.contains("nowhere.orders does not exist"), "{audit:#?}");
}
