//! Where a text may be cut, and how good a cut each place is.

use std::ops::Range;

use super::Format;
use super::{code, markdown, prose};

/// What begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A section, by the level of its heading from 1.
    Heading(u8),
    /// A fence, a table, or what follows one; a declaration of a program.
    Block,
    Paragraph,
    /// An item of a list or a row of a table, by its depth.
    Item(u8),
    Sentence,
    /// A line of a program, by its indentation.
    Statement(u8),
    Line,
    Clause,
    Word,
    /// What belongs with what is before it: the text under a heading, a closing brace, the function under its comment.
    Glued,
    /// The middle of a word.
    Piece,
}

impl Cut {
    /// The price of a cut; a passage costs 10.
    pub(crate) fn cost(self) -> f32 {
        match self {
            Self::Heading(level) => f32::from(level.min(6)) - 9.0,
            Self::Block => 0.0,
            Self::Paragraph => 1.0,
            Self::Item(depth) => 2.0 + 0.5 * f32::from(depth.min(8)),
            Self::Sentence => 6.0,
            Self::Statement(depth) => 5.0 + f32::from(depth.min(8)),
            Self::Line => 20.0,
            Self::Clause => 22.0,
            Self::Word => 30.0,
            Self::Glued => 100.0,
            Self::Piece => 400.0,
        }
    }

    /// Whether a new subject begins, to which the end of the old one would be a false context.
    pub(crate) fn is_fresh(self) -> bool {
        matches!(self, Self::Heading(_) | Self::Block)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Ascending, none at the start or end of the text.
    pub(crate) marks: Vec<(usize, Cut)>,
    /// What is not cut when it fits, from mark to mark.
    pub(crate) blocks: Vec<Range<usize>>,
}

impl Outline {
    pub(crate) fn new(text: &str, format: Format) -> Self {
        let mut outline = Self::default();
        match format {
            Format::Text => prose::outline(text, &mut outline),
            Format::Markdown => markdown::outline(text, &mut outline),
            Format::Code => code::outline(text, 0..text.len(), &mut outline),
        }
        let ends_early = outline.marks.partition_point(|&(at, _)| at < text.len());
        outline.marks.truncate(ends_early);
        outline
    }

    /// Marks come in order; of two at one place the first stays, and nothing begins the text anew.
    pub(crate) fn mark(&mut self, at: usize, cut: Cut) {
        if at > self.marks.last().map_or(0, |&(last, _)| last) {
            self.marks.push((at, cut));
        }
    }
}

/// The lines of a part of a text, with their ends.
pub(crate) fn lines(text: &str, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    text[range].split_inclusive('\n').map(move |line| {
        let begun = start;
        start += line.len();
        begun..start
    })
}

pub(crate) fn indentation(line: &str) -> usize {
    line.bytes()
        .map_while(|byte| [(b' ', 1), (b'\t', 4)].into_iter().find(|(blank, _)| *blank == byte))
        .map(|(_, width)| width)
        .sum()
}
