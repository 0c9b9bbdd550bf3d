//! Snapshots and recordings in S3, judged by a server that speaks its protocol.
//!
//! Not S3 itself: moto, from PyPI, stands in for it. It is looked for in `MOTO_SERVER`, in `target/moto`, and
//! in `PATH`. Where it is missing this says loudly that it did not run; `FLOODGATE_REQUIRE_S3=1` makes that
//! a failure.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use drill::recording::{Record, Recorder, Recording, RecordingError};
use e2e::process::{Process, floodgate};
use ledger::units::Offset;
use pipeline::objects::{Created, ObjectPath, Objects};
use pipeline::store::{ObjectSnapshots, Place, SnapshotStore};

const SECRET: &str = "a-secret-that-nobody-may-see";

/// A server with one bucket, `shop`.
struct Server {
    process: Process,
    address: String,
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("MOTO_SERVER").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/moto/bin/moto_server");
    let mut known = named.into_iter().chain([own, PathBuf::from("moto_server")]);
    let found = known.find(|path| Command::new(path).arg("--help").output().is_ok());
    let required = std::env::var("FLOODGATE_REQUIRE_S3").is_ok_and(|value| value == "1");
    assert!(found.is_some() || !required, "there is no moto_server; see .ci/moto.txt");
    if found.is_none() {
        // Not `eprintln!`: the test harness would swallow it.
        let warning = b"\n*** S3 was NOT tested: there is no moto_server. ***\n\n";
        std::io::stderr().write_all(warning).expect("stderr can be written");
    }
    found
}

impl Server {
    fn start() -> Option<Server> {
        let mut command = Command::new(program()?);
        command.args(["-H", "127.0.0.1", "-p", "0"]);
        let mut process = Process::spawn(command);
        let address = process.await_some("moto's address", |process| {
            let said = process.stderr();
            let behind = said.split("http://").nth(1)?;
            behind.contains('\n').then(|| behind.split_whitespace().next())?.map(str::to_owned)
        });
        let server = Server { process, address };
        server.make_bucket();
        Some(server)
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = "PUT /shop HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}\n{}", self.process.stderr());
    }

    fn settings(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        let settings = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "cn-hangzhou"),
            ("AWS_ACCESS_KEY_ID", "somebody"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("HOME", "passed over"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn objects(&self, prefix: &str) -> Objects {
        Objects::in_s3(&format!("s3://shop/{prefix}"), self.settings()).unwrap()
    }
}

/// What is promised of objects, wherever they are.
fn check(objects: &Objects) {
    let path = |path: &str| ObjectPath::from(path);
    let create = |name: &str, bytes: &[u8]| objects.create(&path(name), bytes.to_vec()).unwrap();
    assert_eq!(objects.read(&path("a/1")).unwrap(), None);
    assert_eq!(create("a/1", b"first"), Created::New);
    assert_eq!(create("a/1", b"second"), Created::Existed);
    assert_eq!(objects.read(&path("a/1")).unwrap().unwrap(), b"first");
    objects.replace(&path("a/1"), b"third".to_vec()).unwrap();
    assert_eq!(objects.read(&path("a/1")).unwrap().unwrap(), b"third");
    assert_eq!(create("a/2", b""), Created::New);
    assert_eq!(create("b/c/3", b"deep"), Created::New);
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(objects.names(&path("a")).unwrap()), ["1", "2"]);
    assert_eq!(objects.names(&path("b")).unwrap(), [""; 0]);
    assert_eq!(sorted(objects.folders().unwrap()), ["a", "b"]);
    objects.delete(&path("a/1")).unwrap();
    objects.delete(&path("a/1")).unwrap();
    assert_eq!(objects.names(&path("a")).unwrap(), ["2"]);
}

#[test]
fn objects_in_s3_are_others_than_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    check(&Objects::in_directory(directory.path()).unwrap());
    let Some(server) = Server::start() else { return };
    check(&server.objects("one/place"));
    // Beside it, so what is there already is none of its own.
    check(&server.objects("one/other"));
    assert!(server.objects("one").read(&ObjectPath::from("place/a/2")).unwrap().is_some());
}

#[test]
fn two_owners_of_a_partition_overwrite_each_others_snapshot() {
    let Some(server) = Server::start() else { return };
    let store = |objects: Objects| ObjectSnapshots::from(objects);
    let (first, second) = (store(server.objects("state")), store(server.objects("state")));
    let text = |text: &str| text.to_owned();
    let (cluster, group, topic) = (text("c"), text("g"), text("orders"));
    let place = Place { cluster, group, topic, partition: 3 };
    assert_eq!(first.create(&place, Offset(7), b"mine".to_vec()).unwrap(), Created::New);
    assert_eq!(second.create(&place, Offset(7), b"yours".to_vec()).unwrap(), Created::Existed);
    assert_eq!(second.create(&place, Offset(90), b"later".to_vec()).unwrap(), Created::New);
    assert_eq!(first.list(&place).unwrap(), [Offset(90), Offset(7)]);
    assert_eq!(second.read(&place, Offset(7)).unwrap(), b"mine");
    first.probe().unwrap();
    let nobodys = Objects::in_s3("s3://nobodys/state", server.settings()).unwrap();
    assert!(store(nobodys).probe().is_err());
}

#[test]
fn a_recording_in_s3_does_not_come_back_or_is_recorded_over() {
    let Some(server) = Server::start() else { return };
    let recorder = |id| Recorder::new(server.objects("friday"), "friday", id, "orders", 2, None);
    let record = |offset| Record {
        offset,
        timestamp_ms: 1_762_790_400_000,
        key: Some(b"7".to_vec()),
        value: Some(b"{}".to_vec()),
        headers: Vec::new(),
    };
    let mut first = recorder(1).unwrap();
    (0..9).for_each(|offset| first.push((offset % 2) as u32, record(offset)).unwrap());
    assert_eq!(first.finish(false).unwrap().records, 9);
    assert!(matches!(recorder(2), Err(RecordingError::Taken(_))));
    let recording = Recording::open(server.objects("friday"), "friday").unwrap();
    let offsets = recording.by_time().unwrap().map(|recorded| recorded.unwrap().record.offset);
    assert_eq!(offsets.count(), 9);
}

#[test]
fn a_place_in_s3_is_not_reached_by_name_or_tells_its_credentials() {
    let Some(server) = Server::start() else { return };
    let replay = |place: &str| {
        let mut command = floodgate();
        command.args(["drill", "replay", "--topic-prefix", "drill.", "--from", place]);
        let output = command.envs(server.settings()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        said
    };
    let said = replay("s3://shop/monday");
    assert!(said.contains("there is no recording in s3://shop/monday"), "{said}");
    let said = replay("s3://nobodys/monday");
    assert!(said.contains("NoSuchBucket"), "{said}");
    let said = replay("s3://shop");
    assert!(said.contains("write s3://bucket/prefix"), "{said}");
}
