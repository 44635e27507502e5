//! Read-only turns that change something after all: reported where somebody develops.

use std::sync::atomic::Ordering;

use wasmverse_engine::{LogLevel, LogLine, TurnId};
use wasmverse_store::StateDigest;

use super::{Activation, Awake};
use crate::saver::now_micros;

impl Activation {
    /// What the object's state is before a read-only turn, if such turns are looked at. One that has
    /// no snapshot now is not looked at.
    pub(super) async fn state_before(&mut self) -> Option<StateDigest> {
        if !self.host.config.check_read_only {
            return None;
        }
        self.state_now().await
    }

    /// Says in the object's log that a read-only turn changed its state.
    pub(super) async fn report_change(&mut self, before: StateDigest, turn: TurnId, method: &str) {
        let Some(after) = self.state_now().await.filter(|after| *after != before) else { return };
        self.host.metrics.reads_that_changed.increment(1);
        tracing::debug!(object = %self.object(), method, ?before, ?after, "a read-only turn wrote");
        self.host.logs.write(LogLine {
            object: self.object().clone(),
            turn: Some(turn),
            level: LogLevel::Warn,
            message: format!(
                "`{method}` is read-only and changed the object's state: what it changed is not \
                 kept, or is kept by chance; take `read-only` from the method, or the change"
            ),
            fields: Vec::new(),
            at_micros: now_micros(),
        });
    }

    async fn state_now(&mut self) -> Option<StateDigest> {
        let Awake { instance, revision, .. } = self.awake.as_mut()?;
        if instance.is_dead() || revision.spared.load(Ordering::Relaxed) {
            return None;
        }
        let state = instance.snapshot().await;
        if instance.is_dead() {
            revision.spared.store(true, Ordering::Relaxed);
        }
        state.ok().map(|state| StateDigest::of(&state))
    }
}
