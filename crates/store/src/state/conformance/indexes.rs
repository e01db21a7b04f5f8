//! Queries by index and by key.

use super::kit::{Kit, open};
use super::{Fixture, cases};
use crate::state::{Cursor, Delete, IndexPart, IndexRange, IndexValue, MAX_INDEXES, MAX_PAGE, Put, Query};

cases! {
    equal_values_come_by_key,
    integers_come_in_their_order,
    texts_come_in_the_order_of_their_bytes,
    integers_come_before_texts,
    values_may_have_parts,
    ranges_are_half_open,
    texts_are_found_by_their_beginning,
    everything_can_come_backwards,
    a_put_replaces_all_entries,
    a_deleted_document_is_found_no_more,
    a_document_may_have_several_entries,
    indexes_are_apart,
    keys_are_found_by_their_beginning,
    pages_go_on_where_the_last_ended,
    pages_hold_while_documents_come_and_go,
    bytes_bound_a_page,
    a_limit_over_the_highest_means_the_highest,
    a_cursor_of_another_query_leads_nowhere_else,
}

fn put(kit: &Kit, key: &str, value: impl Into<IndexValue>) {
    kit.put(Put::new("agent", key, "1").index("i", value));
}

/// Checks a query in both directions and with pages of every size.
fn check(kit: &Kit, query: &Query, expected: &[&str]) {
    for limit in [1, 2, 3, 7, MAX_PAGE] {
        let query = query.clone().limit(limit);
        assert_eq!(kit.keys(&query), expected, "{query:?}");
        let backwards: Vec<&str> = expected.iter().rev().copied().collect();
        assert_eq!(kit.keys(&query.clone().descending()), backwards, "{query:?} backwards");
    }
}

fn equal_values_come_by_key(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for (key, state) in [("c", "idle"), ("a", "idle"), ("d", "busy"), ("b", "idle"), ("e", "idle2"), ("f", "Idle")] {
        put(&kit, key, state);
    }
    let query = kit.new_query("agent");
    check(&kit, &query.clone().index("i", "idle"), &["a", "b", "c"]);
    check(&kit, &query.clone().index("i", "busy"), &["d"]);
    check(&kit, &query.clone().index("i", "none"), &[]);
    check(&kit, &query.index("none", "idle"), &[]);
}

fn integers_come_in_their_order(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = [i64::MIN, -300, -256, -255, -2, -1, 0, 1, 2, 9, 10, 255, 256, i64::from(u32::MAX), (1 << 53) + 1, i64::MAX];
    let mut expected = Vec::new();
    for (place, number) in numbers.iter().enumerate().rev() {
        // The keys are in another order than the numbers.
        put(&kit, &format!("{:02}", (place * 7) % 16), *number);
    }
    let keys: Vec<String> = (0..numbers.len()).map(|place| format!("{:02}", (place * 7) % 16)).collect();
    expected.extend(keys.iter().map(String::as_str));
    check(&kit, &kit.new_query("agent").index("i", ()), &expected);
    check(&kit, &kit.new_query("agent").range("i", (), IndexRange::between(-255, 10)), &expected[3..10]);
}

fn texts_come_in_the_order_of_their_bytes(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let mut texts = vec![
        "",
        "\0",
        "\0\0",
        "\0a",
        "\u{1}",
        "A",
        "B",
        "a",
        "a\0",
        "a\0b",
        "a\u{1}",
        "aa",
        "ab",
        "b",
        "é",
        "\u{ffff}",
        "😀",
        "\u{10ffff}",
    ];
    for (place, text) in texts.iter().enumerate() {
        put(&kit, &format!("{:02}", (place * 5) % texts.len()), *text);
    }
    let keys: Vec<String> = {
        let mut sorted: Vec<usize> = (0..texts.len()).collect();
        sorted.sort_by_key(|place| texts[*place]);
        sorted.into_iter().map(|place| format!("{:02}", (place * 5) % texts.len())).collect()
    };
    texts.sort_unstable();
    let expected: Vec<&str> = keys.iter().map(String::as_str).collect();
    check(&kit, &kit.new_query("agent").index("i", ()), &expected);
    for (text, key) in texts.iter().zip(&expected) {
        check(&kit, &kit.new_query("agent").index("i", *text), &[key]);
    }
}

fn integers_come_before_texts(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    put(&kit, "text", "0");
    put(&kit, "integer", 7);
    let query = kit.new_query("agent");
    check(&kit, &query.clone().index("i", ()), &["integer", "text"]);
    check(&kit, &query.clone().index("i", 0), &[]);
    check(&kit, &query.clone().range("i", (), IndexRange::to("")), &["integer"]);
    check(&kit, &query.range("i", (), IndexRange::from(8)), &["text"]);
}

fn values_may_have_parts(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    put(&kit, "a", ("busy", 5));
    put(&kit, "b", ("idle", 9));
    put(&kit, "c", ("idle", -3));
    put(&kit, "d", ("idle", 4, "x"));
    put(&kit, "e", ("idle", 4));
    put(&kit, "f", "idle");
    put(&kit, "g", ("idle2", 0));
    put(&kit, "h", ("idle", "text"));
    let query = kit.new_query("agent");
    check(&kit, &query.clone().index("i", ()), &["a", "f", "c", "e", "d", "b", "h", "g"]);
    check(&kit, &query.clone().index("i", "idle"), &["f", "c", "e", "d", "b", "h"]);
    check(&kit, &query.clone().index("i", ("idle", 4)), &["e", "d"]);
    check(&kit, &query.clone().range("i", "idle", IndexRange::from(0)), &["e", "d", "b", "h"]);
    check(&kit, &query.clone().range("i", "idle", IndexRange::to(9)), &["c", "e", "d"]);
    check(&kit, &query.clone().range("i", "idle", IndexRange::between(-3, 4)), &["c"]);
    check(&kit, &query.clone().range("i", ("idle", 4), IndexRange::All), &["e", "d"]);
    check(&kit, &query.range("i", ("idle", 4), IndexRange::from("")), &["d"]);
}

fn ranges_are_half_open(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..6 {
        put(&kit, &n.to_string(), n);
    }
    let query = kit.new_query("agent");
    check(&kit, &query.clone().range("i", (), IndexRange::between(2, 4)), &["2", "3"]);
    check(&kit, &query.clone().range("i", (), IndexRange::from(4)), &["4", "5"]);
    check(&kit, &query.clone().range("i", (), IndexRange::to(2)), &["0", "1"]);
    check(&kit, &query.clone().range("i", (), IndexRange::between(4, 4)), &[]);
    check(&kit, &query.clone().range("i", (), IndexRange::between(5, 1)), &[]);
    check(&kit, &query.range("i", (), IndexRange::Between { from: None, to: None }), &["0", "1", "2", "3", "4", "5"]);
}

fn texts_are_found_by_their_beginning(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for text in ["a", "ab", "abc", "ab\0", "ab\u{10ffff}", "ac", "b", "é", "\u{10ffff}a"] {
        put(&kit, text, ("t", text));
    }
    put(&kit, "number", ("t", 1));
    let query = kit.new_query("agent");
    check(&kit, &query.clone().range("i", "t", IndexRange::prefix("ab")), &["ab", "ab\0", "abc", "ab\u{10ffff}"]);
    check(&kit, &query.clone().range("i", "t", IndexRange::prefix("ab\0")), &["ab\0"]);
    check(&kit, &query.clone().range("i", "t", IndexRange::prefix("\u{10ffff}")), &["\u{10ffff}a"]);
    let texts = ["a", "ab", "ab\0", "abc", "ab\u{10ffff}", "ac", "b", "é", "\u{10ffff}a"];
    check(&kit, &query.clone().range("i", "t", IndexRange::prefix("")), &texts);
    check(&kit, &query.range("i", (), IndexRange::prefix("x")), &[]);
}

fn everything_can_come_backwards(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for (key, n) in [("a", 1), ("b", 2), ("c", 1), ("d", 3)] {
        put(&kit, key, n);
    }
    let query = kit.new_query("agent").descending();
    assert_eq!(kit.keys(&query.clone().index("i", ())), ["d", "b", "c", "a"]);
    assert_eq!(kit.keys(&query.clone().range("i", (), IndexRange::to(2))), ["c", "a"]);
    assert_eq!(kit.keys(&query.keys("")), ["d", "c", "b", "a"]);
}

fn a_put_replaces_all_entries(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("agent", "ada", "1").index("state", "idle").index("role", "planner").index("age", 3));
    kit.put(Put::new("agent", "ada", "2").index("state", "busy").index("role", "planner").index("team", "x"));
    let find = |index: &str, value: &str| kit.keys(&kit.new_query("agent").index(index, value));
    assert_eq!(find("state", "idle"), [""; 0]);
    assert_eq!(find("state", "busy"), ["ada"]);
    assert_eq!(find("role", "planner"), ["ada"]);
    assert_eq!(find("team", "x"), ["ada"]);
    assert_eq!(kit.keys(&kit.new_query("agent").index("age", ())), [""; 0]);
    assert_eq!(&*kit.pages(&kit.new_query("agent").index("role", ()))[0][0].value_json, "2", "the document is the new one");
    kit.put(Put::new("agent", "ada", "3"));
    for index in ["state", "role", "team"] {
        assert_eq!(kit.keys(&kit.new_query("agent").index(index, ())), [""; 0], "{index}");
    }
    assert_eq!(kit.keys(&kit.new_query("agent")), ["ada"]);
}

fn a_deleted_document_is_found_no_more(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    put(&kit, "a", 1);
    put(&kit, "b", 1);
    kit.write(Delete::new("agent", "a"));
    check(&kit, &kit.new_query("agent").index("i", 1), &["b"]);
    kit.put(Put::new("agent", "a", "2"));
    check(&kit, &kit.new_query("agent").index("i", 1), &["b"]);
    put(&kit, "a", 1);
    check(&kit, &kit.new_query("agent").index("i", 1), &["a", "b"]);
}

fn a_document_may_have_several_entries(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let tags = |key: &str, tags: &[&str]| {
        let put = tags.iter().fold(Put::new("agent", key, "1"), |put, tag| put.index("tag", *tag));
        kit.put(put);
    };
    tags("a", &["x", "y", "x"]);
    tags("b", &["y"]);
    let query = kit.new_query("agent");
    check(&kit, &query.clone().index("tag", "x"), &["a"]);
    check(&kit, &query.clone().index("tag", "y"), &["a", "b"]);
    check(&kit, &query.clone().index("tag", ()), &["a", "a", "b"]);
    tags("a", &["y", "z"]);
    check(&kit, &query.clone().index("tag", ()), &["a", "b", "a"]);
    let many: Vec<String> = (0..MAX_INDEXES).map(|n| format!("{n:02}")).collect();
    tags("a", &many.iter().map(String::as_str).collect::<Vec<_>>());
    check(&kit, &query.index("tag", "31"), &["a"]);
}

fn indexes_are_apart(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("agent", "a", "1").index("one", 1).index("two", 2));
    kit.put(Put::new("other", "b", "1").index("one", 1));
    check(&kit, &kit.new_query("agent").index("one", ()), &["a"]);
    check(&kit, &kit.new_query("agent").index("two", 1), &[]);
    check(&kit, &kit.new_query("other").index("one", ()), &["b"]);
    check(&kit, &kit.within("elsewhere").new_query("agent").index("one", ()), &[]);
}

fn keys_are_found_by_their_beginning(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let keys = [
        "run",
        "run/",
        "run/1",
        "run/10",
        "run/2",
        "run0",
        "ruo",
        "r\u{d7ff}",
        "r\u{d7ff}x",
        "r\u{e000}",
        "\u{10ffff}",
        "\u{10ffff}z",
    ];
    for key in keys {
        kit.put(Put::new("run", key, "1"));
    }
    let query = kit.new_query("run");
    check(&kit, &query.clone().keys("run/"), &["run/", "run/1", "run/10", "run/2"]);
    check(&kit, &query.clone().keys("run/1"), &["run/1", "run/10"]);
    check(&kit, &query.clone().keys("r\u{d7ff}"), &["r\u{d7ff}", "r\u{d7ff}x"]);
    check(&kit, &query.clone().keys("\u{10ffff}"), &["\u{10ffff}", "\u{10ffff}z"]);
    check(&kit, &query.clone().keys("run_"), &[]);
    check(&kit, &query.keys(""), &keys);
    check(&kit, &kit.new_query("none").keys(""), &[]);
}

fn pages_go_on_where_the_last_ended(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..10 {
        put(&kit, &n.to_string(), n / 4);
    }
    let query = kit.new_query("agent").index("i", ()).limit(4);
    let (keys, next) = kit.page_after(&query, None);
    assert_eq!(keys, ["0", "1", "2", "3"]);
    assert_eq!(next, Some(Cursor { value: vec![IndexPart::Integer(0)], key: "3".into() }));
    let (keys, next) = kit.page_after(&query, next);
    assert_eq!(keys, ["4", "5", "6", "7"]);
    let (keys, next) = kit.page_after(&query, next);
    assert_eq!((keys, next), (vec!["8".to_string(), "9".to_string()], None));
    let exact = kit.new_query("agent").limit(10);
    assert_eq!(kit.page_after(&exact, None).1, None, "a full last page knows that it is the last");
}

fn pages_hold_while_documents_come_and_go(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..6 {
        put(&kit, &format!("k{n}"), 1);
    }
    for query in [kit.new_query("agent").index("i", 1).limit(3), kit.new_query("agent").limit(3)] {
        let (first, next) = kit.page_after(&query, None);
        assert_eq!(first, ["k0", "k1", "k2"]);
        kit.write(Delete::new("agent", "k2"));
        put(&kit, "k1a", 1);
        put(&kit, "k2a", 1);
        let (second, _) = kit.page_after(&query, next);
        assert_eq!(second, ["k2a", "k3", "k4"], "the place stays where it was, its document gone or not");
        kit.write(Delete::new("agent", "k1a"));
        kit.write(Delete::new("agent", "k2a"));
        put(&kit, "k2", 1);
    }
}

fn bytes_bound_a_page(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..6 {
        kit.put(Put::new("agent", n.to_string(), format!("\"{}\"", "x".repeat(98))).index("i", n));
    }
    for query in [kit.new_query("agent"), kit.new_query("agent").index("i", ()), kit.new_query("agent").descending()] {
        let sizes = |max_bytes| kit.pages(&Query { max_bytes, ..query.clone() }).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), [1; 6], "a page has at least one");
        assert_eq!(sizes(100), [1; 6]);
        assert_eq!(sizes(101), [2; 3]);
        assert_eq!(sizes(400), [4, 2]);
        assert_eq!(sizes(600), [6]);
    }
}

fn a_limit_over_the_highest_means_the_highest(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for part in 0..3 {
        kit.done((0..400).map(|n| Put::new("agent", format!("{part}{n:03}"), "1").into()).collect());
    }
    let sizes: Vec<usize> = kit.pages(&kit.new_query("agent").limit(usize::MAX)).iter().map(Vec::len).collect();
    assert_eq!(sizes, [MAX_PAGE, 200]);
}

fn a_cursor_of_another_query_leads_nowhere_else(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for (key, n) in [("a1", 1), ("b1", 2), ("b2", 2), ("c1", 3)] {
        put(&kit, key, n);
    }
    let low = Cursor { value: vec![IndexPart::Integer(i64::MIN)], key: "a".into() };
    let high = Cursor { value: vec![IndexPart::Text("z".into())], key: "z".into() };
    for query in [kit.new_query("agent").keys("b"), kit.new_query("agent").index("i", 2)] {
        assert_eq!(kit.page_after(&query, Some(low.clone())).0, ["b1", "b2"]);
        assert_eq!(kit.page_after(&query, Some(high.clone())).0, [""; 0]);
        let query = query.descending();
        assert_eq!(kit.page_after(&query, Some(low.clone())).0, [""; 0]);
        assert_eq!(kit.page_after(&query, Some(high.clone())).0, ["b2", "b1"]);
    }
}
