//! A real PostgreSQL server in a folder and on a port of its own, that can be stopped, started,
//! paused and killed, and is gone when the test is.
//!
//! A shell watches over it: whatever becomes of the test's process, the shell reads the end of its
//! input, ends the server and removes the folder.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::programs::free_address;

/// A server that tests may share, as the URL of a superuser; if it is not set, each test process
/// starts one.
pub const SHARED: &str = "WASMVERSE_TEST_POSTGRES";

/// Whom the server runs as where the test is root: the server refuses to be.
const NOBODY: u32 = 65_534;
/// How long a server may take to start or end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads words, and obeys: what it starts it also ends.
const WATCH: &str = r#"
while read -r word; do
  case $word in
  start) "$@" >>"$FOLDER/log" 2>&1 </dev/null & pid=$!; echo $pid ;;
  wait) wait $pid; echo ended ;;
  esac
done
kill -QUIT $pid; kill -CONT $pid; wait $pid
rm -rf "$FOLDER"
"#;

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    watch: Mutex<Watch>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Watch {
    shell: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: u32,
}

impl Postgres {
    /// Starts a server. `options` are settings, such as `fsync=off`.
    ///
    /// # Panics
    /// If there is no PostgreSQL, or it does not start.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("wasmverse-postgres-").tempdir();
        // Removed by the shell, which outlives this process.
        let folder = folder.expect("a folder for the server").keep();
        let as_other = fs::metadata(&folder).expect("the folder is there").uid() == 0;
        if as_other {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root gives its folder away");
        }
        let data = folder.join("data");
        let made = as_user(as_other, &binary("initdb"))
            .args(["-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres"])
            .arg("-D")
            .arg(&data)
            .current_dir(&folder)
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_address().port();
        let mut server = as_user(as_other, &binary("postgres"));
        server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        for option in ["max_wal_size=256MB", "max_connections=200"].iter().chain(options) {
            server.args(["-c", option]);
        }
        server.arg("-k").arg(&folder);
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "sh"]).arg(server.get_program()).args(server.get_args());
        shell.env("FOLDER", &folder).current_dir(&folder);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("a shell starts");
        let words = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("it was asked for"));
        let watch = Mutex::new(Watch { shell, words, answers, pid: 0 });
        let server = Self { folder, port, watch, databases: AtomicU32::new(0) };
        server.start_again();
        server
    }

    /// Makes an empty database; answers its URL.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Relaxed);
        let url = self.url("postgres");
        make_database(&url, &format!("t{number}"));
        self.url(&format!("t{number}"))
    }

    /// The port at which it listens, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it in good order, but without waiting for its clients.
    pub fn stop(&self) {
        self.signal("INT", &[self.pid()]);
        self.ended();
    }

    /// Ends it and all its processes at once.
    ///
    /// # Panics
    /// If one of them stays.
    pub fn kill(&self) {
        // It makes no more of them while they are listed.
        self.signal("STOP", &[self.pid()]);
        let processes = self.processes();
        self.signal("KILL", &processes);
        self.ended();
        // Whoever is left holds the memory that all of them share: no server starts meanwhile.
        let begun = Instant::now();
        while processes.iter().any(|pid| is_alive(*pid)) {
            assert!(begun.elapsed() < PATIENCE, "{processes:?} are there still");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it and all its processes where they are.
    pub fn pause(&self) {
        self.signal("STOP", &self.processes());
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT", &self.processes());
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn start_again(&self) {
        {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.pid = watch.ask("start").parse().expect("the shell answers the process id");
        }
        let begun = Instant::now();
        while !query(&self.url("postgres"), "SELECT 1").is_ok_and(|answer| answer.trim() == "1") {
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ended(&self) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(watch.ask("wait"), "ended");
    }

    /// The server's first process, whose children do the work.
    pub fn pid(&self) -> u32 {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).pid
    }

    /// The server and its children.
    fn processes(&self) -> Vec<u32> {
        let parent = self.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(parent).chain(children).collect()
    }

    fn signal(&self, signal: &str, processes: &[u32]) {
        let processes: Vec<_> = processes.iter().map(u32::to_string).collect();
        // One of them may have ended by itself.
        let _ = Command::new("kill").arg(format!("-{signal}")).args(processes).output();
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Watch {
    fn ask(&mut self, word: &str) -> String {
        let words = self.words.as_mut().expect("it is taken only at the end");
        writeln!(words, "{word}").expect("the shell reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the shell answers");
        answer.trim().to_owned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.words.take());
        let _ = self.shell.wait();
    }
}

/// An empty database: on the server that tests share, or on one of this process.
#[derive(Debug)]
pub struct Databases {
    own: Option<Postgres>,
    shared: String,
}

impl Databases {
    /// Finds the server that is shared, or starts one.
    pub fn find() -> Self {
        match std::env::var(SHARED) {
            Ok(shared) => Self { own: None, shared },
            Err(_) => Self { own: Some(Postgres::start(&[])), shared: String::new() },
        }
    }

    /// Makes an empty database; answers its URL.
    ///
    /// # Panics
    /// If the shared server cannot be reached.
    pub fn database(&self) -> String {
        if let Some(own) = &self.own {
            return own.database();
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("wasmverse_test_{}_{number}", std::process::id());
        let _ = query(&self.shared, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        make_database(&self.shared, &name);
        let (server, _) = self.shared.rsplit_once('/').expect("a URL names a database");
        format!("{server}/{name}")
    }
}

fn make_database(url: &str, name: &str) {
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
    query(url, &sql).unwrap_or_else(|told| panic!("{sql}: {told}"));
}

/// Runs SQL with the server's own client; answers what it prints, or what is wrong.
///
/// # Errors
/// What the client says.
pub fn query(url: &str, sql: &str) -> Result<String, String> {
    let run = Command::new(binary("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
        .env("PGCONNECT_TIMEOUT", "5")
        .output()
        .expect("psql starts");
    match run.status.success() {
        true => Ok(String::from_utf8_lossy(&run.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&run.stderr).into_owned()),
    }
}

/// A program of PostgreSQL, of the newest version that is installed.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|version| version.path()).max_by_key(|path| number(path));
    newest
        .map(|version| version.join("bin").join(name))
        .filter(|path| path.exists())
        .unwrap_or_else(|| panic!("there is no {name}: install PostgreSQL (tests/setup.sh test)"))
}

/// Whether a process is there, and not only its name, which nobody has asked for yet.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// A command, as a user that the server does not refuse to run as.
fn as_user(other: bool, program: &Path) -> Command {
    if !other {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
    command.arg(program);
    command
}
