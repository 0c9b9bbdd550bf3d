//! The transactional producer, on librdkafka's own functions.
//!
//! Not the safe wrapper's producer, for three reasons: that one flushes in slices of 100 ms, looks
//! every topic up by name for every record, and cannot tell that a request was lost on its way.
//! librdkafka repeats a request that timed out, or whose connection broke, under the same producer
//! epoch and then reports success; the first copy may arrive late and decide the next transaction.
//!
//! Invariant: once a request of a transaction was lost on its way, [`Producer::suspicion`] says so
//! before the call that waits for that transaction returns.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, mem};

use pipeline::log::{LogError, Partition};
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::IsError as _;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{
    RDKafka, RDKafkaConf, RDKafkaErrorCode, RDKafkaHeaders, RDKafkaRespErr, RDKafkaTopic,
    RDKafkaType,
};
use wire::{Output, Outputs, Topic};

use crate::errors::{Class, Rights, class, log_error, unreachable};
use crate::logging::{Logging, each_event, string, write_event};
use crate::metadata::GroupMetadata;
use crate::settings::Settings;

/// Longest wait in one call of `rd_kafka_flush`, so that failed deliveries are noticed.
const FLUSH_SLICE_MS: c_int = 20;
/// Longest pause between two attempts to hand a record to a full client.
const FULL_PAUSE: Duration = Duration::from_millis(5);
const ALL_BROKERS_DOWN: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;

/// See the module's documentation.
pub(crate) struct Producer {
    topics: [NonNull<RDKafkaTopic>; Topic::ALL.len()],
    /// Name of one of them.
    settled: String,
    client: Client<Context>,
    /// Outlives the client, whose threads write it through a pointer.
    observed: Arc<Observed>,
    /// Outputs that the client may still read. Outlive it, too.
    lent: Mutex<Vec<Outputs>>,
}

/// An output that the client did not take, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) topic: Topic,
    pub(crate) partition: Partition,
    pub(crate) code: RDKafkaErrorCode,
}

/// An error of a transactional call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionError {
    code: RDKafkaErrorCode,
    /// Whether the same call can be made again.
    pub(crate) retriable: bool,
    /// Whether the transaction has failed, and nothing but it: an abort ends it.
    pub(crate) abortable: bool,
    text: String,
}

impl TransactionError {
    pub(crate) fn fenced(&self) -> bool {
        class(self.code) == Class::Fenced
    }

    /// Whether an earlier transaction of the same id is still being ended.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.code == RDKafkaErrorCode::ConcurrentTransactions
    }

    /// As an error of a call other than commit.
    pub(crate) fn into_log_error(self, rights: &Rights) -> LogError {
        let message = self.to_string();
        // No topic is written to by these calls.
        if let Some(denial) = rights.denial(self.code, "Write", "") {
            return LogError::Fatal(format!("{}: {denial}", self.text));
        }
        if self.code == RDKafkaErrorCode::OperationTimedOut && self.retriable {
            // Which is all that this call says when no broker is there.
            return unreachable(&message);
        }
        match class(self.code) {
            Class::Fenced => LogError::Fenced(message),
            Class::Lasting => LogError::Fatal(message),
            Class::Passing | Class::Unreachable | Class::Missing if self.retriable => {
                LogError::Retry(message)
            }
            Class::Passing | Class::Unreachable | Class::Missing => LogError::Transaction(message),
        }
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.text, self.code)
    }
}

/// What librdkafka's threads noticed.
#[derive(Debug, Default)]
struct Observed {
    /// The first request of a transaction that was lost on its way.
    lost_request: Mutex<Option<String>>,
    /// The first record that could not be delivered.
    failed_delivery: Mutex<Option<FailedDelivery>>,
    /// The first refusal by the brokers' ACLs.
    refusal: Mutex<Option<RDKafkaErrorCode>>,
    /// The first topic that could not be made part of a transaction, which only the client's log names.
    refused_topic: Mutex<Option<String>>,
}

/// A record that could not be delivered: why, and to which topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedDelivery {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) topic: String,
}

impl fmt::Display for FailedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an output to {} could not be delivered: {}", self.topic, self.code)
    }
}

impl Observed {
    fn note<T>(first: &Mutex<Option<T>>, what: impl FnOnce() -> T) {
        // It is put there as a whole.
        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(what);
    }

    fn noted<T: Clone>(first: &Mutex<Option<T>>) -> Option<T> {
        first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client's context: only its log.
struct Context(Logging);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }
}

impl Producer {
    /// A producer whose transactions have yet to be initialised.
    pub(crate) fn new(settings: &Settings) -> Result<Producer, LogError> {
        let failed = |error| log_error("making the producer", &error);
        let config = settings.producer();
        let native_config = config.create_native_config().map_err(failed)?;
        let observed = Arc::new(Observed::default());
        // SAFETY: the configuration is alive. The client that is made of it is dropped before
        // `observed`, since it is declared first in `Producer`, and until then below.
        unsafe { observe(native_config.ptr(), &observed) };
        let client = Client::new(
            &config,
            native_config,
            RDKafkaType::RD_KAFKA_PRODUCER,
            Context(Logging::new("producer", settings)),
        )
        .map_err(failed)?;
        let topics = topic_handles(client.native_ptr(), settings)?;
        let settled = settings.topics.output(Topic::Settled).to_owned();
        Ok(Producer { topics, settled, client, observed, lent: Mutex::default() })
    }

    /// Fences every older producer of the same id and decides what it left open. To be called
    /// again, with the same producer, if the error is retriable.
    pub(crate) fn init_transactions(&self, wait: Duration) -> Result<(), TransactionError> {
        let started = Instant::now();
        self.connect(wait / 2);
        let wait = wait.saturating_sub(started.elapsed());
        // SAFETY: the client is alive.
        unsafe { self.result(native::rd_kafka_init_transactions(self.ptr(), millis(wait))) }
    }

    /// A client that has no connection yet when it looks for its coordinator looks again half a
    /// second later, and the one by which it learned of the brokers does not count. So it is asked
    /// something first that only a broker can answer which holds partitions.
    fn connect(&self, wait: Duration) {
        let topic = &self.settled;
        drop(self.client.fetch_watermarks(topic, 0, wait));
    }

    pub(crate) fn begin(&self) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { self.result(native::rd_kafka_begin_transaction(self.ptr())) }
    }

    /// Lends the client a batch, which it reads without a copy, up to the first output that it does not
    /// take. Waits while it is full, for at most `patience`.
    pub(crate) fn produce(&self, batch: Outputs, patience: Duration) -> Result<(), Refused> {
        let mut lent = self.lent();
        lent.push(batch);
        let outputs = lent.last().into_iter().flat_map(Outputs::iter);
        for output in outputs {
            let Output { topic, partition, .. } = output;
            // SAFETY: the batch is among those that are lent.
            let produced = unsafe { self.produce_when_not_full(&output, patience) };
            produced.map_err(|code| Refused { topic, partition, code })?;
        }
        Ok(())
    }

    /// The batches that the client reads no longer: all, or none while a record is under way.
    pub(crate) fn take_back(&self) -> Vec<Outputs> {
        let mut lent = self.lent();
        if self.unacknowledged() == 0 { mem::take(&mut *lent) } else { Vec::new() }
    }

    fn lent(&self) -> MutexGuard<'_, Vec<Outputs>> {
        // Nothing can panic while a batch is pushed.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Safety
    /// As that of [`Self::produce_one`].
    unsafe fn produce_when_not_full(
        &self,
        output: &Output<'_>,
        patience: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut deadline = None;
        loop {
            // SAFETY: that is the caller's promise.
            match unsafe { self.produce_one(output) } {
                Err(code @ RDKafkaErrorCode::QueueFull) => {
                    let now = Instant::now();
                    if now >= *deadline.get_or_insert(now + patience) {
                        return Err(code);
                    }
                    self.flush(now + FULL_PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Hands one output on. `QueueFull` asks to call again after [`Self::serve`].
    ///
    /// # Safety
    /// The output's value stays as it is until nothing is unacknowledged or the client is gone.
    unsafe fn produce_one(&self, output: &Output<'_>) -> Result<(), RDKafkaErrorCode> {
        let topic = self.topics[output.topic as usize];
        let partition = i32::try_from(output.partition).expect("partitions come from the group");
        let timestamp = i64::try_from(output.timestamp.0).expect("times end at 10^15");
        let (key, key_len) = parts(output.key);
        let (value, value_len) = parts(output.value);
        let headers = headers(output);
        // SAFETY: client and topic are alive, the arguments have the types that their tags demand,
        // and key and value are so many bytes. librdkafka copies the key before it returns, and reads
        // the value for as long as the caller promises.
        let error = unsafe {
            native::rd_kafka_producev(
                self.ptr(),
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                topic.as_ptr(),
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition,
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp,
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                headers,
                native::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        };
        if !error.is_error() {
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: headers stay the caller's when the record was not taken.
            unsafe { native::rd_kafka_headers_destroy(headers) };
        }
        Err(error.into())
    }

    /// Serves what librdkafka has to say, without waiting, and reminds it of its brokers.
    pub(crate) fn serve(&self) {
        // SAFETY: the client is alive, and so is each event while it is taken in.
        unsafe {
            each_event(self.ptr(), |event| self.take_in(event));
            self.client.context().0.bootstrap.remind(self.ptr());
        }
    }

    /// # Safety
    /// `event` is alive.
    unsafe fn take_in(&self, event: *mut native::rd_kafka_event_t) {
        // SAFETY: the event is alive, and the texts live as long.
        unsafe {
            match native::rd_kafka_event_type(event) {
                native::RD_KAFKA_EVENT_DR => loop {
                    let message = native::rd_kafka_event_message_next(event);
                    if message.is_null() {
                        break;
                    }
                    let purged = RDKafkaRespErr::RD_KAFKA_RESP_ERR__PURGE_QUEUE;
                    if (*message).err.is_error() && (*message).err != purged {
                        Observed::note(&self.observed.failed_delivery, || FailedDelivery {
                            code: (*message).err.into(),
                            topic: string(native::rd_kafka_topic_name((*message).rkt)),
                        });
                    }
                },
                _ => {
                    if native::rd_kafka_event_error(event) == ALL_BROKERS_DOWN {
                        self.client.context().0.bootstrap.lose();
                    }
                    let line = write_event("producer", event);
                    if let Some(topic) = line.as_deref().and_then(refused_topic) {
                        Observed::note(&self.observed.refused_topic, || topic.to_owned());
                    }
                }
            }
        }
    }

    /// Records that are handed on and not acknowledged yet.
    pub(crate) fn unacknowledged(&self) -> u64 {
        // SAFETY: the client is alive.
        let waiting = unsafe { native::rd_kafka_outq_len(self.ptr()) };
        u64::try_from(waiting).unwrap_or(0)
    }

    /// Waits until every record is acknowledged or has failed; false if that took too long.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        loop {
            // It wakes up when the last acknowledgement comes. Failed deliveries count as
            // outstanding until they are served.
            // SAFETY: the client is alive.
            let error = unsafe { native::rd_kafka_flush(self.ptr(), FLUSH_SLICE_MS) };
            self.serve();
            if !error.is_error() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &GroupMetadata,
        wait: Duration,
    ) -> Result<(), TransactionError> {
        // SAFETY: client, list and metadata are alive.
        unsafe {
            self.result(native::rd_kafka_send_offsets_to_transaction(
                self.ptr(),
                offsets.ptr(),
                group.as_ptr(),
                millis(wait),
            ))
        }
    }

    /// Ends the transaction. To be called again if the error is retriable.
    pub(crate) fn commit(&self, wait: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { self.result(native::rd_kafka_commit_transaction(self.ptr(), millis(wait))) }
    }

    /// Ends the transaction as if it had never been. To be called again if the error is retriable,
    /// after [`Self::serve`]: the records that were not sent yet have to be taken back first.
    pub(crate) fn abort(&self) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        unsafe { self.result(native::rd_kafka_abort_transaction(self.ptr(), FLUSH_SLICE_MS)) }
    }

    /// Takes all records back, and returns when no request has one any more. A client that is closed frees
    /// the text of its last error before its threads have ended (`rd_kafka_txns_term`), and a produce
    /// request that is answered just then with `INVALID_PRODUCER_EPOCH` frees it once more.
    fn purge(&self) {
        // It waits for the client's threads, as closing the client does.
        let everything = native::RD_KAFKA_PURGE_F_QUEUE | native::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive.
        unsafe { native::rd_kafka_purge(self.ptr(), everything) };
    }

    /// As [`result`]; a refusal by ACLs is remembered, since later calls fail with other errors for it.
    ///
    /// # Safety
    /// As that of [`result`].
    unsafe fn result(&self, error: *mut native::rd_kafka_error_t) -> Result<(), TransactionError> {
        // SAFETY: that is the caller's promise.
        unsafe { result(error) }.inspect_err(|error| {
            if is_refusal(error.code) {
                Observed::note(&self.observed.refusal, || error.code);
            }
        })
    }

    /// Why the brokers' ACLs refused a transaction, if they did, and the topic, if it is known.
    pub(crate) fn refusal(&self) -> Option<(RDKafkaErrorCode, Option<String>)> {
        self.serve();
        let failed = self.failed_delivery().filter(|failed| is_refusal(failed.code));
        let code = Observed::noted(&self.observed.refusal);
        let code = code.or(failed.as_ref().map(|failed| failed.code))?;
        let topic = Observed::noted(&self.observed.refused_topic);
        Some((code, topic.or(failed.map(|failed| failed.topic))))
    }

    /// The request of a transaction that was lost on its way, if one was.
    pub(crate) fn suspicion(&self) -> Option<String> {
        Observed::noted(&self.observed.lost_request)
    }

    /// The first record that could not be delivered, if one could not.
    pub(crate) fn failed_delivery(&self) -> Option<FailedDelivery> {
        Observed::noted(&self.observed.failed_delivery)
    }

    fn ptr(&self) -> *mut RDKafka {
        self.client.native_ptr()
    }
}

// SAFETY: clients and topic handles of librdkafka may be used from any thread.
unsafe impl Send for Producer {}
// SAFETY: and from several; all else is behind locks.
unsafe impl Sync for Producer {}

impl Drop for Producer {
    /// Drops what has not been sent: an open transaction is decided by the next producer of the
    /// same id, or by the broker when it times out.
    fn drop(&mut self) {
        self.purge();
        // SAFETY: the client is alive until the fields are dropped, and the topics are not used
        // again.
        unsafe {
            for topic in self.topics {
                native::rd_kafka_topic_destroy(topic.as_ptr());
            }
        }
        self.serve();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("observed", &self.observed).finish_non_exhaustive()
    }
}

/// A handle for a topic, to be destroyed before its client.
///
/// # Safety
/// `client` is alive.
pub(crate) unsafe fn topic_handle(
    client: *mut RDKafka,
    name: &str,
) -> Result<NonNull<RDKafkaTopic>, LogError> {
    let no_topic = || LogError::Fatal(format!("`{name}` cannot be the name of a topic"));
    let name = CString::new(name).map_err(|_| no_topic())?;
    // SAFETY: the client is alive, and the name is a string.
    let handle = unsafe { native::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
    NonNull::new(handle).ok_or_else(no_topic)
}

fn topic_handles(
    client: *mut RDKafka,
    settings: &Settings,
) -> Result<[NonNull<RDKafkaTopic>; Topic::ALL.len()], LogError> {
    let mut handles = [NonNull::dangling(); Topic::ALL.len()];
    for topic in Topic::ALL {
        // SAFETY: the caller's client is alive. If a later name is refused the earlier handles stay
        // behind with their client, which a configuration without valid names does not outlive.
        handles[topic as usize] = unsafe { topic_handle(client, settings.topics.output(topic)) }?;
    }
    Ok(handles)
}

/// Has requests observed, and deliveries and errors come as events.
///
/// # Safety
/// `config` is alive, and `observed` outlives the client that is made of it.
unsafe fn observe(config: *mut RDKafkaConf, observed: &Arc<Observed>) {
    let events = native::RD_KAFKA_EVENT_DR | native::RD_KAFKA_EVENT_ERROR;
    // SAFETY: the configuration is alive; `watch_requests` gets the pointer it asks for.
    let added = unsafe {
        native::rd_kafka_conf_set_events(config, events);
        native::rd_kafka_conf_interceptor_add_on_new(
            config,
            INTERCEPTOR.as_ptr(),
            Some(watch_requests),
            Arc::as_ptr(observed).cast_mut().cast(),
        )
    };
    assert!(!added.is_error(), "a new configuration has no interceptor of that name");
}

const INTERCEPTOR: &CStr = c"floodgate-requests";

/// # Safety
/// Called by librdkafka while it makes a client; `observed` points to an [`Observed`].
unsafe extern "C" fn watch_requests(
    client: *mut RDKafka,
    _config: *const RDKafkaConf,
    observed: *mut c_void,
    _error: *mut c_char,
    _error_len: usize,
) -> RDKafkaRespErr {
    // SAFETY: this is the place from where interceptors may be added to a client.
    unsafe {
        native::rd_kafka_interceptor_add_on_response_received(
            client,
            INTERCEPTOR.as_ptr(),
            Some(note_lost_request),
            observed,
        )
    }
}

/// Runs on librdkafka's threads for every answer, and for every request that will get none, before
/// whoever sent the request hears of it.
///
/// # Safety
/// `observed` points to an [`Observed`] that outlives the client.
unsafe extern "C" fn note_lost_request(
    _client: *mut RDKafka,
    _socket: c_int,
    _broker_name: *const c_char,
    broker: i32,
    api_key: i16,
    _api_version: i16,
    _correlation: i32,
    _bytes: usize,
    _round_trip: i64,
    error: RDKafkaRespErr,
    observed: *mut c_void,
) -> RDKafkaRespErr {
    // A request that is dropped because its client is being closed decides nothing.
    let lost = error.is_error() && error != RDKafkaRespErr::RD_KAFKA_RESP_ERR__DESTROY;
    if let Some(request) = transactional(api_key).filter(|_| lost) {
        // SAFETY: that is the caller's promise.
        let observed = unsafe { &*observed.cast_const().cast::<Observed>() };
        Observed::note(&observed.lost_request, || {
            format!("{request} to broker {broker}: {:?}", RDKafkaErrorCode::from(error))
        });
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Name of a request that belongs to a transaction, by its number in the protocol.
fn transactional(api_key: i16) -> Option<&'static str> {
    match api_key {
        0 => Some("Produce"),
        24 => Some("AddPartitionsToTxn"),
        25 => Some("AddOffsetsToTxn"),
        26 => Some("EndTxn"),
        28 => Some("TxnOffsetCommit"),
        _ => None,
    }
}

/// The topic that could not be made part of a transaction because of ACLs, if a line of the client's log
/// says that; nothing else names it.
fn refused_topic(line: &str) -> Option<&str> {
    let is_refused = line.contains("to transaction") && line.contains("authorization failed");
    line.split('"').nth(1).filter(|_| is_refused)
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}

/// # Safety
/// `error` is null or an error object, which is consumed.
unsafe fn result(error: *mut native::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is alive until it is destroyed, and so is its text.
    unsafe {
        let taken = TransactionError {
            code: native::rd_kafka_error_code(error).into(),
            retriable: native::rd_kafka_error_is_retriable(error) != 0,
            abortable: native::rd_kafka_error_txn_requires_abort(error) != 0,
            text: string(native::rd_kafka_error_string(error)),
        };
        native::rd_kafka_error_destroy(error);
        Err(taken)
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// The output's headers as librdkafka's own, which it takes over with the record; null for none.
fn headers(output: &Output<'_>) -> *mut RDKafkaHeaders {
    let mut list: *mut RDKafkaHeaders = ptr::null_mut();
    for (name, value) in output.headers.clone() {
        let (value, value_len) = value.map_or((ptr::null(), -1), |value| {
            let len = isize::try_from(value.len()).expect("no slice is longer");
            (value.as_ptr().cast(), len)
        });
        let name_len = isize::try_from(name.len()).expect("no string is longer");
        // SAFETY: name and value are so many bytes, which librdkafka copies; the list is alive.
        unsafe {
            if list.is_null() {
                list = native::rd_kafka_headers_new(8);
            }
            native::rd_kafka_header_add(list, name.as_ptr().cast(), name_len, value, value_len);
        }
    }
    list
}

fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod producer_tests {
    use super::*;
    use std::collections::BTreeMap;

    use ledger::units::Millis;

    const PRODUCE: i16 = 0;

    /// Number of requests of that kind that the mock cluster has got so far.
    ///
    /// # Safety
    /// `cluster` is alive.
    unsafe fn requests(cluster: *mut native::rd_kafka_mock_cluster_t, api_key: i16) -> usize {
        let mut count = 0;
        // SAFETY: the cluster is alive, and the list has so many requests until it is destroyed.
        unsafe {
            let list = native::rd_kafka_mock_get_requests(cluster, &raw mut count);
            let each = (0..count).map(|at| native::rd_kafka_mock_request_api_key(*list.add(at)));
            let found = each.filter(|key| *key == api_key).count();
            native::rd_kafka_mock_request_destroy_array(list, count);
            found
        }
    }

    #[test]
    fn no_request_has_records_any_more_when_a_client_is_closed() {
        let mock = BTreeMap::from([("test.mock.num.brokers".to_owned(), "1".to_owned())]);
        let settings = Settings { producer: mock, ..Settings::new("", "group", "id") };
        let producer = Producer::new(&settings).expect("a client with a cluster of its own");
        let wait = Duration::from_secs(60);
        producer.init_transactions(wait).expect("the mock broker answers");
        // SAFETY: the cluster lives as long as its client.
        let cluster = unsafe {
            let cluster = native::rd_kafka_handle_mock_cluster(producer.ptr());
            native::rd_kafka_mock_start_request_tracking(cluster);
            // Which is answered after the test.
            let (broker, one, delay_ms) = (1, 1_usize, 600_000);
            let no_error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
            let push = native::rd_kafka_mock_broker_push_request_error_rtts;
            push(cluster, broker, PRODUCE, one, no_error, delay_ms);
            cluster
        };
        producer.begin().expect("a transaction");
        let mut outputs = Outputs::new();
        outputs.push(Topic::Settled, 0, Millis(0), Some(b"key"), Some(b"value"));
        producer.produce(outputs, wait).expect("a record");
        // SAFETY: as above.
        while unsafe { requests(cluster, PRODUCE) } == 0 {
            assert!(!producer.flush(Instant::now()), "nothing is acknowledged");
        }
        assert_eq!(producer.suspicion(), None);
        producer.purge();
        // The client has heard of its end already, on the thread that waited for the answer.
        let lost = producer.suspicion().expect("a request that got no answer");
        assert!(lost.starts_with("Produce to broker 1: PurgeInflight"), "{lost}");
    }
}
