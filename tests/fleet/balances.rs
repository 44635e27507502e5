//! Money moves between accounts, by sends: none is made and none is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wasmverse_tests::fleet::{LONG, doors::Doors};

use super::{
    calls::{Call, Client, Deed, Wish},
    load::read,
    objects::id,
};

const COUNT: usize = 6;
const AT_FIRST: i64 = 1_000_000;

/// Accounts between which money moves.
#[derive(Clone)]
pub(crate) struct Accounts(Arc<[Arc<str>]>);

impl Accounts {
    /// Opens them, each with the same.
    pub(crate) async fn open(client: &mut Client, trial: &str) -> Self {
        let name = |number| Arc::from(format!("BankAccount/{trial}-{number}"));
        let accounts: Arc<[Arc<str>]> = (0..COUNT).map(name).collect();
        for object in accounts.iter() {
            let (method, argument) = ("deposit", json!(AT_FIRST));
            let wish = Wish { object, method, argument, deed: Deed::Other, is_keyed: true };
            client.make(wish).await;
        }
        Self(accounts)
    }

    /// Moves money until it is told to end.
    pub(crate) async fn work(self, mut client: Client, end: CancellationToken) -> Vec<Call> {
        let mut calls = Vec::new();
        while !end.is_cancelled() {
            let [from, to] = [(); 2].map(|()| &self.0[client.dice.random_range(0..COUNT)]);
            let amount = client.dice.random_range(1..100);
            let argument = json!({ "to": id(to), "amount": amount });
            let (method, deed) = ("transfer", Deed::Other);
            let wish = Wish { object: from, method, argument, deed, is_keyed: true };
            calls.push(client.make(wish).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        calls
    }

    /// Waits until what is on its way has arrived; what is wrong then.
    pub(crate) async fn wrong(&self, doors: &Doors) -> Option<String> {
        let began = Instant::now();
        loop {
            let mut sum = 0;
            for account in self.0.iter() {
                sum += read(doors, account, "balance", &Value::Null).await.as_i64().unwrap();
            }
            let all = AT_FIRST * i64::try_from(COUNT).unwrap();
            match sum == all {
                true => return None,
                // What left and has not arrived is in no balance.
                false if sum < all && began.elapsed() < LONG => {}
                false => return Some(format!("of {all} in {COUNT} accounts {sum} are left")),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
