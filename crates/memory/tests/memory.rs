//! The face of memory over real tables, with vectors from outside: no model is loaded.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use master_agent_core::ErrorCode;
use master_agent_memory::{Error, Memory, Options};
use serde_json::{Value, json};

const DIMENSIONS: usize = 8;

/// A direction that depends on the text alone: texts that share words are near each other.
fn vector(text: &str) -> Vec<f32> {
    let mut sum = [0.01_f32; DIMENSIONS];
    for word in text.split_whitespace() {
        let hash = word.bytes().fold(17_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        sum[(hash % DIMENSIONS as u64) as usize] += 1.0;
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / length).collect()
}

fn open_as(folder: &Path, model: &str, maintenance: bool) -> Memory {
    let options: Options = serde_json::from_value(json!({
        "folder": folder, "maintenance": maintenance,
        "model": { "kind": "external", "id": model, "dimensions": DIMENSIONS },
    }))
    .unwrap();
    Memory::open(options, Arc::new(|_| {}))
}

fn open(folder: &Path) -> Memory {
    open_as(folder, "words", false)
}

/// Keeps no more than so many bytes of passages in memory.
fn open_with(folder: &Path, cache_bytes: usize) -> Memory {
    let options: Options = serde_json::from_value(json!({
        "folder": folder, "maintenance": false, "cacheBytes": cache_bytes,
        "model": { "kind": "external", "id": "words", "dimensions": DIMENSIONS },
    }))
    .unwrap();
    Memory::open(options, Arc::new(|_| {}))
}

async fn ask(memory: &Memory, request: Value, vectors: Option<Vec<f32>>) -> Result<Value, Error> {
    let reply = memory.call(&request.to_string(), vectors).await?;
    Ok(serde_json::from_str(&reply.value).unwrap())
}

/// Adds documents, each one chunk.
async fn add(memory: &Memory, mut request: Value, documents: Value) -> Result<Value, Error> {
    let mut vectors = Vec::new();
    let mut documents = documents;
    for document in documents.as_array_mut().unwrap() {
        let text = document["text"].as_str().unwrap().to_owned();
        document["chunks"] = json!([{ "start": 0, "end": text.encode_utf16().count() }]);
        vectors.extend(vector(&text));
    }
    request["op"] = json!("add");
    request["documents"] = documents;
    ask(memory, request, Some(vectors)).await
}

async fn search(memory: &Memory, query: &str, mut request: Value) -> Result<Vec<Value>, Error> {
    request["op"] = json!("search");
    request["query"] = json!(query);
    if request["limit"].is_null() {
        request["limit"] = json!(10);
    }
    let found = ask(memory, request, Some(vector(query))).await?;
    Ok(found["hits"].as_array().unwrap().clone())
}

fn ids(hits: &[Value]) -> Vec<&str> {
    hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

async fn count(memory: &Memory) -> (u64, u64) {
    let counted = ask(memory, json!({ "op": "count" }), None).await.unwrap();
    (counted["documents"].as_u64().unwrap(), counted["chunks"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_is_found_at_once_by_meaning_and_by_words() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    assert!(search(&memory, "anything", json!({})).await.unwrap().is_empty());
    let documents = json!([
        { "id": "a", "text": "the cat sat on the mat", "metadata": { "kind": "pet", "year": 2024 } },
        { "id": "b", "text": "rockets fly to the moon", "metadata": { "kind": "space", "year": 2020 } },
        { "id": "c", "text": "error NACA-0012 in wing section", "metadata": { "kind": "code", "year": 2022 } },
    ]);
    let added = add(&memory, json!({}), documents).await.unwrap();
    assert_eq!(added["documents"][0], json!({ "id": "a", "chunks": 1, "status": "added" }));
    for mode in ["hybrid", "vector", "text"] {
        let hits = search(&memory, "cat mat", json!({ "mode": mode })).await.unwrap();
        assert_eq!(ids(&hits)[0], "a", "{mode}");
        let score = hits[0]["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score), "{mode}: {score}");
    }
    let hits = search(&memory, "NACA-0012", json!({ "mode": "text" })).await.unwrap();
    assert_eq!(ids(&hits), ["c"]);
    assert_eq!(hits[0]["metadata"], json!({ "kind": "code", "year": 2022 }));
    let hits = search(&memory, "the", json!({ "filter": { "year": { "gte": 2022 } } })).await.unwrap();
    assert_eq!(ids(&hits).into_iter().collect::<HashSet<_>>(), HashSet::from(["a", "c"]));
    let hits = search(&memory, "moon", json!({ "filter": { "kind": "pet" } })).await.unwrap();
    assert_eq!(ids(&hits), ["a"]);
    memory.close().await;
    assert_eq!(ask(&memory, json!({ "op": "count" }), None).await.unwrap_err().code(), ErrorCode::Closed);
    let again = open(folder.path());
    assert_eq!(count(&again).await, (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_version_that_was_never_finished_is_no_table() {
    let folder = tempfile::tempdir().unwrap();
    // What a process leaves that is killed before it gives the file its name.
    let versions = folder.path().join("documents.lance/_versions");
    std::fs::create_dir_all(&versions).unwrap();
    std::fs::write(versions.join("18446744073709551614.manifest#1"), b"half").unwrap();
    let memory = open(folder.path());
    assert!(search(&memory, "anything", json!({})).await.unwrap().is_empty());
    add(&memory, json!({}), json!([{ "id": "a", "text": "the cat sat" }])).await.unwrap();
    assert_eq!(ids(&search(&memory, "cat", json!({})).await.unwrap()), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_an_id_that_is_there_is_replaced_skipped_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    add(&memory, json!({}), json!([{ "id": "a", "text": "one" }])).await.unwrap();
    let replaced = add(&memory, json!({}), json!([{ "id": "a", "text": "two" }, { "id": "b", "text": "three" }])).await.unwrap();
    assert_eq!(replaced["documents"][0]["status"], "replaced");
    assert_eq!(replaced["documents"][1]["status"], "added");
    let skipped = add(&memory, json!({ "conflict": "skip" }), json!([{ "id": "a", "text": "four" }])).await.unwrap();
    assert_eq!(skipped["documents"][0]["status"], "skipped");
    let refused =
        add(&memory, json!({ "conflict": "error" }), json!([{ "id": "z", "text": "x" }, { "id": "a", "text": "four" }])).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::MemoryExists);
    assert_eq!(count(&memory).await, (2, 2));
    let got = ask(&memory, json!({ "op": "get", "ids": ["a", "nobody", "b"] }), None).await.unwrap();
    assert_eq!(got["documents"][0]["text"], "two");
    assert_eq!(got["documents"][1], Value::Null);
    assert_eq!(got["documents"][2]["text"], "three");
    // Twice in one call: the last one stays.
    add(&memory, json!({}), json!([{ "id": "c", "text": "first" }, { "id": "c", "text": "second" }])).await.unwrap();
    let got = ask(&memory, json!({ "op": "get", "ids": ["c"] }), None).await.unwrap();
    assert_eq!(got["documents"][0]["text"], "second");
    assert_eq!(count(&memory).await, (3, 3));
    let same = add(&memory, json!({ "dedupe": true }), json!([{ "text": "second" }, { "text": "new" }, { "text": "new" }]))
        .await
        .unwrap();
    let statuses: Vec<&str> = same["documents"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["unchanged", "added", "unchanged"]);
    assert_eq!(same["documents"][0]["id"], "c");
    assert_eq!(same["documents"][1]["id"], same["documents"][2]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_updated_deleted_listed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    let documents: Vec<Value> =
        (0..50).map(|n| json!({ "id": format!("d{n:02}"), "text": format!("text {n}"), "metadata": { "n": n } })).collect();
    add(&memory, json!({}), json!(documents)).await.unwrap();
    let updated =
        ask(&memory, json!({ "op": "update", "id": "d07", "metadata": { "extra": true }, "mergeMetadata": true }), None)
            .await
            .unwrap();
    assert_eq!(updated["document"]["metadata"], json!({ "n": 7, "extra": true }));
    assert_eq!(updated["document"]["text"], "text 7");
    let places = json!([{ "start": 0, "end": 7 }]);
    let updated =
        ask(&memory, json!({ "op": "update", "id": "d07", "text": "changed", "chunks": places }), Some(vector("changed")))
            .await
            .unwrap();
    assert_eq!(updated["document"]["metadata"], json!({ "n": 7, "extra": true }));
    assert_eq!(ids(&search(&memory, "changed", json!({ "mode": "text" })).await.unwrap()), ["d07"]);
    let missing = ask(&memory, json!({ "op": "update", "id": "nobody", "metadata": {} }), None).await;
    assert_eq!(missing.unwrap_err().code(), ErrorCode::MemoryNotFound);

    let mut listed: Vec<String> = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = ask(&memory, json!({ "op": "list", "limit": 7, "cursor": cursor, "filter": { "n": { "lt": 40 } } }), None)
            .await
            .unwrap();
        listed.extend(page["documents"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(listed, (0..40).map(|n| format!("d{n:02}")).collect::<Vec<_>>());

    let deleted = ask(&memory, json!({ "op": "delete", "ids": ["d00", "d01", "nobody", "d00"] }), None).await.unwrap();
    assert_eq!(deleted["deleted"], 2);
    let deleted = ask(&memory, json!({ "op": "delete", "filter": { "n": { "gte": 45 } } }), None).await.unwrap();
    assert_eq!(deleted["deleted"], 5);
    assert_eq!(count(&memory).await, (43, 43));
    let counted = ask(&memory, json!({ "op": "count", "filter": { "extra": true } }), None).await.unwrap();
    assert_eq!(counted["documents"], 1);
    assert!(
        search(&memory, "text 46", json!({ "limit": 50 }))
            .await
            .unwrap()
            .iter()
            .all(|hit| hit["metadata"]["n"].as_u64().unwrap() < 45)
    );
    // The state stays the same after everything is brought up.
    ask(&memory, json!({ "op": "optimize" }), None).await.unwrap();
    assert_eq!(count(&memory).await, (43, 43));
    let stats = ask(&memory, json!({ "op": "stats" }), None).await.unwrap();
    assert_eq!(stats["unindexedRows"], 0);
    assert_eq!(ids(&search(&memory, "changed", json!({ "mode": "text" })).await.unwrap()), ["d07"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_neither_found_nor_counted_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    let mut documents: Vec<Value> =
        (0..300).map(|n| json!({ "id": format!("old{n}"), "text": format!("same words {n}"), "expiresAt": 1_000 })).collect();
    documents.push(json!({ "id": "live", "text": "same words 0", "expiresAt": 32_503_680_000_000_i64 }));
    documents.push(json!({ "id": "plain", "text": "same words 1" }));
    add(&memory, json!({}), json!(documents)).await.unwrap();
    for mode in ["hybrid", "vector", "text"] {
        let hits = search(&memory, "same words", json!({ "mode": mode })).await.unwrap();
        assert_eq!(ids(&hits).into_iter().collect::<HashSet<_>>(), HashSet::from(["live", "plain"]), "{mode}");
    }
    assert_eq!(count(&memory).await, (2, 2));
    let got = ask(&memory, json!({ "op": "get", "ids": ["old1"] }), None).await.unwrap();
    assert_eq!(got["documents"], json!([null]));
    let swept = ask(&memory, json!({ "op": "sweep" }), None).await.unwrap();
    assert_eq!(swept["deleted"], 300);
    ask(&memory, json!({ "op": "update", "id": "live", "expiresAt": null }), None).await.unwrap();
    let got = ask(&memory, json!({ "op": "get", "ids": ["live"] }), None).await.unwrap();
    assert_eq!(got["documents"][0].get("expiresAt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_many_chunks_is_one_hit_with_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    let text = "😀 first part. second part. third part. fourth part.";
    // Overlapping places, in UTF-16 code units.
    let places = [(0, 15), (10, 28), (28, 40), (40, 52)];
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let pieces: Vec<String> = places.iter().map(|(start, end)| String::from_utf16(&utf16[*start..*end]).unwrap()).collect();
    let vectors: Vec<f32> = pieces.iter().flat_map(|piece| vector(piece)).collect();
    let chunks: Vec<Value> = places.iter().map(|(start, end)| json!({ "start": start, "end": end })).collect();
    let request = json!({ "op": "add", "documents": [{ "id": "long", "text": text, "chunks": chunks }] });
    let added = ask(&memory, request, Some(vectors)).await.unwrap();
    assert_eq!(added["documents"][0]["chunks"], 4);
    let hits = search(&memory, "third", json!({ "mode": "text", "neighbours": 1 })).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0]["text"], pieces[2]);
    assert_eq!(hits[0]["chunk"], json!({ "index": 2, "start": 28, "end": 40 }));
    assert_eq!(hits[0]["neighbours"], json!({ "before": pieces[1], "after": pieces[3] }));
    let hits = search(&memory, "part", json!({ "mode": "text", "neighbours": 9 })).await.unwrap();
    assert_eq!(hits.len(), 1, "a document is one hit");
    let hits = search(&memory, "part", json!({ "mode": "text", "chunks": true })).await.unwrap();
    assert!(hits.len() > 1, "chunks are hits of their own when asked for");
    let hits = search(&memory, "second", json!({ "mode": "text", "neighbours": 5 })).await.unwrap();
    let around = &hits[0]["neighbours"];
    let whole = format!(
        "{}{}{}",
        around["before"].as_str().unwrap(),
        hits[0]["text"].as_str().unwrap(),
        around["after"].as_str().unwrap()
    );
    assert_eq!(whole, text);
    let got = ask(&memory, json!({ "op": "get", "ids": ["long"] }), None).await.unwrap();
    assert_eq!(got["documents"][0]["text"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_write_to_one_collection_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let memories = [open_as(folder.path(), "words", true), open_as(folder.path(), "words", true)];
    let work = memories.iter().enumerate().map(|(who, memory)| async move {
        for round in 0..12 {
            let documents: Vec<Value> = (0..5)
                .map(|n| json!({ "id": format!("{who}-{round}-{n}"), "text": format!("writer {who} round {round} number {n}") }))
                .chain([json!({ "id": format!("shared-{round}"), "text": format!("shared {round} by {who}") })])
                .collect();
            add(memory, json!({}), json!(documents)).await.unwrap();
        }
    });
    futures::future::join_all(work).await;
    for memory in &memories {
        assert_eq!(count(memory).await, (132, 132));
        ask(memory, json!({ "op": "optimize" }), None).await.unwrap();
        assert_eq!(count(memory).await, (132, 132));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_are_apart_and_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    let other = open(folder.path());
    add(&memory, json!({ "collection": "one" }), json!([{ "id": "a", "text": "in one" }])).await.unwrap();
    add(&memory, json!({ "collection": "two" }), json!([{ "id": "a", "text": "in two" }])).await.unwrap();
    assert_eq!(ids(&search(&other, "one", json!({ "collection": "two" })).await.unwrap()), ["a"]);
    let found = search(&other, "two", json!({ "collection": "two", "mode": "text" })).await.unwrap();
    assert_eq!(found[0]["text"], "in two");
    let all = ask(&memory, json!({ "op": "collections" }), None).await.unwrap();
    let names: Vec<&str> = all["collections"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(ask(&memory, json!({ "op": "drop", "collection": "two" }), None).await.unwrap()["dropped"], true);
    assert_eq!(ask(&memory, json!({ "op": "drop", "collection": "two" }), None).await.unwrap()["dropped"], false);
    assert!(search(&other, "two", json!({ "collection": "two" })).await.unwrap().is_empty());
    add(&other, json!({ "collection": "two" }), json!([{ "id": "b", "text": "anew" }])).await.unwrap();
    assert_eq!(ids(&search(&memory, "anew", json!({ "collection": "two" })).await.unwrap()), ["b"]);
    for name in ["", "../x", "a/b", ".hidden", "é", &"x".repeat(129)] {
        let refused = ask(&memory, json!({ "op": "count", "collection": name }), None).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_collection_leaves_is_removed_by_the_next_drop() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join(".documents.dropped-by-one-that-was-killed");
    std::fs::create_dir_all(left.join("data")).unwrap();
    let memory = open(folder.path());
    add(&memory, json!({}), json!([{ "id": "a", "text": "the cat sat" }])).await.unwrap();
    assert_eq!(ask(&memory, json!({ "op": "collections" }), None).await.unwrap()["collections"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&memory, json!({ "op": "drop" }), None).await.unwrap()["dropped"], true);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    let there = |part: &str| names.iter().any(|name: &std::ffi::OsString| name.to_string_lossy().contains(part));
    assert!(!there(".dropped-") && !there("documents.lance"), "{names:?}");
    assert!(search(&memory, "cat", json!({})).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_is_refused_until_the_collection_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let old = open_as(folder.path(), "old", false);
    let documents: Vec<Value> = (0..20).map(|n| json!({ "id": format!("d{n:02}"), "text": format!("text {n}") })).collect();
    add(&old, json!({}), json!(documents)).await.unwrap();
    let new = open_as(folder.path(), "new", false);
    let refused = search(&new, "text", json!({})).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::MemoryModel);
    assert!(refused.to_string().contains("\"old\"") && refused.to_string().contains("reindex"), "{refused}");
    let refused = add(&new, json!({}), json!([{ "text": "x" }])).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::MemoryModel);
    assert_eq!(count(&new).await.0, 20, "what needs no vectors goes on");
    let mut cursor = Value::Null;
    loop {
        let page = ask(&new, json!({ "op": "reindexRead", "limit": 8, "cursor": cursor }), None).await.unwrap();
        cursor = page["cursor"].clone();
        let mut documents = page["documents"].clone();
        let mut vectors = Vec::new();
        for document in documents.as_array_mut().unwrap() {
            let text = document["text"].as_str().unwrap().to_owned();
            document["chunks"] = json!([{ "start": 0, "end": text.len() }]);
            // The new model has vectors of another length.
            vectors.extend(vector(&text).into_iter().chain([0.5; 4]));
        }
        let request = json!({ "op": "reindexWrite", "documents": documents, "done": cursor.is_null() });
        ask(&new, request, Some(vectors)).await.unwrap();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(count(&new).await, (20, 20));
    let query: Vec<f32> = vector("text 7").into_iter().chain([0.5; 4]).collect();
    let found = ask(&new, json!({ "op": "search", "query": "text 7", "limit": 3 }), Some(query)).await.unwrap();
    assert_eq!(found["hits"][0]["id"], "d07");
    let refused = search(&old, "text", json!({})).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::MemoryModel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_goes_into_a_file_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    let documents: Vec<Value> = (0..300)
        .map(|n| json!({ "id": format!("d{n:03}"), "text": format!("text {n}\nwith a \"line\""), "metadata": { "n": n, "deep": { "a": [1, null] } } }))
        .collect();
    add(&memory, json!({}), json!(documents)).await.unwrap();
    let path = folder.path().join("out.jsonl");
    let written = ask(&memory, json!({ "op": "export", "path": path, "filter": { "n": { "gte": 10 } } }), None).await.unwrap();
    assert_eq!(written["documents"], 290);
    let lines: Vec<Value> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 290);
    assert_eq!(lines[0]["id"], "d010");
    assert_eq!(lines[0]["metadata"], json!({ "n": 10, "deep": { "a": [1, null] } }));
    let failed = ask(&memory, json!({ "op": "export", "path": folder.path().join("no/such/folder.jsonl") }), None).await;
    assert!(failed.unwrap_err().to_string().contains("folder.jsonl"));
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("part"))
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_with_vectors_is_imported_without_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with vectors.jsonl");
    let memory = open(&folder.path().join("one"));
    let documents = json!([
        { "id": "a", "text": "  the cat 🐈 sat on the mat\n", "metadata": { "n": 1 }, "expiresAt": 32_503_680_000_000_i64 },
        { "id": "b", "text": "rockets fly to the moon" },
    ]);
    add(&memory, json!({}), documents).await.unwrap();
    let written = ask(&memory, json!({ "op": "export", "path": path, "vectors": true }), None).await.unwrap();
    assert_eq!(written["documents"], 2);
    let lines: Vec<Value> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["model"], lines[0]["chunks"].as_array().unwrap().len()), (&json!("words"), 1));
    // Nothing embeds here: what is taken was in the file.
    let other = open(&folder.path().join("two"));
    let read = ask(&other, json!({ "op": "import", "path": path }), None).await.unwrap();
    assert_eq!((&read["added"], &read["failed"]), (&json!(2), &json!([])));
    let get = json!({ "op": "get", "ids": ["a", "b"], "vectors": true });
    let (ours, theirs) = (memory.call(&get.to_string(), None).await.unwrap(), other.call(&get.to_string(), None).await.unwrap());
    assert_eq!(ours.value, theirs.value, "texts, places, times and metadata");
    assert_eq!(ours.vectors, theirs.vectors, "bit for bit");
    assert_eq!(ids(&search(&other, "cat mat", json!({ "mode": "vector" })).await.unwrap())[0], "a");
    // Without the option there are none.
    ask(&memory, json!({ "op": "export", "path": path }), None).await.unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("vector"));
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_in_a_file_that_do_not_belong_to_their_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    let chunk = |start, end, vector: Vec<f32>| json!({ "start": start, "end": end, "vector": vector });
    let line = |chunks: Value| json!({ "id": "x", "text": "some text", "model": "words", "chunks": chunks }).to_string();
    let bad = [
        (json!([chunk(0, 9, vec![1.0; 7])]), "chunks[0].vector: must have 8 numbers"),
        (json!([chunk(0, 9, vec![0.0; 8])]), "no direction"),
        (json!([chunk(0, 8, vec![1.0; 8])]), "they end at 8, the text at 9"),
        (json!([chunk(0, 99, vec![1.0; 8])]), "they end at 99"),
        (json!([chunk(0, 3, vec![1.0; 8]), chunk(4, 9, vec![1.0; 8])]), "chunks[1]: 4..9 does not follow"),
        (json!([chunk(-1, 9, vec![1.0; 8])]), "chunks[0]: -1..9"),
    ];
    let text: String = bad.iter().map(|(chunks, _)| line(chunks.clone()) + "\n").collect();
    std::fs::write(&path, text).unwrap();
    let memory = open(folder.path());
    let read = ask(&memory, json!({ "op": "import", "path": path }), None).await.unwrap();
    for (at, (_, why)) in bad.iter().enumerate() {
        let message = read["failed"][at]["message"].as_str().unwrap_or_default();
        assert!(message.contains(why), "line {}: {message:?} does not say {why:?}", at + 1);
    }
    assert_eq!(count(&memory).await, (0, 0));
    // Of another model, they are made anew: here, where nothing embeds, that is refused.
    let foreign = line(json!([chunk(0, 9, vec![1.0; 8])])).replace("words", "others");
    std::fs::write(&path, foreign).unwrap();
    let error = ask(&memory, json!({ "op": "import", "path": path }), None).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
}

/// A direction of its own for every text.
fn apart(random: &mut fastrand::Rng) -> Vec<f32> {
    let vector: Vec<f32> = (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn passages_in_memory_and_on_disk_answer_alike_whatever_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (warm, cold) = (open(folder.path()), open_with(folder.path(), 0));
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..16 {
        let (mut documents, mut vectors) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(1..400) {
            // Ids come again: what was there is replaced.
            let (id, word) = (random.u32(0..3_000), random.u32(0..50));
            let text = format!("w{word} of round{round}");
            let chunks = [json!({ "start": 0, "end": text.len() })];
            let metadata = json!({ "group": id % 10, "round": round });
            documents.push(json!({ "id": id.to_string(), "text": text, "metadata": metadata, "chunks": chunks }));
            vectors.extend(apart(&mut random));
        }
        ask(&warm, json!({ "op": "add", "documents": documents }), Some(vectors)).await.unwrap();
        match random.u8(0..4) {
            0 => drop(ask(&warm, json!({ "op": "optimize" }), None).await.unwrap()),
            1 => drop(ask(&cold, json!({ "op": "delete", "filter": { "group": random.u32(0..10) } }), None).await.unwrap()),
            _ => {}
        }
        for filter in [Value::Null, json!({ "group": 3 }), json!({ "round": { "gte": 3 }, "group": { "lt": 8 } })] {
            for mode in ["vector", "hybrid", "text"] {
                let query = json!({ "op": "search", "query": "w7 w8 round2", "limit": 12, "mode": mode, "filter": filter });
                let vector = apart(&mut random);
                let (here, there) =
                    (ask(&warm, query.clone(), Some(vector.clone())).await, ask(&cold, query, Some(vector)).await);
                let (here, there) = (here.unwrap(), there.unwrap());
                let (here, there) = (here["hits"].as_array().unwrap(), there["hits"].as_array().unwrap());
                let place = format!("round {round}, {mode}, {filter}");
                assert_eq!(here.len(), there.len(), "{place}");
                for (left, right) in here.iter().zip(there) {
                    // Vectors in memory are exact to five digits.
                    for score in ["/score", "/scores/vector", "/scores/text"] {
                        let number = |hit: &Value| hit.pointer(score).and_then(Value::as_f64);
                        let apart = number(left).zip(number(right)).map(|(left, right)| (left - right).abs());
                        assert!(apart.is_none_or(|apart| apart < 1e-3), "{place}, {score}: {left} {right}");
                        assert_eq!(number(left).is_some(), number(right).is_some(), "{place}, {score}");
                    }
                    for fact in ["id", "text", "metadata", "chunk", "chunks", "createdAt", "updatedAt"] {
                        assert_eq!(left[fact], right[fact], "{place}, {fact}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_share_the_room_in_memory_and_none_is_searched_wrongly_for_it() {
    let folder = tempfile::tempdir().unwrap();
    // Room for some thirty passages of this width: one collection at a time.
    let memory = open_with(folder.path(), 3_000);
    for name in ["one", "two", "three"] {
        let documents: Vec<Value> =
            (0..20).map(|n| json!({ "id": format!("{name} {n}"), "text": format!("{name} number{n}") })).collect();
        add(&memory, json!({ "collection": name }), json!(documents)).await.unwrap();
    }
    for _ in 0..3 {
        for name in ["one", "two", "three"] {
            let hits = search(&memory, &format!("{name} number7"), json!({ "collection": name })).await.unwrap();
            assert_eq!(ids(&hits)[0], format!("{name} 7"));
            assert!(ids(&hits).iter().all(|id| id.starts_with(name)), "{hits:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_rights_are_told_with_a_code_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    add(&memory, json!({}), json!([{ "id": "a", "text": "some words" }])).await.unwrap();
    memory.close().await;
    let table = folder.path().join("documents.lance");
    for entry in std::fs::read_dir(table.join("_versions")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damage").unwrap();
    }
    let memory = open(folder.path());
    let damaged = search(&memory, "words", json!({})).await.unwrap_err();
    assert_eq!(damaged.code(), ErrorCode::StoreCorrupt, "{damaged}");
    assert!(damaged.to_string().contains("documents.lance"), "{damaged}");

    let file = folder.path().join("a-file");
    std::fs::write(&file, b"x").unwrap();
    let memory = open(&file.join("below"));
    let refused = add(&memory, json!({}), json!([{ "text": "x" }])).await.unwrap_err();
    assert!(matches!(refused.code(), ErrorCode::StoreOpen | ErrorCode::StoreReadOnly), "{:?} {refused}", refused.code());
    assert!(refused.to_string().contains("a-file"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_grows_keeps_its_answers_while_indexes_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(folder.path());
    // Many commits of few rows: compaction, and both indexes.
    for round in 0..42 {
        let documents: Vec<Value> = (0..500)
            .map(|n| json!({ "id": format!("{round}-{n}"), "text": format!("alpha{round} beta{n} gamma"), "metadata": { "round": round } }))
            .collect();
        add(&memory, json!({}), json!(documents)).await.unwrap();
    }
    let before = search(&memory, "alpha17 beta333", json!({ "mode": "text" })).await.unwrap();
    assert_eq!(ids(&before)[0], "17-333");
    ask(&memory, json!({ "op": "optimize" }), None).await.unwrap();
    let stats = ask(&memory, json!({ "op": "stats" }), None).await.unwrap();
    assert_eq!(stats["unindexedRows"], 0);
    assert_eq!(stats["documents"], 21_000);
    let kinds: HashSet<&str> = stats["indexes"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert!(kinds.contains("vector") && kinds.contains("text"), "{stats}");
    assert!(stats["fragments"].as_u64().unwrap() < 24, "{stats}");
    for mode in ["text", "hybrid"] {
        let after = search(&memory, "alpha17 beta333", json!({ "mode": mode })).await.unwrap();
        assert_eq!(ids(&after)[0], "17-333", "{mode}");
    }
    let filtered = search(&memory, "beta333", json!({ "filter": { "round": 5 }, "mode": "text" })).await.unwrap();
    assert_eq!(ids(&filtered), ["5-333"]);
    let replaced = add(&memory, json!({}), json!([{ "id": "17-333", "text": "something else entirely" }])).await.unwrap();
    assert_eq!(replaced["documents"][0]["status"], "replaced");
    let after = search(&memory, "alpha17 beta333", json!({ "mode": "text" })).await.unwrap();
    assert!(!ids(&after).contains(&"17-333"));
    assert_eq!(count(&memory).await, (21_000, 21_000));
}
