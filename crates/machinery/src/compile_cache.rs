//! What was compiled from the same text before. Definitions repeat a few patterns and rules in each of their versions: the 29
//! of Cluster API hold 277 patterns, ten of them different. Who compiles one again gets the same, without the time and the
//! memory it takes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// So many are kept; then it begins anew.
const MOST: usize = 128;
/// Texts longer than this, in bytes, are compiled each time: they are seldom and take most memory.
const LONGEST: usize = 1024;

/// Keeps what was compiled, by its text. Failures are not kept.
pub(crate) struct CompileCache<T> {
    compiled: Mutex<BTreeMap<Box<str>, Arc<T>>>,
}

impl<T> CompileCache<T> {
    /// One that holds nothing.
    pub(crate) const fn new() -> Self {
        Self { compiled: Mutex::new(BTreeMap::new()) }
    }

    /// What `compile` makes of `source`, now or before.
    ///
    /// # Errors
    /// Those of `compile`.
    pub(crate) fn get<E>(&self, source: &str, compile: impl FnOnce(&str) -> Result<T, E>) -> Result<Arc<T>, E> {
        let known = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known().get(source) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(compile(source)?);
        if source.len() <= LONGEST {
            let mut known = known();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(source.into(), Arc::clone(&compiled));
        }
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_unless_it_is_wrong_or_long() {
        let cache = CompileCache::new();
        let length = |source: &str| if source.is_empty() { Err("empty") } else { Ok(source.len()) };
        let first = cache.get("abc", length).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.get("abc", |_| Err("compiled again")).unwrap()));
        assert_eq!(cache.get("", length), Err("empty"));
        assert_eq!(cache.get("", |_| Ok::<_, &str>(1)), Ok(Arc::new(1)));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(cache.get(&long, length), Ok(Arc::new(LONGEST + 1)));
        assert_eq!(cache.get(&long, |_| Err("compiled again")), Err("compiled again"));
        for number in 0..MOST {
            cache.get(&format!("n{number}"), length).unwrap();
        }
        assert_eq!(cache.get("abc", |_| Err("compiled again")), Err("compiled again"), "it has begun anew");
    }
}
