//! What a node knows, in the words of its gRPC service.

use wasmverse_core::TypeName;
use wasmverse_proto::{
    admin::{
        DeadLetter, ListTypesResponse, LogLine, Refusal, Reminder, RolloutProgress, TypeInfo,
        dead_letter::Kind,
    },
    convert::object_to_ref,
    gate::ObjectInfo,
};
use wasmverse_store::{self as store, DeadSource, NewReminder, NewSend, StoredReminder};

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

/// A send or a firing that was given up.
pub(crate) fn dead_letter(letter: store::DeadLetter) -> DeadLetter {
    let NewSend { to, method, payload } = letter.send;
    let kind = match letter.source {
        DeadSource::Send(number) => Kind::Send(number.to_string()),
        DeadSource::Firing(reminder) => Kind::Reminder((*reminder).into()),
    };
    DeadLetter {
        number: letter.number,
        from: Some(object_to_ref(&letter.from)),
        to: Some(object_to_ref(&to)),
        method: (*method).into(),
        payload,
        reason: letter.reason,
        kind: Some(kind),
        sent_at_micros: letter.sent_at_micros,
        died_at_micros: letter.died_at_micros,
    }
}

/// A reminder that is set.
pub(crate) fn reminder(stored: StoredReminder) -> Reminder {
    let NewReminder { name, when, method, payload, due_micros } = stored.reminder;
    Reminder {
        name: (*name).into(),
        when: (*when).into(),
        method: (*method).into(),
        payload,
        due_micros,
    }
}

#[cfg(test)]
mod tests {
    use wasmverse_core::{SendNumber, ShardId, Version};

    use super::*;

    #[test]
    fn a_dead_letter_says_which_send_or_which_reminder_it_was() {
        let letter = |source| store::DeadLetter {
            number: 7,
            from: "BankAccount/a".parse().unwrap(),
            shard: ShardId(3),
            source,
            send: NewSend {
                to: "BankAccount/b".parse().unwrap(),
                method: "deposit".into(),
                payload: "5".into(),
            },
            reason: "application (overflow): it would not fit".into(),
            sent_at_micros: 1,
            died_at_micros: 2,
        };
        let number = SendNumber { version: Version(12), place: 3 };
        let sent = dead_letter(letter(DeadSource::Send(number)));
        assert_eq!(sent.kind, Some(Kind::Send("12.3".into())));
        assert_eq!((sent.number, sent.sent_at_micros, sent.died_at_micros), (7, 1, 2));
        assert_eq!((sent.from.unwrap().id, sent.to.unwrap().id), ("a".into(), "b".into()));
        let fired = dead_letter(letter(DeadSource::Firing("close".into())));
        assert_eq!(fired.kind, Some(Kind::Reminder("close".into())));
    }
}
