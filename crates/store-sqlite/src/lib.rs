//! The embedded store: one SQLite file in WAL mode, shared by any number of processes of a machine.
//!
//! `writer` is the one thread of a process that writes, `reader` the one that reads; `jobs` are the
//! operations, `peers` how processes wake each other. The file is opened by the first operation, and
//! anew after a failure, so that a store heals when its disk does. No policy lives here.

mod connection;
mod error;
mod jobs;
mod peers;
mod reader;
mod shared;
mod state;
mod tx;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use master_agent_core::{JobRef, Millis, WorkerId};
use master_agent_store::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Departed, Enqueued, JobStore, JobView, ListQuery, LogLine,
    Maintained, NewJob, Note, Page, QueueCounts, Reply, SettleReply, Settled, Settlement, StoreError, StoreListener, WorkerBeat,
    WorkerView, call,
};
use rusqlite::Connection;

pub use connection::Durability;
use error::Failure;
use reader::Reader;
use shared::Shared;
use tx::Tx;
use writer::Writer;

/// The name of the file in the store's folder.
pub const FILE_NAME: &str = "state.db";

/// An embedded store. Dropped, it finishes what was submitted and lets go of the file.
pub struct SqliteStore {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
    reader: Arc<Reader>,
    opened: Arc<AtomicBool>,
    // The newest batch of events of others that was handed on; -1 before the first look.
    events_seen: Arc<AtomicI64>,
}

impl SqliteStore {
    /// A store in `folder`, opened by its first operation.
    pub fn new(folder: &Path, durability: Durability) -> std::io::Result<Arc<Self>> {
        let path: PathBuf = folder.join(FILE_NAME);
        let shared = Shared::new(path);
        let (reading, read) = std::sync::mpsc::channel();
        let writer = Writer::start(Arc::clone(&shared), durability, read)?;
        let reader = Arc::new(Reader::start(Arc::clone(&shared), reading)?);
        shared.watchers().set_reader(&reader);
        let (opened, events_seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(-1)));
        Ok(Arc::new(Self { shared, writer, reader, opened, events_seen }))
    }

    /// A store in `folder`, opened before the call returns.
    pub fn open(folder: &Path, durability: Durability) -> Result<Arc<Self>, StoreError> {
        let open_error =
            |cause: std::io::Error| StoreError::Open { place: folder.display().to_string(), cause: cause.to_string() };
        let store = Self::new(folder, durability).map_err(open_error)?;
        call(|reply| store.write(|_| Ok(()), reply))?;
        Ok(store)
    }

    /// The file that holds the state.
    pub fn path(&self) -> &Path {
        self.shared.path()
    }

    fn write<T, F>(&self, work: F, reply: Reply<T>)
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.writer.submit(work, reply);
    }

    fn read<T, F>(&self, work: F, reply: Reply<T>)
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        if self.opened.load(Ordering::Acquire) {
            return self.reader.submit(&self.shared, work, reply);
        }
        // The writer makes and migrates the file.
        let (shared, reader, opened) = (Arc::clone(&self.shared), Arc::clone(&self.reader), Arc::clone(&self.opened));
        self.write(
            |_| Ok(()),
            Box::new(move |outcome| match outcome {
                Ok(()) => {
                    opened.store(true, Ordering::Release);
                    reader.submit(&shared, work, reply);
                }
                Err(error) => reply(Err(error)),
            }),
        );
    }

    /// Hands events of other processes to the listener.
    fn read_events(&self) {
        let (shared, seen) = (Arc::clone(&self.shared), Arc::clone(&self.events_seen));
        if seen.load(Ordering::Acquire) < 0 {
            return;
        }
        self.read(
            move |connection| {
                let peer = shared.own_peer();
                for (seq, queue, body) in jobs::events::since(connection, &peer, seen.load(Ordering::Acquire))? {
                    seen.store(seq, Ordering::Release);
                    shared.tell(|listener| listener.events(&queue.as_str().into(), &body));
                }
                Ok(())
            },
            Box::new(|_| {}),
        );
    }
}

impl JobStore for SqliteStore {
    fn enqueue(&self, queue: Arc<str>, jobs: Vec<NewJob>, now: Millis, reply: Reply<Vec<Enqueued>>) {
        self.write(move |tx| jobs::enqueue::enqueue(tx, &queue, &jobs, now), reply);
    }

    fn claim(&self, request: ClaimRequest, reply: Reply<Vec<ClaimedJob>>) {
        self.write(move |tx| jobs::claim::claim(tx, &request), reply);
    }

    fn settle(
        &self,
        queue: Arc<str>,
        batch: Arc<Vec<Settlement>>,
        now: Millis,
        claim: Option<ClaimRequest>,
        reply: Reply<SettleReply>,
    ) {
        let work = move |tx: &mut Tx<'_>| {
            let settled = jobs::settle::settle(tx, &queue, &batch, now)?;
            let claimed = match &claim {
                Some(request) => jobs::claim::claim(tx, request)?,
                None => Vec::new(),
            };
            Ok(SettleReply { settled, claimed })
        };
        self.write(work, reply);
    }

    fn beat(&self, beat: WorkerBeat, reply: Reply<BeatReply>) {
        self.write(move |tx| jobs::lease::beat(tx, &beat), reply);
    }

    fn leave(&self, worker: WorkerId, now: Millis, reply: Reply<()>) {
        self.write(move |tx| jobs::lease::leave(tx, worker, now), reply);
    }

    fn maintain(&self, now: Millis, reply: Reply<Maintained>) {
        self.read_events();
        let dead: Arc<[String]> = self.shared.take_dead_peers().into();
        let (shared, buried) = (Arc::clone(&self.shared), Arc::clone(&dead));
        let reply: Reply<Maintained> = Box::new(move |outcome| {
            if outcome.is_ok() {
                shared.bury_peers(&buried);
            }
            reply(outcome);
        });
        self.write(move |tx| jobs::lease::maintain(tx, now, &dead), reply);
    }

    fn note(&self, notes: Vec<Note>, reply: Reply<Vec<Settled>>) {
        self.write(move |tx| jobs::note::note(tx, &notes), reply);
    }

    fn control(&self, queue: Arc<str>, control: Control, now: Millis, reply: Reply<Controlled>) {
        let shared = Arc::clone(&self.shared);
        let told = Arc::clone(&queue);
        self.write(
            move |tx| jobs::control::control(tx, &queue, &control, now),
            Box::new(move |outcome: Result<Controlled, StoreError>| {
                if let Ok(controlled) = &outcome
                    && !controlled.ended.is_empty()
                {
                    shared.tell(|listener| listener.ended(&told, &controlled.ended));
                }
                reply(outcome);
            }),
        );
    }

    fn jobs(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<JobView>>>) {
        self.read(move |connection| jobs::inspect::jobs(connection, &queue, &jobs), reply);
    }

    fn departed(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<Departed>>>) {
        self.read(move |connection| jobs::departed::find(connection, &queue, &jobs), reply);
    }

    fn list(&self, query: ListQuery, reply: Reply<Page>) {
        self.read(move |connection| jobs::inspect::list(connection, &query), reply);
    }

    fn counts(&self, queue: Arc<str>, reply: Reply<QueueCounts>) {
        self.read(move |connection| jobs::inspect::counts(connection, &queue), reply);
    }

    fn queues(&self, reply: Reply<Vec<Arc<str>>>) {
        self.read(jobs::inspect::queues, reply);
    }

    fn logs(&self, queue: Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>) {
        self.read(move |connection| jobs::inspect::logs(connection, &queue, &job, after, limit), reply);
    }

    fn workers(&self, queue: Arc<str>, reply: Reply<Vec<WorkerView>>) {
        self.read(move |connection| jobs::inspect::workers(connection, &queue), reply);
    }

    fn publish(&self, queue: Arc<str>, events_json: Box<str>) {
        if self.shared.has_peers() {
            self.write(move |tx| jobs::events::publish(tx, &queue, &events_json), Box::new(|_| {}));
        }
    }

    fn is_heard(&self, queue: &str) -> bool {
        self.shared.is_heard(queue)
    }

    fn listen(&self, queue: Arc<str>, on: bool, reply: Reply<()>) {
        let seen = Arc::clone(&self.events_seen);
        let work = move |tx: &mut Tx<'_>| {
            jobs::events::listen(tx, &queue, on)?;
            if on && seen.load(Ordering::Acquire) < 0 {
                seen.store(jobs::events::newest(tx.connection)?, Ordering::Release);
            }
            Ok(())
        };
        self.write(work, reply);
    }

    fn set_listener(&self, listener: Weak<dyn StoreListener>) {
        self.shared.set_listener(listener);
    }

    fn close(&self, reply: Reply<()>) {
        self.reader.close();
        self.writer.close();
        self.shared.watchers().close();
        let shared = Arc::clone(&self.shared);
        let waiter = std::thread::Builder::new().name("master-agent-close".into()).spawn(move || {
            shared.wait_closed();
            reply(Ok(()));
        });
        // Without a thread there is nobody to wait: the caller's own time limit answers it.
        drop(waiter);
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.reader.close();
        self.writer.close();
        self.shared.watchers().close();
    }
}
