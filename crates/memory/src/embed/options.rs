//! What a model is loaded from, and how.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use master_agent_core::ErrorCode;
use ring::digest;

use super::names;
use crate::{Error, Result};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The model of the package: a folder with `model.onnx`, `tokenizer.json` and `model.json`.
    Bundled { folder: PathBuf },
    /// A folder with `model.onnx` (or `onnx/model.onnx`), `tokenizer.json`, `config.json`, `tokenizer_config.json` and
    /// `special_tokens_map.json`, as the model hub has it.
    Folder { folder: PathBuf },
    /// A model that fastembed knows, by its name or by that of the hub, which is fetched into `cache` once. `HF_HOME` goes before `cache`.
    Named { name: String, cache: PathBuf },
}

/// How far the download of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub file: String,
    pub done: u64,
    pub total: u64,
}

pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

#[derive(Clone)]
pub struct ModelOptions {
    pub source: ModelSource,
    /// The file of ONNX Runtime. `ORT_DYLIB_PATH` goes before it; without both it is looked for beside this library.
    pub runtime: Option<PathBuf>,
    /// Threads that compute, by default one for each core.
    pub threads: Option<usize>,
    /// Hears of downloads.
    pub on_progress: Option<OnProgress>,
}

impl ModelOptions {
    pub fn new(source: ModelSource) -> Self {
        Self { source, runtime: None, threads: None, on_progress: None }
    }

    pub(super) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

impl std::fmt::Debug for ModelOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelOptions").field("source", &self.source).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl ModelSource {
    /// The same for every way of writing one source.
    pub(super) fn key(&self) -> Result<String> {
        Ok(match self {
            Self::Bundled { folder } => format!("bundled {}", canonical(folder)?.display()),
            Self::Folder { folder } => format!("folder {}", canonical(folder)?.display()),
            Self::Named { name, .. } => format!("named {:?}", names::find(name)?.model),
        })
    }
}

pub(super) fn canonical(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().map_err(|error| {
        Error::new(ErrorCode::ModelLoad, format!("The folder {} of the model cannot be read: {error}.", folder.display()))
            .caused_by(error)
    })
}

/// Reads a file of a model.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unreadable(path, error))
}

pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => "The model is not complete: install or fetch it again.",
        _ => "See that this user may read it.",
    };
    Error::new(ErrorCode::ModelLoad, format!("The file {} of the model cannot be read: {error}. {advice}", path.display()))
        .caused_by(error)
}

/// The length of a file and its SHA-256, in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut sum, mut bytes) = (digest::Context::new(&digest::SHA256), 0);
    let mut file = File::open(path)?;
    let mut part = vec![0; 1 << 17];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok((bytes, hexadecimal(sum.finish().as_ref()))),
            Ok(read) => {
                sum.update(&part[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
