//! The port to where snapshots are kept, and its implementation on an object store.
//!
//! Not what a snapshot holds: see [`crate::snapshot`]. Calls block, so they are made off the
//! worker's thread. Invariant: a snapshot is there whole or not at all, and only what
//! [`SnapshotStore::replace`] is asked for is ever overwritten.

use std::fmt;
use std::path::Path;

use ledger::units::Offset;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;

use crate::log::Partition;
pub use crate::objects::Created;
use crate::objects::{Objects, ObjectsError};

/// Which partition's snapshots: `cluster id/group/topic/partition`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Id of the Kafka cluster.
    pub cluster: String,
    /// The consumer group.
    pub group: String,
    /// Name of the input topic.
    pub topic: String,
    /// The input partition.
    pub partition: Partition,
}

impl Place {
    fn prefix(&self) -> ObjectPath {
        let Place { cluster, group, topic, partition } = self;
        ObjectPath::from_iter([
            cluster.as_str(),
            group.as_str(),
            topic.as_str(),
            &partition.to_string(),
        ])
    }

    /// Twenty digits, so that names sort as offsets do.
    fn path(&self, offset: Offset) -> ObjectPath {
        self.prefix().join(format!("{:020}", offset.0))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.prefix().as_ref())
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshot store: {0}")]
pub struct StoreError(pub String);

impl From<ObjectsError> for StoreError {
    fn from(error: ObjectsError) -> StoreError {
        StoreError(error.0)
    }
}

/// Where snapshots are kept.
pub trait SnapshotStore: Send + Sync {
    /// Offsets of the place's snapshots, newest first.
    fn list(&self, place: &Place) -> Result<Vec<Offset>, StoreError>;

    /// The bytes of a snapshot.
    fn read(&self, place: &Place, offset: Offset) -> Result<Vec<u8>, StoreError>;

    /// Keeps a snapshot durably under a name that must be new.
    fn create(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<Created, StoreError>;

    /// Puts a snapshot in the place of one that cannot be used. There is no moment without either.
    fn replace(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// Removes a snapshot; one that is not there is no error.
    fn delete(&self, place: &Place, offset: Offset) -> Result<(), StoreError>;
}

/// Snapshots in an object store.
#[derive(Debug)]
pub struct ObjectSnapshots(Objects);

impl ObjectSnapshots {
    /// Snapshots at a place that somebody named; see [`Objects::at`].
    pub fn at(place: &Path) -> Result<ObjectSnapshots, StoreError> {
        Ok(ObjectSnapshots(Objects::at(place)?))
    }

    /// The same for a place that has to be there; see [`Objects::existing_at`].
    pub fn existing_at(place: &Path) -> Result<ObjectSnapshots, StoreError> {
        Ok(ObjectSnapshots(Objects::existing_at(place)?))
    }

    /// Snapshots below a directory, which is made if it is missing.
    pub fn in_directory(directory: &Path) -> Result<ObjectSnapshots, StoreError> {
        Ok(ObjectSnapshots(Objects::in_directory(directory)?))
    }

    /// Snapshots that live as long as the process.
    pub fn in_memory() -> Result<ObjectSnapshots, StoreError> {
        Ok(ObjectSnapshots(Objects::in_memory()?))
    }

    /// Snapshots in any object store.
    pub fn new(objects: Box<dyn ObjectStore>) -> Result<ObjectSnapshots, StoreError> {
        Ok(ObjectSnapshots(Objects::new(objects)?))
    }

    /// Writes and removes an object, to see whether the store can be used.
    pub fn probe(&self) -> Result<(), StoreError> {
        let path = ObjectPath::from("floodgate-probe");
        self.0.replace(&path, b"probe".to_vec())?;
        Ok(self.0.delete(&path)?)
    }
}

impl From<Objects> for ObjectSnapshots {
    fn from(objects: Objects) -> ObjectSnapshots {
        ObjectSnapshots(objects)
    }
}

impl SnapshotStore for ObjectSnapshots {
    fn list(&self, place: &Place) -> Result<Vec<Offset>, StoreError> {
        let names = self.0.names(&place.prefix())?;
        // Names that are no offsets (a writer's temporary file) are nobody's snapshots.
        let mut offsets: Vec<Offset> = names
            .iter()
            .filter(|name| name.len() == 20)
            .filter_map(|name| name.parse().ok().map(Offset))
            .collect();
        offsets.sort_unstable_by(|left, right| right.cmp(left));
        Ok(offsets)
    }

    fn read(&self, place: &Place, offset: Offset) -> Result<Vec<u8>, StoreError> {
        let path = place.path(offset);
        self.0.read(&path)?.ok_or_else(|| StoreError(format!("{path} is not there")))
    }

    fn create(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<Created, StoreError> {
        Ok(self.0.create(&place.path(offset), bytes)?)
    }

    fn replace(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<(), StoreError> {
        Ok(self.0.replace(&place.path(offset), bytes)?)
    }

    fn delete(&self, place: &Place, offset: Offset) -> Result<(), StoreError> {
        Ok(self.0.delete(&place.path(offset))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: Partition) -> Place {
        Place {
            cluster: "c".to_owned(),
            group: "g/with a slash".to_owned(),
            topic: "orders".to_owned(),
            partition,
        }
    }

    fn check(store: &ObjectSnapshots) {
        let (here, elsewhere) = (place(1), place(11));
        assert_eq!(store.list(&here), Ok(vec![]));
        for offset in [7, 100, 20] {
            assert_eq!(store.create(&here, Offset(offset), vec![1, 2]), Ok(Created::New));
        }
        assert_eq!(store.create(&elsewhere, Offset(8), vec![3]), Ok(Created::New));
        assert_eq!(store.list(&here), Ok(vec![Offset(100), Offset(20), Offset(7)]));
        assert_eq!(store.create(&here, Offset(7), vec![9]), Ok(Created::Existed));
        assert_eq!(store.read(&here, Offset(7)), Ok(vec![1, 2]));
        assert_eq!(store.replace(&here, Offset(7), vec![4]), Ok(()));
        assert_eq!(store.read(&here, Offset(7)), Ok(vec![4]));
        assert_eq!(store.delete(&here, Offset(7)), Ok(()));
        assert_eq!(store.delete(&here, Offset(7)), Ok(()));
        assert_eq!(store.list(&here), Ok(vec![Offset(100), Offset(20)]));
        assert!(store.read(&here, Offset(7)).is_err());
    }

    #[test]
    fn snapshots_of_one_place_are_listed_newest_first_and_overwritten_only_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        check(&ObjectSnapshots::in_directory(&directory.path().join("deeper")).unwrap());
        check(&ObjectSnapshots::in_memory().unwrap());
    }
}
