//! Plays steps on a store and on the model, and compares.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use master_agent_core::Millis;

use super::steps::{Ask, COLLECTIONS, Change, Guess, INDEXES, KEYS, LOGS, Life, NAMESPACES, Step, To, What};
use crate::state::conformance::{Fixture, Opened, ask};
use crate::state::model::MemoryState;
use crate::state::{
    Add, Append, Check, Commit, Committed, Delete, Document, Expect, Expiry, Forget, Found, IndexRange, Item, LogEnds, LogRead,
    LogTrim, MAX_NUMBER, NameKind, NameQuery, Order, Put, Query, Refusal, Refused, Reset, Select, StateStore, Touch, TrimTo,
    Write, Written,
};

const T0: Millis = 1_700_000_000_000;

/// How often everything is looked at.
const LOOK_EVERY: usize = 8;

type Outcome<T = ()> = Result<T, String>;

fn namespace(place: u8) -> Arc<str> {
    format!("n{place}").into()
}

fn collection(place: u8) -> Arc<str> {
    format!("c{place}").into()
}

fn key(place: u8) -> Box<str> {
    KEYS[usize::from(place) % KEYS.len()].into()
}

fn log(place: u8) -> Arc<str> {
    format!("l{place}").into()
}

fn index(place: u8) -> Arc<str> {
    format!("i{place}").into()
}

fn text(size: usize) -> Box<str> {
    format!("\"{}\"", "x".repeat(size)).into()
}

fn same<T: PartialEq + Debug>(what: impl Debug, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what:?}: the store has {found:?}, the model {expected:?}")) }
}

pub(super) struct World {
    fixture: Fixture,
    handles: [Option<Opened>; 2],
    model: Arc<MemoryState>,
    now: Millis,
    /// The model's versions in the words of the store.
    versions: HashMap<i64, i64>,
    /// Of each key: the model's versions of it, and the newest of the store.
    history: BTreeMap<(u8, u8, u8), (Vec<i64>, i64)>,
    /// Of each log: where it began in the model and in the store, and the newest number of the store.
    begins: BTreeMap<(u8, u8), (i64, i64, i64)>,
}

impl World {
    pub(super) fn new(fixture: Fixture) -> Self {
        let handles = [Some(fixture.open()), Some(fixture.open())];
        Self {
            fixture,
            handles,
            model: MemoryState::new(),
            now: T0,
            versions: HashMap::from([(0, 0)]),
            history: BTreeMap::new(),
            begins: BTreeMap::new(),
        }
    }

    pub(super) fn play(mut self, steps: &[Step]) -> Outcome {
        for (place, step) in steps.iter().enumerate() {
            self.step(step).map_err(|error| format!("step {place}: {error}"))?;
            if (place + 1) % LOOK_EVERY == 0 {
                self.look(place % 2).map_err(|error| format!("after step {place}: {error}"))?;
            }
        }
        self.look(0).and_then(|()| self.look(1)).map_err(|error| format!("at the end: {error}"))?;
        for handle in self.handles.into_iter().flatten() {
            handle.close();
        }
        Ok(())
    }

    fn store(&self, handle: u8) -> Outcome<Arc<dyn StateStore>> {
        let opened = self.handles[usize::from(handle) % 2].as_ref();
        Ok(Arc::clone(&opened.ok_or("the handle is closed")?.store))
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Commit { handle, namespace, changes } => self.commit(*handle, *namespace, changes),
            Step::Query(ask) => self.query(ask),
            Step::Read { handle, namespace, log, skip, limit, max_bytes } => {
                self.read(*handle, (*namespace, *log), *skip, *limit, *max_bytes)
            }
            Step::Trim { handle, namespace, log, to, limit } => self.trim(*handle, (*namespace, *log), *to, *limit),
            Step::Clear { handle, namespace: place } => {
                let store = self.store(*handle)?;
                let found = ask(|reply| store.clear(namespace(*place), reply));
                same("clear", found, ask(|reply| self.model.clear(namespace(*place), reply)))
            }
            Step::Sweep { handle, limit } => self.sweep(*handle, *limit),
            Step::Advance { by } => {
                self.now += by;
                Ok(())
            }
            Step::Reopen { handle } => {
                let place = usize::from(*handle) % 2;
                if let Some(opened) = self.handles[place].take() {
                    opened.close();
                }
                self.handles[place] = Some(self.fixture.open());
                Ok(())
            }
        }
    }

    fn get(&self, store: &dyn StateStore, place: u8, items: Vec<Item>) -> Outcome<Vec<Found>> {
        ask(|reply| store.get(namespace(place), items, self.now, reply)).map_err(|error| error.to_string())
    }

    fn model_ends(&self, (place, of): (u8, u8)) -> Outcome<Option<LogEnds>> {
        match self.get(&*self.model, place, vec![Item::log(log(of))])?[..] {
            [Found::Log(ends)] => Ok(ends),
            ref other => Err(format!("{other:?}")),
        }
    }

    /// How far the numbers of a log that the model has are from those of the store.
    fn shift(&self, of: (u8, u8), ends: LogEnds) -> Option<i64> {
        self.begins.get(&of).filter(|(begin, ..)| *begin == ends.begin).map(|(begin, store, _)| store - begin)
    }
}

/// Changes.
impl World {
    fn commit(&mut self, handle: u8, place: u8, changes: &[Change]) -> Outcome {
        let (mut ours, mut theirs) = (Commit::new(namespace(place), self.now), Commit::new(namespace(place), self.now));
        for change in changes {
            let (model, store) = self.resolve(place, change)?;
            ours.writes.push(model);
            theirs.writes.push(store);
        }
        let store = self.store(handle)?;
        let found = ask(|reply| store.commit(theirs, reply)).map_err(|error| error.to_string())?;
        let expected = ask(|reply| self.model.commit(ours, reply)).map_err(|error| error.to_string())?;
        match (found, expected) {
            (Committed::Done(found), Committed::Done(expected)) => {
                for (change, (found, expected)) in changes.iter().zip(found.into_iter().zip(expected)) {
                    self.compare_written(place, change, found, expected).map_err(|error| format!("{change:?}: {error}"))?;
                }
                (0..LOGS).try_for_each(|of| self.learn_ends(&*store, (place, of)))
            }
            (Committed::Refused(found), Committed::Refused(expected)) => self.compare_refusals(place, changes, found, expected),
            (found, expected) => Err(format!("the store answers {found:?}, the model {expected:?}")),
        }
    }

    /// The write for the model and the one for the store.
    fn resolve(&self, place: u8, change: &Change) -> Outcome<(Write, Write)> {
        let expiry = |life: Life| match life {
            Life::Keep => Expiry::Keep,
            Life::Never => Expiry::Never,
            Life::For(time) => Expiry::At(self.now + time),
        };
        let twice = |write: Write| (write.clone(), write);
        Ok(match change {
            Change::Put { collection: of, key: at, size, guess, indexes, life } => {
                let (ours, theirs) = self.expect(place, *of, *at, *guess);
                let mut put = Put::new(collection(*of), key(*at), text(*size)).expires(expiry(*life));
                for (of, value) in indexes {
                    put = put.index(index(*of), value.clone());
                }
                (put.clone().expect(ours).into(), put.expect(theirs).into())
            }
            Change::Delete { collection: of, key: at, guess } => {
                let (ours, theirs) = self.expect(place, *of, *at, *guess);
                let delete = Delete::new(collection(*of), key(*at));
                (delete.clone().expect(ours).into(), delete.expect(theirs).into())
            }
            Change::Touch { collection: of, key: at, guess, life } => {
                let (ours, theirs) = self.expect(place, *of, *at, *guess);
                let touch = Touch::new(collection(*of), key(*at), expiry(*life));
                (touch.clone().expect(ours).into(), touch.expect(theirs).into())
            }
            Change::Check { collection: of, key: at, guess } => {
                let (ours, theirs) = self.expect(place, *of, *at, *guess);
                (Check::new(collection(*of), key(*at), ours).into(), Check::new(collection(*of), key(*at), theirs).into())
            }
            Change::Add { collection: of, key: at, by, floor, ceiling, life } => {
                let add = Add::new(collection(*of), key(*at), *by).expires(expiry(*life));
                twice(Add { floor: *floor, ceiling: *ceiling, ..add }.into())
            }
            Change::Reset { collection: of, key: at, off } => {
                let found = self.get(&*self.model, place, vec![Item::counter(collection(*of), key(*at))])?;
                let sum = if let [Found::Sum(Some(sum))] = found[..] { sum } else { 0 };
                twice(Reset { expect: off.map(|off| sum + off), ..Reset::new(collection(*of), key(*at)) }.into())
            }
            Change::Append { log: of, size, keep, off, life } => {
                let ends = self.model_ends((place, *of))?;
                let last = ends.map_or(0, |ends| ends.last);
                let shift = ends.and_then(|ends| self.shift((place, *of), ends)).unwrap_or(0);
                let append = Append::new(log(*of), text(*size)).expires(expiry(*life));
                let append = Append { keep: *keep, ..append };
                let expecting = |last: i64| Append { expect: off.map(|off| last + off), ..append.clone() };
                (expecting(last).into(), expecting(last + shift).into())
            }
            Change::Forget { log: of } => twice(Forget::new(log(*of)).into()),
        })
    }

    fn expect(&self, place: u8, of: u8, at: u8, guess: Guess) -> (Expect, Expect) {
        let item = Item::document(collection(of), key(at));
        let current = match self.get(&*self.model, place, vec![item]).as_deref() {
            Ok([Found::Document(Some(document))]) => Some(document.version),
            _ => None,
        };
        let versions = self.history.get(&(place, of, at)).map_or(&[][..], |(versions, _)| versions);
        let version = match guess {
            Guess::Any => return (Expect::Any, Expect::Any),
            Guess::Absent => return (Expect::Absent, Expect::Absent),
            Guess::Present => return (Expect::Present, Expect::Present),
            Guess::Current => current,
            Guess::Stale => versions.iter().rev().copied().find(|version| Some(*version) != current),
        };
        match version.and_then(|version| Some((version, *self.versions.get(&version)?))) {
            Some((ours, theirs)) => (Expect::Version(ours), Expect::Version(theirs)),
            None => (Expect::Version(MAX_NUMBER), Expect::Version(MAX_NUMBER)),
        }
    }

    fn compare_written(&mut self, place: u8, change: &Change, found: Written, expected: Written) -> Outcome {
        match (change, found, expected) {
            (Change::Put { collection, key, .. }, Written::Version(found), Written::Version(expected)) => {
                let (versions, newest) = self.history.entry((place, *collection, *key)).or_default();
                if found <= *newest {
                    return Err(format!("version {found} comes after {newest}"));
                }
                *newest = found;
                versions.push(expected);
                self.versions.insert(expected, found);
                Ok(())
            }
            (_, Written::Version(found), Written::Version(expected)) => {
                same("version", Some(found), self.versions.get(&expected).copied())
            }
            // Compared when the log is looked at: it may be gone again within the commit.
            (_, Written::Number(_), Written::Number(_)) => Ok(()),
            (_, found, expected) => same("answer", found, expected),
        }
    }

    fn compare_refusals(&self, place: u8, changes: &[Change], found: Refusal, expected: Refusal) -> Outcome {
        same("refused write", found.write, expected.write)?;
        match (found.reason, expected.reason) {
            (Refused::Version { found }, Refused::Version { found: expected }) => match self.versions.get(&expected) {
                Some(expected) => same("version found", found, *expected),
                // Made by this commit and taken back with it.
                None => same("a version is found", found > 0, true),
            },
            (Refused::Number { found: theirs }, Refused::Number { found: ours }) => {
                let ends = match changes.get(found.write) {
                    Some(Change::Append { log: of, .. }) => self.model_ends((place, *of))?.map(|ends| ((place, *of), ends)),
                    _ => None,
                };
                match ends.and_then(|(of, ends)| Some((ends, self.shift(of, ends)?))) {
                    Some((ends, shift)) if ours == ends.last => same("number found", theirs, ours + shift),
                    // Appended by this commit and taken back with it, or no log at all.
                    _ => same("a log is found", theirs > 0, ours > 0),
                }
            }
            (found, expected) => same("reason", found, expected),
        }
    }

    /// Compares the ends of a log, and remembers where a new one begins.
    fn learn_ends(&mut self, store: &dyn StateStore, of: (u8, u8)) -> Outcome {
        let expected = self.model_ends(of)?;
        let found = match self.get(store, of.0, vec![Item::log(log(of.1))])?[..] {
            [Found::Log(ends)] => ends,
            ref other => return Err(format!("{other:?}")),
        };
        let (Some(found), Some(expected)) = (found, expected) else { return same(("log", of), found, expected) };
        if self.shift(of, expected).is_none() {
            let newest = self.begins.get(&of).map_or(0, |(.., newest)| *newest);
            if found.begin <= newest {
                return Err(format!("log {of:?} begins at {} after {newest}", found.begin));
            }
            self.begins.insert(of, (expected.begin, found.begin, found.last));
        }
        let shift = self.shift(of, expected).unwrap_or(0);
        if let Some((.., newest)) = self.begins.get_mut(&of) {
            *newest = found.last.max(*newest);
        }
        let expected = LogEnds { begin: expected.begin + shift, first: expected.first + shift, last: expected.last + shift };
        same(("log", of), found, expected)
    }

    fn trim(&mut self, handle: u8, of: (u8, u8), to: To, limit: usize) -> Outcome {
        let ends = self.model_ends(of)?;
        let shift = ends.and_then(|ends| self.shift(of, ends)).unwrap_or(0);
        let trim = |shift: i64| {
            let to = match to {
                To::Newest(keep) => TrimTo::Newest(keep),
                To::Through(more) => TrimTo::Through(ends.map_or(0, |ends| ends.first) + more + shift),
                To::Before(ago) => TrimTo::Before(self.now - ago),
            };
            LogTrim { namespace: namespace(of.0), log: log(of.1), to, limit, now: self.now }
        };
        let store = self.store(handle)?;
        let found = ask(|reply| store.trim_log(trim(shift), reply));
        same("trim", found, ask(|reply| self.model.trim_log(trim(0), reply)))?;
        self.learn_ends(&*store, of)
    }

    fn sweep(&self, handle: u8, limit: usize) -> Outcome {
        let store = self.store(handle)?;
        let swept = ask(|reply| store.sweep(self.now, limit, reply)).map_err(|error| error.to_string())?;
        same("a sweep is bounded", swept.removed <= limit as u64, true)?;
        // The store may have more to do than the model: only the end can be compared.
        if swept.more {
            return Ok(());
        }
        let mut expected = ask(|reply| self.model.sweep(self.now, limit, reply));
        while matches!(expected, Ok(swept) if swept.more) {
            expected = ask(|reply| self.model.sweep(self.now, limit, reply));
        }
        same("the next expiry", Ok(swept.next), expected.map(|swept| swept.next))
    }
}

/// Looking.
impl World {
    fn compare_documents(&self, found: Vec<Document>, expected: Vec<Document>) -> Outcome {
        let translated: Vec<Document> = expected
            .into_iter()
            .map(|document| Document { version: self.versions.get(&document.version).copied().unwrap_or(-1), ..document })
            .collect();
        same("documents", found, translated)
    }

    fn all_pages(&self, store: &dyn StateStore, mut query: Query) -> Outcome<Vec<Document>> {
        let mut documents = Vec::new();
        loop {
            let page = ask(|reply| store.query(query.clone(), reply)).map_err(|error| error.to_string())?;
            same("a page is bounded", page.documents.len() <= query.limit, true)?;
            let bytes: usize = page.documents.iter().rev().skip(1).map(|document| document.value_json.len()).sum();
            same("a page ends with its bytes", bytes == 0 || bytes < query.max_bytes, true)?;
            documents.extend(page.documents);
            let Some(next) = page.next else { return Ok(documents) };
            same("a page goes on", query.cursor.as_ref() != Some(&next), true)?;
            query.cursor = Some(next);
        }
    }

    fn compare_query(&self, store: &dyn StateStore, query: Query) -> Outcome {
        let found = self.all_pages(store, query.clone())?;
        let expected = self.all_pages(&*self.model, query.clone())?;
        self.compare_documents(found, expected).map_err(|error| format!("{query:?}: {error}"))
    }

    fn query(&self, ask: &Ask) -> Outcome {
        let select = match &ask.select {
            What::Keys { prefix } => Select::Keys { prefix: (*prefix).into() },
            What::Index { index: of, equal, range } => {
                Select::Index { index: index(*of), equal: equal.clone(), range: range.clone() }
            }
        };
        let order = if ask.descending { Order::Descending } else { Order::Ascending };
        let query = Query::new(namespace(ask.namespace), collection(ask.collection), self.now);
        let query = Query { select, order, limit: ask.limit, max_bytes: ask.max_bytes, ..query };
        self.compare_query(&*self.store(ask.handle)?, query)
    }

    fn read(&self, handle: u8, of: (u8, u8), skip: i64, limit: usize, max_bytes: usize) -> Outcome {
        let ends = self.model_ends(of)?;
        let shift = ends.and_then(|ends| self.shift(of, ends)).unwrap_or(0);
        let after = ends.map_or(0, |ends| ends.first) + skip - 1;
        let read = |store: &dyn StateStore, after: i64| {
            let read = LogRead { limit, max_bytes, ..LogRead::new(namespace(of.0), log(of.1), after, self.now) };
            ask(|reply| store.read_log(read, reply)).map_err(|error| error.to_string())
        };
        let found = read(&*self.store(handle)?, after + shift)?;
        let mut expected = read(&*self.model, after)?;
        for entry in &mut expected.entries {
            entry.number += shift;
        }
        same(("entries", of), found.entries, expected.entries)
    }

    /// Compares everything that can be seen.
    fn look(&mut self, handle: usize) -> Outcome {
        let handle = handle as u8;
        let store = self.store(handle)?;
        for place in 0..NAMESPACES {
            for of in 0..COLLECTIONS {
                let all = Query::new(namespace(place), collection(of), self.now);
                self.compare_query(&*store, all.clone())?;
                for at in 0..INDEXES {
                    self.compare_query(&*store, all.clone().range(index(at), (), IndexRange::All))?;
                }
                let items =
                    |make: fn(Arc<str>, Box<str>) -> Item| (0..KEYS.len() as u8).map(move |at| make(collection(of), key(at)));
                let counters: Vec<Item> = items(Item::counter).collect();
                let found = self.get(&*store, place, counters.clone())?;
                same(("counters", place, of), found, self.get(&*self.model, place, counters)?)?;
                let documents: Vec<Item> = items(Item::document).collect();
                let plain = |found: Vec<Found>| -> Vec<Document> {
                    found
                        .into_iter()
                        .filter_map(|found| if let Found::Document(document) = found { document } else { None })
                        .collect()
                };
                let found = plain(self.get(&*store, place, documents.clone())?);
                self.compare_documents(found, plain(self.get(&*self.model, place, documents)?))?;
                self.names(&*store, NameKind::Counters { namespace: namespace(place), collection: collection(of) })?;
            }
            for of in 0..LOGS {
                self.learn_ends(&*store, (place, of))?;
                self.read(handle, (place, of), 0, 1_000, usize::MAX)?;
            }
            self.names(&*store, NameKind::Collections { namespace: namespace(place) })?;
            self.names(&*store, NameKind::Logs { namespace: namespace(place) })?;
        }
        self.names(&*store, NameKind::Namespaces)
    }

    fn names(&self, store: &dyn StateStore, of: NameKind) -> Outcome {
        let names = |store: &dyn StateStore| {
            let mut query = NameQuery { limit: 2, ..NameQuery::new(of.clone(), self.now) };
            let mut names = Vec::new();
            loop {
                let page = ask(|reply| store.names(query.clone(), reply)).map_err(|error| error.to_string())?;
                names.extend(page.names);
                if page.next.is_none() {
                    return Ok::<_, String>(names);
                }
                query.after = page.next;
            }
        };
        same(&of, names(store)?, names(&*self.model)?)
    }
}
