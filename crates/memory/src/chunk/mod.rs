//! Splits documents into the passages that the model sees.
//!
//! `outline` finds where a text may be cut and how well (`prose`, `markdown` and `code` read the forms, `sentence` the sentences),
//! `count` weighs what lies between by the model's tokens, `unit` breaks up what is too long, and `pack` chooses the cuts.
//!
//! **Nothing here takes more than linear time in the length of the text, whatever is in it.**

mod code;
mod count;
mod markdown;
mod outline;
mod pack;
mod prose;
mod sentence;
mod unit;

use std::ops::Range;

use master_agent_core::ErrorCode;
use tokenizers::Tokenizer;

use crate::error::{Error, Result};
use count::Counter;
use outline::{Cut, Outline};
use unit::Unit;

/// What kind of text it is, which says where it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prose: paragraphs, sentences, lines, words.
    Text,
    /// Headings, lists, tables and fenced code besides.
    Markdown,
    /// Any language: blank lines and indentation, then lines.
    Code,
}

/// How a document is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkOptions {
    /// The most tokens of a passage, as the model's tokenizer counts them, special tokens apart.
    pub tokens: usize,
    /// The most tokens of a passage that are also the end of the one before it.
    pub overlap: usize,
    /// `None`: found out from the text.
    pub format: Option<Format>,
}

impl Default for ChunkOptions {
    /// What the bundled model sees of a text beside its two special tokens. Measured by nDCG@10, passages of 200 tokens find a
    /// little less (by 0.003), those of 128 much less.
    fn default() -> Self {
        Self { tokens: 254, overlap: 40, format: None }
    }
}

impl ChunkOptions {
    fn check(&self) -> Result<()> {
        if self.tokens == 0 {
            return Err(Error::new(ErrorCode::InvalidArgument, "chunk.tokens: must be at least 1"));
        }
        if self.overlap >= self.tokens {
            let message = format!("chunk.overlap: must be smaller than chunk.tokens ({}), not {}", self.tokens, self.overlap);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        Ok(())
    }
}

/// The byte ranges of the passages of a text, in order and without a gap. A text that fits is one range.
///
/// A range has at most `tokens` tokens, where a word counts for at least one token for each 64 bytes (so that what is one unknown
/// token to the model, such as a megabyte of hexadecimal digits, does not become a passage of a megabyte). It begins and ends between characters
/// (grapheme clusters), except inside one that is longer by itself; a code point is never cut. Of consecutive ranges the second begins with at most `overlap` tokens of the first: whole
/// sentences, or whole words where the last sentence is longer; nothing where a heading or block begins.
///
/// # Errors
/// `ERR_INPUT_INVALID` for options out of range; `ERR_EMBEDDING_FAILED` when the tokenizer fails.
pub fn chunk(text: &str, options: &ChunkOptions, tokenizer: &Tokenizer) -> Result<Vec<Range<usize>>> {
    options.check()?;
    if tokenizer.get_truncation().is_some() || tokenizer.get_padding().is_some() {
        let mut plain = tokenizer.clone();
        plain.with_padding(None);
        plain.with_truncation(None).map_err(count::failed)?;
        return split(text, options, &mut Counter::new(&plain, options.tokens));
    }
    split(text, options, &mut Counter::new(tokenizer, options.tokens))
}

fn split<'x>(text: &'x str, options: &ChunkOptions, counter: &mut Counter<'_, 'x>) -> Result<Vec<Range<usize>>> {
    if counter.fits(text)? {
        return Ok(std::iter::once(0..text.len()).collect());
    }
    let format = options.format.unwrap_or_else(|| guess(text));
    let outline = Outline::new(text, format);
    let units = unit::units(text, &outline, options.tokens, counter)?;
    drop(outline);
    let mut ranges = Vec::new();
    for mut range in pack::pack(text, &units, options, counter)? {
        if !range.exact && range.start < range.core && counter.count(&text[range.start..range.core])? > options.overlap
            || ranges.last().is_some_and(|last: &Range<usize>| range.start <= last.start)
        {
            range.start = range.core;
        }
        fit(text, range, options.tokens, counter, &mut ranges)?;
    }
    Ok(ranges)
}

/// Halves a range until it has few enough tokens, where the sum over its parts could be wrong.
fn fit<'x>(
    text: &'x str,
    range: pack::Packed,
    tokens: usize,
    counter: &mut Counter<'_, 'x>,
    ranges: &mut Vec<Range<usize>>,
) -> Result<()> {
    let pack::Packed { start, core, end, exact } = range;
    if exact || counter.count(&text[start..end])? <= tokens {
        ranges.push(start..end);
        return Ok(());
    }
    if start < core {
        return fit(text, pack::Packed { start: core, core, end, exact }, tokens, counter, ranges);
    }
    let Some(middle) = unit::middle(text, start..end) else {
        ranges.push(start..end);
        return Ok(());
    };
    fit(text, pack::Packed { start, core: start, end: middle, exact }, tokens, counter, ranges)?;
    fit(text, pack::Packed { start: middle, core: middle, end, exact }, tokens, counter, ranges)
}

/// What kind of text it is, judged by its beginning.
pub(crate) fn guess(text: &str) -> Format {
    let sample = &text[..text.floor_char_boundary(16_384)];
    let lines: Vec<&str> = sample.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.iter().any(|line| markdown::is_fence(line)) || markdown::has_table(&lines) {
        return Format::Markdown;
    }
    let coded = lines.iter().filter(|line| code::is_likely(line)).count();
    if lines.len() >= 3 && coded * 2 >= lines.len() {
        return Format::Code;
    }
    let marked = lines.iter().any(|line| markdown::heading(line).is_some());
    if marked { Format::Markdown } else { Format::Text }
}
