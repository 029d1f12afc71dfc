//! A journal that cannot be written: nothing moves any more, it is said where users are, and the way back stays open.

use crate::rig::*;

#[test]
fn without_a_place_for_the_journal_nothing_begins() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    desk.write("a-file", "");
    for place in ["a-file", "a-file/below"] {
        desk.env.insert("BGCTL_STATE_DIR".into(), desk.path(place).display().to_string());
        desk.cutover().end(20).ends(78).says(&["BG0601", "BLUE 100 GREEN 0", "Nothing was changed"]);
    }
    assert_eq!(world.seen(), [0]);
}

/// Limits of a file's size stand for a disk that fills up: every write beyond fails as on a full disk.
#[test]
fn case_35b_a_disk_that_fills_up_stops_the_run_and_the_way_back_stays_open() {
    let world = World::new(&[]);
    let whole = {
        let desk = Desk::beside(&world);
        desk.cutover().end(60).ends(0);
        desk.runs().first().map(|run| std::fs::metadata(run.join("log.jsonl")).expect("its log").len()).expect("a run")
    };
    let blocks = usize::try_from(whole / 512).expect("small");
    let met = std::thread::scope(|scope| {
        let filled = [25, 40, 55, 70, 85, 98].map(|share| scope.spawn(move || filled_up(blocks, share)));
        filled.map(|ended| ended.join().expect("what a full disk leads to"))
    });
    assert!(met.contains(&0) && met.contains(&50) && met.contains(&100), "the disk was full too early: {met:?}");
}

/// A run whose disk is full at that share of a whole log, and the rollback of it. Gives green's share when it stopped. No two
/// logs are of one length: near its end it may be the closing seal alone that is not taken, and then the run is over and says so.
fn filled_up(blocks: usize, share: usize) -> u32 {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    let limit = blocks * share / 100;
    let line = format!("trap '' XFSZ; ulimit -f {limit}; exec {BGCTL} cutover runbook.yaml --confirm staging");
    let done = desk.shell(&line).end(60);
    let at = world.green();
    if done.code == 0 {
        assert!(share == 98 && at == 100, "{share} % with {at} % on green:\n{}", done.err);
        if done.err.contains("the log could not be closed") {
            done.says(&["COMPLETED", "bgctl resume"]);
            desk.run(&["audit", "verify"]).ends(40);
            desk.run(&["resume"]).ends(0);
        }
        desk.complete();
        return at;
    }
    assert!(done.err.contains("journal") || done.err.contains("written"), "{share} %:\n{}", done.err);
    if at == 0 {
        assert_eq!(done.code, 78, "{share} %:\n{}", done.err);
    } else {
        assert_eq!(done.code, 20, "{share} % with {at} % on green:\n{}", done.err);
        for word in ["bgctl rollback", "undo/web.sh"] {
            assert!(done.err.contains(word), "{share} %: {word}\n{}", done.err);
        }
    }
    let users = format!("BLUE {} GREEN {at}", 100 - at);
    assert!(done.err.contains(&users), "{share} %: {users}\n{}", done.err);
    assert_eq!(world.turns(), 0, "{:?}", world.seen());
    if !desk.runs().is_empty() {
        desk.run(&["rollback", "--yes"]).ends(0);
        desk.complete();
    }
    assert_eq!(world.green(), 0, "{share} %");
    assert!(world.turns() <= 1, "{:?}", world.seen());
    world.continuous();
    at
}
