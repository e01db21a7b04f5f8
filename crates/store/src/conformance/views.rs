//! What is shown: look-ups, lists and their pages, counts, queues, notes and logs.

use std::time::Duration;

use master_agent_core::{JobId, JobState, Keep};

use super::Fixture;
use super::kit::*;
use crate::{Control, Cursor, Disposition, LaneCount, ListQuery, MAX_LOG_LINES, MAX_PAGE, Note, Settled, StoreError};

super::cases! {
    look_ups_answer_one_by_one,
    waiting_jobs_are_listed_in_the_order_of_claiming,
    delayed_jobs_are_listed_by_their_time,
    active_jobs_are_listed_by_id,
    ended_jobs_are_listed_newest_first,
    lists_may_be_of_one_lane,
    lists_come_in_pages,
    pages_hold_while_jobs_come_and_go,
    limits_of_a_page_are_clamped,
    a_job_that_ends_again_is_the_newest,
    counts_are_per_lane_and_state,
    queues_are_those_that_held_jobs,
    a_check_is_answered_and_changes_nothing,
    progress_is_the_last_value_and_stays,
    log_lines_are_numbered_and_paged,
    the_newest_log_lines_are_kept,
    logs_stay_with_the_job_and_go_with_it,
    notes_with_an_old_token_are_refused,
    notes_of_one_batch_are_each_by_itself,
}

fn look_ups_answer_one_by_one(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert!(kit.view(by_id(JobId(1))).is_none(), "in a queue that has never been");
    let id = kit.add_one(keyed("a", "k"));
    let other = kit.queue("other");
    // Queues may number their jobs each by itself: this one gets a number that is not in the first.
    other.add_one(job("a"));
    let there = other.add_one(keyed("a", "there"));
    let wanted = vec![by_key("none"), by_id(id), by_id(there), by_key("there"), by_key("k"), by_id(id), by_id(JobId(0))];
    let views = ask(|reply| kit.store.jobs(kit.queue.clone(), wanted, reply)).expect("look-ups are answered");
    let found: Vec<_> = views.into_iter().map(|view| view.map(|view| view.id)).collect();
    assert_eq!(found, [None, Some(id), None, None, Some(id), Some(id), None]);
    let none = ask(|reply| kit.store.jobs(kit.queue.clone(), Vec::new(), reply));
    assert_eq!(none.map(|views| views.len()), Ok(0));
}

fn waiting_jobs_are_listed_in_the_order_of_claiming(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add([3, 0, 2, 0, 3].iter().zip(["a", "b", "a", "a", "b"]).map(|(priority, lane)| prioritised(lane, *priority)).collect());
    let listed: Vec<_> = kit.list_all(kit.query(JobState::Waiting)).iter().map(|job| (job.priority, job.id)).collect();
    assert_eq!(listed.len(), 5);
    assert!(listed.is_sorted(), "over all lanes: {listed:?}");
    let in_a: Vec<_> = kit.claim(ALICE, &["a"], 9).iter().map(|job| (job.priority, job.id)).collect();
    assert!(in_a.is_sorted());
}

fn delayed_jobs_are_listed_by_their_time(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add([30, 10, 20, 10].map(|after| delayed("a", T0 + after)).to_vec());
    assert_eq!(kit.listed(JobState::Delayed), [1, 3, 2, 0].map(|index: usize| added[index]));
    kit.control(Control::Promote { job: by_id(added[3]) });
    assert_eq!(kit.listed(JobState::Delayed), [1, 2, 0].map(|index: usize| added[index]));
}

fn active_jobs_are_listed_by_id(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add([2, 1, 0].map(|priority| prioritised("a", priority)).to_vec());
    kit.claim(ALICE, &["a"], 1);
    kit.claim(BOB, &["a"], 2);
    assert_eq!(kit.listed(JobState::Active), added);
}

fn ended_jobs_are_listed_newest_first(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 5);
    let claimed = kit.claim(ALICE, &["a"], 5);
    kit.end(&claimed[3], complete(Keep::ALL));
    let batch = [0, 4, 1].map(|index: usize| settlement(&claimed[index], complete(Keep::ALL)));
    kit.settle_at(batch.to_vec(), T0);
    kit.end(&claimed[2], fail(Keep::ALL));
    assert_eq!(kit.listed(JobState::Completed), [1, 4, 0, 3].map(|index: usize| added[index]), "the clock may stand still");
    assert_eq!(kit.listed(JobState::Failed), added[2..3]);
}

fn lists_may_be_of_one_lane(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let states = |n: i64| [job("a"), delayed("a", T0 + n), job("b"), delayed("b", T0 + n)];
    let added: Vec<_> = (1..=4).flat_map(|n| kit.add(states(n).to_vec())).collect();
    for (state, offset) in [(JobState::Waiting, 0), (JobState::Delayed, 1)] {
        for (lane, shift) in [("a", 0), ("b", 2)] {
            let wanted: Vec<_> = added.iter().skip(offset + shift).step_by(4).copied().collect();
            for limit in [1, 3, 1_000] {
                let query = ListQuery { lane: Some(lane.into()), limit, ..kit.query(state) };
                let listed: Vec<_> = kit.list_all(query).iter().map(|job| job.id).collect();
                assert_eq!(listed, wanted, "{state:?} in {lane}, {limit} a page");
            }
        }
    }
    for claimed in kit.claim(ALICE, &["a", "b"], 8) {
        kit.end(&claimed, if claimed.id.0 % 3 == 0 { fail(Keep::ALL) } else { complete(Keep::ALL) });
    }
    for state in [JobState::Completed, JobState::Failed] {
        let all = kit.list_all(kit.query(state));
        let in_a = ListQuery { lane: Some("a".into()), limit: 1, ..kit.query(state) };
        let wanted: Vec<_> = all.iter().filter(|job| &*job.lane == "a").collect();
        assert_eq!(kit.list_all(in_a).iter().collect::<Vec<_>>(), wanted);
    }
    let nowhere = ListQuery { lane: Some("c".into()), ..kit.query(JobState::Waiting) };
    assert!(kit.list_all(nowhere).is_empty());
}

fn lists_come_in_pages(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add((0..50).map(|n| prioritised("a", n % 3)).collect());
    kit.add((0..50).map(|n| delayed("a", T0 + 1 + i64::from(n) % 7)).collect());
    let mut claimed = kit.claim(ALICE, &["a"], 40);
    for job in claimed.drain(..30) {
        kit.end(&job, if job.id.0 % 2 == 0 { complete(Keep::ALL) } else { fail(Keep::ALL) });
    }
    for state in JobState::ALL {
        let whole = kit.list_all(kit.query(state));
        assert_eq!(whole.len() as u64, kit.count(state));
        for limit in [1, 2, 7, whole.len().max(1), whole.len() + 1] {
            let paged = kit.list_all(ListQuery { limit, ..kit.query(state) });
            assert_eq!(paged, whole, "{state:?} in pages of {limit}");
        }
    }
    let none = ask(|reply| kit.store.list(kit.queue("nothing here").query(JobState::Waiting), reply));
    assert_eq!(none, Ok(crate::Page::default()));
}

/// What stays is seen exactly once, whatever is added or removed around the cursor.
fn pages_hold_while_jobs_come_and_go(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 10, T0, &complete(Keep::ALL));
    let page = |cursor: Option<Cursor>| {
        let query = ListQuery { limit: 4, cursor, ..kit.query(JobState::Completed) };
        let page = ask(|reply| kit.store.list(query, reply)).expect("a list is answered");
        (page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = page(None);
    assert_eq!(first, [9, 8, 7, 6].map(|index: usize| ended[index]));
    for index in [6, 5, 7] {
        kit.control(Control::Remove { job: by_id(ended[index]) });
    }
    kit.end_many("a", 3, T0, &complete(Keep::ALL));
    let (second, next) = page(next);
    assert_eq!(second, [4, 3, 2, 1].map(|index: usize| ended[index]));
    let (third, next) = page(next);
    assert_eq!((third, next), (vec![ended[0]], None));
}

fn limits_of_a_page_are_clamped(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", MAX_PAGE + 5);
    let page = |limit| {
        let query = ListQuery { limit, ..kit.query(JobState::Waiting) };
        let page = ask(|reply| kit.store.list(query, reply)).expect("a list is answered");
        (page.jobs.len(), page.next.is_some())
    };
    assert_eq!(page(0), (1, true));
    assert_eq!(page(usize::MAX), (MAX_PAGE, true));
}

fn a_job_that_ends_again_is_the_newest(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 3, T0, &complete(Keep::ALL));
    kit.control(Control::Retry { job: by_id(ended[0]) });
    assert_eq!(kit.listed(JobState::Completed), [ended[2], ended[1]]);
    kit.end(&kit.claim_one(ALICE, "a"), complete(Keep::ALL));
    assert_eq!(kit.listed(JobState::Completed), [ended[0], ended[2], ended[1]]);
}

fn counts_are_per_lane_and_state(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert_eq!(kit.counts(), crate::QueueCounts::default());
    kit.add(vec![job("a"), job("a"), job("a"), job("b"), delayed("b", T0 + 9)]);
    kit.queue("other").add_many("a", 7);
    let claimed = kit.claim(ALICE, &["a"], 2);
    kit.end(&claimed[0], complete(Keep::ALL));
    let counts = || {
        let mut lanes = kit.counts().lanes;
        lanes.sort_by(|a, b| (&a.lane, a.state).cmp(&(&b.lane, b.state)));
        lanes
    };
    let count = |lane: &str, state, count| LaneCount { lane: lane.into(), state, count };
    assert_eq!(
        counts(),
        [
            count("a", JobState::Waiting, 1),
            count("a", JobState::Active, 1),
            count("a", JobState::Completed, 1),
            count("b", JobState::Waiting, 1),
            count("b", JobState::Delayed, 1),
        ]
    );
    kit.end(&claimed[1], Disposition::Release);
    kit.maintain(T0 + 9);
    kit.control_all(&Control::Clean { state: JobState::Completed, before: T0 + 1, limit: 9 });
    assert_eq!(counts(), [count("a", JobState::Waiting, 2), count("b", JobState::Waiting, 2)], "zeros are left out");
}

fn a_check_is_answered_and_changes_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let check = || ask(|reply| kit.store.check(Duration::from_secs(5), reply)).expect("the store works");
    check();
    assert!(kit.queues().is_empty());
    let id = kit.add_one(job("a"));
    if let Some(server) = check() {
        assert!(!server.name.is_empty() && !server.version.is_empty() && !server.mode.is_empty(), "{server:?}");
    }
    assert_eq!(kit.view(by_id(id)).map(|view| view.state), Some(JobState::Waiting));
}

fn queues_are_those_that_held_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert!(kit.queues().is_empty());
    for queue in ["b", "a", "c"] {
        kit.queue(queue).add_one(job("x"));
    }
    kit.queue("a").control_all(&Control::Drain { delayed: true });
    let mut queues = kit.queues();
    queues.sort_unstable();
    assert_eq!(queues.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

fn progress_is_the_last_value_and_stays(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    let claimed = kit.claim_one(ALICE, "a");
    for value in ["1", r#"{"done":"half"}"#] {
        assert_eq!(kit.note(&claimed, progress(value)), Settled::Applied(JobState::Active));
        assert_eq!(kit.get(id).progress_json.as_deref(), Some(value));
    }
    kit.end(&claimed, complete(Keep::ALL));
    assert_eq!(kit.get(id).progress_json.as_deref(), Some(r#"{"done":"half"}"#));
}

fn log_lines_are_numbered_and_paged(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    for n in 1..=5 {
        kit.note(&claimed[0], log(T0 + n, &format!("line {n}\nof é")));
    }
    kit.note(&claimed[1], log(T0, "of another job"));
    let lines = kit.logs(claimed[0].id, 0, 100);
    assert_eq!(
        lines.iter().map(|line| (line.seq, line.at)).collect::<Vec<_>>(),
        (1..=5).map(|n| (n, T0 + n)).collect::<Vec<_>>()
    );
    assert_eq!(&*lines[4].line, "line 5\nof é");
    let seqs = |after, limit| kit.logs(claimed[0].id, after, limit).iter().map(|line| line.seq).collect::<Vec<_>>();
    assert_eq!((seqs(0, 2), seqs(2, 2), seqs(4, 2), seqs(5, 2)), (vec![1, 2], vec![3, 4], vec![5], vec![]));
    assert_eq!(kit.logs(claimed[1].id, 0, 100).iter().map(|line| line.seq).collect::<Vec<_>>(), [1]);
}

fn the_newest_log_lines_are_kept(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    let claimed = kit.claim_one(ALICE, "a");
    let total = MAX_LOG_LINES + 30;
    for chunk in (1..=total).collect::<Vec<_>>().chunks(400) {
        let notes = chunk.iter().map(|n| Note { id, token: claimed.token, note: log(T0, &n.to_string()) }).collect();
        let noted = ask(|reply| kit.store.note(notes, reply)).expect("notes are answered");
        assert!(noted.iter().all(|noted| *noted == Settled::Applied(JobState::Active)));
    }
    let lines = kit.logs(id, 0, usize::MAX);
    assert_eq!(lines.len(), MAX_LOG_LINES);
    assert!(lines.iter().zip(31..).all(|(line, n)| line.seq == n && *line.line == *n.to_string()));
    kit.note(&claimed, log(T0, "one more"));
    let lines = kit.logs(id, 0, usize::MAX);
    assert_eq!((lines.len(), lines[0].seq), (MAX_LOG_LINES, 32));
}

fn logs_stay_with_the_job_and_go_with_it(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(keyed("a", "k"));
    let first = kit.claim_one(ALICE, "a");
    kit.note(&first, log(T0, "first attempt"));
    kit.end(&first, retry(T0));
    let second = kit.claim_one(BOB, "a");
    kit.note(&second, log(T0, "second attempt"));
    kit.end(&second, complete(Keep::ALL));
    let by_name = ask(|reply| kit.store.logs(kit.queue.clone(), by_key("k"), 0, 9, reply)).expect("logs are answered");
    assert_eq!(
        by_name.iter().map(|line| (line.seq, &*line.line)).collect::<Vec<_>>(),
        [(1, "first attempt"), (2, "second attempt")]
    );
    assert_eq!(kit.logs(id, 0, 9), by_name);
    kit.control(Control::Remove { job: by_id(id) });
    for job in [by_id(id), by_key("k")] {
        match ask(|reply| kit.store.logs(kit.queue.clone(), job, 0, 9, reply)) {
            Ok(lines) => assert!(lines.is_empty(), "the log goes with the job"),
            Err(error) => assert!(matches!(error, StoreError::NotFound { .. }), "{error}"),
        }
    }
}

fn notes_with_an_old_token_are_refused(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    let old = kit.claim_one(ALICE, "a");
    kit.end(&old, Disposition::Release);
    for _ in 0..2 {
        assert_eq!(kit.note(&old, progress("1")), Settled::Refused);
        assert_eq!(kit.note(&old, log(T0, "late")), Settled::Refused);
        kit.claim(BOB, &["a"], 1);
    }
    assert_eq!(kit.get(id).progress_json, None);
    assert!(kit.logs(id, 0, 9).is_empty());
}

fn notes_of_one_batch_are_each_by_itself(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    kit.end(&claimed[0], complete(Keep::ALL));
    let note = |job: usize, note| Note { id: claimed[job].id, token: claimed[job].token, note };
    let notes = vec![
        note(1, progress("1")),
        note(0, progress("9")),
        note(1, log(T0, "one")),
        note(1, progress("2")),
        note(1, log(T0, "two")),
    ];
    let noted = ask(|reply| kit.store.note(notes, reply)).expect("notes are answered");
    let active = Settled::Applied(JobState::Active);
    assert_eq!(noted, [active, Settled::Refused, active, active, active]);
    assert_eq!(kit.get(claimed[1].id).progress_json.as_deref(), Some("2"));
    assert_eq!(kit.logs(claimed[1].id, 0, 9).iter().map(|line| &*line.line).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(kit.get(claimed[0].id).progress_json, None);
    assert_eq!(ask(|reply| kit.store.note(Vec::new(), reply)), Ok(Vec::new()));
}
