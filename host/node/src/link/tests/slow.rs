//! A peer that reads slowly, and one that takes back what it asked.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio_stream::iter;
use wasmverse_core::ShardCount;
use wasmverse_proto::{
    PROTOCOL,
    convert::call_to_frame,
    node::{CancelFrame, Frame, Frames, Hello, frame::Frame as Kind},
};

use super::{callee::Fake, running::call};
use crate::link::{Bounds, Ending, Identity, Links};

fn links(fake: &Fake, bounds: Bounds) -> Links {
    let identity = Identity {
        id: "n1".into(),
        incarnation: "1".into(),
        cluster: "c".into(),
        shards: ShardCount::default(),
    };
    let callee = Arc::new(fake.clone());
    Links::new(
        callee,
        (fake.gates.clone(), None),
        identity,
        bounds,
        Ending::default(),
        metrics::Gauge::noop(),
    )
}

fn hello() -> Kind {
    Kind::Hello(Hello { protocol: PROTOCOL, shards: 8192, ..Hello::default() })
}

fn asked(id: u64, method: &str, payload: &str) -> Kind {
    let now = std::time::Instant::now();
    Kind::Call(call_to_frame(id, 0, call("a", method, payload.to_owned()), now))
}

fn batch(frames: impl IntoIterator<Item = Kind>) -> Frames {
    Frames { frames: frames.into_iter().map(|frame| Frame { frame: Some(frame) }).collect() }
}

#[tokio::test]
async fn a_peer_that_reads_slowly_piles_up_no_answers() {
    let fake = Fake::new();
    let bounds = Bounds { answers_bytes_max: 4 << 20, ..Bounds::default() };
    let calls = (0..).map(|n| batch((0..64).map(|m| asked(n * 64 + m, "big", "1048576"))));
    let inbound = iter(std::iter::once(batch([hello()])).chain(calls).map(Ok));
    let mut link = links(&fake, bounds).accept(inbound);
    for _ in 0..20 {
        link.next().await.unwrap().unwrap();
    }
    let taken = fake.seen.lock().len();
    assert!(taken <= 600, "{taken} calls were taken in, and nobody reads their answers");
}

#[tokio::test]
async fn small_answers_hold_up_no_calls() {
    let fake = Fake::new();
    let calls = (0..50).map(|n| batch((0..256).map(|m| asked(n * 256 + m, "echo", "x"))));
    let inbound = iter(std::iter::once(batch([hello()])).chain(calls).map(Ok));
    let link = links(&fake, Bounds::default()).accept(inbound);
    let answers = link.map(|batch| batch.unwrap().frames.len()).collect::<Vec<_>>().await;
    assert_eq!((answers.iter().sum::<usize>(), fake.seen.lock().len()), (12_801, 12_800));
}

/// Each of these would look at all calls under way, if taking back one took more than that one.
#[tokio::test]
async fn calls_are_taken_back_one_by_one_however_many_are_under_way() {
    const CALLS: u64 = 16_000;
    let fake = Fake::new();
    let calls = std::iter::once(batch((0..CALLS).map(|id| asked(id, "gated", ""))));
    let cancels = (0..CALLS).map(|id| batch([Kind::Cancel(CancelFrame { id })]));
    let inbound = std::iter::once(batch([hello()])).chain(calls).chain(cancels);
    let link = links(&fake, Bounds::default()).accept(iter(inbound.map(Ok)));
    let ended = tokio::time::timeout(Duration::from_secs(10), link.count()).await;
    assert_eq!(ended, Ok(1), "nothing but a hello, and in time");
    fake.dropped(usize::try_from(CALLS).unwrap()).await;
}
