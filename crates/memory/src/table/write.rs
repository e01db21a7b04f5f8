//! Changes to a table. One task per table takes what waits, works it out in order against the newest version, and commits
//! it as one transaction of LanceDB: what is acknowledged is on disk, and a document is whole or not there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};

use lance::dataset::scanner::RowAddrTreeMap;
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, Dataset, InsertBuilder, WriteMode, WriteParams};
use master_agent_core::ErrorCode;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};
use crate::filter::{self, Filter};
use crate::memory;
use crate::table::Table;
use crate::table::rows::{self, Row};
use crate::table::upkeep::Bell;

/// Most rows of one commit, so that a large import neither holds its memory twice nor keeps others from writing.
const MOST_ROWS: usize = 20_000;
/// How often a commit is worked out again after another process changed the same rows.
const MOST_TRIES: usize = 20;

/// What happens to a document whose id is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Conflict {
    #[default]
    Replace,
    Skip,
    Error,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Added,
    Replaced,
    /// The same text is there already; see `id`.
    Unchanged,
    Skipped,
}

/// A document whose chunks have their vectors.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) id: Arc<str>,
    /// Whether the id was made up, so that nothing can have it yet.
    pub(crate) fresh: bool,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) id: Arc<str>,
    pub(crate) chunks: usize,
    pub(crate) status: Status,
}

/// What is to change in a document.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    /// New chunks with vectors, when the text changes.
    pub(crate) rows: Option<Vec<Row>>,
    pub(crate) metadata: Option<Value>,
    /// Whether `metadata` is merged into what is there rather than put in its place.
    pub(crate) merge: bool,
    /// `Some(None)` takes the time to live away.
    pub(crate) expires_at: Option<Option<i64>>,
    pub(crate) now: i64,
}

pub(crate) enum Change {
    Put {
        documents: Vec<Prepared>,
        conflict: Conflict,
        dedupe: bool,
    },
    Update {
        id: Arc<str>,
        patch: Patch,
    },
    Delete {
        ids: Vec<Arc<str>>,
    },
    DeleteWhere {
        filter: Filter,
    },
    /// Removes what has expired at this time.
    Sweep {
        now: i64,
    },
}

#[derive(Debug)]
pub(crate) enum Done {
    Put(Vec<Put>),
    Updated,
    /// Documents, not chunks.
    Deleted(usize),
}

struct Order {
    change: Change,
    reply: oneshot::Sender<Result<Done>>,
}

impl Change {
    fn rows(&self) -> usize {
        match self {
            Self::Put { documents, .. } => documents.iter().map(|document| document.rows.len()).sum(),
            Self::Update { patch, .. } => patch.rows.as_ref().map_or(1, Vec::len),
            Self::Delete { ids } => ids.len(),
            Self::DeleteWhere { .. } | Self::Sweep { .. } => 0,
        }
    }

    /// Whether it needs to see what the changes before it have done to the table.
    fn stands_alone(&self) -> bool {
        matches!(self, Self::DeleteWhere { .. } | Self::Sweep { .. })
    }
}

/// The way to the task that changes a table. The task ends with the last of these.
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    /// `bell` is rung after each commit.
    pub(crate) fn new(table: &Arc<Table>, bell: Bell) -> Self {
        let (orders, waiting) = mpsc::channel(1_024);
        tokio::spawn(run(Arc::downgrade(table), waiting, bell));
        Self { orders }
    }

    pub(crate) async fn apply(&self, change: Change) -> Result<Done> {
        let (reply, answer) = oneshot::channel();
        let closed = || Error::new(ErrorCode::Closed, "the memory is closed");
        self.orders.send(Order { change, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn run(table: Weak<Table>, mut waiting: mpsc::Receiver<Order>, bell: Bell) {
    let mut kept: Option<Order> = None;
    loop {
        let first = match kept.take() {
            Some(order) => order,
            None => match waiting.recv().await {
                Some(order) => order,
                None => return,
            },
        };
        let Some(table) = table.upgrade() else { return };
        let mut size = first.change.rows();
        let alone = first.change.stands_alone();
        let mut orders = vec![first];
        while !alone && size < MOST_ROWS {
            let Ok(next) = waiting.try_recv() else { break };
            if next.change.stands_alone() {
                kept = Some(next);
                break;
            }
            size += next.change.rows();
            orders.push(next);
        }
        settle(&table, orders, &bell).await;
    }
}

/// Runs the orders in one commit; when that fails, each by itself, so that one of them does not fail the others.
async fn settle(table: &Table, orders: Vec<Order>, bell: &Bell) {
    let (changes, mut replies): (Vec<_>, Vec<_>) = orders.into_iter().map(|order| (order.change, order.reply)).unzip();
    match commit(table, &changes, bell).await {
        Ok(outcomes) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                let _ = reply.send(outcome);
            }
        }
        Err(error) if changes.len() == 1 => {
            if let Some(reply) = replies.pop() {
                let _ = reply.send(Err(error));
            }
        }
        Err(_) => {
            for (change, reply) in changes.into_iter().zip(replies) {
                let outcome = commit(table, std::slice::from_ref(&change), bell).await;
                let _ = reply.send(outcome.and_then(|mut outcomes| outcomes.pop().unwrap_or_else(|| Err(lost()))));
            }
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorCode::Internal, "a change to the memory has no outcome; please report this")
}

async fn commit(table: &Table, changes: &[Change], bell: &Bell) -> Result<Vec<Result<Done>>> {
    let _lock = table.write_lock.lock().await?;
    let mut tries = 0;
    loop {
        let dataset = table.newest().await?;
        let mut plan = Plan { now: memory::now(), ..Plan::default() };
        plan.look_up(table, &dataset, changes).await?;
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            outcomes.push(plan.apply(table, &dataset, change).await);
        }
        match plan.commit(table, &dataset).await {
            Ok(None) => return Ok(outcomes),
            Ok(Some(newest)) => {
                table.advance(newest);
                bell.ring();
                return Ok(outcomes);
            }
            Err(lance::Error::RetryableCommitConflict { .. } | lance::Error::CommitConflict { .. }) if tries < MOST_TRIES => {
                // Upkeep in another process moved rows that this commit removes.
                tries += 1;
            }
            Err(error) => return Err(table.failed(&error)),
        }
    }
}

/// A document as it was, and is after the changes so far.
#[derive(Default)]
struct Known {
    addresses: Vec<u64>,
    rows: Vec<Row>,
    /// What will be there instead of `rows`.
    next: Option<Vec<Row>>,
    removed: bool,
}

impl Known {
    /// What has expired is as good as gone.
    fn exists(&self, now: i64) -> bool {
        self.current().first().is_some_and(|row| row.expires_at.is_none_or(|at| at > now))
    }

    fn current(&self) -> &[Row] {
        match &self.next {
            Some(rows) => rows,
            None if self.removed => &[],
            None => &self.rows,
        }
    }
}

/// What a commit will do.
#[derive(Default)]
struct Plan {
    documents: BTreeMap<Arc<str>, Known>,
    /// The hash of a text → the ids of documents that have it, or had it before the changes.
    hashes: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Rows to remove that belong to no document above.
    removed: Vec<u64>,
    now: i64,
}

impl Plan {
    /// A document that has this text after the changes so far.
    fn same(&self, hash: &Arc<str>) -> Option<&Arc<str>> {
        let has = |id: &&Arc<str>| match self.documents.get(*id) {
            Some(known) => known.exists(self.now) && known.current().first().is_some_and(|row| row.hash == *hash),
            None => true,
        };
        self.hashes.get(hash)?.iter().find(has)
    }

    /// Reads what the changes need to know about documents that are there.
    async fn look_up(&mut self, table: &Table, dataset: &Arc<Dataset>, changes: &[Change]) -> Result<()> {
        let mut ids: HashSet<&str> = HashSet::new();
        let mut whole: HashSet<&str> = HashSet::new();
        let mut hashes: HashSet<&str> = HashSet::new();
        for change in changes {
            match change {
                Change::Put { documents, dedupe, .. } => {
                    ids.extend(documents.iter().filter(|one| !one.fresh).map(|one| &*one.id));
                    if *dedupe {
                        hashes.extend(documents.iter().filter_map(|one| one.rows.first()).map(|row| &*row.hash));
                    }
                }
                Change::Update { id, .. } => {
                    whole.insert(id);
                }
                Change::Delete { ids: gone } => ids.extend(gone.iter().map(|id| &**id)),
                Change::DeleteWhere { .. } | Change::Sweep { .. } => {}
            }
        }
        ids.retain(|id| !whole.contains(id));
        let all: Vec<&str> = rows::PLAIN.iter().copied().chain([rows::VECTOR]).collect();
        let brief = [rows::ID, rows::CHUNK, rows::HASH, rows::CREATED_AT, rows::EXPIRES_AT];
        let (ids, whole): (Vec<_>, Vec<_>) = (ids.into_iter().collect(), whole.into_iter().collect());
        let mut found = table.of_ids(dataset, &ids, &brief).await?;
        found.extend(table.of_ids(dataset, &whole, &all).await?);
        for (address, row) in found {
            let known = self.documents.entry(Arc::clone(&row.id)).or_default();
            known.addresses.push(address);
            known.rows.push(row);
        }
        for known in self.documents.values_mut() {
            known.rows.sort_by_key(|row| row.chunk);
        }
        let hashes: Vec<&str> = hashes.into_iter().collect();
        let facts = [rows::ID, rows::HASH, rows::EXPIRES_AT];
        for (_, row) in table.of_values(dataset, rows::HASH, &hashes, &facts).await? {
            if row.expires_at.is_none_or(|at| at > self.now) {
                self.hashes.entry(row.hash).or_default().push(row.id);
            }
        }
        Ok(())
    }

    async fn apply(&mut self, table: &Table, dataset: &Arc<Dataset>, change: &Change) -> Result<Done> {
        match change {
            Change::Put { documents, conflict, dedupe } => self.put(documents, *conflict, *dedupe),
            Change::Update { id, patch } => self.update(id, patch),
            Change::Delete { ids } => Ok(Done::Deleted(self.delete(ids))),
            Change::DeleteWhere { filter } => {
                let mask = table.matching(dataset, Some(filter), None).await?;
                self.remove_rows(table, dataset, &mask).await
            }
            Change::Sweep { now } => {
                let mask = table.expired(dataset, *now).await?;
                self.remove_rows(table, dataset, &mask).await
            }
        }
    }

    fn put(&mut self, documents: &[Prepared], conflict: Conflict, dedupe: bool) -> Result<Done> {
        if conflict == Conflict::Error {
            let exists = |document: &&Prepared| self.documents.get(&document.id).is_some_and(|known| known.exists(self.now));
            if let Some(document) = documents.iter().find(exists) {
                return Err(Error::new(
                    ErrorCode::MemoryExists,
                    format!("the document {:?} is there already; nothing of this call was added", document.id),
                ));
            }
        }
        let mut done = Vec::with_capacity(documents.len());
        for document in documents {
            let hash = document.rows.first().map(|row| Arc::clone(&row.hash));
            if dedupe && let Some(same) = hash.as_ref().and_then(|hash| self.same(hash)) {
                done.push(Put { id: Arc::clone(same), chunks: document.rows.len(), status: Status::Unchanged });
                continue;
            }
            let known = self.documents.entry(Arc::clone(&document.id)).or_default();
            let exists = known.exists(self.now);
            if exists && conflict == Conflict::Skip {
                done.push(Put { id: Arc::clone(&document.id), chunks: 0, status: Status::Skipped });
                continue;
            }
            let created = if exists { known.current().first().map(|row| row.created_at) } else { None };
            let mut next = document.rows.clone();
            if let Some(created) = created {
                next.iter_mut().for_each(|row| row.created_at = created);
            }
            known.next = Some(next);
            known.removed = true;
            if let Some(hash) = hash {
                self.hashes.entry(hash).or_default().push(Arc::clone(&document.id));
            }
            let status = if exists { Status::Replaced } else { Status::Added };
            done.push(Put { id: Arc::clone(&document.id), chunks: document.rows.len(), status });
        }
        Ok(Done::Put(done))
    }

    fn update(&mut self, id: &Arc<str>, patch: &Patch) -> Result<Done> {
        let missing = || Error::new(ErrorCode::MemoryNotFound, format!("there is no document {id:?} in this collection"));
        let now = self.now;
        let known = self.documents.get_mut(id).filter(|known| known.exists(now)).ok_or_else(missing)?;
        let current = known.current().to_vec();
        let first = current.first().ok_or_else(missing)?.clone();
        let metadata = match &patch.metadata {
            None => Arc::clone(&first.metadata),
            Some(given) if patch.merge => {
                let base: Value = serde_json::from_str(&first.metadata).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
                filter::merge(&base, given).to_string().into()
            }
            Some(given) => given.to_string().into(),
        };
        let mut next = patch.rows.clone().unwrap_or(current);
        for row in &mut next {
            row.metadata = Arc::clone(&metadata);
            row.created_at = first.created_at;
            row.updated_at = patch.now;
            row.expires_at = patch.expires_at.unwrap_or(first.expires_at);
        }
        known.next = Some(next);
        known.removed = true;
        Ok(Done::Updated)
    }

    fn delete(&mut self, ids: &[Arc<str>]) -> usize {
        let mut deleted = 0;
        for id in ids {
            if let Some(known) = self.documents.get_mut(id) {
                deleted += usize::from(known.exists(self.now));
                known.next = None;
                known.removed = true;
            }
        }
        deleted
    }

    /// Removes rows, and counts their documents.
    async fn remove_rows(&mut self, table: &Table, dataset: &Arc<Dataset>, rows: &RowAddrTreeMap) -> Result<Done> {
        let mut scan = dataset.scan();
        scan.project(&[rows::ID]).map_err(|error| table.failed(&error))?;
        scan.with_row_id().with_row_id_prefilter(lance::dataset::scanner::RowAddrMask::from_allowed(rows.clone()));
        let found = table.read(scan).await?;
        let documents: HashSet<&str> = found.iter().map(|(_, row)| &*row.id).collect();
        self.removed.extend(found.iter().map(|(address, _)| *address));
        Ok(Done::Deleted(documents.len()))
    }

    /// Writes the new rows and commits, or does nothing when nothing changes.
    async fn commit(self, table: &Table, dataset: &Arc<Dataset>) -> lance::Result<Option<Arc<Dataset>>> {
        let mut removed = self.removed;
        let mut new = Vec::new();
        for known in self.documents.into_values() {
            if known.removed {
                removed.extend(known.addresses);
            }
            new.extend(known.next.into_iter().flatten());
        }
        if removed.is_empty() && new.is_empty() {
            return Ok(None);
        }
        let written = if new.is_empty() { Vec::new() } else { write(table, dataset, &new).await? };
        let mut affected = RowAddrTreeMap::new();
        let operation = if removed.is_empty() {
            Operation::Append { fragments: written }
        } else {
            let mut by_fragment: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for address in &removed {
                affected.insert(*address);
                by_fragment.entry(address >> 32).or_default().push(*address as u32);
            }
            let (mut updated_fragments, mut removed_fragment_ids) = (Vec::new(), Vec::new());
            for fragment in dataset.get_fragments() {
                let Some(offsets) = by_fragment.remove(&(fragment.id() as u64)) else { continue };
                let id = fragment.id() as u64;
                match fragment.extend_deletions(offsets).await? {
                    Some(fragment) => updated_fragments.push(fragment.metadata().clone()),
                    None => removed_fragment_ids.push(id),
                }
            }
            if written.is_empty() {
                Operation::Delete {
                    updated_fragments,
                    deleted_fragment_ids: removed_fragment_ids,
                    predicate: "documents removed".to_owned(),
                }
            } else {
                Operation::Update {
                    removed_fragment_ids,
                    updated_fragments,
                    new_fragments: written,
                    fields_modified: Vec::new(),
                    compacted_sstables: Vec::new(),
                    fields_for_preserving_frag_bitmap: Vec::new(),
                    update_mode: None,
                    inserted_rows_filter: None,
                    updated_fragment_offsets: None,
                }
            }
        };
        let transaction = Transaction::new(dataset.manifest().version, operation, None);
        let mut builder = CommitBuilder::new(Arc::clone(dataset)).with_skip_auto_cleanup(true);
        if !removed.is_empty() {
            builder = builder.with_affected_rows(affected);
        }
        builder.execute(transaction).await.map(|newest| Some(Arc::new(newest)))
    }
}

/// Writes rows into files that no version names yet.
async fn write(table: &Table, dataset: &Arc<Dataset>, new: &[Row]) -> lance::Result<Vec<lance_table::format::Fragment>> {
    let batch =
        rows::batch(&table.schema, table.dimensions, new).map_err(|error| lance::Error::invalid_input(error.to_string()))?;
    let params = WriteParams { mode: WriteMode::Append, ..WriteParams::default() };
    let written = InsertBuilder::new(Arc::clone(dataset)).with_params(&params).execute_uncommitted(vec![batch]).await?;
    match written.operation {
        Operation::Append { fragments } => Ok(fragments),
        other => Err(lance::Error::internal(format!("rows were written as {other:?}"))),
    }
}
