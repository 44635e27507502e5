//! The reminders of a test context.

use std::{collections::BTreeMap, time::Duration};

use super::{Link, TestContext};
use crate::{Object, Reminder, Result, when::Timing};

/// The reminders that are set, by name.
pub(super) type Reminders = BTreeMap<String, Kept>;

/// A reminder, and when it is due again.
#[derive(Debug)]
pub(super) struct Kept {
    reminder: Reminder,
    again: Again,
}

#[derive(Clone, Copy, Debug)]
enum Again {
    Never,
    After(Duration),
    /// Nobody computes it here.
    Unknown,
}

/// Reminders: what is set, what is due, and its turn.
///
/// ```
/// # use wasmverse_sdk::{prelude::*, TestContext};
/// # use std::time::Duration;
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Kettle { ticks: u32 }
/// #[object(durability = "durable")]
/// impl Kettle {
///     fn start(&mut self, ctx: &Context) -> Result<()> {
///         ctx.remind("tick", every(Duration::from_secs(5)), "tick")
///     }
///     fn tick(&mut self) {
///         self.ticks += 1;
///     }
/// }
///
/// # fn main() {
/// let ctx = TestContext::of::<Kettle>("a");
/// let mut kettle = Kettle::default();
/// kettle.start(&ctx).unwrap();
/// assert_eq!(ctx.reminders_set()[0].when, "every 5s");
/// ctx.pass(Duration::from_secs(5));
/// for reminder in ctx.due() {
///     ctx.fire(&mut kettle, &reminder).unwrap();
/// }
/// assert_eq!(kettle.ticks, 1);
/// # }
/// ```
impl TestContext {
    /// The reminders that are set, by name; what [`Context::reminders`](crate::Context::reminders)
    /// answers.
    pub fn reminders_set(&self) -> Vec<Reminder> {
        let world = self.world.borrow();
        let kept = world.reminders.borrow();
        kept.values().map(|kept| kept.reminder.clone()).collect()
    }

    /// Takes the reminders that are due by the clock of this context, the earliest first, as the
    /// platform does: those that fire once are forgotten, those of a period are due again one period
    /// from now, however many have passed. What is set by `cron` is never due here, since no test
    /// context knows a calendar: [`fire`](Self::fire) what [`reminders_set`](Self::reminders_set)
    /// answers.
    pub fn due(&self) -> Vec<Reminder> {
        let world = self.world.borrow();
        let (now, mut kept) = (world.now_micros, world.reminders.borrow_mut());
        let is_due = |kept: &&Kept| kept.reminder.due_micros <= now;
        let mut due: Vec<_> =
            kept.values().filter(is_due).map(|kept| kept.reminder.clone()).collect();
        // By name before, and those that are due at one time stay so.
        due.sort_by_key(|reminder| reminder.due_micros);
        kept.retain(|_, kept| match kept.again {
            Again::After(period) if kept.reminder.due_micros <= now => {
                kept.reminder.due_micros = later(now, period);
                true
            }
            Again::Never => kept.reminder.due_micros > now,
            Again::After(_) | Again::Unknown => true,
        });
        due
    }

    /// Runs the turn of a reminder, the way the host does.
    ///
    /// # Errors
    /// What the method answers, or what is wrong with its name or argument.
    pub fn fire<T: Object>(&self, object: &mut T, reminder: &Reminder) -> Result<()> {
        object.handle(&self.context, &reminder.method, reminder.payload.clone()).map(drop)
    }
}

impl Link {
    pub(crate) fn set_reminder(
        &self,
        name: &str,
        when: &Timing,
        method: &str,
        payload: &[u8],
    ) -> Result<()> {
        let world = self.writable()?.borrow();
        let (due_micros, again) = match when {
            Timing::At(time) => (later(0, *time), Again::Never),
            Timing::Every(period) => (later(world.now_micros, *period), Again::After(*period)),
            Timing::Cron(..) => (u64::MAX, Again::Unknown),
        };
        let reminder = Reminder {
            name: name.into(),
            when: when.words()?,
            method: method.into(),
            payload: payload.into(),
            due_micros,
        };
        world.reminders.borrow_mut().insert(name.into(), Kept { reminder, again });
        Ok(())
    }

    pub(crate) fn cancel_reminder(&self, name: &str) -> Result<()> {
        self.writable()?.borrow().reminders.borrow_mut().remove(name);
        Ok(())
    }

    pub(crate) fn reminders(&self) -> Result<Vec<Reminder>> {
        let world = self.world()?.borrow();
        let kept = world.reminders.borrow();
        Ok(kept.values().map(|kept| kept.reminder.clone()).collect())
    }
}

/// So long after a time, both in microseconds; rounded up, since nothing fires early.
fn later(micros: u64, by: Duration) -> u64 {
    let by = by.as_nanos().div_ceil(1000);
    micros.saturating_add(u64::try_from(by).unwrap_or(u64::MAX))
}
