//! Every command of README.md, docs/guide.md, docs/exactly-once.md and docs/clients.md that is marked
//! `sh run` works, in order, against a system with the sample objects.

use std::process::Command;

use tempfile::TempDir;
use wasmverse_tests::{
    guests,
    programs::{Dev, target_folder},
};

#[test]
fn the_commands_of_readme_and_guide_work_as_they_stand() {
    let samples =
        [guests::ECHO, guests::COUNTER, guests::BANK_ACCOUNT, guests::AUCTION, guests::MISCHIEF];
    let samples = samples.map(|guest| guest.path().to_str().expect("a path in UTF-8"));
    let dev = Dev::start(&samples);
    let folder = TempDir::new().expect("a folder");
    let mut ran = 0;
    for document in ["README.md", "docs/guide.md", "docs/exactly-once.md", "docs/clients.md"] {
        for command in commands(&super::read(document)) {
            run(document, &command, &dev, &folder);
            ran += 1;
        }
    }
    assert!(ran > 10, "only {ran} commands were found");
}

/// Runs a command as a user in an empty folder would, the programs being on the path.
fn run(document: &str, command: &str, dev: &Dev, folder: &TempDir) {
    let address = dev.http.url.trim_start_matches("http://");
    let command = command.replace("127.0.0.1:8080", address).replace("target/debug/", "");
    let path = format!(
        "{}:{}",
        target_folder().display(),
        std::env::var("PATH").expect("there is a path")
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command.replace("curl ", "curl --fail-with-body ")])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("WASMVERSE_URL", &dev.http.url)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("bash runs");
    assert!(
        output.status.success(),
        "{document}: `{command}` ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// The lines of all blocks marked `sh run`.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh run" => inside = true,
            "```" => inside = false,
            _ if inside => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands
}

#[test]
fn only_marked_blocks_are_run() {
    let text = "```sh\nrm -rf x\n```\n```sh run\necho a\necho b\n```\nls\n";
    assert_eq!(commands(text), ["echo a", "echo b"]);
}
