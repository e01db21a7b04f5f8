//! The fields that filters read, for the rows of one fragment.

use std::collections::HashMap;
use std::sync::Arc;

use master_agent_core::ErrorCode;
use roaring::RoaringBitmap;
use serde_json::Value;

use super::Test;
use super::literal::{Bound, Comparison, Literals, Order, canonical};
use super::number::Num;
use super::path::Path;
use super::postings::{Gathering, Numbers, Texts, TextsBuilder};
use super::reader::{Found, Reader};
use crate::error::{Error, Result};

/// Columns by path. Read once and kept; further paths are read later and joined.
///
/// ```
/// use master_agent_memory::filter::{Columns, Filter};
/// use serde_json::json;
///
/// let filter = Filter::parse(&json!({ "year": { "gte": 2024 } }))?;
/// let rows = [Some(r#"{"year":2023}"#), Some(r#"{"year":2024}"#), None];
/// let columns = Columns::read(&filter.paths(), rows)?;
/// assert_eq!(filter.evaluate(&columns)?.iter().collect::<Vec<_>>(), [1]);
/// # Ok::<(), master_agent_memory::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Columns {
    rows: u32,
    columns: HashMap<Path, Arc<Column>>,
}

impl Columns {
    /// Reads the fields at these paths from the metadata of every row, in order. A row without metadata, or whose
    /// metadata is not a JSON object, has no fields.
    ///
    /// # Errors
    /// `ERR_INPUT_TOO_LARGE` when there are more rows, or more values in a field, than 32 bits count.
    pub fn read<'a>(paths: &[Path], metadata: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self> {
        let reader = Reader::new(paths);
        let mut builders: Vec<Builder> = reader.paths().iter().map(|_| Builder::default()).collect();
        let mut found = Vec::new();
        let mut rows = 0_u32;
        for text in metadata {
            if let Some(text) = text {
                reader.read(text, &mut found);
                for (path, value) in found.drain(..) {
                    builders[path].add(&value, rows);
                }
            }
            rows = rows.checked_add(1).ok_or_else(too_large)?;
        }
        let columns = reader.paths().iter().zip(builders);
        let columns = columns.map(|(path, builder)| Ok(((*path).clone(), Arc::new(builder.finish()?)))).collect::<Result<_>>()?;
        Ok(Self { rows, columns })
    }

    /// Those of the paths that have not been read.
    pub fn missing(&self, paths: &[Path]) -> Vec<Path> {
        paths.iter().filter(|path| !self.columns.contains_key(*path)).cloned().collect()
    }

    /// These columns and those of other paths that were read from the same rows; columns are shared, not copied.
    ///
    /// # Errors
    /// `ERR_INTERNAL` when the other columns have another number of rows.
    pub fn join(&self, other: &Self) -> Result<Self> {
        if self.rows != other.rows {
            let message = format!("columns of {} rows were joined with columns of {} rows", self.rows, other.rows);
            return Err(Error::new(ErrorCode::Internal, message));
        }
        let mut columns = self.columns.clone();
        columns.extend(other.columns.iter().map(|(path, column)| (path.clone(), Arc::clone(column))));
        Ok(Self { rows: self.rows, columns })
    }

    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Memory in bytes, for a cache that is bounded.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|(path, column)| path.as_str().len() + 64 + column.bytes()).sum()
    }

    pub(crate) fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.rows);
        all
    }

    pub(crate) fn get(&self, path: &Path) -> Result<&Column> {
        let missing = || Error::new(ErrorCode::Internal, format!("the field \"{path}\" was not read for a filter"));
        self.columns.get(path).map(|column| &**column).ok_or_else(missing)
    }
}

fn too_large() -> Error {
    Error::new(ErrorCode::PayloadTooLarge, "metadata: a fragment has more values than a filter can index (4,294,967,295)")
}

/// The values of one field: which rows have which, the elements of an array beside the array itself.
#[derive(Debug)]
pub(crate) struct Column {
    exists: RoaringBitmap,
    null: RoaringBitmap,
    yes: RoaringBitmap,
    no: RoaringBitmap,
    numbers: Numbers,
    strings: Texts,
    /// Arrays and objects in their canonical form.
    compounds: Texts,
}

impl Column {
    pub(crate) fn rows(&self, test: &Test, total: u32) -> RoaringBitmap {
        let mut found = Gathering::new(total);
        match test {
            Test::Exists => return self.exists.clone(),
            Test::In(literals) => return self.is_in(literals, found),
            Test::Compare(comparison) => self.compare(comparison, &mut found),
            Test::Contains(part) => self.strings.containing(part, &mut found),
            Test::StartsWith(start) => self.strings.starting_with(start, &mut found),
        }
        found.finish()
    }

    fn is_in(&self, literals: &Literals, mut found: Gathering) -> RoaringBitmap {
        literals.numbers.iter().for_each(|&number| self.numbers.equal(number, &mut found));
        literals.strings.iter().for_each(|text| self.strings.equal(text, &mut found));
        literals.compounds.iter().for_each(|text| self.compounds.equal(text, &mut found));
        let mut rows = found.finish();
        for (wanted, have) in [(literals.null, &self.null), (literals.yes, &self.yes), (literals.no, &self.no)] {
            if wanted {
                rows |= have;
            }
        }
        rows
    }

    fn compare(&self, Comparison { order, bound }: &Comparison, found: &mut Gathering) {
        // The first value that is not smaller, or that is greater.
        let at_bound = matches!(order, Order::Less | Order::GreaterOrEqual);
        let below = matches!(order, Order::Less | Order::LessOrEqual);
        match bound {
            Bound::Number(bound) => {
                let split = self.numbers.partition(|number| if at_bound { number < *bound } else { number <= *bound });
                self.numbers.range(if below { 0..split } else { split..self.numbers.len() }, found);
            }
            Bound::Text(bound) => {
                let bound = bound.as_str();
                let split = self.strings.partition(|text| if at_bound { text < bound } else { text <= bound });
                self.strings.range(if below { 0..split } else { split..self.strings.len() }, found);
            }
        }
    }

    fn bytes(&self) -> usize {
        let bitmaps = [&self.exists, &self.null, &self.yes, &self.no];
        let bitmaps: usize = bitmaps.iter().map(|rows| rows.serialized_size()).sum();
        size_of::<Self>() + bitmaps + self.numbers.bytes() + self.strings.bytes() + self.compounds.bytes()
    }
}

#[derive(Default)]
struct Builder {
    exists: RoaringBitmap,
    null: RoaringBitmap,
    yes: RoaringBitmap,
    no: RoaringBitmap,
    numbers: Vec<(Num, u32)>,
    strings: TextsBuilder,
    compounds: TextsBuilder,
}

impl Builder {
    fn add(&mut self, found: &Found<'_>, row: u32) {
        self.exists.insert(row);
        match found {
            Found::Text(text) => self.strings.add(text, row),
            Found::Number(number) => self.numbers.push((*number, row)),
            Found::Bool(true) => drop(self.yes.insert(row)),
            Found::Bool(false) => drop(self.no.insert(row)),
            Found::Null => drop(self.null.insert(row)),
            Found::Compound(value) => {
                self.value(value, row);
                if let Value::Array(elements) = value {
                    elements.iter().for_each(|element| self.value(element, row));
                }
            }
        }
    }

    fn value(&mut self, value: &Value, row: u32) {
        match value {
            Value::Null => drop(self.null.insert(row)),
            Value::Bool(true) => drop(self.yes.insert(row)),
            Value::Bool(false) => drop(self.no.insert(row)),
            Value::Number(number) => self.numbers.push((Num::new(number), row)),
            Value::String(text) => self.strings.add(text, row),
            Value::Array(_) | Value::Object(_) => self.compounds.add(&canonical(value), row),
        }
    }

    fn finish(self) -> Result<Column> {
        if self.numbers.len().max(self.strings.entries()).max(self.compounds.entries()) >= u32::MAX as usize {
            return Err(too_large());
        }
        Ok(Column {
            exists: self.exists,
            null: self.null,
            yes: self.yes,
            no: self.no,
            numbers: Numbers::new(self.numbers),
            strings: self.strings.finish(),
            compounds: self.compounds.finish(),
        })
    }
}
