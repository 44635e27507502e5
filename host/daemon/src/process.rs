//! The frame of a process: runtime, logs, signals, exit code.

use std::{fmt::Display, io::Write as _, process::ExitCode, time::Duration};

use anyhow::Context as _;

use crate::{Shutdown, config::LogConfig, logs};

/// A worker looks at sockets and timers after so many polls. Much less than tokio's 61: a guest may
/// hold a worker for a whole tick of 10 ms, and its neighbours wait for their sockets meanwhile.
const EVENT_INTERVAL: u32 = 8;
/// How long tasks have to end once the process is asked to. Longer than a turn's drain limit.
const DRAIN_GRACE: Duration = Duration::from_secs(30);
/// How long blocking work (a compilation) is waited for after that.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Runs a process until it fails or is asked to end: logs, runtime, signals, then `serve`, then
/// waits for all tasks. Errors go to standard error as `NAME: failed to …: cause`.
pub fn run<F>(name: &str, log: &LogConfig, serve: F) -> ExitCode
where
    F: AsyncFnOnce(Shutdown) -> anyhow::Result<()>,
{
    if let Err(problem) = logs::install(log) {
        return fail(name, &problem);
    }
    let runtime = match runtime().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &format!("failed to start the runtime: {error}")),
    };
    let served = runtime.block_on(async {
        let shutdown = Shutdown::on_signal().context("failed to listen for signals")?;
        let served = serve(shutdown.clone()).await;
        if !shutdown.drain(DRAIN_GRACE).await {
            tracing::warn!(tasks = shutdown.tracker().len(), "some tasks did not end in time");
        }
        served
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, &format!("{error:#}")),
    }
}

/// Prints what a process was asked for; that nobody reads to the end (`| head`) is no failure.
pub fn print(name: &str, text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            fail(name, &format!("failed to print: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Says why a process ends, and with which code.
pub fn fail(name: &str, problem: &dyn Display) -> ExitCode {
    eprintln!("{name}: {problem}");
    ExitCode::FAILURE
}

/// A runtime for processes that run guests.
pub fn runtime() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().event_interval(EVENT_INTERVAL);
    builder
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    fn exit_code(serve: impl AsyncFnOnce(Shutdown) -> anyhow::Result<()>) -> String {
        format!("{:?}", run("test", &LogConfig::default(), serve))
    }

    #[test]
    fn a_process_that_served_exits_with_zero() {
        let served = exit_code(async |shutdown: Shutdown| {
            shutdown.request();
            shutdown.requested().await;
            Ok(())
        });
        assert_eq!(served, format!("{:?}", ExitCode::SUCCESS));
    }

    #[test]
    fn a_process_that_failed_exits_with_one_after_its_tasks() {
        let (end, ended) = std::sync::mpsc::sync_channel(1);
        let failed = exit_code(async |shutdown: Shutdown| {
            let requested = shutdown.clone();
            shutdown.spawn(async move {
                requested.requested().await;
                end.send(()).unwrap();
            });
            Err(std::io::Error::other("no room")).context("failed to open the store")
        });
        assert_eq!(failed, format!("{:?}", ExitCode::FAILURE));
        assert!(ended.try_recv().is_ok(), "the task was waited for");
    }

    #[test]
    fn a_filter_that_is_none_fails_the_process() {
        let log = LogConfig { filter: "a=b=c".to_owned(), ..LogConfig::default() };
        let failed = run("test", &log, async |_| Ok(()));
        assert_eq!(format!("{failed:?}"), format!("{:?}", ExitCode::FAILURE));
    }

    /// Says to a child of the test below what to do.
    const CHILD: &str = "WASMVERSE_TEST_PROCESS";

    #[test]
    fn one_signal_ends_a_process_in_good_order_and_a_second_one_at_once() {
        if let Ok(task) = std::env::var(CHILD) {
            return serve_as_child(task == "stuck");
        }
        for (task, signals, code) in [
            ("quick", &["TERM"][..], 0),
            ("quick", &["INT"], 0),
            ("stuck", &["TERM", "INT"], 130),
            ("stuck", &["INT", "TERM"], 143),
        ] {
            let this_test = concat!(
                "process::tests::",
                "one_signal_ends_a_process_in_good_order_and_a_second_one_at_once"
            );
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([this_test, "--exact", "--nocapture"])
                .env(CHILD, task)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for signal in signals {
                // It says when it is ready for the next one.
                lines.find(|line| line.as_ref().unwrap() == "next").unwrap().unwrap();
                let pid = child.id().to_string();
                let sent = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
                assert!(sent.success());
            }
            lines.for_each(drop);
            assert_eq!(child.wait().unwrap().code(), Some(code), "{task}, {signals:?}");
        }
    }

    fn serve_as_child(stuck: bool) {
        let code = run("child", &LogConfig::default(), async |shutdown| {
            println!("\nnext");
            shutdown.requested().await;
            if stuck {
                shutdown.spawn(std::future::pending::<()>());
                println!("next");
            }
            Ok(())
        });
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    }
}
