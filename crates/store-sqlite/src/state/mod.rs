//! The operations on state, a module each, and the port's face over them. What commits change runs in a
//! transaction that `writer` opened; what only looks runs on the reader's connection.

mod commit;
mod counters;
mod documents;
mod logs;
mod names;
#[cfg(test)]
mod plans;
mod query;
mod sweep;
pub(crate) mod watch;

use std::sync::Arc;

use master_agent_core::Millis;
use master_agent_store::state::{
    Commit, Committed, DocumentPage, Found, Item, LogPage, LogRead, LogTrim, LogWatcher, NamePage, NameQuery, Query, StateStore,
    Swept, Trimmed, Watch, Write, check_items, check_limit, check_name,
};
use master_agent_store::{Reply, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::SqliteStore;
use crate::tx::Outcome;

fn is_live(expires_at: Option<Millis>, now: Millis) -> bool {
    expires_at.is_none_or(|time| now < time)
}

fn find_space(connection: &Connection, namespace: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT id FROM state_spaces WHERE name = ?1")?.query_row([namespace], |row| row.get(0)).optional()
}

fn find_area(connection: &Connection, space: i64, collection: &str) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT id FROM state_areas WHERE space = ?1 AND name = ?2")?;
    find.query_row(params![space, collection], |row| row.get(0)).optional()
}

/// Runs several reads as of one moment.
fn as_of_one_moment<T>(connection: &Connection, reads: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    let moment = connection.unchecked_transaction()?;
    reads(&moment)
}

fn get(connection: &Connection, namespace: &str, items: &[Item], now: Millis) -> Outcome<Vec<Found>> {
    as_of_one_moment(connection, |connection| {
        let space = find_space(connection, namespace)?;
        let area = |collection: &str| match space {
            Some(space) => find_area(connection, space, collection),
            None => Ok(None),
        };
        items
            .iter()
            .map(|item| {
                Ok(match item {
                    Item::Document { collection, key } => Found::Document(match area(collection)? {
                        Some(area) => documents::read(connection, area, key, now)?,
                        None => None,
                    }),
                    Item::Counter { collection, key } => Found::Sum(match area(collection)? {
                        Some(area) => {
                            counters::find(connection, area, key)?.filter(|found| found.is_live(now)).map(|found| found.sum)
                        }
                        None => None,
                    }),
                    Item::Log { log } => Found::Log(match space {
                        Some(space) => {
                            logs::find(connection, space, log)?.filter(|found| found.is_live(now)).map(|found| found.ends)
                        }
                        None => None,
                    }),
                })
            })
            .collect()
    })
}

impl StateStore for SqliteStore {
    fn commit(&self, commit: Commit, reply: Reply<Committed>) {
        if let Err(error) = commit.check() {
            return reply(Err(error));
        }
        let mut appended: Vec<Arc<str>> = Vec::new();
        for write in &commit.writes {
            if let Write::Append(append) = write
                && !appended.contains(&append.log)
            {
                appended.push(Arc::clone(&append.log));
            }
        }
        if appended.is_empty() {
            return self.write(move |tx| commit::commit(tx, &commit), reply);
        }
        let (shared, namespace) = (Arc::clone(&self.shared), Arc::clone(&commit.namespace));
        let reply: Reply<Committed> = Box::new(move |outcome| {
            let done = matches!(outcome, Ok(Committed::Done(_)));
            reply(outcome);
            if done {
                shared.watchers().wake(&namespace, &appended);
            }
        });
        self.write(move |tx| commit::commit(tx, &commit), reply);
    }

    fn get(&self, namespace: Arc<str>, items: Vec<Item>, now: Millis, reply: Reply<Vec<Found>>) {
        if let Err(error) = check_items(&namespace, &items) {
            return reply(Err(error));
        }
        self.read(move |connection| get(connection, &namespace, &items, now), reply);
    }

    fn query(&self, query: Query, reply: Reply<DocumentPage>) {
        if let Err(error) = query.check() {
            return reply(Err(error));
        }
        self.read(move |connection| as_of_one_moment(connection, |connection| query::query(connection, &query)), reply);
    }

    fn read_log(&self, read: LogRead, reply: Reply<LogPage>) {
        if let Err(error) = read.check() {
            return reply(Err(error));
        }
        self.read(move |connection| as_of_one_moment(connection, |connection| logs::read(connection, &read)), reply);
    }

    fn trim_log(&self, trim: LogTrim, reply: Reply<Trimmed>) {
        if let Err(error) = trim.check() {
            return reply(Err(error));
        }
        self.write(move |tx| logs::trim(tx, &trim), reply);
    }

    fn names(&self, query: NameQuery, reply: Reply<NamePage>) {
        if let Err(error) = query.check() {
            return reply(Err(error));
        }
        self.read(move |connection| as_of_one_moment(connection, |connection| names::names(connection, &query)), reply);
    }

    fn clear(&self, namespace: Arc<str>, reply: Reply<bool>) {
        if let Err(error) = check_name("namespace", &namespace) {
            return reply(Err(error));
        }
        self.write(move |tx| sweep::clear(tx, &namespace), reply);
    }

    fn sweep(&self, now: Millis, limit: usize, reply: Reply<Swept>) {
        if let Err(error) = check_limit(limit) {
            return reply(Err(error));
        }
        self.write(move |tx| sweep::sweep(tx, now, limit), reply);
    }

    fn watch(&self, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>, reply: Reply<Watch>) {
        if let Err(error) = check_name("namespace", &namespace).and_then(|()| check_name("log", &log)) {
            return reply(Err(error));
        }
        let watch = watch::add(&self.shared, namespace, log, watcher);
        let shared = Arc::clone(&self.shared);
        let reply = Box::new(move |outcome: Result<(), StoreError>| reply(outcome.map(|()| watch)));
        self.read(move |connection| watch::find_newest(connection, shared.watchers()), reply);
    }
}
