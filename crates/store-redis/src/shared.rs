//! What the parts of one store share: the connection, the names, who listens, and what is known of workers.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use master_agent_core::{JobId, WorkerId};
use master_agent_store::{Reply, StoreError, StoreListener};
use parking_lot::{Mutex, RwLock};
use redis::Value;

use crate::OnWarning;
use crate::address::Address;
use crate::link::{Ears, Link};
use crate::names::{Names, Queue};
use crate::script::{Call, Script};
use crate::state::Watchers;

/// The set of queues that hold or held jobs.
pub(crate) const QUEUES: &[u8] = b"ma:queues";

pub(crate) struct Shared {
    pub(crate) names: Names,
    pub(crate) cluster: bool,
    /// This store among all that use the server.
    pub(crate) client: String,
    link: OnceLock<Link>,
    listener: RwLock<Option<Weak<dyn StoreListener>>>,
    on_warning: Option<OnWarning>,
    /// Which lane is the first in the next claim.
    pub(crate) turn: AtomicUsize,
    /// How soon the lease of a worker ends that holds jobs, as of the last maintenance.
    pub(crate) next_lease: AtomicI64,
    pub(crate) workers: Mutex<HashMap<i64, Known>>,
    /// Queues whose channels are listened to: of ends, of events.
    /// Those of ends with whether somebody still waits.
    ends: Mutex<HashMap<Arc<str>, bool>>,
    pub(crate) events: Mutex<HashSet<Arc<str>>>,
    /// How many messages with events were sent, and which came.
    pub(crate) published: AtomicU64,
    arrivals: Mutex<Arrivals>,
    /// Queues whose events others listen to, as of the last maintenance.
    pub(crate) heard: RwLock<HashSet<Arc<str>>>,
    /// How many queues there were when they were last listed, and for how many maintenances that is taken to hold.
    pub(crate) listed: Mutex<(i64, u32)>,
    pub(crate) calls: AtomicUsize,
    pub(crate) watchers: Watchers,
}

/// What is known of a worker of this process.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) queues: Vec<Arc<str>>,
    pub(crate) token: i64,
}

/// More senders than these are not remembered.
const MAX_SENDERS: usize = 1_000;

/// Which messages came: a message is sent again where its answer was lost, and a Cluster may deliver one over two servers.
#[derive(Default)]
struct Arrivals {
    /// The largest number of each sender, and a bit for each of those up to it.
    senders: HashMap<Box<str>, (u64, u128)>,
}

impl Arrivals {
    fn is_new(&mut self, sender: &str, number: u64) -> bool {
        let Some((largest, came)) = self.senders.get_mut(sender) else {
            if self.senders.len() >= MAX_SENDERS {
                self.senders.clear();
            }
            self.senders.insert(sender.into(), (number, 1));
            return true;
        };
        let shift = |by: u64| u32::try_from(by).unwrap_or(u32::MAX);
        if number > *largest {
            *came = came.checked_shl(shift(number - *largest)).unwrap_or(0) | 1;
            *largest = number;
            return true;
        }
        // Too old to be known: it came then.
        let bit = 1_u128.checked_shl(shift(*largest - number)).unwrap_or(0);
        let is_new = *came & bit == 0 && bit != 0;
        *came |= bit;
        is_new
    }
}

impl Shared {
    pub(crate) fn start(
        cluster: bool,
        address: Address,
        place: String,
        timeout: Duration,
        on_warning: Option<OnWarning>,
    ) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Self {
            names: Names::new(cluster),
            cluster,
            client: format!("{:016x}", fastrand::u64(..)),
            link: OnceLock::new(),
            listener: RwLock::new(None),
            on_warning,
            turn: AtomicUsize::new(0),
            next_lease: AtomicI64::new(i64::MAX),
            workers: Mutex::default(),
            ends: Mutex::default(),
            events: Mutex::default(),
            published: AtomicU64::new(0),
            arrivals: Mutex::default(),
            heard: RwLock::default(),
            listed: Mutex::new((-1, 0)),
            calls: AtomicUsize::new(0),
            watchers: Watchers::default(),
        });
        let ears: Weak<dyn Ears> = Arc::downgrade(&shared) as Weak<dyn Ears>;
        let link = Link::start(address, place, timeout, ears)?;
        let _ = shared.link.set(link);
        Ok(shared)
    }

    pub(crate) fn link(&self) -> &Link {
        // Set before anybody has the store.
        self.link.get().unwrap_or_else(|| unreachable!())
    }

    pub(crate) fn run<T: 'static>(
        &self,
        call: Call,
        reply: Reply<T>,
        read: impl FnOnce(Value) -> Result<T, StoreError> + Send + 'static,
    ) {
        self.link().submit(call, None, Box::new(move |outcome| reply(outcome.and_then(read))));
    }

    /// Carries out what a Cluster has on other servers, one command after the other, and then answers.
    pub(crate) fn afterwards<T: Send + 'static>(self: &Arc<Self>, mut commands: Vec<Call>, outcome: T, reply: Reply<T>) {
        let Some(next) = commands.pop() else { return reply(Ok(outcome)) };
        let of = Arc::clone(self);
        let done = move |answer: Result<Value, StoreError>| match answer {
            Ok(_) => of.afterwards(commands, outcome, reply),
            Err(error) => reply(Err(error)),
        };
        self.link().follow(next, Box::new(done));
    }

    /// The keys of a queue. One that is new to this process is listened to from here on.
    pub(crate) fn queue(&self, name: &Arc<str>) -> Arc<Queue> {
        let (queue, is_new) = self.names.queue(name);
        if is_new && self.listener.read().is_some() {
            self.listen_to(&queue);
        }
        queue
    }

    fn listen_to(&self, queue: &Queue) {
        self.link().subscribe(format!("{}r", queue.prefix).into(), true);
        self.be_idle(queue);
    }

    fn be_idle(&self, queue: &Queue) {
        let call = Call::script(Script::Idle, &[&queue.meta]).with(&self.client);
        self.link().submit(call, None, Box::new(|_| {}));
    }

    pub(crate) fn set_listener(&self, listener: Weak<dyn StoreListener>) {
        let first = self.listener.write().replace(listener).is_none();
        if first {
            for queue in self.names.known() {
                self.listen_to(&queue);
            }
        }
    }

    pub(crate) fn tell(&self, what: impl FnOnce(&dyn StoreListener)) {
        let listener = self.listener.read().as_ref().and_then(Weak::upgrade);
        if let Some(listener) = listener {
            what(listener.as_ref());
        }
    }

    pub(crate) fn lanes_ready(&self, queue: &Arc<str>, lanes: &[Arc<str>]) {
        if !lanes.is_empty() {
            self.tell(|listener| listener.lanes_ready(queue, lanes));
        }
    }

    /// Lanes in the answer of a script.
    pub(crate) fn lanes_of(&self, value: &Value) -> Vec<Arc<str>> {
        crate::value::texts(value).map(|lane| self.names.lane(lane)).collect()
    }

    /// The worker works on this queue.
    pub(crate) fn met(&self, worker: WorkerId, queue: &Arc<str>) {
        let mut workers = self.workers.lock();
        let known = workers.entry(worker.0).or_default();
        if !known.queues.contains(queue) {
            known.queues.push(Arc::clone(queue));
        }
    }

    /// Keys of a script that may touch the set of queues, which in a Cluster is on another server.
    pub(crate) fn with_registry(&self, script: Script, keys: &[&[u8]]) -> Call {
        if self.cluster {
            return Call::script(script, keys);
        }
        let mut all = keys.to_vec();
        all.push(QUEUES);
        Call::script(script, &all)
    }
}

/// The parts of a message: who sent it, and what it says.
fn parts(text: &str) -> (&str, &str) {
    text.split_once('\0').unwrap_or((text, ""))
}

impl Ears for Shared {
    fn message(&self, channel: &[u8], payload: &[u8]) {
        let (Ok(channel), Ok(payload)) = (std::str::from_utf8(channel), std::str::from_utf8(payload)) else { return };
        let Some((prefix, kind)) = channel.len().checked_sub(1).and_then(|at| channel.split_at_checked(at)) else { return };
        if kind == "w" {
            let (client, logs) = parts(payload);
            if client != self.client {
                self.watchers.heard(prefix, logs);
            }
            return;
        }
        let Some(queue) = self.names.by_prefix(prefix) else { return };
        match kind {
            "r" => {
                let (what, rest) = payload.split_at_checked(1).unwrap_or_default();
                let (client, said) = parts(rest);
                if client == self.client {
                    return;
                }
                match what {
                    "R" => {
                        let lanes: Vec<_> = said.split('\0').map(|lane| self.names.lane(lane)).collect();
                        self.lanes_ready(&queue.name, &lanes);
                        self.tell(|listener| listener.foreign());
                    }
                    "D" => {
                        if let Ok(due) = said.parse::<f64>() {
                            self.tell(|listener| listener.due(due as i64));
                        }
                    }
                    "E" => {
                        self.heard.write().insert(Arc::clone(&queue.name));
                    }
                    _ => self.tell(|listener| listener.foreign()),
                }
            }
            "e" => {
                let ids: Vec<JobId> = payload.split(',').filter_map(|id| id.parse().ok().map(JobId)).collect();
                self.tell(|listener| listener.ended(&queue.name, &ids));
            }
            "v" => {
                let (client, rest) = parts(payload);
                let (number, events) = parts(rest);
                if client != self.client
                    && self.events.lock().contains(&queue.name)
                    && number.parse().is_ok_and(|number| self.arrivals.lock().is_new(client, number))
                {
                    self.tell(|listener| listener.events(&queue.name, events));
                }
            }
            _ => {}
        }
    }

    fn connected(&self) {
        self.tell(|listener| listener.health(None));
        if self.listener.read().is_some() {
            for queue in self.names.known() {
                self.be_idle(&queue);
            }
        }
        self.tell(|listener| listener.foreign());
        self.watchers.wake_all();
    }

    fn lost(&self, error: &StoreError) {
        self.tell(|listener| listener.health(Some(error)));
    }

    fn closed(&self) {
        self.watchers.wake_all();
    }

    fn warning(&self, text: &str) {
        if let Some(on_warning) = &self.on_warning {
            on_warning(text);
        }
    }

    fn newest_token(&self, worker: i64) -> i64 {
        self.workers.lock().get(&worker).map_or(0, |known| known.token)
    }
}

impl Shared {
    /// Whether ends of the queue are told to this process.
    pub(crate) fn hears_ends(&self, queue: &Arc<str>) -> bool {
        self.ends.lock().contains_key(queue)
    }

    pub(crate) fn await_ends(&self, name: &Arc<str>, on: bool) {
        // Orders are given under the lock: two at once must not come in another order than they were noted.
        let mut ends = self.ends.lock();
        match ends.get_mut(name) {
            Some(waited) => *waited = on,
            None if on => {
                ends.insert(Arc::clone(name), true);
                self.link().subscribe(self.ends_channel(name), true);
            }
            None => {}
        }
    }

    /// Stops listening to the ends of queues where nobody waits any more.
    pub(crate) fn tidy_ends(&self) {
        self.ends.lock().retain(|name, waited| {
            if !*waited {
                self.link().subscribe(self.ends_channel(name), false);
            }
            *waited
        });
    }

    fn ends_channel(&self, name: &Arc<str>) -> Vec<u8> {
        format!("{}e", self.queue(name).prefix).into()
    }

    pub(crate) fn next_call(&self) -> i64 {
        self.calls.fetch_add(1, Ordering::Relaxed) as i64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_new_once_in_whatever_order_it_comes() {
        let mut arrivals = Arrivals::default();
        let mut take = |sender, numbers: &[u64]| -> Vec<bool> { numbers.iter().map(|n| arrivals.is_new(sender, *n)).collect() };
        assert_eq!(take("a", &[7, 8, 7, 8, 10, 9, 9]), [true, true, false, false, true, true, false]);
        assert_eq!(take("b", &[7, 7]), [true, false], "each sender counts for itself");
        assert_eq!(take("a", &[1_000, 10, 999, 1_000]), [true, false, true, false]);
    }
}
