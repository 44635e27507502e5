//! Ill-made components that must be refused before they are stored, each with words that the
//! refusal must hold: enough for its author to find the cause.

use crate::forge::{CONTRACT, Forge, LOOP, TRAP};

pub mod bytes;
mod complex;
mod descriptions;

pub use complex::all as complex;
pub use descriptions::all as descriptions;

/// One ill-made component.
#[derive(Clone, Debug)]
pub struct Ill {
    /// What is wrong with it.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the refusal must say, in any case of letters; of several words with `|` between them,
    /// one is enough.
    pub says: &'static [&'static str],
}

fn ill(name: &'static str, bytes: Vec<u8>, says: &'static [&'static str]) -> Ill {
    Ill { name, bytes, says }
}

/// Everything that is refused.
pub fn all() -> Vec<Ill> {
    let mut all = no_components();
    all.extend(strangers());
    all.extend(hostile());
    all.extend(descriptions::all());
    all.extend(complex::all());
    all
}

/// What is no component at all, or only half of one.
pub fn no_components() -> Vec<Ill> {
    let whole = Forge::new("Whole").component();
    let core = wat::parse_str("(module)").expect("an empty module");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 16].fill(0xff);
    vec![
        ill("nothing", Vec::new(), &["empty|component"]),
        ill("text", b"hello".to_vec(), &["component"]),
        ill("source text", b"(component)".to_vec(), &["component"]),
        ill("a truncated component", whole[..middle].to_vec(), &[]),
        ill("damaged bytes", flipped, &[]),
        ill("a bad header", b"\0asm\x0d\0\x01\0\x01\x01\x01\x01".to_vec(), &[]),
        ill("a core module", core, &["core module", "wasm32-wasip2|component"]),
        ill("100 MB", bytes::padded(&whole, 100 << 20), &["large|size|bytes|mib"]),
        ill("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), &["guest"]),
    ]
}

/// Components of other worlds than ours.
pub fn strangers() -> Vec<Ill> {
    let amended = |old: &str, new: &str| Forge::new("Stranger").amending(old, new);
    let http = "package wasi:http@0.2.0; interface outgoing-handler { handle: func() -> u32; }";
    let acme = "package acme:secrets@1.0.0; interface vault { open: func() -> u32; }";
    let importing = |package: &str, interface: &str, function: &str| {
        let mut forge = amended("import system;", &format!("import system; import {interface};"));
        forge.packages.push(package.into());
        forge.imports =
            format!(r#"(import "{interface}" "{function}" (func $foreign (result i32)))"#);
        forge.handle = format!("(drop (call $foreign)) {}", forge.handle);
        forge.component()
    };
    vec![
        ill("a world without guest", without_guest(), &["guest"]),
        ill("a guest without snapshot", without_snapshot(), &["snapshot"]),
        ill(
            "a parameter of another type",
            amended("deactivate: func(why: string)", "deactivate: func(why: list<u8>)").component(),
            &["deactivate|guest"],
        ),
        ill(
            "a parameter of another name",
            amended("deactivate: func(why: string)", "deactivate: func(reason: string)")
                .component(),
            &["deactivate|guest"],
        ),
        ill(
            "a record with one field more",
            amended("id: string,\n  }", "id: string,\n    shard: u32,\n  }").with_flat_shard(),
            &["object-ref|types|guest"],
        ),
        ill(
            "an import of wasi:http",
            importing(http, "wasi:http/outgoing-handler@0.2.0", "handle"),
            &["wasi:http"],
        ),
        ill(
            "an import nobody knows",
            importing(acme, "acme:secrets/vault@1.0.0", "open"),
            &["acme:secrets"],
        ),
        ill("a later contract", later_contract("0.2.0"), &["0.2.0"]),
        ill("an import of a later contract", later_system(), &["reboot|system"]),
    ]
}

/// Components that attack while they are checked.
pub fn hostile() -> Vec<Ill> {
    let forge = |change: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::new("Hostile");
        change(&mut forge);
        forge.component()
    };
    let start = |body: &str| forge(&|f| f.fields = format!("(func $start {body}) (start $start)"));
    vec![
        ill("a describe that traps", forge(&|f| f.describe = TRAP.into()), &["describe"]),
        ill("a describe that loops", forge(&|f| f.describe = LOOP.into()), &["describe"]),
        ill(
            "a describe that points outside",
            forge(&|f| f.describe = "(i32.const 0x7ffffff0)".into()),
            &["describe"],
        ),
        ill(
            "a description of 15 MiB",
            forge(&|f| {
                f.memory = "256".into();
                f.describe = "(i32.store (i32.const 0) (i32.const 1024))
                    (i32.store (i32.const 4) (i32.const 15728640)) (i32.const 0)"
                    .into();
            }),
            &["descri"],
        ),
        ill("a start function that traps", start(TRAP), &[]),
        ill("a start function that loops", start(LOOP), &[]),
        ill("memory over the limit at once", forge(&|f| f.memory = "1601".into()), &["memory"]),
        ill("memory for ever at once", forge(&|f| f.memory = "65536".into()), &["memory"]),
        ill(
            "tables over the limit at once",
            forge(&|f| f.fields = "(table 10000000 funcref)".into()),
            &["table"],
        ),
        ill("memory shared between threads", forge(&|f| f.memory = "1 2 shared".into()), &[]),
    ]
}

fn without_guest() -> Vec<u8> {
    Forge::new("Guestless").amending("export guest;", "").wrap("(module)")
}

fn without_snapshot() -> Vec<u8> {
    let forge = Forge::new("Half").amending("snapshot: func() -> result<state, failure>;", "");
    let module = forge.module();
    let start = module.find("(func (export \"wasmverse:object/guest@0.1.0#snapshot").expect("it");
    let end = start
        + module[start..].find("(func (export \"wasmverse:object/guest@0.1.0#deact").expect("it");
    forge.wrap(&format!("{}{}", &module[..start], &module[end..]))
}

fn later_contract(version: &str) -> Vec<u8> {
    Forge::new("Later").amending("object@0.1.0", &format!("object@{version}")).component()
}

fn later_system() -> Vec<u8> {
    let mut forge = Forge::new("Later")
        .amending("object@0.1.0", "object@0.1.1")
        .amending("now-micros: func() -> u64;", "now-micros: func() -> u64;\n  reboot: func();");
    forge.imports = r#"(import "wasmverse:object/system@0.1.1" "reboot" (func $reboot))"#.into();
    forge.handle = format!("(call $reboot) {}", forge.handle);
    forge.component()
}

/// An object that exports more than it must: that is accepted.
pub fn with_an_export_more() -> Vec<u8> {
    let mut forge =
        Forge::new("More").amending("snapshot: func()", "rewind: func();\n  snapshot: func()");
    forge.fields = r#"(func (export "wasmverse:object/guest@0.1.0#rewind"))"#.into();
    forge.component()
}

/// The contract of today as a later one that changed nothing: it is accepted.
pub fn same_under_a_later_name() -> Vec<u8> {
    assert!(CONTRACT.contains("object@0.1.0"));
    later_contract("0.1.1")
}

impl Forge {
    /// For the contract in which `object-ref` has a field more: `activate` has a parameter more.
    fn with_flat_shard(&self) -> Vec<u8> {
        let state = "(param i32 i32 i32 i32 i32 i32 i32 i32)";
        self.wrap(&self.module().replace(state, "(param i32 i32 i32 i32 i32 i32 i32 i32 i32)"))
    }
}
