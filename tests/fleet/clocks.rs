//! Reminders that fire all the time: each firing is due when the one before said.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wasmverse_tests::fleet::LONG;

use super::{
    calls::{Client, Deed, Wish},
    load::read,
};

const COUNT: usize = 4;
const EVERY_MILLIS: u64 = 300;

/// Objects with a reminder.
pub(crate) struct Clocks(Vec<Arc<str>>);

impl Clocks {
    /// Sets the reminders.
    pub(crate) async fn set(client: &mut Client, trial: &str) -> Self {
        let name = |number| Arc::from(format!("Chameleon/{trial}-clock-{number}"));
        let clocks: Vec<Arc<str>> = (0..COUNT).map(name).collect();
        for object in &clocks {
            let argument = json!(["tick", ["every", EVERY_MILLIS], "note_firing", null]);
            ask(client, object, "remind", argument).await;
        }
        Self(clocks)
    }

    /// Sees each fire once more, and cancels them; how often they fired, and what is wrong.
    pub(crate) async fn stop(self, client: &mut Client) -> (i64, Vec<String>) {
        let (mut sum, mut wrong) = (0, Vec::new());
        for object in &self.0 {
            let (began, before) = (Instant::now(), count(client, object).await);
            while count(client, object).await == before {
                if began.elapsed() > LONG {
                    wrong.push(format!("{object} does not fire any more, after {before} firings"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(EVERY_MILLIS / 3)).await;
            }
            ask(client, object, "cancel", json!("tick")).await;
            let fired = read(&client.doors, object, "fired", &json!(0)).await;
            sum += fired["count"].as_i64().unwrap_or_default();
            wrong.extend(off(object, &fired["fired"]));
        }
        (sum, wrong)
    }
}

async fn ask(client: &mut Client, object: &Arc<str>, method: &str, argument: Value) {
    client.make(Wish { object, method, argument, deed: Deed::Other, is_keyed: true }).await;
}

async fn count(client: &Client, object: &str) -> i64 {
    read(&client.doors, object, "value", &Value::Null).await.as_i64().unwrap_or_default()
}

/// Each firing is kept as its number, when it was due, and when the next one is.
fn off(object: &str, fired: &Value) -> Option<String> {
    let Ok(fired) = serde_json::from_value::<Vec<(i64, i64, Option<i64>)>>(fired.clone()) else {
        return Some(format!("{object} keeps {fired}"));
    };
    let pair = fired.windows(2).find(|pair| {
        let ((number, _, next), (number_then, due, _)) = (pair[0], pair[1]);
        number_then != number + 1 || next != Some(due)
    })?;
    Some(format!("{object}: {:?} fired after {:?}", pair[1], pair[0]))
}

#[test]
fn a_firing_that_is_missing_or_comes_twice_is_found() {
    let told = |fired: Value| off("Chameleon/clock", &fired);
    assert_eq!(told(json!([[1, 10, 20], [2, 20, 30], [3, 30, null]])), None);
    assert!(told(json!([[1, 10, 20], [2, 30, 40]])).is_some());
    assert!(told(json!("nothing")).is_some());
    assert!(told(json!([[1, 10, 20], [2, 10, 20]])).is_some());
    assert!(told(json!([[1, 10, 20], [3, 20, 30]])).is_some());
}
