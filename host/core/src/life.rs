//! The life of an activation: what it does next, decided between two steps.
//!
//! One task drives each activation and asks here after every step. Waking, turning, upgrading and
//! leaving never overlap, because only one step is under way at a time.

/// Where an activation is in its life. The node shows it, and lets only those that rest sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is no activation.
    #[default]
    Nothing,
    /// State is being loaded, an instance made and activated.
    Waking,
    /// It waits for a message.
    Resting,
    /// It runs a turn, or creates or deletes its object.
    Turning,
    /// It moves to another revision.
    Upgrading,
    /// It is saved and goes.
    Leaving,
}

impl Phase {
    /// Whether it has an instance, or is about to.
    pub fn is_live(self) -> bool {
        self != Self::Nothing
    }
}

/// What waits at the head of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A method: it needs an instance.
    Invoke,
    /// Create or delete: it needs none.
    Settle,
}

/// What is known when a step has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    /// There is an instance that can be entered.
    pub awake: bool,
    /// What waits at the head of the mailbox.
    pub head: Option<Head>,
    /// A save is under way: its answer decides from which state an object wakes.
    pub saving: bool,
    /// The saved state changed under it: what it holds is not the truth.
    pub overtaken: bool,
    /// The process ends.
    pub stopping: bool,
    /// It should move to the active revision.
    pub upgrade: bool,
    /// It should hand over its state to be saved.
    pub save: bool,
    /// It should sleep.
    pub leave: bool,
    /// Its shard moves: what it has in memory goes along.
    pub packing: bool,
}

/// What an activation does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Drops its instance without a word.
    Discard,
    /// Answers all that wait, saves and ends.
    Stop,
    /// Changes over to the active revision.
    Upgrade,
    /// Gives away what it has in memory, and ends here.
    Pack,
    /// Hands over its state to be saved.
    Save,
    /// Creates or deletes its object.
    Settle,
    /// Gets an instance, for the method at the head.
    Wake,
    /// Runs the method at the head.
    Turn,
    /// Sleeps, if that loses nothing.
    Leave,
    /// Waits for something to happen.
    Rest,
    /// Ends: there is nothing to do and no instance to keep.
    End,
}

/// What an activation does next: what must not wait first, then the mailbox, then sleep.
pub fn next(at: &Boundary) -> Step {
    if at.awake && at.overtaken {
        return Step::Discard;
    }
    if at.stopping {
        return Step::Stop;
    }
    // Nobody is let in any more; who was let in has had their turn, unless they were cancelled.
    if at.packing && at.head.is_none() {
        return if at.saving { Step::Rest } else { Step::Pack };
    }
    if at.awake && at.upgrade {
        return Step::Upgrade;
    }
    if at.awake && at.save && !at.saving {
        return Step::Save;
    }
    match at.head {
        Some(Head::Settle) => Step::Settle,
        Some(Head::Invoke) if at.awake => Step::Turn,
        // It would be loaded from a row that is just being replaced.
        Some(Head::Invoke) | None if !at.awake && at.saving => Step::Rest,
        Some(Head::Invoke) => Step::Wake,
        None if !at.awake => Step::End,
        None if at.leave => Step::Leave,
        None => Step::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn boundaries()(
            flags in any::<[bool; 8]>(),
            head in prop_oneof![Just(None), Just(Some(Head::Invoke)), Just(Some(Head::Settle))],
        ) -> Boundary {
            let [awake, saving, overtaken, stopping, upgrade, save, leave, packing] = flags;
            Boundary { awake, head, saving, overtaken, stopping, upgrade, save, leave, packing }
        }
    }

    #[test]
    fn an_upgrade_comes_before_the_calls_that_wait() {
        let at = Boundary {
            awake: true,
            head: Some(Head::Invoke),
            upgrade: true,
            ..Boundary::default()
        };
        assert_eq!(next(&at), Step::Upgrade);
        assert_eq!(next(&Boundary { upgrade: false, ..at }), Step::Turn);
    }

    #[test]
    fn nothing_wakes_for_an_upgrade() {
        let at = Boundary { upgrade: true, ..Boundary::default() };
        assert_eq!(next(&at), Step::End);
    }

    #[test]
    fn creating_and_deleting_need_no_instance() {
        let at = Boundary { head: Some(Head::Settle), ..Boundary::default() };
        assert_eq!(next(&at), Step::Settle);
    }

    proptest! {
        #[test]
        fn who_is_called_never_sleeps(at in boundaries()) {
            if at.head.is_some() {
                prop_assert!(!matches!(next(&at), Step::Leave | Step::End | Step::Rest if !at.saving));
            }
        }

        #[test]
        fn turns_need_an_instance_and_waking_needs_none(at in boundaries()) {
            match next(&at) {
                Step::Turn | Step::Upgrade | Step::Save | Step::Leave | Step::Discard => {
                    prop_assert!(at.awake);
                }
                Step::Wake | Step::End => prop_assert!(!at.awake && !at.saving),
                Step::Stop => prop_assert!(at.stopping),
                Step::Pack => prop_assert!(at.packing && at.head.is_none() && !at.saving),
                Step::Settle | Step::Rest => {}
            }
        }

        #[test]
        fn whoever_rests_waits_for_something_that_comes(at in boundaries()) {
            if next(&at) == Step::Rest {
                prop_assert!(at.saving || (at.awake && !at.leave && at.head.is_none()));
            }
        }

        #[test]
        fn an_overtaken_instance_does_nothing_more(at in boundaries()) {
            if at.awake && at.overtaken {
                prop_assert_eq!(next(&at), Step::Discard);
            }
        }
    }
}
