//! Logs: numbers, bounds, pages, trims.

use super::kit::{Kit, T0, open};
use super::{Fixture, cases};
use crate::state::{Append, CHANNEL_KEEP, Forget, KEEP_SLICE, LogEnds, LogRead, MAX_PAGE, Refused, TrimTo, Trimmed, Written};

cases! {
    numbers_grow_by_one,
    what_was_appended_is_read,
    logs_are_apart,
    a_bound_keeps_the_newest,
    a_lowered_bound_is_reached_in_slices,
    an_append_may_expect_the_newest,
    logs_come_in_pages,
    bytes_bound_a_page_of_a_log,
    trimming_keeps_the_newest,
    trimming_goes_through_a_number,
    trimming_goes_up_to_a_time,
    trimming_goes_on_in_slices,
    numbers_go_on_after_everything_was_trimmed,
    a_forgotten_log_begins_higher,
    a_channel_keeps_its_messages,
}

fn numbers_grow_by_one(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.ends("run"), None);
    let numbers = kit.append_many("run", 5);
    let begin = numbers[0];
    assert!(begin > 0, "numbers are above 0");
    assert_eq!(numbers, (begin..begin + 5).collect::<Vec<_>>());
    assert_eq!(kit.ends("run"), Some(LogEnds { begin, first: begin, last: begin + 4 }));
    let written =
        kit.done(vec![Append::new("run", "5").into(), Append::new("other", "0").into(), Append::new("run", "6").into()]);
    assert_eq!((written[0], written[2]), (Written::Number(begin + 5), Written::Number(begin + 6)));
}

fn what_was_appended_is_read(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let number = kit.append(Append::new("run", r#" {"type":"started"} "#));
    kit.at(T0 + 9).append(Append::new("run", "2"));
    let page = kit.read(kit.new_read("run", 0));
    let entries: Vec<_> = page.entries.iter().map(|entry| (entry.number, entry.at, &*entry.entry_json)).collect();
    assert_eq!(entries, [(number, T0, r#" {"type":"started"} "#), (number + 1, T0 + 9, "2")]);
    assert_eq!(page.ends, kit.ends("run"));
    let none = kit.read(kit.new_read("none", 0));
    assert_eq!((none.ends, none.entries.len()), (None, 0));
}

fn logs_are_apart(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let elsewhere = kit.within("elsewhere");
    kit.append(Append::new("run", "1"));
    elsewhere.append(Append::new("run", "2"));
    kit.append(Append::new("run/x", "3"));
    let texts = |kit: &Kit, log: &str| kit.entries(log).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!((texts(&kit, "run"), texts(&elsewhere, "run")), (vec!["1".to_string()], vec!["2".to_string()]));
    kit.write(Forget::new("run"));
    assert_eq!((kit.ends("run").is_some(), elsewhere.ends("run").is_some(), kit.ends("run/x").is_some()), (false, true, true));
}

fn a_bound_keeps_the_newest(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for n in 0..10 {
        kit.append(Append::new("run", n.to_string()).keep(4));
    }
    let ends = kit.ends("run").expect("the log is there");
    assert_eq!((ends.first, ends.last), (ends.begin + 6, ends.begin + 9));
    let entries = kit.entries("run");
    assert_eq!(entries, (6..10).map(|n| (ends.begin + n, n.to_string())).collect::<Vec<_>>());
    kit.append(Append::new("run", "unbounded"));
    assert_eq!(kit.entries("run").len(), 5, "the bound is given with each append");
    kit.append(Append::new("run", "last").keep(1));
    assert_eq!(kit.entries("run"), [(ends.last + 2, "last".to_string())]);
}

fn a_lowered_bound_is_reached_in_slices(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let total = KEEP_SLICE as usize * 2 + 50;
    kit.done((0..total).map(|n| Append::new("run", n.to_string()).into()).collect());
    let slice = KEEP_SLICE as usize;
    let kept = || {
        kit.append(Append::new("run", "1").keep(10));
        kit.numbers("run").len()
    };
    assert!(kept() >= total + 1 - slice, "one append removes at most a slice");
    let sizes: Vec<usize> = (0..3).map(|_| kept()).collect();
    assert_eq!(sizes.last(), Some(&10), "the bound is reached: {sizes:?}");
}

fn an_append_may_expect_the_newest(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.refusal(Append::new("run", "1").expect(1)), Refused::Number { found: 0 });
    assert_eq!(kit.ends("run"), None, "a refused append begins no log");
    let first = kit.append(Append::new("run", "1").expect(0));
    assert_eq!(kit.refusal(Append::new("run", "1").expect(0)), Refused::Number { found: first });
    let second = kit.append(Append::new("run", "2").expect(first));
    kit.trim("run", TrimTo::Newest(0), 10);
    assert_eq!(kit.append(Append::new("run", "3").expect(second)), second + 1, "a trimmed log has its newest number still");
}

fn logs_come_in_pages(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 7);
    let page = |after: i64, limit: usize| {
        let page = kit.read(LogRead { limit, ..kit.new_read("run", after) });
        page.entries.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 3), numbers[..3]);
    assert_eq!(page(numbers[2], 3), numbers[3..6]);
    assert_eq!(page(numbers[5], 3), numbers[6..]);
    assert_eq!(page(numbers[6], 3), [0; 0]);
    assert_eq!(page(numbers[6] + 1_000, 3), [0; 0]);
    assert_eq!(page(-5, 2), numbers[..2]);
    for _ in 0..3 {
        kit.done((0..400).map(|n| Append::new("long", n.to_string()).into()).collect());
    }
    assert_eq!(kit.read(LogRead { limit: usize::MAX, ..kit.new_read("long", 0) }).entries.len(), MAX_PAGE);
}

fn bytes_bound_a_page_of_a_log(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for _ in 0..6 {
        kit.append(Append::new("run", format!("\"{}\"", "x".repeat(98))));
    }
    let size = |max_bytes| kit.read(LogRead { max_bytes, ..kit.new_read("run", 0) }).entries.len();
    assert_eq!([0, 100, 101, 200, 201, 600, 601].map(size), [1, 1, 2, 2, 3, 6, 6]);
}

fn trimming_keeps_the_newest(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 6);
    assert_eq!(kit.trim("run", TrimTo::Newest(10), 100), Trimmed { removed: 0, more: false });
    assert_eq!(kit.trim("run", TrimTo::Newest(u64::MAX), 100), Trimmed { removed: 0, more: false });
    assert_eq!(kit.trim("run", TrimTo::Newest(4), 100), Trimmed { removed: 2, more: false });
    assert_eq!(kit.numbers("run"), numbers[2..]);
    assert_eq!(kit.ends("run").map(|ends| ends.first), Some(numbers[2]));
    assert_eq!(kit.trim("none", TrimTo::Newest(0), 100), Trimmed::default());
}

fn trimming_goes_through_a_number(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 6);
    assert_eq!(kit.trim("run", TrimTo::Through(numbers[0] - 1), 100), Trimmed { removed: 0, more: false });
    assert_eq!(kit.trim("run", TrimTo::Through(numbers[2]), 100), Trimmed { removed: 3, more: false });
    assert_eq!(kit.numbers("run"), numbers[3..]);
    assert_eq!(kit.trim("run", TrimTo::Through(numbers[2]), 100), Trimmed { removed: 0, more: false });
    assert_eq!(kit.trim("run", TrimTo::Through(numbers[5] + 100), 100), Trimmed { removed: 3, more: false });
    assert_eq!(kit.numbers("run"), [0; 0]);
}

fn trimming_goes_up_to_a_time(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    // A clock went back in between: the oldest go, up to the first that is to stay.
    let times = [10, 20, 30, 15, 40];
    let numbers: Vec<i64> = times.iter().map(|time| kit.at(T0 + time).append(Append::new("run", "1"))).collect();
    assert_eq!(kit.trim("run", TrimTo::Before(T0 + 10), 100), Trimmed { removed: 0, more: false });
    assert_eq!(kit.trim("run", TrimTo::Before(T0 + 30), 100), Trimmed { removed: 2, more: false });
    assert_eq!(kit.numbers("run"), numbers[2..]);
    assert_eq!(kit.trim("run", TrimTo::Before(T0 + 100), 2), Trimmed { removed: 2, more: true });
    assert_eq!(kit.trim("run", TrimTo::Before(T0 + 100), 1), Trimmed { removed: 1, more: false });
    assert_eq!(kit.numbers("run"), [0; 0]);
}

fn trimming_goes_on_in_slices(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 10);
    assert_eq!(kit.trim("run", TrimTo::Newest(3), 4), Trimmed { removed: 4, more: true });
    assert_eq!(kit.numbers("run"), numbers[4..]);
    assert_eq!(kit.trim("run", TrimTo::Newest(3), 4), Trimmed { removed: 3, more: false });
    assert_eq!(kit.trim("run", TrimTo::Through(numbers[9]), 2), Trimmed { removed: 2, more: true });
    assert_eq!(kit.trim("run", TrimTo::Newest(0), 1), Trimmed { removed: 1, more: false });
}

fn numbers_go_on_after_everything_was_trimmed(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("run", 3);
    kit.trim("run", TrimTo::Newest(0), 100);
    let (begin, last) = (numbers[0], numbers[2]);
    assert_eq!(kit.ends("run"), Some(LogEnds { begin, first: last + 1, last }));
    assert_eq!(kit.read(kit.new_read("run", 0)).entries, []);
    assert_eq!(kit.append(Append::new("run", "3")), last + 1);
    assert_eq!(kit.ends("run"), Some(LogEnds { begin, first: last + 1, last: last + 1 }));
}

fn a_forgotten_log_begins_higher(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.write(Forget::new("run")), Written::Existed(false));
    let mut last = 0;
    for round in 0..4 {
        let numbers = kit.append_many("run", 3);
        assert!(numbers[0] > last, "round {round} begins at {} after {last}", numbers[0]);
        last = numbers[2];
        assert_eq!(kit.numbers("run"), numbers, "nothing of the round before is left");
        assert_eq!(kit.write(Forget::new("run")), Written::Existed(true));
        assert_eq!((kit.ends("run"), kit.entries("run").len()), (None, 0));
        if round % 2 == 0 {
            kit.sweep_all();
        }
    }
    let written =
        kit.done(vec![Append::new("run", "1").into(), Forget::new("run").into(), Append::new("run", "2").expect(0).into()]);
    assert!(matches!(written[..], [Written::Number(one), _, Written::Number(two)] if two > one), "{written:?}");
    assert_eq!(kit.entries("run").len(), 1);
}

fn a_channel_keeps_its_messages(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let keep = CHANNEL_KEEP as usize;
    kit.done((0..keep).map(|n| Append::publish("news", n.to_string()).into()).collect());
    kit.done((0..20).map(|n| Append::publish("news", n.to_string()).into()).collect());
    let ends = kit.ends("news").expect("the channel is there");
    assert_eq!((ends.first - ends.begin, ends.last - ends.first + 1), (20, CHANNEL_KEEP as i64));
}
