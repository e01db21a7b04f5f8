//! What can be asked of a memory, and what comes back: the texts that cross the boundary with JavaScript.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::table::write::{Conflict, Status};

/// How a memory is opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// The folder of the tables.
    pub folder: PathBuf,
    pub model: Model,
    /// The library that runs models, when it is not beside the addon.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
    /// Refuses whatever would change something.
    #[serde(default)]
    pub read_only: bool,
    /// Whether indexes and files are kept up in the background.
    #[serde(default = "yes")]
    pub maintenance: bool,
    /// Bytes of passages that are kept in memory, over all collections.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: usize,
}

/// What turns texts into vectors.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Model {
    Bundled {
        folder: PathBuf,
    },
    Folder {
        folder: PathBuf,
    },
    Named {
        name: String,
        cache: PathBuf,
    },
    /// Vectors come with the requests, from a function of the user's own. `dimensions` is known after the first of them.
    #[serde(rename_all = "camelCase")]
    External {
        id: String,
        #[serde(default)]
        dimensions: Option<usize>,
        /// Counts the tokens of chunks: a file, or the folder of a model.
        #[serde(default)]
        tokenizer: Option<PathBuf>,
        #[serde(default)]
        max_tokens: Option<usize>,
    },
}

/// Some 1.2 million vectors of 384 numbers.
fn cache_bytes() -> usize {
    1 << 30
}

fn yes() -> bool {
    true
}

/// The collection that is meant when none is named.
pub(crate) const DEFAULT_COLLECTION: &str = "documents";

fn default_collection() -> String {
    DEFAULT_COLLECTION.to_owned()
}

/// What every request carries. The rest of the same text is read as the structure of its `op`.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    pub(crate) op: String,
    #[serde(default = "default_collection")]
    pub(crate) collection: String,
    /// Names the call in events, and to cancel it.
    #[serde(default)]
    pub(crate) request: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Embed {
    pub(crate) texts: Vec<String>,
    #[serde(default)]
    pub(crate) query: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Split {
    pub(crate) texts: Vec<String>,
    #[serde(default)]
    pub(crate) chunk: ChunkOptions,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Add {
    pub(crate) documents: Vec<Document>,
    #[serde(default)]
    pub(crate) conflict: Conflict,
    #[serde(default)]
    pub(crate) dedupe: bool,
    #[serde(default)]
    pub(crate) chunk: ChunkOptions,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Get {
    pub(crate) ids: Vec<String>,
    #[serde(default)]
    pub(crate) vectors: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) filter: Option<Value>,
    pub(crate) limit: usize,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(flatten)]
    pub(crate) order: Order,
}

/// The order of a list. Documents of one time are in that of their ids.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    #[serde(default)]
    pub order_by: OrderBy,
    /// The last first.
    #[serde(default)]
    pub descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OrderBy {
    #[default]
    Id,
    CreatedAt,
    UpdatedAt,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Delete {
    #[serde(default)]
    pub(crate) ids: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) filter: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Count {
    #[serde(default)]
    pub(crate) filter: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reindex {
    #[serde(default)]
    pub(crate) chunk: ChunkOptions,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReindexWrite {
    pub(crate) documents: Vec<Document>,
    #[serde(default)]
    pub(crate) chunk: ChunkOptions,
    /// Whether it is the first part.
    #[serde(default)]
    pub(crate) begin: bool,
    pub(crate) done: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Export {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) filter: Option<Value>,
    #[serde(default)]
    pub(crate) vectors: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Import {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) conflict: Conflict,
    #[serde(default)]
    pub(crate) dedupe: bool,
    #[serde(default)]
    pub(crate) chunk: ChunkOptions,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rerank {
    pub(crate) model: Model,
    pub(crate) query: String,
    pub(crate) texts: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cancel {
    pub(crate) target: u32,
}

/// How documents are split. What is not given is chosen by the model and the text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChunkOptions {
    pub tokens: Option<usize>,
    pub overlap: Option<usize>,
    /// "text", "markdown" or "code".
    pub format: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(default)]
    pub id: Option<String>,
    pub text: String,
    #[serde(default)]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default)]
    pub expires_at: Option<i64>,
    #[serde(default)]
    pub created_at: Option<i64>,
    #[serde(default)]
    pub updated_at: Option<i64>,
    /// Places of the chunks in UTF-16 code units, when the vectors come with the request.
    #[serde(default)]
    pub chunks: Option<Vec<Place>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub start: i64,
    pub end: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Hybrid,
    Vector,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Search {
    #[serde(default)]
    pub query: Option<String>,
    pub limit: usize,
    #[serde(default)]
    pub offset: usize,
    #[serde(default)]
    pub filter: Option<Value>,
    #[serde(default)]
    pub min_score: Option<f32>,
    #[serde(default)]
    pub mode: Mode,
    /// Chunks of the document to give before and after each passage.
    #[serde(default)]
    pub neighbours: usize,
    /// A hit per chunk rather than per document.
    #[serde(default)]
    pub chunks: bool,
    #[serde(default)]
    pub vectors: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Update {
    pub id: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub metadata: Option<Value>,
    #[serde(default)]
    pub merge_metadata: bool,
    /// `null` takes the time to live away.
    #[serde(default, deserialize_with = "given")]
    pub expires_at: Option<Option<i64>>,
    #[serde(default)]
    pub chunks: Option<Vec<Place>>,
    #[serde(default)]
    pub chunk: ChunkOptions,
}

fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::<i64>::deserialize(from).map(Some)
}

/// What comes back: a JSON text, and numbers that would be slow as one.
#[derive(Debug, Default)]
pub struct Reply {
    pub value: String,
    pub vectors: Option<Vec<f32>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Added {
    pub id: String,
    pub chunks: usize,
    pub status: Status,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    pub id: String,
    pub text: String,
    pub metadata: Box<RawValue>,
    pub created_at: i64,
    pub updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    pub chunks: Vec<Place>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hit {
    pub id: String,
    /// The passage.
    pub text: String,
    pub score: f32,
    pub metadata: Box<RawValue>,
    pub chunk: HitChunk,
    pub chunks: usize,
    pub scores: HitScores,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct HitChunk {
    pub index: i32,
    pub start: i64,
    pub end: i64,
}

/// What each part of the search gave: the cosine, and the BM25 score.
#[derive(Debug, Default, Serialize)]
pub(crate) struct HitScores {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<f32>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Neighbours {
    pub before: String,
    pub after: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct CollectionFacts {
    pub name: String,
    pub documents: usize,
    pub chunks: usize,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    pub documents: usize,
    pub chunks: usize,
    pub bytes: u64,
    pub version: u64,
    pub fragments: usize,
    pub deleted_rows: usize,
    pub unindexed_rows: usize,
    pub cached_chunks: usize,
    pub indexes: Vec<IndexFacts>,
    pub model: String,
    pub dimensions: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct IndexFacts {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub rows: usize,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Imported {
    pub added: usize,
    pub replaced: usize,
    pub skipped: usize,
    pub unchanged: usize,
    pub failed: Vec<FailedLine>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FailedLine {
    pub line: usize,
    pub message: String,
}

/// Facts by name, for small answers.
pub(crate) type Facts = BTreeMap<&'static str, Value>;
