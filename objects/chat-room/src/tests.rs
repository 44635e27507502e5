//! The room, without a platform.

use wasmverse_sdk::{TestContext, What};

use super::*;

fn ctx(client: &str) -> TestContext {
    let ctx = TestContext::of::<ChatRoom>("general");
    if client.is_empty() { ctx } else { ctx.from_client(client) }
}

fn who(user: &str) -> Who {
    Who { user: user.into() }
}

fn events(ctx: &TestContext) -> Vec<(String, Vec<String>)> {
    let pushed = ctx.pushed();
    pushed.iter().map(|push| (push.event.clone(), push.to.clone().unwrap_or_default())).collect()
}

#[test]
fn members_hear_who_comes_what_is_said_and_who_goes() {
    let mut room = ChatRoom::default();
    let joined = room.join(&ctx("g/a"), who("alice")).unwrap();
    assert_eq!((joined.room.as_str(), joined.members), ("general", vec!["alice".into()]));
    let bob = ctx("g/b");
    room.join(&bob, who("bob")).unwrap();
    let both = vec!["g/a".to_owned(), "g/b".to_owned()];
    assert_eq!(events(&bob), [("joined".to_owned(), both.clone())]);
    assert_eq!(bob.asked()[0].what, What::Send);
    assert_eq!(bob.asked()[0].to.to_string(), "ChatLobby/main");

    let said = ctx("g/b");
    let message = room.send_message(&said, "bob".into(), "<b>hi</b> 🦀".into()).unwrap();
    assert_eq!((message.seq, message.text.as_str()), (1, "<b>hi</b> 🦀"));
    assert_eq!(events(&said), [("message".to_owned(), both.clone())]);
    assert_eq!(room.join(&ctx("g/c").after(&said), who("bob")).unwrap().recent, [message]);

    let leaving = ctx("g/b");
    room.leave(&leaving, who("bob")).unwrap();
    let all = vec!["g/a".to_owned(), "g/b".to_owned(), "g/c".to_owned()];
    assert_eq!(events(&leaving), [("left".to_owned(), all)]);
    assert_eq!((room.members(), room.clients.len()), (vec!["alice".to_owned()], 1));
}

#[test]
fn a_user_is_a_member_as_long_as_one_of_its_clients_is() {
    let mut room = ChatRoom::default();
    for client in ["g/1", "g/2", "g/1"] {
        room.join(&ctx(client), who("alice")).unwrap();
    }
    let gone = ctx("");
    room.on_client_gone(&gone, "g/1".into()).unwrap();
    room.on_client_gone(&gone, "g/1".into()).unwrap();
    room.on_client_gone(&gone, "g/stranger".into()).unwrap();
    assert_eq!((room.members().len(), events(&gone).len()), (1, 0));
    room.on_client_gone(&gone, "g/2".into()).unwrap();
    assert_eq!(room.members().len(), 0);
}

#[test]
fn whoever_joins_without_a_session_stays_until_it_leaves() {
    let mut room = ChatRoom::default();
    room.join(&ctx(""), who("robot")).unwrap();
    room.join(&ctx("g/1"), who("robot")).unwrap();
    room.on_client_gone(&ctx(""), "g/1".into()).unwrap();
    let alone = ctx("");
    room.send_message(&alone, "robot".into(), "beep".into()).unwrap();
    assert_eq!((room.members().len(), alone.pushed().len()), (1, 0));
    room.leave(&ctx(""), who("robot")).unwrap();
    assert_eq!(room.members().len(), 0);
}

#[test]
fn a_client_is_in_a_room_as_one_user() {
    let mut room = ChatRoom::default();
    room.join(&ctx("g/1"), who("alice")).unwrap();
    room.join(&ctx("g/1"), who("bob")).unwrap();
    assert_eq!((room.members(), room.clients.len()), (vec!["bob".to_owned()], 1));
}

#[test]
fn strangers_bad_names_and_bad_texts_are_refused() {
    let mut room = ChatRoom::default();
    let refused = room.send_message(&ctx(""), "eve".into(), "hi".into()).unwrap_err();
    assert_eq!(refused.code(), "not-a-member");
    for bad in ["", "  ", "a\nb", "\u{1b}[31m", &"x".repeat(65)] {
        assert_eq!(room.join(&ctx(""), who(bad)).unwrap_err().code(), "invalid-user", "{bad:?}");
    }
    room.join(&ctx(""), who("<i>🦀</i>")).unwrap();
    for bad in ["", &"x".repeat(4097)] {
        let refused = room.send_message(&ctx(""), "<i>🦀</i>".into(), bad.into()).unwrap_err();
        assert_eq!(refused.code(), "invalid-text");
    }
}

#[test]
fn a_room_takes_so_many_clients() {
    let mut room = ChatRoom::default();
    for n in 0..CLIENTS_MAX {
        room.clients.insert(format!("g/{n}"), "alice".into());
    }
    assert_eq!(room.join(&ctx("g/x"), who("bob")).unwrap_err().code(), "room-full");
    room.join(&ctx("g/7"), who("alice")).unwrap();
}

#[test]
fn a_room_takes_so_many_users_with_and_without_sessions() {
    let mut room = ChatRoom::default();
    for n in 0..USERS_MAX {
        room.join(&ctx(""), who(&format!("user-{n}"))).unwrap();
    }
    assert_eq!(room.join(&ctx(""), who("bob")).unwrap_err().code(), "room-full");
    assert_eq!(room.join(&ctx("g/x"), who("bob")).unwrap_err().code(), "room-full");
    room.join(&ctx("g/x"), who("user-7")).unwrap();
    room.leave(&ctx(""), who("user-8")).unwrap();
    room.join(&ctx(""), who("bob")).unwrap();
}

#[test]
fn a_room_full_of_the_worst_names_fits_into_a_state_and_a_reply() {
    let mut room = ChatRoom::default();
    let name = |n: usize| format!("{n:05}{}", "\"".repeat(USER_BYTES_MAX - 5));
    let client = |n: usize| format!("127.0.0.1:49000/{n:032x}");
    let mut users = 0;
    while room.join(&ctx(&client(users)), who(&name(users))).is_ok() {
        users += 1;
    }
    for n in users..CLIENTS_MAX {
        room.join(&ctx(&client(n)), who(&name(n % users))).unwrap();
    }
    let state = serde_json::to_vec(&room).unwrap();
    assert!(state.len() < 4 << 20, "{} bytes", state.len());
    let ctx = ctx("");
    for _ in 0..RECENT {
        room.send_message(&ctx, name(0), "\0".repeat(TEXT_BYTES_MAX)).unwrap();
    }
    let joined = room.join(&ctx, who(&name(0))).unwrap();
    assert!(serde_json::to_vec(&joined).unwrap().len() < 4 << 20);
    assert_eq!(room.names_bytes, room.users.keys().map(|user| json_bytes(user)).sum::<usize>());
}
