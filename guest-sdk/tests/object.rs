//! An object with everything that `#[object]` knows, run natively the way the host runs it.

use serde_json::{Value, json};
use wasmverse_sdk::{Object, State, TestContext, prelude::*};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Room {
    messages: Vec<Message>,
    #[serde(skip)]
    woken: bool,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Message {
    user: String,
    text: String,
}

/// A room to talk in.
#[object(
    durability = "periodic",
    revision = "r7",
    schema = 2,
    activation = "explicit",
    type_name = "ChatRoom",
    limits(cpu_ms = 500, mailbox_length = 10)
)]
impl Room {
    const KEPT: usize = 2;

    /// Says something.
    ///
    /// All clients hear it.
    fn say(&mut self, user: String, ctx: &Context, text: String) -> Result<Message> {
        let message = Self::checked(user, text)?;
        self.messages.push(message.clone());
        self.forget();
        ctx.broadcast("message", &message)?;
        Ok(message)
    }

    /// What was said.
    #[read_only]
    fn recent(&self, limit: Option<usize>) -> Vec<Message> {
        let limit = limit.unwrap_or(usize::MAX).min(self.messages.len());
        self.messages[self.messages.len() - limit..].to_vec()
    }

    #[callers(objects)]
    fn clear(&mut self) {
        self.messages.clear();
    }

    /// Arguments may have whatever name.
    #[read_only]
    fn named(&self, ctx: &Context, context: String, method: String, payload: String) -> String {
        format!("{} {context} {method} {payload}", ctx.id())
    }

    fn r#move(&mut self, ctx: &Context) -> Result<(), Error> {
        ctx.warn("nobody moves");
        Err(Error::new("stuck", "it does not move").with_details(&self.messages.len()))
    }

    fn on_client_gone(&mut self, client: String) {
        self.messages.retain(|message| message.user != client);
    }

    #[on_activate]
    fn wake(&mut self, ctx: &Context) -> Result<()> {
        ctx.debug("woken");
        self.woken = true;
        Ok(())
    }

    #[on_deactivate]
    fn leave(&mut self, ctx: &Context, why: &str) {
        ctx.log(Level::Info, "left", &[("why", &why), ("messages", &self.messages.len())]);
    }

    #[migrate]
    fn from_older(schema: u32, data: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(data).map_err(|e| Error::new("no-text", e.to_string()))?;
        let user = format!("schema {schema}");
        Ok(Self { messages: vec![Message { user, text: text.into() }], woken: false })
    }

    #[internal]
    fn forget(&mut self) {
        let over = self.messages.len().saturating_sub(Self::KEPT);
        self.messages.drain(..over);
    }

    fn checked(user: String, text: String) -> Result<Message> {
        match text.is_empty() {
            true => Err(Error::invalid_argument("say something")),
            false => Ok(Message { user, text }),
        }
    }
}

fn context() -> TestContext {
    TestContext::of::<Room>("general")
}

fn say(room: &mut Room, ctx: &TestContext, argument: &Value) -> Result<Message> {
    ctx.invoke(room, "say", argument)
}

#[test]
fn it_describes_itself() {
    let described: Value = serde_json::from_str(&Room::describe()).unwrap();
    assert_eq!(described["type"], "ChatRoom");
    assert_eq!(described["doc"], "A room to talk in.");
    let rest = ["revision", "schema", "durability", "encoding", "activation", "limits"];
    let rest: Vec<_> = rest.iter().map(|name| &described[name]).collect();
    let limits = json!({"cpu_ms": 500, "mailbox_length": 10});
    assert_eq!(json!(rest), json!(["r7", 2, "periodic", "json", "explicit", limits]));
    let methods = described["methods"].as_array().unwrap();
    let brief: Vec<_> =
        methods.iter().map(|m| json!([m["name"], m["mode"], m["callers"]])).collect();
    assert_eq!(
        json!(brief),
        json!([
            ["say", "write", "both"],
            ["recent", "read-only", "both"],
            ["clear", "write", "objects"],
            ["named", "read-only", "both"],
            ["move", "write", "both"],
            ["on_client_gone", "write", "objects"],
        ])
    );
    assert_eq!(methods[0]["doc"], "Says something.\n\nAll clients hear it.");
}

#[test]
fn schemas_stand_alone_and_say_what_travels() {
    let described: Value = serde_json::from_str(&Room::describe()).unwrap();
    let [say, recent, clear] = [0, 1, 2].map(|n| &described["methods"][n]);
    assert_eq!(say["input"]["required"], json!(["user", "text"]));
    assert_eq!(say["input"]["additionalProperties"], false);
    assert_eq!(say["output"]["properties"]["text"]["type"], "string");
    assert_eq!(recent["output"]["items"]["properties"]["user"]["type"], "string");
    assert_eq!(recent["input"]["type"], json!(["integer", "null"]));
    assert!(clear.get("input").is_none() && clear.get("output").is_none());
    assert!(!Room::describe().contains("$ref") && !Room::describe().contains("$schema"));
}

#[test]
fn several_arguments_are_read_by_name_and_mistakes_are_named() {
    let (ctx, mut room) = (context(), Room::default());
    let said = say(&mut room, &ctx, &json!({"text": "hi", "user": "ada"})).unwrap();
    assert_eq!(said, Message { user: "ada".into(), text: "hi".into() });
    for (argument, named) in [
        (json!({"user": "ada"}), "missing field `text`"),
        (json!({"user": "ada", "text": "hi", "loud": true}), "unknown field `loud`"),
        (json!({"user": 7, "text": "hi"}), "`say` cannot read `user`, `text`: invalid type"),
        (json!(["ada", "hi"]), "`say` wants an object with `user`, `text`"),
        (json!(null), "`say` wants an object with `user`, `text`"),
        (json!({"user": "ada", "text": ""}), "say something"),
    ] {
        let error = say(&mut room, &ctx, &argument).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(named), "{argument}: {error}");
    }
}

#[test]
fn arguments_may_have_whatever_name() {
    let argument = json!({"context": "a", "method": "b", "payload": "c"});
    let named: String = context().invoke(&mut Room::default(), "named", &argument).unwrap();
    assert_eq!(named, "general a b c");
}

#[test]
fn an_optional_argument_may_be_left_out() {
    let (ctx, mut room) = (context(), Room::default());
    for text in ["a", "b", "c"] {
        say(&mut room, &ctx, &json!({"user": "ada", "text": text})).unwrap();
    }
    let recent = |room: &mut Room, payload: &[u8]| {
        let result = room.handle(&ctx, "recent", payload.to_vec()).unwrap();
        serde_json::from_slice::<Vec<Message>>(&result).unwrap().len()
    };
    assert_eq!(recent(&mut room, b""), 2);
    assert_eq!(recent(&mut room, b"1"), 1);
}

#[test]
fn a_method_without_a_result_answers_no_bytes() {
    assert_eq!(Room::default().handle(&context(), "clear", Vec::new()).unwrap(), b"");
}

#[test]
fn what_is_no_method_is_refused() {
    for method in ["nothing", "forget", "wake", "leave", "checked", "from_older", "r#move"] {
        let error = Room::default().handle(&context(), method, Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(method), "{error}");
    }
}

#[test]
fn an_error_keeps_its_code_and_details() {
    let error = context().invoke::<_, ()>(&mut Room::default(), "move", &()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Application, "stuck"));
    assert_eq!(error.details(), Some(0));
}

#[test]
fn hooks_run_when_it_wakes_and_goes() {
    let ctx = context();
    let mut room = Room::activate(&ctx, None).unwrap();
    assert!(room.woken);
    room.deactivate(&ctx, "idle");
    let line = &ctx.lines()[1];
    assert_eq!((line.level, line.message.as_str()), (Level::Info, "left"));
    assert_eq!(line.fields[0], ("why".into(), "idle".into()));
}

#[test]
fn state_comes_back_and_older_state_is_migrated() {
    let ctx = context();
    let mut room = Room::default();
    say(&mut room, &ctx, &json!({"user": "ada", "text": "hi"})).unwrap();
    let state = room.snapshot().unwrap();
    assert_eq!(state.schema, 2);
    let again = Room::activate(&ctx, Some(state.clone())).unwrap();
    assert_eq!(again.snapshot().unwrap(), state);

    let older = State { schema: 1, data: b"was text".to_vec() };
    let migrated = Room::activate(&ctx, Some(older)).unwrap();
    assert_eq!(migrated.messages[0].user, "schema 1");

    let broken = State { schema: 2, data: b"{".to_vec() };
    assert_eq!(Room::activate(&ctx, Some(broken)).unwrap_err().code(), "unreadable-state");
    let empty = State { schema: 1, data: Vec::new() };
    assert!(Room::activate(&ctx, Some(empty)).unwrap().messages.is_empty());
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Blob {
    bytes: Vec<u8>,
}

#[object(encoding = "bytes")]
impl Blob {
    fn put(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    #[read_only]
    fn get(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    fn by_way_of(&self, other: Vec<u8>) -> Result<Vec<u8>> {
        let id = String::from_utf8(other).map_err(|_| Error::invalid_argument("no id"))?;
        BlobRef::at(id).get()
    }
}

#[test]
fn bytes_travel_as_they_are() {
    let ctx = TestContext::of::<Blob>("b");
    let mut blob = Blob::default();
    assert_eq!(blob.handle(&ctx, "put", vec![0, 255]).unwrap(), b"");
    assert_eq!(blob.handle(&ctx, "get", Vec::new()).unwrap(), [0, 255]);
    ctx.answer_with(|_| Some(Ok(vec![1, 254])));
    assert_eq!(blob.handle(&ctx, "by_way_of", b"c".to_vec()).unwrap(), [1, 254]);
    let described: Value = serde_json::from_str(&Blob::describe()).unwrap();
    assert_eq!(described["encoding"], "bytes");
    assert_eq!(described["revision"], env!("CARGO_PKG_VERSION"));
    assert!(described["methods"][0].get("input").is_none());
}

#[test]
fn state_of_another_schema_is_refused_where_nobody_reads_it() {
    let later = State { schema: 9, data: b"{}".to_vec() };
    let error = Blob::activate(&context(), Some(later)).unwrap_err();
    assert_eq!(error.code(), "unknown-schema");
}
