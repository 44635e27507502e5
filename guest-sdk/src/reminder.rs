//! Reminders: calls of an object to itself, at a later time, that outlive it.

use std::time::{Duration, SystemTime};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, ObjectId, Request, Result, When, codec};

/// Reminders: calls of this object to itself, at a later time. They outlive the instance and the
/// node; durable and periodic types have them.
impl Context {
    /// Sets a reminder, in place of one with that name; it counts when this turn ends well.
    ///
    /// When: [`at`](crate::at) a time, [`after`](crate::after) a while, [`every`](crate::every) so
    /// often, or by [`cron`](crate::cron). The method is one of this object: its name, its name with
    /// an argument, or a typed request.
    ///
    /// ```
    /// # use wasmverse_sdk::{prelude::*, TestContext};
    /// # use std::time::Duration;
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # struct Garden;
    /// #[object(durability = "durable")]
    /// impl Garden {
    ///     fn plant(&mut self, ctx: &Context) -> Result<()> {
    ///         ctx.remind("water", every(Duration::from_secs(3600)), ("water", &5))?;
    ///         ctx.remind("weed", cron("0 9 * * 1", "Europe/Berlin"), "weed")?;
    ///         let harvest = GardenRef::at(ctx.id()).request().harvest();
    ///         ctx.remind("harvest", after(Duration::from_secs(90 * 86_400)), harvest)
    ///     }
    /// #   fn water(&mut self, litres: u32) {}
    /// #   fn weed(&mut self) {}
    /// #   fn harvest(&mut self) {}
    /// }
    /// # fn main() {
    /// # let ctx = TestContext::of::<Garden>("behind the house");
    /// # Garden.plant(&ctx).unwrap();
    /// # assert_eq!(ctx.reminders_set().len(), 3);
    /// # }
    /// ```
    ///
    /// A firing that is due while nobody serves comes late, and periods that were missed fire once.
    ///
    /// # Errors
    /// `denied` in a read-only turn; `invalid-argument` for a time that is none, and for a method of
    /// another object.
    pub fn remind(&self, name: &str, when: When, method: impl OwnMethod) -> Result<()> {
        let (method, payload) = method.named(self.me())?;
        self.link().set_reminder(name, &when.set_at(self.now_micros()), &method, &payload)
    }

    /// Cancels a reminder; nothing is wrong if none has that name. It counts when this turn ends
    /// well.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn cancel_reminder(&self, name: &str) -> Result<()> {
        self.link().cancel_reminder(name)
    }

    /// The reminders of this object, by name, with what this turn changed.
    ///
    /// # Errors
    /// What the platform answered.
    pub fn reminders(&self) -> Result<Vec<Reminder>> {
        self.link().reminders()
    }
}

/// A reminder that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// Its name among those of this object.
    pub name: String,
    /// When it fires, in the words of the contract: `2026-01-31T09:00:00.000000Z`, `every 5s`,
    /// `cron 0 9 * * * Europe/Berlin`.
    pub when: String,
    /// The method that it calls.
    pub method: String,
    /// The argument of that call as it will travel; empty: none.
    pub payload: Vec<u8>,
    /// When it fires next, in microseconds since 1970.
    pub due_micros: u64,
}

impl Reminder {
    /// The argument of the call.
    ///
    /// # Errors
    /// It is no `T`.
    pub fn argument<T: DeserializeOwned>(&self) -> Result<T> {
        codec::decode_argument(&self.payload)
    }

    /// When it fires next.
    pub fn due(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.due_micros)
    }
}

/// A method of the object itself, with its argument: what a reminder calls.
///
/// `"tick"` has no argument, `("tick", &argument)` has one in JSON, and a typed request, such as
/// `AuctionRef::at(ctx.id()).request().close()`, is checked by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no method of this object",
    label = "not a method to be reminded of",
    note = "name it: \"tick\", (\"tick\", &argument), or a typed request: \
            `MyRef::at(ctx.id()).request().tick()`"
)]
pub trait OwnMethod {
    /// The method's name, and its argument as it will travel.
    #[doc(hidden)]
    fn named(self, me: &ObjectId) -> Result<(String, Vec<u8>)>;
}

impl OwnMethod for &str {
    fn named(self, _: &ObjectId) -> Result<(String, Vec<u8>)> {
        Ok((self.to_owned(), Vec::new()))
    }
}

impl<T: Serialize + ?Sized> OwnMethod for (&str, &T) {
    fn named(self, _: &ObjectId) -> Result<(String, Vec<u8>)> {
        Ok((self.0.to_owned(), codec::encode_argument(self.1)?))
    }
}

impl<R> OwnMethod for Request<R> {
    fn named(self, me: &ObjectId) -> Result<(String, Vec<u8>)> {
        let call = self.outgoing()?;
        call.without_options("a reminder", "each firing counts once by itself")?;
        if call.to != me {
            let message = format!(
                "a reminder calls the object that sets it, {me}, and not {}: remind a method of \
                 this object that calls the other",
                call.to
            );
            return Err(Error::invalid_argument(message));
        }
        Ok((call.method.to_owned(), call.payload.to_vec()))
    }
}
