//! Names of queues and lanes as keys, and shared texts for those that come again and again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

/// What all keys of this package begin with.
pub(crate) const PREFIX: &str = "ma:";

/// More lanes than these are not remembered.
const MAX_LANES: usize = 10_000;

/// The keys of a queue that scripts are given.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: Arc<str>,
    /// `ma:{queue}:`
    pub(crate) prefix: String,
    pub(crate) meta: Vec<u8>,
    /// Where its numbers are taken from.
    pub(crate) numbers: Vec<u8>,
}

/// A name as it may stand in a hash tag: Redis ends a tag at the first brace, and takes an empty one for none.
pub(crate) fn tag(name: &str) -> String {
    let mut tag = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '%' => tag.push_str("%25"),
            '{' => tag.push_str("%7B"),
            '}' => tag.push_str("%7D"),
            _ => tag.push(char),
        }
    }
    if tag.is_empty() { "%".to_owned() } else { tag }
}

pub(crate) struct Names {
    cluster: bool,
    // Written once per queue and process.
    queues: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
    lanes: Mutex<HashMap<Box<str>, Arc<str>>>,
}

impl Names {
    pub(crate) fn new(cluster: bool) -> Self {
        Self { cluster, queues: RwLock::default(), lanes: Mutex::default() }
    }

    /// The keys of a queue, and whether it is new to this process.
    pub(crate) fn queue(&self, name: &Arc<str>) -> (Arc<Queue>, bool) {
        if let Some(queue) = self.queues.read().get(name) {
            return (Arc::clone(queue), false);
        }
        let prefix = format!("{PREFIX}{{{}}}:", tag(name));
        let numbers = if self.cluster { format!("{prefix}u") } else { format!("{PREFIX}u") };
        let queue = Queue { name: Arc::clone(name), meta: format!("{prefix}m").into(), numbers: numbers.into(), prefix };
        let mut queues = self.queues.write();
        let mut is_new = false;
        let queue = queues.entry(Arc::clone(name)).or_insert_with(|| {
            is_new = true;
            Arc::new(queue)
        });
        (Arc::clone(queue), is_new)
    }

    /// All queues that this process has used.
    pub(crate) fn known(&self) -> Vec<Arc<Queue>> {
        self.queues.read().values().cloned().collect()
    }

    /// The queue whose channels begin with this prefix.
    pub(crate) fn by_prefix(&self, prefix: &str) -> Option<Arc<Queue>> {
        self.queues.read().values().find(|queue| queue.prefix == prefix).cloned()
    }

    pub(crate) fn lane(&self, name: &str) -> Arc<str> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(name) {
            return Arc::clone(lane);
        }
        if lanes.len() >= MAX_LANES {
            lanes.clear();
        }
        let lane: Arc<str> = name.into();
        lanes.insert(name.into(), Arc::clone(&lane));
        lane
    }
}
