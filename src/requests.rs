//! What can be asked of a session beside its hot path, and how it is answered.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use master_agent_core::{ErrorCode, JobRef, JobState, Millis};
use master_agent_queue::{Handle, Lane, Session, WorkerOptions};
use master_agent_store::{
    Control, Controlled, Cursor, JobView, ListQuery, LogLine, NoteKind, Page, Reply, ServerInfo, Settled, StoreError, WorkerView,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::mailbox::Mailbox;
use crate::wire::{Fault, push_job, push_text};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Request {
    Start { concurrency: usize, lease: Millis, stall_timeout: Millis, agents: Vec<(String, Option<usize>)> },
    Agents { agents: Vec<(String, Option<usize>)> },
    Stop { timeout: Millis },
    Log { handle: Handle, line: String },
    Heartbeat { handle: Handle },
    Sync,
    Health { timeout: u64 },
    Events { on: bool },
    Get { ids: Vec<String> },
    List { state: JobState, agent_type: Option<String>, limit: usize, cursor: Option<Cursor> },
    Counts,
    Logs { id: String, after: i64, limit: usize },
    Workers,
    Queues,
    Pause,
    Resume,
    Drain { delayed: bool },
    Clean { state: JobState, age: Millis, limit: u64 },
    Retry { id: String },
    Promote { id: String },
    Remove { id: String },
    Cancel { id: String, reason: Option<String> },
    Obliterate { force: bool },
    Close { timeout: Millis },
}

/// Carries a request out; its answer goes to the mailbox under `number`, exactly once.
pub(crate) fn serve(session: &Arc<Session>, mailbox: &Arc<Mailbox>, number: u32, body: &str) -> Result<(), Fault> {
    let unreadable = |error: serde_json::Error| Fault::unreadable("request", &error);
    let answer = Answer { mailbox: Arc::clone(mailbox), number };
    if body.starts_with(r#"{"op":"progress","#) {
        let Progress { handle, value, .. } = serde_json::from_str(body).map_err(unreadable)?;
        session.note(handle, NoteKind::Progress { value_json: value.get().into() }, answer.held());
        return Ok(());
    }
    let request: Request = serde_json::from_str(body).map_err(unreadable)?;
    let store = session.store();
    let queue = Arc::clone(session.queue());
    match request {
        Request::Start { concurrency, lease, stall_timeout, agents } => {
            let options = WorkerOptions { concurrency, lease, stall_timeout, lanes: lanes(agents) };
            session.start(options, answer.with(|()| "null".to_owned()));
        }
        Request::Agents { agents } => {
            session.serve(lanes(agents));
            answer.give(Ok("null".to_owned()));
        }
        Request::Stop { timeout } => session.stop(timeout, answer.with(|n| format!(r#"{{"released":{n}}}"#))),
        Request::Close { timeout } => session.close(timeout, answer.with(|n| format!(r#"{{"released":{n}}}"#))),
        Request::Log { handle, line } => {
            session.note(handle, NoteKind::Log { at: session.now(), line: line.into() }, answer.held());
        }
        Request::Heartbeat { handle } => answer.held()(Ok(session.heartbeat(handle))),
        // Answered behind everything that was handed to the store before: what it claimed is in the mailbox by then.
        Request::Sync => store.note(Vec::new(), answer.with(|_: Vec<Settled>| "null".to_owned())),
        Request::Health { timeout } => {
            store.check(Duration::from_millis(timeout), answer.with(|server: Option<ServerInfo>| server_json(server.as_ref())))
        }
        Request::Events { on } => session.events(on, answer.with(|()| "null".to_owned())),
        Request::Get { ids } => {
            let jobs = ids.iter().map(|id| JobRef::parse(id)).collect();
            store.jobs(
                queue,
                jobs,
                answer.with(|jobs: Vec<Option<JobView>>| {
                    array(&jobs, |out, job| match job {
                        Some(job) => push_job(out, job),
                        None => out.push_str("null"),
                    })
                }),
            );
        }
        Request::List { state, agent_type, limit, cursor } => {
            let query = ListQuery { queue, state, lane: agent_type.map(Into::into), limit, cursor };
            store.list(
                query,
                answer.with(|page: Page| {
                    let mut out = format!(r#"{{"jobs":{}"#, array(&page.jobs, push_job));
                    if let Some(Cursor(a, b)) = page.next {
                        let _ = write!(out, r#","cursor":[{a},{b}]"#);
                    }
                    out.push('}');
                    out
                }),
            );
        }
        Request::Counts => store.counts(queue, answer.with(|counts| counts_json(&counts))),
        Request::Logs { id, after, limit } => {
            store.logs(
                queue,
                JobRef::parse(&id),
                after,
                limit,
                answer.with(|lines: Vec<LogLine>| {
                    array(&lines, |out, line| {
                        let _ = write!(out, r#"{{"seq":{},"at":{},"line":"#, line.seq, line.at);
                        push_text(out, &line.line);
                        out.push('}');
                    })
                }),
            );
        }
        Request::Workers => store.workers(
            queue,
            answer.with(|workers: Vec<WorkerView>| {
                array(&workers, |out, worker| {
                    let _ = write!(out, r#"{{"id":"{}","queue":"#, worker.worker.0);
                    push_text(out, &worker.queue);
                    out.push_str(r#","name":"#);
                    push_text(out, &worker.name);
                    let _ = write!(
                        out,
                        r#","concurrency":{},"running":{},"startedAt":{},"beatAt":{},"leaseUntil":{}}}"#,
                        worker.concurrency, worker.running, worker.started_at, worker.beat_at, worker.lease_until
                    );
                })
            }),
        ),
        Request::Queues => store.queues(answer.with(|names: Vec<Arc<str>>| array(&names, |out, name| push_text(out, name)))),
        Request::Pause => control(session, answer, Control::Pause),
        Request::Resume => control(session, answer, Control::Resume),
        Request::Drain { delayed } => control(session, answer, Control::Drain { delayed }),
        Request::Clean { state, age, limit } => {
            // "Older than 0 ms" takes everything that has happened up to now.
            let before = session.now().saturating_sub(age).saturating_add(1);
            control(session, answer, Control::Clean { state, before, limit });
        }
        Request::Retry { id } => control(session, answer, Control::Retry { job: JobRef::parse(&id) }),
        Request::Promote { id } => control(session, answer, Control::Promote { job: JobRef::parse(&id) }),
        Request::Remove { id } => control(session, answer, Control::Remove { job: JobRef::parse(&id) }),
        Request::Cancel { id, reason } => {
            let error_json = cancelled(reason.as_deref());
            control(session, answer, Control::Cancel { job: JobRef::parse(&id), error_json, now: session.now() });
        }
        Request::Obliterate { force } => control(session, answer, Control::Obliterate { force }),
    }
    Ok(())
}

/// Progress is kept as the text that it is: JSON may hold what a `serde_json::Value` cannot, a lone surrogate say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    handle: Handle,
    #[serde(borrow)]
    value: &'a RawValue,
}

struct Answer {
    mailbox: Arc<Mailbox>,
    number: u32,
}

impl Answer {
    fn give(self, outcome: Result<String, Fault>) {
        self.mailbox.reply(self.number, outcome);
    }

    /// A reply that writes its value with `write`.
    fn with<T: 'static>(self, write: impl FnOnce(T) -> String + Send + 'static) -> Reply<T> {
        Box::new(move |outcome: Result<T, StoreError>| self.give(outcome.map(write).map_err(Fault::from)))
    }

    /// A reply that tells whether the handler still holds its job.
    fn held(self) -> Reply<bool> {
        Box::new(move |outcome: Result<bool, StoreError>| {
            self.give(match outcome {
                Ok(true) => Ok("null".to_owned()),
                Ok(false) => {
                    Err(Fault::new(ErrorCode::TaskLost, "the handler no longer holds its job: it was given up or has ended"))
                }
                Err(error) => Err(error.into()),
            });
        })
    }
}

fn control(session: &Session, answer: Answer, control: Control) {
    session.control(
        control,
        answer.with(|done: Controlled| {
            let ids = array(&done.ended, |out, id| {
                let _ = write!(out, "\"{id}\"");
            });
            format!(r#"{{"affected":{},"more":{},"jobIds":{ids}}}"#, done.affected, done.more)
        }),
    );
}

fn cancelled(reason: Option<&str>) -> Box<str> {
    let mut out = String::from(r#"{"name":"CancelledError","code":"ERR_TASK_CANCELLED","message":"#);
    let message = reason.map_or_else(|| "the job was cancelled".to_owned(), |reason| format!("the job was cancelled: {reason}"));
    push_text(&mut out, &message);
    out.push('}');
    out.into()
}

fn lanes(agents: Vec<(String, Option<usize>)>) -> Vec<Lane> {
    agents.into_iter().map(|(name, limit)| Lane { name: name.into(), limit }).collect()
}

fn array<T>(items: &[T], mut write: impl FnMut(&mut String, &T)) -> String {
    let mut out = String::from("[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(&mut out, item);
    }
    out.push(']');
    out
}

fn server_json(server: Option<&ServerInfo>) -> String {
    let Some(ServerInfo { name, version, mode }) = server else { return "null".to_owned() };
    let mut out = String::from(r#"{"name":"#);
    push_text(&mut out, name);
    out.push_str(r#","version":"#);
    push_text(&mut out, version);
    out.push_str(r#","mode":"#);
    push_text(&mut out, mode);
    out.push('}');
    out
}

fn counts_json(counts: &master_agent_store::QueueCounts) -> String {
    let mut out = format!(r#"{{"paused":{},"agents":{{"#, counts.paused);
    let mut last: Option<&Arc<str>> = None;
    for lane in &counts.lanes {
        if last == Some(&lane.lane) {
            out.push(',');
        } else {
            if last.is_some() {
                out.push_str("},");
            }
            push_text(&mut out, &lane.lane);
            out.push_str(":{");
            last = Some(&lane.lane);
        }
        let _ = write!(out, r#""{}":{}"#, lane.state.as_str(), lane.count);
    }
    if last.is_some() {
        out.push('}');
    }
    out.push_str("}}");
    out
}
