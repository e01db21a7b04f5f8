//! Looking at jobs, on the reader's connection: nothing here writes.

use std::collections::HashMap;
use std::sync::Arc;

use master_agent_core::{JobId, JobPolicy, JobRef, JobState, WorkerId};
use master_agent_store::{Cursor, JobView, LaneCount, ListQuery, LogLine, MAX_PAGE, Page, QueueCounts, WorkerView};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::jobs::control::not_found;
use crate::jobs::{state_code, state_from, state_of};
use crate::tx::{Outcome, kind_of, read_policy};

fn queue_no(connection: &Connection, queue: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT id FROM queues WHERE name = ?1")?.query_row([queue], |row| row.get(0)).optional()
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Box<str>>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(Into::into))
}

/// Reads jobs by their numbers; lanes and policies repeat and are shared.
struct Reader<'c> {
    connection: &'c Connection,
    lanes: HashMap<i64, Arc<str>>,
    policies: HashMap<Box<str>, Arc<JobPolicy>>,
}

impl<'c> Reader<'c> {
    fn new(connection: &'c Connection) -> Self {
        Self { connection, lanes: HashMap::new(), policies: HashMap::new() }
    }

    fn lane(&mut self, no: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(name) = self.lanes.get(&no) {
            return Ok(Arc::clone(name));
        }
        let mut find = self.connection.prepare_cached("SELECT name FROM lanes WHERE id = ?1")?;
        let name: Arc<str> = find.query_row([no], |row| Ok(row.get_ref(0)?.as_str()?.into()))?;
        self.lanes.insert(no, Arc::clone(&name));
        Ok(name)
    }

    fn view(&mut self, queue: i64, id: i64) -> rusqlite::Result<Option<JobView>> {
        let mut find = self.connection.prepare_cached(include_str!("../sql/view.sql"))?;
        let mut rows = find.query(params![id, queue])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let lane_no: i64 = row.get(0)?;
        let priority: i64 = row.get(1)?;
        let ended: Option<i64> = row.get(13)?;
        let state = match ended {
            Some(code) => state_from(code),
            None => state_of(self.connection, id, lane_no, priority)?,
        };
        let value = text(row, 16)?;
        let completed = state == JobState::Completed;
        Ok(Some(JobView {
            id: JobId(id),
            key: text(row, 6)?,
            lane: self.lane(lane_no)?,
            task_id: text(row, 7)?,
            parent_id: text(row, 8)?,
            data_json: text(row, 12)?.unwrap_or_default(),
            meta_json: text(row, 11)?,
            policy: read_policy(&mut self.policies, row.get_ref(9)?.as_str_or_null()?),
            state,
            priority: priority as u32,
            failures: row.get(4)?,
            stalls: row.get(5)?,
            added_at: row.get(2)?,
            run_at: row.get(3)?,
            started_at: row.get::<_, Option<i64>>(14)?.or(row.get(17)?),
            finished_at: row.get(15)?,
            result_json: if completed { value.clone() } else { None },
            error_json: if ended.is_some() && !completed { value } else { text(row, 18)? },
            progress_json: text(row, 10)?,
            worker: row.get::<_, Option<i64>>(19)?.map(WorkerId),
        }))
    }
}

pub(crate) fn jobs(connection: &Connection, queue: &str, jobs: &[JobRef]) -> Outcome<Vec<Option<JobView>>> {
    let Some(queue) = queue_no(connection, queue)? else { return Ok(vec![None; jobs.len()]) };
    let mut reader = Reader::new(connection);
    let mut views = Vec::with_capacity(jobs.len());
    for job in jobs {
        let id = match job {
            JobRef::Id(id) => Some(id.0),
            JobRef::Key(key) => connection
                .prepare_cached("SELECT id FROM jobs WHERE queue = ?1 AND key = ?2")?
                .query_row(params![queue, key], |row| row.get(0))
                .optional()?,
        };
        views.push(match id {
            Some(id) => reader.view(queue, id)?,
            None => None,
        });
    }
    Ok(views)
}

pub(crate) fn list(connection: &Connection, query: &ListQuery) -> Outcome<Page> {
    let Some(queue) = queue_no(connection, &query.queue)? else { return Ok(Page::default()) };
    let limit = query.limit.clamp(1, MAX_PAGE);
    let lane = match &query.lane {
        None => None,
        Some(name) => {
            let mut find = connection.prepare_cached("SELECT id FROM lanes WHERE queue = ?1 AND name = ?2")?;
            match find.query_row(params![queue, &**name], |row| row.get::<_, i64>(0)).optional()? {
                Some(no) => Some(no),
                None => return Ok(Page::default()),
            }
        }
    };
    // One more than asked for tells whether there is a next page.
    let mut places = places(connection, queue, lane, query.state, query.cursor, limit as i64 + 1)?;
    let more = places.len() > limit;
    places.truncate(limit);
    let next = if more { places.last().map(|(cursor, _)| *cursor) } else { None };
    let mut reader = Reader::new(connection);
    let mut page = Page { jobs: Vec::with_capacity(places.len()), next };
    for (_, id) in places {
        page.jobs.extend(reader.view(queue, id)?);
    }
    Ok(page)
}

/// The places and ids of the jobs of a page, in order.
fn places(
    connection: &Connection,
    queue: i64,
    lane: Option<i64>,
    state: JobState,
    cursor: Option<Cursor>,
    limit: i64,
) -> rusqlite::Result<Vec<(Cursor, i64)>> {
    let place = |row: &Row<'_>| Ok((Cursor(row.get(0)?, row.get(1)?), row.get(2)?));
    let Cursor(a, b) = cursor.unwrap_or(Cursor(i64::MIN, i64::MIN));
    match state {
        JobState::Waiting => {
            let lanes: Vec<i64> = match lane {
                Some(lane) => vec![lane],
                None => connection
                    .prepare_cached("SELECT id FROM lanes WHERE queue = ?1")?
                    .query_map([queue], |row| row.get(0))?
                    .collect::<Result<_, _>>()?,
            };
            // The page is among the first `limit` of every lane.
            let mut merged = Vec::new();
            for lane in lanes {
                let mut heads = connection.prepare_cached(include_str!("../sql/list_waiting.sql"))?;
                let found = heads.query_map(params![lane, a, b, limit], place)?;
                merged.extend(found.collect::<Result<Vec<_>, _>>()?);
            }
            merged.sort_unstable();
            merged.truncate(limit as usize);
            Ok(merged)
        }
        JobState::Delayed => connection
            .prepare_cached(include_str!("../sql/list_delayed.sql"))?
            .query_map(params![queue, lane, a, b, limit], place)?
            .collect(),
        JobState::Active => connection
            .prepare_cached(include_str!("../sql/list_active.sql"))?
            .query_map(params![queue, lane, b, limit], place)?
            .collect(),
        _ => connection
            .prepare_cached(include_str!("../sql/list_ended.sql"))?
            .query_map(
                params![queue, kind_of(state), state_code(state), lane, cursor.map_or(i64::MAX, |cursor| cursor.0), limit],
                place,
            )?
            .collect(),
    }
}

pub(crate) fn counts(connection: &Connection, queue: &str) -> Outcome<QueueCounts> {
    let mut find = connection.prepare_cached("SELECT id, paused FROM queues WHERE name = ?1")?;
    let Some((queue, paused)) = find.query_row([queue], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()? else {
        return Ok(QueueCounts::default());
    };
    let mut read = connection.prepare_cached(include_str!("../sql/counts.sql"))?;
    let lanes = read
        .query_map([queue], |row| {
            Ok(LaneCount {
                lane: row.get_ref(0)?.as_str()?.into(),
                state: state_from(row.get(1)?),
                count: row.get::<_, i64>(2)?.max(0) as u64,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(QueueCounts { paused, lanes })
}

pub(crate) fn queues(connection: &Connection) -> Outcome<Vec<Arc<str>>> {
    let mut read = connection.prepare_cached("SELECT name FROM queues ORDER BY name")?;
    Ok(read.query_map([], |row| Ok(row.get_ref(0)?.as_str()?.into()))?.collect::<Result<_, _>>()?)
}

pub(crate) fn logs(connection: &Connection, queue: &str, job: &JobRef, after: i64, limit: usize) -> Outcome<Vec<LogLine>> {
    let found = jobs(connection, queue, std::slice::from_ref(job))?;
    let Some(Some(found)) = found.into_iter().next() else { return Err(not_found(queue, job).into()) };
    let mut read =
        connection.prepare_cached("SELECT seq, at, line FROM logs WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?;
    let lines = read
        .query_map(params![found.id.0, after, limit.clamp(1, MAX_PAGE) as i64], |row| {
            Ok(LogLine { seq: row.get(0)?, at: row.get(1)?, line: row.get_ref(2)?.as_str()?.into() })
        })?
        .collect::<Result<_, _>>()?;
    Ok(lines)
}

pub(crate) fn workers(connection: &Connection, queue: &str) -> Outcome<Vec<WorkerView>> {
    let mut read = connection.prepare_cached(include_str!("../sql/workers.sql"))?;
    let workers = read
        .query_map([queue], |row| {
            Ok(WorkerView {
                worker: WorkerId(row.get(0)?),
                queue: row.get_ref(1)?.as_str()?.into(),
                name: row.get_ref(2)?.as_str()?.into(),
                concurrency: row.get(3)?,
                started_at: row.get(4)?,
                beat_at: row.get(5)?,
                lease_until: row.get(6)?,
                running: row.get::<_, i64>(7)? as u64,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(workers)
}
