//! An object that looks for a way out of its sandbox and says what it found: nothing, we hope.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    thread,
    time::Duration,
};

use wasmverse_sdk::prelude::*;

/// The object; it keeps nothing.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Prober {}

#[object]
impl Prober {
    /// Everything that it found, one line each.
    fn probe(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        environment(&mut found);
        files(&mut found);
        network(&mut found);
        found
    }

    /// Writes to standard output and standard error.
    fn print(&mut self, line: String) {
        println!("{line}");
        eprintln!("{line}");
        io::stdout().flush().ok();
    }

    /// Ends the process, were there one.
    fn exit(&mut self, code: i32) {
        std::process::exit(code);
    }

    /// The clock and the random numbers of the standard library.
    fn clock(&mut self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = now.unwrap_or_default().as_micros();
        let seeds = std::collections::HashMap::from([(1, 1)]);
        assert_eq!(seeds[&1], 1);
        u64::try_from(micros).unwrap_or(0)
    }
}

fn environment(found: &mut Vec<String>) {
    found.extend(env::vars_os().map(|(name, value)| format!("variable {name:?}={value:?}")));
    found.extend(env::args_os().map(|argument| format!("argument {argument:?}")));
    found.extend(["HOME", "PATH"].iter().filter_map(|name| env::var(name).ok()));
    let mut input = Vec::new();
    match io::stdin().read_to_end(&mut input) {
        Ok(length) if length > 0 => found.push(format!("standard input of {length} bytes")),
        _ => {}
    }
    if thread::Builder::new().spawn(|| {}).is_ok() {
        found.push("a thread".to_owned());
    }
    if std::process::Command::new("sh").spawn().is_ok() {
        found.push("a shell".to_owned());
    }
}

fn files(found: &mut Vec<String>) {
    for path in ["/", ".", "..", "/etc", "/tmp", "/proc/self", "/dev"] {
        if fs::read_dir(path).is_ok() {
            found.push(format!("folder {path}"));
        }
    }
    for path in ["/etc/passwd", "/etc/hostname", "/proc/self/environ", "Cargo.toml", "/dev/null"] {
        if fs::read(path).is_ok() {
            found.push(format!("file {path}"));
        }
    }
    for path in ["/tmp/escaped", "escaped", "/escaped"] {
        if fs::write(path, "out").is_ok() {
            found.push(format!("could write {path}"));
        }
    }
    if fs::create_dir_all("/tmp/escaped.d").is_ok() {
        found.push("could make a folder".to_owned());
    }
}

fn network(found: &mut Vec<String>) {
    let loopback = ([127, 0, 0, 1], 47000).into();
    if TcpStream::connect_timeout(&loopback, Duration::from_millis(200)).is_ok() {
        found.push("a connection to a node".to_owned());
    }
    if TcpStream::connect("127.0.0.1:22").is_ok() {
        found.push("a connection".to_owned());
    }
    if TcpListener::bind("127.0.0.1:0").is_ok() {
        found.push("a TCP port".to_owned());
    }
    if UdpSocket::bind("127.0.0.1:0").is_ok() {
        found.push("a UDP port".to_owned());
    }
    if "localhost:80".to_socket_addrs().is_ok_and(|mut found| found.next().is_some()) {
        found.push("a name service".to_owned());
    }
}
