//! Where documents are cut, and what holds for every cut of every text.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
#![expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use master_agent_memory::chunk::{ChunkOptions, Format, chunk};
use proptest::prelude::*;
use tokenizers::Tokenizer;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let file =
            Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../npm/model-all-minilm-l6-v2/tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(file).unwrap();
        tokenizer.with_padding(None).with_truncation(None).unwrap();
        tokenizer
    })
}

fn count(text: &str) -> usize {
    tokenizer().encode_fast(text, false).unwrap().len()
}

fn options(tokens: usize, overlap: usize, format: Format) -> ChunkOptions {
    ChunkOptions { tokens, overlap, format: Some(format) }
}

/// The passages of a text, checked against every guarantee.
fn passages<'x>(text: &'x str, options: &ChunkOptions, tokenizer: &Tokenizer) -> Vec<&'x str> {
    let ranges = chunk(text, options, tokenizer).unwrap();
    check(text, options, &ranges, tokenizer);
    ranges.into_iter().map(|range| &text[range]).collect()
}

fn check(text: &str, options: &ChunkOptions, ranges: &[Range<usize>], tokenizer: &Tokenizer) {
    let count = |text: &str| tokenizer.encode_fast(text, false).unwrap().len();
    assert_eq!(ranges.first().map(|range| range.start), Some(0));
    assert_eq!(ranges.last().map(|range| range.end), Some(text.len()));
    for range in ranges {
        for at in [range.start, range.end] {
            if GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0) != Ok(true) {
                let whole = text.grapheme_indices(true).find(|(start, whole)| start + whole.len() > at).unwrap().1;
                assert!(
                    count(whole) > options.tokens || whole.len() > options.tokens * 64,
                    "{at} is inside {whole:?} of {text:?}"
                );
            }
        }
        let part = &text[range.clone()];
        let tokens = count(part);
        assert!(tokens <= options.tokens || part.chars().count() == 1, "{tokens} tokens in {part:?}");
    }
    for pair in ranges.windows(2) {
        let [first, second] = pair else { unreachable!() };
        assert!(first.start < second.start && first.end < second.end, "{first:?} {second:?}");
        assert!(second.start <= first.end, "a gap between {first:?} and {second:?}");
        let overlap = count(&text[second.start..first.end]);
        assert!(overlap <= options.overlap, "{overlap} tokens in {:?}", &text[second.start..first.end]);
    }
}

fn chunks(text: &str, tokens: usize, overlap: usize, format: Format) -> Vec<&str> {
    passages(text, &options(tokens, overlap, format), tokenizer())
}

#[test]
fn a_text_that_fits_is_one_range() {
    for text in ["", " ", "\n\n\n", "One.", "# One\n\nTwo three.", "\0", "a\u{301}"] {
        assert_eq!(chunk(text, &ChunkOptions::default(), tokenizer()).unwrap(), [0..text.len()]);
    }
    let text = "word ".repeat(254);
    assert_eq!(chunk(&text, &ChunkOptions::default(), tokenizer()).unwrap(), [0..1270]);
    assert_eq!(chunk(&(text + "word"), &ChunkOptions::default(), tokenizer()).unwrap().len(), 2);
    let invisible = "\0\n\n".repeat(100_000);
    assert_eq!(chunk(&invisible, &ChunkOptions::default(), tokenizer()).unwrap(), [0..300_000]);
    assert_eq!(chunk(&"\n".repeat(1_000_000), &ChunkOptions::default(), tokenizer()).unwrap(), [0..1_000_000]);
}

#[test]
fn options_out_of_range_are_refused() {
    for (tokens, overlap, message) in
        [(0, 0, "chunk.tokens: must be at least 1"), (10, 10, "chunk.overlap: must be smaller than chunk.tokens (10), not 10")]
    {
        let error = chunk("text", &ChunkOptions { tokens, overlap, format: None }, tokenizer()).unwrap_err();
        assert_eq!((error.code().as_str(), error.to_string().as_str()), ("ERR_INPUT_INVALID", message));
    }
}

#[test]
fn prose_is_cut_between_paragraphs_then_sentences() {
    let text = "The first paragraph is short. It has two sentences.\n\nThe second paragraph is short as well.\n\nThe third is the last.\n";
    assert_eq!(
        chunks(text, 22, 0, Format::Text),
        [
            "The first paragraph is short. It has two sentences.\n\n",
            "The second paragraph is short as well.\n\nThe third is the last.\n"
        ]
    );
    let text = "Dr. Smith paid 3.50 for it, i.e. too much. \"Was it good?\" she asked. It was.\nWrapped lines\nbelong together. The end!";
    assert_eq!(
        chunks(text, 18, 0, Format::Text),
        [
            "Dr. Smith paid 3.50 for it, i.e. too much. ",
            "\"Was it good?\" she asked. ",
            "It was.\nWrapped lines\nbelong together. The end!"
        ]
    );
    assert_eq!(
        chunks("これは文です。これも文です。終わり。", 8, 0, Format::Text),
        ["これは文です。", "これも文です。", "終わり。"]
    );
}

#[test]
fn a_sentence_that_is_too_long_is_cut_between_clauses_or_words() {
    let text = "one two three four, five six seven eight nine ten eleven";
    assert_eq!(chunks(text, 7, 0, Format::Text), ["one two three four, ", "five six seven eight nine ten eleven"]);
    let text = "one two three four five six seven eight nine ten";
    assert!(
        chunks(text, 4, 0, Format::Text)
            .iter()
            .all(|passage| passage.trim_end().split(' ').all(|word| text.split(' ').any(|whole| whole == word)))
    );
}

#[test]
fn passages_overlap_by_whole_sentences_or_words() {
    let text = "One is here. Two is here. Three is here. Four is here. Five is here. Six is here.";
    let passages = chunks(text, 16, 4, Format::Text);
    assert_eq!(passages, ["One is here. Two is here. Three is here. Four is here. ", "Four is here. Five is here. Six is here."]);
    let long = "one two three four five six seven eight nine ten eleven twelve";
    let passages = chunks(long, 6, 2, Format::Text);
    assert!(passages.len() > 2);
    for pair in passages.windows(2) {
        let shared: Vec<&str> = pair[0].split_whitespace().rev().take(2).collect();
        assert!(pair[1].starts_with(&format!("{} {} ", shared[1], shared[0])), "{pair:?}");
    }
}

#[test]
fn markdown_keeps_headings_with_their_text_and_blocks_whole() {
    let text = "# Title\n\nIntroduction of some words here, and of a few more.\n\n## Install\n\nRun this now, please:\n\n```sh\nnpm install it\nnpm run it\n\n# not a heading\n```\n\n## Use\n\n| name | what |\n|---|---|\n| a | the first |\n| b | the second |\n\nAfter the table.\n";
    let passages = chunks(text, 36, 8, Format::Markdown);
    assert_eq!(passages.len(), 3, "{passages:#?}");
    assert!(passages[0].starts_with("# Title") && passages[0].ends_with("more.\n\n"));
    assert!(passages[1].starts_with("## Install") && passages[1].ends_with("```\n\n"));
    assert!(passages[2].starts_with("## Use"));
    for tokens in 36..60 {
        for passage in chunks(text, tokens, 4, Format::Markdown) {
            assert!(!passage.trim_end().lines().last().unwrap().starts_with("##"), "{tokens}: {passage:?}");
            assert_eq!(passage.matches("```").count() % 2, 0, "{tokens}: {passage:?}");
            assert_eq!(passage.contains("| name |"), passage.contains("| b |"), "{tokens}: {passage:?}");
        }
    }
}

#[test]
fn a_heading_is_not_the_end_of_a_passage() {
    let text = "# One\n\nSome words to begin with. And some more of them.\n\nUnderlined\n----------\n\nOnce more words. \n\n### Three\n### Four\n- an item\n- another item\n".repeat(4);
    for tokens in 24..80 {
        for passage in chunks(&text, tokens, tokens / 4, Format::Markdown) {
            let last = passage.trim_end().lines().last().unwrap();
            assert!(!last.starts_with(['#', '-']) || last.starts_with("- "), "{tokens}: {passage:?}");
        }
    }
}

#[test]
fn code_is_cut_between_declarations_then_lines() {
    let text = "use std::fmt;\n\n/// Adds.\nfn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n\n/// Subtracts.\nfn sub(a: u32, b: u32) -> u32 {\n    a - b\n}\n";
    let passages = chunks(text, 45, 4, Format::Code);
    assert_eq!(passages.len(), 2, "{passages:#?}");
    assert!(passages[1].starts_with("/// Subtracts."));
    for passage in chunks(text, 24, 0, Format::Code) {
        assert!(passage.ends_with('\n') && !passage.starts_with('}'), "{passage:?}");
    }
}

#[test]
fn the_format_is_found_out() {
    let markdown = "# A\n\nText here.\n\n```\nx = 1\n\ny = 2\n```\n".repeat(3);
    let code = "def f(x):\n    return x\n\n\nclass A:\n    def g(self):\n        self.x = 1\n".repeat(3);
    let text = "Some prose here. It goes on.\n\nAnother paragraph, and no more.\n".repeat(3);
    for (text, format) in [(markdown, Format::Markdown), (code, Format::Code), (text, Format::Text)] {
        let guessed = chunk(&text, &ChunkOptions { tokens: 20, overlap: 4, format: None }, tokenizer()).unwrap();
        assert_eq!(guessed, chunk(&text, &options(20, 4, format), tokenizer()).unwrap(), "{text}");
    }
}

#[test]
fn much_of_anything_is_split() {
    for part in [
        "a",
        "\0",
        "\u{200d}",
        "\u{301}",
        "\u{feff}",
        "漢",
        "ひらがな",
        "שלום ",
        "👨‍👩‍👧‍👦",
        "🇦🇹",
        "สวัสดี",
        "क्",
        "!",
        ". ",
        "# ",
        "#\n",
        "- ",
        "> ",
        "|-\n",
        "```\n",
        "a\r\n",
        "\u{600}",
        "1. ",
        "{\n",
        "(",
        "\t",
        "[CLS]",
    ] {
        let text = part.repeat(300_000 / part.len());
        let ranges = chunk(&text, &ChunkOptions::default(), tokenizer()).unwrap();
        assert!(ranges.iter().all(|range| text[range.clone()].trim().len() <= 254 * 64), "{part:?}");
        assert!(ranges.windows(2).all(|pair| pair[1].start <= pair[0].end && pair[0].end < pair[1].end), "{part:?}");
        assert!(ranges.iter().step_by(50).all(|range| count(&text[range.clone()]) <= 254), "{part:?}");
        assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, text.len()));
    }
}

/// Tokenizers whose tokens depend on more than the word.
fn others() -> Vec<Tokenizer> {
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::models::unigram::{Unigram, UnigramTrainer};
    use tokenizers::pre_tokenizers::{
        byte_level::ByteLevel,
        metaspace::{Metaspace, PrependScheme},
    };
    use tokenizers::{AddedToken, Model, models::TrainerWrapper};
    let texts = || [include_str!("chunk.rs"), "漢字文化圏の人々。これは文です。", "🇦🇹👨‍👩‍👧‍👦 été"].into_iter();
    let mut byte = Tokenizer::new(BPE::default());
    byte.with_pre_tokenizer(Some(ByteLevel::default()));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(600)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    byte.train(&mut trainer, texts()).unwrap();
    let mut pieces = Tokenizer::new(Unigram::default());
    // Not split at spaces: a token may go across them.
    pieces.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, false)));
    let mut trainer: TrainerWrapper = UnigramTrainer::builder()
        .vocab_size(300)
        .show_progress(false)
        .unk_token(Some("<unk>".into()))
        .special_tokens(vec![AddedToken::from("<unk>", true)])
        .build()
        .unwrap()
        .into();
    pieces.train(&mut trainer, texts()).unwrap();
    assert!(byte.get_model().get_vocab_size() > 300 && pieces.get_model().get_vocab_size() > 100);
    vec![byte, pieces]
}

#[test]
fn any_tokenizer_sets_the_limit() {
    let code = include_str!("chunk.rs");
    for tokenizer in others() {
        for (text, format) in [
            (code, Format::Code),
            (&code[..3_000], Format::Text),
            (&"漢字文化圏の人々。これは文です。".repeat(30), Format::Text),
            (&"word".repeat(500), Format::Text),
        ] {
            for (tokens, overlap) in [(60, 10), (200, 32), (12, 3)] {
                let ranges = chunk(text, &options(tokens, overlap, format), &tokenizer).unwrap();
                check(text, &options(tokens, overlap, format), &ranges, &tokenizer);
                let all = tokenizer.encode_fast(text, false).unwrap().len();
                assert_eq!(ranges.len() > 1, all > tokens);
                assert!(tokens < 60 || ranges.len() <= 4 + 4 * all / tokens, "{} ranges", ranges.len());
            }
        }
    }
}

#[test]
fn a_tokenizer_that_truncates_and_pads_counts_all_the_same() {
    let mut truncating = tokenizer().clone();
    truncating.with_truncation(Some(tokenizers::TruncationParams { max_length: 8, ..Default::default() })).unwrap();
    truncating.with_padding(Some(tokenizers::PaddingParams::default()));
    let text = "Some words of a sentence. ".repeat(60);
    let options = ChunkOptions::default();
    assert_eq!(chunk(&text, &options, &truncating).unwrap(), chunk(&text, &options, tokenizer()).unwrap());
}

fn character() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => "[a-zA-Z]{1,12}",
        6 => prop::sample::select(vec![" ", " ", " ", "\n", "\n\n", "\t", "\r\n", "\u{a0}", "\u{2028}", "\u{b}", "\u{85}", "\u{c}", "\u{3000}"]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![". ", ", ", "! ", "?", ".", ";", "(", ")", "\"", "'", "-", "…", "。", "、", "「", "！", "¿", "·", "[CLS]", "[MASK] ", "[SEP]"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec!["漢字", "文", "ひら", "カナ", "한국", "عربي", "עברית", "ไทย", "क्षि", "é", "e\u{301}", "ß", "İ", "ﬁ", "Σ", "\u{1fef}", "\u{37e}", "\u{f900}", "\u{2f800}"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["👨‍👩‍👧‍👦", "🇦🇹", "🇦", "👍🏽", "1️⃣", "\u{200d}", "\u{200b}", "\0", "\u{feff}", "\u{fe0f}", "\u{301}", "\u{600}", "\u{1100}", "\u{1161}", "\u{fffd}", "\u{e0100}", "\u{34f}", "\u{303d}"]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z]{90,130}",
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(character(), 0..120).prop_map(|parts| parts.concat())
}

fn markdown() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        3 => prop::collection::vec(character(), 0..12).prop_map(|parts| parts.concat() + "\n"),
        4 => "([A-Z][a-z]{1,6}( [a-z]{1,8}){1,12}[.!?] ){1,4}\n",
        2 => "#{1,4} [A-Z][a-z]{1,8}\n",
        1 => "(```|~~~~|````)[a-z]{0,2}\n",
        1 => "[ ]{0,6}([-*]|[0-9]{1,3}\\.) [a-z ]{1,20}\n",
        1 => "(\\| [a-z]{1,4} ){1,3}\\|\n",
        1 => "\\|(---\\|){1,3}\n",
        1 => "(---|===|> quoted|    indented\\(\\);|\\})\n",
        2 => Just("\n".to_owned()),
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

fn format() -> impl Strategy<Value = Option<Format>> {
    prop::sample::select(vec![None, Some(Format::Text), Some(Format::Markdown), Some(Format::Code)])
}

proptest! {
    #[test]
    fn every_text_is_split_as_promised(text in prop_oneof![any_text(), markdown()], tokens in 1_usize..80, overlap in 0.0_f64..1.0, format in format()) {
        let options = ChunkOptions { tokens, overlap: (tokens as f64 * overlap) as usize, format };
        passages(&text, &options, tokenizer());
    }

    /// The sum over the words is the count of the whole, which lets passages go without another tokenisation.
    #[test]
    fn a_limit_of_the_whole_text_is_enough(text in any_text()) {
        // A special token that stands in a word is taken for what it looks like.
        let text = text.replace('[', "(");
        let space = |c: char| matches!(c, '\t' | '\n' | '\r') || c.is_whitespace() && !c.is_control();
        let long: usize = text.split(space).filter(|word| word.len() > 48).map(|word| word.len().div_ceil(64)).sum();
        let tokens = (count(&text) + long).max(1);
        prop_assert_eq!(chunk(&text, &options(tokens, 0, Format::Text), tokenizer()).unwrap().len(), 1);
    }
}
