//! What filters mean, which of them are refused, and that columns find the rows that the definition finds.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use master_agent_memory::filter::{Columns, Filter, Path};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn matches(filter: Value, metadata: Value) -> bool {
    let filter = Filter::parse(&filter).unwrap();
    let by_definition = filter.matches(&metadata);
    let text = metadata.to_string();
    let columns = Columns::read(&filter.paths(), [Some(text.as_str())]).unwrap();
    assert_eq!(filter.evaluate(&columns).unwrap().contains(0), by_definition, "{metadata}");
    by_definition
}

fn error(filter: Value) -> String {
    let error = Filter::parse(&filter).unwrap_err();
    assert_eq!(error.code().as_str(), "ERR_INPUT_INVALID");
    error.to_string()
}

#[test]
fn values_are_equal_by_type_and_value() {
    assert!(matches(json!({ "a": 1 }), json!({ "a": 1.0 })));
    assert!(!matches(json!({ "a": 1 }), json!({ "a": "1" })));
    assert!(!matches(json!({ "a": 1 }), json!({ "a": true })));
    assert!(!matches(json!({ "a": 9_007_199_254_740_993_u64 }), json!({ "a": 9_007_199_254_740_992_u64 })));
    assert!(matches(json!({ "a": u64::MAX }), json!({ "a": u64::MAX })));
    assert!(matches(json!({ "a": null }), json!({ "a": null })));
    assert!(!matches(json!({ "a": null }), json!({})));
    assert!(matches(json!({ "a": { "eq": { "x": 1, "y": [1.0] } } }), json!({ "a": { "y": [1], "x": 1 } })));
    assert!(!matches(json!({ "a": { "eq": { "x": 1 } } }), json!({ "a": { "x": 1, "y": 2 } })));
    assert!(matches(json!({ "a": { "eq": {} } }), json!({ "a": {} })));
    assert!(matches(json!({}), json!({ "a": 1 })));
}

#[test]
fn an_array_matches_by_its_elements_and_as_a_whole() {
    let tags = json!({ "tags": ["rust", "node"], "n": [1, 5] });
    assert!(matches(json!({ "tags": "rust" }), tags.clone()));
    assert!(!matches(json!({ "tags": "rus" }), tags.clone()));
    assert!(matches(json!({ "tags": ["rust", "node"] }), tags.clone()));
    assert!(!matches(json!({ "tags": ["node", "rust"] }), tags.clone()));
    assert!(matches(json!({ "tags": { "in": ["go", "node"] } }), tags.clone()));
    assert!(!matches(json!({ "tags": { "nin": ["go", "node"] } }), tags.clone()));
    assert!(matches(json!({ "n": { "gt": 4, "lt": 2 } }), tags.clone()), "each operator may be met by another element");
    assert!(matches(json!({ "tags": { "startsWith": "no", "contains": "us" } }), tags.clone()));
    assert!(!matches(json!({ "tags": { "ne": "rust" } }), tags));
    assert!(matches(json!({ "a": [1] }), json!({ "a": [[1], 2] })));
    assert!(!matches(json!({ "a": 1 }), json!({ "a": [[1], 2] })));
}

#[test]
fn operators_mean_what_they_say() {
    let document = json!({ "n": 5, "s": "été", "z": null });
    for (filter, expected) in [
        (json!({ "n": { "gt": 5 } }), false),
        (json!({ "n": { "gte": 5 } }), true),
        (json!({ "n": { "lt": 5.5 } }), true),
        (json!({ "n": { "lte": 4.5 } }), false),
        (json!({ "n": { "gte": "5" } }), false),
        (json!({ "s": { "gt": "z" } }), true),
        (json!({ "s": { "lt": 9 } }), false),
        (json!({ "s": { "startsWith": "é" } }), true),
        (json!({ "s": { "contains": "t" } }), true),
        (json!({ "s": { "contains": "T" } }), false),
        (json!({ "s": { "contains": "" } }), true),
        (json!({ "n": { "contains": "5" } }), false),
        (json!({ "z": { "exists": true } }), true),
        (json!({ "q": { "exists": true } }), false),
        (json!({ "q": { "exists": false } }), true),
        (json!({ "q": { "ne": 1 } }), true),
        (json!({ "q": { "nin": [1] } }), true),
        (json!({ "q": { "gte": 0 } }), false),
        (json!({ "n": { "in": [] } }), false),
        (json!({ "n": { "nin": [] } }), true),
        (json!({ "n": { "not": { "gt": 5 } } }), true),
        (json!({ "n": { "or": [1, { "gt": 4 }] } }), true),
        (json!({ "n": { "and": [{ "gt": 4 }, { "lt": 5 }] } }), false),
        (json!({ "or": [{ "n": 1 }, { "s": "été" }] }), true),
        (json!({ "and": [{ "n": 1 }, { "s": "été" }] }), false),
        (json!({ "not": { "n": 5, "q": 1 } }), true),
        (json!({ "and": [] }), true),
        (json!({ "or": [] }), false),
    ] {
        assert_eq!(matches(filter.clone(), document.clone()), expected, "{filter}");
    }
}

#[test]
fn paths_go_into_objects() {
    let document = json!({ "author": { "name": "x", "in": 3 }, "a.b": 1, "c": { "d.e": { "f": 2 } }, "list": [{ "k": 1 }, { "k": [2] }, [{ "k": 3 }]] });
    assert!(matches(json!({ "author.name": "x" }), document.clone()));
    assert!(matches(json!({ "author": { "name": "x" } }), document.clone()));
    assert!(matches(json!({ "author": { "or": [{ "name": "y" }, { "name": "x" }] } }), document.clone()));
    assert!(matches(json!({ "author.in": 3 }), document.clone()), "a field that is called like an operator");
    assert!(matches(json!({ "a.b": 1 }), document.clone()));
    assert!(matches(json!({ "c.d.e.f": 2 }), document.clone()));
    assert!(matches(json!({ "list.k": 1 }), document.clone()));
    assert!(matches(json!({ "list.k": 2 }), document.clone()));
    assert!(!matches(json!({ "list.k": 3 }), document.clone()));
    assert!(!matches(json!({ "author.name.first": { "exists": true } }), document));
    assert!(matches(json!({ "in": 3, "eq": 4 }), json!({ "in": 3, "eq": 4 })), "at the top only and, or, not are taken");
    assert!(matches(json!({ "": { "": 1 } }), json!({ "": { "": 1 } })));
}

#[test]
fn what_is_no_object_has_no_fields() {
    let filter = Filter::parse(&json!({ "a": { "ne": 1 } })).unwrap();
    let texts = [None, Some("null"), Some("[{\"a\":1}]"), Some("{\"a\":1"), Some("{\"a\":1} x"), Some("{\"a\":1}"), Some("")];
    let columns = Columns::read(&filter.paths(), texts).unwrap();
    assert_eq!(filter.evaluate(&columns).unwrap().iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6]);
    assert!(filter.matches(&json!([{ "a": 1 }])));
}

#[test]
fn of_a_key_that_comes_twice_the_last_one_counts() {
    let filter = Filter::parse(&json!({ "a": 1, "b.c": 2 })).unwrap();
    let texts = [
        r#"{"a":1,"b":{"c":2}}"#,
        r#"{"a":2,"b":{"c":3},"a":1,"b":{"c":2}}"#,
        r#"{"a":1,"b":{"c":2},"a":2}"#,
        r#"{"a":1,"b":{"c":2},"b":{}}"#,
        r#"{"b":{"c":2},"a":1,"b":{"c":1},"b":{"c":1,"c":2}}"#,
    ];
    let columns = Columns::read(&filter.paths(), texts.map(Some)).unwrap();
    let by_definition = texts.map(|text| filter.matches(&serde_json::from_str(text).unwrap()));
    assert_eq!(by_definition, [true, true, false, false, true]);
    assert_eq!(filter.evaluate(&columns).unwrap().iter().collect::<Vec<_>>(), [0, 1, 4]);
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    for (filter, expected) in [
        (json!([]), "filter: must be an object, not an array"),
        (json!({ "year": { "gte": [1] } }), "filter.year.gte: must be a number or a string, not an array"),
        (json!({ "or": [{}, 3] }), "filter.or[1]: must be an object, not a number"),
        (json!({ "and": { "a": 1 } }), "filter.and: must be an array of filters, not an object"),
        (
            json!({ "year": { "gt": 1, "let": 2 } }),
            "filter.year.let: is not an operator; did you mean lt? (a field of that name is \"year.let\")",
        ),
        (
            json!({ "year": { "$gte": 1 } }),
            "filter.year.$gte: is not an operator; did you mean gte? (a field of that name is \"year.$gte\")",
        ),
        (
            json!({ "a": { "starts_with": "x" } }),
            "filter.a.starts_with: is not an operator; did you mean startsWith? (a field of that name is \"a.starts_with\")",
        ),
        (json!({ "$or": [] }), "filter.$or: is not an operator; did you mean or?"),
        (
            json!({ "a": { "gt": 1, "colour": 2 } }),
            "filter.a.colour: is a field beside operators, which do not mix; write the field by itself as \"a.colour\"",
        ),
        (json!({ "a": { "in": 3 } }), "filter.a.in: must be an array of values, not a number (a field of that name is \"a.in\")"),
        (
            json!({ "a": { "exists": 1 } }),
            "filter.a.exists: must be true or false, not a number (a field of that name is \"a.exists\")",
        ),
        (
            json!({ "a": { "contains": ["x"] } }),
            "filter.a.contains: must be a string, not an array (a field of that name is \"a.contains\")",
        ),
        (
            json!({ "a": {} }),
            "filter.a: is an empty object; say { exists: true } or, for an empty object as the value, { eq: {} }",
        ),
        (json!({ "we\"ird\n": { "gt": null } }), r#"filter["we\"ird\n"].gt: must be a number or a string, not null"#),
    ] {
        assert_eq!(error(filter), expected);
    }
    assert!(error(json!({ "a": { "$regex": "x" } })).contains("there are eq, ne, gt"));
}

#[test]
fn hostile_filters_are_answered_or_refused() {
    let many: Vec<Value> = (0..10_000).map(|i| json!({ "a": i })).collect();
    assert_eq!(error(json!({ "or": many })), "filter.or[999].a: is one condition too many: a filter has at most 1000");
    let fields: Map<String, Value> = (0..10_000).map(|i| (format!("f{i}"), json!(1))).collect();
    assert!(error(Value::Object(fields)).contains("one condition too many"));
    let mut deep = json!({ "a": 1 });
    for _ in 0..100 {
        deep = json!({ "not": deep });
    }
    assert!(error(deep).contains("nests too deep: a filter has at most 32 levels"));
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!({ "a": nested });
    }
    assert!(error(nested).contains("at most 32 levels"));
    assert!(error(json!({ "a.".repeat(40): 1 })).contains("goes too deep"));
    assert!(error(json!({ "x".repeat(5_000): 1 })).contains("more than 1024 bytes"));
    assert!(error(json!({ "a": { "in": vec![0; 200_000] } })).contains("at most 100000"));

    let huge = "x".repeat(5_000_000);
    assert!(!matches(json!({ "a": huge }), json!({ "a": "x" })));
    assert!(matches(json!({ "a": { "contains": "x".repeat(1_000) } }), json!({ "a": huge })));
    for text in ["' OR 1=1 --", "\"; DROP TABLE documents", "`", "\\", "\0", "metadata->>'a'", "%", "*"] {
        assert!(matches(json!({ text: text }), json!({ text: text })));
        assert!(!matches(json!({ text: text }), json!({ text: "other" })));
        assert!(!matches(json!({ "tenant": text }), json!({ "tenant": "a" })));
    }
    assert!(matches(json!({ "__proto__": { "x": 1 } }), json!({ "__proto__": { "x": 1 } })));
    assert!(!matches(json!({ "constructor": { "exists": true } }), json!({})));

    // Every way to cut a path of 32 parts is a way into the document.
    let path = vec!["a"; 32].join(".");
    assert!(!matches(json!({ path: 1 }), json!({ "a": { "a": { "a.a": { "a": 1 } }, "a.a": { "a": {} } } })));
    let keys: Map<String, Value> = (0..100_000).map(|i| (format!("k{i}"), json!(i))).collect();
    assert!(matches(json!({ "k99999": 99_999, "k5": { "lt": 6 } }), Value::Object(keys)));
}

#[test]
fn columns_are_extended_by_further_paths() {
    let texts = [Some(r#"{"a":1,"b":"x"}"#), None, Some(r#"{"a":2,"b":"x"}"#)];
    let (a, both) = (Filter::parse(&json!({ "a": 2 })).unwrap(), Filter::parse(&json!({ "a": 2, "b": "x" })).unwrap());
    let columns = Columns::read(&a.paths(), texts).unwrap();
    let problem = both.evaluate(&columns).unwrap_err();
    assert_eq!(problem.code().as_str(), "ERR_INTERNAL");
    let missing = columns.missing(&both.paths());
    assert_eq!(missing, [Path::new("b")]);
    let joined = columns.join(&Columns::read(&missing, texts).unwrap()).unwrap();
    assert_eq!(both.evaluate(&joined).unwrap().iter().collect::<Vec<_>>(), [2]);
    assert!(joined.bytes() > columns.bytes());
    assert!(columns.join(&Columns::read(&missing, [None]).unwrap()).is_err());
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(vec![
            json!(0), json!(1), json!(2), json!(-1), json!(1.0), json!(0.5), json!(-0.0), json!(1e300), json!(u64::MAX),
            json!(i64::MIN), json!(9_007_199_254_740_992_u64), json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992.0),
        ]),
        6 => prop::sample::select(vec!["", "a", "ab", "b", "ba", "abab", "é", "\u{10ffff}", "1", "a\"\\"]).prop_map(|text| json!(text)),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ]
}

const KEYS: [&str; 6] = ["a", "b", "a.b", "a.a", "b.a.b", ""];

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(&KEYS[..]), value), 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(
        3,
        12,
        4,
        |inner| prop_oneof![2 => object(inner.clone()), 1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array)],
    )
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "a.a", "b.a", "a.a.b", "b.a.b", "a.b.a.b", "", "a.", ".a"]).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = Value> {
    let bound = scalar().prop_filter("a bound", |value| value.is_number() || value.is_string());
    let leaf = prop_oneof![
        2 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::Array),
        1 => value().prop_map(|value| json!({ "eq": value })),
        1 => value().prop_map(|value| json!({ "ne": value })),
        4 => (prop::sample::select(vec!["gt", "gte", "lt", "lte"]), bound).prop_map(|(operator, bound)| json!({ operator: bound })),
        2 => (prop::sample::select(vec!["in", "nin"]), prop::collection::vec(value(), 0..4)).prop_map(|(operator, values)| json!({ operator: values })),
        1 => any::<bool>().prop_map(|exists| json!({ "exists": exists })),
        2 => (prop::sample::select(vec!["contains", "startsWith"]), "[ab]{0,2}").prop_map(|(operator, text)| json!({ operator: text })),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({ "not": inner })),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|inner| json!({ "or": inner })),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|inner| json!({ "and": inner })),
            inner.prop_map(|inner| json!({ "a": inner })),
        ]
    })
}

fn filter() -> impl Strategy<Value = Value> {
    let fields =
        prop::collection::vec((path(), condition()), 1..3).prop_map(|fields| Value::Object(fields.into_iter().collect()));
    fields.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({ "not": inner })),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|inner| json!({ "or": inner })),
            prop::collection::vec(inner, 0..3).prop_map(|inner| json!({ "and": inner })),
        ]
    })
}

/// The case for every document, so that thousands of documents meet filters within seconds.
#[test]
fn columns_find_what_the_definition_finds() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    let counts = std::cell::Cell::new((0_u64, 0_u64));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    runner
        .run(&(filter(), prop::collection::vec(object(value()), 1..12)), |(json, documents)| {
            let filter = Filter::parse(&json).unwrap();
            let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
            let columns = Columns::read(&filter.paths(), texts.iter().map(|text| Some(text.as_str()))).unwrap();
            let found = filter.evaluate(&columns).unwrap();
            for (row, document) in documents.iter().enumerate() {
                // The definition sees what a store would give back.
                let stored: Value = serde_json::from_str(&texts[row]).unwrap();
                prop_assert_eq!(found.contains(row as u32), filter.matches(&stored), "{} {}", json, document);
            }
            prop_assert!(found.max().is_none_or(|row| (row as usize) < documents.len()));
            let (matched, all) = counts.get();
            counts.set((matched + found.len(), all + documents.len() as u64));
            Ok(())
        })
        .unwrap();
    let (matched, all) = counts.get();
    assert!(matched * 5 > all && matched * 5 < all * 4, "{matched} of {all} matched: the cases decide too little");
}

#[test]
fn parsing_never_panics() {
    let anything = value().prop_recursive(4, 24, 4, |inner| {
        prop::collection::vec(
            (prop::sample::select(vec!["eq", "in", "and", "or", "not", "gt", "$ne", "a", "__proto__", "exists"]), inner),
            0..4,
        )
        .prop_map(|fields| Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    });
    proptest!(|(json in anything, document in object(value()))| {
        match Filter::parse(&json) {
            Ok(filter) => drop(filter.matches(&document)),
            Err(error) => prop_assert!(error.to_string().starts_with("filter")),
        }
    });
}
