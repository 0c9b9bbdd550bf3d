//! A broker that asks who is there: TLS with an authority of its own, SCRAM, and ACLs.
//!
//! Beside its guarded listeners it keeps an open one on loopback, whose users may do everything: tests
//! prepare topics there. Needs `openssl` besides what [`KafkaServer`] needs. Invariant: a user may do what was
//! granted with [`GuardedBroker::allow`], and nothing else.

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io, ptr};

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka_server::{KafkaServer, Options, Unavailable, free_port, run};
use crate::process::await_some;

/// Longest wait for the broker's answer about ACLs.
const ANSWER_MS: i32 = 30_000;

/// See the module's documentation.
#[derive(Debug)]
pub struct GuardedBroker {
    server: KafkaServer,
    /// Where TLS and SCRAM are asked for.
    pub address: String,
    /// Where TLS with a certificate of the client's own is asked for.
    pub certified: String,
    directory: tempfile::TempDir,
    /// Held while rights are granted, so that one's are not counted as another's.
    granting: Mutex<()>,
}

/// A right that a user has; `name` ends with `*` if all names that begin so are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: String,
    /// What, in the words of `kafka-acls.sh`.
    pub operation: String,
    /// `topic`, `group` or `transactional-id`.
    pub kind: String,
    /// Of which one.
    pub name: String,
}

impl GuardedBroker {
    /// A broker with these users and their passwords.
    pub fn start(users: &[(&str, &str)]) -> Result<GuardedBroker, Unavailable> {
        let failed = |error: io::Error| Unavailable::NotStarted(error.to_string());
        run("openssl", &["version"]).map_err(|error| Unavailable::NoOpenssl(error.to_string()))?;
        let directory = tempfile::tempdir().map_err(failed)?;
        make_certificates(directory.path()).map_err(failed)?;
        let mut ports = [0; 4];
        for port in &mut ports {
            *port = free_port().map_err(failed)?;
        }
        let server = KafkaServer::start(&options(directory.path(), ports, users))?;
        let [_, _, guarded, certified] = ports.map(|port| format!("127.0.0.1:{port}"));
        let granting = Mutex::default();
        Ok(GuardedBroker { server, address: guarded, certified, directory, granting })
    }

    /// Where everybody may do everything.
    pub fn open_address(&self) -> &str {
        self.server.bootstrap()
    }

    /// A file that the broker's certificates were made in: `authority.pem`, `stranger.pem` (another
    /// authority), `client.pem` and `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Grants rights, and waits until the broker goes by them.
    pub fn allow(&self, grants: &[Grant]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.open_address()).set("log_level", "0");
        let client: BaseConsumer = config.create().expect("the settings are valid");
        let _granting = self.granting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = count(&client);
        create(&client, grants);
        await_some("granted rights", || (count(&client) >= before + grants.len()).then_some(()));
    }
}

fn options(directory: &Path, ports: [u16; 4], users: &[(&str, &str)]) -> Options {
    let [open, controller, guarded, certified] = ports;
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let clients = [at("PLAINTEXT", open), at("GUARDED", guarded), at("CERTIFIED", certified)];
    let file = |name: &str| directory.join(name).display().to_string();
    let mut options = Options { port: Some(open), ..Options::default() };
    options.scram = users.iter().map(|(user, word)| ((*user).into(), (*word).into())).collect();
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    for (property, value) in [
        ("listeners", format!("{},{}", clients.join(","), at("CONTROLLER", controller))),
        ("advertised.listeners", clients.join(",")),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_SSL,CERTIFIED:SSL".to_owned(),
        ),
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
        ("listener.name.guarded.scram-sha-512.sasl.jaas.config", scram.to_owned()),
        ("listener.name.certified.ssl.client.auth", "required".to_owned()),
        ("ssl.principal.mapping.rules", "RULE:^CN=(.*)$/$1/".to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", file("broker.both")),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", file("authority.pem")),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("super.users", "User:ANONYMOUS".to_owned()),
    ] {
        options = options.with(property, &value);
    }
    options
}

/// An authority, what it signed for broker and client, and another authority that nobody asked.
fn make_certificates(directory: &Path) -> io::Result<()> {
    let file = |name: &str| directory.join(name).display().to_string();
    let make = |name: &str, subject: &str, more: &[&str]| {
        let (key, certificate) = (file(&format!("{name}.key")), file(&format!("{name}.pem")));
        let subject = format!("/CN={subject}");
        let common = ["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj"];
        let files = [subject.as_str(), "-keyout", &key, "-out", &certificate];
        run("openssl", &[&common, &files[..], more].concat())
    };
    make("authority", "authority", &[])?;
    make("stranger", "stranger", &[])?;
    let (key, certificate) = (file("authority.key"), file("authority.pem"));
    let signed = ["-CA", &certificate, "-CAkey", &key, "-addext", "basicConstraints=CA:FALSE"];
    make("client", "client", &signed)?;
    make("broker", "broker", &[&signed[..], &["-addext", "subjectAltName=IP:127.0.0.1"]].concat())?;
    let both = [fs::read(file("broker.key"))?, fs::read(file("broker.pem"))?].concat();
    fs::write(file("broker.both"), both)
}

/// A queue of the client's, for the answer to one request, whose event is looked at.
fn ask<T>(
    client: &BaseConsumer,
    request: impl FnOnce(*mut native::rd_kafka_t, *mut native::rd_kafka_queue_t),
    look: impl FnOnce(*mut native::rd_kafka_event_t) -> T,
) -> T {
    let client = client.client().native_ptr();
    // SAFETY: the client is alive; queue and event are ours, and destroyed after their last use.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        request(client, queue);
        let event = native::rd_kafka_queue_poll(queue, ANSWER_MS);
        assert!(!event.is_null(), "the broker did not answer");
        let error = native::rd_kafka_event_error(event);
        assert_eq!(error, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "about ACLs");
        let answer = look(event);
        native::rd_kafka_event_destroy(event);
        native::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// How many ACLs the broker goes by.
fn count(client: &BaseConsumer) -> usize {
    let request = |client, queue| {
        let mut why: [c_char; 256] = [0; 256];
        // SAFETY: the client and the queue are alive; no name, user or host is asked for.
        unsafe {
            let filter = native::rd_kafka_AclBindingFilter_new(
                native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY,
                ptr::null(),
                native::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
                ptr::null(),
                ptr::null(),
                native::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
                native::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
                why.as_mut_ptr(),
                why.len(),
            );
            native::rd_kafka_DescribeAcls(client, filter, ptr::null(), queue);
            native::rd_kafka_AclBinding_destroy(filter);
        }
    };
    ask(client, request, |event| {
        let mut count = 0;
        // SAFETY: the event is alive and answers what was asked.
        unsafe {
            let result = native::rd_kafka_event_DescribeAcls_result(event);
            native::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
        }
        count
    })
}

fn create(client: &BaseConsumer, grants: &[Grant]) {
    let mut bindings: Vec<_> = grants.iter().map(binding).collect();
    let request = |client, queue| {
        let (first, count) = (bindings.as_mut_ptr(), bindings.len());
        // SAFETY: client, queue and bindings are alive; the bindings are destroyed here alone.
        unsafe {
            native::rd_kafka_CreateAcls(client, first, count, ptr::null(), queue);
            native::rd_kafka_AclBinding_destroy_array(first, count);
        }
    };
    ask(client, request, |event| {
        let mut count = 0;
        // SAFETY: the event is alive and answers what was asked, with so many results.
        let refused = unsafe {
            let result = native::rd_kafka_event_CreateAcls_result(event);
            let results = native::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
            (0..count).any(|at| !native::rd_kafka_acl_result_error(*results.add(at)).is_null())
        };
        assert!(!refused, "the broker refuses {grants:?}");
    });
}

fn binding(grant: &Grant) -> *mut native::rd_kafka_AclBinding_t {
    use native::{
        rd_kafka_AclOperation_t as Operation, rd_kafka_AclPermissionType_t as Permission,
        rd_kafka_ResourcePatternType_t as Pattern, rd_kafka_ResourceType_t as Kind,
    };
    let operation = match grant.operation.as_str() {
        "Read" => Operation::RD_KAFKA_ACL_OPERATION_READ,
        "Write" => Operation::RD_KAFKA_ACL_OPERATION_WRITE,
        "Create" => Operation::RD_KAFKA_ACL_OPERATION_CREATE,
        "Describe" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        "DescribeConfigs" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        other => panic!("{other} is no operation that is known here"),
    };
    let kind = match grant.kind.as_str() {
        "topic" => Kind::RD_KAFKA_RESOURCE_TOPIC,
        "group" => Kind::RD_KAFKA_RESOURCE_GROUP,
        "transactional-id" => Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        other => panic!("{other} is no resource that is known here"),
    };
    let (name, pattern) = match grant.name.strip_suffix('*') {
        Some(beginning) => (beginning, Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED),
        None => (grant.name.as_str(), Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
    };
    let text = |text: &str| CString::new(text).expect("names hold no zero");
    let (name, user, host) = (text(name), text(&format!("User:{}", grant.user)), text("*"));
    let allow = Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: all texts are alive and are copied.
    let binding = unsafe {
        native::rd_kafka_AclBinding_new(
            kind,
            name.as_ptr(),
            pattern,
            user.as_ptr(),
            host.as_ptr(),
            operation,
            allow,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    assert!(!binding.is_null(), "{grant:?} is no right");
    binding
}
