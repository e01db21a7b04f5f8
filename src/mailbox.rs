//! What waits to be drained by JavaScript, which is woken once for all of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use master_agent_queue::{Handle, Message, Outbox};
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;

use crate::wire::{self, Fault};

/// Weak: it does not keep the process alive, and it belongs to one environment.
pub(crate) type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

enum Item {
    Message(Message),
    Reply { request: u32, outcome: Result<String, Fault> },
    Warning(String),
}

/// Bytes after which a drain stops: JavaScript's strings end at half a gigabyte, and one message may have 16 MiB.
const MAX_TEXT: usize = 32 << 20;

/// How long JavaScript's thread looks for what comes in one turn of its event loop.
const LOOK: Duration = Duration::from_micros(20);

pub(crate) struct Mailbox {
    items: Mutex<Vec<Item>>,
    awake: AtomicBool,
    wake: Wake,
}

impl Mailbox {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { items: Mutex::default(), awake: AtomicBool::new(false), wake }
    }

    /// Answers a request: the JSON of its value, or why there is none.
    pub(crate) fn reply(&self, request: u32, outcome: Result<String, Fault>) {
        self.push(Item::Reply { request, outcome });
    }

    /// Tells of settings that may lose what is stored.
    pub(crate) fn warn(&self, text: &str) {
        self.push(Item::Warning(text.to_owned()));
    }

    fn push(&self, item: Item) {
        self.items.lock().push(item);
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Looks for [`LOOK`] whether something comes. From here until the next drain nobody wakes JavaScript's thread.
    pub(crate) fn look(&self) -> bool {
        self.awake.store(true, Ordering::Release);
        let began = Instant::now();
        loop {
            if !self.items.lock().is_empty() {
                return true;
            }
            if began.elapsed() > LOOK {
                return false;
            }
            // What is looked for may need this core.
            std::thread::yield_now();
        }
    }

    /// Everything so far, as the JSON array that docs of `wire` describe, and the newest handle among the jobs to
    /// run; empty where there is nothing.
    pub(crate) fn drain(&self) -> (String, Option<Handle>) {
        // What comes after this wakes again, so nothing is left lying.
        self.awake.store(false, Ordering::Release);
        let mut items = std::mem::take(&mut *self.items.lock()).into_iter();
        if items.len() == 0 {
            return (String::new(), None);
        }
        let mut out = wire::Writer::new();
        let mut newest = None;
        for item in items.by_ref() {
            match item {
                Item::Message(message) => {
                    if let Message::Run { jobs } = &message {
                        newest = jobs.last().map(|(handle, _)| *handle).or(newest);
                    }
                    out.message(&message);
                }
                Item::Reply { request, outcome } => out.reply(request, &outcome),
                Item::Warning(text) => out.warning(&text),
            }
            if out.len() > MAX_TEXT {
                break;
            }
        }
        self.put_back(items);
        (out.finish(), newest)
    }

    /// What did not fit is drained next, before what came meanwhile.
    fn put_back(&self, rest: std::vec::IntoIter<Item>) {
        if rest.len() > 0 {
            self.items.lock().splice(0..0, rest);
            if !self.awake.swap(true, Ordering::AcqRel) {
                self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }
}

impl Outbox for Mailbox {
    fn deliver(&self, message: Message) {
        self.push(Item::Message(message));
    }
}
