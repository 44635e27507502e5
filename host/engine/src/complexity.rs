//! How complex a component may be: what bounds the time and the memory that compiling takes.

use wasmparser::{FunctionBody, Operator, Parser, Payload};

use crate::Refusal;

/// Nested modules and components together.
const PARTS_MAX: u32 = 256;
/// Functions of all nested modules together (CPython has about 20,000).
const FUNCTIONS_MAX: u32 = 100_000;
/// The largest function, in bytes: compiling costs more than its length.
const FUNCTION_BYTES_MAX: u64 = 1 << 20;
/// Blocks within blocks of one function: compiling takes time with the square of their depth.
const BLOCKS_MAX: u32 = 5_000;
/// Types, imports, exports and globals of all parts together.
const ENTRIES_MAX: u32 = 200_000;
/// Data and element segments of all parts together.
const SEGMENTS_MAX: u32 = 100_000;

/// What a component consists of, as far as it has been read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Census {
    parts: u32,
    functions: u32,
    entries: u32,
    segments: u32,
}

/// Is the component simple enough to be compiled?
pub(crate) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let mut census = Census::default();
    for payload in Parser::new(0).parse_all(bytes) {
        census.add(&payload.map_err(|error| damaged(&error))?)?;
    }
    Ok(())
}

impl Census {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                add(&mut self.parts, 1, PARTS_MAX, "nested modules and components")
            }
            Payload::FunctionSection(section) => {
                add(&mut self.functions, section.count(), FUNCTIONS_MAX, "functions")
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                if range.end - range.start > FUNCTION_BYTES_MAX {
                    return Err(too_many("bytes in one function", FUNCTION_BYTES_MAX));
                }
                depth(body)
            }
            Payload::TypeSection(section) => self.entries(section.count()),
            Payload::ImportSection(section) => self.entries(section.count()),
            Payload::ExportSection(section) => self.entries(section.count()),
            Payload::GlobalSection(section) => self.entries(section.count()),
            Payload::TableSection(section) => self.entries(section.count()),
            Payload::MemorySection(section) => self.entries(section.count()),
            Payload::InstanceSection(section) => self.entries(section.count()),
            Payload::CoreTypeSection(section) => self.entries(section.count()),
            Payload::ComponentInstanceSection(section) => self.entries(section.count()),
            Payload::ComponentAliasSection(section) => self.entries(section.count()),
            Payload::ComponentTypeSection(section) => self.entries(section.count()),
            Payload::ComponentCanonicalSection(section) => self.entries(section.count()),
            Payload::ComponentImportSection(section) => self.entries(section.count()),
            Payload::ComponentExportSection(section) => self.entries(section.count()),
            Payload::ElementSection(section) => self.segments(section.count()),
            Payload::DataSection(section) => self.segments(section.count()),
            _ => Ok(()),
        }
    }

    fn entries(&mut self, more: u32) -> Result<(), Refusal> {
        add(&mut self.entries, more, ENTRIES_MAX, "types, imports, exports and the like")
    }

    fn segments(&mut self, more: u32) -> Result<(), Refusal> {
        add(&mut self.segments, more, SEGMENTS_MAX, "data and element segments")
    }
}

/// Are the blocks of a function nested within reason?
fn depth(body: &FunctionBody<'_>) -> Result<(), Refusal> {
    let mut depth = 0_u32;
    let mut operators = body.get_operators_reader().map_err(|error| damaged(&error))?;
    while !operators.eof() {
        match operators.read().map_err(|error| damaged(&error))? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => {
                add(&mut depth, 1, BLOCKS_MAX, "blocks within each other in one function")?;
            }
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn damaged(error: &wasmparser::BinaryReaderError) -> Refusal {
    Refusal::new(
        format!("it is a damaged component ({error})"),
        "build it again, and upload the whole file",
    )
}

fn add(sum: &mut u32, more: u32, limit: u32, what: &str) -> Result<(), Refusal> {
    *sum = sum.saturating_add(more);
    if *sum <= limit { Ok(()) } else { Err(too_many(what, limit)) }
}

fn too_many(what: &str, limit: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        format!("it is too complex: it has more than {limit} {what}"),
        "split it into several types, or build it with optimization for size",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(parts: usize) -> Vec<u8> {
        let modules = "(core module)".repeat(parts);
        wat::parse_str(format!("(component {modules})")).unwrap()
    }

    #[test]
    fn a_component_of_a_few_parts_is_fine() {
        assert_eq!(check(&component(256)), Ok(()));
    }

    #[test]
    fn a_component_of_too_many_parts_is_refused_with_the_limit() {
        let refusal = check(&component(257)).unwrap_err();
        assert!(refusal.cause.contains("256 nested modules"), "{refusal}");
    }

    #[test]
    fn too_many_functions_are_refused_wherever_they_are() {
        let functions = "(func)".repeat(50_001);
        let text = format!("(component (core module {functions}) (core module {functions}))");
        let refusal = check(&wat::parse_str(text).unwrap()).unwrap_err();
        assert!(refusal.cause.contains("100000 functions"), "{refusal}");
    }

    #[test]
    fn one_huge_function_is_refused() {
        let body = "i32.const 1 drop ".repeat(400_000);
        let text = format!("(component (core module (func {body})))");
        let refusal = check(&wat::parse_str(text).unwrap()).unwrap_err();
        assert!(refusal.cause.contains("one function"), "{refusal}");
    }

    #[test]
    fn blocks_nested_too_deeply_are_refused_and_many_beside_each_other_are_fine() {
        let nested = |depth| format!("{}{}", "block ".repeat(depth), "end ".repeat(depth));
        let component = |body: String| {
            wat::parse_str(format!("(component (core module (func {body})))")).unwrap()
        };
        assert_eq!(check(&component(nested(5_000))), Ok(()));
        assert_eq!(check(&component("block end ".repeat(20_000))), Ok(()));
        let refusal = check(&component(nested(5_001))).unwrap_err();
        assert!(refusal.cause.contains("5000 blocks"), "{refusal}");
    }
}
