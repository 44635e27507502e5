//! The auction, without a platform.

use wasmverse_sdk::{TestContext, What};

use super::*;

fn ctx(client: &str) -> TestContext {
    let ctx = TestContext::of::<Auction>("clock");
    if client.is_empty() { ctx } else { ctx.from_client(client) }
}

fn opening() -> Opening {
    Opening { item: "a clock".into(), seconds: 60, reserve: Some(10), seller: Some("ann".into()) }
}

fn bid(bidder: &str, amount: i64) -> Bid {
    Bid { bidder: bidder.into(), amount }
}

/// An auction that is open, and the turn that opened it.
fn opened() -> (TestContext, Auction) {
    let (ctx, mut auction) = (ctx(""), Auction::default());
    auction.open(&ctx, opening()).unwrap();
    (ctx, auction)
}

fn events(ctx: &TestContext) -> Vec<(String, Vec<String>)> {
    let pushed = ctx.pushed();
    pushed.iter().map(|push| (push.event.clone(), push.to.clone().unwrap_or_default())).collect()
}

fn to(event: &str, client: &str) -> (String, Vec<String>) {
    (event.into(), vec![client.into()])
}

/// Lets the time pass, and what is due then have its turn.
fn wait(ctx: &TestContext, auction: &mut Auction, seconds: u64) {
    ctx.pass(Duration::from_secs(seconds));
    ctx.due().iter().for_each(|reminder| ctx.fire(auction, reminder).unwrap());
}

#[test]
fn it_opens_once_and_reminds_itself_of_its_end() {
    let (ctx, mut auction) = opened();
    let status = auction.status(&ctx).unwrap();
    assert!(status.open);
    let reminders = ctx.reminders_set();
    assert_eq!((reminders.len(), reminders[0].method.as_str()), (1, "close"));
    assert_eq!(reminders[0].due_micros, status.ends_at_micros);
    assert_eq!(auction.open(&ctx, opening()).unwrap_err().code(), "already-open");
    wait(&ctx, &mut auction, 60);
    assert_eq!(auction.open(&ctx, opening()).unwrap_err().code(), "already-open");
}

#[test]
fn an_opening_that_makes_no_sense_is_refused() {
    for bad in [
        Opening { item: String::new(), ..opening() },
        Opening { seconds: 0, ..opening() },
        Opening { seconds: u64::MAX, ..opening() },
        Opening { reserve: Some(0), ..opening() },
        Opening { seller: Some("a\nb".into()), ..opening() },
    ] {
        let refused = Auction::default().open(&ctx(""), bad).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn each_bid_is_more_than_the_one_before_and_the_first_is_the_reserve() {
    let (ctx, mut auction) = opened();
    for (amount, highest) in [(9, None), (10, None), (10, Some(10)), (11, Some(10))] {
        match auction.bid(&ctx, bid("bob", amount)) {
            Ok(status) => assert_eq!(status.highest, Some(bid("bob", amount))),
            Err(error) => {
                assert_eq!(error.code(), "too-low");
                assert_eq!(error.details(), Some(TooLow { amount, reserve: 10, highest }));
            }
        }
    }
    assert_eq!(auction.status(&ctx).unwrap().highest, Some(bid("bob", 11)));
    auction.bid(&ctx, bid("bob", i64::MAX)).unwrap();
    assert_eq!(auction.bid(&ctx, bid("eve", i64::MAX)).unwrap_err().code(), "too-low");
}

#[test]
fn nobody_bids_before_it_is_open_or_after_its_end() {
    let (early, mut auction) = (ctx(""), Auction::default());
    assert_eq!(auction.bid(&early, bid("bob", 10)).unwrap_err().code(), "not-open");
    assert_eq!(auction.status(&early).unwrap_err().code(), "not-open");
    assert_eq!(auction.close(&early).unwrap_err().code(), "not-open");
    auction.open(&early, opening()).unwrap();
    early.pass(Duration::from_secs(60));
    // The reminder comes late.
    assert_eq!(auction.bid(&early, bid("bob", 10)).unwrap_err().code(), "closed");
    assert!(!auction.status(&early).unwrap().open);
}

#[test]
fn whoever_watches_hears_each_bid_and_whoever_is_outbid_hears_of_it() {
    let (_, mut auction) = opened();
    auction.watch(&ctx("g/w"), None).unwrap();
    let (ann, bob, carl) = (ctx("g/a"), ctx("g/b"), ctx(""));
    auction.bid(&ann, bid("ann", 10)).unwrap();
    auction.bid(&bob, bid("bob", 11)).unwrap();
    auction.bid(&carl, bid("carl", 12)).unwrap();
    assert_eq!(events(&ann), [to("bid", "g/w")]);
    assert_eq!(events(&bob), [to("outbid", "g/a"), to("bid", "g/w")]);
    let news = &bob.pushed()[0].data;
    assert_eq!((&news["auction"], &news["item"]), (&"clock".into(), &"a clock".into()));
    assert_eq!(news["highest"]["bidder"], "bob");
    assert_eq!(news["highest"]["amount"], 11);
    // Whoever bids without a session hears nothing, nor does whoever outbids itself.
    let again = ctx("g/c");
    auction.bid(&again, bid("carl", 13)).unwrap();
    auction.bid(&again, bid("carl", 14)).unwrap();
    assert_eq!(events(&again), [to("bid", "g/w"), to("bid", "g/w")]);
}

#[test]
fn its_end_tells_the_winner_and_pays_the_seller() {
    let (opened, mut auction) = opened();
    auction.watch(&ctx(""), Some("g/w".into())).unwrap();
    auction.bid(&ctx("g/b"), bid("bob", 11)).unwrap();
    wait(&opened, &mut auction, 59);
    assert!(opened.pushed().is_empty());
    wait(&opened, &mut auction, 1);
    assert_eq!(events(&opened), [to("won", "g/b"), to("closed", "g/w")]);
    let asked = &opened.asked()[0];
    assert_eq!((asked.what, asked.to.to_string()), (What::Send, "BankAccount/ann".into()));
    assert_eq!((asked.method.as_str(), &asked.argument), ("deposit", &11.into()));
    assert_eq!(auction.bid(&ctx(""), bid("eve", 99)).unwrap_err().code(), "closed");
}

#[test]
fn it_ends_without_a_bid_or_a_seller_and_pays_nobody() {
    let (ctx, mut auction) = opened();
    wait(&ctx, &mut auction, 60);
    assert!(ctx.asked().is_empty());
    assert_eq!(auction.status(&ctx).unwrap().highest, None);

    let (ctx, mut auction) = (super::tests::ctx(""), Auction::default());
    auction.open(&ctx, Opening { reserve: None, seller: None, ..opening() }).unwrap();
    auction.bid(&ctx, bid("bob", 1)).unwrap();
    wait(&ctx, &mut auction, 60);
    assert!(ctx.asked().is_empty());
}

#[test]
fn it_ends_once_also_if_another_object_ends_it_before_its_time() {
    let (opened, mut auction) = opened();
    auction.bid(&ctx("g/b"), bid("bob", 11)).unwrap();
    auction.close(&opened).unwrap();
    auction.close(&opened).unwrap();
    assert!(opened.reminders_set().is_empty());
    assert_eq!((events(&opened).len(), opened.asked().len()), (1, 1));
    assert!(!auction.status(&opened).unwrap().open);
}

#[test]
fn a_client_that_is_gone_hears_nothing_and_its_bid_stands() {
    let (opened, mut auction) = opened();
    for client in ["g/b", "g/w"] {
        auction.watch(&ctx(client), None).unwrap();
    }
    auction.bid(&ctx("g/b"), bid("bob", 11)).unwrap();
    auction.on_client_gone("g/stranger".into());
    auction.on_client_gone("g/b".into());
    wait(&opened, &mut auction, 60);
    assert_eq!(events(&opened), [to("closed", "g/w")]);
    assert_eq!(auction.status(&opened).unwrap().highest, Some(bid("bob", 11)));
}

#[test]
fn so_many_may_watch_and_nobody_watches_what_is_over() {
    let (opened, mut auction) = opened();
    assert_eq!(auction.watch(&ctx(""), None).unwrap_err().code(), "no-session");
    assert!(auction.watch(&ctx(""), Some("a\nb".into())).is_err());
    for n in 0..WATCHERS_MAX {
        auction.watchers.insert(format!("g/{n}"));
    }
    assert_eq!(auction.watch(&ctx("g/x"), None).unwrap_err().code(), "too-many-watchers");
    auction.watch(&ctx("g/7"), None).unwrap();
    wait(&opened, &mut auction, 60);
    assert!(!auction.watch(&ctx("g/x"), None).unwrap().open);
    assert!(auction.watchers.is_empty());
}
