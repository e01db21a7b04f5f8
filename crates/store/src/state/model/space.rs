//! What a store remembers, and what changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use master_agent_core::Millis;

use crate::state::{
    Add, Append, Commit, Committed, Document, Expect, IndexEntry, KEEP_SLICE, LogEnds, LogEntry, LogTrim, MAX_PAGE, Put, Refusal,
    Refused, Reset, Swept, TrimTo, Trimmed, Write, Written,
};

/// A collection and a key in it.
pub(super) type Key = (Arc<str>, Box<str>);

#[derive(Debug, Default)]
pub(super) struct World {
    /// Grows with everything that is written; versions and the beginnings of logs are taken from it.
    revision: i64,
    pub(super) spaces: BTreeMap<Arc<str>, Space>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    /// Something was written, even if it is gone by now.
    in_use: bool,
    pub(super) collections: BTreeSet<Arc<str>>,
    pub(super) documents: BTreeMap<Key, (Document, BTreeSet<IndexEntry>)>,
    pub(super) counters: BTreeMap<Key, Counter>,
    pub(super) logs: BTreeMap<Arc<str>, Log>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) sum: i64,
    pub(super) expires_at: Option<Millis>,
}

#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) ends: LogEnds,
    pub(super) entries: Vec<LogEntry>,
    pub(super) expires_at: Option<Millis>,
}

pub(super) fn is_live(expires_at: Option<Millis>, now: Millis) -> bool {
    expires_at.is_none_or(|time| now < time)
}

impl Log {
    fn remove_oldest(&mut self, n: usize) {
        self.entries.drain(..n);
        self.ends.first += n as i64;
    }
}

impl World {
    pub(super) fn commit(&mut self, commit: &Commit) -> Committed {
        // What has expired is gone before anything else is looked at.
        let mut space = self.spaces.get(&commit.namespace).cloned().unwrap_or_default();
        space.expire(commit.now);
        let mut written = Vec::with_capacity(commit.writes.len());
        for (index, write) in commit.writes.iter().enumerate() {
            self.revision += 1;
            match space.write(write, self.revision, commit.now) {
                Ok(answer) => written.push(answer),
                Err(reason) => return Committed::Refused(Refusal { write: index, reason }),
            }
        }
        if space.in_use {
            self.spaces.insert(Arc::clone(&commit.namespace), space);
        }
        Committed::Done(written)
    }

    pub(super) fn trim_log(&mut self, trim: &LogTrim) -> Trimmed {
        let space = self.spaces.get_mut(&trim.namespace);
        let log = space.and_then(|space| space.logs.get_mut(&trim.log)).filter(|log| is_live(log.expires_at, trim.now));
        let Some(log) = log else { return Trimmed::default() };
        let surplus = match trim.to {
            TrimTo::Newest(keep) => log.entries.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)),
            TrimTo::Through(number) => log.entries.iter().take_while(|entry| entry.number <= number).count(),
            TrimTo::Before(time) => log.entries.iter().take_while(|entry| entry.at < time).count(),
        };
        let removed = surplus.min(trim.limit).min(MAX_PAGE);
        log.remove_oldest(removed);
        Trimmed { removed: removed as u64, more: removed < surplus }
    }

    pub(super) fn clear(&mut self, namespace: &Arc<str>) -> bool {
        self.spaces.remove(namespace).is_some()
    }

    pub(super) fn sweep(&mut self, now: Millis, limit: usize) -> Swept {
        let limit = limit.min(MAX_PAGE) as u64;
        let mut swept = Swept::default();
        for space in self.spaces.values_mut() {
            swept.removed += space.expire_some(now, limit - swept.removed);
        }
        swept.more = swept.removed == limit;
        if !swept.more {
            swept.next = self.spaces.values().filter_map(Space::next_expiry).min();
        }
        swept
    }
}

impl Space {
    fn expire(&mut self, now: Millis) {
        self.expire_some(now, u64::MAX);
    }

    /// Removes up to `limit` of what has expired, and answers how many.
    fn expire_some(&mut self, now: Millis, limit: u64) -> u64 {
        let mut removed = 0;
        let mut stays = |expires_at: Option<Millis>| {
            let stays = removed == limit || is_live(expires_at, now);
            removed += u64::from(!stays);
            stays
        };
        self.documents.retain(|_, (document, _)| stays(document.expires_at));
        self.counters.retain(|_, counter| stays(counter.expires_at));
        self.logs.retain(|_, log| stays(log.expires_at));
        removed
    }

    fn next_expiry(&self) -> Option<Millis> {
        let documents = self.documents.values().map(|(document, _)| document.expires_at);
        let counters = self.counters.values().map(|counter| counter.expires_at);
        let logs = self.logs.values().map(|log| log.expires_at);
        documents.chain(counters).chain(logs).flatten().min()
    }

    fn write(&mut self, write: &Write, revision: i64, now: Millis) -> Result<Written, Refused> {
        match write {
            Write::Put(put) => self.put(put, revision, now),
            Write::Delete(delete) => {
                let key = (Arc::clone(&delete.collection), delete.key.clone());
                self.expect(&key, delete.expect)?;
                Ok(Written::Existed(self.documents.remove(&key).is_some()))
            }
            Write::Check(check) => {
                let found = self.expect(&(Arc::clone(&check.collection), check.key.clone()), check.expect)?;
                Ok(Written::Version(found.unwrap_or(0)))
            }
            Write::Touch(touch) => {
                let key = (Arc::clone(&touch.collection), touch.key.clone());
                let found = self.expect(&key, touch.expect)?;
                if let Some((document, _)) = self.documents.get_mut(&key) {
                    document.expires_at = touch.expires.after(document.expires_at);
                }
                self.expire(now);
                Ok(Written::Version(found.unwrap_or(0)))
            }
            Write::Add(add) => self.add(add, now),
            Write::Reset(reset) => self.reset(reset),
            Write::Append(append) => self.append(append, revision, now),
            Write::Forget(forget) => Ok(Written::Existed(self.logs.remove(&forget.log).is_some())),
        }
    }

    fn expect(&self, key: &Key, expect: Expect) -> Result<Option<i64>, Refused> {
        let found = self.documents.get(key).map(|(document, _)| document.version);
        if expect.holds(found) { Ok(found) } else { Err(Refused::Version { found: found.unwrap_or(0) }) }
    }

    fn put(&mut self, put: &Put, version: i64, now: Millis) -> Result<Written, Refused> {
        let key = (Arc::clone(&put.collection), put.key.clone());
        self.expect(&key, put.expect)?;
        let before = self.documents.get(&key).and_then(|(document, _)| document.expires_at);
        let document = Document {
            key: put.key.clone(),
            version,
            updated_at: now,
            expires_at: put.expires.after(before),
            value_json: put.value_json.clone(),
        };
        self.in_use = true;
        self.collections.insert(Arc::clone(&put.collection));
        self.documents.insert(key, (document, put.indexes.iter().cloned().collect()));
        self.expire(now);
        Ok(Written::Version(version))
    }

    fn add(&mut self, add: &Add, now: Millis) -> Result<Written, Refused> {
        let key = (Arc::clone(&add.collection), add.key.clone());
        let before = self.counters.get(&key).copied().unwrap_or(Counter { sum: 0, expires_at: None });
        let sum = add.applied_to(before.sum).ok_or(Refused::Sum { found: before.sum })?;
        self.in_use = true;
        self.collections.insert(Arc::clone(&add.collection));
        self.counters.insert(key, Counter { sum, expires_at: add.expires.after(before.expires_at) });
        self.expire(now);
        Ok(Written::Sum(sum))
    }

    fn reset(&mut self, reset: &Reset) -> Result<Written, Refused> {
        let key = (Arc::clone(&reset.collection), reset.key.clone());
        let found = self.counters.get(&key).map_or(0, |counter| counter.sum);
        if reset.expect.is_some_and(|expected| expected != found) {
            return Err(Refused::Sum { found });
        }
        self.counters.remove(&key);
        Ok(Written::Sum(found))
    }

    fn append(&mut self, append: &Append, revision: i64, now: Millis) -> Result<Written, Refused> {
        let found = self.logs.get(&append.log).map_or(0, |log| log.ends.last);
        if append.expect.is_some_and(|expected| expected != found) {
            return Err(Refused::Number { found });
        }
        self.in_use = true;
        let log = self.logs.entry(Arc::clone(&append.log)).or_insert_with(|| Log {
            ends: LogEnds { begin: revision, first: revision, last: revision - 1 },
            entries: Vec::new(),
            expires_at: None,
        });
        log.ends.last += 1;
        let number = log.ends.last;
        log.entries.push(LogEntry { number, at: now, entry_json: append.entry_json.clone() });
        if let Some(keep) = append.keep {
            let surplus = log.entries.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
            log.remove_oldest(surplus.min(usize::try_from(KEEP_SLICE).unwrap_or(usize::MAX)));
        }
        log.expires_at = append.expires.after(log.expires_at);
        self.expire(now);
        Ok(Written::Number(number))
    }
}
