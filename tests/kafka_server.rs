//! A real Apache Kafka broker for tests: one KRaft node, started from Maven jars on loopback.
//!
//! Not a cluster, and not for production: one broker, replication factor 1, no security. It needs
//! Java 17 or newer, and Maven the first time; where they are missing, [`shared`] and
//! [`start_or_skip`] say loudly that the Kafka tests did not run and return `None`, or panic if
//! `FLOODGATE_REQUIRE_KAFKA=1`.
//!
//! Invariant: no broker outlives the process that started it, however that process ends. A `sh`
//! beside each broker holds the reading end of a pipe; when the pipe closes it kills the broker and
//! removes its directory.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::proxy::Proxy;
use crate::supervisor::Supervisor;

/// Version of the broker.
pub const KAFKA_VERSION: &str = "4.2.1";
/// Version of the binding through which the broker writes its log.
const LOG4J_VERSION: &str = "2.25.4";
/// Longest that a broker may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest that a broker may take to stop in order before it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often a start is tried again with other ports when somebody else took one in between.
const PORT_ATTEMPTS_MAX: u32 = 3;
/// How many bytes of the broker's log a failed start shows.
const LOG_TAIL_BYTES: usize = 4_000;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No `java` to run it.
    #[error("`java` cannot be run ({0}); install a Java runtime, version 17 or newer")]
    NoJava(String),
    /// The jars are not there and there is no `mvn` to fetch them.
    #[error("`mvn` cannot be run ({0}); install Apache Maven")]
    NoMaven(String),
    /// No `openssl` to make certificates with.
    #[error("`openssl` cannot be run ({0}); install OpenSSL's command line")]
    NoOpenssl(String),
    /// Maven could not fetch the jars.
    #[error("Maven could not fetch Kafka {KAFKA_VERSION}: {0}")]
    NoJars(String),
    /// Java and the jars are there, but the broker did not start: a defect, not a missing tool.
    #[error("the broker did not start: {0}")]
    NotStarted(String),
}

/// What a broker can be asked to be beyond the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// Broker properties that are added to, or replace, those for a single broker.
    pub properties: BTreeMap<String, String>,
    /// Java heap in MiB.
    pub heap_mib: u32,
    /// Where it listens, if not at a free port.
    pub port: Option<u16>,
    /// Through which a second listener is reached; who asks the first one is told of the first only.
    pub proxy: Option<Proxy>,
    /// Users that may prove themselves by SCRAM-SHA-512, and their passwords.
    pub scram: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            properties: BTreeMap::new(),
            heap_mib: 768,
            port: None,
            proxy: None,
            scram: Vec::new(),
        }
    }
}

impl Options {
    /// The same with one broker property more.
    #[must_use]
    pub fn with(mut self, property: &str, value: &str) -> Self {
        self.properties.insert(property.to_owned(), value.to_owned());
        self
    }

    /// The same with a second listener behind this proxy.
    #[must_use]
    pub fn behind(mut self, proxy: &Proxy) -> Self {
        self.proxy = Some(proxy.clone());
        self
    }
}

/// A broker on loopback. Dropping it kills the broker and removes its data.
#[derive(Debug)]
pub struct KafkaServer {
    directory: PathBuf,
    bootstrap: String,
    java: Vec<String>,
    supervisor: Option<Supervisor>,
}

impl KafkaServer {
    /// Starts a broker with free ports and data of its own, and waits until it answers.
    pub fn start(options: &Options) -> Result<KafkaServer, Unavailable> {
        run("java", &["-version"]).map_err(|error| Unavailable::NoJava(error.to_string()))?;
        let jars = jars()?;
        let mut failure = Unavailable::NotStarted("no attempt was made".to_owned());
        for _ in 0..PORT_ATTEMPTS_MAX {
            match Self::start_with_jars(options, &jars) {
                Err(Unavailable::NotStarted(why)) if why.contains("Address already in use") => {
                    failure = Unavailable::NotStarted(why);
                }
                result => return result,
            }
        }
        Err(failure)
    }

    fn start_with_jars(options: &Options, jars: &Path) -> Result<KafkaServer, Unavailable> {
        let not_started = |error: io::Error| Unavailable::NotStarted(error.to_string());
        let port = options.port.map_or_else(free_port, Ok).map_err(not_started)?;
        let free_port = || free_port().map_err(not_started);
        let ports = [port, free_port()?, free_port()?];
        let directory = tempfile::Builder::new().prefix("floodgate-kafka-").tempdir();
        let directory = directory.map_err(not_started)?.keep();
        let mut server = KafkaServer {
            bootstrap: format!("127.0.0.1:{}", ports[0]),
            java: java_command(options, jars, &directory),
            directory,
            supervisor: None,
        };
        server.write_files(options, ports).map_err(not_started)?;
        server.format(&options.scram).map_err(not_started)?;
        if let Some(proxy) = &options.proxy {
            proxy.connect(&format!("127.0.0.1:{}", ports[2]));
        }
        server.restart()?;
        Ok(server)
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts the broker again after [`Self::stop`] or [`Self::kill`], on the same port and data.
    pub fn restart(&mut self) -> Result<(), Unavailable> {
        assert!(self.supervisor.is_none(), "the broker runs already");
        let supervisor = Supervisor::start(&self.java, &self.directory, &self.log_file())
            .map_err(|error| Unavailable::NotStarted(error.to_string()))?;
        let supervisor = self.supervisor.insert(supervisor);
        let deadline = Instant::now() + START_MAX;
        let client = client(&self.bootstrap);
        while !answers(&client) {
            if supervisor.has_ended() {
                return Err(Unavailable::NotStarted(format!("it ended\n{}", self.log_tail())));
            }
            if Instant::now() > deadline {
                let why = format!("no answer after {START_MAX:?}\n{}", self.log_tail());
                return Err(Unavailable::NotStarted(why));
            }
        }
        Ok(())
    }

    /// Stops the broker in order (SIGTERM); data and port are kept. False if it had to be killed.
    pub fn stop(&mut self) -> bool {
        let Some(supervisor) = &mut self.supervisor else { return true };
        supervisor.signal("TERM");
        let in_order = supervisor.ends_within(STOP_MAX);
        if in_order {
            self.supervisor = None;
        } else {
            self.kill();
        }
        in_order
    }

    /// Kills the broker (SIGKILL); data and port are kept.
    pub fn kill(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.signal("KILL");
            assert!(supervisor.ends_within(STOP_MAX), "the broker survives SIGKILL");
        }
    }

    /// Freezes the broker (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.supervisor.as_mut().expect("only a running broker is paused").signal("STOP");
    }

    /// Lets a paused broker go on (SIGCONT).
    pub fn resume(&mut self) {
        self.supervisor.as_mut().expect("only a running broker is resumed").signal("CONT");
    }

    /// The last lines of the broker's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("broker.log")
    }

    fn write_files(
        &self,
        options: &Options,
        [broker, controller, proxied]: [u16; 3],
    ) -> io::Result<()> {
        let mut properties = BTreeMap::from(
            [
                ("process.roles", "broker,controller".to_owned()),
                ("node.id", "1".to_owned()),
                (
                    "listeners",
                    format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"),
                ),
                ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{broker}")),
                ("controller.listener.names", "CONTROLLER".to_owned()),
                ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
                ("log.dirs", self.directory.join("data").display().to_string()),
                ("auto.create.topics.enable", "false".to_owned()),
                ("group.initial.rebalance.delay.ms", "0".to_owned()),
                ("offsets.topic.num.partitions", "4".to_owned()),
                ("offsets.topic.replication.factor", "1".to_owned()),
                ("transaction.state.log.num.partitions", "4".to_owned()),
                ("transaction.state.log.replication.factor", "1".to_owned()),
                ("transaction.state.log.min.isr", "1".to_owned()),
            ]
            .map(|(property, value)| (property.to_owned(), value)),
        );
        if let Some(proxy) = &options.proxy {
            let mut also = |property: &str, more: String| {
                let value = properties.get_mut(property).expect("it is one of those above");
                value.push_str(&more);
            };
            also("listeners", format!(",PROXIED://127.0.0.1:{proxied}"));
            also("advertised.listeners", format!(",PROXIED://{}", proxy.address()));
            properties
                .extend(SECOND_LISTENER.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        properties.extend(options.properties.clone());
        let lines: String = properties.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        fs::write(self.directory.join("server.properties"), lines)?;
        fs::write(self.directory.join("log4j2.properties"), LOG4J2_PROPERTIES)
    }

    /// Gives the empty data directory its cluster id, format and users.
    fn format(&self, users: &[(String, String)]) -> io::Result<()> {
        let classpath = &self.java[..=CLASSPATH_AT];
        let (java, class_path) = classpath.split_first().expect("the command starts with java");
        let properties = self.directory.join("server.properties").display().to_string();
        let cluster_id = cluster_id();
        let mut arguments: Vec<&str> = class_path.iter().map(String::as_str).collect();
        arguments.extend(["kafka.tools.StorageTool", "format"]);
        arguments.extend(["--cluster-id", &cluster_id, "--config", &properties]);
        let scram = |(name, word): &(String, String)| {
            format!("SCRAM-SHA-512=[name={name},password={word}]")
        };
        let scram: Vec<String> = users.iter().map(scram).collect();
        arguments.extend(scram.iter().flat_map(|user| ["--add-scram", user.as_str()]));
        run(java, &arguments)
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        drop(self.supervisor.take());
        // The supervisor removes the directory too; it is not there when the broker was stopped.
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// The one broker that the tests of a binary share; it ends with the process.
pub fn shared() -> Option<&'static KafkaServer> {
    static SHARED: OnceLock<Option<KafkaServer>> = OnceLock::new();
    SHARED.get_or_init(|| start_or_skip(&Options::default())).as_ref()
}

/// A broker, or `None` after a loud message where Java, Maven or the jars are missing. A broker
/// that does not start although they are there is a failure, and so is a missing one if
/// `FLOODGATE_REQUIRE_KAFKA=1`.
pub fn start_or_skip(options: &Options) -> Option<KafkaServer> {
    match KafkaServer::start(options) {
        Ok(server) => Some(server),
        Err(why) => {
            skip(why);
            None
        }
    }
}

/// Says loudly that there is no broker to test with, or panics where there has to be one.
pub fn skip(why: Unavailable) {
    let required = env::var("FLOODGATE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
    match why {
        why @ Unavailable::NotStarted(_) => panic!("{why}"),
        why if required => panic!("FLOODGATE_REQUIRE_KAFKA=1, but {why}"),
        why => {
            // Not `eprintln!`: the test harness would swallow it, and a skipped test looks passed.
            let warning = format!("\n*** THE KAFKA TESTS DID NOT RUN: {why} ***\n\n");
            io::stderr().write_all(warning.as_bytes()).expect("stderr can be written");
        }
    }
}

/// What a second listener needs beside its addresses.
const SECOND_LISTENER: [(&str, &str); 2] = [
    ("inter.broker.listener.name", "PLAINTEXT"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
];

/// Where the class path stands in the command that starts the broker.
const CLASSPATH_AT: usize = 2;

fn java_command(options: &Options, jars: &Path, directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        "java".to_owned(),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        format!("-Xmx{}m", options.heap_mib),
        format!("-Xms{}m", options.heap_mib.min(256)),
        "-XX:+UseSerialGC".to_owned(),
        format!("-Dlog4j2.configurationFile={}", file("log4j2.properties")),
        "kafka.Kafka".to_owned(),
        file("server.properties"),
    ]
}

const LOG4J2_PROPERTIES: &str = "\
appender.stdout.type=Console
appender.stdout.name=STDOUT
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=STDOUT
";

/// The directory with the jars; Maven fetches them once for each target directory.
fn jars() -> Result<PathBuf, Unavailable> {
    let target = target_directory();
    let jars = target.join(format!("kafka-{KAFKA_VERSION}"));
    if jars.is_dir() {
        return Ok(jars);
    }
    let no_jars = |error: io::Error| Unavailable::NoJars(error.to_string());
    run("mvn", &["-version"]).map_err(|error| Unavailable::NoMaven(error.to_string()))?;
    fs::create_dir_all(&target).map_err(no_jars)?;
    let project = tempfile::tempdir_in(&target).map_err(no_jars)?;
    fs::write(project.path().join("pom.xml"), pom()).map_err(no_jars)?;
    let fetched = project.path().join("jars");
    let pom = project.path().join("pom.xml").display().to_string();
    let output = format!("-DoutputDirectory={}", fetched.display());
    run("mvn", &["-q", "-B", "-f", &pom, "dependency:copy-dependencies", &output])
        .map_err(no_jars)?;
    match fs::rename(&fetched, &jars) {
        // Another test binary may have been as fast.
        Err(_) if jars.is_dir() => Ok(jars),
        Err(error) => Err(no_jars(error)),
        Ok(()) => Ok(jars),
    }
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>floodgate</groupId><artifactId>broker</artifactId><version>1</version>\
         <dependencies>{}{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
    )
}

/// Cargo's target directory, found by the tag that Cargo puts there; else the temporary one.
fn target_directory() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    target.map_or_else(env::temp_dir, Path::to_owned)
}

/// Runs a program to its end; what it said is in the error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(io::Error::other(format!("{}: {}", output.status, String::from_utf8_lossy(&said))))
}

fn client(bootstrap: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "0");
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "100");
    config.create().expect("the settings are valid")
}

/// Whether the broker knows itself, so that topics can be created; waits at most a second for it.
fn answers(client: &BaseConsumer) -> bool {
    let metadata = client.fetch_metadata(None, Duration::from_secs(1));
    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// A port that nobody listens on. Below the range of outgoing connections: a client that tries to
/// reach a stopped broker could otherwise be given the broker's port and connect to itself.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 17_000;
    let seed = std::process::id().wrapping_mul(7_919);
    let mut last = io::Error::other("no port was tried");
    for _ in 0..COUNT {
        // Relaxed: only uniqueness within the process matters.
        let number = seed.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).expect("the range ends below 65,536");
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A cluster id no other broker has: 16 bytes in URL-safe base 64, made of the time and process.
fn cluster_id() -> String {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanoseconds = since_1970.map_or(0, |since| since.as_nanos());
    let digits = format!("{nanoseconds:x}{:06x}", std::process::id());
    // The last of the 22 characters carries four bits beyond the 128, which must be 0: `A`.
    format!("{digits:0>21.21}A")
}

#[cfg(test)]
mod kafka_server_tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_broker_that_died_comes_back_with_its_port_and_identity() {
        let Some(mut server) = start_or_skip(&Options::default()) else { return };
        let identity = cluster_id_of(&server);
        server.kill();
        assert!(TcpStream::connect(server.bootstrap()).is_err(), "it still listens");
        server.restart().unwrap();
        assert_eq!(cluster_id_of(&server), identity);
        server.stop();
        assert!(TcpStream::connect(server.bootstrap()).is_err(), "it still listens");
        server.restart().unwrap();
        let directory = server.directory.clone();
        let bootstrap = server.bootstrap().to_owned();
        drop(server);
        assert!(TcpStream::connect(bootstrap).is_err(), "it outlives its owner");
        assert!(!directory.exists(), "its data stays behind");
    }

    #[test]
    fn a_broker_that_cannot_start_shows_its_log() {
        if start_or_skip(&Options::default()).is_none() {
            return;
        }
        let options = Options::default().with("num.io.threads", "-1");
        let Err(Unavailable::NotStarted(why)) = KafkaServer::start(&options) else {
            panic!("it started with impossible settings");
        };
        assert!(why.contains("num.io.threads"), "{why}");
    }

    fn cluster_id_of(server: &KafkaServer) -> Option<String> {
        client(server.bootstrap()).client().fetch_cluster_id(Duration::from_secs(10))
    }
}
