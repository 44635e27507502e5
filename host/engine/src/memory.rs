//! The memory and the tables of one instance, held within their limits.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::metrics::Metrics;

/// Core instances in one component (a Python guest has 38).
const CORE_INSTANCES_MAX: usize = 512;
/// Linear memories in one component.
const MEMORIES_MAX: usize = 16;
/// Tables in one component.
const TABLES_MAX: usize = 64;

/// What one instance holds, and may hold.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Linear memory, in bytes, in all.
    pub(crate) bytes: usize,
    bytes_max: usize,
    /// Table elements, in all.
    pub(crate) elements: usize,
    elements_max: usize,
    /// What the last permitted growth added: it may fail afterwards.
    last_bytes: usize,
    last_elements: usize,
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
            elements: 0,
            elements_max,
            last_bytes: 0,
            last_elements: 0,
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

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let total = self.bytes.saturating_add(more);
        let fits = total <= self.bytes_max;
        if fits {
            (self.bytes, self.last_bytes) = (total, more);
        } else {
            self.memory_denied = true;
            self.metrics.memory_denied.increment(1);
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.bytes -= std::mem::take(&mut self.last_bytes);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let total = self.elements.saturating_add(more);
        let fits = total <= self.elements_max;
        if fits {
            (self.elements, self.last_elements) = (total, more);
        } else {
            self.tables_denied = true;
            self.metrics.tables_denied.increment(1);
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements -= std::mem::take(&mut self.last_elements);
        Ok(())
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
    fn all_memories_of_an_instance_share_one_limit() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.memory_growing(40, 41, None).unwrap());
        assert!(memory.memory_denied);
        assert_eq!(memory.bytes, 100);
        memory.begin();
        assert!(!memory.memory_denied);
    }

    #[test]
    fn growth_that_failed_is_given_back() {
        let mut memory = Memory::new(100, 10, Metrics::new());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert_eq!(memory.bytes, 0);
        assert!(memory.table_growing(0, 10, None).unwrap());
        assert!(!memory.table_growing(10, 11, None).unwrap());
        assert!(memory.tables_denied);
    }
}
