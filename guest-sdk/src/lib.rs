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
mod storage;
#[cfg(target_family = "wasm")]
mod wasm;

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
pub use storage::{Log, Map, Storage, StorageKey};
pub use wasmverse_sdk_macros::{interface, object};

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
        Context, Error, ErrorKind, Json, Level, Log, Map, ObjectId, Reference, Result, interface,
        object,
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
