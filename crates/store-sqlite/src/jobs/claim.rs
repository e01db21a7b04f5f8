//! Claiming: the heads of the lanes go to a worker.

use std::sync::Arc;

use master_agent_core::{JobId, JobState, Millis, Token};
use master_agent_store::{ClaimRequest, ClaimedJob};
use rusqlite::{OptionalExtension, Row, params};

use crate::jobs::lease;
use crate::tx::{LaneNo, Outcome, QueueNo, Tx};

pub(crate) fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Outcome<Vec<ClaimedJob>> {
    tx.quietly(|tx| claim_heads(tx, request))
}

fn claim_heads(tx: &mut Tx<'_>, request: &ClaimRequest) -> Outcome<Vec<ClaimedJob>> {
    let mut claimed = Vec::new();
    if request.free == 0 {
        return Ok(claimed);
    }
    let Some(queue) = tx.find_queue(&request.queue)? else { return Ok(claimed) };
    if tx.connection.prepare_cached("SELECT paused FROM queues WHERE id = ?1")?.query_row([queue], |row| row.get(0))? {
        return Ok(claimed);
    }
    let mut open = open_lanes(tx, request, queue)?;
    if open.is_empty() {
        return Ok(claimed);
    }
    lease::ensure(tx, request)?;
    // Taken with the first job: a claim that finds nothing writes nothing.
    let mut token = None;
    let mut bytes = 0_usize;
    // Every lane gets an equal share of the free slots, then what others left over.
    while claimed.len() < request.free && (claimed.is_empty() || bytes < request.max_bytes) && !open.is_empty() {
        let share = (request.free - claimed.len()).div_ceil(open.len());
        let mut still_open = Vec::with_capacity(open.len());
        for (lane, name, limit) in open {
            let want = share.min(limit).min(request.free - claimed.len());
            if want == 0 || (bytes >= request.max_bytes && !claimed.is_empty()) {
                continue;
            }
            let got = take(tx, request, (queue, lane), &name, want, &mut token, &mut bytes, &mut claimed)?;
            if got < want && (got == 0 || bytes < request.max_bytes) {
                tx.cache.drained.insert(lane);
            } else if limit > got {
                still_open.push((lane, name, limit - got));
            }
        }
        open = still_open;
    }
    Ok(claimed)
}

/// The lanes of the request that may hold jobs, beginning with the one whose turn it is, with their limits.
fn open_lanes(tx: &mut Tx<'_>, request: &ClaimRequest, queue: i64) -> Outcome<Vec<(LaneNo, Arc<str>, usize)>> {
    let lanes = request.lanes.len();
    if lanes == 0 {
        return Ok(Vec::new());
    }
    let turn = tx.cache.turns.entry(request.worker).or_default();
    let first = *turn % lanes;
    *turn = first + 1;
    let mut open = Vec::new();
    for index in (first..lanes).chain(0..first) {
        let name = &request.lanes[index];
        let limit = request.limits.iter().find(|(lane, _)| *lane == index).map_or(usize::MAX, |(_, limit)| *limit);
        if limit == 0 {
            continue;
        }
        if let Some(lane) = tx.find_lane(queue, &request.queue, name)?
            && !tx.cache.drained.contains(&lane)
        {
            open.push((lane, Arc::clone(name), limit));
        }
    }
    Ok(open)
}

#[expect(clippy::too_many_arguments, reason = "one step of the loop above, split off to be readable")]
fn take(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    (queue, lane): (i64, LaneNo),
    name: &Arc<str>,
    want: usize,
    token: &mut Option<i64>,
    bytes: &mut usize,
    claimed: &mut Vec<ClaimedJob>,
) -> Outcome<usize> {
    let connection = tx.connection;
    let mut heads = connection.prepare_cached(include_str!("../sql/claim.sql"))?;
    let mut run = connection
        .prepare_cached("INSERT INTO running (id, token, worker, queue, lane, claimed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut rows = heads.query(params![lane, want as i64])?;
    let mut got = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let text =
            |column: usize| -> rusqlite::Result<Option<Box<str>>> { Ok(row.get_ref(column)?.as_str_or_null()?.map(Into::into)) };
        let id: i64 = row.get(0)?;
        let priority: i64 = row.get(1)?;
        let token = match *token {
            Some(token) => token,
            None => *token.insert(tx.next_token()?),
        };
        let data_json: Box<str> = row.get_ref(10)?.as_str()?.into();
        *bytes += data_json.len();
        claimed.push(ClaimedJob {
            id: JobId(id),
            token: Token(token),
            lane: Arc::clone(name),
            key: text(5)?,
            task_id: text(6)?,
            parent_id: text(7)?,
            data_json,
            meta_json: text(9)?,
            priority: priority as u32,
            added_at: row.get(2)?,
            policy: tx.policy(row.get_ref(8)?.as_str_or_null()?),
            failures: row.get(3)?,
            stalls: row.get(4)?,
        });
        run.execute(params![id, token, request.worker.0, queue, lane, request.now])?;
        got += 1;
        last = Some((priority, id));
        if *bytes >= request.max_bytes {
            break;
        }
    }
    drop(rows);
    if let Some((priority, id)) = last {
        connection
            .prepare_cached("DELETE FROM ready WHERE lane = ?1 AND (priority, id) <= (?2, ?3)")?
            .execute(params![lane, priority, id])?;
        tx.count(lane, JobState::Waiting, -(got as i64));
        tx.count(lane, JobState::Active, got as i64);
    }
    Ok(got)
}

/// A job that runs.
pub(crate) struct Held {
    pub(crate) id: i64,
    pub(crate) queue: QueueNo,
    pub(crate) lane: LaneNo,
    pub(crate) claimed_at: Millis,
    /// The error of the one who asked to cancel it.
    pub(crate) cancel: Option<Box<str>>,
}

impl Held {
    /// From the columns id, queue, lane, claimed_at and cancel.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let cancel = row.get_ref(4)?.as_str_or_null()?.map(Into::into);
        Ok(Self { id: row.get(0)?, queue: row.get(1)?, lane: row.get(2)?, claimed_at: row.get(3)?, cancel })
    }
}

/// The job, if the token is that of its current claim.
pub(crate) fn held(tx: &Tx<'_>, id: JobId, token: Token) -> Outcome<Option<Held>> {
    let sql = "SELECT id, queue, lane, claimed_at, cancel FROM running WHERE id = ?1 AND token = ?2";
    Ok(tx.connection.prepare_cached(sql)?.query_row(params![id.0, token.0], Held::read).optional()?)
}
