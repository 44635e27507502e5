//! The whole corpus is refused, each with its cause and what to do about it, and nothing breaks.

use std::time::{Duration, Instant};

use wasmverse_engine::{LoadError, Refusal};
use wasmverse_tests::{
    corpus::{self, Ill},
    forge::Forge,
    guests::{ECHO, GOLDEN},
    stage::Stage,
};

use crate::stage;

const AGES: Duration = Duration::from_secs(30);

async fn refusal(stage: &Stage, name: &str, bytes: Vec<u8>) -> Result<Refusal, String> {
    match stage.load(bytes).await {
        Err(LoadError::Refused(refusal)) => Ok(refusal),
        Err(LoadError::Internal(message)) => Err(format!("{name}: our fault: {message}")),
        Ok(component) => Err(format!("{name}: accepted: {:?}", component.spec().json)),
    }
}

async fn all_refused(corpus: Vec<Ill>) {
    let stage = stage();
    let mut wrong = Vec::new();
    for Ill { name, bytes, says } in corpus {
        let began = Instant::now();
        match refusal(&stage, name, bytes).await {
            Err(problem) => wrong.push(problem),
            Ok(refusal) => {
                println!("{name}: {refusal} ({:?})", began.elapsed());
                let text = refusal.to_string().to_lowercase();
                let missing = |words: &&&str| {
                    !words.split('|').any(|word| text.contains(&word.to_lowercase()))
                };
                wrong.extend(
                    says.iter().filter(missing).map(|it| format!("{name}: no `{it}` in: {text}")),
                );
                if refusal.cause.len() < 8 || refusal.fix.len() < 8 {
                    wrong.push(format!("{name}: cause or fix is missing: {refusal:?}"));
                }
                if text.len() > 4000 {
                    wrong.push(format!("{name}: {} bytes of words", text.len()));
                }
            }
        }
        if began.elapsed() > AGES {
            wrong.push(format!("{name}: took {:?}", began.elapsed()));
        }
    }
    stage.actor(ECHO.bytes(), "after").await;
    assert!(wrong.is_empty(), "{} problems:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    all_refused(corpus::no_components()).await;
}

#[tokio::test]
async fn components_of_other_worlds_are_refused() {
    all_refused(corpus::strangers()).await;
}

#[tokio::test]
async fn components_that_attack_while_they_are_checked_are_refused() {
    all_refused(corpus::hostile()).await;
}

#[tokio::test]
async fn components_that_describe_themselves_badly_are_refused() {
    all_refused(corpus::descriptions()).await;
}

#[tokio::test]
async fn components_that_are_too_much_are_refused() {
    all_refused(corpus::complex()).await;
}

#[tokio::test]
async fn a_golden_component_cut_anywhere_is_refused() {
    let stage = stage();
    let (_, c) = GOLDEN[1];
    let whole = c.bytes();
    for part in 0..64 {
        let cut = whole[..whole.len() * part / 64].to_vec();
        refusal(&stage, &format!("{part} of 64 parts"), cut).await.unwrap();
    }
}

#[tokio::test]
async fn a_component_with_bytes_changed_is_refused_or_runs_and_never_breaks_the_host() {
    let stage = stage();
    let (_, c) = GOLDEN[1];
    let whole = c.bytes().to_vec();
    // A fixed walk over the file: the same bytes each time.
    for step in 0..48_usize {
        let mut bytes = whole.clone();
        let at = step * 7919 % bytes.len();
        bytes[at] ^= 1 << (step % 8);
        match stage.load(bytes).await {
            Ok(_) | Err(LoadError::Refused(_)) => {}
            Err(LoadError::Internal(message)) => panic!("byte {at}: our fault: {message}"),
        }
    }
    stage.actor(ECHO.bytes(), "after").await;
}

#[tokio::test]
async fn what_is_well_made_is_accepted() {
    let stage = stage();
    let actor = stage.actor(Forge::new("Plain").component(), "a").await;
    assert_eq!(actor.text("run", "back").await, "back");
    let later = corpus::same_under_a_later_name();
    let actor = stage.actor(later, "a").await;
    assert_eq!(actor.text("run", "back").await, "back");
    let more = corpus::with_an_export_more();
    let actor = stage.actor(more, "a").await;
    assert_eq!(actor.text("run", "back").await, "back");
    let padded = corpus::bytes::padded(&Forge::new("Padded").component(), 1 << 20);
    stage.actor(padded, "a").await;
}
