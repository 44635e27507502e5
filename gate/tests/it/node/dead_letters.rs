//! The dead letters and the reminders of a node without objects.

use std::sync::{Arc, Mutex};

use tonic::Status;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::{
    admin::{
        DeadLetter, ListDeadLettersRequest, ListDeadLettersResponse, Reminder, dead_letter::Kind,
    },
    convert::error_to_status,
    gate::ObjectRef,
};

/// Three of them, and what was asked for. Clones are one.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    kept: Arc<Mutex<Vec<DeadLetter>>>,
    retried: Arc<Mutex<Vec<u64>>>,
}

impl DeadLetters {
    pub(super) fn new() -> Self {
        let kept = [
            letter(3, "a/b", "30", Kind::Send("12.0".into())),
            letter(5, "a/b", "", Kind::Reminder("close".into())),
            letter(9, "c", "\u{7f}", Kind::Send("1.1".into())),
        ];
        Self { kept: Arc::new(Mutex::new(kept.into())), retried: Arc::default() }
    }

    /// The numbers of those that are left, and of those that were sent again.
    pub(crate) fn numbers(&self) -> (Vec<u64>, Vec<u64>) {
        let kept = self.kept.lock().unwrap().iter().map(|letter| letter.number).collect();
        (kept, self.retried.lock().unwrap().clone())
    }

    pub(super) fn list(&self, asked: &ListDeadLettersRequest) -> ListDeadLettersResponse {
        let mut letters = self.kept.lock().unwrap().clone();
        letters.retain(|letter| letter.number > asked.after);
        letters.retain(|letter| asked.object.is_none() || letter.from == asked.object);
        let limit = if asked.limit == 0 { 100 } else { asked.limit as usize };
        let more = letters.len() > limit;
        letters.truncate(limit);
        let next_after = letters.last().filter(|_| more).map_or(0, |last| last.number);
        ListDeadLettersResponse { letters, next_after }
    }

    pub(super) fn get(&self, number: u64) -> Result<DeadLetter, Status> {
        let kept = self.kept.lock().unwrap();
        let found = kept.iter().find(|letter| letter.number == number).cloned();
        found.ok_or_else(|| {
            let problem = format!("there is no dead letter {number}");
            error_to_status(&CallError::new(ErrorKind::NotFound, problem))
        })
    }

    pub(super) fn retry(&self, number: u64) -> Result<(), Status> {
        self.forget(number)?;
        self.retried.lock().unwrap().push(number);
        Ok(())
    }

    pub(super) fn forget(&self, number: u64) -> Result<(), Status> {
        self.get(number)?;
        self.kept.lock().unwrap().retain(|letter| letter.number != number);
        Ok(())
    }
}

fn letter(number: u64, from: &str, payload: &'static str, kind: Kind) -> DeadLetter {
    DeadLetter {
        number,
        from: Some(ObjectRef { r#type: "Json".into(), id: from.into() }),
        to: Some(ObjectRef { r#type: "Json".into(), id: "x".into() }),
        method: "deposit".into(),
        payload: payload.into(),
        reason: "application (overflow): it would not fit".into(),
        kind: Some(kind),
        sent_at_micros: 1_500_000_000_123_456,
        died_at_micros: 1_500_000_001_000_000,
    }
}

/// The reminders of `Json/a/b`; others have none.
pub(super) fn reminders(object: Option<&ObjectRef>) -> Vec<Reminder> {
    let poll = Reminder {
        name: "poll".into(),
        when: "every 5s".into(),
        method: "look".into(),
        payload: "{\"at\":1}".into(),
        due_micros: 1_500_000_005_000_000,
    };
    object.filter(|object| object.id == "a/b").map(|_| poll).into_iter().collect()
}
