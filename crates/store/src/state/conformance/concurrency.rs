//! Many at once.

use std::sync::atomic::{AtomicI64, Ordering};

use super::kit::{Kit, open};
use super::{Fixture, cases};
use crate::state::{Add, Append, Check, Committed, Expect, Found, Item, Put, Write, Written};

cases! {
    many_may_spend_one_balance,
    one_of_many_changes_to_a_version_counts,
    one_of_many_makes_a_document,
    many_may_append_to_one_log,
    look_ups_see_whole_commits,
    queries_see_whole_commits,
    chains_of_dependent_appends_have_no_fork,
}

const THREADS: usize = 6;

fn on_threads(kit: &Kit, work: impl Fn(&Kit, usize) + Sync) {
    std::thread::scope(|scope| {
        let work = &work;
        for thread in 0..THREADS {
            scope.spawn(move || work(kit, thread));
        }
    });
}

fn commit(kit: &Kit, writes: Vec<Write>) -> Committed {
    let mut commit = kit.new_commit();
    commit.writes = writes;
    kit.try_commit(commit).expect("a commit is answered")
}

/// Threads take from a balance until there is nothing left for any of them.
pub(super) fn spend(kits: &[Kit], balance: i64) {
    kits[0].write(Add::new("tokens", "pool", balance));
    let spent = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for (thread, kit) in kits.iter().enumerate() {
            let spent = &spent;
            scope.spawn(move || {
                let price = 1 + thread as i64 % 3;
                loop {
                    let writes = vec![
                        Add::new("tokens", "pool", -price).floor(0).into(),
                        Add::new("spent", thread.to_string(), price).into(),
                        Append::new("ledger", price.to_string()).into(),
                    ];
                    match commit(kit, writes) {
                        Committed::Done(written) => {
                            assert!(matches!(written[0], Written::Sum(0..)), "the balance never passes its floor: {written:?}");
                            spent.fetch_add(price, Ordering::SeqCst);
                        }
                        Committed::Refused(refusal) => {
                            let crate::state::Refused::Sum { found } = refusal.reason else { panic!("{refusal}") };
                            assert!((0..price).contains(&found), "refused for {price} with {found} left");
                            return;
                        }
                    }
                }
            });
        }
    });
    let kit = &kits[0];
    let left = kit.sum("tokens", "pool").expect("the balance is there");
    assert_eq!(left + spent.load(Ordering::SeqCst), balance, "what was spent is missing from the balance, no more, no less");
    let noted: i64 = (0..kits.len()).map(|thread| kit.sum("spent", &thread.to_string()).unwrap_or(0)).sum();
    assert_eq!(noted, balance - left);
    let ledger: i64 = kit.entries("ledger").iter().map(|(_, price)| price.parse::<i64>().expect("a price")).sum();
    assert_eq!(ledger, balance - left);
}

fn many_may_spend_one_balance(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    spend(&vec![kit; THREADS], 500);
}

fn one_of_many_changes_to_a_version_counts(fixture: Fixture) {
    const EACH: usize = 30;
    let (kit, _opened) = open(&fixture);
    kit.put(Put::new("agent", "counter", "0"));
    on_threads(&kit, |kit, _| {
        let mut done = 0;
        while done < EACH {
            let found = kit.document("agent", "counter").expect("the document is there");
            let next = found.value_json.parse::<usize>().expect("a number") + 1;
            let put = Put::new("agent", "counter", next.to_string()).expect(Expect::Version(found.version));
            if matches!(commit(kit, vec![put.into()]), Committed::Done(_)) {
                done += 1;
            }
        }
    });
    assert_eq!(kit.value("agent", "counter"), Some((THREADS * EACH).to_string()), "no change is lost");
}

fn one_of_many_makes_a_document(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let made = AtomicI64::new(0);
    on_threads(&kit, |kit, thread| {
        for n in 0..30 {
            let put = Put::new("agent", n.to_string(), thread.to_string()).expect(Expect::Absent);
            if matches!(commit(kit, vec![put.into(), Add::new("made", "all", 1).into()]), Committed::Done(_)) {
                made.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    assert_eq!((made.into_inner(), kit.sum("made", "all")), (30, Some(30)));
}

fn many_may_append_to_one_log(fixture: Fixture) {
    const EACH: usize = 50;
    let (kit, _opened) = open(&fixture);
    on_threads(&kit, |kit, thread| {
        let mut last = 0;
        for n in 0..EACH {
            let number = kit.append(Append::new("run", format!("{}", thread * EACH + n)));
            assert!(number > last, "one's own entries come in their order");
            last = number;
        }
    });
    let entries = kit.entries("run");
    let mut texts: Vec<usize> = entries.iter().map(|(_, text)| text.parse().expect("a number")).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..THREADS * EACH).collect::<Vec<_>>());
    let (first, last) = (entries[0].0, entries[entries.len() - 1].0);
    assert_eq!(last - first + 1, (THREADS * EACH) as i64, "numbers have no gap");
}

/// Threads move amounts between counters and write twins of documents while `look` looks.
fn while_writing(kit: &Kit, look: impl Fn(&Kit) + Sync) {
    kit.write(Add::new("tokens", "a", 1_000));
    on_threads(kit, |kit, thread| {
        for n in 0..40_i64 {
            if thread % 2 == 0 {
                let by = (n * 7) % 23 - 11;
                let text = format!("{thread}{n:03}");
                let twin = |key: &str| Put::new("twins", key, text.as_str()).index("same", 1).index("text", text.as_str());
                kit.done(vec![
                    Add::new("tokens", "a", by).into(),
                    twin("left").into(),
                    Add::new("tokens", "b", -by).into(),
                    twin("right").into(),
                ]);
            } else {
                look(kit);
            }
        }
    });
}

fn look_ups_see_whole_commits(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    while_writing(&kit, |kit| {
        // Much in between gives a commit time to happen.
        let between = (0..400).map(|n| Item::document("none", n.to_string()));
        let first = [Item::counter("tokens", "a"), Item::document("twins", "left")];
        let last = [Item::counter("tokens", "b"), Item::document("twins", "right")];
        let found = kit.get(first.into_iter().chain(between).chain(last).collect());
        let [Found::Sum(a), Found::Document(left), .., Found::Sum(b), Found::Document(right)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(a.unwrap_or(0) + b.unwrap_or(0), 1_000, "a transfer is seen as a whole");
        let text = |document: &Option<crate::state::Document>| document.as_ref().map(|document| document.value_json.clone());
        assert_eq!(text(left), text(right), "twins are seen alike");
    });
}

fn queries_see_whole_commits(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    while_writing(&kit, |kit| {
        for query in [kit.new_query("twins"), kit.new_query("twins").index("same", 1), kit.new_query("twins").index("text", ())] {
            let page = kit.pages(&query).concat();
            assert!(
                page.is_empty() || page.len() == 2 && page[0].value_json == page[1].value_json,
                "twins are seen alike: {page:?}"
            );
        }
    });
}

fn chains_of_dependent_appends_have_no_fork(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let begin = kit.append(Append::new("journal", "0"));
    on_threads(&kit, |kit, _| {
        let mut done = 0;
        while done < 20 {
            let last = kit.ends("journal").expect("the log is there").last;
            let step = Append::new("journal", (last - begin + 1).to_string()).expect(last);
            let guarded = vec![step.into(), Check::new("agent", "stop", Expect::Absent).into()];
            if matches!(commit(kit, guarded), Committed::Done(_)) {
                done += 1;
            }
        }
    });
    let texts: Vec<usize> = kit.entries("journal").iter().map(|(_, text)| text.parse().expect("a number")).collect();
    assert_eq!(texts, (0..=THREADS * 20).collect::<Vec<_>>(), "every step saw the one before it");
}
