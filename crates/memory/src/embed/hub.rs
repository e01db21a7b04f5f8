//! Fetching models from the hub, into the cache that fastembed reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use hf_hub::api::sync::ApiBuilder;
use master_agent_core::ErrorCode;

use super::{OnProgress, Progress};
use crate::{Error, Result};

/// Nothing has come for so long: the connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(20);
/// Progress is told so often at most.
const BETWEEN: Duration = Duration::from_millis(50);

/// Files that every model has beside its own.
const TOKENIZER: [&str; 4] = ["tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"];

pub(super) struct Hub {
    pub(super) endpoint: String,
    pub(super) cache: PathBuf,
    pub(super) token: Option<String>,
}

/// What is in the cache after a fetch.
pub(super) struct Fetched {
    /// Of the model's own files.
    pub(super) bytes: u64,
}

impl Hub {
    /// As fastembed reads the environment.
    pub(super) fn from_environment(cache: &Path) -> Self {
        let variable =
            |name: &str| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            endpoint: variable("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |url| url.trim_end_matches('/').to_owned()),
            cache: variable("HF_HOME").map_or_else(|| cache.to_path_buf(), PathBuf::from),
            token: variable("HF_TOKEN"),
        }
    }

    /// Sees that the files of a model are in the cache.
    pub(super) fn fetch(
        &self,
        repository: &str,
        model: &str,
        more: &[String],
        on_progress: Option<&OnProgress>,
    ) -> Result<Fetched> {
        let cache = hf_hub::Cache::new(self.cache.clone()).model(repository.to_owned());
        let own = std::iter::once(model).chain(more.iter().map(String::as_str));
        let mut bytes = 0;
        for (file, is_own) in TOKENIZER.iter().map(|file| (*file, false)).chain(own.map(|file| (file, true))) {
            let path = match cache.get(file) {
                Some(path) => path,
                None => self.download(repository, file, on_progress)?,
            };
            if is_own {
                bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            }
        }
        Ok(Fetched { bytes })
    }

    /// Fetches a file on a thread of its own: a connection that hangs cannot be ended, only left.
    fn download(&self, repository: &str, file: &str, on_progress: Option<&OnProgress>) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.cache).map_err(|error| {
            let text = format!(
                "The folder {} for models cannot be made: {error}. Choose another one for the cache.",
                self.cache.display()
            );
            Error::new(ErrorCode::ModelDownload, text).caused_by(error)
        })?;
        let api = ApiBuilder::from_cache(hf_hub::Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone().or_else(|| hf_hub::Cache::from_env().token()))
            .with_progress(false)
            .build()
            .map_err(|error| self.failure(repository, file, &error.to_string()))?;
        let (sender, news) = channel();
        let (repository_name, file_name) = (repository.to_owned(), file.to_owned());
        let work = move || {
            let listener = Listener { news: sender.clone(), done: 0, total: 0, told: None };
            // What the server answers is taken for granted in places.
            let fetched =
                catch_unwind(AssertUnwindSafe(|| api.model(repository_name).download_with_progress(&file_name, listener)));
            let fetched = fetched.map_or_else(
                |_| Err("the answer is not that of a model hub".into()),
                |done| done.map_err(|error| reason(&error)),
            );
            let _ = sender.send(News::End(fetched.and_then(|path| verified(&path).map(|()| path))));
        };
        let started = std::thread::Builder::new().name("master-agent-download".into()).spawn(work);
        started.map_err(|error| self.failure(repository, file, &error.to_string()))?;
        loop {
            match news.recv_timeout(SILENCE) {
                Ok(News::Progress(done, total)) => {
                    if let Some(tell) = on_progress {
                        tell(Progress { file: file.to_owned(), done, total });
                    }
                }
                Ok(News::End(fetched)) => return fetched.map_err(|reason| self.failure(repository, file, &reason)),
                Err(RecvTimeoutError::Timeout) => {
                    let reason = format!("nothing came for {} seconds", SILENCE.as_secs());
                    return Err(self.failure(repository, file, &reason));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure(repository, file, "it ended without an answer")),
            }
        }
    }

    fn failure(&self, repository: &str, file: &str, reason: &str) -> Error {
        let text = format!(
            "The file {file} of the model {repository} could not be fetched from {}: {}. Is this machine offline? The model that comes with \
             the package needs no download; others can be copied to {} from a machine that has them, or HF_ENDPOINT set to a mirror.",
            self.endpoint,
            reason.trim_end_matches('.'),
            self.cache.display(),
        );
        Error::new(ErrorCode::ModelDownload, text)
    }
}

/// An error with what caused it.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Large files are stored under their SHA-256. One that differs is removed, so that it is fetched anew.
fn verified(path: &Path) -> std::result::Result<(), String> {
    let blob = path.canonicalize().map_err(|error| error.to_string())?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let (_, found) = super::options::sha256(&blob).map_err(|error| error.to_string())?;
    if found.eq_ignore_ascii_case(&name) {
        return Ok(());
    }
    for path in [path, &blob] {
        let _ = std::fs::remove_file(path);
    }
    Err("what came has another checksum than the hub says".into())
}

enum News {
    Progress(u64, u64),
    End(std::result::Result<PathBuf, String>),
}

struct Listener {
    news: Sender<News>,
    done: u64,
    total: u64,
    told: Option<Instant>,
}

impl Listener {
    fn tell(&mut self, at_once: bool) {
        if at_once || self.told.is_none_or(|told| told.elapsed() >= BETWEEN) {
            self.told = Some(Instant::now());
            let _ = self.news.send(News::Progress(self.done, self.total));
        }
    }
}

impl hf_hub::api::Progress for Listener {
    fn init(&mut self, size: usize, _file: &str) {
        (self.done, self.total) = (0, size as u64);
        self.tell(true);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        self.tell(false);
    }

    fn finish(&mut self) {
        self.tell(true);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
pub(super) mod tests {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::embed::tests::fixture;

    /// A hub on this machine that serves the files of a folder under every repository's name. Closes when it is dropped.
    pub(in crate::embed) struct Server {
        address: SocketAddr,
        closed: Arc<AtomicBool>,
    }

    /// What the answers lack.
    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        None,
        /// The bytes are not those of the checksum.
        Changed,
        /// The connection ends before the last byte.
        Short,
        /// What every site says that is no hub.
        Foreign,
    }

    impl Server {
        pub(in crate::embed) fn of(folder: &Path) -> Self {
            Self::with(folder, Fault::None)
        }

        fn with(folder: &Path, fault: Fault) -> Self {
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let files: HashMap<_, _> = files
                .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
                .collect();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let closed = Arc::new(AtomicBool::new(false));
            let stop = Arc::clone(&closed);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Who asks may leave before the answer.
                    let _ = answer(&stream.unwrap(), &files, fault);
                }
            });
            Self { address, closed }
        }

        pub(in crate::embed) fn address(&self) -> String {
            format!("http://{}", self.address)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.closed.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(self.address);
        }
    }

    fn answer(mut stream: &TcpStream, files: &HashMap<String, Vec<u8>>, fault: Fault) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let headers: Vec<String> = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
        let range = headers
            .iter()
            .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned))
            .unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap_or_default();
        let found = path.split_once("/resolve/main/").and_then(|(_, file)| files.get(file.rsplit('/').next()?));
        let Some(content) = found.filter(|_| fault != Fault::Foreign) else {
            let status = if fault == Fault::Foreign { "200 OK" } else { "404 Not Found" };
            return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let (from, to) = range.split_once('-').unwrap_or(("0", ""));
        let from = from.parse().unwrap_or(0).min(content.len());
        let to = to.parse::<usize>().map_or(content.len(), |last| (last + 1).min(content.len()));
        let sum: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut body = content[from..to].to_vec();
        if fault == Fault::Changed && body.len() > 1 {
            body[0] ^= 1;
        }
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{sum}\"\r\nX-Repo-Commit: 0123abcd\r\nConnection: close\r\n\r\n",
            body.len(),
            to.saturating_sub(1),
            content.len(),
        )?;
        if fault == Fault::Short && body.len() > 1 {
            body.truncate(body.len() / 2);
        }
        stream.write_all(&body)
    }

    fn fetched(endpoint: String, cache: &Path) -> Result<Fetched> {
        Hub { endpoint, cache: cache.to_path_buf(), token: None }.fetch("owner/name", "onnx/model.onnx", &[], None)
    }

    #[test]
    fn a_fetch_that_failed_can_be_repeated() {
        let cache = tempfile::tempdir().unwrap();
        for (fault, said) in [(Fault::Foreign, "tokenizer.json"), (Fault::Changed, "checksum"), (Fault::Short, "tokenizer.json")]
        {
            let server = Server::with(&fixture("tiny"), fault);
            let error = fetched(server.address(), cache.path()).err().unwrap();
            assert_eq!(error.code(), ErrorCode::ModelDownload);
            assert!(error.to_string().contains(said), "{error}");
        }
        let server = Server::of(&fixture("tiny"));
        let size = std::fs::metadata(fixture("tiny").join("model.onnx")).unwrap().len();
        assert_eq!(fetched(server.address(), cache.path()).unwrap().bytes, size);
    }

    #[test]
    fn a_file_that_the_hub_lacks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetched(Server::of(folder.path()).address(), folder.path()).err().unwrap();
        assert!(error.to_string().contains("tokenizer.json") && error.to_string().contains("404"), "{error}");
    }

    #[test]
    fn a_machine_that_is_offline_is_told_so_at_once() {
        let cache = tempfile::tempdir().unwrap();
        let started = Instant::now();
        // A port that was free a moment ago: nobody listens there.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = fetched(format!("http://{address}"), cache.path()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::ModelDownload);
        assert!(error.to_string().contains("offline") && error.to_string().contains("tokenizer.json"), "{error}");
        assert!(started.elapsed() < SILENCE);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = fetched("http://127.0.0.1:1".into(), &file).err().unwrap();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }
}
