//! The rows of a table: a row per chunk. Their layout is part of what is on disk; see `FORMAT`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use master_agent_core::ErrorCode;

use crate::error::{Error, Result};

/// The version of the layout. A table of another one is refused, never misread.
pub(crate) const FORMAT: &str = "1";

pub(crate) const FORMAT_KEY: &str = "master_agent.format";
pub(crate) const MODEL_KEY: &str = "master_agent.model";
/// Tells a table from another one of the same name that was dropped.
pub(crate) const TABLE_KEY: &str = "master_agent.table";

pub(crate) const ID: &str = "id";
pub(crate) const CHUNK: &str = "chunk";
pub(crate) const CHUNKS: &str = "chunks";
pub(crate) const START: &str = "start";
pub(crate) const END: &str = "end";
pub(crate) const TEXT: &str = "text";
pub(crate) const VECTOR: &str = "vector";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const HASH: &str = "hash";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// All columns but the vector.
pub(crate) const PLAIN: &[&str] = &[ID, CHUNK, CHUNKS, START, END, TEXT, METADATA, HASH, CREATED_AT, UPDATED_AT, EXPIRES_AT];

/// What a hit has beside its numbers.
pub(crate) const WORDS: &[&str] = &[ID, TEXT, METADATA];
/// What a hit has.
pub(crate) const HIT: &[&str] = &[ID, CHUNK, CHUNKS, START, END, TEXT, METADATA, CREATED_AT, UPDATED_AT, EXPIRES_AT];

/// One chunk as it is stored. Offsets are UTF-16 code units of the document's text, times milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: Arc<str>,
    pub(crate) chunk: i32,
    pub(crate) chunks: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) text: String,
    /// Empty when it was not asked for.
    pub(crate) vector: Vec<f32>,
    /// A JSON object.
    pub(crate) metadata: Arc<str>,
    /// Of the document's text.
    pub(crate) hash: Arc<str>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) expires_at: Option<i64>,
}

pub(crate) fn schema(model: &str, dimensions: usize) -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let width = i32::try_from(dimensions).unwrap_or(i32::MAX);
    let fields = vec![
        Field::new(ID, DataType::Utf8, false),
        Field::new(CHUNK, DataType::Int32, false),
        Field::new(CHUNKS, DataType::Int32, false),
        Field::new(START, DataType::Int64, false),
        Field::new(END, DataType::Int64, false),
        Field::new(TEXT, DataType::Utf8, false),
        Field::new(VECTOR, DataType::FixedSizeList(item, width), false),
        Field::new(METADATA, DataType::Utf8, false),
        Field::new(HASH, DataType::Utf8, false),
        Field::new(CREATED_AT, DataType::Int64, false),
        Field::new(UPDATED_AT, DataType::Int64, false),
        Field::new(EXPIRES_AT, DataType::Int64, true),
    ];
    let facts = HashMap::from([
        (FORMAT_KEY.to_owned(), FORMAT.to_owned()),
        (MODEL_KEY.to_owned(), model.to_owned()),
        (TABLE_KEY.to_owned(), uuid::Uuid::now_v7().to_string()),
    ]);
    Arc::new(Schema::new_with_metadata(fields, facts))
}

/// The rows as a batch of `schema`.
pub(crate) fn batch(schema: &SchemaRef, dimensions: usize, rows: &[Row]) -> Result<RecordBatch> {
    let text_bytes = rows.iter().map(|row| row.text.len()).sum();
    let mut ids = StringBuilder::new();
    let mut chunk = Int32Builder::with_capacity(rows.len());
    let mut chunks = Int32Builder::with_capacity(rows.len());
    let mut start = Int64Builder::with_capacity(rows.len());
    let mut end = Int64Builder::with_capacity(rows.len());
    let mut text = StringBuilder::with_capacity(rows.len(), text_bytes);
    let width = i32::try_from(dimensions).unwrap_or(i32::MAX);
    let mut vector =
        FixedSizeListBuilder::with_capacity(Float32Builder::with_capacity(rows.len() * dimensions), width, rows.len());
    let mut metadata = StringBuilder::new();
    let mut hash = StringBuilder::new();
    let mut created = Int64Builder::with_capacity(rows.len());
    let mut updated = Int64Builder::with_capacity(rows.len());
    let mut expires = Int64Builder::with_capacity(rows.len());
    for row in rows {
        if row.vector.len() != dimensions {
            return Err(Error::new(
                ErrorCode::EmbeddingFailed,
                format!("a vector has {} numbers where the collection has {dimensions}", row.vector.len()),
            ));
        }
        ids.append_value(&row.id);
        chunk.append_value(row.chunk);
        chunks.append_value(row.chunks);
        start.append_value(row.start);
        end.append_value(row.end);
        text.append_value(&row.text);
        vector.values().append_slice(&row.vector);
        vector.append(true);
        metadata.append_value(&row.metadata);
        hash.append_value(&row.hash);
        created.append_value(row.created_at);
        updated.append_value(row.updated_at);
        expires.append_option(row.expires_at);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(chunk.finish()),
        Arc::new(chunks.finish()),
        Arc::new(start.finish()),
        Arc::new(end.finish()),
        Arc::new(text.finish()),
        Arc::new(vector.finish()),
        Arc::new(metadata.finish()),
        Arc::new(hash.finish()),
        Arc::new(created.finish()),
        Arc::new(updated.finish()),
        Arc::new(expires.finish()),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
}

/// Reads rows back. Columns that the batch does not have are left empty.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let mut rows = rows_without_vectors(batch);
    if let Some(vectors) = batch.column_by_name(VECTOR).and_then(|column| column.as_fixed_size_list_opt()) {
        for (at, row) in rows.iter_mut().enumerate() {
            row.vector = vectors.value(at).as_primitive::<Float32Type>().values().to_vec();
        }
    }
    rows
}

/// As `rows`, with the vectors left where they are.
pub(crate) fn rows_without_vectors(batch: &RecordBatch) -> Vec<Row> {
    let strings = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let longs = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let ints = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
    let (ids, texts, metadata, hashes) = (strings(ID), strings(TEXT), strings(METADATA), strings(HASH));
    let (starts, ends) = (longs(START), longs(END));
    let (created, updated, expires) = (longs(CREATED_AT), longs(UPDATED_AT), longs(EXPIRES_AT));
    let (chunk, chunks) = (ints(CHUNK), ints(CHUNKS));
    let mut shared = Shared::default();
    (0..batch.num_rows())
        .map(|at| Row {
            id: ids.map(|column| shared.text(column.value(at))).unwrap_or_default(),
            chunk: chunk.map(|column| column.value(at)).unwrap_or_default(),
            chunks: chunks.map(|column| column.value(at)).unwrap_or_default(),
            start: starts.map(|column| column.value(at)).unwrap_or_default(),
            end: ends.map(|column| column.value(at)).unwrap_or_default(),
            text: texts.map(|column| column.value(at).to_owned()).unwrap_or_default(),
            vector: Vec::new(),
            metadata: metadata.map(|column| shared.text(column.value(at))).unwrap_or_default(),
            hash: hashes.map(|column| shared.text(column.value(at))).unwrap_or_default(),
            created_at: created.map(|column| column.value(at)).unwrap_or_default(),
            updated_at: updated.map(|column| column.value(at)).unwrap_or_default(),
            expires_at: expires.and_then(|column| (!column.is_null(at)).then(|| column.value(at))),
        })
        .collect()
}

/// The chunks of a document repeat its id, metadata and hash: neighbours share one copy.
#[derive(Default)]
struct Shared {
    recent: Vec<Arc<str>>,
}

impl Shared {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.recent.iter().find(|known| &***known == text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        if self.recent.len() == 4 {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(&new));
        new
    }
}
