//! What every adapter checks before it begins: one place, so that all refuse alike.

use super::{
    Add, Append, Commit, Expect, Expiry, IndexEntry, IndexPart, IndexRange, IndexValue, Item, LogRead, LogTrim, MAX_BATCH,
    MAX_INDEX_BYTES, MAX_INDEXES, MAX_NAME_BYTES, MAX_NUMBER, NameKind, NameQuery, Put, Query, Select, TrimTo, Write, encode,
    invalid,
};
use crate::StoreError;

type Checked = Result<(), StoreError>;

/// Refuses a name that is empty or too long; `field` is its path.
fn name(field: impl Fn() -> String, name: &str) -> Checked {
    if name.is_empty() {
        return Err(invalid(field(), "must not be empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid(field(), format!("has {} bytes, the limit is {MAX_NAME_BYTES}", name.len())));
    }
    Ok(())
}

/// The beginning of a name: it may be empty.
fn beginning(field: &str, text: &str) -> Checked {
    if text.is_empty() { Ok(()) } else { name(|| field.into(), text) }
}

fn number(field: impl Fn() -> String, number: i64) -> Checked {
    if (-MAX_NUMBER..=MAX_NUMBER).contains(&number) {
        return Ok(());
    }
    Err(invalid(field(), format!("is {number}, the limits are ±{MAX_NUMBER}")))
}

fn limit(limit: usize) -> Checked {
    if limit == 0 { Err(invalid("limit", "must be at least 1")) } else { Ok(()) }
}

fn batch(field: &str, len: usize) -> Checked {
    if (1..=MAX_BATCH).contains(&len) {
        return Ok(());
    }
    Err(invalid(field, format!("has {len} elements, it must have 1 to {MAX_BATCH}")))
}

impl Commit {
    /// Refuses what no store takes. Adapters call it first.
    pub fn check(&self) -> Checked {
        name(|| "namespace".into(), &self.namespace)?;
        batch("writes", self.writes.len())?;
        self.writes.iter().enumerate().try_for_each(|(index, write)| WriteCheck { index, commit: self }.write(write))
    }
}

struct WriteCheck<'c> {
    index: usize,
    commit: &'c Commit,
}

impl WriteCheck<'_> {
    fn path(&self, field: &str) -> String {
        format!("writes[{}].{field}", self.index)
    }

    fn write(&self, write: &Write) -> Checked {
        match write {
            Write::Put(put) => self.put(put),
            Write::Delete(delete) => self.document(&delete.collection, &delete.key, delete.expect),
            Write::Check(check) => self.document(&check.collection, &check.key, check.expect),
            Write::Touch(touch) => {
                self.document(&touch.collection, &touch.key, touch.expect)?;
                self.expiry(touch.expires)
            }
            Write::Add(add) => self.add(add),
            Write::Reset(reset) => {
                self.place(&reset.collection, &reset.key)?;
                self.numbers([("expect", reset.expect)])
            }
            Write::Append(append) => self.append(append),
            Write::Forget(forget) => name(|| self.path("log"), &forget.log),
        }
    }

    fn place(&self, collection: &str, key: &str) -> Checked {
        name(|| self.path("collection"), collection)?;
        name(|| self.path("key"), key)
    }

    fn document(&self, collection: &str, key: &str, expect: Expect) -> Checked {
        self.place(collection, key)?;
        match expect {
            Expect::Version(version) if !(1..=MAX_NUMBER).contains(&version) => {
                Err(invalid(self.path("expect"), format!("is version {version}, versions are above 0")))
            }
            _ => Ok(()),
        }
    }

    fn numbers<const N: usize>(&self, numbers: [(&str, Option<i64>); N]) -> Checked {
        numbers.into_iter().try_for_each(|(field, value)| value.map_or(Ok(()), |value| number(|| self.path(field), value)))
    }

    fn text(&self, field: &str, text: &str) -> Checked {
        let limit = self.commit.max_value_bytes;
        if text.is_empty() {
            return Err(invalid(self.path(field), "must be one JSON value"));
        }
        if text.len() > limit {
            return Err(invalid(self.path(field), format!("has {} bytes, the limit is {limit}", text.len())));
        }
        Ok(())
    }

    fn expiry(&self, expires: Expiry) -> Checked {
        match expires {
            Expiry::At(time) if !(0..=MAX_NUMBER).contains(&time) => {
                Err(invalid(self.path("expires"), format!("is {time}, it must be 0 to {MAX_NUMBER}")))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, put: &Put) -> Checked {
        self.document(&put.collection, &put.key, put.expect)?;
        self.text("value_json", &put.value_json)?;
        if put.indexes.len() > MAX_INDEXES {
            let problem = format!("has {} elements, the limit is {MAX_INDEXES}", put.indexes.len());
            return Err(invalid(self.path("indexes"), problem));
        }
        for (at, IndexEntry { index, value }) in put.indexes.iter().enumerate() {
            name(|| self.path(&format!("indexes[{at}].index")), index)?;
            let field = || self.path(&format!("indexes[{at}].value"));
            if value.0.is_empty() {
                return Err(invalid(field(), "must have a part"));
            }
            index_value(field, value)?;
        }
        self.expiry(put.expires)
    }

    fn add(&self, add: &Add) -> Checked {
        self.place(&add.collection, &add.key)?;
        self.numbers([("by", Some(add.by)), ("floor", add.floor), ("ceiling", add.ceiling)])?;
        self.expiry(add.expires)
    }

    fn append(&self, append: &Append) -> Checked {
        name(|| self.path("log"), &append.log)?;
        self.text("entry_json", &append.entry_json)?;
        if append.keep == Some(0) {
            return Err(invalid(self.path("keep"), "must be at least 1"));
        }
        self.numbers([("expect", append.expect)])?;
        self.expiry(append.expires)
    }
}

fn index_value(field: impl Fn() -> String, value: &IndexValue) -> Checked {
    let bytes = encode(&value.0).len();
    if bytes > MAX_INDEX_BYTES {
        return Err(invalid(field(), format!("takes {bytes} bytes, the limit is {MAX_INDEX_BYTES}")));
    }
    Ok(())
}

/// Refuses items that no store looks up. Adapters call it first.
pub fn check_items(namespace: &str, items: &[Item]) -> Checked {
    name(|| "namespace".into(), namespace)?;
    batch("items", items.len())?;
    items.iter().enumerate().try_for_each(|(index, item)| {
        let path = |field: &str| format!("items[{index}].{field}");
        match item {
            Item::Document { collection, key } | Item::Counter { collection, key } => {
                name(|| path("collection"), collection)?;
                name(|| path("key"), key)
            }
            Item::Log { log } => name(|| path("log"), log),
        }
    })
}

impl Query {
    /// Refuses what no store answers. Adapters call it first.
    pub fn check(&self) -> Checked {
        name(|| "namespace".into(), &self.namespace)?;
        name(|| "collection".into(), &self.collection)?;
        limit(self.limit)?;
        match &self.select {
            Select::Keys { prefix } => beginning("select.prefix", prefix),
            Select::Index { index, equal, range } => {
                name(|| "select.index".into(), index)?;
                index_value(|| "select.equal".into(), equal)?;
                let part = |field: &str, part: &IndexPart| index_value(|| field.into(), &IndexValue(vec![part.clone()]));
                match range {
                    IndexRange::All => Ok(()),
                    IndexRange::Between { from, to } => {
                        from.as_ref().map_or(Ok(()), |from| part("select.range.from", from))?;
                        to.as_ref().map_or(Ok(()), |to| part("select.range.to", to))
                    }
                    IndexRange::Prefix(prefix) => part("select.range.prefix", &IndexPart::Text(prefix.clone())),
                }
            }
        }
    }
}

impl LogRead {
    /// Refuses what no store answers. Adapters call it first.
    pub fn check(&self) -> Checked {
        name(|| "namespace".into(), &self.namespace)?;
        name(|| "log".into(), &self.log)?;
        number(|| "after".into(), self.after)?;
        limit(self.limit)
    }
}

impl LogTrim {
    /// Refuses what no store does. Adapters call it first.
    pub fn check(&self) -> Checked {
        name(|| "namespace".into(), &self.namespace)?;
        name(|| "log".into(), &self.log)?;
        limit(self.limit)?;
        match self.to {
            TrimTo::Newest(_) => Ok(()),
            TrimTo::Through(to) | TrimTo::Before(to) => number(|| "to".into(), to),
        }
    }
}

impl NameQuery {
    /// Refuses what no store answers. Adapters call it first.
    pub fn check(&self) -> Checked {
        match &self.of {
            NameKind::Namespaces => {}
            NameKind::Collections { namespace } | NameKind::Logs { namespace } => name(|| "of.namespace".into(), namespace)?,
            NameKind::Counters { namespace, collection } => {
                name(|| "of.namespace".into(), namespace)?;
                name(|| "of.collection".into(), collection)?;
            }
        }
        beginning("prefix", &self.prefix)?;
        limit(self.limit)
    }
}

/// Refuses a namespace or log that no store has. Adapters call it before `clear` and `watch`.
pub fn check_name(field: &str, text: &str) -> Checked {
    name(|| field.into(), text)
}

/// Refuses a limit of 0. Adapters call it before `sweep`.
pub fn check_limit(of: usize) -> Checked {
    limit(of)
}
