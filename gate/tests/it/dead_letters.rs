//! Dead letters and reminders, over HTTP and gRPC.

use serde_json::{Value, json};
use tonic::Code;
use wasmverse_proto::{
    admin::{
        DropDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, ListRemindersRequest,
        RetryDeadLetterRequest, dead_letter::Kind,
    },
    gate::ObjectRef,
};

use crate::scene::{Scene, request};

const ALL: &str = "/v1/admin/dead-letters";

fn numbers(page: &Value) -> Vec<u64> {
    let letters = page["dead_letters"].as_array().unwrap().iter();
    letters.map(|letter| letter["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page_and_by_sender() {
    let scene = Scene::start().await;
    let first = scene.get(&format!("{ALL}?limit=2")).await;
    assert_eq!(first.status, 200);
    let page = first.json();
    assert_eq!((numbers(&page), &page["next_after"]), (vec![3, 5], &json!(5)));
    let last = scene.get(&format!("{ALL}?limit=2&after=5&type=&id=")).await.json();
    assert_eq!((numbers(&last), &last["next_after"]), (vec![9], &Value::Null));
    let of_one = scene.get(&format!("{ALL}?type=Json&id=a%2Fb")).await.json();
    assert_eq!(numbers(&of_one), [3, 5]);
    let none = scene.get(&format!("{ALL}?type=Json&id=nobody")).await.json();
    assert_eq!(none, json!({"dead_letters": [], "next_after": null}));
    for bad in ["limit=0", "limit=1001", "after=-1", "type=Json", "id=x", "type=9&id=x", "from=x"] {
        let answer = scene.get(&format!("{ALL}?{bad}")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{bad}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_sent_again_and_forgotten() {
    let scene = Scene::start().await;
    let letter = scene.get(&format!("{ALL}/3")).await.json();
    let expected = json!({"number": 3, "kind": "send", "from": "Json/a/b", "to": "Json/x",
        "method": "deposit", "payload": 30, "reason": "application (overflow): it would not fit",
        "send": "12.0", "sent_at": "2017-07-14T02:40:00.123456Z",
        "died_at": "2017-07-14T02:40:01.000000Z"});
    assert_eq!(letter, expected);
    assert_eq!(scene.get(&format!("{ALL}/9")).await.json()["payload_base64"], "fw==");

    let retried = scene.post(&format!("{ALL}/3/retry"), "").await;
    assert_eq!((retried.status.as_u16(), &*retried.body), (204, b"" as &[u8]));
    let dropped = scene.ask(request("DELETE", &format!("{ALL}/9"), "")).await;
    assert_eq!((dropped.status.as_u16(), &*dropped.body), (204, b"" as &[u8]));
    assert_eq!(scene.node.dead_letters.numbers(), (vec![5], vec![3]));
    for (method, path) in [("GET", "3"), ("POST", "3/retry"), ("DELETE", "9")] {
        let gone = scene.ask(request(method, &format!("{ALL}/{path}"), "")).await;
        assert_eq!((gone.status.as_u16(), &*gone.code()), (404, "not-found"), "{method} {path}");
    }
    for (method, path) in [("GET", "x"), ("POST", "-1/retry"), ("DELETE", "%FF")] {
        let bad = scene.ask(request(method, &format!("{ALL}/{path}"), "")).await;
        let seen = (bad.status.as_u16(), bad.code());
        assert_eq!(seen, (400, "invalid-argument".into()), "{method} {path}");
    }
}

#[tokio::test]
async fn the_reminders_of_an_object_are_listed() {
    let scene = Scene::start().await;
    let found = scene.get("/v1/admin/objects/Json/a%2Fb/reminders").await;
    let expected = json!({"reminders": [{"name": "poll", "when": "every 5s", "method": "look",
        "payload": {"at": 1}, "due_at": "2017-07-14T02:40:05.000000Z"}]});
    assert_eq!((found.status.as_u16(), found.json()), (200, expected));
    let none = scene.get("/v1/admin/objects/Json/x/reminders").await;
    assert_eq!((none.status.as_u16(), none.json()), (200, json!({"reminders": []})));
    let bad = scene.get("/v1/admin/objects/9/x/reminders").await;
    assert_eq!((bad.status.as_u16(), &*bad.code()), (400, "invalid-argument"));
}

#[tokio::test]
async fn operators_have_the_same_of_them_over_grpc() {
    let scene = Scene::start().await;
    let mut admin = scene.grpc_admin().await;
    let object = |name: &str| Some(ObjectRef { r#type: name.into(), id: "a/b".into() });
    let asked = ListDeadLettersRequest { object: object("Json"), after: 0, limit: 1 };
    let page = admin.list_dead_letters(asked).await.unwrap().into_inner();
    assert_eq!((page.letters.len(), page.letters[0].number, page.next_after), (1, 3, 3));
    let letter = admin.get_dead_letter(GetDeadLetterRequest { number: 5 }).await.unwrap();
    assert_eq!(letter.into_inner().kind, Some(Kind::Reminder("close".into())));
    admin.retry_dead_letter(RetryDeadLetterRequest { number: 3 }).await.unwrap();
    admin.drop_dead_letter(DropDeadLetterRequest { number: 5 }).await.unwrap();
    assert_eq!(scene.node.dead_letters.numbers(), (vec![9], vec![3]));
    let gone = admin.retry_dead_letter(RetryDeadLetterRequest { number: 3 }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    let asked = ListRemindersRequest { object: object("Json") };
    let reminders = admin.list_reminders(asked).await.unwrap().into_inner().reminders;
    assert_eq!((reminders.len(), &*reminders[0].when), (1, "every 5s"));

    for object in [None, object("9")] {
        let refused = admin.list_reminders(ListRemindersRequest { object }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    for bad in [
        ListDeadLettersRequest { limit: 1001, ..ListDeadLettersRequest::default() },
        ListDeadLettersRequest { object: object("9"), ..ListDeadLettersRequest::default() },
    ] {
        let refused = admin.list_dead_letters(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}
