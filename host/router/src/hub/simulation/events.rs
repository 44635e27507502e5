//! What may happen, and to whom.

use super::{
    asks::{EtcdAnswer, EtcdOp},
    faults::Fault,
    parcels::{Packing, Pieces},
    sending::Attempt,
    store::{StoreAnswer, StoreOp},
    turns::Outcome,
};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    StoreChecksNoEpoch,
    /// Calls that may have run are made again, whether they have a key or not.
    EverythingIsRetried,
    LeaseIsNotLookedAt,
    DrainsParkEveryCall,
    ParkedCallsGoBackwards,
    /// A turn in a shard that drains may wait for an object that is busy with a later chain, whose call
    /// waits for the drain.
    StallsLetNoChainIn,
}

/// One life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) process: usize,
    pub(super) life: u32,
}

/// What may happen.
#[derive(Debug)]
pub(super) enum Event {
    ToEtcd(Who, EtcdOp, bool),
    FromEtcd(Who, EtcdAnswer),
    ToStore(Who, StoreOp),
    FromStore(Who, StoreAnswer),
    /// The watch brings what is new.
    Watch(Who),
    Beat(Who, u64),
    /// The lease may have lapsed by the process's own clock.
    Lapse(Who),
    /// By etcd's.
    Expire(u64),
    Lead(Who),
    Register(Who),
    DrainOver(Who, usize, u64),
    Stall(Who, usize, u64),
    Pack(Who, Packing),
    Packed(Who, Packing, Pieces),
    Send(Who, usize, u64),
    Arrive(Who, Attempt),
    Taken(Who, Attempt, bool),
    SendEnds(Who, usize, u64, bool),
    Relayed(Who, u64, usize, Outcome),
    Leave(Who),
    Dial(Who, usize),
    Write(u64),
    There(u64),
    Back(u64),
    Break(u64),
    Turn(Who, u64),
    LookAtParked(Who),
    Deadline(u64),
    Client(usize),
    Again(usize),
    Fault(Fault),
}

impl Event {
    /// The process that it is for, and that must be there and not paused.
    pub(super) fn who(&self) -> Option<Who> {
        match self {
            Self::FromEtcd(who, _)
            | Self::FromStore(who, _)
            | Self::Watch(who)
            | Self::Beat(who, _)
            | Self::Lapse(who)
            | Self::Lead(who)
            | Self::Register(who)
            | Self::DrainOver(who, ..)
            | Self::Stall(who, ..)
            | Self::Pack(who, _)
            | Self::Packed(who, ..)
            | Self::Send(who, ..)
            | Self::Arrive(who, _)
            | Self::Taken(who, ..)
            | Self::SendEnds(who, ..)
            | Self::Relayed(who, ..)
            | Self::Leave(who)
            | Self::Dial(who, _)
            | Self::Turn(who, _)
            | Self::LookAtParked(who) => Some(*who),
            Self::ToEtcd(..)
            | Self::ToStore(..)
            | Self::Expire(_)
            | Self::Write(_)
            | Self::There(_)
            | Self::Back(_)
            | Self::Break(_)
            | Self::Deadline(_)
            | Self::Client(_)
            | Self::Again(_)
            | Self::Fault(_) => None,
        }
    }
}

impl Event {
    /// It happens all the time.
    pub(super) fn is_dull(&self) -> bool {
        match self {
            Self::ToEtcd(_, op, _) => matches!(op, EtcdOp::KeepAlive(..)),
            Self::FromEtcd(_, answer) => matches!(answer, EtcdAnswer::Kept(..)),
            Self::Beat(..)
            | Self::Lapse(_)
            | Self::Expire(_)
            | Self::Write(_)
            | Self::There(_)
            | Self::Back(_)
            | Self::LookAtParked(_)
            | Self::Deadline(_)
            | Self::Watch(_) => true,
            _ => false,
        }
    }
}
