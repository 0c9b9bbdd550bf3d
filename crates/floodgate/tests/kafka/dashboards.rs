//! Every query of every dashboard, asked of a Prometheus that watches a running pipeline.
//!
//! That they are queries at all is for promtool to say; here each has to find something. Prometheus comes
//! with promtool in Debian's package, and is looked for in the same places; where it is missing this
//! says so loudly, and fails if `FLOODGATE_REQUIRE_PROMTOOL=1`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::prometheus::{program, queries};
use serde_json::Value;

use crate::boards::{await_read, board};
use crate::orders::sale;
use crate::process::{Process, await_some, run};
use crate::stage::{Stage, Stamps};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What Prometheus is given, with everything once a second.
fn configuration(folder: &Path, settle: &str, board: &str, merchant: &str) {
    let targets = ["--settle", settle, "--board", board, "--merchant", merchant];
    let generated = run(&[&["generate", "prometheus"], &targets[..]].concat()).expect_code(0);
    std::fs::write(folder.join("prometheus.yml"), generated.stdout.replace(": 5s", ": 1s"))
        .unwrap();
    for rules in ["rules.yml", "alerts.yml"] {
        let text = std::fs::read_to_string(root().join("deploy/prometheus").join(rules)).unwrap();
        let text = text.replace("interval: 15s", "interval: 1s");
        std::fs::write(folder.join(rules), text).unwrap();
    }
}

fn start(prometheus: &Path, folder: &Path, address: &str) -> Process {
    let mut command = Command::new(prometheus);
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={address}")).stdin(Stdio::null());
    Process::spawn(command)
}

/// How many series a query finds; none if Prometheus does not answer yet.
fn series(address: &str, query: &str) -> Option<usize> {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /api/v1/query?query={escaped} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let result = answer["data"]["result"].as_array();
    Some(result.unwrap_or_else(|| panic!("{query}: {answer}")).len())
}

#[test]
fn every_panel_of_a_dashboard_shows_something_while_a_pipeline_runs() {
    let Some(prometheus) = program("prometheus") else { return };
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    // A snapshot's figures are told once there is one.
    stage.configure("[snapshots]\ninterval_ms = 1000\npause_ms = 100\n");
    let mut settle = stage.settle("watched");
    let mut board = board(&stage, &[]);
    let (mut publisher, records) = (stage.publisher(), sale(20_000, 31, 2));
    let (before, meanwhile) = records.split_at(records.len() / 3 * 2);
    let mut parts = meanwhile.chunks(20);
    publisher.publish(before);
    stage.await_settled(publisher.ends());
    await_read(&mut board);
    let merchant = board.await_some("a merchant that has sold", |board| {
        let (_, body) = board.get("/api/v1/dimensions/location?limit=1");
        let page: Value = serde_json::from_str(&body).ok()?;
        let place = page["items"][0]["value"].as_str()?;
        Some(place.split(':').next()?.to_owned())
    });
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path(), &settle.address(), &board.address(), &merchant);
    let address = format!("127.0.0.1:{}", e2e::free_port().unwrap());
    let watching = start(&prometheus, folder.path(), &address);

    let mut asked = 0;
    for dashboard in ["pipeline-health", "sale-day", "merchant"] {
        let text = run(&["generate", "grafana", "--dashboard", dashboard]).expect_code(0).stdout;
        for query in queries(&serde_json::from_str(&text).unwrap()) {
            let query = query.replace("$job", "floodgate-settle");
            let query = query.replace("$board", "floodgate-board").replace("$merchant", &merchant);
            await_some(&format!("data for {query} of {dashboard}"), || {
                // Rates want something to happen while Prometheus looks.
                parts.next().into_iter().for_each(|part| publisher.publish(part));
                series(&address, &query).filter(|found| *found > 0)
            });
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked} queries");
    watching.stop();
    board.stop();
    settle.stop();
}
