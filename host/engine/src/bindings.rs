//! What wasmtime generates from `wit/object.wit`: the world `object` as Rust traits and types.
//!
//! Only what may have to wait is async; everything may trap, because everything is counted.

#![expect(unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit/object.wit",
    world: "object",
    imports: {
        "wasmverse:object/objects.call": async | trappable,
        "wasmverse:object/objects.call-many": async | trappable,
        "wasmverse:object/objects.create": async | trappable,
        "wasmverse:object/objects.delete": async | trappable,
        "wasmverse:object/objects.exists": async | trappable,
        "wasmverse:object/storage.get": async | trappable,
        "wasmverse:object/storage.set": async | trappable,
        "wasmverse:object/storage.scan": async | trappable,
        "wasmverse:object/reminders.set": async | trappable,
        "wasmverse:object/reminders.pending": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

pub use wasmverse::object::types::{Failure, ObjectRef, Request, State};
