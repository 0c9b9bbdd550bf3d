//! The port to where snapshots are kept, and its implementation on `object_store`.
//!
//! Not what a snapshot holds: see [`crate::snapshot`]. Calls block, so they are made off the
//! worker's thread. Invariant: a snapshot is there whole or not at all, and only what
//! [`SnapshotStore::replace`] is asked for is ever overwritten.

use std::fmt;
use std::path::{Path, PathBuf};

use ledger::units::Offset;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::log::Partition;

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

/// What became of a snapshot that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// One with this name was there; it was not touched.
    Existed,
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

/// Snapshots in an object store: a local directory (with fsync), memory, or whatever
/// `object_store` knows.
pub struct ObjectSnapshots {
    objects: Box<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl ObjectSnapshots {
    /// Snapshots below a directory, which is made if it is missing.
    pub fn in_directory(directory: &Path) -> Result<ObjectSnapshots, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| unusable(directory, &error))?;
        let files = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| unusable(directory, &error))?
            .with_fsync(true)
            .with_automatic_cleanup(false);
        ObjectSnapshots::new(Box::new(files))
    }

    /// Snapshots that live as long as the process.
    pub fn in_memory() -> Result<ObjectSnapshots, StoreError> {
        ObjectSnapshots::new(Box::new(InMemory::new()))
    }

    /// Writes and removes an object, to see whether the store can be used.
    pub fn probe(&self) -> Result<(), StoreError> {
        let path = ObjectPath::from("floodgate-probe");
        let probe = async {
            self.objects.put(&path, "probe".into()).await?;
            self.objects.delete(&path).await
        };
        self.runtime.block_on(probe).map_err(|error| failed(&error))
    }

    /// Snapshots in any object store.
    pub fn new(objects: Box<dyn ObjectStore>) -> Result<ObjectSnapshots, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("snapshot-store")
            .enable_all()
            .build()
            .map_err(|error| StoreError(format!("cannot start its runtime: {error}")))?;
        Ok(ObjectSnapshots { objects, runtime })
    }
}

fn unusable(directory: &Path, error: &dyn fmt::Display) -> StoreError {
    let directory = PathBuf::from(directory);
    StoreError(format!(
        "directory {} cannot be used: {error}; make it writable or set snapshots.directory",
        directory.display()
    ))
}

fn failed(error: &object_store::Error) -> StoreError {
    StoreError(error.to_string())
}

impl fmt::Debug for ObjectSnapshots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ObjectSnapshots").field(&self.objects.to_string()).finish()
    }
}

impl SnapshotStore for ObjectSnapshots {
    fn list(&self, place: &Place) -> Result<Vec<Offset>, StoreError> {
        let prefix = place.prefix();
        let listing = self.runtime.block_on(self.objects.list_with_delimiter(Some(&prefix)));
        let listing = listing.map_err(|error| failed(&error))?;
        let names = listing.objects.iter().filter_map(|object| object.location.filename());
        // Names that are no offsets (a writer's temporary file) are nobody's snapshots.
        let mut offsets: Vec<Offset> = names
            .filter(|name| name.len() == 20)
            .filter_map(|name| name.parse().ok().map(Offset))
            .collect();
        offsets.sort_unstable_by(|left, right| right.cmp(left));
        Ok(offsets)
    }

    fn read(&self, place: &Place, offset: Offset) -> Result<Vec<u8>, StoreError> {
        self.runtime.block_on(async {
            let found =
                self.objects.get(&place.path(offset)).await.map_err(|error| failed(&error))?;
            let bytes = found.bytes().await.map_err(|error| failed(&error))?;
            Ok(Vec::from(bytes))
        })
    }

    fn create(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<Created, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        let path = place.path(offset);
        let put = self.runtime.block_on(self.objects.put_opts(&path, bytes.into(), options));
        match put {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Existed),
            Err(error) => Err(failed(&error)),
        }
    }

    fn replace(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<(), StoreError> {
        // Every store of `object_store` overwrites in one step; a directory renames a whole file.
        let options = PutOptions::from(PutMode::Overwrite);
        let path = place.path(offset);
        let put = self.runtime.block_on(self.objects.put_opts(&path, bytes.into(), options));
        put.map(drop).map_err(|error| failed(&error))
    }

    fn delete(&self, place: &Place, offset: Offset) -> Result<(), StoreError> {
        match self.runtime.block_on(self.objects.delete(&place.path(offset))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
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
