//! Small requests that would cost the host much: what a guest may make the host do is bounded.

use std::time::{Duration, Instant};

use wasmverse_core::TurnEnd;
use wasmverse_tests::{forge::Forge, stage::Stage};

use crate::{neighbours::resident_bytes, stage};

const AGES: Duration = Duration::from_secs(20);
/// What the host may hold on behalf of one turn, beyond the guest's own memory, for a short while.
const HOST_BYTES_MAX: usize = 512 << 20;

/// A component whose turn runs `body`, with 60 MiB of memory and that import.
fn bomb(import: &str, body: &str) -> Vec<u8> {
    let mut forge = Forge::new("Bomb");
    forge.imports = import.into();
    forge.memory = "960".into();
    forge.handle = format!("(local $at i32) {body}");
    forge.component()
}

/// Runs the turn; whatever comes of it, the host stays small and goes on.
async fn goes_off(bytes: Vec<u8>) -> (Stage, TurnEnd) {
    let stage = stage();
    let actor = stage.actor(bytes, "a").await;
    let before = resident_bytes();
    let began = Instant::now();
    let watch = tokio::task::spawn_blocking(move || {
        let mut most = 0;
        while began.elapsed() < Duration::from_millis(500) {
            most = most.max(resident_bytes());
            std::thread::yield_now();
        }
        most
    });
    let report = actor.turn("run", "payload").await;
    assert!(began.elapsed() < AGES, "{:?}", began.elapsed());
    let grown = watch.await.unwrap().saturating_sub(before);
    assert!(grown < HOST_BYTES_MAX, "the host grew by {} MiB", grown >> 20);
    (stage, report.end)
}

/// Writes `count` records of `size` bytes from 1 MiB on; `fields` writes one at `$at`.
fn records(count: u32, size: u32, fields: &str) -> String {
    format!(
        "(local.set $at (i32.const 1048576))
         (loop $next {fields}
           (local.set $at (i32.add (local.get $at) (i32.const {size})))
           (br_if $next (i32.lt_u (local.get $at) (i32.const {end}))))",
        end = (1 << 20) + count * size
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_with_one_large_payload() {
    let import = r#"(import "wasmverse:object/objects@0.1.0" "call-many"
        (func $call_many (param i32 i32 i32)))"#;
    // type `A`, id `A`, method `A`, a payload of 32 MiB: each a pointer and a length.
    let fields = "(i32.store offset=0 (local.get $at) (i32.const 512))
        (i32.store offset=4 (local.get $at) (i32.const 1))
        (i32.store offset=8 (local.get $at) (i32.const 512))
        (i32.store offset=12 (local.get $at) (i32.const 1))
        (i32.store offset=16 (local.get $at) (i32.const 512))
        (i32.store offset=20 (local.get $at) (i32.const 1))
        (i32.store offset=24 (local.get $at) (i32.const 1048576))
        (i32.store offset=28 (local.get $at) (i32.const 33554432))";
    for count in [8, 1_000, 400_000] {
        let body = format!(
            "(i32.store8 (i32.const 512) (i32.const 65)) {}
             (call $call_many (i32.const 1048576) (i32.const {count}) (i32.const 256))
             (i32.store (i32.const 64) (i32.const 0)) (i64.store (i32.const 68) (i64.const 0))
             (i32.const 64)",
            records(count, 40, fields)
        );
        goes_off(bomb(import, &body)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_with_many_large_fields() {
    let import = r#"(import "wasmverse:object/log@0.1.0" "write"
        (func $write (param i32 i32 i32 i32 i32 i32)))"#;
    let fields = "(i32.store offset=0 (local.get $at) (i32.const 1048576))
        (i32.store offset=4 (local.get $at) (i32.const 16777216))
        (i32.store offset=8 (local.get $at) (i32.const 1048576))
        (i32.store offset=12 (local.get $at) (i32.const 16777216))";
    for count in [8, 100_000] {
        let body = format!(
            "{} (call $write (i32.const 512) (i32.const 0) (i32.const 512) (i32.const 0)
               (i32.const 1048576) (i32.const {count}))
             (i32.store (i32.const 64) (i32.const 0)) (i64.store (i32.const 68) (i64.const 0))
             (i32.const 64)",
            records(count, 16, fields)
        );
        let (stage, _) = goes_off(bomb(import, &body)).await;
        let lines = stage.lines();
        let kept: usize = lines
            .iter()
            .flat_map(|line| &line.fields)
            .map(|(name, value)| name.len() + value.len())
            .sum();
        assert!(kept < 1 << 20, "{kept} bytes of fields were kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_many_clients_with_long_names() {
    let import = r#"(import "wasmverse:object/clients@0.1.0" "push"
        (func $push (param i32 i32 i32 i32 i32 i32 i32)))"#;
    let fields = "(i32.store offset=0 (local.get $at) (i32.const 1048576))
        (i32.store offset=4 (local.get $at) (i32.const 4194304))";
    let body = format!(
        "{} (call $push (i32.const 1048576) (i32.const 1000000) (i32.const 512) (i32.const 0)
           (i32.const 512) (i32.const 0) (i32.const 256))
         (i32.store (i32.const 64) (i32.const 0)) (i64.store (i32.const 68) (i64.const 0))
         (i32.const 64)",
        records(1_000_000, 8, fields)
    );
    goes_off(bomb(import, &body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_the_largest_payload_until_something_gives() {
    let import = r#"(import "wasmverse:object/clients@0.1.0" "broadcast"
        (func $broadcast (param i32 i32 i32 i32 i32)))"#;
    // 4 MiB at once, as often as the host lets it.
    let body = "(loop $again
        (call $broadcast (i32.const 512) (i32.const 0) (i32.const 1048576) (i32.const 4194304)
          (i32.const 256))
        (br_if $again (i32.eqz (i32.load8_u (i32.const 256)))))
        unreachable";
    goes_off(bomb(import, body)).await;
}
