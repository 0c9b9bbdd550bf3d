//! A history that does not fit: lost commits, and rules that changed in between.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::orders::Shop;
use crate::process::{Ended, Process, await_some, run};
use crate::stage::{Publisher, Stage, Stamps, WAIT};

/// Sells in every shop.
fn sell(publisher: &mut Publisher, shops: &mut [Shop], orders: u32) {
    let records: Vec<_> = shops.iter_mut().flat_map(|shop| shop.sell(orders)).collect();
    publisher.publish(&records);
}

/// Two partitions with a snapshot each at a clean stop, and no member left in the group.
fn stopped(stage: &Stage, publisher: &mut Publisher) -> Vec<Shop> {
    let mut shops = Shop::everywhere(2);
    publisher.publish(&shops.iter_mut().flat_map(|shop| shop.open(1_000)).collect::<Vec<_>>());
    sell(publisher, &mut shops, 3);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    shops
}

/// The same with orders after the snapshot that were answered before a kill -9.
fn killed(stage: &Stage, publisher: &mut Publisher) -> Vec<Shop> {
    let mut shops = stopped(stage, publisher);
    let mut settle = stage.settle("pod-0");
    settle.await_live(2);
    sell(publisher, &mut shops, 3);
    stage.await_settled(publisher.ends());
    settle.kill();
    shops
}

/// Deletes the group with its offsets, as their expiry does, once its last member is given up.
fn forget_offsets(stage: &Stage) {
    let admin: AdminClient<DefaultClientContext> =
        stage.client().create().expect("the settings are valid");
    let options = AdminOptions::new().request_timeout(Some(WAIT));
    await_some("a group without members", || {
        let group = stage.group();
        let deleting = admin.delete_groups(&[&group], &options);
        let deleted = futures_executor::block_on(deleting).ok()?;
        deleted.into_iter().all(|deleted| deleted.is_ok()).then_some(())
    });
}

fn adopt(stage: &Stage, partition: u32) -> Ended {
    let more = ["--partition", &partition.to_string(), "--format", "json"];
    run(&stage.arguments_with_snapshots(&["snapshot", "adopt"], &more))
}

/// Waits until each partition is in its phase.
fn await_phases(settle: &mut Process, phases: &[&str]) -> Vec<Value> {
    settle.await_some(&format!("phases {phases:?}"), |settle| {
        let shown = settle.partitions();
        let phase = |partition: &Value| partition["phase"].as_str().map(str::to_owned);
        let found: Vec<_> = shown.iter().filter_map(phase).collect();
        (found == phases).then_some(shown)
    })
}

#[test]
fn lost_commits_are_refused_until_a_snapshot_is_adopted() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let mut shops = killed(&stage, &mut publisher);
    let early = adopt(&stage, 0).expect_code(1);
    assert!(early.stderr.contains("nothing is lost"), "a commit is there: {early:#?}");
    forget_offsets(&stage);

    let mut settle = stage.settle("pod-0");
    let shown = await_phases(&mut settle, &["refused", "refused"]);
    for (partition, shown) in shown.iter().enumerate() {
        let advice = format!("floodgate snapshot adopt --partition {partition}");
        assert!(shown["reason"].as_str().unwrap().contains(&advice), "{shown}");
        assert_eq!(settle.logged(&advice).len(), 1, "said once: {}", settle.stderr());
    }
    let (code, body) = settle.get("/readyz");
    assert_eq!((code, body.contains("refused")), (503, true), "{body}");
    settle.stop();

    let listed = run(&stage.arguments_with_snapshots(&["snapshot", "list"], &[])).expect_code(0);
    assert_eq!(listed.stdout.matches(": usable").count(), 2, "{listed:#?}");
    let adopted = adopt(&stage, 0).expect_code(0).json();
    assert_eq!((&adopted["snapshot"], &adopted["committed"]), (&8.into(), &14.into()));
    let again = adopt(&stage, 0).expect_code(1);
    assert!(again.stderr.contains("nothing is lost"), "{again:#?}");

    let mut settle = stage.settle("pod-0");
    await_phases(&mut settle, &["live", "refused"]);
    sell(&mut publisher, &mut shops, 2);
    stage.await_settled(&[publisher.ends()[0], 0]);
    let busy = adopt(&stage, 1).expect_code(1);
    let told = ["has to be stopped", "the group still has ", "-pod-0-"];
    assert!(told.iter().all(|told| busy.stderr.contains(told)), "{busy:#?}");
    assert_eq!(stage.committed()[1], None);
    settle.kill();

    adopt(&stage, 1).expect_code(0);
    let mut settle = stage.settle("pod-0");
    settle.await_live(2);
    stage.await_settled(publisher.ends());
    settle.stop();
    stage.audit(publisher.ends());
}

#[test]
fn an_offset_that_another_tool_reset_settles_no_sale_twice() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let mut shops = stopped(&stage, &mut publisher);
    stage.reset(0, 0);

    let ended = stage.settle_with(&["--until-idle"]).wait().expect_code(1);
    let last = ended.stderr.lines().next_back().unwrap_or_default();
    assert!(last.contains("floodgate snapshot adopt --partition 0"), "{ended:#?}");

    let mut settle = stage.settle("pod-0");
    await_phases(&mut settle, &["refused", "live"]);
    sell(&mut publisher, &mut shops, 2);
    stage.await_settled(&[0, publisher.ends()[1]]);
    settle.stop();
    assert_eq!(stage.committed()[0], Some(0), "nothing was committed where it was refused");
    adopt(&stage, 0).expect_code(0);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    stage.audit(publisher.ends());
}

#[test]
fn outputs_that_retention_deleted_are_missed_by_the_audit_but_not_by_an_adoption() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    stopped(&stage, &mut publisher);
    stage.delete_before("orders.status", 0, 2);
    let audit = run(&stage.arguments(&["audit"], &[])).expect_code(1);
    let place = format!("{} 0", stage.topic("orders.status"));
    assert!(audit.stderr.contains(&place) && audit.stderr.contains("deleted"), "{audit:#?}");
    stage.reset(0, 0);
    let adopted = adopt(&stage, 0).expect_code(0).json();
    assert_eq!(adopted["committed"], publisher.ends()[0]);
}

#[test]
fn changed_rules_take_a_clean_stop_first() {
    const OTHER_RULES: &str = "[rules]\nskew_ms = 120000\n";
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let mut shops = killed(&stage, &mut publisher);
    stage.configure(OTHER_RULES);
    let ended = stage.settle("pod-0").wait().expect_code(78);
    for rules in ["skew_ms=60000", "skew_ms=120000"] {
        assert!(ended.stderr.lines().last().is_some(), "{ended:#?}");
        assert!(ended.stderr.contains(rules), "{rules} is not in {ended:#?}");
    }

    stage.configure("");
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    stage.configure(OTHER_RULES);
    let mut settle = stage.settle("pod-0");
    settle.await_live(2);
    assert!(settle.status()["rules"].as_str().unwrap().contains("skew_ms=120000"));
    // A clock 90 s ahead was too far for the old rules.
    let ahead: Vec<_> = shops
        .iter_mut()
        .map(|shop| {
            let now_ms = shop.now_ms;
            shop.now_ms += 90_000;
            let mut record = shop.place();
            record.timestamp = now_ms;
            record
        })
        .collect();
    publisher.publish(&ahead);
    stage.await_settled(publisher.ends());
    settle.stop();
    let last = stage.read("orders.status", 0).pop().expect("an answer").json();
    assert_eq!(last["type"], "hold.placed", "{last}");
    stage.audit(publisher.ends());
}
