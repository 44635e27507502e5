//! What concerns all objects at once: who has been idle puts itself to sleep, and at the end of
//! the process everyone does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use wasmverse_core::life::Phase;
use wasmverse_engine::Leaving;

use crate::{
    host::{Door, Host},
    saver::gauge,
};

/// Between two looks at all objects, at most and at least.
const PAUSE_MAX: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// While it stops, a node looks so often whether its objects have come to rest.
const STOP_PAUSE: Duration = Duration::from_millis(5);
/// Once all turns have ended or were cut, saving may take so long.
const SAVE_LIMIT: Duration = Duration::from_secs(10);
/// What then still goes on, has so long.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// Looks at all objects again and again: puts the idle to sleep, forgets what nobody needs.
pub(crate) async fn sweep(host: Arc<Host>, end: CancellationToken) {
    let pause = match host.config.idle {
        Duration::ZERO => PAUSE_MAX,
        idle => (idle / 4).clamp(PAUSE_MIN, PAUSE_MAX),
    };
    let pause = pause.min((host.config.gate_window / 2).max(PAUSE_MIN));
    let pausing = async || {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = host.gates.until_replaced() => {}
        }
    };
    while end.run_until_cancelled(pausing()).await.is_some() {
        sweep_once(&host, Instant::now());
    }
}

fn sweep_once(host: &Arc<Host>, now: Instant) {
    for (object, clients) in host.gates.sweep(now, |gate| host.is_gate_no_more(gate)) {
        host.tell_gone(object, clients);
    }
    let idle = host.config.idle;
    let (mut sleepy, mut forgotten, mut known) = (Vec::new(), Vec::new(), 0);
    host.directory.each(|entry, inner| {
        known += 1;
        let unused = now.saturating_duration_since(inner.last_used);
        if !idle.is_zero() && unused >= idle && inner.is_idle(now) {
            sleepy.push(entry.clone());
        } else if !inner.is_worth_keeping(now) {
            forgotten.push(entry.clone());
        }
    });
    for entry in sleepy {
        entry.wish(|inner| {
            if inner.is_idle(now) {
                inner.wanted.leave = Some((Leaving::Idle, None));
            }
        });
    }
    forgotten.iter().for_each(|entry| host.directory.forget(entry));
    let (asleep, bytes) = host.asleep.size();
    host.metrics.objects.set(gauge(known));
    host.metrics.live.set(gauge(host.room.taken()));
    host.metrics.asleep.set(gauge(asleep));
    host.metrics.asleep_bytes.set(gauge(bytes));
    host.metrics.memory_bytes.set(gauge(host.memory.used()));
    host.metrics.queued_bytes.set(gauge(host.queued.used()));
}

/// Stops the node. Whoever comes second waits for the first.
pub(crate) async fn stop(host: &Arc<Host>) {
    let mut stopped = host.stopping.lock().await;
    if std::mem::replace(&mut *stopped, true) {
        return;
    }
    host.close_door(Door::Draining);
    host.background_end.cancel();
    let limit = tokio::time::Instant::now() + host.config.drain;
    let quiet = tokio::time::timeout_at(limit, until_quiet(host)).await.is_ok();
    host.close_door(Door::Closed);
    host.activations.close();
    if !quiet {
        cut(host, |phase| !matches!(phase, Phase::Nothing | Phase::Resting | Phase::Leaving));
    }
    if tokio::time::timeout(SAVE_LIMIT, until_all_left(host)).await.is_err() {
        let unsaved = host.directory.filter(|_, inner| {
            let changed = inner.saving || (inner.dirty && inner.exists);
            inner.phase.is_live() && changed && !inner.runs_volatile()
        });
        host.saver.lose(unsaved.len());
        cut(host, Phase::is_live);
        within_limit("turns that were cut", host.activations.wait()).await;
    }
    host.writer_end.cancel();
    host.background.close();
    within_limit("saves", host.background.wait()).await;
    if let Some(Err(error)) = within_limit("the store", host.store.close()).await {
        tracing::error!(%error, "failed to close the store");
    }
}

/// Waits for something that may never happen: a store can be stuck.
async fn within_limit<T>(what: &str, ending: impl Future<Output = T>) -> Option<T> {
    let ended = tokio::time::timeout(LAST_LIMIT, ending).await.ok();
    if ended.is_none() {
        tracing::error!("{what} did not end in {LAST_LIMIT:?}: the node stops without");
    }
    ended
}

/// Waits until no turn runs and no call waits, and objects know which clients are gone.
async fn until_quiet(host: &Host) {
    loop {
        let mut busy = !host.gone.is_empty();
        host.directory.each(|_, inner| {
            busy |= !inner.mailbox.is_empty()
                || !matches!(inner.phase, Phase::Nothing | Phase::Resting);
        });
        if !busy {
            return;
        }
        tokio::time::sleep(STOP_PAUSE).await;
    }
}

/// Asks everyone to stop until nobody is left: a call that was on its way in when the door closed
/// may still wake one.
async fn until_all_left(host: &Host) {
    loop {
        for entry in host.directory.filter(|_, inner| inner.phase.is_live() && !inner.wanted.stop) {
            entry.wish(|inner| inner.wanted.stop = inner.phase.is_live());
        }
        if host.activations.is_empty() {
            return;
        }
        tokio::time::sleep(STOP_PAUSE).await;
    }
}

/// Ends the tasks of those that did not stop in time: they are as after a trap.
fn cut(host: &Host, late: impl Fn(Phase) -> bool) {
    let late = host.directory.filter(|_, inner| late(inner.phase));
    tracing::warn!(objects = late.len(), "cutting what did not end in time");
    for entry in late {
        let task = entry.lock().task.clone();
        if let Some(task) = task {
            task.abort();
        }
    }
}
