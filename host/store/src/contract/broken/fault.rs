//! In which ways a store may be broken.

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// Of every eleven rows one is answered and not saved.
    DropsSaves,
    /// Versions begin anew with each life of an object.
    ForgetsTombstones,
    /// Whoever comes last wins.
    SavesOverConflicts,
    /// Empty state is no state.
    LosesEmptiness,
    /// `_` stands for any character.
    ListsByPattern,
    /// The last page is every page.
    KnowsNoMore,
    /// Deletes nothing that has been saved twice.
    KeepsTheDeleted,
    /// A digest that is there is activated by storing it.
    ActivatesUploads,
    /// Whoever claimed a shard once may write for good.
    ChecksNoEpoch,
    /// Two claims may get the same epoch.
    RepeatsEpochs,
    /// Whatever is expected of an epoch, it is raised.
    RaisesWhatever,
    /// Storage is written, whatever becomes of the state.
    CommitsStorageApart,
    /// Storage outlives its object.
    KeepsStorageOfTheDeleted,
    /// What is unset stays.
    UnsetsNothing,
    /// Keys are counted as often as they are set.
    MiscountsKeys,
    /// A touched row is not written.
    CountsNoTouches,
    /// A result is kept whatever becomes of its commit.
    KeepsResultsOfTheRefused,
    /// Results go with their object.
    ForgetsResultsOfTheDeleted,
    /// Results are forgotten, whatever waits.
    ForgetsWhatIsNeeded,
    /// Whoever takes a send has it.
    TakesSendsTwice,
    /// Sends go with their sender.
    LosesSendsOfTheDeleted,
    /// A send that is given up stays in the outbox.
    LeavesDeadSends,
    /// The numbers of sends begin anew with each life of the sender.
    NumbersSendsAnew,
    /// Reminders outlive their object.
    KeepsRemindersOfTheDeleted,
    /// A reminder fires whenever it is told to.
    FiresAtAnyTime,
}

impl Fault {
    pub(super) fn is_of_storage(self) -> bool {
        matches!(
            self,
            Self::CommitsStorageApart | Self::KeepsStorageOfTheDeleted | Self::UnsetsNothing
        )
    }

    pub(super) fn is_beside(self) -> bool {
        matches!(
            self,
            Self::KeepsResultsOfTheRefused
                | Self::ForgetsResultsOfTheDeleted
                | Self::ForgetsWhatIsNeeded
                | Self::TakesSendsTwice
                | Self::LosesSendsOfTheDeleted
                | Self::LeavesDeadSends
                | Self::NumbersSendsAnew
                | Self::KeepsRemindersOfTheDeleted
                | Self::FiresAtAnyTime
        )
    }
}
