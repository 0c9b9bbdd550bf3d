//! The member id and generation that a commit carries, which the safe wrapper hides.
//!
//! Not the membership itself. Invariant: whoever holds a [`GroupMetadata`] can see under which
//! [`Identity`] a commit with it would be made; brokers accept one without member and generation
//! even while the group is alive.

use std::ffi::CStr;
use std::fmt;
use std::ptr::NonNull;

use rdkafka::bindings as native;
use rdkafka::types::{RDKafka, RDKafkaConsumerGroupMetadata};

/// Under which name and in which generation a member belongs to the group. The group never gives
/// a member id twice, so the same id means a membership without interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member: String,
    pub(crate) generation: i32,
}

impl Identity {
    /// Whether the group would know it.
    pub(crate) fn is_member(&self) -> bool {
        !self.member.is_empty() && self.generation >= 0
    }
}

/// A copy of a consumer's group metadata.
pub(crate) struct GroupMetadata(NonNull<RDKafkaConsumerGroupMetadata>);

impl GroupMetadata {
    /// The present metadata of a consumer that has a group.
    ///
    /// # Safety
    /// `consumer` is a live client of librdkafka.
    pub(crate) unsafe fn of(consumer: *mut RDKafka) -> Option<GroupMetadata> {
        // SAFETY: the client is alive, and the object returned belongs to the caller.
        NonNull::new(unsafe { native::rd_kafka_consumer_group_metadata(consumer) })
            .map(GroupMetadata)
    }

    pub(crate) fn identity(&self) -> Identity {
        // SAFETY: the object is alive, and its member id is a string of its own, never null.
        let member = unsafe {
            CStr::from_ptr(native::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr()))
        };
        // SAFETY: the object is alive.
        let generation =
            unsafe { native::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) };
        Identity { member: member.to_string_lossy().into_owned(), generation }
    }

    pub(crate) fn as_ptr(&self) -> *const RDKafkaConsumerGroupMetadata {
        self.0.as_ptr()
    }
}

// SAFETY: it is a copy, without ties to the client or the thread that made it.
unsafe impl Send for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: the object is ours and is not used again.
        unsafe { native::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

impl fmt::Debug for GroupMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupMetadata").field(&self.identity()).finish()
    }
}
