//! The face of memory: one call per request, whatever it asks for.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use lance::session::Session;
use lancedb::Connection;
use master_agent_core::ErrorCode;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;

use crate::embed::{self, Embedder, ModelOptions, ModelSource, Reranker, Urgency};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::request::{self, Added, ChunkOptions, Document, Head, Mode, Model, Options, Reply};
use crate::search::{self, Found, Query, Vector};
use crate::table::resident::Budget;
use crate::table::rows;
use crate::table::upkeep::{self, Bell};
use crate::table::write::{Change, Conflict, Done, Patch, Prepared, Writer};
use crate::table::{Table, failure};
use crate::{documents, jsonl, text};

/// Part of the name of a collection that was dropped, until its files are removed.
const DROPPED: &str = ".dropped-";
/// Bytes of indexes, and of facts about files, that stay in memory.
const INDEX_CACHE: usize = 1 << 30;
const METADATA_CACHE: usize = 128 << 20;
/// How long closing waits for a step of upkeep.
const LONGEST_STEP: Duration = Duration::from_secs(10);
/// The longest name of a collection.
const LONGEST_NAME: usize = 128;
/// The name of the bundled model, known without loading it.
const BUNDLED_ID: &str = "sentence-transformers/all-MiniLM-L6-v2";
/// The length of its vectors.
const BUNDLED_DIMENSIONS: usize = 384;
/// The tokens of text that the bundled model sees.
const BUNDLED_MAX_TOKENS: usize = 254;

/// Requests that change a collection.
const CHANGES: &[&str] = &["add", "update", "delete", "drop", "optimize", "reindex", "reindexWrite", "import", "sweep"];

/// Passes events on: JSON texts.
pub type Emit = Arc<dyn Fn(String) + Send + Sync>;

/// A memory: collections of documents in a folder, and the model that embeds them.
pub struct Memory {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    emit: Emit,
    /// Taken away when the memory is closed, with all that it keeps in memory.
    connection: tokio::sync::Mutex<Option<Connection>>,
    model: OnceCell<Arc<Embedder>>,
    /// Counts the tokens of chunks whose vectors come from outside.
    counter: OnceCell<Arc<tokenizers::Tokenizer>>,
    rerankers: Mutex<HashMap<String, Arc<Reranker>>>,
    open: tokio::sync::Mutex<HashMap<String, Arc<Opened>>>,
    budget: Arc<Budget>,
    calls: Mutex<HashMap<u32, oneshot::Sender<()>>>,
    /// Reindexing with vectors from outside, by collection.
    pub(crate) rebuilds: tokio::sync::Mutex<HashMap<String, documents::Rebuild>>,
    closed: std::sync::atomic::AtomicBool,
    idle: tokio::sync::RwLock<()>,
}

/// A table and what works on it.
pub(crate) struct Opened {
    pub(crate) table: Arc<Table>,
    writer: Writer,
    bell: Bell,
    caretaker: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(task) = self.caretaker.lock().take() {
            task.abort();
        }
        self.table.residents.lock().stop();
    }
}

fn answer(value: &impl Serialize) -> Result<Reply> {
    let value = serde_json::to_string(value).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
    Ok(Reply { value, vectors: None })
}

fn read<T: DeserializeOwned>(request: &str) -> Result<T> {
    serde_json::from_str(request).map_err(|error| Error::new(ErrorCode::InvalidArgument, format!("the request: {error}")))
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The filter of a request; one without conditions is none.
pub(crate) fn filter_of(given: Option<&Value>) -> Result<Option<Filter>> {
    Ok(given.map(Filter::parse).transpose()?.filter(|filter| !filter.is_empty()))
}

/// Removes what was dropped, also by a process that ended before it had removed it.
fn remove_dropped(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.contains(DROPPED) {
            // What cannot be removed now is tried again by the next drop.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn check_collection(name: &str) -> Result<()> {
    let known = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(known) || name.starts_with('.') {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "collection: must be 1 to {LONGEST_NAME} letters, digits, \"_\", \"-\" or \".\", and not begin with \".\", not {:?}",
                name.chars().take(80).collect::<String>()
            ),
        ));
    }
    Ok(())
}

impl Memory {
    /// Opens nothing yet: the folder and the model are touched by the first call that needs them.
    pub fn open(options: Options, emit: Emit) -> Self {
        failure::watch_panics();
        Self {
            inner: Arc::new(Inner {
                budget: Arc::new(Budget::new(options.cache_bytes)),
                options,
                emit,
                connection: tokio::sync::Mutex::default(),
                model: OnceCell::new(),
                counter: OnceCell::new(),
                rerankers: Mutex::default(),
                open: tokio::sync::Mutex::default(),
                calls: Mutex::default(),
                rebuilds: tokio::sync::Mutex::default(),
                closed: std::sync::atomic::AtomicBool::new(false),
                idle: tokio::sync::RwLock::new(()),
            }),
        }
    }

    /// Answers one request; `vectors` are the rows that come with it.
    pub async fn call(&self, request: &str, vectors: Option<Vec<f32>>) -> Result<Reply> {
        let head: Head = read(request)?;
        if head.op == "cancel" {
            let wanted: request::Cancel = read(request)?;
            if let Some(call) = self.inner.calls.lock().remove(&wanted.target) {
                let _ = call.send(());
            }
            return answer(&json!({}));
        }
        let _busy = self.inner.idle.read().await;
        if self.inner.closed.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the memory is closed"));
        }
        check_collection(&head.collection)?;
        if self.inner.options.read_only && CHANGES.contains(&head.op.as_str()) {
            return Err(Error::new(ErrorCode::StoreReadOnly, "the memory was opened with readOnly: it changes nothing"));
        }
        let Some(number) = head.request else { return self.inner.guarded(&head, request, vectors).await };
        let (cancel, cancelled) = oneshot::channel();
        self.inner.calls.lock().insert(number, cancel);
        let outcome = tokio::select! {
            outcome = self.inner.guarded(&head, request, vectors) => outcome,
            Ok(()) = cancelled => Err(Error::new(ErrorCode::WaitAborted, "the call was aborted")),
        };
        self.inner.calls.lock().remove(&number);
        outcome
    }

    /// Lets calls that are under way end, and lets go of all files.
    pub async fn close(&self) {
        self.inner.closed.store(true, std::sync::atomic::Ordering::Release);
        let _alone = self.inner.idle.write().await;
        self.inner.rebuilds.lock().await.clear();
        let opened: Vec<Arc<Opened>> = self.inner.open.lock().await.drain().map(|(_, opened)| opened).collect();
        for one in opened {
            one.bell.stop();
            one.table.residents.lock().stop();
            let task = one.caretaker.lock().take();
            // A step that takes longer is given up: what it has written is not part of the table yet.
            if let Some(mut task) = task
                && tokio::time::timeout(LONGEST_STEP, &mut task).await.is_err()
            {
                task.abort();
            }
        }
        self.inner.connection.lock().await.take();
    }
}

impl Inner {
    /// A panic ends the call alone.
    async fn guarded(self: &Arc<Self>, head: &Head, request: &str, vectors: Option<Vec<f32>>) -> Result<Reply> {
        let answer = AssertUnwindSafe(self.answer(head, request, vectors)).catch_unwind().await;
        answer.unwrap_or_else(|panic| {
            Err(failure::of_panic(&Table::path_of(&self.options.folder, &head.collection), panic.as_ref()))
        })
    }

    async fn answer(self: &Arc<Self>, head: &Head, request: &str, vectors: Option<Vec<f32>>) -> Result<Reply> {
        match head.op.as_str() {
            "embed" => self.embed(read(request)?).await,
            "tokens" => self.tokens(read(request)?).await,
            "split" => self.split(&read(request)?).await,
            "add" => self.add(head, read(request)?, vectors).await,
            "search" => self.search(head, &read(request)?, vectors).await,
            "get" => self.get(head, &read(request)?).await,
            "list" => self.list(head, &read(request)?).await,
            "update" => self.update(head, read(request)?, vectors).await,
            "delete" => self.delete(head, &read(request)?).await,
            "count" => self.count(head, &read(request)?).await,
            "collections" => self.collections().await,
            "drop" => self.drop_collection(head).await,
            "stats" => self.stats(head).await,
            "optimize" => self.optimize(head).await,
            "warm" => self.warm(head).await,
            "reindex" => documents::reindex(self, head, &read(request)?).await.and_then(|facts| answer(&facts)),
            "reindexRead" => self.list(head, &read(request)?).await,
            "reindexWrite" => documents::rebuild(self, head, read(request)?, vectors).await.and_then(|facts| answer(&facts)),
            "reindexAbandon" => {
                self.rebuilds.lock().await.remove(&head.collection);
                answer(&json!({}))
            }
            "export" => jsonl::export(self, head, &read(request)?).await.and_then(|facts| answer(&facts)),
            "import" => jsonl::import(self, head, &read(request)?).await.and_then(|facts| answer(&facts)),
            "rerank" => self.rerank(read(request)?).await,
            "sweep" => self.sweep(head).await,
            other => Err(Error::new(ErrorCode::Internal, format!("the request {other:?} is not known"))),
        }
    }

    pub(crate) fn progress(&self, head: &Head, done: usize, total: Option<usize>) {
        if let Some(request) = head.request {
            (self.emit)(json!({ "event": "progress", "request": request, "done": done, "total": total }).to_string());
        }
    }

    // -- what it works with --

    async fn connection(&self) -> Result<Connection> {
        let folder = &self.options.folder;
        let mut known = self.connection.lock().await;
        if let Some(connection) = &*known {
            return Ok(connection.clone());
        }
        let session = Session::new(INDEX_CACHE, METADATA_CACHE, Arc::default());
        let made = lancedb::connect(&folder.to_string_lossy())
            .session(Arc::new(session))
            .execute()
            .await
            .map_err(|error| failure::of_lance(folder, &error))?;
        *known = Some(made.clone());
        Ok(made)
    }

    /// The model, loaded once. There is none when vectors come from outside.
    pub(crate) async fn model(&self) -> Result<&Arc<Embedder>> {
        self.model
            .get_or_try_init(|| async {
                let source = match &self.options.model {
                    Model::Bundled { folder } => ModelSource::Bundled { folder: folder.clone() },
                    Model::Folder { folder } => ModelSource::Folder { folder: folder.clone() },
                    Model::Named { name, cache } => ModelSource::Named { name: name.clone(), cache: cache.clone() },
                    Model::External { .. } => {
                        return Err(Error::new(
                            ErrorCode::Internal,
                            "a memory with a function of its own for vectors was asked to embed",
                        ));
                    }
                };
                let options = self.model_options(source);
                run_blocking(move || Embedder::load(options)).await.map(Arc::new)
            })
            .await
    }

    fn model_options(&self, source: ModelSource) -> ModelOptions {
        let emit = Arc::clone(&self.emit);
        let mut options = ModelOptions::new(source);
        options.runtime = self.options.runtime.clone();
        options.on_progress = Some(Arc::new(move |progress| {
            emit(
                json!({ "event": "download", "file": progress.file, "done": progress.done, "total": progress.total }).to_string(),
            );
        }));
        options
    }

    pub(crate) fn is_external(&self) -> bool {
        matches!(self.options.model, Model::External { .. })
    }

    /// The name of the model that the vectors of this memory are of.
    pub(crate) async fn model_id(&self) -> Result<String> {
        match &self.options.model {
            Model::External { id, .. } => Ok(id.clone()),
            Model::Bundled { .. } if self.model.get().is_none() => Ok(BUNDLED_ID.to_owned()),
            _ => Ok(self.model().await?.id().to_owned()),
        }
    }

    /// The length of the vectors of this memory, where it is known.
    pub(crate) async fn dimensions(&self) -> Result<Option<usize>> {
        match &self.options.model {
            Model::External { dimensions, .. } => Ok(*dimensions),
            Model::Bundled { .. } if self.model.get().is_none() => Ok(Some(BUNDLED_DIMENSIONS)),
            _ => Ok(Some(self.model().await?.dimensions())),
        }
    }

    /// The collection's table, or `None` when nothing was added to it yet.
    pub(crate) async fn table(self: &Arc<Self>, name: &str) -> Result<Option<Arc<Opened>>> {
        let known = self.open.lock().await.get(name).cloned();
        if let Some(opened) = known {
            // Another process may have dropped or replaced it.
            if opened.table.is_current().await? {
                return Ok(Some(opened));
            }
            self.open.lock().await.retain(|_, other| !Arc::ptr_eq(other, &opened));
        }
        let mut open = self.open.lock().await;
        if let Some(opened) = open.get(name) {
            return Ok(Some(Arc::clone(opened)));
        }
        // Connecting would make the folder: reading does not.
        if !Table::is_there(&Table::path_of(&self.options.folder, name))? {
            return Ok(None);
        }
        let table = Table::open(&self.connection().await?, &self.options.folder, name, &self.budget).await?;
        let Some(table) = table else { return Ok(None) };
        let opened = self.attend(table);
        open.insert(name.to_owned(), Arc::clone(&opened));
        Ok(Some(opened))
    }

    /// The collection's table, made when there is none, for vectors of this model.
    async fn table_to_write(self: &Arc<Self>, name: &str, dimensions: usize) -> Result<Arc<Opened>> {
        if let Some(opened) = self.table(name).await? {
            self.check_model(&opened, Some(dimensions)).await?;
            return Ok(opened);
        }
        let folder = &self.options.folder;
        std::fs::create_dir_all(folder).map_err(|error| failure::of_io(folder, &error))?;
        let model = self.model_id().await?;
        let mut open = self.open.lock().await;
        if let Some(opened) = open.get(name) {
            return Ok(Arc::clone(opened));
        }
        let table = Table::create(&self.connection().await?, folder, name, &model, dimensions, &self.budget).await?;
        let opened = self.attend(table);
        open.insert(name.to_owned(), Arc::clone(&opened));
        drop(open);
        self.check_model(&opened, Some(dimensions)).await?;
        Ok(opened)
    }

    fn attend(self: &Arc<Self>, table: Table) -> Arc<Opened> {
        let table = Arc::new(table);
        let bell = Bell::default();
        let writer = Writer::new(&table, bell.clone());
        let caretaker = (self.options.maintenance && !self.options.read_only).then(|| {
            let (own, name) = (Arc::downgrade(self), table.name.clone());
            let sweep = async move || {
                if let Some(own) = own.upgrade() {
                    let _ = own.sweep_collection(&name).await;
                }
            };
            tokio::spawn(upkeep::look_after(Arc::downgrade(&table), bell.clone(), sweep))
        });
        Arc::new(Opened { table, writer, bell, caretaker: Mutex::new(caretaker) })
    }

    pub(crate) async fn forget(&self, name: &str) {
        self.open.lock().await.remove(name);
    }

    /// Vectors of two models cannot be compared: a table of another one is refused.
    pub(crate) async fn check_model(&self, opened: &Opened, dimensions: Option<usize>) -> Result<()> {
        let own = self.model_id().await?;
        let table = &opened.table;
        let agrees = table.model == own && dimensions.is_none_or(|dimensions| dimensions == table.dimensions);
        if agrees {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::MemoryModel,
            format!(
                "{}: the collection {:?} was made with the model {:?} ({} numbers a vector), this memory uses {own:?}{}. Open it with that model, or call reindex().",
                table.path.display(),
                table.name,
                table.model,
                table.dimensions,
                dimensions.map(|count| format!(" ({count})")).unwrap_or_default(),
            ),
        ))
    }

    // -- texts --

    async fn embed(&self, request: request::Embed) -> Result<Reply> {
        let model = self.model().await?;
        let urgency = if request.query { Urgency::Query } else { Urgency::Documents };
        let vectors = model.embed(request.texts, urgency).await?;
        let mut reply = answer(&json!({ "dimensions": vectors.dimensions, "model": model.id() }))?;
        reply.vectors = Some(vectors.data);
        Ok(reply)
    }

    async fn tokens(&self, request: request::Embed) -> Result<Reply> {
        let tokenizer = self.tokenizer().await?;
        let texts = request.texts;
        let counts = run_blocking(move || {
            let count = |text: &String| {
                tokenizer
                    .encode_fast(text.as_str(), false)
                    .map(|encoded| encoded.len())
                    .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
            };
            texts.iter().map(count).collect::<Result<Vec<usize>>>()
        })
        .await?;
        answer(&json!({ "counts": counts }))
    }

    async fn split(&self, request: &request::Split) -> Result<Reply> {
        let mut all = Vec::with_capacity(request.texts.len());
        for (text, chunks) in request.texts.iter().zip(self.chunks(request.texts.clone(), &request.chunk).await?) {
            let places = text::utf16_places(text, &chunks);
            let one: Vec<Value> = chunks
                .iter()
                .zip(places)
                .map(|(range, (start, end))| json!({ "text": &text[range.clone()], "start": start, "end": end }))
                .collect();
            all.push(one);
        }
        answer(&json!({ "chunks": all }))
    }

    async fn tokenizer(&self) -> Result<Arc<tokenizers::Tokenizer>> {
        match &self.options.model {
            Model::External { tokenizer: Some(path), .. } => {
                let load = async || {
                    let path = path.clone();
                    run_blocking(move || load_tokenizer(&path)).await
                };
                self.counter.get_or_try_init(load).await.map(Arc::clone)
            }
            Model::External { .. } => Err(Error::new(ErrorCode::Internal, "a memory without a tokenizer was asked to split")),
            _ => Ok(Arc::clone(self.model().await?.tokenizer())),
        }
    }

    /// The places of each text's chunks, in bytes. A text has one at least.
    async fn chunks(&self, texts: Vec<String>, options: &ChunkOptions) -> Result<Vec<Vec<std::ops::Range<usize>>>> {
        let tokenizer = self.tokenizer().await?;
        let most = match (&self.options.model, self.model.get()) {
            (Model::External { max_tokens, .. }, _) => max_tokens.unwrap_or(BUNDLED_MAX_TOKENS),
            (_, Some(model)) => model.max_tokens(),
            (_, None) => BUNDLED_MAX_TOKENS,
        };
        let options = documents::chunk_options(options, most)?;
        run_blocking(move || {
            let split = |text: &String| {
                let chunks = crate::chunk::chunk(text, &options, &tokenizer)?;
                Ok(if chunks.is_empty() { vec![0..text.len(); 1] } else { chunks })
            };
            texts.iter().map(split).collect()
        })
        .await
    }

    /// Documents with their chunks and vectors, ready to be written.
    pub(crate) async fn prepare(
        &self,
        head: &Head,
        given: Vec<Document>,
        options: &ChunkOptions,
        vectors: Option<Vec<f32>>,
        now: i64,
    ) -> Result<(Vec<Prepared>, usize)> {
        let total = given.len();
        let places = if self.is_external() || vectors.is_some() {
            let mut places = Vec::with_capacity(given.len());
            for (at, document) in given.iter().enumerate() {
                let Some(chunks) = &document.chunks else {
                    return Err(Error::new(ErrorCode::Internal, format!("documents[{at}].chunks: missing beside vectors")));
                };
                places.push(documents::byte_ranges(&document.text, chunks, at)?);
            }
            places
        } else {
            self.chunks(given.iter().map(|document| document.text.clone()).collect(), options).await?
        };
        let pieces = |(document, ranges): (&Document, &Vec<std::ops::Range<usize>>)| {
            ranges.iter().map(|range| document.text[range.clone()].to_owned()).collect::<Vec<_>>()
        };
        let texts: Vec<String> = given.iter().zip(&places).flat_map(pieces).collect();
        let count = texts.len();
        let (data, dimensions) = match vectors {
            Some(data) if count > 0 && data.len() % count == 0 && !data.is_empty() => {
                let dimensions = data.len() / count;
                (documents::normalized(data, dimensions)?, dimensions)
            }
            Some(data) if count == 0 && data.is_empty() => (data, 0),
            Some(data) => {
                return Err(Error::new(
                    ErrorCode::EmbeddingFailed,
                    format!("{} numbers are not a vector of the same length for each of {count} chunks", data.len()),
                ));
            }
            None => self.embed_in_parts(head, texts, total).await?,
        };
        let mut rows = data.chunks_exact(dimensions.max(1));
        let mut prepared = Vec::with_capacity(given.len());
        for (at, (document, ranges)) in given.into_iter().zip(places).enumerate() {
            prepared.push(documents::prepared(at, document, &ranges, &mut rows, now)?);
        }
        Ok((prepared, dimensions))
    }

    /// Embeds in parts, so that a long call tells how far it is and can be aborted.
    async fn embed_in_parts(&self, head: &Head, texts: Vec<String>, documents: usize) -> Result<(Vec<f32>, usize)> {
        let model = self.model().await?;
        let count = texts.len();
        let mut data = Vec::with_capacity(count * model.dimensions());
        let mut texts = texts.into_iter();
        loop {
            let part: Vec<String> = texts.by_ref().take(256).collect();
            if part.is_empty() {
                break;
            }
            data.extend(model.embed(part, Urgency::Documents).await?.data);
            if count > 256 {
                let done = data.len() / model.dimensions();
                self.progress(head, documents * done / count.max(1), Some(documents));
            }
        }
        Ok((data, model.dimensions()))
    }

    // -- documents --

    async fn add(self: &Arc<Self>, head: &Head, request: request::Add, vectors: Option<Vec<f32>>) -> Result<Reply> {
        documents::check(&request.documents)?;
        if request.documents.is_empty() {
            return answer(&json!({ "documents": [] }));
        }
        let done = self.put(head, request.documents, request.conflict, request.dedupe, &request.chunk, vectors).await?;
        answer(&json!({ "documents": done }))
    }

    pub(crate) async fn put(
        self: &Arc<Self>,
        head: &Head,
        given: Vec<Document>,
        conflict: Conflict,
        dedupe: bool,
        chunk: &ChunkOptions,
        vectors: Option<Vec<f32>>,
    ) -> Result<Vec<Added>> {
        let (prepared, dimensions) = self.prepare(head, given, chunk, vectors, now()).await?;
        let opened = self.table_to_write(&head.collection, dimensions).await?;
        match opened.writer.apply(Change::Put { documents: prepared, conflict, dedupe }).await? {
            Done::Put(done) => {
                Ok(done.into_iter().map(|one| Added { id: one.id.to_string(), chunks: one.chunks, status: one.status }).collect())
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn search(self: &Arc<Self>, head: &Head, request: &request::Search, vector: Option<Vec<f32>>) -> Result<Reply> {
        let filter = filter_of(request.filter.as_ref())?;
        let text = request.query.as_deref();
        let wants_vector = request.mode != Mode::Text;
        let width = vector.as_ref().map(Vec::len);
        let vector = Vector::new(async {
            match (vector, text) {
                (Some(vector), _) => {
                    let width = vector.len();
                    documents::normalized(vector, width).map(Some)
                }
                (None, Some(text)) if wants_vector && !self.is_external() => {
                    let model = self.model().await?;
                    Ok(Some(model.embed(vec![text.to_owned()], Urgency::Query).await?.data))
                }
                _ => Ok(None),
            }
        });
        let query = Query {
            text,
            vector: &vector,
            mode: request.mode,
            limit: request.limit,
            offset: request.offset,
            min_score: request.min_score,
            filter: filter.as_ref(),
            neighbours: request.neighbours,
            by_chunk: request.chunks,
            vectors: request.vectors,
            now: now(),
        };
        let (_, found) = futures::try_join!(vector.get(), self.found(head, &query, width))?;
        let mut reply = answer(&json!({ "hits": found.hits }))?;
        reply.vectors = request.vectors.then_some(found.vectors);
        Ok(reply)
    }

    /// Searches a collection for vectors of `width` numbers, if that is known.
    async fn found(self: &Arc<Self>, head: &Head, query: &Query<'_, '_>, width: Option<usize>) -> Result<Found> {
        for again in [false, true] {
            let Some(opened) = self.table(&head.collection).await? else { break };
            self.check_model(&opened, width).await?;
            if query.limit == 0 {
                break;
            }
            match search::search(&opened.table, query).await {
                // Another process dropped the table, and perhaps made it anew, since it was looked at.
                Err(error)
                    if !again
                        && matches!(error.code(), ErrorCode::StoreCorrupt | ErrorCode::StoreConflict)
                        && opened.table.newest().await.is_err() =>
                {
                    self.forget(&head.collection).await;
                }
                found => return found,
            }
        }
        Ok(Found::default())
    }

    async fn get(self: &Arc<Self>, head: &Head, request: &request::Get) -> Result<Reply> {
        let Some(opened) = self.table(&head.collection).await? else {
            return answer(&json!({ "documents": vec![Value::Null; request.ids.len()] }));
        };
        let ids: Vec<&str> = request.ids.iter().map(String::as_str).collect();
        let dataset = opened.table.snapshot().await?;
        let mut columns = rows::PLAIN.to_vec();
        if request.vectors {
            columns.push(rows::VECTOR);
        }
        let found = opened.table.of_ids(&dataset, &ids, &columns).await?;
        let found = documents::grouped(found.into_iter().map(|(_, row)| row), now());
        let mut vectors = Vec::new();
        let mut documents = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(rows) = found.get(id) {
                if request.vectors {
                    vectors.extend(rows.iter().flat_map(|row| row.vector.iter().copied()));
                }
                documents.push(Some(documents::stored(rows)?));
            } else {
                documents.push(None);
            }
        }
        let mut reply = answer(&json!({ "documents": documents }))?;
        reply.vectors = request.vectors.then_some(vectors);
        Ok(reply)
    }

    async fn list(self: &Arc<Self>, head: &Head, request: &request::List) -> Result<Reply> {
        let filter = filter_of(request.filter.as_ref())?;
        let Some(opened) = self.table(&head.collection).await? else { return answer(&json!({ "documents": [] })) };
        let (documents, cursor) =
            documents::page(&opened.table, filter.as_ref(), request.order, request.limit, request.cursor.as_deref()).await?;
        answer(&json!({ "documents": documents, "cursor": cursor }))
    }

    async fn update(self: &Arc<Self>, head: &Head, request: request::Update, vectors: Option<Vec<f32>>) -> Result<Reply> {
        let missing = || {
            Error::new(
                ErrorCode::MemoryNotFound,
                format!("there is no document {:?} in the collection {:?}", request.id, head.collection),
            )
        };
        let opened = self.table(&head.collection).await?.ok_or_else(missing)?;
        let now = now();
        let rows = match request.text.clone() {
            None => None,
            Some(text) => {
                let document = Document {
                    id: Some(request.id.clone()),
                    text,
                    metadata: None,
                    expires_at: None,
                    created_at: None,
                    updated_at: None,
                    chunks: request.chunks.clone(),
                };
                documents::check(std::slice::from_ref(&document))?;
                let (prepared, dimensions) = self.prepare(head, vec![document], &request.chunk, vectors, now).await?;
                self.check_model(&opened, Some(dimensions)).await?;
                prepared.into_iter().next().map(|one| one.rows)
            }
        };
        let patch = Patch {
            rows,
            metadata: request.metadata.clone(),
            merge: request.merge_metadata,
            expires_at: request.expires_at,
            now,
        };
        let id: Arc<str> = request.id.as_str().into();
        opened.writer.apply(Change::Update { id, patch }).await?;
        let dataset = opened.table.snapshot().await?;
        let found = opened.table.of_ids(&dataset, &[&request.id], rows::PLAIN).await?;
        let found = documents::grouped(found.into_iter().map(|(_, row)| row), i64::MIN);
        match found.get(request.id.as_str()) {
            Some(rows) => answer(&json!({ "document": documents::stored(rows)? })),
            // Somebody else removed it since.
            None => Err(missing()),
        }
    }

    async fn delete(self: &Arc<Self>, head: &Head, request: &request::Delete) -> Result<Reply> {
        let filter = filter_of(request.filter.as_ref())?;
        let Some(opened) = self.table(&head.collection).await? else { return answer(&json!({ "deleted": 0 })) };
        let mut deleted = 0;
        if let Some(ids) = &request.ids {
            let ids = ids.iter().map(|id| id.as_str().into()).collect();
            deleted += documents_deleted(opened.writer.apply(Change::Delete { ids }).await?)?;
        }
        // A filter without conditions was asked for: everything goes.
        if request.filter.is_some() {
            let filter = filter.map_or_else(|| Filter::parse(&json!({})), Ok)?;
            deleted += documents_deleted(opened.writer.apply(Change::DeleteWhere { filter }).await?)?;
        }
        answer(&json!({ "deleted": deleted }))
    }

    async fn count(self: &Arc<Self>, head: &Head, request: &request::Count) -> Result<Reply> {
        let filter = filter_of(request.filter.as_ref())?;
        let Some(opened) = self.table(&head.collection).await? else {
            return answer(&json!({ "documents": 0, "chunks": 0 }));
        };
        let dataset = opened.table.snapshot().await?;
        let (documents, chunks) = documents::count(&opened.table, &dataset, filter.as_ref(), now()).await?;
        answer(&json!({ "documents": documents, "chunks": chunks }))
    }

    // -- collections --

    async fn collections(self: &Arc<Self>) -> Result<Reply> {
        let mut facts = Vec::new();
        for name in self.names()? {
            if let Some(opened) = self.table(&name).await? {
                let dataset = opened.table.snapshot().await?;
                let (documents, chunks) = documents::count(&opened.table, &dataset, None, now()).await?;
                let bytes = documents::bytes_below(&opened.table.path);
                facts.push(request::CollectionFacts { name, documents, chunks, bytes });
            }
        }
        answer(&json!({ "collections": facts }))
    }

    fn names(&self) -> Result<Vec<String>> {
        let folder = &self.options.folder;
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failure::of_io(folder, &error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".lance").map(str::to_owned))
            .filter(|name| check_collection(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    async fn drop_collection(self: &Arc<Self>, head: &Head) -> Result<Reply> {
        let path = Table::path_of(&self.options.folder, &head.collection);
        if !Table::is_there(&path)? {
            return answer(&json!({ "dropped": false }));
        }
        self.forget(&head.collection).await;
        let _lock = crate::table::lock::LockFile::new(&self.options.folder, &head.collection, "write").lock().await?;
        // Under another name it is gone for everybody at once; file by file, a reader would find it damaged for a while.
        let gone = self.options.folder.join(format!(".{}{DROPPED}{}", head.collection, uuid::Uuid::now_v7()));
        if std::fs::rename(&path, &gone).is_ok() {
            let folder = self.options.folder.clone();
            run_blocking(move || {
                remove_dropped(&folder);
                Ok(())
            })
            .await?;
            return answer(&json!({ "dropped": true }));
        }
        match self.connection().await?.drop_table(&head.collection, &[]).await {
            Ok(()) => answer(&json!({ "dropped": true })),
            Err(lancedb::Error::TableNotFound { .. }) => answer(&json!({ "dropped": false })),
            Err(error) => Err(failure::of_lance(&path, &error)),
        }
    }

    async fn stats(self: &Arc<Self>, head: &Head) -> Result<Reply> {
        let Some(opened) = self.table(&head.collection).await? else {
            let model = self.model_id().await?;
            return answer(&request::Stats {
                documents: 0,
                chunks: 0,
                bytes: 0,
                version: 0,
                fragments: 0,
                deleted_rows: 0,
                unindexed_rows: 0,
                cached_chunks: 0,
                indexes: Vec::new(),
                model,
                dimensions: 0,
            });
        };
        answer(&documents::stats(&opened.table, now()).await?)
    }

    async fn optimize(self: &Arc<Self>, head: &Head) -> Result<Reply> {
        let Some(opened) = self.table(&head.collection).await? else { return answer(&json!({ "steps": 0 })) };
        self.sweep_collection(&head.collection).await?;
        let steps = upkeep::bring_up(&opened.table, true, true, &opened.bell).await?;
        answer(&json!({ "steps": steps }))
    }

    async fn warm(self: &Arc<Self>, head: &Head) -> Result<Reply> {
        let table = async {
            let Some(opened) = self.table(&head.collection).await? else { return Ok(0) };
            self.check_model(&opened, None).await?;
            let dataset = opened.table.snapshot().await?;
            opened.table.warm(&dataset).await?;
            Ok(opened.table.cached(&dataset))
        };
        let model = async {
            if !self.is_external() {
                self.model().await?;
            }
            Ok(())
        };
        let (chunks, ()) = futures::try_join!(table, model)?;
        answer(&json!({ "chunks": chunks }))
    }

    async fn sweep(self: &Arc<Self>, head: &Head) -> Result<Reply> {
        let deleted = self.sweep_collection(&head.collection).await?;
        answer(&json!({ "deleted": deleted }))
    }

    async fn sweep_collection(self: &Arc<Self>, name: &str) -> Result<usize> {
        let Some(opened) = self.table(name).await? else { return Ok(0) };
        documents_deleted(opened.writer.apply(Change::Sweep { now: now() }).await?)
    }

    async fn rerank(&self, request: request::Rerank) -> Result<Reply> {
        let (key, source) = match request.model {
            Model::Named { name, cache } => (name.clone(), ModelSource::Named { name, cache }),
            Model::Folder { folder } => (folder.to_string_lossy().into_owned(), ModelSource::Folder { folder }),
            Model::Bundled { .. } | Model::External { .. } => {
                return Err(Error::new(
                    ErrorCode::InvalidArgument,
                    "rerank.model: must be the name of a cross-encoder, or its folder",
                ));
            }
        };
        let known = self.rerankers.lock().get(&key).cloned();
        let reranker = match known {
            Some(reranker) => reranker,
            None => {
                let options = self.model_options(source);
                let loaded = Arc::new(run_blocking(move || Reranker::load(options)).await?);
                self.rerankers.lock().insert(key, Arc::clone(&loaded));
                loaded
            }
        };
        let scores = reranker.scores(request.query, request.texts).await?;
        answer(&json!({ "scores": scores }))
    }
}

/// The tokenizer at a path, read once in a process: reading it takes as long as many documents.
fn load_tokenizer(path: &std::path::Path) -> Result<Arc<tokenizers::Tokenizer>> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Arc<tokenizers::Tokenizer>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock();
    if let Some(tokenizer) = known.get(path) {
        return Ok(Arc::clone(tokenizer));
    }
    let tokenizer = Arc::new(embed::tokenizer_at(path)?);
    known.insert(path.to_owned(), Arc::clone(&tokenizer));
    Ok(tokenizer)
}

fn unexpected(done: &Done) -> Error {
    Error::new(ErrorCode::Internal, format!("a change to the memory ended as {done:?}"))
}

fn documents_deleted(done: Done) -> Result<usize> {
    match done {
        Done::Deleted(count) => Ok(count),
        other => Err(unexpected(&other)),
    }
}

/// Runs work that would hold up the runtime on a thread for it.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorCode::Internal, format!("work on a thread ended early: {error}")))?
}
