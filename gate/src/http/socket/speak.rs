//! What a client is told over its WebSocket.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, stream::SplitSink};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use super::{
    End,
    frame::{self, Answer},
};
use crate::{
    budget::Share,
    call::Desk,
    seat::Seat,
    sessions::{Said, Talk, Told},
};

/// A peer that left so many pings unanswered is gone at the next.
const UNANSWERED_MAX: u32 = 2;
/// What is gathered before it is written out, in bytes.
const BATCH_BYTES: usize = 32 << 10;

/// The side that speaks.
pub(super) struct Mouth<'a> {
    desk: &'a Desk,
    seat: &'a Seat,
    sink: &'a mut SplitSink<WebSocket, Message>,
    /// What is not written out yet, and counts as held.
    held: Vec<Share>,
    bytes: usize,
}

/// What comes next.
enum Next {
    Said(Option<Said>),
    Answer(Option<Answer>),
    Ping,
}

impl<'a> Mouth<'a> {
    pub(super) fn new(
        desk: &'a Arc<Desk>,
        seat: &'a Seat,
        sink: &'a mut SplitSink<WebSocket, Message>,
    ) -> Self {
        Self { desk, seat, sink, held: Vec::new(), bytes: 0 }
    }

    /// Speaks until the session is taken over, the gate ends, or nobody listens.
    pub(super) async fn speak(
        mut self,
        mut talk: Talk,
        mut outbox: mpsc::Receiver<Answer>,
        unanswered: &AtomicU32,
    ) -> End {
        let mut pings = pings(self.desk.sessions.bounds.heartbeat);
        let mut ending = false;
        // First of all it is told who it is.
        let mut ready = talk.next().now_or_never();
        loop {
            let next = match ready.take() {
                Some(said) => Next::Said(said),
                None => tokio::select! {
                    said = talk.next(), if !ending => Next::Said(said),
                    answer = outbox.recv() => Next::Answer(answer),
                    _ = pings.tick() => Next::Ping,
                },
            };
            let spoken = match next {
                // What was asked before is still answered, as everywhere when a gate ends.
                Next::Said(Some(Said::Ending)) => {
                    ending = true;
                    true
                }
                Next::Said(Some(Said::Replaced) | None) => return End::REPLACED,
                Next::Said(Some(said)) => self.tell(&talk, said).await,
                Next::Answer(Some(answer)) => self.say(answer.written()).await,
                Next::Answer(None) => return End::AWAY,
                Next::Ping if unanswered.fetch_add(1, Relaxed) >= UNANSWERED_MAX => false,
                // Pages see no pings.
                Next::Ping => {
                    self.say(frame::heartbeat(talk.attached().told())).await
                        && self.send(Message::Ping(Bytes::new())).await
                }
            };
            if !spoken {
                return End::Gone;
            }
            // What is there already is written at once.
            if !ending && self.bytes < BATCH_BYTES {
                ready = talk.next().now_or_never();
            }
            if ready.is_none() && !self.flush().await {
                return End::Gone;
            }
        }
    }

    async fn tell(&mut self, talk: &Talk, said: Said) -> bool {
        let text = match said {
            Said::Opened { client, seq } => {
                frame::session(&client, talk.attached().token.expose(), seq)
            }
            Said::Told(Told::Push { seq, event }) => frame::push(seq, &event),
            Said::Told(Told::Gap { seq, missed }) => frame::gap(seq, missed),
            // Pings have their own clock: they find out who is gone also among pushes.
            Said::Heartbeat(_) | Said::Replaced | Said::Ending => return true,
        };
        self.say(text).await
    }

    /// `false`: the client is gone, or reads nothing.
    async fn say(&mut self, text: String) -> bool {
        self.bytes += text.len();
        self.held.push(self.desk.budget.count(text.len()));
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> bool {
        patiently(self.seat, self.sink.feed(message)).await
    }

    async fn flush(&mut self) -> bool {
        let flushed = patiently(self.seat, self.sink.flush()).await;
        self.held.clear();
        self.bytes = 0;
        flushed
    }
}

fn pings(every: Duration) -> Interval {
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// Waits for a client as long as it reads at all.
async fn patiently(seat: &Seat, work: impl Future<Output = Result<(), axum::Error>>) -> bool {
    let mut work = pin!(work);
    let mut before = seat.written();
    loop {
        if let Ok(done) = timeout(seat.write_timeout, &mut work).await {
            return done.is_ok();
        }
        let now = seat.written();
        if now == before {
            return false;
        }
        before = now;
    }
}
