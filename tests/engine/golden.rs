//! The golden components, alone: whatever becomes of the contract, these go on running.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmverse_core::{Durability, Encoding, ErrorKind, Mode, State, TurnEnd};
use wasmverse_engine::{Leaving, LogLevel};
use wasmverse_tests::guests::GOLDEN;

use crate::stage;

#[tokio::test]
async fn each_says_what_it_is() {
    let stage = stage();
    for (type_name, guest) in GOLDEN {
        let component = stage.load(guest.bytes()).await.unwrap();
        let spec = component.spec();
        assert_eq!(spec.type_name.as_str(), type_name);
        assert_eq!(spec.encoding, Encoding::Bytes);
        assert_eq!(spec.schema, 1);
        let periodic = type_name == "GoldenRust";
        let durability = if periodic { Durability::Periodic } else { Durability::Volatile };
        assert_eq!(spec.durability, durability);
        assert_eq!(spec.methods["value"].mode, Mode::ReadOnly);
        assert_eq!(spec.methods["add"].mode, Mode::Write);
        assert_eq!(spec.methods.len(), 23);
    }
}

#[tokio::test]
async fn each_counts_and_takes_its_state_to_the_next_instance() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let component = stage.load(guest.bytes()).await.unwrap();
        let actor = stage.wake(&component, "a", None).await.unwrap();
        assert_eq!(actor.text("value", "").await, "0");
        assert_eq!(actor.text("add", "40").await, "40");
        assert_eq!(actor.text("add", "-42").await, "-2");
        let state = actor.snapshot().await.unwrap();
        assert_eq!(state, State { schema: 1, data: "-2".into() });
        let next = stage.wake(&component, "a", Some(state)).await.unwrap();
        assert_eq!(next.text("add", "3").await, "1");
        assert_eq!(next.text("me", "").await, next.me.to_string());
    }
}

#[tokio::test]
async fn each_refuses_a_state_of_another_schema() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let component = stage.load(guest.bytes()).await.unwrap();
        let state = State { schema: 2, data: "1".into() };
        let error = stage.wake(&component, "a", Some(state)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Application, "unknown-schema"));
    }
}

#[tokio::test]
async fn payloads_of_all_sizes_come_back_as_they_were() {
    let stage = stage();
    for (type_name, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        for length in [0, 1, 4096, 65_537, 1 << 20] {
            let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
            let answer = actor.ask("echo", payload.clone()).await.unwrap();
            assert!(answer == payload, "{type_name}: {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_failure_comes_with_code_words_and_details_and_the_object_serves_on() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let report = actor.turn("fail", "seven").await;
        let TurnEnd::Failure(error) = report.end else { panic!("{:?}", report.end) };
        assert_eq!((error.kind(), error.code()), (ErrorKind::Application, "out-of-stock"));
        assert_eq!(error.message(), "the shelf is empty");
        assert_eq!(&error.details()[..], b"seven");
        assert_eq!(error.retry_after_hint().unwrap().as_millis(), 250);
        assert!(error.attributes().contains(&("shelf".into(), "7".into())));
        assert_eq!(error.object(), Some(&actor.me));
        let error = actor.ask("add", "seven").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(actor.text("add", "1").await, "1");
    }
}

#[tokio::test]
async fn nothing_that_a_guest_answers_poses_as_the_platform() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        for kind in ErrorKind::ALL {
            let error = actor.ask("pretend", kind.as_str()).await.unwrap_err();
            let heard = match kind {
                ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
                _ => ErrorKind::Application,
            };
            assert_eq!(error.kind(), heard, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_crash_ends_the_instance_for_good() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let report = actor.turn("crash", "").await;
        let TurnEnd::Trap(error) = report.end else { panic!("{:?}", report.end) };
        assert_eq!(error.kind(), ErrorKind::Trapped);
        assert!(actor.is_dead().await);
        assert_eq!(actor.ask("value", "").await.unwrap_err().kind(), ErrorKind::Trapped);
        assert_eq!(actor.snapshot().await.unwrap_err().kind(), ErrorKind::Trapped);
    }
}

#[tokio::test]
async fn lines_of_the_log_carry_level_and_fields_also_in_leaving() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        actor.ask("note", "it rains").await.unwrap();
        let me = actor.me.clone();
        actor.into_instance(&stage).deactivate(Leaving::Idle).await;
        let lines: Vec<_> = stage.lines().into_iter().filter(|line| line.object == me).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((lines[0].level, &lines[0].message[..]), (LogLevel::Warn, "it rains"));
        assert_eq!(lines[0].fields, [("from".to_owned(), "golden".to_owned())]);
        assert!(lines[0].turn.is_some());
        assert_eq!((lines[1].level, &lines[1].message[..]), (LogLevel::Info, "leaving: idle"));
        assert!(lines[1].turn.is_none());
    }
}

#[tokio::test]
async fn the_clock_goes_and_random_bytes_differ() {
    let stage = stage();
    let micros = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let (before, now) = (micros(), actor.text("now", "").await);
        assert!((before..=micros()).contains(&now.parse().unwrap()), "{now}");
        let (one, two) = (actor.ask("random", "32").await, actor.ask("random", "32").await);
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.len(), two.len()), (32, 32));
        assert_ne!(one, two);
        assert_eq!(actor.ask("random", "0").await.unwrap().len(), 0);
        assert_eq!(actor.ask("random", "65536").await.unwrap().len(), 65_536);
        let error = actor.ask("random", "65537").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trapped);
    }
}

#[tokio::test]
async fn storage_is_for_durable_types_and_reminders_for_all_but_volatile_ones() {
    let stage = stage();
    for (type_name, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        assert_eq!(actor.text("storage", "").await, "denied denied denied denied");
        let periodic = type_name == "GoldenRust";
        let reminders = if periodic { "ok ok ok" } else { "denied denied denied" };
        assert_eq!(actor.text("reminders", "").await, reminders);
    }
}
