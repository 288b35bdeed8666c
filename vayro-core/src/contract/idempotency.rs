//! Rules of [`IdempotencyStore`](crate::ports::IdempotencyStore): one request per key, and one answer.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use super::stores::{Owner, Stores, at, fresh_uuid, join_all};
use crate::idempotency::{
    ANSWER_SIZE_MAX, Claim, ClaimOutcome, Fingerprint, KEY_LIFETIME, KeptAnswer, KeySlot, TRIM_BATCH,
};
use crate::ids::ClaimId;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! idempotency_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            idempotency,
            [
                an_answer_comes_back_as_it_was_left,
                a_body_that_was_too_large_is_told_from_an_empty_one,
                a_key_is_in_use_until_its_request_ends,
                another_request_is_refused_while_and_after_the_first_runs,
                slots_do_not_meet,
                a_released_key_is_free_for_any_request,
                a_dead_holder_is_replaced_by_the_same_request_only,
                a_replaced_holder_has_nothing_to_say,
                an_answer_is_final,
                of_claims_at_once_one_is_held,
                a_key_is_free_after_its_lifetime,
                purge_removes_what_is_over_in_steps,
                an_account_keeps_its_newest_keys,
            ]
        );
    };
}

/// How long a claim of these rules is held.
const HOLD: Duration = Duration::from_secs(60);
/// Keys an account may have where the number does not matter.
const MANY: u32 = 1000;

fn claim(owner: &Owner, slot: u8, body: u8, at: Timestamp) -> Claim {
    Claim {
        id: ClaimId::from_uuid(fresh_uuid()),
        slot: KeySlot::from_bytes([slot; 32]),
        user_id: owner.user_id,
        fingerprint: Fingerprint::from_bytes([body; 32]),
        at,
        held_until: at.plus(HOLD),
    }
}

fn answer(status: u16) -> KeptAnswer {
    KeptAnswer {
        status,
        content_type: Some("application/json".to_owned()),
        etag: Some("\"1\"".to_owned()),
        location: Some("/v1/links/1".to_owned()),
        body: Some(b"{\"a\":\"\0\xff\"}".to_vec()),
    }
}

async fn outcome(stores: &Stores, claim: &Claim) -> ClaimOutcome {
    stores.idempotency.claim(claim, MANY).await.expect("the database answers")
}

async fn held(stores: &Stores, claim: &Claim) {
    assert_eq!(outcome(stores, claim).await, ClaimOutcome::Held);
}

async fn complete(stores: &Stores, claim: &Claim, answer: &KeptAnswer) -> bool {
    stores.idempotency.complete(claim, answer).await.expect("the database answers")
}

async fn release(stores: &Stores, claim: &Claim) -> bool {
    stores.idempotency.release(claim).await.expect("the database answers")
}

async fn purge(stores: &Stores, now: Timestamp, max: u16) -> u64 {
    stores.idempotency.purge(now, max).await.expect("the database answers")
}

/// Every part of it, to the last byte, as often as it is asked for.
pub async fn an_answer_comes_back_as_it_was_left(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let large = KeptAnswer { body: Some(vec![0xA5; ANSWER_SIZE_MAX]), ..answer(207) };
    let bare = KeptAnswer { status: 404, content_type: None, etag: None, location: None, body: None };
    for (slot, kept) in [(1, answer(201)), (2, large), (3, bare)] {
        let first = claim(&ada, slot, 1, at(0));
        held(stores, &first).await;
        assert!(complete(stores, &first, &kept).await);
        for second in [1, 3600] {
            let again = outcome(stores, &claim(&ada, slot, 1, at(second))).await;
            assert_eq!(again, ClaimOutcome::Answered(Box::new(kept.clone())));
        }
    }
}

/// Nothing was said, and what was said is lost.
pub async fn a_body_that_was_too_large_is_told_from_an_empty_one(stores: &Stores) {
    let ada = stores.owner("ada").await;
    for (slot, body) in [(1, Some(Vec::new())), (2, None)] {
        let first = claim(&ada, slot, 1, at(0));
        held(stores, &first).await;
        let kept = KeptAnswer { body, ..answer(200) };
        assert!(complete(stores, &first, &kept).await);
        let again = outcome(stores, &claim(&ada, slot, 1, at(1))).await;
        assert_eq!(again, ClaimOutcome::Answered(Box::new(kept)));
    }
}

/// Nobody else runs it meanwhile.
pub async fn a_key_is_in_use_until_its_request_ends(stores: &Stores) {
    let ada = stores.owner("ada").await;
    held(stores, &claim(&ada, 1, 1, at(0))).await;
    for second in [0, 30, 59] {
        assert_eq!(outcome(stores, &claim(&ada, 1, 1, at(second))).await, ClaimOutcome::Running);
    }
}

/// A key stands for one request, whatever became of it.
pub async fn another_request_is_refused_while_and_after_the_first_runs(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let first = claim(&ada, 1, 1, at(0));
    held(stores, &first).await;
    assert_eq!(outcome(stores, &claim(&ada, 1, 2, at(1))).await, ClaimOutcome::OtherRequest);
    assert!(complete(stores, &first, &answer(201)).await);
    assert_eq!(outcome(stores, &claim(&ada, 1, 2, at(2))).await, ClaimOutcome::OtherRequest);
}

/// Neither claims nor answers nor releases of other keys matter.
pub async fn slots_do_not_meet(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let (one, other) = (claim(&ada, 1, 1, at(0)), claim(&ada, 2, 1, at(0)));
    held(stores, &one).await;
    held(stores, &other).await;
    assert!(complete(stores, &one, &answer(201)).await);
    assert_eq!(outcome(stores, &claim(&ada, 2, 1, at(1))).await, ClaimOutcome::Running);
    assert!(release(stores, &other).await);
    let again = outcome(stores, &claim(&ada, 1, 1, at(1))).await;
    assert_eq!(again, ClaimOutcome::Answered(Box::new(answer(201))));
}

/// A request that failed may be mended and sent again.
pub async fn a_released_key_is_free_for_any_request(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let first = claim(&ada, 1, 1, at(0));
    held(stores, &first).await;
    assert!(release(stores, &first).await);
    assert!(!release(stores, &first).await);
    assert!(!complete(stores, &first, &answer(201)).await);
    held(stores, &claim(&ada, 1, 2, at(1))).await;
}

/// Nobody knows what the dead one did: another request under its key would be a second one for sure.
pub async fn a_dead_holder_is_replaced_by_the_same_request_only(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let dead = claim(&ada, 1, 1, at(0));
    held(stores, &dead).await;
    let over = dead.held_until;
    assert_eq!(outcome(stores, &claim(&ada, 1, 2, over)).await, ClaimOutcome::OtherRequest);
    held(stores, &claim(&ada, 1, 1, over)).await;
    assert_eq!(outcome(stores, &claim(&ada, 1, 1, over)).await, ClaimOutcome::Running);
}

/// Should it live after all, its answer is not the one that counts.
pub async fn a_replaced_holder_has_nothing_to_say(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let slow = claim(&ada, 1, 1, at(0));
    held(stores, &slow).await;
    let next = claim(&ada, 1, 1, slow.held_until);
    held(stores, &next).await;
    assert!(!complete(stores, &slow, &answer(500)).await);
    assert!(!release(stores, &slow).await);
    assert!(complete(stores, &next, &answer(201)).await);
    let again = outcome(stores, &claim(&ada, 1, 1, next.held_until)).await;
    assert_eq!(again, ClaimOutcome::Answered(Box::new(answer(201))));
}

/// Neither another answer nor a release takes it back.
pub async fn an_answer_is_final(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let first = claim(&ada, 1, 1, at(0));
    held(stores, &first).await;
    assert!(complete(stores, &first, &answer(201)).await);
    assert!(!complete(stores, &first, &answer(409)).await);
    assert!(!release(stores, &first).await);
    let again = outcome(stores, &claim(&ada, 1, 1, at(1))).await;
    assert_eq!(again, ClaimOutcome::Answered(Box::new(answer(201))));
}

/// Free or abandoned, it goes to one of those who ask.
pub async fn of_claims_at_once_one_is_held(stores: &Stores) {
    let ada = stores.owner("ada").await;
    for second in [0, 60] {
        let claims: Vec<_> = (0..8).map(|_| claim(&ada, 1, 1, at(second))).collect();
        let outcomes = join_all(claims.iter().map(|claim| outcome(stores, claim))).await;
        let count = |wanted: &ClaimOutcome| outcomes.iter().filter(|outcome| *outcome == wanted).count();
        assert_eq!((count(&ClaimOutcome::Held), count(&ClaimOutcome::Running)), (1, 7), "{outcomes:?}");
    }
}

/// Answered or not, for any request; the new lifetime begins there.
pub async fn a_key_is_free_after_its_lifetime(stores: &Stores) {
    let ada = stores.owner("ada").await;
    let first = claim(&ada, 1, 1, at(0));
    held(stores, &first).await;
    assert!(complete(stores, &first, &answer(201)).await);
    let end = first.expires_at();
    let last = end.minus(Duration::from_micros(1));
    assert_eq!(outcome(stores, &claim(&ada, 1, 2, last)).await, ClaimOutcome::OtherRequest);
    held(stores, &claim(&ada, 1, 2, end)).await;
    held(stores, &claim(&ada, 1, 3, end.plus(KEY_LIFETIME))).await;
}

/// At most as many as asked for, and nothing that may still be asked for.
pub async fn purge_removes_what_is_over_in_steps(stores: &Stores) {
    let ada = stores.owner("ada").await;
    for slot in 0..5 {
        let first = claim(&ada, slot, 1, at(i64::from(slot)));
        held(stores, &first).await;
        if slot % 2 == 0 {
            assert!(complete(stores, &first, &answer(201)).await);
        }
    }
    let now = at(3).plus(KEY_LIFETIME);
    assert_eq!(purge(stores, at(0), 10).await, 0);
    assert_eq!([purge(stores, now, 3).await, purge(stores, now, 3).await], [3, 1]);
    assert_eq!(purge(stores, now, 3).await, 0);
    let kept = outcome(stores, &claim(&ada, 4, 1, now)).await;
    assert_eq!(kept, ClaimOutcome::Answered(Box::new(answer(201))));
}

/// Each claim makes some room; running requests and other accounts keep theirs.
pub async fn an_account_keeps_its_newest_keys(stores: &Stores) {
    let (ada, bob) = (stores.owner("ada").await, stores.owner("bob").await);
    let foreign = claim(&bob, 200, 1, at(0));
    let running = claim(&ada, 100, 1, at(0));
    held(stores, &foreign).await;
    assert!(complete(stores, &foreign, &answer(201)).await);
    held(stores, &running).await;
    let count = TRIM_BATCH + 3;
    for slot in 0..count {
        let slot = u8::try_from(slot).expect("few");
        let first = claim(&ada, slot, 1, at(1 + i64::from(slot)));
        held(stores, &first).await;
        assert!(complete(stores, &first, &answer(201)).await);
    }
    let now = at(i64::from(count) + 1);
    let newest = claim(&ada, 99, 1, now);
    for (slot, gone) in [(99, usize::from(TRIM_BATCH)), (98, usize::from(TRIM_BATCH) + 2)] {
        let claimed = stores.idempotency.claim(&claim(&ada, slot, 1, now), 3).await;
        assert_eq!(claimed.expect("the database answers"), ClaimOutcome::Held);
        let mut answered = 0;
        for slot in 0..count {
            let slot = u8::try_from(slot).expect("few");
            // A key that is gone is free, and is left so.
            let probe = claim(&ada, slot, 1, now);
            match outcome(stores, &probe).await {
                ClaimOutcome::Answered(_) => answered += 1,
                ClaimOutcome::Held => assert!(release(stores, &probe).await),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answered, usize::from(count) - gone);
    }
    assert_eq!(outcome(stores, &newest).await, ClaimOutcome::Running);
    assert_eq!(outcome(stores, &claim(&ada, 100, 1, at(30))).await, ClaimOutcome::Running);
    let theirs = outcome(stores, &claim(&bob, 200, 1, now)).await;
    assert_eq!(theirs, ClaimOutcome::Answered(Box::new(answer(201))));
}
