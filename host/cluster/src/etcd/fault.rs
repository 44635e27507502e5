//! What an error of etcd means: was it done, and is it of use to try again, there or elsewhere.

use std::error::Error as _;

use etcd_client::Error as EtcdError;
use tonic::{Code, ConnectError, Status};

use crate::Error;

/// Why an endpoint gave no answer that is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It wants us to log in (again). It was not done.
    LoggedOut,
    /// That is the answer, wherever one asks.
    Final(Error),
    /// It was surely not done; another endpoint may do it.
    NotDone(String),
    /// Nobody knows whether it was done.
    Unsure(String),
}

impl Fault {
    /// As an error of a request that is not made again.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(error) => error,
            Self::LoggedOut => Error::Unavailable("etcd logs us out".to_owned()),
            Self::NotDone(why) => Error::Unavailable(why),
            Self::Unsure(why) => Error::Unknown(why),
        }
    }
}

pub(super) fn judge(error: EtcdError) -> Fault {
    match error {
        EtcdError::GRpcStatus(status) => judge_status(&status),
        EtcdError::LeaseKeepAliveError(told) if told.contains("not found") => {
            Fault::Final(Error::LeaseGone)
        }
        // The configuration makes no sense.
        EtcdError::InvalidArgs(_)
        | EtcdError::InvalidUri(_)
        | EtcdError::TransportError(_)
        | EtcdError::InvalidMetadataValue(_)
        | EtcdError::EndpointError(_)
        | EtcdError::EndpointsNotManaged => Fault::Final(Error::Refused(error.to_string())),
        EtcdError::IoError(_)
        | EtcdError::WatchError(_)
        | EtcdError::Utf8Error(_)
        | EtcdError::LeaseKeepAliveError(_)
        | EtcdError::ElectError(_)
        | EtcdError::Internal(_) => Fault::Unsure(error.to_string()),
    }
}

fn judge_status(status: &Status) -> Fault {
    let told = || describe(status);
    if is_unconnected(status) {
        return Fault::NotDone(told());
    }
    match status.code() {
        Code::Unauthenticated => Fault::LoggedOut,
        // Somebody changed users or roles since our token was made.
        Code::InvalidArgument if status.message().contains("auth: revision in header is old") => {
            Fault::LoggedOut
        }
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented => Fault::Final(Error::Refused(told())),
        Code::NotFound if status.message().contains("lease not found") => {
            Fault::Final(Error::LeaseGone)
        }
        Code::OutOfRange if status.message().contains("compacted") => {
            Fault::Final(Error::Compacted)
        }
        // Too many requests, or no space: said before anything is done.
        Code::ResourceExhausted => Fault::NotDone(told()),
        // Said by a member that looks for its leader before it looks at the request.
        Code::Unavailable if status.message() == "etcdserver: no leader" => Fault::NotDone(told()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Fault::Unsure(told()),
    }
}

/// Whether there never was a connection to send it on.
fn is_unconnected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The message, and what it came from: tonic's messages alone say little.
fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = if text.is_empty() { more } else { format!("{text}: {more}") };
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_understood() {
        let fault = |code, message| judge_status(&Status::new(code, message));
        assert_eq!(
            fault(Code::NotFound, "etcdserver: requested lease not found"),
            Fault::Final(Error::LeaseGone)
        );
        assert_eq!(
            fault(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
            Fault::Final(Error::Compacted)
        );
        assert_eq!(
            fault(Code::Unauthenticated, "etcdserver: invalid auth token"),
            Fault::LoggedOut
        );
        let no_leader = fault(Code::Unavailable, "etcdserver: no leader");
        assert!(matches!(no_leader, Fault::NotDone(_)));
        let timed_out = fault(Code::Unavailable, "etcdserver: request timed out");
        assert!(matches!(timed_out, Fault::Unsure(_)), "it may be done yet");
        let full = fault(Code::PermissionDenied, "etcdserver: permission denied");
        assert!(matches!(full, Fault::Final(Error::Refused(_))));
    }
}
