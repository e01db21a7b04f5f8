//! The class that JavaScript holds. Every method converts, delegates and returns at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use master_agent_core::ErrorCode;
use master_agent_queue::{Outbox, SessionOptions};
use master_agent_store_sqlite::Durability;
use napi::bindgen_prelude::{Env, Error, Function, Result};
use napi_derive::napi;

use crate::engines::{self, Target};
use crate::mailbox::Mailbox;
use crate::requests;
use crate::wire::{self, Fault};

/// How long a process that ends waits for its jobs to be given back.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(500);

#[napi(object)]
pub struct NativeOptions {
    /// The folder of the embedded store; not looked at where there is a URL.
    pub folder: String,
    /// The URL of a Redis server.
    pub url: Option<String>,
    /// How long an operation waits for a server that is away, in milliseconds.
    pub timeout: Option<u32>,
    pub queue: String,
    /// "process" or "power".
    pub durability: String,
    /// How the worker of this session is shown.
    pub name: String,
}

#[napi]
pub struct Session {
    inner: Arc<master_agent_queue::Session>,
    mailbox: Arc<Mailbox>,
}

/// An error with our code in its message, which TypeScript turns into its own class.
pub(crate) fn throw(fault: &Fault) -> Error {
    Error::from_reason(fault.to_json())
}

/// A panic must not cross into JavaScript: it would end the process.
pub(crate) fn guarded<T>(work: impl FnOnce() -> std::result::Result<T, Fault>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|fault| throw(&fault)),
        Err(_) => Err(throw(&Fault::new(ErrorCode::Internal, "the addon panicked; please report this"))),
    }
}

#[napi]
impl Session {
    #[napi(constructor)]
    pub fn new(env: Env, options: NativeOptions, wake: Function<'_, (), ()>) -> Result<Self> {
        let wake = wake.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let session = guarded(|| {
            let durability = if options.durability == "power" { Durability::Power } else { Durability::Process };
            let (folder, url, timeout) = (PathBuf::from(options.folder), options.url, options.timeout);
            let mailbox = Arc::new(Mailbox::new(wake));
            let outbox: Arc<dyn Outbox> = Arc::clone(&mailbox) as Arc<dyn Outbox>;
            let options = SessionOptions { queue: options.queue.into(), name: options.name.into() };
            let timeout = Duration::from_millis(u64::from(timeout.unwrap_or(5_000)));
            let target = match &url {
                Some(url) => Target::Redis(url, timeout),
                None => Target::Folder(&folder, durability),
            };
            // Weak: the store outlives this session.
            let warned = Arc::downgrade(&mailbox);
            let on_warning = move |text: &str| {
                if let Some(mailbox) = warned.upgrade() {
                    mailbox.warn(text);
                }
            };
            let inner = engines::session(&target, &options, &outbox, on_warning).map_err(Fault::from)?;
            Ok(Self { inner, mailbox })
        })?;
        // An environment can end without its objects being finalised first: a worker thread that is terminated.
        env.add_env_cleanup_hook(Arc::downgrade(&session.inner), |session: Weak<master_agent_queue::Session>| {
            if let Some(session) = session.upgrade() {
                session.abandon(Box::new(|_| {}));
            }
        })?;
        Ok(session)
    }

    #[napi]
    pub fn submit(&self, request: u32, jobs: String) -> Result<()> {
        guarded(|| {
            let jobs = wire::read_jobs(&jobs, self.inner.now()).map_err(|error| Fault::unreadable("jobs", &error))?;
            self.inner.submit(request, jobs);
            Ok(())
        })
    }

    #[napi]
    pub fn settle(&self, outcomes: String) -> Result<()> {
        guarded(|| {
            let outcomes = wire::read_outcomes(&outcomes).map_err(|error| Fault::unreadable("outcomes", &error))?;
            self.inner.settle(outcomes);
            Ok(())
        })
    }

    #[napi]
    pub fn request(&self, request: u32, body: String) -> Result<()> {
        guarded(|| requests::serve(&self.inner, &self.mailbox, request, &body))
    }

    #[napi]
    pub fn wait(&self, request: u32, job_id: String) -> Result<()> {
        guarded(|| {
            self.inner.wait(request, &job_id);
            Ok(())
        })
    }

    #[napi]
    pub fn forget(&self, request: u32) -> Result<()> {
        guarded(|| {
            self.inner.forget(request);
            Ok(())
        })
    }

    #[napi]
    pub fn alive(&self) -> Result<()> {
        guarded(|| {
            self.inner.alive();
            Ok(())
        })
    }

    #[napi]
    pub fn drain(&self) -> Result<String> {
        guarded(|| {
            self.inner.alive();
            let (text, begun) = self.mailbox.drain();
            if let Some(begun) = begun {
                self.inner.begun(begun);
            }
            Ok(text)
        })
    }

    /// Looks for some 20 microseconds whether there is something to drain. `wake` is not called from here until the next drain.
    #[napi]
    pub fn look(&self) -> bool {
        self.mailbox.look()
    }

    /// Gives back what the session holds. With `wait` it returns when the store knows of it, or after half a second.
    #[napi]
    pub fn shutdown(&self, wait: bool) -> Result<()> {
        guarded(|| {
            let (done, told) = std::sync::mpsc::sync_channel(1);
            self.inner.abandon(Box::new(move |_| {
                let _ = done.send(());
            }));
            if wait {
                let _ = told.recv_timeout(SHUTDOWN_LIMIT);
            }
            Ok(())
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.inner.abandon(Box::new(|_| {}));
    }
}
