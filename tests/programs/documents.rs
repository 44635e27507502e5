//! Every command of the README and the guide that is marked to be run, is run, in order.

use std::{fs, path::Path, process::Command};

use wasmverse_tests::{
    guests::{BANK_ACCOUNT, COUNTER, ECHO, MISCHIEF},
    programs::{Dev, program, target_folder},
};

/// The blocks marked `sh run`.
fn blocks(document: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once("\n```sh run\n") {
        let (block, after) = after.split_once("\n```").expect("a block has an end");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

/// Runs the blocks of a document in a new folder, against a system as `make chat` starts it.
fn run(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join(name)).unwrap();
    let blocks = blocks(&document);
    assert!(!blocks.is_empty(), "{name} has no block marked `sh run`");
    let samples = [ECHO, COUNTER, BANK_ACCOUNT, MISCHIEF];
    let dev = Dev::start(&samples.map(|guest| guest.path().to_str().unwrap()));
    let wasmverse = program("wasmverse");
    let path =
        format!("{}:{}", wasmverse.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for block in blocks {
        // The same system, where it happens to be.
        let command = block
            .replace("http://127.0.0.1:8080", &dev.http.url)
            .replace("target/debug/wasmverse", "wasmverse")
            .replace("target/release/wasmverse", "wasmverse");
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &command])
            .current_dir(dev.folder.path())
            .env("PATH", &path)
            .env("WASMVERSE_URL", &dev.http.url)
            .env("CARGO_TARGET_DIR", target_folder().join("hello"))
            .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{name}: {command}\n{out}{err}");
        // curl succeeds whatever it is answered.
        assert!(!out.starts_with("{\"error\":{\"code\""), "{name}: {command}\n{out}");
        println!("{command}\n{out}");
    }
}

#[test]
fn the_commands_of_the_readme_work() {
    run("README.md");
}

#[test]
fn the_commands_of_the_guide_work() {
    run("docs/guide.md");
}

#[test]
fn blocks_are_found_by_their_mark() {
    let document = "a\n```sh run\none\ntwo\n```\n```sh\nthree\n```\n\n```sh run\nfour\n```\n";
    assert_eq!(blocks(document), ["one\ntwo", "four"]);
}
