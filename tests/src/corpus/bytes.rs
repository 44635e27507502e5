//! Bytes that no compiler would write: padding, bombs, nests.

use wasm_encoder::{
    ComponentSection, ComponentTypeSection, ComponentValType, CustomSection, InstanceSection,
    ModuleArg, PrimitiveValType, RawSection,
};

/// What every component begins with.
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;

/// `bytes` with a section of zeros that nobody reads.
pub fn padded(bytes: &[u8], zeros: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    CustomSection { name: "padding".into(), data: vec![0; zeros].into() }
        .append_to_component(&mut padded);
    padded
}

/// `bytes` with one core module more, which has a memory of `pages`, and many instances of it.
pub(super) fn instance_bomb(bytes: &[u8], pages: u32, instances: u32) -> Vec<u8> {
    let mut bomb = bytes.to_vec();
    let module = wat::parse_str(format!("(module (memory {pages}))")).expect("a module");
    let index = core_modules(bytes);
    RawSection { id: CORE_MODULE_SECTION, data: &module }.append_to_component(&mut bomb);
    let mut section = InstanceSection::new();
    for _ in 0..instances {
        section.instantiate(index, Vec::<(&str, ModuleArg)>::new());
    }
    section.append_to_component(&mut bomb);
    bomb
}

/// `bytes` with a type that is a list of lists of lists …
pub(super) fn type_nest(bytes: &[u8], depth: u32) -> Vec<u8> {
    let mut nest = bytes.to_vec();
    let first = types(bytes);
    let mut section = ComponentTypeSection::new();
    let mut inner = ComponentValType::Primitive(PrimitiveValType::U8);
    for level in 0..depth {
        section.defined_type().list(inner);
        inner = ComponentValType::Type(first + level);
    }
    section.append_to_component(&mut nest);
    nest
}

/// Components in components in components …, beside what `bytes` holds.
pub(super) fn component_nest(bytes: &[u8], depth: u32) -> Vec<u8> {
    let mut inner = HEADER.to_vec();
    for _ in 0..depth {
        let mut outer = HEADER.to_vec();
        RawSection { id: COMPONENT_SECTION, data: &inner }.append_to_component(&mut outer);
        inner = outer;
    }
    let mut nest = bytes.to_vec();
    RawSection { id: COMPONENT_SECTION, data: &inner }.append_to_component(&mut nest);
    nest
}

/// How many core modules a component holds itself.
fn core_modules(bytes: &[u8]) -> u32 {
    let modules = sections(bytes).filter(|(id, _)| *id == CORE_MODULE_SECTION).count();
    u32::try_from(modules).expect("few modules")
}

/// An index that is free in the type index space; it need not be the next one: the validator says
/// so in time, and what is tested is that it says anything at all.
fn types(bytes: &[u8]) -> u32 {
    let sections = sections(bytes).count();
    u32::try_from(sections).expect("few sections")
}

/// The sections of a component: id and length.
fn sections(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut rest = &bytes[HEADER.len()..];
    std::iter::from_fn(move || {
        let (&id, after) = rest.split_first()?;
        let (mut length, mut shift, mut at) = (0usize, 0, 0);
        loop {
            let byte = after[at];
            length |= usize::from(byte & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        rest = &after[at + length..];
        Some((id, length))
    })
}
