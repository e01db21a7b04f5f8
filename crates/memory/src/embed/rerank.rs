//! Cross-encoders: a model that reads query and passage together and says how well they fit.

use std::path::Path;
use std::sync::Arc;

use fastembed::{OnnxSource, RerankInitOptions, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use master_agent_core::ErrorCode;
use ort::environment::Environment;
use tokenizers::Tokenizer;

use super::foreign::{self, CONFIG, Split};
use super::hub::Hub;
use super::pool::Pool;
use super::shared::Shared;
use super::{Model, ModelOptions, ModelSource, OnProgress, Urgency, exit, names, options, runtime, text};
use crate::{Error, Result};

/// Tokens of query and passage together.
const LENGTH: usize = 512;

/// Scores passages for a query. Clones share the model.
#[derive(Clone)]
pub struct Reranker(Arc<Pool>);

static RERANKERS: Shared<Pool> = Shared::new();

impl std::fmt::Debug for Reranker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reranker").finish_non_exhaustive()
    }
}

impl Reranker {
    /// Loads a cross-encoder by name, or from a folder. None comes with the package.
    pub fn load(options: ModelOptions) -> Result<Self> {
        let threads = options.threads();
        let key = match &options.source {
            ModelSource::Named { name, .. } => format!("named {:?}", names::find_reranker(name)?.model),
            source => source.key()?,
        };
        let pool = RERANKERS.get_or_load(key, || {
            let _inside = exit::enter();
            let environment = runtime::environment(options.runtime.as_deref())?;
            match &options.source {
                ModelSource::Bundled { .. } => {
                    Err(Error::new(ErrorCode::InvalidArgument, "The package comes without a reranker."))
                }
                ModelSource::Folder { folder } => open_folder(folder, environment, threads),
                ModelSource::Named { name, cache } => {
                    open_named(name, &Hub::from_environment(cache), environment, threads, options.on_progress.as_ref())
                }
            }
        })?;
        pool.allow(threads);
        Ok(Self(pool))
    }

    /// How well each text answers `query`, from 0 to 1 (the logistic function of what the model gives).
    pub async fn scores(&self, query: String, texts: Vec<String>) -> Result<Vec<f32>> {
        self.0.submit(query, texts, Urgency::Query)?.await
    }

    /// [`scores`](Self::scores) for threads that may block.
    pub fn scores_blocking(&self, query: String, texts: Vec<String>) -> Result<Vec<f32>> {
        self.0.submit(query, texts, Urgency::Query)?.wait()
    }
}

fn open_named(name: &str, hub: &Hub, environment: Environment, threads: usize, on_progress: Option<&OnProgress>) -> Result<Pool> {
    let info = names::find_reranker(name)?;
    let files = hub.fetch(&info.model_code, &info.model_file, &info.additional_files, on_progress)?;
    let split = Split::of(files.bytes, threads);
    let cache = hub.cache.clone();
    pool(split.sessions, move || {
        let mut options =
            RerankInitOptions::new(info.model.clone()).with_cache_dir(cache.clone()).with_environment(environment.clone());
        options = options.with_intra_threads(split.within).with_max_length(LENGTH).with_show_download_progress(false);
        options = CONFIG.iter().fold(options, |options, (key, value)| options.with_session_config(*key, *value));
        foreign::loaded(&info.model_code, &cache, || TextRerank::try_new(options))
    })
}

fn open_folder(folder: &Path, environment: Environment, threads: usize) -> Result<Pool> {
    let folder = options::canonical(folder)?;
    let model = foreign::model_file(&folder);
    let bytes = std::fs::metadata(&model).map_err(|_| match options::read(&model) {
        Err(error) => error,
        Ok(_) => Error::new(ErrorCode::ModelLoad, format!("The file {} cannot be looked at.", model.display())),
    })?;
    let split = Split::of(bytes.len(), threads);
    pool(split.sessions, move || {
        let files = UserDefinedRerankingModel::new(OnnxSource::File(model.clone()), foreign::tokenizer_files(&folder)?);
        let mut options =
            RerankInitOptionsUserDefined::new().with_environment(environment.clone()).with_intra_threads(split.within);
        options = options.with_max_length(LENGTH);
        options = CONFIG.iter().fold(options, |options, (key, value)| options.with_session_config(*key, *value));
        foreign::loaded(&folder.display().to_string(), &folder, || TextRerank::try_new_from_user_defined(files, options))
    })
}

fn pool(sessions: usize, make: impl Fn() -> Result<TextRerank> + Send + Sync + 'static) -> Result<Pool> {
    let model = make()?;
    let tokenizer = Arc::new(text::plain(model.tokenizer.clone()));
    let wrap = move |model| Pairs { model, tokenizer: Arc::clone(&tokenizer) };
    let first = Box::new(wrap(model));
    let make = Box::new(move || -> Result<Box<dyn Model>> { Ok(Box::new(wrap(make()?))) });
    Ok(Pool::new("master-agent-rerank", 1, sessions, first, make))
}

struct Pairs {
    model: TextRerank,
    tokenizer: Arc<Tokenizer>,
}

impl Model for Pairs {
    fn run(&mut self, query: &str, text: &str) -> Result<Vec<f32>> {
        let (query, _) = text::head(&self.tokenizer, query, LENGTH)?;
        let (text, _) = text::head(&self.tokenizer, text, LENGTH)?;
        let results =
            self.model.rerank(query.as_ref(), [text.as_ref()], false, Some(1)).map_err(|error| foreign::failed(&error))?;
        match results.first() {
            Some(result) if !result.score.is_nan() => Ok(vec![1.0 / (1.0 + (-result.score).exp())]),
            _ => Err(Error::new(ErrorCode::EmbeddingFailed, "The model gave no score.")),
        }
    }
}
