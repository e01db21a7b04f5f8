//! The model of the package: a session for each thread, each on that thread alone.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use master_agent_core::ErrorCode;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorElementType};
use parking_lot::Mutex;
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::{Model, Parts, exit, normalised, options, outline, text, vocabulary};
use crate::{Error, Result};

/// `model.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    id: String,
    dimensions: usize,
    /// With the special tokens.
    max_tokens: usize,
    files: std::collections::HashMap<String, FileOf>,
}

#[derive(Deserialize)]
struct FileOf {
    bytes: u64,
    sha256: String,
}

/// `threads` is how many the process gives to models.
pub(super) fn open(folder: &Path, environment: impl FnOnce() -> Result<Environment>, threads: usize) -> Result<Parts> {
    let folder = &*options::canonical(folder)?;
    let manifest_path = folder.join("model.json");
    let manifest: Manifest =
        serde_json::from_slice(&options::read(&manifest_path)?).map_err(|error| damaged(&manifest_path, &error.to_string()))?;
    let model_path = folder.join("model.onnx");
    let tokenizer_path = folder.join("tokenizer.json");
    // The session takes about as long as the tokenizer and the checksums together, and neither needs the other.
    let (session, files) = std::thread::scope(|scope| {
        let files = scope.spawn(|| {
            let tokenizer = tokenizer(&tokenizer_path, &manifest)?;
            check(&model_path, &manifest)?;
            Ok(tokenizer)
        });
        let session = environment().map(|environment| (session(&environment, &model_path, Kind::Narrow), environment));
        (session, files.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (session, environment) = session?;
    // A checksum says more than what else went wrong with the bytes.
    let tokenizer = Arc::new(files?);
    let max_tokens = manifest.max_tokens.saturating_sub(text::frame(&tokenizer));
    let wide = (threads > 1).then(|| Wide::new(environment.clone(), model_path.clone()));
    let plan = Plan { tokenizer: Arc::clone(&tokenizer), max_tokens, wide: wide.map(Arc::new) };
    let first = Box::new(Plain::new(session?, plan.clone(), &model_path)?);
    if let Some(given) = first.width().filter(|given| *given != manifest.dimensions) {
        return Err(damaged(&manifest_path, &format!("it says {} dimensions, and the model gives {given}", manifest.dimensions)));
    }
    let make = Box::new(move || -> Result<Box<dyn Model>> {
        Ok(Box::new(Plain::new(self::session(&environment, &model_path, Kind::Narrow)?, plan.clone(), &model_path)?))
    });
    Ok(Parts { id: manifest.id, dimensions: manifest.dimensions, max_tokens, tokenizer, first, make, sessions: None })
}

fn damaged(path: &Path, reason: &str) -> Error {
    let text = format!(
        "The file {} of the model is damaged: {}. Install the package of the model again.",
        path.display(),
        reason.trim_end_matches('.')
    );
    Error::new(ErrorCode::ModelLoad, text)
}

fn entry<'a>(path: &Path, manifest: &'a Manifest) -> Result<&'a FileOf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    manifest.files.get(&*name).ok_or_else(|| damaged(&path.with_file_name("model.json"), &format!("it does not name {name}")))
}

fn tokenizer(path: &Path, manifest: &Manifest) -> Result<Tokenizer> {
    check(path, manifest)?;
    let tokenizer = vocabulary::tokenizer(&options::read(path)?).map_err(|error| damaged(path, &error))?;
    Ok(text::plain(tokenizer))
}

/// Compares a file with what the manifest says of it.
fn check(path: &Path, manifest: &Manifest) -> Result<()> {
    let wanted = entry(path, manifest)?;
    let (bytes, sum) = options::sha256(path).map_err(|error| options::unreadable(path, error))?;
    if bytes != wanted.bytes {
        return Err(damaged(path, &format!("it has {bytes} bytes in place of {}", wanted.bytes)));
    }
    if sum == wanted.sha256 { Ok(()) } else { Err(damaged(path, "its SHA-256 is not that of model.json")) }
}

#[derive(Clone, Copy)]
enum Kind {
    /// On the thread that calls.
    Narrow,
    /// On a second thread as well, which turns while there is work: waking it for each of the products of a text takes longer than they do.
    Wide,
}

/// A session whose large weights stay in the file, where they can: not all that a path may be is understood there.
fn session(environment: &Environment, path: &Path, kind: Kind) -> Result<Session> {
    if let (Ok(outline), Some(folder)) = (outline::outline(path), path.parent().and_then(Path::to_str))
        && let Ok(session) = session_of(environment, &outline, Some(folder), kind)
    {
        return Ok(session);
    }
    session_of(environment, &options::read(path)?, None, kind).map_err(|reason| {
        let text = format!("ONNX Runtime could not load the model {}: {}.", path.display(), reason.trim_end_matches('.'));
        Error::new(ErrorCode::ModelLoad, text)
    })
}

fn session_of(environment: &Environment, model: &[u8], folder: Option<&str>, kind: Kind) -> Result<Session, String> {
    let reason = |error: ort::Error<ort::session::builder::SessionBuilder>| error.to_string();
    let mut builder = Session::builder(environment).map_err(|error| error.to_string())?;
    if let Some(folder) = folder {
        builder = builder.with_config_entry("session.model_external_initializers_file_folder_path", folder).map_err(reason)?;
    }
    builder = builder.with_optimization_level(GraphOptimizationLevel::Level3).map_err(reason)?;
    let (threads, spins) = match kind {
        Kind::Narrow => (1, false),
        Kind::Wide => (2, true),
    };
    builder = builder.with_intra_threads(threads).map_err(reason)?;
    builder = builder.with_intra_op_spinning(spins).map_err(reason)?;
    if spins {
        // Not between two texts.
        builder = builder.with_config_entry("session.force_spinning_stop", "1").map_err(reason)?;
    }
    builder = builder.with_inter_threads(1).map_err(reason)?;
    builder = builder.with_flush_to_zero().map_err(reason)?;
    builder.commit_from_memory(model).map_err(|error| error.to_string())
}

/// Texts that were asked for alone before a wide session is made, which takes as long as some twenty of them: who asks once or
/// twice does without.
const NARROW_FIRST: usize = 3;

/// The session for a text that is alone in the process, one for all threads of the pool.
struct Wide {
    environment: Environment,
    path: PathBuf,
    state: Mutex<WideState>,
}

#[derive(Default)]
struct WideState {
    asked: usize,
    session: Option<Session>,
}

impl Wide {
    fn new(environment: Environment, path: PathBuf) -> Self {
        Self { environment, path, state: Mutex::default() }
    }

    /// Calls `run` with the session, where there is one and nobody else has it.
    fn run<T>(&self, run: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut state = self.state.try_lock()?;
        state.asked = state.asked.saturating_add(1);
        let is_first = state.asked == NARROW_FIRST + 1;
        if is_first {
            // Without it texts are computed all the same.
            state.session = session(&self.environment, &self.path, Kind::Wide).ok();
        }
        // A session that panicked is not put back.
        let mut session = state.session.take()?;
        let result = run(&mut session);
        state.session = Some(session);
        if is_first {
            exit::guard();
        }
        Some(result)
    }
}

#[derive(Clone)]
struct Plan {
    tokenizer: Arc<Tokenizer>,
    max_tokens: usize,
    wide: Option<Arc<Wide>>,
}

/// Which of an encoding's rows an input of the graph takes.
#[derive(Clone, Copy)]
enum Row {
    Ids,
    Mask,
    Types,
}

struct Plain {
    session: Session,
    inputs: Vec<(String, Row)>,
    plan: Plan,
}

impl Plain {
    fn new(session: Session, plan: Plan, path: &Path) -> Result<Self> {
        let unknown =
            |text: String| Error::new(ErrorCode::ModelLoad, format!("The model {} {text}.", PathBuf::from(path).display()));
        let row = |input: &ort::value::Outlet| {
            let row = match input.name() {
                "input_ids" => Row::Ids,
                "attention_mask" => Row::Mask,
                "token_type_ids" => Row::Types,
                other => return Err(unknown(format!("wants an input {other:?}, which is not known here"))),
            };
            if input.dtype().tensor_type() != Some(TensorElementType::Int64) {
                return Err(unknown(format!("wants {:?} as something else than 64-bit integers", input.name())));
            }
            Ok((input.name().to_owned(), row))
        };
        let inputs = session.inputs().iter().map(row).collect::<Result<_>>()?;
        match session.outputs() {
            [output] if output.dtype().tensor_type() == Some(TensorElementType::Float32) => Ok(Self { session, inputs, plan }),
            _ => Err(unknown("does not give one tensor of 32-bit numbers".into())),
        }
    }

    /// Numbers in a vector, where the graph says so.
    fn width(&self) -> Option<usize> {
        let shape = self.session.outputs().first()?.dtype().tensor_shape()?;
        usize::try_from(*shape.last()?).ok()
    }
}

impl Model for Plain {
    fn run(&mut self, _query: &str, text: &str) -> Result<Vec<f32>> {
        vector(&self.plan, &self.inputs, &mut self.session, text)
    }

    fn run_alone(&mut self, query: &str, text: &str) -> Result<Vec<f32>> {
        let wide = self.plan.wide.as_ref().and_then(|wide| wide.run(|session| vector(&self.plan, &self.inputs, session, text)));
        wide.unwrap_or_else(|| self.run(query, text))
    }
}

fn vector(plan: &Plan, inputs: &[(String, Row)], session: &mut Session, text: &str) -> Result<Vec<f32>> {
    let (_, encoding) = text::head(&plan.tokenizer, text, plan.max_tokens)?;
    let encoding = text::framed(&plan.tokenizer, encoding)?;
    let tensor = |row: Row| {
        let numbers = match row {
            Row::Ids => encoding.get_ids(),
            Row::Mask => encoding.get_attention_mask(),
            Row::Types => encoding.get_type_ids(),
        };
        Tensor::from_array(([1, numbers.len()], numbers.iter().map(|&number| i64::from(number)).collect::<Vec<_>>()))
    };
    let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = inputs
        .iter()
        .map(|(name, row)| Ok((Cow::from(name.as_str()), tensor(*row).map_err(failed)?.into())))
        .collect::<Result<_>>()?;
    let outputs = session.run(inputs).map_err(failed)?;
    let (shape, data) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
    let vector = match **shape {
        [1, _] => data.to_vec(),
        [1, tokens, width] if tokens > 0 && width > 0 => mean(data, width as usize),
        _ => return Err(Error::new(ErrorCode::EmbeddingFailed, format!("The model gave a tensor of shape {shape}."))),
    };
    normalised(vector)
}

/// The mean of the rows: without padding, each is one of the text.
fn mean(data: &[f32], width: usize) -> Vec<f32> {
    let rows = data.len() / width;
    (0..width).map(|column| data.iter().skip(column).step_by(width).sum::<f32>() / rows as f32).collect()
}

fn failed(error: ort::Error) -> Error {
    Error::new(ErrorCode::EmbeddingFailed, format!("ONNX Runtime failed: {error}."))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use crate::embed::tests::{environment, packaged};

    #[test]
    fn a_text_that_is_alone_gets_the_same_vector_on_two_threads() {
        let parts = open(&packaged(), || Ok(environment()), 2).unwrap();
        let mut model = parts.first;
        for text in ["one", "What is the heat transfer to a blunt body?", &"many words ".repeat(90), "", "ÆØÅ 漢字 😀"] {
            let narrow = model.run("", text).unwrap();
            for _ in 0..NARROW_FIRST {
                assert_eq!(model.run_alone("", text).unwrap(), narrow);
            }
        }
    }

    #[test]
    fn the_wide_session_is_made_for_those_who_ask_more_than_a_few_times() {
        let wide = Wide::new(environment(), packaged().join("model.onnx"));
        let ran = || wide.run(|session| !session.inputs().is_empty()).unwrap_or(false);
        assert_eq!([(); NARROW_FIRST + 2].map(|()| ran()), [false, false, false, true, true]);
        // Who finds it in use does not wait for it.
        assert_eq!(wide.run(|_| wide.run(|_| ())), Some(None));
    }
}
