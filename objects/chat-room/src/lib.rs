//! `ChatRoom`: people who talk to each other, each with any number of clients.
//!
//! A client that calls `join` is pushed what happens in the room, until it leaves or is gone. Its
//! user is a member as long as one of its clients is; a user that joins without a session stays
//! until it leaves.

mod history;
mod schema_1;

use std::collections::BTreeMap;

use wasmverse_sdk::prelude::*;

pub use history::Message;
use history::{Range, json_bytes};
use schema_1::{History, Room};

/// The longest name of a user, in bytes.
const USER_BYTES_MAX: usize = 64;
/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Clients that a room pushes to, and users that are in it.
const CLIENTS_MAX: usize = 10_000;
const USERS_MAX: usize = 10_000;
/// What the names of all users may hold as JSON, in bytes: with clients they fit into a state, and
/// with messages into a reply.
const NAMES_BYTES_MAX: usize = 768 << 10;
/// Messages that whoever joins is shown.
const RECENT: u64 = 50;

/// Who is in a room; what was said there is in its storage.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ChatRoom {
    /// The user behind each client.
    clients: BTreeMap<String, String>,
    users: BTreeMap<String, User>,
    /// What the names of all users hold.
    names_bytes: usize,
    /// What a state of schema 1 brought along, until it is in the storage.
    #[serde(skip)]
    brought: History,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct User {
    clients: u32,
    /// It joined without a session.
    stays: bool,
}

/// Who joins or leaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Who {
    /// Its name, taken at its word.
    pub user: String,
}

/// The room as whoever joins finds it.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// Its name.
    pub room: String,
    /// Who is in it, by name.
    pub members: Vec<String>,
    /// The latest messages, the earliest first.
    pub recent: Vec<Message>,
}

/// Someone came or went: the data of the events `joined` and `left`.
#[derive(Debug, Serialize)]
struct Move<'a> {
    room: &'a str,
    user: &'a str,
}

/// The list of rooms, as rooms know it.
#[interface(type_name = "ChatLobby")]
trait Lobby {
    fn note_room(&mut self, name: String, members: u32) -> Result<()>;
}

/// People who talk to each other. Pushes to all members: `message`, `joined`, `left`.
#[object(durability = "durable", schema = 2)]
impl ChatRoom {
    /// In a state of schema 1 was what was said, too.
    #[migrate]
    fn migrate(schema: u32, data: &[u8]) -> Result<Self> {
        let Room { clients, users, history } = Room::read(schema, data)?;
        let names_bytes = users.keys().map(|user| json_bytes(user)).sum();
        Ok(Self { clients, users, names_bytes, brought: history })
    }

    /// It is kept together with the first turn that writes; until then, each time that the room
    /// wakes it is brought along and moved again.
    #[on_activate]
    fn move_history(&mut self, ctx: &Context) -> Result<()> {
        history::take_over(ctx, &std::mem::take(&mut self.brought))
    }

    /// Makes a user a member, and pushes to the calling client from now on.
    fn join(&mut self, ctx: &Context, who: Who) -> Result<Joined> {
        let user = who.user;
        check_user(&user)?;
        let client = ctx.client();
        let before = client.as_ref().and_then(|client| self.clients.get(client)).cloned();
        if client.is_some() && before.is_none() && self.clients.len() >= CLIENTS_MAX {
            let message = format!("{CLIENTS_MAX} clients are in the room already");
            return Err(Error::new("room-full", message));
        }
        let is_new = !self.users.contains_key(&user);
        let names_bytes = self.names_bytes + json_bytes(&user);
        if is_new && (self.users.len() >= USERS_MAX || names_bytes > NAMES_BYTES_MAX) {
            return Err(Error::new("room-full", "too many people are in the room already"));
        }
        if let (Some(client), Some(before)) = (&client, before)
            && before != user
        {
            self.remove_client(ctx, client)?;
        }
        if is_new {
            self.names_bytes += json_bytes(&user);
        }
        let member = self.users.entry(user.clone()).or_default();
        match client {
            Some(client) => {
                if self.clients.insert(client, user.clone()).is_none() {
                    member.clients += 1;
                }
            }
            None => member.stays = true,
        }
        if is_new {
            self.tell(ctx, "joined", &user)?;
        }
        Ok(Joined {
            room: ctx.id().to_owned(),
            members: self.members(),
            recent: history::latest(ctx, RECENT)?,
        })
    }

    /// Takes a user out, with all of its clients. One that is no member is left alone.
    fn leave(&mut self, ctx: &Context, who: Who) -> Result<()> {
        if self.remove_user(&who.user) {
            // Its own clients hear of it, too.
            self.tell(ctx, "left", &who.user)?;
            self.clients.retain(|_, user| *user != who.user);
        }
        Ok(())
    }

    /// Says something to all members. A user that is not one is the error `not-a-member`.
    fn send_message(&mut self, ctx: &Context, user: String, text: String) -> Result<Message> {
        if !self.users.contains_key(&user) {
            let message = format!("{user:?} is not in {}: join first", ctx.id());
            return Err(Error::new("not-a-member", message));
        }
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            let message =
                format!("a text has 1 to {TEXT_BYTES_MAX} bytes, this one {}", text.len());
            return Err(Error::new("invalid-text", message));
        }
        let message = history::add(ctx, user, text)?;
        self.push(ctx, "message", &message)?;
        Ok(message)
    }

    /// Messages, the earliest first: the latest `limit` (50), or those that come after `after_seq`.
    #[read_only]
    fn recent_messages(&self, ctx: &Context, range: Option<Range>) -> Result<Vec<Message>> {
        let Range { after_seq, limit } = range.unwrap_or_default();
        let limit = limit.unwrap_or(RECENT);
        match after_seq {
            Some(seq) => history::after(ctx, seq, limit),
            None => history::latest(ctx, limit),
        }
    }

    /// Who is in the room, by name.
    #[read_only]
    fn members(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// A client is gone, and its user with the last one.
    fn on_client_gone(&mut self, ctx: &Context, client: String) -> Result<()> {
        self.remove_client(ctx, &client)
    }

    #[internal]
    fn remove_client(&mut self, ctx: &Context, client: &str) -> Result<()> {
        let Some(user) = self.clients.remove(client) else { return Ok(()) };
        let Some(member) = self.users.get_mut(&user) else { return Ok(()) };
        member.clients = member.clients.saturating_sub(1);
        if member.clients == 0 && !member.stays {
            self.remove_user(&user);
            self.tell(ctx, "left", &user)?;
        }
        Ok(())
    }

    #[internal]
    fn remove_user(&mut self, user: &str) -> bool {
        let was_there = self.users.remove(user).is_some();
        if was_there {
            self.names_bytes = self.names_bytes.saturating_sub(json_bytes(user));
        }
        was_there
    }

    /// Someone came or went.
    #[internal]
    fn tell(&self, ctx: &Context, event: &str, user: &str) -> Result<()> {
        self.push(ctx, event, &Move { room: ctx.id(), user })?;
        let members = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        LobbyRef::at("main").send().note_room(ctx.id().to_owned(), members)
    }

    #[internal]
    fn push(&self, ctx: &Context, event: &str, data: &impl Serialize) -> Result<()> {
        if self.clients.is_empty() {
            return Ok(());
        }
        ctx.push_all(self.clients.keys().map(String::as_str), event, data)
    }
}

fn check_user(user: &str) -> Result<()> {
    let is_long = user.len() > USER_BYTES_MAX;
    if user.trim().is_empty() || is_long || user.chars().any(char::is_control) {
        let message = format!(
            "a user's name has 1 to {USER_BYTES_MAX} bytes, not only spaces, and no characters \
             that control a terminal"
        );
        return Err(Error::new("invalid-user", message));
    }
    Ok(())
}

#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod tests;
