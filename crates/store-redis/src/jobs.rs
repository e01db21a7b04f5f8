//! The operations that change jobs.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use master_agent_core::{JobId, JobRef, JobState, Keep, Millis, Token, WorkerId};
use master_agent_store::{
    BeatReply, Cancelled, ClaimRequest, ClaimedJob, Control, Controlled, Departed, Disposition, Enqueued, JobStore, JobView,
    ListQuery, LogLine, MAX_LOG_LINES, MAX_PAGE, Maintained, NewJob, Note, NoteKind, Page, QueueCounts, Reply, ServerInfo,
    SettleReply, Settled, Settlement, StoreError, StoreListener, WorkerBeat, WorkerView,
};
use parking_lot::Mutex;
use redis::Value;

use crate::blob::{self, MAX_EXACT, digit, padded, state_of};
use crate::error::broken;
use crate::names::Queue;
use crate::script::{Call, Script};
use crate::shared::{QUEUES, Shared};
use crate::walk::{Then, Walk};
use crate::{RedisStore, check, inspect, value};

/// How many delayed jobs one maintenance makes claimable at the most.
const PROMOTE_SLICE: i64 = 1_000;

const LOST_WORKER: &str =
    r#"{"name":"StalledError","message":"the worker that ran this job died or lost its lease","code":"ERR_TASK_STALLED"}"#;

/// How often a store is maintained, at the least and at the most.
const LATEST: Millis = 3_000;
const SOONEST: Millis = 500;

/// After so many calls the answers of this process are kept for another while.
const TOUCH_EVERY: i64 = 50;

impl Shared {
    fn broken(&self, what: &str) -> StoreError {
        broken(self.link().place(), what)
    }
}

fn no_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(MAX_EXACT).min(MAX_EXACT)
}

fn push_keep(call: &mut Call, keep: Keep) {
    call.number(keep.count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX)));
    call.number(keep.age.unwrap_or(-1));
}

/// Adds what a claim asks for, its lanes beginning with the one whose turn it is.
fn push_claim(call: &mut Call, shared: &Shared, request: &ClaimRequest) {
    call.push(padded(request.worker.0));
    call.number(request.lease);
    call.number(no_limit(request.free));
    call.number(no_limit(request.max_bytes));
    let lanes = request.lanes.len();
    if lanes == 0 {
        return;
    }
    let first = if lanes == 1 { 0 } else { shared.turn.fetch_add(1, Ordering::Relaxed) % lanes };
    for index in (first..lanes).chain(0..first) {
        let limit = request.limits.iter().find(|(lane, _)| *lane == index).map_or(-1, |(_, limit)| no_limit(*limit));
        call.push(request.lanes[index].as_bytes());
        call.number(limit);
    }
}

fn push_settlements(call: &mut Call, batch: &[Settlement], mine: i64) {
    let keep_of = |disposition: &Disposition| match disposition {
        Disposition::Complete { keep, .. } | Disposition::End { keep, .. } => Some(*keep),
        _ => None,
    };
    let mut keeps: Vec<Keep> = Vec::new();
    for keep in batch.iter().filter_map(|settlement| keep_of(&settlement.disposition)) {
        if !keeps.contains(&keep) {
            keeps.push(keep);
        }
    }
    call.number(keeps.len() as i64);
    call.number(mine);
    for keep in &keeps {
        push_keep(call, *keep);
    }
    for settlement in batch {
        call.number(settlement.id.0);
    }
    for Settlement { token, disposition, .. } in batch {
        let bound = keep_of(disposition).and_then(|keep| keeps.iter().position(|known| *known == keep)).unwrap_or(0);
        let bound = 48 + bound as u8;
        let kind = match disposition {
            Disposition::Complete { .. } => [b'C', digit(JobState::Completed), b'0', bound],
            Disposition::End { state, failed, .. } => [b'E', digit(*state), if *failed { b'1' } else { b'0' }, bound],
            Disposition::Retry { .. } => *b"R100",
            Disposition::Release => *b"L000",
            Disposition::Stall { .. } => *b"S000",
        };
        call.push2(&kind, padded(token.0).as_bytes());
    }
    for Settlement { disposition, .. } in batch {
        match disposition {
            Disposition::Complete { result_json, .. } => call.push(result_json.as_deref().unwrap_or_default()),
            Disposition::End { error_json, .. } | Disposition::Stall { error_json } => call.push(error_json.as_bytes()),
            Disposition::Retry { run_at, error_json } => call.push2(padded(*run_at).as_bytes(), error_json.as_bytes()),
            Disposition::Release => call.push(b""),
        }
    }
}

impl RedisStore {
    fn work(&self, queue: &Arc<str>, batch: &[Settlement], now: Millis, claim: Option<&ClaimRequest>, reply: Reply<SettleReply>) {
        let of = self.queue(queue);
        let shared = Arc::clone(&self.shared);
        let mut call = Call::script(Script::Work, &[&of.meta, &of.numbers]);
        call.push(shared.client.as_bytes());
        call.number(now);
        call.mark_again();
        call.number(batch.len() as i64);
        // In a Cluster who listens may be connected to another server: every end is told.
        let mine = if shared.cluster { -1 } else { i64::from(shared.hears_ends(queue)) };
        push_settlements(&mut call, batch, mine);
        let mut worker = None;
        if let Some(request) = claim {
            push_claim(&mut call, &shared, request);
            shared.met(request.worker, queue);
            worker = Some(request.worker);
        }
        let lost = worker.map(|worker| (of.meta.clone(), worker.0, now));
        let done = move |outcome: Result<Value, StoreError>| {
            let read = outcome.and_then(|value| shared.read_work(&of, value, worker));
            reply(read);
        };
        self.link().submit(call, lost, Box::new(done));
    }
}

impl Shared {
    fn read_work(&self, queue: &Arc<Queue>, value: Value, worker: Option<WorkerId>) -> Result<SettleReply, StoreError> {
        let wrong = || self.broken("the answer of a settle");
        let mut parts = value::into_list(value).into_iter();
        let settled = parts.next().ok_or_else(wrong)?;
        let settled =
            value::bytes(&settled).iter().map(|code| state_of(*code).map_or(Settled::Refused, Settled::Applied)).collect();
        let ready = parts.next().map(|lanes| self.lanes_of(&lanes)).unwrap_or_default();
        let due = parts.next().as_ref().and_then(value::integer);
        let token = parts.next().as_ref().and_then(value::integer);
        let mut claimed = Vec::new();
        if let (Some(token), Some(worker)) = (token, worker) {
            if let Some(known) = self.workers.lock().get_mut(&worker.0) {
                known.token = known.token.max(token);
            }
            while let (Some(id), Some(bytes)) = (parts.next(), parts.next()) {
                let id = value::integer(&id).ok_or_else(wrong)?;
                let blob = blob::decode(value::bytes(&bytes), &self.names).ok_or_else(|| self.broken("a job"))?;
                claimed.push(blob.claimed(JobId(id), Token(token)));
            }
        }
        if let Some(due) = due {
            self.tell(|listener| listener.due(due));
        }
        self.lanes_ready(&queue.name, &ready);
        Ok(SettleReply { settled, claimed })
    }

    fn read_control(
        &self,
        queue: &Queue,
        value: &Value,
        problem: &str,
        named: Option<&JobRef>,
    ) -> Result<Controlled, StoreError> {
        let parts = value::list(value);
        let wrong = || self.broken("the answer of a change");
        let first = parts.first().ok_or_else(wrong)?;
        if value::text(first) == Some("-") {
            let text = |index: usize| parts.get(index).and_then(value::text).unwrap_or_default();
            return Err(match (text(1), named) {
                ("none", Some(job)) => inspect::not_found(&queue.name, job),
                ("active", _) => StoreError::State {
                    id: queue.name.to_string(),
                    state: "active".into(),
                    problem: "it has active jobs; wait for them, or obliterate with force".into(),
                },
                _ => {
                    let state = text(3).bytes().next().and_then(state_of).map_or("", JobState::as_str);
                    StoreError::State { id: text(2).into(), state: state.into(), problem: problem.into() }
                }
            });
        }
        let affected = value::integer(first).and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)?;
        let more = parts.get(1).and_then(value::text) == Some("1");
        let ready = parts.get(2).map(|lanes| self.lanes_of(lanes)).unwrap_or_default();
        let ended = parts.get(3).map(value::ids).unwrap_or_default();
        self.lanes_ready(&queue.name, &ready);
        if !ended.is_empty() {
            self.tell(|listener| listener.ended(&queue.name, &ended));
        }
        Ok(Controlled { affected, ended, more })
    }

    fn read_enqueued(&self, value: &Value, jobs: usize) -> Result<(Vec<Enqueued>, bool), StoreError> {
        let numbers = value::list(value);
        let number = |index: usize| numbers.get(index).and_then(value::integer);
        let wrong = || self.broken("the answer of an enqueue");
        let mut next = number(0).ok_or_else(wrong)?;
        let is_new = number(1) == Some(1);
        let mut there = numbers[2.min(numbers.len())..]
            .chunks_exact(2)
            .filter_map(|pair| Some((value::integer(&pair[0])?, value::integer(&pair[1])?)));
        let mut existing = there.next();
        let mut added = Vec::with_capacity(jobs);
        for place in 1..=jobs as i64 {
            match existing {
                Some((at, id)) if at == place => {
                    added.push(Enqueued { id: JobId(id), existing: true });
                    existing = there.next();
                }
                _ => {
                    added.push(Enqueued { id: JobId(next), existing: false });
                    next += 1;
                }
            }
        }
        Ok((added, is_new))
    }
}

/// A clean that goes on over several calls.
struct Clean {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    state: JobState,
    before: Millis,
    limit: u64,
    sum: Controlled,
    reply: Reply<Controlled>,
}

impl Clean {
    fn go(mut self, from: String) {
        let slice = self.limit.min(MAX_PAGE as u64);
        let left = slice - self.sum.affected.min(slice);
        let mut call = Call::script(Script::Clean, &[&self.queue.meta]).with(&self.shared.client).with([digit(self.state)]);
        call.number(self.before.clamp(-MAX_EXACT, MAX_EXACT));
        call.number(left as i64);
        call.push(b"0");
        call.push(from.as_bytes());
        let shared = Arc::clone(&self.shared);
        let done = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                let go_on = value::list(&found).get(4).and_then(value::text).unwrap_or_default().to_owned();
                match self.shared.read_control(&self.queue, &found, "", None) {
                    Ok(done) => {
                        self.sum.affected += done.affected;
                        self.sum.ended.extend(done.ended);
                        if !go_on.is_empty() && self.sum.affected < slice {
                            return self.go(go_on);
                        }
                        self.sum.more = self.sum.affected == slice && self.limit > slice;
                        (self.reply)(Ok(self.sum));
                    }
                    Err(error) => (self.reply)(Err(error)),
                }
            }
            Err(error) => (self.reply)(Err(error)),
        };
        shared.link().submit(call, None, Box::new(done));
    }
}

/// So many queues are all told of a note.
const FEW: usize = 8;

/// The queues that were asked, and who is answered.
type Asked = (HashSet<Arc<str>>, Reply<Vec<Settled>>);

/// Notes of which it is not known yet in which queue their jobs are.
struct Noting {
    left: usize,
    settled: Vec<Settled>,
    failed: Option<StoreError>,
    last: Option<Asked>,
}

fn note_call(queue: &Queue, notes: &[Note], settled: Option<&[Settled]>) -> Call {
    let mut call = Call::script(Script::Note, &[&queue.meta]).with_number(MAX_LOG_LINES as i64);
    let is_open = |index: usize| settled.is_none_or(|settled| settled[index] == Settled::Refused);
    for (_, note) in notes.iter().enumerate().filter(|(index, _)| is_open(*index)) {
        call.number(note.id.0);
        call.push(padded(note.token.0));
        match &note.note {
            NoteKind::Progress { value_json } => call.push2(b"P", value_json.as_bytes()),
            NoteKind::Log { at, line } => call.push2(format!("L{}", padded(*at)).as_bytes(), line.as_bytes()),
        }
    }
    call
}

impl Noting {
    fn answered(gather: &Mutex<Self>, outcome: Result<Value, StoreError>, shared: &Arc<Shared>, notes: &Arc<Vec<Note>>) {
        let (settled, failed, seen, reply) = {
            let mut all = gather.lock();
            match outcome {
                Ok(found) => {
                    for (settled, written) in all.settled.iter_mut().zip(value::bytes(&found)) {
                        if *written == b'1' {
                            *settled = Settled::Applied(JobState::Active);
                        }
                    }
                }
                Err(error) => all.failed = Some(error),
            }
            all.left -= 1;
            if all.left > 0 {
                return;
            }
            let Some((seen, reply)) = all.last.take() else { return };
            (std::mem::take(&mut all.settled), all.failed.take(), seen, reply)
        };
        if let Some(error) = failed {
            return reply(Err(error));
        }
        if !settled.contains(&Settled::Refused) {
            return reply(Ok(settled));
        }
        // Old tokens, or jobs of a queue that this process has not used.
        let notes = Arc::clone(notes);
        Walk {
            shared: Arc::clone(shared),
            queues: VecDeque::new(),
            list: true,
            sum: settled,
            call: Box::new(move |_, queue, sum: &Vec<Settled>| Some(note_call(queue, &notes, Some(sum)))),
            take: Box::new(|_, _, found, sum| {
                let mut written = value::bytes(&found).iter();
                for settled in sum.iter_mut().filter(|settled| **settled == Settled::Refused) {
                    if written.next() == Some(&b'1') {
                        *settled = Settled::Applied(JobState::Active);
                    }
                }
                if sum.contains(&Settled::Refused) { Then::Next } else { Then::Stop }
            }),
            seen,
            reply,
        }
        .go();
    }
}

pub(crate) fn push_ref(call: &mut Call, job: &JobRef) {
    match job {
        JobRef::Id(id) => call.push(format!("i{id}")),
        JobRef::Key(key) => call.push2(b"k", key.as_bytes()),
    }
}

impl JobStore for RedisStore {
    fn enqueue(&self, queue: Arc<str>, jobs: Vec<NewJob>, now: Millis, reply: Reply<Vec<Enqueued>>) {
        let of = self.queue(&queue);
        let shared = Arc::clone(&self.shared);
        let seq = shared.next_call();
        let mut call = shared.with_registry(Script::Enqueue, &[&of.meta, &of.numbers]);
        call.push(shared.client.as_bytes());
        call.number(seq);
        call.mark_again();
        call.push(if seq % TOUCH_EVERY == 1 { b"1" } else { b"0" });
        call.push(queue.as_bytes());
        call.number(jobs.len() as i64);
        let mut lane: Option<&Arc<str>> = None;
        let mut ready: Vec<Arc<str>> = Vec::new();
        let mut due: Option<Millis> = None;
        for job in &jobs {
            if lane != Some(&job.lane) {
                call.push2(b"L", job.lane.as_bytes());
                lane = Some(&job.lane);
            }
            if let Some(key) = &job.key {
                call.push2(b"K", key.as_bytes());
            }
            match job.run_at.filter(|run_at| *run_at > now) {
                Some(run_at) => {
                    let run_at = run_at.min(MAX_EXACT);
                    call.push2(b"D", run_at.to_string().as_bytes());
                    due = Some(due.map_or(run_at, |due| due.min(run_at)));
                }
                None => {
                    if job.priority > 0 {
                        call.push2(b"P", job.priority.to_string().as_bytes());
                    }
                    if !ready.contains(&job.lane) {
                        ready.push(Arc::clone(&job.lane));
                    }
                }
            }
            call.push(blob::encode(job, now));
        }
        let count = jobs.len();
        let of = Arc::clone(&shared);
        let name = Arc::clone(&queue);
        let done = move |outcome: Result<Value, StoreError>| match outcome.and_then(|value| of.read_enqueued(&value, count)) {
            Ok((added, true)) if of.cluster => {
                // Before anybody relies on the jobs, their queue is in the set of queues.
                let call = Call::command(&[b"SADD", QUEUES, name.as_bytes()]);
                of.afterwards(vec![call], added, reply);
            }
            other => reply(other.map(|(added, _)| added)),
        };
        self.link().submit(call, None, Box::new(done));
        // A claim that is submitted now travels behind the jobs.
        if let Some(due) = due {
            shared.tell(|listener| listener.due(due));
        }
        shared.lanes_ready(&queue, &ready);
    }

    fn claim(&self, request: ClaimRequest, reply: Reply<Vec<ClaimedJob>>) {
        let queue = Arc::clone(&request.queue);
        let reply: Reply<SettleReply> = Box::new(move |outcome| reply(outcome.map(|reply| reply.claimed)));
        self.work(&queue, &[], request.now, Some(&request), reply);
    }

    fn settle(
        &self,
        queue: Arc<str>,
        batch: Arc<Vec<Settlement>>,
        now: Millis,
        claim: Option<ClaimRequest>,
        reply: Reply<SettleReply>,
    ) {
        self.work(&queue, &batch, now, claim.as_ref(), reply);
    }

    fn beat(&self, beat: WorkerBeat, reply: Reply<BeatReply>) {
        let queue = self.queue(&beat.queue);
        self.shared.met(beat.worker, &beat.queue);
        let record = format!(
            "{}{}{}{:010}{}",
            padded(beat.now.saturating_add(beat.lease)),
            padded(beat.now),
            padded(beat.started_at),
            beat.concurrency,
            beat.name
        );
        let call = Call::script(Script::Beat, &[&queue.meta]).with(padded(beat.worker.0)).with(record);
        self.run(call, reply, |found| {
            let parts = value::list(&found);
            let mut reply = BeatReply::default();
            for pair in parts.first().map(value::list).unwrap_or_default().chunks_exact(2) {
                if let (Some(id), Some(token)) = (value::integer(&pair[0]), value::integer(&pair[1])) {
                    reply.held.push((JobId(id), Token(token)));
                }
            }
            for pair in parts.get(1).map(value::list).unwrap_or_default().chunks_exact(2) {
                if let (Some(id), Some(error)) = (value::integer(&pair[0]), value::text(&pair[1])) {
                    reply.cancelled.push(Cancelled { id: JobId(id), error_json: error.into() });
                }
            }
            Ok(reply)
        });
    }

    fn leave(&self, worker: WorkerId, now: Millis, reply: Reply<()>) {
        let known = self.shared.workers.lock().remove(&worker.0);
        let list = known.is_none();
        let queues: VecDeque<_> = match known {
            Some(known) => known.queues.iter().map(|name| self.queue(name)).collect(),
            None => self.names().known().into(),
        };
        Walk {
            shared: Arc::clone(&self.shared),
            queues,
            list,
            sum: (),
            call: Box::new(move |shared, queue, ()| {
                let call = Call::script(Script::Leave, &[&queue.meta]).with(&shared.client).with(padded(worker.0));
                Some(call.with_number(now).with(""))
            }),
            take: Box::new(|shared, queue, found, ()| {
                let parts = value::list(&found);
                let ready = parts.get(1).map(|lanes| shared.lanes_of(lanes)).unwrap_or_default();
                shared.lanes_ready(&queue.name, &ready);
                if parts.first().and_then(value::text) == Some("1") { Then::Again } else { Then::Next }
            }),
            seen: HashSet::new(),
            reply,
        }
        .go();
    }

    fn maintain(&self, now: Millis, reply: Reply<Maintained>) {
        let shared = Arc::clone(&self.shared);
        shared.tidy_ends();
        let list = {
            let mut listed = shared.listed.lock();
            listed.1 = listed.1.saturating_sub(1);
            shared.cluster || listed.0 < 0 || listed.1 == 0
        };
        Walk {
            queues: shared.names.known().into(),
            list,
            sum: Maintained::default(),
            call: Box::new(move |shared, queue, sum: &Maintained| {
                let most = PROMOTE_SLICE - i64::try_from(sum.promoted).unwrap_or(PROMOTE_SLICE);
                let call = shared.with_registry(Script::Maintain, &[&queue.meta]);
                Some(call.with(&shared.client).with_number(now).with_number(most).with(LOST_WORKER))
            }),
            take: Box::new(move |shared, queue, found, sum| shared.take_maintained(queue, &found, sum)),
            seen: HashSet::new(),
            reply,
            shared,
        }
        .go();
    }

    fn note(&self, notes: Vec<Note>, reply: Reply<Vec<Settled>>) {
        let mut queues = self.names().known();
        if queues.len() > FEW {
            // Where this process works is where its jobs are.
            let working: HashSet<Arc<str>> =
                self.shared.workers.lock().values().flat_map(|known| known.queues.iter().cloned()).collect();
            queues.retain(|queue| working.contains(&queue.name));
        }
        // Nothing to note is a question: what was submitted before is answered before. One connection keeps that order, and in
        // a Cluster each server does.
        if notes.is_empty() && !self.shared.cluster {
            queues.truncate(1);
        }
        // Sent to all at once, so that what is submitted next comes after it, whichever queue it is.
        let seen = queues.iter().map(|queue| Arc::clone(&queue.name)).collect();
        let gather = Arc::new(Mutex::new(Noting {
            left: queues.len().max(1),
            settled: vec![Settled::Refused; notes.len()],
            failed: None,
            last: Some((seen, reply)),
        }));
        let notes = Arc::new(notes);
        for queue in &queues {
            let (gather, shared, notes) = (Arc::clone(&gather), Arc::clone(&self.shared), Arc::clone(&notes));
            let call = note_call(queue, &notes, None);
            let done = move |outcome| Noting::answered(&gather, outcome, &shared, &notes);
            self.link().submit(call, None, Box::new(done));
        }
        if queues.is_empty() {
            let call = Call::command(&[b"EXISTS", QUEUES]);
            let shared = Arc::clone(&self.shared);
            self.link().submit(
                call,
                None,
                Box::new(move |outcome| {
                    Noting::answered(&gather, outcome.map(|_| Value::Nil), &shared, &notes);
                }),
            );
        }
    }

    fn control(&self, queue: Arc<str>, control: Control, now: Millis, reply: Reply<Controlled>) {
        let of = self.queue(&queue);
        let shared = Arc::clone(&self.shared);
        let script = |script| Call::script(script, &[&of.meta]).with(&shared.client);
        let one = |kind, job: &JobRef| {
            let mut call = script(kind);
            push_ref(&mut call, job);
            call
        };
        let flag = |on: bool| if on { "1" } else { "0" };
        let (call, problem, named) = match &control {
            Control::Pause => (script(Script::Pause).with("1"), "", None),
            Control::Resume => (script(Script::Pause).with("0"), "", None),
            Control::Drain { delayed } => (script(Script::Drain).with(flag(*delayed)).with_number(MAX_PAGE as i64), "", None),
            Control::Clean { state: JobState::Active, .. } => {
                let problem = "active jobs cannot be cleaned; cancel them".to_owned();
                return reply(Err(StoreError::Invalid { field: "state".to_owned(), problem }));
            }
            Control::Clean { state, before, limit } => {
                let (state, before, limit) = (*state, *before, *limit);
                return Clean { shared, queue: of, state, before, limit, sum: Controlled::default(), reply }.go(String::new());
            }
            Control::Retry { job } => (one(Script::Retry, job), "only a job that has ended can be retried", Some(job.clone())),
            Control::Promote { job } => (one(Script::Promote, job), "only a delayed job can be promoted", Some(job.clone())),
            Control::Remove { job } => {
                (one(Script::Remove, job), "cancel it first, or wait until it has ended", Some(job.clone()))
            }
            Control::Cancel { job, error_json, .. } => {
                (one(Script::Cancel, job).with(error_json.as_bytes()).with_number(now), "", Some(job.clone()))
            }
            Control::Obliterate { force } => {
                let call = shared.with_registry(Script::Obliterate, &[&of.meta]).with(&shared.client);
                (call.with(flag(*force)).with_number(MAX_PAGE as i64).with(queue.as_bytes()), "", None)
            }
        };
        let leaves_set = shared.cluster && matches!(control, Control::Obliterate { .. });
        let done = move |outcome: Result<Value, StoreError>| {
            let read = outcome.and_then(|found| shared.read_control(&of, &found, problem, named.as_ref()));
            match read {
                Ok(done) if leaves_set && !done.more => {
                    let call = Call::command(&[b"SREM", QUEUES, of.name.as_bytes()]);
                    shared.afterwards(vec![call], done, reply);
                }
                other => reply(other),
            }
        };
        self.link().submit(call, None, Box::new(done));
    }

    fn jobs(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<JobView>>>) {
        inspect::jobs(self, &queue, &jobs, reply);
    }

    fn departed(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<Departed>>>) {
        inspect::departed(self, &queue, &jobs, reply);
    }

    fn list(&self, query: ListQuery, reply: Reply<Page>) {
        inspect::list(self, query, reply);
    }

    fn counts(&self, queue: Arc<str>, reply: Reply<QueueCounts>) {
        inspect::counts(self, &queue, reply);
    }

    fn queues(&self, reply: Reply<Vec<Arc<str>>>) {
        self.run(Call::command(&[b"SMEMBERS", QUEUES]), reply, |found| {
            let mut names: Vec<Arc<str>> = value::texts(&found).map(Arc::from).collect();
            names.sort_unstable();
            Ok(names)
        });
    }

    fn logs(&self, queue: Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>) {
        inspect::logs(self, &queue, job, after, limit, reply);
    }

    fn workers(&self, queue: Arc<str>, reply: Reply<Vec<WorkerView>>) {
        inspect::workers(self, &queue, reply);
    }

    fn publish(&self, queue: Arc<str>, events_json: Box<str>) {
        let of = self.queue(&queue);
        let number = self.shared.published.fetch_add(1, Ordering::Relaxed);
        let message = format!("{}\0{number}\0{events_json}", self.shared.client);
        let call = Call::command(&[b"PUBLISH", format!("{}v", of.prefix).as_bytes(), message.as_bytes()]);
        self.link().submit(call, None, Box::new(|_| {}));
    }

    fn is_heard(&self, queue: &str) -> bool {
        self.shared.heard.read().contains(queue)
    }

    fn await_ends(&self, queue: &Arc<str>, on: bool) {
        self.shared.await_ends(queue, on);
    }

    /// An idle worker sends less than a command a second; where others hold jobs, the end of their lease is looked at in time.
    fn maintain_every(&self) -> Millis {
        self.shared.next_lease.swap(LATEST, Ordering::Relaxed).clamp(SOONEST, LATEST)
    }

    fn check(&self, within: Duration, reply: Reply<Option<ServerInfo>>) {
        check::check(self, within, reply);
    }

    fn listen(&self, queue: Arc<str>, on: bool, reply: Reply<()>) {
        let of = self.queue(&queue);
        let changed = {
            let mut events = self.shared.events.lock();
            if on { events.insert(Arc::clone(&queue)) } else { events.remove(&queue) }
        };
        if changed {
            self.link().subscribe(format!("{}v", of.prefix).into(), on);
            if on {
                let call =
                    Call::command(&[b"PUBLISH", format!("{}r", of.prefix).as_bytes()]).with(format!("E{}\0", self.shared.client));
                self.link().submit(call, None, Box::new(|_| {}));
            }
        }
        // Answered behind it.
        self.run(Call::script(Script::Note, &[&of.meta]).with_number(1), reply, |_| Ok(()));
    }

    fn set_listener(&self, listener: std::sync::Weak<dyn StoreListener>) {
        self.shared.set_listener(listener);
    }

    fn close(&self, reply: Reply<()>) {
        self.link().close(Box::new(move || reply(Ok(()))));
    }
}

impl Shared {
    fn take_maintained(&self, queue: &Arc<Queue>, found: &Value, sum: &mut Maintained) -> Then {
        let parts = value::list(found);
        let number = |index: usize| parts.get(index).and_then(value::integer);
        let count = |index: usize| number(index).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        sum.promoted += count(0);
        sum.recovered += count(1);
        if let Some(due) = number(3) {
            sum.next_due = Some(sum.next_due.map_or(due, |earlier| earlier.min(due)));
        }
        let ready = parts.get(5).map(|lanes| self.lanes_of(lanes)).unwrap_or_default();
        self.lanes_ready(&queue.name, &ready);
        let dead = parts.get(6).map(value::ids).unwrap_or_default();
        sum.dead.extend(dead.into_iter().map(|id| (Arc::clone(&queue.name), id)));
        if let Some(lease) = number(8) {
            self.next_lease.fetch_min(lease, Ordering::Relaxed);
        }
        let own = i64::from(self.events.lock().contains(&queue.name));
        // In a Cluster who listens may be connected to another server.
        let is_heard = self.cluster || number(7).unwrap_or(0) > own;
        if self.heard.read().contains(&queue.name) != is_heard {
            let mut heard = self.heard.write();
            if is_heard {
                heard.insert(Arc::clone(&queue.name))
            } else {
                heard.remove(&queue.name)
            };
        }
        if parts.get(2).and_then(value::text) == Some("1") {
            // What was due is promoted; the rest of this queue's lost jobs come in the next slice.
            return Then::Again;
        }
        let queues = number(4).unwrap_or(-1);
        if queues >= 0 && queues != self.listed.lock().0 { Then::List } else { Then::Next }
    }
}
