//! What is busy moves, if that is worth it.

use super::*;

#[test]
fn load_moves_what_is_busy_and_rests_when_it_is_not_worth_it() {
    let mut view = cluster(8, &[1, 1]);
    for shard in 0..8 {
        settle(&mut view, shard, usize::from(shard % 2));
    }
    let calls = vec![1000, 1050, 1000, 1050, 1000, 1050, 1000, 1050];
    let even = Loads { calls, bytes: Vec::new() };
    assert!(plan(&view, &Terms { load: Some(&even), ..STABLE }).is_empty());
    let loads = Loads { calls: vec![1000, 10, 1000, 10, 1000, 10, 1000, 10], bytes: Vec::new() };
    let terms = Terms { load: Some(&loads), ..STABLE };
    let planned = plan(&view, &terms);
    assert_eq!(planned.len(), 2);
    assert!(planned.iter().all(|it| it.shard.0 % 2 == 0 && it.why == Why::Load));
    assert_eq!(plan(&view, &Terms { moves_max: 1, ..terms }).len(), 1);
    write(&mut view, &planned);
    move_all(&mut view);
    assert!(plan(&view, &terms).is_empty());
}

#[test]
fn a_little_work_and_a_few_bytes_among_many_calls_move_nothing() {
    let mut view = cluster(8, &[1, 1]);
    for shard in 0..8 {
        settle(&mut view, shard, usize::from(shard % 2));
    }
    let little = Loads { calls: vec![3, 0, 3], bytes: vec![300, 0, 300] };
    assert!(plan(&view, &Terms { load: Some(&little), ..STABLE }).is_empty());
    let small = Loads { calls: vec![1000; 8], bytes: vec![100, 0, 100] };
    assert!(plan(&view, &Terms { load: Some(&small), ..STABLE }).is_empty());
    let large = Loads { calls: vec![1000; 8], bytes: vec![1 << 20, 0, 1 << 20] };
    assert_eq!(plan(&view, &Terms { load: Some(&large), ..STABLE })[0].why, Why::Load);
}
