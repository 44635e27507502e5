//! The wire: messages, services and the one conversion table.
//!
//! The .proto files beside this crate are the contract; `wasmverse` holds what is made from them,
//! and [`convert`] turns it into the words of `core` and back.

pub mod convert;
#[cfg(test)]
mod golden;

/// What is made from the .proto files; they hold the documentation.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod wasmverse {
    /// What clients call.
    pub mod gate {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("wasmverse.gate.v1");
        }
    }
    /// What operators call.
    pub mod admin {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("wasmverse.admin.v1");
        }
    }
    /// Between processes.
    pub mod node {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("wasmverse.node.v1");
        }
    }
}

pub use wasmverse::{admin::v1 as admin, gate::v1 as gate, node::v1 as node};

/// All descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The version of the protocol between processes.
pub const PROTOCOL: u32 = 1;

/// The largest call or reply that passes between processes; a type's own limits are far below.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// The largest message between processes: the largest frame, and a batch of small ones with it.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
