//! Progress and log lines of running jobs.

use master_agent_core::JobState;
use master_agent_store::{MAX_LOG_LINES, Note, NoteKind, Settled};
use rusqlite::params;

use crate::jobs::claim::held;
use crate::tx::{Outcome, Tx};

pub(crate) fn note(tx: &mut Tx<'_>, notes: &[Note]) -> Outcome<Vec<Settled>> {
    // Who listens to progress is told by an event.
    tx.quietly(|tx| notes.iter().map(|note| note_one(tx, note)).collect())
}

fn note_one(tx: &mut Tx<'_>, Note { id, token, note }: &Note) -> Outcome<Settled> {
    if held(tx, *id, *token)?.is_none() {
        return Ok(Settled::Refused);
    }
    match note {
        NoteKind::Progress { value_json } => {
            tx.connection.prepare_cached("UPDATE jobs SET progress = ?2 WHERE id = ?1")?.execute(params![id.0, value_json])?;
        }
        NoteKind::Log { at, line } => {
            let mut last = tx.connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM logs WHERE job = ?1")?;
            let seq: i64 = last.query_row([id.0], |row| row.get::<_, i64>(0))? + 1;
            tx.connection.prepare_cached("INSERT INTO logs VALUES (?1, ?2, ?3, ?4)")?.execute(params![id.0, seq, at, line])?;
            tx.connection
                .prepare_cached("DELETE FROM logs WHERE job = ?1 AND seq <= ?2")?
                .execute(params![id.0, seq - MAX_LOG_LINES as i64])?;
        }
    }
    Ok(Settled::Applied(JobState::Active))
}
