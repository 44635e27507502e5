//! Who is in the cluster and who owns what, as all processes see it, and what follows from that.
//!
//! The coordination service (etcd) holds the truth as keys; a [`View`] is what a process has read of
//! them so far. The leader turns a view into targets ([`plan`]), a node turns it into claims and
//! releases ([`owner`]), a router into a way ([`View::route`]).

mod lease;
mod member;
pub mod owner;
pub mod plan;
mod view;

pub use lease::Lease;
pub use member::{ActiveType, GateMember, Incarnation, Member};
pub use view::{OwnerKey, Route, Slot, TargetKey, View, Why};
