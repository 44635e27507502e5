//! Keyed calls: what one was answered is kept, and a repeat hears it again.

use sha2::{Digest as _, Sha256};
use wasmverse_core::{
    CallError, ErrorKind, Reply, TurnEnd,
    ledger::{self, Known, Ledger},
};
use wasmverse_proto::convert::{bytes_to_reply, reply_to_bytes};
use wasmverse_store::{KeptResult, ResultKey};

use super::{Activation, Awake};
use crate::{
    deploy::unstored,
    letter::{Answer, Letter, Source, Work},
};

/// A keyed call.
pub(super) struct Keyed {
    key: ResultKey,
    /// A digest of method and argument.
    asked: [u8; 16],
}

/// What is known of a keyed call.
pub(super) enum Recalled {
    /// It was never answered.
    New,
    /// It was, or it cannot be found out, or it is another call than the one that was.
    Answer(Answer),
}

impl Keyed {
    pub(super) fn new(origin: String, key: &str, method: &str, payload: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((method.len() as u64).to_le_bytes());
        hash.update(method);
        hash.update(payload);
        let hash: [u8; 32] = hash.finalize().into();
        let (asked, _) = hash.split_first_chunk().expect("32 bytes are more than 16");
        Self { key: ResultKey { origin, key: key.to_owned() }, asked: *asked }
    }

    /// What is kept of how it ended.
    pub(super) fn result(&self, end: &TurnEnd) -> KeptResult {
        let reply = match end {
            TurnEnd::Well(payload) => Ok(Reply::Payload(payload.clone())),
            TurnEnd::Failure(error) | TurnEnd::Trap(error) => Err(error.clone()),
        };
        let answer = reply_to_bytes(reply);
        KeptResult { key: self.key.clone(), asked: self.asked, answer }
    }

    /// What a repeat of the call hears.
    fn repeat(&self, kept: &KeptResult) -> Answer {
        if kept.asked != self.asked {
            let message = "this key was used for a call of another method, or with another argument: \
                           use a new key for each call that is meant to happen";
            return Err(CallError::new(ErrorKind::InvalidArgument, message));
        }
        bytes_to_reply(kept.answer.clone())
    }
}

impl Awake {
    /// A result was kept.
    pub(super) fn keep(&mut self, keyed: &Keyed) {
        if let Some(ledger) = &mut self.ledger {
            ledger.keep(&keyed.key.origin, &keyed.key.key);
        }
    }
}

impl Activation {
    /// What a call with this key was answered, if it was.
    pub(super) async fn recall(&mut self, keyed: &Keyed) -> Recalled {
        match self.look_up(keyed).await {
            Ok(None) => Recalled::New,
            Ok(Some(kept)) => {
                self.host.metrics.repeated.increment(1);
                Recalled::Answer(keyed.repeat(&kept))
            }
            Err(error) => Recalled::Answer(Err(error)),
        }
    }

    async fn look_up(&mut self, keyed: &Keyed) -> Result<Option<KeptResult>, CallError> {
        let ResultKey { origin, key } = &keyed.key;
        if self.ledger().await?.look(origin, key) == Known::New {
            return Ok(None);
        }
        let found = self.host.store.result(self.object(), &keyed.key).await;
        found.map_err(|error| unstored(&error))
    }

    /// What a keyed call was answered by an object that is gone, and does not come back by being
    /// called.
    pub(super) async fn answer_of_the_gone(&mut self, letter: &Letter) -> Option<Answer> {
        let Work::Invoke(invocation, _, Source::Call) = &letter.work else { return None };
        let (key, origin) = (invocation.key.as_ref()?, letter.caller.origin());
        let keyed = Keyed::new(origin, key, &invocation.method, &invocation.payload);
        let kept = self.host.store.result(self.object(), &keyed.key).await.ok()??;
        Some(keyed.repeat(&kept))
    }

    /// What this object has answered already, in short: read once in the life of an instance, whose
    /// commits alone add to it.
    async fn ledger(&mut self) -> Result<&Ledger, CallError> {
        let object = self.object().clone();
        let awake = self.awake.as_mut().expect("a turn has an instance");
        if awake.ledger.is_none() {
            let limit = u32::try_from(ledger::KEYS_MAX).unwrap_or(u32::MAX);
            let read = self.host.store.result_keys(&object, limit).await;
            let (keys, is_whole) = read.map_err(|error| unstored(&error))?;
            let keys = keys.iter().map(|key| (key.origin.as_str(), key.key.as_str()));
            awake.ledger = Some(Ledger::new(keys, is_whole));
        }
        Ok(awake.ledger.get_or_insert_default())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn keyed(method: &str, payload: &[u8]) -> Keyed {
        Keyed::new("A/a".into(), "k", method, payload)
    }

    #[test]
    fn a_repeat_hears_what_was_answered_and_another_call_is_refused() {
        let refused = CallError::application("no", "never", Bytes::from_static(b"7"))
            .about(&"T/a".parse().unwrap());
        for (end, answer) in [
            (TurnEnd::Well(Bytes::new()), Ok(Reply::Payload(Bytes::new()))),
            (TurnEnd::Well("7".into()), Ok(Reply::Payload("7".into()))),
            (TurnEnd::Failure(refused.clone()), Err(refused)),
        ] {
            let kept = keyed("add", b"1").result(&end);
            assert_eq!(keyed("add", b"1").repeat(&kept), answer);
            for other in [keyed("add", b"2"), keyed("ad", b"d1"), keyed("sub", b"1")] {
                assert_eq!(other.repeat(&kept).unwrap_err().kind(), ErrorKind::InvalidArgument);
            }
        }
    }
}
