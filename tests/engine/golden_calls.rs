//! The golden components among others: calls, effects, and what they learn of the turn.

use std::time::{Duration, Instant};

use wasmverse_core::{Action, Caller, ErrorKind, PushTo, TurnEnd};
use wasmverse_tests::guests::GOLDEN;

use crate::stage;

#[tokio::test]
async fn a_call_brings_what_the_other_answered() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        assert_eq!(actor.text("relay", "Script/x echo hello there").await, "hello there");
        let call = stage.calls().pop().unwrap();
        assert_eq!(call.object.to_string(), "Script/x");
        assert_eq!(call.caller, Caller::Object(actor.me.clone()));
        assert_eq!(call.chain.objects(), [&actor.me]);
    }
}

#[tokio::test]
async fn a_failure_of_the_platform_may_be_passed_on_as_what_it_was() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        for kind in ErrorKind::ALL {
            let error = actor.ask("relay", format!("Script/x {kind} z")).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            let application = kind == ErrorKind::Application;
            assert_eq!(error.code(), if application { "scripted" } else { "" });
            assert_eq!(error.may_have_executed(), !application, "{kind}");
            assert_eq!(&error.details()[..], if application { &b"z"[..] } else { b"" });
        }
    }
}

#[tokio::test]
async fn the_three_call_each_other_and_a_cycle_is_found() {
    let stage = stage();
    let mut names = Vec::new();
    for (_, guest) in GOLDEN {
        names.push(stage.actor(guest.bytes(), "ring").await);
    }
    let [rust, c, js] = &names[..] else { panic!("three languages") };
    let line = format!("{} relay {} relay Script/x echo 5", c.me, js.me);
    assert_eq!(rust.text("relay", line).await, "5");
    let line = format!("{} relay {} relay {} value ", c.me, js.me, rust.me);
    let error = rust.ask("relay", line).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cycle);
    let chain = format!("{} → {} → {} → {}", rust.me, c.me, js.me, rust.me);
    assert!(error.message().contains(&chain), "{error}");
}

#[tokio::test]
async fn calls_side_by_side_answer_in_order_and_fail_alone() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let lines =
            "Script/1 echo a\nScript/2 denied\nScript/3 echo c\nNobody/4 x\nScript/5 echo e";
        let answers = actor.text("relay_many", lines).await;
        assert_eq!(answers, "ok a\nerr denied\nok c\nerr not-found\nok e");
    }
}

#[tokio::test]
async fn a_timeout_of_a_call_shortens_its_deadline_and_never_extends_it() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let began = Instant::now();
        let error = actor.ask("relay_within", "50ms Script/x hang").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(began.elapsed() >= Duration::from_millis(50));
        let left = stage.calls().pop().unwrap().deadline - began;
        assert!(left < Duration::from_secs(5), "{left:?}");
        actor.ask("relay_within", "1h Script/x echo").await.unwrap();
        let left = stage.calls().pop().unwrap().deadline - began;
        assert!(left < Duration::from_secs(60), "{left:?}");
        let error = actor.ask("relay_within", "soon Script/x echo").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn sends_and_pushes_leave_with_the_turns_end_only() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let report = actor.turn("send", "Script/x echo one way").await;
        assert_eq!(report.effects.sends.len(), 1);
        let send = &report.effects.sends[0];
        assert_eq!((send.to.to_string(), &send.method[..]), ("Script/x".into(), "echo"));
        assert_eq!(&send.payload[..], b"one way");
        let report = actor.turn("shout", "hear").await;
        let push = &report.effects.pushes[0];
        assert_eq!((&push.to, &push.event[..]), (&PushTo::Everyone, "shout"));
        let report = actor.turn("whisper", "gate:1/abc psst").await;
        let push = &report.effects.pushes[0];
        assert_eq!(push.to, PushTo::Clients(vec!["gate:1/abc".into()]));
        assert_eq!((&push.event[..], &push.payload[..]), ("whisper", &b"psst"[..]));
        let invoked = stage.calls().into_iter().any(|call| call.object == send.to);
        assert!(!invoked, "a send was made as a call");
    }
}

#[tokio::test]
async fn objects_are_made_unmade_and_asked_for() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        actor.ask("make", "Script/new").await.unwrap();
        assert!(matches!(stage.calls().pop().unwrap().action, Action::Create));
        let other = stage.actor(guest.bytes(), "b").await;
        let error = actor.ask("make", other.me.to_string()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(actor.text("there", other.me.to_string()).await, "true");
        actor.ask("unmake", "Script/new").await.unwrap();
        assert!(matches!(stage.calls().pop().unwrap().action, Action::Delete));
        assert_eq!(actor.text("there", "Script/new").await, "false");
        let report = actor.turn("unmake", actor.me.to_string()).await;
        assert!(matches!(report.end, TurnEnd::Well(_)));
        assert!(report.effects.delete, "it deletes itself when its turn ends");
        let error = actor.ask("make", "no type/x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn a_read_only_turn_lets_nothing_out() {
    let stage = stage();
    for (_, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let report = actor.turn("peek", "hear").await;
        let TurnEnd::Failure(error) = report.end else { panic!("{:?}", report.end) };
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(report.effects.is_empty());
    }
}

#[tokio::test]
async fn a_turn_knows_who_calls() {
    let stage = stage();
    for (type_name, guest) in GOLDEN {
        let actor = stage.actor(guest.bytes(), "a").await;
        let other = stage.actor(guest.bytes(), "b").await;
        let answer = actor.text("who", "").await;
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(lines[0], "id 00000001-1");
        let rest = ["caller -", "client -", "left true", "key -", "trace -"];
        assert_eq!(lines[1..6], rest, "{type_name}");
        assert_eq!(lines[6..], ["revision 7", "read-only false"]);
        let answer = other.text("relay", format!("{} who ", actor.me)).await;
        assert!(answer.contains(&format!("caller {}", other.me)), "{answer}");
    }
}
