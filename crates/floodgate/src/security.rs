//! `[kafka.security]`: how the brokers are reached, and who this is to them, as properties of the
//! client.
//!
//! Not a client: librdkafka does TLS and SASL itself. Invariant: a secret comes from a file and goes to
//! the client; no message and no `Debug` holds one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::configuration::Wrong;

/// Properties whose value is a secret, wherever it is written.
const SECRETS: [&str; 7] = [
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl_key",
];

/// The section of the configuration. An empty path or name is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    protocol: Protocol,
    ca_file: PathBuf,
    certificate_file: PathBuf,
    key_file: PathBuf,
    key_password_file: PathBuf,
    mechanism: Mechanism,
    username: String,
    password_file: PathBuf,
}

/// In Kafka's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Mechanism {
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "PLAIN")]
    Plain,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
        }
    }
}

type Properties = BTreeMap<String, String>;

impl Security {
    /// The properties of a client that was built with or without TLS; reads the files that hold secrets.
    pub(crate) fn properties(&self, has_tls: bool) -> Result<Properties, Wrong> {
        self.check()?;
        self.check_build(has_tls)?;
        let mut properties = Properties::new();
        let mut set = |property: &str, value: String| properties.insert(property.to_owned(), value);
        if self.protocol == Protocol::Plaintext {
            return Ok(Properties::new());
        }
        set("security.protocol", self.protocol.name().to_owned());
        if self.protocol.has_tls() {
            let ca = given(&self.ca_file).map(|file| readable("ca_file", file));
            // OpenSSL that was built in knows no place for certificates; librdkafka looks where the
            // distributions keep theirs.
            set("ssl.ca.location", ca.unwrap_or_else(|| Ok("probe".to_owned()))?);
            if let Some(file) = given(&self.certificate_file) {
                set("ssl.certificate.location", readable("certificate_file", file)?);
                set("ssl.key.location", readable("key_file", &self.key_file)?);
            }
            if let Some(file) = given(&self.key_password_file) {
                set("ssl.key.password", secret("kafka.security.key_password_file", file)?);
            }
        }
        if self.protocol.has_sasl() {
            set("sasl.mechanisms", self.mechanism.name().to_owned());
            set("sasl.username", self.username.clone());
            set("sasl.password", secret("kafka.security.password_file", &self.password_file)?);
        }
        Ok(properties)
    }

    /// What must be there is, and nothing is that would be ignored.
    fn check(&self) -> Result<(), Wrong> {
        let protocol = self.protocol.name();
        let keys = [
            ("ca_file", self.protocol.has_tls(), given(&self.ca_file).is_some()),
            ("certificate_file", self.protocol.has_tls(), given(&self.certificate_file).is_some()),
            ("key_file", self.protocol.has_tls(), given(&self.key_file).is_some()),
            (
                "key_password_file",
                self.protocol.has_tls(),
                given(&self.key_password_file).is_some(),
            ),
            ("username", self.protocol.has_sasl(), !self.username.is_empty()),
            ("password_file", self.protocol.has_sasl(), given(&self.password_file).is_some()),
        ];
        if let Some((key, ..)) = keys.iter().find(|(_, used, is_given)| *is_given && !used) {
            return Err(Wrong(format!(
                "kafka.security.{key} is given, but with kafka.security.protocol = {protocol:?} it \
                 would not be used; write \"sasl_ssl\" (TLS with a password) or \"ssl\" (TLS alone), or \
                 take it out"
            )));
        }
        let missing =
            |key: &str| keys.iter().any(|(other, _, is_given)| *other == key && !is_given);
        for key in ["username", "password_file"] {
            if self.protocol.has_sasl() && missing(key) {
                return Err(Wrong(format!(
                    "kafka.security.{key} is missing, which kafka.security.protocol = {protocol:?} needs"
                )));
            }
        }
        if missing("certificate_file") != missing("key_file") {
            return Err(Wrong(
                "kafka.security.certificate_file and key_file belong together: write both or none"
                    .to_owned(),
            ));
        }
        if missing("key_file") && !missing("key_password_file") {
            return Err(Wrong(
                "kafka.security.key_password_file is given without a key_file, which it would open: \
                 write certificate_file and key_file too, or take it out"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Without OpenSSL there is no TLS, and librdkafka has no hash for SCRAM.
    fn check_build(&self, has_tls: bool) -> Result<(), Wrong> {
        let hashes = self.protocol.has_sasl() && self.mechanism != Mechanism::Plain;
        if (self.protocol.has_tls() || hashes) && !has_tls {
            let mechanism = if self.protocol.has_tls() { "TLS" } else { self.mechanism.name() };
            return Err(Wrong(format!(
                "kafka.security.protocol is {:?}, but this floodgate was built without `tls`, \
                 which {mechanism} needs; build it with `cargo build --release --package floodgate \
                 --features tls` (it brings OpenSSL with it), or use the container image",
                self.protocol.name()
            )));
        }
        Ok(())
    }
}

/// Refuses secrets where everybody looks.
pub(crate) fn refuse_open_secrets<'a>(
    section: &str,
    mut properties: impl Iterator<Item = &'a String>,
) -> Result<(), Wrong> {
    match properties.find(|property| SECRETS.contains(&property.as_str())) {
        None => Ok(()),
        Some(property) => Err(Wrong(format!(
            "{section}.{property:?} is a secret: write it to a file, and the file's name as \
             kafka.security.password_file or under [kafka.secret_files]"
        ))),
    }
}

/// What a file holds, without the end of its line.
pub(crate) fn secret(key: &str, file: &Path) -> Result<String, Wrong> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Wrong(format!("{key}: {} cannot be read: {error}", file.display())))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Wrong(format!("{key}: {} is empty", file.display())));
    }
    Ok(text.to_owned())
}

fn given(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

/// The file's name, if it can be read: librdkafka would only say so when it is too late.
fn readable(key: &str, file: &Path) -> Result<String, Wrong> {
    std::fs::File::open(file)
        .and_then(|file| file.metadata())
        .and_then(|found| match found.is_file() {
            true => Ok(file.display().to_string()),
            false => Err(std::io::Error::other("it is no file")),
        })
        .map_err(|error| {
            Wrong(format!("kafka.security.{key}: {} cannot be read: {error}", file.display()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Configuration, Overrides};

    /// What is configured in a folder that holds `password`, `empty` and `authority.pem`.
    fn security(lines: &str) -> Result<(Security, tempfile::TempDir), Wrong> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("password", "hunter2\n"), ("empty", "\n"), ("authority.pem", "x")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = folder.path().join("floodgate.toml");
        let lines = lines.replace("HERE", &folder.path().display().to_string());
        std::fs::write(&file, format!("[kafka.security]\n{lines}\n")).unwrap();
        let configuration = Configuration::load(Some(&file), &Overrides::default())?;
        Ok((configuration.kafka.security, folder))
    }

    const WITH_PASSWORD: &str = "protocol = 'sasl_plaintext'\nmechanism = 'PLAIN'\n\
                                 username = 'settle'\npassword_file = 'HERE/password'\n";

    #[test]
    fn a_password_goes_to_the_client_and_nowhere_else() {
        let (security, _folder) = security(WITH_PASSWORD).unwrap();
        let properties = security.properties(true).unwrap();
        assert_eq!(properties["sasl.password"], "hunter2");
        assert_eq!(properties["security.protocol"], "sasl_plaintext");
        assert!(!format!("{security:?}").contains("hunter2"));
    }

    #[test]
    fn what_would_be_ignored_or_is_missing_is_refused_with_what_to_write() {
        for (lines, hint) in [
            ("username = 'settle'", "kafka.security.username is given"),
            ("ca_file = 'HERE/authority.pem'", "sasl_ssl"),
            ("protocol = 'sasl_ssl'\nusername = 'settle'", "password_file is missing"),
            ("protocol = 'ssl'\nkey_file = 'HERE/password'", "both or none"),
            ("protocol = 'ssl'\nkey_password_file = 'HERE/password'", "without a key_file"),
            ("protocol = 'tls'", "sasl_ssl"),
            ("password = 'hunter2'", "password_file"),
            (&WITH_PASSWORD.replace("HERE/password", "HERE/empty"), "is empty"),
            (&WITH_PASSWORD.replace("HERE/password", "/nowhere"), "/nowhere cannot be read"),
        ] {
            let wrong = security(lines).and_then(|(security, _folder)| security.properties(true));
            let wrong = wrong.err().unwrap_or_else(|| panic!("{lines} is taken")).to_string();
            assert!(wrong.contains(hint), "{lines}: {hint:?} is not in {wrong:?}");
            assert!(!wrong.contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn a_build_without_openssl_says_what_to_build_instead() {
        let scram = WITH_PASSWORD.replace("PLAIN", "SCRAM-SHA-512");
        for lines in ["protocol = 'ssl'", &scram, &scram.replace("_plaintext", "_ssl")] {
            let (security, _folder) = security(lines).unwrap();
            let wrong = security.check_build(false).unwrap_err().to_string();
            assert!(wrong.contains("--features tls"), "{wrong}");
            assert!(security.check_build(true).is_ok());
        }
        let (plain, _folder) = security(WITH_PASSWORD).unwrap();
        assert!(plain.check_build(false).is_ok(), "librdkafka does that by itself");
    }

    #[test]
    fn secrets_among_the_properties_are_refused() {
        let refuse = |name: &str| refuse_open_secrets("kafka.properties", [name.to_owned()].iter());
        let wrong = refuse("sasl.password").unwrap_err().to_string();
        assert!(wrong.contains("password_file"), "{wrong}");
        assert!(refuse("socket.keepalive.enable").is_ok());
    }
}
