//! What has expired is absent, and sweeping frees its room.

use super::kit::{Kit, T0, ask, open, strings};
use super::{Fixture, cases};
use crate::state::{
    Add, Append, Delete, Expect, Expiry, Forget, LogRead, NameKind, Put, Query, Refused, Reset, Swept, Touch, TrimTo, Trimmed,
    Written,
};

cases! {
    an_expired_document_is_absent,
    an_expired_document_meets_expectations_of_absence,
    an_expired_counter_begins_at_0,
    an_expired_log_begins_higher,
    a_write_keeps_the_time_unless_told,
    what_replaces_something_expired_does_not_expire,
    a_time_that_has_passed_means_at_once,
    queries_pass_over_what_expired,
    sweeping_changes_nothing_that_is_seen,
    sweeping_tells_when_the_next_thing_expires,
    sweeping_goes_on_in_slices,
    sweeping_spares_what_was_extended,
    sweeping_nothing_is_nothing,
}

const END: i64 = T0 + 100;

fn expiring(key: &str) -> Put {
    Put::new("session", key, "1").index("state", "open").expires(Expiry::At(END))
}

fn an_expired_document_is_absent(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(expiring("s"));
    for (now, is_there) in [(T0, true), (END - 1, true), (END, false), (END + 1, false), (END - 1, true)] {
        let kit = kit.at(now);
        assert_eq!(kit.document("session", "s").is_some(), is_there, "at {}", now - T0);
        assert_eq!(kit.keys(&kit.new_query("session")).len(), usize::from(is_there));
        assert_eq!(kit.keys(&kit.new_query("session").index("state", "open")).len(), usize::from(is_there));
    }
    assert_eq!(kit.document("session", "s").and_then(|found| found.expires_at), Some(END));
}

fn an_expired_document_meets_expectations_of_absence(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let version = kit.put(expiring("s"));
    let late = kit.at(END);
    assert_eq!(late.write(Delete::new("session", "s")), Written::Existed(false));
    assert_eq!(late.write(Touch::new("session", "s", Expiry::Never)), Written::Version(0), "what expired is not revived");
    assert_eq!(late.refusal(Put::new("session", "s", "2").expect(Expect::Present)), Refused::Version { found: 0 });
    assert_eq!(late.refusal(Put::new("session", "s", "2").expect(Expect::Version(version))), Refused::Version { found: 0 });
    let newer = late.put(Put::new("session", "s", "2").expect(Expect::Absent));
    assert!(newer > version, "versions grow over an expiry");
    assert_eq!(late.value("session", "s").as_deref(), Some("2"));
    assert_eq!(late.keys(&late.new_query("session").index("state", ())), [""; 0], "its old index entries are gone");
    late.sweep_all();
    assert_eq!(late.value("session", "s").as_deref(), Some("2"));
}

fn an_expired_counter_begins_at_0(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Add::new("calls", "minute", 5).expires(Expiry::At(END)));
    assert_eq!(kit.at(END - 1).write(Add::new("calls", "minute", 1)), Written::Sum(6));
    let late = kit.at(END);
    assert_eq!(late.sum("calls", "minute"), None);
    assert_eq!(late.names_of(NameKind::Counters { namespace: kit.namespace.clone(), collection: "calls".into() }), [""; 0]);
    assert_eq!(late.write(Reset::new("calls", "minute").expect(0)), Written::Sum(0));
    assert_eq!(late.refusal(Add::new("calls", "minute", 4).ceiling(3)), Refused::Sum { found: 0 });
    assert_eq!(late.write(Add::new("calls", "minute", 3).ceiling(3)), Written::Sum(3));
    assert_eq!(late.at(END + 1_000_000).sum("calls", "minute"), Some(3), "the new one does not expire");
}

fn an_expired_log_begins_higher(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 3);
    kit.append(Append::new("run", "3").expires(Expiry::At(END)));
    let late = kit.at(END);
    assert_eq!((late.ends("run"), late.entries("run").len()), (None, 0));
    assert_eq!(late.names_of(NameKind::Logs { namespace: kit.namespace.clone() }), [""; 0]);
    assert_eq!(late.write(Forget::new("run")), Written::Existed(false));
    assert_eq!(late.trim("run", TrimTo::Newest(0), 10), Trimmed::default());
    assert_eq!(late.refusal(Append::new("run", "4").expect(numbers[2] + 1)), Refused::Number { found: 0 });
    let begin = late.append(Append::new("run", "4").expect(0));
    assert!(begin > numbers[2] + 1);
    assert_eq!(late.entries("run"), [(begin, "4".to_string())]);
    late.sweep_all();
    assert_eq!(late.entries("run"), [(begin, "4".to_string())]);
    assert_eq!(late.at(END + 1_000_000).numbers("run"), [begin], "the new one does not expire");
}

fn a_write_keeps_the_time_unless_told(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(expiring("s"));
    kit.write(Add::new("calls", "s", 1).expires(Expiry::At(END)));
    kit.append(Append::new("run", "1").expires(Expiry::At(END)));
    kit.done(vec![Put::new("session", "s", "2").into(), Add::new("calls", "s", 1).into(), Append::new("run", "2").into()]);
    let all = |now: i64| {
        let kit = kit.at(now);
        [kit.document("session", "s").is_some(), kit.sum("calls", "s").is_some(), kit.ends("run").is_some()]
    };
    assert_eq!((all(END - 1), all(END)), ([true; 3], [false; 3]));
    kit.done(vec![
        Put::new("session", "s", "2").expires(Expiry::At(END + 50)).into(),
        Add::new("calls", "s", 1).expires(Expiry::At(END + 50)).into(),
        Append::new("run", "2").expires(Expiry::At(END + 50)).into(),
    ]);
    assert_eq!((all(END + 49), all(END + 50)), ([true; 3], [false; 3]));
    kit.done(vec![
        Put::new("session", "s", "2").expires(Expiry::Never).into(),
        Add::new("calls", "s", 1).expires(Expiry::Never).into(),
        Append::new("run", "2").expires(Expiry::Never).into(),
    ]);
    assert_eq!(all(i64::MAX), [true; 3]);
}

fn what_replaces_something_expired_does_not_expire(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for sweep in [false, true] {
        kit.put(expiring("s"));
        let late = kit.at(END);
        if sweep {
            late.sweep_all();
        }
        late.put(Put::new("session", "s", "2"));
        assert_eq!(late.document("session", "s").and_then(|found| found.expires_at), None, "swept before: {sweep}");
        kit.write(Delete::new("session", "s"));
    }
}

fn a_time_that_has_passed_means_at_once(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for time in [T0, T0 - 1, 0] {
        let gone = Expiry::At(time);
        kit.done(vec![
            Put::new("session", "s", "1").expires(gone).into(),
            Put::new("session", "s", "1").expect(Expect::Absent).expires(gone).into(),
            Add::new("calls", "s", 5).expires(gone).into(),
            Add::new("calls", "s", 5).ceiling(5).expires(gone).into(),
            Append::new("run", "1").expires(gone).into(),
            Append::new("run", "1").expect(0).expires(gone).into(),
        ]);
        assert_eq!((kit.document("session", "s"), kit.sum("calls", "s"), kit.ends("run")), (None, None, None));
    }
    assert_eq!(kit.sweep_all().next, None);
}

fn queries_pass_over_what_expired(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..30 {
        let put = Put::new("session", format!("{n:02}"), "1").index("n", n);
        kit.put(if n % 10 == 7 { put } else { put.expires(Expiry::At(END)) });
    }
    let late = kit.at(END);
    for limit in [1, 3, 1_000] {
        for query in [late.new_query("session"), late.new_query("session").index("n", ())] {
            let query: Query = query.limit(limit);
            assert_eq!(late.keys(&query), ["07", "17", "27"]);
            assert_eq!(late.keys(&query.descending()), ["27", "17", "07"]);
        }
    }
}

fn fill(kit: &Kit, n: usize) {
    for n in 0..n {
        kit.done(vec![
            expiring(&format!("{n:03}")).into(),
            Add::new("calls", format!("{n:03}"), 1).expires(Expiry::At(END)).into(),
            Append::new("run", n.to_string()).expires(Expiry::At(END)).into(),
            Append::new(format!("run/{n}"), n.to_string()).expires(Expiry::At(END)).into(),
        ]);
    }
}

fn sweeping_changes_nothing_that_is_seen(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    fill(&kit, 5);
    kit.put(Put::new("session", "stays", "1").index("state", "open"));
    kit.write(Add::new("calls", "stays", 7));
    kit.append_many("stays", 3);
    let look = |kit: &Kit| {
        let query = kit.new_query("session");
        let found = [kit.keys(&query), kit.keys(&query.index("state", "open")), kit.names_of(NameKind::Namespaces)];
        let namespace = kit.namespace.clone();
        let counters = kit.names_of(NameKind::Counters { namespace: namespace.clone(), collection: "calls".into() });
        (found, counters, kit.names_of(NameKind::Logs { namespace }), kit.sum("calls", "stays"), kit.entries("stays"))
    };
    let before = look(&kit);
    kit.sweep_all();
    assert_eq!(look(&kit), before, "nothing has expired yet");
    let late = kit.at(END);
    let expected = look(&late);
    assert_eq!(expected.0[0], strings(&["stays"]));
    late.sweep_all();
    assert_eq!(look(&late), expected);
    assert_eq!(look(&kit), expected, "what was swept is gone for good");
}

fn sweeping_tells_when_the_next_thing_expires(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("session", "s", "1").expires(Expiry::At(T0 + 30)));
    kit.write(Add::new("calls", "c", 1).expires(Expiry::At(T0 + 20)));
    kit.within("elsewhere").append(Append::new("run", "1").expires(Expiry::At(T0 + 10)));
    for (now, next) in [(0, Some(10)), (9, Some(10)), (10, Some(20)), (20, Some(30)), (30, None)] {
        assert_eq!(kit.at(T0 + now).sweep_all().next, next.map(|next| T0 + next), "at {now}");
    }
}

fn sweeping_goes_on_in_slices(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    fill(&kit, 25);
    kit.put(Put::new("session", "stays", "1"));
    let late = kit.at(END);
    let mut calls = 0;
    loop {
        let swept = late.sweep(10);
        assert!(swept.removed <= 10, "a sweep removes at most as many as were asked for");
        calls += 1;
        assert_eq!(late.keys(&late.new_query("session")), ["stays"]);
        if !swept.more {
            break;
        }
        assert!(swept.removed > 0 && calls < 1_000, "a sweep that asks to be called again goes on");
    }
    assert_eq!(kit.keys(&kit.new_query("session")), ["stays"]);
    assert_eq!(late.sweep(10), Swept::default());
}

fn sweeping_spares_what_was_extended(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    fill(&kit, 3);
    let later = Expiry::At(END + 100);
    kit.done(vec![
        Touch::new("session", "001", later).into(),
        Add::new("calls", "001", 0).expires(later).into(),
        Append::new("run/1", "1").expires(later).into(),
    ]);
    let late = kit.at(END);
    assert_eq!(late.sweep_all().next, Some(END + 100));
    assert_eq!(late.keys(&late.new_query("session").index("state", "open")), ["001"]);
    assert_eq!((late.sum("calls", "001"), late.sum("calls", "002"), late.entries("run/1").len()), (Some(1), None, 2));
}

fn sweeping_nothing_is_nothing(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.sweep(1), Swept::default());
    kit.put(Put::new("session", "s", "1"));
    assert_eq!(ask(|reply| kit.store.sweep(i64::MAX, 1, reply)), Ok(Swept::default()));
    let read = LogRead::new(kit.namespace.clone(), "none", 0, i64::MAX);
    assert_eq!(kit.read(read).entries, []);
}
