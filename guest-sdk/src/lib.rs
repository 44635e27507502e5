//! Objects in Rust: write a struct, put `#[object]` on its methods, compile it to wasm.
//!
//! ```
//! use wasmverse_sdk::prelude::*;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter {
//!     value: i64,
//! }
//!
//! #[object(durability = "periodic")]
//! impl Counter {
//!     /// Adds to the value.
//!     fn add(&mut self, ctx: &Context, by: i64) -> Result<i64> {
//!         self.value += by;
//!         ctx.info(&format!("now {}", self.value));
//!         Ok(self.value)
//!     }
//!     #[read_only]
//!     fn value(&self) -> i64 {
//!         self.value
//!     }
//! }
//!
//! // From any other object:
//! fn another(ctx: &Context) -> Result<i64> {
//!     CounterRef::at("visits").add(5)
//! }
//! # fn main() {}
//! ```
//!
//! What an object asks of the platform it asks its [`Context`]: it calls others and sends to them,
//! pushes to clients, keeps [storage](Context::storage), and sets [reminders](Context::remind).
//!
//! # What counts once
//!
//! ```
//! # use wasmverse_sdk::prelude::*;
//! # use std::time::Duration;
//! # #[interface]
//! # trait Counter { fn add(&mut self, by: i64) -> Result<i64>; }
//! # fn turn(ctx: &Context) -> Result<()> {
//! CounterRef::at("visits").add(5)?; // at most once: an error says whether it may have run
//! CounterRef::at("visits").key("order-17").add(5)?; // once, however often it is repeated
//! CounterRef::at("visits").send().add(5)?; // one way, once, if this turn ends well
//! ctx.remind("tick", every(Duration::from_secs(60)), "tick")?; // once for each time that it is due
//! # Ok(())
//! # }
//! ```
//!
//! That holds between durable objects. A turn that has a key, or was begun by a send or a reminder,
//! may be run again before it counts. The calls that it makes have keys made of its own, so they are
//! not repeated, as long as it makes the same calls: let no random number and no clock decide whom it
//! calls, and with what.
//!
//! The attributes are explained at [`object`] and [`interface`], testing at [`TestContext`].

mod codec;
mod context;
mod description;
mod error;
#[cfg(target_family = "wasm")]
mod exports;
#[cfg(not(target_family = "wasm"))]
mod fake;
mod generated;
mod json;
mod object;
mod reference;
mod reminder;
mod storage;
#[cfg(target_family = "wasm")]
mod wasm;
mod when;

#[cfg(not(target_family = "wasm"))]
use fake::Link;
#[cfg(target_family = "wasm")]
use wasm::Link;

pub use codec::Payload;
pub use context::{Context, Level};
pub use error::{Error, ErrorKind, Result};
#[cfg(not(target_family = "wasm"))]
pub use fake::{Asked, Line, Pushed, TestContext, What};
pub use json::Json;
pub use object::{Object, State};
pub use reference::{ObjectId, Reference, Request, Target};
pub use reminder::{OwnMethod, Reminder};
pub use storage::{Log, Map, Storage, StorageKey};
pub use wasmverse_sdk_macros::{interface, object};
pub use when::{When, after, at, cron, every};

/// Exports an object from the component that is built; natively it is nothing.
///
/// `#[object]` does that by itself, unless it says `exports = false`: then the crate with the object
/// can be linked by other components (for its references and types), and a crate of its own makes
/// the component: `wasmverse_sdk::export!(bank::Account);`. The same exports an [`Object`] that is
/// written by hand.
#[macro_export]
macro_rules! export {
    ($object:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "what the host enters is exported without a name of Rust's")]
        const _: () = {
            $crate::__export!($object);
        };
    };
}

/// What most objects use.
pub mod prelude {
    pub use crate::{
        Context, Error, ErrorKind, Json, Level, Log, Map, ObjectId, Reference, Reminder, Result,
        When, after, at, cron, every, interface, object,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// For the code that the macros write; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;

    #[cfg(target_family = "wasm")]
    pub use crate::generated::object as bindings;
    pub use crate::{
        description::{Method, Type},
        object::{restore, save},
    };

    pub mod codec {
        pub use crate::codec::*;
    }

    pub mod description {
        pub use crate::description::{input, output};
    }

    #[cfg(target_family = "wasm")]
    pub mod exports {
        pub use crate::exports::*;
    }
}
