//! Several writes at once: all or none.

use super::kit::{open, submit, wait};
use super::{Fixture, cases};
use crate::state::{
    Add, Append, Check, Committed, Delete, Expect, Expiry, Forget, MAX_BATCH, Put, Refusal, Refused, Reset, Touch, Write, Written,
};

cases! {
    writes_see_those_before_them,
    a_refused_commit_changes_nothing,
    the_first_write_that_is_refused_is_told,
    a_condition_guards_the_other_writes,
    a_large_commit_is_one,
    a_refused_commit_spoils_no_other,
}

fn writes_see_those_before_them(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let written = kit.done(vec![
        Put::new("agent", "ada", "1").expect(Expect::Absent).index("n", 1).into(),
        Check::new("agent", "ada", Expect::Present).into(),
        Delete::new("agent", "ada").expect(Expect::Present).into(),
        Put::new("agent", "ada", "2").expect(Expect::Absent).index("n", 2).into(),
        Add::new("tokens", "ada", 5).into(),
        Add::new("tokens", "ada", -5).floor(0).into(),
        Reset::new("tokens", "ada").expect(0).into(),
        Append::new("run", "1").expect(0).into(),
        Append::new("run", "2").into(),
    ]);
    let [Written::Version(first), Written::Version(checked), Written::Existed(true), Written::Version(second)] = written[..4]
    else {
        panic!("the documents are written as {written:?}");
    };
    assert_eq!(first, checked);
    assert!(second > first);
    assert_eq!(written[4..7], [Written::Sum(5), Written::Sum(0), Written::Sum(0)]);
    let [Written::Number(one), Written::Number(two)] = written[7..] else { panic!("the log is written as {written:?}") };
    assert_eq!(two, one + 1);
    assert_eq!((kit.value("agent", "ada").as_deref(), kit.sum("tokens", "ada")), (Some("2"), None));
    assert_eq!(kit.pages(&kit.new_query("agent").index("n", ()))[0].len(), 1);
}

fn a_refused_commit_changes_nothing(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.done(vec![
        Put::new("agent", "old", "1").index("state", "idle").into(),
        Put::new("agent", "doomed", "1").index("state", "idle").into(),
        Add::new("tokens", "old", 7).into(),
        Add::new("tokens", "doomed", 9).into(),
        Append::new("run", "1").into(),
        Append::new("doomed", "1").into(),
    ]);
    let look = || {
        let documents = kit.pages(&kit.new_query("agent"));
        let indexed = kit.keys(&kit.new_query("agent").index("state", ()));
        let sums = ["old", "doomed", "new"].map(|key| kit.sum("tokens", key));
        let logs = ["run", "doomed", "new"].map(|log| (kit.ends(log), kit.entries(log)));
        (
            documents,
            indexed,
            sums,
            logs,
            kit.namespaces(),
            kit.names_of(crate::state::NameKind::Collections { namespace: "agents".into() }),
        )
    };
    let before = look();
    let changes: Vec<Write> = vec![
        Put::new("agent", "new", "2").index("state", "busy").into(),
        Put::new("agent", "old", "2").index("state", "busy").into(),
        Put::new("other", "new", "2").into(),
        Touch::new("agent", "old", Expiry::At(kit.now + 1)).into(),
        Delete::new("agent", "doomed").into(),
        Add::new("tokens", "old", 1).into(),
        Add::new("tokens", "new", 1).into(),
        Reset::new("tokens", "doomed").into(),
        Append::new("run", "2").keep(1).into(),
        Append::new("new", "1").into(),
        Forget::new("doomed").into(),
    ];
    let conditions: [(Write, Refused); 4] = [
        (Check::new("agent", "none", Expect::Present).into(), Refused::Version { found: 0 }),
        (Add::new("tokens", "old", -9).floor(0).into(), Refused::Sum { found: 8 }),
        (Reset::new("tokens", "old").expect(7).into(), Refused::Sum { found: 8 }),
        (Append::new("doomed", "2").expect(7).into(), Refused::Number { found: 0 }),
    ];
    for (condition, reason) in conditions {
        let mut writes = changes.clone();
        writes.push(condition);
        let write = writes.len() - 1;
        assert_eq!(kit.refused(writes), Refusal { write, reason });
        assert_eq!(look(), before);
        assert_eq!(kit.sweep_all().next, None, "nothing that would expire is left behind");
    }
    kit.within("elsewhere")
        .refused(vec![Put::new("agent", "new", "2").into(), Check::new("agent", "none", Expect::Present).into()]);
    assert_eq!(look(), before, "not even a namespace is made");
    kit.done(changes);
    assert_ne!(look(), before);
}

fn the_first_write_that_is_refused_is_told(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let version = kit.put(Put::new("agent", "ada", "1"));
    kit.write(Add::new("tokens", "ada", 3));
    let refusal = kit.refused(vec![
        Check::new("agent", "ada", Expect::Version(version)).into(),
        Add::new("tokens", "ada", -2).floor(0).into(),
        Add::new("tokens", "ada", -2).floor(0).into(),
        Check::new("agent", "ada", Expect::Absent).into(),
    ]);
    assert_eq!(refusal, Refusal { write: 2, reason: Refused::Sum { found: 1 } });
    assert_eq!(refusal.to_string(), "writes[2]: the counter stands at 1");
    assert_eq!(kit.sum("tokens", "ada"), Some(3));
}

fn a_condition_guards_the_other_writes(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let version = kit.put(Put::new("agent", "parent", "1"));
    let spawn = |key: &str, version| {
        vec![Check::new("agent", "parent", Expect::Version(version)).into(), Put::new("agent", key, "1").into()]
    };
    kit.done(spawn("one", version));
    let newer = kit.put(Put::new("agent", "parent", "2"));
    assert_eq!(kit.refused(spawn("two", version)), Refusal { write: 0, reason: Refused::Version { found: newer } });
    assert_eq!(kit.keys(&kit.new_query("agent")), ["one", "parent"]);
}

fn a_large_commit_is_one(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let puts = |n: usize| (0..n).map(|n| Write::from(Put::new("agent", format!("{n:04}"), n.to_string()).index("n", n as i64)));
    let mut writes: Vec<Write> = puts(MAX_BATCH - 1).collect();
    writes.push(Check::new("agent", "0500", Expect::Absent).into());
    assert_eq!(kit.refused(writes).write, MAX_BATCH - 1);
    assert_eq!(kit.keys(&kit.new_query("agent")), [""; 0]);
    kit.done(puts(MAX_BATCH).collect());
    assert_eq!(kit.keys(&kit.new_query("agent").index("n", ()).limit(300)).len(), MAX_BATCH);
}

fn a_refused_commit_spoils_no_other(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let answers: Vec<_> = (0..60)
        .map(|n: i64| {
            let commit = kit
                .new_commit()
                .with(Add::new("tokens", "ada", 1))
                .with(Put::new("agent", n.to_string(), "1"))
                .with(Check::new("agent", "none", if n % 3 == 0 { Expect::Present } else { Expect::Absent }));
            (n, submit(|reply| kit.store.commit(commit, reply)))
        })
        .collect();
    let mut done = 0;
    for (n, answer) in answers {
        let committed = wait(&answer).expect("a commit is answered");
        if n % 3 == 0 {
            assert_eq!(committed, Committed::Refused(Refusal { write: 2, reason: Refused::Version { found: 0 } }), "commit {n}");
        } else {
            done += 1;
            assert!(
                matches!(&committed, Committed::Done(written) if written[0] == Written::Sum(done)),
                "commit {n}: {committed:?}"
            );
        }
        assert_eq!(kit.document("agent", &n.to_string()).is_some(), n % 3 != 0, "commit {n}");
    }
    assert_eq!(kit.sum("tokens", "ada"), Some(done));
}
