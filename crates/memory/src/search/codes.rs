//! The vectors of one file in memory, in two forms: a bit per number, which tells candidates apart from the rest at some 50 bytes a
//! vector, and 16 bits per number, which gives the cosine of a candidate to five digits.
//!
//! The bits are the signs of the vector's difference from a centre. They estimate a product as RaBitQ does (Gao and Long 2024,
//! arXiv 2405.12497), without its rotation: `x ≈ c + s · sign(x − c)` with `s = |x − c|² / |x − c|₁`.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::search::fuse::dot;

/// What 1 is as an integer. The product of two vectors of length 1 stays below 2³¹, whatever part of the sum is taken.
const ONE: f32 = 32_767.0;
/// Bits of a number of the query, its sign included.
const PLANES: usize = 4;
/// Rows whose estimates are worked out at a time.
const BLOCK: usize = 512;

/// Calls a function of `plain`, or the same one built for wider registers where the processor has them.
macro_rules! widest {
    ($name:ident($($argument:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                #[expect(unsafe_code, reason = "the processor was just asked whether it has these instructions")]
                unsafe {
                    wide::$name($($argument),*)
                }
            } else {
                plain::$name($($argument),*)
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        plain::$name($($argument),*)
    }};
}

/// Vectors of length 1, row by row; rows that were never set are 0.
#[derive(Debug)]
pub(crate) struct Codes {
    width: usize,
    words: usize,
    centre: Vec<f32>,
    bits: Vec<u64>,
    scales: Vec<f32>,
    whole: Vec<i16>,
}

impl Codes {
    /// Room for `rows` vectors of `width` numbers; the centre is the mean of `sample`, vectors row after row.
    pub(crate) fn new(rows: usize, width: usize, sample: &[f32]) -> Self {
        let width = width.max(1);
        let words = width.div_ceil(64);
        let mut centre = vec![0.0_f32; width];
        for vector in sample.chunks_exact(width) {
            centre.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let count = (sample.len() / width).max(1) as f32;
        centre.iter_mut().for_each(|value| *value /= count);
        Self { width, words, centre, bits: vec![0; rows * words], scales: vec![0.0; rows], whole: vec![0; rows * width] }
    }

    /// Bytes that a vector of `width` numbers takes.
    pub(crate) fn bytes_of(width: usize) -> usize {
        width.div_ceil(64) * size_of::<u64>() + width * size_of::<i16>() + size_of::<f32>()
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Keeps a vector. One of another width, or a row beyond the last, is not.
    pub(crate) fn set(&mut self, row: usize, vector: &[f32]) {
        if vector.len() != self.width || row >= self.rows() {
            return;
        }
        let whole = &mut self.whole[row * self.width..][..self.width];
        let bits = &mut self.bits[row * self.words..][..self.words];
        let (mut square, mut sum) = (0.0_f32, 0.0_f32);
        for (at, (part, centre)) in vector.chunks(64).zip(self.centre.chunks(64)).enumerate() {
            let mut word = 0_u64;
            for (bit, (value, centre)) in part.iter().zip(centre).enumerate() {
                let apart = value - centre;
                word |= u64::from(apart > 0.0) << bit;
                square += apart * apart;
                sum += apart.abs();
            }
            bits[at] = word;
        }
        self.scales[row] = if sum > 0.0 { square / sum } else { 0.0 };
        whole.iter_mut().zip(vector).for_each(|(code, value)| *code = integer(*value));
    }

    /// The vector as it is kept: each number to within 1/65,534.
    pub(crate) fn vector(&self, row: usize) -> impl Iterator<Item = f32> {
        self.whole[row * self.width..][..self.width].iter().map(|code| f32::from(*code) / ONE)
    }

    fn cosine(&self, query: &Needle, row: usize) -> f32 {
        let whole = &self.whole[row * self.width..][..self.width];
        widest!(product(whole, &query.whole)) as f32 / (ONE * ONE)
    }

    /// Estimates the products of the query with some rows; `base` is its product with the centre.
    fn estimates(&self, query: &Needle, base: f32, rows: &[u32], estimates: &mut [f32]) {
        let mut sums = [0_i32; BLOCK];
        let sums = &mut sums[..rows.len()];
        widest!(sum(&self.bits, self.words, &query.planes, rows, sums));
        for ((row, sum), estimate) in rows.iter().zip(sums).zip(estimates) {
            *estimate = base + self.scales[*row as usize] * query.step * (2 * *sum - query.sum) as f32;
        }
    }
}

mod plain {
    use super::PLANES;

    #[inline(always)]
    pub(super) fn product(left: &[i16], right: &[i16]) -> i32 {
        left.iter().zip(right).map(|(left, right)| i32::from(*left) * i32::from(*right)).sum()
    }

    /// For each row, the sum of the query's numbers where the row's bit is set.
    #[inline(always)]
    pub(super) fn sum(bits: &[u64], words: usize, planes: &[[u64; PLANES]], rows: &[u32], sums: &mut [i32]) {
        for (row, sum) in rows.iter().zip(sums) {
            let bits = &bits[*row as usize * words..][..words];
            let mut counts = [0_u32; PLANES];
            for (word, planes) in bits.iter().zip(planes) {
                for plane in 0..PLANES {
                    counts[plane] += (word & planes[plane]).count_ones();
                }
            }
            let [ones, twos, fours, signs] = counts.map(|count| count as i32);
            *sum = ones + 2 * twos + 4 * fours - 8 * signs;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{PLANES, plain};

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn product(left: &[i16], right: &[i16]) -> i32 {
        plain::product(left, right)
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn sum(bits: &[u64], words: usize, planes: &[[u64; PLANES]], rows: &[u32], sums: &mut [i32]) {
        plain::sum(bits, words, planes, rows, sums);
    }
}

fn integer(value: f32) -> i16 {
    // Half up, without a call of a library for each number.
    ((value.clamp(-1.0, 1.0) * ONE + 32_768.5) as i32 - 32_768) as i16
}

/// A query in the forms that `Codes` compare with.
#[derive(Debug)]
pub(crate) struct Needle {
    vector: Vec<f32>,
    whole: Vec<i16>,
    /// The bits of the numbers as integers from -7 to 7 in two's complement: for each 64 numbers, a word per bit.
    planes: Vec<[u64; PLANES]>,
    step: f32,
    sum: i32,
}

impl Needle {
    pub(crate) fn new(vector: &[f32]) -> Self {
        let most = vector.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let step = if most > 0.0 { most / 7.0 } else { 1.0 };
        let mut planes = vec![[0_u64; PLANES]; vector.len().div_ceil(64)];
        let mut sum = 0;
        for (at, value) in vector.iter().enumerate() {
            let number = (value / step).round() as i32;
            sum += number;
            for (bit, plane) in planes[at / 64].iter_mut().enumerate() {
                *plane |= u64::from(number >> bit & 1 == 1) << (at % 64);
            }
        }
        Self { vector: vector.to_vec(), whole: vector.iter().map(|value| integer(*value)).collect(), planes, step, sum }
    }
}

/// Rows of a file that are searched: those of `only` within `rows`.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The upper half of the addresses of its rows.
    pub(crate) fragment: u32,
    pub(crate) codes: Arc<Codes>,
    pub(crate) rows: Range<u32>,
    pub(crate) only: Option<Arc<RoaringBitmap>>,
}

/// The `depth` rows whose vectors are nearest to the query: address and cosine, best first. `keep` of them, by the estimates, are
/// compared: with few of them some of the nearest may be missed.
pub(crate) fn nearest(parts: &[Part], query: &Needle, depth: usize, keep: usize) -> Vec<(u64, f32)> {
    let mut best = Best::new(keep.max(depth));
    for (at, part) in parts.iter().enumerate() {
        let base = dot(&part.codes.centre, &query.vector);
        let mut rows = [0_u32; BLOCK];
        let mut estimates = [0.0_f32; BLOCK];
        let mut next = part.rows.start;
        let mut chosen = part.only.as_deref().map(|only| only.range(part.rows.clone()));
        loop {
            let mut count = 0;
            match &mut chosen {
                Some(chosen) => {
                    for (place, row) in rows.iter_mut().zip(chosen) {
                        *place = row;
                        count += 1;
                    }
                }
                None => {
                    count = (part.rows.end.saturating_sub(next) as usize).min(BLOCK);
                    rows.iter_mut().zip(next..).for_each(|(place, row)| *place = row);
                    next += count as u32;
                }
            }
            if count == 0 {
                break;
            }
            part.codes.estimates(query, base, &rows[..count], &mut estimates);
            for (row, estimate) in rows[..count].iter().zip(&estimates) {
                best.offer(*estimate, at, *row);
            }
        }
    }
    let candidates = best.take();
    let mut found = Vec::with_capacity(candidates.len());
    for (_, at, row) in candidates {
        let Part { fragment, codes, .. } = &parts[at];
        found.push((u64::from(*fragment) << 32 | u64::from(row), codes.cosine(query, row as usize)));
    }
    found.sort_unstable_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    found.truncate(depth);
    found
}

/// The highest of what is offered, in room for twice as many.
struct Best {
    keep: usize,
    least: f32,
    found: Vec<(f32, usize, u32)>,
}

impl Best {
    fn new(keep: usize) -> Self {
        Self { keep: keep.max(1), least: f32::NEG_INFINITY, found: Vec::new() }
    }

    #[inline]
    fn offer(&mut self, estimate: f32, part: usize, row: u32) {
        if estimate > self.least {
            self.found.push((estimate, part, row));
            if self.found.len() >= 2 * self.keep {
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        if self.found.len() > self.keep {
            let order = |one: &(f32, usize, u32), other: &(f32, usize, u32)| {
                other.0.total_cmp(&one.0).then((one.1, one.2).cmp(&(other.1, other.2)))
            };
            let (_, last, _) = self.found.select_nth_unstable_by(self.keep - 1, order);
            self.least = last.0;
            self.found.truncate(self.keep);
        }
    }

    fn take(mut self) -> Vec<(f32, usize, u32)> {
        self.shrink();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(mut vector: Vec<f32>) -> Vec<f32> {
        let length = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    }

    /// Vectors around a common direction, as those of a model are.
    fn vectors(count: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut number = move || random.f32() - 0.5;
        (0..count).map(|_| unit((0..width).map(|at| number() + if at % 3 == 0 { 0.3 } else { 0.0 }).collect())).collect()
    }

    fn part(vectors: &[Vec<f32>], width: usize) -> Part {
        let mut codes = Codes::new(vectors.len(), width, &vectors.concat());
        vectors.iter().enumerate().for_each(|(row, vector)| codes.set(row, vector));
        Part { fragment: 3, codes: Arc::new(codes), rows: 0..vectors.len() as u32, only: None }
    }

    fn exact(vectors: &[Vec<f32>], query: &[f32]) -> Vec<(u32, f32)> {
        let mut all: Vec<(u32, f32)> = (0..).zip(vectors).map(|(row, vector)| (row, dot(vector, query))).collect();
        all.sort_by(|left, right| right.1.total_cmp(&left.1));
        all
    }

    #[test]
    fn the_nearest_are_found_with_their_cosines_at_every_width() {
        for width in [1, 2, 63, 64, 65, 384, 1_000] {
            let all = vectors(500, width, 7);
            let query = &vectors(1, width, 8)[0];
            let found = nearest(&[part(&all, width)], &Needle::new(query), 10, 500);
            for ((address, cosine), (_, right)) in found.iter().zip(exact(&all, query)) {
                assert_eq!(address >> 32, 3);
                assert!((cosine - right).abs() < 1e-4, "{width}: {cosine} {right}");
                assert!((dot(&all[*address as u32 as usize], query) - cosine).abs() < 1e-4, "{width}");
            }
            assert_eq!(found.len(), 10);
        }
    }

    #[test]
    fn estimates_tell_the_nearest_from_most_of_the_rest() {
        let (width, all) = (384, vectors(20_000, 384, 1));
        let parts = [part(&all, width)];
        let mut found = 0;
        for query in vectors(20, width, 2) {
            let near: Vec<u32> = nearest(&parts, &Needle::new(&query), 10, 1_000).iter().map(|one| one.0 as u32).collect();
            found += exact(&all, &query)[..10].iter().filter(|(row, _)| near.contains(row)).count();
        }
        assert!(found >= 196, "{found} of 200");
    }

    #[test]
    fn only_the_rows_that_are_asked_for_are_found() {
        let all = vectors(3_000, 32, 4);
        let whole = part(&all, 32);
        let only: RoaringBitmap = (0..3_000).filter(|row| row % 7 == 0).collect();
        let some = Part { only: Some(Arc::new(only)), rows: 700..2_100, ..whole.clone() };
        let found = nearest(&[some], &Needle::new(&all[1]), 5_000, 5_000);
        assert_eq!(found.len(), 200);
        let rows: Vec<u32> = found.iter().map(|(address, _)| *address as u32).collect();
        assert!(rows.iter().all(|row| (700..2_100).contains(row) && row.is_multiple_of(7)));
        let halves = [Part { rows: 0..1_000, ..whole.clone() }, Part { rows: 1_000..3_000, ..whole.clone() }];
        let needle = Needle::new(&all[9]);
        assert_eq!(nearest(&halves, &needle, 50, 3_000), nearest(&[whole], &needle, 50, 3_000));
    }

    #[test]
    fn a_row_that_was_not_set_and_numbers_that_are_too_large_do_no_harm() {
        let mut codes = Codes::new(3, 4, &[]);
        codes.set(0, &[1.0, 0.0, 0.0, 0.0]);
        codes.set(1, &[1e30, f32::NAN, f32::INFINITY, -1e30]);
        codes.set(7, &[1.0, 0.0, 0.0, 0.0]);
        codes.set(2, &[1.0]);
        let parts = [Part { fragment: 0, codes: Arc::new(codes), rows: 0..3, only: None }];
        let found = nearest(&parts, &Needle::new(&[1.0, 0.0, 0.0, 0.0]), 3, 3);
        assert!(found.contains(&(0, 1.0)), "{found:?}");
        assert!(nearest(&parts, &Needle::new(&[0.0; 4]), 3, 3).iter().all(|(_, cosine)| cosine.is_finite()));
    }

    proptest! {
        #[test]
        fn wide_and_plain_registers_count_alike(
            words in 1_usize..30,
            bits in proptest::collection::vec(any::<u64>(), 30 * 5),
            planes in proptest::collection::vec(any::<[u64; PLANES]>(), 30),
            left in proptest::collection::vec(-2_000_i16..2_000, 0..400),
        ) {
            let rows = [4, 0, 2];
            let (mut plain, mut widest) = ([0; 3], [0; 3]);
            plain::sum(&bits, words, &planes[..words], &rows, &mut plain);
            widest!(sum(&bits, words, &planes[..words], &rows, &mut widest));
            prop_assert_eq!(plain, widest);
            prop_assert_eq!(plain::product(&left, &left), widest!(product(&left, &left)));
        }
    }
}
