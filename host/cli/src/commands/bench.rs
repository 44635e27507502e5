//! `wasmverse bench`: a running cluster under load, measured from outside.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clap::Args;
use tokio_util::sync::CancellationToken;
use wasmverse_core::{ObjectId, TypeName};

use super::call::check_json;
use crate::{
    client::{CallRequest, Client},
    command_line::Global,
    endpoint::Side,
    failure::{Failure, Result},
    load::{self, Plan, Report, Surface},
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse bench                                          Echo.echo, 16 bytes, 64 connections
  wasmverse bench --via grpc --duration 30s --json
  wasmverse bench --via ws                                 calls as a session's client
  wasmverse bench --rate 5000                              open loop: what users would feel
  wasmverse bench --type Counter --method add --argument 1 --objects 1000

Without --rate each connection calls as fast as it is answered. With it, calls are due at that
rate, and one that had to wait for the one before counts from when it was due.
--via speaks to that side at the address of --url, or at its usual port on the same host.";

/// Longer than anybody measures.
const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// The type to call
    #[arg(long = "type", value_name = "TYPE", default_value = "Echo", value_parser = TypeName::new)]
    type_name: TypeName,
    /// The method to call
    #[arg(long, default_value = "echo")]
    method: String,
    /// How many objects, named bench-0, bench-1 …
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    objects: u32,
    /// How many connections, each with one call under way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// For how long
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The size of the argument in bytes: a JSON text of that length
    #[arg(long, default_value_t = 16, value_name = "BYTES", conflicts_with = "argument")]
    payload: usize,
    /// The argument itself, as JSON; empty: none
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    argument: Option<String>,
    /// Which side of the gate; left out: the one that --url names
    #[arg(long)]
    via: Option<Surface>,
    /// Calls per second in all (open loop)
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Give every call an idempotency key of its own
    #[arg(long)]
    keyed: bool,
}

pub(crate) async fn run(args: &BenchArgs, global: &Global, output: Output) -> Result<()> {
    let plan = Arc::new(plan(args, global)?);
    probe(&plan).await?;
    output.note(format_args!(
        "{}.{} on {} objects, {} connections to {}, {} bytes, {}",
        args.type_name,
        args.method,
        args.objects,
        args.connections,
        plan.endpoint,
        plan.payload.len(),
        humantime::format_duration(args.duration),
    ));
    let stop = CancellationToken::new();
    let bar = output.progress(args.duration.as_secs(), "calling");
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let driving = load::drive(plan, stop.clone());
    tokio::pin!(driving);
    let tally = loop {
        tokio::select! {
            tally = &mut driving => break tally?,
            _ = seconds.tick() => bar.inc(1),
            // What was measured until then is reported.
            signal = tokio::signal::ctrl_c(), if !stop.is_cancelled() => {
                signal?;
                stop.cancel();
            }
        }
    };
    bar.finish_and_clear();
    let report = Report::of(&tally);
    output.result(&report, || report.text())
}

fn plan(args: &BenchArgs, global: &Global) -> Result<Plan> {
    let endpoint = global.endpoint()?;
    let surface = args.via.unwrap_or(match endpoint.side {
        Side::Grpc => Surface::Grpc,
        Side::Http => Surface::Http,
    });
    let side = match surface {
        Surface::Grpc => Side::Grpc,
        Surface::Http | Surface::Ws => Side::Http,
    };
    let payload = match &args.argument {
        Some(argument) => {
            if !argument.is_empty() {
                check_json(argument.as_bytes())?;
            }
            Bytes::from(argument.clone())
        }
        None => json_of(args.payload),
    };
    let object = |number| ObjectId::new(args.type_name.clone(), &format!("bench-{number}"));
    let objects = (0..args.objects).map(object).collect::<std::result::Result<_, _>>();
    // Keys of one run are new to those of every other.
    let run = || {
        format!(
            "bench-{}-{}",
            std::process::id(),
            humantime::format_rfc3339_micros(std::time::SystemTime::now())
        )
    };
    Ok(Plan {
        endpoint: endpoint.via(side),
        surface,
        token: global.token.clone(),
        objects: objects.map_err(|error| Failure::usage(error.to_string()))?,
        method: args.method.clone(),
        payload,
        connections: args.connections as usize,
        duration: args.duration,
        rate: args.rate,
        key_prefix: args.keyed.then(run),
    })
}

/// One call, to say in words what would fail ten thousand times.
async fn probe(plan: &Plan) -> Result<()> {
    let mut client = Client::connect(&plan.endpoint, plan.token.as_deref()).await?;
    let request = CallRequest {
        object: plan.objects[0].clone(),
        method: plan.method.clone(),
        payload: plan.payload.clone(),
        is_json: true,
        key: plan.key_prefix.as_ref().map(|prefix| format!("{prefix}-probe")),
        timeout: None,
        session: None,
    };
    let hopeless = ["not-found", "invalid-argument", "denied", "unauthenticated"];
    match client.call(&request).await {
        Err(Failure::Call(failure)) if !hopeless.contains(&failure.code.as_str()) => Ok(()),
        other => other.map(drop),
    }
}

/// A JSON text of so many bytes.
fn json_of(bytes: usize) -> Bytes {
    match bytes {
        0 => Bytes::new(),
        1 => Bytes::from_static(b"0"),
        _ => Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2))),
    }
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if !span.is_zero() && span <= DURATION_MAX => Ok(span),
        Ok(_) => Err("a run lasts longer than nothing and 30 days at most".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a rate is a positive number of calls per second".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn plan_of(words: &[&str]) -> Result<Plan> {
        let words = ["wasmverse", "bench"].iter().chain(words);
        let line = CommandLine::try_parse_from(words).unwrap();
        match line.command {
            Command::Bench(args) => plan(&args, &line.global),
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn payloads_are_json_of_the_wanted_length() {
        for bytes in [1, 2, 3, 16, 5000] {
            let payload = json_of(bytes);
            assert_eq!(payload.len(), bytes);
            check_json(&payload).unwrap();
        }
        assert_eq!(json_of(0).len(), 0);
    }

    #[test]
    fn the_plan_follows_the_words() {
        let words = ["--type", "Counter", "--method", "add", "--argument", "-1", "--objects", "3"];
        let plan = plan_of(&words).unwrap();
        assert_eq!(plan.objects[2].to_string(), "Counter/bench-2");
        assert_eq!(&plan.payload[..], b"-1");
        let plan = plan_of(&["--via", "grpc", "--rate", "0.5", "--keyed"]).unwrap();
        assert_eq!(plan.endpoint.to_string(), "grpc://127.0.0.1:49000");
        assert_eq!(plan.rate, Some(0.5));
        assert!(plan.key_prefix.is_some());
        let plan = plan_of(&["--via", "ws"]).unwrap();
        assert_eq!(plan.endpoint.to_string(), "http://127.0.0.1:8080");
        assert_eq!(plan.surface, Surface::Ws);
    }

    #[test]
    fn what_cannot_be_measured_says_why() {
        assert!(matches!(plan_of(&["--argument", "{"]), Err(Failure::Usage(_))));
        for words in [["--rate", "0"], ["--duration", "0s"], ["--duration", "1000y"]] {
            let words = ["wasmverse", "bench"].into_iter().chain(words);
            assert_eq!(CommandLine::try_parse_from(words).unwrap_err().exit_code(), 2);
        }
    }
}
