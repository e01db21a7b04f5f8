//! Malformed arguments: refused with the path of the field, and nothing happens.

use std::fmt::Debug;
use std::sync::Arc;

use master_agent_core::ErrorCode;

use super::kit::{Kit, T0, ask, open};
use super::{Fixture, cases};
use crate::StoreError;
use crate::state::{
    Add, Append, Check, Commit, Delete, Expect, Expiry, Forget, IndexRange, Item, LogRead, LogTrim, LogWatcher, MAX_BATCH,
    MAX_INDEX_BYTES, MAX_INDEXES, MAX_NAME_BYTES, MAX_NUMBER, NameKind, NameQuery, Put, Query, Reset, Touch, TrimTo, Write,
};

cases! {
    writes_are_checked,
    names_have_a_length,
    values_have_the_length_that_the_caller_sets,
    batches_have_a_length,
    look_ups_are_checked,
    what_is_just_within_the_limits_is_accepted,
}

fn is_invalid<T: Debug>(outcome: Result<T, StoreError>, expected: &str) {
    match outcome {
        Err(error @ StoreError::Invalid { .. }) => {
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            let StoreError::Invalid { field, .. } = error else { return };
            assert_eq!(field, expected);
        }
        other => panic!("{expected} is not refused: {other:?}"),
    }
}

fn refuses(kit: &Kit, write: impl Into<Write>, field: &str) {
    let commit = kit.new_commit().with(Put::new("agent", "first", "1")).with(write);
    is_invalid(ask(|reply| kit.store.commit(commit, reply)), &format!("writes[1].{field}"));
    assert_eq!(kit.document("agent", "first"), None, "nothing of a malformed commit happens");
}

fn writes_are_checked(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let put = || Put::new("agent", "ada", "1");
    for version in [0, -1, MAX_NUMBER + 1] {
        let expect = Expect::Version(version);
        refuses(&kit, put().expect(expect), "expect");
        refuses(&kit, Delete::new("agent", "ada").expect(expect), "expect");
        refuses(&kit, Touch::new("agent", "ada", Expiry::Never).expect(expect), "expect");
        refuses(&kit, Check::new("agent", "ada", expect), "expect");
    }
    for time in [-1, i64::MIN, MAX_NUMBER + 1, i64::MAX] {
        let expires = Expiry::At(time);
        refuses(&kit, put().expires(expires), "expires");
        refuses(&kit, Touch::new("agent", "ada", expires), "expires");
        refuses(&kit, Add::new("tokens", "ada", 1).expires(expires), "expires");
        refuses(&kit, Append::new("run", "1").expires(expires), "expires");
    }
    for number in [MAX_NUMBER + 1, -MAX_NUMBER - 1, i64::MIN, i64::MAX] {
        refuses(&kit, Add::new("tokens", "ada", number), "by");
        refuses(&kit, Add::new("tokens", "ada", 1).floor(number), "floor");
        refuses(&kit, Add::new("tokens", "ada", 1).ceiling(number), "ceiling");
        refuses(&kit, Reset::new("tokens", "ada").expect(number), "expect");
        refuses(&kit, Append::new("run", "1").expect(number), "expect");
    }
    refuses(&kit, Put::new("agent", "ada", ""), "value_json");
    refuses(&kit, Append::new("run", ""), "entry_json");
    refuses(&kit, Append::new("run", "1").keep(0), "keep");
    refuses(&kit, put().index("", "x"), "indexes[0].index");
    refuses(&kit, put().index("i", "x").index("i", ()), "indexes[1].value");
    refuses(&kit, put().index("i", "x".repeat(MAX_INDEX_BYTES).as_str()), "indexes[0].value");
    refuses(&kit, (0..=MAX_INDEXES as i64).fold(put(), |put, n| put.index("i", n)), "indexes");
}

fn names_have_a_length(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let long = "é".repeat(MAX_NAME_BYTES / 2) + "x";
    for name in ["", &long] {
        refuses(&kit, Put::new(name, "ada", "1"), "collection");
        refuses(&kit, Put::new("agent", name, "1"), "key");
        refuses(&kit, Put::new("agent", "ada", "1").index(name, 1), "indexes[0].index");
        refuses(&kit, Delete::new(name, "ada"), "collection");
        refuses(&kit, Delete::new("agent", name), "key");
        refuses(&kit, Touch::new(name, "ada", Expiry::Keep), "collection");
        refuses(&kit, Touch::new("agent", name, Expiry::Keep), "key");
        refuses(&kit, Check::new(name, "ada", Expect::Any), "collection");
        refuses(&kit, Check::new("agent", name, Expect::Any), "key");
        refuses(&kit, Add::new(name, "ada", 1), "collection");
        refuses(&kit, Add::new("tokens", name, 1), "key");
        refuses(&kit, Reset::new(name, "ada"), "collection");
        refuses(&kit, Reset::new("tokens", name), "key");
        refuses(&kit, Append::new(name, "1"), "log");
        refuses(&kit, Forget::new(name), "log");

        let commit = Commit::new(name, T0).with(Put::new("agent", "ada", "1"));
        is_invalid(ask(|reply| kit.store.commit(commit, reply)), "namespace");
        let get = |namespace: &str, item| ask(|reply| kit.store.get(namespace.into(), vec![Item::log("run"), item], T0, reply));
        is_invalid(get(name, Item::log("run")), "namespace");
        is_invalid(get("agents", Item::document(name, "ada")), "items[1].collection");
        is_invalid(get("agents", Item::document("agent", name)), "items[1].key");
        is_invalid(get("agents", Item::counter(name, "ada")), "items[1].collection");
        is_invalid(get("agents", Item::counter("tokens", name)), "items[1].key");
        is_invalid(get("agents", Item::log(name)), "items[1].log");
        is_invalid(ask(|reply| kit.store.query(Query::new(name, "agent", T0), reply)), "namespace");
        is_invalid(ask(|reply| kit.store.query(Query::new("agents", name, T0), reply)), "collection");
        is_invalid(ask(|reply| kit.store.query(kit.new_query("agent").index(name, 1), reply)), "select.index");
        is_invalid(ask(|reply| kit.store.read_log(LogRead::new(name, "run", 0, T0), reply)), "namespace");
        is_invalid(ask(|reply| kit.store.read_log(LogRead::new("agents", name, 0, T0), reply)), "log");
        let trim = |namespace: &str, log: &str| {
            let trim = LogTrim { namespace: namespace.into(), log: log.into(), to: TrimTo::Newest(1), limit: 1, now: T0 };
            ask(|reply| kit.store.trim_log(trim, reply))
        };
        is_invalid(trim(name, "run"), "namespace");
        is_invalid(trim("agents", name), "log");
        let names = |of| ask(|reply| kit.store.names(NameQuery::new(of, T0), reply));
        is_invalid(names(NameKind::Collections { namespace: name.into() }), "of.namespace");
        is_invalid(names(NameKind::Logs { namespace: name.into() }), "of.namespace");
        is_invalid(names(NameKind::Counters { namespace: name.into(), collection: "c".into() }), "of.namespace");
        is_invalid(names(NameKind::Counters { namespace: "n".into(), collection: name.into() }), "of.collection");
        is_invalid(ask(|reply| kit.store.clear(name.into(), reply)), "namespace");
        let watch =
            |namespace: &str, log: &str| ask(|reply| kit.store.watch(namespace.into(), log.into(), Arc::new(Nobody), reply));
        is_invalid(watch(name, "run"), "namespace");
        is_invalid(watch("agents", name), "log");
    }
}

struct Nobody;

impl LogWatcher for Nobody {
    fn appended(self: Arc<Self>) {}
}

fn values_have_the_length_that_the_caller_sets(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for write in [Write::from(Put::new("agent", "ada", "12345")), Append::new("run", "12345").into()] {
        let field = if matches!(write, Write::Put(_)) { "writes[0].value_json" } else { "writes[0].entry_json" };
        let commit = |limit| ask(|reply| kit.store.commit(kit.new_commit().with(write.clone()).limit(limit), reply));
        is_invalid(commit(4), field);
        is_invalid(commit(0), field);
        assert!(commit(5).is_ok());
    }
}

fn batches_have_a_length(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    is_invalid(ask(|reply| kit.store.commit(kit.new_commit(), reply)), "writes");
    let mut commit = kit.new_commit();
    commit.writes = (0..=MAX_BATCH).map(|n| Put::new("agent", n.to_string(), "1").into()).collect();
    is_invalid(ask(|reply| kit.store.commit(commit, reply)), "writes");
    assert_eq!(kit.keys(&kit.new_query("agent")), [""; 0]);
    let get = |n: usize| ask(|reply| kit.store.get(kit.namespace.clone(), vec![Item::log("run"); n], T0, reply));
    is_invalid(get(0), "items");
    is_invalid(get(MAX_BATCH + 1), "items");
    assert_eq!(get(MAX_BATCH).map(|found| found.len()), Ok(MAX_BATCH));
}

fn look_ups_are_checked(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let long = "x".repeat(MAX_INDEX_BYTES);
    let query = |query: Query| ask(|reply| kit.store.query(query, reply));
    is_invalid(query(kit.new_query("agent").limit(0)), "limit");
    is_invalid(query(kit.new_query("agent").keys("x".repeat(MAX_NAME_BYTES + 1))), "select.prefix");
    is_invalid(query(kit.new_query("agent").index("i", long.as_str())), "select.equal");
    is_invalid(query(kit.new_query("agent").range("i", (), IndexRange::from(long.as_str()))), "select.range.from");
    is_invalid(query(kit.new_query("agent").range("i", (), IndexRange::to(long.as_str()))), "select.range.to");
    is_invalid(query(kit.new_query("agent").range("i", (), IndexRange::prefix(long.as_str()))), "select.range.prefix");
    is_invalid(ask(|reply| kit.store.read_log(LogRead { limit: 0, ..kit.new_read("run", 0) }, reply)), "limit");
    is_invalid(ask(|reply| kit.store.read_log(kit.new_read("run", i64::MAX), reply)), "after");
    let trim = |to, limit| {
        let trim = LogTrim { namespace: kit.namespace.clone(), log: "run".into(), to, limit, now: T0 };
        ask(|reply| kit.store.trim_log(trim, reply))
    };
    is_invalid(trim(TrimTo::Newest(1), 0), "limit");
    is_invalid(trim(TrimTo::Through(i64::MAX), 1), "to");
    is_invalid(trim(TrimTo::Before(i64::MIN), 1), "to");
    let names = |query: NameQuery| ask(|reply| kit.store.names(query, reply));
    is_invalid(names(NameQuery { limit: 0, ..NameQuery::new(NameKind::Namespaces, T0) }), "limit");
    let prefix = "x".repeat(MAX_NAME_BYTES + 1).into();
    is_invalid(names(NameQuery { prefix, ..NameQuery::new(NameKind::Namespaces, T0) }), "prefix");
    is_invalid(ask(|reply| kit.store.sweep(T0, 0, reply)), "limit");
}

fn what_is_just_within_the_limits_is_accepted(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let name = "n".repeat(MAX_NAME_BYTES);
    // A text takes its bytes, a tag and an end.
    let value = "v".repeat(MAX_INDEX_BYTES - 2);
    let kit = kit.within(&name);
    kit.done(vec![
        Put::new(name.as_str(), name.as_str(), "1").index(name.as_str(), value.as_str()).expires(Expiry::At(MAX_NUMBER)).into(),
        Add::new(name.as_str(), name.as_str(), 1).floor(-MAX_NUMBER).ceiling(MAX_NUMBER).into(),
        Append::new(name.as_str(), "1").keep(1).into(),
    ]);
    assert_eq!(kit.keys(&kit.new_query(&name).index(name.as_str(), value.as_str())), [name.as_str()]);
    assert_eq!((kit.sum(&name, &name), kit.entries(&name).len()), (Some(1), 1));
    assert_eq!(kit.namespaces(), [name.as_str()]);
}
