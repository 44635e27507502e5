//! PostgreSQL keeps the contract that SQLite keeps.

use std::{collections::HashMap, sync::Arc, sync::Mutex};

use futures_util::future::BoxFuture;
use wasmverse_store::{
    Error, Store,
    contract::{Subject, Unsure, check_cases, check_histories},
};
use wasmverse_tests::postgres::Databases;

use crate::rows::open;

struct OnPostgres {
    databases: Databases,
    made: Mutex<HashMap<String, String>>,
}

impl OnPostgres {
    fn new() -> Self {
        Self { databases: Databases::find(), made: Mutex::default() }
    }
}

impl Subject for OnPostgres {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        let make = || self.databases.database();
        let url = self.made.lock().unwrap().entry(name.to_owned()).or_insert_with(make).clone();
        Box::pin(async move { open(&url).await })
    }

    fn survives(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let subject = OnPostgres::new();
    check_cases(&subject).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_find_nothing() {
    let subject = OnPostgres::new();
    check_histories(&subject, 0..4, 150).await.unwrap();
    check_histories(&Unsure(&subject), 10..14, 150).await.unwrap();
}
