//! The operations that only look.

use std::sync::Arc;

use master_agent_core::{JobId, JobRef, WorkerId};
use master_agent_store::{
    Cursor, Departed, JobView, LaneCount, ListQuery, LogLine, MAX_PAGE, Page, QueueCounts, Reply, StoreError, WorkerView,
};
use redis::Value;

use crate::blob::{self, Shown, WIDTH, digit, state_of};
use crate::error::broken;
use crate::jobs::push_ref;
use crate::names::Queue;
use crate::script::{Call, Script};
use crate::shared::Shared;
use crate::{RedisStore, value};

/// How many jobs one call looks up, so that none holds Redis for long.
const SLICE: usize = 200;

pub(crate) fn not_found(queue: &str, job: &JobRef) -> StoreError {
    let id = match job {
        JobRef::Id(id) => id.to_string(),
        JobRef::Key(key) => key.to_string(),
    };
    StoreError::NotFound { queue: queue.to_owned(), id }
}

fn read_view(shared: &Shared, found: &Value) -> Result<Option<JobView>, StoreError> {
    let parts = value::list(found);
    if parts.is_empty() {
        return Ok(None);
    }
    let wrong = || broken(shared.link().place(), "a job");
    let part = |index: usize| parts.get(index).ok_or_else(wrong);
    let maybe = |value: &Value| value::text(value).filter(|text| !text.is_empty()).map(Into::into);
    let shown = Shown {
        id: JobId(value::integer(part(0)?).ok_or_else(wrong)?),
        state: value::bytes(part(1)?).first().copied().and_then(state_of).ok_or_else(wrong)?,
        record: value::bytes(part(3)?),
        run_at: value::integer(part(4)?),
        error: maybe(part(5)?),
        progress: maybe(part(6)?),
    };
    let blob = blob::decode(value::bytes(part(2)?), &shared.names).ok_or_else(wrong)?;
    blob::view(blob, shown).ok_or_else(wrong).map(Some)
}

/// Look-ups that go on over several calls.
struct Lookup {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    jobs: Vec<JobRef>,
    found: Vec<Option<JobView>>,
    reply: Reply<Vec<Option<JobView>>>,
}

impl Lookup {
    fn go(mut self) {
        let from = self.found.len();
        let slice = &self.jobs[from..(from + SLICE).min(self.jobs.len())];
        let mut call = Call::script(Script::Jobs, &[&self.queue.meta]);
        for job in slice {
            push_ref(&mut call, job);
        }
        let (shared, wanted) = (Arc::clone(&self.shared), slice.len());
        let done = move |outcome: Result<Value, StoreError>| {
            let read = outcome.and_then(|found| {
                let views = value::list(&found);
                (0..wanted).map(|index| views.get(index).map_or(Ok(None), |view| read_view(&self.shared, view))).collect()
            });
            match read {
                Ok::<Vec<_>, _>(views) => {
                    self.found.extend(views);
                    if self.found.len() < self.jobs.len() { self.go() } else { (self.reply)(Ok(self.found)) }
                }
                Err(error) => (self.reply)(Err(error)),
            }
        };
        shared.link().submit(call, None, Box::new(done));
    }
}

pub(crate) fn jobs(store: &RedisStore, queue: &Arc<str>, jobs: &[JobRef], reply: Reply<Vec<Option<JobView>>>) {
    let queue = store.queue(queue);
    Lookup { shared: Arc::clone(&store.shared), queue, jobs: jobs.to_vec(), found: Vec::new(), reply }.go();
}

pub(crate) fn departed(store: &RedisStore, queue: &Arc<str>, jobs: &[JobRef], reply: Reply<Vec<Option<Departed>>>) {
    let queue = store.queue(queue);
    let shared = Arc::clone(&store.shared);
    let mut call = Call::script(Script::Departed, &[&queue.meta]);
    for job in jobs {
        push_ref(&mut call, job);
    }
    let wanted = jobs.len();
    store.run(call, reply, move |found| {
        let parts = value::list(&found);
        let one = |index: usize| {
            let (Some(id), Some(record)) = (parts.get(2 * index), parts.get(2 * index + 1)) else { return Ok(None) };
            if *id == Value::Nil || *record == Value::Nil {
                return Ok(None);
            }
            let id = value::integer(id).map(JobId);
            let departed = id.and_then(|id| blob::departed(id, value::bytes(record), &shared.names));
            departed.map(Some).ok_or_else(|| broken(shared.link().place(), "how a job ended"))
        };
        (0..wanted).map(one).collect()
    });
}

/// A page that is gathered over several calls.
struct Listing {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    query: ListQuery,
    limit: usize,
    page: Page,
    reply: Reply<Page>,
}

impl Listing {
    fn go(mut self, cursor: Option<Cursor>) {
        let mut call = Call::script(Script::List, &[&self.queue.meta]).with([digit(self.query.state)]);
        match &self.query.lane {
            Some(lane) => call.push2(b"L", lane.as_bytes()),
            None => call.push(b""),
        }
        call.number((self.limit - self.page.jobs.len()) as i64);
        match cursor {
            Some(Cursor(a, b)) => {
                call.number(a);
                call.number(b);
            }
            None => {
                call.push(b"");
                call.push(b"");
            }
        }
        let shared = Arc::clone(&self.shared);
        let done = move |outcome: Result<Value, StoreError>| match outcome.and_then(|found| self.take(&found)) {
            Ok(Some(cursor)) => self.go(Some(cursor)),
            Ok(None) => (self.reply)(Ok(self.page)),
            Err(error) => (self.reply)(Err(error)),
        };
        shared.link().submit(call, None, Box::new(done));
    }

    /// Adds what was found; answers where the search goes on.
    fn take(&mut self, found: &Value) -> Result<Option<Cursor>, StoreError> {
        let parts = value::list(found);
        let head = parts.first().map(value::list).unwrap_or_default();
        let mut last = None;
        for (place, view) in
            head.get(2..).unwrap_or_default().chunks_exact(2).zip(parts.get(1).map(value::list).unwrap_or_default())
        {
            last = value::integer(&place[0]).zip(value::integer(&place[1])).map(|(a, b)| Cursor(a, b));
            self.page.jobs.extend(read_view(&self.shared, view)?);
        }
        if head.get(1).and_then(value::text) == Some("1") {
            self.page.next = last;
            return Ok(None);
        }
        let go_on = head.first().and_then(value::text).and_then(|text| text.split_once(' '));
        Ok(go_on.and_then(|(a, b)| Some(Cursor(a.parse().ok()?, b.parse().ok()?))))
    }
}

pub(crate) fn list(store: &RedisStore, query: ListQuery, reply: Reply<Page>) {
    let queue = store.queue(&query.queue);
    let (limit, cursor) = (query.limit.clamp(1, MAX_PAGE), query.cursor);
    Listing { shared: Arc::clone(&store.shared), queue, query, limit, page: Page::default(), reply }.go(cursor);
}

pub(crate) fn counts(store: &RedisStore, queue: &Arc<str>, reply: Reply<QueueCounts>) {
    let queue = store.queue(queue);
    let shared = Arc::clone(&store.shared);
    let call = Call::command(&[b"HGETALL", format!("{}n", queue.prefix).as_bytes()]);
    let done = move |outcome: Result<Value, StoreError>| match outcome {
        Ok(found) => {
            let mut lanes: Vec<LaneCount> = value::pairs(&found)
                .into_iter()
                .filter_map(|(field, count)| {
                    let state = state_of(*field.as_bytes().first()?)?;
                    let count = count.parse::<u64>().ok().filter(|count| *count > 0)?;
                    Some(LaneCount { lane: shared.names.lane(field.get(1..)?), state, count })
                })
                .collect();
            lanes.sort_by(|a, b| (&a.lane, a.state).cmp(&(&b.lane, b.state)));
            let call = Call::command(&[b"HGET", &queue.meta, b"p"]);
            shared.run(call, reply, move |paused| Ok(QueueCounts { paused: paused != Value::Nil, lanes }));
        }
        Err(error) => reply(Err(error)),
    };
    store.link().submit(call, None, Box::new(done));
}

pub(crate) fn logs(store: &RedisStore, queue: &Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>) {
    let queue = store.queue(queue);
    let mut call = Call::script(Script::Logs, &[&queue.meta]);
    push_ref(&mut call, &job);
    call.number(after.max(0));
    call.number(limit.clamp(1, MAX_PAGE) as i64);
    store.run(call, reply, move |found| {
        if found == Value::Nil {
            return Err(not_found(&queue.name, &job));
        }
        let line = |text: &str| {
            let (seq, at) = (text.get(..WIDTH)?.parse().ok()?, text.get(WIDTH..2 * WIDTH)?.parse().ok()?);
            Some(LogLine { seq, at, line: text.get(2 * WIDTH..)?.into() })
        };
        Ok(value::texts(&found).filter_map(line).collect())
    });
}

pub(crate) fn workers(store: &RedisStore, queue: &Arc<str>, reply: Reply<Vec<WorkerView>>) {
    let queue = store.queue(queue);
    let call = Call::script(Script::Workers, &[&queue.meta]);
    store.run(call, reply, move |found| {
        let worker = |triple: &[Value]| {
            let text = value::text(&triple[1])?;
            let at = |from: usize| text.get(from..from + WIDTH)?.parse().ok();
            Some(WorkerView {
                worker: WorkerId(value::integer(&triple[0])?),
                queue: Arc::clone(&queue.name),
                name: text.get(58..)?.into(),
                concurrency: text.get(48..58)?.parse().ok()?,
                running: u64::try_from(value::integer(&triple[2])?).ok()?,
                started_at: at(2 * WIDTH)?,
                beat_at: at(WIDTH)?,
                lease_until: at(0)?,
            })
        };
        let mut workers: Vec<WorkerView> = value::list(&found).chunks_exact(3).filter_map(worker).collect();
        workers.sort_by_key(|view| (view.started_at, view.worker));
        Ok(workers)
    });
}
