//! What the embedder takes, printed: `cargo test -p master-agent-memory --test embed_measure -- --ignored --nocapture`.
//! The numbers belong to one machine; nothing is held to them here.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is there to print, and to fail")]

use std::path::PathBuf;
use std::time::Instant;

use master_agent_memory::embed::{Embedder, ModelOptions, ModelSource, RUNTIME_FILE_NAME, Urgency};

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|size| size.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Of all threads, in ticks of 10 ms: says more than the clock does on a machine that others use.
fn cpu_milliseconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "prints figures"]
fn measure() {
    let repository = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let folder = std::env::var_os("EMBED_MODEL").map_or_else(|| repository.join("npm/model-all-minilm-l6-v2"), PathBuf::from);
    let threads: usize = std::env::var("EMBED_THREADS").ok().and_then(|count| count.parse().ok()).unwrap_or(2);
    let options = || ModelOptions {
        runtime: Some(repository.join(RUNTIME_FILE_NAME)),
        threads: Some(threads),
        ..ModelOptions::new(ModelSource::Bundled { folder: folder.clone() })
    };
    println!("resident before: {:.0} MB", resident());
    let started = Instant::now();
    let embedder = Embedder::load(options()).unwrap();
    println!("ready, first of the process: {:.1} ms; resident {:.0} MB", milliseconds(started), resident());
    let started = Instant::now();
    embedder.embed_blocking(vec!["What is the speed of sound?".into()], Urgency::Query).unwrap();
    println!("first query: {:.2} ms; resident {:.0} MB", milliseconds(started), resident());
    drop(embedder);
    let cpu = cpu_milliseconds();
    let again = (0..7).map(|_| {
        let started = Instant::now();
        let embedder = Embedder::load(options()).unwrap();
        let took = milliseconds(started);
        drop(embedder);
        took
    });
    let again: Vec<f64> = again.collect();
    println!("ready again: {again:.1?} ms; {:.0} ms of processor time each", (cpu_milliseconds() - cpu) / again.len() as f64);

    let embedder = Embedder::load(options()).unwrap();
    let queries = (0..100).map(|number| {
        let started = Instant::now();
        embedder.embed_blocking(vec![format!("What is the speed of sound in {number} metres?")], Urgency::Query).unwrap();
        milliseconds(started)
    });
    let queries: Vec<f64> = queries.collect();
    let fastest = queries.iter().copied().fold(f64::MAX, f64::min);
    println!("query of 12 tokens: {:.2} ms (median of 100), {fastest:.2} ms (fastest)", median(queries));
    let words = "the boundary layer of a thin wing in supersonic flow was measured at several angles and compared with theory";
    let texts: Vec<String> = (0..2000)
        .map(|number| format!("{words}, in experiment {number} of the series that began in {}", 1900 + number % 99))
        .collect();
    let tokens: usize = texts.iter().map(|text| embedder.tokenizer().encode(text.as_str(), true).unwrap().len()).sum();
    embedder.embed_blocking(texts[..100].to_vec(), Urgency::Documents).unwrap();
    let cpu = cpu_milliseconds();
    let rates: Vec<f64> = (0..3)
        .map(|_| {
            let started = Instant::now();
            embedder.embed_blocking(texts.clone(), Urgency::Documents).unwrap();
            texts.len() as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    println!(
        "documents of {:.0} tokens on {threads} threads: {:.0} texts/s (median of 3: {rates:.0?}); resident {:.0} MB",
        tokens as f64 / texts.len() as f64,
        median(rates.clone()),
        resident()
    );
    println!("processor time of a text: {:.2} ms", (cpu_milliseconds() - cpu) / (texts.len() * rates.len()) as f64);
    let started = Instant::now();
    for text in &texts {
        embedder.tokenizer().encode(text.as_str(), false).unwrap();
    }
    println!("of which the tokenizer: {:.3} ms a text", milliseconds(started) / texts.len() as f64);
}
