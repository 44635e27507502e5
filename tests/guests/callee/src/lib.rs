//! The component of the object that others call: its code lies in a crate that exports nothing, so
//! that callers can link it, too.

wasmverse_sdk::export!(tally::Callee);
