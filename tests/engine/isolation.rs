//! A component that looks for files, sockets, environment and arguments finds nothing.

use wasmverse_core::ErrorKind;
use wasmverse_engine::LogLevel;
use wasmverse_tests::guests::PROBER;

use crate::stage;

#[tokio::test]
async fn nothing_of_the_host_is_found() {
    let actor = stage().actor(PROBER.bytes(), "p").await;
    assert_eq!(actor.text("probe", "").await, "[]");
    assert!(!std::path::Path::new("/tmp/escaped").exists());
}

#[tokio::test]
async fn what_is_printed_goes_to_the_log() {
    let stage = stage();
    let actor = stage.actor(PROBER.bytes(), "p").await;
    actor.ask("print", "\"a line\"").await.unwrap();
    let lines: Vec<_> =
        stage.lines().into_iter().filter(|line| line.message.contains("a line")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.object == actor.me && line.turn.is_some()));
    assert!(lines.iter().any(|line| line.level != LogLevel::Error));
}

#[tokio::test]
async fn an_exit_ends_the_instance_and_not_the_host() {
    for code in ["0", "1", "77"] {
        let actor = stage().actor(PROBER.bytes(), "p").await;
        let error = actor.ask("exit", code).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trapped, "{error}");
        assert!(actor.is_dead().await);
    }
}

#[tokio::test]
async fn the_clock_of_the_standard_library_goes() {
    let actor = stage().actor(PROBER.bytes(), "p").await;
    let micros: u64 = actor.text("clock", "").await.parse().unwrap();
    assert!(micros > 1_700_000_000_000_000, "{micros}");
}
