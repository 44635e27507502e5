//! `wasmverse chat`: the sample rooms from a terminal.

use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    chat::{
        input::Console,
        transcript::{Message, Step, Transcript},
        words::{HELP, Wish, wish},
    },
    client::{CallRequest, Client, is_passing},
    command_line::Global,
    failure::{Failure, Result},
    printable::printable,
    session::{Happening, Session},
};

/// Messages that are asked for at once.
const PAGE: usize = 100;
/// Before a room that did not answer is joined again.
const PAUSE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Needs the sample objects ChatRoom and ChatLobby: `make chat` starts them.
In the chat, /help lists the commands; Ctrl-D ends it. Lines may be piped in, too.

Examples:
  wasmverse chat --user alice
  wasmverse chat --user bob --room garden
  echo hello | wasmverse chat --user cron";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChatArgs {
    /// Your name in the rooms
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The room to go to first
    #[arg(long, value_name = "ROOM", default_value = "general")]
    room: String,
}

#[derive(Deserialize)]
struct Joined {
    members: Vec<String>,
    recent: Vec<Message>,
}

#[derive(Deserialize)]
struct Room {
    name: String,
    members: u64,
}

struct Chat {
    user: String,
    session: Session,
    client: Client,
    console: Console,
    /// Where this user is, and what of it was shown.
    room: Option<(String, Transcript)>,
    /// The room does not push to this client yet, or messages may have been missed.
    is_behind: bool,
}

/// A message that is refused for the moment is tried again for so long.
const SEND_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: ChatArgs, global: &Global) -> Result<()> {
    let endpoint = global.endpoint()?;
    let mut session = Session::open(&endpoint, global.token.as_deref()).await?;
    let client = Client::connect(&endpoint, global.token.as_deref()).await?;
    while session.token().is_none() {
        session.next().await?;
    }
    let console = Console::open()?;
    let user = args.user;
    let mut chat = Chat { user, session, client, console, room: None, is_behind: false };
    let ended = match chat.go_to(args.room).await {
        Ok(()) => chat.run().await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &ended
        && chat.console.is_terminal()
    {
        chat.console.say(&format!("{} (Enter ends)", printable(&failure.to_string())))?;
    }
    chat.console.close().await;
    ended
}

impl Chat {
    async fn run(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                happening = self.session.next() => self.hear(happening?).await?,
                line = self.console.line() => {
                    let wish = line.map_or(Wish::Quit, |line| wish(&line));
                    if wish == Wish::Quit {
                        return self.quit().await;
                    }
                    self.carry_out(wish).await?;
                }
                () = tokio::time::sleep(PAUSE), if self.is_behind && self.session.is_connected() => {
                    self.catch_up().await?;
                }
                ended = tokio::signal::ctrl_c() => {
                    ended?;
                    return self.quit().await;
                }
            }
        }
    }

    /// Nobody minds if it fails: the room hears of clients that are gone.
    async fn quit(&mut self) -> Result<()> {
        let leaving = self.leave();
        drop(tokio::time::timeout(Duration::from_secs(2), leaving).await);
        Ok(())
    }

    async fn hear(&mut self, happening: Happening) -> Result<()> {
        match happening {
            Happening::Lost(_) => self.console.say("* reconnecting…"),
            Happening::Connected { is_same, .. } => {
                self.console.say("* back")?;
                if is_same && !self.is_behind { Ok(()) } else { self.catch_up().await }
            }
            Happening::Gap { .. } => self.catch_up().await,
            Happening::Push { event, payload } => self.pushed(&event, payload).await,
        }
    }

    async fn pushed(&mut self, event: &str, payload: Value) -> Result<()> {
        let Some((room, _)) = &self.room else { return Ok(()) };
        if payload["room"] != **room {
            return Ok(());
        }
        if event == "message" {
            return match serde_json::from_value(payload) {
                Ok(message) => self.show(&message).await,
                Err(_) => Ok(()),
            };
        }
        let user = payload["user"].as_str().unwrap_or_default();
        if user == self.user && event == "left" {
            // It left by another of its windows; here it is still in the room.
            return self.catch_up().await;
        }
        if user == self.user || !["joined", "left"].contains(&event) {
            return Ok(());
        }
        let verb = if event == "joined" { "joined" } else { "left" };
        self.console.say(&format!("* {} {verb}", printable(user)))
    }

    /// Shows a message in its turn.
    async fn show(&mut self, message: &Message) -> Result<()> {
        let Some((_, transcript)) = &mut self.room else { return Ok(()) };
        match transcript.step(message) {
            Step::Known => Ok(()),
            Step::Show => {
                transcript.shown(message);
                self.console.say(&line(message))
            }
            Step::Fetch | Step::WentBack => self.catch_up().await,
        }
    }

    /// Joins the room again and shows what was missed. If it cannot be done now, it is tried again.
    async fn catch_up(&mut self) -> Result<()> {
        let failed = self.try_catch_up().await.err();
        self.is_behind = failed.is_some();
        match failed {
            Some(failure) if !is_passing(&failure) && !is_stale(&failure) => Err(failure),
            _ => Ok(()),
        }
    }

    async fn try_catch_up(&mut self) -> Result<()> {
        let Some((room, _)) = &self.room else { return Ok(()) };
        let (room, user) = (room.clone(), self.user.clone());
        let joined: Joined = self.ask("ChatRoom", &room, "join", json!({"user": user})).await?;
        let Some((_, transcript)) = &mut self.room else { return Ok(()) };
        if transcript.went_back(&joined.recent) {
            let unseen = transcript.unseen(joined.recent.clone());
            transcript.go_back(&joined.recent);
            self.console.say("* the room went back to an older state")?;
            for message in &unseen {
                self.console.say(&line(message))?;
            }
            return Ok(());
        }
        loop {
            let Some((_, transcript)) = &self.room else { return Ok(()) };
            let range = json!({"after_seq": transcript.seq(), "limit": PAGE});
            let page: Vec<Message> = self.ask("ChatRoom", &room, "recent_messages", range).await?;
            self.show_page(&page)?;
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    fn show_page(&mut self, page: &[Message]) -> Result<()> {
        let Some((_, transcript)) = &mut self.room else { return Ok(()) };
        for message in page
            .iter()
            .filter(|message| message.seq > transcript.seq())
            .cloned()
            .collect::<Vec<_>>()
        {
            let forgotten = message.seq - transcript.seq() - 1;
            if forgotten > 0 {
                self.console.say(&format!("* {forgotten} messages are no longer kept"))?;
            }
            transcript.shown(&message);
            self.console.say(&line(&message))?;
        }
        Ok(())
    }

    async fn go_to(&mut self, room: String) -> Result<()> {
        let user = self.user.clone();
        let joined: Joined = self.ask("ChatRoom", &room, "join", json!({"user": user})).await?;
        if self.room.as_ref().is_some_and(|(before, _)| *before != room) {
            self.leave().await?;
        }
        let members = joined.members.join(", ");
        self.console.say(&printable(&format!("* you are in {room} with {members}")))?;
        let mut transcript = Transcript::default();
        for message in &joined.recent {
            transcript.shown(message);
            self.console.say(&line(message))?;
        }
        self.room = Some((room, transcript));
        Ok(())
    }

    async fn leave(&mut self) -> Result<()> {
        let Some((room, _)) = &self.room else { return Ok(()) };
        let (room, user) = (room.clone(), self.user.clone());
        self.call("ChatRoom", &room, "leave", json!({"user": user})).await?;
        self.room = None;
        Ok(())
    }

    /// Does what was typed. What fails is told, and the chat goes on.
    async fn carry_out(&mut self, wish: Wish) -> Result<()> {
        let done = match wish {
            Wish::Nothing | Wish::Quit => Ok(()),
            Wish::Help => self.console.say(HELP),
            Wish::Unclear(why) => self.console.say(&format!("! {}", printable(&why))),
            Wish::Join(room) => self.go_to(room).await,
            Wish::Leave => self.leave().await,
            Wish::List => self.list().await,
            Wish::Say(text) => return self.send(text).await,
            Wish::Members => self.members().await,
            Wish::Messages(count) => self.messages(count).await,
        };
        match done {
            Err(failure @ Failure::Local(_)) => Err(failure),
            Err(failure) => self.console.say(&format!("! {}", printable(&failure.to_string()))),
            Ok(()) => Ok(()),
        }
    }

    async fn list(&mut self) -> Result<()> {
        let rooms: Vec<Room> = self.ask("ChatLobby", "main", "list_rooms", Value::Null).await?;
        for room in rooms {
            self.console.say(&printable(&format!("  {} ({})", room.name, room.members)))?;
        }
        Ok(())
    }

    async fn members(&mut self) -> Result<()> {
        let Some(room) = self.here()? else { return Ok(()) };
        let names: Vec<String> = self.ask("ChatRoom", &room, "members", Value::Null).await?;
        self.console.say(&printable(&format!("  {}", names.join(", "))))
    }

    async fn messages(&mut self, count: usize) -> Result<()> {
        let Some(room) = self.here()? else { return Ok(()) };
        let range = json!({"limit": count});
        let page: Vec<Message> = self.ask("ChatRoom", &room, "recent_messages", range).await?;
        page.iter().try_for_each(|message| self.console.say(&format!("  {}", line(message))))
    }

    fn here(&mut self) -> Result<Option<String>> {
        if self.room.is_none() {
            self.console.say("! you are in no room: /join ROOM")?;
        }
        Ok(self.room.as_ref().map(|(room, _)| room.clone()))
    }

    /// Says something, at most once: what may have been said is never said again unasked.
    async fn send(&mut self, text: String) -> Result<()> {
        let Some(room) = self.here()? else { return Ok(()) };
        let said = json!({"user": self.user, "text": text});
        let until = Instant::now() + SEND_WITHIN;
        let sent: Result<Message> = loop {
            let sent = self.ask("ChatRoom", &room, "send_message", said.clone()).await;
            match &sent {
                // What was refused was not said yet.
                Err(failure) if may_have_run(failure) || until <= Instant::now() => break sent,
                Err(failure) if is_no_member(failure) => self.catch_up().await?,
                Err(failure) if is_stale(failure) => {
                    let happening = self.session.next().await?;
                    self.hear(happening).await?;
                }
                Err(failure) if is_passing(failure) => tokio::time::sleep(PAUSE).await,
                _ => break sent,
            }
        };
        match sent {
            Ok(message) => self.show(&message).await,
            Err(failure @ Failure::Local(_)) => Err(failure),
            Err(failure) => {
                let outcome =
                    if may_have_run(&failure) { "may have been sent" } else { "not sent" };
                let text = printable(&format!("! {outcome}: {text} ({failure})"));
                self.console.say(&text.replace("\\n", " "))
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        type_name: &str,
        id: &str,
        method: &str,
        argument: Value,
    ) -> Result<T> {
        let answer = self.call(type_name, id, method, argument).await?;
        let answer = serde_json::from_slice(&answer).map_err(|error| {
            anyhow::anyhow!("{type_name} is not the sample object: its {method} answers {error}")
        })?;
        Ok(answer)
    }

    async fn call(
        &mut self,
        type_name: &str,
        id: &str,
        method: &str,
        argument: Value,
    ) -> Result<Vec<u8>> {
        let object = format!("{type_name}/{id}")
            .parse()
            .map_err(|error| Failure::usage(format!("{id} is no name of a room: {error}")))?;
        let payload = if argument.is_null() { String::new() } else { argument.to_string() };
        let request = CallRequest {
            object,
            method: method.to_owned(),
            payload: payload.into(),
            is_json: true,
            key: None,
            timeout: Some(Duration::from_secs(10)),
            session: self.session.token().map(str::to_owned),
        };
        let answer =
            self.client.call(&request).await.map_err(|failure| explained(failure, type_name))?;
        Ok(answer.map(|bytes| bytes.to_vec()).unwrap_or_default())
    }
}

fn line(message: &Message) -> String {
    format!("{}: {}", printable(&message.user), printable(&message.text))
}

/// A missing sample is the likeliest reason of all for a newcomer.
fn explained(failure: Failure, type_name: &str) -> Failure {
    match failure {
        Failure::Call(mut call) if call.code == "not-found" => {
            call.message = format!(
                "{type_name} is not deployed: start the samples with `make chat`, or deploy chat_room.wasm and chat_lobby.wasm"
            );
            Failure::Call(call)
        }
        failure => failure,
    }
}

/// The session is one of a gate before: a new one is under way.
fn is_stale(failure: &Failure) -> bool {
    matches!(failure, Failure::Call(call) if call.code == "unauthenticated")
}

fn is_no_member(failure: &Failure) -> bool {
    let Failure::Call(call) = failure else { return false };
    call.application.as_ref().is_some_and(|application| application.code == "not-a-member")
}

fn may_have_run(failure: &Failure) -> bool {
    match failure {
        Failure::Call(call) => call.maybe_executed,
        Failure::Away(away) => away.maybe_executed,
        Failure::Unreachable { .. } | Failure::Usage(_) | Failure::Local(_) | Failure::Found(_) => {
            false
        }
    }
}
