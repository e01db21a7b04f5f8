//! What the cases are written with: a store that is asked and answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use master_agent_core::{ManualClock, Millis};

use super::{Fixture, Opened};
use crate::state::{
    Commit, Committed, Cursor, Delivery, Document, Found, Item, LogEnds, LogEntry, LogPage, LogRead, LogTrim, NameKind,
    NameQuery, Query, Refusal, Refused, Start, StateStore, Subscription, Swept, TrimTo, Trimmed, Write, Written,
};
use crate::{Reply, StoreError};

/// How long a case waits for what must come before it gives up: a guard against hanging, not a measure.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The time at which cases begin.
pub(super) const T0: Millis = 1_700_000_000_000;

/// Submits an operation; the answer comes later.
pub(super) fn submit<T: Send + 'static>(operation: impl FnOnce(Reply<T>)) -> Receiver<Result<T, StoreError>> {
    let (send, receive) = sync_channel(1);
    operation(Box::new(move |outcome| {
        let _ = send.send(outcome);
    }));
    receive
}

pub(super) fn wait<T>(answer: &Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.recv_timeout(PATIENCE).expect("every operation is answered")
}

/// Calls an operation and waits for its answer.
pub(crate) fn ask<T: Send + 'static>(operation: impl FnOnce(Reply<T>)) -> Result<T, StoreError> {
    wait(&submit(operation))
}

/// A store seen from one namespace and time.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) namespace: Arc<str>,
    pub(super) now: Millis,
}

/// Opens the place of a fixture.
pub(super) fn open(fixture: &Fixture) -> (Kit, Opened) {
    let opened = fixture.open();
    (Kit { store: Arc::clone(&opened.store), namespace: "agents".into(), now: T0 }, opened)
}

impl Kit {
    pub(super) fn at(&self, now: Millis) -> Self {
        Self { now, ..self.clone() }
    }

    pub(super) fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.into(), ..self.clone() }
    }

    pub(super) fn new_commit(&self) -> Commit {
        Commit::new(Arc::clone(&self.namespace), self.now)
    }

    pub(super) fn try_commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let wanted = commit.writes.len();
        let committed = ask(|reply| self.store.commit(commit, reply));
        if let Ok(Committed::Done(written)) = &committed {
            assert_eq!(written.len(), wanted, "one answer per write");
        }
        committed
    }

    fn submit_writes(&self, writes: Vec<Write>) -> Result<Committed, StoreError> {
        self.try_commit(Commit { writes, ..self.new_commit() })
    }

    /// Commits writes that must be done.
    pub(super) fn done(&self, writes: Vec<Write>) -> Vec<Written> {
        match self.submit_writes(writes) {
            Ok(Committed::Done(written)) => written,
            other => panic!("the commit is {other:?}"),
        }
    }

    pub(super) fn write(&self, write: impl Into<Write>) -> Written {
        self.done(vec![write.into()])[0]
    }

    /// Commits a put and returns the version that it made.
    pub(super) fn put(&self, put: crate::state::Put) -> i64 {
        match self.write(put) {
            Written::Version(version) => version,
            other => panic!("a put answers {other:?}"),
        }
    }

    /// Commits an append and returns the number of the entry.
    pub(super) fn append(&self, append: crate::state::Append) -> i64 {
        match self.write(append) {
            Written::Number(number) => number,
            other => panic!("an append answers {other:?}"),
        }
    }

    /// Appends `n` entries, whose texts are their places from 0 on, and returns their numbers.
    pub(super) fn append_many(&self, log: &str, n: usize) -> Vec<i64> {
        (0..n).map(|place| self.append(crate::state::Append::new(log, place.to_string()))).collect()
    }

    /// Commits writes that must be refused.
    pub(super) fn refused(&self, writes: Vec<Write>) -> Refusal {
        match self.submit_writes(writes) {
            Ok(Committed::Refused(refusal)) => refusal,
            other => panic!("the commit is {other:?}"),
        }
    }

    /// Commits one write that must be refused.
    pub(super) fn refusal(&self, write: impl Into<Write>) -> Refused {
        let refusal = self.refused(vec![write.into()]);
        assert_eq!(refusal.write, 0, "the write that is refused is named");
        refusal.reason
    }

    pub(super) fn get(&self, items: Vec<Item>) -> Vec<Found> {
        let wanted = items.len();
        let found = ask(|reply| self.store.get(Arc::clone(&self.namespace), items, self.now, reply)).expect("a get is answered");
        assert_eq!(found.len(), wanted, "one answer per item");
        found
    }

    pub(super) fn document(&self, collection: &str, key: &str) -> Option<Document> {
        match self.get(vec![Item::document(collection, key)]).pop() {
            Some(Found::Document(document)) => document,
            other => panic!("a document is found as {other:?}"),
        }
    }

    /// The value of a document, `None` where there is none.
    pub(super) fn value(&self, collection: &str, key: &str) -> Option<String> {
        self.document(collection, key).map(|document| document.value_json.into())
    }

    pub(super) fn sum(&self, collection: &str, key: &str) -> Option<i64> {
        match self.get(vec![Item::counter(collection, key)])[0] {
            Found::Sum(sum) => sum,
            ref other => panic!("a counter is found as {other:?}"),
        }
    }

    pub(super) fn ends(&self, log: &str) -> Option<LogEnds> {
        match self.get(vec![Item::log(log)])[0] {
            Found::Log(ends) => ends,
            ref other => panic!("a log is found as {other:?}"),
        }
    }

    pub(super) fn new_query(&self, collection: &str) -> Query {
        Query::new(Arc::clone(&self.namespace), collection, self.now)
    }

    /// The documents of each page of a query.
    pub(super) fn pages(&self, query: &Query) -> Vec<Vec<Document>> {
        let mut pages = Vec::new();
        let mut query = query.clone();
        loop {
            let page = ask(|reply| self.store.query(query.clone(), reply)).expect("a query is answered");
            assert!(page.documents.len() <= query.limit, "a page has at most as many as were asked for");
            pages.push(page.documents);
            let Some(next) = page.next else { return pages };
            assert_ne!(query.cursor, Some(next.clone()), "every page goes on");
            query.cursor = Some(next);
        }
    }

    /// The keys that a query finds, over all of its pages.
    pub(super) fn keys(&self, query: &Query) -> Vec<String> {
        self.pages(query).into_iter().flatten().map(|document| document.key.into()).collect()
    }

    pub(super) fn page_after(&self, query: &Query, cursor: Option<Cursor>) -> (Vec<String>, Option<Cursor>) {
        let page = ask(|reply| self.store.query(Query { cursor, ..query.clone() }, reply)).expect("a query is answered");
        (page.documents.into_iter().map(|document| document.key.into()).collect(), page.next)
    }

    pub(super) fn new_read(&self, log: &str, after: i64) -> LogRead {
        LogRead::new(Arc::clone(&self.namespace), log, after, self.now)
    }

    pub(super) fn read(&self, read: LogRead) -> LogPage {
        let limit = read.limit;
        let page = ask(|reply| self.store.read_log(read, reply)).expect("a read is answered");
        assert!(page.entries.len() <= limit, "a page has at most as many as were asked for");
        let follow = |pair: &[LogEntry]| pair[1].number == pair[0].number + 1;
        assert!(page.entries.windows(2).all(follow), "the numbers of a page follow each other");
        page
    }

    /// All entries of a log: number and text.
    pub(super) fn entries(&self, log: &str) -> Vec<(i64, String)> {
        let page = self.read(self.new_read(log, 0));
        page.entries.into_iter().map(|entry| (entry.number, entry.entry_json.into())).collect()
    }

    pub(super) fn numbers(&self, log: &str) -> Vec<i64> {
        self.entries(log).into_iter().map(|(number, _)| number).collect()
    }

    pub(super) fn trim(&self, log: &str, to: TrimTo, limit: usize) -> Trimmed {
        let trim = LogTrim { namespace: Arc::clone(&self.namespace), log: log.into(), to, limit, now: self.now };
        ask(|reply| self.store.trim_log(trim, reply)).expect("a trim is answered")
    }

    pub(super) fn names(&self, query: &NameQuery) -> Vec<String> {
        let mut names = Vec::new();
        let mut query = query.clone();
        loop {
            let page = ask(|reply| self.store.names(query.clone(), reply)).expect("names are answered");
            assert!(page.names.len() <= query.limit, "a page has at most as many as were asked for");
            names.extend(page.names.into_iter().map(String::from));
            let Some(next) = page.next else { return names };
            assert_ne!(query.after, Some(next.clone()), "every page goes on");
            query.after = Some(next);
        }
    }

    pub(super) fn names_of(&self, of: NameKind) -> Vec<String> {
        self.names(&NameQuery::new(of, self.now))
    }

    pub(super) fn namespaces(&self) -> Vec<String> {
        self.names_of(NameKind::Namespaces)
    }

    pub(super) fn clear(&self) -> bool {
        ask(|reply| self.store.clear(Arc::clone(&self.namespace), reply)).expect("a clear is answered")
    }

    pub(super) fn sweep(&self, limit: usize) -> Swept {
        let swept = ask(|reply| self.store.sweep(self.now, limit, reply)).expect("a sweep is answered");
        assert!(!(swept.more && swept.next.is_some()), "the next time is told when nothing more is to be done now");
        swept
    }

    /// Sweeps until there is no more.
    pub(super) fn sweep_all(&self) -> Swept {
        for _ in 0..10_000 {
            let swept = self.sweep(1_000);
            if !swept.more {
                return swept;
            }
        }
        panic!("sweeping comes to an end");
    }

    pub(super) fn subscribe(&self, log: &str, start: Start) -> Follower {
        let clock = Arc::new(ManualClock::at(self.now));
        let subscription = ask(|reply| Subscription::open(&self.store, clock, Arc::clone(&self.namespace), log, start, reply));
        Follower(subscription.expect("a subscription is opened"))
    }
}

/// A subscription that is asked and answers.
pub(super) struct Follower(pub(super) Subscription);

impl Follower {
    pub(super) fn submit(&self) -> Receiver<Result<Delivery, StoreError>> {
        submit(|reply| self.0.next(1_000, usize::MAX, reply))
    }

    pub(super) fn next(&self) -> Delivery {
        wait(&self.submit()).expect("what follows is delivered")
    }

    /// The next entries, none of which were missed.
    pub(super) fn texts(&self) -> Vec<String> {
        texts(self.next())
    }
}

pub(super) fn texts(delivery: Delivery) -> Vec<String> {
    assert_eq!(delivery.missed, None, "nothing was missed");
    delivery.entries.into_iter().map(|entry| entry.entry_json.into()).collect()
}

/// Texts for comparison with what a store answers.
pub(super) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_string()).collect()
}
