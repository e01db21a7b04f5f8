//! Documents, counters and logs: each operation is one script of `lua/state/`, so that a commit is one step for everybody.

use std::collections::HashMap;
use std::sync::Arc;

use master_agent_core::Millis;
use master_agent_store::state::{
    Add, Append, Check, Commit, Committed, Cursor, Delete, Document, DocumentPage, Expect, Expiry, Found, Item, KEEP_SLICE,
    LogEnds, LogEntry, LogPage, LogRead, LogTrim, LogWatcher, MAX_NUMBER, MAX_PAGE, NameKind, NamePage, NameQuery, Order, Put,
    Query, Refusal, Refused, Reset, Select, StateStore, Swept, Touch, TrimTo, Trimmed, Watch, Write, Written, byte_range,
    check_items, check_limit, check_name, decode, encode, successor,
};
use master_agent_store::{Reply, StoreError};
use parking_lot::Mutex;
use redis::Value;

use crate::blob::{MAX_EXACT, WIDTH};
use crate::error::broken;
use crate::names::{PREFIX, tag};
use crate::script::{Call, Script};
use crate::shared::Shared;
use crate::{RedisStore, value};

/// The names of namespaces in their order, and the set of those in which there may be something to sweep.
const SPACES: &[u8] = b"ma:spaces";
const SWEEPS: &[u8] = b"ma:sweeps";

/// How many items one call looks up.
const GET_SLICE: usize = 1_000;

fn prefix_of(namespace: &str) -> String {
    format!("{PREFIX}s:{{{}}}:", tag(namespace))
}

fn meta_of(namespace: &str) -> Vec<u8> {
    format!("{}m", prefix_of(namespace)).into()
}

/// Who watches which log, by the prefix of the namespace.
#[derive(Default)]
pub(crate) struct Watchers {
    // Never held while a watcher is called.
    inner: Mutex<Inner>,
}

type Watching = (u64, Arc<str>, Arc<dyn LogWatcher>);

#[derive(Default)]
struct Inner {
    last_id: u64,
    by_space: HashMap<String, Vec<Watching>>,
}

impl Watchers {
    /// Adds a watcher; answers its number and whether it is the first of its namespace.
    fn add(&self, prefix: &str, log: &Arc<str>, watcher: Arc<dyn LogWatcher>) -> (u64, bool) {
        let mut inner = self.inner.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        let watching = inner.by_space.entry(prefix.to_owned()).or_default();
        watching.push((id, Arc::clone(log), watcher));
        (id, watching.len() == 1)
    }

    /// Answers whether it was the last of its namespace.
    fn remove(&self, prefix: &str, id: u64) -> bool {
        // Dropped outside of the lock: a watcher may hold the last of something.
        let (_ended, last) = {
            let mut inner = self.inner.lock();
            let Some(watching) = inner.by_space.get_mut(prefix) else { return false };
            let ended: Vec<_> = watching.extract_if(.., |(of, ..)| *of == id).collect();
            let last = watching.is_empty();
            if last {
                inner.by_space.remove(prefix);
            }
            (ended, last)
        };
        last
    }

    fn wake(&self, prefix: &str, is_meant: impl Fn(&str) -> bool) {
        let woken: Vec<_> = {
            let inner = self.inner.lock();
            let Some(watching) = inner.by_space.get(prefix) else { return };
            watching.iter().filter(|(_, log, _)| is_meant(log)).map(|(.., watcher)| Arc::clone(watcher)).collect()
        };
        for watcher in woken {
            watcher.appended();
        }
    }

    /// Everybody looks: notices may have been missed, or the store closes.
    pub(crate) fn wake_all(&self) {
        let woken: Vec<_> = self.inner.lock().by_space.values().flatten().map(|(.., watcher)| Arc::clone(watcher)).collect();
        for watcher in woken {
            watcher.appended();
        }
    }

    /// Another process appended to logs.
    pub(crate) fn heard(&self, prefix: &str, logs: &str) {
        self.wake(prefix, |log| logs.split('\0').any(|name| name == log));
    }
}

fn push_expect(call: &mut Call, expect: Expect) {
    match expect {
        Expect::Any => call.push(b""),
        Expect::Absent => call.push(b"a"),
        Expect::Present => call.push(b"p"),
        Expect::Version(version) => call.number(version),
    }
}

fn push_expiry(call: &mut Call, expires: Expiry) {
    match expires {
        Expiry::Keep => call.push(b""),
        Expiry::Never => call.push(b"-"),
        Expiry::At(time) => call.number(time),
    }
}

fn push_maybe(call: &mut Call, number: Option<i64>) {
    match number {
        Some(number) => call.number(number),
        None => call.push(b""),
    }
}

fn push_write(call: &mut Call, write: &Write) {
    let mut place = |letter: &[u8], collection: &str, key: &str| {
        call.push(letter);
        call.push(collection);
        call.push(key);
    };
    match write {
        Write::Put(Put { collection, key, value_json, expect, indexes, expires }) => {
            place(b"P", collection, key);
            push_expect(call, *expect);
            push_expiry(call, *expires);
            call.push(value_json.as_bytes());
            call.number(indexes.len() as i64);
            for entry in indexes {
                call.push(entry.index.as_bytes());
                call.push(encode(&entry.value.0));
            }
        }
        Write::Delete(Delete { collection, key, expect }) => {
            place(b"D", collection, key);
            push_expect(call, *expect);
        }
        Write::Touch(Touch { collection, key, expect, expires }) => {
            place(b"T", collection, key);
            push_expect(call, *expect);
            push_expiry(call, *expires);
        }
        Write::Check(Check { collection, key, expect }) => {
            place(b"C", collection, key);
            push_expect(call, *expect);
        }
        Write::Add(Add { collection, key, by, floor, ceiling, expires }) => {
            place(b"A", collection, key);
            call.number(*by);
            push_maybe(call, *floor);
            push_maybe(call, *ceiling);
            push_expiry(call, *expires);
        }
        Write::Reset(Reset { collection, key, expect }) => {
            place(b"R", collection, key);
            push_maybe(call, *expect);
        }
        Write::Append(Append { log, entry_json, keep, expect, expires }) => {
            place(b"L", log, entry_json);
            push_maybe(call, keep.map(|keep| i64::try_from(keep).unwrap_or(MAX_EXACT).min(MAX_EXACT)));
            push_maybe(call, *expect);
            push_expiry(call, *expires);
        }
        Write::Forget(forget) => {
            call.push(b"F");
            call.push(forget.log.as_bytes());
        }
    }
}

fn written(write: &Write, number: i64) -> Written {
    match write {
        Write::Put(_) | Write::Touch(_) | Write::Check(_) => Written::Version(number),
        Write::Add(_) | Write::Reset(_) => Written::Sum(number),
        Write::Append(_) => Written::Number(number),
        Write::Delete(_) | Write::Forget(_) => Written::Existed(number != 0),
    }
}

fn refused(write: &Write, found: i64) -> Refused {
    match write {
        Write::Add(_) | Write::Reset(_) => Refused::Sum { found },
        Write::Append(_) | Write::Forget(_) => Refused::Number { found },
        _ => Refused::Version { found },
    }
}

/// A number of the fixed width, at a place of a record; `None` for blanks.
fn number_at(record: &str, from: usize) -> Option<i64> {
    record.get(from..from + WIDTH)?.parse().ok()
}

/// The entries of indexes in it are not UTF-8.
fn document(key: &str, record: &[u8]) -> Option<Document> {
    let head = std::str::from_utf8(record.get(..56)?).ok()?;
    let indexes: usize = head.get(48..)?.parse().ok()?;
    Some(Document {
        key: key.into(),
        version: number_at(head, 0)?,
        updated_at: number_at(head, 16)?,
        expires_at: number_at(head, 32),
        value_json: std::str::from_utf8(record.get(56 + indexes..)?).ok()?.into(),
    })
}

fn ends(record: &str) -> Option<LogEnds> {
    Some(LogEnds { begin: number_at(record, 0)?, first: number_at(record, 16)?, last: number_at(record, 32)? })
}

/// The value and the key in a member of an index.
fn split_member(member: &[u8]) -> Option<(&[u8], &str)> {
    let mut at = 0;
    loop {
        match *member.get(at)? {
            0 => return Some((&member[..at], std::str::from_utf8(&member[at + 1..]).ok()?)),
            1 => at += 9,
            _ => {
                at += 1;
                loop {
                    at += member.get(at..)?.iter().position(|byte| *byte == 0)?;
                    if member.get(at + 1) == Some(&0xff) {
                        at += 2;
                    } else {
                        at += 1;
                        break;
                    }
                }
            }
        }
    }
}

fn bound(open: bool, bytes: &[u8]) -> Vec<u8> {
    [if open { b"(" } else { b"[" }, bytes].concat()
}

/// The bounds of names that begin with `prefix` and come after `after`.
fn name_bounds(prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let low = match after {
        Some(after) if after >= prefix => bound(true, after.as_bytes()),
        _ if prefix.is_empty() => b"-".to_vec(),
        _ => bound(false, prefix.as_bytes()),
    };
    (low, end_of(prefix))
}

fn end_of(prefix: &str) -> Vec<u8> {
    let end = if prefix.is_empty() { None } else { successor(prefix) };
    end.map_or_else(|| b"+".to_vec(), |end| bound(true, end.as_bytes()))
}

fn member_of(cursor: &Cursor) -> Vec<u8> {
    let mut member = encode(&cursor.value);
    member.push(0);
    member.extend_from_slice(cursor.key.as_bytes());
    member
}

/// The lower and the upper bound of the members that a query goes through.
fn query_bounds(query: &Query) -> (Vec<u8>, Vec<u8>) {
    let down = query.order == Order::Descending;
    match &query.select {
        Select::Keys { prefix } => {
            let cursor = query.cursor.as_ref().map(|cursor| &*cursor.key);
            if !down {
                return name_bounds(prefix, cursor);
            }
            let (low, end) = name_bounds(prefix, None);
            let is_inside = |key: &&str| *key < &**prefix || key.starts_with(&**prefix);
            (low, cursor.filter(is_inside).map_or(end, |key| bound(true, key.as_bytes())))
        }
        Select::Index { equal, range, .. } => {
            let (from, to) = byte_range(&equal.0, range);
            let cursor = query.cursor.as_ref().map(member_of);
            let low = match &cursor {
                Some(member) if !down && *member >= from => bound(true, member),
                _ => bound(false, &from),
            };
            let high = match &cursor {
                Some(member) if down && *member < to => bound(true, member),
                _ => bound(true, &to),
            };
            (low, high)
        }
    }
}

impl RedisStore {
    fn broken(&self, what: &str) -> impl Fn() -> StoreError + Send + use<> {
        let (place, what) = (self.link().place().to_owned(), what.to_owned());
        move || broken(&place, &what)
    }

    /// A script of a namespace that may touch the names of all.
    fn with_names(&self, script: Script, namespace: &str, keys: &[&'static [u8]]) -> Call {
        let meta = meta_of(namespace);
        let mut all: Vec<&[u8]> = vec![&meta];
        if !self.shared.cluster {
            all.extend(keys);
        }
        Call::script(script, &all)
    }
}

impl StateStore for RedisStore {
    fn commit(&self, commit: Commit, reply: Reply<Committed>) {
        if let Err(error) = commit.check() {
            return reply(Err(error));
        }
        let shared = Arc::clone(&self.shared);
        let mut call = self.with_names(Script::Commit, &commit.namespace, &[SPACES, SWEEPS]);
        call.push(&shared.client);
        call.number(commit.now);
        call.push(commit.namespace.as_bytes());
        call.push(if shared.cluster { b"1" } else { b"0" });
        call.number(KEEP_SLICE as i64);
        for write in &commit.writes {
            push_write(&mut call, write);
        }
        let wrong = self.broken("the answer of a commit");
        let done = move |outcome: Result<Value, StoreError>| {
            let found = match outcome {
                Ok(found) => found,
                Err(error) => return reply(Err(error)),
            };
            let parts = value::list(&found);
            let number = |index: usize| parts.get(index).and_then(value::integer);
            match parts.first().and_then(value::text) {
                Some("+") => {
                    let answers: Option<Vec<Written>> =
                        commit.writes.iter().enumerate().map(|(index, write)| Some(written(write, number(index + 3)?))).collect();
                    let Some(answers) = answers else { return reply(Err(wrong())) };
                    let mut others = Vec::new();
                    if shared.cluster {
                        let name = commit.namespace.as_bytes();
                        if number(1) == Some(1) {
                            others.push(Call::command(&[b"ZADD", SPACES, b"0", name]));
                        }
                        if number(2) == Some(1) {
                            others.push(Call::command(&[b"SADD", SWEEPS, name]));
                        }
                    }
                    let prefix = prefix_of(&commit.namespace);
                    let appended: Vec<Arc<str>> = commit
                        .writes
                        .iter()
                        .filter_map(|write| if let Write::Append(append) = write { Some(Arc::clone(&append.log)) } else { None })
                        .collect();
                    let of = Arc::clone(&shared);
                    let told: Reply<Committed> = Box::new(move |outcome| {
                        reply(outcome);
                        if !appended.is_empty() {
                            of.watchers.wake(&prefix, |log| appended.iter().any(|name| **name == *log));
                        }
                    });
                    shared.afterwards(others, Committed::Done(answers), told);
                }
                Some("-") => {
                    let place = number(1).and_then(|place| usize::try_from(place).ok());
                    let refusal =
                        place.and_then(|write| Some(Refusal { write, reason: refused(commit.writes.get(write)?, number(2)?) }));
                    reply(refusal.map(Committed::Refused).ok_or_else(wrong));
                }
                _ => reply(Err(wrong())),
            }
        };
        self.link().submit(call, None, Box::new(done));
    }

    fn get(&self, namespace: Arc<str>, items: Vec<Item>, now: Millis, reply: Reply<Vec<Found>>) {
        if let Err(error) = check_items(&namespace, &items) {
            return reply(Err(error));
        }
        debug_assert!(items.len() <= GET_SLICE, "checked: all as of one moment");
        let mut call = Call::script(Script::Get, &[&meta_of(&namespace)]).with_number(now);
        for item in &items {
            let (what, a, b): (&[u8], &str, &str) = match item {
                Item::Document { collection, key } => (b"d", collection, key),
                Item::Counter { collection, key } => (b"n", collection, key),
                Item::Log { log } => (b"l", log, ""),
            };
            call.push(what);
            call.push(a);
            call.push(b);
        }
        let wrong = self.broken("what was looked up");
        self.run(call, reply, move |answer| {
            let records = value::list(&answer);
            let read = |(index, item): (usize, &Item)| {
                let record = records.get(index).and_then(value::text);
                Some(match item {
                    Item::Document { key, .. } => match records.get(index).map(value::bytes) {
                        Some(record) if !record.is_empty() => Found::Document(Some(document(key, record)?)),
                        _ => Found::Document(None),
                    },
                    Item::Counter { .. } => match record {
                        Some(record) => Found::Sum(Some(record.get(WIDTH..)?.parse().ok()?)),
                        None => Found::Sum(None),
                    },
                    Item::Log { .. } => match record {
                        Some(record) => Found::Log(Some(ends(record)?)),
                        None => Found::Log(None),
                    },
                })
            };
            items.iter().enumerate().map(read).collect::<Option<_>>().ok_or_else(wrong)
        });
    }

    fn query(&self, query: Query, reply: Reply<DocumentPage>) {
        if let Err(error) = query.check() {
            return reply(Err(error));
        }
        let (low, high) = query_bounds(&query);
        let mut call = Call::script(Script::Query, &[&meta_of(&query.namespace)]).with_number(query.now);
        call.push(query.collection.as_bytes());
        match &query.select {
            Select::Keys { .. } => call.push(b""),
            Select::Index { index, .. } => call.push2(b"I", index.as_bytes()),
        }
        call.push(low);
        call.push(high);
        call.push(if query.order == Order::Descending { b"1" } else { b"0" });
        call.number(query.limit.min(MAX_PAGE) as i64);
        call.number(i64::try_from(query.max_bytes).unwrap_or(MAX_EXACT).min(MAX_EXACT));
        let wrong = self.broken("a document");
        self.run(call, reply, move |found| {
            let parts = value::list(&found);
            let mut page = DocumentPage::default();
            for pair in parts.get(2..).unwrap_or_default().chunks_exact(2) {
                let read = value::text(&pair[0]).and_then(|key| document(key, value::bytes(&pair[1])));
                page.documents.push(read.ok_or_else(&wrong)?);
            }
            if parts.first().and_then(value::text) == Some("1") {
                let last = parts.get(1).map(value::bytes).unwrap_or_default();
                let cursor = match &query.select {
                    Select::Keys { .. } => {
                        std::str::from_utf8(last).ok().map(|key| Cursor { value: Vec::new(), key: key.into() })
                    }
                    Select::Index { .. } => {
                        split_member(last).and_then(|(value, key)| Some(Cursor { value: decode(value).ok()?, key: key.into() }))
                    }
                };
                page.next = Some(cursor.ok_or_else(wrong)?);
            }
            Ok(page)
        });
    }

    fn read_log(&self, read: LogRead, reply: Reply<LogPage>) {
        if let Err(error) = read.check() {
            return reply(Err(error));
        }
        let mut call = Call::script(Script::ReadLog, &[&meta_of(&read.namespace)]).with_number(read.now);
        call.push(read.log.as_bytes());
        call.number(read.after.min(MAX_NUMBER - 1));
        call.number(read.limit.min(MAX_PAGE) as i64);
        call.number(i64::try_from(read.max_bytes).unwrap_or(MAX_EXACT).min(MAX_EXACT));
        let wrong = self.broken("a log");
        self.run(call, reply, move |found| {
            let parts = value::list(&found);
            let Some(record) = parts.first().and_then(value::text) else { return Ok(LogPage::default()) };
            let first = parts.get(1).and_then(value::integer).ok_or_else(&wrong)?;
            let mut page = LogPage { ends: Some(ends(record).ok_or_else(&wrong)?), entries: Vec::new() };
            for (number, entry) in (first..).zip(value::texts(&found).skip(2)) {
                let (at, text) = number_at(entry, 0).zip(entry.get(WIDTH..)).ok_or_else(&wrong)?;
                page.entries.push(LogEntry { number, at, entry_json: text.into() });
            }
            Ok(page)
        });
    }

    fn trim_log(&self, trim: LogTrim, reply: Reply<Trimmed>) {
        if let Err(error) = trim.check() {
            return reply(Err(error));
        }
        let mut call = Call::script(Script::TrimLog, &[&meta_of(&trim.namespace)]).with_number(trim.now);
        call.push(trim.log.as_bytes());
        let (what, number): (&[u8], i64) = match trim.to {
            TrimTo::Newest(keep) => (b"n", i64::try_from(keep).unwrap_or(MAX_EXACT).min(MAX_EXACT)),
            TrimTo::Through(number) => (b"t", number),
            TrimTo::Before(time) => (b"b", time),
        };
        call.push(what);
        call.number(number);
        call.number(trim.limit.min(MAX_PAGE) as i64);
        self.run(call, reply, |found| {
            let parts = value::list(&found);
            let removed = parts.first().and_then(value::integer).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            Ok(Trimmed { removed, more: parts.get(1).and_then(value::text) == Some("1") })
        });
    }

    fn names(&self, query: NameQuery, reply: Reply<NamePage>) {
        if let Err(error) = query.check() {
            return reply(Err(error));
        }
        let (low, high) = name_bounds(&query.prefix, query.after.as_deref());
        let limit = query.limit.min(MAX_PAGE);
        let (namespace, kind, collection): (_, &[u8], &str) = match &query.of {
            NameKind::Namespaces => {
                let more = (limit + 1).to_string();
                let call = Call::command(&[b"ZRANGEBYLEX", SPACES, &low, &high, b"LIMIT", b"0", more.as_bytes()]);
                return self.run(call, reply, move |found| {
                    let mut names: Vec<Box<str>> = value::texts(&found).map(Into::into).collect();
                    let is_more = names.len() > limit;
                    names.truncate(limit);
                    Ok(NamePage { next: if is_more { names.last().cloned() } else { None }, names })
                });
            }
            NameKind::Collections { namespace } => (namespace, b"c", ""),
            NameKind::Counters { namespace, collection } => (namespace, b"o", collection),
            NameKind::Logs { namespace } => (namespace, b"l", ""),
        };
        let mut call = Call::script(Script::Names, &[&meta_of(namespace)]).with_number(query.now);
        call.push(kind);
        call.push(collection);
        call.push(low);
        call.push(high);
        call.number(limit as i64);
        self.run(call, reply, |found| {
            let mut parts = value::texts(&found);
            let (is_more, last) = (parts.next() == Some("1"), parts.next().unwrap_or_default());
            Ok(NamePage { next: is_more.then(|| last.into()), names: parts.map(Into::into).collect() })
        });
    }

    fn clear(&self, namespace: Arc<str>, reply: Reply<bool>) {
        if let Err(error) = check_name("namespace", &namespace) {
            return reply(Err(error));
        }
        let shared = Arc::clone(&self.shared);
        let call = self.with_names(Script::Clear, &namespace, &[SPACES, SWEEPS]).with(namespace.as_bytes());
        let done = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                let was_there = value::text(&found) == Some("1");
                let mut others = Vec::new();
                if shared.cluster && was_there {
                    others.push(Call::command(&[b"ZREM", SPACES, namespace.as_bytes()]));
                    others.push(Call::command(&[b"SADD", SWEEPS, namespace.as_bytes()]));
                }
                shared.afterwards(others, was_there, reply);
            }
            Err(error) => reply(Err(error)),
        };
        self.link().submit(call, None, Box::new(done));
    }

    fn sweep(&self, now: Millis, limit: usize, reply: Reply<Swept>) {
        if let Err(error) = check_limit(limit) {
            return reply(Err(error));
        }
        let shared = Arc::clone(&self.shared);
        let limit = limit.min(MAX_PAGE) as u64;
        let done = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                let spaces = value::texts(&found).map(Arc::from).collect();
                Sweep { shared, spaces, now: now.clamp(-MAX_EXACT, MAX_EXACT), limit, swept: Swept::default(), reply }.go();
            }
            Err(error) => reply(Err(error)),
        };
        self.link().submit(Call::command(&[b"SMEMBERS", SWEEPS]), None, Box::new(done));
    }

    fn watch(&self, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>, reply: Reply<Watch>) {
        if let Err(error) = check_name("namespace", &namespace).and_then(|()| check_name("log", &log)) {
            return reply(Err(error));
        }
        let prefix = prefix_of(&namespace);
        let (id, first) = self.shared.watchers.add(&prefix, &log, watcher);
        if first {
            self.link().subscribe(format!("{prefix}w").into(), true);
        }
        let shared = Arc::downgrade(&self.shared);
        let of = prefix.clone();
        let watch = Watch::new(move || {
            if let Some(shared) = shared.upgrade()
                && shared.watchers.remove(&of, id)
            {
                shared.link().subscribe(format!("{of}w").into(), false);
            }
        });
        // Answered behind the subscription.
        let call = Call::command(&[b"EXISTS", format!("{prefix}m").as_bytes()]);
        self.run(call, reply, move |_| Ok(watch));
    }
}

/// A sweep over several namespaces.
struct Sweep {
    shared: Arc<Shared>,
    spaces: Vec<Arc<str>>,
    now: Millis,
    limit: u64,
    swept: Swept,
    reply: Reply<Swept>,
}

impl Sweep {
    fn go(mut self) {
        let left = self.limit - self.swept.removed.min(self.limit);
        if left == 0 {
            return (self.reply)(Ok(Swept { more: true, next: None, ..self.swept }));
        }
        let Some(space) = self.spaces.pop() else { return (self.reply)(Ok(self.swept)) };
        let meta = meta_of(&space);
        let keys: &[&[u8]] = if self.shared.cluster { &[&meta] } else { &[&meta, SWEEPS] };
        let call = Call::script(Script::Sweep, keys).with_number(self.now).with_number(left as i64).with(space.as_bytes());
        let shared = Arc::clone(&self.shared);
        let done = move |outcome: Result<Value, StoreError>| match outcome {
            Ok(found) => {
                let parts = value::list(&found);
                let number = |index: usize| parts.get(index).and_then(value::integer);
                self.swept.removed += number(0).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                if let Some(next) = number(1) {
                    self.swept.next = Some(self.swept.next.map_or(next, |earlier| earlier.min(next)));
                }
                if self.shared.cluster && number(2) == Some(1) {
                    let call = Call::command(&[b"SREM", SWEEPS, space.as_bytes()]);
                    let shared = Arc::clone(&self.shared);
                    return shared.link().follow(call, Box::new(move |_| self.go()));
                }
                self.go();
            }
            Err(error) => (self.reply)(Err(error)),
        };
        shared.link().submit(call, None, Box::new(done));
    }
}

#[cfg(test)]
mod tests {
    use master_agent_store::state::IndexPart;

    use super::*;

    #[test]
    fn members_of_an_index_are_cut_where_they_were_joined() {
        for value in [vec![], vec![IndexPart::from(0)], vec!["a\0b".into(), IndexPart::from(-1)], vec!["".into(), "\0".into()]] {
            for key in ["k", "\0", "a\0b", "\u{1}"] {
                let member = member_of(&Cursor { value: value.clone(), key: key.into() });
                let (bytes, found) = split_member(&member).expect("a member");
                assert_eq!((decode(bytes).expect("a value"), found), (value.clone(), key));
            }
        }
    }
}
