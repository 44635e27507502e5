//! The real programs as people run them: processes, the command line, clients in other languages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "programs/browser.rs"]
mod browser;
#[path = "programs/chat.rs"]
mod chat;
#[path = "programs/clients.rs"]
mod clients;
#[path = "programs/command_line.rs"]
mod command_line;
#[path = "programs/old_room.rs"]
mod old_room;
#[path = "programs/processes.rs"]
mod processes;
#[path = "programs/room.rs"]
mod room;
#[path = "programs/script.rs"]
mod script;
#[path = "programs/store.rs"]
mod store;
