//! Pages of documents, by key or by index.

use master_agent_store::state::{Cursor, DocumentPage, IndexPart, MAX_PAGE, Order, Query, Select, byte_range, decode, encode};
use rusqlite::types::Value;
use rusqlite::{Connection, Params, Row, params};

use super::{documents, find_area, find_space, is_live};
use crate::tx::Outcome;

/// The lowest key above this one.
pub(super) fn behind(key: &str) -> String {
    format!("{key}\0")
}

/// What keys that begin with `prefix` are below. SQLite sorts every blob behind every text.
pub(super) fn end_of(prefix: &str) -> Value {
    let successor = if prefix.is_empty() { None } else { master_agent_store::state::successor(prefix) };
    successor.map_or_else(|| Value::Blob(Vec::new()), Value::Text)
}

pub(super) fn query(connection: &Connection, query: &Query) -> Outcome<DocumentPage> {
    let Some(space) = find_space(connection, &query.namespace)? else { return Ok(DocumentPage::default()) };
    let Some(area) = find_area(connection, space, &query.collection)? else { return Ok(DocumentPage::default()) };
    let page = Page { connection, query };
    let limit = query.limit.min(MAX_PAGE) as i64 + 1;
    let cursor = query.cursor.as_ref();
    match (&query.select, query.order) {
        (Select::Keys { prefix }, Order::Ascending) => {
            let from = cursor.map_or_else(|| prefix.to_string(), |cursor| behind(&cursor.key));
            // A cursor of another query may lie before the range.
            let from = from.max(prefix.to_string());
            page.of_keys(include_str!("../sql/state/keys_asc.sql"), params![area, from, end_of(prefix), limit])
        }
        (Select::Keys { prefix }, Order::Descending) => {
            let end = match (end_of(prefix), cursor) {
                (Value::Text(end), Some(cursor)) => Value::Text(end.min(cursor.key.to_string())),
                (_, Some(cursor)) => Value::Text(cursor.key.to_string()),
                (end, None) => end,
            };
            page.of_keys(include_str!("../sql/state/keys_desc.sql"), params![area, prefix, end, limit])
        }
        (Select::Index { index, equal, range }, order) => {
            let (from, to) = byte_range(&equal.0, range);
            let at = cursor.map(|cursor| (encode(&cursor.value), &*cursor.key));
            if order == Order::Ascending {
                let (value, key) = at.map_or((from.clone(), ""), |at| at.max((from, "")));
                let values = params![area, &**index, value, key, to, limit];
                page.of_index(include_str!("../sql/state/index_asc.sql"), values)
            } else {
                let (value, key) = at.map_or((to.clone(), ""), |at| at.min((to, "")));
                let values = params![area, &**index, from, value, key, limit];
                page.of_index(include_str!("../sql/state/index_desc.sql"), values)
            }
        }
    }
}

struct Page<'q> {
    connection: &'q Connection,
    query: &'q Query,
}

impl Page<'_> {
    fn of_keys(&self, sql: &str, values: impl Params) -> Outcome<DocumentPage> {
        self.read(sql, values, |_| Ok(Vec::new()))
    }

    fn of_index(&self, sql: &str, values: impl Params) -> Outcome<DocumentPage> {
        self.read(sql, values, |row| Ok(decode(row.get_ref(5)?.as_blob()?)?))
    }

    /// The statement is limited to one row more than the page has: it tells whether there is a next page, and
    /// its value is not read.
    fn read(&self, sql: &str, values: impl Params, value: impl Fn(&Row<'_>) -> Outcome<Vec<IndexPart>>) -> Outcome<DocumentPage> {
        let limit = self.query.limit.min(MAX_PAGE);
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        let mut page = DocumentPage::default();
        let mut last: Option<Cursor> = None;
        let (mut seen, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            if seen == limit || bytes >= self.query.max_bytes && seen > 0 {
                page.next = last;
                break;
            }
            seen += 1;
            last = Some(Cursor { value: value(row)?, key: row.get_ref(0)?.as_str()?.into() });
            if is_live(row.get(3)?, self.query.now) {
                let document = documents::from_row(row)?;
                bytes += document.value_json.len();
                page.documents.push(document);
            }
        }
        Ok(page)
    }
}
