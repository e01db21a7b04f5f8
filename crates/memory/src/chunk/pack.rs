//! Chooses the cuts: of all ways to put the units together, the one that costs least by the number of passages, how full they
//! are, and where they are cut.

use super::ChunkOptions;
use super::Cut;
use super::Unit;
use super::count::{Counter, is_space, starts_cluster};
use crate::error::Result;

pub(crate) struct Packed {
    pub(crate) start: usize,
    /// Where the passage before it ends: what is in front of this is the overlap.
    pub(crate) core: usize,
    pub(crate) end: usize,
    /// Its tokens are known to be few enough.
    pub(crate) exact: bool,
}

const PASSAGE: f32 = 10.0;
const EMPTY: f32 = 10.0;
/// Times the price of a passage with a cut: rather one more than no overlap.
const NO_OVERLAP: f32 = 1.5;

pub(crate) fn pack<'x>(
    text: &'x str,
    units: &[Unit],
    options: &ChunkOptions,
    counter: &mut Counter<'_, 'x>,
) -> Result<Vec<Packed>> {
    let mut sums = Vec::with_capacity(units.len() + 1);
    let mut sum = 0;
    sums.push(0);
    for unit in units {
        sum += unit.weight;
        sums.push(sum);
    }
    let cuts = cheapest(units, &sums, options);
    let mut packed = Vec::with_capacity(cuts.len());
    let mut previous = 0;
    for (number, &from) in cuts.iter().enumerate() {
        let to = cuts.get(number + 1).copied().unwrap_or(units.len());
        let core = units[from].start;
        let end = units.get(to).map_or(text.len(), |unit| unit.start);
        let room = options.overlap.min(options.tokens.saturating_sub(sums[to] - sums[from]));
        let start = if number == 0 { 0 } else { overlap(text, units, &sums, previous, from, room, counter)? };
        let first = units[..from].iter().rposition(|unit| unit.start <= start).unwrap_or(from).min(from);
        let exact = counter.is_exact() && units[first..to].iter().all(|unit| unit.exact);
        packed.push(Packed { start, core, end, exact });
        previous = from;
    }
    Ok(packed)
}

/// The first units of the passages.
fn cheapest(units: &[Unit], sums: &[usize], options: &ChunkOptions) -> Vec<usize> {
    let limit = options.tokens as f32;
    let wanted = wanted(units, sums, options.overlap);
    let mut best = vec![f32::INFINITY; units.len() + 1];
    let mut from = vec![0_u32; units.len() + 1];
    best[0] = 0.0;
    for to in 1..=units.len() {
        for first in (0..to).rev() {
            let weight = sums[to] - sums[first];
            if weight > options.tokens && first + 1 < to {
                break;
            }
            let weight = weight as f32;
            let room = (limit - weight).max(0.0);
            let lacking = if wanted[first] > room { 1.0 - room / wanted[first] } else { 0.0 };
            let emptiness = (room - wanted[first]).max(0.0) / limit;
            let cost = best[first]
                + PASSAGE
                + EMPTY * emptiness * emptiness
                + lacking * NO_OVERLAP * (PASSAGE + units[first].cut.cost().clamp(0.0, 30.0));
            if cost < best[to] {
                best[to] = cost;
                from[to] = first as u32;
            }
        }
        if let Some(unit) = units.get(to) {
            best[to] += unit.cut.cost();
        }
    }
    let mut cuts = Vec::new();
    let mut to = units.len();
    while to > 0 {
        to = from[to] as usize;
        cuts.push(to);
    }
    cuts.reverse();
    cuts
}

/// The tokens that a passage would repeat if it began with each of the units.
fn wanted(units: &[Unit], sums: &[usize], overlap: usize) -> Vec<f32> {
    let mut from = 0;
    let wanted = units.iter().enumerate().map(|(first, unit)| {
        while sums[first] - sums[from] > overlap {
            from += 1;
        }
        if first == 0 || unit.cut.is_fresh() {
            from = first;
            return 0.0;
        }
        // Where the unit before it is too long its last words are repeated.
        (if from == first { overlap } else { sums[first] - sums[from] }) as f32
    });
    wanted.collect()
}

/// Where a passage begins that repeats the end of the one before: with as many whole units as there is room for, or, where the
/// last one is too long, with its last words.
fn overlap<'x>(
    text: &'x str,
    units: &[Unit],
    sums: &[usize],
    previous: usize,
    from: usize,
    room: usize,
    counter: &mut Counter<'_, 'x>,
) -> Result<usize> {
    let core = units[from].start;
    if units[from].cut.is_fresh() || room == 0 {
        return Ok(core);
    }
    let mut start = core;
    for unit in (previous + 1..from).rev() {
        if sums[from] - sums[unit] > room {
            break;
        }
        if units[unit].cut != Cut::Piece {
            start = units[unit].start;
        }
        if units[unit].cut.is_fresh() {
            break;
        }
    }
    if start < core || !units[from - 1].exact {
        return Ok(start);
    }
    let last = &text[units[from - 1].start..core];
    let mut weight = 0;
    let mut end = last.len();
    while let Some(at) = word_start(last, end) {
        weight += counter.weigh(&last[at..end])?;
        if weight > room {
            break;
        }
        start = units[from - 1].start + at;
        end = at;
    }
    Ok(start)
}

/// Where the last word before a place begins, unless the text begins with it.
fn word_start(text: &str, end: usize) -> Option<usize> {
    let mut within = false;
    let mut word = end;
    for (at, character) in text[..end].char_indices().rev() {
        let space = is_space(character);
        if within && space && starts_cluster(text, word) {
            return Some(word);
        }
        within |= !space;
        word = at;
    }
    None
}
