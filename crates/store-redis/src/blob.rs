//! A job as one text of bytes, and its records. The places of the fields are in `lua/common.lua`, which reads some of them.

use std::sync::{Arc, LazyLock};

use master_agent_core::{Backoff, BackoffKind, JobId, JobPolicy, JobState, Keep, Millis, Token, WorkerId};
use master_agent_store::{ClaimedJob, Departed, JobView, NewJob};

use crate::names::Names;

static DEFAULT_POLICY: LazyLock<Arc<JobPolicy>> = LazyLock::new(|| Arc::new(JobPolicy::DEFAULT));

/// The width of numbers that are compared as text.
pub(crate) const WIDTH: usize = 16;
/// The highest number that Lua holds exactly.
pub(crate) const MAX_EXACT: i64 = (1 << 53) - 1;

/// Times and tokens in the fixed width of records.
pub(crate) fn padded(number: i64) -> String {
    format!("{:016}", number.clamp(0, MAX_EXACT))
}

fn push_text16(out: &mut Vec<u8>, text: Option<&str>) {
    let text = text.map(str::as_bytes);
    out.extend_from_slice(&text.map_or(0, |text| text.len() as u16 + 1).to_be_bytes());
    out.extend_from_slice(text.unwrap_or_default());
}

fn bound(number: Option<u64>) -> i64 {
    number.map_or(-1, |number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn push_policy(out: &mut Vec<u8>, policy: &JobPolicy) {
    if *policy == JobPolicy::DEFAULT {
        return out.push(0);
    }
    out.push(1);
    out.extend_from_slice(&policy.max_stalls.to_be_bytes());
    for keep in [policy.remove_on_fail, policy.remove_on_complete] {
        out.extend_from_slice(&bound(keep.count).to_be_bytes());
        out.extend_from_slice(&keep.age.unwrap_or(-1).to_be_bytes());
    }
    out.extend_from_slice(&policy.attempts.to_be_bytes());
    out.push(u8::from(policy.backoff.kind == BackoffKind::Exponential));
    out.extend_from_slice(&policy.backoff.delay.to_be_bytes());
    out.extend_from_slice(&policy.backoff.max_delay.to_be_bytes());
    out.extend_from_slice(&policy.backoff.jitter.to_bits().to_be_bytes());
    out.extend_from_slice(&policy.timeout.unwrap_or(-1).to_be_bytes());
}

/// Writes a job that is added at `now`.
pub(crate) fn encode(job: &NewJob, now: Millis) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + job.data_json.len() + job.lane.len());
    out.push(if job.key.is_some() { b'1' } else { b'0' });
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&job.priority.to_be_bytes());
    out.extend_from_slice(&(job.data_json.len() as u32).to_be_bytes());
    out.extend_from_slice(&now.to_be_bytes());
    push_policy(&mut out, &job.policy);
    out.extend_from_slice(&(job.lane.len() as u16).to_be_bytes());
    out.extend_from_slice(job.lane.as_bytes());
    push_text16(&mut out, job.key.as_deref());
    push_text16(&mut out, job.task_id.as_deref());
    push_text16(&mut out, job.parent_id.as_deref());
    let meta = job.meta_json.as_deref().map(str::as_bytes);
    out.extend_from_slice(&meta.map_or(0, |meta| meta.len() as u32 + 1).to_be_bytes());
    out.extend_from_slice(meta.unwrap_or_default());
    out.extend_from_slice(job.data_json.as_bytes());
    out
}

/// A job that was read.
pub(crate) struct Blob {
    pub(crate) failures: u32,
    pub(crate) stalls: u32,
    pub(crate) priority: u32,
    pub(crate) added_at: Millis,
    pub(crate) policy: Arc<JobPolicy>,
    pub(crate) lane: Arc<str>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) task_id: Option<Box<str>>,
    pub(crate) parent_id: Option<Box<str>>,
    pub(crate) meta_json: Option<Box<str>>,
    pub(crate) data_json: Box<str>,
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<usize> {
        self.take(2)?.try_into().ok().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_be_bytes)
    }

    fn text(&mut self, n: usize) -> Option<&'b str> {
        std::str::from_utf8(self.take(n)?).ok()
    }

    fn maybe(&mut self, length: usize) -> Option<Option<Box<str>>> {
        if length == 0 { Some(None) } else { self.text(length - 1).map(|text| Some(text.into())) }
    }

    fn maybe16(&mut self) -> Option<Option<Box<str>>> {
        let length = self.u16()?;
        self.maybe(length)
    }

    fn keep(&mut self) -> Option<Keep> {
        let (count, age) = (self.i64()?, self.i64()?);
        Some(Keep { count: u64::try_from(count).ok(), age: (age >= 0).then_some(age) })
    }

    fn policy(&mut self) -> Option<Arc<JobPolicy>> {
        if self.u8()? == 0 {
            return Some(Arc::clone(&DEFAULT_POLICY));
        }
        let max_stalls = self.u32()?;
        let (remove_on_fail, remove_on_complete) = (self.keep()?, self.keep()?);
        let attempts = self.u32()?;
        let kind = if self.u8()? == 1 { BackoffKind::Exponential } else { BackoffKind::Fixed };
        let (delay, max_delay) = (self.i64()?, self.i64()?);
        let jitter = f64::from_bits(self.i64()? as u64);
        let timeout = self.i64().map(|timeout| (timeout >= 0).then_some(timeout))?;
        let backoff = Backoff { kind, delay, max_delay, jitter };
        Some(Arc::new(JobPolicy { attempts, backoff, timeout, max_stalls, remove_on_complete, remove_on_fail }))
    }
}

/// Reads a job; `None` where it is not one.
pub(crate) fn decode(bytes: &[u8], names: &Names) -> Option<Blob> {
    let mut reader = Reader(bytes);
    reader.u8()?;
    let (failures, stalls, priority) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let data = reader.u32()? as usize;
    let added_at = reader.i64()?;
    let policy = reader.policy()?;
    let lane = reader.u16()?;
    let lane = names.lane(reader.text(lane)?);
    let (key, task_id, parent_id) = (reader.maybe16()?, reader.maybe16()?, reader.maybe16()?);
    let meta = reader.u32()? as usize;
    let meta_json = reader.maybe(meta)?;
    let data_json = reader.text(data)?.into();
    Some(Blob { failures, stalls, priority, added_at, policy, lane, key, task_id, parent_id, meta_json, data_json })
}

impl Blob {
    pub(crate) fn claimed(self, id: JobId, token: Token) -> ClaimedJob {
        let Self { failures, stalls, priority, added_at, policy, lane, key, task_id, parent_id, meta_json, data_json } = self;
        ClaimedJob {
            id,
            token,
            lane,
            key,
            task_id,
            parent_id,
            data_json,
            meta_json,
            priority,
            added_at,
            policy,
            failures,
            stalls,
        }
    }
}

/// What a view is made of.
pub(crate) struct Shown<'v> {
    pub(crate) id: JobId,
    pub(crate) state: JobState,
    pub(crate) record: &'v [u8],
    pub(crate) run_at: Option<Millis>,
    pub(crate) error: Option<Box<str>>,
    pub(crate) progress: Option<Box<str>>,
}

fn number(bytes: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

/// How a state is written. Never renumbered.
pub(crate) fn digit(state: JobState) -> u8 {
    match state {
        JobState::Waiting => b'0',
        JobState::Delayed => b'1',
        JobState::Active => b'2',
        JobState::Completed => b'3',
        JobState::Failed => b'4',
        JobState::Cancelled => b'5',
        JobState::Dead => b'6',
    }
}

pub(crate) fn state_of(code: u8) -> Option<JobState> {
    JobState::ALL.into_iter().find(|state| digit(*state) == code)
}

/// Reads how a job ended that is not kept; `None` where it is not that.
pub(crate) fn departed(id: JobId, record: &[u8], names: &Names) -> Option<Departed> {
    let mut reader = Reader(record);
    let state = state_of(reader.u8()?)?;
    let finished_at = reader.text(WIDTH)?.parse().ok()?;
    let started_at = reader.text(WIDTH)?.parse().ok().filter(|at| *at > 0);
    let length = reader.u32()? as usize;
    let Blob { key, lane, task_id, parent_id, failures, added_at, .. } = decode(reader.take(length)?, names)?;
    let value = std::str::from_utf8(reader.0).ok()?;
    let value_json = (!value.is_empty()).then(|| value.into());
    Some(Departed { id, key, lane, task_id, parent_id, state, failures, added_at, started_at, finished_at, value_json })
}

/// Puts a view together.
pub(crate) fn view(blob: Blob, shown: Shown<'_>) -> Option<JobView> {
    let Shown { id, state, record, run_at, mut error, progress } = shown;
    let at = |from: usize| number(record.get(from..from + WIDTH));
    let (mut started_at, mut finished_at, mut result, mut worker) = (None, None, None, None);
    if state == JobState::Active {
        worker = Some(WorkerId(at(16)?));
        started_at = at(33);
    } else if state.is_final() {
        finished_at = at(2);
        started_at = at(34).filter(|claimed| *claimed > 0);
        let lane = usize::try_from(number(record.get(50..54))?).ok()?;
        let value = std::str::from_utf8(record.get(54 + lane..)?).ok()?;
        let value = (!value.is_empty()).then(|| value.into());
        if state == JobState::Completed {
            result = value;
        } else {
            error = value;
        }
    }
    Some(JobView {
        id,
        key: blob.key,
        lane: blob.lane,
        task_id: blob.task_id,
        parent_id: blob.parent_id,
        data_json: blob.data_json,
        meta_json: blob.meta_json,
        policy: blob.policy,
        state,
        priority: blob.priority,
        failures: blob.failures,
        stalls: blob.stalls,
        added_at: blob.added_at,
        run_at,
        started_at,
        finished_at,
        result_json: result,
        error_json: error,
        progress_json: progress,
        worker,
    })
}
