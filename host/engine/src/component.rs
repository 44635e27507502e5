//! One revision of a type, compiled and ready to be instantiated.

use std::{fmt, sync::Arc};

use wasmverse_core::{CallError, ObjectId, RevisionNumber, TypeSpec};

use crate::{Instance, Outbound};

/// The SHA-256 of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// One revision of a type, compiled and ready to be instantiated. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Component {}

impl Component {
    /// The SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        unimplemented!()
    }

    /// What it says of itself.
    pub fn spec(&self) -> &Arc<TypeSpec> {
        unimplemented!()
    }

    /// Makes the sandbox of one object. `revision` is what the guest sees as `turn.revision()`.
    ///
    /// # Errors
    /// `trapped` if the component's start code traps; `overloaded` if the machine has no room.
    pub async fn instantiate(
        &self,
        me: ObjectId,
        revision: RevisionNumber,
        outbound: Arc<dyn Outbound>,
    ) -> Result<Instance, CallError> {
        let _ = (me, revision, outbound);
        unimplemented!()
    }
}
