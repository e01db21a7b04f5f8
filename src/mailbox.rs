//! What waits to be drained by JavaScript, which is woken once for all of it.

use std::sync::atomic::{AtomicBool, Ordering};

use master_agent_queue::{Message, Outbox};
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;

use crate::wire::{self, Fault};

/// Weak: it does not keep the process alive, and it belongs to one environment.
pub(crate) type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

enum Item {
    Message(Message),
    Reply { request: u32, outcome: Result<String, Fault> },
}

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

    fn push(&self, item: Item) {
        self.items.lock().push(item);
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Everything so far, as the JSON array that docs of `wire` describe; empty where there is nothing.
    pub(crate) fn drain(&self) -> String {
        // What comes after this wakes again, so nothing is left lying.
        self.awake.store(false, Ordering::Release);
        let items = std::mem::take(&mut *self.items.lock());
        if items.is_empty() {
            return String::new();
        }
        let mut out = wire::Writer::new();
        for item in items {
            match item {
                Item::Message(message) => out.message(&message),
                Item::Reply { request, outcome } => out.reply(request, &outcome),
            }
        }
        out.finish()
    }
}

impl Outbox for Mailbox {
    fn deliver(&self, message: Message) {
        self.push(Item::Message(message));
    }
}
