//! The parts that passages are put together from: sentences, blocks and lines that fit, and the pieces of those that do not.

use std::ops::Range;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::Cut;
use super::Outline;
use super::count::{BYTES_PER_TOKEN, Counter, is_space, parts, starts_cluster};
use super::outline::lines;
use crate::error::Result;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) start: usize,
    pub(crate) weight: usize,
    /// What a cut before it is.
    pub(crate) cut: Cut,
    /// Its weight can be added to that of its neighbours.
    pub(crate) exact: bool,
}

pub(crate) fn units<'x>(text: &'x str, outline: &Outline, limit: usize, counter: &mut Counter<'_, 'x>) -> Result<Vec<Unit>> {
    let mut breaker = Breaker { text, limit, counter, units: Vec::new() };
    let mut blocks = outline.blocks.iter().peekable();
    let first = std::iter::once((0, Cut::Block));
    let mut marks = first.chain(outline.marks.iter().copied()).peekable();
    while let Some((start, cut)) = marks.next() {
        if let Some(block) = blocks.next_if(|block| block.start == start)
            && breaker.whole(block.clone(), cut)?
        {
            while marks.next_if(|&(at, _)| at < block.end).is_some() {}
            // What is left of the block when its end is no mark belongs to it as well.
            continue;
        }
        let end = marks.peek().map_or(text.len(), |&(at, _)| at);
        breaker.segment(start..end, cut)?;
    }
    Ok(breaker.units)
}

struct Breaker<'b, 't, 'x> {
    text: &'x str,
    limit: usize,
    counter: &'b mut Counter<'t, 'x>,
    units: Vec<Unit>,
}

impl Breaker<'_, '_, '_> {
    fn push(&mut self, start: usize, weight: usize, cut: Cut, exact: bool) {
        // Small units are put together where a cut between them would hardly matter, so that there are never many to choose from.
        let inside = matches!(cut, Cut::Clause | Cut::Word | Cut::Piece);
        let least = self.limit / if inside { 64 } else { 200 };
        match self.units.last_mut() {
            Some(last) if last.weight + weight <= least => {
                last.weight += weight;
                last.exact &= exact;
            }
            _ => self.units.push(Unit { start, weight, cut, exact }),
        }
    }

    /// A block as one unit, if it fits.
    fn whole(&mut self, block: Range<usize>, cut: Cut) -> Result<bool> {
        if block.len() > self.limit * BYTES_PER_TOKEN * 4 {
            return Ok(false);
        }
        let weight = self.counter.weigh(&self.text[block.clone()])?;
        let fits = weight <= self.limit;
        if fits {
            self.push(block.start, weight.max(1), cut, true);
        }
        Ok(fits)
    }

    /// A sentence or line of code: whole, or else by its lines.
    fn segment(&mut self, segment: Range<usize>, cut: Cut) -> Result<()> {
        let weight = self.counter.weigh(&self.text[segment.clone()])?;
        if weight <= self.limit {
            self.push(segment.start, weight.max(1), cut, true);
            return Ok(());
        }
        let mut cut = cut;
        for line in lines(self.text, segment) {
            let weight = self.counter.weigh(&self.text[line.clone()])?;
            if weight <= self.limit {
                self.push(line.start, weight.max(1), cut, true);
            } else {
                self.words(line, cut)?;
            }
            cut = Cut::Line;
        }
        Ok(())
    }

    fn words(&mut self, line: Range<usize>, cut: Cut) -> Result<()> {
        let text = self.text;
        let mut cut = cut;
        let mut start = line.start;
        let mut spaced = false;
        let mut previous = '\n';
        for (offset, character) in text[line.clone()].char_indices() {
            let at = line.start + offset;
            let space = is_space(character);
            if spaced && !space && starts_cluster(text, at) {
                self.word(start..at, cut)?;
                cut = if is_clause(previous) { Cut::Clause } else { Cut::Word };
                start = at;
            }
            spaced = space;
            if !space {
                previous = character;
            }
        }
        self.word(start..line.end, cut)
    }

    /// A word with the space after it: whole, or cut where the tokenizer cuts as well, or anywhere.
    fn word(&mut self, word: Range<usize>, cut: Cut) -> Result<()> {
        let text = self.text;
        let weight = self.counter.weigh(&text[word.clone()])?;
        if weight <= self.limit {
            self.push(word.start, weight.max(1), cut, true);
            return Ok(());
        }
        let mut cut = cut;
        let mut start = word.start;
        for part in parts(&text[word]) {
            let weight = self.counter.weigh(part)?;
            if weight <= self.limit {
                self.push(start, weight.max(1), cut, true);
            } else {
                self.pieces(start, part, cut)?;
            }
            cut = if part.chars().next_back().is_some_and(is_clause) { Cut::Clause } else { Cut::Word };
            start += part.len();
        }
        Ok(())
    }

    fn pieces(&mut self, start: usize, part: &str, cut: Cut) -> Result<()> {
        let most = match self.limit {
            limit if part.len() > limit * BYTES_PER_TOKEN => limit * 8,
            32.. => 16,
            _ => 1,
        };
        let mut cut = cut;
        for piece in grouped(part.graphemes(true), most) {
            self.piece(start + piece.start..start + piece.end, cut)?;
            cut = Cut::Piece;
        }
        Ok(())
    }

    /// Some characters (grapheme clusters) of a word: together, or else one by one, or else even a character in parts.
    fn piece(&mut self, piece: Range<usize>, cut: Cut) -> Result<()> {
        let text = self.text;
        let mut cut = cut;
        if self.piece_fits(piece.clone(), cut)? {
            return Ok(());
        }
        for (offset, cluster) in text[piece.clone()].grapheme_indices(true) {
            let start = piece.start + offset;
            if !self.piece_fits(start..start + cluster.len(), cut)? {
                let most = if cluster.len() > self.limit * BYTES_PER_TOKEN { self.limit * 8 } else { 1 };
                for part in grouped(cluster.split_inclusive(|_| true), most) {
                    let part = start + part.start..start + part.end;
                    let weight = self.counter.weigh(&text[part.clone()])?;
                    self.push(part.start, weight.max(1), cut, false);
                    cut = Cut::Piece;
                }
            }
            cut = Cut::Piece;
        }
        Ok(())
    }

    fn piece_fits(&mut self, piece: Range<usize>, cut: Cut) -> Result<bool> {
        let weight = self.counter.weigh(&self.text[piece.clone()])?;
        let fits = weight <= self.limit;
        if fits {
            self.push(piece.start, weight.max(1), cut, false);
        }
        Ok(fits)
    }
}

/// Puts parts that follow one another together up to so many bytes.
fn grouped<'x>(parts: impl Iterator<Item = &'x str>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut parts = parts.peekable();
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = end;
        while let Some(part) = parts.next_if(|part| end == start || end - start + part.len() <= most) {
            end += part.len();
        }
        (end > start).then_some(start..end)
    })
}

fn is_clause(character: char) -> bool {
    matches!(character, ',' | ';' | ':' | '，' | '、' | '；' | '：' | '،' | '؛' | '—' | '–')
}

/// A place near the middle of a range to cut it at: a space, or between two characters.
pub(crate) fn middle(text: &str, range: Range<usize>) -> Option<usize> {
    let part = &text[range.clone()];
    let half = part.ceil_char_boundary(part.len() / 2);
    let spaced = part[..half].char_indices().rev().find(|&(at, character)| {
        let end = at + character.len_utf8();
        is_space(character) && starts_cluster(part, end)
    });
    if let Some((at, character)) = spaced
        && at > 0
    {
        return Some(range.start + at + character.len_utf8());
    }
    let boundary = match GraphemeCursor::new(half, part.len(), true).is_boundary(part, 0) {
        Ok(true) => Some(half),
        _ => GraphemeCursor::new(half, part.len(), true).prev_boundary(part, 0).ok().flatten(),
    };
    let inside = |at: &usize| *at > 0 && *at < part.len();
    let boundary = boundary.filter(inside);
    let boundary = boundary.or_else(|| GraphemeCursor::new(0, part.len(), true).next_boundary(part, 0).ok().flatten());
    // A single character that is too long is cut inside.
    boundary.filter(inside).or(Some(half)).filter(inside).map(|at| range.start + at)
}
