//! `Auction`: one thing, sold to whoever bids most until its time is up.
//!
//! It ends by itself: `open` sets a reminder that calls `close`, however often the object slept, moved
//! or crashed meanwhile. Whoever watches is pushed each bid; whoever is outbid, or wins, hears of it
//! if the bid came from a session. What the winner offered is sent to the account of the seller,
//! where it arrives exactly once. What the winner pays it with, is not decided here.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use wasmverse_sdk::prelude::*;

/// The longest that an auction lasts: 30 days.
const SECONDS_MAX: u64 = 30 * 86_400;
/// The longest name, in bytes: that of an id.
const NAME_BYTES_MAX: usize = 255;
/// Clients that are pushed each bid.
const WATCHERS_MAX: usize = 10_000;
/// The reminder that ends it.
const CLOSE: &str = "close";

/// An auction: nothing but its id, until it is opened.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Auction {
    lot: Option<Lot>,
    highest: Option<Highest>,
    closed: bool,
    /// The clients that are pushed each bid.
    watchers: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lot {
    item: String,
    reserve: i64,
    seller: Option<String>,
    ends_at_micros: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Highest {
    bid: Bid,
    /// Where the bidder hears what becomes of it.
    client: Option<String>,
}

/// What is sold, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Opening {
    /// What it is.
    pub item: String,
    /// How long it takes bids.
    pub seconds: u64,
    /// The least that the first bid has to be; none: 1.
    pub reserve: Option<i64>,
    /// The `BankAccount` to which the highest bid goes in the end; none: to nobody's.
    pub seller: Option<String>,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bid {
    /// Who makes it, taken at its word.
    pub bidder: String,
    /// How much it is.
    pub amount: i64,
}

/// How an auction stands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// What is sold.
    pub item: String,
    /// Whether it still takes bids.
    pub open: bool,
    /// When it ends or ended, in microseconds since 1970.
    pub ends_at_micros: u64,
    /// The least that the first bid has to be.
    pub reserve: i64,
    /// The highest bid; once it does not take bids any more, the one that won.
    pub highest: Option<Bid>,
    /// The account to which that goes.
    pub seller: Option<String>,
}

/// What is pushed: the data of the events `bid`, `outbid`, `won` and `closed`.
#[derive(Debug, Serialize)]
struct News<'a> {
    auction: &'a str,
    item: &'a str,
    highest: Option<&'a Bid>,
}

/// The details of `too-low`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLow {
    /// What was bid.
    pub amount: i64,
    /// What the first bid has to be at least.
    pub reserve: i64,
    /// What the next one has to be more than.
    pub highest: Option<i64>,
}

/// Accounts, as auctions know them.
#[interface(type_name = "BankAccount")]
trait Bank {
    fn deposit(&mut self, amount: i64) -> Result<i64>;
}

/// One thing, sold to whoever bids most until its time is up. Pushes `bid` and `closed` to whoever
/// watches, `outbid` and `won` to whom it concerns.
#[object(durability = "durable")]
impl Auction {
    /// Takes bids from now on, for so many seconds. That happens once: after that it is the error
    /// `already-open`.
    fn open(&mut self, ctx: &Context, opening: Opening) -> Result<Status> {
        if let Some(lot) = &self.lot {
            let message = format!("this auction is for {:?}: open one of another id", lot.item);
            return Err(Error::new("already-open", message));
        }
        let Opening { item, seconds, reserve, seller } = opening;
        check_name("an item", &item)?;
        if let Some(seller) = &seller {
            check_name("a seller", seller)?;
        }
        let reserve = reserve.unwrap_or(1);
        if seconds == 0 || seconds > SECONDS_MAX || reserve < 1 {
            let message = format!("it lasts 1 to {SECONDS_MAX} seconds, and begins with 1 or more");
            return Err(Error::invalid_argument(message));
        }
        let ends_at_micros = ctx.now_micros() + seconds * 1_000_000;
        let end = SystemTime::UNIX_EPOCH + Duration::from_micros(ends_at_micros);
        ctx.remind(CLOSE, at(end), AuctionRef::at(ctx.id()).request().close())?;
        self.lot = Some(Lot { item, reserve, seller, ends_at_micros });
        self.status(ctx)
    }

    /// Offers more than anybody before. Errors: `not-open` before it is opened, `closed` after its
    /// end, `too-low`, whose details are the amount and what it is held against.
    fn bid(&mut self, ctx: &Context, bid: Bid) -> Result<Status> {
        let lot = self.lot()?;
        if !self.is_open(ctx, lot) {
            let message = format!("{:?} is sold, or nobody wanted it", lot.item);
            return Err(Error::new("closed", message));
        }
        check_name("a bidder", &bid.bidder)?;
        let news = News { auction: ctx.id(), item: &lot.item, highest: Some(&bid) };
        match &self.highest {
            Some(highest) if bid.amount <= highest.bid.amount => {
                return Err(self.too_low(lot, bid.amount));
            }
            None if bid.amount < lot.reserve => return Err(self.too_low(lot, bid.amount)),
            Some(Highest { bid: before, client: Some(client) }) if before.bidder != bid.bidder => {
                ctx.push(client, "outbid", &news)?;
            }
            Some(_) | None => {}
        }
        ctx.push_all(self.watchers.iter().map(String::as_str), "bid", &news)?;
        self.highest = Some(Highest { bid, client: ctx.client() });
        self.status(ctx)
    }

    /// Pushes each bid, and the end, to the client that calls, or to the one of that id. Without
    /// either it is the error `no-session`.
    fn watch(&mut self, ctx: &Context, client: Option<String>) -> Result<Status> {
        let status = self.status(ctx)?;
        let Some(client) = client.or_else(|| ctx.client()) else {
            let message = "there is nobody to push to: open a session, or name a client";
            return Err(Error::new("no-session", message));
        };
        check_name("a client", &client)?;
        if self.watchers.len() >= WATCHERS_MAX && !self.watchers.contains(&client) {
            let message = format!("{WATCHERS_MAX} clients watch already");
            return Err(Error::new("too-many-watchers", message));
        }
        if status.open {
            self.watchers.insert(client);
        }
        Ok(status)
    }

    /// How it stands. Before it is opened that is the error `not-open`.
    #[read_only]
    fn status(&self, ctx: &Context) -> Result<Status> {
        let lot = self.lot()?;
        Ok(Status {
            item: lot.item.clone(),
            open: self.is_open(ctx, lot),
            ends_at_micros: lot.ends_at_micros,
            reserve: lot.reserve,
            highest: self.highest.as_ref().map(|highest| highest.bid.clone()),
            seller: lot.seller.clone(),
        })
    }

    /// Ends it: the reminder that `open` has set calls this. Another object may do so before, and
    /// once it is closed nothing happens any more.
    #[callers(objects)]
    fn close(&mut self, ctx: &Context) -> Result<()> {
        let lot = self.lot()?;
        if self.closed {
            return Ok(());
        }
        let bid = self.highest.as_ref().map(|highest| &highest.bid);
        let news = News { auction: ctx.id(), item: &lot.item, highest: bid };
        if let (Some(bid), Some(seller)) = (bid, &lot.seller) {
            BankRef::at(seller).send().deposit(bid.amount)?;
        }
        if let Some(client) = self.highest.as_ref().and_then(|highest| highest.client.as_ref()) {
            ctx.push(client, "won", &news)?;
        }
        ctx.push_all(self.watchers.iter().map(String::as_str), "closed", &news)?;
        ctx.cancel_reminder(CLOSE)?;
        self.closed = true;
        self.watchers.clear();
        Ok(())
    }

    /// A client is gone: nothing is pushed to it any more. Its bid stands.
    fn on_client_gone(&mut self, client: String) {
        self.watchers.remove(&client);
        if let Some(highest) = &mut self.highest {
            highest.client.take_if(|bidder| *bidder == client);
        }
    }

    #[internal]
    fn lot(&self) -> Result<&Lot> {
        self.lot.as_ref().ok_or_else(|| Error::new("not-open", "nothing is sold here yet"))
    }

    /// The reminder may come late: the end is the end all the same.
    #[internal]
    fn is_open(&self, ctx: &Context, lot: &Lot) -> bool {
        !self.closed && ctx.now_micros() < lot.ends_at_micros
    }

    #[internal]
    fn too_low(&self, lot: &Lot, amount: i64) -> Error {
        let highest = self.highest.as_ref().map(|highest| highest.bid.amount);
        let message = match highest {
            Some(highest) => format!("{amount} is not more than {highest}"),
            None => format!("{amount} is less than {}, which it begins with", lot.reserve),
        };
        let details = TooLow { amount, reserve: lot.reserve, highest };
        Error::new("too-low", message).with_details(&details)
    }
}

/// A name that is good for an id, and for people to see.
fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("{what} has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Error::invalid_argument(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
