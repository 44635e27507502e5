//! `ChatLobby`: the list of rooms. There is one, `ChatLobby/main`.
//!
//! Rooms tell it how many members they have, by a send; so the list may be a moment behind.

use std::collections::BTreeMap;

use wasmverse_sdk::prelude::*;

/// Rooms that the lobby lists; there may be more, which it does not know.
const ROOMS_MAX: usize = 10_000;
/// The longest name, in bytes: that of an id.
const NAME_BYTES_MAX: usize = 255;

/// The list of rooms, with the number of members of each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ChatLobby {
    rooms: BTreeMap<String, u32>,
}

/// A room in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// The id of its `ChatRoom`.
    pub name: String,
    /// How many users are in it.
    pub members: u32,
}

/// What a room is to be called.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewRoom {
    /// The id of its `ChatRoom`.
    pub name: String,
}

/// The list of rooms; the lobby is `ChatLobby/main`.
#[object(durability = "durable")]
impl ChatLobby {
    /// All rooms, by name.
    #[read_only]
    fn list_rooms(&self) -> Vec<Room> {
        let room =
            |(name, members): (&String, &u32)| Room { name: name.clone(), members: *members };
        self.rooms.iter().map(room).collect()
    }

    /// Lists a room. One that is there already stays as it is.
    fn create_room(&mut self, room: NewRoom) -> Result<()> {
        check(&room.name)?;
        self.make_room(&room.name)?;
        self.rooms.entry(room.name).or_default();
        Ok(())
    }

    /// A room says how many members it has.
    #[callers(objects)]
    fn note_room(&mut self, name: String, members: u32) -> Result<()> {
        self.make_room(&name)?;
        self.rooms.insert(name, members);
        Ok(())
    }

    #[internal]
    fn make_room(&mut self, name: &str) -> Result<()> {
        if self.rooms.len() < ROOMS_MAX || self.rooms.contains_key(name) {
            return Ok(());
        }
        let empty = self.rooms.iter().find(|(_, members)| **members == 0);
        let Some(empty) = empty.map(|(name, _)| name.clone()) else {
            let message = format!("the lobby lists {ROOMS_MAX} rooms, and none of them is empty");
            return Err(Error::new("too-many-rooms", message));
        };
        self.rooms.remove(&empty);
        Ok(())
    }
}

fn check(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message =
            format!("a room's name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Error::new("invalid-name", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(lobby: &mut ChatLobby, name: &str) -> Result<()> {
        lobby.create_room(NewRoom { name: name.to_owned() })
    }

    fn names(lobby: &ChatLobby) -> Vec<(String, u32)> {
        lobby.list_rooms().into_iter().map(|room| (room.name, room.members)).collect()
    }

    #[test]
    fn rooms_are_listed_by_name_with_their_members() {
        let mut lobby = ChatLobby::default();
        create(&mut lobby, "b").unwrap();
        lobby.note_room("a".into(), 2).unwrap();
        create(&mut lobby, "a").unwrap();
        assert_eq!(names(&lobby), [("a".into(), 2), ("b".into(), 0)]);
    }

    #[test]
    fn a_name_must_be_good_for_an_id() {
        let mut lobby = ChatLobby::default();
        for bad in ["", "a\nb", "\u{1b}[31m", &"x".repeat(256)] {
            assert_eq!(create(&mut lobby, bad).unwrap_err().code(), "invalid-name");
        }
        for good in ["<b>general</b>", "🦀", "a/b", &"x".repeat(255)] {
            create(&mut lobby, good).unwrap();
        }
    }

    #[test]
    fn empty_rooms_make_place_and_full_ones_do_not() {
        let mut lobby = ChatLobby::default();
        for n in 0..ROOMS_MAX {
            lobby.note_room(format!("{n:05}"), u32::from(n > 0)).unwrap();
        }
        lobby.note_room("new".into(), 1).unwrap();
        assert_eq!(lobby.rooms.len(), ROOMS_MAX);
        assert!(!lobby.rooms.contains_key("00000"));
        assert_eq!(create(&mut lobby, "more").unwrap_err().code(), "too-many-rooms");
        create(&mut lobby, "new").unwrap();
    }
}
