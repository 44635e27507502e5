//! What a line that is typed asks for.

/// The commands.
pub(super) const HELP: &str = "\
/list             rooms, and how many are in each
/join ROOM        go to another room
/leave            leave the room
/members          who is here
/messages [N]     the last N messages (50)
/quit             end (or Ctrl-D)
anything else is said; // begins a message with a slash";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Say(String),
    List,
    Join(String),
    Leave,
    Members,
    Messages(usize),
    Help,
    Quit,
    Unknown(String),
}

impl Asked {
    pub(super) fn read(line: &str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Nothing } else { Self::Say(line.to_owned()) };
        };
        if command.starts_with('/') {
            return Self::Say(command.to_owned());
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("list", "") => Self::List,
            ("join", "") => Self::Unknown("which room? /join ROOM".to_owned()),
            ("join", room) => Self::Join(room.to_owned()),
            ("leave", "") => Self::Leave,
            ("members", "") => Self::Members,
            ("messages", "") => Self::Messages(50),
            ("messages", count) => count.parse().map_or_else(
                |_| Self::Unknown(format!("{count:?} is no number: /messages 20")),
                Self::Messages,
            ),
            ("help", _) => Self::Help,
            ("quit" | "exit", _) => Self::Quit,
            _ => Self::Unknown(format!("there is no /{name} like that: /help lists all")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_unless_it_is_a_command() {
        for (line, expected) in [
            ("  ", Asked::Nothing),
            (" hi there ", Asked::Say("hi there".into())),
            ("//list", Asked::Say("/list".into())),
            ("/list", Asked::List),
            ("/join  a b", Asked::Join("a b".into())),
            ("/leave", Asked::Leave),
            ("/members", Asked::Members),
            ("/messages", Asked::Messages(50)),
            ("/messages 7", Asked::Messages(7)),
            ("/help", Asked::Help),
            ("/quit", Asked::Quit),
        ] {
            assert_eq!(Asked::read(line), expected, "{line}");
        }
        for odd in ["/join", "/messages x", "/nope", "/"] {
            assert!(matches!(Asked::read(odd), Asked::Unknown(_)), "{odd}");
        }
    }
}
