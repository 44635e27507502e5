//! What a node knows, in the words of its gRPC service.

use wasmverse_core::TypeName;
use wasmverse_proto::{
    admin::{ListTypesResponse, LogLine, Refusal, RolloutProgress, TypeInfo},
    convert::object_to_ref,
    gate::ObjectInfo,
};

use crate::{ObjectState, ObjectStatus, Progress, TailLine, TypeEntry};

/// What is known of an object that `node` knows.
pub(crate) fn object(status: &ObjectStatus, node: &str) -> ObjectInfo {
    let node = match status.state {
        ObjectState::Live | ObjectState::Asleep => node.into(),
        ObjectState::Stored => String::new(),
    };
    ObjectInfo {
        object: Some(object_to_ref(&status.object)),
        state: status.state.as_str().into(),
        node,
        revision: status.revision.0,
        updated_at_micros: status.updated_at_micros,
    }
}

/// The active types.
pub(crate) fn types(types: &[TypeEntry]) -> ListTypesResponse {
    let types = types.iter().map(|entry| TypeInfo {
        r#type: entry.type_name.as_str().into(),
        revision: entry.number.0,
        digest: entry.digest.to_string(),
        durability: entry.spec.durability.as_str().into(),
        encoding: entry.spec.encoding.as_str().into(),
        doc: entry.spec.doc.clone(),
        description: entry.spec.json.clone(),
        label: entry.spec.label.clone(),
    });
    ListTypesResponse { types: types.collect() }
}

/// How far a deploy has come.
pub(crate) fn progress(type_name: &TypeName, progress: &Progress) -> RolloutProgress {
    let refused = progress.refused.iter();
    RolloutProgress {
        r#type: type_name.as_str().into(),
        revision: progress.revision.0,
        live: progress.live,
        moved: progress.moved,
        refused: refused
            .map(|(object, reason)| Refusal { id: object.id().into(), reason: reason.clone() })
            .collect(),
        done: progress.done,
        gone: progress.gone,
        refused_total: progress.refused_total,
    }
}

/// A line of an object's log.
pub(crate) fn log_line(tail: &TailLine) -> LogLine {
    let line = &tail.line;
    LogLine {
        at_micros: line.at_micros,
        r#type: line.object.type_name().as_str().into(),
        id: line.object.id().into(),
        level: line.level.as_str().into(),
        message: line.message.clone(),
        fields: line.fields.iter().cloned().collect(),
        turn: line.turn.map(|turn| turn.to_string()).unwrap_or_default(),
        missed: tail.missed,
    }
}
