//! Counters and their bounds.

use super::kit::{open, strings};
use super::{Fixture, cases};
use crate::state::{Add, Delete, MAX_NUMBER, NameKind, Put, Refused, Reset, Written};

cases! {
    a_counter_begins_at_0,
    a_sum_does_not_pass_the_floor,
    a_sum_does_not_pass_the_ceiling,
    a_sum_beyond_a_bound_can_come_back,
    adding_nothing_asks_for_both_bounds,
    numbers_have_limits,
    a_reset_answers_what_was_left,
    a_transfer_keeps_the_total,
    counters_are_no_documents,
}

fn a_counter_begins_at_0(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.sum("tokens", "ada"), None);
    assert_eq!(kit.write(Add::new("tokens", "ada", 0)), Written::Sum(0));
    assert_eq!(kit.sum("tokens", "ada"), Some(0));
    assert_eq!(kit.write(Add::new("tokens", "ada", 40)), Written::Sum(40));
    assert_eq!(kit.write(Add::new("tokens", "ada", -42)), Written::Sum(-2));
    assert_eq!(kit.sum("tokens", "ada"), Some(-2));
}

fn a_sum_does_not_pass_the_floor(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.refusal(Add::new("tokens", "ada", -1).floor(0)), Refused::Sum { found: 0 });
    assert_eq!(kit.sum("tokens", "ada"), None, "a refused change makes no counter");
    kit.write(Add::new("tokens", "ada", 10));
    assert_eq!(kit.write(Add::new("tokens", "ada", -10).floor(0)), Written::Sum(0), "the floor itself can be reached");
    assert_eq!(kit.refusal(Add::new("tokens", "ada", -1).floor(0)), Refused::Sum { found: 0 });
    assert_eq!(kit.write(Add::new("tokens", "ada", -5).floor(-5)), Written::Sum(-5), "floors may be negative");
    assert_eq!(kit.refusal(Add::new("tokens", "ada", -1).floor(-5)), Refused::Sum { found: -5 });
}

fn a_sum_does_not_pass_the_ceiling(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.refusal(Add::new("running", "all", 4).ceiling(3)), Refused::Sum { found: 0 });
    assert_eq!(kit.write(Add::new("running", "all", 3).ceiling(3)), Written::Sum(3), "the ceiling itself can be reached");
    assert_eq!(kit.refusal(Add::new("running", "all", 1).ceiling(3)), Refused::Sum { found: 3 });
    assert_eq!(kit.write(Add::new("running", "all", -1).ceiling(3).floor(0)), Written::Sum(2));
}

fn a_sum_beyond_a_bound_can_come_back(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Add::new("tokens", "ada", -100));
    assert_eq!(kit.write(Add::new("tokens", "ada", 30).floor(0)), Written::Sum(-70));
    assert_eq!(kit.refusal(Add::new("tokens", "ada", -1).floor(0)), Refused::Sum { found: -70 });
    kit.write(Add::new("tokens", "ada", 170));
    assert_eq!(kit.write(Add::new("tokens", "ada", -30).ceiling(10)), Written::Sum(70));
    assert_eq!(kit.refusal(Add::new("tokens", "ada", 1).ceiling(10)), Refused::Sum { found: 70 });
}

fn adding_nothing_asks_for_both_bounds(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Add::new("tokens", "ada", 50));
    assert_eq!(kit.write(Add::new("tokens", "ada", 0).floor(50).ceiling(50)), Written::Sum(50));
    assert_eq!(kit.refusal(Add::new("tokens", "ada", 0).floor(51)), Refused::Sum { found: 50 });
    assert_eq!(kit.refusal(Add::new("tokens", "ada", 0).ceiling(49)), Refused::Sum { found: 50 });
}

fn numbers_have_limits(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for limit in [MAX_NUMBER, -MAX_NUMBER] {
        let (key, step) = (limit.to_string(), limit.signum());
        assert_eq!(kit.write(Add::new("tokens", key.as_str(), limit)), Written::Sum(limit));
        assert_eq!(kit.refusal(Add::new("tokens", key.as_str(), step)), Refused::Sum { found: limit });
        assert_eq!(kit.refusal(Add::new("tokens", key.as_str(), limit)), Refused::Sum { found: limit });
        assert_eq!(kit.write(Add::new("tokens", key.as_str(), -step)), Written::Sum(limit - step));
        assert_eq!(kit.sum("tokens", &key), Some(limit - step), "every digit is kept");
    }
}

fn a_reset_answers_what_was_left(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.write(Reset::new("tokens", "ada")), Written::Sum(0));
    assert_eq!(kit.refusal(Reset::new("tokens", "ada").expect(1)), Refused::Sum { found: 0 });
    kit.write(Add::new("tokens", "ada", 12));
    assert_eq!(kit.refusal(Reset::new("tokens", "ada").expect(11)), Refused::Sum { found: 12 });
    assert_eq!(kit.sum("tokens", "ada"), Some(12));
    assert_eq!(kit.write(Reset::new("tokens", "ada").expect(12)), Written::Sum(12));
    assert_eq!(kit.sum("tokens", "ada"), None);
    assert_eq!(kit.write(Add::new("tokens", "ada", 1)), Written::Sum(1), "it begins at 0 again");
}

fn a_transfer_keeps_the_total(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Add::new("tokens", "parent", 100));
    let transfer = |by: i64| vec![Add::new("tokens", "child", by).into(), Add::new("tokens", "parent", -by).floor(0).into()];
    assert_eq!(kit.done(transfer(60)), [Written::Sum(60), Written::Sum(40)]);
    assert_eq!(kit.refused(transfer(60)).write, 1);
    assert_eq!((kit.sum("tokens", "parent"), kit.sum("tokens", "child")), (Some(40), Some(60)));
}

fn counters_are_no_documents(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.write(Add::new("agent", "ada", 1));
    assert_eq!(kit.document("agent", "ada"), None);
    kit.put(Put::new("agent", "ada", "{}"));
    kit.put(Put::new("agent", "bob", "{}"));
    kit.write(Delete::new("agent", "ada"));
    assert_eq!(kit.sum("agent", "ada"), Some(1));
    kit.write(Reset::new("agent", "bob"));
    assert!(kit.document("agent", "bob").is_some());
    let counters = NameKind::Counters { namespace: kit.namespace.clone(), collection: "agent".into() };
    assert_eq!(kit.names_of(counters), strings(&["ada"]));
    assert_eq!(kit.keys(&kit.new_query("agent")), ["bob"]);
}
