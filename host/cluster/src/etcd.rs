//! etcd as the coordination service.
//!
//! One endpoint at a time is used until it fails, then the next one ([`endpoints`]). Every request
//! has a time limit. Members of etcd that have lost their leader refuse to serve us, so that a
//! partitioned one shows nobody a stale view.

mod config;
mod endpoints;
mod fault;
mod watching;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp};
use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};

use crate::{Batch, Coordination, Error, Guard, LeaseId, Op, Row, Snapshot};
pub use config::EtcdConfig;
use endpoints::{Endpoints, Kind};

/// So many keys are read at once.
const PAGE: i64 = 4096;
/// So often a snapshot is begun anew because its revision was compacted while it was read.
const SNAPSHOTS_MAX: usize = 5;

/// etcd, under one prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Etcd {
    endpoints: Arc<Endpoints>,
    keys: Keys,
}

/// How keys are named in etcd.
#[derive(Clone, Debug)]
struct Keys {
    /// It ends with a slash: `/a` never sees what is under `/ab`.
    prefix: Arc<str>,
}

impl Etcd {
    /// Connects, and asks whether etcd is there.
    ///
    /// # Errors
    /// [`Error::Refused`] if the configuration makes no sense or etcd does not want us, else
    /// [`Error::Unavailable`] or [`Error::Unknown`].
    pub async fn connect(config: &EtcdConfig) -> Result<Self, Error> {
        let prefix = format!("{}/", config.prefix.trim_end_matches('/')).into();
        let endpoints = Arc::new(Endpoints::new(config.targets().await?));
        let etcd = Self { endpoints, keys: Keys { prefix } };
        etcd.get("cluster").await?;
        Ok(etcd)
    }

    async fn snapshot_once(&self) -> Result<Snapshot, Error> {
        let mut snapshot = Snapshot { revision: 0, rows: Vec::new() };
        let mut from = self.keys.prefix.as_bytes().to_vec();
        loop {
            let (start, end) = (from.clone(), self.keys.end());
            let revision = i64::try_from(snapshot.revision).unwrap_or(i64::MAX);
            let options =
                GetOptions::new().with_range(end).with_limit(PAGE).with_revision(revision);
            let page = self.endpoints.call(Kind::Repeatable, move |client| {
                let (start, options) = (start.clone(), options.clone());
                async move { client.kv_client().get(start, Some(options)).await }
            });
            let page = page.await?;
            if snapshot.revision == 0 {
                snapshot.revision = revision_of(page.header());
            }
            snapshot.rows.extend(page.kvs().iter().filter_map(|found| self.keys.row(found)));
            match page.kvs().last() {
                Some(last) if page.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => return Ok(snapshot),
            }
        }
    }
}

impl Keys {
    fn full(&self, key: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// The first key behind all of ours.
    fn end(&self) -> Vec<u8> {
        let mut end = self.prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end
    }

    /// A key without its prefix; none: it is not text, so it is not ours.
    fn own(&self, key: &[u8]) -> Option<String> {
        let key = str::from_utf8(key).ok()?;
        key.strip_prefix(&*self.prefix).map(str::to_owned)
    }

    fn row(&self, found: &KeyValue) -> Option<Row> {
        Some(Row {
            key: self.own(found.key())?,
            value: Bytes::copy_from_slice(found.value()),
            revision: unsigned(found.mod_revision()),
            lease: (found.lease() != 0).then_some(LeaseId(found.lease())),
        })
    }

    fn guard(&self, guard: &Guard) -> Compare {
        match guard {
            Guard::Absent(key) => Compare::create_revision(self.full(key), CompareOp::Equal, 0),
            Guard::Revision(key, revision) => {
                let revision = i64::try_from(*revision).unwrap_or(i64::MAX);
                Compare::mod_revision(self.full(key), CompareOp::Equal, revision)
            }
        }
    }

    fn op(&self, op: &Op) -> TxnOp {
        match op {
            Op::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(self.full(key), value.to_vec(), options)
            }
            Op::Delete(key) => TxnOp::delete(self.full(key), None),
        }
    }
}

/// Revisions in etcd are never negative.
fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> u64 {
    header.map_or(0, |header| unsigned(header.revision()))
}

impl Coordination for Etcd {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        async {
            for _ in 1..SNAPSHOTS_MAX {
                match self.snapshot_once().await {
                    Err(Error::Compacted) => {}
                    answer => return answer,
                }
            }
            self.snapshot_once().await
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(u64, Option<Row>), Error>> {
        async move {
            let full = self.keys.full(key);
            let found = self.endpoints.call(Kind::Repeatable, move |client| {
                let full = full.clone();
                async move { client.kv_client().get(full, None).await }
            });
            let found = found.await?;
            let row = found.kvs().first().and_then(|found| self.keys.row(found));
            Ok((revision_of(found.header()), row))
        }
        .boxed()
    }

    fn watch(
        &self,
        after: u64,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Batch, Error>>, Error>> {
        watching::watch(Arc::clone(&self.endpoints), self.keys.clone(), after).boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId, Error>> {
        async move {
            // Whole seconds, and never less than was asked for.
            let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
            let seconds = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
            let granted = self.endpoints.call(Kind::Repeatable, move |client| async move {
                client.lease_client().grant(seconds, None).await
            });
            Ok(LeaseId(granted.await?.id()))
        }
        .boxed()
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let kept = self.endpoints.call(Kind::Repeatable, move |client| async move {
                client.lease_client().keep_alive(lease.0).await
            });
            kept.await.map(drop)
        }
        .boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let revoked = self.endpoints.call(Kind::Repeatable, move |client| async move {
                client.lease_client().revoke(lease.0).await
            });
            match revoked.await {
                Ok(_) | Err(Error::LeaseGone) => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn commit(
        &self,
        guards: Vec<Guard>,
        ops: Vec<Op>,
    ) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        async move {
            let compares: Vec<_> = guards.iter().map(|guard| self.keys.guard(guard)).collect();
            let ops: Vec<_> = ops.iter().map(|op| self.keys.op(op)).collect();
            let transaction = Txn::new().when(compares).and_then(ops);
            let done = self.endpoints.call(Kind::Once, move |client| {
                let transaction = transaction.clone();
                async move { client.kv_client().txn(transaction).await }
            });
            let done = done.await?;
            Ok(done.succeeded().then(|| revision_of(done.header())))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_begins_like_ours_is_not_ours() {
        let keys = Keys { prefix: "/a/".into() };
        assert_eq!(keys.own(b"/a/nodes/x/y").as_deref(), Some("nodes/x/y"));
        assert_eq!(keys.own(b"/ab/nodes/x"), None);
        assert_eq!(keys.own(b"/a/\xff"), None);
        assert_eq!(keys.end(), b"/a0");
        assert!(b"/ab/".as_slice() > keys.end().as_slice());
    }
}
