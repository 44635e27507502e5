//! One revision of a type, compiled and ready to be instantiated.

use std::{fmt, sync::Arc};

use wasmverse_core::{CallError, ObjectId, RevisionNumber, TypeSpec};

use crate::{
    Instance, Outbound, bindings::ObjectPre, engine::Shared, host::Host, journal::Writer,
    sandbox::Sandbox,
};

/// The SHA-256 of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// One revision of a type, compiled and ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Revision>);

/// What all clones of a component share.
pub(crate) struct Revision {
    pub(crate) engine: Arc<Shared>,
    pub(crate) digest: Digest,
    pub(crate) spec: Arc<TypeSpec>,
    pub(crate) pre: ObjectPre<Host>,
}

impl Component {
    pub(crate) fn new(revision: Arc<Revision>) -> Self {
        Self(revision)
    }

    /// The SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What it says of itself.
    pub fn spec(&self) -> &Arc<TypeSpec> {
        &self.0.spec
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
        let Revision { engine, spec, pre, .. } = &*self.0;
        let writer = Arc::new(Writer { object: me, outbound });
        let (limits, durability) = (spec.limits.clone(), spec.durability);
        let me = Some(Arc::clone(&writer));
        let started = Sandbox::start(engine, pre, me, revision, durability, limits).await;
        let sandbox = started.map_err(|error| error.about(&writer.object))?;
        Ok(Instance::new(sandbox, writer, Arc::clone(&engine.metrics)))
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("type", &self.0.spec.type_name)
            .field("digest", &self.0.digest)
            .finish_non_exhaustive()
    }
}
