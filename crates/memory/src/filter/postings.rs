//! Which rows have which value: the values sorted, and the rows of each one after another.

use std::collections::HashMap;
use std::ops::Range;

use roaring::RoaringBitmap;

use super::number::Num;

/// The rows of value `i` are `rows[starts[i]..starts[i + 1]]`, ascending, each once.
#[derive(Debug, Default)]
struct Rows {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Rows {
    /// From (value, row) pairs with ascending rows for each value.
    fn new(values: usize, entries: &[(u32, u32)]) -> Self {
        let mut starts = vec![0_u32; values + 1];
        for &(value, _) in entries {
            starts[value as usize + 1] += 1;
        }
        for value in 0..values {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; entries.len()];
        for &(value, row) in entries {
            let at = &mut next[value as usize];
            rows[*at as usize] = row;
            *at += 1;
        }
        Self { starts, rows }
    }

    fn of(&self, values: Range<usize>) -> &[u32] {
        if values.is_empty() {
            return &[];
        }
        &self.rows[self.starts[values.start] as usize..self.starts[values.end] as usize]
    }

    fn bytes(&self) -> usize {
        (self.starts.capacity() + self.rows.capacity()) * size_of::<u32>()
    }
}

/// Gathers rows, in any order, into a bitmap.
pub(crate) struct Gathering {
    total: u32,
    few: Vec<u32>,
    many: Option<Vec<u8>>,
}

impl Gathering {
    pub(crate) fn new(total: u32) -> Self {
        Self { total, few: Vec::new(), many: None }
    }

    fn add(&mut self, rows: &[u32]) {
        // Sorting costs more than a bit for every row once there are this many.
        if self.many.is_none() && self.few.len() + rows.len() > self.total as usize / 64 {
            let mut bits = vec![0; self.total as usize / 8 + 1];
            set(&mut bits, &self.few);
            self.many = Some(bits);
        }
        match &mut self.many {
            Some(bits) => set(bits, rows),
            None => self.few.extend_from_slice(rows),
        }
    }

    pub(crate) fn finish(mut self) -> RoaringBitmap {
        match self.many {
            Some(bits) => RoaringBitmap::from_lsb0_bytes(0, &bits),
            None => {
                self.few.sort_unstable();
                self.few.dedup();
                self.few.into_iter().collect()
            }
        }
    }
}

fn set(bits: &mut [u8], rows: &[u32]) {
    for &row in rows {
        bits[row as usize / 8] |= 1 << (row % 8);
    }
}

/// Sorted strings, one behind the other.
#[derive(Debug)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<usize>,
    rows: Rows,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }

    fn get(&self, index: usize) -> &str {
        &self.text[self.start(index)..self.ends[index]]
    }

    /// How many of the strings come before the point where the predicate turns false.
    pub(crate) fn partition(&self, before: impl Fn(&str) -> bool) -> usize {
        partition(self.len(), |index| before(self.get(index)))
    }

    pub(crate) fn equal(&self, wanted: &str, found: &mut Gathering) {
        let index = self.partition(|text| text < wanted);
        if index < self.len() && self.get(index) == wanted {
            found.add(self.rows.of(index..index + 1));
        }
    }

    pub(crate) fn range(&self, values: Range<usize>, found: &mut Gathering) {
        found.add(self.rows.of(values));
    }

    pub(crate) fn starting_with(&self, start: &str, found: &mut Gathering) {
        let from = self.partition(|text| text < start);
        let to = self.partition(|text| text < start || text.starts_with(start));
        found.add(self.rows.of(from..to));
    }

    pub(crate) fn containing(&self, part: &str, found: &mut Gathering) {
        // Beyond a few bytes a false hit across two strings could cost more than a search of each.
        if part.len() > 64 {
            let matching = (0..self.len()).filter(|&index| self.get(index).contains(part));
            return matching.for_each(|index| found.add(self.rows.of(index..index + 1)));
        }
        if part.is_empty() {
            return found.add(&self.rows.rows);
        }
        let mut from = 0;
        while let Some(offset) = self.text[from..].find(part) {
            let at = from + offset;
            let index = self.ends.partition_point(|&end| end <= at);
            if at + part.len() <= self.ends[index] {
                found.add(self.rows.of(index..index + 1));
            }
            // A hit that runs over the end of its string is none, and neither is a later one in it.
            from = self.ends[index];
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>() + self.rows.bytes()
    }
}

#[derive(Debug, Default)]
pub(crate) struct TextsBuilder {
    codes: HashMap<Box<str>, u32>,
    entries: Vec<(u32, u32)>,
}

impl TextsBuilder {
    pub(crate) fn add(&mut self, text: &str, row: u32) {
        let code = match self.codes.get(text) {
            Some(&code) => code,
            None => {
                // There are at most as many values as entries, whose number `Columns` bounds.
                let code = self.codes.len() as u32;
                self.codes.insert(text.into(), code);
                code
            }
        };
        if self.entries.last() != Some(&(code, row)) {
            self.entries.push((code, row));
        }
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn finish(self) -> Texts {
        let mut sorted: Vec<(Box<str>, u32)> = self.codes.into_iter().collect();
        sorted.sort_unstable();
        let mut places = vec![0_u32; sorted.len()];
        let mut text = String::with_capacity(sorted.iter().map(|(text, _)| text.len()).sum());
        let mut ends = Vec::with_capacity(sorted.len());
        for (place, (value, code)) in sorted.into_iter().enumerate() {
            places[code as usize] = place as u32;
            text.push_str(&value);
            ends.push(text.len());
        }
        let mut entries = self.entries;
        for (value, _) in &mut entries {
            *value = places[*value as usize];
        }
        let rows = Rows::new(ends.len(), &entries);
        Texts { text, ends, rows }
    }
}

/// Sorted numbers, in the smallest form that is exact.
#[derive(Debug)]
pub(crate) struct Numbers {
    values: Values,
    rows: Rows,
}

#[derive(Debug)]
enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Wide(Vec<Num>),
}

impl Numbers {
    pub(crate) fn new(entries: Vec<(Num, u32)>) -> Self {
        let ints: Option<Vec<(i64, u32)>> = entries.iter().map(|&(number, row)| Some((as_i64(number)?, row))).collect();
        if let Some(mut ints) = ints {
            ints.sort_unstable();
            let (values, rows) = grouped(ints);
            return Self { values: Values::Ints(values), rows };
        }
        let mut entries = entries;
        entries.sort_unstable();
        let (values, rows) = grouped(entries);
        let floats: Option<Vec<f64>> = values.iter().map(|&number| as_f64(number)).collect();
        Self { values: floats.map_or(Values::Wide(values), Values::Floats), rows }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Ints(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Wide(values) => values.len(),
        }
    }

    fn get(&self, index: usize) -> Num {
        match &self.values {
            Values::Ints(values) => values[index].into(),
            Values::Floats(values) => values[index].into(),
            Values::Wide(values) => values[index],
        }
    }

    pub(crate) fn partition(&self, before: impl Fn(Num) -> bool) -> usize {
        partition(self.len(), |index| before(self.get(index)))
    }

    pub(crate) fn equal(&self, wanted: Num, found: &mut Gathering) {
        let index = self.partition(|number| number < wanted);
        if index < self.len() && self.get(index) == wanted {
            found.add(self.rows.of(index..index + 1));
        }
    }

    pub(crate) fn range(&self, values: Range<usize>, found: &mut Gathering) {
        found.add(self.rows.of(values));
    }

    pub(crate) fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Ints(values) => values.capacity() * size_of::<i64>(),
            Values::Floats(values) => values.capacity() * size_of::<f64>(),
            Values::Wide(values) => values.capacity() * size_of::<Num>(),
        };
        values + self.rows.bytes()
    }
}

fn as_i64(number: Num) -> Option<i64> {
    match number {
        Num::Int(int) => int.try_into().ok(),
        Num::Float(_) => None,
    }
}

fn as_f64(number: Num) -> Option<f64> {
    match number {
        Num::Int(int) => (Num::from(int as f64) == number).then_some(int as f64),
        Num::Float(float) => Some(float),
    }
}

/// Sorted entries as distinct values and the rows of each.
fn grouped<V: PartialEq + Copy>(mut entries: Vec<(V, u32)>) -> (Vec<V>, Rows) {
    entries.dedup();
    let mut values = Vec::new();
    let mut starts = Vec::new();
    let mut rows = Vec::with_capacity(entries.len());
    for (value, row) in entries {
        if values.last() != Some(&value) {
            values.push(value);
            starts.push(rows.len() as u32);
        }
        rows.push(row);
    }
    starts.push(rows.len() as u32);
    values.shrink_to_fit();
    starts.shrink_to_fit();
    (values, Rows { starts, rows })
}

fn partition(length: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
