//! The threads of a model and what waits for them. A thread is started when there is work for it, and has a session of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use master_agent_core::ErrorCode;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::exit;
use super::{Model, Urgency};
use crate::{Error, Result};

pub(super) type Make = Box<dyn Fn() -> Result<Box<dyn Model>> + Send + Sync>;

/// Ends its threads when it is dropped; they finish the text that they are at.
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    name: &'static str,
    /// Numbers that a text gives.
    width: usize,
    make: Make,
    sessions: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

struct Queue {
    queries: VecDeque<Arc<Call>>,
    documents: VecDeque<Arc<Call>>,
    /// Texts of all calls that no thread has begun.
    texts: usize,
    /// Threads that there may be, are, and have nothing to do.
    allowed: usize,
    threads: usize,
    idle: usize,
    /// The session that was made when the model was loaded.
    first: Option<Box<dyn Model>>,
    closed: bool,
}

/// Texts that were asked for together.
struct Call {
    query: String,
    texts: Vec<String>,
    /// Nobody waits for it any more.
    given_up: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The first text that no thread has begun.
    next: usize,
    left: usize,
    data: Vec<f32>,
    reply: Option<oneshot::Sender<Result<Vec<f32>>>>,
}

impl Call {
    /// The place of a text that is to be computed now.
    fn take(&self) -> Option<usize> {
        if self.given_up.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock();
        let place = state.next;
        (place < self.texts.len()).then(|| {
            state.next += 1;
            place
        })
    }

    fn untaken(&self) -> usize {
        self.texts.len() - self.state.lock().next
    }

    fn finish(&self, place: usize, width: usize, result: Result<Vec<f32>>) {
        let mut state = self.state.lock();
        let reply = match result {
            Ok(row) if row.len() == width => {
                state.data[place * width..][..width].copy_from_slice(&row);
                state.left -= 1;
                if state.left > 0 {
                    return;
                }
                Ok(std::mem::take(&mut state.data))
            }
            Ok(row) => {
                let text = format!("The model gave {} numbers for a text in place of {width}.", row.len());
                Err(Error::new(ErrorCode::EmbeddingFailed, text))
            }
            Err(error) => Err(error),
        };
        self.end(&mut state, reply);
    }

    /// The first failure is that of the call.
    fn end(&self, state: &mut State, reply: Result<Vec<f32>>) {
        self.given_up.store(true, Ordering::Relaxed);
        if let Some(waiting) = state.reply.take() {
            let _ = waiting.send(reply);
        }
    }
}

/// The numbers of all texts, row after row. Gives the texts up when it is dropped.
pub(super) struct Pending {
    call: Arc<Call>,
    reply: oneshot::Receiver<Result<Vec<f32>>>,
}

impl Pending {
    pub(super) fn wait(mut self) -> Result<Vec<f32>> {
        let (_, nothing) = oneshot::channel();
        std::mem::replace(&mut self.reply, nothing).blocking_recv().unwrap_or_else(|_| Err(closed()))
    }
}

impl Future for Pending {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|reply| reply.unwrap_or_else(|_| Err(closed())))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call.given_up.store(true, Ordering::Relaxed);
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "The embedder was closed.")
}

impl Pool {
    /// `sessions` is what the model allows, however many threads are.
    pub(super) fn new(name: &'static str, width: usize, sessions: usize, first: Box<dyn Model>, make: Make) -> Self {
        let queue = Queue {
            queries: VecDeque::new(),
            documents: VecDeque::new(),
            texts: 0,
            allowed: 1,
            threads: 0,
            idle: 0,
            first: Some(first),
            closed: false,
        };
        Self(Arc::new(Inner { name, width, make, sessions, queue: Mutex::new(queue), wake: Condvar::new() }))
    }

    /// Lets it have as many threads.
    pub(super) fn allow(&self, threads: usize) {
        let mut queue = self.0.queue.lock();
        queue.allowed = queue.allowed.max(threads.min(self.0.sessions));
    }

    pub(super) fn submit(&self, query: String, texts: Vec<String>, urgency: Urgency) -> Result<Pending> {
        let (sender, reply) = oneshot::channel();
        let count = texts.len();
        let state = State { next: 0, left: count, data: vec![0.0; count * self.0.width], reply: Some(sender) };
        let call = Arc::new(Call { query, texts, given_up: AtomicBool::new(false), state: Mutex::new(state) });
        if count == 0 {
            if let Some(waiting) = call.state.lock().reply.take() {
                let _ = waiting.send(Ok(Vec::new()));
            }
            return Ok(Pending { call, reply });
        }
        let mut queue = self.0.queue.lock();
        match urgency {
            Urgency::Query => queue.queries.push_back(Arc::clone(&call)),
            Urgency::Documents => queue.documents.push_back(Arc::clone(&call)),
        }
        queue.texts += count;
        let wanted = queue.texts.saturating_sub(queue.idle).min(queue.allowed.saturating_sub(queue.threads));
        for _ in 0..wanted {
            let inner = Arc::clone(&self.0);
            match std::thread::Builder::new().name(self.0.name.into()).spawn(move || inner.work()) {
                Ok(_) => queue.threads += 1,
                // Those that are there do it.
                Err(_) if queue.threads > 0 => break,
                Err(error) => {
                    call.given_up.store(true, Ordering::Relaxed);
                    let text = format!("No thread could be started for the model: {error}.");
                    return Err(Error::new(ErrorCode::EmbeddingFailed, text).caused_by(error));
                }
            }
        }
        drop(queue);
        if count == 1 {
            self.0.wake.notify_one();
        } else {
            self.0.wake.notify_all();
        }
        Ok(Pending { call, reply })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        for call in std::mem::take(&mut queue.queries).into_iter().chain(std::mem::take(&mut queue.documents)) {
            call.end(&mut call.state.lock(), Err(closed()));
        }
        self.0.wake.notify_all();
    }
}

impl Inner {
    fn work(&self) {
        let mut model = self.queue.lock().first.take();
        let mut has_run = false;
        loop {
            // Before a text is taken, so that one who cannot have a session leaves the work to those who have.
            let made = match model.take() {
                Some(session) => Ok(session),
                None => {
                    let _inside = exit::enter();
                    let made = (self.make)();
                    exit::guard();
                    made
                }
            };
            if made.is_err() {
                let mut queue = self.queue.lock();
                if queue.threads > 1 {
                    queue.threads -= 1;
                    queue.allowed = queue.threads;
                    return;
                }
            }
            let Some((call, place, alone)) = self.next() else { return };
            let _inside = exit::enter();
            let mut session = match made.or_else(|_| (self.make)()) {
                Ok(session) => session,
                Err(error) => {
                    call.finish(place, self.width, Err(error));
                    continue;
                }
            };
            // A session that panicked is not used again.
            let (query, text) = (&call.query, &call.texts[place]);
            let run = || if alone { session.run_alone(query, text) } else { session.run(query, text) };
            let result = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(result) => {
                    model = Some(session);
                    if !std::mem::replace(&mut has_run, true) {
                        exit::guard();
                    }
                    result
                }
                Err(panic) => Err(Error::new(ErrorCode::EmbeddingFailed, format!("The model failed: {}.", said(&*panic)))),
            };
            call.finish(place, self.width, result);
        }
    }

    /// Waits for a text, and tells whether it was asked for by itself, nothing waits beside it and nobody computes. `None` when the pool is closed.
    fn next(&self) -> Option<(Arc<Call>, usize, bool)> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            let Queue { queries, documents, texts, threads, idle, .. } = &mut *queue;
            for waiting in [queries, documents] {
                while let Some(call) = waiting.front() {
                    if let Some(place) = call.take() {
                        *texts -= 1;
                        let alone = call.texts.len() == 1 && *texts == 0 && *idle + 1 == *threads;
                        return Some((Arc::clone(call), place, alone));
                    }
                    *texts -= call.untaken();
                    waiting.pop_front();
                }
            }
            queue.idle += 1;
            self.wake.wait(&mut queue);
            queue.idle -= 1;
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says what it runs, and goes on when it is let.
    struct Told {
        begun: Sender<String>,
        go: Arc<Mutex<Receiver<()>>>,
        ended: Sender<()>,
    }

    impl Model for Told {
        fn run(&mut self, _query: &str, text: &str) -> Result<Vec<f32>> {
            self.begun.send(text.to_owned()).unwrap();
            self.go.lock().recv().unwrap();
            match text {
                "panic" => panic!("on purpose"),
                "wide" => Ok(vec![0.0; 5]),
                text => Ok(vec![text.len() as f32, 1.0]),
            }
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.ended.send(());
        }
    }

    struct Kit {
        pool: Pool,
        begun: Receiver<String>,
        go: Sender<()>,
        ended: Receiver<()>,
    }

    fn kit() -> Kit {
        let ((begun_in, begun), (go, go_out), (ended_in, ended)) = (channel(), channel(), channel());
        let go_out = Arc::new(Mutex::new(go_out));
        let make = move || -> Result<Box<dyn Model>> {
            Ok(Box::new(Told { begun: begun_in.clone(), go: Arc::clone(&go_out), ended: ended_in.clone() }))
        };
        let first = make().unwrap();
        Kit { pool: Pool::new("test", 2, 1, first, Box::new(make)), begun, go, ended }
    }

    impl Kit {
        fn submit(&self, texts: &[&str], urgency: Urgency) -> Pending {
            self.pool.submit(String::new(), texts.iter().map(|&text| text.to_owned()).collect(), urgency).unwrap()
        }

        fn next(&self) -> String {
            self.begun.recv().unwrap()
        }

        fn let_go(&self, count: usize) {
            for _ in 0..count {
                self.go.send(()).unwrap();
            }
        }
    }

    #[test]
    fn queries_overtake_documents_that_wait_and_both_keep_their_order() {
        let kit = kit();
        let documents = kit.submit(&["a", "b"], Urgency::Documents);
        assert_eq!(kit.next(), "a");
        let more = kit.submit(&["c"], Urgency::Documents);
        let queries = [kit.submit(&["q1"], Urgency::Query), kit.submit(&["q2"], Urgency::Query)];
        kit.let_go(5);
        assert_eq!([kit.next(), kit.next(), kit.next(), kit.next()], ["q1", "q2", "b", "c"]);
        for pending in queries {
            assert_eq!(pending.wait().unwrap(), [2.0, 1.0]);
        }
        assert_eq!(documents.wait().unwrap(), [1.0, 1.0, 1.0, 1.0]);
        more.wait().unwrap();
    }

    #[test]
    fn what_nobody_waits_for_is_not_computed() {
        let kit = kit();
        let first = kit.submit(&["a", "b", "c"], Urgency::Documents);
        let second = kit.submit(&["d"], Urgency::Documents);
        assert_eq!(kit.next(), "a");
        drop(first);
        kit.let_go(2);
        assert_eq!(kit.next(), "d");
        second.wait().unwrap();
        assert_eq!(kit.pool.0.queue.lock().texts, 0);
    }

    #[test]
    fn a_failure_is_that_of_its_call_alone_and_ends_it() {
        let kit = kit();
        let failing = kit.submit(&["panic", "never"], Urgency::Documents);
        let wide = kit.submit(&["wide"], Urgency::Documents);
        let good = kit.submit(&["good"], Urgency::Documents);
        kit.let_go(3);
        assert_eq!([kit.next(), kit.next(), kit.next()], ["panic", "wide", "good"]);
        let error = failing.wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::EmbeddingFailed);
        assert!(error.to_string().contains("on purpose"), "{error}");
        assert!(wide.wait().unwrap_err().to_string().contains("5 numbers"));
        assert_eq!(good.wait().unwrap(), [4.0, 1.0]);
        kit.ended.recv().unwrap();
    }

    #[test]
    fn a_session_that_cannot_be_made_fails_the_call() {
        let make = || -> Result<Box<dyn Model>> { Err(Error::new(ErrorCode::ModelLoad, "gone")) };
        struct Panics;
        impl Model for Panics {
            fn run(&mut self, _query: &str, _text: &str) -> Result<Vec<f32>> {
                panic!("first")
            }
        }
        let pool = Pool::new("test", 2, 1, Box::new(Panics), Box::new(make));
        let submit = || pool.submit(String::new(), vec!["a".into()], Urgency::Query).unwrap().wait().unwrap_err();
        assert_eq!((submit().code(), submit().code()), (ErrorCode::EmbeddingFailed, ErrorCode::ModelLoad));
    }

    #[test]
    fn a_text_is_alone_when_it_was_asked_for_by_itself_and_nothing_is_beside_it() {
        struct Says(Arc<Mutex<Receiver<()>>>);
        impl Model for Says {
            fn run(&mut self, _query: &str, text: &str) -> Result<Vec<f32>> {
                if text == "held" {
                    self.0.lock().recv().unwrap();
                }
                Ok(vec![0.0])
            }

            fn run_alone(&mut self, _query: &str, _text: &str) -> Result<Vec<f32>> {
                Ok(vec![1.0])
            }
        }
        let (go, held) = channel();
        let held = Arc::new(Mutex::new(held));
        let make = move || -> Result<Box<dyn Model>> { Ok(Box::new(Says(Arc::clone(&held)))) };
        let pool = Pool::new("test", 1, 2, make().unwrap(), Box::new(make));
        pool.allow(2);
        let ask = |texts: &[&str]| {
            pool.submit(String::new(), texts.iter().map(|&text| text.to_owned()).collect(), Urgency::Documents).unwrap()
        };
        assert_eq!(ask(&["a"]).wait().unwrap(), [1.0]);
        let together = ask(&["held", "held"]);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(together.wait().unwrap(), [0.0, 0.0]);
        // One of the two threads is busy.
        let busy = ask(&["held", "a"]);
        assert_eq!(ask(&["a"]).wait().unwrap(), [0.0]);
        go.send(()).unwrap();
        busy.wait().unwrap();
    }

    #[test]
    fn threads_are_started_as_there_is_work_and_no_more_than_allowed() {
        struct Meets(Arc<Barrier>);
        impl Model for Meets {
            fn run(&mut self, _query: &str, _text: &str) -> Result<Vec<f32>> {
                self.0.wait();
                Ok(vec![1.0])
            }
        }
        let barrier = Arc::new(Barrier::new(3));
        let make = {
            let barrier = Arc::clone(&barrier);
            move || -> Result<Box<dyn Model>> { Ok(Box::new(Meets(Arc::clone(&barrier)))) }
        };
        let pool = Pool::new("test", 1, 3, make().unwrap(), Box::new(make));
        pool.allow(8);
        // A call of one text each: every one needs a thread of its own to go on.
        let calls: Vec<_> = (0..3).map(|_| pool.submit(String::new(), vec!["a".into()], Urgency::Query).unwrap()).collect();
        for call in calls {
            call.wait().unwrap();
        }
        pool.submit(String::new(), vec!["a".into(); 300], Urgency::Documents).unwrap().wait().unwrap();
        assert_eq!(pool.0.queue.lock().threads, 3);
    }

    #[test]
    fn rows_come_in_the_order_of_the_texts_whoever_computes_them() {
        struct Length;
        impl Model for Length {
            fn run(&mut self, _query: &str, text: &str) -> Result<Vec<f32>> {
                Ok(vec![text.len() as f32])
            }
        }
        let pool = Pool::new("test", 1, 8, Box::new(Length), Box::new(|| Ok(Box::new(Length))));
        pool.allow(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..50 {
                        let lengths: Vec<usize> = (0..20).map(|place| (thread * 31 + round * 7 + place * 13) % 97).collect();
                        let texts = lengths.iter().map(|&length| "x".repeat(length)).collect();
                        let urgency = if round % 2 == 0 { Urgency::Query } else { Urgency::Documents };
                        let found = pool.submit(String::new(), texts, urgency).unwrap().wait().unwrap();
                        assert_eq!(found, lengths.iter().map(|&length| length as f32).collect::<Vec<_>>());
                    }
                });
            }
        });
        assert!(pool.submit(String::new(), vec![], Urgency::Query).unwrap().wait().unwrap().is_empty());
    }

    #[test]
    fn threads_end_when_the_pool_is_dropped_while_they_are_busy() {
        let kit = kit();
        let pending = kit.submit(&["a", "b"], Urgency::Documents);
        assert_eq!(kit.next(), "a");
        let Kit { pool, begun, go, ended } = kit;
        drop(pool);
        go.send(()).unwrap();
        ended.recv().unwrap();
        assert!(begun.try_recv().is_err(), "b is not begun");
        assert_eq!(pending.wait().unwrap_err().code(), ErrorCode::Closed);
    }
}
