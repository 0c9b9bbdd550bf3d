//! Which of the port's errors an error of the client is.
//!
//! Not the policy of what to do about it: that is the worker's. Invariant: no message holds the
//! value of a configuration property.

use pipeline::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

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
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve => Class::Unreachable,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Class::Fenced,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
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
    fn a_refused_property_is_named_without_its_value() {
        let created: Result<BaseConsumer, _> =
            ClientConfig::new().set("sasl.mechanism.password", "hunter2").create();
        let error = log_error("making the client", &created.err().unwrap());
        assert!(error.to_string().contains("sasl.mechanism.password"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
