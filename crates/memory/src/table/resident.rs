//! What a search needs of every passage, in memory: its vector and its numbers. A table's files do not change, so that each is read
//! once, and after a write only what is new. A table that is too large for this is searched on disk, by LanceDB.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use futures::TryStreamExt;
use lance::dataset::Dataset;
use lance::dataset::scanner::{RowAddrTreeMap, Scanner};
use lance_select::RowAddrSelection;
use lance_table::format::Fragment;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use tokio::task::AbortHandle;

use crate::error::Result;
use crate::memory::run_blocking;
use crate::search::codes::Codes;
use crate::table::columns::{every, file_of, forget_removed};
use crate::table::rows::{self, Row};
use crate::table::{Table, addresses};

/// Rows that a search reads itself; more are read beside it, and it goes by LanceDB.
const READ_AT_ONCE: usize = 4_096;
/// Rows read at a time.
const BATCH: usize = 4_096;

const COLUMNS: &[&str] =
    &[rows::VECTOR, rows::CHUNK, rows::CHUNKS, rows::START, rows::END, rows::CREATED_AT, rows::UPDATED_AT, rows::EXPIRES_AT];

/// The numbers of a passage, as in `Row`.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    chunk: i32,
    chunks: i32,
    start: i64,
    end: i64,
    created_at: i64,
    updated_at: i64,
    expires_at: Option<i64>,
}

/// The passages of one file.
#[derive(Debug)]
pub(crate) struct Resident {
    file: String,
    pub(crate) codes: Arc<Codes>,
    facts: Vec<Facts>,
}

impl Resident {
    /// The length of a passage in UTF-16 code units.
    pub(crate) fn length(&self, row: usize) -> f32 {
        (self.facts[row].end - self.facts[row].start) as f32
    }

    fn bytes(&self) -> usize {
        self.facts.len() * bytes_of(self.codes.width())
    }

    fn fill(&self, row: usize, into: &mut Row) {
        let facts = self.facts[row];
        into.chunk = facts.chunk;
        into.chunks = facts.chunks;
        into.start = facts.start;
        into.end = facts.end;
        into.created_at = facts.created_at;
        into.updated_at = facts.updated_at;
        into.expires_at = facts.expires_at;
    }
}

/// Bytes of a passage whose vector has `width` numbers.
fn bytes_of(width: usize) -> usize {
    Codes::bytes_of(width) + size_of::<Facts>()
}

/// The files of a table that are in memory, by fragment.
pub(crate) struct Residents {
    files: HashMap<u64, Arc<Resident>>,
    reading: Option<AbortHandle>,
    bytes: usize,
    used: Instant,
}

impl Default for Residents {
    fn default() -> Self {
        Self { files: HashMap::new(), reading: None, bytes: 0, used: Instant::now() }
    }
}

/// What all tables of a memory may keep together.
pub(crate) struct Budget {
    most: usize,
    tables: Mutex<Vec<Weak<Mutex<Residents>>>>,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, tables: Mutex::default() }
    }

    pub(crate) fn table(&self) -> Arc<Mutex<Residents>> {
        let residents = Arc::new(Mutex::new(Residents::default()));
        let mut tables = self.tables.lock();
        tables.retain(|table| table.strong_count() > 0);
        tables.push(Arc::downgrade(&residents));
        residents
    }

    /// Lets go of the tables that were not searched for longest, until there is room for `wanted` bytes of `own`.
    fn make_room(&self, own: &Arc<Mutex<Residents>>, wanted: usize) {
        let all: Vec<Arc<Mutex<Residents>>> = self.tables.lock().iter().filter_map(Weak::upgrade).collect();
        let mut others: Vec<_> = all.iter().filter(|one| !Arc::ptr_eq(one, own)).map(|one| (one, one.lock().used)).collect();
        others.sort_by_key(|(_, used)| *used);
        let mut taken = wanted + others.iter().map(|(one, _)| one.lock().bytes).sum::<usize>();
        for (one, _) in others {
            if taken <= self.most {
                return;
            }
            let mut one = one.lock();
            taken -= one.bytes;
            one.stop();
            one.files.clear();
            one.bytes = 0;
        }
    }
}

impl Residents {
    fn get(&self, fragment: &Fragment) -> Option<&Arc<Resident>> {
        self.files.get(&fragment.id).filter(|known| known.file == file_of(fragment))
    }

    fn keep(&mut self, dataset: &Dataset, id: u64, read: Resident) {
        self.files.insert(id, Arc::new(read));
        self.used = Instant::now();
        forget_removed(&mut self.files, dataset);
        self.bytes = self.files.values().map(|file| file.bytes()).sum();
    }

    /// Ends the reading that is under way.
    pub(crate) fn stop(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
        }
    }
}

/// All passages of one version of a table.
pub(crate) struct Passages {
    files: HashMap<u32, Arc<Resident>>,
}

impl Passages {
    pub(crate) fn file(&self, fragment: u32) -> Option<&Arc<Resident>> {
        self.files.get(&fragment)
    }

    /// The file and the row in it at an address.
    pub(crate) fn at(&self, address: u64) -> Option<(&Resident, usize)> {
        let row = address as u32 as usize;
        self.files.get(&((address >> 32) as u32)).map(|file| (&**file, row)).filter(|(file, row)| *row < file.facts.len())
    }

    /// Puts the numbers of the passage at an address into its row.
    pub(crate) fn fill(&self, address: u64, into: &mut Row) {
        if let Some((file, row)) = self.at(address) {
            file.fill(row, into);
        }
    }
}

/// The rows of a file that a search may find.
pub(crate) struct Visible {
    pub(crate) fragment: u32,
    /// Of the file, removed ones included.
    pub(crate) rows: u32,
    /// `None` when it is all of them.
    pub(crate) only: Option<Arc<RoaringBitmap>>,
}

impl Table {
    /// The passages of this version, when all are in memory or, with `read`, can be read at once.
    pub(crate) async fn passages(&self, dataset: &Arc<Dataset>, read: bool) -> Result<Option<Passages>> {
        let missing = self.missing(dataset);
        if !missing.is_empty() {
            if !read || !self.fits(dataset) || missing.iter().map(rows_of).sum::<usize>() > READ_AT_ONCE {
                return Ok(None);
            }
            self.warm(dataset).await?;
        }
        let mut residents = self.residents.lock();
        residents.used = Instant::now();
        let files: HashMap<u32, Arc<Resident>> = dataset
            .fragments()
            .iter()
            .filter_map(|fragment| Some((u32::try_from(fragment.id).ok()?, Arc::clone(residents.get(fragment)?))))
            .collect();
        // Another search, at another version or of another table, may have let go of one.
        Ok((files.len() == dataset.fragments().len()).then_some(Passages { files }))
    }

    /// Begins to read what is not in memory yet, beside whatever else goes on.
    pub(crate) fn read_ahead(self: &Arc<Self>, dataset: &Arc<Dataset>) {
        let missing = self.missing(dataset);
        if missing.is_empty() || !self.fits(dataset) {
            return;
        }
        self.make_room(dataset);
        let mut residents = self.residents.lock();
        if residents.reading.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (table, dataset) = (Arc::downgrade(self), Arc::clone(dataset));
        let task = tokio::spawn(async move {
            for fragment in missing {
                let Some(table) = table.upgrade() else { return };
                // The next search tells of a file that cannot be read.
                if table.read_resident(&dataset, &fragment).await.is_err() {
                    return;
                }
            }
        });
        residents.reading = Some(task.abort_handle());
    }

    /// Reads what is not in memory yet, if there is room for it.
    pub(crate) async fn warm(&self, dataset: &Arc<Dataset>) -> Result<()> {
        if self.fits(dataset) {
            self.make_room(dataset);
            for fragment in self.missing(dataset) {
                self.read_resident(dataset, &fragment).await?;
            }
        }
        Ok(())
    }

    /// Passages of this version that are in memory, removed ones included.
    pub(crate) fn cached(&self, dataset: &Dataset) -> usize {
        let residents = self.residents.lock();
        dataset.fragments().iter().filter(|fragment| residents.get(fragment).is_some()).map(rows_of).sum()
    }

    fn wanted(&self, dataset: &Dataset) -> usize {
        dataset.fragments().iter().map(rows_of).sum::<usize>().saturating_mul(bytes_of(self.dimensions))
    }

    fn fits(&self, dataset: &Dataset) -> bool {
        self.wanted(dataset) <= self.budget.most
    }

    fn make_room(&self, dataset: &Dataset) {
        self.budget.make_room(&self.residents, self.wanted(dataset));
    }

    fn missing(&self, dataset: &Dataset) -> Vec<Fragment> {
        let residents = self.residents.lock();
        dataset.fragments().iter().filter(|fragment| residents.get(fragment).is_none()).cloned().collect()
    }

    async fn read_resident(&self, dataset: &Arc<Dataset>, fragment: &Fragment) -> Result<()> {
        let failed = |error: lance::Error| self.failed(&error);
        let (rows, width) = (rows_of(fragment), self.dimensions);
        let mut scan: Scanner = dataset.scan();
        // Beside searches that go on: it shall not take all cores.
        scan.with_fragments(vec![fragment.clone()]).with_row_id().batch_size(BATCH).batch_readahead(1).fragment_readahead(1);
        scan.project(COLUMNS).map_err(failed)?;
        let mut batches = scan.try_into_stream().await.map_err(failed)?;
        let mut reader: Option<Reader> = None;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let own = reader.take();
            let read = move || Ok(Reader::take(own, rows, width, &batch));
            reader = Some(if rows > READ_AT_ONCE { run_blocking(read).await? } else { read()? });
        }
        let Reader { codes, facts } =
            reader.unwrap_or_else(|| Reader { codes: Codes::new(rows, width, &[]), facts: vec![Facts::default(); rows] });
        let read = Resident { file: file_of(fragment), codes: Arc::new(codes), facts };
        self.residents.lock().keep(dataset, fragment.id, read);
        Ok(())
    }

    /// The rows of each file that are not removed and, with a filter, match.
    pub(crate) async fn visible(&self, dataset: &Arc<Dataset>, mask: Option<&RowAddrTreeMap>) -> Result<Vec<Visible>> {
        let mut all = Vec::with_capacity(dataset.fragments().len());
        for fragment in dataset.fragments().iter() {
            let id = u32::try_from(fragment.id).unwrap_or(u32::MAX);
            let rows = u32::try_from(rows_of(fragment)).unwrap_or(u32::MAX);
            let mut only = match mask.map(|mask| mask.get(&id)) {
                None | Some(Some(RowAddrSelection::Full)) => None,
                Some(None) => continue,
                Some(Some(RowAddrSelection::Partial(rows))) => Some(rows.clone()),
            };
            if fragment.deletion_file.is_some()
                && let Some(file) = dataset.get_fragment(fragment.id as usize)
                && let Some(removed) = file.get_deletion_vector().await.map_err(|error| self.failed(&error))?
            {
                let mut rest = only.unwrap_or_else(|| every(rows));
                rest -= RoaringBitmap::from(&*removed);
                only = Some(rest);
            }
            if only.as_ref().is_none_or(|only| !only.is_empty()) {
                all.push(Visible { fragment: id, rows, only: only.map(Arc::new) });
            }
        }
        Ok(all)
    }
}

fn rows_of(fragment: &Fragment) -> usize {
    fragment.physical_rows.unwrap_or_default()
}

/// What was read of a file so far.
struct Reader {
    codes: Codes,
    facts: Vec<Facts>,
}

impl Reader {
    fn take(own: Option<Self>, rows: usize, width: usize, batch: &RecordBatch) -> Self {
        let lists = batch.column_by_name(rows::VECTOR).and_then(|column| column.as_fixed_size_list_opt());
        let numbers = lists.map(|lists| lists.values().as_primitive::<Float32Type>().values());
        let vectors: &[f32] = numbers.map_or(&[], |numbers| numbers);
        let mut own =
            own.unwrap_or_else(|| Self { codes: Codes::new(rows, width, vectors), facts: vec![Facts::default(); rows] });
        let read = rows::rows_without_vectors(batch);
        for ((address, vector), row) in addresses(batch).into_iter().zip(vectors.chunks_exact(width.max(1))).zip(read) {
            let at = address as u32 as usize;
            own.codes.set(at, vector);
            if let Some(place) = own.facts.get_mut(at) {
                *place = Facts {
                    chunk: row.chunk,
                    chunks: row.chunks,
                    start: row.start,
                    end: row.end,
                    created_at: row.created_at,
                    updated_at: row.updated_at,
                    expires_at: row.expires_at,
                };
            }
        }
        own
    }
}
