//! The embedder: texts in, vectors of length 1 out, on threads of its own.
//!
//! `runtime` finds and loads ONNX Runtime, `bundled` runs the model of the package, `foreign` whatever fastembed knows, `hub` fetches
//! it, `pool` has the threads and their queue, `text` cuts what is too long,
//! `vocabulary` reads a tokenizer fast, `outline` a model. One text is computed at a time, without padding, so that
//! its vector does not depend on the texts beside it.

mod bundled;
mod exit;
mod foreign;
mod hub;
mod names;
mod options;
mod outline;
mod pool;
mod rerank;
mod runtime;
mod shared;
mod text;
mod vocabulary;

use std::path::Path;
use std::sync::Arc;

use master_agent_core::ErrorCode;
use tokenizers::Tokenizer;

pub use exit::leave;
pub use options::{ModelOptions, ModelSource, OnProgress, Progress};
pub use rerank::Reranker;
pub use runtime::FILE_NAME as RUNTIME_FILE_NAME;

use crate::{Error, Result};
use pool::Pool;
use shared::Shared;

/// Vectors of some texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Row after row, in the order of the texts, each of length 1.
    pub data: Vec<f32>,
    /// Numbers in a row.
    pub dimensions: usize,
}

impl Vectors {
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.dimensions.max(1))
    }
}

/// Queries overtake documents that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    Query,
    Documents,
}

/// A model with its threads. Clones share them, and so do all embedders of the process that were loaded from one source.
#[derive(Clone)]
pub struct Embedder(Arc<Loaded>);

struct Loaded {
    id: String,
    dimensions: usize,
    max_tokens: usize,
    tokenizer: Arc<Tokenizer>,
    pool: Pool,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("id", &self.id()).field("dimensions", &self.dimensions()).finish_non_exhaustive()
    }
}

static EMBEDDERS: Shared<Loaded> = Shared::new();

impl Embedder {
    /// Reads the model and makes the first session. Takes as long as reading the file does, or the download: call it where blocking is fine.
    ///
    /// A source that another embedder of the process uses is not loaded again; the number of threads is then the larger of the two.
    pub fn load(options: ModelOptions) -> Result<Self> {
        let key = options.source.key()?;
        let threads = options.threads();
        let loaded = EMBEDDERS.get_or_load(key, || {
            let _inside = exit::enter();
            let environment = || runtime::environment(options.runtime.as_deref());
            let parts = match &options.source {
                ModelSource::Bundled { folder } => bundled::open(folder, environment, threads)?,
                ModelSource::Folder { folder } => foreign::open_folder(folder, environment()?, threads)?,
                ModelSource::Named { name, cache } => {
                    foreign::open_named(name, cache, environment()?, threads, options.on_progress.as_ref())?
                }
            };
            exit::guard();
            Ok(Loaded {
                id: parts.id,
                dimensions: parts.dimensions,
                max_tokens: parts.max_tokens,
                tokenizer: parts.tokenizer,
                pool: Pool::new(
                    "master-agent-embed",
                    parts.dimensions,
                    parts.sessions.unwrap_or(threads),
                    parts.first,
                    parts.make,
                ),
            })
        })?;
        loaded.pool.allow(threads);
        Ok(Self(loaded))
    }

    /// Names the model in the tables that are made with it.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn dimensions(&self) -> usize {
        self.0.dimensions
    }

    /// Tokens of text that fit, special tokens not counted.
    pub fn max_tokens(&self) -> usize {
        self.0.max_tokens
    }

    /// The model's tokenizer, without truncation and padding.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.0.tokenizer
    }

    /// The vectors of `texts`. A text with more than [`max_tokens`](Self::max_tokens) is cut off there.
    ///
    /// Texts that have not been begun when the future is dropped are not computed.
    pub async fn embed(&self, texts: Vec<String>, urgency: Urgency) -> Result<Vectors> {
        let data = self.0.pool.submit(String::new(), texts, urgency)?.await?;
        Ok(Vectors { data, dimensions: self.0.dimensions })
    }

    /// [`embed`](Self::embed) for threads that may block.
    pub fn embed_blocking(&self, texts: Vec<String>, urgency: Urgency) -> Result<Vectors> {
        let data = self.0.pool.submit(String::new(), texts, urgency)?.wait()?;
        Ok(Vectors { data, dimensions: self.0.dimensions })
    }
}

/// The tokenizer of a file, or of a model's folder, without truncation and padding.
pub(crate) fn tokenizer_at(path: &Path) -> Result<Tokenizer> {
    let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
    let tokenizer = vocabulary::tokenizer(&options::read(&path)?).map_err(|error| {
        let message = format!("{}: the tokenizer cannot be read ({error}). Install the package again.", path.display());
        Error::new(ErrorCode::ModelLoad, message)
    })?;
    Ok(text::plain(tokenizer))
}

/// What opening a source gives.
struct Parts {
    id: String,
    dimensions: usize,
    max_tokens: usize,
    tokenizer: Arc<Tokenizer>,
    first: Box<dyn Model>,
    make: pool::Make,
    /// At most so many sessions, whatever the number of threads: large models.
    sessions: Option<usize>,
}

/// A session. Not shared between threads.
trait Model: Send {
    /// The vector of `text`; of a reranker the score of `text` for `query`, which is empty otherwise.
    fn run(&mut self, query: &str, text: &str) -> Result<Vec<f32>>;

    /// The same for a text that is waited for while nothing else is computed: it may use more than one core.
    fn run_alone(&mut self, query: &str, text: &str) -> Result<Vec<f32>> {
        self.run(query, text)
    }
}

/// Brings a vector to length 1.
fn normalised(mut vector: Vec<f32>) -> Result<Vec<f32>> {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm == 0.0 {
        return Err(Error::new(ErrorCode::EmbeddingFailed, "The model gave a vector without a direction."));
    }
    for x in &mut vector {
        *x = (f64::from(*x) / norm) as f32;
    }
    Ok(vector)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn own_folder() -> PathBuf {
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
    }

    /// ONNX Runtime, which the set-up puts at the root of the repository.
    pub(super) fn environment() -> ort::environment::Environment {
        runtime::environment(Some(&own_folder().join("../..").join(RUNTIME_FILE_NAME))).unwrap()
    }

    pub(super) fn fixture(name: &str) -> PathBuf {
        own_folder().join("tests/embed").join(name)
    }

    /// The folder of the model of the package.
    pub(super) fn packaged() -> PathBuf {
        own_folder().join("../../npm/model-all-minilm-l6-v2")
    }

    #[test]
    fn vectors_are_brought_to_length_1_and_those_without_a_direction_are_refused() {
        assert_eq!(normalised(vec![3.0, 0.0, -4.0]).unwrap(), [0.6, 0.0, -0.8]);
        assert_eq!(normalised(vec![1e-30, 0.0]).unwrap(), [1.0, 0.0]);
        for vector in [vec![0.0; 4], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0], vec![]] {
            assert_eq!(normalised(vector).unwrap_err().code(), ErrorCode::EmbeddingFailed);
        }
    }
}
