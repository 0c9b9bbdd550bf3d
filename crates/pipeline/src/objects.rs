//! Named bytes in an object store: a local directory (with fsync), a bucket of S3, memory, or whatever
//! `object_store` knows.
//!
//! Not what the bytes are: see [`crate::store`] for snapshots. Calls block, so they are made where
//! waiting is allowed. Invariant: an object is there whole or not at all.

use std::fmt;
use std::path::Path;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
pub use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

const S3: &str = "s3://";
/// Longest time for which a request that S3 did not answer is repeated.
#[cfg(feature = "s3")]
const S3_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectsError(pub String);

/// What became of an object that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// One with this name was there; it was not touched.
    Existed,
}

/// See the module's documentation.
pub struct Objects {
    store: Box<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl Objects {
    /// Objects at a place that somebody named: a directory, which is made if it is missing, or
    /// `s3://bucket/prefix`, whose settings and credentials come from the `AWS_` variables of the environment.
    ///
    /// # Errors
    /// If it cannot be used, or if it is in S3 and this was built without.
    pub fn at(place: &Path) -> Result<Objects, ObjectsError> {
        match in_s3(place) {
            Some(url) => Objects::in_s3(url, std::env::vars()),
            None => Objects::in_directory(place),
        }
    }

    /// The same for a place that has to be there: a directory that is not is no place, and is not made.
    ///
    /// # Errors
    /// As above, or if there is no such directory.
    pub fn existing_at(place: &Path) -> Result<Objects, ObjectsError> {
        if in_s3(place).is_none() && !place.is_dir() {
            return Err(ObjectsError(format!("there is no directory {}", place.display())));
        }
        Objects::at(place)
    }

    /// Objects in a bucket, below the prefix of `s3://bucket/prefix`. `settings` are named as the variables of
    /// the environment; those that do not begin with `AWS_` are passed over.
    ///
    /// # Errors
    /// If url or settings cannot be used.
    #[cfg(feature = "s3")]
    pub fn in_s3(
        url: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Objects, ObjectsError> {
        use object_store::RetryConfig;
        use object_store::aws::AmazonS3Builder;
        use object_store::prefix::PrefixStore;

        let unusable = |error: &dyn fmt::Display| {
            ObjectsError(format!(
                "{url} cannot be used: {error}; write s3://bucket/prefix, and set AWS_REGION, AWS_ENDPOINT_URL \
                 and credentials as needed"
            ))
        };
        let (bucket, prefix) = url.trim_start_matches(S3).split_once('/').unwrap_or_default();
        if bucket.is_empty() || prefix.is_empty() {
            return Err(unusable(&"it names no bucket, or no prefix in it"));
        }
        let mut builder = AmazonS3Builder::new();
        for (name, value) in settings.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let retry =
            RetryConfig { max_retries: 5, retry_timeout: S3_PATIENCE, ..RetryConfig::default() };
        let bucket = builder
            .with_bucket_name(bucket)
            .with_retry(retry)
            .build()
            .map_err(|error| unusable(&error))?;
        let prefix = ObjectPath::parse(prefix).map_err(|error| unusable(&error))?;
        Objects::new(Box::new(PrefixStore::new(bucket, prefix)))
    }

    #[cfg(not(feature = "s3"))]
    fn in_s3(
        url: &str,
        _: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Objects, ObjectsError> {
        Err(ObjectsError(format!(
            "{url} cannot be used: this floodgate was built without S3; build it with `--features s3`, or name \
             a directory"
        )))
    }

    /// Objects below a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or is no directory.
    pub fn in_directory(directory: &Path) -> Result<Objects, ObjectsError> {
        let unusable = |error: &dyn fmt::Display| {
            ObjectsError(format!(
                "directory {} cannot be used: {error}; make it writable or name another one",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory).map_err(|error| unusable(&error))?;
        let files = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| unusable(&error))?
            .with_fsync(true)
            .with_automatic_cleanup(false);
        Objects::new(Box::new(files))
    }

    /// Objects that live as long as the process.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn in_memory() -> Result<Objects, ObjectsError> {
        Objects::new(Box::new(InMemory::new()))
    }

    /// Objects in any store.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(store: Box<dyn ObjectStore>) -> Result<Objects, ObjectsError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("objects")
            .enable_all()
            .build()
            .map_err(|error| ObjectsError(format!("cannot start its runtime: {error}")))?;
        Ok(Objects { store, runtime })
    }

    /// Names of the objects directly below `prefix`, without it, in no particular order.
    ///
    /// # Errors
    /// The store's.
    pub fn names(&self, prefix: &ObjectPath) -> Result<Vec<String>, ObjectsError> {
        let listing = self.runtime.block_on(self.store.list_with_delimiter(Some(prefix)));
        let listing = listing.map_err(|error| failed(&error))?;
        let name = |path: &ObjectPath| path.filename().map(str::to_owned);
        Ok(listing.objects.iter().filter_map(|object| name(&object.location)).collect())
    }

    /// Names of the folders at the top.
    ///
    /// # Errors
    /// The store's.
    pub fn folders(&self) -> Result<Vec<String>, ObjectsError> {
        let listing = self.runtime.block_on(self.store.list_with_delimiter(None));
        let listing = listing.map_err(|error| failed(&error))?;
        let name = |path: &ObjectPath| path.filename().map(str::to_owned);
        Ok(listing.common_prefixes.iter().filter_map(name).collect())
    }

    /// The bytes of an object; none if it is not there.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, path: &ObjectPath) -> Result<Option<Vec<u8>>, ObjectsError> {
        let read = async { self.store.get(path).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(Vec::from(bytes))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Keeps an object durably under a name that must be new.
    ///
    /// # Errors
    /// The store's.
    pub fn create(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<Created, ObjectsError> {
        let options = PutOptions::from(PutMode::Create);
        match self.runtime.block_on(self.store.put_opts(path, bytes.into(), options)) {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Existed),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Puts an object in the place of whatever has its name. There is no moment without either: every
    /// store overwrites in one step, a directory renames a whole file.
    ///
    /// # Errors
    /// The store's.
    pub fn replace(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<(), ObjectsError> {
        let options = PutOptions::from(PutMode::Overwrite);
        let put = self.runtime.block_on(self.store.put_opts(path, bytes.into(), options));
        put.map(drop).map_err(|error| failed(&error))
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// The store's.
    pub fn delete(&self, path: &ObjectPath) -> Result<(), ObjectsError> {
        match self.runtime.block_on(self.store.delete(path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// The place, if it is one in S3.
fn in_s3(place: &Path) -> Option<&str> {
    place.to_str().filter(|place| place.starts_with(S3))
}

fn failed(error: &object_store::Error) -> ObjectsError {
    ObjectsError(error.to_string())
}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Objects").field(&self.store.to_string()).finish()
    }
}
