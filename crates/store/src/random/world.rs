//! Plays a sequence: looks up what its steps name, gives them to the store, and lets the model follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use master_agent_core::{JobId, JobPolicy, JobRef, JobState, Millis, Token, WorkerId};

use super::call::{Answer, Call, Names, Outcome};
use super::look::{Look, same};
use super::ops::{Add, End, How, LANES, Line, Op, Pick, QUEUES, Step, Take, What, Which};
use crate::conformance::{Fixture, Heard, PATIENCE, ask};
use crate::model::{Effects, State};
use crate::{
    ClaimRequest, ClaimedJob, Control, Controlled, Disposition, JobStore, Maintained, NewJob, Note, NoteKind, SettleReply,
    Settlement, WorkerBeat,
};

const START: Millis = 1_700_000_000_000;
const LEASE: Millis = 60;
/// How long a notice is awaited before a sequence fails: shorter than [`PATIENCE`], since shrinking waits often.
const NOTICE: Duration = Duration::from_secs(10);
/// After how many steps the complete state is compared.
const LOOK_EVERY: usize = 8;

pub(super) struct World {
    fixture: Fixture,
    handles: Vec<Handle>,
    model: State,
    names: Names,
    now: Millis,
    queues: Vec<Arc<str>>,
    lanes: Vec<Arc<str>>,
    /// All jobs that were added, with their queue.
    added: Vec<(Arc<str>, JobId)>,
    keys: BTreeSet<Box<str>>,
    claims: Vec<(Arc<str>, JobId, Token)>,
}

struct Handle {
    store: Arc<dyn JobStore>,
    heard: Arc<Heard>,
}

/// What a listener must have heard when a step is over.
#[derive(Default)]
struct Due {
    ready: BTreeSet<(Arc<str>, Arc<str>)>,
    due: Option<Millis>,
    ended: Vec<(Arc<str>, JobId)>,
}

impl World {
    pub(super) fn new(fixture: Fixture) -> Self {
        let mut world = Self {
            fixture,
            handles: Vec::new(),
            model: State::default(),
            names: Names::default(),
            now: START,
            queues: (0..QUEUES).map(|queue| format!("queue {queue}").into()).collect(),
            lanes: (0..=LANES).map(|lane| format!("lane {lane}").into()).collect(),
            added: Vec::new(),
            keys: BTreeSet::new(),
            claims: Vec::new(),
        };
        world.sit();
        world
    }

    fn sit(&mut self) {
        let stores = [Some(self.fixture.store()), self.fixture.second()];
        self.handles = stores.into_iter().flatten().map(|store| Handle { heard: Heard::at(&store), store }).collect();
    }

    pub(super) fn play(mut self, steps: &[Step]) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            self.step(step).map_err(|error| format!("step {index}: {error}"))?;
            if (index + 1) % LOOK_EVERY == 0 {
                self.look(index).map_err(|error| format!("after step {index}: {error}"))?;
            }
        }
        self.look(3).and_then(|()| self.looker(0, &self.known()).logs()).map_err(|error| format!("at the end: {error}"))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let handle = usize::from(step.handle) % self.handles.len();
        let mut flight = Vec::new();
        for op in &step.ops {
            match op {
                Op::Advance { by } => {
                    self.land(handle, &mut flight)?;
                    self.now += by;
                }
                Op::Reopen => {
                    self.land(handle, &mut flight)?;
                    self.reopen()?;
                }
                Op::Control { queue, what: what @ (What::Drain { .. } | What::Clean { .. } | What::Obliterate { .. }) } => {
                    self.land(handle, &mut flight)?;
                    self.sliced(handle, &self.queue(*queue), what)?;
                }
                _ => {
                    // Its leases depend on what came before: it flies alone.
                    let alone = matches!(op, Op::Leave { .. } | Op::Maintain) || self.without_lease(op);
                    if alone {
                        self.land(handle, &mut flight)?;
                    }
                    flight.extend(self.call(op));
                    if alone {
                        self.land(handle, &mut flight)?;
                    }
                }
            }
        }
        self.land(handle, &mut flight)
    }

    /// Submits the operations one behind the other, and only then looks at the answers.
    fn land(&mut self, handle: usize, flight: &mut Vec<Call>) -> Result<(), String> {
        if flight.is_empty() {
            return Ok(());
        }
        let store = self.handles[handle].store.clone();
        self.handles[handle].heard.forget();
        let calls = std::mem::take(flight);
        let answers: Vec<_> = calls.iter().map(|call| call.translated(&self.names).submit(&*store)).collect();
        let mut due = Due::default();
        for (call, answer) in calls.iter().zip(answers) {
            let outcome = answer.recv_timeout(PATIENCE).map_err(|_| format!("{call:?} is not answered"))?;
            self.follow(&*store, call, outcome, &mut due).map_err(|error| format!("{call:?}: {error}"))?;
        }
        self.hear(handle, &due)
    }

    fn hear(&self, handle: usize, due: &Due) -> Result<(), String> {
        let ended: Vec<_> = due.ended.iter().map(|(queue, id)| (queue.clone(), self.names.their_id(*id))).collect();
        self.handles[handle]
            .heard
            .try_wait(NOTICE, |sounds| {
                sounds.ready.is_superset(&due.ready)
                    && due.due.is_none_or(|due| sounds.due.iter().any(|told| *told <= due))
                    && ended.iter().all(|ended| sounds.ended.contains(ended))
            })
            .map_err(|sounds| {
                format!("the listener must hear ready {:?}, due {:?}, ended {ended:?}; it heard {sounds:?}", due.ready, due.due)
            })
    }

    /// Lets the model do what the store did, and compares the outcomes.
    fn follow(&mut self, store: &dyn JobStore, call: &Call, theirs: Outcome, due: &mut Due) -> Result<(), String> {
        let ready = self.ready();
        let next_due = self.model.next_due();
        let ours = self.answer(store, call, &theirs, due)?;
        let theirs = theirs.map(|answer| self.our(answer)).map_err(|error| error.code());
        match (theirs, ours) {
            // Pausing changes no job; whether it counts the queue is left open.
            (Ok(_), Ok(_)) if matches!(call, Call::Control { control: Control::Pause | Control::Resume, .. }) => {}
            (Ok(theirs), Ok(ours)) => same("the answer", &theirs?, &ours)?,
            (Err(theirs), Err(ours)) => same("the error", &theirs, &ours.code())?,
            (theirs, ours) => return Err(format!("the outcome differs\n  store: {theirs:?}\n  model: {ours:?}")),
        }
        due.ready.extend(self.ready().difference(&ready).cloned());
        if let Some(next) = self.model.next_due().filter(|next| next_due.is_none_or(|before| *next < before)) {
            due.due = Some(due.due.map_or(next, |due| due.min(next)));
        }
        Ok(())
    }

    /// The lanes from which something can be claimed.
    fn ready(&self) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let pairs = self.queues.iter().flat_map(|queue| self.lanes.iter().map(move |lane| (queue, lane)));
        pairs.filter(|(queue, lane)| !self.model.lane(queue, lane).is_empty()).map(|(q, l)| (q.clone(), l.clone())).collect()
    }

    /// What the model answers; where the store had a choice, the model makes the same one.
    fn answer(&mut self, store: &dyn JobStore, call: &Call, theirs: &Outcome, due: &mut Due) -> Result<Outcome, String> {
        let mut effects = Effects::default();
        Ok(Ok(match (call.clone(), theirs) {
            (Call::Enqueue { queue, jobs, now }, theirs) => {
                let ours = self.model.enqueue(&queue, jobs, now, &mut effects);
                if let Ok(Answer::Enqueued(theirs)) = theirs {
                    let mut last = None;
                    for (ours, theirs) in ours.iter().zip(theirs).filter(|(_, theirs)| !theirs.existing) {
                        self.names.job(ours.id, theirs.id)?;
                        if last.is_some_and(|last| theirs.id.0 != last + 1) {
                            return Err(format!("the ids of one batch have a gap before {}", theirs.id));
                        }
                        last = Some(theirs.id.0);
                        self.added.push((queue.clone(), ours.id));
                    }
                }
                Answer::Enqueued(ours)
            }
            (Call::Claim(request), Ok(Answer::Claimed(theirs))) => Answer::Claimed(self.claim(store, &request, theirs)?),
            (Call::Claim(_), _) => Answer::Claimed(Vec::new()),
            (Call::Settle { queue, batch, now, claim }, theirs) => {
                let settled = self.model.settle(&queue, &batch, now, &mut effects);
                let claimed = match (claim, theirs) {
                    (Some(request), Ok(Answer::Settled(theirs))) => self.claim(store, &request, &theirs.claimed)?,
                    _ => Vec::new(),
                };
                Answer::Settled(SettleReply { settled, claimed })
            }
            (Call::Beat(beat), _) => Answer::Beaten(self.model.beat(beat)),
            (Call::Leave { worker, now }, _) => {
                self.model.leave(worker, now, &mut effects);
                Answer::Left
            }
            (Call::Maintain { now }, theirs) => {
                let dead = match theirs {
                    Ok(Answer::Maintained(theirs)) => theirs.dead.iter().map(|(_, id)| *id).collect(),
                    _ => Vec::new(),
                };
                let dead = self.names.our_ids(&dead)?;
                Answer::Maintained(self.model.maintain(now, &dead, &mut effects))
            }
            (Call::Note(notes), _) => Answer::Noted(self.model.note(notes)),
            (Call::Control { queue, control, now }, _) => match self.model.control(&queue, control, now, &mut effects) {
                Ok(done) => {
                    due.ended.extend(done.ended.iter().map(|id| (queue.clone(), *id)));
                    Answer::Controlled(done)
                }
                Err(error) => return Ok(Err(error)),
            },
        }))
    }

    /// Checks that the store's claim is one that the port allows, and makes it in the model.
    fn claim(&mut self, store: &dyn JobStore, request: &ClaimRequest, theirs: &[ClaimedJob]) -> Result<Vec<ClaimedJob>, String> {
        let ids = self.names.our_ids(&theirs.iter().map(|job| job.id).collect::<Vec<_>>())?;
        self.check_claim(request, &ids)?;
        let before = self.model.clone();
        let ours = self.model.take(request, &ids);
        self.names.claims(&ours, theirs)?;
        self.claims.extend(ours.iter().map(|job| (request.queue.clone(), job.id, job.token)));
        if ours.is_empty() {
            self.adopt_lease(store, request, before)?;
        }
        Ok(ours)
    }

    /// A claim that gives nothing may give a worker without a lease one, or not.
    fn adopt_lease(&mut self, store: &dyn JobStore, request: &ClaimRequest, before: State) -> Result<(), String> {
        let lease = |workers: Vec<crate::WorkerView>| {
            workers.iter().find(|view| view.worker == request.worker).map(|view| view.lease_until)
        };
        let (old, new) = (lease(before.workers(&request.queue)), lease(self.model.workers(&request.queue)));
        if old == new {
            return Ok(());
        }
        let theirs = ask(|reply| store.workers(request.queue.clone(), reply)).map_err(|error| error.to_string())?;
        let theirs = lease(theirs);
        if theirs == old {
            self.model = before;
            return Ok(());
        }
        same("the lease after a claim of nothing", &theirs, &new)
    }

    fn check_claim(&self, request: &ClaimRequest, ids: &[JobId]) -> Result<(), String> {
        let bytes: usize = ids.iter().map(|id| self.model.bytes(*id)).sum();
        let mut available = 0;
        let mut given = 0;
        let mut crossed_by_last = ids.len() < 2;
        for (index, lane) in request.lanes.iter().enumerate() {
            let limit = request.limits.iter().find(|(lane, _)| *lane == index).map_or(usize::MAX, |(_, limit)| *limit);
            let head = self.model.lane(&request.queue, lane);
            let taken: Vec<JobId> = ids.iter().copied().filter(|id| head.contains(id)).collect();
            if !head.starts_with(&taken) {
                return Err(format!("{lane} gives {taken:?}, its head is {head:?}"));
            }
            if taken.len() > limit {
                return Err(format!("{lane} gives {} jobs, {limit} are allowed", taken.len()));
            }
            available += limit.min(head.len());
            given += taken.len();
            let last = taken.last().map(|id| self.model.bytes(*id));
            crossed_by_last |= last.is_some_and(|last| bytes - last <= request.max_bytes);
        }
        if given != ids.len() {
            return Err(format!("{ids:?} are not all of the claimed lanes, or cannot be claimed"));
        }
        let most = available.min(request.free);
        if ids.len() > most || (ids.len() < most && (ids.is_empty() || bytes < request.max_bytes)) {
            return Err(format!("{} jobs are given where {most} could be, with {bytes} bytes", ids.len()));
        }
        if crossed_by_last { Ok(()) } else { Err(format!("the claim goes on after {} bytes", request.max_bytes)) }
    }

    /// Drains, cleans or obliterates until nothing is left to do. In which order a store goes is its own affair.
    fn sliced(&mut self, handle: usize, queue: &Arc<str>, what: &What) -> Result<(), String> {
        let store = self.handles[handle].store.clone();
        self.handles[handle].heard.forget();
        let (mut control, bound) = match what {
            What::Drain { delayed } => (Control::Drain { delayed: *delayed }, u64::MAX),
            What::Clean { state, age, limit } => {
                (Control::Clean { state: *state, before: self.now - age, limit: *limit }, *limit)
            }
            What::Obliterate { force } => (Control::Obliterate { force: *force }, u64::MAX),
            _ => return Ok(()),
        };
        let told = control.clone();
        let mut theirs: Result<Controlled, _> = Ok(Controlled::default());
        for _ in 0..100 {
            let slice = ask(|reply| store.control(queue.clone(), control.clone(), self.now, reply));
            let more = slice.as_ref().is_ok_and(|slice| slice.more);
            theirs = theirs.and_then(|sum| {
                slice.map(|slice| Controlled {
                    affected: sum.affected + slice.affected,
                    ended: [sum.ended, slice.ended].concat(),
                    more: slice.more,
                })
            });
            let left = bound - theirs.as_ref().map_or(0, |sum| sum.affected);
            if !more || left == 0 {
                break;
            }
            if let Control::Clean { limit, .. } = &mut control {
                *limit = left;
            }
        }
        let ended = match &theirs {
            Ok(theirs) => self.names.our_ids(&theirs.ended)?,
            Err(_) => Vec::new(),
        };
        let ours = self.sliced_model(queue, &told, &ended);
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => {
                same(&format!("what {told:?} affected"), &theirs.affected, &ours.affected)?;
                let sets = (BTreeSet::from_iter(&ended), BTreeSet::from_iter(&ours.ended));
                same(&format!("what {told:?} ended"), &sets.0, &sets.1)?;
                let due = Due { ended: ended.iter().map(|id| (queue.clone(), *id)).collect(), ..Due::default() };
                self.hear(handle, &due)
            }
            (Err(theirs), Err(ours)) => same(&format!("the error of {told:?}"), &theirs.code(), &ours.code()),
            (theirs, ours) => Err(format!("{told:?} differs\n  store: {theirs:?}\n  model: {ours:?}")),
        }
    }

    fn sliced_model(&mut self, queue: &Arc<str>, control: &Control, theirs: &[JobId]) -> Result<Controlled, crate::StoreError> {
        let mut effects = Effects::default();
        let mut trial = self.model.clone();
        let done = trial.control(queue, control.clone(), self.now, &mut effects)?;
        let Control::Clean { state: state @ (JobState::Waiting | JobState::Delayed), before, .. } = control else {
            self.model = trial;
            return Ok(done);
        };
        // Which of the waiting ones go is the choice of the store: any that are old enough, and as many.
        let may_go = |id: &JobId| {
            let view = self.model.view(queue, &JobRef::Id(*id));
            view.is_some_and(|view| view.state == *state && view.added_at < *before)
        };
        if theirs.len() != done.ended.len() || !theirs.iter().all(may_go) {
            return Ok(done);
        }
        for id in theirs {
            self.model.control(queue, Control::Remove { job: JobRef::Id(*id) }, self.now, &mut effects)?;
        }
        Ok(Controlled { ended: theirs.to_vec(), ..done })
    }

    /// An answer of the store in the words of the model, without what the port leaves open.
    fn our(&self, answer: Answer) -> Result<Answer, String> {
        let names = &self.names;
        Ok(match answer {
            Answer::Enqueued(mut added) => {
                for added in &mut added {
                    added.id = names.our_id(added.id)?;
                }
                Answer::Enqueued(added)
            }
            Answer::Claimed(claimed) => Answer::Claimed(names.our_claimed(claimed)?),
            Answer::Settled(SettleReply { settled, claimed }) => {
                Answer::Settled(SettleReply { settled, claimed: names.our_claimed(claimed)? })
            }
            Answer::Beaten(mut reply) => {
                for held in &mut reply.held {
                    *held = names.our_claim(*held)?;
                }
                for cancelled in &mut reply.cancelled {
                    cancelled.id = names.our_id(cancelled.id)?;
                }
                reply.held.sort_unstable();
                reply.cancelled.sort_unstable();
                Answer::Beaten(reply)
            }
            Answer::Maintained(Maintained { promoted, recovered, dead, next_due }) => {
                let dead: Result<Vec<_>, _> =
                    dead.into_iter().map(|(queue, id)| names.our_id(id).map(|id| (queue, id))).collect();
                Answer::Maintained(Maintained { promoted, recovered, dead: dead?, next_due })
            }
            Answer::Controlled(mut done) => {
                done.ended = names.our_ids(&done.ended)?;
                Answer::Controlled(done)
            }
            Answer::Left | Answer::Noted(_) => answer,
        })
    }

    fn reopen(&mut self) -> Result<(), String> {
        for handle in self.handles.drain(..).skip(1) {
            ask(|reply| handle.store.close(reply)).map_err(|error| error.to_string())?;
        }
        // Where a place cannot be reopened, the first store goes on.
        let _ = self.fixture.reopened();
        self.sit();
        self.look(5).map_err(|error| format!("after reopening: {error}"))
    }

    fn known(&self) -> Vec<JobRef> {
        let ids = self.added.iter().map(|(_, id)| JobRef::Id(*id));
        ids.chain(self.keys.iter().map(|key| JobRef::Key(key.clone()))).collect()
    }

    fn looker<'a>(&'a self, handle: usize, known: &'a [JobRef]) -> Look<'a> {
        let store = &*self.handles[handle % self.handles.len()].store;
        Look { model: &self.model, store, names: &self.names, queues: &self.queues, lanes: &self.lanes, known }
    }

    /// Looks through a handle, in pages of a size, that change from time to time.
    fn look(&self, turn: usize) -> Result<(), String> {
        self.looker(turn / LOOK_EVERY, &self.known()).all(1 + turn % 4)
    }

    fn queue(&self, queue: u8) -> Arc<str> {
        self.queues[usize::from(queue % QUEUES)].clone()
    }

    fn worker(queue: u8, worker: u8) -> WorkerId {
        WorkerId(100 * (i64::from(queue) + 1) + i64::from(worker))
    }

    /// Whether a worker claims here that has no running lease: what it holds depends on how the store takes that.
    fn without_lease(&self, op: &Op) -> bool {
        let (queue, take) = match op {
            Op::Claim { queue, take } | Op::Settle { queue, take: Some(take), .. } => (*queue, take),
            _ => return false,
        };
        let worker = Self::worker(queue, take.worker);
        let workers = self.model.workers(&self.queue(queue));
        !workers.iter().any(|view| view.worker == worker && view.lease_until >= self.now)
    }

    /// What a step means now; nothing where it names what there is not.
    fn call(&mut self, op: &Op) -> Option<Call> {
        let now = self.now;
        Some(match op {
            Op::Enqueue { queue, jobs } => {
                let jobs = jobs.iter().map(|add| self.job(add)).collect();
                Call::Enqueue { queue: self.queue(*queue), jobs, now }
            }
            Op::Claim { queue, take } => Call::Claim(self.request(*queue, take)),
            Op::Settle { queue, ends, take } => {
                let batch = ends.iter().filter_map(|end| self.settlement(*queue, end)).collect();
                let claim = take.as_ref().map(|take| self.request(*queue, take));
                Call::Settle { queue: self.queue(*queue), batch, now, claim }
            }
            Op::Beat { queue, worker, lease } => Call::Beat(WorkerBeat {
                worker: Self::worker(*queue, *worker),
                queue: self.queue(*queue),
                name: format!("worker {worker}").into(),
                concurrency: u32::from(*worker) + 1,
                started_at: START,
                now,
                lease: *lease,
            }),
            Op::Leave { queue, worker } => Call::Leave { worker: Self::worker(*queue, *worker), now },
            Op::Maintain => Call::Maintain { now },
            Op::Note { queue, notes } => {
                let note = |(pick, line): &(Pick, Line)| {
                    let (id, token) = self.pick(*queue, pick)?;
                    let note = match line {
                        Line::Progress(value) => NoteKind::Progress { value_json: value.to_string().into() },
                        Line::Log(text) => NoteKind::Log { at: now, line: format!("line {text}").into() },
                    };
                    Some(Note { id, token, note })
                };
                Call::Note(notes.iter().filter_map(note).collect())
            }
            Op::Control { queue, what } => {
                let queue = self.queue(*queue);
                let control = match what {
                    What::Pause => Control::Pause,
                    What::Resume => Control::Resume,
                    What::Retry(which) => Control::Retry { job: self.which(&queue, which)? },
                    What::Promote(which) => Control::Promote { job: self.which(&queue, which)? },
                    What::Remove(which) => Control::Remove { job: self.which(&queue, which)? },
                    What::Cancel(which) => {
                        let error_json = r#"{"name":"CancelledError","message":"by hand"}"#.into();
                        Control::Cancel { job: self.which(&queue, which)?, error_json, now }
                    }
                    What::Drain { .. } | What::Clean { .. } | What::Obliterate { .. } => return None,
                };
                Call::Control { queue, control, now }
            }
            Op::Advance { .. } | Op::Reopen => return None,
        })
    }

    fn job(&mut self, add: &Add) -> NewJob {
        let key: Option<Box<str>> = add.key.map(|key| format!("key {key}").into());
        self.keys.extend(key.clone());
        let max_stalls = add.max_stalls;
        NewJob {
            lane: self.lanes[usize::from(add.lane % LANES)].clone(),
            task_id: key.as_ref().map(|key| format!("task of {key}").into()),
            key,
            parent_id: add.size.is_multiple_of(3).then(|| "parent".into()),
            data_json: format!("\"{}\"", "x".repeat(add.size - 2)).into(),
            meta_json: add.size.is_multiple_of(2).then(|| "{}".into()),
            priority: add.priority,
            run_at: add.delay.map(|delay| self.now + delay),
            policy: Arc::new(JobPolicy { max_stalls, remove_on_fail: add.keep, ..JobPolicy::DEFAULT }),
        }
    }

    fn request(&self, queue: u8, take: &Take) -> ClaimRequest {
        ClaimRequest {
            worker: Self::worker(queue, take.worker),
            queue: self.queue(queue),
            lanes: take.lanes.iter().map(|lane| self.lanes[usize::from(*lane)].clone()).collect(),
            limits: take.limit.into_iter().collect(),
            free: take.free,
            max_bytes: take.max_bytes,
            now: self.now,
            lease: LEASE,
        }
    }

    fn settlement(&self, queue: u8, End { pick, how, keep }: &End) -> Option<Settlement> {
        let (id, token) = self.pick(queue, pick)?;
        let error_json: Box<str> = r#"{"name":"Error","message":"as drawn"}"#.into();
        let keep = *keep;
        let disposition = match how {
            How::Complete => Disposition::Complete { result_json: Some(token.0.to_string().into()), keep },
            How::Fail { state, failed } => Disposition::End { state: *state, error_json, failed: *failed, keep },
            How::Retry { delay } => Disposition::Retry { run_at: self.now + delay, error_json },
            How::Release => Disposition::Release,
            How::Stall => Disposition::Stall { error_json },
        };
        Some(Settlement { id, token, disposition })
    }

    /// A claim of the queue: one that is held, or any of the last ones.
    fn pick(&self, queue: u8, pick: &Pick) -> Option<(JobId, Token)> {
        let queue = self.queue(queue);
        let claims = self.claims.iter().filter(|(of, _, _)| *of == queue);
        let claims: Vec<_> = if pick.held {
            claims.filter(|(_, id, token)| self.model.holds(*id, *token)).collect()
        } else {
            claims.rev().take(16).collect()
        };
        let (_, id, token) = claims.get(pick.index % claims.len().max(1))?;
        Some((*id, *token))
    }

    fn which(&self, queue: &Arc<str>, which: &Which) -> Option<JobRef> {
        let mut by_state: BTreeMap<JobId, (JobState, Option<Box<str>>)> = BTreeMap::new();
        for (of, id) in self.added.iter().filter(|(of, _)| of == queue) {
            if let Some(view) = self.model.view(of, &JobRef::Id(*id)) {
                by_state.insert(*id, (view.state, view.key));
            }
        }
        let at = |ids: Vec<JobId>, index: usize| ids.get(index % ids.len().max(1)).copied();
        match which {
            Which::Job { index, by_key } => {
                let id = at(by_state.keys().copied().collect(), *index)?;
                let key = by_state[&id].1.clone().filter(|_| *by_key);
                Some(key.map_or(JobRef::Id(id), JobRef::Key))
            }
            Which::In { state, index } => {
                let ids = by_state.iter().filter(|(_, (of, _))| of == state).map(|(id, _)| *id).collect();
                at(ids, *index).map(JobRef::Id)
            }
            // Of any queue: most are not there any more, and those of the other queue must not be found.
            Which::Gone { index } => at(self.added.iter().map(|(_, id)| *id).collect(), *index).map(JobRef::Id),
        }
    }
}
