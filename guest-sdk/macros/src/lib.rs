//! The macros of `wasmverse-sdk`: `#[object]` makes an object of an impl block, `#[interface]` a
//! typed reference of a trait. Parsing is in `options` and `method`, writing in the rest.

mod interface;
mod method;
mod object;
mod options;
mod reference;

use proc_macro::TokenStream;

/// Makes an object type of an impl block: its exports (when compiling for wasm), its description,
/// the dispatch of calls, and a typed reference, `CounterRef` for a `Counter`.
///
/// Every method with `&self` or `&mut self` can be called; functions without `self` are left alone.
/// Arguments and results own their data and have `Serialize`, `Deserialize` and `JsonSchema`. An
/// argument `ctx: &Context` is filled in. A method answers `T` or `Result<T>`. The struct is the
/// state: it has `Default`, `Serialize` and `Deserialize`. Equal states should be equal bytes, since
/// what differs is saved: keep a `BTreeMap`, not a `HashMap`.
///
/// # On the impl block
/// `#[object(...)]` takes, all of them optional:
/// - `durability = "volatile" | "periodic" | "durable"`: when state is saved (`volatile`).
/// - `activation = "on-call" | "explicit"`: what makes an object exist (`on-call`).
/// - `schema = 2`: the version of the state (1).
/// - `revision = "…"`: a label (the version of the package).
/// - `type_name = "…"`: the name of the type (that of the struct).
/// - `limits(cpu_ms = 500, …)`: of `cpu_ms`, `time_ms`, `memory_bytes`, `table_elements`,
///   `payload_bytes`, `host_calls`, `log_bytes`, `mailbox_length`, `storage_keys`.
/// - `encoding = "json" | "bytes"`: how arguments and results travel (`json`). With `bytes` a method
///   has at most one argument, made from `Vec<u8>`, and a result that becomes one.
/// - `exports = false`: leave the exports to `wasmverse_sdk::export!` in another crate, so that other
///   components can link this one for its references. (Two exports cannot be linked into one.)
///
/// A comment on the impl block describes the type, comments on methods describe them.
///
/// # On methods
/// - `#[read_only]`: changes nothing and may not write, send, push or set reminders; takes `&self`.
/// - `#[callers(clients)]`, `#[callers(objects)]`: who may call it (everyone). A reminder calls any.
/// - `#[internal]`: cannot be called from outside.
/// - `#[on_activate]`: run when the object wakes: `fn(&mut self, ctx: &Context) -> Result<()>`.
/// - `#[on_deactivate]`: run when it goes: `fn(&mut self, ctx: &Context, why: &str)`.
/// - `#[migrate]`: reads the state of another schema: `fn(schema: u32, data: &[u8]) -> Result<Self>`.
///
/// `on_client_gone(&mut self, client: String)` is called by the platform alone.
#[proc_macro_attribute]
pub fn object(options: TokenStream, item: TokenStream) -> TokenStream {
    object::expand(options.into(), item.into()).into()
}

/// Makes a typed reference of a trait: `BankRef` of a trait `Bank`.
///
/// The trait lists methods of an object of another component, written as there. The crate of that
/// object may implement it (`#[object] impl Bank for Account`), so that both sides share it.
/// `#[interface(type_name = "Account")]` names the object's type, if it is not the trait's name;
/// `encoding` is that of `#[object]`.
#[proc_macro_attribute]
pub fn interface(options: TokenStream, item: TokenStream) -> TokenStream {
    interface::expand(options.into(), item.into()).into()
}
