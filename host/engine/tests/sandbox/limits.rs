//! Every limit bites, and says its name, its value and how to raise it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmverse_core::{ErrorKind, TurnEnd};

use crate::{
    guest::Guest,
    world::{Bench, failure, invoke, result, trap, turn},
};

/// A turn of a type with these limits traps, and the message holds these words.
async fn check(limits: &str, method: &str, number: u32, expected: &[&str]) {
    let bench = Bench::of(Guest::limited(limits)).await;
    let report = bench.invoke(method, &number.to_le_bytes()).await;
    let error = trap(&report);
    assert_eq!(error.kind(), ErrorKind::Trapped, "{error}");
    for words in expected {
        assert!(error.message().contains(words), "`{words}` is not in: {error}");
    }
    // Others of the type do not notice.
    assert_eq!(result(&bench.invoke("echo", b"x").await), b"x");
}

#[tokio::test]
async fn cpu_time() {
    let began = Instant::now();
    check(r#""cpu_ms": 50"#, "spin", 0, &["50ms", "`limits.cpu_ms`"]).await;
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn time_in_all() {
    let bench = Bench::of(Guest::limited(r#""time_ms": 40"#)).await;
    let report = bench.invoke("call", b"never").await;
    let error = trap(&report);
    assert!(error.message().contains("40ms"), "{error}");
    assert!(error.message().contains("`limits.time_ms`"), "{error}");
}

#[tokio::test]
async fn waiting_costs_no_cpu_time() {
    let bench = Bench::of(Guest::limited(r#""cpu_ms": 50"#)).await;
    let mut object = bench.object().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(150) {
        let report = invoke(&mut object, "call", b"soon").await;
        assert_eq!(result(&report), b"soon");
        assert!(report.cpu < Duration::from_millis(15), "{:?}", report.cpu);
    }
}

#[tokio::test]
async fn memory() {
    check(r#""memory_bytes": 1000000"#, "allocate", 2 << 20, &["1000000", "`limits.memory_bytes`"])
        .await;
    check("", "allocate", 65 << 20, &["67108864", "`limits.memory_bytes`"]).await;
    let report = Bench::new().await.invoke("allocate", &(60_u32 << 20).to_le_bytes()).await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
}

#[tokio::test]
async fn the_stack() {
    check("", "recurse", 0, &["stack", "524288"]).await;
}

#[tokio::test]
async fn host_calls() {
    check(r#""host_calls": 100"#, "now", 101, &["100 host calls", "`limits.host_calls`"]).await;
    check(r#""host_calls": 100"#, "many", 101, &["100 host calls", "`limits.host_calls`"]).await;
    let bench = Bench::of(Guest::limited(r#""host_calls": 100"#)).await;
    let report = bench.invoke("now", &100_u32.to_le_bytes()).await;
    assert_eq!(report.host_calls, 100);
    assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
}

#[tokio::test]
async fn the_payload_of_a_result() {
    let limits = r#""payload_bytes": 1000"#;
    check(limits, "huge", 1001, &["1001 bytes of at most 1000", "`limits.payload_bytes`"]).await;
    check(limits, "huge", 2 << 20, &["`limits.payload_bytes`"]).await;
    let bench = Bench::of(Guest::limited(limits)).await;
    assert_eq!(result(&bench.invoke("huge", &1000_u32.to_le_bytes()).await).len(), 1000);
}

#[tokio::test]
async fn the_payload_of_a_call_and_of_its_result() {
    let bench = Bench::of(Guest::limited(r#""payload_bytes": 10"#)).await;
    let report = bench.invoke("call", b"a long argument").await;
    assert_eq!(failure(&report).kind(), ErrorKind::InvalidArgument);
    assert!(failure(&report).message().contains("limits.payload_bytes"), "{report:?}");
    assert!(bench.world.calls.lock().is_empty());
    let report = bench.invoke("call", b"large").await;
    assert_eq!(failure(&report).kind(), ErrorKind::Trapped);
    assert!(failure(&report).may_have_executed());
}

#[tokio::test]
async fn the_payload_of_a_snapshot() {
    let bench = Bench::of(Guest::limited(r#""payload_bytes": 10"#)).await;
    let mut instance = bench.instance().await;
    let data = Bytes::from_static(b"more than ten bytes");
    instance.activate(Some(wasmverse_core::State { schema: 1, data })).await.unwrap();
    let error = instance.snapshot().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trapped);
    assert!(error.message().contains("state has 19 bytes of at most 10"), "{error}");
    assert!(instance.is_dead());
}

#[tokio::test]
async fn the_log_is_cut_and_counted_and_the_turn_ends_well() {
    let bench = Bench::of(Guest::limited(r#""log_bytes": 30"#)).await;
    let report = bench.invoke("log", &25_u32.to_le_bytes()).await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
    assert_eq!(report.log_lines_dropped, 15);
    let messages = bench.messages();
    assert_eq!(messages.len(), 11);
    assert!(messages[10].contains("15 log lines dropped"), "{}", messages[10]);
    assert!(messages[10].contains("`limits.log_bytes`"), "{}", messages[10]);
}

#[tokio::test]
async fn random_bytes_at_once() {
    check("", "x", 65_537, &["65537", "65536"]).await;
    let bench = Bench::new().await;
    let report = bench.invoke("x", &65_536_u32.to_le_bytes()).await;
    assert_eq!(result(&report).len(), 65_536);
    assert!(result(&report).iter().any(|byte| *byte != 0));
}

#[tokio::test]
async fn a_limit_of_one_turn_starts_anew_with_the_next() {
    let bench = Bench::of(Guest::limited(r#""host_calls": 100"#)).await;
    let mut object = bench.object().await;
    for _ in 0..5 {
        let payload = Bytes::copy_from_slice(&60_u32.to_le_bytes());
        let report = object.handle(turn(), "now", payload).await;
        assert_eq!(report.host_calls, 60);
    }
}
