//! What a typed line asks for.

/// What people may type.
pub(crate) const HELP: &str = "\
/list            the rooms that are there
/join ROOM       go to a room
/leave           leave the room
/members         who is in the room
/messages [N]    the last N messages (50)
/help            this
/quit            end (Ctrl-C and Ctrl-D do, too)
Anything else is said in the room; // at its beginning says a line that begins with /.";

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Say(String),
    List,
    Join(String),
    Leave,
    Members,
    Messages(usize),
    Help,
    Quit,
    /// What is wrong with it.
    Unclear(String),
}

/// Reads a line.
pub(crate) fn wish(line: &str) -> Wish {
    let line = line.trim();
    if line.is_empty() {
        return Wish::Nothing;
    }
    let Some(command) = line.strip_prefix('/') else {
        return Wish::Say(line.to_owned());
    };
    if command.starts_with('/') {
        return Wish::Say(command.to_owned());
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match (name, rest.trim()) {
        ("list", "") => Wish::List,
        ("join", "") => Wish::Unclear("which room? /join ROOM".to_owned()),
        ("join", room) => Wish::Join(room.to_owned()),
        ("leave", "") => Wish::Leave,
        ("members", "") => Wish::Members,
        ("messages", "") => Wish::Messages(50),
        ("messages", count) => match count.parse() {
            Ok(count) if count > 0 => Wish::Messages(count),
            _ => Wish::Unclear(format!("{count} is no number of messages: /messages 20")),
        },
        ("help", _) => Wish::Help,
        ("quit", _) => Wish::Quit,
        _ => Wish::Unclear(format!("/{command} is no command; /help lists them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_or_said() {
        assert_eq!(wish(" hello there "), Wish::Say("hello there".into()));
        assert_eq!(wish("//join is a command"), Wish::Say("/join is a command".into()));
        assert_eq!(wish("/join  a b "), Wish::Join("a b".into()));
        assert_eq!(wish("/messages 3"), Wish::Messages(3));
        assert_eq!(wish("/quit"), Wish::Quit);
        assert_eq!(wish("  "), Wish::Nothing);
    }

    #[test]
    fn what_makes_no_sense_is_never_said_aloud() {
        for line in ["/join", "/messages x", "/messages 0", "/qiut", "/leave now"] {
            assert!(matches!(wish(line), Wish::Unclear(_)), "{line}");
        }
    }
}
