//! What looks at a store without changing it.

use std::sync::Arc;

use master_agent_core::Millis;

use super::space::{Space, World, is_live};
use crate::state::{
    Cursor, Document, DocumentPage, Found, IndexPart, IndexRange, Item, LogPage, LogRead, MAX_PAGE, NameKind, NamePage,
    NameQuery, Order, Query, Select,
};

impl World {
    pub(super) fn get(&self, namespace: &Arc<str>, items: &[Item], now: Millis) -> Vec<Found> {
        let space = self.spaces.get(namespace);
        items.iter().map(|item| space.map_or_else(|| nothing(item), |space| space.find(item, now))).collect()
    }

    pub(super) fn query(&self, query: &Query) -> DocumentPage {
        let Some(space) = self.spaces.get(&query.namespace) else { return DocumentPage::default() };
        let mut matching = space.matching(query);
        matching.sort_by(|(a, _), (b, _)| a.cmp(b));
        if query.order == Order::Descending {
            matching.reverse();
        }
        let mut cursor = query.cursor.clone();
        if let (Some(cursor), Select::Keys { .. }) = (&mut cursor, &query.select) {
            cursor.value.clear();
        }
        let is_behind = |place: &Cursor| match (&cursor, query.order) {
            (None, _) => true,
            (Some(cursor), Order::Ascending) => place > cursor,
            (Some(cursor), Order::Descending) => place < cursor,
        };
        matching.retain(|(place, _)| is_behind(place));
        let mut page = DocumentPage::default();
        let mut bytes = 0;
        let total = matching.len();
        for (place, document) in matching {
            bytes += document.value_json.len();
            page.documents.push(document.clone());
            if page.documents.len() == query.limit.min(MAX_PAGE) || bytes >= query.max_bytes {
                page.next = (page.documents.len() < total).then_some(place);
                break;
            }
        }
        page
    }

    pub(super) fn read_log(&self, read: &LogRead) -> LogPage {
        let log = self.spaces.get(&read.namespace).and_then(|space| space.logs.get(&read.log));
        let Some(log) = log.filter(|log| is_live(log.expires_at, read.now)) else { return LogPage::default() };
        let mut bytes = 0;
        let mut page = LogPage { ends: Some(log.ends), entries: Vec::new() };
        for entry in log.entries.iter().filter(|entry| entry.number > read.after).take(read.limit.min(MAX_PAGE)) {
            bytes += entry.entry_json.len();
            page.entries.push(entry.clone());
            if bytes >= read.max_bytes {
                break;
            }
        }
        page
    }

    pub(super) fn names(&self, query: &NameQuery) -> NamePage {
        let limit = query.limit.min(MAX_PAGE);
        let mut names: Vec<Box<str>> = self.all_names(&query.of, query.now);
        names.sort();
        names.retain(|name| name.starts_with(&*query.prefix) && query.after.as_ref().is_none_or(|after| name > after));
        let more = names.len() > limit;
        names.truncate(limit);
        NamePage { next: if more { names.last().cloned() } else { None }, names }
    }

    fn all_names(&self, of: &NameKind, now: Millis) -> Vec<Box<str>> {
        let space = |namespace: &Arc<str>| self.spaces.get(namespace);
        match of {
            NameKind::Namespaces => self.spaces.keys().map(|name| (**name).into()).collect(),
            NameKind::Collections { namespace } => {
                space(namespace).map_or_else(Vec::new, |space| space.collections.iter().map(|name| (**name).into()).collect())
            }
            NameKind::Counters { namespace, collection } => space(namespace).map_or_else(Vec::new, |space| {
                let live = space.counters.iter().filter(|(_, counter)| is_live(counter.expires_at, now));
                live.filter(|((of, _), _)| of == collection).map(|((_, key), _)| key.clone()).collect()
            }),
            NameKind::Logs { namespace } => space(namespace).map_or_else(Vec::new, |space| {
                let live = space.logs.iter().filter(|(_, log)| is_live(log.expires_at, now));
                live.map(|(name, _)| (**name).into()).collect()
            }),
        }
    }
}

fn nothing(item: &Item) -> Found {
    match item {
        Item::Document { .. } => Found::Document(None),
        Item::Counter { .. } => Found::Sum(None),
        Item::Log { .. } => Found::Log(None),
    }
}

impl Space {
    fn find(&self, item: &Item, now: Millis) -> Found {
        match item {
            Item::Document { collection, key } => {
                let found = self.documents.get(&(Arc::clone(collection), key.clone()));
                let live = found.filter(|(document, _)| is_live(document.expires_at, now));
                Found::Document(live.map(|(document, _)| document.clone()))
            }
            Item::Counter { collection, key } => {
                let found = self.counters.get(&(Arc::clone(collection), key.clone()));
                Found::Sum(found.filter(|counter| is_live(counter.expires_at, now)).map(|counter| counter.sum))
            }
            Item::Log { log } => {
                let found = self.logs.get(log);
                Found::Log(found.filter(|log| is_live(log.expires_at, now)).map(|log| log.ends))
            }
        }
    }

    /// The places of a query and the documents at them, in no order.
    fn matching(&self, query: &Query) -> Vec<(Cursor, &Document)> {
        let mut places = Vec::new();
        for ((collection, key), (document, entries)) in &self.documents {
            if *collection != query.collection || !is_live(document.expires_at, query.now) {
                continue;
            }
            match &query.select {
                Select::Keys { prefix } => {
                    if key.starts_with(&**prefix) {
                        places.push((Cursor { value: Vec::new(), key: key.clone() }, document));
                    }
                }
                Select::Index { index, equal, range } => {
                    let values = entries.iter().filter(|entry| entry.index == *index).map(|entry| &entry.value.0);
                    for value in values.filter(|value| is_within(value, &equal.0, range)) {
                        places.push((Cursor { value: value.clone(), key: key.clone() }, document));
                    }
                }
            }
        }
        places
    }
}

fn is_within(value: &[IndexPart], equal: &[IndexPart], range: &IndexRange) -> bool {
    let Some(rest) = value.strip_prefix(equal) else { return false };
    match (range, rest.first()) {
        (IndexRange::All, _) => true,
        (_, None) => false,
        (IndexRange::Between { from, to }, Some(part)) => {
            from.as_ref().is_none_or(|from| part >= from) && to.as_ref().is_none_or(|to| part < to)
        }
        (IndexRange::Prefix(prefix), Some(IndexPart::Text(text))) => text.starts_with(&**prefix),
        (IndexRange::Prefix(_), Some(IndexPart::Integer(_))) => false,
    }
}
