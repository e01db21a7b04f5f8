//! Every statement finds its rows by an index and in their order: the cost of an operation depends on its
//! page, not on what is stored.

use crate::Durability;
use crate::connection::open_writer;

/// What SQLite intends to do for a statement, a line for each step.
fn plan(connection: &rusqlite::Connection, sql: &str) -> String {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("the statement is understood");
    let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>();
    steps.expect("a plan").join("\n")
}

#[test]
fn no_statement_scans_or_sorts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let connection = open_writer(&folder.path().join("state.db"), Durability::Process).expect("the store opens").connection;
    let mut files = 0;
    for entry in std::fs::read_dir("src/sql/state").expect("the statements") {
        let path = entry.expect("a statement").path();
        let plan = plan(&connection, &std::fs::read_to_string(&path).expect("a statement"));
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{}:\n{plan}", path.display());
        files += 1;
    }
    assert!(files > 15, "only {files} statements were found");
}

#[test]
fn ranges_are_bounded_at_both_ends_by_the_index() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let connection = open_writer(&folder.path().join("state.db"), Durability::Process).expect("the store opens").connection;
    let bounds = [
        (include_str!("../sql/state/keys_asc.sql"), "(area=? AND key>? AND key<?)"),
        (include_str!("../sql/state/keys_desc.sql"), "(area=? AND key>? AND key<?)"),
        (include_str!("../sql/state/index_asc.sql"), "(area=? AND name=? AND (value,key)>(?,?) AND value<?)"),
        (include_str!("../sql/state/index_desc.sql"), "(area=? AND name=? AND value>? AND (value,key)<(?,?))"),
        (include_str!("../sql/state/names_counters.sql"), "(area=? AND key>? AND key<?)"),
        (include_str!("../sql/state/names_logs.sql"), "(space=? AND name>? AND name<?)"),
        (include_str!("../sql/state/trim_before.sql"), "(log=? AND number>? AND number<?)"),
        (include_str!("../sql/state/grown.sql"), "(stamp>?)"),
    ];
    for (sql, expected) in bounds {
        let plan = plan(&connection, sql);
        assert!(plan.contains(expected), "{sql}\n{plan}");
    }
}
