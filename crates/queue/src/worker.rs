//! The bookkeeping of one worker: slots, lanes, deadlines and leases. No I/O and no clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use master_agent_core::{JobId, Millis, Token, WorkerId};
use master_agent_store::{BeatReply, ClaimRequest, ClaimedJob, WorkerBeat};

use crate::decide::GiveUp;

/// The number under which the other side of a session knows a running job.
pub type Handle = u32;

/// A lane that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub name: Arc<str>,
    /// At most so many jobs of it at a time, beside the worker's total.
    pub limit: Option<usize>,
}

/// What a worker is started with. Times in milliseconds.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub concurrency: usize,
    pub lease: Millis,
    /// How long the event loop may be silent while jobs run.
    pub stall_timeout: Millis,
    pub lanes: Vec<Lane>,
}

/// Jobs are handed to JavaScript in texts of about this size at the most.
const MAX_CLAIM_BYTES: usize = 8 << 20;

/// How often a worker asks at the most whether something of its was cancelled.
const MIN_BEAT: Millis = 100;

/// How long a worker that stops waits for the store after the time that its handlers had: longer than the store waits for a lock.
const STOP_GRACE: Millis = 6_000;

/// A running job. Its data has gone to the handler.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) job: ClaimedJob,
    pub(crate) started_at: Millis,
    deadline: Option<Millis>,
    lane: usize,
    /// Beats that had been sent when the job was claimed: later ones must list it.
    beats: u64,
}

/// What a claim in flight has reserved.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    free: usize,
    /// When the claim was made, which is when its jobs start.
    at: Millis,
    lanes: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Draining { until: Millis },
}

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    queue: Arc<str>,
    name: Arc<str>,
    options: WorkerOptions,
    lane_names: Arc<[Arc<str>]>,
    lane_index: HashMap<Arc<str>, usize>,
    lane_running: Vec<usize>,
    lane_claiming: Vec<usize>,
    runs: HashMap<Handle, Run>,
    handles: HashMap<JobId, Handle>,
    next_handle: Handle,
    claiming: usize,
    /// Jobs were announced while all free slots were reserved.
    hinted: bool,
    pub(crate) phase: Phase,
    pub(crate) started_at: Millis,
    beats: u64,
    next_beat: Millis,
    last_beat: Millis,
    next_deadline: Millis,
    /// When what the store failed to do is tried again.
    pub(crate) retry_at: Option<Millis>,
    alive_at: Millis,
    /// The loop gave no sign for too long: nothing is claimed for it.
    silent: bool,
    /// The newest handle that JavaScript has taken.
    pub(crate) begun: Handle,
    /// Settlements that are not durable yet.
    pub(crate) settling: usize,
    /// What the store took for held at the last beat and this worker did not run: its outcome may have been on its way.
    strays: Vec<(JobId, Token)>,
    /// The server was away and may have forgotten what it had acknowledged: what is astray is looked for at once.
    recheck: bool,
}

impl Worker {
    pub(crate) fn new(id: WorkerId, queue: Arc<str>, name: Arc<str>, options: WorkerOptions, now: Millis) -> Self {
        let mut worker = Self {
            id,
            queue,
            name,
            options,
            lane_names: Arc::new([]),
            lane_index: HashMap::new(),
            lane_running: Vec::new(),
            lane_claiming: Vec::new(),
            runs: HashMap::new(),
            handles: HashMap::new(),
            next_handle: 1,
            claiming: 0,
            hinted: false,
            phase: Phase::Running,
            started_at: now,
            beats: 0,
            next_beat: now,
            last_beat: now.saturating_sub(MIN_BEAT),
            next_deadline: Millis::MAX,
            retry_at: None,
            alive_at: now,
            silent: false,
            begun: 0,
            settling: 0,
            strays: Vec::new(),
            recheck: false,
        };
        let lanes = std::mem::take(&mut worker.options.lanes);
        worker.serve(lanes);
        worker
    }

    /// Changes what the worker serves. Jobs of lanes that are left out run on.
    pub(crate) fn serve(&mut self, lanes: Vec<Lane>) {
        // Positions of lanes in flight stay: new lanes are added at the end, dropped ones get the limit 0.
        let mut names: Vec<Arc<str>> = self.lane_names.to_vec();
        let mut limits: Vec<Option<usize>> = vec![Some(0); names.len()];
        for lane in lanes {
            match self.lane_index.get(&lane.name) {
                Some(&index) => limits[index] = lane.limit,
                None => {
                    self.lane_index.insert(Arc::clone(&lane.name), names.len());
                    names.push(lane.name);
                    limits.push(lane.limit);
                }
            }
        }
        self.lane_running.resize(names.len(), 0);
        self.lane_claiming.resize(names.len(), 0);
        self.options.lanes = names.iter().zip(limits).map(|(name, limit)| Lane { name: Arc::clone(name), limit }).collect();
        self.lane_names = names.into();
    }

    pub(crate) fn running(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn is_running(&self, job: JobId) -> bool {
        self.handles.contains_key(&job)
    }

    pub(crate) fn run(&self, handle: Handle) -> Option<&Run> {
        self.runs.get(&handle)
    }

    /// Nothing runs and nothing can come any more.
    pub(crate) fn is_drained(&self) -> bool {
        self.runs.is_empty() && self.claiming == 0 && self.settling == 0
    }

    /// The store has not answered for so long that the worker stops without it.
    pub(crate) fn is_overdue(&self, now: Millis) -> bool {
        matches!(self.phase, Phase::Draining { until } if now >= until.saturating_add(STOP_GRACE))
    }

    /// Reserves the free slots for a claim, if there are any.
    pub(crate) fn reserve(&mut self, now: Millis) -> Option<(ClaimRequest, Reservation)> {
        let free = self.options.concurrency.saturating_sub(self.runs.len() + self.claiming);
        if free == 0 || self.silent || self.phase != Phase::Running || self.lane_names.is_empty() {
            return None;
        }
        let mut reserved = Vec::new();
        for (index, lane) in self.options.lanes.iter().enumerate() {
            if let Some(limit) = lane.limit {
                let left = limit.saturating_sub(self.lane_running[index] + self.lane_claiming[index]);
                reserved.push((index, left.min(free)));
            }
        }
        if reserved.len() == self.lane_names.len() && reserved.iter().all(|(_, left)| *left == 0) {
            return None;
        }
        for (index, left) in &reserved {
            self.lane_claiming[*index] += left;
        }
        self.claiming += free;
        self.hinted = false;
        let limits = reserved.iter().copied().filter(|(_, left)| *left < free).collect();
        let request = ClaimRequest {
            worker: self.id,
            queue: Arc::clone(&self.queue),
            lanes: Arc::clone(&self.lane_names),
            limits,
            free,
            max_bytes: MAX_CLAIM_BYTES,
            now,
            lease: self.options.lease,
        };
        Some((request, Reservation { free, at: now, lanes: reserved }))
    }

    /// The claim failed: its slots are free again.
    pub(crate) fn release(&mut self, reservation: &Reservation) {
        self.claiming = self.claiming.saturating_sub(reservation.free);
        for (index, left) in &reservation.lanes {
            self.lane_claiming[*index] = self.lane_claiming[*index].saturating_sub(*left);
        }
    }

    /// Takes what the claim gave. Answers with the jobs and their handles, data included, and whether
    /// another claim should follow at once.
    pub(crate) fn claimed(
        &mut self,
        reservation: &Reservation,
        jobs: Vec<ClaimedJob>,
        now: Millis,
    ) -> (Vec<(Handle, ClaimedJob)>, bool) {
        self.release(reservation);
        let got = jobs.len();
        let mut bytes = 0;
        let mut started = Vec::with_capacity(got);
        for mut job in jobs {
            bytes += job.data_json.len();
            let handle = self.free_handle();
            let data_json = std::mem::take(&mut job.data_json);
            self.begin(handle, job.clone(), reservation.at, now);
            started.push((handle, ClaimedJob { data_json, ..job }));
        }
        let again = got < reservation.free && (self.hinted || bytes >= MAX_CLAIM_BYTES);
        (started, again)
    }

    fn begin(&mut self, handle: Handle, job: ClaimedJob, claimed_at: Millis, now: Millis) {
        let deadline = job.policy.timeout.map(|timeout| now.saturating_add(timeout));
        self.next_deadline = self.next_deadline.min(deadline.unwrap_or(Millis::MAX));
        let lane = self.lane_index.get(&job.lane).copied().unwrap_or(0);
        self.lane_running[lane] += 1;
        if self.runs.is_empty() {
            self.next_beat = self.next_beat.min(self.last_beat.saturating_add((self.options.lease / 3).max(1)));
            // Silence is counted from when there is something to say.
            self.alive_at = self.alive_at.max(now);
        }
        self.handles.insert(job.id, handle);
        self.runs.insert(handle, Run { job, started_at: claimed_at, deadline, lane, beats: self.beats });
    }

    fn free_handle(&mut self) -> Handle {
        loop {
            let handle = self.next_handle;
            self.next_handle = self.next_handle.wrapping_add(1).max(1);
            if !self.runs.contains_key(&handle) {
                return handle;
            }
        }
    }

    /// Ends a run: its slot is free. `None` if it was given up before.
    pub(crate) fn end(&mut self, handle: Handle) -> Option<Run> {
        let run = self.runs.remove(&handle)?;
        // A lost claim may have been claimed again meanwhile, by this worker: then the number is that of the newer run.
        if self.handles.get(&run.job.id) == Some(&handle) {
            self.handles.remove(&run.job.id);
        }
        self.lane_running[run.lane] -= 1;
        Some(run)
    }

    /// Jobs were announced. Answers whether a claim makes sense now.
    pub(crate) fn hint(&mut self, lanes: &[Arc<str>]) -> bool {
        if !lanes.iter().any(|lane| self.lane_index.contains_key(lane)) {
            return false;
        }
        self.hinted = true;
        true
    }

    /// Jobs may have been added anywhere. A claim that is under way may have missed them, so another follows it.
    pub(crate) fn hint_any(&mut self) {
        self.hinted = true;
    }

    /// The event loop gave a sign of life. Answers whether it had been taken for silent.
    pub(crate) fn alive(&mut self, now: Millis) -> bool {
        self.alive_at = now;
        std::mem::take(&mut self.silent)
    }

    /// Restarts the time limit of a run.
    pub(crate) fn heartbeat(&mut self, handle: Handle, now: Millis) -> bool {
        let Some(run) = self.runs.get_mut(&handle) else { return false };
        run.deadline = run.job.policy.timeout.map(|timeout| now.saturating_add(timeout));
        true
    }

    /// The beat to send, if it is time for one.
    pub(crate) fn beat(&mut self, now: Millis) -> Option<(u64, WorkerBeat)> {
        if now < self.next_beat {
            return None;
        }
        // Who runs nothing has nothing to lose: its beats only tell that it is there.
        let beats = if self.runs.is_empty() { 2 } else { 1 };
        self.last_beat = now;
        self.next_beat = now.saturating_add((self.options.lease * beats / 3).max(1));
        self.beats += 1;
        let beat = WorkerBeat {
            worker: self.id,
            queue: Arc::clone(&self.queue),
            name: Arc::clone(&self.name),
            concurrency: u32::try_from(self.options.concurrency).unwrap_or(u32::MAX),
            started_at: self.started_at,
            now,
            lease: self.options.lease,
        };
        Some((self.beats, beat))
    }

    /// The next tick sends a beat, unless the last one is less than [`MIN_BEAT`] old.
    pub(crate) fn beat_soon(&mut self, now: Millis) {
        self.next_beat = self.next_beat.min(now.max(self.last_beat.saturating_add(MIN_BEAT)));
    }

    /// What to give up after a beat: what was cancelled, and what the store no longer counts as held.
    pub(crate) fn beaten(&self, beat: u64, reply: &BeatReply) -> Vec<(Handle, GiveUp)> {
        let mut give_up: Vec<(Handle, GiveUp)> = reply
            .cancelled
            .iter()
            .filter_map(|job| self.handles.get(&job.id).map(|handle| (*handle, GiveUp::Cancelled(job.error_json.clone()))))
            .collect();
        let held: HashMap<JobId, Token> = reply.held.iter().copied().collect();
        for (handle, run) in &self.runs {
            if run.beats < beat && held.get(&run.job.id) != Some(&run.job.token) {
                give_up.push((*handle, GiveUp::Lost));
            }
        }
        give_up
    }

    /// Claims that only the store knows of, also one beat later and although no outcome of them is `on_its_way`: a server that
    /// failed has forgotten their ends. The lease of a worker that lives would keep them for ever.
    pub(crate) fn astray(&mut self, reply: &BeatReply, on_its_way: impl Fn(JobId) -> bool, now: Millis) -> Vec<(JobId, Token)> {
        let runs: HashSet<(JobId, Token)> = self.runs.values().map(|run| (run.job.id, run.job.token)).collect();
        let unknown: Vec<_> = reply.held.iter().copied().filter(|held| !runs.contains(held)).collect();
        let before: HashSet<(JobId, Token)> = std::mem::take(&mut self.strays).into_iter().collect();
        let (astray, fresh): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|held| before.contains(held) && !on_its_way(held.0));
        if std::mem::take(&mut self.recheck) && !fresh.is_empty() {
            self.beat_soon(now);
        }
        self.strays = fresh;
        astray
    }

    /// The store was away and is back.
    pub(crate) fn back(&mut self, now: Millis) {
        self.recheck = true;
        self.beat_soon(now);
    }

    /// What to give up because of the time.
    pub(crate) fn overdue(&mut self, now: Millis) -> Vec<(Handle, GiveUp)> {
        if !self.runs.is_empty() && now.saturating_sub(self.alive_at) > self.options.stall_timeout {
            self.silent = true;
            return self.runs.keys().map(|handle| (*handle, GiveUp::Stalled)).collect();
        }
        if let Phase::Draining { until } = self.phase
            && now >= until
        {
            return self.runs.keys().map(|handle| (*handle, GiveUp::Closed)).collect();
        }
        if now < self.next_deadline {
            return Vec::new();
        }
        let mut give_up = Vec::new();
        self.next_deadline = Millis::MAX;
        for (handle, run) in &self.runs {
            match run.deadline {
                Some(deadline) if deadline <= now => give_up.push((*handle, GiveUp::Timeout)),
                Some(deadline) => self.next_deadline = self.next_deadline.min(deadline),
                None => {}
            }
        }
        give_up
    }

    /// Everything that runs.
    pub(crate) fn all(&self) -> Vec<Handle> {
        self.runs.keys().copied().collect()
    }

    /// When the worker wants to be looked at again.
    pub(crate) fn next_tick(&self) -> Millis {
        let mut next = self.next_beat.min(self.next_deadline);
        if let Some(retry_at) = self.retry_at {
            next = next.min(retry_at);
        }
        if let Phase::Draining { until } = self.phase {
            // Nothing is left to be given up: what remains is the store's to answer.
            next = next.min(if self.runs.is_empty() { until.saturating_add(STOP_GRACE) } else { until });
        }
        if !self.runs.is_empty() {
            next = next.min(self.alive_at.saturating_add(self.options.stall_timeout).saturating_add(1));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use master_agent_core::JobPolicy;
    use master_agent_store::Cancelled;

    use super::*;

    const LANES: [&str; 3] = ["a", "b", "c"];

    fn worker(concurrency: usize, limits: [Option<usize>; 3]) -> Worker {
        let lanes = LANES.iter().zip(limits).map(|(name, limit)| Lane { name: (*name).into(), limit }).collect();
        let options = WorkerOptions { concurrency, lease: 3_000, stall_timeout: 60_000, lanes };
        Worker::new(WorkerId(1), "queue".into(), "host:1".into(), options, 0)
    }

    fn job(id: i64, lane: &str, timeout: Option<Millis>) -> ClaimedJob {
        ClaimedJob {
            id: JobId(id),
            token: Token(id),
            lane: lane.into(),
            key: None,
            task_id: None,
            parent_id: None,
            data_json: "{}".into(),
            meta_json: None,
            priority: 0,
            added_at: 0,
            policy: Arc::new(JobPolicy { timeout, ..JobPolicy::DEFAULT }),
            failures: 0,
            stalls: 0,
        }
    }

    fn claim(worker: &mut Worker, jobs: Vec<ClaimedJob>, now: Millis) -> Vec<Handle> {
        let (_, reservation) = worker.reserve(now).expect("has free slots");
        worker.claimed(&reservation, jobs, now).0.into_iter().map(|(handle, _)| handle).collect()
    }

    #[test]
    fn a_claim_in_flight_holds_its_slots() {
        let mut worker = worker(3, [None; 3]);
        let (first, reservation) = worker.reserve(0).expect("three free");
        assert_eq!(first.free, 3);
        assert!(worker.reserve(0).is_none());
        let (started, again) = worker.claimed(&reservation, vec![job(1, "a", None)], 0);
        assert_eq!((started.len(), again), (1, false));
        assert_eq!(worker.reserve(0).expect("two free").0.free, 2);
    }

    #[test]
    fn jobs_announced_during_a_claim_are_asked_for_after_it() {
        let mut worker = worker(2, [None; 3]);
        let (_, reservation) = worker.reserve(0).expect("free");
        assert!(worker.hint(&["a".into()]));
        assert!(!worker.hint(&["unknown".into()]));
        assert!(worker.claimed(&reservation, Vec::new(), 0).1, "the announcement came after the store had looked");
    }

    #[test]
    fn time_limits_are_kept_and_heartbeats_restart_them() {
        let mut worker = worker(3, [None; 3]);
        let handles = claim(&mut worker, vec![job(1, "a", Some(100)), job(2, "a", Some(200)), job(3, "a", None)], 0);
        assert_eq!(worker.next_tick(), 0, "the first beat is due");
        assert_eq!(worker.overdue(99), []);
        assert!(worker.heartbeat(handles[0], 90));
        assert_eq!(worker.overdue(150), []);
        assert_eq!(worker.overdue(190), [(handles[0], GiveUp::Timeout)]);
        worker.end(handles[0]);
        assert!(!worker.heartbeat(handles[0], 190));
        assert_eq!(worker.overdue(200), [(handles[1], GiveUp::Timeout)]);
    }

    #[test]
    fn what_the_store_does_not_list_is_lost_unless_it_came_later() {
        let mut worker = worker(3, [None; 3]);
        let old = claim(&mut worker, vec![job(1, "a", None), job(2, "a", None)], 0);
        let (number, _) = worker.beat(0).expect("due");
        let new = claim(&mut worker, vec![job(3, "a", None)], 0);
        let reply =
            BeatReply { cancelled: vec![Cancelled { id: JobId(2), error_json: "{}".into() }], held: vec![(JobId(2), Token(2))] };
        let mut given_up = worker.beaten(number, &reply);
        given_up.sort_by_key(|(handle, _)| *handle);
        assert_eq!(given_up, [(old[0], GiveUp::Lost), (old[1], GiveUp::Cancelled("{}".into()))]);
        assert!(worker.run(new[0]).is_some());
    }

    #[test]
    fn a_cancel_reaches_the_newer_run_of_a_job_after_the_older_one_ended() {
        let mut worker = worker(2, [None; 3]);
        let old = claim(&mut worker, vec![job(1, "a", None)], 0);
        let new = claim(&mut worker, vec![ClaimedJob { token: Token(2), ..job(1, "a", None) }], 0);
        assert!(worker.end(old[0]).is_some());
        assert!(worker.is_running(JobId(1)));
        let cancelled = vec![Cancelled { id: JobId(1), error_json: "{}".into() }];
        let reply = BeatReply { cancelled, held: vec![(JobId(1), Token(2))] };
        let (number, _) = worker.beat(0).expect("due");
        assert_eq!(worker.beaten(number, &reply), [(new[0], GiveUp::Cancelled("{}".into()))]);
        assert!(worker.end(new[0]).is_some());
        assert!(!worker.is_running(JobId(1)));
    }

    #[test]
    fn a_silent_loop_gets_nothing_until_it_speaks() {
        let mut worker = worker(2, [None; 3]);
        let handles = claim(&mut worker, vec![job(1, "a", None)], 1_000);
        assert_eq!(worker.overdue(61_000), []);
        assert_eq!(worker.overdue(61_001), [(handles[0], GiveUp::Stalled)]);
        worker.end(handles[0]);
        assert!(worker.reserve(61_001).is_none());
        assert!(worker.alive(62_000), "it had been taken for silent");
        assert!(worker.reserve(62_000).is_some());
    }

    #[test]
    fn lanes_can_come_and_go_while_jobs_run() {
        let mut worker = worker(4, [Some(1), None, None]);
        let handles = claim(&mut worker, vec![job(1, "a", None), job(2, "b", None)], 0);
        worker.serve(vec![Lane { name: "d".into(), limit: None }]);
        let (request, reservation) = worker.reserve(0).expect("free");
        assert_eq!(&*request.lanes, &["a", "b", "c", "d"].map(Arc::from));
        assert_eq!(request.limits, [(0, 0), (1, 0), (2, 0)]);
        worker.release(&reservation);
        for handle in handles {
            assert!(worker.end(handle).is_some());
        }
        worker.serve(Vec::new());
        assert!(worker.reserve(0).is_none(), "nothing is served");
    }

    proptest! {
        /// Whatever happens, slots and limits hold.
        #[test]
        fn slots_and_limits_hold(
            concurrency in 1_usize..6,
            limits in proptest::array::uniform3(proptest::option::of(0_usize..4)),
            steps in proptest::collection::vec((0_u8..4, 0_usize..6), 1..200),
        ) {
            let mut worker = worker(concurrency, limits);
            let mut flights: Vec<(ClaimRequest, Reservation)> = Vec::new();
            let mut running: Vec<Handle> = Vec::new();
            let mut next = 0;
            for (step, pick) in steps {
                match step {
                    0 => flights.extend(worker.reserve(0)),
                    1 if !flights.is_empty() => {
                        let (request, reservation) = flights.remove(pick % flights.len());
                        let mut jobs = Vec::new();
                        for (index, lane) in request.lanes.iter().enumerate() {
                            let limit = request.limits.iter().find(|(of, _)| *of == index).map_or(usize::MAX, |(_, limit)| *limit);
                            for _ in 0..limit.min(pick).min(request.free - jobs.len()) {
                                next += 1;
                                jobs.push(job(next, lane, None));
                            }
                        }
                        running.extend(worker.claimed(&reservation, jobs, 0).0.iter().map(|(handle, _)| *handle));
                    }
                    2 if !flights.is_empty() => {
                        let (_, reservation) = flights.remove(pick % flights.len());
                        worker.release(&reservation);
                    }
                    3 if !running.is_empty() => {
                        let handle = running.remove(pick % running.len());
                        prop_assert!(worker.end(handle).is_some());
                        prop_assert!(worker.end(handle).is_none());
                    }
                    _ => {}
                }
                prop_assert!(worker.running() + worker.claiming <= concurrency);
                for (index, limit) in limits.iter().enumerate() {
                    prop_assert!(limit.is_none_or(|limit| worker.lane_running[index] <= limit));
                }
            }
            for (_, reservation) in flights {
                worker.release(&reservation);
            }
            for handle in running {
                worker.end(handle);
            }
            prop_assert!(worker.is_drained() && worker.lane_running.iter().chain(&worker.lane_claiming).all(|n| *n == 0));
        }
    }
}
