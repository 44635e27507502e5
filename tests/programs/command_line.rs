//! `wasmverse`, as a new user and as a script use it.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};
use wasmverse_tests::{
    guests::{AUCTION, BANK_ACCOUNT, COUNTER, ECHO, chameleon},
    patience::eventually_sync,
    programs::{Dev, Process, Ran, program, target_folder, wasmverse},
};

/// Runs `wasmverse` in a folder, as one would type it, apart from whatever builds this test.
fn typed(dev: &Dev, words: &[&str]) -> Ran {
    let mut command = Command::new(program("wasmverse"));
    command.current_dir(dev.folder.path()).args(words).env("WASMVERSE_URL", &dev.http.url);
    command.output().unwrap().into()
}

fn started() -> Dev {
    let files = [COUNTER, ECHO, BANK_ACCOUNT, AUCTION].map(|guest| guest.path().to_str().unwrap());
    Dev::start(&files)
}

#[test]
fn a_new_user_gets_from_nothing_to_a_running_object() {
    let dev = started();
    let new = typed(&dev, &["new", "hello"]);
    assert_eq!(new.code, Some(0), "{new:?}");
    let build = typed(&dev, &["build", "hello"]);
    assert_eq!(build.code, Some(0), "{build:?}");
    let component = PathBuf::from(build.out.trim_end().lines().last().unwrap());
    assert!(component.is_absolute() && component.exists(), "{build:?}");
    assert!(component.ends_with("target/wasmverse/hello.wasm"), "{build:?}");
    let deploy = typed(&dev, &["deploy", component.to_str().unwrap()]);
    assert_eq!(deploy.code, Some(0), "{deploy:?}");
    let call = typed(&dev, &["call", "Hello/world", "add", "5"]);
    assert_eq!((call.code, call.out.trim()), (Some(0), "5"), "{call:?}");
    let again = typed(&dev, &["new", "hello"]);
    assert_ne!(again.code, Some(0), "it overwrites nothing: {again:?}");
    let types = typed(&dev, &["types"]);
    assert!(types.out.contains("Hello"), "{types:?}");
    // The logic is tested natively, as the new crate shows.
    let tests = Command::new("cargo")
        .args(["test", "--quiet", "--manifest-path", "hello/Cargo.toml"])
        .current_dir(dev.folder.path())
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .env("CARGO_TARGET_DIR", target_folder().join("hello"))
        .output()
        .unwrap();
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stderr));
}

#[test]
fn each_command_says_what_it_did_and_as_json_what_scripts_want() {
    let dev = started();
    for url in [dev.http.url.clone(), format!("grpc://{}", dev.grpc)] {
        let object = format!("Counter/{}", &url[..4]);
        let run = |words: &[&str]| wasmverse(&url, words);
        let call = run(&["call", &object, "add", "5"]);
        assert_eq!((call.code, call.out.trim()), (Some(0), "5"), "{call:?}");
        let call = run(&["--json", "call", &object, "value"]);
        assert_eq!(call.json(), json!(5), "{call:?}");
        let get = run(&["get", &object, "--json"]).json();
        assert_eq!((&get["type"], &get["revision"]), (&json!("Counter"), &json!(1)), "{get}");
        let list = run(&["list", "Counter", "--json"]);
        assert!(list.out.contains(&object[8..]), "{list:?}");
        let types = run(&["types", "--json"]).json();
        assert!(types.to_string().contains("BankAccount"), "{types}");
        let create = run(&["create", "Counter/made"]);
        let again = run(&["create", "Counter/made"]);
        assert_eq!((create.code, again.code), (Some(0), Some(1)), "{create:?} {again:?}");
        assert_eq!(run(&["delete", "Counter/made"]).code, Some(0));
        let gone = run(&["get", "Counter/made", "--json"]);
        assert_eq!((gone.code, &gone.json()["error"]["code"]), (Some(1), &json!("not-found")));
    }
}

#[test]
fn what_dies_is_listed_shown_sent_again_and_forgotten() {
    let dev = started();
    for url in [dev.http.url.clone(), format!("grpc://{}", dev.grpc)] {
        let run = |words: &[&str]| wasmverse(&url, words);
        let [ann, rich] = ["ann", "rich"].map(|id| format!("BankAccount/{id}-{}", &url[..4]));
        run(&["call", &ann, "deposit", "100"]);
        run(&["call", &rich, "deposit", &i64::MAX.to_string()]);
        let (_, rich_id) = rich.split_once('/').unwrap();
        let transfer = json!({ "to": rich_id, "amount": 30 }).to_string();
        let dead = |but: &str| {
            eventually_sync("a send dies", || {
                let list = run(&["dead-letters", "list", &ann, "--json"]).json();
                let number = list["dead_letters"][0]["number"].as_u64()?.to_string();
                (number != but).then_some(number)
            })
        };
        run(&["call", &ann, "transfer", &transfer]);
        let first = dead("");
        let list = run(&["dead-letters", "list", &ann]);
        let beginning = format!("{first}\tsend\t{ann}\t{rich}\tdeposit\t");
        assert!(list.out.starts_with(&beginning) && list.out.contains("overflow"), "{list:?}");
        let show = run(&["dead-letters", "show", &first]);
        assert!(show.out.contains("\npayload   30\n"), "{show:?}");
        let show = run(&["dead-letters", "show", &first, "--json"]).json();
        assert_eq!((&show["to"], &show["payload"]), (&json!(rich), &json!(30)), "{show}");

        let retry = run(&["dead-letters", "retry", &first]);
        assert_eq!((retry.code, retry.out), (Some(0), format!("retried {first}\n")));
        // Nothing was mended: it dies again.
        let second = dead(&first);
        run(&["call", &rich, "withdraw", "30"]);
        let retry = run(&["dead-letters", "retry", &first, &second, "--json"]);
        let told = retry.json();
        assert_eq!(
            (retry.code, &told["retried"]),
            (Some(1), &json!([second.parse::<u64>().unwrap()]))
        );
        assert_eq!(told["failed"][0]["error"]["code"], "not-found", "{told}");
        eventually_sync("it arrives", || {
            let balance = run(&["call", &rich, "balance"]).out;
            (balance.trim() == i64::MAX.to_string()).then_some(())
        });
        let none = run(&["dead-letters", "list", &ann]);
        let expected = (Some(0), "", "no dead letters\n");
        assert_eq!((none.code, &*none.out, &*none.err), expected);

        run(&["call", &ann, "transfer", &transfer]);
        let third = dead("");
        let unsure = run(&["dead-letters", "drop", "--all"]);
        assert!(unsure.code == Some(2) && unsure.err.contains("--yes"), "{unsure:?}");
        let all = run(&["dead-letters", "drop", "--all", "--from", &ann, "--yes"]);
        assert_eq!((all.code, all.out), (Some(0), format!("dropped {third}\n")));
        assert_eq!(run(&["dead-letters", "drop", &third]).code, Some(1));
        let none = run(&["dead-letters", "list", &ann, "--json"]);
        assert_eq!(none.json()["dead_letters"], json!([]), "{none:?}");
    }
}

#[test]
fn reminders_are_listed_with_when_they_are_due() {
    let dev = started();
    for url in [dev.http.url.clone(), format!("grpc://{}", dev.grpc)] {
        let auction = format!("Auction/{}", &url[..4]);
        let open = r#"{"item": "a clock", "seconds": 3600}"#;
        let opened = wasmverse(&url, &["call", &auction, "open", open]);
        assert_eq!(opened.code, Some(0), "{opened:?}");
        let list = wasmverse(&url, &["reminders", &auction]);
        assert!(list.out.starts_with("NAME") && list.out.contains("\nclose"), "{list:?}");
        let list = wasmverse(&url, &["reminders", &auction, "--json"]).json();
        let reminder = &list["reminders"][0];
        assert_eq!((&reminder["name"], &reminder["method"]), (&json!("close"), &json!("close")));
        assert!(reminder["due_at"].as_str().unwrap().ends_with('Z'), "{list}");
        let none = wasmverse(&url, &["reminders", "Auction/nobody", "--json"]);
        assert_eq!((none.code, none.json()), (Some(0), json!({"reminders": []})), "{none:?}");
    }
}

#[test]
fn a_deploy_reports_who_moved_and_who_stayed() {
    let dev = started();
    let folder = dev.folder.path();
    let revision = |label: &str, activate: &str| {
        let path = folder.join(format!("{label}.wasm"));
        let describe = json!({ "type": "Thing", "revision": label });
        let settings = json!({ "describe": describe, "activate": activate, "victims": "v" });
        fs::write(&path, chameleon(&settings)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let first = typed(&dev, &["deploy", &revision("one", "")]);
    assert_eq!(first.code, Some(0), "{first:?}");
    for id in ["v", "w"] {
        let call = typed(&dev, &["call", &format!("Thing/{id}"), "add", "1"]);
        assert_eq!(call.code, Some(0), "{call:?}");
    }
    let second = typed(&dev, &["deploy", &revision("two", "refuse")]);
    let told = format!("{}{}", second.out, second.err);
    assert!(told.contains("want me to refuse") && told.contains('v'), "{second:?}");
    let label = typed(&dev, &["call", "Thing/w", "label"]);
    assert_eq!(label.out.trim(), "\"two\"", "{label:?}");
    let eternal = folder.join("eternal.wasm");
    let describe = json!({ "type": "Thing", "durability": "eternal" });
    fs::write(&eternal, chameleon(&json!({ "describe": describe }))).unwrap();
    let refused = typed(&dev, &["deploy", eternal.to_str().unwrap(), "--json"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "invalid-argument", "{refused:?}");
    assert!(refused.err.contains("eternal"), "{refused:?}");
}

#[test]
fn bench_measures_what_it_calls() {
    let dev = started();
    for via in ["grpc", "http", "ws"] {
        let url = if via == "grpc" { format!("grpc://{}", dev.grpc) } else { dev.http.url.clone() };
        let words = "bench --type Echo --method echo --objects 10 --connections 4 --duration 1s \
            --payload 16 --json --via";
        let ran = wasmverse(&url, &words.split_whitespace().chain([via]).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let report = ran.json();
        assert!(report["calls"].as_u64().unwrap() > 10, "{report}");
        assert_eq!(report["errors"], json!({}), "{report}");
        for figure in ["p50", "p90", "p99", "p999", "max"] {
            assert!(report["latency_us"][figure].as_f64().unwrap() > 0.0, "{report}");
        }
    }
}

#[test]
fn listen_prints_what_its_session_is_pushed() {
    let dev = started();
    let path = dev.folder.path().join("thing.wasm");
    fs::write(&path, chameleon(&json!({ "describe": { "type": "Thing" } }))).unwrap();
    typed(&dev, &["deploy", path.to_str().unwrap()]);
    for url in [dev.http.url.clone(), format!("grpc://{}", dev.grpc)] {
        let listen = |words: &[&str], log: &str| {
            let mut command = Command::new(program("wasmverse"));
            command.arg("listen").args(words).env("WASMVERSE_URL", &url);
            Process::start(&mut command, &dev.folder.path().join(log))
        };
        let (all, picky) = (listen(&["--json"], "all"), listen(&["--event", "other"], "picky"));
        let client = eventually_sync("it says who it is", || {
            let first: Value = serde_json::from_str(all.printed().lines().next()?).ok()?;
            Some(first["client_id"].as_str()?.to_owned())
        });
        eventually_sync("the other one, too", || {
            picky.printed().starts_with("listening as").then_some(())
        });
        let argument = json!(client).to_string();
        let pushed = typed(&dev, &["call", "Thing/a", "push", &argument]);
        assert_eq!(pushed.code, Some(0), "{pushed:?}");
        typed(&dev, &["call", "Thing/a", "broadcast", "\"to\\u001b[2Jall\""]);
        eventually_sync("it is pushed both", || {
            let printed = all.printed();
            (printed.contains(&client) && printed.contains("2Jall")).then_some(())
        });
        let events = all.printed().lines().filter(|line| line.contains(r#""op":"push""#)).count();
        assert_eq!(events, 2, "{}", all.printed());
        assert!(!picky.printed().contains("all"), "{}", picky.printed());
        assert!(!all.printed().contains('\u{1b}'), "{}", all.printed());
    }
}

#[test]
fn logs_follow_an_object() {
    let dev = started();
    let path = dev.folder.path().join("thing.wasm");
    fs::write(&path, chameleon(&json!({ "describe": { "type": "Thing" } }))).unwrap();
    typed(&dev, &["deploy", path.to_str().unwrap()]);
    typed(&dev, &["call", "Thing/a", "note", "\"before\""]);
    let mut command = Command::new(program("wasmverse"));
    command.args(["logs", "Thing/a"]).env("WASMVERSE_URL", &dev.http.url);
    let logs = Process::start(&mut command, &dev.folder.path().join("logs"));
    eventually_sync("it follows", || {
        typed(&dev, &["call", "Thing/a", "note", "\"it rains\""]);
        typed(&dev, &["call", "Thing/b", "note", "\"elsewhere\""]);
        logs.printed().contains("it rains").then_some(())
    });
    assert!(!logs.printed().contains("elsewhere"), "{}", logs.printed());
}

#[test]
fn dev_with_watch_swaps_in_what_is_saved() {
    let folder = tempfile::TempDir::new().unwrap();
    let component = folder.path().join("thing.wasm");
    let write = |label: &str| {
        let describe = json!({ "type": "Thing", "revision": label });
        let next = folder.path().join("next");
        fs::write(&next, chameleon(&json!({ "describe": describe }))).unwrap();
        fs::rename(next, &component).unwrap();
    };
    write("one");
    let dev = Dev::start(&[component.to_str().unwrap(), "--watch"]);
    typed(&dev, &["call", "Thing/a", "add", "5"]);
    write("two");
    eventually_sync("the new one serves", || {
        (typed(&dev, &["call", "Thing/a", "label"]).out.trim() == "\"two\"").then_some(())
    });
    assert_eq!(typed(&dev, &["call", "Thing/a", "value"]).out.trim(), "5");
    fs::write(&component, "no component").unwrap();
    eventually_sync("it says what is wrong", || {
        dev.process.printed().contains("serves on").then_some(())
    });
    assert_eq!(typed(&dev, &["call", "Thing/a", "value"]).out.trim(), "5");
    let ready: Value = json!(dev.process.printed().contains("http://"));
    assert_eq!(ready, json!(true));
}
