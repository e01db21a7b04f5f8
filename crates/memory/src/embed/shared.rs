//! What is loaded once for the process, as long as somebody uses it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::Result;

type Place<T> = Arc<Mutex<Weak<T>>>;

pub(super) struct Shared<T>(LazyLock<Mutex<HashMap<String, Place<T>>>>);

impl<T> Shared<T> {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// The one that lives under `key`, or what `load` gives. Others who ask for it meanwhile wait; those for another key do not.
    pub(super) fn get_or_load(&self, key: String, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let place = {
            let mut places = self.0.lock();
            places.retain(|_, place| Arc::strong_count(place) > 1 || place.try_lock().is_none_or(|weak| weak.strong_count() > 0));
            Arc::clone(places.entry(key).or_default())
        };
        let mut place = place.lock();
        if let Some(living) = place.upgrade() {
            return Ok(living);
        }
        let loaded = Arc::new(load()?);
        *place = Arc::downgrade(&loaded);
        Ok(loaded)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn is_loaded_once_while_it_lives_and_anew_afterwards() {
        static VALUES: Shared<usize> = Shared::new();
        let loads = AtomicUsize::new(0);
        let get = |key: &str| VALUES.get_or_load(key.into(), || Ok(loads.fetch_add(1, Ordering::Relaxed))).unwrap();
        let first = get("a");
        assert!(Arc::ptr_eq(&first, &get("a")));
        assert_eq!(*get("b"), 1);
        drop(first);
        assert_eq!(*get("a"), 2);
    }

    #[test]
    fn many_who_ask_at_once_get_the_same() {
        static VALUES: Shared<usize> = Shared::new();
        let loads = AtomicUsize::new(0);
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| VALUES.get_or_load("a".into(), || Ok(loads.fetch_add(1, Ordering::Relaxed))).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|value| Arc::ptr_eq(value, &all[0])));
    }

    #[test]
    fn a_failure_is_not_kept() {
        static VALUES: Shared<usize> = Shared::new();
        let failure = || Err(crate::Error::new(master_agent_core::ErrorCode::ModelLoad, "no"));
        assert!(VALUES.get_or_load("a".into(), failure).is_err());
        assert_eq!(*VALUES.get_or_load("a".into(), || Ok(7)).unwrap(), 7);
    }
}
