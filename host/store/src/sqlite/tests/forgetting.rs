//! Claims about time: when results are forgotten, by the clock.

use super::*;

const HOUR: i64 = 3_600_000_000;

/// A store with a result in the span that began `begun` hours ago and ended `ended` hours ago, when
/// all others began; the current one began `current` hours ago. Then a statement is run. Answers
/// whether something is forgotten of what is older than a day, and whether the result is there still.
async fn forgets(begun: f64, ended: f64, current: f64, statement: &str) -> (bool, bool) {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let key = ResultKey { origin: String::new(), key: "k".to_owned() };
    let kept = KeptResult { key: key.clone(), asked: [1; 16], answer: "yes".into() };
    let object = row("a", None, "").object;
    let commit = Commit { effects: vec![Effect::Result(kept)], ..row("a", None, "1") };
    store.commit(vec![commit]).await.unwrap()[0].clone().unwrap();
    store.close().await.unwrap();
    let ago = |hours: f64| format!("{} - CAST({hours} * {HOUR} AS INTEGER)", writer::now_micros());
    let [begun, ended, current] = [begun, ended, current].map(ago);
    let statement = statement.replace("AGO", &format!("{} - {HOUR} *", writer::now_micros()));
    let spans = format!(
        "UPDATE result_spans SET began_at = CASE span WHEN 0 THEN {begun} WHEN 7 THEN {current} \
         ELSE {ended} END; {statement}"
    );
    sql(&path, &spans).await;
    let store = open_file(&path).await.unwrap();
    let forgot = store.forget_results(Duration::from_secs(24 * 3600)).await.unwrap();
    let there = store.result(&object, &key).await.unwrap().is_some();
    store.close().await.unwrap();
    (forgot, there)
}

#[tokio::test]
async fn results_are_kept_for_as_long_as_is_said_and_not_much_longer() {
    for (begun, ended, current, forgotten) in [
        (32.0, 28.0, 4.1, true),
        (24.2, 24.1, 4.1, true),
        // The current span has not lasted long enough.
        (32.0, 28.0, 3.9, false),
        // The last of what would be forgotten may be younger than a day.
        (32.0, 23.9, 4.1, false),
    ] {
        let (forgot, there) = forgets(begun, ended, current, "").await;
        assert_eq!((forgot, there), (forgotten, !forgotten), "{begun} {ended} {current}");
    }
}

#[tokio::test]
async fn what_waits_keeps_the_results_that_are_younger() {
    let send = "INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, \
                payload, sent_at) VALUES (0, 'T', 'a', 1, 0, 'T', 'a', 'm', x'', AGO ";
    let reminder = "INSERT INTO reminders (type, id, name, shard, schedule, method, payload, due_at) \
                    VALUES ('T', 'a', 'r', 0, 'w', 'm', x'', AGO ";
    for (statement, hours, forgotten) in [
        (send, "28.5", false),
        (send, "40", false),
        (send, "27.9", true),
        (reminder, "28.5", false),
        (reminder, "400", false),
        // By the clock of a node that is half a minute ahead it was due before the span ended.
        (reminder, "27.995", false),
        (reminder, "27.9", true),
        // Not due yet.
        (reminder, "-1", true),
    ] {
        let statement = format!("{statement} {hours})").replace("AGO", "CAST(AGO");
        let statement = format!("{} AS INTEGER))", statement.trim_end_matches(')'));
        let (forgot, there) = forgets(32.0, 28.0, 4.1, &statement).await;
        assert_eq!((forgot, there), (forgotten, !forgotten), "{statement}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_forgets_nothing_and_stops_nothing() {
    let (_directory, path) = file();
    open_file(&path).await.unwrap().close().await.unwrap();
    let ahead = format!(
        "UPDATE result_spans SET began_at = {} WHERE span = 0",
        writer::now_micros() + HOUR
    );
    sql(&path, &ahead).await;
    let store = open_file(&path).await.unwrap();
    assert!(!store.forget_results(Duration::ZERO).await.unwrap());
    store.close().await.unwrap();
    // The next span begins after the last one all the same.
    sql(&path, "UPDATE result_spans SET began_at = began_at - 3600000001 WHERE span = 0").await;
    let store = open_file(&path).await.unwrap();
    for _ in 0..20 {
        assert!(store.forget_results(Duration::ZERO).await.unwrap());
    }
    store.close().await.unwrap();
}
