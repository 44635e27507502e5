//! A terminal with a program in it: what is typed goes in, what shows can be read.

use std::{
    io::{Read as _, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::patience::{PATIENCE, eventually_sync};

/// Between two looks at the screen.
const PAUSE: Duration = Duration::from_millis(5);

/// Rows and columns.
const SIZE: PtySize = PtySize { rows: 40, cols: 100, pixel_width: 0, pixel_height: 0 };

/// A terminal; what runs in it is killed when it is dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn MasterPty + Send>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shows())
    }
}

impl Terminal {
    /// Runs a program in a terminal of its own.
    ///
    /// # Panics
    /// If there is no terminal to be had, or the program does not start.
    pub fn start(command: CommandBuilder) -> Self {
        let pair = native_pty_system().openpty(SIZE).expect("a terminal");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let mut output = pair.master.try_clone_reader().expect("its output");
        let keys = pair.master.take_writer().expect("its keyboard");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(SIZE.rows, SIZE.cols, 0)));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("nobody panics here").process(&bytes[..count]);
            }
        });
        Self { child, keys, screen, _master: pair.master }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.press(line);
        self.press("\r");
    }

    /// What shows now, line by line, without what is empty.
    ///
    /// # Panics
    /// Never.
    pub fn shows(&self) -> String {
        let text = self.screen.lock().expect("nobody panics here").screen().contents();
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How many lines are exactly this one.
    pub fn count(&self, line: &str) -> usize {
        self.shows().lines().filter(|shown| *shown == line).count()
    }

    /// Waits until a line shows.
    ///
    /// # Panics
    /// If it does not, in time.
    #[track_caller]
    pub fn wait_for(&self, line: &str) {
        self.wait_until(line, |shown| shown == line);
    }

    /// Waits until a line shows that begins so.
    ///
    /// # Panics
    /// If it does not, in time.
    #[track_caller]
    pub fn wait_for_start(&self, start: &str) {
        self.wait_until(start, |shown| shown.starts_with(start));
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !self.shows().lines().any(&is_it) {
            assert!(began.elapsed() < PATIENCE, "no line {what:?} in\n{}", self.shows());
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits for the end of the program: its exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn end(&mut self) -> u32 {
        eventually_sync("the program ends", || self.child.try_wait().ok().flatten()).exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended before.
        drop(self.child.kill());
    }
}
