//! Plain text: paragraphs between blank lines, lists, and lines that are paragraphs by themselves.

use std::ops::Range;

use super::outline::{Cut, Outline, indentation, lines};
use super::sentence;

/// A line longer than this was not broken to fit a page: its end is the end of a paragraph.
const WRAPPED: usize = 160;

pub(crate) fn outline(text: &str, outline: &mut Outline) {
    let mut prose = Prose::default();
    for line in lines(text, 0..text.len()) {
        prose.line(text, line, outline);
    }
    prose.end(text, text.len(), outline);
}

/// Lines that flow into one another until something else begins.
#[derive(Default)]
pub(crate) struct Prose {
    flow: Option<usize>,
    blank: bool,
    /// The line before was long.
    long: bool,
}

impl Prose {
    pub(crate) fn line(&mut self, text: &str, line: Range<usize>, outline: &mut Outline) {
        let content = text[line.clone()].trim_end();
        if content.trim_start().is_empty() {
            self.blank = true;
            return;
        }
        let cut = if let Some(depth) = item(content) {
            Some(if self.blank && depth == 0 { Cut::Paragraph } else { Cut::Item(depth) })
        } else if self.blank || self.long {
            Some(Cut::Paragraph)
        } else {
            None
        };
        if let Some(cut) = cut {
            self.end(text, line.start, outline);
            outline.mark(line.start, cut);
        }
        self.flow.get_or_insert(line.start);
        self.blank = false;
        self.long = content.len() > WRAPPED;
    }

    /// Marks the sentences of what has flowed so far.
    pub(crate) fn end(&mut self, text: &str, end: usize, outline: &mut Outline) {
        if let Some(start) = self.flow.take() {
            sentence::outline(text, start..end, outline);
        }
        self.blank = false;
        self.long = false;
    }
}

/// The depth of an item of a list.
fn item(line: &str) -> Option<u8> {
    let content = line.trim_start();
    let after_number = content.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = content.len() - after_number.len();
    let marked = if digits > 0 {
        digits <= 4 && after_number.strip_prefix(['.', ')']).is_some_and(|rest| rest.starts_with([' ', '\t']))
    } else {
        content.strip_prefix(['-', '*', '+', '•', '–']).is_some_and(|rest| rest.starts_with([' ', '\t']))
    };
    marked.then(|| (indentation(line) / 2).min(8) as u8)
}
