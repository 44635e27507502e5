//! The real programs as people run them: processes, the command line, the documents, clients in
//! other languages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "programs/clients.rs"]
mod clients;
#[path = "programs/command_line.rs"]
mod command_line;
#[path = "programs/documents.rs"]
mod documents;
#[path = "programs/processes.rs"]
mod processes;
