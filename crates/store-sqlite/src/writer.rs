//! The one thread of a process that writes: operations that arrive together share a commit.
//!
//! An operation runs inside the open transaction and is answered after the commit. Where a shared
//! transaction fails, its operations are run again one by one, so that only the culprit fails.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use master_agent_store::{Reply, StoreError};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::connection::{self, Durability, Opened};
use crate::error::{Failure, Result};
use crate::shared::Shared;
use crate::tx::{Cache, Tx};

/// A transaction stops taking operations after this time, so that nobody waits long for an answer.
const MAX_TRANSACTION: Duration = Duration::from_millis(4);

/// A process that holds the write lock this long without a pause lets others have it.
const FAIR_HOLD: Duration = Duration::from_millis(3);
const FAIR_PAUSE: Duration = Duration::from_micros(200);

/// How often the file is checked to be still where it was opened.
const CHECK_FILE: Duration = Duration::from_secs(1);

/// How long the thread looks for work before it sleeps: about as long as JavaScript takes to answer what it was just given, for
/// waking a thread costs more. Meanwhile any other thread that wants the core has it.
const LINGER: Duration = Duration::from_micros(120);

trait Operation: Send {
    /// Does the work. May be called again after a rollback.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure>;
    /// Answers, after the commit or the failure.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

struct Op<T, F> {
    work: F,
    value: Option<T>,
    reply: Reply<T>,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send> Operation for Op<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.value = Some((self.work)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let this = *self;
        // The inputs may be large: they are gone before the reply asks for more.
        drop(this.work);
        (this.reply)(outcome.and_then(|()| this.value.ok_or(StoreError::Closed)));
    }
}

#[derive(Default)]
struct Queue {
    operations: VecDeque<Box<dyn Operation>>,
    /// Submitted by the writer itself, in a listener: these join the transaction that is open.
    joining: VecDeque<Box<dyn Operation>>,
    sleeping: bool,
    closed: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<Box<dyn Operation>> {
        self.joining.pop_front().or_else(|| self.operations.pop_front())
    }
}

/// The handle through which operations reach the thread.
pub(crate) struct Writer {
    queue: Mutex<Queue>,
    wake: Condvar,
    thread: OnceLock<ThreadId>,
}

impl Writer {
    /// The thread ends after the one that reads, which lets go of its end of `reading`: the last to leave tidies the files.
    pub(crate) fn start(shared: Arc<Shared>, durability: Durability, reading: Receiver<()>) -> std::io::Result<Arc<Self>> {
        let writer = Arc::new(Self { queue: Mutex::default(), wake: Condvar::new(), thread: OnceLock::new() });
        let handle = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("master-agent-writer".into())
            .spawn(move || Thread { writer: handle, shared, durability, open: None, reading }.run())?;
        let _ = writer.thread.set(thread.thread().id());
        Ok(writer)
    }

    /// Hands over one operation. `work` may run more than once, each time in a fresh transaction.
    pub(crate) fn submit<T, F>(&self, work: F, reply: Reply<T>)
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return reply(Err(StoreError::Closed));
        }
        let operation = Box::new(Op { work, value: None, reply });
        if self.thread.get() == Some(&std::thread::current().id()) {
            queue.joining.push_back(operation);
            return;
        }
        queue.operations.push_back(operation);
        if queue.sleeping {
            queue.sleeping = false;
            self.wake.notify_one();
        }
    }

    /// Refuses what comes later; what was submitted is still done.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<Box<dyn Operation>> {
        self.queue.lock().pop()
    }

    /// How many operations wait.
    fn waiting(&self) -> usize {
        self.queue.lock().operations.len()
    }

    /// The next operation of a transaction that may take `more` of those that waited when it began.
    fn pop_for(&self, more: &mut usize) -> Option<Box<dyn Operation>> {
        let mut queue = self.queue.lock();
        if let Some(operation) = queue.joining.pop_front() {
            return Some(operation);
        }
        *more = more.checked_sub(1)?;
        queue.operations.pop_front()
    }

    /// Waits for the next operation; `None` once closed and empty.
    fn next(&self) -> Option<Box<dyn Operation>> {
        let begun = Instant::now();
        loop {
            if let Some(operation) = self.pop() {
                return Some(operation);
            }
            if begun.elapsed() > LINGER {
                break;
            }
            std::thread::yield_now();
        }
        let mut queue = self.queue.lock();
        loop {
            if let Some(operation) = queue.pop() {
                queue.sleeping = false;
                return Some(operation);
            }
            if queue.closed {
                return None;
            }
            queue.sleeping = true;
            self.wake.wait(&mut queue);
        }
    }
}

/// A write transaction, rolled back unless it is committed. Rusqlite's own parses its two statements each time.
struct Transaction<'a> {
    connection: &'a Connection,
}

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection })
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Committed, or rolled back by SQLite itself.
        if self.connection.is_autocommit() {
            return;
        }
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

struct Open {
    file: Opened,
    cache: Cache,
    checked: Instant,
    held_since: Option<Instant>,
}

struct Thread {
    writer: Arc<Writer>,
    shared: Arc<Shared>,
    durability: Durability,
    open: Option<Open>,
    reading: Receiver<()>,
}

impl Thread {
    fn run(mut self) {
        while let Some(first) = self.writer.next() {
            self.serve(first);
        }
        // Nobody sends: this waits until the other end is gone.
        let _ = self.reading.recv();
        self.open = None;
        self.shared.closed();
    }

    fn serve(&mut self, first: Box<dyn Operation>) {
        let mut done = Vec::new();
        match self.commit_group(first, &mut done) {
            Ok(news) => {
                self.committed(news);
                for operation in done {
                    operation.finish(Ok(()));
                }
            }
            Err(error) if done.len() == 1 => {
                for operation in done {
                    operation.finish(Err(error.clone()));
                }
            }
            Err(_) => {
                for mut operation in done {
                    let outcome = self.commit_one(operation.as_mut());
                    if let Ok(news) = outcome {
                        self.committed(news);
                    }
                    operation.finish(outcome.map(|_| ()));
                }
            }
        }
    }

    fn committed(&self, news: bool) {
        if news {
            self.shared.committed();
        }
    }

    /// Runs `first` and what else is queued in one transaction; all of them end up in `done`.
    /// Answers whether other processes should hear of it.
    fn commit_group(&mut self, first: Box<dyn Operation>, done: &mut Vec<Box<dyn Operation>>) -> Result<bool> {
        let writer = Arc::clone(&self.writer);
        let begun = Instant::now();
        // What arrives later has a transaction of its own: else two halves of a worker's jobs, one being committed
        // and one being run, would fall into step and wait for each other.
        let mut more = writer.waiting();
        let mut next = Some(first);
        let outcome = self.transaction(|tx| {
            while let Some(operation) = next.take() {
                done.push(operation);
                if let Some(current) = done.last_mut() {
                    current.run(tx)?;
                }
                tx.announce_ready();
                if begun.elapsed() > MAX_TRANSACTION {
                    more = 0;
                }
                next = writer.pop_for(&mut more);
            }
            Ok(())
        });
        // The store could not be opened or locked: the operation was not reached.
        done.extend(next);
        outcome
    }

    fn commit_one(&mut self, operation: &mut dyn Operation) -> Result<bool> {
        self.transaction(|tx| {
            operation.run(tx)?;
            tx.announce_ready();
            Ok(())
        })
    }

    fn transaction(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<(), Failure>) -> Result<bool> {
        let path: PathBuf = self.shared.path().to_path_buf();
        self.be_fair();
        let shared = Arc::clone(&self.shared);
        let open = self.opened()?;
        let outcome = (|| {
            let transaction = Transaction::begin(&open.file.connection)?;
            open.cache.refresh(&open.file.connection)?;
            let mut tx = Tx::new(&open.file.connection, &mut open.cache, &shared);
            // A panic in an operation is a defect, and must not take the writer with it.
            std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut tx))).unwrap_or_else(|_| {
                let cause = "an operation panicked; this is a defect of master-agent".into();
                Err(Failure::Store(StoreError::Failed { place: path.display().to_string(), cause }))
            })?;
            let news = tx.has_news();
            tx.flush()?;
            transaction.commit()?;
            Ok::<_, Failure>(news)
        })();
        let failure = match outcome {
            Ok(news) => return Ok(news),
            Err(failure) => failure,
        };
        open.cache.clear();
        let error = failure.into_store(&path);
        let is_sound = matches!(error, StoreError::NotFound { .. } | StoreError::State { .. } | StoreError::Invalid { .. });
        if !is_sound {
            // The connection may be in any state: the next operation opens a new one.
            self.open = None;
        }
        Err(error)
    }

    fn opened(&mut self) -> Result<&mut Open> {
        if let Some(open) = self.open.as_mut().filter(|open| open.checked.elapsed() > CHECK_FILE) {
            if open.file.is_in_place(self.shared.path()) {
                open.checked = Instant::now();
            } else {
                // What is written to a removed file is lost, so it is opened (made) anew.
                self.open = None;
            }
        }
        if self.open.is_none() {
            let file = connection::open_writer(self.shared.path(), self.durability)?;
            self.shared.opened()?;
            self.open = Some(Open { file, cache: Cache::default(), checked: Instant::now(), held_since: None });
        }
        self.open.as_mut().ok_or(StoreError::Closed)
    }

    /// SQLite's lock is not fair: a busy process would keep the others out.
    fn be_fair(&mut self) {
        let busy = !self.writer.queue.lock().operations.is_empty();
        let Some(open) = self.open.as_mut() else { return };
        if !busy || !self.shared.has_peers() {
            open.held_since = None;
            return;
        }
        let since = *open.held_since.get_or_insert_with(Instant::now);
        if since.elapsed() > FAIR_HOLD {
            std::thread::sleep(FAIR_PAUSE);
            open.held_since = None;
        }
    }
}
