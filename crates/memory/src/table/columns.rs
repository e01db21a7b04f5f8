//! Which rows a filter means. Fields that are filtered by are read from each file of a table once and kept in memory, as
//! compact columns: files do not change, so that only what was added is read later. The answer restricts a search before it runs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use lance::dataset::Dataset;
use lance::dataset::scanner::RowAddrTreeMap;
use lance_select::RowSetOps;
use lance_table::format::Fragment;
use roaring::RoaringBitmap;

use crate::error::Result;
use crate::filter::{Columns, Filter, Path};
use crate::table::rows::{EXPIRES_AT, METADATA};
use crate::table::{Table, addresses, texts};

/// Bytes of columns that one table may keep.
const MOST_BYTES: usize = 256 << 20;

/// The columns of a table's files, by fragment.
#[derive(Default)]
pub(crate) struct ColumnCache {
    files: HashMap<u64, Kept>,
}

#[derive(Clone, Default)]
struct Kept {
    /// See `file_of`.
    file: String,
    columns: Option<Arc<Columns>>,
    /// Per row the time at which it expires, or the largest number; `None` when it was not read.
    expires: Option<Arc<Expiry>>,
}

enum Expiry {
    Never,
    At(Vec<i64>),
}

impl Expiry {
    fn expired(&self, now: i64) -> RoaringBitmap {
        match self {
            Self::Never => RoaringBitmap::new(),
            Self::At(times) => (0..).zip(times).filter(|(_, at)| **at <= now).map(|(row, _)| row).collect(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Never => 0,
            Self::At(times) => times.len() * size_of::<i64>(),
        }
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.columns.as_ref().map_or(0, |columns| columns.bytes()) + self.expires.as_ref().map_or(0, |expires| expires.bytes())
    }
}

impl ColumnCache {
    fn get(&self, fragment: &Fragment) -> Kept {
        let file = file_of(fragment);
        match self.files.get(&fragment.id) {
            Some(kept) if kept.file == file => kept.clone(),
            _ => Kept { file, ..Kept::default() },
        }
    }

    fn keep(&mut self, dataset: &Dataset, id: u64, kept: Kept) {
        self.files.insert(id, kept);
        forget_removed(&mut self.files, dataset);
        let total: usize = self.files.values().map(Kept::bytes).sum();
        if total > MOST_BYTES {
            self.files.retain(|other, _| *other == id);
        }
    }
}

/// Lets go of what is kept of fragments that this version does not have, once there is more than it has.
pub(crate) fn forget_removed<T>(files: &mut HashMap<u64, T>, dataset: &Dataset) {
    if files.len() > dataset.count_fragments() {
        files.retain(|id, _| dataset.get_fragment(usize::try_from(*id).unwrap_or(usize::MAX)).is_some());
    }
}

/// All rows of a file.
pub(crate) fn every(rows: u32) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..rows);
    all
}

/// The name of a fragment's data file: a fragment's number is used again after the table was made anew.
pub(crate) fn file_of(fragment: &Fragment) -> String {
    fragment.files.first().map(|file| file.path.clone()).unwrap_or_default()
}

impl Table {
    /// The rows that match and, when `now` is given, have not expired by then.
    pub(crate) async fn matching(
        &self,
        dataset: &Arc<Dataset>,
        filter: Option<&Filter>,
        now: Option<i64>,
    ) -> Result<RowAddrTreeMap> {
        let paths = filter.map(Filter::paths).unwrap_or_default();
        let mut found = RowAddrTreeMap::new();
        for fragment in dataset.fragments().iter() {
            let (kept, rows) = self.kept(dataset, fragment, &paths, now.is_some()).await?;
            let mut matching = match filter {
                Some(filter) => match &kept.columns {
                    Some(columns) => filter.evaluate(columns)?,
                    None => filter.evaluate(&Columns::read(&[], std::iter::repeat_n(None, rows as usize))?)?,
                },
                None => every(rows),
            };
            if let (Some(now), Some(expires)) = (now, &kept.expires) {
                matching -= expires.expired(now);
            }
            if !matching.is_empty() {
                found.insert_bitmap(u32::try_from(fragment.id).unwrap_or(u32::MAX), matching);
            }
        }
        Ok(found)
    }

    /// As `matching`, or `None` when that is every row.
    pub(crate) async fn matching_or_all(
        &self,
        dataset: &Arc<Dataset>,
        filter: Option<&Filter>,
        now: i64,
    ) -> Result<Option<RowAddrTreeMap>> {
        if filter.is_none() && self.expired(dataset, now).await?.is_empty() {
            return Ok(None);
        }
        self.matching(dataset, filter, Some(now)).await.map(Some)
    }

    /// The rows that have expired.
    pub(crate) async fn expired(&self, dataset: &Arc<Dataset>, now: i64) -> Result<RowAddrTreeMap> {
        let mut found = RowAddrTreeMap::new();
        for fragment in dataset.fragments().iter() {
            let (kept, _) = self.kept(dataset, fragment, &[], true).await?;
            let expired = kept.expires.map(|expires| expires.expired(now)).unwrap_or_default();
            if !expired.is_empty() {
                found.insert_bitmap(u32::try_from(fragment.id).unwrap_or(u32::MAX), expired);
            }
        }
        Ok(found)
    }

    /// What is kept of a file, after reading what is missing; and its number of rows, removed ones included.
    async fn kept(&self, dataset: &Arc<Dataset>, fragment: &Fragment, paths: &[Path], expiry: bool) -> Result<(Kept, u32)> {
        let rows = u32::try_from(fragment.physical_rows.unwrap_or_default()).unwrap_or(u32::MAX);
        let mut kept = self.columns.lock().get(fragment);
        let missing = kept.columns.as_ref().map_or_else(|| paths.to_vec(), |columns| columns.missing(paths));
        let wants_expiry = expiry && kept.expires.is_none();
        if missing.is_empty() && !wants_expiry {
            return Ok((kept, rows));
        }
        let failed = |error: lance::Error| self.failed(&error);
        let mut columns = Vec::new();
        if !missing.is_empty() {
            columns.push(METADATA);
        }
        if wants_expiry {
            columns.push(EXPIRES_AT);
        }
        let mut scan = dataset.scan();
        scan.with_fragments(vec![fragment.clone()]).with_row_id().project(&columns).map_err(failed)?;
        let batches: Vec<arrow_array::RecordBatch> =
            scan.try_into_stream().await.map_err(failed)?.try_collect().await.map_err(failed)?;
        let size = usize::try_from(rows).unwrap_or_default();
        if !missing.is_empty() {
            let mut metadata: Vec<Option<&str>> = vec![None; size];
            for batch in &batches {
                let Some(values) = texts(batch, METADATA) else { continue };
                for (address, value) in addresses(batch).into_iter().zip(values.iter()) {
                    if let Some(place) = metadata.get_mut(address as u32 as usize) {
                        *place = value;
                    }
                }
            }
            let read = Columns::read(&missing, metadata)?;
            kept.columns = Some(Arc::new(match &kept.columns {
                Some(known) => known.join(&read)?,
                None => read,
            }));
        }
        if wants_expiry {
            let mut times = vec![i64::MAX; size];
            let mut any = false;
            for batch in &batches {
                let column = batch.column_by_name(EXPIRES_AT).and_then(|column| column.as_primitive_opt::<Int64Type>());
                let Some(values) = column else { continue };
                any |= values.null_count() < values.len();
                for (address, value) in addresses(batch).into_iter().zip(values.iter()) {
                    if let (Some(place), Some(value)) = (times.get_mut(address as u32 as usize), value) {
                        *place = value;
                    }
                }
            }
            kept.expires = Some(Arc::new(if any { Expiry::At(times) } else { Expiry::Never }));
        }
        self.columns.lock().keep(dataset, fragment.id, kept.clone());
        Ok((kept, rows))
    }
}
