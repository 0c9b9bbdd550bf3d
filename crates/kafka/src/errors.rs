//! Which of the port's errors an error of the client is.
//!
//! Not the policy of what to do about it: that is the worker's. Invariant: no message holds the
//! value of a configuration property but the user's name.

use pipeline::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::settings::Settings;

/// How an error code is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It passes, or librdkafka works on it by itself.
    Passing,
    /// No broker was reached: it passes, or the addresses are wrong.
    Unreachable,
    /// The brokers do not know a topic or partition: it passes, or somebody has to create it.
    Missing,
    /// A newer producer with the same id exists.
    Fenced,
    /// Somebody has to change something.
    Lasting,
}

pub(crate) fn class(code: RDKafkaErrorCode) -> Class {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            Class::Missing
        }
        // A connection that ends while it is being made counts as a failed authentication, too; what
        // is lasting of these, the reason tells: see `Logging::explained`.
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => Class::Unreachable,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve => Class::Unreachable,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Class::Fenced,
        Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::InvalidTopic
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InvalidTransactionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidTimestamp
        | Code::PolicyViolation => Class::Lasting,
        _ => Class::Passing,
    }
}

/// Whether the brokers do not know a topic or partition; see [`crate::absence`].
pub(crate) fn is_missing(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| class(code) == Class::Missing)
}

/// The port's error for an error of a client.
pub(crate) fn log_error(doing: &str, error: &KafkaError) -> LogError {
    // The value of a property may be a password, and librdkafka's text may repeat it.
    if let KafkaError::ClientConfig(_, _, property, _) = error {
        return LogError::Fatal(format!("{doing}: the property `{property}` is not accepted"));
    }
    let message = format!("{doing}: {error}");
    match error.rdkafka_error_code() {
        None => LogError::Fatal(message),
        Some(code) => with_code(code, message),
    }
}

pub(crate) fn with_code(code: RDKafkaErrorCode, message: String) -> LogError {
    match class(code) {
        Class::Passing => LogError::Retry(message),
        Class::Unreachable => unreachable(&message),
        Class::Missing => LogError::Retry(format!(
            "{message}; if it stays so, create what is missing with `floodgate topics create`"
        )),
        Class::Fenced => LogError::Fenced(message),
        Class::Lasting => LogError::Fatal(message),
    }
}

/// Who asks the brokers, and under which names: so that a refusal by their ACLs can say what is to be
/// allowed to whom.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    /// As brokers call it, where the settings tell.
    user: Option<String>,
    group: String,
    transactional_id: String,
}

impl Rights {
    pub(crate) fn of(settings: &Settings) -> Rights {
        Rights {
            user: settings.common.get("sasl.username").cloned(),
            group: settings.group.clone(),
            transactional_id: settings.transactional_id.clone(),
        }
    }

    /// The port's error for an error of a client that did this `operation` on this topic.
    pub(crate) fn log_error(
        &self,
        operation: &str,
        topic: &str,
        doing: &str,
        error: &KafkaError,
    ) -> LogError {
        let denial =
            error.rdkafka_error_code().and_then(|code| self.denial(code, operation, topic));
        denial.map_or_else(|| log_error(doing, error), |denial| denied(doing, &denial))
    }

    /// The same for an error code.
    pub(crate) fn with_code(
        &self,
        operation: &str,
        topic: &str,
        code: RDKafkaErrorCode,
        message: String,
    ) -> LogError {
        match self.denial(code, operation, topic) {
            Some(denial) => denied(&message, &denial),
            None => with_code(code, message),
        }
    }

    /// What the brokers do not allow, and how to allow it, if that is what the code means. `operation`
    /// and `topic` are what was asked of a topic.
    pub(crate) fn denial(
        &self,
        code: RDKafkaErrorCode,
        operation: &str,
        topic: &str,
    ) -> Option<String> {
        use RDKafkaErrorCode as Code;
        let (operation, kind, name) = match code {
            // Who may write to no topic at all gets no number for idempotence either.
            Code::ClusterAuthorizationFailed if operation == "Write" => (operation, "topic", topic),
            Code::TopicAuthorizationFailed => (operation, "topic", topic),
            Code::GroupAuthorizationFailed => ("Read", "group", self.group.as_str()),
            Code::TransactionalIdAuthorizationFailed => {
                ("Write", "transactional-id", self.transactional_id.as_str())
            }
            _ => return None,
        };
        let user =
            self.user.as_deref().map_or("User:...".to_owned(), |user| format!("User:{user}"));
        Some(format!(
            "the brokers' ACLs do not allow {operation} on {kind} {name}; allow it with \
             `kafka-acls.sh --add --allow-principal {user} --operation {operation} --{kind} {name}` \
             (docs/security.md lists what every command needs)"
        ))
    }
}

fn denied(doing: &str, denial: &str) -> LogError {
    LogError::Fatal(format!("{doing}: {denial}"))
}

/// No broker was reached, and what to look at.
pub(crate) fn unreachable(message: &str) -> LogError {
    LogError::Retry(format!(
        "{message}; is Kafka up, and are these its addresses (kafka.brokers, --brokers)?"
    ))
}

#[cfg(test)]
mod errors_tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn a_topic_that_a_broker_does_not_know_yet_ends_no_worker() {
        let error = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert!(is_missing(&error));
        let error = log_error("reading", &error);
        assert!(matches!(&error, LogError::Retry(_)), "{error:?}");
        assert!(error.to_string().contains("floodgate topics create"), "{error}");
    }

    #[test]
    fn what_acls_do_not_allow_is_told_with_how_to_allow_it() {
        let mut settings = Settings::new("127.0.0.1:1", "sale", "sale-a-0");
        settings.common.insert("sasl.username".to_owned(), "settle".to_owned());
        let rights = Rights::of(&settings);
        let told = |code| {
            let error = KafkaError::MessageConsumption(code);
            let error = rights.log_error("Describe", "orders", "asking", &error);
            assert!(matches!(error, LogError::Fatal(_)), "{error:?}");
            error.to_string()
        };
        for (code, grant) in [
            (RDKafkaErrorCode::TopicAuthorizationFailed, "--operation Describe --topic orders"),
            (RDKafkaErrorCode::GroupAuthorizationFailed, "--operation Read --group sale"),
            (
                RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
                "--operation Write --transactional-id sale-a-0",
            ),
        ] {
            let told = told(code);
            assert!(told.contains(grant) && told.contains("User:settle"), "{told}");
        }
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let created: Result<BaseConsumer, _> =
            ClientConfig::new().set("sasl.mechanism.password", "hunter2").create();
        let error = log_error("making the client", &created.err().unwrap());
        assert!(error.to_string().contains("sasl.mechanism.password"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
