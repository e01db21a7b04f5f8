//! Models that fastembed runs: those that it knows by name, and folders of the user's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastembed::{
    EmbeddingModel, InitOptionsUserDefined, ModelInfo, Pooling, TextEmbedding, TextInitOptions, TokenizerFiles,
    UserDefinedEmbeddingModel,
};
use master_agent_core::ErrorCode;
use ort::environment::Environment;
use ring::digest;
use tokenizers::Tokenizer;

use super::hub::Hub;
use super::{Model, OnProgress, Parts, names, normalised, options, text};
use crate::{Error, Result};

/// Sessions are added up to so many bytes of model; a larger model has one session with all threads.
const BYTES_OF_SESSIONS: u64 = 512 << 20;

/// Tokens of a model that does not say how many it reads.
const DEFAULT_LENGTH: usize = 512;

/// How the threads are shared out: sessions, and threads within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) sessions: usize,
    pub(super) within: usize,
}

impl Split {
    pub(super) fn of(bytes: u64, threads: usize) -> Self {
        let sessions = (BYTES_OF_SESSIONS / bytes.max(1)).clamp(1, threads as u64) as usize;
        Self { sessions, within: threads / sessions }
    }
}

/// What all sessions are made with, beside the number of threads: nothing turns while it waits, and no time goes into numbers next to zero.
pub(super) const CONFIG: [(&str, &str); 2] = [("session.intra_op.allow_spinning", "0"), ("session.set_denormal_as_zero", "1")];

pub(super) fn open_named(
    name: &str,
    cache: &Path,
    environment: Environment,
    threads: usize,
    on_progress: Option<&OnProgress>,
) -> Result<Parts> {
    let info = names::find(name)?;
    open_known(&info, &Hub::from_environment(cache), environment, threads, on_progress)
}

fn open_known(
    info: &ModelInfo<EmbeddingModel>,
    hub: &Hub,
    environment: Environment,
    threads: usize,
    on_progress: Option<&OnProgress>,
) -> Result<Parts> {
    let files = hub.fetch(&info.model_code, &info.model_file, &info.additional_files, on_progress)?;
    let split = Split::of(files.bytes, threads);
    let (cache, model, code) = (hub.cache.clone(), info.model.clone(), info.model_code.clone());
    let make = move || {
        let mut options = TextInitOptions::new(model.clone()).with_cache_dir(cache.clone()).with_environment(environment.clone());
        options = options.with_intra_threads(split.within).with_max_length(DEFAULT_LENGTH).with_show_download_progress(false);
        options = CONFIG.iter().fold(options, |options, (key, value)| options.with_session_config(*key, *value));
        loaded(&code, &cache, || TextEmbedding::try_new(options))
    };
    let id = match info.model_file.as_str() {
        "model.onnx" | "onnx/model.onnx" => info.model_code.clone(),
        file => format!("{}/{}", info.model_code, file.rsplit('/').next().unwrap_or(file)),
    };
    parts(id, split.sessions, make)
}

pub(super) fn open_folder(folder: &Path, environment: Environment, threads: usize) -> Result<Parts> {
    let folder = options::canonical(folder)?;
    let model = model_file(&folder);
    let bytes = std::fs::metadata(&model).map_or(0, |metadata| metadata.len());
    let split = Split::of(bytes, threads);
    let pooling = pooling(&folder)?;
    let length = length(&folder)?;
    let id = id_of(&folder, &model)?;
    let make = move || {
        let mut files =
            UserDefinedEmbeddingModel::new(options::read(&model)?, tokenizer_files(&folder)?).with_pooling(pooling.clone());
        for (name, data) in external(&model)? {
            files = files.with_external_initializer(name, data);
        }
        let mut options = InitOptionsUserDefined::new().with_environment(environment.clone()).with_intra_threads(split.within);
        options = options.with_max_length(length);
        options = CONFIG.iter().fold(options, |options, (key, value)| options.with_session_config(*key, *value));
        loaded(&folder.display().to_string(), &folder, || TextEmbedding::try_new_from_user_defined(files, options))
    };
    parts(id, split.sessions, make)
}

fn parts(id: String, sessions: usize, make: impl Fn() -> Result<TextEmbedding> + Send + Sync + 'static) -> Result<Parts> {
    let model = make()?;
    let length = model.tokenizer.get_truncation().map_or(DEFAULT_LENGTH, |truncation| truncation.max_length);
    let tokenizer = Arc::new(text::plain(model.tokenizer.clone()));
    let max_tokens = length.saturating_sub(text::frame(&tokenizer)).max(1);
    let wrap = {
        let tokenizer = Arc::clone(&tokenizer);
        move |model| Foreign { model, tokenizer: Arc::clone(&tokenizer), max_tokens }
    };
    let mut first = wrap(model);
    // What the model gives is known once it has given something.
    let dimensions = catch_unwind(AssertUnwindSafe(|| first.run("", "dimensions")))
        .unwrap_or_else(|_| Err(Error::new(ErrorCode::EmbeddingFailed, "Its output has another shape than fastembed can read.")))
        .map_err(|error| Error::new(ErrorCode::ModelLoad, format!("The model {id} gives no vectors: {error}")).caused_by(error))?
        .len();
    let make = Box::new(move || -> Result<Box<dyn Model>> { Ok(Box::new(wrap(make()?))) });
    Ok(Parts { id, dimensions, max_tokens, tokenizer, first: Box::new(first), make, sessions: Some(sessions) })
}

struct Foreign {
    model: TextEmbedding,
    tokenizer: Arc<Tokenizer>,
    max_tokens: usize,
}

impl Model for Foreign {
    fn run(&mut self, _query: &str, text: &str) -> Result<Vec<f32>> {
        let (piece, _) = text::head(&self.tokenizer, text, self.max_tokens)?;
        let vectors = self.model.embed([piece.as_ref()], Some(1)).map_err(|error| failed(&error))?;
        normalised(vectors.into_iter().next().unwrap_or_default())
    }
}

pub(super) fn failed(error: &fastembed::Error) -> Error {
    Error::new(ErrorCode::EmbeddingFailed, format!("The model failed: {error}."))
}

/// Runs one of fastembed's constructors. Damaged files make it panic in places.
pub(super) fn loaded<T>(name: &str, place: &Path, load: impl FnOnce() -> fastembed::Result<T>) -> Result<T> {
    let reason = match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(loaded)) => return Ok(loaded),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its files do not fit together".to_owned(),
    };
    let text = format!(
        "The model {name} could not be loaded: {}. See to its files in {}.",
        reason.trim_end_matches('.'),
        place.display()
    );
    Err(Error::new(ErrorCode::ModelLoad, text))
}

/// The ONNX file of a folder; where there is none, the name that is then missed.
pub(super) fn model_file(folder: &Path) -> PathBuf {
    let [plain, nested] = [folder.join("model.onnx"), folder.join("onnx").join("model.onnx")];
    if !plain.exists() && nested.exists() { nested } else { plain }
}

pub(super) fn tokenizer_files(folder: &Path) -> Result<TokenizerFiles> {
    Ok(TokenizerFiles {
        tokenizer_file: options::read(&folder.join("tokenizer.json"))?,
        config_file: options::read(&folder.join("config.json"))?,
        special_tokens_map_file: options::read(&folder.join("special_tokens_map.json"))?,
        tokenizer_config_file: options::read(&folder.join("tokenizer_config.json"))?,
    })
}

/// Weights that lie beside the ONNX file, by name.
fn external(model: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Vec::new();
    for name in [format!("{name}_data"), format!("{name}.data")] {
        let path = model.with_file_name(&name);
        if path.exists() {
            files.push((name, options::read(&path)?));
        }
    }
    Ok(files)
}

/// A JSON file that need not be there.
fn json(path: &Path) -> Result<Option<serde_json::Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let value = serde_json::from_slice(&options::read(path)?);
    value.map(Some).map_err(|error| Error::new(ErrorCode::ModelLoad, format!("{} is not JSON: {error}.", path.display())))
}

/// What sentence-transformers has written, else the mean.
fn pooling(folder: &Path) -> Result<Pooling> {
    let path = folder.join("1_Pooling").join("config.json");
    let Some(config) = json(&path)? else { return Ok(Pooling::Mean) };
    let is = |mode: &str| config[format!("pooling_mode_{mode}")] == true || config["pooling_mode"] == mode;
    if is("mean_tokens") || is("mean") {
        Ok(Pooling::Mean)
    } else if is("cls_token") || is("cls") {
        Ok(Pooling::Cls)
    } else {
        let text =
            format!("{} asks for another pooling than the mean and the first token, which are what is known.", path.display());
        Err(Error::new(ErrorCode::ModelLoad, text))
    }
}

/// Tokens that the model reads, special ones counted. `tokenizer_config.json` may bound it further.
fn length(folder: &Path) -> Result<usize> {
    let config = json(&folder.join("sentence_bert_config.json"))?;
    Ok(config.and_then(|config| config["max_seq_length"].as_u64()).map_or(DEFAULT_LENGTH, |length| length.max(8) as usize))
}

/// The name of the folder, and a few digits that differ with its model. Large files are not read as a whole.
fn id_of(folder: &Path, model: &Path) -> Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    const SAMPLE: u64 = 64 << 10;
    let mut hash = digest::Context::new(&digest::SHA256);
    for path in [model.to_path_buf(), folder.join("tokenizer.json")] {
        let sample = || {
            let mut file = std::fs::File::open(&path)?;
            let size = file.metadata()?.len();
            let mut bytes = size.to_le_bytes().to_vec();
            (&mut file).take(SAMPLE).read_to_end(&mut bytes)?;
            file.seek(SeekFrom::Start(size.saturating_sub(SAMPLE)))?;
            file.take(SAMPLE).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        match sample() {
            Ok(bytes) => hash.update(&bytes),
            // Reading it as a whole says what is wrong.
            Err(_) => drop(options::read(&path)?),
        }
    }
    let digits = options::hexadecimal(&hash.finish().as_ref()[..6]);
    Ok(format!("{}@{digits}", folder.file_name().unwrap_or_default().to_string_lossy()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
pub(super) mod tests {
    use super::*;
    use crate::embed::hub::tests::Server;
    use crate::embed::tests::{environment, fixture};

    #[test]
    fn threads_are_shared_out_by_the_size_of_the_model() {
        assert_eq!(Split::of(25 << 20, 8), Split { sessions: 8, within: 1 });
        assert_eq!(Split::of(200 << 20, 8), Split { sessions: 2, within: 4 });
        assert_eq!(Split::of(2 << 30, 8), Split { sessions: 1, within: 8 });
        assert_eq!(Split::of(0, 1), Split { sessions: 1, within: 1 });
    }

    #[test]
    fn a_model_that_is_known_by_name_is_fetched_once_and_then_found() {
        let server = Server::of(&fixture("tiny"));
        let cache = tempfile::tempdir().unwrap();
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let on_progress: OnProgress = {
            let seen = Arc::clone(&seen);
            Arc::new(move |progress| seen.lock().push(progress))
        };
        let info = names::find("AllMiniLML6V2").unwrap();
        let hub = Hub { endpoint: server.address(), cache: cache.path().to_path_buf(), token: None };
        let mut parts = open_known(&info, &hub, environment(), 2, Some(&on_progress)).unwrap();
        assert_eq!((parts.id.as_str(), parts.dimensions), ("Qdrant/all-MiniLM-L6-v2-onnx", 8));
        let vector = parts.first.run("", "hello world").unwrap();
        let size = std::fs::metadata(fixture("tiny").join("model.onnx")).unwrap().len();
        let last = seen.lock().iter().rev().find(|progress| progress.file == "model.onnx").cloned().unwrap();
        assert_eq!((last.done, last.total), (size, size));
        assert!(seen.lock().iter().any(|progress| progress.file == "tokenizer.json"));

        drop(server);
        seen.lock().clear();
        let mut again = open_known(&info, &hub, environment(), 2, Some(&on_progress)).unwrap();
        assert_eq!(again.first.run("", "hello world").unwrap(), vector);
        assert!(seen.lock().is_empty());
    }
}
