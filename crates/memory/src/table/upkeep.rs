//! What keeps a table fast as it grows, in the background and one process at a time: compaction of small files, full text and
//! vector indexes over what was added, removal of old versions and of what has expired. Readers are never kept waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lance::dataset::Dataset;
use lance::dataset::cleanup::{CleanupPolicyBuilder, cleanup_old_versions};
use lance::dataset::optimize::{CompactionOptions, compact_files};
use lance::dataset::scanner::Scanner;
use lance::index::DatasetIndexExt;
use lance::index::vector::VectorIndexParams;
use lance_index::IndexType;
use lance_index::optimize::OptimizeOptions;
use lance_index::scalar::ScalarIndexParams;
use lance_index::vector::ivf::IvfBuildParams;
use lance_index::vector::sq::builder::SQBuildParams;
use lance_linalg::distance::MetricType;
use roaring::RoaringBitmap;
use tokio::sync::Notify;

use crate::error::Result;
use crate::table::rows::{ID, TEXT, VECTOR};
use crate::table::{TEXT_INDEX, Table, VECTOR_INDEX, text_index};

pub(crate) const ID_INDEX: &str = "id_idx";

/// Below this many rows a scan of all vectors takes less time than an index would save.
const VECTOR_INDEX_FROM: usize = 20_000;
/// Below this many rows a scan of all ids is as fast.
const ID_INDEX_FROM: usize = 20_000;
/// Rows of a partition of the vector index.
const PARTITION: usize = 512;
/// Files with fewer rows than this are joined as soon as there are `FILES` of them; the next sizes likewise.
const SIZES: [usize; 3] = [4_096, 65_536, 1_048_576];
const FILES: usize = 24;
/// Segments of one index that may stand beside each other before they are merged.
const SEGMENTS: usize = 8;
/// Rows outside of an index that are worth an update of it while the table is written to.
const BEHIND: usize = 2_000;
/// A table that was not written to for this long is brought up to date whatever there is to do.
const QUIET: Duration = Duration::from_millis(1_000);
/// Versions that are kept this long for readers that are still at them.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// Versions that may be there before the old ones are removed.
const VERSIONS: u64 = 200;
/// How often a table with documents that expire is looked through.
const SWEEP: Duration = Duration::from_secs(60);

/// What a table needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Compact(usize),
    TextIndex,
    VectorIndex,
    /// Train the vector index anew: the table has outgrown its partitions.
    Retrain,
    IdIndex,
    Extend(&'static str),
    Merge(&'static str),
}

/// What is known of an index.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexState {
    pub(crate) name: String,
    pub(crate) segments: usize,
    pub(crate) rows: usize,
    pub(crate) behind: usize,
}

/// How far each index is.
pub(crate) async fn indexes(dataset: &Dataset) -> lance::Result<Vec<IndexState>> {
    let mut states: Vec<(IndexState, RoaringBitmap)> = Vec::new();
    for index in dataset.load_indices().await?.iter() {
        let covered = index.fragment_bitmap.clone().unwrap_or_default();
        match states.iter_mut().find(|(state, _)| state.name == index.name) {
            Some((state, known)) => {
                state.segments += 1;
                *known |= covered;
            }
            None => states.push((IndexState { name: index.name.clone(), segments: 1, ..IndexState::default() }, covered)),
        }
    }
    for (state, covered) in &mut states {
        for fragment in dataset.fragments().iter() {
            let rows = fragment.num_rows().unwrap_or_default();
            let inside = u32::try_from(fragment.id).is_ok_and(|id| covered.contains(id));
            *(if inside { &mut state.rows } else { &mut state.behind }) += rows;
        }
    }
    Ok(states.into_iter().map(|(state, _)| state).collect())
}

fn rows(dataset: &Dataset) -> usize {
    dataset.fragments().iter().map(|fragment| fragment.num_rows().unwrap_or_default()).sum()
}

/// What is to be done next, most pressing first; `thorough` when nobody writes, or somebody asked for it.
async fn needs(table: &Table, dataset: &Dataset, thorough: bool) -> lance::Result<Vec<Need>> {
    let mut needs = Vec::new();
    let files = files(dataset).await?;
    needs.extend(SIZES.into_iter().filter(|size| longest_run(&files, *size) >= FILES).map(Need::Compact));
    let total = rows(dataset);
    let states = indexes(dataset).await?;
    let state = |name: &str| states.iter().find(|state| state.name == name);
    if state(TEXT_INDEX).is_none() {
        needs.push(Need::TextIndex);
    }
    match state(VECTOR_INDEX) {
        None if total >= VECTOR_INDEX_FROM => needs.push(Need::VectorIndex),
        Some(state) if thorough && outgrown(table, dataset, state).await? => needs.push(Need::Retrain),
        _ => {}
    }
    if total >= ID_INDEX_FROM && state(ID_INDEX).is_none() {
        needs.push(Need::IdIndex);
    }
    for name in [TEXT_INDEX, VECTOR_INDEX, ID_INDEX] {
        let Some(state) = state(name) else { continue };
        if state.behind >= BEHIND.max(state.rows / 10) || (thorough && state.behind > 0) {
            needs.push(Need::Extend(name));
        }
        if state.segments > SEGMENTS {
            needs.push(Need::Merge(name));
        }
    }
    Ok(needs)
}

/// The rows of each file, and which of the segments of indexes know it.
async fn files(dataset: &Dataset) -> lance::Result<Vec<(usize, Vec<bool>)>> {
    let indexes = dataset.load_indices().await?;
    let knows = |id: u64| {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        indexes.iter().map(|index| index.fragment_bitmap.as_ref().is_some_and(|known| known.contains(id))).collect()
    };
    Ok(dataset.fragments().iter().map(|one| (one.num_rows().unwrap_or_default(), knows(one.id))).collect())
}

/// Most files of fewer than `size` rows in a row that can be joined. LanceDB joins no files that different segments know: to count
/// those would join the last two again and again.
fn longest_run(files: &[(usize, Vec<bool>)], size: usize) -> usize {
    let runs = files.chunk_by(|left, right| left.0 < size && right.0 < size && left.1 == right.1);
    runs.filter(|run| run[0].0 < size).map(<[_]>::len).max().unwrap_or_default()
}

fn partitions(rows: usize) -> usize {
    (rows / PARTITION).clamp(16, 4_096)
}

/// Whether the table has grown to several times what its partitions were made for.
async fn outgrown(table: &Table, dataset: &Dataset, state: &IndexState) -> lance::Result<bool> {
    let made_for = table.partitions(dataset).await?;
    Ok(made_for > 0 && state.rows + state.behind > made_for * PARTITION * 5)
}

fn vector_index(total: usize) -> VectorIndexParams {
    let ivf = IvfBuildParams { sample_rate: 64, ..IvfBuildParams::new(partitions(total)) };
    VectorIndexParams::with_ivf_sq_params(MetricType::L2, ivf, SQBuildParams::default())
}

/// Makes the full text index over all that is there.
pub(crate) async fn make_text_index(dataset: &mut Dataset) -> lance::Result<()> {
    let name = Some(TEXT_INDEX.to_owned());
    dataset.create_index(&[TEXT], IndexType::Inverted, name, &text_index(), true).await.map(drop)
}

async fn meet(dataset: &mut Dataset, need: Need) -> lance::Result<()> {
    match need {
        Need::Compact(size) => {
            let options =
                CompactionOptions { target_rows_per_fragment: size, num_threads: Some(1), ..CompactionOptions::default() };
            compact_files(dataset, options, None).await.map(drop)
        }
        Need::TextIndex => make_text_index(dataset).await,
        Need::VectorIndex | Need::Retrain => {
            let params = vector_index(rows(dataset));
            let name = Some(VECTOR_INDEX.to_owned());
            dataset.create_index(&[VECTOR], IndexType::Vector, name, &params, true).await.map(drop)
        }
        Need::IdIndex => {
            let name = Some(ID_INDEX.to_owned());
            dataset.create_index(&[ID], IndexType::BTree, name, &ScalarIndexParams::default(), true).await.map(drop)
        }
        Need::Extend(name) => {
            let options = OptimizeOptions::append().index_names(vec![name.to_owned()]);
            dataset.optimize_indices(&options).await
        }
        Need::Merge(name) => {
            let options = OptimizeOptions::merge(usize::MAX).index_names(vec![name.to_owned()]);
            dataset.optimize_indices(&options).await
        }
    }
}

/// Does all that is due, and says how many steps it took. Somebody else who does it already counts as done.
pub(crate) async fn bring_up(table: &Table, thorough: bool, wait: bool, bell: &Bell) -> Result<usize> {
    let _lock = match table.upkeep_lock.try_lock()? {
        Some(lock) => lock,
        None if wait => table.upkeep_lock.lock().await?,
        None => return Ok(0),
    };
    let mut steps = 0;
    let mut failures = 0;
    // What changed nothing would change nothing again.
    let mut in_vain: Vec<Need> = Vec::new();
    // A writer that is faster than this must not keep it from ending.
    while steps < 64 && !bell.is_stopped() {
        let dataset = table.snapshot().await?;
        let due = needs(table, &dataset, thorough).await.map_err(|error| table.failed(&error))?;
        let Some(need) = due.into_iter().find(|need| !in_vain.contains(need)) else { break };
        let mut changed = (*dataset).clone();
        // Compaction moves rows that a writer may be about to remove: they take turns, and it is short.
        let turn = match need {
            Need::Compact(_) => Some(table.write_lock.lock().await?),
            _ => None,
        };
        if turn.is_some() {
            changed.checkout_latest().await.map_err(|error| table.failed(&error))?;
        }
        let before = changed.manifest().version;
        match meet(&mut changed, need).await {
            Ok(()) => {
                if changed.manifest().version == before {
                    in_vain.push(need);
                }
                table.advance(Arc::new(changed));
            }
            Err(lance::Error::RetryableCommitConflict { .. } | lance::Error::CommitConflict { .. }) if failures < 5 => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(table.failed(&error)),
        }
        steps += 1;
    }
    prune(table).await?;
    Ok(steps)
}

async fn prune(table: &Table) -> Result<()> {
    let dataset = table.snapshot().await?;
    let versions = std::fs::read_dir(table.path.join("_versions")).map_or(0, |entries| entries.count() as u64);
    if versions < VERSIONS {
        return Ok(());
    }
    let policy = CleanupPolicyBuilder::default().before_timestamp(chrono::Utc::now() - KEPT).build();
    cleanup_old_versions(&dataset, policy).await.map(drop).map_err(|error| table.failed(&error))
}

/// Tells the task that a table was written to, or that it shall end.
#[derive(Clone, Default)]
pub(crate) struct Bell {
    rung: Arc<Notify>,
    stopped: Arc<AtomicBool>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Ends the task after the step that it is at.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.rung.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// Looks after a table until it is stopped.
pub(crate) async fn look_after(table: Weak<Table>, bell: Bell, sweep: impl AsyncFn()) {
    let mut swept = Instant::now();
    loop {
        bell.rung.notified().await;
        if bell.is_stopped() {
            return;
        }
        // While the table is written to, only what is far behind is brought up; when it is quiet, all.
        loop {
            let quiet = tokio::time::timeout(QUIET, bell.rung.notified()).await.is_err();
            if bell.is_stopped() {
                return;
            }
            let Some(table) = table.upgrade() else { return };
            // A failure of upkeep costs speed and nothing else: the next change tries again.
            let _ = bring_up(&table, quiet, false, &bell).await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                sweep().await;
            }
            if quiet {
                break;
            }
        }
    }
}

impl Table {
    /// Partitions of the vector index, or 0.
    pub(crate) async fn partitions(&self, dataset: &Dataset) -> lance::Result<usize> {
        let Some(index) = dataset.load_indices().await?.iter().find(|index| index.name == VECTOR_INDEX).cloned() else {
            return Ok(0);
        };
        {
            let known = self.partitioned.lock();
            if known.0 == Some(index.uuid) {
                return Ok(known.1);
            }
        }
        let text = dataset.index_statistics(VECTOR_INDEX).await?;
        let facts: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let count = facts["indices"][0]["num_partitions"].as_u64().unwrap_or_default();
        let count = usize::try_from(count).unwrap_or_default();
        *self.partitioned.lock() = (Some(index.uuid), count);
        Ok(count)
    }

    /// Sets how thoroughly the vector index is searched; `rows` is the number of rows that a filter leaves. The index has vectors in
    /// 8 bits: `exact` compares what it finds with the whole ones.
    pub(crate) fn tune(&self, scan: &mut Scanner, partitions: usize, rows: Option<u64>, exact: bool) {
        if partitions == 0 {
            return;
        }
        // Few rows are compared one by one, exactly.
        if rows.is_some_and(|rows| rows <= 500) {
            scan.use_index(false);
            return;
        }
        scan.nprobes((partitions / 2).clamp(24, 256));
        if exact {
            scan.refine(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_side_by_side_that_the_same_segments_know_are_counted() {
        let file = |rows: usize, segment: usize| (rows, (0..3).map(|one| one == segment).collect::<Vec<bool>>());
        assert_eq!(longest_run(&[], 100), 0);
        assert_eq!(longest_run(&[file(100, 0)], 100), 0);
        assert_eq!(longest_run(&[file(99, 0), file(1, 0), file(100, 0), file(5, 0)], 100), 2);
        // Thirty small files, of which no two can be joined.
        let apart: Vec<_> = (0..30).map(|at| file(10, at % 2)).collect();
        assert_eq!(longest_run(&apart, 100), 1);
        let mut run: Vec<_> = (0..30).map(|at| file(10, usize::from(at >= 12))).collect();
        assert_eq!(longest_run(&run, 100), 18);
        run[20].0 = 4_000;
        assert_eq!(longest_run(&run, 100), 12);
    }
}
