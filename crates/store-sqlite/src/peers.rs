//! The processes that use one store: how they wake each other and notice a death.
//!
//! Each process has a file in `wake/` beside the store and holds a lock on it for its life; others
//! write a byte into it to wake the process, and know by the lock whether it lives. The operating
//! system drops the lock of a process that dies, however it dies. Leases remain the authority over
//! jobs: this only makes waking and taking over faster.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use notify::{RecursiveMode, Watcher};
use parking_lot::Mutex;

use crate::shared::Shared;

/// Behind the file watch: how late a wake-up can be that the watch missed.
const POLL: Duration = Duration::from_millis(100);

/// How often the others are listed and their locks tried.
const LIST: Duration = Duration::from_secs(1);

/// The same where no watch could be set up.
const POLL_UNWATCHED: Duration = Duration::from_millis(10);

/// While commits follow each other elsewhere, this process looks at most this often.
const TELL_INTERVAL: Duration = Duration::from_millis(1);

struct Known {
    files: HashMap<String, File>,
    /// Found dead, and not handed out yet.
    dead: HashSet<String>,
}

pub(crate) struct Peers {
    folder: PathBuf,
    own_name: String,
    // Held for its lock.
    _own: File,
    known: Arc<Mutex<Known>>,
    // Dropped to end the thread.
    _stop: Sender<()>,
}

impl Peers {
    pub(crate) fn join(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let folder = shared.path().with_file_name("wake");
        std::fs::create_dir_all(&folder)?;
        let own_name = format!("{}-{:016x}", std::process::id(), random());
        let own_path = folder.join(&own_name);
        // Locked before it appears under its name, so that nobody takes it for a dead one's.
        let hidden = folder.join(format!(".{own_name}"));
        let own = OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&hidden)?;
        let _ = own.try_lock();
        std::fs::rename(&hidden, &own_path)?;
        let known = Arc::new(Mutex::new(Known { files: HashMap::new(), dead: HashSet::new() }));
        let (stop, stopped) = channel();
        let peers =
            Self { folder: folder.clone(), own_name: own_name.clone(), _own: own, known: Arc::clone(&known), _stop: stop };
        list(&folder, &own_name, &known);
        // The others learn of this process now rather than at their next listing.
        peers.wake();
        let (shared, events) = (Arc::downgrade(shared), stopped);
        std::thread::Builder::new()
            .name("master-agent-peers".into())
            .spawn(move || watch(&folder, &own_name, &known, &shared, &events))?;
        Ok(peers)
    }

    pub(crate) fn own_name(&self) -> &str {
        &self.own_name
    }

    pub(crate) fn is_in_place(&self) -> bool {
        self.folder.join(&self.own_name).exists()
    }

    pub(crate) fn any(&self) -> bool {
        !self.known.lock().files.is_empty()
    }

    /// Processes found dead. They are found again until they are buried.
    pub(crate) fn take_dead(&self) -> Vec<String> {
        std::mem::take(&mut self.known.lock().dead).into_iter().collect()
    }

    /// The store knows that these are dead: their files can go.
    pub(crate) fn bury(&self, dead: &[String]) {
        for name in dead {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    /// Tells the others that something was committed.
    pub(crate) fn wake(&self) {
        self.known.lock().files.retain(|_, file| write_byte(file).is_ok());
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.folder.join(&self.own_name));
    }
}

fn write_byte(mut file: &File) -> std::io::Result<()> {
    use std::io::Seek;
    file.rewind()?;
    file.write_all(b"1")
}

/// 64 bits that differ between processes and calls: the seed of std's hash maps.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Brings the list of others up to date and answers whether another one was found dead.
///
/// The file of a dead one stays until its death is written down: who finds it may have no worker,
/// and then it is another process that acts on it.
fn list(folder: &Path, own_name: &str, known: &Mutex<Known>) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut present = Vec::new();
    let mut dead = HashSet::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name == own_name || name.starts_with('.') {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        match file.try_lock() {
            Ok(()) => {
                dead.insert(name);
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => present.push((name, file)),
        }
    }
    let mut known = known.lock();
    known.files.retain(|name, _| present.iter().any(|(other, _)| other == name));
    for (name, file) in present {
        known.files.entry(name).or_insert_with(|| {
            // What was committed between its arrival and now, it has not been told of.
            let _ = write_byte(&file);
            file
        });
    }
    let some_died = !dead.is_subset(&known.dead);
    known.dead = dead;
    some_died
}

fn watch(folder: &Path, own_name: &str, known: &Mutex<Known>, shared: &Weak<Shared>, stopped: &Receiver<()>) {
    let own_path = folder.join(own_name);
    let (send, events) = channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_modify()) {
            let _ = send.send(());
        }
    });
    // Without a watch (none left in a container, say) the poll behind it remains.
    let _watcher =
        watcher.ok().and_then(|mut watcher| watcher.watch(&own_path, RecursiveMode::NonRecursive).ok().map(|()| watcher));
    let watching = _watcher.is_some();
    let modified = || std::fs::metadata(&own_path).and_then(|meta| meta.modified()).ok();
    let mut seen: Option<SystemTime> = modified();
    let mut listed = Instant::now();
    let mut told = Instant::now();
    // A wake-up may tell of a process that arrived.
    let mut list_due = false;
    // Who wrote before the watch was set up was not heard.
    if let Some(shared) = shared.upgrade() {
        shared.foreign();
    }
    loop {
        if matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
            return;
        }
        let woken = if watching {
            match events.recv_timeout(POLL) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else if stopped.recv_timeout(POLL_UNWATCHED) == Err(RecvTimeoutError::Disconnected) {
            return;
        } else {
            false
        };
        if woken {
            std::thread::sleep(TELL_INTERVAL.saturating_sub(told.elapsed()));
        }
        // One look answers all wake-ups so far.
        while events.try_recv().is_ok() {}
        let now = modified();
        let changed = now != seen;
        seen = now;
        list_due |= woken || changed;
        let mut some_died = false;
        if listed.elapsed() > if list_due { LIST / 20 } else { LIST } {
            some_died = list(folder, own_name, known);
            listed = Instant::now();
            list_due = false;
        }
        if woken || changed || some_died {
            let Some(shared) = shared.upgrade() else { return };
            shared.foreign();
            told = Instant::now();
        }
    }
}
