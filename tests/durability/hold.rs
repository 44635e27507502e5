//! Whoever holds the database holds up every commit, and nothing else of a node.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tokio::task::JoinHandle;
use wasmverse_tests::{patience::eventually, postgres::query};

/// Locks a database of SQLite, says so, and waits for the end of its input.
const LOCK: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.read()";

/// A database in which nobody commits, until it is released.
pub(crate) enum Hold {
    Sqlite(Child),
    Postgres(String, JoinHandle<()>),
}

impl Hold {
    /// Takes hold of the database in that file.
    pub(crate) fn of_file(path: &std::path::Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", LOCK]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim(), "held");
        Self::Sqlite(child)
    }

    /// Takes hold of the database at that URL.
    pub(crate) async fn of_server(url: &str) -> Self {
        let own = url.to_owned();
        // It ends as it is told to, which is an error to whom it happens.
        let holding = tokio::task::spawn_blocking(move || {
            let sql = "BEGIN; LOCK TABLE objects IN EXCLUSIVE MODE; SELECT pg_sleep(60)";
            drop(query(&own, sql));
        });
        let asked = format!("SELECT count(*) {HELD}");
        eventually("the table is held", async || {
            (query(url, &asked).unwrap().trim() == "1").then_some(())
        })
        .await;
        Self::Postgres(url.to_owned(), holding)
    }

    /// Lets commits go on.
    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(mut child) => {
                drop(child.stdin.take());
                assert!(child.wait().unwrap().success());
            }
            Self::Postgres(url, holding) => {
                query(&url, &format!("SELECT pg_terminate_backend(pid) {HELD}")).unwrap();
                holding.await.unwrap();
            }
        }
    }
}

const HELD: &str = "FROM pg_locks WHERE relation = 'objects'::regclass \
                    AND mode = 'ExclusiveLock' AND granted";
