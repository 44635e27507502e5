//! Building and deploying what `dev` was given, at the start and after each save.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytes::Bytes;
use wasmverse_node::{Node, Progress, Uploaded};

use crate::{
    answers::{Refusal, Rollout},
    builder::Source,
    commands::deploy::{components, moved, read},
    failure::{Failure, Result},
};

const AUTHOR: &str = "wasmverse dev";

/// Builds crates and brings to the node what has changed.
#[derive(Debug)]
pub(crate) struct Deployer {
    sources: Vec<Source>,
    /// The component that was deployed last from each place, and its type.
    deployed: BTreeMap<PathBuf, (Bytes, String)>,
}

/// A type that was swapped in.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) rollout: Rollout,
}

impl Deployer {
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        Self { sources, deployed: BTreeMap::new() }
    }

    /// Deploys every component that differs from the one deployed before it, through the first
    /// node, and waits until the live objects of all have moved. An error does not undo what came
    /// before it.
    pub(crate) async fn deploy(&mut self, nodes: &[Node]) -> Result<Vec<Change>> {
        let Some(node) = nodes.first() else { return Ok(Vec::new()) };
        let sources = self.sources.clone();
        let built = tokio::task::spawn_blocking(move || components(&sources));
        let paths = built.await.map_err(anyhow::Error::from)??;
        let mut changes = Vec::new();
        for path in paths {
            let component = read(&path)?;
            if self.deployed.get(&path).is_some_and(|(there, _)| *there == component) {
                continue;
            }
            let uploaded = node.upload(component.clone(), AUTHOR, true).await.map_err(|error| {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                named(error.into(), &file)
            })?;
            let type_name = uploaded.type_name.to_string();
            self.check_unique(&path, &type_name)?;
            self.deployed.insert(path, (component, type_name));
            changes.push(Change { rollout: follow(nodes, &uploaded).await });
        }
        Ok(changes)
    }

    /// Two components of one type would replace each other at every save.
    fn check_unique(&self, path: &PathBuf, type_name: &str) -> Result<()> {
        let other = |(place, (_, there)): &(&PathBuf, &(Bytes, String))| {
            *place != path && there == type_name
        };
        match self.deployed.iter().find(other) {
            None => Ok(()),
            Some((place, _)) => Err(Failure::usage(format!(
                "{} and {} are both the type {type_name}: leave one out, or rename its struct",
                place.display(),
                path.display()
            ))),
        }
    }
}

impl Change {
    /// One line for whoever saved.
    pub(crate) fn text(&self, took: Duration) -> String {
        let Rollout { type_name, revision, live, refused, .. } = &self.rollout;
        let mut text =
            format!("swapped in {} ms: {type_name} revision {revision}", took.as_millis());
        if *live > 0 {
            text += &format!(", {}", moved(&self.rollout));
        }
        for refusal in refused {
            text += &format!("\n  {type_name}/{} stays: {}", refusal.id, refusal.reason);
        }
        text
    }
}

/// Waits until every live object of every node has moved, refused to, or gone.
async fn follow(nodes: &[Node], uploaded: &Uploaded) -> Rollout {
    let mut sum = Rollout {
        type_name: uploaded.type_name.to_string(),
        revision: uploaded.number.0,
        done: true,
        ..Rollout::default()
    };
    for node in nodes {
        let progress = follow_one(node, uploaded).await;
        sum.live += progress.live;
        sum.moved += progress.moved;
        sum.gone += progress.gone;
        sum.refused_total += progress.refused_total;
        let refused = progress.refused.iter();
        sum.refused.extend(refused.map(|(object, reason)| Refusal {
            id: object.id().to_owned(),
            reason: reason.clone(),
        }));
        sum.done &= progress.done;
    }
    sum
}

async fn follow_one(node: &Node, uploaded: &Uploaded) -> Progress {
    let over = |progress: &Progress| progress.done || progress.revision != uploaded.number;
    let none = || Progress { done: true, ..Progress::default() };
    let Some(mut steps) = node.rollout(&uploaded.type_name) else { return none() };
    // A sender that is gone has nothing more to say.
    match steps.wait_for(over).await {
        Ok(progress) if progress.revision == uploaded.number => progress.clone(),
        Ok(_) | Err(_) => none(),
    }
}

/// A refusal that says of which file it speaks.
fn named(failure: Failure, file: &str) -> Failure {
    match failure {
        Failure::Call(mut call) => {
            call.message = format!("{file}: {}", call.message);
            Failure::Call(call)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_tells_how_long_it_took_and_who_stays_behind() {
        let refused = vec![Refusal { id: "odd".into(), reason: "no such field".into() }];
        let rollout = Rollout {
            type_name: "Counter".into(),
            revision: 4,
            live: 3,
            moved: 2,
            refused,
            done: true,
            ..Rollout::default()
        };
        let expected = "\
swapped in 850 ms: Counter revision 4, 2 of 3 live objects moved, 1 stay on the old revision
  Counter/odd stays: no such field";
        assert_eq!(Change { rollout }.text(Duration::from_millis(850)), expected);
    }

    #[test]
    fn two_components_of_one_type_are_refused() {
        let mut deployer = Deployer::new(Vec::new());
        deployer.deployed.insert("a.wasm".into(), (Bytes::new(), "Counter".into()));
        assert!(deployer.check_unique(&"a.wasm".into(), "Counter").is_ok());
        assert!(deployer.check_unique(&"b.wasm".into(), "Echo").is_ok());
        let failure = deployer.check_unique(&"b.wasm".into(), "Counter").unwrap_err();
        assert!(failure.to_string().contains("a.wasm and b.wasm are both the type Counter"));
    }
}
