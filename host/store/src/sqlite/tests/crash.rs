//! Claims about a process that is killed while it saves.

use super::*;

/// Run by [`what_a_killed_process_was_answered_is_there`], with its database in the environment.
const CRASH_DATABASE: &str = "WASMVERSE_TEST_CRASH_DATABASE";

#[tokio::test]
async fn what_a_killed_process_was_answered_is_there() {
    if let Ok(path) = std::env::var(CRASH_DATABASE) {
        return save_until_killed(path.as_ref()).await;
    }
    let (_directory, path) = file();
    let this_test = "sqlite::tests::crash::what_a_killed_process_was_answered_is_there";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([this_test, "--exact", "--nocapture"])
        .env(CRASH_DATABASE, &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut answered = Vec::new();
    for line in lines {
        if let Some(round) = line.unwrap().strip_prefix("saved ") {
            answered.push(round.parse::<u64>().unwrap());
        }
        if answered.len() == 20 {
            let told = open_file(&path).await.unwrap_err().to_string();
            assert!(told.contains(&format!("in use by process {}", child.id())), "{told}");
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let store = open_file(&path).await.unwrap();
    let last = *answered.last().unwrap();
    for n in 0..BATCH {
        let found = store.load(&row(&n.to_string(), None, "").object).await.unwrap().unwrap();
        // One more batch may have been saved, and not answered: whole, or not at all.
        let round = found.version.0;
        assert!(round == last || round == last + 1, "row {n}: round {round}, answered {last}");
        assert_eq!(found.state.unwrap().data, round.to_string());
        let first = store.load(&row("0", None, "").object).await.unwrap().unwrap();
        assert_eq!(round, first.version.0, "half a batch was saved");
    }
    store.close().await.unwrap();
}

const BATCH: u64 = 150;

/// Saves the same rows again and again, and says so, until it is killed.
async fn save_until_killed(path: &std::path::Path) {
    let store = open_file(path).await.unwrap();
    for round in 1.. {
        let before = (round > 1).then(|| round - 1);
        let rows = (0..BATCH).map(|n| row(&n.to_string(), before, &round.to_string()));
        let answers = store.commit(rows.collect()).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        println!("\nsaved {round}");
    }
}
