//! Export and import: a document per line, as JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use master_agent_core::ErrorCode;
use serde_json::json;

use crate::documents;
use crate::error::{Error, Result};
use crate::memory::{Inner, filter_of, now, run_blocking};
use crate::request::{self, Document, Facts, FailedLine, Head, Imported};
use crate::table::failure;
use crate::table::write::Status;

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
            loop {
                let (page, next) = documents::page(&opened.table, filter.as_ref(), PAGE, cursor.as_deref()).await?;
                for document in &page {
                    let line = serde_json::to_string(&documents::Line::from(document))
                        .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
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

/// Adds the documents of a file. A line that is not one is told of, and the others are added.
pub(crate) async fn import(inner: &Arc<Inner>, head: &Head, request: &request::Import) -> Result<Imported> {
    let path = request.path.clone();
    let file = File::open(&path).map_err(|error| missing_or_io(&path, &error))?;
    let size = file.metadata().map(|facts| facts.len()).unwrap_or_default();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut outcome = Imported::default();
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
        let mut documents = Vec::with_capacity(lines.len());
        for line in lines {
            number += 1;
            done += line.len() as u64;
            match parsed(&line) {
                Ok(None) => {}
                Ok(Some(document)) => documents.push(document),
                Err(message) if outcome.failed.len() < MOST_FAILURES => outcome.failed.push(FailedLine { line: number, message }),
                Err(_) => {}
            }
        }
        if !documents.is_empty() {
            let added = inner.put(head, documents, request.conflict, request.dedupe, &request.chunk, None).await?;
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

fn parsed(line: &[u8]) -> std::result::Result<Option<Document>, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let document: Document = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    documents::check(std::slice::from_ref(&document)).map_err(|error| error.to_string())?;
    Ok(Some(document))
}

fn missing_or_io(path: &std::path::Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::new(ErrorCode::InvalidArgument, format!("{}: there is no such file", path.display()));
    }
    failure::of_io(path, error)
}
