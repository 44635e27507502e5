//! Forges components from text: each part of a well-made object can be replaced by a bad one.
//!
//! A forged object is a core module in the text format, wrapped as rustc's output is. By default it
//! echoes, activates and gives an empty snapshot; its allocator never frees.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, as its authors wrote it.
pub const CONTRACT: &str = include_str!("../../wit/object.wit");

/// Where a forged module keeps its description.
const DESCRIPTION_AT: usize = 1024;
/// Where its allocator begins.
const HEAP_AT: usize = 128 << 10;

/// Answers `ok` without anything: for `activate` and for results of `handle`.
pub const FINE: &str = "(i32.store (i32.const 64) (i32.const 0)) (i64.store (i32.const 68) (i64.const 0)) (i32.const 64)";
/// Traps.
pub const TRAP: &str = "unreachable";
/// Never ends.
pub const LOOP: &str = "(loop $again (br $again)) unreachable";

/// An object about to be forged. The fields hold what may be replaced.
#[derive(Clone, Debug)]
pub struct Forge {
    /// What `describe` says.
    pub description: Vec<u8>,
    /// The contract that it is written against.
    pub contract: String,
    /// Other packages that the contract names.
    pub packages: Vec<String>,
    /// Imports of the core module.
    pub imports: String,
    /// Further fields of the core module.
    pub fields: String,
    /// The limits of its memory, in pages.
    pub memory: String,
    /// The body of `describe() -> area`.
    pub describe: String,
    /// The body of `activate(type, id, state) -> area`.
    pub activate: String,
    /// The body of `handle($method, $method_length, $payload, $payload_length) -> area`.
    pub handle: String,
    /// The body of `snapshot() -> area`.
    pub snapshot: String,
    /// The body of `deactivate($why, $why_length)`.
    pub deactivate: String,
    /// The body of the allocator, `(old, old_size, $align, $size) -> address`.
    pub allocate: String,
}

impl Forge {
    /// A well-made object of that type with the one method `run`.
    pub fn new(type_name: &str) -> Self {
        Self::describing(&format!(r#"{{"type":"{type_name}","methods":[{{"name":"run"}}]}}"#))
    }

    /// A well-made object that says this of itself.
    pub fn describing(description: &str) -> Self {
        Self {
            description: description.as_bytes().to_vec(),
            contract: CONTRACT.into(),
            packages: Vec::new(),
            imports: String::new(),
            fields: String::new(),
            memory: "16".into(),
            describe: format!(
                "(i32.store (i32.const 0) (i32.const {DESCRIPTION_AT}))
                 (i32.store (i32.const 4) (i32.const {length})) (i32.const 0)",
                length = description.len()
            ),
            activate: FINE.into(),
            handle: "(i32.store (i32.const 64) (i32.const 0))
                (i32.store (i32.const 68) (local.get $payload))
                (i32.store (i32.const 72) (local.get $payload_length)) (i32.const 64)"
                .into(),
            snapshot: "(i32.store (i32.const 64) (i32.const 0))
                (i32.store (i32.const 68) (i32.const 1))
                (i64.store (i32.const 72) (i64.const 0)) (i32.const 64)"
                .into(),
            deactivate: String::new(),
            allocate: "(local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (local.get $at)"
                .into(),
        }
    }

    /// The same with a contract in which `old` became `new`.
    ///
    /// # Panics
    /// If the contract has no `old`.
    #[must_use]
    pub fn amending(mut self, old: &str, new: &str) -> Self {
        assert!(self.contract.contains(old), "the contract has no `{old}`");
        self.contract = self.contract.replace(old, new);
        self
    }

    /// The core module in the text format.
    pub fn module(&self) -> String {
        let Self { imports, fields, memory, describe, activate, handle, .. } = self;
        let Self { snapshot, deactivate, allocate, .. } = self;
        let guest = format!("wasmverse:object/guest@{}", self.version());
        let data: String = self.description.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let state = "(param i32 i32 i32 i32 i32 i32 i32 i32)";
        let (method, why) = (
            "(param $method i32) (param $method_length i32)
             (param $payload i32) (param $payload_length i32)",
            "(param $why i32) (param $why_length i32)",
        );
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {memory})
  (global $heap (mut i32) (i32.const {HEAP_AT}))
  (data (i32.const {DESCRIPTION_AT}) "{data}")
  {fields}
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    {allocate})
  (func (export "{guest}#describe") (result i32) {describe})
  (func (export "{guest}#activate") {state} (result i32) {activate})
  (func (export "{guest}#handle") {method} (result i32) {handle})
  (func (export "{guest}#snapshot") (result i32) {snapshot})
  (func (export "{guest}#deactivate") {why} {deactivate})
)"#
        )
    }

    /// The component.
    ///
    /// # Panics
    /// If what was replaced is not even a module, or not of its contract.
    pub fn component(&self) -> Vec<u8> {
        self.wrap(&self.module())
    }

    /// Any core module as a component of this contract.
    ///
    /// # Panics
    /// As [`Self::component`].
    pub fn wrap(&self, module: &str) -> Vec<u8> {
        let mut module = wat::parse_str(module).expect("the module's text is well-formed");
        let mut resolve = Resolve::default();
        for (number, package) in self.packages.iter().enumerate() {
            resolve.push_str(format!("{number}.wit"), package).expect("the package parses");
        }
        let package =
            resolve.push_str("object.wit", &self.contract).expect("the amended contract parses");
        let world = resolve.select_world(&[package], Some("object")).expect("it has that world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .expect("the metadata is encoded");
        ComponentEncoder::default()
            .module(&module)
            .expect("the module is of its contract")
            .encode()
            .expect("the component is encoded")
    }

    fn version(&self) -> &str {
        let start = self.contract.find('@').expect("the package has a version") + 1;
        let end = start + self.contract[start..].find(';').expect("the package line ends");
        &self.contract[start..end]
    }
}
