//! Objects that are well-made to look at and bad in each of their steps.

use std::time::{Duration, Instant};

use wasmverse_core::{CallError, ErrorKind, State, TurnEnd};
use wasmverse_engine::{Leaving, LogLevel};
use wasmverse_tests::forge::{Forge, LOOP, TRAP};

use crate::stage;

const AGES: Duration = Duration::from_secs(20);

fn forge(change: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::new("Hostile");
    change(&mut forge);
    forge.component()
}

/// The object traps while it wakes.
async fn wakes_badly(bytes: Vec<u8>) -> CallError {
    let stage = stage();
    let component = stage.load(bytes).await.unwrap();
    let began = Instant::now();
    let error = stage.wake(&component, "a", None).await.unwrap_err();
    assert!(began.elapsed() < AGES, "{:?}", began.elapsed());
    error
}

/// Its turn traps, in time.
async fn turns_badly(bytes: Vec<u8>) -> CallError {
    let actor = stage().actor(bytes, "a").await;
    let began = Instant::now();
    let report = actor.turn("run", "payload").await;
    assert!(began.elapsed() < AGES, "{:?}", began.elapsed());
    let TurnEnd::Trap(error) = report.end else { panic!("{:?}", report.end) };
    assert_eq!(error.kind(), ErrorKind::Trapped, "{error}");
    error
}

#[tokio::test]
async fn an_activate_that_traps_loops_or_hoards_wakes_nobody() {
    let hoard = "(drop (memory.grow (i32.const 2000))) unreachable";
    for body in [TRAP, LOOP, hoard] {
        let error = wakes_badly(forge(|f| f.activate = body.into())).await;
        assert_eq!(error.kind(), ErrorKind::Trapped, "{error}");
    }
}

#[tokio::test]
async fn an_activate_that_calls_others_is_denied() {
    let stage = stage();
    let mut forge = Forge::new("Hostile");
    forge.imports = r#"(import "wasmverse:object/objects@0.1.0" "create"
        (func $create (param i32 i32 i32 i32 i32)))"#
        .into();
    // Traps if the answer is not a failure.
    forge.activate = format!(
        "(i32.store8 (i32.const 512) (i32.const 65))
         (call $create (i32.const 512) (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 256))
         (if (i32.eqz (i32.load8_u (i32.const 256))) (then unreachable)) {}",
        forge.activate
    );
    stage.actor(forge.component(), "a").await;
    assert!(stage.calls().is_empty(), "{:?}", stage.calls());
}

#[tokio::test]
async fn a_turn_that_breaks_the_rules_of_memory_traps() {
    let answer = |address: &str, length: &str| {
        format!(
            "(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (i32.const {address}))
             (i32.store (i32.const 72) (i32.const {length})) (i32.const 64)"
        )
    };
    let bodies = [
        answer("0x7fffff00", "16"),
        answer("0", "-1"),
        answer("1048575", "2"),
        "(i32.const 0x7ffffffc)".into(),
        "(i32.const 65)".into(),
        "(i32.store (i32.const 64) (i32.const 7)) (i32.const 64)".into(),
        "(i32.load (i32.const 0x7ffffff0))".into(),
        "(i32.div_u (i32.const 1) (i32.const 0))".into(),
    ];
    for body in bodies {
        turns_badly(forge(|f| f.handle = body)).await;
    }
}

#[tokio::test]
async fn an_allocator_that_lies_loops_or_traps_harms_its_own_object_only() {
    for body in [TRAP, LOOP, "(i32.const -8)", "(i32.const 0x7ffffff8)", "(i32.const 3)"] {
        let stage = stage();
        let component = stage.load(forge(|f| f.allocate = body.into())).await.unwrap();
        let began = Instant::now();
        // The name of the object needs the allocator, already.
        match stage.wake(&component, "a", None).await {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Trapped, "{error}"),
            Ok(actor) => drop(actor.ask("run", "payload").await),
        }
        assert!(began.elapsed() < AGES, "{body}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn words_that_are_no_utf8_trap() {
    let failure = "(i32.store (i32.const 64) (i32.const 1))
        (i32.store (i32.const 68) (i32.const 512)) (i32.store (i32.const 72) (i32.const 1))
        (i32.store8 (i32.const 512) (i32.const 0xff)) (i32.const 64)";
    turns_badly(forge(|f| f.handle = failure.into())).await;
}

#[tokio::test]
async fn a_clean_up_after_the_turn_that_traps_or_loops_is_part_of_the_turn() {
    for body in [TRAP, LOOP] {
        let post = r#"(func (export "cabi_post_wasmverse:object/guest@0.1.0#handle") (param i32)"#;
        turns_badly(forge(|f| f.fields = format!("{post} {body})"))).await;
    }
}

#[tokio::test]
async fn growth_in_a_loop_ends_at_the_limits_and_long_copies_end_in_time() {
    let grow = "(loop $again (drop (memory.grow (i32.const 1))) (br $again)) unreachable";
    turns_badly(forge(|f| f.handle = grow.into())).await;
    let error = turns_badly(forge(|f| {
        f.handle = "(if (i32.lt_s (memory.grow (i32.const 2000)) (i32.const 0)) (then unreachable))
            (i32.const 0)"
            .into();
    }))
    .await;
    assert!(error.message().contains("limits.memory_bytes"), "{error}");
    let error = turns_badly(forge(|f| {
        f.fields = "(table $t 1 funcref)".into();
        f.handle =
            "(if (i32.lt_s (table.grow $t (ref.null func) (i32.const 2000000)) (i32.const 0))
            (then unreachable)) (i32.const 0)"
                .into();
    }))
    .await;
    assert!(error.message().contains("limits.table_elements"), "{error}");
    let copies = "(loop $again
        (memory.copy (i32.const 0) (i32.const 1) (i32.const 60000000)) (br $again)) unreachable";
    turns_badly(forge(|f| {
        f.memory = "1000".into();
        f.handle = copies.into();
    }))
    .await;
}

#[tokio::test]
async fn a_snapshot_that_traps_loops_or_is_too_large_is_an_error_in_time() {
    let large = "(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (i32.const 1))
        (i32.store (i32.const 72) (i32.const 1024)) (i32.store (i32.const 76) (i32.const 4194305))
        (i32.const 64)";
    for body in [TRAP, LOOP, large] {
        let actor = stage()
            .actor(
                forge(|f| {
                    f.memory = "100".into();
                    f.snapshot = body.into();
                }),
                "a",
            )
            .await;
        let began = Instant::now();
        let error = actor.snapshot().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trapped, "{error}");
        assert!(began.elapsed() < AGES);
    }
}

#[tokio::test]
async fn a_farewell_that_traps_or_loops_is_cut_short_and_logged() {
    for body in [TRAP, LOOP] {
        let stage = stage();
        let actor = stage.actor(forge(|f| f.deactivate = body.into()), "a").await;
        let began = Instant::now();
        actor.into_instance(&stage).deactivate(Leaving::Shutdown).await;
        assert!(began.elapsed() < AGES, "{:?}", began.elapsed());
        assert!(stage.lines().iter().any(|line| line.level == LogLevel::Error), "{body}");
    }
}

#[tokio::test]
async fn the_state_that_an_object_is_given_is_its_own_affair() {
    let stage = stage();
    let component = stage.load(Forge::new("Careless").component()).await.unwrap();
    for data in [&b""[..], b"\0\xff", &[7; 100_000]] {
        let state = State { schema: u32::MAX, data: data.to_vec().into() };
        stage.wake(&component, "a", Some(state)).await.unwrap();
    }
}

#[tokio::test]
async fn a_turn_dropped_half_way_leaves_an_instance_that_is_never_entered_again() {
    let actor = stage().actor(wasmverse_tests::guests::MISCHIEF.bytes(), "m").await;
    let turn = actor.turn("wait", "60000");
    tokio::time::timeout(Duration::from_millis(300), turn).await.unwrap_err();
    assert!(actor.is_dead().await);
    assert_eq!(actor.ask("wait", "1").await.unwrap_err().kind(), ErrorKind::Trapped);
}

#[tokio::test]
async fn an_object_that_waits_for_ever_ends_with_its_time() {
    let described = r#"{"type":"Chameleon","limits":{"time_ms":400}}"#;
    let settings = serde_json::json!({
        "describe": serde_json::from_str::<serde_json::Value>(described).unwrap()
    });
    let actor = stage().actor(wasmverse_tests::guests::chameleon(&settings), "a").await;
    let began = Instant::now();
    let error = actor.ask("wait", "60000").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trapped);
    assert!(error.message().contains("limits.time_ms"), "{error}");
    assert!(began.elapsed() < AGES);
}
