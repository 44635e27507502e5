//! The suite finds services that are broken on purpose.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::BoxStream,
};

use crate::{
    Batch, Clock, Coordination, Error, Guard, LeaseId, Memory, Op, Row, Snapshot,
    contract::{Group, Subject, check_group, check_histories},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    IgnoresGuards,
    SplitsCommits,
    SkipsBatches,
    RepeatsBatches,
    LeasesForTooLong,
    LapsesTooEarly,
    ForgetsLeases,
    MixesPrefixes,
    NeverForgets,
}

struct Broken {
    inner: Memory,
    bug: Bug,
}

impl Coordination for Broken {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        self.inner.snapshot()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(u64, Option<Row>), Error>> {
        self.inner.get(key)
    }

    fn watch(
        &self,
        after: u64,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Batch, Error>>, Error>> {
        async move {
            let after = after - u64::from(self.bug == Bug::RepeatsBatches);
            let batches = self.inner.watch(after).await?;
            let skips = usize::from(self.bug == Bug::SkipsBatches);
            Ok(batches.skip(skips).boxed())
        }
        .boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId, Error>> {
        self.inner.grant(match self.bug {
            Bug::LeasesForTooLong => ttl * 9,
            Bug::LapsesTooEarly => ttl * 9 / 10,
            _ => ttl,
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.keep_alive(lease)
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        if self.bug == Bug::ForgetsLeases {
            return ready(Ok(())).boxed();
        }
        self.inner.revoke(lease)
    }

    fn commit(
        &self,
        guards: Vec<Guard>,
        ops: Vec<Op>,
    ) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        async move {
            match self.bug {
                Bug::IgnoresGuards => self.inner.commit(vec![], ops).await,
                Bug::SplitsCommits => {
                    let mut done = self.inner.commit(guards, vec![]).await?;
                    for op in ops {
                        if done.is_some() {
                            done = self.inner.commit(vec![], vec![op]).await?;
                        }
                    }
                    Ok(done)
                }
                _ => self.inner.commit(guards, ops).await,
            }
        }
        .boxed()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }
}

struct Workshop {
    bug: Bug,
    shared: Memory,
}

impl Subject for Workshop {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Coordination>, Error>> {
        let is_shared = self.bug == Bug::MixesPrefixes;
        let inner = if is_shared { self.shared.clone() } else { Memory::new() };
        let service: Arc<dyn Coordination> = Arc::new(Broken { inner, bug: self.bug });
        ready(Ok(service)).boxed()
    }

    fn compact(&self, _: u64) -> BoxFuture<'_, Result<(), Error>> {
        ready(Ok(())).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_suite_finds_what_is_broken() {
    for (bug, group, claim) in [
        (Bug::IgnoresGuards, Group::Commits, "only if all its guards hold"),
        (Bug::SplitsCommits, Group::Commits, "whole or not at all"),
        (Bug::MixesPrefixes, Group::Commits, ""),
        (Bug::SkipsBatches, Group::Watches, "tells what happened since"),
        (Bug::RepeatsBatches, Group::Watches, "goes on where another one ended"),
        (Bug::NeverForgets, Group::Watches, "what is forgotten"),
        (Bug::LeasesForTooLong, Group::Leases, "takes its keys along when it lapses"),
        (Bug::LapsesTooEarly, Group::Leases, "takes its keys along when it lapses"),
        (Bug::ForgetsLeases, Group::Leases, "is revoked takes its keys along"),
    ] {
        let subject = Workshop { bug, shared: Memory::new() };
        let told = check_group(&subject, group).await.err();
        let told = told.unwrap_or_else(|| panic!("{bug:?} is not found")).to_string();
        assert!(told.contains(claim), "{bug:?}: {told}");
    }
    for bug in [Bug::IgnoresGuards, Bug::SkipsBatches, Bug::RepeatsBatches] {
        let subject = Workshop { bug, shared: Memory::new() };
        assert!(check_histories(&subject, 0..20, 20).await.is_err(), "{bug:?} is not found");
    }
}
