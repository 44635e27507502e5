//! Reminders, against the platform for tests.

use std::time::{Duration, SystemTime};

use wasmverse_sdk::{TestContext, prelude::*};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Garden {
    done: Vec<String>,
}

#[object(durability = "durable")]
impl Garden {
    fn water(&mut self, litres: u32) {
        self.done.push(format!("{litres} litres"));
    }

    fn move_plant(&mut self, from: String, to: String) {
        self.done.push(format!("{from} to {to}"));
    }

    /// Weeds grow again, and sooner.
    #[callers(objects)]
    fn weed(&mut self, ctx: &Context) -> Result<()> {
        self.done.push("weeds".into());
        ctx.remind("weed", after(SECOND), "weed")
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn context() -> TestContext {
    TestContext::of::<Garden>("g")
}

/// Runs what is due after that time.
fn wait(ctx: &TestContext, garden: &mut Garden, time: Duration) -> Vec<String> {
    ctx.pass(time);
    ctx.due().iter().for_each(|due| ctx.fire(garden, due).expect("it runs"));
    std::mem::take(&mut garden.done)
}

#[test]
fn a_method_is_named_with_or_without_an_argument_or_by_a_typed_request() {
    let (ctx, mut garden) = (context(), Garden::default());
    let me = || GardenRef::at(ctx.id()).request();
    ctx.remind("a", after(SECOND), "weed").unwrap();
    ctx.remind("b", after(SECOND), ("water", &3)).unwrap();
    ctx.remind("c", after(SECOND), me().move_plant("pot".into(), "bed".into())).unwrap();
    ctx.remind("d", after(SECOND), ("weed", &())).unwrap();
    let set = ctx.reminders().unwrap();
    assert_eq!(set, ctx.reminders_set());
    let shown =
        set.iter().map(|set| (&*set.name, &*set.method, str::from_utf8(&set.payload).unwrap()));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            ("a", "weed", ""),
            ("b", "water", "3"),
            ("c", "move_plant", r#"{"from":"pot","to":"bed"}"#),
            ("d", "weed", ""),
        ]
    );
    assert_eq!(set[1].argument::<u32>().unwrap(), 3);
    assert_eq!(set[0].argument::<Option<u32>>().unwrap(), None);
    assert_eq!(set[1].argument::<String>().unwrap_err().code(), "unexpected-argument");
    assert_eq!(set[0].due(), ctx.now() + SECOND);
    assert_eq!(wait(&ctx, &mut garden, SECOND), ["weeds", "3 litres", "pot to bed", "weeds"]);
}

#[test]
fn what_fires_once_is_forgotten_and_may_be_set_again_by_its_own_turn() {
    let (ctx, mut garden) = (context(), Garden::default());
    ctx.remind("weed", at(ctx.now() + SECOND), "weed").unwrap();
    assert_eq!(ctx.reminders_set()[0].when, "2026-01-01T00:00:01.000000Z");
    assert_eq!(wait(&ctx, &mut garden, SECOND / 2), [""; 0]);
    assert_eq!(wait(&ctx, &mut garden, SECOND / 2), ["weeds"]);
    // A while counts from when it is set.
    assert_eq!(ctx.reminders_set()[0].when, "2026-01-01T00:00:02.000000Z");
    ctx.remind("weed", at(SystemTime::UNIX_EPOCH), ("water", &1)).unwrap();
    assert_eq!(wait(&ctx, &mut garden, Duration::ZERO), ["1 litres"]);
    assert!(ctx.reminders_set().is_empty());
}

#[test]
fn missed_periods_fire_once_and_the_next_counts_from_then() {
    let (ctx, mut garden) = (context(), Garden::default());
    ctx.remind("water", every(2 * SECOND), ("water", &1)).unwrap();
    for (seconds, times) in [(1, 0), (1, 1), (0, 0), (7, 1), (1, 0), (1, 1)] {
        let done = wait(&ctx, &mut garden, seconds * SECOND);
        assert_eq!(done.len(), times, "after {seconds} s");
    }
}

#[test]
fn what_is_due_comes_in_the_order_of_time() {
    let ctx = context();
    for (name, seconds) in [("a", 3), ("b", 1), ("c", 1), ("d", 9)] {
        ctx.remind(name, after(seconds * SECOND), "weed").unwrap();
    }
    ctx.pass(5 * SECOND);
    let names: Vec<_> = ctx.due().into_iter().map(|due| due.name).collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn a_calendar_is_left_to_the_platform() {
    let (ctx, mut garden) = (context(), Garden::default());
    ctx.remind("weed", cron("0 9 * * *", "Europe/Berlin"), ("water", &2)).unwrap();
    let set = ctx.reminders_set();
    assert_eq!(set[0].when, "cron 0 9 * * * Europe/Berlin");
    assert_eq!(wait(&ctx, &mut garden, 86_400 * SECOND), [""; 0]);
    ctx.fire(&mut garden, &set[0]).unwrap();
    assert_eq!(garden.done, ["2 litres"]);
}

#[test]
fn reminders_outlive_the_turn_and_are_cancelled_by_name() {
    let earlier = context();
    earlier.remind("a", after(SECOND), "weed").unwrap();
    earlier.remind("b", after(SECOND), "weed").unwrap();
    let later = context().after(&earlier);
    later.cancel_reminder("a").unwrap();
    later.cancel_reminder("nobody").unwrap();
    later.remind("b", every(SECOND), ("water", &1)).unwrap();
    let set = later.reminders_set();
    assert_eq!((set.len(), &*set[0].when), (1, "every 1s"));
}

#[test]
fn a_read_only_turn_sees_reminders_and_sets_none() {
    let earlier = context();
    earlier.remind("a", after(SECOND), "weed").unwrap();
    let ctx = context().after(&earlier).in_read_only();
    assert_eq!(ctx.reminders().unwrap().len(), 1);
    let denied = [ctx.remind("b", after(SECOND), "weed"), ctx.cancel_reminder("a")];
    assert!(denied.iter().all(|one| one.as_ref().unwrap_err().kind() == ErrorKind::Denied));
    assert_eq!(ctx.reminders_set().len(), 1);
}

#[test]
fn what_no_reminder_can_do_is_refused_and_says_why() {
    let ctx = context();
    let weed = |garden: GardenRef| ctx.remind("x", after(SECOND), garden.request().weed());
    let me = || GardenRef::at(ctx.id());
    for (refused, why) in [
        (weed(GardenRef::at("other")), "and not Garden/other"),
        (weed(me().key("k")), "leave out `.key(…)`"),
        (weed(me().timeout(SECOND)), "leave out `.timeout(…)`"),
        (ctx.remind("x", every(Duration::ZERO), "weed"), "not zero"),
        (ctx.remind("x", after(Duration::MAX), "weed"), "the year 10000"),
        (ctx.remind("x", cron("daily", "UTC"), "weed"), "five fields"),
        (ctx.remind("x", cron("0 9 * * *", ""), "weed"), "a time zone has"),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.message().contains(why), "{refused}");
    }
    assert!(ctx.reminders_set().is_empty());
}
