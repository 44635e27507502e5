//! The place of a node or a gate: what runs there is started, ended and started again under the
//! same name, at the same addresses, on the same folder.

use std::{
    fmt::Display,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use reqwest::Method;
use tempfile::TempDir;

use super::{LONG, links::Roster};
use crate::{
    cluster::keep_compiled_code,
    http::Http,
    programs::{Process, own_address, program},
};

const PAUSE: Duration = Duration::from_millis(10);

/// What runs at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `wasmverse-node`
    Node,
    /// `wasmverse-gate`
    Gate,
}

/// A place, with a process or without.
#[derive(Debug)]
pub struct Place {
    /// The name under which it is registered.
    pub id: String,
    /// Where others of the cluster come in: of a gate, gRPC clients.
    pub listen: SocketAddr,
    /// Where HTTP clients come in, if it is a gate.
    pub http: SocketAddr,
    /// It was told to give away all that it serves, and was not started since.
    pub is_drained: bool,
    /// Its registration, as it was seen when all was well.
    pub registration: String,
    /// That of the process before: it is not yet registered anew if this is still there.
    pub replaced: String,
    /// How often a process was started here.
    pub starts: usize,
    kind: Kind,
    folder: TempDir,
    ops: SocketAddr,
    variables: Vec<(String, String)>,
    process: Option<Process>,
}

impl Place {
    /// An empty place.
    ///
    /// # Panics
    /// If there is no folder to be had.
    pub fn new(kind: Kind, id: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let state = folder.path().join("state");
        fs::create_dir(&state).expect("a folder for the data");
        keep_compiled_code(&state);
        let [listen, http, ops] = [(); 3].map(|()| own_address());
        Self {
            id: id.to_owned(),
            listen,
            http,
            is_drained: false,
            registration: String::new(),
            replaced: String::new(),
            starts: 0,
            kind,
            folder,
            ops,
            variables: Vec::new(),
            process: None,
        }
    }

    /// Sets a key of the configuration, for all starts from now on.
    pub fn set(&mut self, key: &str, value: impl Display) {
        let variable = format!("WASMVERSE_{}", key.replace('.', "__").to_uppercase());
        self.variables.push((variable, value.to_string()));
    }

    /// Starts the process, and does not wait.
    ///
    /// # Panics
    /// If one runs already, or it does not start.
    pub fn begin(&mut self, roster: &Roster) {
        assert!(self.process.is_none(), "{} runs already", self.id);
        let (name, section) = match self.kind {
            Kind::Node => ("wasmverse-node", "NODE"),
            Kind::Gate => ("wasmverse-gate", "GATE"),
        };
        let mut command = Command::new(program(name));
        command.current_dir(self.folder.path());
        command.env(format!("WASMVERSE_{section}__ID"), &self.id);
        command.env(format!("WASMVERSE_{section}__OPS_LISTEN"), self.ops.to_string());
        match self.kind {
            Kind::Node => {
                command.env("WASMVERSE_NODE__LISTEN", self.listen.to_string());
                command.env("WASMVERSE_STORE__DATA_DIR", self.folder.path().join("state"));
            }
            Kind::Gate => {
                command.env("WASMVERSE_GATE__GRPC_LISTEN", self.listen.to_string());
                command.env("WASMVERSE_GATE__HTTP_LISTEN", self.http.to_string());
            }
        }
        command.envs(self.variables.iter().cloned());
        (self.starts, self.is_drained) = (self.starts + 1, false);
        self.replaced = std::mem::take(&mut self.registration);
        let process = Process::start(&mut command, &self.log());
        roster.note(process.id(), &self.id);
        self.process = Some(process);
    }

    /// Waits until it says that it is ready; answers how long that took.
    ///
    /// # Panics
    /// If it ends, or is not ready within [`LONG`].
    pub async fn ready(&mut self) -> Duration {
        let began = Instant::now();
        loop {
            assert!(self.runs(), "{} ended: {}", self.id, self.printed());
            if self.says_ready().await {
                return began.elapsed();
            }
            assert!(began.elapsed() < LONG, "{} is not ready: {}", self.id, self.printed());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What it says now of being ready.
    pub async fn says_ready(&self) -> bool {
        let ops = Http::new(format!("http://{}", self.ops));
        let asked = ops.try_request(Method::GET, "/readyz", "", &[]);
        let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
        matches!(answer, Ok(Ok(answer)) if answer.status == 200)
    }

    /// Whether a process is there.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// Whether a process was there, and ended although nobody ended it.
    pub fn has_died(&mut self) -> bool {
        self.process.is_some() && !self.runs()
    }

    /// Asks it to end, and waits until it has; answers how long that took. The thread waits, too.
    ///
    /// # Panics
    /// If none runs, or it does not end in time, or says that it failed.
    pub fn stop(&mut self) -> Duration {
        let began = Instant::now();
        let code = self.process.take().expect("one runs").stop();
        assert_eq!(code, Some(0), "{}: {}", self.id, self.printed());
        began.elapsed()
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops it where it is.
    ///
    /// # Panics
    /// If none runs.
    pub fn pause(&self) {
        self.process.as_ref().expect("one runs").signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If none runs.
    pub fn resume(&self) {
        self.process.as_ref().expect("one runs").signal("CONT");
    }

    /// What it has printed since its last start.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join(format!("{}.{}.log", self.id, self.starts))
    }
}
