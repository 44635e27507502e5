//! Both kinds of coordination service keep the contract.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;

use super::server::Server;
use crate::{
    Coordination, Error, Etcd, EtcdConfig, Memory,
    contract::{Subject, check_cases, check_histories},
};

/// Every prefix is a service of its own.
#[derive(Default)]
struct InMemory {
    opened: Mutex<Vec<(String, Memory)>>,
}

impl Subject for InMemory {
    fn open<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Arc<dyn Coordination>, Error>> {
        let prefix = prefix.trim_end_matches('/');
        let mut opened = self.opened.lock();
        let there = opened.iter().find(|(name, _)| name == prefix).map(|(_, it)| it.clone());
        let memory = there.unwrap_or_else(|| {
            let memory = Memory::new();
            opened.push((prefix.to_owned(), memory.clone()));
            memory
        });
        let service: Arc<dyn Coordination> = Arc::new(memory);
        std::future::ready(Ok(service)).boxed()
    }

    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>> {
        for (_, memory) in &*self.opened.lock() {
            memory.compact(revision);
        }
        std::future::ready(Ok(())).boxed()
    }
}

impl Subject for Server {
    fn open<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Arc<dyn Coordination>, Error>> {
        async move {
            let config = EtcdConfig { prefix: prefix.to_owned(), ..self.config() };
            let service: Arc<dyn Coordination> = Arc::new(Etcd::connect(&config).await?);
            Ok(service)
        }
        .boxed()
    }

    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let revision = i64::try_from(revision).unwrap();
            self.plain().await.kv_client().compact(revision, None).await.unwrap();
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    let subject = InMemory::default();
    check_cases(&subject).await.unwrap();
    check_histories(&subject, 0..50, 50).await.unwrap();
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    let server = Server::start().await;
    check_cases(&server).await.unwrap();
    let seed = rand::random::<u64>() >> 8;
    check_histories(&server, seed..seed + 3, 50).await.unwrap();
}
