//! What one object does, its neighbours and the host do not notice: not in their turns, not in
//! memory.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use wasmverse_core::ErrorKind;
use wasmverse_tests::guests::{ECHO, MISCHIEF};

use crate::stage;

/// What this process holds in memory now.
pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_a_neighbour_end_while_objects_spin_on_every_core() {
    let stage = stage();
    let hogs = stage.load(MISCHIEF.bytes()).await.unwrap();
    let neighbour = stage.actor(ECHO.bytes(), "quiet").await;
    let spinning = AtomicUsize::new(3);
    let spin = async |id: &str| {
        let hog = stage.wake(&hogs, id, None).await.unwrap();
        let error = hog.ask("spin", "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trapped);
        spinning.fetch_sub(1, Ordering::Relaxed);
    };
    let quiet = async {
        let (mut turns, mut slowest) = (0, Duration::ZERO);
        while spinning.load(Ordering::Relaxed) > 0 {
            let began = Instant::now();
            assert_eq!(neighbour.text("echo", "1").await, "1");
            slowest = slowest.max(began.elapsed());
            turns += 1;
            tokio::task::yield_now().await;
        }
        println!("{turns} turns, the slowest took {slowest:?}");
        assert!(turns > 30, "only {turns} turns in the time of three hogs");
    };
    tokio::join!(spin("hog-1"), spin("hog-2"), spin("hog-3"), quiet);
}

#[tokio::test]
async fn memory_comes_back_after_a_thousand_traps() {
    let stage = stage();
    let component = stage.load(MISCHIEF.bytes()).await.unwrap();
    let mut after_some = 0;
    for round in 0..1_000 {
        let actor = stage.wake(&component, "m", None).await.unwrap();
        // Each leaves some of its memory touched.
        actor.ask("allocate", "2000000").await.unwrap();
        actor.ask("trap", "").await.unwrap_err();
        if round == 100 {
            after_some = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(after_some);
    // Nine hundred leaked instances would hold 1.8 GB.
    assert!(grown < 128 << 20, "the host grew by {} MiB", grown >> 20);
}

#[tokio::test]
async fn components_that_are_loaded_and_dropped_leave_nothing_behind() {
    let stage = stage();
    let mut after_some = 0;
    for round in 0..60 {
        let component = stage.load(ECHO.bytes()).await.unwrap();
        stage.wake(&component, "a", None).await.unwrap();
        if round == 20 {
            after_some = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(after_some);
    assert!(grown < 64 << 20, "the host grew by {} MiB", grown >> 20);
}

#[tokio::test]
async fn one_trap_leaves_other_instances_of_the_type_alone() {
    let stage = stage();
    let component = stage.load(MISCHIEF.bytes()).await.unwrap();
    let one = stage.wake(&component, "one", None).await.unwrap();
    let two = stage.wake(&component, "two", None).await.unwrap();
    one.ask("trap", "").await.unwrap_err();
    assert!(one.is_dead().await && !two.is_dead().await);
    two.ask("wait", "1").await.unwrap();
}
