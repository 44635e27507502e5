//! The memory and the tables of one instance, held within their limits.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::ResourceLimiterAsync;

use crate::{meter::Meter, metrics::Metrics};

/// Core instances in one component (a Python guest has 38).
const CORE_INSTANCES_MAX: usize = 512;
/// Linear memories in one component. Toolchains leave empty ones in the stubs that they link.
const MEMORIES_MAX: usize = 16;
/// Those of them that have pages: each takes mappings of the operating system's own, an empty one
/// does not, and [`crate::MAPPINGS_PER_INSTANCE`] reckons with one.
pub(crate) const FILLED_MAX: usize = 1;
/// Tables in one component.
const TABLES_MAX: usize = 64;

/// An instance with more memory runs in the slow lane only: one instruction may fill all of it, no
/// tick comes in between, and the machine takes milliseconds for each MiB that was not used before.
const HEAVY_BYTES: usize = 16 << 20;

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
    meter: Arc<Meter>,
    metrics: Arc<Metrics>,
}

impl Memory {
    pub(crate) fn new(
        bytes_max: usize,
        elements_max: usize,
        meter: Arc<Meter>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            filled: 0,
            elements: 0,
            elements_max,
            memory_denied: false,
            tables_denied: false,
            meter,
            metrics,
        }
    }

    /// The guest wanted more keys in its storage than it may have.
    pub(crate) fn storage_denied(&self) {
        self.metrics.keys_denied.increment(1);
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

impl Memory {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let more = more(current, desired, maximum);
        let fills = usize::from(current == 0 && more > 0);
        if self.filled + fills > FILLED_MAX {
            self.metrics.memory_denied.increment(1);
            return false;
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
        fits
    }

    fn grow_tables(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let more = more(current, desired, maximum);
        let total = self.elements.saturating_add(more);
        let fits = total <= self.elements_max;
        if fits {
            self.elements = total;
        } else {
            self.tables_denied = true;
            self.metrics.tables_denied.increment(1);
        }
        fits
    }
}

#[async_trait]
impl ResourceLimiterAsync for Memory {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = self.grow(current, desired, maximum);
        if fits && self.bytes > HEAVY_BYTES {
            self.meter.weigh_down().await;
        }
        Ok(fits)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow_tables(current, desired, maximum))
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
    use tokio::sync::Semaphore;

    use super::*;

    fn memory(bytes: usize, elements: usize) -> Memory {
        let meter = Meter::new(Arc::new(Semaphore::new(1)), Metrics::new());
        Memory::new(bytes, elements, meter, Metrics::new())
    }

    #[test]
    fn only_one_memory_of_an_instance_may_have_pages() {
        let mut memory = memory(100, 10);
        assert!(memory.grow(0, 0, None));
        assert!(memory.grow(0, 60, None));
        assert!(memory.grow(0, 0, None));
        assert!(!memory.grow(0, 10, None));
        assert!(memory.grow(60, 70, None));
        assert_eq!(memory.bytes, 70);
    }

    #[test]
    fn memory_grows_to_its_limit_and_no_further() {
        let mut memory = memory(100, 10);
        assert!(memory.grow(0, 60, None));
        assert!(memory.grow(60, 100, None));
        assert!(!memory.grow(100, 101, None));
        assert!(memory.memory_denied);
        assert_eq!(memory.bytes, 100);
        memory.begin();
        assert!(!memory.memory_denied);
    }

    #[test]
    fn growth_beyond_the_declared_maximum_costs_nothing() {
        let mut memory = memory(100, 10);
        assert!(memory.grow(0, 60, Some(50)));
        assert!(memory.grow_tables(0, 8, Some(7)));
        assert_eq!((memory.bytes, memory.elements), (0, 0));
    }

    #[test]
    fn a_failure_that_was_never_asked_for_uncounts_nothing() {
        let mut memory = memory(100, 10);
        assert!(memory.grow(0, 60, None));
        memory.memory_grow_failed(wasmtime::Error::msg("beyond 4 GiB")).unwrap();
        assert_eq!(memory.bytes, 60);
        assert!(memory.grow_tables(0, 10, None));
        memory.table_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        assert!(!memory.grow_tables(10, 11, None));
        assert!(memory.tables_denied);
    }

    #[tokio::test]
    async fn who_outgrows_the_light_needs_a_place_in_the_lane_from_then_on() {
        let lane = Arc::new(Semaphore::new(1));
        let meter = Meter::new(Arc::clone(&lane), Metrics::new());
        let mut memory = Memory::new(64 << 20, 10, Arc::clone(&meter), Metrics::new());
        assert!(memory.memory_growing(0, HEAVY_BYTES, None).await.unwrap());
        assert_eq!(lane.available_permits(), 1);
        assert!(memory.memory_growing(HEAVY_BYTES, HEAVY_BYTES + 1, None).await.unwrap());
        assert_eq!(lane.available_permits(), 0);
        meter.end();
        let taken = lane.acquire().await.unwrap();
        assert!(meter.entering().is_some(), "the lane is full");
        drop(taken);
        assert!(meter.entering().is_none(), "there is a place");
        assert_eq!(lane.available_permits(), 0);
    }
}
