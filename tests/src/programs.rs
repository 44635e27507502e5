//! The real programs as processes of their own, on ports and folders of their own.

use std::{
    fs::{self, File},
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{cluster::keep_compiled_code, http::Http, patience::eventually_sync};

/// Where cargo puts what it builds in this profile: the folder of this very test's folder.
pub fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.ancestors().nth(2).expect("target/debug/deps/test").to_owned()
}

/// One of the programs.
///
/// # Panics
/// If it was not built.
pub fn program(name: &str) -> PathBuf {
    let path = target_folder().join(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

/// A port that nobody has; the caller takes it at once.
///
/// # Panics
/// If there is none.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port")
}

/// An address that stays free while nobody listens there: on a loopback address of this process's
/// own, and not among the ports from which clients dial.
pub fn own_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(10_000);
    let host = u32::from(Ipv4Addr::new(127, 128, 0, 0)) | std::process::id() & 0x3f_ffff;
    SocketAddr::from((Ipv4Addr::from(host), PORT.fetch_add(1, Relaxed)))
}

/// A program that runs; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `log`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("a file for the log");
        let errors = file.try_clone().expect("the same file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        Self { child, log: log.to_owned() }
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        let mut text = String::new();
        // It may be in the middle of a letter.
        File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).ok();
        text
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal (`STOP`, `CONT`).
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("kill runs").success(), "{id} takes no {name}");
    }

    /// Whether all of it is stopped where it is, until it is told to go on.
    pub fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let mut tasks = tasks.into_iter().flatten().flatten().peekable();
        let is_there = tasks.peek().is_some();
        // The state of a thread is the first word after its name, which may hold anything.
        is_there
            && tasks.all(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
            })
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end, and waits; answers its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn stop(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        let ended = || self.child.try_wait().expect("it can be waited for");
        eventually_sync("the process ends", ended).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- what {} holds\n{}", self.log.display(), self.printed());
        }
    }
}

/// `wasmverse dev` as a process, its clients' ports and its folder.
#[derive(Debug)]
pub struct Dev {
    /// The process.
    pub process: Process,
    /// A client of its HTTP side.
    pub http: Http,
    /// `HOST:PORT` of its gRPC side.
    pub grpc: SocketAddr,
    /// Its folder: `wasmverse.toml` may be in it, `state` is its data directory.
    pub folder: TempDir,
    arguments: Vec<String>,
}

impl Dev {
    /// Starts it with these components (or crates) and flags, and waits until clients may come in.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, "")
    }

    /// The same with a `wasmverse.toml`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(arguments: &[&str], config: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder for the data");
        keep_compiled_code(&folder.path().join("state"));
        fs::write(folder.path().join("wasmverse.toml"), config).expect("a file");
        Self::on(folder, arguments.iter().map(|it| (*it).to_owned()).collect())
    }

    /// Kills it, and starts it again on the same data.
    #[must_use]
    pub fn kill_and_start(mut self) -> Self {
        self.process.kill();
        Self::on(self.folder, self.arguments)
    }

    fn on(folder: TempDir, arguments: Vec<String>) -> Self {
        let (http, grpc) = (free_address(), free_address());
        let mut command = Command::new(program("wasmverse"));
        command.arg("dev").args(&arguments).current_dir(folder.path());
        command.arg("--data-dir").arg(folder.path().join("state"));
        command.env("WASMVERSE_GATE__HTTP_LISTEN", http.to_string());
        command.env("WASMVERSE_GATE__GRPC_LISTEN", grpc.to_string());
        command.env_remove("WASMVERSE_URL").env_remove("WASMVERSE_TOKEN");
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        eventually_sync("clients may come in", || {
            assert!(process.runs(), "it ended: {}", process.printed());
            std::net::TcpStream::connect(http).ok()
        });
        let http = Http::new(format!("http://{http}"));
        Self { process, http, grpc, folder, arguments }
    }
}

/// What a run of the command line came to.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out.trim()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs `wasmverse` against a gate.
///
/// # Panics
/// If it does not start.
pub fn wasmverse(url: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(program("wasmverse"));
    command.args(arguments).env("WASMVERSE_URL", url).env_remove("WASMVERSE_TOKEN");
    command.stdin(Stdio::null()).output().expect("it runs").into()
}
