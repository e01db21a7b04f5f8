//! Export and import: a document per line, as JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use master_agent_core::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents;
use crate::error::{Error, Result};
use crate::memory::{Inner, filter_of, now, run_blocking};
use crate::request::{self, Document, Facts, FailedLine, Head, Imported, Order};
use crate::table::write::Status;
use crate::table::{failure, rows};
use crate::text;

/// Documents that are read or written at a time, and bytes of text after which fewer are.
const PAGE: usize = 256;
const PAGE_BYTES: usize = 4 << 20;
/// Lines with mistakes that are told of one by one.
const MOST_FAILURES: usize = 100;

/// Writes the documents into a file, which is there only when it is whole.
pub(crate) async fn export(inner: &Arc<Inner>, head: &Head, request: &request::Export) -> Result<Facts> {
    let filter = filter_of(request.filter.as_ref())?;
    let path = &request.path;
    let half = path.with_extension(format!("{}.part", std::process::id()));
    let failed = |error: std::io::Error| failure::of_io(path, &error);
    let mut file = BufWriter::new(File::create(&half).map_err(failed)?);
    let written = async {
        let mut count = 0;
        if let Some(opened) = inner.table(&head.collection).await? {
            let dataset = opened.table.snapshot().await?;
            let total = documents::count(&opened.table, &dataset, filter.as_ref(), now()).await?.0;
            let mut cursor: Option<String> = None;
            let mut columns = rows::PLAIN.to_vec();
            if request.vectors {
                columns.push(rows::VECTOR);
            }
            loop {
                let (page, next) =
                    documents::page_of_rows(&opened.table, filter.as_ref(), Order::default(), PAGE, cursor.as_deref(), &columns)
                        .await?;
                for rows in &page {
                    let document = documents::stored(rows)?;
                    let mut line = documents::Line::new(&document);
                    if request.vectors {
                        line = line.with_vectors(&opened.table.model, rows);
                    }
                    let line =
                        serde_json::to_string(&line).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
                    writeln!(file, "{line}").map_err(failed)?;
                }
                count += page.len();
                inner.progress(head, count, Some(total));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        file.flush().map_err(failed)?;
        std::fs::rename(&half, path).map_err(failed)?;
        Ok(count)
    }
    .await;
    match written {
        Ok(count) => Ok(Facts::from([("documents", json!(count))])),
        Err(error) => {
            let _ = std::fs::remove_file(&half);
            Err(error)
        }
    }
}

/// Adds the documents of a file. A line that is not one is told of, and the others are added. A line with vectors of this
/// memory's model is taken as it is; the text of any other is split and embedded.
pub(crate) async fn import(inner: &Arc<Inner>, head: &Head, request: &request::Import) -> Result<Imported> {
    let path = request.path.clone();
    let file = File::open(&path).map_err(|error| missing_or_io(&path, &error))?;
    let size = file.metadata().map(|facts| facts.len()).unwrap_or_default();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut outcome = Imported::default();
    let own = Own { model: inner.model_id().await?, dimensions: inner.dimensions().await? };
    let mut number = 0;
    let mut done = 0_u64;
    loop {
        let path = request.path.clone();
        let (back, lines) = run_blocking(move || {
            let mut lines = Vec::new();
            let mut bytes = 0;
            while lines.len() < PAGE && bytes < PAGE_BYTES {
                let mut line = Vec::new();
                if reader.read_until(b'\n', &mut line).map_err(|error| failure::of_io(&path, &error))? == 0 {
                    break;
                }
                bytes += line.len();
                lines.push(line);
            }
            Ok((reader, lines))
        })
        .await?;
        reader = back;
        if lines.is_empty() {
            break;
        }
        let mut parts: Vec<Part> = Vec::new();
        for line in lines {
            number += 1;
            done += line.len() as u64;
            match parsed(&line, &own) {
                Ok(None) => {}
                Ok(Some((document, vectors))) => put_in(&mut parts, document, vectors),
                Err(message) if outcome.failed.len() < MOST_FAILURES => outcome.failed.push(FailedLine { line: number, message }),
                Err(_) => {}
            }
        }
        for part in parts {
            let vectors = part.dimensions.map(|_| part.vectors);
            let added = inner.put(head, part.documents, request.conflict, request.dedupe, &request.chunk, vectors).await?;
            for one in added {
                *match one.status {
                    Status::Added => &mut outcome.added,
                    Status::Replaced => &mut outcome.replaced,
                    Status::Skipped => &mut outcome.skipped,
                    Status::Unchanged => &mut outcome.unchanged,
                } += 1;
            }
        }
        inner.progress(head, usize::try_from(done).unwrap_or(usize::MAX), usize::try_from(size).ok());
    }
    Ok(outcome)
}

/// The model of this memory, and the length of its vectors where it is known.
struct Own {
    model: String,
    dimensions: Option<usize>,
}

/// Documents that follow each other and are added alike: all with vectors of one length, or all without.
#[derive(Default)]
struct Part {
    documents: Vec<Document>,
    dimensions: Option<usize>,
    vectors: Vec<f32>,
}

fn put_in(parts: &mut Vec<Part>, document: Document, vectors: Option<(usize, Vec<f32>)>) {
    let dimensions = vectors.as_ref().map(|(dimensions, _)| *dimensions);
    if parts.last().is_none_or(|part| part.dimensions != dimensions) {
        parts.push(Part { dimensions, ..Part::default() });
    }
    if let Some(part) = parts.last_mut() {
        part.documents.push(document);
        part.vectors.extend(vectors.into_iter().flat_map(|(_, data)| data));
    }
}

/// What a line may have beside its document.
#[derive(Deserialize)]
struct Vectors {
    model: Option<Value>,
    chunks: Option<Vec<Chunk>>,
}

#[derive(Deserialize)]
struct Chunk {
    vector: Option<Vec<f32>>,
}

type Parsed = Option<(Document, Option<(usize, Vec<f32>)>)>;

/// The document of a line, with the length of its vectors and all of them where they are of this memory's model.
fn parsed(line: &[u8], own: &Own) -> std::result::Result<Parsed, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut document: Document = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    documents::check(std::slice::from_ref(&document)).map_err(|error| error.to_string())?;
    // Places without vectors are those of another split.
    let Some(places) = document.chunks.take() else { return Ok(Some((document, None))) };
    let given: Vectors = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if given.model.as_ref().and_then(Value::as_str) != Some(&own.model) {
        return Ok(Some((document, None)));
    }
    let chunks = given.chunks.unwrap_or_default();
    let Some(vectors) = chunks.into_iter().map(|chunk| chunk.vector).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
    else {
        return Ok(Some((document, None)));
    };
    let mut reached = 0;
    for (at, place) in places.iter().enumerate() {
        if place.start < 0 || place.start > reached || place.end < place.start {
            return Err(format!("chunks[{at}]: {}..{} does not follow what is before it", place.start, place.end));
        }
        reached = reached.max(place.end);
    }
    if reached != text::units(&document.text) {
        return Err(format!("chunks: they end at {reached}, the text at {}", text::units(&document.text)));
    }
    let dimensions = own.dimensions.unwrap_or(vectors[0].len());
    if let Some(at) = vectors.iter().position(|vector| vector.len() != dimensions || dimensions == 0) {
        return Err(format!("chunks[{at}].vector: must have {dimensions} numbers, not {}", vectors[at].len()));
    }
    let data = documents::normalized(vectors.concat(), dimensions).map_err(|error| format!("chunks: {error}"))?;
    document.chunks = Some(places);
    Ok(Some((document, Some((dimensions, data)))))
}

fn missing_or_io(path: &std::path::Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::new(ErrorCode::InvalidArgument, format!("{}: there is no such file", path.display()));
    }
    failure::of_io(path, error)
}
