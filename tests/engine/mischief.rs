//! Every limit bites, in time, and says its name.

use std::time::{Duration, Instant};

use wasmverse_core::{CallError, ErrorKind, TurnEnd};
use wasmverse_tests::{guests::MISCHIEF, stage::Actor};

use crate::stage;

/// Far beyond any limit, for a slow machine.
const AGES: Duration = Duration::from_secs(20);

/// The method must trap in time, in words that name the limit.
async fn traps(method: &str, argument: &str, words: &[&str]) -> CallError {
    let stage = stage();
    let actor = stage.actor(MISCHIEF.bytes(), "m").await;
    let began = Instant::now();
    let report = actor.turn(method, argument.to_owned()).await;
    let TurnEnd::Trap(error) = report.end else { panic!("{method}: {:?}", report.end) };
    assert!(began.elapsed() < AGES, "{method} took {:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Trapped);
    for word in words {
        assert!(error.message().contains(word), "{method}: no `{word}` in: {error}");
    }
    assert!(actor.is_dead().await);
    error
}

async fn actor() -> Actor {
    stage().actor(MISCHIEF.bytes(), "m").await
}

#[tokio::test]
async fn a_loop_ends_with_its_cpu_time() {
    traps("spin", "", &["CPU", "1s", "limits.cpu_ms"]).await;
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    traps("allocate", "1000000000", &["memory", "67108864", "limits.memory_bytes"]).await;
    let actor = actor().await;
    actor.ask("allocate", "10000000").await.unwrap();
}

#[tokio::test]
async fn recursion_ends_with_its_stack() {
    traps("recurse", "", &[]).await;
}

#[tokio::test]
async fn a_panic_is_in_the_log_in_its_own_words() {
    let stage = stage();
    let actor = stage.actor(MISCHIEF.bytes(), "m").await;
    assert_eq!(actor.ask("trap", "").await.unwrap_err().kind(), ErrorKind::Trapped);
    let told = stage.lines().iter().any(|line| line.message.contains("mischief managed"));
    assert!(told, "{:?}", stage.lines());
}

#[tokio::test]
async fn a_result_ends_at_its_limit() {
    traps("huge_reply", "5000000", &["5000002", "4194304", "limits.payload_bytes"]).await;
    traps("huge_reply", "100000000", &[]).await;
    let answer = actor().await.ask("huge_reply", "4000000").await.unwrap();
    assert_eq!(answer.len(), 4_000_002);
}

#[tokio::test]
async fn host_calls_end_at_their_limit() {
    traps("call_storm", "1000000000", &["10000 host calls", "limits.host_calls"]).await;
    traps("push_storm", "1000000000", &["10000 host calls", "limits.host_calls"]).await;
    actor().await.ask("call_storm", "1000").await.unwrap();
}

#[tokio::test]
async fn a_flood_of_lines_is_dropped_and_counted_and_the_turn_ends_well() {
    let stage = stage();
    let actor = stage.actor(MISCHIEF.bytes(), "m").await;
    let report = actor.turn("log_flood", "20000").await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{:?}", report.end);
    let kept = stage.lines().iter().filter(|line| line.message.contains("of a flood")).count();
    let bytes: usize = stage.lines().iter().map(|line| line.message.len()).sum();
    assert!(bytes <= 70 << 10, "{bytes} bytes were kept");
    assert!(kept > 100, "only {kept} lines were kept");
    assert_eq!(kept + usize::try_from(report.log_lines_dropped).unwrap(), 20_000);
    assert!(stage.lines().iter().any(|line| line.message.contains("dropped")));
    actor.ask("log_flood", "1").await.unwrap();
}

#[tokio::test]
async fn a_call_of_itself_is_a_cycle_and_no_trap() {
    let actor = actor().await;
    let report = actor.turn("call_myself", "").await;
    let TurnEnd::Failure(error) = report.end else { panic!("{:?}", report.end) };
    assert_eq!(error.kind(), ErrorKind::Cycle);
    assert!(error.message().contains("Mischief/m → Mischief/m"), "{error}");
}

#[tokio::test]
async fn waiting_costs_no_cpu_time() {
    let actor = actor().await;
    let began = Instant::now();
    let report = actor.turn("wait", "1500").await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{:?}", report.end);
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert!(report.cpu < Duration::from_millis(500), "{:?}", report.cpu);
}

#[tokio::test]
async fn a_read_only_method_that_sends_is_denied() {
    let error = actor().await.ask("write_in_read_only", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
