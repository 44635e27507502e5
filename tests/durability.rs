//! Each row of the table of durabilities (`volatile`, `periodic`, `durable`), shown by tests of its
//! own on each store: when an object is saved, when a reply leaves, and what a crash loses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Makes tests of what is claimed of a row: one for each claim on SQLite, and one for them all on
/// PostgreSQL, since to start a server takes longer than to show any of them.
macro_rules! on_each_store {
    ($row:ident: $($claim:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(crate::place::Kind::Sqlite).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $row() {
            let databases = wasmverse_tests::postgres::Databases::find();
            $(println!("{}", stringify!($claim));
            $claim(crate::place::Kind::Postgres(&databases)).await;)*
        }
    };
}

#[path = "durability/durable.rs"]
mod durable;
#[path = "durability/hold.rs"]
mod hold;
#[path = "durability/periodic.rs"]
mod periodic;
#[path = "durability/place.rs"]
mod place;
#[path = "durability/volatile.rs"]
mod volatile;
