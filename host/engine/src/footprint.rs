//! What every instance of a component takes of the host, beside what its limits count: memory
//! mappings, and the tables of functions, globals and imports that wasmtime keeps per instance.
//!
//! Followed through nested components, since one module may be instantiated many times.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding,
    Instance, Parser, Payload,
};

use crate::{Refusal, complexity::damaged, memory::FILLED_MAX};

/// Functions, globals, tables and imports of all core instances together, at up to 40 bytes each.
/// A Python guest has some 20,000 functions in 38 core instances.
const ITEMS_MAX: u64 = 150_000;

/// What one instantiation takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Footprint {
    /// Linear memories that start with pages.
    memories: u64,
    items: u64,
}

/// A module or component that is being read: what it takes, and what it may instantiate.
#[derive(Debug, Default)]
struct Scope {
    component: bool,
    takes: Footprint,
    modules: Vec<Footprint>,
    components: Vec<Footprint>,
}

/// Does an instance of this component take no more of the host than one may?
pub(crate) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let Footprint { memories, items } = measure(bytes)?;
    if memories > FILLED_MAX as u64 {
        return Err(Refusal::new(
            format!(
                "each instance of it has {memories} linear memories with pages of at most {FILLED_MAX}"
            ),
            "build it as one module, or let its modules share one memory",
        ));
    }
    if items > ITEMS_MAX {
        return Err(Refusal::new(
            format!(
                "it is too complex: the core instances of each object have {items} functions, \
                 globals, tables and imports of at most {ITEMS_MAX}"
            ),
            "split it into several types, or instantiate its modules fewer times",
        ));
    }
    Ok(())
}

fn measure(bytes: &[u8]) -> Result<Footprint, Refusal> {
    let mut outer: Vec<Scope> = Vec::new();
    let mut scope = Scope::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| damaged(&error))? {
            Payload::Version { encoding, .. } => {
                let inner =
                    Scope { component: encoding == Encoding::Component, ..Scope::default() };
                outer.push(std::mem::replace(&mut scope, inner));
            }
            Payload::End(_) => {
                let ended = match outer.pop() {
                    Some(parent) => std::mem::replace(&mut scope, parent),
                    None => return Err(astray()),
                };
                if outer.is_empty() {
                    return Ok(ended.takes);
                }
                let kind = if ended.component { &mut scope.components } else { &mut scope.modules };
                kind.push(ended.takes);
            }
            payload => scope.add(&payload, &outer)?,
        }
    }
    Err(astray())
}

impl Scope {
    fn add(&mut self, payload: &Payload<'_>, outer: &[Self]) -> Result<(), Refusal> {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.clone().into_imports().count();
                self.items(u64::try_from(imports).unwrap_or(u64::MAX));
            }
            Payload::FunctionSection(section) => self.items(section.count().into()),
            Payload::GlobalSection(section) => self.items(section.count().into()),
            Payload::TableSection(section) => self.items(section.count().into()),
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let filled = memory.map_err(|error| damaged(&error))?.initial > 0;
                    self.takes.memories += u64::from(filled);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    let instance = instance.map_err(|error| damaged(&error))?;
                    if let Instance::Instantiate { module_index, .. } = instance {
                        self.instantiate(at(&self.modules, module_index)?);
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    let instance = instance.map_err(|error| damaged(&error))?;
                    if let ComponentInstance::Instantiate { component_index, .. } = instance {
                        self.instantiate(at(&self.components, component_index)?);
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    handed_over(import.map_err(|error| damaged(&error))?.ty.kind())?;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(|error| damaged(&error))?, outer)?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    handed_over(export.map_err(|error| damaged(&error))?.kind)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[Self]) -> Result<(), Refusal> {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => handed_over(kind)?,
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                let module = at(&self.outwards(outer, count)?.modules, index)?;
                self.modules.push(module);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let component = at(&self.outwards(outer, count)?.components, index)?;
                self.components.push(component);
            }
            ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => {}
        }
        Ok(())
    }

    fn outwards<'a>(&'a self, outer: &'a [Self], count: u32) -> Result<&'a Self, Refusal> {
        match count.checked_sub(1) {
            None => Ok(self),
            Some(above) => outer.iter().rev().nth(above as usize).ok_or_else(astray),
        }
    }

    fn items(&mut self, more: u64) {
        self.takes.items = self.takes.items.saturating_add(more);
    }

    fn instantiate(&mut self, part: Footprint) {
        self.takes.memories = self.takes.memories.saturating_add(part.memories);
        self.items(part.items);
    }
}

fn at(parts: &[Footprint], index: u32) -> Result<Footprint, Refusal> {
    parts.get(index as usize).copied().ok_or_else(astray)
}

/// Modules and components as values: what is instantiated is not known where it is written.
fn handed_over(kind: ComponentExternalKind) -> Result<(), Refusal> {
    match kind {
        ComponentExternalKind::Module | ComponentExternalKind::Component => Err(Refusal::new(
            "it imports or exports modules or components themselves, not only their instances",
            "instantiate them where they are defined",
        )),
        _ => Ok(()),
    }
}

fn astray() -> Refusal {
    Refusal::new(
        "it is a damaged component (it names a part that it does not have)",
        "build it again, and upload the whole file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: &str) -> Footprint {
        measure(&wat::parse_str(text).unwrap()).unwrap()
    }

    fn refused(text: &str) -> Refusal {
        check(&wat::parse_str(text).unwrap()).unwrap_err()
    }

    #[test]
    fn a_module_counts_as_often_as_it_is_instantiated() {
        let text = r#"(component
            (core module $m (func) (func) (global i32 (i32.const 0)) (table 1 funcref))
            (core module $unused (memory 1))
            (core instance (instantiate $m))
            (core instance (instantiate $m)))"#;
        assert_eq!(measured(text), Footprint { memories: 0, items: 8 });
    }

    #[test]
    fn nested_components_multiply_and_may_take_modules_from_outside() {
        let text = r#"(component
            (core module $m (func) (global i32 (i32.const 0)))
            (component $twice
                (core instance (instantiate $m))
                (core instance (instantiate $m)))
            (component $four (instance (instantiate $twice)) (instance (instantiate $twice)))
            (instance (instantiate $four))
            (instance (instantiate $four)))"#;
        assert_eq!(measured(text), Footprint { memories: 0, items: 16 });
    }

    #[test]
    fn one_memory_shared_by_many_instances_is_fine() {
        let text = r#"(component
            (core module $memory (memory (export "memory") 1))
            (core module $user (import "env" "memory" (memory 1)))
            (core instance $env (instantiate $memory))
            (core instance (instantiate $user (with "env" (instance $env))))
            (core instance (instantiate $user (with "env" (instance $env)))))"#;
        assert_eq!(measured(text), Footprint { memories: 1, items: 2 });
        assert_eq!(check(&wat::parse_str(text).unwrap()), Ok(()));
    }

    #[test]
    fn a_second_memory_is_refused_wherever_it_comes_from() {
        let one_module = r#"(component (core module $m (memory 1) (memory 1))
            (core instance (instantiate $m)))"#;
        let two_instances = r#"(component (core module $m (memory 1))
            (core instance (instantiate $m)) (core instance (instantiate $m)))"#;
        for text in [one_module, two_instances] {
            let refusal = refused(text);
            assert!(
                refusal.cause.contains("2 linear memories with pages of at most 1"),
                "{refusal}"
            );
            assert!(refusal.fix.contains("share one memory"), "{refusal}");
        }
    }

    #[test]
    fn empty_memories_as_stubs_have_them_are_fine() {
        let text = r#"(component (core module $m (memory 1)) (core module $stub (memory 0))
            (core instance (instantiate $m))
            (core instance (instantiate $stub)) (core instance (instantiate $stub)))"#;
        assert_eq!(measured(text), Footprint { memories: 1, items: 0 });
    }

    #[test]
    fn many_instances_of_a_module_with_many_globals_are_refused() {
        let globals = "(global i32 (i32.const 0))".repeat(20_000);
        let instances = |count| {
            let instances = "(core instance (instantiate $m))".repeat(count);
            format!("(component (core module $m {globals}) {instances})")
        };
        assert_eq!(check(&wat::parse_str(instances(7)).unwrap()), Ok(()));
        let refusal = refused(&instances(8));
        assert!(refusal.cause.contains("160000 functions, globals"), "{refusal}");
    }

    #[test]
    fn modules_as_values_are_refused() {
        let refusal = refused(r#"(component (import "m" (core module)))"#);
        assert!(refusal.cause.contains("modules or components themselves"), "{refusal}");
    }
}
