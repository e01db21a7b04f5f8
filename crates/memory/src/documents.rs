//! Documents: checks, rows of them, documents of rows, pages, and making a collection anew with another model.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use lance::dataset::scanner::{ColumnOrdering, RowAddrMask};
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, Dataset, InsertBuilder, WriteMode, WriteParams};
use lance::deps::datafusion::prelude::Expr;
use lance_table::format::Fragment;
use master_agent_core::ErrorCode;
use serde_json::json;
use serde_json::value::RawValue;

use crate::chunk;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::memory::{Inner, now};
use crate::request::{self, ChunkOptions, Document, Facts, Head, IndexFacts, Order, OrderBy, Place, Stats, Stored};
use crate::table::lock::Lock;
use crate::table::rows::{self, Row};
use crate::table::write::Prepared;
use crate::table::{Table, upkeep};
use crate::text;

/// The longest id of a document, in bytes.
const LONGEST_ID: usize = 4_096;
/// Chunks repeat the metadata of their document: more bytes than this of one document in all are refused.
const MOST_METADATA: usize = 64 << 20;
/// Documents that are read at a time.
const PAGE: usize = 256;

/// What is wrong with documents, before anything is done with them.
pub(crate) fn check(documents: &[Document]) -> Result<()> {
    for (at, document) in documents.iter().enumerate() {
        if let Some(id) = &document.id
            && (id.is_empty() || id.len() > LONGEST_ID)
        {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("documents[{at}].id: must have 1 to {LONGEST_ID} bytes, not {}", id.len()),
            ));
        }
        if let Some(metadata) = &document.metadata
            && !metadata.get().trim_start().starts_with('{')
        {
            return Err(Error::new(ErrorCode::InvalidArgument, format!("documents[{at}].metadata: must be an object")));
        }
    }
    Ok(())
}

pub(crate) fn chunk_options(given: &ChunkOptions, most: usize) -> Result<chunk::ChunkOptions> {
    let defaults = chunk::ChunkOptions::default();
    let tokens = given.tokens.unwrap_or(defaults.tokens.min(most));
    let overlap = given.overlap.unwrap_or(defaults.overlap.min(tokens / 4));
    if tokens == 0 || tokens > most {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("chunk.tokens: must be 1 to {most}, which is what the model sees, not {tokens}"),
        ));
    }
    if overlap >= tokens {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("chunk.overlap: must be less than chunk.tokens ({tokens}), not {overlap}"),
        ));
    }
    let format = match given.format.as_deref() {
        None => None,
        Some("text") => Some(chunk::Format::Text),
        Some("markdown") => Some(chunk::Format::Markdown),
        Some("code") => Some(chunk::Format::Code),
        Some(other) => {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("chunk.format: must be \"text\", \"markdown\" or \"code\", not {other:?}"),
            ));
        }
    };
    Ok(chunk::ChunkOptions { tokens, overlap, format })
}

/// Places from JavaScript as byte ranges.
pub(crate) fn byte_ranges(text: &str, places: &[Place], at: usize) -> Result<Vec<Range<usize>>> {
    let units = text::units(text);
    for (index, place) in places.iter().enumerate() {
        if place.start < 0 || place.end < place.start || place.end > units {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("documents[{at}].chunks[{index}]: {}..{} is not a place in a text of {units}", place.start, place.end),
            ));
        }
    }
    Ok(text::byte_ranges(text, places.iter().map(|place| (place.start, place.end))))
}

/// Vectors from outside, each made of length 1.
pub(crate) fn normalized(mut data: Vec<f32>, dimensions: usize) -> Result<Vec<f32>> {
    for (at, vector) in data.chunks_exact_mut(dimensions.max(1)).enumerate() {
        let length = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(Error::new(
                ErrorCode::EmbeddingFailed,
                format!("vector {at} has no direction: its numbers must be finite, and not all 0"),
            ));
        }
        // One that has been normalised stays as it is, bit for bit.
        if (length - 1.0).abs() > 1e-6 {
            vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        }
    }
    Ok(data)
}

/// A document with its chunks and the next of `vectors`.
pub(crate) fn prepared<'a>(
    at: usize,
    document: Document,
    ranges: &[Range<usize>],
    vectors: &mut impl Iterator<Item = &'a [f32]>,
    now: i64,
) -> Result<Prepared> {
    let metadata: Arc<str> = document.metadata.as_deref().map_or("{}", RawValue::get).into();
    if metadata.len().saturating_mul(ranges.len()) > MOST_METADATA {
        return Err(Error::new(
            ErrorCode::PayloadTooLarge,
            format!(
                "documents[{at}].metadata: {} bytes for each of {} chunks are more than {MOST_METADATA}; keep large data elsewhere and a key to it here",
                metadata.len(),
                ranges.len()
            ),
        ));
    }
    let fresh = document.id.is_none();
    let id: Arc<str> = document.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()).into();
    let hash: Arc<str> = blake3::hash(document.text.as_bytes()).to_hex().as_str().into();
    let places = text::utf16_places(&document.text, ranges);
    let chunks = i32::try_from(ranges.len()).unwrap_or(i32::MAX);
    let mut rows = Vec::with_capacity(ranges.len());
    for (chunk, (range, (start, end))) in (0..).zip(ranges.iter().zip(places)) {
        let Some(vector) = vectors.next() else {
            return Err(Error::new(ErrorCode::Internal, "there are fewer vectors than chunks"));
        };
        rows.push(Row {
            id: Arc::clone(&id),
            chunk,
            chunks,
            start,
            end,
            text: document.text[range.clone()].to_owned(),
            vector: vector.to_vec(),
            metadata: Arc::clone(&metadata),
            hash: Arc::clone(&hash),
            created_at: document.created_at.unwrap_or(now),
            updated_at: document.updated_at.unwrap_or(now),
            expires_at: document.expires_at,
        });
    }
    Ok(Prepared { id, fresh, rows })
}

/// Rows by document, in order, without what has expired.
pub(crate) fn grouped(found: impl IntoIterator<Item = Row>, now: i64) -> HashMap<Arc<str>, Vec<Row>> {
    let mut documents: HashMap<Arc<str>, Vec<Row>> = HashMap::new();
    for row in found {
        if row.expires_at.is_none_or(|at| at > now) {
            documents.entry(Arc::clone(&row.id)).or_default().push(row);
        }
    }
    for rows in documents.values_mut() {
        rows.sort_by_key(|row| row.chunk);
    }
    documents
}

/// A document of its rows, which are in order.
pub(crate) fn stored(rows: &[Row]) -> Result<Stored> {
    let Some(first) = rows.first() else {
        return Err(Error::new(ErrorCode::Internal, "a document without chunks"));
    };
    Ok(Stored {
        id: first.id.to_string(),
        text: text::join(rows.iter(), 0, i64::MAX),
        metadata: text::raw(&first.metadata)?,
        created_at: first.created_at,
        updated_at: first.updated_at,
        expires_at: first.expires_at,
        chunks: rows.iter().map(|row| Place { start: row.start, end: row.end }).collect(),
    })
}

/// A document as a line of a file: what `add` takes again.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line<'a> {
    id: &'a str,
    text: &'a str,
    metadata: &'a RawValue,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// What the vectors of the chunks are of, where they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<Vec<LineChunk<'a>>>,
}

/// The place of a chunk in UTF-16 code units, and its vector.
#[derive(serde::Serialize)]
struct LineChunk<'a> {
    start: i64,
    end: i64,
    vector: &'a [f32],
}

impl<'a> Line<'a> {
    pub(crate) fn new(document: &'a Stored) -> Self {
        Self {
            id: &document.id,
            text: &document.text,
            metadata: &document.metadata,
            created_at: document.created_at,
            updated_at: document.updated_at,
            expires_at: document.expires_at,
            model: None,
            chunks: None,
        }
    }

    /// With the vectors of its rows.
    pub(crate) fn with_vectors(self, model: &'a str, rows: &'a [Row]) -> Self {
        let chunks = rows.iter().map(|row| LineChunk { start: row.start, end: row.end, vector: &row.vector }).collect();
        Self { model: Some(model), chunks: Some(chunks), ..self }
    }
}

/// The next documents, and where to go on.
pub(crate) async fn page(
    table: &Table,
    filter: Option<&Filter>,
    order: Order,
    limit: usize,
    cursor: Option<&str>,
) -> Result<(Vec<Stored>, Option<String>)> {
    let (documents, cursor) = page_of_rows(table, filter, order, limit, cursor, rows::PLAIN).await?;
    let documents = documents.iter().map(|rows| stored(rows)).collect::<Result<Vec<_>>>()?;
    Ok((documents, cursor))
}

/// The same as rows with these columns.
pub(crate) async fn page_of_rows(
    table: &Table,
    filter: Option<&Filter>,
    order: Order,
    limit: usize,
    cursor: Option<&str>,
    columns: &[&str],
) -> Result<(Vec<Vec<Row>>, Option<String>)> {
    use lance::deps::datafusion::prelude::{col, lit};
    if limit == 0 {
        return Ok((Vec::new(), cursor.map(str::to_owned)));
    }
    let dataset = table.snapshot().await?;
    let failed = |error: lance::Error| table.failed(&error);
    let now = now();
    let mask = table.matching_or_all(&dataset, filter, now).await?;
    let mut only = col(rows::CHUNK).eq(lit(0_i32));
    if let Some(cursor) = cursor {
        only = only.and(after(order, cursor)?);
    }
    let mut scan = dataset.scan();
    scan.project(&[rows::ID, rows::CREATED_AT, rows::UPDATED_AT]).map_err(failed)?;
    scan.with_row_id().filter_expr(only);
    if let Some(mask) = mask {
        scan.with_row_id_prefilter(RowAddrMask::from_allowed(mask));
    }
    let by = |column: &str| match order.descending {
        false => ColumnOrdering::asc_nulls_first(column.to_owned()),
        true => ColumnOrdering::desc_nulls_first(column.to_owned()),
    };
    let ordering = time_of(order).into_iter().chain([rows::ID]).map(by).collect();
    scan.order_by(Some(ordering)).map_err(failed)?;
    scan.limit(Some(i64::try_from(limit).unwrap_or(i64::MAX)), None).map_err(failed)?;
    let first: Vec<Row> = table.read(scan).await?.into_iter().map(|(_, row)| row).collect();
    let wanted: Vec<&str> = first.iter().map(|row| &*row.id).collect();
    let found = table.of_ids(&dataset, &wanted, columns).await?;
    let mut found = grouped(found.into_iter().map(|(_, row)| row), now);
    let next = if first.len() == limit { first.last().map(|row| cursor_at(order, row)) } else { None };
    Ok((first.iter().filter_map(|row| found.remove(&row.id)).collect(), next))
}

/// The column of times that a list is ordered by, before the ids.
fn time_of(order: Order) -> Option<&'static str> {
    match order.order_by {
        OrderBy::Id => None,
        OrderBy::CreatedAt => Some(rows::CREATED_AT),
        OrderBy::UpdatedAt => Some(rows::UPDATED_AT),
    }
}

fn cursor_at(order: Order, row: &Row) -> String {
    match order.order_by {
        OrderBy::Id => row.id.to_string(),
        OrderBy::CreatedAt => format!("{}:{}", row.created_at, row.id),
        OrderBy::UpdatedAt => format!("{}:{}", row.updated_at, row.id),
    }
}

/// What comes after the page that ended at the cursor.
fn after(order: Order, cursor: &str) -> Result<Expr> {
    use lance::deps::datafusion::prelude::{col, lit};
    let beyond = |column: &str, value: Expr| if order.descending { col(column).lt(value) } else { col(column).gt(value) };
    let Some(column) = time_of(order) else { return Ok(beyond(rows::ID, lit(cursor))) };
    let parts = cursor.split_once(':').and_then(|(time, id)| Some((time.parse::<i64>().ok()?, id)));
    let Some((time, id)) = parts else {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("cursor: must be that of a page in the same order, not {cursor:?}"),
        ));
    };
    Ok(beyond(column, lit(time)).or(col(column).eq(lit(time)).and(beyond(rows::ID, lit(id)))))
}

/// Documents and chunks that match and have not expired.
pub(crate) async fn count(table: &Table, dataset: &Arc<Dataset>, filter: Option<&Filter>, now: i64) -> Result<(usize, usize)> {
    use lance::deps::datafusion::prelude::{col, lit};
    let mask = table.matching_or_all(dataset, filter, now).await?;
    let failed = |error: lance::Error| table.failed(&error);
    let counted = async |first_only: bool| {
        let mut scan = dataset.scan();
        if first_only {
            scan.filter_expr(col(rows::CHUNK).eq(lit(0_i32)));
        }
        if let Some(mask) = &mask {
            scan.with_row_id_prefilter(RowAddrMask::from_allowed(mask.clone()));
        }
        scan.count_rows().await.map_err(failed).map(|rows| usize::try_from(rows).unwrap_or(usize::MAX))
    };
    Ok((counted(true).await?, counted(false).await?))
}

/// The bytes of all files below a folder.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => bytes_below(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(crate) async fn stats(table: &Table, now: i64) -> Result<Stats> {
    let dataset = table.snapshot().await?;
    let failed = |error: lance::Error| table.failed(&error);
    let (documents, chunks) = count(table, &dataset, None, now).await?;
    let states = upkeep::indexes(&dataset).await.map_err(failed)?;
    let kind = |name: &str| match name {
        crate::table::TEXT_INDEX => "text",
        crate::table::VECTOR_INDEX => "vector",
        _ => "value",
    };
    Ok(Stats {
        documents,
        chunks,
        bytes: bytes_below(&table.path),
        version: dataset.manifest().version,
        fragments: dataset.count_fragments(),
        deleted_rows: dataset.count_deleted_rows().await.map_err(failed)?,
        unindexed_rows: states.iter().map(|state| state.behind).max().unwrap_or_default(),
        cached_chunks: table.cached(&dataset),
        indexes: states
            .into_iter()
            .map(|state| IndexFacts { kind: kind(&state.name).to_owned(), name: state.name, rows: state.rows })
            .collect(),
        model: table.model.clone(),
        dimensions: table.dimensions,
    })
}

/// A collection on its way to another model: new files that no version names yet, and what keeps others from writing.
pub(crate) struct Rebuild {
    schema: arrow_schema::SchemaRef,
    lance_schema: Option<lance::datatypes::Schema>,
    dimensions: usize,
    fragments: Vec<Fragment>,
    documents: usize,
    chunks: usize,
    _locks: [Lock; 2],
}

impl Rebuild {
    async fn begin(table: &Table, model: &str, dimensions: usize) -> Result<Self> {
        let locks = [table.upkeep_lock.lock().await?, table.write_lock.lock().await?];
        let schema = rows::schema(model, dimensions);
        Ok(Self { schema, lance_schema: None, dimensions, fragments: Vec::new(), documents: 0, chunks: 0, _locks: locks })
    }

    async fn write(&mut self, table: &Table, dataset: &Arc<Dataset>, prepared: Vec<Prepared>) -> Result<()> {
        self.documents += prepared.len();
        let rows: Vec<Row> = prepared.into_iter().flat_map(|one| one.rows).collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.chunks += rows.len();
        let batch = rows::batch(&self.schema, self.dimensions, &rows)?;
        let params = WriteParams { mode: WriteMode::Overwrite, ..WriteParams::default() };
        let insert = InsertBuilder::new(Arc::clone(dataset)).with_params(&params).execute_uncommitted(vec![batch]).await;
        match insert.map_err(|error| table.failed(&error))?.operation {
            Operation::Overwrite { fragments, schema, .. } => {
                self.fragments.extend(fragments);
                self.lance_schema.get_or_insert(schema);
                Ok(())
            }
            other => Err(Error::new(ErrorCode::Internal, format!("rows were written as {other:?}"))),
        }
    }

    /// Puts the new files in the place of the old ones, in one step.
    async fn finish(mut self, table: &Table) -> Result<(usize, usize)> {
        let dataset = table.newest().await?;
        if self.lance_schema.is_none() {
            let empty = rows::batch(&self.schema, self.dimensions, &[])?;
            self.lance_schema =
                Some(lance::datatypes::Schema::try_from(empty.schema().as_ref()).map_err(|error| table.failed(&error))?);
        }
        let Some(schema) = self.lance_schema else {
            return Err(Error::new(ErrorCode::Internal, "a table without a schema"));
        };
        let operation =
            Operation::Overwrite { fragments: self.fragments, schema, config_upsert_values: None, initial_bases: None };
        let transaction = Transaction::new(dataset.manifest().version, operation, None);
        let mut new = CommitBuilder::new(dataset).execute(transaction).await.map_err(|error| table.failed(&error))?;
        upkeep::make_text_index(&mut new).await.map_err(|error| table.failed(&error))?;
        Ok((self.documents, self.chunks))
    }
}

fn facts(documents: usize, chunks: usize) -> Facts {
    Facts::from([("documents", json!(documents)), ("chunks", json!(chunks))])
}

/// Embeds every document of a collection again, with the model of this memory.
pub(crate) async fn reindex(inner: &Arc<Inner>, head: &Head, request: &request::Reindex) -> Result<Facts> {
    let Some(opened) = inner.table(&head.collection).await? else {
        return Ok(facts(0, 0));
    };
    let table = &opened.table;
    let model = Arc::clone(inner.model().await?);
    let mut rebuild = Rebuild::begin(table, model.id(), model.dimensions()).await?;
    let dataset = table.snapshot().await?;
    let total = count(table, &dataset, None, i64::MIN).await?.0;
    let mut cursor: Option<String> = None;
    loop {
        let (page, next) = page_of_rows(table, None, Order::default(), PAGE, cursor.as_deref(), rows::PLAIN).await?;
        let documents = page.iter().map(|rows| again(rows)).collect::<Result<Vec<_>>>()?;
        let (prepared, _) = inner.prepare(head, documents, &request.chunk, None, now()).await?;
        rebuild.write(table, &dataset, prepared).await?;
        inner.progress(head, rebuild.documents, Some(total));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let (documents, chunks) = rebuild.finish(table).await?;
    inner.forget(&head.collection).await;
    Ok(facts(documents, chunks))
}

/// A document as it was given.
fn again(rows: &[Row]) -> Result<Document> {
    let stored = stored(rows)?;
    Ok(Document {
        id: Some(stored.id),
        text: stored.text,
        metadata: Some(stored.metadata),
        expires_at: stored.expires_at,
        created_at: Some(stored.created_at),
        updated_at: Some(stored.updated_at),
        chunks: None,
    })
}

/// One part of a reindexing whose vectors come from outside.
pub(crate) async fn rebuild(
    inner: &Arc<Inner>,
    head: &Head,
    request: request::ReindexWrite,
    vectors: Option<Vec<f32>>,
) -> Result<Facts> {
    let Some(opened) = inner.table(&head.collection).await? else {
        return Ok(facts(0, 0));
    };
    let table = &opened.table;
    let (prepared, dimensions) = inner.prepare(head, request.documents, &request.chunk, vectors, now()).await?;
    let mut rebuilds = inner.rebuilds.lock().await;
    if request.begin {
        // What an earlier one has left, whose caller gave up.
        rebuilds.remove(&head.collection);
    }
    let mut rebuild = match rebuilds.remove(&head.collection) {
        Some(rebuild) => rebuild,
        None => {
            Rebuild::begin(table, &inner.model_id().await?, if dimensions == 0 { table.dimensions } else { dimensions }).await?
        }
    };
    let dataset = table.snapshot().await?;
    rebuild.write(table, &dataset, prepared).await?;
    if !request.done {
        let so_far = facts(rebuild.documents, rebuild.chunks);
        rebuilds.insert(head.collection.clone(), rebuild);
        return Ok(so_far);
    }
    let (documents, chunks) = rebuild.finish(table).await?;
    drop(rebuilds);
    inner.forget(&head.collection).await;
    Ok(facts(documents, chunks))
}
