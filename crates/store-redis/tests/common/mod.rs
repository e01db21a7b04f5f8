//! A `redis-server` of its own for the tests of one process, and a database of it for each case.

#![allow(dead_code, reason = "every test file uses its part")]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use master_agent_store::conformance::Fixture;
use master_agent_store::state::conformance as state;
use master_agent_store::{JobStore, call};
use master_agent_store_redis::{Options, RedisStore};

/// A server on a socket in a temporary folder. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Server {
    /// Starts a server that writes nothing to its disk, with these settings besides.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let settings = settings.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let child = spawn(&folder, &settings);
        let server = Self { child, folder, settings };
        server.wait();
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Waits until it answers.
    pub(crate) fn wait(&self) {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "redis-server does not start");
            std::thread::yield_now();
        }
    }

    /// Ends it without a word, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it again on what it wrote to its disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.folder, &self.settings);
        self.wait();
    }

    /// Runs `redis-cli` and gives what it prints.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        redis_cli(&["-s", &self.socket().display().to_string()], words)
    }
}

fn redis_cli(place: &[&str], words: &[&str]) -> String {
    let output = Command::new("redis-cli").args(place).args(words).output().expect("redis-cli runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn spawn(folder: &tempfile::TempDir, settings: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--databases", "16", "--dir"]).arg(folder.path());
    command.arg("--unixsocket").arg(folder.path().join("redis.sock"));
    command.args(settings).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server runs; on Debian: apt-get install redis-server")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn open(url: &str) -> Arc<RedisStore> {
    RedisStore::new(url, Options::default()).expect("the URL is understood")
}

/// A store on a server of its own.
pub(crate) fn fixture() -> Fixture {
    let server = Server::start(&[]);
    fixture_on(server.url(), server)
}

/// A store on a Cluster.
pub(crate) fn cluster_fixture() -> Fixture {
    let cluster = Cluster::borrow();
    fixture_on(cluster.url(), cluster)
}

fn fixture_on(url: String, server: impl std::any::Any + Send + Sync) -> Fixture {
    let again = move || -> Arc<dyn JobStore> {
        let store = open(&url);
        // Opened when it answers.
        call(|reply| store.queues(reply)).expect("the store opens");
        store
    };
    Fixture::new(again()).reopen(again).shared().keep(server)
}

/// A Cluster of one server. It takes seconds until it serves, so the cases use it one after the other.
pub(crate) struct Cluster {
    port: u16,
    /// Ends the server when its input ends, with this process at the latest.
    _keeper: Child,
}

static CLUSTERS: Mutex<Vec<&'static Cluster>> = Mutex::new(Vec::new());

/// The Cluster of one case, empty; it is given back when this is dropped.
pub(crate) struct Borrowed(&'static Cluster);

impl Cluster {
    pub(crate) fn borrow() -> Borrowed {
        let free = CLUSTERS.lock().expect("no case panics here").pop();
        let cluster = free.unwrap_or_else(|| Box::leak(Box::new(Self::start())));
        cluster.cli(&["FLUSHALL"]);
        Borrowed(cluster)
    }

    fn start() -> Self {
        // The servers of a Cluster talk to each other over a second port, 10,000 above. Both below those that the system hands out:
        // whoever tries to connect to such a port may be given it as its own.
        let port = loop {
            let port = fastrand::u16(12_000..22_000);
            let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if free(port) && free(port + 10_000) {
                break port;
            }
        };
        let folder = tempfile::tempdir().expect("a temporary folder can be made").keep();
        let script = format!(
            "redis-server --port {port} --bind 127.0.0.1 --save '' --cluster-enabled yes --dir '{0}' & read line; kill -9 $!; rm -r '{0}'",
            folder.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let cluster = Self { port, _keeper: command.spawn().expect("sh runs") };
        cluster.wait("a connection", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let slots = (0..16_384).map(|slot| slot.to_string()).collect::<Vec<_>>();
        let words = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect::<Vec<_>>();
        assert_eq!(cluster.cli(&words), "OK");
        cluster.wait("all slots", || cluster.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        cluster
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the Cluster on port {} does not get {what}", self.port);
            std::thread::yield_now();
        }
    }

    fn cli(&self, words: &[&str]) -> String {
        redis_cli(&["-p", &self.port.to_string()], words)
    }
}

impl Borrowed {
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.0.port)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        CLUSTERS.lock().expect("no case panics here").push(self.0);
    }
}

pub(crate) fn state_fixture() -> state::Fixture {
    let server = Server::start(&[]);
    state_fixture_on(server.url(), server)
}

pub(crate) fn state_cluster_fixture() -> state::Fixture {
    let cluster = Cluster::borrow();
    state_fixture_on(cluster.url(), cluster)
}

fn state_fixture_on(url: String, server: impl std::any::Any + Send + Sync) -> state::Fixture {
    let open_one = move || {
        let store = open(&url);
        let closing = Arc::clone(&store);
        state::Opened::new(store, move || call(|reply| closing.close(reply)).expect("the store closes"))
    };
    state::Fixture::new(open_one).keep(server)
}
