//! One commit: its writes in their order, all or none.

use std::sync::Arc;

use master_agent_core::Millis;
use master_agent_store::state::{Commit, Committed, Expect, Refusal, Refused, Write, Written};

use super::{counters, documents, find_area, find_space, logs};
use crate::tx::{Outcome, Tx};

/// What became of one write.
pub(super) type Answer = Outcome<Result<Written, Refused>>;

pub(crate) fn commit(tx: &mut Tx<'_>, commit: &Commit) -> Outcome<Committed> {
    // A single write looks before it changes anything, so that there is nothing to take back.
    let may_be_taken_back = commit.writes.len() > 1 && commit.writes.iter().any(can_be_refused);
    let run = |tx: &Tx<'_>, sql: &str| tx.connection.prepare_cached(sql)?.execute([]);
    if may_be_taken_back {
        run(tx, "SAVEPOINT commit_of_state")?;
    }
    let committed = apply(tx, commit)?;
    if may_be_taken_back {
        if matches!(committed, Committed::Refused(_)) {
            run(tx, "ROLLBACK TO commit_of_state")?;
        }
        run(tx, "RELEASE commit_of_state")?;
    }
    Ok(committed)
}

fn can_be_refused(write: &Write) -> bool {
    match write {
        Write::Put(put) => put.expect != Expect::Any,
        Write::Delete(delete) => delete.expect != Expect::Any,
        Write::Touch(touch) => touch.expect != Expect::Any,
        Write::Check(_) | Write::Add(_) => true,
        Write::Reset(reset) => reset.expect.is_some(),
        Write::Append(append) => append.expect.is_some(),
        Write::Forget(_) => false,
    }
}

fn apply(tx: &mut Tx<'_>, commit: &Commit) -> Outcome<Committed> {
    let mut work = Work { tx, namespace: &commit.namespace, now: commit.now, space: None, areas: Vec::new() };
    let mut written = Vec::with_capacity(commit.writes.len());
    for (index, write) in commit.writes.iter().enumerate() {
        let answer = match write {
            Write::Put(put) => documents::put(&mut work, put),
            Write::Delete(delete) => documents::delete(&mut work, delete),
            Write::Touch(touch) => documents::touch(&mut work, touch),
            Write::Check(check) => documents::check(&mut work, check),
            Write::Add(add) => counters::add(&mut work, add),
            Write::Reset(reset) => counters::reset(&mut work, reset),
            Write::Append(append) => logs::append(&mut work, append),
            Write::Forget(forget) => logs::forget(&mut work, forget),
        }?;
        match answer {
            Ok(answer) => written.push(answer),
            Err(reason) => return Ok(Committed::Refused(Refusal { write: index, reason })),
        }
    }
    Ok(Committed::Done(written))
}

/// What the writes of a commit share.
pub(super) struct Work<'w, 'a> {
    pub(super) tx: &'w mut Tx<'a>,
    namespace: &'w Arc<str>,
    pub(super) now: Millis,
    space: Option<i64>,
    areas: Vec<(&'w Arc<str>, i64)>,
}

impl<'w> Work<'w, '_> {
    pub(super) fn find_space(&mut self) -> rusqlite::Result<Option<i64>> {
        if self.space.is_none() {
            self.space = find_space(self.tx.connection, self.namespace)?;
        }
        Ok(self.space)
    }

    pub(super) fn space(&mut self) -> rusqlite::Result<i64> {
        if let Some(space) = self.find_space()? {
            return Ok(space);
        }
        self.tx.connection.prepare_cached("INSERT INTO state_spaces (name) VALUES (?1)")?.execute([&**self.namespace])?;
        let space = self.tx.connection.last_insert_rowid();
        self.space = Some(space);
        Ok(space)
    }

    pub(super) fn find_area(&mut self, collection: &'w Arc<str>) -> rusqlite::Result<Option<i64>> {
        if let Some((_, area)) = self.areas.iter().find(|(name, _)| *name == collection) {
            return Ok(Some(*area));
        }
        let Some(space) = self.find_space()? else { return Ok(None) };
        let found = find_area(self.tx.connection, space, collection)?;
        self.areas.extend(found.map(|area| (collection, area)));
        Ok(found)
    }

    pub(super) fn area(&mut self, collection: &'w Arc<str>) -> rusqlite::Result<i64> {
        if let Some(area) = self.find_area(collection)? {
            return Ok(area);
        }
        let space = self.space()?;
        let mut insert = self.tx.connection.prepare_cached("INSERT INTO state_areas (space, name) VALUES (?1, ?2)")?;
        insert.execute(rusqlite::params![space, &**collection])?;
        let area = self.tx.connection.last_insert_rowid();
        self.areas.push((collection, area));
        Ok(area)
    }
}
