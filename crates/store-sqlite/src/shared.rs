//! What the threads of one store share: its place, its listener, its peers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use master_agent_store::StoreListener;
use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::{Result, folder_error};
use crate::peers::Peers;
use crate::state::watch::{self, Watchers};

pub(crate) struct Shared {
    path: PathBuf,
    // Read on every commit, written once: a lock that readers share.
    listener: RwLock<Option<Weak<dyn StoreListener>>>,
    peers: RwLock<Option<Peers>>,
    watchers: Watchers,
    // Queues that other processes listen to, as of the last maintenance.
    heard: RwLock<HashSet<String>>,
    closed: Mutex<bool>,
    on_closed: Condvar,
}

impl Shared {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            listener: RwLock::new(None),
            peers: RwLock::new(None),
            watchers: Watchers::default(),
            heard: RwLock::default(),
            closed: Mutex::new(false),
            on_closed: Condvar::new(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn set_listener(&self, listener: Weak<dyn StoreListener>) {
        *self.listener.write() = Some(listener);
    }

    pub(crate) fn tell(&self, what: impl FnOnce(&dyn StoreListener)) {
        let listener = self.listener.read().as_ref().and_then(Weak::upgrade);
        if let Some(listener) = listener {
            what(listener.as_ref());
        }
    }

    /// Another process committed something.
    pub(crate) fn foreign(self: &Arc<Self>) {
        self.tell(|listener| listener.foreign());
        watch::look(self);
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// The file was opened: joins the processes that use it.
    pub(crate) fn opened(self: &Arc<Self>) -> Result<()> {
        let mut peers = self.peers.write();
        // Joined again where the folder was removed and made anew.
        if peers.as_ref().is_none_or(|peers| !peers.is_in_place()) {
            *peers = None;
            *peers = Some(Peers::join(self).map_err(|error| folder_error(&self.path.with_file_name("wake"), &error))?);
        }
        Ok(())
    }

    pub(crate) fn committed(&self) {
        if let Some(peers) = self.peers.read().as_ref() {
            peers.wake();
        }
    }

    pub(crate) fn has_peers(&self) -> bool {
        self.peers.read().as_ref().is_some_and(Peers::any)
    }

    /// This process's name among those that use the file.
    pub(crate) fn own_peer(&self) -> String {
        self.peers.read().as_ref().map(|peers| peers.own_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn set_heard(&self, queues: HashSet<String>) {
        if *self.heard.read() != queues {
            *self.heard.write() = queues;
        }
    }

    pub(crate) fn is_heard(&self, queue: &str) -> bool {
        self.heard.read().contains(queue)
    }

    /// The death of these processes is written down.
    pub(crate) fn bury_peers(&self, dead: &[String]) {
        if let Some(peers) = self.peers.read().as_ref() {
            peers.bury(dead);
        }
    }

    /// Processes found dead since the last call.
    pub(crate) fn take_dead_peers(&self) -> Vec<String> {
        self.peers.read().as_ref().map(Peers::take_dead).unwrap_or_default()
    }

    pub(crate) fn closed(&self) {
        *self.peers.write() = None;
        *self.closed.lock() = true;
        self.on_closed.notify_all();
    }

    pub(crate) fn wait_closed(&self) {
        let mut closed = self.closed.lock();
        while !*closed {
            self.on_closed.wait(&mut closed);
        }
    }
}
