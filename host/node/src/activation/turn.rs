//! One turn: from the letter to its outcome, through the commit step, to what leaves.

use std::time::Instant;

use bytes::Bytes;
use tracing::Instrument;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, Durability, Effects, ErrorKind, Invocation, Mode,
    Outcome, Reply, TurnEnd,
};
use wasmverse_engine::Turn;

use super::{
    Activation,
    commit::Uncommitted,
    once::{Beginning, Once},
};
use crate::letter::{self, Letter, ReplyTo, Source, Work};

/// A send has so long to be executed once it has left.
const SEND_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

impl Activation {
    /// Runs the turn that a letter asks for.
    pub(super) async fn turn(&mut self, mut letter: Letter) {
        let began = Instant::now();
        let waited = began.saturating_duration_since(letter.arrived);
        self.host.metrics.mailbox_wait.record(waited.as_secs_f64());
        if letter.is_abandoned() {
            self.host.metrics.abandoned.increment(1);
            return;
        }
        if letter.deadline <= began {
            return self.answer(letter.reply, Err(letter::too_late()));
        }
        // A node that was asleep itself may be the owner no more.
        if let Err(error) = self.host.check_owner(self.object()) {
            return self.answer(letter.reply, Err(error));
        }
        let read_only = match self.reads_only(&mut letter.work, &letter.caller) {
            Ok(read_only) => read_only,
            Err(error) => return self.answer(letter.reply, Err(error)),
        };
        let Work::Invoke(invocation, _, source) = letter.work else {
            return self.answer(letter.reply, Ok(Reply::Done));
        };
        let Invocation { method, payload, key, .. } = invocation;
        let asked = (&*method, &payload[..]);
        let beginning = match (&source, &key) {
            (Source::Call, None) => Beginning::Run(Once::No, None),
            _ => Box::pin(self.begin(source, key, &letter.caller, asked, read_only)).await,
        };
        let (once, key) = match beginning {
            Beginning::Run(once, key) => (once, key),
            Beginning::Answered(answer) => return self.answer(letter.reply, answer),
        };
        let turn = Turn {
            id: self.host.turn_id(),
            caller: letter.caller,
            chain: letter.chain,
            deadline: letter.deadline,
            key,
            traceparent: letter.traceparent,
            read_only,
            reminders: once.reminders(),
        };
        let span = tracing::debug_span!(
            "node.call", object = %self.entry.object, method = &*method, turn = %turn.id
        );
        let step = self.invoke(turn, once, (&method, payload), letter.reply, began);
        if span.is_disabled() { step.await } else { step.instrument(span).await }
    }

    /// Whether the turn may only read, by the revision that runs.
    fn reads_only(&self, work: &mut Work, caller: &Caller) -> Result<bool, CallError> {
        let Work::Invoke(invocation, admitted, _) = work else { return Ok(true) };
        let awake = self.awake.as_ref().expect("a turn has an instance");
        let method = match admitted {
            Some(admitted) if admitted.by == awake.revision.number => admitted.method,
            _ => awake.revision.spec().admit(invocation, caller)?,
        };
        Ok(invocation.read_only || method.mode == Mode::ReadOnly)
    }

    async fn invoke(
        &mut self,
        turn: Turn,
        once: Once,
        (method, payload): (&str, Bytes),
        reply: ReplyTo,
        began: Instant,
    ) {
        let (read_only, id) = (turn.read_only, turn.id);
        let before = if read_only { self.state_before().await } else { None };
        if !read_only && self.durability() == Some(Durability::Durable) {
            self.look_before().await;
        }
        let awake = self.awake.as_mut().expect("a turn has an instance");
        let report = awake.instance.handle(turn, method, payload).await;
        let ended = Instant::now();
        let metrics = &self.host.metrics;
        metrics.turn_time.record(ended.saturating_duration_since(began).as_secs_f64());
        if report.log_lines_dropped > 0 {
            metrics.log_lines_dropped.increment(report.log_lines_dropped.into());
        }
        if let Some(before) = before {
            self.report_change(before, id, method).await;
        }
        let mut outcome = Outcome::new(report.end, report.effects, read_only);
        if !matches!(once, Once::No | Once::Unsettled) {
            outcome = outcome.once(report.is_passed_on);
        }
        self.note(&outcome, ended);
        match self.commit(&once, &mut outcome).await {
            Ok(()) => {}
            // Nothing leaves.
            Err(Uncommitted::Repeated) => return self.answer(reply, Ok(Reply::Done)),
            Err(Uncommitted::Failed(error)) => return self.answer(reply, Err(error)),
        }
        let is_own = !report.is_passed_on;
        let Outcome { end, effects, is_once, .. } = outcome;
        wasmverse_failpoint::pass("effects-leave");
        self.let_out(effects);
        wasmverse_failpoint::pass("reply-leaves");
        let is_settled = is_once && matches!(once, Once::Send(_) | Once::Firing(_));
        self.answer(
            reply,
            match end {
                _ if is_settled => Ok(Reply::Done),
                TurnEnd::Well(payload) => Ok(Reply::Payload(payload)),
                // Its own, whatever it says: it would be the same again.
                TurnEnd::Failure(error) if is_own && matches!(once, Once::Unsettled) => {
                    Err(own(error))
                }
                TurnEnd::Failure(error) | TurnEnd::Trap(error) => Err(error),
            },
        );
    }

    /// What the turn changed about the object, before anyone hears of it.
    fn note(&self, outcome: &Outcome, now: Instant) {
        let mut inner = self.entry.lock();
        inner.last_used = now;
        if matches!(outcome.end, TurnEnd::Trap(_)) {
            inner.backoff.trapped(now);
            return;
        }
        if self.durability() == Some(Durability::Durable) {
            // The commit says what it is, and whether all went well.
            return;
        }
        inner.backoff.served();
        if !outcome.dirties() {
            return;
        }
        inner.dirty = true;
        inner.exists |= outcome.completes_a_write();
        let to_be_noted = self.is_periodic() && inner.is_to_be_noted();
        drop(inner);
        if to_be_noted {
            self.host.saver.note(self.entry.clone());
        }
    }

    /// Pushes and sends, in order.
    fn let_out(&self, effects: Effects) {
        self.host.metrics.pushes.increment(effects.pushes.len() as u64);
        for push in effects.pushes {
            let (dropped, gone) = self.host.gates.push(self.object(), &push);
            self.host.metrics.pushes_dropped.increment(dropped as u64);
            self.host.clients_gone(self.object().clone(), gone);
        }
        // Those of a durable object were committed, and are on their way.
        if effects.sends.is_empty() {
            return;
        }
        self.host.metrics.sends.increment(effects.sends.len() as u64);
        let deadline = Instant::now() + SEND_TIMEOUT;
        for send in effects.sends {
            self.host.bring_one_way(Call {
                object: send.to,
                action: Action::Invoke(Invocation {
                    method: send.method,
                    payload: send.payload,
                    key: None,
                    read_only: false,
                }),
                caller: Caller::Object(self.object().clone()),
                // Nobody waits.
                chain: Chain::default(),
                deadline,
                traceparent: None,
            });
        }
    }

    pub(super) fn answer(&self, reply: ReplyTo, answer: letter::Answer) {
        reply.answer(&self.host.metrics, &self.entry.object, answer);
    }
}

/// A failure of a guest's own, as one that no platform has.
fn own(error: CallError) -> CallError {
    match error.kind() {
        ErrorKind::Application => error,
        kind => CallError::application(kind.as_str(), error.message(), Bytes::new()),
    }
}
