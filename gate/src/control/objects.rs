//! What is known of objects: each node answers those that it has in memory and all that are stored.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use tokio::time::Instant;
use tonic::Request;
use wasmverse_core::{CallError, ObjectId, TypeName};
use wasmverse_proto::{
    convert::{object_to_ref, ref_to_object},
    gate::{ListObjectsRequest, ListObjectsResponse, ObjectInfo},
};

use super::{Control, answers, check_page_length, until};

/// As long as a page is that does not say.
const PAGE_LENGTH: usize = 100;
/// One node among several may take so long: the list is good without it.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

impl Control {
    /// A page of objects.
    pub(crate) async fn list(
        &self,
        request: ListObjectsRequest,
        deadline: Instant,
    ) -> Result<ListObjectsResponse, CallError> {
        check_page_length(request.limit)?;
        if !request.r#type.is_empty() {
            TypeName::new(&request.r#type)?;
        }
        let mut nodes = self.nodes()?;
        if let [(_, node)] = nodes.as_mut_slice() {
            return until(deadline, node.list_objects(Request::new(request))).await;
        }
        let length = match request.limit {
            0 => PAGE_LENGTH,
            limit => usize::try_from(limit).unwrap_or(PAGE_LENGTH),
        };
        let deadline = deadline.min(Instant::now() + NODE_TIMEOUT);
        let asking = nodes.into_iter().map(|(_, mut node)| {
            let request = request.clone();
            async move { until(deadline, node.list_objects(request)).await }
        });
        merged(answers(asking).await?, length)
    }

    /// What is known of an object.
    pub(crate) async fn get(
        &self,
        object: &ObjectId,
        deadline: Instant,
    ) -> Result<ObjectInfo, CallError> {
        let mut node = self.owner(object)?;
        let found = until(deadline, node.get_object(Request::new(object_to_ref(object)))).await;
        found.map_err(|error| error.about(object))
    }
}

/// One page out of several nodes' pages of the same list.
fn merged(
    pages: Vec<ListObjectsResponse>,
    length: usize,
) -> Result<ListObjectsResponse, CallError> {
    let mut objects: BTreeMap<ObjectId, ObjectInfo> = BTreeMap::new();
    // Behind the end of a page that goes on, its node may have what the others have not.
    let mut complete_to: Option<ObjectId> = None;
    for page in pages {
        let mut last = None;
        for info in page.objects {
            let object = ref_to_object(info.object.as_ref())?;
            last = Some(object.clone());
            match objects.entry(object) {
                Entry::Vacant(place) => drop(place.insert(info)),
                Entry::Occupied(mut known) if rank(&info) > rank(known.get()) => {
                    known.insert(info);
                }
                Entry::Occupied(_) => {}
            }
        }
        if let Some(last) = last.filter(|_| !page.next_page.is_empty()) {
            let nearer = complete_to.take().map_or(last.clone(), |end| end.min(last));
            complete_to = Some(nearer);
        }
    }
    let mut more = complete_to.is_some();
    if let Some(end) = complete_to {
        objects.retain(|object, _| *object <= end);
    }
    while objects.len() > length {
        objects.pop_last();
        more = true;
    }
    // As nodes do: a page goes on after its last object.
    let last = objects.last_key_value().filter(|_| more);
    let next_page = last.map(|(object, _)| object.to_string()).unwrap_or_default();
    Ok(ListObjectsResponse { objects: objects.into_values().collect(), next_page })
}

/// Who knows more of an object: where it is in memory, it is not only stored.
fn rank(info: &ObjectInfo) -> u8 {
    match info.state.as_str() {
        "live" => 2,
        "asleep" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_proto::gate::ObjectRef;

    fn page(node: &str, objects: &[(&str, &str)], goes_on: bool) -> ListObjectsResponse {
        let info = |(id, state): &(&str, &str)| ObjectInfo {
            object: Some(ObjectRef { r#type: "T".into(), id: (*id).into() }),
            state: (*state).into(),
            node: if *state == "stored" { String::new() } else { node.into() },
            ..ObjectInfo::default()
        };
        let objects: Vec<_> = objects.iter().map(info).collect();
        let last = objects.last().and_then(|info| info.object.clone()).filter(|_| goes_on);
        let next_page = last.map(|last| format!("T/{}", last.id)).unwrap_or_default();
        ListObjectsResponse { objects, next_page }
    }

    #[track_caller]
    fn check(pages: Vec<ListObjectsResponse>, length: usize, expected: &[&str], next: &str) {
        let page = merged(pages, length).unwrap();
        let shown = page.objects.iter().map(|info| {
            let id = info.object.as_ref().map(|object| object.id.as_str()).unwrap_or_default();
            format!("{id} {} {}", info.state, info.node).trim_end().to_owned()
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(page.next_page, next);
    }

    #[test]
    fn the_node_that_has_an_object_in_memory_is_believed() {
        let a = page("a", &[("1", "stored"), ("2", "live"), ("3", "stored")], false);
        let b =
            page("b", &[("1", "asleep"), ("2", "asleep"), ("3", "stored"), ("4", "live")], false);
        let expected = ["1 asleep b", "2 live a", "3 stored", "4 live b"];
        check(vec![a.clone(), b.clone()], 10, &expected, "");
        check(vec![b, a], 10, &expected, "");
        check(vec![], 10, &[], "");
    }

    #[test]
    fn a_page_is_cut_at_its_limit_and_goes_on_there() {
        let a = page("a", &[("1", "live"), ("3", "live")], false);
        let b = page("b", &[("2", "live"), ("4", "live")], false);
        check(vec![a, b], 3, &["1 live a", "2 live b", "3 live a"], "T/3");
    }

    #[test]
    fn nothing_is_skipped_where_a_nodes_page_ends_early() {
        // Node a has more behind 2, and nobody knows what.
        let a = page("a", &[("1", "live"), ("2", "live")], true);
        let b = page("b", &[("1", "stored"), ("5", "live"), ("6", "live")], false);
        check(vec![a, b], 10, &["1 live a", "2 live a"], "T/2");
    }

    #[test]
    fn pages_one_after_another_are_the_whole_list() {
        let nodes: [&[(&str, &str)]; 2] = [
            &[("1", "stored"), ("2", "live"), ("5", "stored"), ("6", "stored")],
            &[("1", "stored"), ("3", "live"), ("4", "asleep"), ("5", "live"), ("6", "stored")],
        ];
        for length in 1..8 {
            let (mut after, mut seen) = (String::new(), Vec::new());
            loop {
                let pages = nodes.iter().zip(["a", "b"]).map(|(all, node)| {
                    let left: Vec<_> =
                        all.iter().filter(|(id, _)| format!("T/{id}") > after).copied().collect();
                    page(node, &left[..left.len().min(length)], left.len() > length)
                });
                let page = merged(pages.collect(), length).unwrap();
                assert!(page.objects.len() <= length);
                seen.extend(page.objects.into_iter().map(|it| it.object.unwrap().id));
                after = page.next_page;
                if after.is_empty() {
                    break;
                }
            }
            assert_eq!(seen, ["1", "2", "3", "4", "5", "6"], "by {length}");
        }
    }
}
