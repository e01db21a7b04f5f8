//! The texts that cross the boundary: one JSON string per call instead of a value per field, because a
//! string costs a fraction of the objects that it describes. `ts/native.ts` is the other end.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use master_agent_core::{ErrorCode, JobId, JobPolicy, Millis};
use master_agent_queue::{Handle, Message, Outcome, WaitOutcome};
use master_agent_store::{ClaimedJob, Enqueued, JobView, NewJob, StoreError};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

/// An error as JavaScript is told of it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A text that our own TypeScript should not have sent.
    pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::new(ErrorCode::Internal, format!("{what} cannot be read: {error}"))
    }

    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        push_fault(&mut out, self);
        out
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// A string, or 0 for none.
struct MaybeText<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for MaybeText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = MaybeText<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or 0")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(MaybeText(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MaybeText(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(MaybeText(None))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl MaybeText<'_> {
    fn boxed(self) -> Option<Box<str>> {
        self.0.map(|text| text.into())
    }
}

/// `[agentType, taskId|0, parentTaskId|0, key|0, priority, delay, policy|0, metadata|0, input]`
#[derive(serde::Deserialize)]
struct WireJob<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] MaybeText<'a>,
    #[serde(borrow)] MaybeText<'a>,
    #[serde(borrow)] MaybeText<'a>,
    u32,
    Millis,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
);

/// What neighbours in a batch share.
struct Shared {
    lane: Arc<str>,
    policy_text: String,
    policy: Arc<JobPolicy>,
}

/// Reads the jobs of a submit.
pub(crate) fn read_jobs(text: &str, now: Millis) -> Result<Vec<NewJob>, serde_json::Error> {
    let wire: Vec<WireJob<'_>> = serde_json::from_str(text)?;
    let mut shared = Shared { lane: "".into(), policy_text: "0".to_owned(), policy: Arc::new(JobPolicy::DEFAULT) };
    let mut jobs = Vec::with_capacity(wire.len());
    for WireJob(lane, task_id, parent_id, key, priority, delay, policy, metadata, input) in wire {
        if *shared.lane != *lane {
            shared.lane = lane.into();
        }
        if shared.policy_text != policy.get() {
            let read = if policy.get() == "0" { JobPolicy::DEFAULT } else { serde_json::from_str(policy.get())? };
            shared.policy = Arc::new(read);
            policy.get().clone_into(&mut shared.policy_text);
        }
        jobs.push(NewJob {
            lane: Arc::clone(&shared.lane),
            key: key.boxed(),
            task_id: task_id.boxed(),
            parent_id: parent_id.boxed(),
            data_json: input.get().into(),
            meta_json: (metadata.get() != "0").then(|| metadata.get().into()),
            priority,
            run_at: (delay > 0).then(|| now.saturating_add(delay)),
            policy: Arc::clone(&shared.policy),
        });
    }
    Ok(jobs)
}

/// `[handle, 1, output]`, `[handle, 0, error, final 0|1]` or `[handle, 2, null]` (given back)
struct WireOutcome(Handle, Outcome);

impl<'de> Deserialize<'de> for WireOutcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = WireOutcome;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an outcome")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let short = |n| <A::Error as serde::de::Error>::invalid_length(n, &"3 or 4 elements");
                let handle: Handle = seq.next_element()?.ok_or_else(|| short(0))?;
                let ending: u8 = seq.next_element()?.ok_or_else(|| short(1))?;
                let value: &RawValue = seq.next_element()?.ok_or_else(|| short(2))?;
                let fatal: Option<u8> = seq.next_element()?;
                let json: Box<str> = value.get().into();
                let outcome = match ending {
                    1 => Outcome::Completed { result_json: json },
                    2 => Outcome::Released,
                    _ => Outcome::Failed { error_json: json, fatal: fatal == Some(1) },
                };
                Ok(WireOutcome(handle, outcome))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// Reads the outcomes of a settle.
pub(crate) fn read_outcomes(text: &str) -> Result<Vec<(Handle, Outcome)>, serde_json::Error> {
    let wire: Vec<WireOutcome> = serde_json::from_str(text)?;
    Ok(wire.into_iter().map(|WireOutcome(handle, outcome)| (handle, outcome)).collect())
}

/// Appends a JSON string.
pub(crate) fn push_text(out: &mut String, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else if let Ok(quoted) = serde_json::to_string(text) {
        out.push_str(&quoted);
    }
}

pub(crate) fn push_maybe(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_text(out, text),
        None => out.push_str("null"),
    }
}

pub(crate) fn push_json(out: &mut String, json: Option<&str>) {
    out.push_str(json.unwrap_or("null"));
}

pub(crate) fn push_number(out: &mut String, number: impl std::fmt::Display) {
    let _ = write!(out, "{number}");
}

fn push_time(out: &mut String, time: Option<Millis>) {
    match time {
        Some(time) => push_number(out, time),
        None => out.push_str("null"),
    }
}

fn push_fault(out: &mut String, fault: &Fault) {
    let _ = write!(out, r#"{{"code":"{}","retryable":{},"message":"#, fault.code.as_str(), fault.code.retryable());
    push_text(out, &fault.message);
    out.push('}');
}

/// Writes the array of messages that a drain answers. The forms are listed in `ts/native.ts`.
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { out: String::from("[") }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push(']');
        self.out
    }

    fn begin(&mut self, kind: u8) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        let _ = write!(self.out, "[{kind},");
    }

    pub(crate) fn reply(&mut self, request: u32, outcome: &Result<String, Fault>) {
        self.begin(0);
        let _ = write!(self.out, "{request},");
        match outcome {
            Ok(json) => {
                self.out.push_str("null,");
                self.out.push_str(json);
            }
            Err(fault) => {
                push_fault(&mut self.out, fault);
                self.out.push_str(",null");
            }
        }
        self.out.push(']');
    }

    pub(crate) fn message(&mut self, message: &Message) {
        match message {
            Message::Enqueued { request, jobs } => self.enqueued(*request, jobs),
            Message::Rejected { request, error } => {
                self.begin(3);
                let _ = write!(self.out, "{request},");
                push_fault(&mut self.out, &error.clone().into());
                self.out.push(']');
            }
            Message::Run { jobs } => self.run(jobs),
            Message::Abort { handle, error } => {
                self.begin(5);
                let _ = write!(self.out, "{handle},");
                self.out.push_str(&serde_json::to_string(error).unwrap_or_else(|_| "null".to_owned()));
                self.out.push(']');
            }
            Message::Done { request, outcome } => self.done(*request, outcome),
            Message::WaitFailed { request, code, message } => {
                self.begin(7);
                let _ = write!(self.out, "{request},");
                push_fault(&mut self.out, &Fault::new(*code, message.clone()));
                self.out.push(']');
            }
            Message::Events { events } => {
                self.begin(8);
                self.out.push('[');
                for (index, event) in events.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    event.write_json(&mut self.out);
                }
                self.out.push_str("]]");
            }
            Message::PackedEvents { events_json } => {
                self.begin(8);
                self.out.push_str(events_json);
                self.out.push(']');
            }
            Message::Health { error } => {
                self.begin(9);
                match error {
                    Some(error) => push_fault(&mut self.out, &error.clone().into()),
                    None => self.out.push_str("null"),
                }
                self.out.push(']');
            }
        }
    }

    pub(crate) fn warning(&mut self, text: &str) {
        self.begin(10);
        push_text(&mut self.out, text);
        self.out.push(']');
    }

    /// Numbers of a batch follow each other unless keys were given.
    fn enqueued(&mut self, request: u32, jobs: &[Enqueued]) {
        let first = jobs.first().map_or(0, |job| job.id.0);
        let in_a_row = jobs.iter().enumerate().all(|(index, job)| !job.existing && job.id.0 == first + index as i64);
        if in_a_row {
            self.begin(1);
            let _ = write!(self.out, "{request},{first},{}]", jobs.len());
            return;
        }
        self.begin(2);
        let _ = write!(self.out, "{request},[");
        for (index, job) in jobs.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            let _ = write!(self.out, "[{},{}]", job.id, u8::from(job.existing));
        }
        self.out.push_str("]]");
    }

    fn run(&mut self, jobs: &[(Handle, ClaimedJob)]) {
        self.begin(4);
        self.out.push('[');
        let bytes: usize = jobs.iter().map(|(_, job)| job.data_json.len() + 128).sum();
        self.out.reserve(bytes);
        for (index, (handle, job)) in jobs.iter().enumerate() {
            let out = &mut self.out;
            if index > 0 {
                out.push(',');
            }
            let _ = write!(out, "[{handle},{},", job.id);
            push_maybe(out, job.key.as_deref());
            out.push(',');
            push_maybe(out, job.task_id.as_deref());
            out.push(',');
            push_text(out, &job.lane);
            let _ = write!(out, ",{},{},", job.failures + 1, job.stalls);
            push_maybe(out, job.parent_id.as_deref());
            let _ = write!(out, ",{},{},{},", job.priority, job.added_at, job.policy.attempts);
            push_json(out, job.meta_json.as_deref());
            out.push(',');
            out.push_str(&job.data_json);
            out.push(']');
        }
        self.out.push_str("]]");
    }

    fn done(&mut self, request: u32, outcome: &WaitOutcome) {
        self.begin(6);
        let out = &mut self.out;
        let _ = write!(out, "{request},[{},", outcome.id);
        push_maybe(out, outcome.key.as_deref());
        out.push(',');
        push_maybe(out, outcome.task_id.as_deref());
        out.push(',');
        push_text(out, &outcome.lane);
        let _ = write!(out, ",\"{}\",{},{},", outcome.state.as_str(), outcome.attempts, outcome.added_at);
        push_time(out, outcome.started_at);
        let _ = write!(out, ",{},", outcome.finished_at);
        push_maybe(out, outcome.parent_id.as_deref());
        out.push(',');
        out.push_str(&outcome.value_json);
        out.push_str("]]");
    }
}

/// The public id of a job: its key, or its number.
pub(crate) fn push_public_id(out: &mut String, id: JobId, key: Option<&str>) {
    match key {
        Some(key) => push_text(out, key),
        None => {
            let _ = write!(out, "\"{id}\"");
        }
    }
}

/// Appends a job as it is shown.
pub(crate) fn push_job(out: &mut String, job: &JobView) {
    out.push_str("{\"id\":");
    push_public_id(out, job.id, job.key.as_deref());
    out.push_str(",\"agentType\":");
    push_text(out, &job.lane);
    out.push_str(",\"taskId\":");
    push_maybe(out, job.task_id.as_deref());
    out.push_str(",\"parentTaskId\":");
    push_maybe(out, job.parent_id.as_deref());
    out.push_str(",\"input\":");
    out.push_str(&job.data_json);
    out.push_str(",\"metadata\":");
    push_json(out, job.meta_json.as_deref());
    out.push_str(",\"opts\":");
    out.push_str(&serde_json::to_string(&*job.policy).unwrap_or_else(|_| "null".to_owned()));
    let _ = write!(
        out,
        ",\"state\":\"{}\",\"priority\":{},\"attemptsMade\":{},\"stalls\":{},\"addedAt\":{}",
        job.state.as_str(),
        job.priority,
        job.failures + u32::from(job.state == master_agent_core::JobState::Completed),
        job.stalls,
        job.added_at
    );
    for (name, time) in [("runAt", job.run_at), ("startedAt", job.started_at), ("finishedAt", job.finished_at)] {
        let _ = write!(out, ",\"{name}\":");
        push_time(out, time);
    }
    if let Some(result) = &job.result_json {
        out.push_str(",\"output\":");
        out.push_str(result);
    }
    out.push_str(",\"error\":");
    push_json(out, job.error_json.as_deref());
    out.push_str(",\"progress\":");
    push_json(out, job.progress_json.as_deref());
    out.push_str(",\"worker\":");
    match job.worker {
        Some(worker) => {
            let _ = write!(out, "\"{}\"", worker.0);
        }
        None => out.push_str("null"),
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_and_neighbours_share_their_policy() {
        let text = r#"[["a","t1",0,0,0,0,{"attempts":5},0,{"q":"é"}],["a","t2","p","k",7,50,{"attempts":5},{"m":1},null]]"#;
        let jobs = read_jobs(text, 1_000).expect("reads");
        assert_eq!(jobs[0].policy.attempts, 5);
        assert!(Arc::ptr_eq(&jobs[0].policy, &jobs[1].policy) && Arc::ptr_eq(&jobs[0].lane, &jobs[1].lane));
        assert_eq!(&*jobs[0].data_json, r#"{"q":"é"}"#);
        assert_eq!((jobs[0].run_at, jobs[1].run_at), (None, Some(1_050)));
        assert_eq!((jobs[1].key.as_deref(), jobs[1].meta_json.as_deref(), jobs[1].priority), (Some("k"), Some(r#"{"m":1}"#), 7));
    }

    #[test]
    fn escaped_texts_are_read_too() {
        let jobs = read_jobs(r#"[["a\"b\n","t\u0041",0,0,0,0,0,0,1]]"#, 0).expect("reads");
        assert_eq!((&*jobs[0].lane, jobs[0].task_id.as_deref()), ("a\"b\n", Some("tA")));
    }

    #[test]
    fn outcomes_are_read() {
        let outcomes = read_outcomes(r#"[[1,1,{"a":[1, 2]}],[2,0,{"name":"E"},1],[3,0,{},0],[4,2,null]]"#).expect("reads");
        assert_eq!(outcomes[0], (1, Outcome::Completed { result_json: r#"{"a":[1, 2]}"#.into() }));
        assert_eq!(outcomes[1], (2, Outcome::Failed { error_json: r#"{"name":"E"}"#.into(), fatal: true }));
        assert!(matches!(outcomes[2].1, Outcome::Failed { fatal: false, .. }));
        assert_eq!(outcomes[3], (4, Outcome::Released));
    }

    #[test]
    fn texts_are_quoted() {
        let mut out = String::new();
        push_text(&mut out, "plain");
        push_text(&mut out, "a\"\\\n\u{1}é");
        assert_eq!(out, r#""plain""a\"\\\n\u0001é""#);
    }

    #[test]
    fn numbers_in_a_row_are_written_as_a_range() {
        let job = |id, existing| Enqueued { id: JobId(id), existing };
        let mut writer = Writer::new();
        writer.message(&Message::Enqueued { request: 9, jobs: vec![job(5, false), job(6, false)] });
        writer.message(&Message::Enqueued { request: 8, jobs: vec![job(5, true), job(7, false)] });
        assert_eq!(writer.finish(), "[[1,9,5,2],[2,8,[[5,1],[7,0]]]]");
    }
}
