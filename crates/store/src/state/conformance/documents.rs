//! Single documents: versions, expectations, keys and values.

use super::kit::{Kit, T0, open};
use super::{Fixture, cases};
use crate::state::{Check, Delete, Expect, Expiry, Found, Item, Put, Refused, Touch, Write, Written};

cases! {
    what_was_put_is_found,
    a_put_replaces_the_value,
    versions_grow_with_every_put,
    a_version_is_never_given_twice,
    expectations_decide,
    deleting_nothing_is_no_failure,
    a_touch_leaves_value_and_version,
    a_check_answers_the_version,
    look_ups_answer_one_by_one,
    collections_and_namespaces_are_apart,
    any_text_is_a_key,
    values_come_back_as_they_were,
}

fn what_was_put_is_found(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.document("agent", "ada"), None);
    let version = kit.put(Put::new("agent", "ada", r#"{"role":"planner"}"#));
    let found = kit.at(T0 + 5).document("agent", "ada").expect("the document is there");
    assert!(version > 0, "versions are above 0");
    assert_eq!((&*found.key, found.version, found.updated_at, found.expires_at), ("ada", version, T0, None));
    assert_eq!(&*found.value_json, r#"{"role":"planner"}"#);
}

fn a_put_replaces_the_value(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("agent", "ada", "1"));
    let version = kit.at(T0 + 7).put(Put::new("agent", "ada", "2"));
    let found = kit.document("agent", "ada").expect("the document is there");
    assert_eq!((found.version, found.updated_at, &*found.value_json), (version, T0 + 7, "2"));
    assert_eq!(kit.keys(&kit.new_query("agent")), ["ada"], "there is one of it");
}

fn versions_grow_with_every_put(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let mut versions: Vec<i64> = (0..5).map(|n| kit.put(Put::new("agent", "ada", n.to_string()))).collect();
    let one_commit = kit.done(vec![Put::new("agent", "ada", "5").into(), Put::new("agent", "ada", "6").into()]);
    versions.extend(one_commit.into_iter().map(|written| if let Written::Version(version) = written { version } else { 0 }));
    assert!(versions.is_sorted_by(|a, b| a < b), "versions grow: {versions:?}");
    assert_eq!(kit.document("agent", "ada").map(|document| document.version), versions.last().copied());
}

fn a_version_is_never_given_twice(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let mut newest = 0;
    for round in 0..4 {
        let version = kit.put(Put::new("agent", "ada", "1").expect(Expect::Absent));
        assert!(version > newest, "round {round}: version {version} comes after {newest}");
        newest = version;
        kit.write(Delete::new("agent", "ada"));
        if round % 2 == 0 {
            kit.sweep_all();
        }
    }
    let stale = Put::new("agent", "ada", "2").expect(Expect::Version(newest));
    kit.put(Put::new("agent", "ada", "1"));
    assert!(matches!(kit.refusal(stale), Refused::Version { .. }), "who read it before the deletion is refused");
}

fn expectations_decide(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    type Make = fn(Expect) -> Write;
    let kinds: [Make; 4] = [
        |expect| Put::new("agent", "ada", "2").expect(expect).into(),
        |expect| Delete::new("agent", "ada").expect(expect).into(),
        |expect| Touch::new("agent", "ada", Expiry::At(T0 + 1_000)).expect(expect).into(),
        |expect| Check::new("agent", "ada", expect).into(),
    ];
    for make in kinds {
        kit.write(Delete::new("agent", "ada"));
        for expect in [Expect::Present, Expect::Version(1)] {
            assert_eq!(kit.refusal(make(expect)), Refused::Version { found: 0 }, "{expect:?} of nothing");
        }
        for expect in [Expect::Any, Expect::Absent] {
            kit.write(make(expect));
            kit.write(Delete::new("agent", "ada"));
        }
        let found = kit.put(Put::new("agent", "ada", "1"));
        for expect in [Expect::Absent, Expect::Version(found + 1), Expect::Version(found + 1_000)] {
            assert_eq!(kit.refusal(make(expect)), Refused::Version { found }, "{expect:?} of version {found}");
        }
        let unchanged = kit.document("agent", "ada").expect("the document is there");
        assert_eq!((&*unchanged.value_json, unchanged.expires_at), ("1", None), "a refused write changes nothing");
        let fitting: [fn(i64) -> Expect; 3] = [|_| Expect::Any, |_| Expect::Present, Expect::Version];
        for expect in fitting {
            let version = kit.put(Put::new("agent", "ada", "1"));
            kit.write(make(expect(version)));
        }
    }
}

fn deleting_nothing_is_no_failure(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.write(Delete::new("agent", "ada")), Written::Existed(false));
    kit.put(Put::new("agent", "ada", "1"));
    assert_eq!(kit.write(Delete::new("agent", "ada")), Written::Existed(true));
    assert_eq!(kit.write(Delete::new("agent", "ada")), Written::Existed(false));
    assert_eq!(kit.document("agent", "ada"), None);
}

fn a_touch_leaves_value_and_version(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let version = kit.put(Put::new("session", "s", "1").index("state", "open"));
    let touch = Touch::new("session", "s", Expiry::At(T0 + 100));
    assert_eq!(kit.at(T0 + 50).write(touch), Written::Version(version));
    let found = kit.document("session", "s").expect("the document is there");
    assert_eq!((found.version, found.updated_at, found.expires_at), (version, T0, Some(T0 + 100)));
    assert_eq!(kit.keys(&kit.new_query("session").index("state", "open")), ["s"]);
    kit.write(Touch::new("session", "s", Expiry::Never));
    assert_eq!(kit.document("session", "s").and_then(|found| found.expires_at), None);
    assert_eq!(kit.write(Touch::new("session", "none", Expiry::Never)), Written::Version(0), "nothing is made of nothing");
    assert_eq!(kit.document("session", "none"), None);
}

fn a_check_answers_the_version(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.write(Check::new("agent", "ada", Expect::Any)), Written::Version(0));
    let version = kit.put(Put::new("agent", "ada", "1"));
    assert_eq!(kit.write(Check::new("agent", "ada", Expect::Present)), Written::Version(version));
    assert_eq!(kit.document("agent", "ada").map(|found| found.version), Some(version));
}

fn look_ups_answer_one_by_one(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("agent", "b", "2"));
    kit.put(Put::new("agent", "a", "1"));
    let keys = ["a", "none", "b", "a"];
    let found = kit.get(keys.iter().map(|key| Item::document("agent", *key)).collect());
    let values: Vec<Option<&str>> = found
        .iter()
        .map(|found| if let Found::Document(Some(document)) = found { Some(&*document.value_json) } else { None })
        .collect();
    assert_eq!(values, [Some("1"), None, Some("2"), Some("1")]);
}

fn collections_and_namespaces_are_apart(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let places: Vec<(Kit, &str)> = ["one", "two"]
        .iter()
        .flat_map(|namespace| ["agent", "session"].map(|collection| (kit.within(namespace), collection)))
        .collect();
    for (place, (kit, collection)) in places.iter().enumerate() {
        kit.put(Put::new(*collection, "same", place.to_string()).index("i", place as i64).expect(Expect::Absent));
    }
    for (place, (kit, collection)) in places.iter().enumerate() {
        assert_eq!(kit.value(collection, "same"), Some(place.to_string()));
        assert_eq!(kit.pages(&kit.new_query(collection).index("i", ()))[0].len(), 1);
    }
    places[0].0.write(Delete::new("agent", "same"));
    let left: Vec<bool> = places.iter().map(|(kit, collection)| kit.document(collection, "same").is_some()).collect();
    assert_eq!(left, [false, true, true, true]);
}

fn any_text_is_a_key(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let long = "k".repeat(512);
    let wide = "\u{10ffff}".repeat(128);
    let mut keys = vec![
        "a",
        "A",
        " a",
        "a ",
        "a\0",
        "a\0b",
        "\0",
        "\u{1}",
        "a/b:c*d?e%f_g",
        "'; DROP TABLE x; --",
        "\"\\",
        "é",
        "e\u{301}",
        "Ω",
        "日本",
        "😀",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "1",
        "01",
        "1.0",
        "NaN",
        "null",
        &long,
        &wide,
    ];
    for key in &keys {
        kit.put(Put::new(*key, *key, format!("{:?}", key.len())).expect(Expect::Absent));
        kit.put(Put::new("agent", *key, "1").expect(Expect::Absent));
    }
    for key in &keys {
        assert_eq!(kit.value(key, key), Some(key.len().to_string()), "{key:?}");
    }
    keys.sort_unstable();
    assert_eq!(kit.keys(&kit.new_query("agent")), keys, "keys come in the order of their bytes");
    for key in &keys {
        kit.write(Delete::new("agent", *key).expect(Expect::Present));
    }
    assert_eq!(kit.keys(&kit.new_query("agent")), [""; 0]);
}

fn values_come_back_as_they_were(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let long = format!("\"{}\"", "x".repeat(3 << 20));
    let values = ["null", " { \"a\" : 1.0e3 }\n", r#"{"b":1,"a":2,"b":3}"#, "12345678901234567890123", "\"\\u0000 é 😀\"", &long];
    for (place, value) in values.iter().enumerate() {
        kit.put(Put::new("agent", place.to_string(), *value));
    }
    for (place, value) in values.iter().enumerate() {
        assert!(kit.value("agent", &place.to_string()).as_deref() == Some(value), "value {place} is the same text");
    }
}
