//! The complete visible state of a store, compared with that of the model.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use master_agent_core::{ErrorCode, JobId, JobRef, JobState, WorkerId};

use super::call::Names;
use crate::conformance::ask;
use crate::model::State;
use crate::{Cursor, JobStore, JobView, ListQuery, LogLine, StoreError, WorkerView};

pub(super) struct Look<'a> {
    pub(super) model: &'a State,
    pub(super) store: &'a dyn JobStore,
    pub(super) names: &'a Names,
    pub(super) queues: &'a [Arc<str>],
    pub(super) lanes: &'a [Arc<str>],
    /// Every job that was ever added, and every key that may be taken.
    pub(super) known: &'a [JobRef],
}

/// Fails with both sides when they differ.
pub(super) fn same<T: PartialEq + Debug>(what: &str, store: &T, model: &T) -> Result<(), String> {
    if store == model { Ok(()) } else { Err(format!("{what} differs\n  store: {store:?}\n  model: {model:?}")) }
}

impl Look<'_> {
    /// Compares all but the single log lines.
    pub(super) fn all(&self, page: usize) -> Result<(), String> {
        self.queue_names()?;
        for queue in self.queues {
            self.counts(queue)?;
            self.workers(queue)?;
            self.jobs(queue)?;
            for state in JobState::ALL {
                self.list(queue, state, None, page)?;
                self.list(queue, state, None, crate::MAX_PAGE)?;
                for lane in self.lanes {
                    self.list(queue, state, Some(lane), page)?;
                }
            }
        }
        Ok(())
    }

    fn queue_names(&self) -> Result<(), String> {
        let theirs: BTreeSet<_> = ask(|reply| self.store.queues(reply)).map_err(|error| error.to_string())?.into_iter().collect();
        // A queue that was paused and has never held a job may be named or not.
        match self.model.queues().into_iter().find(|queue| !theirs.contains(queue)) {
            None => Ok(()),
            Some(missing) => Err(format!("queue {missing} is missing in {theirs:?}")),
        }
    }

    fn counts(&self, queue: &Arc<str>) -> Result<(), String> {
        let mut theirs = ask(|reply| self.store.counts(queue.clone(), reply)).map_err(|error| error.to_string())?;
        theirs.lanes.sort_by(|a, b| (&a.lane, a.state).cmp(&(&b.lane, b.state)));
        same(&format!("counts of {queue}"), &theirs, &self.model.counts(queue))
    }

    fn workers(&self, queue: &Arc<str>) -> Result<(), String> {
        let theirs = ask(|reply| self.store.workers(queue.clone(), reply)).map_err(|error| error.to_string())?;
        same(&format!("workers of {queue}"), &shown(theirs), &shown(self.model.workers(queue)))
    }

    fn jobs(&self, queue: &Arc<str>) -> Result<(), String> {
        let refs = self.known.iter().map(|job| self.names.their_ref(job)).collect();
        let theirs = ask(|reply| self.store.jobs(queue.clone(), refs, reply)).map_err(|error| error.to_string())?;
        if theirs.len() != self.known.len() {
            return Err(format!("{} answers to {} look-ups", theirs.len(), self.known.len()));
        }
        for (job, theirs) in self.known.iter().zip(theirs) {
            let theirs = theirs.map(|view| self.names.our_view(view)).transpose()?.map(plain);
            same(&format!("{job:?} of {queue}"), &theirs, &self.model.view(queue, job).map(plain))?;
        }
        Ok(())
    }

    fn list(&self, queue: &Arc<str>, state: JobState, lane: Option<&Arc<str>>, limit: usize) -> Result<(), String> {
        let mut pages = (None, None);
        loop {
            let query = |cursor: Option<Cursor>| ListQuery { queue: queue.clone(), state, lane: lane.cloned(), limit, cursor };
            let theirs = ask(|reply| self.store.list(query(pages.0), reply)).map_err(|error| error.to_string())?;
            let ours = self.model.list(&query(pages.1));
            let jobs: Vec<JobView> =
                theirs.jobs.into_iter().map(|view| self.names.our_view(view).map(plain)).collect::<Result<_, _>>()?;
            let what = format!("a page of {limit} jobs, {state:?} in {lane:?} of {queue}");
            let ids = |jobs: &[JobView]| jobs.iter().map(|job| job.id).collect::<Vec<JobId>>();
            same(&what, &ids(&jobs), &ids(&ours.jobs))?;
            same(&what, &jobs, &ours.jobs.into_iter().map(plain).collect())?;
            same(&format!("whether there is a page after {what}"), &theirs.next.is_some(), &ours.next.is_some())?;
            pages = (theirs.next, ours.next);
            if pages.0.is_none() {
                return Ok(());
            }
        }
    }

    /// Compares the logs of all jobs.
    pub(super) fn logs(&self) -> Result<(), String> {
        for (queue, job) in self.queues.iter().flat_map(|queue| self.known.iter().map(move |job| (queue, job))) {
            let log = |after, limit| ask(|reply| self.store.logs(queue.clone(), self.names.their_ref(job), after, limit, reply));
            for (after, limit) in [(0, 1_000), (1, 1)] {
                let code = |outcome: Result<Vec<LogLine>, StoreError>| outcome.map_err(|error| error.code());
                let (theirs, ours) = (code(log(after, limit)), code(self.model.logs(queue, job, after, limit)));
                same(&format!("the log of {job:?} of {queue}"), &theirs, &ours)?;
            }
        }
        Ok(())
    }
}

/// Worker, running, lease, and of one that has beaten: name, concurrency, start and beat.
type Shown = (WorkerId, u64, i64, Option<(Arc<str>, u32, i64, i64)>);

/// Workers that a store must show: a claim may register one that the store does not know, and such a worker
/// has no name and no start that would be worth comparing.
fn shown(workers: Vec<WorkerView>) -> Vec<Shown> {
    let mut shown: Vec<_> = workers
        .into_iter()
        .filter(|view| view.running > 0 || !view.name.is_empty())
        .map(|view| {
            let beaten = !view.name.is_empty();
            let card = beaten.then_some((view.name, view.concurrency, view.started_at, view.beat_at));
            (view.worker, view.running, view.lease_until, card)
        })
        .collect();
    shown.sort_unstable();
    shown
}

/// A view without what the port leaves open: the due time of a job that is not delayed, and the words of the
/// error of a lost job.
fn plain(mut view: JobView) -> JobView {
    if view.state != JobState::Delayed {
        view.run_at = None;
    }
    view.error_json = view.error_json.map(plain_error);
    view
}

fn plain_error(error: Box<str>) -> Box<str> {
    let code = ErrorCode::TaskStalled.as_str();
    let value: serde_json::Value = serde_json::from_str(&error).unwrap_or_default();
    if value["code"] == code && value["name"] == "StalledError" { code.into() } else { error }
}
