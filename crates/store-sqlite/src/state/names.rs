//! Pages of names.

use master_agent_store::state::{MAX_PAGE, NameKind, NamePage, NameQuery};
use rusqlite::{Connection, Params, params};

use super::query::{behind, end_of};
use super::{find_area, find_space, is_live};
use crate::tx::Outcome;

pub(super) fn names(connection: &Connection, query: &NameQuery) -> Outcome<NamePage> {
    let from = query.after.as_ref().map_or_else(String::new, |after| behind(after)).max(query.prefix.to_string());
    let to = end_of(&query.prefix);
    let limit = query.limit.min(MAX_PAGE) as i64 + 1;
    let space = match &query.of {
        NameKind::Namespaces => {
            return page(connection, query, include_str!("../sql/state/names_spaces.sql"), params![from, to, limit]);
        }
        NameKind::Collections { namespace } | NameKind::Counters { namespace, .. } | NameKind::Logs { namespace } => {
            find_space(connection, namespace)?
        }
    };
    let Some(space) = space else { return Ok(NamePage::default()) };
    let (sql, of) = match &query.of {
        NameKind::Counters { collection, .. } => {
            let Some(area) = find_area(connection, space, collection)? else { return Ok(NamePage::default()) };
            (include_str!("../sql/state/names_counters.sql"), area)
        }
        NameKind::Logs { .. } => (include_str!("../sql/state/names_logs.sql"), space),
        _ => (include_str!("../sql/state/names_areas.sql"), space),
    };
    page(connection, query, sql, params![from, to, limit, of])
}

/// Reads `name, expires_at`; the statement is limited to one more than the page has.
fn page(connection: &Connection, query: &NameQuery, sql: &str, values: impl Params) -> Outcome<NamePage> {
    let limit = query.limit.min(MAX_PAGE);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut page = NamePage::default();
    let mut last: Option<Box<str>> = None;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        if seen == limit {
            page.next = last;
            break;
        }
        seen += 1;
        let name: Box<str> = row.get_ref(0)?.as_str()?.into();
        if is_live(row.get(1)?, query.now) {
            page.names.push(name.clone());
        }
        last = Some(name);
    }
    Ok(page)
}
