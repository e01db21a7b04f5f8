//! State shared by several processes, and processes that are killed.
//!
//! A child is this very test program, asked for the one test that is marked as ignored.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use master_agent_core::{Clock, SystemClock};
use master_agent_store::call;
use master_agent_store::state::{
    Add, Append, Commit, Committed, Found, Item, LogRead, Put, Start, StateStore, Subscription, Write, Written,
};
use master_agent_store_sqlite::{Durability, SqliteStore};

const FOLDER: &str = "MASTER_AGENT_TEST_FOLDER";
const TASK: &str = "MASTER_AGENT_TEST_TASK";

/// A guard against hanging, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(folder: &Path, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(["--exact", "child", "--ignored", "--nocapture", "--quiet"])
            .env(FOLDER, folder)
            .env(TASK, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// The rest of the next line that begins with `word`; `None` when the child has ended.
    fn hear(&mut self, word: &str) -> Option<String> {
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some(rest) = line.split_once(word) {
                return Some(rest.1.trim().to_string());
            }
        }
    }

    fn finish(mut self) {
        while self.hear("\n").is_some() {}
        assert!(self.child.wait().expect("the child ends").success(), "the child succeeds");
    }

    /// Kills the child and returns the last thing that it said after `word`.
    fn kill(mut self, word: &str) -> Option<String> {
        self.child.kill().expect("the child is killed");
        let mut last = None;
        while let Some(said) = self.hear(word) {
            last = Some(said);
        }
        self.child.wait().expect("the child ends");
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that fails leaves no child behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(folder: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(folder, Durability::Process).expect("the store opens")
}

fn commit(store: &SqliteStore, writes: Vec<Write>) -> Committed {
    let commit = Commit { writes, ..Commit::new("agents", SystemClock.now()) };
    call(|reply| store.commit(commit, reply)).expect("a commit is answered")
}

fn sum(store: &SqliteStore, key: &str) -> i64 {
    let items = vec![Item::counter("tokens", key)];
    match call(|reply| store.get("agents".into(), items, SystemClock.now(), reply)).expect("a get is answered")[..] {
        [Found::Sum(sum)] => sum.unwrap_or(0),
        ref other => panic!("{other:?}"),
    }
}

/// All entries of a log, page by page.
fn entries(store: &SqliteStore, log: &str) -> Vec<(i64, String)> {
    let mut entries: Vec<(i64, String)> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |(number, _)| *number);
        let read = LogRead::new("agents", log, after, SystemClock.now());
        let page = call(|reply| store.read_log(read, reply)).expect("a read is answered");
        if page.entries.is_empty() {
            return entries;
        }
        entries.extend(page.entries.into_iter().map(|entry| (entry.number, entry.entry_json.into())));
    }
}

#[test]
#[ignore = "run by the other tests, in processes of its own"]
#[expect(clippy::print_stdout, reason = "how a child speaks to its parent")]
fn child() {
    let folder = std::env::var(FOLDER).expect("the child is told where");
    let store = open(Path::new(&folder));
    match std::env::var(TASK).expect("the child is told what").as_str() {
        "spend" => loop {
            let writes = vec![
                Add::new("tokens", "pool", -1).floor(0).into(),
                Add::new("tokens", "spent", 1).into(),
                Append::new("ledger", "1").into(),
            ];
            if matches!(commit(&store, writes), Committed::Refused(_)) {
                return;
            }
        },
        "count" => loop {
            let next = sum(&store, "count") + 1;
            let writes = vec![
                Add::new("tokens", "count", 1).into(),
                Append::new("ledger", next.to_string()).into(),
                Put::new("agent", "counter", next.to_string()).index("count", next).into(),
            ];
            let Committed::Done(written) = commit(&store, writes) else { panic!("nothing refuses") };
            let Written::Sum(sum) = written[0] else { panic!("{written:?}") };
            println!("\ndone {sum}");
        },
        "echo" => {
            let dynamic: Arc<dyn StateStore> = store.clone();
            let start = Start::Oldest;
            let asked = call(|reply| Subscription::open(&dynamic, Arc::new(SystemClock), "agents", "questions", start, reply))
                .expect("a subscription");
            loop {
                let delivery = call(|reply| asked.next(10, usize::MAX, reply)).expect("a delivery");
                for entry in delivery.entries {
                    if &*entry.entry_json == "\"end\"" {
                        return;
                    }
                    commit(&store, vec![Append::publish("answers", entry.entry_json).into()]);
                }
            }
        }
        other => panic!("{other} is no task"),
    }
}

#[test]
fn several_processes_spend_one_balance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    commit(&store, vec![Add::new("tokens", "pool", 3_000).into()]);
    let children: Vec<Process> = (0..3).map(|_| Process::start(folder.path(), "spend")).collect();
    for child in children {
        child.finish();
    }
    assert_eq!((sum(&store, "pool"), sum(&store, "spent")), (0, 3_000));
    let numbers: Vec<i64> = entries(&store, "ledger").into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), 3_000);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "numbers of several processes have no gap");
}

#[test]
fn a_message_goes_to_another_process_and_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let dynamic: Arc<dyn StateStore> = store.clone();
    let start = Start::Oldest;
    let answers = call(|reply| Subscription::open(&dynamic, Arc::new(SystemClock), "agents", "answers", start, reply))
        .expect("a subscription");
    let child = Process::start(folder.path(), "echo");
    for n in 0..50 {
        commit(&store, vec![Append::publish("questions", n.to_string()).into()]);
        let (send, receive) = channel();
        answers.next(10, usize::MAX, Box::new(move |delivery| send.send(delivery).expect("somebody waits")));
        let delivery = receive.recv_timeout(PATIENCE).expect("an answer comes").expect("a delivery");
        assert_eq!(delivery.missed, None);
        assert_eq!(delivery.entries.iter().map(|entry| &*entry.entry_json).collect::<Vec<_>>(), [n.to_string()]);
    }
    commit(&store, vec![Append::publish("questions", "\"end\"").into()]);
    child.finish();
}

#[test]
fn a_killed_process_loses_nothing_and_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut before = 0;
    for round in 0..12 {
        let mut child = Process::start(folder.path(), "count");
        // Killed at another point of its work every time.
        for _ in 0..=round * 7 {
            child.hear("done").expect("the child counts");
        }
        let acknowledged: i64 = child.kill("done").map_or(0, |said| said.parse().expect("a number"));
        let store = open(folder.path());
        let count = sum(&store, "count");
        assert!(count >= acknowledged.max(before + 1), "what was acknowledged is there: {count} of {acknowledged}");
        let ledger: Vec<i64> = entries(&store, "ledger").iter().map(|(_, text)| text.parse().expect("a number")).collect();
        assert_eq!(ledger, (1..=count).collect::<Vec<_>>(), "counter and log agree");
        let item = vec![Item::document("agent", "counter")];
        let found = call(|reply| store.get("agents".into(), item, SystemClock.now(), reply)).expect("a get is answered");
        let [Found::Document(Some(document))] = &found[..] else { panic!("{found:?}") };
        assert_eq!(&*document.value_json, count.to_string(), "counter and document agree");
        before = count;
    }
}
