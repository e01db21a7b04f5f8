//! A `redis-server` of its own for the tests of one process, and a database of it for each case.

#![allow(dead_code, reason = "every test file uses its part")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use master_agent_store::conformance::Fixture;
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
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
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
    let url = server.url();
    let again = move || -> Arc<dyn JobStore> {
        let store = open(&url);
        // Opened when it answers.
        call(|reply| store.queues(reply)).expect("the store opens");
        store
    };
    Fixture::new(again()).reopen(again).shared().keep(server)
}
