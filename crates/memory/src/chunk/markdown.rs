//! Markdown, as far as it says where a text may be cut: headings, fences, tables, front matter; the rest is prose.
//!
//! Read line by line rather than by a parser, whose nesting has inputs that take quadratic time.

use std::ops::Range;

use super::code;
use super::outline::{Cut, Outline, lines};
use super::prose::Prose;

pub(crate) fn outline(text: &str, outline: &mut Outline) {
    let mut scanner = Scanner { text, outline, prose: Prose::default(), next: Next::Anything };
    let mut lines = lines(text, 0..text.len()).peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        let content = text[line.clone()].trim_end();
        let following = lines.peek().map_or("", |next| text[next.clone()].trim_end());
        if let Some(fence) = fence(content) {
            let body = line.end;
            let mut end = line.end;
            let mut inner = body;
            for next in lines.by_ref() {
                end = next.end;
                if closes(text[next].trim_end(), fence) {
                    break;
                }
                inner = end;
            }
            scanner.block(line.start..end);
            code::outline(text, body..inner, scanner.outline);
            scanner.after_block();
        } else if first && content == "---" {
            let mut end = line.end;
            for next in lines.by_ref() {
                end = next.end;
                if matches!(text[next].trim_end(), "---" | "...") {
                    break;
                }
            }
            scanner.block(line.start..end);
            code::outline(text, line.end..end, scanner.outline);
            scanner.after_block();
        } else if let Some(level) = heading(content).or_else(|| underlined(content, following)) {
            scanner.heading(line.start, level);
            if heading(content).is_none() {
                lines.next();
            }
        } else if is_row(content) && is_delimiter(following) {
            let header = lines.next().map_or(line.end, |delimiter| delimiter.end);
            let mut rows = Vec::new();
            let mut end = header;
            while let Some(row) = lines.next_if(|next| is_row(text[next.clone()].trim_end())) {
                rows.push(row.start);
                end = row.end;
            }
            scanner.block(line.start..end);
            for (number, row) in rows.into_iter().enumerate() {
                scanner.outline.mark(row, if number == 0 { Cut::Glued } else { Cut::Item(0) });
            }
            scanner.after_block();
        } else {
            scanner.line(line);
        }
        first = false;
    }
    scanner.prose.end(text, text.len(), scanner.outline);
}

/// What the thing before says about the beginning of the next one.
enum Next {
    Anything,
    AfterHeading,
    AfterBlock,
}

struct Scanner<'x, 'o> {
    text: &'x str,
    outline: &'o mut Outline,
    prose: Prose,
    next: Next,
}

impl Scanner<'_, '_> {
    fn begin(&mut self, at: usize, cut: Cut) {
        self.prose.end(self.text, at, self.outline);
        let cut = if matches!(self.next, Next::AfterHeading) { Cut::Glued } else { cut };
        self.outline.mark(at, cut);
        self.next = Next::Anything;
    }

    fn heading(&mut self, at: usize, level: u8) {
        self.begin(at, Cut::Heading(level));
        self.next = Next::AfterHeading;
    }

    fn block(&mut self, block: Range<usize>) {
        self.begin(block.start, Cut::Block);
        self.outline.blocks.push(block);
    }

    fn after_block(&mut self) {
        self.next = Next::AfterBlock;
    }

    fn line(&mut self, line: Range<usize>) {
        let blank = self.text[line.clone()].trim().is_empty();
        match self.next {
            Next::Anything => {}
            _ if blank => return,
            Next::AfterHeading => self.begin(line.start, Cut::Glued),
            Next::AfterBlock => self.begin(line.start, Cut::Block),
        }
        self.prose.line(self.text, line, self.outline);
    }
}

/// The level of a heading that begins with hashes.
pub(crate) fn heading(line: &str) -> Option<u8> {
    let content = line.trim_start_matches(' ');
    let title = content.trim_start_matches('#');
    let level = content.len() - title.len();
    let indented = line.len() - content.len() > 3;
    (!indented && (1..=6).contains(&level) && (title.is_empty() || title.starts_with([' ', '\t']))).then_some(level as u8)
}

/// The level of a heading that is underlined.
fn underlined(line: &str, following: &str) -> Option<u8> {
    let text = line.trim_start();
    if text.is_empty() || text.starts_with(['>', '-', '*', '+', '|', '=', '#']) || text.len() > 200 {
        return None;
    }
    let rule = following.trim_start();
    let all = |mark| rule.len() >= 2 && rule.bytes().all(|byte| byte == mark);
    if all(b'=') {
        Some(1)
    } else if all(b'-') {
        Some(2)
    } else {
        None
    }
}

/// The mark of a fence that opens, and how often it stands there.
fn fence(line: &str) -> Option<(char, usize)> {
    let content = unquoted(line);
    let mark = content.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let info = content.trim_start_matches(mark);
    let length = content.len() - info.len();
    (length >= 3 && !(mark == '`' && info.contains('`'))).then_some((mark, length))
}

pub(crate) fn is_fence(line: &str) -> bool {
    fence(line).is_some()
}

fn closes(line: &str, (mark, length): (char, usize)) -> bool {
    let content = unquoted(line);
    content.len() >= length && content.chars().all(|character| character == mark)
}

/// Without the marks of quotations and list items that it may stand in.
fn unquoted(line: &str) -> &str {
    let content = line.trim_start_matches([' ', '\t', '>']);
    content.strip_prefix("- ").or_else(|| content.strip_prefix("* ")).unwrap_or(content).trim_start()
}

fn is_row(line: &str) -> bool {
    line.contains('|')
}

fn is_delimiter(line: &str) -> bool {
    line.contains('|') && line.contains('-') && line.bytes().all(|byte| b"|-: \t>".contains(&byte))
}

pub(crate) fn has_table(lines: &[&str]) -> bool {
    lines.windows(2).any(|pair| is_row(pair[0]) && is_delimiter(pair[1]))
}
