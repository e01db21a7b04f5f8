//! Lists of names, and clearing a namespace.

use super::kit::{Kit, T0, open, strings};
use super::{Fixture, cases};
use crate::state::{Add, Append, Check, Delete, Expect, Expiry, Forget, NameKind, NameQuery, Put, Swept};

cases! {
    everything_has_names,
    names_remain_until_they_are_removed,
    names_are_found_by_their_beginning,
    names_come_in_pages,
    looking_makes_no_names,
    clearing_removes_everything_of_a_namespace,
    a_cleared_namespace_begins_anew,
    clearing_is_swept_in_slices,
}

fn kinds(kit: &Kit) -> [NameKind; 4] {
    let namespace = &kit.namespace;
    [
        NameKind::Namespaces,
        NameKind::Collections { namespace: namespace.clone() },
        NameKind::Counters { namespace: namespace.clone(), collection: "tokens".into() },
        NameKind::Logs { namespace: namespace.clone() },
    ]
}

fn all(kit: &Kit) -> [Vec<String>; 4] {
    kinds(kit).map(|kind| kit.names_of(kind))
}

fn none() -> [Vec<String>; 4] {
    [const { Vec::new() }; 4]
}

fn fill(kit: &Kit) {
    kit.done(vec![
        Put::new("agent", "ada", "1").index("state", "idle").into(),
        Add::new("tokens", "b", 1).into(),
        Add::new("tokens", "a", 1).into(),
        Add::new("calls", "c", 1).into(),
        Append::new("run/2", "1").into(),
        Append::new("run/1", "1").into(),
    ]);
}

fn everything_has_names(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(all(&kit), none());
    fill(&kit);
    fill(&kit.within("Elsewhere"));
    let expected = [
        strings(&["Elsewhere", "agents"]),
        strings(&["agent", "calls", "tokens"]),
        strings(&["a", "b"]),
        strings(&["run/1", "run/2"]),
    ];
    assert_eq!(all(&kit), expected);
    assert_eq!(all(&kit.within("none"))[1..], none()[1..]);
}

fn names_remain_until_they_are_removed(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    fill(&kit);
    kit.done(vec![
        Delete::new("agent", "ada").into(),
        crate::state::Reset::new("tokens", "a").into(),
        Forget::new("run/1").into(),
    ]);
    let expected = [strings(&["agents"]), strings(&["agent", "calls", "tokens"]), strings(&["b"]), strings(&["run/2"])];
    assert_eq!(all(&kit), expected);
}

fn names_are_found_by_their_beginning(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let names = ["a", "a\0", "ab", "abc", "ac", "b", "\u{10ffff}"];
    for name in names {
        let kit = kit.within(name);
        kit.done(vec![Put::new(name, "k", "1").into(), Append::new(name, "1").into()]);
        for key in names {
            kit.write(Add::new("tokens", key, 1));
        }
        for log in names {
            kit.append(Append::new(log, "1"));
        }
    }
    let kit = kit.within("a");
    let find = |of: NameKind, prefix: &str| kit.names(&NameQuery { prefix: prefix.into(), ..NameQuery::new(of, T0) });
    for of in [&kinds(&kit)[0], &kinds(&kit)[2], &kinds(&kit)[3]] {
        assert_eq!(find(of.clone(), ""), names, "{of:?}");
        assert_eq!(find(of.clone(), "ab"), ["ab", "abc"], "{of:?}");
        assert_eq!(find(of.clone(), "a\0"), ["a\0"], "{of:?}");
        assert_eq!(find(of.clone(), "\u{10ffff}"), ["\u{10ffff}"], "{of:?}");
        assert_eq!(find(of.clone(), "x"), [""; 0], "{of:?}");
    }
    assert_eq!(find(kinds(&kit)[1].clone(), "a"), ["a"]);
}

fn names_come_in_pages(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let names: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    for name in &names {
        kit.within(name).put(Put::new("agent", "a", "1"));
        kit.done(vec![
            Put::new(name.as_str(), "a", "1").into(),
            Add::new("tokens", name.as_str(), 1).into(),
            Append::new(name.as_str(), "1").into(),
        ]);
    }
    for of in kinds(&kit) {
        for limit in [1, 7, 1_000, usize::MAX] {
            let query = NameQuery { limit, ..NameQuery::new(of.clone(), T0) };
            let found: Vec<String> = kit.names(&query).into_iter().filter(|name| name.len() == 2).collect();
            assert_eq!(found, names, "{of:?}");
        }
        let after = NameQuery { after: Some("1".into()), prefix: "1".into(), ..NameQuery::new(of, T0) };
        assert_eq!(kit.names(&after), names[10..20]);
    }
}

fn looking_makes_no_names(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Check::new("agent", "ada", Expect::Absent));
    kit.write(Delete::new("agent", "ada"));
    kit.write(Forget::new("run"));
    kit.refusal(Add::new("tokens", "ada", -1).floor(0));
    kit.document("agent", "ada");
    kit.keys(&kit.new_query("agent"));
    kit.entries("run");
    assert_eq!(all(&kit), none());
}

fn clearing_removes_everything_of_a_namespace(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let other = kit.within("other");
    fill(&kit);
    fill(&other);
    let untouched = all(&other)[1..].to_vec();
    assert!(kit.clear());
    let look = || {
        assert_eq!(all(&kit)[1..], none()[1..]);
        assert_eq!(kit.namespaces(), ["other"]);
        assert_eq!((kit.document("agent", "ada"), kit.sum("tokens", "a"), kit.ends("run/1")), (None, None, None));
        assert_eq!(kit.keys(&kit.new_query("agent").index("state", ())), [""; 0]);
        assert_eq!(kit.entries("run/1"), []);
        assert_eq!(all(&other)[1..], untouched);
        assert_eq!(other.entries("run/1").len(), 1);
    };
    look();
    kit.sweep_all();
    look();
    assert!(!kit.clear(), "it is gone already");
    assert!(!kit.within("none").clear());
}

fn a_cleared_namespace_begins_anew(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let (mut version, mut number) = (0, 0);
    for round in 0..3 {
        let put = Put::new("agent", "ada", "1").index("round", round).expect(Expect::Absent);
        let newer = kit.put(put);
        assert!(newer > version, "versions grow over a clearing");
        version = newer;
        let begin = kit.append(Append::new("run", "1").expect(0));
        assert!(begin > number, "numbers grow over a clearing");
        number = begin;
        kit.write(Add::new("tokens", "ada", 1).ceiling(1));
        assert_eq!(kit.keys(&kit.new_query("agent").index("round", ())).len(), 1);
        assert!(kit.clear());
        if round == 1 {
            kit.sweep_all();
        }
    }
    kit.put(Put::new("agent", "bob", "1"));
    kit.sweep_all();
    assert_eq!(kit.keys(&kit.new_query("agent")), ["bob"], "sweeping the old leaves the new");
}

fn clearing_is_swept_in_slices(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..20 {
        kit.done(vec![
            Put::new(format!("c{}", n % 3), n.to_string(), "1").index("n", n).into(),
            Add::new("tokens", n.to_string(), 1).expires(Expiry::At(T0 + 1_000)).into(),
            Append::new(format!("run/{}", n % 4), "1").into(),
        ]);
    }
    kit.within("other").put(Put::new("agent", "stays", "1"));
    kit.clear();
    let mut calls = 0;
    while kit.sweep(7).more {
        calls += 1;
        assert!(calls < 1_000, "sweeping comes to an end");
    }
    assert_eq!(kit.sweep(7), Swept::default(), "nothing is left, not even what would have expired");
    assert_eq!(kit.within("other").keys(&kit.within("other").new_query("agent")), ["stays"]);
}
