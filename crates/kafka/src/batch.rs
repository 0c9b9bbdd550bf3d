//! Records of one started partition, taken off librdkafka's queue many at a time.
//!
//! Not a consumer of a group: the partition is read by hand, from an offset, into a queue of its
//! own. Invariant: a reader's queue is new for each start, so nothing that was fetched for an
//! earlier start can come out of it, and records come out once and in offset order.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use ledger::units::Offset;
use pipeline::log::{LogError, Partition, RECORDS_PER_EVENT_MAX};
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::{
    RDKafkaErrorCode, RDKafkaHeaders, RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr, RDKafkaTopic,
};
use wire::{Headers, Record};

use crate::logging::Logging;
use crate::producer::topic_handle;
use crate::wake::Wake;

/// A message of librdkafka's: a record, or news about the partition.
#[repr(transparent)]
pub(crate) struct Message(NonNull<RDKafkaMessage>);

/// What a message is.
#[derive(Debug)]
pub(crate) enum News<'a> {
    Record(Record<'a>),
    /// Everything readable below this offset was handed on.
    End(Offset),
    /// The partition does not hold the offset at which it was to be read.
    OffsetOutOfRange,
    /// Anything else that went wrong.
    Trouble(RDKafkaErrorCode, String),
}

impl Message {
    pub(crate) fn news(&self) -> News<'_> {
        let message = self.message();
        match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => News::Record(self.record(message)),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => News::End(offset(message.offset)),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => News::OffsetOutOfRange,
            error => News::Trouble(error.into(), self.error_text()),
        }
    }

    fn record<'a>(&'a self, message: &RDKafkaMessage) -> Record<'a> {
        // SAFETY: the message is alive and is a record; key and payload are null or point to so
        // many bytes, which live as long as the message.
        let (timestamp, key, value) = unsafe {
            (
                native::rd_kafka_message_timestamp(self.0.as_ptr(), ptr::null_mut()),
                bytes(message.key, message.key_len),
                bytes(message.payload, message.len),
            )
        };
        Record {
            partition: u32::try_from(message.partition).expect("a fetched partition has a number"),
            offset: offset(message.offset),
            timestamp,
            key,
            value,
            headers: self,
        }
    }

    fn error_text(&self) -> String {
        // SAFETY: the message is alive, and the text is a string that lives as long.
        let text = unsafe { native::rd_kafka_message_errstr(self.0.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: see above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    fn message(&self) -> &RDKafkaMessage {
        // SAFETY: the message is ours until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Headers for Message {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut headers: *mut RDKafkaHeaders = ptr::null_mut();
        // SAFETY: the message is alive. librdkafka parses the headers now and keeps them in the
        // message, which no other thread uses: a `Message` is neither `Send` nor `Sync`.
        unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        if headers.is_null() {
            return;
        }
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        for index in 0.. {
            // SAFETY: the headers live as long as the message; librdkafka says so when there is
            // none with that index, and otherwise sets all three.
            let found = unsafe {
                native::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                )
            };
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: the name is a string, the value null or so many bytes.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast_mut(), len)) };
            visit(&name.to_string_lossy(), value);
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is not used again.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        write!(f, "Message({} @ {})", message.partition, message.offset)
    }
}

/// # Safety
/// `start` is null or points to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: that is the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast_const().cast(), len) })
}

fn offset(offset: i64) -> Offset {
    Offset(u64::try_from(offset).expect("records and ends have offsets from 0 on"))
}

/// A topic as the fetching client knows it; partitions of it can be read.
pub(crate) struct FetchTopic {
    handle: NonNull<RDKafkaTopic>,
    client: Arc<BaseConsumer<Logging>>,
}

impl FetchTopic {
    pub(crate) fn new(client: Arc<BaseConsumer<Logging>>, name: &str) -> Result<Self, LogError> {
        // SAFETY: the client is alive, and outlives the handle, which is dropped with this struct.
        let handle = unsafe { topic_handle(client.client().native_ptr(), name) }?;
        Ok(FetchTopic { handle, client })
    }
}

// SAFETY: librdkafka's topic handles may be used from any thread, by several at once.
unsafe impl Send for FetchTopic {}
// SAFETY: as above.
unsafe impl Sync for FetchTopic {}

impl Drop for FetchTopic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is not used again; the client still lives.
        unsafe { native::rd_kafka_topic_destroy(self.handle.as_ptr()) }
    }
}

impl fmt::Debug for FetchTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchTopic").finish_non_exhaustive()
    }
}

/// Reads one partition. Dropping it stops that.
pub(crate) struct Reader {
    topic: Arc<FetchTopic>,
    partition: i32,
    queue: NonNull<RDKafkaQueue>,
    /// Kept for the queue's callback.
    wake: Arc<Wake>,
}

// SAFETY: librdkafka's queues may be used from any thread, though a batch may be taken by one thread
// at a time only, which `&mut self` sees to. (So a `Reader` need not be `Sync`.)
unsafe impl Send for Reader {}

impl Reader {
    /// Reads `partition` from `from` on. `wake` is signalled when something has come.
    pub(crate) fn start(
        topic: Arc<FetchTopic>,
        wake: Arc<Wake>,
        partition: Partition,
        from: Offset,
    ) -> Result<Reader, LogError> {
        let out_of_bounds = || LogError::Fatal(format!("partition {partition} at {from:?}"));
        let partition = i32::try_from(partition).map_err(|_| out_of_bounds())?;
        let from = i64::try_from(from.0).map_err(|_| out_of_bounds())?;
        // SAFETY: the client is alive. The queue returned is ours, never null.
        let queue = unsafe { native::rd_kafka_queue_new(topic.client.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("librdkafka always makes a queue");
        let reader = Reader { topic, partition, queue, wake };
        // SAFETY: queue and topic are alive; the `Wake` lives until the callback is disabled in
        // `drop`, since the reader keeps it.
        let started = unsafe {
            native::rd_kafka_queue_cb_event_enable(
                reader.queue.as_ptr(),
                Some(Wake::signal_from_queue),
                Arc::as_ptr(&reader.wake).cast_mut().cast(),
            );
            native::rd_kafka_consume_start_queue(
                reader.topic.handle.as_ptr(),
                partition,
                from,
                reader.queue.as_ptr(),
            )
        };
        if started == 0 { Ok(reader) } else { Err(out_of_bounds()) }
    }

    /// Takes what has come, at most [`RECORDS_PER_EVENT_MAX`].
    pub(crate) fn take(&mut self) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::with_capacity(RECORDS_PER_EVENT_MAX);
        // SAFETY: the vector has room for so many, a `Message` is laid out like the pointer that is
        // written, and so many of them as are returned are valid and ours. No other thread takes
        // from this queue. Only news about the partition gets into it, no group events, so that
        // librdkafka calls nothing back from here.
        unsafe {
            let taken = native::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                0,
                messages.as_mut_ptr().cast(),
                RECORDS_PER_EVENT_MAX,
            );
            messages.set_len(usize::try_from(taken).unwrap_or(0));
        }
        messages
    }

    /// Messages that have come and are not taken yet.
    pub(crate) fn waiting(&self) -> u64 {
        // SAFETY: the queue is ours and alive.
        unsafe { native::rd_kafka_queue_length(self.queue.as_ptr()) as u64 }
    }

    /// The next offset that nobody has written yet, as of the last fetch.
    pub(crate) fn high_watermark(&self) -> Option<Offset> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and topic are alive, and so is the topic's name.
        unsafe {
            native::rd_kafka_get_watermark_offsets(
                self.topic.client.client().native_ptr(),
                native::rd_kafka_topic_name(self.topic.handle.as_ptr()),
                self.partition,
                &raw mut low,
                &raw mut high,
            );
        }
        u64::try_from(high).ok().map(Offset)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: topic and queue are alive; the queue is ours and is not used again. Stopping waits
        // until librdkafka forwards nothing to the queue any more.
        unsafe {
            native::rd_kafka_consume_stop(self.topic.handle.as_ptr(), self.partition);
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("partition", &self.partition).finish_non_exhaustive()
    }
}
