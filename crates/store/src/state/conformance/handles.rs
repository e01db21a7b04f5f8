//! Two handles on one place, as two processes have.

use super::concurrency::spend;
use super::kit::{Kit, T0, open, texts, wait};
use super::{Fixture, Opened, cases};
use crate::StoreError;
use crate::state::{Add, Append, Expect, Expiry, Put, Refused, Start};

cases! {
    what_one_commits_the_other_sees,
    versions_and_numbers_are_shared,
    both_spend_one_balance,
    appends_of_one_reach_who_follows_through_the_other,
    followers_of_both_see_the_same,
    a_watch_may_come_and_go_between_appends_of_the_other,
    clearing_and_sweeping_are_for_both,
    closing_one_leaves_the_other,
}

fn two(fixture: &Fixture) -> (Kit, Kit, [Opened; 2]) {
    let (one, first) = open(fixture);
    let (two, second) = open(fixture);
    (one, two, [first, second])
}

fn what_one_commits_the_other_sees(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    for n in 0..20 {
        let (writer, reader) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
        writer.done(vec![
            Put::new("agent", "ada", n.to_string()).index("n", n).into(),
            Add::new("tokens", "ada", 1).into(),
            Append::new("run", n.to_string()).into(),
        ]);
        assert_eq!(reader.value("agent", "ada"), Some(n.to_string()));
        assert_eq!(reader.keys(&reader.new_query("agent").index("n", n)), ["ada"]);
        assert_eq!((reader.sum("tokens", "ada"), reader.entries("run").len()), (Some(n + 1), n as usize + 1));
    }
}

fn versions_and_numbers_are_shared(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    let version = one.put(Put::new("agent", "ada", "1"));
    let newer = two.put(Put::new("agent", "ada", "2").expect(Expect::Version(version)));
    assert!(newer > version);
    assert_eq!(one.refusal(Put::new("agent", "ada", "3").expect(Expect::Version(version))), Refused::Version { found: newer });
    let number = one.append(Append::new("run", "1"));
    assert_eq!(two.append(Append::new("run", "2").expect(number)), number + 1);
    assert_eq!(one.append(Append::new("run", "3").expect(number + 1)), number + 2);
}

fn both_spend_one_balance(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    spend(&[one.clone(), two.clone(), one, two], 300);
}

fn appends_of_one_reach_who_follows_through_the_other(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    let (here, there) = (one.subscribe("news", Start::Now), two.subscribe("answers", Start::Now));
    for n in 0..20 {
        let answer = here.submit();
        two.append(Append::publish("news", n.to_string()));
        assert_eq!(texts(wait(&answer).expect("what follows is delivered")), [n.to_string()]);
        let answer = there.submit();
        one.append(Append::publish("answers", n.to_string()));
        assert_eq!(texts(wait(&answer).expect("what follows is delivered")), [n.to_string()]);
    }
}

fn followers_of_both_see_the_same(fixture: Fixture) {
    const EACH: usize = 60;
    let (one, two, _opened) = two(&fixture);
    let followers = [one.subscribe("news", Start::Now), two.subscribe("news", Start::Now)];
    std::thread::scope(|scope| {
        for (writer, kit) in [&one, &two].into_iter().enumerate() {
            scope.spawn(move || {
                for n in 0..EACH {
                    kit.append(Append::publish("news", (writer * EACH + n).to_string()));
                }
            });
        }
        let seen = followers.each_ref().map(|follower| {
            scope.spawn(|| {
                let mut seen = Vec::new();
                while seen.len() < EACH * 2 {
                    seen.extend(follower.texts());
                }
                seen
            })
        });
        let [a, b] = seen.map(|seen| seen.join().expect("a follower ends"));
        assert_eq!(a, b);
    });
}

fn a_watch_may_come_and_go_between_appends_of_the_other(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    let mut last = two.append(Append::publish("news", "0"));
    for n in 1..10 {
        let follower = one.subscribe("news", Start::After(last));
        let answer = follower.submit();
        two.append(Append::publish("news", n.to_string()));
        assert_eq!(texts(wait(&answer).expect("what follows is delivered")), [n.to_string()]);
        drop(follower);
        // Nobody follows this one as it comes.
        last = two.append(Append::publish("news", "unseen"));
    }
}

fn clearing_and_sweeping_are_for_both(fixture: Fixture) {
    let (one, two, _opened) = two(&fixture);
    one.put(Put::new("agent", "ada", "1"));
    assert_eq!(two.value("agent", "ada").as_deref(), Some("1"));
    assert!(two.clear());
    assert_eq!(one.document("agent", "ada"), None);
    one.put(Put::new("agent", "ada", "2").expect(Expect::Absent));
    assert_eq!(two.value("agent", "ada").as_deref(), Some("2"));
    one.put(Put::new("session", "s", "1").expires(Expiry::At(T0 + 5)));
    assert_eq!(two.sweep_all().next, Some(T0 + 5));
    two.at(T0 + 5).sweep_all();
    assert_eq!(one.document("session", "s"), None, "what one swept is gone for the other, whatever its clock says");
}

fn closing_one_leaves_the_other(fixture: Fixture) {
    let (one, two, [first, _second]) = two(&fixture);
    one.put(Put::new("agent", "ada", "1"));
    let (here, there) = (one.subscribe("news", Start::Now), two.subscribe("news", Start::Now));
    let (here, there) = ((here.submit(), here), (there.submit(), there));
    first.close();
    assert_eq!(wait(&here.0), Err(StoreError::Closed), "who waits is answered");
    assert_eq!(two.value("agent", "ada").as_deref(), Some("1"));
    two.append(Append::publish("news", "1"));
    assert_eq!(texts(wait(&there.0).expect("what follows is delivered")), ["1"]);
}
