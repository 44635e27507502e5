//! Guests written by hand in WebAssembly text, so that these tests need no guest toolchain.
//!
//! A turn does what the first letter of its method says; the table stands in the text below.

use bytes::Bytes;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, UnresolvedPackageGroup};

/// A guest whose parts can be replaced one at a time.
pub(crate) struct Guest {
    /// What `describe` answers.
    pub(crate) description: String,
    /// What `describe` does before it answers.
    pub(crate) before_describe: &'static str,
    /// What the start code does.
    pub(crate) start: &'static str,
    /// Pages of memory that it starts with.
    pub(crate) pages: usize,
    /// More functions, imports or exports of its core module.
    pub(crate) more: String,
    /// More memories, behind its own.
    pub(crate) memories: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            description: r#"{"type":"Probe","methods":[{"name":"echo"}]}"#.into(),
            before_describe: "",
            start: "",
            pages: 4,
            more: String::new(),
            memories: String::new(),
        }
    }
}

impl Guest {
    pub(crate) fn describing(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }

    /// The default with limits of its own, such as `"cpu_ms": 50`.
    pub(crate) fn limited(limits: &str) -> Self {
        Self::describing(format!(r#"{{"type":"Probe","limits":{{{limits}}}}}"#))
    }
}

/// The component, as a toolchain would have made it.
pub(crate) fn component(guest: &Guest) -> Bytes {
    encode(&core_module(guest))
}

/// A core module with the contract's types, made into a component.
pub(crate) fn encode(text: &str) -> Bytes {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let contract = include_str!("../../../../wit/object.wit");
    let group = UnresolvedPackageGroup::parse("object.wit", contract).unwrap();
    let package = resolve.push_group(group).unwrap();
    let world = resolve.select_world(&[package], Some("object")).unwrap();
    let utf8 = StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, utf8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap().into()
}

fn core_module(guest: &Guest) -> String {
    let Guest { description, before_describe, start, pages, more, memories } = guest;
    let length = description.len();
    let data: String = description.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    TEXT.replace("$PAGES", &pages.to_string())
        .replace("$DESCRIPTION_LENGTH", &length.to_string())
        .replace("$DESCRIPTION_DATA", &data)
        .replace("$BEFORE_DESCRIBE", before_describe)
        .replace("$START", start)
        .replace("$MORE", more)
        .replace("$STUBS", memories)
}

/// Memory: 0 scratch and answers, 1024 state, 2048 names, 4096 description, 65536 heap.
const TEXT: &str = r#"
(module
  (import "wasmverse:object/objects@0.1.0" "call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasmverse:object/objects@0.1.0" "call-many" (func $call-many (param i32 i32 i32)))
  (import "wasmverse:object/objects@0.1.0" "send"
    (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasmverse:object/objects@0.1.0" "delete" (func $delete (param i32 i32 i32 i32 i32)))
  (import "wasmverse:object/clients@0.1.0" "broadcast" (func $broadcast (param i32 i32 i32 i32 i32)))
  (import "wasmverse:object/storage@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "wasmverse:object/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32 i32)))
  (import "wasmverse:object/system@0.1.0" "now-micros" (func $now (result i64)))
  (import "wasmverse:object/system@0.1.0" "random-bytes" (func $random (param i32 i32)))
  $MORE
  (memory (export "memory") $PAGES)
  $STUBS
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 2048) "T")
  (data (i32.const 2056) "run")
  (data (i32.const 2064) "info")
  (data (i32.const 4096) "$DESCRIPTION_DATA")

  (func $start $START)
  (start $start)

  (func $allocate (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow
        (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1)))))
      unreachable)
    (local.get $at))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (call $allocate (local.get $size)))

  (func (export "wasmverse:object/guest@0.1.0#describe") (result i32)
    $BEFORE_DESCRIBE
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (i32.const $DESCRIPTION_LENGTH))
    (i32.const 0))

  ;; State that begins with `!` is refused; other state is kept.
  (func (export "wasmverse:object/guest@0.1.0#activate")
    (param i32 i32 i32 i32) (param $some i32) (param $schema i32) (param $data i32)
    (param $length i32) (result i32)
    (i32.store (i32.const 1024) (i32.const 0))
    (if (local.get $some) (then
      (if (i32.eq (i32.load8_u (local.get $data)) (i32.const 33))
        (then (return (call $failure (i32.const 0) (i32.const 0)))))
      (i32.store (i32.const 1024) (local.get $length))
      (memory.copy (i32.const 1028) (local.get $data) (local.get $length))))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  (func (export "wasmverse:object/guest@0.1.0#snapshot") (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store (i32.const 4) (i32.const 3))
    (i32.store (i32.const 8) (i32.const 1028))
    (i32.store (i32.const 12) (i32.load (i32.const 1024)))
    (i32.const 0))

  ;; State that begins with `o` never says farewell.
  (func (export "wasmverse:object/guest@0.1.0#deactivate") (param $why i32) (param $length i32)
    (call $write (local.get $why) (local.get $length))
    (if (i32.eq (i32.load8_u (i32.const 1028)) (i32.const 111)) (then (loop $on (br $on)))))

  ;; A failure of that kind, without a word.
  (func $failure (param $kind i32) (param $length i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 4) (local.get $kind))
    (i32.store (i32.const 8) (local.get $length))
    (i32.const 0))

  (func $well (param $at i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store (i32.const 4) (local.get $at))
    (i32.store (i32.const 8) (local.get $length))
    (i32.const 0))

  (func $write (param $at i32) (param $length i32)
    (call $log (i32.const 2064) (i32.const 4) (local.get $at) (local.get $length)
      (i32.const 0) (i32.const 0)))

  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (local.get 0))))

  (func (export "cabi_post_wasmverse:object/guest@0.1.0#handle") (param i32)
    (global.set $heap (i32.const 65536)))

  (func (export "wasmverse:object/guest@0.1.0#handle")
    (param $method i32) (param i32) (param $at i32) (param $length i32) (result i32)
    (local $letter i32) (local $count i32) (local $work i64)
    (local.set $letter (i32.load8_u (local.get $method)))
    ;; The argument's first four bytes, where a method takes a number.
    (local.set $count (i32.load (local.get $at)))
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
    ;; e: echo
    (if (i32.eq (local.get $letter) (i32.const 101))
      (then (return (call $well (local.get $at) (local.get $length)))))
    ;; s: spin
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $on (br $on))))
    ;; w: work for so many millions of rounds
    (if (i32.eq (local.get $letter) (i32.const 119)) (then
      (local.set $work (i64.mul (i64.extend_i32_u (local.get $count)) (i64.const 1000000)))
      (loop $on
        (local.set $work (i64.sub (local.get $work) (i64.const 1)))
        (br_if $on (i64.gt_s (local.get $work) (i64.const 0))))))
    ;; t: trap
    (if (i32.eq (local.get $letter) (i32.const 116)) (then unreachable))
    ;; r: recurse
    (if (i32.eq (local.get $letter) (i32.const 114))
      (then (drop (call $recurse (i32.const 0)))))
    ;; a: allocate so many bytes
    (if (i32.eq (local.get $letter) (i32.const 97))
      (then (drop (call $allocate (local.get $count)))))
    ;; h: answer so many bytes
    (if (i32.eq (local.get $letter) (i32.const 104))
      (then (return (call $well (call $allocate (local.get $count)) (local.get $count)))))
    ;; c: call `run` of T/argument with the argument, pass on what comes
    (if (i32.eq (local.get $letter) (i32.const 99)) (then
      (call $call (i32.const 2048) (i32.const 1) (local.get $at) (local.get $length)
        (i32.const 2056) (i32.const 3) (local.get $at) (local.get $length)
        (i32.const 0) (i32.const 0) (i32.const 0))
      (return (i32.const 0))))
    ;; p: a failure whose kind is the argument
    (if (i32.eq (local.get $letter) (i32.const 112))
      (then (return (call $failure (local.get $at) (local.get $length)))))
    ;; m: call so many nobodies side by side
    (if (i32.eq (local.get $letter) (i32.const 109)) (then
      (call $call-many
        (call $allocate (i32.mul (local.get $count) (i32.const 40)))
        (local.get $count) (i32.const 0))))
    ;; o: send the argument to T/argument
    (if (i32.eq (local.get $letter) (i32.const 111)) (then
      (call $send (i32.const 2048) (i32.const 1) (local.get $at) (local.get $length)
        (i32.const 2056) (i32.const 3) (local.get $at) (local.get $length)
        (i32.const 0) (i32.const 0) (i32.const 0))
      (return (i32.const 0))))
    ;; b: broadcast `run` with as many bytes, until it is not taken any more
    (if (i32.eq (local.get $letter) (i32.const 98)) (then
      (loop $on
        (call $broadcast (i32.const 2056) (i32.const 3) (i32.const 0) (local.get $count)
          (i32.const 512))
        (br_if $on (i32.eqz (i32.load8_u (i32.const 512)))))
      (return (i32.const 512))))
    ;; d: delete T/argument
    (if (i32.eq (local.get $letter) (i32.const 100)) (then
      (call $delete (i32.const 2048) (i32.const 1) (local.get $at) (local.get $length)
        (i32.const 0))
      (return (i32.const 0))))
    ;; k: keyed storage
    (if (i32.eq (local.get $letter) (i32.const 107)) (then
      (call $get (i32.const 2048) (i32.const 1) (i32.const 0))
      (return (i32.const 0))))
    ;; l: log `run` so many times
    (if (i32.eq (local.get $letter) (i32.const 108)) (then
      (loop $on
        (call $write (i32.const 2056) (i32.const 3))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $on (i32.gt_s (local.get $count) (i32.const 0))))))
    ;; n: ask for the time so many times
    (if (i32.eq (local.get $letter) (i32.const 110)) (then
      (loop $on
        (drop (call $now))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $on (i32.gt_s (local.get $count) (i32.const 0))))))
    ;; x: so many random bytes
    (if (i32.eq (local.get $letter) (i32.const 120)) (then
      (call $random (local.get $count) (i32.const 512))
      (return (call $well (i32.load (i32.const 512)) (i32.load (i32.const 516))))))
    (call $well (i32.const 0) (i32.const 0)))
)"#;
