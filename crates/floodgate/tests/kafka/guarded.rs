//! A broker with TLS, SCRAM and ACLs: every command with the rights that docs/security.md names and no
//! more, and without each of them; wrong credentials; and where secrets do not appear.
//!
//! Needs a binary with the feature `tls`: without it these tests say loudly that they did not run, or
//! fail if `FLOODGATE_REQUIRE_TLS=1`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use e2e::guarded::{Grant, GuardedBroker};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::orders::sale;
use crate::process::{Ended, Process, floodgate};
use crate::stage::{Record, Stage, Stamps, WAIT};

const PASSWORD: &str = "hunter2-is-never-told";
const DOCUMENT: &str = include_str!("../../../../docs/security.md");
/// Rows of a table that are checked at once: whoever is refused mostly waits.
const AT_ONCE: usize = 6;
/// What every refusal by ACLs says.
const REFUSED: &str = "the brokers' ACLs do not allow";

/// The one broker of these tests, with a user for each command, and one more for each of its rights,
/// which lacks that one.
fn broker() -> Option<&'static GuardedBroker> {
    static BROKER: OnceLock<Option<GuardedBroker>> = OnceLock::new();
    if !cfg!(feature = "tls") {
        let required = std::env::var("FLOODGATE_REQUIRE_TLS").is_ok_and(|value| value == "1");
        assert!(!required, "FLOODGATE_REQUIRE_TLS=1, but this is built without the feature `tls`");
        // Not `eprintln!`: the test harness would swallow it.
        let warning =
            "\n*** THE TLS TESTS DID NOT RUN: build with `--features floodgate/tls` ***\n\n";
        std::io::stderr().write_all(warning.as_bytes()).expect("stderr can be written");
        return None;
    }
    let start = || {
        let mut users: Vec<String> = vec!["nobody".to_owned()];
        for (command, rights) in documented() {
            users.push(user(&command, None));
            users.extend((0..rights.len()).map(|without| user(&command, Some(without))));
        }
        let users: Vec<(&str, &str)> = users.iter().map(|user| (user.as_str(), PASSWORD)).collect();
        GuardedBroker::start(&users).map_err(e2e::skip).ok()
    };
    BROKER.get_or_init(start).as_ref()
}

fn user(command: &str, without: Option<usize>) -> String {
    let command = command.replace(' ', "-");
    without.map_or_else(|| command.clone(), |without| format!("{command}-without-{without}"))
}

/// What the table in docs/security.md says, by command.
fn documented() -> BTreeMap<String, Vec<Grant>> {
    let mut rights: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| command | operation |"));
    for row in rows.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, command, operation, on, ..] = cells[..] else { panic!("{row}") };
        let (kind, names) = on.split_once(' ').unwrap();
        for name in names.split(", ") {
            rights.entry(command.trim_matches('`').to_owned()).or_default().push(Grant {
                user: String::new(),
                operation: operation.to_owned(),
                kind: kind.to_owned(),
                name: name.trim_matches('`').to_owned(),
            });
        }
    }
    assert_eq!(rights.len(), 11, "{rights:?}");
    rights
}

/// A pipeline whose topics were made by somebody else, and what a user may do there.
struct Ground {
    broker: &'static GuardedBroker,
    stage: Stage,
}

impl Ground {
    fn new(stamps: Stamps) -> Option<Ground> {
        let broker = broker()?;
        Some(Ground { broker, stage: Stage::on(broker.open_address(), 1, stamps) })
    }

    /// One whose topics are not there yet.
    fn without_topics() -> Option<Ground> {
        let broker = broker()?;
        Some(Ground { broker, stage: Stage::without_topics(broker.open_address(), 1) })
    }

    /// The rights of a command here, granted to its user but for one.
    fn grant(&self, command: &str, without: Option<usize>) -> Option<Grant> {
        let mut rights = documented()[command].clone();
        for right in &mut rights {
            right.user = user(command, without);
            right.name = format!("{}{}", self.stage.prefix, right.name);
        }
        let lacking = without.map(|without| rights.remove(without));
        if !rights.is_empty() {
            self.broker.allow(&rights);
        }
        lacking
    }

    /// A configuration of this user.
    fn configuration(&self, user: &str) -> PathBuf {
        let authority = self.broker.file("authority.pem");
        self.configuration_with(user, PASSWORD, &format!("ca_file = {authority:?}"))
    }

    fn configuration_with(&self, user: &str, password: &str, more: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file =
            |name: &str| self.stage.snapshots().with_file_name(format!("{user}-{number}-{name}"));
        std::fs::write(file("password"), format!("{password}\n")).unwrap();
        let mut text = "[kafka]\nsession_timeout_ms = 6000\n[log]\nformat = 'json'\n".to_owned();
        text += "[settle]\nheartbeat_ms = 200\nlisten = '127.0.0.1:0'\nworkers = 1\n";
        text += "[board]\nlisten = '127.0.0.1:0'\nrehearsal = true\n";
        writeln!(text, "[kafka.security]\nprotocol = 'sasl_ssl'\nusername = '{user}'").unwrap();
        writeln!(text, "password_file = {:?}\n{more}", file("password")).unwrap();
        std::fs::write(file("floodgate.toml"), text).unwrap();
        file("floodgate.toml")
    }

    /// A command of this user.
    fn start(&self, command: &[&str], configuration: &PathBuf, more: &[&str]) -> Process {
        let mut process = floodgate();
        process.args(command).arg("--config").arg(configuration);
        process.args(["--brokers", &self.broker.address, "--topic-prefix", &self.stage.prefix]);
        process.args(more);
        Process::spawn(process)
    }

    fn run(&self, command: &str, without: Option<usize>, more: &[&str]) -> Ended {
        let configuration = self.configuration(&user(command, without));
        let words: Vec<&str> = command.split(' ').collect();
        self.start(&words, &configuration, more).wait()
    }

    fn settle(&self, without: Option<usize>) -> Process {
        let configuration = self.configuration(&user("settle", without));
        let snapshots = self.stage.snapshots().display().to_string();
        self.start(&["settle"], &configuration, &["--snapshots", &snapshots])
    }

    /// A small sale and a record that is none, so that every output is written to.
    fn publish(&self) -> Vec<u64> {
        let mut publisher = self.stage.publisher();
        publisher.publish(&sale(200, 3, 1));
        publisher.publish(&[Record { value: Some(b"garbage".to_vec()), ..Record::default() }]);
        publisher.ends().to_vec()
    }

    /// Leaves something in every output that does not count: what a first start leaves that died.
    fn leave_an_aborted_transaction(&self) {
        let mut config = self.stage.client();
        config.set("transactional.id", format!("{}died", self.stage.prefix));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(WAIT).unwrap();
        producer.begin_transaction().unwrap();
        for topic in ["orders.status", "orders.settled", "orders.dlq", "gmv"] {
            let topic = self.stage.topic(topic);
            let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic).key("x").payload("{}");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(WAIT).unwrap();
        producer.abort_transaction(WAIT).unwrap();
    }
}

/// Every right of a command, by its number.
fn rights_of(command: &str) -> impl Iterator<Item = usize> + use<> {
    0..documented()[command].len()
}

/// All rights of a command, and then all but one of them.
fn all_and_without_each(command: &str) -> impl Iterator<Item = Option<usize>> + use<> {
    [None].into_iter().chain(rights_of(command).map(Some))
}

/// What was said names what is lacking, and how it is granted.
#[track_caller]
fn assert_refused(said: &str, lacking: &Grant) {
    let Grant { user, kind, name, .. } = lacking;
    let named = name.trim_end_matches('*');
    assert!(said.contains(REFUSED), "{lacking:?} is missed in silence: {said}");
    assert!(said.contains(&format!("on {kind} {named}")), "{lacking:?} is not named: {said}");
    assert!(said.contains(&format!("--allow-principal User:{user} ")), "{lacking:?}: {said}");
}

/// Checks some rows at once, and fails as the first of them that does.
fn side_by_side<Row: Send>(rows: impl Iterator<Item = Row> + Send, check: impl Fn(Row) + Sync) {
    let (rows, check) = (&Mutex::new(rows), &check);
    let next = move || rows.lock().unwrap().next();
    std::thread::scope(|threads| {
        let work = || {
            while let Some(row) = next() {
                check(row)
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| threads.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// Runs a command that ends once with all its rights and once without each of them.
fn check_rights_of(command: &str, ground: &Ground, more: &[&str]) {
    ground.grant(command, None);
    let well = ground.run(command, None, more).expect_code(0);
    assert!(!well.said().contains(REFUSED), "{well:#?}");
    side_by_side(rights_of(command), |without| {
        let lacking = ground.grant(command, Some(without)).unwrap();
        let refused = ground.run(command, Some(without), more);
        assert_ne!(refused.code, Some(0), "{lacking:?} is not needed: {refused:#?}");
        assert_refused(&refused.stderr, &lacking);
    });
}

#[test]
fn settle_needs_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    ground.leave_an_aborted_transaction();
    let ends = ground.publish();
    ground.grant("settle", None);
    let settle = ground.settle(None);
    ground.stage.await_settled(&ends);
    let ended = settle.stop();
    assert!(!ended.said().contains(REFUSED), "{ended:#?}");
    ground.stage.audit(&ends);
}

#[test]
fn settle_without_one_of_its_rights_says_which() {
    if broker().is_none() {
        return;
    }
    side_by_side(rights_of("settle"), |without| {
        let right = &documented()["settle"][without];
        let ticks = right.operation == "Write" && right.name == "orders";
        // A partition that cannot be opened is tried again: others may be opened.
        let opening = right.operation == "Read" && right.kind == "topic" && right.name != "orders";
        let stamps = if ticks { Stamps::Append } else { Stamps::Create };
        let ground = Ground::new(stamps).unwrap();
        ground.leave_an_aborted_transaction();
        ground.publish();
        let lacking = ground.grant("settle", Some(without)).unwrap();
        let mut settle = ground.settle(Some(without));
        let refused = settle.await_some("a refusal", |settle| {
            let said = settle.stderr();
            said.contains(REFUSED).then_some(said)
        });
        assert_refused(&refused, &lacking);
        if !ticks && !opening {
            let ended = settle.wait();
            assert_ne!(ended.code, Some(0), "{lacking:?}: {ended:#?}");
            assert_refused(ended.stderr.lines().last().unwrap(), &lacking);
        }
    });
}

/// A pipeline with something in it, settled by somebody who may do everything.
fn settled_ground() -> Option<Ground> {
    let ground = Ground::new(Stamps::Create)?;
    let ends = ground.publish();
    let settle = ground.stage.settle("open");
    ground.stage.await_settled(&ends);
    settle.stop();
    Some(ground)
}

#[test]
fn the_audit_needs_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = settled_ground() else { return };
    check_rights_of("audit", &ground, &[]);
}

#[test]
fn tools_need_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    check_rights_of("topics check", &ground, &["--timestamps", "create"]);
    std::fs::create_dir(ground.stage.snapshots()).unwrap();
    let snapshots = ground.stage.snapshots().display().to_string();
    check_rights_of("snapshot list", &ground, &["--snapshots", &snapshots]);
}

#[test]
fn topics_are_created_with_the_rights_that_are_documented_and_no_more() {
    if broker().is_none() {
        return;
    }
    side_by_side(all_and_without_each("topics create"), |without| {
        let ground = Ground::without_topics().unwrap();
        let lacking = ground.grant("topics create", without);
        let ended = ground.run("topics create", without, &["--partitions", "1"]);
        match lacking {
            None => assert_eq!(ended.expect_code(0).stdout.matches(": created").count(), 5),
            Some(lacking) => assert_refused(&ended.expect_code(1).stderr, &lacking),
        }
    });
}

#[test]
fn a_drill_needs_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    let settle = ground.stage.settle("drilled");
    let out = ground.stage.snapshots().with_file_name("report").display().to_string();
    let flags = ["--profile", "20/s for 1s", "--out", &out];
    check_rights_of("drill run", &ground, &flags);
    settle.stop();
}

#[test]
fn a_recording_and_its_replay_need_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = settled_ground() else { return };
    let file = |name: &str| ground.stage.snapshots().with_file_name(name).display().to_string();
    ground.grant("drill record", None);
    let recording = file("recording");
    let well = ground.run("drill record", None, &["--to", &recording]).expect_code(0);
    assert!(!well.said().contains(REFUSED), "{well:#?}");
    side_by_side(rights_of("drill record"), |without| {
        let lacking = ground.grant("drill record", Some(without)).unwrap();
        let nothing = file(&format!("recording-{without}"));
        let refused = ground.run("drill record", Some(without), &["--to", &nothing]);
        assert_refused(&refused.expect_code(1).stderr, &lacking);
    });
    let flags = ["--from", &recording, "--speed", "100", "--longest-pause", "1"];
    side_by_side(all_and_without_each("drill replay"), |without| {
        // What was replayed before would be later than what comes.
        let fresh = Ground::new(Stamps::Create).unwrap();
        let settle = fresh.stage.settle("replayed");
        let lacking = fresh.grant("drill replay", without);
        let out = fresh.stage.snapshots().with_file_name("report").display().to_string();
        let flags = [&flags[..], &["--out", &out]].concat();
        let ended = fresh.run("drill replay", without, &flags);
        match lacking {
            None => assert!(!ended.expect_code(0).said().contains(REFUSED)),
            Some(lacking) => assert_refused(&ended.expect_code(1).stderr, &lacking),
        }
        settle.stop();
    });
}

#[test]
fn a_search_for_the_knee_needs_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    let settle = ground.stage.settle("kneeling");
    let out = ground.stage.snapshots().with_file_name("report").display().to_string();
    let flags = ["--target", "p99<30s", "--step", "1s", "--from", "20", "--up-to", "20"];
    let flags = [&flags[..], &["--out", &out]].concat();
    check_rights_of("drill knee", &ground, &flags);
    settle.stop();
}

#[test]
fn a_rehearsal_needs_the_rights_that_are_documented_and_no_more() {
    if broker().is_none() {
        return;
    }
    side_by_side(all_and_without_each("drill rehearse"), |without| {
        let ground = Ground::without_topics().unwrap();
        let lacking = ground.grant("drill rehearse", without);
        let out = ground.stage.snapshots().with_file_name("report").display().to_string();
        let flags = ["--profile", "20/s for 1s", "--partitions", "1", "--processes", "1"];
        // Some rows wait twice for a process that was refused; one has to start and join within it.
        let flags = [&flags[..], &["--no-faults", "--patience", "15", "--out", &out]].concat();
        let ended = ground.run("drill rehearse", without, &flags);
        match lacking {
            None => assert!(!ended.expect_code(0).said().contains(REFUSED)),
            Some(lacking) => assert_refused(&ended.expect_code(1).stderr, &lacking),
        }
    });
}

#[test]
fn the_board_needs_the_rights_that_are_documented_and_no_more() {
    let Some(ground) = settled_ground() else { return };
    let board = |without| {
        let lacking = ground.grant("board", without);
        let configuration = ground.configuration(&user("board", without));
        (ground.start(&["board"], &configuration, &[]), lacking)
    };
    let (mut well, _) = board(None);
    well.await_some("a board", |board| (board.get("/readyz").0 == 200).then_some(()));
    assert!(!well.stop().said().contains(REFUSED));
    for without in rights_of("board") {
        let (mut refused, lacking) = board(Some(without));
        let told = refused.await_some("a refusal", |board| {
            let (code, body) = board.get("/readyz");
            (code == 503 && body.contains(REFUSED)).then_some(body)
        });
        assert_refused(&told, &lacking.unwrap());
        refused.stop();
    }
}

/// Ends soon, and its last word holds the hint.
#[track_caller]
fn assert_ends(process: Process, hint: &str) {
    let waited = process.wait_within(Duration::from_secs(30));
    let ended = waited.unwrap_or_else(|running| panic!("it hangs: {}", running.stderr()));
    assert_ne!(ended.code, Some(0), "{ended:#?}");
    let last = ended.stderr.lines().next_back().unwrap_or_default();
    assert!(last.contains(hint), "{hint:?} is not in {ended:#?}");
}

#[test]
fn who_is_not_let_in_is_told_what_to_mend_and_does_not_hang() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    let authority = format!("ca_file = {:?}", ground.broker.file("authority.pem"));
    let stranger = format!("ca_file = {:?}", ground.broker.file("stranger.pem"));
    let commands = [&["settle"][..], &["audit"], &["topics", "check"], &["drill", "run"]];
    let wrong = ground.configuration_with("nobody", "wrong", &authority);
    let untrusting = ground.configuration_with("nobody", PASSWORD, &stranger);
    let keys = [(&wrong, "password_file"), (&untrusting, "kafka.security.ca_file")];
    let rows =
        commands.into_iter().flat_map(|command| keys.map(|(key, hint)| (command, key, hint)));
    side_by_side(rows, |(command, key, hint)| assert_ends(ground.start(command, key, &[]), hint));
    // The board keeps its page, and says there what is wrong.
    for (password, ca, hint) in
        [("wrong", &authority, "password_file"), (PASSWORD, &stranger, "kafka.security.ca_file")]
    {
        let configuration = ground.configuration_with("nobody", password, ca);
        let mut board = ground.start(&["board"], &configuration, &[]);
        board.await_some("a reason", |board| board.get("/readyz").1.contains(hint).then_some(()));
        board.stop();
    }
    // Unencrypted where the broker expects TLS.
    let open = ground.stage.snapshots().with_file_name("open.toml");
    std::fs::write(&open, "").unwrap();
    assert_ends(ground.start(&["audit"], &open, &[]), "kafka.security.protocol");
}

#[test]
fn a_certificate_of_ones_own_is_enough_where_brokers_ask_for_one() {
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    let mut rights = documented()["topics check"].clone();
    for right in &mut rights {
        right.user = "client".to_owned();
        right.name = format!("{}{}", ground.stage.prefix, right.name);
    }
    ground.broker.allow(&rights);
    let file = |name: &str| ground.broker.file(name);
    let configuration = ground.stage.snapshots().with_file_name("certified.toml");
    let text = format!(
        "[kafka.security]\nprotocol = 'ssl'\nca_file = {:?}\ncertificate_file = {:?}\nkey_file = {:?}\n",
        file("authority.pem"),
        file("client.pem"),
        file("client.key")
    );
    std::fs::write(&configuration, text).unwrap();
    let mut command = floodgate();
    command.args(["topics", "check", "--timestamps", "create", "--config"]).arg(&configuration);
    command.args(["--brokers", &ground.broker.certified, "--topic-prefix", &ground.stage.prefix]);
    Process::spawn(command).wait().expect_code(0);
}

/// Runs what keeps running, with a password, tokens and users, and searches all that it says.
#[test]
fn no_secret_is_told_anywhere() {
    const TOKEN: &str = "token-is-never-told";
    let Some(ground) = Ground::new(Stamps::Create) else { return };
    let ends = ground.publish();
    let (mut said, directory) = (String::new(), ground.stage.snapshots());
    let tokens = directory.with_file_name("tokens");
    std::fs::write(&tokens, format!("{TOKEN}\n")).unwrap();
    let users = directory.with_file_name("users");
    std::fs::write(&users, format!("hall:{TOKEN}\n")).unwrap();
    let authority = ground.broker.file("authority.pem");
    let loud = "[kafka.properties]\ndebug = 'security,broker,protocol'\n";
    for user in ["settle", "board"] {
        ground.grant(user, None);
        let loud = format!("ca_file = {authority:?}\n{loud}");
        let configuration = ground.configuration_with(user, PASSWORD, &loud);
        let text = std::fs::read_to_string(&configuration).unwrap();
        std::fs::write(&configuration, text.replace("[log]", "[log]\nlevel = 'trace'")).unwrap();
        let snapshots = directory.display().to_string();
        let (tokens, users) = (tokens.display().to_string(), users.display().to_string());
        let flags = match user {
            "settle" => vec!["--snapshots", &snapshots],
            _ => vec!["--token-file", &tokens, "--users-file", &users],
        };
        let mut process = ground.start(&[user], &configuration, &flags);
        if user == "settle" {
            ground.stage.await_settled(&ends);
        } else {
            process.await_some("a board", |board| (board.get("/readyz").0 == 200).then_some(()));
        }
        for path in ["/metrics", "/status", "/readyz", "/livez", "/api/v1/health"] {
            said += &process.get(path).1;
        }
        said += &process.stop().said();
    }
    assert!(said.contains("SCRAM"), "the client's own log is searched too");
    // Errors that come close to it.
    let wrong = ground.configuration_with("nobody", TOKEN, &format!("ca_file = {authority:?}"));
    said += &ground.start(&["validate"], &wrong, &[]).wait().said();
    let open = ground.stage.snapshots().with_file_name("open.toml");
    for section in ["properties", "consumer_properties", "producer_properties"] {
        std::fs::write(&open, format!("[kafka.{section}]\n'sasl.password' = '{PASSWORD}'"))
            .unwrap();
        let ended = ground.start(&["validate", "--offline"], &open, &[]).wait().expect_code(78);
        assert!(ended.stderr.contains("password_file"), "{ended:#?}");
        said += &ended.said();
    }
    for secret in [PASSWORD, TOKEN] {
        assert!(!said.contains(secret), "{secret} is told");
    }
}
