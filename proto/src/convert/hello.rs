//! Whether two processes that say hello belong together.

use wasmverse_core::{CallError, ErrorKind};

use crate::node::Hello;

/// Whether two processes may link up: same protocol, same cluster, same shards.
///
/// # Errors
/// `invalid-argument` says what they differ in.
pub fn agree(ours: &Hello, theirs: &Hello) -> Result<(), CallError> {
    let problem = if ours.protocol != theirs.protocol {
        format!("we speak protocol {}, it speaks {}", ours.protocol, theirs.protocol)
    } else if ours.shards != theirs.shards {
        format!("we have `cluster.shards` {}, it has {}", ours.shards, theirs.shards)
    } else if ours.cluster != theirs.cluster
        && !ours.cluster.is_empty()
        && !theirs.cluster.is_empty()
    {
        format!("we belong to the cluster {}, it belongs to {}", ours.cluster, theirs.cluster)
    } else {
        return Ok(());
    };
    let who = if theirs.id.is_empty() { "the peer" } else { &theirs.id };
    Err(CallError::new(ErrorKind::InvalidArgument, format!("{who} is no peer of ours: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello { protocol: 1, cluster: "c".into(), shards: 8192, ..Hello::default() }
    }

    #[test]
    fn processes_of_one_cluster_agree() {
        assert_eq!(agree(&hello(), &hello()), Ok(()));
        let new = Hello { cluster: String::new(), ..hello() };
        assert_eq!(agree(&new, &hello()), Ok(()));
        assert_eq!(agree(&hello(), &new), Ok(()));
    }

    #[test]
    fn those_that_differ_are_refused_and_told_why() {
        for (word, theirs) in [
            ("protocol", Hello { protocol: 2, ..hello() }),
            ("shards", Hello { shards: 64, ..hello() }),
            ("cluster", Hello { cluster: "d".into(), ..hello() }),
        ] {
            let error = agree(&hello(), &theirs).unwrap_err();
            assert!(error.message().contains(word), "{error}");
        }
    }
}
