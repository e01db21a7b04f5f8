//! One write transaction: the connection, the numbers and names that it works with, and the counts
//! that it changes, which are written once at its end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use master_agent_core::{JobPolicy, JobState, WorkerId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Failure;
use crate::jobs::state_code;
use crate::shared::Shared;

pub(crate) type Outcome<T> = Result<T, Failure>;

/// A queue's or lane's number in the file.
pub(crate) type QueueNo = i64;
pub(crate) type LaneNo = i64;

/// Completed jobs are kind 0, the failed family is kind 1.
pub(crate) type Kind = i64;

pub(crate) fn kind_of(state: JobState) -> Kind {
    i64::from(state != JobState::Completed)
}

static DEFAULT_POLICY: LazyLock<Arc<JobPolicy>> = LazyLock::new(|| Arc::new(JobPolicy::DEFAULT));

const MAX_POLICIES: usize = 256;

/// No version of the file.
const UNKNOWN: i64 = -1;

/// How long after the last write of another process one is taken to be there: it may come and go unseen by `peers`.
const OTHERS_STAY: Duration = Duration::from_secs(60);

/// What the writer remembers between transactions. Emptied when a transaction fails, and where
/// another process wrote: then only the policies, which have no home in the file, remain.
#[derive(Default)]
pub(crate) struct Cache {
    data_version: i64,
    queues: HashMap<Arc<str>, QueueNo>,
    lanes: HashMap<(QueueNo, Arc<str>), LaneNo>,
    lane_names: HashMap<LaneNo, (Arc<str>, Arc<str>)>,
    /// Lanes in which the last claim found less than it asked for.
    pub(crate) drained: HashSet<LaneNo>,
    /// Whose turn it is, by worker.
    pub(crate) turns: HashMap<WorkerId, usize>,
    policies: HashMap<Box<str>, Arc<JobPolicy>>,
    /// When another process was last found to have written.
    others_wrote: Option<Instant>,
}

impl Cache {
    /// Forgets everything. Who wrote since then is not known, and taken to be another process.
    pub(crate) fn clear(&mut self) {
        *self = Self { data_version: UNKNOWN, ..Self::default() };
    }

    /// At the start of a transaction: forgets what another process may have changed.
    pub(crate) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version: i64 = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.data_version {
            // 0 is no version: the file has just been opened.
            let others_wrote = if self.data_version == 0 { None } else { Some(Instant::now()) };
            let policies = std::mem::take(&mut self.policies);
            let turns = std::mem::take(&mut self.turns);
            *self = Self { data_version: version, policies, turns, others_wrote, ..Self::default() };
        }
        Ok(())
    }
}

struct Counters {
    job: i64,
    token: i64,
    ended: i64,
    revision: i64,
}

pub(crate) struct Tx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut Cache,
    shared: &'a Arc<Shared>,
    counters: Option<Counters>,
    counts: HashMap<(LaneNo, JobState), i64>,
    ended: HashMap<(QueueNo, Kind), i64>,
    ready: Vec<LaneNo>,
    // Rows changed before the transaction, and in it without news for other processes.
    changes_before: u64,
    quiet_changes: u64,
    is_shared: Option<bool>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a Connection, cache: &'a mut Cache, shared: &'a Arc<Shared>) -> Self {
        Self {
            connection,
            cache,
            shared,
            counters: None,
            counts: HashMap::new(),
            ended: HashMap::new(),
            ready: Vec::new(),
            changes_before: connection.total_changes(),
            quiet_changes: 0,
            is_shared: None,
        }
    }

    /// Does what other processes need not hear of: a claim, a beat. Were they woken by those, they would
    /// answer with claims and beats of their own, and idle processes would keep each other busy.
    pub(crate) fn quietly<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.connection.total_changes();
        let value = work(self);
        self.quiet_changes += self.connection.total_changes() - before;
        value
    }

    /// Whether something happened so far that other processes should hear of.
    pub(crate) fn has_news(&self) -> bool {
        self.connection.total_changes() - self.changes_before > self.quiet_changes
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.shared
    }

    /// Whether other processes use the file, or did a moment ago.
    pub(crate) fn is_shared(&mut self) -> bool {
        let (shared, others_wrote) = (self.shared, self.cache.others_wrote);
        *self
            .is_shared
            .get_or_insert_with(|| shared.has_peers() || others_wrote.is_some_and(|wrote| wrote.elapsed() < OTHERS_STAY))
    }

    fn counters(&mut self) -> rusqlite::Result<&mut Counters> {
        if self.counters.is_none() {
            let mut read = self.connection.prepare_cached("SELECT job, token, ended, revision FROM counters")?;
            self.counters = Some(read.query_row([], |row| {
                Ok(Counters { job: row.get(0)?, token: row.get(1)?, ended: row.get(2)?, revision: row.get(3)? })
            })?);
        }
        self.counters.as_mut().ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Takes `n` job numbers and returns the first.
    pub(crate) fn next_jobs(&mut self, n: usize) -> rusqlite::Result<i64> {
        let counters = self.counters()?;
        counters.job += n as i64;
        Ok(counters.job - n as i64 + 1)
    }

    pub(crate) fn next_token(&mut self) -> rusqlite::Result<i64> {
        let counters = self.counters()?;
        counters.token += 1;
        Ok(counters.token)
    }

    pub(crate) fn next_ended(&mut self) -> rusqlite::Result<i64> {
        let counters = self.counters()?;
        counters.ended += 1;
        Ok(counters.ended)
    }

    /// A number for something written to the state.
    pub(crate) fn next_revision(&mut self) -> rusqlite::Result<i64> {
        let counters = self.counters()?;
        counters.revision += 1;
        Ok(counters.revision)
    }

    /// The number of a queue, if it has ever held a job.
    pub(crate) fn find_queue(&mut self, name: &Arc<str>) -> rusqlite::Result<Option<QueueNo>> {
        if let Some(&no) = self.cache.queues.get(name) {
            return Ok(Some(no));
        }
        let mut find = self.connection.prepare_cached("SELECT id FROM queues WHERE name = ?1")?;
        let found = find.query_row([&**name], |row| row.get(0)).optional()?;
        if let Some(no) = found {
            self.cache.queues.insert(Arc::clone(name), no);
        }
        Ok(found)
    }

    pub(crate) fn queue(&mut self, name: &Arc<str>) -> rusqlite::Result<QueueNo> {
        if let Some(no) = self.find_queue(name)? {
            return Ok(no);
        }
        self.connection.prepare_cached("INSERT INTO queues (name) VALUES (?1)")?.execute([&**name])?;
        let no = self.connection.last_insert_rowid();
        self.cache.queues.insert(Arc::clone(name), no);
        Ok(no)
    }

    pub(crate) fn find_lane(
        &mut self,
        queue: QueueNo,
        queue_name: &Arc<str>,
        name: &Arc<str>,
    ) -> rusqlite::Result<Option<LaneNo>> {
        let key = (queue, Arc::clone(name));
        if let Some(&no) = self.cache.lanes.get(&key) {
            return Ok(Some(no));
        }
        let mut find = self.connection.prepare_cached("SELECT id FROM lanes WHERE queue = ?1 AND name = ?2")?;
        let found = find.query_row(params![queue, &**name], |row| row.get(0)).optional()?;
        if let Some(no) = found {
            self.cache.lanes.insert(key, no);
            self.cache.lane_names.insert(no, (Arc::clone(queue_name), Arc::clone(name)));
        }
        Ok(found)
    }

    pub(crate) fn lane(&mut self, queue: QueueNo, queue_name: &Arc<str>, name: &Arc<str>) -> rusqlite::Result<LaneNo> {
        if let Some(no) = self.find_lane(queue, queue_name, name)? {
            return Ok(no);
        }
        self.connection.prepare_cached("INSERT INTO lanes (queue, name) VALUES (?1, ?2)")?.execute(params![queue, &**name])?;
        let no = self.connection.last_insert_rowid();
        self.cache.lanes.insert((queue, Arc::clone(name)), no);
        self.cache.lane_names.insert(no, (Arc::clone(queue_name), Arc::clone(name)));
        Ok(no)
    }

    /// The names of a lane and its queue: `(queue, lane)`.
    pub(crate) fn lane_names(&mut self, lane: LaneNo) -> rusqlite::Result<(Arc<str>, Arc<str>)> {
        if let Some(names) = self.cache.lane_names.get(&lane) {
            return Ok(names.clone());
        }
        let mut find = self
            .connection
            .prepare_cached("SELECT q.name, l.name FROM lanes l JOIN queues q ON q.id = l.queue WHERE l.id = ?1")?;
        let names: (Arc<str>, Arc<str>) =
            find.query_row([lane], |row| Ok((row.get_ref(0)?.as_str()?.into(), row.get_ref(1)?.as_str()?.into())))?;
        self.cache.lane_names.insert(lane, names.clone());
        Ok(names)
    }

    pub(crate) fn policy(&mut self, text: Option<&str>) -> Arc<JobPolicy> {
        read_policy(&mut self.cache.policies, text)
    }

    pub(crate) fn policy_of(&mut self, job: i64) -> rusqlite::Result<Arc<JobPolicy>> {
        let mut read = self.connection.prepare_cached("SELECT policy FROM jobs WHERE id = ?1")?;
        let text: Option<String> = read.query_row([job], |row| row.get(0))?;
        Ok(self.policy(text.as_deref()))
    }

    /// Notes that `by` more (or fewer) jobs of the lane are in the state.
    pub(crate) fn count(&mut self, lane: LaneNo, state: JobState, by: i64) {
        *self.counts.entry((lane, state)).or_default() += by;
    }

    /// Notes that `by` more (or fewer) ended jobs are kept in the queue.
    pub(crate) fn count_ended(&mut self, queue: QueueNo, kind: Kind, by: i64) {
        *self.ended.entry((queue, kind)).or_default() += by;
    }

    /// How many ended jobs the queue keeps, this transaction's included.
    pub(crate) fn ended_count(&self, queue: QueueNo, kind: Kind) -> rusqlite::Result<i64> {
        let mut read = self.connection.prepare_cached("SELECT n FROM ended_counts WHERE queue = ?1 AND kind = ?2")?;
        let before: i64 = read.query_row(params![queue, kind], |row| row.get(0)).optional()?.unwrap_or(0);
        Ok(before + self.ended.get(&(queue, kind)).copied().unwrap_or(0))
    }

    /// Notes that a job can be claimed from the lane.
    pub(crate) fn ready(&mut self, lane: LaneNo) {
        self.cache.drained.remove(&lane);
        if !self.ready.contains(&lane) {
            self.ready.push(lane);
        }
    }

    /// Tells the listener which lanes got jobs, inside the transaction, so that a claim can join it.
    pub(crate) fn announce_ready(&mut self) {
        let mut by_queue: Vec<(Arc<str>, Vec<Arc<str>>)> = Vec::new();
        for lane in std::mem::take(&mut self.ready) {
            let Ok((queue, lane)) = self.lane_names(lane) else { continue };
            match by_queue.iter_mut().find(|(name, _)| *name == queue) {
                Some((_, lanes)) => lanes.push(lane),
                None => by_queue.push((queue, vec![lane])),
            }
        }
        for (queue, lanes) in by_queue {
            self.shared.tell(|listener| listener.lanes_ready(&queue, &lanes));
        }
    }

    /// Writes the numbers and counts that changed.
    pub(crate) fn flush(&mut self) -> rusqlite::Result<()> {
        if let Some(Counters { job, token, ended, revision }) = self.counters.take() {
            self.connection
                .prepare_cached("UPDATE counters SET job = ?1, token = ?2, ended = ?3, revision = ?4")?
                .execute(params![job, token, ended, revision])?;
        }
        for ((lane, state), by) in self.counts.drain().filter(|(_, by)| *by != 0) {
            self.connection
                .prepare_cached("INSERT INTO counts VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + ?3")?
                .execute(params![lane, state_code(state), by])?;
        }
        for ((queue, kind), by) in self.ended.drain().filter(|(_, by)| *by != 0) {
            self.connection
                .prepare_cached("INSERT INTO ended_counts VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + ?3")?
                .execute(params![queue, kind, by])?;
        }
        Ok(())
    }
}

/// Policies repeat: equal texts share one. No text is the default policy.
pub(crate) fn read_policy(known: &mut HashMap<Box<str>, Arc<JobPolicy>>, text: Option<&str>) -> Arc<JobPolicy> {
    let Some(text) = text else { return Arc::clone(&DEFAULT_POLICY) };
    if let Some(policy) = known.get(text) {
        return Arc::clone(policy);
    }
    // A policy that this version cannot read gives way to the default rather than blocking its queue.
    let policy = Arc::new(serde_json::from_str(text).unwrap_or_default());
    if known.len() >= MAX_POLICIES {
        known.clear();
    }
    known.insert(text.into(), Arc::clone(&policy));
    policy
}
