//! The thread that reads: beside the writer, on a connection of its own.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use master_agent_store::{Reply, StoreError};
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::connection::{Opened, open_reader};
use crate::error::{Failure, Result};
use crate::shared::Shared;

type Job = Box<dyn FnOnce(Result<&Connection>) + Send>;

/// The handle through which reads reach the thread. Dropped or closed, the thread ends.
pub(crate) struct Reader {
    jobs: Mutex<Option<Sender<Job>>>,
}

impl Reader {
    pub(crate) fn start(shared: Arc<Shared>, reading: Sender<()>) -> std::io::Result<Self> {
        let (send, jobs) = channel::<Job>();
        std::thread::Builder::new().name("master-agent-reader".into()).spawn(move || {
            // Dropped after the connection: whoever waits for that may remove the folder.
            let _reading = reading;
            let mut open: Option<Opened> = None;
            for job in jobs {
                open.take_if(|open| !open.is_in_place(shared.path()));
                if open.is_none() {
                    match open_reader(shared.path()) {
                        Ok(opened) => open = Some(opened),
                        Err(error) => {
                            job(Err(error));
                            continue;
                        }
                    }
                }
                if let Some(open) = &open {
                    job(Ok(&open.connection));
                }
            }
        })?;
        Ok(Self { jobs: Mutex::new(Some(send)) })
    }

    /// Runs `work` on the thread. The file must have been opened by the writer before.
    pub(crate) fn submit<T, F>(&self, shared: &Arc<Shared>, work: F, reply: Reply<T>)
    where
        T: 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let shared = Arc::clone(shared);
        let job: Job = Box::new(move |connection| {
            let outcome = connection.and_then(|connection| work(connection).map_err(|failure| failure.into_store(shared.path())));
            reply(outcome);
        });
        let refused = match self.jobs.lock().as_ref() {
            Some(send) => send.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            job(Err(StoreError::Closed));
        }
    }

    pub(crate) fn close(&self) {
        *self.jobs.lock() = None;
    }
}
