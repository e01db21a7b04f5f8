//! Events between processes: packed batches in a small table, kept only as long as listeners need.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use crate::tx::{Outcome, Tx};

/// How many batches are kept: a listener that is further behind misses some.
const KEPT: i64 = 1_000;

pub(crate) fn listen(tx: &mut Tx<'_>, queue: &str, on: bool) -> Outcome<()> {
    let peer = tx.shared().own_peer();
    let sql = if on {
        "INSERT OR IGNORE INTO listeners VALUES (?1, ?2)"
    } else {
        "DELETE FROM listeners WHERE peer = ?1 AND queue = ?2"
    };
    tx.connection.prepare_cached(sql)?.execute(params![peer, queue])?;
    Ok(())
}

/// The queues that other processes listen to.
pub(crate) fn heard(connection: &Connection, peer: &str) -> rusqlite::Result<HashSet<String>> {
    let mut read = connection.prepare_cached("SELECT DISTINCT queue FROM listeners WHERE peer != ?1")?;
    read.query_map([peer], |row| row.get(0))?.collect()
}

/// Writes the batch down if another process listens to the queue.
pub(crate) fn publish(tx: &mut Tx<'_>, queue: &str, body: &str) -> Outcome<()> {
    let peer = tx.shared().own_peer();
    let mut others = tx.connection.prepare_cached("SELECT 1 FROM listeners WHERE queue = ?1 AND peer != ?2")?;
    if !others.exists(params![queue, peer])? {
        return Ok(());
    }
    tx.connection
        .prepare_cached("INSERT INTO events (queue, peer, body) VALUES (?1, ?2, ?3)")?
        .execute(params![queue, peer, body])?;
    let newest = tx.connection.last_insert_rowid();
    tx.connection.prepare_cached("DELETE FROM events WHERE seq <= ?1")?.execute([newest - KEPT])?;
    Ok(())
}

/// The batches of others after `seen`: their number, queue and body.
pub(crate) fn since(connection: &Connection, peer: &str, seen: i64) -> rusqlite::Result<Vec<(i64, String, String)>> {
    let mut read =
        connection.prepare_cached("SELECT seq, queue, body FROM events WHERE seq > ?1 AND peer != ?2 ORDER BY seq LIMIT 1000")?;
    read.query_map(params![seen, peer], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The number of the newest batch.
pub(crate) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?.query_row([], |row| row.get(0))
}
