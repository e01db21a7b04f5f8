//! One operation as a value, so that it can be given to a store and to the model alike, and the two-way
//! translation of ids and tokens between them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use master_agent_core::{JobId, JobRef, Millis, Token, WorkerId};

use crate::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Enqueued, JobStore, JobView, Maintained, NewJob, Note, Reply,
    SettleReply, Settled, Settlement, StoreError, WorkerBeat,
};

#[derive(Debug, Clone)]
pub(super) enum Call {
    Enqueue { queue: Arc<str>, jobs: Vec<NewJob>, now: Millis },
    Claim(ClaimRequest),
    Settle { queue: Arc<str>, batch: Vec<Settlement>, now: Millis, claim: Option<ClaimRequest> },
    Beat(WorkerBeat),
    Leave { worker: WorkerId, now: Millis },
    Maintain { now: Millis },
    Note(Vec<Note>),
    Control { queue: Arc<str>, control: Control, now: Millis },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Enqueued(Vec<Enqueued>),
    Claimed(Vec<ClaimedJob>),
    Settled(SettleReply),
    Beaten(BeatReply),
    Left,
    Maintained(Maintained),
    Noted(Vec<Settled>),
    Controlled(Controlled),
}

pub(super) type Outcome = Result<Answer, StoreError>;

impl Call {
    /// Gives the operation to a store; the outcome arrives at the receiver.
    pub(super) fn submit(self, store: &dyn JobStore) -> Receiver<Outcome> {
        let (send, receive) = channel();
        fn reply<T: 'static>(send: std::sync::mpsc::Sender<Outcome>, answer: fn(T) -> Answer) -> Reply<T> {
            Box::new(move |outcome| {
                let _ = send.send(outcome.map(answer));
            })
        }
        match self {
            Self::Enqueue { queue, jobs, now } => store.enqueue(queue, jobs, now, reply(send, Answer::Enqueued)),
            Self::Claim(request) => store.claim(request, reply(send, Answer::Claimed)),
            Self::Settle { queue, batch, now, claim } => {
                store.settle(queue, batch.into(), now, claim, reply(send, Answer::Settled));
            }
            Self::Beat(beat) => store.beat(beat, reply(send, Answer::Beaten)),
            Self::Leave { worker, now } => store.leave(worker, now, reply(send, |()| Answer::Left)),
            Self::Maintain { now } => store.maintain(now, reply(send, Answer::Maintained)),
            Self::Note(notes) => store.note(notes, reply(send, Answer::Noted)),
            Self::Control { queue, control, now } => store.control(queue, control, now, reply(send, Answer::Controlled)),
        }
        receive
    }

    /// The same operation in the words of the store.
    pub(super) fn translated(&self, names: &Names) -> Self {
        let mut call = self.clone();
        match &mut call {
            Self::Settle { batch, .. } => {
                for settlement in batch {
                    (settlement.id, settlement.token) = names.theirs(settlement.id, settlement.token);
                }
            }
            Self::Note(notes) => {
                for note in notes {
                    (note.id, note.token) = names.theirs(note.id, note.token);
                }
            }
            Self::Control { control, .. } => match control {
                Control::Retry { job } | Control::Promote { job } | Control::Remove { job } | Control::Cancel { job, .. } => {
                    *job = names.their_ref(job);
                }
                Control::Pause | Control::Resume | Control::Drain { .. } | Control::Clean { .. } | Control::Obliterate { .. } => {
                }
            },
            Self::Enqueue { .. } | Self::Claim(_) | Self::Beat(_) | Self::Leave { .. } | Self::Maintain { .. } => {}
        }
        call
    }
}

/// Which id and token of the store is which of the model.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<JobId, JobId>,
    their_ids: HashMap<JobId, JobId>,
    tokens: HashMap<(JobId, Token), Token>,
    their_tokens: HashMap<(JobId, Token), Token>,
    newest_id: i64,
    newest_token: i64,
}

impl Names {
    /// A new job: the model calls it `ours`. Ids of a store only grow.
    pub(super) fn job(&mut self, ours: JobId, theirs: JobId) -> Result<(), String> {
        if theirs.0 <= self.newest_id {
            return Err(format!("job {theirs} is new, but {} was given before", self.newest_id));
        }
        self.newest_id = theirs.0;
        self.ids.insert(ours, theirs);
        self.their_ids.insert(theirs, ours);
        Ok(())
    }

    /// The claims of one call: tokens only grow from call to call.
    pub(super) fn claims(&mut self, ours: &[ClaimedJob], theirs: &[ClaimedJob]) -> Result<(), String> {
        let mut newest = self.newest_token;
        for (ours, theirs) in ours.iter().zip(theirs) {
            if theirs.token.0 <= self.newest_token {
                return Err(format!("token {:?} of a new claim is not above {}", theirs.token, self.newest_token));
            }
            newest = newest.max(theirs.token.0);
            self.tokens.insert((ours.id, ours.token), theirs.token);
            self.their_tokens.insert((theirs.id, theirs.token), ours.token);
        }
        self.newest_token = newest;
        Ok(())
    }

    fn theirs(&self, id: JobId, token: Token) -> (JobId, Token) {
        (self.their_id(id), self.tokens.get(&(id, token)).copied().unwrap_or(Token(-1)))
    }

    pub(super) fn their_id(&self, id: JobId) -> JobId {
        self.ids.get(&id).copied().unwrap_or(JobId(-1))
    }

    pub(super) fn their_ref(&self, job: &JobRef) -> JobRef {
        match job {
            JobRef::Id(id) => JobRef::Id(self.their_id(*id)),
            JobRef::Key(key) => JobRef::Key(key.clone()),
        }
    }

    pub(super) fn our_id(&self, id: JobId) -> Result<JobId, String> {
        self.their_ids.get(&id).copied().ok_or_else(|| format!("the store names job {id}, which was never added"))
    }

    pub(super) fn our_ids(&self, ids: &[JobId]) -> Result<Vec<JobId>, String> {
        ids.iter().map(|id| self.our_id(*id)).collect()
    }

    pub(super) fn our_claim(&self, claim: (JobId, Token)) -> Result<(JobId, Token), String> {
        let id = self.our_id(claim.0)?;
        let token =
            self.their_tokens.get(&claim).ok_or_else(|| format!("the store names a claim {claim:?} that was never given"))?;
        Ok((id, *token))
    }

    pub(super) fn our_claimed(&self, mut jobs: Vec<ClaimedJob>) -> Result<Vec<ClaimedJob>, String> {
        for job in &mut jobs {
            (job.id, job.token) = self.our_claim((job.id, job.token))?;
        }
        Ok(jobs)
    }

    pub(super) fn our_view(&self, mut view: JobView) -> Result<JobView, String> {
        view.id = self.our_id(view.id)?;
        Ok(view)
    }
}
