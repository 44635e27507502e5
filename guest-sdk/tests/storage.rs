//! Collections in keyed storage, without a platform.

use wasmverse_sdk::{ErrorKind, Log, Map, TestContext};

const STOCK: Map<String, u32> = Map::new("stock");
const BY_NUMBER: Map<u64, String> = Map::new("by-number");
const NOTES: Log<String> = Log::new("notes");

#[test]
fn a_map_keeps_what_is_put_and_lists_it_in_order() {
    let ctx = TestContext::new("T", "a");
    assert_eq!(STOCK.get(&ctx, &"nuts".into()).unwrap(), None);
    for (item, count) in [("nuts", 3), ("bolts", 5), ("nails", 0)] {
        STOCK.set(&ctx, &item.into(), &count).unwrap();
    }
    STOCK.remove(&ctx, &"nails".into()).unwrap();
    STOCK.remove(&ctx, &"nails".into()).unwrap();
    assert_eq!(STOCK.get(&ctx, &"nuts".into()).unwrap(), Some(3));
    assert_eq!(STOCK.all(&ctx).unwrap(), [("bolts".into(), 5), ("nuts".into(), 3)]);
    assert_eq!(STOCK.page(&ctx, Some(&"bolts".into()), 10).unwrap(), [("nuts".into(), 3)]);
}

#[test]
fn numbers_have_their_order_and_names_keep_maps_apart() {
    let ctx = TestContext::new("T", "a");
    for number in [100, 9, u64::MAX, 20] {
        BY_NUMBER.set(&ctx, &number, &number.to_string()).unwrap();
    }
    STOCK.set(&ctx, &"x".into(), &1).unwrap();
    let keys: Vec<u64> = BY_NUMBER.all(&ctx).unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [9, 20, 100, u64::MAX]);
}

#[test]
fn a_log_counts_its_entries_and_forgets_the_earliest() {
    let ctx = TestContext::new("T", "a");
    assert_eq!(NOTES.last(&ctx).unwrap(), 0);
    assert!(NOTES.latest(&ctx, 3).unwrap().is_empty());
    for number in 1..=25 {
        assert_eq!(NOTES.append(&ctx, &number.to_string()).unwrap(), number);
        NOTES.keep_latest(&ctx, 10).unwrap();
    }
    let seqs = |page: Vec<(u64, String)>| -> Vec<u64> {
        assert!(page.iter().all(|(seq, text)| seq.to_string() == *text));
        page.into_iter().map(|(seq, _)| seq).collect()
    };
    assert_eq!(seqs(NOTES.latest(&ctx, 3).unwrap()), [23, 24, 25]);
    assert_eq!(NOTES.get(&ctx, 16).unwrap(), Some("16".into()));
    assert_eq!(NOTES.get(&ctx, 15).unwrap(), None);
    assert_eq!(NOTES.last(&TestContext::new("T", "a").after(&ctx)).unwrap(), 25);
    assert_eq!(seqs(NOTES.after(&ctx, 0, 2).unwrap()), [16, 17]);
    assert_eq!(seqs(NOTES.latest(&ctx, 100).unwrap()), (16..=25).collect::<Vec<_>>());
}

#[test]
fn a_log_goes_on_with_the_numbers_of_what_it_is_filled_with() {
    let ctx = TestContext::new("T", "a");
    let entries: Vec<_> = (1_000_001..=1_000_003).map(|number| number.to_string()).collect();
    let refused = NOTES.fill(&ctx, 0, &entries).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    NOTES.fill(&ctx, 1_000_001, &entries).unwrap();
    assert_eq!(NOTES.last(&ctx).unwrap(), 1_000_003);
    assert_eq!(NOTES.append(&ctx, &"1000004".into()).unwrap(), 1_000_004);
    let seqs: Vec<_> = NOTES.latest(&ctx, 10).unwrap();
    assert!(seqs.iter().all(|(seq, text)| seq.to_string() == *text));
    assert_eq!((seqs.len(), seqs[0].0), (4, 1_000_001));
    NOTES.keep_latest(&ctx, 2).unwrap();
    assert_eq!(NOTES.after(&ctx, 0, 10).unwrap()[0].0, 1_000_003);
    // It is no way to write over what is there.
    let refused = NOTES.fill(&ctx, 1, &entries).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert_eq!(NOTES.last(&ctx).unwrap(), 1_000_004);
}

#[test]
fn a_log_may_be_filled_with_nothing_but_a_number_to_go_on_with() {
    let ctx = TestContext::new("T", "a");
    NOTES.fill(&ctx, 8, &[]).unwrap();
    assert!(NOTES.latest(&ctx, 10).unwrap().is_empty());
    assert_eq!(NOTES.append(&ctx, &"8".into()).unwrap(), 8);
}

#[test]
fn a_read_only_turn_reads_and_writes_nothing() {
    let ctx = TestContext::new("T", "a").in_read_only();
    assert_eq!(NOTES.last(&ctx).unwrap(), 0);
    assert_eq!(NOTES.append(&ctx, &"x".into()).unwrap_err().kind(), ErrorKind::Denied);
}
