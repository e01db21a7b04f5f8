//! Ends of which the store keeps nothing, or not for long, remembered for waits that come a moment later.
//!
//! Asked only where the store has the job no more: one that was kept may have been retried.

use std::collections::{HashMap, VecDeque};

use master_agent_core::JobId;

use crate::message::WaitOutcome;

/// At most so many ends, and so many bytes of results, are remembered.
const MAX_ENDS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

#[derive(Default)]
pub(crate) struct Unkept {
    ends: HashMap<JobId, WaitOutcome>,
    /// The oldest first.
    order: VecDeque<JobId>,
    bytes: usize,
}

impl Unkept {
    pub(crate) fn remember(&mut self, outcome: WaitOutcome) {
        let size = outcome.value_json.len();
        if size > MAX_BYTES {
            return;
        }
        self.bytes += size;
        self.order.push_back(outcome.id);
        self.ends.insert(outcome.id, outcome);
        while self.order.len() > MAX_ENDS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(forgotten) = self.ends.remove(&oldest) {
                self.bytes -= forgotten.value_json.len();
            }
        }
    }

    pub(crate) fn find(&self, job: JobId) -> Option<&WaitOutcome> {
        self.ends.get(&job)
    }

    /// The newest end of a job with this key.
    pub(crate) fn find_key(&self, key: &str) -> Option<&WaitOutcome> {
        self.order.iter().rev().filter_map(|job| self.ends.get(job)).find(|end| end.key.as_deref() == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use master_agent_core::JobState;

    use super::*;

    fn end(id: i64, key: Option<&str>, bytes: usize) -> WaitOutcome {
        WaitOutcome {
            id: JobId(id),
            key: key.map(Into::into),
            task_id: None,
            parent_id: None,
            lane: "lane".into(),
            state: JobState::Completed,
            attempts: 1,
            added_at: 0,
            started_at: Some(0),
            finished_at: 0,
            value_json: "x".repeat(bytes).into(),
        }
    }

    #[test]
    fn the_newest_end_of_a_key_is_found() {
        let mut unkept = Unkept::default();
        unkept.remember(end(1, Some("a"), 1));
        unkept.remember(end(2, Some("a"), 1));
        assert_eq!(unkept.find_key("a").map(|end| end.id), Some(JobId(2)));
        assert_eq!(unkept.find(JobId(1)).map(|end| end.id), Some(JobId(1)));
        assert!(unkept.find(JobId(3)).is_none());
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many_or_too_large_ones() {
        let mut unkept = Unkept::default();
        for id in 0..MAX_ENDS as i64 + 5 {
            unkept.remember(end(id, None, 0));
        }
        assert!(unkept.find(JobId(4)).is_none());
        assert!(unkept.find(JobId(5)).is_some());
        unkept.remember(end(-1, None, MAX_BYTES));
        assert!(unkept.find(JobId(5)).is_none());
        unkept.remember(end(-2, None, MAX_BYTES + 1));
        assert!(unkept.find(JobId(-1)).is_some());
        assert!(unkept.find(JobId(-2)).is_none());
    }
}
