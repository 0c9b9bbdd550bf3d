//! A partition has at most one owner, and only its owner commits for it.

use std::collections::BTreeSet;

use super::*;

#[test]
fn no_partition_arrives_before_the_worker_joins() {
    let broker = broker(1);
    let mut log = broker.member(GROUP, "worker-0");
    assert_eq!(poll(&mut log), []);
    log.join().unwrap();
    assert_eq!(poll(&mut log), [Told::Assigned(vec![0])]);
}

#[test]
fn a_rebalance_hands_no_partition_to_two_owners() {
    let broker = broker(2);
    let mut first = worker(&broker, "worker-0");
    assert_eq!(poll(&mut first), [Told::Assigned(vec![0, 1])]);
    let mut second = worker(&broker, "worker-1");

    assert_eq!(poll(&mut second), []);
    assert_eq!(poll(&mut first), [Told::Revoked(vec![1])]);
    assert_eq!(poll(&mut second), []);
    assert_eq!(transact(&mut first, &["last"], up_to(1, 7)), CommitOutcome::Committed);

    first.release(&[1]).unwrap();
    assert_eq!(poll(&mut second), [Told::Assigned(vec![1])]);
    assert_eq!(poll(&mut first), []);
    assert_eq!(committed(&broker, 1), Ok(Some(Offset(7))));
}

#[test]
fn a_revoked_partition_is_read_until_it_is_released_and_not_after() {
    let broker = broker(2);
    let mut first = worker(&broker, "worker-0");
    poll(&mut first);
    first.start(1, Offset(0)).unwrap();
    let mut second = worker(&broker, "worker-1");
    append(&broker, 1, &["a"]);
    let expected = [Told::Revoked(vec![1]), records(1, &[(0, "a")]), Told::End(1, 1)];
    assert_eq!(poll(&mut first), expected);
    first.release(&[1]).unwrap();
    append(&broker, 1, &["b"]);
    assert_eq!(poll(&mut first), []);
    assert_eq!(poll(&mut second), [Told::Assigned(vec![1])]);
}

#[test]
fn a_released_partition_is_not_committed_by_who_gave_it_up() {
    let broker = broker(2);
    let mut first = worker(&broker, "worker-0");
    poll(&mut first);
    let _second = worker(&broker, "worker-1");
    poll(&mut first);
    first.begin().unwrap();
    first.produce(&settled(1, &["late"]), 0).unwrap();
    first.release(&[1]).unwrap();
    assert!(matches!(first.commit(&[up_to(1, 9)]), CommitOutcome::Unknown(_)));
    first.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(committed(&broker, 1), Ok(None));
    assert_eq!(shown(&broker, 1), [""; 0]);
}

#[test]
fn a_member_that_was_taken_for_dead_commits_nothing() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.begin().unwrap();
    log.produce(&settled(0, &["late"]), 0).unwrap();
    broker.expire_session(log.id());
    let why = "the member is not in the group's present generation".to_owned();
    assert_eq!(log.commit(&[up_to(0, 9)]), CommitOutcome::Aborted(why));
    assert_eq!(committed(&broker, 0), Ok(None));
    assert_eq!(shown(&broker, 0), [""; 0]);

    append(&broker, 0, &["a"]);
    assert_eq!(poll(&mut log), [Told::Lost(vec![0]), Told::Assigned(vec![0])]);
    assert_eq!(poll(&mut log), [], "it is read again only after another start");
}

#[test]
fn what_a_dead_member_had_sent_is_decided_before_the_offset_is_told() {
    let script = Script::default();
    let broker = script.broker();
    let mut dead = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyLate(retry("connection lost")));
    transact(&mut dead, &["a"], up_to(0, 1));
    broker.vanish(dead.id());
    broker.expire_session(dead.id());
    let mut heir = worker(&broker, "worker-1");
    assert_eq!(poll(&mut heir), [Told::Assigned(vec![0])]);

    assert!(matches!(committed(&broker, 0), Err(LogError::Retry(_))));
    assert!(broker.deliver_late(0));
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(1))));
    assert_eq!(shown(&broker, 0), ["a"]);
}

#[test]
fn a_member_that_polls_is_not_taken_for_dead_and_a_silent_one_is() {
    let broker = broker(2);
    let mut lively = worker(&broker, "worker-0");
    let mut silent = worker(&broker, "worker-1");
    poll(&mut lively);
    lively.release(&[1]).unwrap();
    assert_eq!(poll(&mut silent), [Told::Assigned(vec![1])]);
    broker.set_now(6_000);
    assert_eq!(poll(&mut lively), []);
    broker.set_now(10_000);
    assert_eq!(poll(&mut lively), []);
    broker.set_now(10_001);
    assert_eq!(poll(&mut lively), [Told::Assigned(vec![1])]);
    assert_eq!(poll(&mut silent), [Told::Lost(vec![1])]);
}

#[test]
fn a_killed_process_releases_nothing_and_does_nothing_more() {
    let broker = broker(1);
    let mut dead = reader_of(&broker);
    dead.begin().unwrap();
    broker.vanish(dead.id());
    let mut heir = worker(&broker, "worker-1");
    assert_eq!(poll(&mut heir), []);
    assert!(matches!(dead.poll(Duration::ZERO, &mut |_| ()), Err(LogError::Fatal(_))));
    assert!(matches!(dead.produce(&settled(0, &["a"]), 0), Err(LogError::Fatal(_))));
    assert!(matches!(dead.commit(&[up_to(0, 1)]), CommitOutcome::Unknown(_)));
    drop(dead);
    broker.set_now(10_000);
    assert_eq!(poll(&mut heir), []);
    broker.set_now(10_001);
    assert_eq!(poll(&mut heir), [Told::Assigned(vec![0])]);
}

#[test]
fn a_refused_partition_trips_no_other_worker_until_the_group_moves_it() {
    let broker = broker(2);
    let mut first = worker(&broker, "worker-0");
    poll(&mut first);
    first.start(1, Offset(0)).unwrap();
    append(&broker, 1, &["unread"]);
    first.release(&[1]).unwrap();
    assert_eq!(poll(&mut first), []);
    assert_eq!(broker.owners(GROUP), [Some(first.id()), Some(first.id())]);
    assert!(matches!(transact(&mut first, &["a"], up_to(1, 1)), CommitOutcome::Unknown(_)));

    let mut second = worker(&broker, "worker-1");
    assert_eq!(poll(&mut second), []);
    assert_eq!(poll(&mut first), [Told::Lost(vec![1])], "it goes back without being asked for");
    assert_eq!(poll(&mut second), [Told::Assigned(vec![1])]);
    assert_eq!(poll(&mut first), []);
}

/// The refusal crosses the request to give the partition back, which is withdrawn meanwhile.
#[test]
fn a_refusal_is_not_taken_for_the_answer_to_a_request_that_it_crossed() {
    let broker = broker(2);
    let mut first = worker(&broker, "worker-0");
    poll(&mut first);
    let second = worker(&broker, "worker-1");
    first.release(&[1]).unwrap();
    assert_eq!(broker.owners(GROUP), [Some(first.id()), Some(first.id())]);
    broker.expire_session(second.id());
    assert_eq!(poll(&mut first), [Told::Lost(vec![1])]);
    assert_eq!(poll(&mut first), [Told::Assigned(vec![1])]);
    first.start(1, Offset(0)).unwrap();
    assert_eq!(poll(&mut first), [Told::End(1, 0)]);
}

#[test]
fn who_leaves_hands_over_what_it_releases_and_hears_nothing_more() {
    let broker = broker(2);
    let mut leaver = worker(&broker, "worker-0");
    let mut heir = worker(&broker, "worker-1");
    poll(&mut leaver);
    leaver.release(&[1]).unwrap();
    poll(&mut heir);

    leaver.leave().unwrap();
    assert_eq!(poll(&mut heir), []);
    assert_eq!(poll(&mut leaver), [Told::Revoked(vec![0])]);
    assert_eq!(transact(&mut leaver, &["last"], up_to(0, 3)), CommitOutcome::Committed);
    leaver.release(&[0]).unwrap();
    assert_eq!(poll(&mut leaver), []);
    assert_eq!(poll(&mut heir), [Told::Assigned(vec![0])]);
    assert_eq!(broker.owners(GROUP), [Some(heir.id()), Some(heir.id())]);
}

#[test]
fn who_leaves_and_is_taken_for_dead_does_not_come_back() {
    let broker = broker(1);
    let mut leaver = reader_of(&broker);
    leaver.leave().unwrap();
    broker.expire_session(leaver.id());
    assert_eq!(poll(&mut leaver), [Told::Lost(vec![0])]);
    assert_eq!(poll(&mut leaver), []);
    assert_eq!(broker.owners(GROUP), [None]);
}

#[test]
fn a_newcomer_moves_no_more_than_its_share() {
    let broker = broker(12);
    let mut members: Vec<EmbeddedLog> = Vec::new();
    let mut owners = broker.owners(GROUP);
    for (count, share) in [(1, 12), (2, 6), (3, 4), (4, 3)] {
        members.push(worker(&broker, &format!("worker-{count}")));
        settle_down(&mut members);
        let now = broker.owners(GROUP);
        let moved = now.iter().zip(&owners).filter(|(now, before)| now != before).count();
        assert_eq!(moved, share, "{count} members");
        owners = now;
    }
}

/// Lets every member poll, and release what is asked back, until nothing moves.
fn settle_down(members: &mut [EmbeddedLog]) {
    for _ in 0..100 {
        let mut is_quiet = true;
        for member in members.iter_mut() {
            for told in poll(member) {
                is_quiet = false;
                if let Told::Revoked(partitions) = told {
                    member.release(&partitions).unwrap();
                }
            }
        }
        if is_quiet {
            return;
        }
    }
    panic!("partitions move for ever");
}

/// A worker as it sees itself.
struct Actor {
    log: EmbeddedLog,
    believes: BTreeSet<Partition>,
    asked_back: BTreeSet<Partition>,
    is_dead: bool,
    /// Whether the group took it for dead and it has not heard of it.
    is_ghost: bool,
}

/// Any sequence of joins, polls, releases, deaths, expiries and departures, drawn from a seed: no
/// two live members ever believe to own the same partition, and all of them find an owner once
/// things settle. The same seed gives the same story.
#[test]
fn no_story_gives_a_partition_two_owners() {
    for seed in 0..200 {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
}

fn story(seed: u64) -> Vec<Told> {
    const PARTITIONS: u32 = 5;
    let broker = broker(PARTITIONS);
    let mut random = seed;
    let mut draw = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut actors: Vec<Actor> = Vec::new();
    let mut history = Vec::new();
    for step in 0..120 {
        if actors.is_empty() || (draw(12) == 0 && actors.len() < 6) {
            let log = worker(&broker, &format!("worker-{step}"));
            let (believes, asked_back) = (BTreeSet::new(), BTreeSet::new());
            actors.push(Actor { log, believes, asked_back, is_dead: false, is_ghost: false });
        }
        let chosen = draw(actors.len() as u64) as usize;
        actors[chosen].act(&broker, draw(16), &mut history);
        check_ownership(&broker, &actors);
    }
    for actor in actors.iter_mut().filter(|actor| actor.is_dead) {
        broker.expire_session(actor.log.id());
    }
    actors.retain(|actor| !actor.is_dead);
    for _ in 0..8 {
        for actor in &mut actors {
            actor.act(&broker, 15, &mut history);
            actor.act(&broker, 0, &mut history);
        }
        check_ownership(&broker, &actors);
    }
    let staying = actors.iter().filter(|actor| !actor.believes.is_empty()).count();
    if staying > 0 {
        let owned: usize = actors.iter().map(|actor| actor.believes.len()).sum();
        assert_eq!(owned, PARTITIONS as usize);
    }
    history
}

fn check_ownership(broker: &EmbeddedBroker, actors: &[Actor]) {
    let owners = broker.owners(GROUP);
    for actor in actors.iter().filter(|actor| !actor.is_ghost) {
        for partition in &actor.believes {
            assert_eq!(owners[*partition as usize], Some(actor.log.id()), "partition {partition}");
        }
    }
}

impl Actor {
    fn act(&mut self, broker: &EmbeddedBroker, action: u64, history: &mut Vec<Told>) {
        match action {
            _ if self.is_dead => {}
            0..4 => {
                let released: Vec<Partition> =
                    std::mem::take(&mut self.asked_back).into_iter().collect();
                self.believes.retain(|partition| !released.contains(partition));
                self.log.release(&released).unwrap();
            }
            4 => {
                broker.vanish(self.log.id());
                self.is_dead = true;
            }
            5 => {
                broker.expire_session(self.log.id());
                self.is_ghost = true;
            }
            6 => self.log.leave().unwrap(),
            _ => self.poll(history),
        }
    }

    fn poll(&mut self, history: &mut Vec<Told>) {
        self.is_ghost = false;
        for told in poll(&mut self.log) {
            match &told {
                Told::Assigned(partitions) => self.believes.extend(partitions),
                Told::Revoked(partitions) => self.asked_back.extend(partitions),
                Told::Lost(partitions) => {
                    assert!(self.believes.iter().eq(partitions));
                    self.believes.clear();
                    self.asked_back.clear();
                }
                other => panic!("nothing was started, but {other:?}"),
            }
            history.push(told);
        }
    }
}
