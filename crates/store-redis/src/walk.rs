//! Operations over several queues: one call after the other, and the set of queues where this process does not know them all.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use master_agent_store::{Reply, StoreError};
use redis::Value;

use crate::names::Queue;
use crate::script::Call;
use crate::shared::{QUEUES, Shared};
use crate::value;

/// What comes after the answer of a queue.
pub(crate) enum Then {
    /// The next queue.
    Next,
    /// The same queue once more.
    Again,
    /// Nothing more.
    Stop,
    /// The next queue; all queues must be listed first, as there are some that were not known.
    List,
}

/// What a queue is asked, if anything.
type Ask<T> = Box<dyn Fn(&Shared, &Queue, &T) -> Option<Call> + Send>;

/// Takes the answer of a queue.
type Take<T> = Box<dyn FnMut(&Shared, &Arc<Queue>, Value, &mut T) -> Then + Send>;

/// One operation over queues, gathering `T`.
pub(crate) struct Walk<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queues: VecDeque<Arc<Queue>>,
    /// Whether the set of queues is looked at when the known ones are through.
    pub(crate) list: bool,
    pub(crate) sum: T,
    pub(crate) call: Ask<T>,
    pub(crate) take: Take<T>,
    pub(crate) seen: HashSet<Arc<str>>,
    pub(crate) reply: Reply<T>,
}

impl<T: Send + 'static> Walk<T> {
    /// Goes on with the next queue, or answers.
    pub(crate) fn go(mut self) {
        while let Some(queue) = self.queues.pop_front() {
            self.seen.insert(Arc::clone(&queue.name));
            if let Some(call) = (self.call)(&self.shared, &queue, &self.sum) {
                return self.ask(queue, call);
            }
        }
        if !self.list {
            return (self.reply)(Ok(self.sum));
        }
        self.list = false;
        let shared = Arc::clone(&self.shared);
        let listed = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                let names: Vec<Arc<str>> = value::texts(&found).map(Arc::from).collect();
                *self.shared.listed.lock() = (names.len() as i64, 20);
                for name in names {
                    if !self.seen.contains(&name) {
                        self.queues.push_back(self.shared.queue(&name));
                    }
                }
                self.go();
            }
            Err(error) => (self.reply)(Err(error)),
        };
        shared.link().submit(Call::command(&[b"SMEMBERS", QUEUES]), None, Box::new(listed));
    }

    fn ask(mut self, queue: Arc<Queue>, call: Call) {
        let shared = Arc::clone(&self.shared);
        let answered = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                match (self.take)(&self.shared, &queue, found, &mut self.sum) {
                    Then::Next => {}
                    Then::Again => self.queues.push_front(queue),
                    Then::Stop => {
                        self.queues.clear();
                        self.list = false;
                    }
                    Then::List => self.list = true,
                }
                self.go();
            }
            Err(error) => (self.reply)(Err(error)),
        };
        shared.link().submit(call, None, Box::new(answered));
    }
}
