//! The memory and the tables of one instance, held within their limits.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::metrics::Metrics;

/// Core instances in one component (a Python guest has 38).
const CORE_INSTANCES_MAX: usize = 512;
/// Linear memories in one component. Toolchains leave empty ones in the stubs that they link.
const MEMORIES_MAX: usize = 16;
/// Those of them that have pages: each takes mappings of the operating system's own, an empty one
/// does not, and [`crate::MAPPINGS_PER_INSTANCE`] reckons with one.
pub(crate) const FILLED_MAX: usize = 1;
/// Tables in one component.
const TABLES_MAX: usize = 64;

/// What one instance holds, and may hold.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Linear memory, in bytes, in all.
    pub(crate) bytes: usize,
    bytes_max: usize,
    /// Memories that have pages.
    filled: usize,
    /// Table elements, in all.
    pub(crate) elements: usize,
    elements_max: usize,
    /// In this step it asked for more memory than it may have.
    pub(crate) memory_denied: bool,
    /// In this step it asked for more table elements than it may have.
    pub(crate) tables_denied: bool,
    metrics: Arc<Metrics>,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize, elements_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            filled: 0,
            elements: 0,
            elements_max,
            memory_denied: false,
            tables_denied: false,
            metrics,
        }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self) {
        self.memory_denied = false;
        self.tables_denied = false;
    }
}

/// What a growth adds. One beyond the declared maximum is going to fail, and adds nothing.
///
/// Nothing is given back when wasmtime reports a failure: it also reports requests that were never
/// asked for here, and a guest could have its other memory uncounted by them.
fn more(current: usize, desired: usize, maximum: Option<usize>) -> usize {
    if maximum.is_some_and(|maximum| desired > maximum) {
        return 0;
    }
    desired.saturating_sub(current)
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = more(current, desired, maximum);
        let fills = usize::from(current == 0 && more > 0);
        if self.filled + fills > FILLED_MAX {
            self.metrics.memory_denied.increment(1);
            return Ok(false);
        }
        let total = self.bytes.saturating_add(more);
        let fits = total <= self.bytes_max;
        if fits {
            self.bytes = total;
            self.filled += fills;
        } else {
            self.memory_denied = true;
            self.metrics.memory_denied.increment(1);
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = more(current, desired, maximum);
        let total = self.elements.saturating_add(more);
        let fits = total <= self.elements_max;
        if fits {
            self.elements = total;
        } else {
            self.tables_denied = true;
            self.metrics.tables_denied.increment(1);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_memory_of_an_instance_may_have_pages() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 0, None).unwrap());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(0, 0, None).unwrap());
        assert!(!memory.memory_growing(0, 10, None).unwrap());
        assert!(memory.memory_growing(60, 70, None).unwrap());
        assert_eq!(memory.bytes, 70);
    }

    #[test]
    fn memory_grows_to_its_limit_and_no_further() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(60, 100, None).unwrap());
        assert!(!memory.memory_growing(100, 101, None).unwrap());
        assert!(memory.memory_denied);
        assert_eq!(memory.bytes, 100);
        memory.begin();
        assert!(!memory.memory_denied);
    }

    #[test]
    fn growth_beyond_the_declared_maximum_costs_nothing() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 60, Some(50)).unwrap());
        assert!(memory.table_growing(0, 8, Some(7)).unwrap());
        assert_eq!((memory.bytes, memory.elements), (0, 0));
    }

    #[test]
    fn a_failure_that_was_never_asked_for_uncounts_nothing() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("beyond 4 GiB")).unwrap();
        assert_eq!(memory.bytes, 60);
        assert!(memory.table_growing(0, 10, None).unwrap());
        memory.table_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        assert!(!memory.table_growing(10, 11, None).unwrap());
        assert!(memory.tables_denied);
    }
}
