//! `wasmverse store`: what a node kept is looked over, exported, and carried to other stores; what
//! must not be touched is not.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{COUNTER, chameleon},
    patience::eventually_sync,
    postgres::{Databases, query},
    programs::{Dev, Ran, program},
};

/// What nobody may see.
const PASSWORD: &str = "hunter2";

/// A record as an export has it.
const SHARD: &str =
    r#"{"kind":"shard","shard":1,"epoch":1,"node":"n","incarnation":"i","claimed_at":1}"#;

/// Runs `wasmverse store` in a folder, and looks whether it gives a password away.
fn store(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> Ran {
    let mut command = Command::new(program("wasmverse"));
    // The address of a cluster, which is no store's.
    command.env("WASMVERSE_URL", "http://127.0.0.1:1").envs(variables.iter().copied());
    let ran: Ran = command.arg("store").args(words).current_dir(folder).output().unwrap().into();
    assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "{ran:?}");
    ran
}

#[track_caller]
fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

/// That it failed with this code, and said so.
#[track_caller]
fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in {ran:?}");
    }
}

/// A database's URL, with a password that the server does not ask for.
fn with_password(url: &str) -> String {
    let (user, rest) = url.split_once('@').unwrap();
    let user = user.trim_start_matches("postgres://").split(':').next().unwrap();
    format!("postgres://{user}:{PASSWORD}@{rest}")
}

/// The records of an export; state as JSON in whatever words the database has for it.
fn records(lines: &str) -> Vec<Value> {
    let record = |line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        if let Some(state) = record["json"].as_str() {
            record["json"] = serde_json::from_str(state).unwrap();
        }
        record
    };
    lines.lines().map(record).collect()
}

/// A system that has kept something of everything, in `state` of its folder.
async fn used() -> Dev {
    let parts = TempDir::new().unwrap();
    let thing = parts.path().join("thing.wasm");
    let describe = json!({ "type": "Thing", "durability": "durable" });
    fs::write(&thing, chameleon(&json!({ "describe": describe }))).unwrap();
    let dev = Dev::start(&[COUNTER.path().to_str().unwrap(), thing.to_str().unwrap()]);
    for (object, add) in [("Counter/a", 5), ("Counter/b", 7)] {
        dev.http.ok(object, "add", add).await;
    }
    dev.http.ok("Thing/a", "count_twice", 3).await;
    dev
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_kept_is_exported_and_goes_on_in_other_stores() {
    let mut dev = used().await;
    let folder = dev.folder.path().to_owned();
    let run = |words: &[&str]| store(&folder, &[], words);
    let state = ["--data-dir", "state"];
    let on = |place: [&'static str; 2], words: &[&str]| run(&[words, &place[..]].concat());

    // As long as a process has it, nobody else.
    let holder = format!("process {}", dev.process.id());
    for words in [&["status"][..], &["verify"], &["export", "early.jsonl"], &["init"]] {
        refused(&on(state, words), 1, &["wasmverse.db", &holder, "Stop the node"]);
    }
    assert!(!folder.join("early.jsonl").exists());
    assert_eq!(dev.process.stop(), Some(0), "{}", dev.process.printed());

    let status = ok(on(state, &["status", "--json"])).json();
    assert_eq!(status["objects"], json!({ "Counter": 2, "Thing": 1 }), "{status}");
    assert_eq!((&status["shards"], &status["storage_keys"]), (&json!(8192), &json!(1)), "{status}");
    let shown = ok(on(state, &["status"]));
    assert!(shown.out.contains("Counter  2") && shown.out.contains("state/wasmverse.db"));
    assert!(ok(on(state, &["verify"])).out.contains("no problems: 3 objects of 2 types"));

    let told = ok(on(state, &["export", "one.jsonl", "--json"])).json();
    let one = fs::read_to_string(folder.join("one.jsonl")).unwrap();
    assert_eq!(told["records"], one.lines().count(), "{told}");
    refused(&on(state, &["export", "one.jsonl"]), 2, &["one.jsonl", "--force"]);
    ok(on(state, &["export", "one.jsonl", "--force"]));
    assert_eq!(fs::read_to_string(folder.join("one.jsonl")).unwrap(), one);

    // Into SQLite.
    let copy = ["--data-dir", "copy"];
    let imported = ok(on(copy, &["import", "one.jsonl"]));
    assert!(imported.out.contains(status["cluster_id"].as_str().unwrap()), "{imported:?}");
    refused(&on(copy, &["import", "one.jsonl"]), 1, &["not empty", "new one", "--data-dir"]);
    ok(on(copy, &["verify"]));
    assert_eq!(ok(on(copy, &["export"])).out, one);

    // Into PostgreSQL, and back.
    let databases = Databases::find();
    let url = with_password(&databases.database());
    let there = |words: &[&str]| store(&folder, &[("WASMVERSE_STORE__URL", &url)], words);
    assert!(ok(there(&["init"])).out.contains("postgres://"));
    ok(there(&["import", "one.jsonl"]));
    assert!(ok(there(&["verify"])).out.contains("no problems: 3 objects of 2 types"));
    ok(there(&["export", "two.jsonl"]));
    let two = fs::read_to_string(folder.join("two.jsonl")).unwrap();
    assert_eq!(records(&two), records(&one));
    let back = ["--data-dir", "back"];
    ok(on(back, &["import", "two.jsonl"]));
    assert_eq!(records(&ok(on(back, &["export"])).out), records(&one));

    // A node goes on with it.
    let config = format!("[store]\nurl = \"{url}\"\n");
    let moved = Dev::start_with(&[COUNTER.path().to_str().unwrap()], &config);
    assert_eq!(moved.http.ok("Counter/a", "add", 1).await, json!(6));
    assert_eq!(moved.http.ok("Thing/a", "read", "count").await, json!(3));
    // Its store can be looked at meanwhile, as the configuration beside it names it.
    let looked = store(moved.folder.path(), &[], &["status", "--json"]);
    assert_eq!(ok(looked).json()["cluster_id"], status["cluster_id"]);
}

#[test]
fn a_store_is_made_once_and_never_by_looking_for_it() {
    let folder = TempDir::new().unwrap();
    let run = |words: &[&str]| store(folder.path(), &[], words);
    for words in [&["status"][..], &["verify"], &["export"], &["export", "x.jsonl"]] {
        refused(&run(words), 1, &[".wasmverse/wasmverse.db", "wasmverse store init"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    let made = ok(run(&["init"]));
    assert!(made.out.contains("made a store"), "{made:?}");
    let again = ok(run(&["init"]));
    assert!(again.out.contains("already"), "{again:?}");
    let id = |words: &[&str]| ok(run(words)).json()["cluster_id"].clone();
    assert_eq!(id(&["init", "--json"]), id(&["status", "--json"]));

    // Which one it is: flags, then the environment, then the file.
    fs::write(folder.path().join("wasmverse.toml"), "[store]\nurl = \"sqlite:file.db\"\n").unwrap();
    let at = |variables: &[(&str, &str)], words: &[&str]| {
        let words = [&["init", "--json"], words].concat();
        let store = ok(store(folder.path(), variables, &words)).json()["store"].clone();
        let path = Path::new(store.as_str().unwrap());
        path.strip_prefix(folder.path()).unwrap_or(path).to_str().unwrap().to_owned()
    };
    let variable = [("WASMVERSE_STORE__URL", "sqlite:variable.db")];
    assert_eq!(at(&[], &[]), "file.db");
    assert_eq!(at(&variable, &[]), "variable.db");
    assert_eq!(at(&variable, &["--url", "sqlite:flag.db"]), "flag.db");
    assert_eq!(at(&variable, &["--data-dir", "folder"]), "folder/wasmverse.db");
    fs::write(folder.path().join("other.toml"), "[store]\ndata_dir = \"other\"\n").unwrap();
    assert_eq!(at(&[], &["--config", "other.toml"]), "other/wasmverse.db");
    refused(&run(&["init", "--url", "sqlite:a", "--data-dir", "b"]), 2, &["--url and --data-dir"]);
    refused(&run(&["init", "--url", "sqlite::memory:"]), 2, &["memory"]);
    refused(&run(&["init", "--url", "mysql://me:hunter2@h/db"]), 2, &["postgres://"]);
}

#[test]
fn a_store_of_another_size_or_of_a_newer_program_is_refused() {
    let folder = TempDir::new().unwrap();
    let run = |words: &[&str]| store(folder.path(), &[], words);
    let smaller = [("WASMVERSE_CLUSTER__SHARDS", "64")];
    ok(store(folder.path(), &smaller, &["init"]));
    refused(&run(&["status"]), 1, &["64 shards", "set cluster.shards to 64"]);
    ok(store(folder.path(), &smaller, &["export", "small.jsonl"]));
    let into = ["import", "small.jsonl", "--data-dir", "new"];
    refused(&run(&into), 2, &["64 shards", "WASMVERSE_CLUSTER__SHARDS=64"]);
    assert!(!folder.path().join("new").exists(), "no store of the wrong size was made");

    let databases = Databases::find();
    let url = databases.database();
    let there = ["status", "--url", &with_password(&url)];
    refused(&run(&there), 1, &["wasmverse store init"]);
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(query(&url, tables).unwrap().trim(), "0", "looking makes nothing");
    assert!(ok(run(&["init", "--url", &with_password(&url)])).out.starts_with("made a store"));
    assert!(ok(run(&there)).err.contains("is it the one you mean?"));
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                 execution_time) VALUES (9999, 'later', true, '\\x00', 0)";
    query(&url, newer).unwrap();
    refused(&run(&there), 1, &["newer program", "9999"]);
    let nobody = with_password("postgres://me@127.0.0.1:1/db");
    let away = run(&["status", "--json", "--url", &nobody]);
    refused(&away, 3, &["postgres://127.0.0.1:1/db"]);
    assert_eq!(away.json()["error"]["code"], "unavailable", "{away:?}");
}

#[test]
fn an_export_that_is_not_whole_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let run = |words: &[&str]| store(folder.path(), &[], words);
    let write = |text: &str| fs::write(folder.path().join("export.jsonl"), text).unwrap();
    ok(run(&["init"]));
    let whole = ok(run(&["export", "-"])).out;
    let (first, end) = whole.split_once('\n').unwrap();
    let import = ["import", "export.jsonl", "--data-dir", "new"];
    for (text, says) in [("", "no export"), ("PK\u{3}", "no export"), (end, "no export")] {
        write(text);
        refused(&run(&import), 2, &["export.jsonl", says]);
        assert!(!folder.path().join("new").exists());
    }
    for (text, says) in [
        (format!("{first}\n{SHARD}\n"), "cut short"),
        (format!("{first}\n{SHARD}\n{{\"kind\":\"obj"), "line 3"),
        (format!("{first}\n{SHARD}\n{first}\n{end}"), "not in order"),
    ] {
        write(&text);
        refused(&run(&import), 1, &["export.jsonl is damaged", says]);
    }
    // Nothing of them is left in the way.
    write(&format!("{first}\n{SHARD}\n{end}"));
    let imported = ok(run(&[&import[..], &["--json"]].concat())).json();
    assert_eq!((&imported["records"], &imported["claimed"]), (&json!(3), &json!(1)), "{imported}");
    refused(&run(&["import", "nowhere.jsonl"]), 1, &["failed to read nowhere.jsonl"]);
    refused(&run(&["export", "/nowhere/x.jsonl"]), 1, &["failed to write /nowhere/x.jsonl"]);
    refused(&run(&["export", "new", "--force"]), 2, &["no file"]);
    // A disk that is full.
    let mut full = Command::new(program("wasmverse"));
    let full = full.args(["store", "export"]).current_dir(folder.path());
    let full: Ran = full.stdout(fs::File::create("/dev/full").unwrap()).output().unwrap().into();
    refused(&full, 1, &["failed to write standard output", "No space"]);
}

#[test]
fn an_import_that_is_interrupted_ends_at_once_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    ok(store(folder.path(), &[], &["init"]));
    let whole = ok(store(folder.path(), &[], &["export"])).out;
    let (first, end) = whole.split_once('\n').unwrap();
    let words = ["import", "-", "--data-dir", "new"];
    let mut import = Command::new(program("wasmverse"));
    import.arg("store").args(words).current_dir(folder.path()).stdin(Stdio::piped());
    let mut import = import.stderr(Stdio::piped()).spawn().unwrap();
    let lines = import.stdin.as_mut().unwrap();
    lines.write_all(format!("{first}\n{SHARD}\n").as_bytes()).unwrap();
    let database = folder.path().join("new/wasmverse.db");
    eventually_sync("there is a store", || database.exists().then_some(()));
    Command::new("kill").args(["-TERM", &import.id().to_string()]).status().unwrap();
    let more = import.stdin.take().unwrap();
    let ended = eventually_sync("it ends", || import.try_wait().unwrap());
    drop(more);
    let mut told = String::new();
    import.stderr.unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((ended.code(), &*told), (Some(1), "error: interrupted: it was not done\n"));
    fs::write(folder.path().join("whole.jsonl"), format!("{first}\n{SHARD}\n{end}")).unwrap();
    ok(store(folder.path(), &[], &["import", "whole.jsonl", "--data-dir", "new"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_store_is_told_line_by_line() {
    let mut dev = used().await;
    let folder = dev.folder.path().to_owned();
    assert_eq!(dev.process.stop(), Some(0), "{}", dev.process.printed());
    let databases = Databases::find();
    let url = databases.database();
    let run = |words: &[&str]| store(&folder, &[("WASMVERSE_STORE__URL", &url)], words);
    ok(store(&folder, &[], &["export", "one.jsonl", "--data-dir", "state"]));
    ok(run(&["import", "one.jsonl"]));
    query(&url, "UPDATE objects SET shard = 9000 WHERE id = 'a' AND type = 'Counter'").unwrap();
    query(&url, "UPDATE objects SET id = E'\\x1b[2J' WHERE id = 'b' AND type = 'Counter'").unwrap();
    query(&url, "DELETE FROM objects WHERE type = 'Thing'").unwrap();
    let found = run(&["verify"]);
    refused(&found, 1, &["3 problems in postgres://"]);
    let lines: Vec<_> = found.out.lines().collect();
    assert_eq!(lines.len(), 4, "{found:?}");
    // What a terminal would obey is written out.
    assert!(lines[0].starts_with("Counter/\\u{1b}[2J: "), "{found:?}");
    assert_eq!(lines[1], "Counter/a: it is of shard 9000 of 8192");
    assert_eq!(lines[2], "the key `count` of Thing/a: this object is not there");
    assert_eq!(lines[3], "3 problems: 2 objects of 1 type, 1 storage key");
    let found = run(&["verify", "--json"]);
    assert_eq!(found.code, Some(1));
    assert_eq!(found.json()["problems"].as_array().unwrap().len(), 3, "{found:?}");
}
