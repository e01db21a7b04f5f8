//! From a query to passages: by vectors and by words side by side, the fusion of both, and the rows of what was found.
//!
//! Vectors are compared in memory as soon as they are there, and by LanceDB until then and in tables too large for that.

pub(crate) mod codes;
mod fuse;
mod index;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Float32Array, RecordBatch};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use lance::dataset::scanner::{RowAddrMask, RowAddrTreeMap, Scanner};
use lance::dataset::{Dataset, ProjectionRequest};
use lance_index::scalar::FullTextSearchQuery;
use lance_index::scalar::inverted::query::MatchQuery;
use lance_linalg::distance::MetricType;
use lance_select::RowSetOps;
use master_agent_core::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::memory::run_blocking;
use crate::request::{Hit, HitChunk, HitScores, Mode, Neighbours};
use crate::search::codes::{Needle, Part};
use crate::search::fuse::Candidate;
use crate::table::resident::{Passages, Visible};
use crate::table::rows::{self, Row};
use crate::table::{self, Table, addresses};
use crate::text;

/// Chunks that each search gives to the fusion, at least.
const DEPTH: usize = 200;
/// Vectors that are compared with the query for each that is wanted, and at least: of 100,000 vectors of MiniLM and 200 questions, all of
/// the ten nearest are among them, and 98.9 % of the 200 nearest.
const COMPARED: usize = 5;
const COMPARED_LEAST: usize = 1_000;
/// Rows that one thread looks through: fewer are not worth another one.
const SHARE: usize = 150_000;
/// Fewer rows are looked through where the search is.
const AT_ONCE: usize = 2_000;
const MOST_THREADS: usize = 4;

/// The vector of a query, which is worked out while words are looked up.
pub(crate) struct Vector<'a> {
    known: OnceCell<Option<Vec<f32>>>,
    making: Mutex<Option<Making<'a>>>,
}

type Making<'a> = BoxFuture<'a, Result<Option<Vec<f32>>>>;

impl<'a> Vector<'a> {
    pub(crate) fn new(making: impl Future<Output = Result<Option<Vec<f32>>>> + Send + 'a) -> Self {
        Self { known: OnceCell::new(), making: Mutex::new(Some(making.boxed())) }
    }

    /// The vector, when it is there; `None` when the search has none.
    pub(crate) async fn get(&self) -> Result<Option<&[f32]>> {
        let known = self.known.get_or_try_init(|| async {
            let making = self.making.lock().take();
            making.ok_or_else(|| Error::new(ErrorCode::Internal, "the vector of the query could not be made"))?.await
        });
        Ok(known.await?.as_deref())
    }
}

/// What is searched for.
pub(crate) struct Query<'a, 'v> {
    pub(crate) text: Option<&'a str>,
    pub(crate) vector: &'a Vector<'v>,
    pub(crate) mode: Mode,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    pub(crate) min_score: Option<f32>,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) neighbours: usize,
    pub(crate) by_chunk: bool,
    pub(crate) vectors: bool,
    /// Milliseconds since 1970: what has expired by then is not found.
    pub(crate) now: i64,
}

/// What was found, and its vectors when they were asked for.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    pub(crate) vectors: Vec<f32>,
}

pub(crate) async fn search(table: &Arc<Table>, query: &Query<'_, '_>) -> Result<Found> {
    let dataset = table.snapshot().await?;
    // The words alone need no vectors.
    let passages = table.passages(&dataset, query.mode != Mode::Text).await?;
    let found = search_in(table, &dataset, passages.as_ref(), query).await;
    if passages.is_none() && query.mode != Mode::Text {
        // After the answer, so that the first one does not wait for it.
        table.read_ahead(&dataset);
    }
    found
}

async fn search_in(table: &Table, dataset: &Arc<Dataset>, passages: Option<&Passages>, query: &Query<'_, '_>) -> Result<Found> {
    let wanted = query.offset.saturating_add(query.limit);
    let mut mask = match query.filter {
        Some(filter) => Some(table.matching(dataset, Some(filter), None).await?),
        None => None,
    };
    let mut depth = DEPTH.max(wanted.saturating_mul(if query.by_chunk { 2 } else { 4 }));
    let mut without_expired = false;
    loop {
        let found = candidates(table, dataset, passages, query, depth, mask.as_ref()).await?;
        let exhausted = found.len() < depth;
        let least = found.last().map_or(0.0, |one| one.score);
        let (mut chosen, expired) = choose(table, dataset, passages, query, found, wanted).await?;
        if chosen.len() < wanted && expired && !without_expired {
            // What has expired took the places of others: it is left out before the search.
            mask = Some(table.matching(dataset, query.filter, Some(query.now)).await?);
            without_expired = true;
            continue;
        }
        // Many chunks of few documents: look further, as long as there is more.
        if chosen.len() < wanted && !exhausted && depth < 100_000 {
            depth = depth.saturating_mul(8);
            continue;
        }
        scale(query, &mut chosen, least)?;
        return finish(table, dataset, query, chosen).await;
    }
}

/// The best chunks of both searches in the order of their scores.
async fn candidates(
    table: &Table,
    dataset: &Arc<Dataset>,
    passages: Option<&Passages>,
    query: &Query<'_, '_>,
    depth: usize,
    mask: Option<&RowAddrTreeMap>,
) -> Result<Vec<Candidate>> {
    if mask.is_some_and(RowAddrTreeMap::is_empty) {
        return Ok(Vec::new());
    }
    let visible = table.visible(dataset, mask).await?;
    let by_vector = async {
        let vector = if query.mode == Mode::Text { None } else { query.vector.get().await? };
        let found = match (vector, passages) {
            (Some(vector), Some(passages)) => near(passages, &visible, vector, depth).await?,
            // The fusion computes the cosines itself.
            (Some(vector), None) => nearest(table, dataset, vector, depth, mask, query.mode == Mode::Vector).await?,
            (None, _) => Vec::new(),
        };
        Ok((vector, found))
    };
    let by_text = async {
        match query.text {
            Some(text) if query.mode != Mode::Vector => matching(table, dataset, text, depth, mask, &visible).await,
            _ => Ok(Vec::new()),
        }
    };
    let ((vector, near), matching) = futures::try_join!(by_vector, by_text)?;
    match (query.mode, vector) {
        (Mode::Vector, _) => Ok(fuse::vector(near)),
        (Mode::Hybrid, Some(vector)) => {
            let identifiers = query.text.map(text::identifiers).unwrap_or_default();
            let together = together(table, dataset, passages, near, matching, &identifiers).await?;
            Ok(fuse::hybrid(vector, &together))
        }
        (Mode::Text | Mode::Hybrid, _) => Ok(fuse::text(matching)),
    }
}

/// Makes the scores of what was chosen into 0 to 1, and leaves out what is below the least that was asked for.
fn scale(query: &Query<'_, '_>, chosen: &mut Chosen, least: f32) -> Result<()> {
    if let (Some((first, row)), false) = (chosen.first(), query.mode == Mode::Vector) {
        let covered = covered(query.text, first, row)?;
        let (evidence, least) = match first.vector {
            Some(cosine) => (fuse::evidence(cosine, covered), least),
            // BM25 has a zero of its own.
            None => (covered.unwrap_or_default(), 0.0),
        };
        let best = first.score;
        chosen.iter_mut().for_each(|(one, _)| one.score = fuse::scale(one.score, best, least, evidence));
    }
    if let Some(asked) = query.min_score {
        chosen.retain(|(one, _)| one.score >= asked);
    }
    Ok(())
}

/// What both searches found, each with its vector and length.
async fn together(
    table: &Table,
    dataset: &Arc<Dataset>,
    passages: Option<&Passages>,
    near: Vec<(u64, f32)>,
    matching: Vec<(u64, f32)>,
    identifiers: &[String],
) -> Result<fuse::Passages> {
    let scores: HashMap<u64, f32> = matching.iter().copied().collect();
    let mut all: Vec<u64> = near.into_iter().chain(matching).map(|(address, _)| address).collect();
    all.sort_unstable();
    all.dedup();
    let text = all.iter().map(|address| scores.get(address).copied()).collect();
    let (mut vectors, mut lengths, mut has) = (Vec::new(), Vec::new(), Vec::new());
    let mut columns = Vec::new();
    match passages {
        Some(passages) => {
            vectors.reserve(all.len() * table.dimensions);
            for (file, row) in all.iter().filter_map(|address| passages.at(*address)) {
                lengths.push(file.length(row));
                vectors.extend(file.codes.vector(row));
            }
        }
        None => columns.extend([rows::START, rows::END, rows::VECTOR]),
    }
    if !identifiers.is_empty() {
        columns.push(rows::TEXT);
    }
    if !all.is_empty() && !columns.is_empty() {
        let columns = ProjectionRequest::from_columns(columns, dataset.schema());
        let batch = dataset.take_rows(&all, columns).await.map_err(|error| table.failed(&error))?;
        let column = |name: &str| batch.column_by_name(name);
        let places = |name: &str| column(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        if let (Some(starts), Some(ends)) = (places(rows::START), places(rows::END)) {
            lengths = starts.values().iter().zip(ends.values()).map(|(start, end)| (end - start) as f32).collect();
        }
        if let Some(lists) = column(rows::VECTOR).and_then(|column| column.as_fixed_size_list_opt()) {
            vectors = lists.values().as_primitive::<Float32Type>().values().to_vec();
        }
        if let Some(texts) = table::texts(&batch, rows::TEXT) {
            let lower: Vec<String> = texts.iter().map(|text| text.unwrap_or_default().to_lowercase()).collect();
            has = identifiers.iter().map(|one| lower.iter().map(|text| text.contains(one)).collect()).collect();
        }
    }
    Ok(fuse::Passages { addresses: all, text, lengths, vectors, identifiers: has })
}

/// The share of the query's words, as the index has them, that a passage has. `None` when the query has no words.
fn covered(query: Option<&str>, first: &Candidate, row: &Row) -> Result<Option<f32>> {
    let Some(query) = query else { return Ok(None) };
    if first.text.is_none() {
        return Ok(Some(0.0));
    }
    let wanted = words(&text::for_search(query))?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let has = words(&row.text)?;
    Ok(Some(wanted.intersection(&has).count() as f32 / wanted.len() as f32))
}

/// The different words of a text, as the full text index has them.
fn words(text: &str) -> Result<HashSet<String>> {
    Ok(table::words_of(text)?.into_iter().collect())
}

fn restricted(dataset: &Arc<Dataset>, mask: Option<&RowAddrTreeMap>) -> Scanner {
    let mut scan = dataset.scan();
    if let Some(mask) = mask {
        scan.prefilter(true).with_row_id_prefilter(RowAddrMask::from_allowed(mask.clone()));
    }
    scan
}

/// The chunks whose vectors are nearest, of those in memory: address and cosine, best first.
async fn near(passages: &Passages, visible: &[Visible], vector: &[f32], depth: usize) -> Result<Vec<(u64, f32)>> {
    let mut parts = Vec::new();
    let mut rows = 0;
    for one in visible {
        let Some(file) = passages.file(one.fragment) else { continue };
        rows += one.only.as_ref().map_or(u64::from(one.rows), |only| only.len()) as usize;
        let mut from = 0;
        while from < one.rows {
            let to = from.saturating_add(SHARE as u32).min(one.rows);
            parts.push(Part { fragment: one.fragment, codes: Arc::clone(&file.codes), rows: from..to, only: one.only.clone() });
            from = to;
        }
    }
    let query = Arc::new(Needle::new(vector));
    let keep = COMPARED_LEAST.max(depth.saturating_mul(COMPARED));
    if rows <= AT_ONCE {
        return Ok(codes::nearest(&parts, &query, depth, keep));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = rows.div_ceil(SHARE).min(cores).clamp(1, MOST_THREADS);
    let share = parts.len().div_ceil(threads);
    let mut work = Vec::new();
    while !parts.is_empty() {
        let own = parts.split_off(parts.len().saturating_sub(share));
        let query = Arc::clone(&query);
        work.push(run_blocking(move || Ok(codes::nearest(&own, &query, depth, keep))));
    }
    let mut found: Vec<(u64, f32)> = futures::future::try_join_all(work).await?.concat();
    found.sort_unstable_by(best_first);
    found.truncate(depth);
    Ok(found)
}

fn best_first(left: &(u64, f32), right: &(u64, f32)) -> std::cmp::Ordering {
    right.1.total_cmp(&left.1).then(left.0.cmp(&right.0))
}

/// The chunks whose vectors are nearest, as LanceDB finds them: address and cosine, best first.
async fn nearest(
    table: &Table,
    dataset: &Arc<Dataset>,
    vector: &[f32],
    depth: usize,
    mask: Option<&RowAddrTreeMap>,
    exact: bool,
) -> Result<Vec<(u64, f32)>> {
    let failed = |error: lance::Error| table.failed(&error);
    let key = Float32Array::from(vector.to_vec());
    let mut scan = restricted(dataset, mask);
    scan.nearest(rows::VECTOR, &key, depth).map_err(failed)?;
    scan.distance_metric(MetricType::L2);
    let partitions = table.partitions(dataset).await.map_err(failed)?;
    table.tune(&mut scan, partitions, mask.map(|mask| mask.len().unwrap_or(u64::MAX)), exact);
    scan.with_row_id().disable_scoring_autoprojection();
    scan.project(&["_distance"]).map_err(failed)?;
    let mut found = scored(table, &scan, "_distance").await?;
    // The square of the distance of two vectors of length 1 is 2 - 2 cos.
    found.iter_mut().for_each(|(_, distance)| *distance = 1.0 - *distance / 2.0);
    found.sort_unstable_by(best_first);
    Ok(found)
}

/// The chunks whose words match: address and BM25 score, best first.
async fn matching(
    table: &Table,
    dataset: &Arc<Dataset>,
    text: &str,
    depth: usize,
    mask: Option<&RowAddrTreeMap>,
    visible: &[Visible],
) -> Result<Vec<(u64, f32)>> {
    let failed = |error: lance::Error| table.failed(&error);
    let text = text::for_search(text);
    if let Some(mut found) = index::matching(dataset, &text, depth, visible).await.map_err(failed)? {
        found.sort_unstable_by(best_first);
        found.truncate(depth);
        return Ok(found);
    }
    let query = MatchQuery::new(text).with_column(Some(rows::TEXT.to_owned()));
    let limit = i64::try_from(depth).unwrap_or(i64::MAX);
    let mut scan = restricted(dataset, mask);
    scan.full_text_search(FullTextSearchQuery::new_query(query.into()).limit(Some(limit))).map_err(failed)?;
    scan.with_row_id().disable_scoring_autoprojection();
    scan.project(&["_score"]).map_err(failed)?;
    scan.limit(Some(limit), None).map_err(failed)?;
    let mut found = scored(table, &scan, "_score").await?;
    found.sort_unstable_by(best_first);
    Ok(found)
}

async fn scored(table: &Table, scan: &Scanner, column: &str) -> Result<Vec<(u64, f32)>> {
    let failed = |error: lance::Error| table.failed(&error);
    let batches: Vec<RecordBatch> =
        scan.try_into_stream().await.map_err(failed)?.try_collect().await.map_err(|error: lance::Error| table.failed(&error))?;
    let mut found = Vec::new();
    for batch in &batches {
        let scores = batch.column_by_name(column).and_then(|column| column.as_primitive_opt::<Float32Type>());
        if let Some(scores) = scores {
            found.extend(addresses(batch).into_iter().zip(scores.values().iter().copied()));
        }
    }
    Ok(found)
}

type Chosen = Vec<(Candidate, Row)>;

/// The candidates that are given: the best chunk of each document, or each chunk, until there are enough. Also whether some have expired.
async fn choose(
    table: &Table,
    dataset: &Arc<Dataset>,
    passages: Option<&Passages>,
    query: &Query<'_, '_>,
    candidates: Vec<Candidate>,
    wanted: usize,
) -> Result<(Chosen, bool)> {
    let mut chosen: Chosen = Vec::new();
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut expired = false;
    let mut rest = candidates.as_slice();
    while chosen.len() < wanted && !rest.is_empty() {
        let size = (wanted - chosen.len()).saturating_add(wanted / 4 + 2).min(rest.len());
        let (part, others) = rest.split_at(size);
        rest = others;
        let part_addresses: Vec<u64> = part.iter().map(|one| one.address).collect();
        let columns = if passages.is_some() { rows::WORDS } else { rows::HIT };
        for (candidate, mut row) in part.iter().zip(table.take(dataset, &part_addresses, columns).await?) {
            if let Some(passages) = passages {
                passages.fill(candidate.address, &mut row);
            }
            if row.expires_at.is_some_and(|at| at <= query.now) {
                expired = true;
            } else if chosen.len() < wanted && (query.by_chunk || seen.insert(Arc::clone(&row.id))) {
                chosen.push((*candidate, row));
            }
        }
    }
    Ok((chosen, expired))
}

async fn finish(table: &Table, dataset: &Arc<Dataset>, query: &Query<'_, '_>, chosen: Chosen) -> Result<Found> {
    let chosen: Chosen = chosen.into_iter().skip(query.offset).take(query.limit).collect();
    let mut around = neighbours(table, dataset, query, &chosen).await?;
    let vectors = if query.vectors {
        let addresses: Vec<u64> = chosen.iter().map(|(candidate, _)| candidate.address).collect();
        table.take(dataset, &addresses, &[rows::VECTOR]).await?.into_iter().flat_map(|row| row.vector).collect()
    } else {
        Vec::new()
    };
    let mut hits = Vec::with_capacity(chosen.len());
    for (at, (candidate, row)) in chosen.into_iter().enumerate() {
        hits.push(Hit {
            id: row.id.to_string(),
            score: candidate.score,
            metadata: text::raw(&row.metadata)?,
            chunk: HitChunk { index: row.chunk, start: row.start, end: row.end },
            chunks: usize::try_from(row.chunks).unwrap_or_default(),
            scores: HitScores { vector: candidate.vector, text: candidate.text },
            neighbours: around.get_mut(at).and_then(Option::take),
            created_at: row.created_at,
            updated_at: row.updated_at,
            text: row.text,
        });
    }
    Ok(Found { hits, vectors })
}

/// The text around each passage, when it was asked for.
async fn neighbours(
    table: &Table,
    dataset: &Arc<Dataset>,
    query: &Query<'_, '_>,
    chosen: &[(Candidate, Row)],
) -> Result<Vec<Option<Neighbours>>, Error> {
    if query.neighbours == 0 {
        return Ok(Vec::new());
    }
    let ids: HashSet<&str> = chosen.iter().map(|(_, row)| &*row.id).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let columns = [rows::ID, rows::CHUNK, rows::START, rows::END, rows::TEXT];
    let mut documents: HashMap<Arc<str>, Vec<Row>> = HashMap::new();
    for (_, row) in table.of_ids(dataset, &ids, &columns).await? {
        documents.entry(Arc::clone(&row.id)).or_default().push(row);
    }
    for rows in documents.values_mut() {
        rows.sort_by_key(|row| row.chunk);
    }
    let reach = i32::try_from(query.neighbours).unwrap_or(i32::MAX);
    Ok(chosen
        .iter()
        .map(|(_, hit)| {
            let all = documents.get(&hit.id)?;
            let from = hit.chunk.saturating_sub(reach);
            let to = hit.chunk.saturating_add(reach);
            let before = all.iter().filter(|row| row.chunk >= from && row.chunk < hit.chunk);
            let after = all.iter().filter(|row| row.chunk > hit.chunk && row.chunk <= to);
            // Chunks overlap: what the passage has itself is not repeated.
            Some(Neighbours { before: text::join(before, i64::MIN, hit.start), after: text::join(after, hit.end, i64::MAX) })
        })
        .collect())
}
