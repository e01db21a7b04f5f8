//! A collection's table in LanceDB: opening, snapshots, reading rows. `write` changes it, `upkeep` keeps it fast.

pub(crate) mod columns;
pub(crate) mod failure;
pub(crate) mod lock;
pub(crate) mod resident;
pub(crate) mod rows;
pub(crate) mod upkeep;
mod words;
pub(crate) mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use lance::dataset::{Dataset, ProjectionRequest};
use lancedb::Connection;
use lancedb::index::Index;
use master_agent_core::ErrorCode;
use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::table::columns::ColumnCache;
use crate::table::lock::LockFile;
use crate::table::resident::{Budget, Residents};
use crate::table::rows::{FORMAT, FORMAT_KEY, MODEL_KEY, Row, TABLE_KEY, TEXT, VECTOR};
pub(crate) use crate::table::words::{text_index, words_of};

/// A snapshot is looked for again from scratch after this long, in case another process removed the versions between.
const FULL_REFRESH: Duration = Duration::from_secs(5);

/// The name of the full text index, as LanceDB's own SDKs would give it.
pub(crate) const TEXT_INDEX: &str = "text_idx";
pub(crate) const VECTOR_INDEX: &str = "vector_idx";

pub(crate) struct Table {
    pub(crate) name: String,
    /// The table's folder.
    pub(crate) path: PathBuf,
    pub(crate) schema: SchemaRef,
    pub(crate) model: String,
    uid: String,
    /// What the folder was when it was opened.
    folder: Option<(u64, std::time::SystemTime)>,
    pub(crate) dimensions: usize,
    pub(crate) write_lock: LockFile,
    pub(crate) upkeep_lock: LockFile,
    pub(crate) columns: Mutex<ColumnCache>,
    pub(crate) residents: Arc<Mutex<Residents>>,
    pub(crate) budget: Arc<Budget>,
    /// Partitions of the vector index with this identifier.
    pub(crate) partitioned: Mutex<(Option<uuid::Uuid>, usize)>,
    current: RwLock<Current>,
}

struct Current {
    dataset: Arc<Dataset>,
    checked: Instant,
}

impl Table {
    pub(crate) fn path_of(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.lance"))
    }

    /// Whether there is a table at `path`. What forbids to look, or is no folder, is an error.
    pub(crate) fn is_there(path: &Path) -> Result<bool> {
        match std::fs::read_dir(path.join("_versions")) {
            // A process that died while it made the table left a folder without a version, or a version without its name.
            Ok(entries) => Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".manifest"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failure::of_io(path, &error)),
        }
    }

    /// Opens the table, or says that there is none.
    pub(crate) async fn open(connection: &Connection, folder: &Path, name: &str, budget: &Arc<Budget>) -> Result<Option<Self>> {
        let path = Self::path_of(folder, name);
        if !Self::is_there(&path)? {
            return Ok(None);
        }
        let before = identity(&path);
        let opened = match connection.open_table(name).execute().await {
            Ok(opened) => opened,
            // Dropped, and perhaps made anew, between the look at it and now.
            Err(_) if identity(&path) != before || !Self::is_there(&path)? => {
                return Err(Error::new(
                    ErrorCode::StoreConflict,
                    format!("{}: the collection was dropped meanwhile: call again", path.display()),
                ));
            }
            Err(lancedb::Error::TableNotFound { source, .. } | lancedb::Error::TableCorrupted { source, .. }) => {
                return Err(Error::new(
                    ErrorCode::StoreCorrupt,
                    format!(
                        "{}: the table cannot be opened ({}). Restore the folder from a copy, or remove it and add the documents again.",
                        path.display(),
                        failure::first_line(&source.to_string())
                    ),
                )
                .caused_by(source));
            }
            Err(error) => return Err(failure::of_lance(&path, &error)),
        };
        Self::from_lancedb(&opened, folder, name, budget).await.map(Some)
    }

    /// Makes the table with its full text index, or opens it when another process was faster.
    pub(crate) async fn create(
        connection: &Connection,
        folder: &Path,
        name: &str,
        model: &str,
        dimensions: usize,
        budget: &Arc<Budget>,
    ) -> Result<Self> {
        let path = Self::path_of(folder, name);
        let schema = rows::schema(model, dimensions);
        let lock = LockFile::new(folder, name, "write").lock().await?;
        if let Some(table) = Self::open(connection, folder, name, budget).await? {
            return Ok(table);
        }
        let failed = |error: lancedb::Error| failure::of_lance(&path, &error);
        let made = connection.create_empty_table(name, schema).execute().await.map_err(failed)?;
        made.create_index(&[TEXT], Index::FTS(text_index())).name(TEXT_INDEX.to_owned()).execute().await.map_err(failed)?;
        drop(lock);
        Self::from_lancedb(&made, folder, name, budget).await
    }

    async fn from_lancedb(opened: &lancedb::Table, folder: &Path, name: &str, budget: &Arc<Budget>) -> Result<Self> {
        let path = Self::path_of(folder, name);
        let dataset = match opened.dataset() {
            Some(dataset) => dataset.get().await.map_err(|error| failure::of_lance(&path, &error))?,
            None => return Err(Error::new(ErrorCode::Internal, format!("{}: not a local table", path.display()))),
        };
        let facts = &dataset.schema().metadata;
        match facts.get(FORMAT_KEY).map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(Error::new(
                    ErrorCode::StoreVersion,
                    format!(
                        "{}: the table has layout {other}, this version of master-agent knows layout {FORMAT}. Use a newer version, or export the documents with the version that wrote them.",
                        path.display()
                    ),
                ));
            }
            None => {
                return Err(Error::new(
                    ErrorCode::StoreVersion,
                    format!(
                        "{}: the table was not made by this package. Choose another collection, or move the table away.",
                        path.display()
                    ),
                ));
            }
        }
        let model = facts.get(MODEL_KEY).cloned().unwrap_or_default();
        let uid = facts.get(TABLE_KEY).cloned().unwrap_or_default();
        let schema: SchemaRef = Arc::new(dataset.schema().into());
        let dimensions = match schema.field_with_name(VECTOR).map(|field| field.data_type().clone()) {
            Ok(arrow_schema::DataType::FixedSizeList(_, width)) => usize::try_from(width).unwrap_or_default(),
            _ => {
                return Err(Error::new(
                    ErrorCode::StoreCorrupt,
                    format!("{}: the table has no column of vectors", path.display()),
                ));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            schema,
            model,
            uid,
            folder: identity(&path),
            dimensions,
            write_lock: LockFile::new(folder, name, "write"),
            upkeep_lock: LockFile::new(folder, name, "upkeep"),
            columns: Mutex::default(),
            residents: budget.table(),
            budget: Arc::clone(budget),
            partitioned: Mutex::default(),
            current: RwLock::new(Current { dataset, checked: Instant::now() }),
            path,
        })
    }

    pub(crate) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let failed = failure::of_lance(&self.path, error);
        // The files of a table that was dropped meanwhile are missing, too.
        let same = || identity(&self.path) == self.folder && self.has_manifest(&self.current.read().dataset);
        if failed.code() == ErrorCode::StoreCorrupt && !same() {
            return self.replaced();
        }
        failed
    }

    /// The newest version of the table, whoever wrote it.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Dataset>> {
        let (dataset, checked) = {
            let current = self.current.read();
            (Arc::clone(&current.dataset), current.checked)
        };
        // A look at the files of this version and the next one is cheaper than a list of all of them.
        if checked.elapsed() < FULL_REFRESH
            && identity(&self.path) == self.folder
            && self.has_manifest(&dataset)
            && !dataset.has_successor_version().await.map_err(|error| self.failed(&error))?
        {
            return Ok(dataset);
        }
        self.newest().await
    }

    /// The newest version, found from what is on disk alone.
    pub(crate) async fn newest(&self) -> Result<Arc<Dataset>> {
        let known = Arc::clone(&self.current.read().dataset);
        let mut newest = (*known).clone();
        if let Err(error) = newest.checkout_latest().await {
            return Err(if Self::is_there(&self.path)? { self.failed(&error) } else { self.replaced() });
        }
        if !self.is_of(&newest) {
            return Err(self.replaced());
        }
        let newest = if newest.manifest().version == known.manifest().version { known } else { Arc::new(newest) };
        self.advance(Arc::clone(&newest));
        Ok(newest)
    }

    fn replaced(&self) -> Error {
        Error::new(
            ErrorCode::StoreConflict,
            format!("{}: the collection was dropped or made anew meanwhile: call again", self.path.display()),
        )
    }

    /// Whether the version is still on disk, under the name of either scheme of LanceDB's.
    fn has_manifest(&self, dataset: &Dataset) -> bool {
        let version = dataset.manifest().version;
        let versions = self.path.join("_versions");
        versions.join(format!("{:020}.manifest", u64::MAX - version)).exists()
            || versions.join(format!("{version}.manifest")).exists()
    }

    fn is_of(&self, dataset: &Dataset) -> bool {
        let fact = |key: &str| dataset.schema().metadata.get(key).map(String::as_str).unwrap_or_default();
        fact(MODEL_KEY) == self.model && fact(TABLE_KEY) == self.uid
    }

    /// Whether the table is still the one that was opened: not dropped, and not made anew.
    pub(crate) async fn is_current(&self) -> Result<bool> {
        match self.snapshot().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == ErrorCode::StoreConflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a version that this process has just written or seen.
    pub(crate) fn advance(&self, dataset: Arc<Dataset>) {
        let mut current = self.current.write();
        if dataset.manifest().version >= current.dataset.manifest().version {
            *current = Current { dataset, checked: Instant::now() };
        }
    }

    /// The rows at these addresses, in that order.
    pub(crate) async fn take(&self, dataset: &Arc<Dataset>, addresses: &[u64], columns: &[&str]) -> Result<Vec<Row>> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let projection = ProjectionRequest::from_columns(columns, dataset.schema());
        let batch = dataset.take_rows(addresses, projection).await.map_err(|error| self.failed(&error))?;
        Ok(rows::rows(&batch))
    }

    /// All chunks of the documents with these ids, with their addresses, in no order.
    pub(crate) async fn of_ids(&self, dataset: &Arc<Dataset>, ids: &[&str], columns: &[&str]) -> Result<Vec<(u64, Row)>> {
        self.of_values(dataset, rows::ID, ids, columns).await
    }

    /// All chunks whose text column `column` has one of `values`.
    pub(crate) async fn of_values(
        &self,
        dataset: &Arc<Dataset>,
        column: &str,
        values: &[&str],
        columns: &[&str],
    ) -> Result<Vec<(u64, Row)>> {
        let mut found = Vec::new();
        for part in values.chunks(1_000) {
            use lance::deps::datafusion::prelude::{col, lit};
            let filter = col(column).in_list(part.iter().map(|value| lit(*value)).collect(), false);
            let mut scan = dataset.scan();
            scan.project(columns).map_err(|error| self.failed(&error))?;
            scan.with_row_id().filter_expr(filter);
            found.extend(self.read(scan).await?);
        }
        Ok(found)
    }

    /// Runs a scan and reads what it gives.
    pub(crate) async fn read(&self, scan: lance::dataset::scanner::Scanner) -> Result<Vec<(u64, Row)>> {
        let mut found = Vec::new();
        let mut batches = scan.try_into_stream().await.map_err(|error| self.failed(&error))?;
        while let Some(batch) = batches.try_next().await.map_err(|error| self.failed(&error))? {
            found.extend(addresses(&batch).into_iter().zip(rows::rows(&batch)));
        }
        Ok(found)
    }
}

/// Tells a folder from another of the same name that was made later.
fn identity(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let facts = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&facts);
    #[cfg(not(unix))]
    let number = 0;
    Some((number, facts.created().unwrap_or(std::time::UNIX_EPOCH)))
}

/// The addresses of the rows of a batch.
pub(crate) fn addresses(batch: &RecordBatch) -> Vec<u64> {
    batch
        .column_by_name(lance::dataset::ROW_ID)
        .and_then(|column| column.as_primitive_opt::<UInt64Type>())
        .map(|column| column.values().to_vec())
        .unwrap_or_default()
}

/// A column of texts of a batch.
pub(crate) fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Option<&'a StringArray> {
    batch.column_by_name(column).and_then(|column| column.as_string_opt::<i32>())
}
