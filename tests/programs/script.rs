//! A script for Node that the test talks with, line by line: it may move a real browser.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use wasmverse_tests::patience::PATIENCE;

use crate::room::root;

/// A script has patience at each of its steps; this is for all of them.
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(4 * PATIENCE.as_secs());
/// Between two looks at what it printed.
const PAUSE: Duration = Duration::from_millis(5);

/// A script that runs; it is killed when dropped.
pub(crate) struct Script {
    child: Child,
    keys: Option<ChildStdin>,
    printed: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
    /// Lines that were waited for.
    read: usize,
}

impl Script {
    /// Starts `tests/browser/NAME.mjs` against a gate.
    pub(crate) fn start(name: &str, url: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("tests/browser").join(name).with_extension("mjs")).arg(url);
        Self::run(&mut command)
    }

    /// Starts any command.
    pub(crate) fn run(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let printed = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            keep(BufReader::new(child.stdout.take().unwrap()), &printed),
            keep(BufReader::new(child.stderr.take().unwrap()), &printed),
        ];
        let keys = child.stdin.take();
        Self { child, keys, printed, readers, read: 0 }
    }

    /// Waits until it prints this line, after those that were waited for.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, line: &str) {
        self.until(line, |script, ended| {
            let found =
                script.printed.lock().unwrap()[script.read..].iter().position(|it| it == line);
            assert!(found.is_some() || ended.is_none(), "no {line:?} of the script: {ended:?}");
            found.map(|found| script.read += found + 1)
        });
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.keys.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn succeeds(mut self) {
        drop(self.keys.take());
        let ended = self.until("its end", |_, ended| ended);
        assert!(ended.success(), "the script failed: {ended}");
    }

    #[track_caller]
    fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self, Option<ExitStatus>) -> Option<T>,
    ) -> T {
        let began = Instant::now();
        loop {
            // What it printed last is read before its end counts.
            let is_read = self.readers.iter().all(JoinHandle::is_finished);
            let ended = self.child.try_wait().unwrap().filter(|_| is_read);
            if let Some(seen) = look(self, ended) {
                return seen;
            }
            assert!(began.elapsed() < PATIENCE_FOR_ALL, "the script does not come to {what:?}");
            thread::sleep(PAUSE);
        }
    }
}

/// Keeps what is printed, for whoever waits for it.
fn keep(lines: impl BufRead + Send + 'static, printed: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let printed = Arc::clone(printed);
    thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            printed.lock().unwrap().push(line);
        }
    })
}

impl Drop for Script {
    fn drop(&mut self) {
        // Its browser ends with it: what it hears by is gone.
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("---- what the script printed\n{}", self.printed.lock().unwrap().join("\n"));
        }
    }
}
