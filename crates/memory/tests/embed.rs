//! The embedder as memory uses it: the model of the package against its golden vectors, small models for what goes wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use master_agent_core::ErrorCode;
use master_agent_memory::embed::{Embedder, ModelOptions, ModelSource, RUNTIME_FILE_NAME, Reranker, Urgency, Vectors};
use sha2::{Digest, Sha256};

fn repository() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/embed").join(name)
}

fn options(source: ModelSource) -> ModelOptions {
    ModelOptions { runtime: Some(repository().join(RUNTIME_FILE_NAME)), threads: Some(3), ..ModelOptions::new(source) }
}

fn packaged() -> Embedder {
    Embedder::load(options(ModelSource::Bundled { folder: repository().join("npm/model-all-minilm-l6-v2") })).unwrap()
}

fn folder(folder: impl Into<PathBuf>) -> master_agent_memory::Result<Embedder> {
    Embedder::load(options(ModelSource::Folder { folder: folder.into() }))
}

fn bundled(folder: impl Into<PathBuf>) -> master_agent_memory::Result<Embedder> {
    Embedder::load(options(ModelSource::Bundled { folder: folder.into() }))
}

/// A copy of a small model, to be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, place.path().join(path.file_name().unwrap())).unwrap();
    }
    place
}

fn embed(embedder: &Embedder, texts: &[&str]) -> Vectors {
    embedder.embed_blocking(texts.iter().map(|&text| text.to_owned()).collect(), Urgency::Documents).unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

fn assert_unit(vectors: &Vectors) {
    for row in vectors.rows() {
        let length = dot(row, row).sqrt();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

#[derive(serde::Deserialize)]
struct Golden {
    dimensions: usize,
    vectors: String,
    texts: Vec<GoldenText>,
}

#[derive(serde::Deserialize)]
struct GoldenText {
    text: String,
    tokens: usize,
}

fn golden() -> (Golden, Vec<f32>) {
    let folder = repository().join("__test__/fixtures/golden");
    let golden: Golden = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join(&golden.vectors)).unwrap();
    let vectors = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    (golden, vectors)
}

#[test]
fn the_model_of_the_package_agrees_with_the_golden_vectors() {
    let (golden, wanted) = golden();
    let embedder = packaged();
    assert_eq!((embedder.dimensions(), embedder.max_tokens()), (golden.dimensions, 254));
    let texts: Vec<&str> = golden.texts.iter().map(|golden| golden.text.as_str()).collect();
    let vectors = embed(&embedder, &texts);
    assert_unit(&vectors);
    let cosines: Vec<f64> = vectors.rows().zip(wanted.chunks_exact(golden.dimensions)).map(|(a, b)| dot(a, b)).collect();
    assert!(texts.len() >= 200 && cosines.len() == texts.len());
    for (cosine, text) in cosines.iter().zip(&texts) {
        assert!(*cosine >= 0.995, "{cosine} for {text:?}");
    }
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    assert!(mean >= 0.998, "{mean}");
    // The tokenizer is the one of the original too.
    for golden in &golden.texts {
        let count = embedder.tokenizer().encode(golden.text.as_str(), true).unwrap().len();
        assert_eq!(count.min(256), golden.tokens, "{:?}", golden.text);
    }
}

#[test]
fn a_vector_does_not_depend_on_the_texts_beside_it_or_the_thread() {
    let (golden, _) = golden();
    let embedder = packaged();
    let texts: Vec<&str> = golden.texts.iter().map(|golden| golden.text.as_str()).collect();
    let alone: Vec<Vectors> = texts.iter().map(|text| embed(&embedder, &[text])).collect();
    let together = embed(&embedder, &texts);
    let backwards: Vec<&str> = texts.iter().rev().copied().collect();
    let reversed = embed(&embedder, &backwards);
    for (place, alone) in alone.iter().enumerate() {
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let rows: [Vec<&[f32]>; 2] = [together.rows().collect(), reversed.rows().collect()];
        assert_eq!(bits(rows[0][place]), bits(&alone.data), "{:?}", texts[place]);
        assert_eq!(bits(rows[1][texts.len() - 1 - place]), bits(&alone.data), "{:?}", texts[place]);
    }
}

#[test]
fn odd_texts_have_vectors_too() {
    let embedder = packaged();
    let texts = [
        "",
        " ",
        "\0",
        "\0\0a\0",
        "\u{feff}",
        "\u{fffd}\u{fffd}",
        "\u{301}",
        "🚀👩‍👩‍👧‍👦",
        "[CLS] [SEP] [PAD]",
        "\u{202e}abc",
        "ﷺ",
        "a\r\n\tb",
    ];
    let vectors = embed(&embedder, &texts);
    assert_eq!(vectors.data.len(), texts.len() * 384);
    assert_unit(&vectors);
    assert!(embed(&embedder, &[]).data.is_empty());
    // What is no letter to the tokenizer changes nothing.
    assert_eq!(embed(&embedder, &["\0\0a\0"]), embed(&embedder, &["a"]));
}

#[test]
fn long_texts_count_as_far_as_the_model_reads() {
    let embedder = packaged();
    let words = "The quick brown fox jumps over the lazy dog, and 12 others. ";
    let ten_megabytes = words.repeat(10_000_000 / words.len());
    let long = words.repeat(100);
    assert_eq!(embed(&embedder, &[&ten_megabytes]), embed(&embedder, &[&long]));
    let word = "x".repeat(10_000_000);
    let gap = format!("{}hello", " ".repeat(10_000_000));
    assert_eq!(embed(&embedder, &[&word]), embed(&embedder, &[&"x".repeat(101)]));
    assert_eq!(embed(&embedder, &[&gap]), embed(&embedder, &["hello"]));
}

#[test]
fn many_threads_ask_at_once() {
    let embedder = packaged();
    let wanted: Vec<Vectors> = (0..12).map(|number| embed(&embedder, &[&format!("text number {number}")])).collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (embedder, wanted) = (embedder.clone(), &wanted);
            scope.spawn(move || {
                for round in 0..10 {
                    let number = (thread * 5 + round) % 12;
                    let urgency = if round % 2 == 0 { Urgency::Query } else { Urgency::Documents };
                    assert_eq!(embedder.embed_blocking(vec![format!("text number {number}")], urgency).unwrap(), wanted[number]);
                }
            });
        }
    });
}

#[tokio::test]
async fn futures_can_be_dropped_at_any_time() {
    let embedder = packaged();
    let texts: Vec<String> = (0..500).map(|number| format!("a document with the number {number} that takes a while")).collect();
    for _ in 0..20 {
        let dropped = embedder.embed(texts.clone(), Urgency::Documents);
        let query = embedder.embed(vec!["what is it?".into()], Urgency::Query);
        // The first is polled, and dropped as soon as the other has its answer.
        tokio::select! {
            biased;
            vectors = query => assert_eq!(vectors.unwrap().data.len(), 384),
            _ = dropped => panic!("500 documents were not overtaken by a query"),
        }
    }
    drop(embedder.embed(texts, Urgency::Documents));
    assert_unit(&embedder.embed(vec!["still there".into()], Urgency::Query).await.unwrap());
}

#[test]
fn one_source_is_loaded_once() {
    let embedder = bundled(fixture("bundled")).unwrap();
    let again = bundled(fixture("tiny").join("../bundled")).unwrap();
    assert!(std::sync::Arc::ptr_eq(embedder.tokenizer(), again.tokenizer()));
    let other = folder(fixture("tiny")).unwrap();
    assert!(!std::sync::Arc::ptr_eq(embedder.tokenizer(), other.tokenizer()));
}

#[test]
fn a_folder_of_the_users_own_gives_what_its_model_gives() {
    // Both small models take the mean of the same rows, in the graph and after it.
    let (own, packed) = (folder(fixture("tiny")).unwrap(), bundled(fixture("bundled")).unwrap());
    assert_eq!((own.dimensions(), own.max_tokens()), (8, 14));
    let texts = ["hello world", "", "red blue sea seas .", "a b c d e a b c d e a b c d e a b c d e"];
    let (a, b) = (embed(&own, &texts), embed(&packed, &texts));
    assert_unit(&a);
    for (a, b) in a.rows().zip(b.rows()) {
        assert!(dot(a, b) > 0.999_999);
    }
    assert!(own.id().starts_with("tiny@"), "{}", own.id());
}

#[test]
fn a_folder_says_how_its_rows_are_pooled() {
    let place = copy("tiny");
    std::fs::create_dir(place.path().join("1_Pooling")).unwrap();
    let write = |config: &str| std::fs::write(place.path().join("1_Pooling/config.json"), config).unwrap();
    write(r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
    let first = embed(&folder(place.path()).unwrap(), &["hello", "world"]);
    let rows: Vec<&[f32]> = first.rows().collect();
    assert_eq!(rows[0], rows[1], "the first token is [CLS] in both");
    write(r#"{"pooling_mode_max_tokens": true}"#);
    let error = folder(place.path()).unwrap_err();
    assert!(error.code() == ErrorCode::ModelLoad && error.to_string().contains("1_Pooling"), "{error}");
}

#[test]
fn what_is_missing_or_damaged_in_a_model_is_named() {
    for file in ["model.onnx", "tokenizer.json", "model.json"] {
        let place = copy("bundled");
        let path = place.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let failing = |what: &str| {
            let error = bundled(place.path()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ModelLoad, "{file} {what}: {error}");
            assert!(error.to_string().contains(file), "{file} {what}: {error}");
        };
        std::fs::remove_file(&path).unwrap();
        failing("missing");
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            // A shorter file of white space less is still the same JSON.
            if file == "model.json" && length == whole.len() - 1 {
                continue;
            }
            std::fs::write(&path, &whole[..length]).unwrap();
            failing("cut short");
        }
        if file != "model.json" {
            for place in [0, whole.len() / 3, whole.len() - 1] {
                let mut changed = whole.clone();
                changed[place] ^= 0x20;
                std::fs::write(&path, &changed).unwrap();
                failing("changed");
            }
        }
        std::fs::write(&path, &whole).unwrap();
        bundled(place.path()).unwrap();
    }
    for file in ["model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json", "special_tokens_map.json"] {
        let place = copy("tiny");
        std::fs::remove_file(place.path().join(file)).unwrap();
        let error = folder(place.path()).unwrap_err();
        assert!(error.code() == ErrorCode::ModelLoad && error.to_string().contains(file), "{error}");
        std::fs::write(place.path().join(file), "{ no").unwrap();
        let error = folder(place.path()).unwrap_err();
        assert!(
            error.code() == ErrorCode::ModelLoad
                && error.to_string().contains(&place.path().canonicalize().unwrap().display().to_string()),
            "{error}"
        );
    }
    let error = folder("/there/is/none").unwrap_err();
    assert!(error.code() == ErrorCode::ModelLoad && error.to_string().contains("/there/is/none"), "{error}");
}

#[test]
fn a_weight_that_was_changed_is_noticed() {
    let (package, place) = (repository().join("npm/model-all-minilm-l6-v2"), tempfile::tempdir().unwrap());
    for file in ["model.onnx", "tokenizer.json", "model.json"] {
        std::fs::copy(package.join(file), place.path().join(file)).unwrap();
    }
    let path = place.path().join("model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = bundled(place.path()).unwrap_err();
    assert!(error.code() == ErrorCode::ModelLoad && error.to_string().contains("model.onnx"), "{error}");
}

#[test]
fn a_model_with_other_dimensions_than_it_says_is_refused() {
    let place = copy("bundled");
    let path = place.path().join("model.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"dimensions\": 8", "\"dimensions\": 16");
    std::fs::write(&path, text).unwrap();
    let error = bundled(place.path()).unwrap_err();
    assert!(error.code() == ErrorCode::ModelLoad && error.to_string().contains("16"), "{error}");
}

#[test]
fn a_thread_that_gets_no_session_leaves_the_work_to_the_others() {
    let place = copy("bundled");
    let embedder = bundled(place.path()).unwrap();
    std::fs::remove_file(place.path().join("model.onnx")).unwrap();
    for _ in 0..50 {
        assert_unit(&embed(&embedder, &["hello"; 50]));
    }
}

#[test]
fn a_name_that_is_not_known_is_answered_before_anything_is_fetched() {
    let source = ModelSource::Named { name: "all-MiniLM-L6".into(), cache: "/there/is/none".into() };
    let error = Embedder::load(options(source.clone())).unwrap_err();
    assert!(error.code() == ErrorCode::InvalidArgument && error.to_string().contains("all-MiniLM-L6-v2"), "{error}");
    assert_eq!(Reranker::load(options(source)).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_reranker_scores_each_passage_by_itself() {
    let reranker = Reranker::load(options(ModelSource::Folder { folder: fixture("rerank") })).unwrap();
    let scores =
        |texts: &[&str]| reranker.scores_blocking("hello".into(), texts.iter().map(|&text| text.to_owned()).collect()).unwrap();
    let together = scores(&["world", "red blue sea", "", "a b c d e"]);
    assert!(together.iter().all(|score| (0.0..=1.0).contains(score)) && together[0] != together[1], "{together:?}");
    for (text, score) in ["world", "red blue sea", "", "a b c d e"].iter().zip(&together) {
        assert_eq!(scores(&[text]), [*score]);
    }
    assert!(scores(&[]).is_empty());
    assert_unit(&embed(&packaged(), &["an embedder beside it"]));
}

/// Runs one of the tests below, which are ignored otherwise, in a process of its own.
fn alone(test: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env_remove("ORT_DYLIB_PATH");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_runtime_that_cannot_be_loaded_is_named_and_the_process_lives() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let library = std::fs::read(repository().join(RUNTIME_FILE_NAME)).unwrap();
    let mut foreign = library.clone();
    // Another processor than any that this runs on.
    foreign[18] = 0xf3;
    let mut files = vec![
        place.path().join("missing"),
        place.path().to_path_buf(),
        write("empty", b""),
        write("text", b"not a library"),
        write("half", &library[..library.len() / 2]),
        write("header", &library[..4096]),
    ];
    if cfg!(target_os = "linux") {
        files.push(write("foreign", &foreign));
        // A library that is none of ONNX Runtime's.
        files.extend(
            ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|path| path.exists()),
        );
    }
    for file in files {
        assert_success(&alone("child_without_runtime", &[("EMBED_RUNTIME", &file)]));
        assert_success(&alone("child_without_runtime", &[("ORT_DYLIB_PATH", &file)]));
    }
}

#[test]
#[ignore = "run by another test"]
fn child_without_runtime() {
    let given = std::env::var_os("EMBED_RUNTIME").map(PathBuf::from);
    let file = given.clone().unwrap_or_else(|| std::env::var_os("ORT_DYLIB_PATH").unwrap().into());
    // The variable wins over the option.
    let runtime = given.or_else(|| Some(repository().join(RUNTIME_FILE_NAME)));
    let source = ModelSource::Bundled { folder: fixture("bundled") };
    for _ in 0..2 {
        let error = Embedder::load(ModelOptions { runtime: runtime.clone(), ..ModelOptions::new(source.clone()) }).unwrap_err();
        assert_eq!(error.code(), ErrorCode::RuntimeLoad);
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }
    // A failure is not for ever.
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        embed(&bundled(fixture("bundled")).unwrap(), &["hello"]);
    }
}

#[test]
fn the_runtime_is_found_beside_the_library() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join(std::env::current_exe().unwrap().file_name().unwrap());
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::copy(repository().join(RUNTIME_FILE_NAME), place.path().join(RUNTIME_FILE_NAME)).unwrap();
    let run = Command::new(program)
        .args(["--exact", "child_finds_runtime", "--ignored"])
        .env_remove("ORT_DYLIB_PATH")
        .output()
        .unwrap();
    assert_success(&run);
}

#[test]
#[ignore = "run by another test"]
fn child_finds_runtime() {
    let options = ModelOptions::new(ModelSource::Bundled { folder: fixture("bundled") });
    assert_unit(&embed(&Embedder::load(options).unwrap(), &["hello"]));
}

#[test]
fn the_runtime_keeps_to_itself() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_keeps_to_itself", "--ignored", "--nocapture"]).env_clear();
    command.env("CARGO_MANIFEST_DIR", std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    command.envs(["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"].map(|name| (name, home.path())));
    assert_success(&command.current_dir(home.path()).output().unwrap());
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[ignore = "run by another test"]
fn child_keeps_to_itself() {
    assert_unit(&embed(&bundled(fixture("bundled")).unwrap(), &["hello"]));
}

#[test]
fn a_process_that_ends_while_it_embeds_ends_well() {
    for _ in 0..10 {
        assert_success(&alone("child_ends_while_busy", &[]));
    }
}

#[test]
#[ignore = "run by another test"]
fn child_ends_while_busy() {
    let embedder = packaged();
    embed(&embedder, &["ready"]);
    let busy = embedder.clone();
    std::thread::spawn(move || busy.embed_blocking(vec!["some words to be busy with ".repeat(50); 1000], Urgency::Documents));
    // The threads are in the middle of it when a query has been let through.
    embedder.embed_blocking(vec!["now".into()], Urgency::Query).unwrap();
    std::process::exit(0);
}

#[test]
fn the_hub_is_the_one_of_the_environment() {
    let cache = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        line
    });
    let endpoint = PathBuf::from(format!("http://{address}"));
    assert_success(&alone("child_fetches", &[("HF_ENDPOINT", &endpoint), ("HF_HOME", cache.path())]));
    assert!(seen.join().unwrap().starts_with("GET /Xenova/bge-small-en-v1.5/resolve/main/tokenizer.json "));
}

#[test]
#[ignore = "run by another test"]
fn child_fetches() {
    let source = ModelSource::Named { name: "BAAI/bge-small-en-v1.5".into(), cache: "/not/used".into() };
    let error = Embedder::load(options(source)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelDownload);
    for named in [std::env::var("HF_ENDPOINT").unwrap(), std::env::var("HF_HOME").unwrap(), "tokenizer.json".into()] {
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[test]
fn the_files_of_the_package_are_those_that_model_json_says() {
    let folder = repository().join("npm/model-all-minilm-l6-v2");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("model.json")).unwrap()).unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        let sum: String =
            Sha256::digest(std::fs::read(folder.join(file)).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manifest["files"][file]["sha256"], sum.as_str());
    }
}
