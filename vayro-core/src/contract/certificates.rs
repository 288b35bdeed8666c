//! Rules of the ports of certificates: what an issuer notes is there for the next one, and edges get what is
//! finished.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Stores, at};
use crate::certificate::{
    Certificate, CertificateName, CertificateState, Challenge, Failure, Order, TicketKey, Validity,
};
use crate::outbox::OutboxEvent;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! certificate_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            certificates,
            [
                wanted_names_are_due_at_once,
                a_name_that_is_not_wanted_any_more_is_gone_and_edges_hear_of_it,
                an_order_is_there_for_the_next_issuer,
                a_finished_order_is_served_and_edges_hear_of_it,
                a_certificate_of_another_order_is_not_stored,
                a_failure_is_kept_until_it_works,
                a_renewal_can_be_moved,
                one_holder_has_the_lease,
                the_account_is_kept_per_directory,
                challenges_go_when_they_expire,
                edges_agree_on_keys_of_tickets,
            ]
        );
    };
}

fn name(text: &str) -> CertificateName {
    text.parse().expect("the suite writes valid names")
}

async fn want(stores: &Stores, names: &[&str], seconds: i64) {
    let names: Vec<_> = names.iter().copied().map(name).collect();
    stores.certificates.want(&names, at(seconds)).await.expect("wanted");
}

fn certificate(text: &str, key: &[u8], seconds: i64) -> Certificate {
    Certificate {
        name: name(text),
        chain: format!("-----BEGIN CERTIFICATE----- {text} {seconds}"),
        sealed_key: key.to_vec(),
        validity: Validity { not_before: at(seconds), not_after: at(seconds + 9_000) },
        issued_at: at(seconds),
    }
}

async fn issue(stores: &Stores, text: &str, key: &[u8], seconds: i64) -> Certificate {
    let order = Order { url: Some("https://acme.example/order/1".to_owned()), sealed_key: key.to_vec() };
    stores.certificates.set_order(&name(text), Some(&order)).await.expect("noted");
    let certificate = certificate(text, key, seconds);
    assert!(stores.certificates.complete(&certificate, at(seconds + 6_000)).await.expect("stored"));
    certificate
}

async fn hear(stores: &Stores) -> Vec<OutboxEvent> {
    let pending = stores.outbox.pending(100).await.expect("read");
    stores
        .outbox
        .remove(&pending.iter().map(|entry| entry.sequence).collect::<Vec<_>>())
        .await
        .expect("removed");
    pending.into_iter().map(|entry| entry.event).collect()
}

/// A new name is due; naming it again changes nothing.
pub async fn wanted_names_are_due_at_once(stores: &Stores) {
    want(stores, &["b.example.com", "*.example.com"], 0).await;
    want(stores, &["b.example.com", "*.example.com", "a.example.com"], 5).await;
    assert!(stores.certificates.due(at(-1), 10).await.expect("read").is_empty());
    let due = stores.certificates.due(at(5), 10).await.expect("read");
    let names: Vec<&str> = due.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["*.example.com", "b.example.com", "a.example.com"]);
    assert_eq!(due[0].due_at, at(0));
    assert!(due.iter().all(|record| record.state(at(5)) == CertificateState::Pending));
    assert_eq!(stores.certificates.due(at(5), 1).await.expect("read").len(), 1);
    let found =
        stores.certificates.find(&[name("a.example.com"), name("c.example.com")]).await.expect("read");
    assert_eq!(found, due[2..]);
    assert_eq!(stores.certificates.list(2).await.expect("read").len(), 2);
}

/// Its certificate goes with it; the removal of one that had none is no news.
pub async fn a_name_that_is_not_wanted_any_more_is_gone_and_edges_hear_of_it(stores: &Stores) {
    want(stores, &["a.example.com", "b.example.com"], 0).await;
    issue(stores, "a.example.com", b"key", 1).await;
    hear(stores).await;
    want(stores, &["a.example.com"], 2).await;
    assert_eq!(hear(stores).await, []);
    want(stores, &[], 3).await;
    assert_eq!(hear(stores).await, [OutboxEvent::Domains]);
    assert!(stores.certificates.list(10).await.expect("read").is_empty());
    assert!(stores.served.versions(10).await.expect("read").is_empty());
    // What comes late for it does nothing.
    let order = Order { url: None, sealed_key: vec![1] };
    stores.certificates.set_order(&name("a.example.com"), Some(&order)).await.expect("ignored");
    let late = certificate("a.example.com", &[1], 4);
    assert!(!stores.certificates.complete(&late, at(5)).await.expect("ignored"));
    assert!(stores.certificates.list(10).await.expect("read").is_empty());
}

/// The order and the key of what it leads to outlive the process that began it.
pub async fn an_order_is_there_for_the_next_issuer(stores: &Stores) {
    want(stores, &["a.example.com"], 0).await;
    let a = name("a.example.com");
    for order in [
        Some(Order { url: None, sealed_key: b"sealed \x00\xff".to_vec() }),
        Some(Order { url: Some("https://acme.example/order/7".to_owned()), sealed_key: b"sealed".to_vec() }),
        None,
    ] {
        stores.certificates.set_order(&a, order.as_ref()).await.expect("noted");
        let found = stores.certificates.find(std::slice::from_ref(&a)).await.expect("read");
        assert_eq!(found[0].order, order);
    }
}

/// Edges find what is finished by its version, and load it whole.
pub async fn a_finished_order_is_served_and_edges_hear_of_it(stores: &Stores) {
    want(stores, &["a.example.com", "b.example.com"], 0).await;
    hear(stores).await;
    let issued = issue(stores, "a.example.com", b"sealed \x00 key", 10).await;
    assert_eq!(hear(stores).await, [OutboxEvent::Domains]);
    assert_eq!(stores.served.versions(10).await.expect("read"), [(issued.name.clone(), at(10))]);
    let asked = [name("b.example.com"), issued.name.clone()];
    assert_eq!(stores.served.load(&asked).await.expect("read"), std::slice::from_ref(&issued));
    let record = &stores.certificates.find(std::slice::from_ref(&issued.name)).await.expect("read")[0];
    assert_eq!((record.validity, &record.order), (Some(issued.validity), &None));
    assert_eq!((record.renew_at, record.due_at), (Some(at(6_010)), at(6_010)));
    assert_eq!(record.state(at(11)), CertificateState::Issued);
    let again = issue(stores, "a.example.com", b"another key", 6_020).await;
    assert_eq!(stores.served.versions(10).await.expect("read"), [(issued.name, at(6_020))]);
    assert_eq!(stores.served.load(&asked).await.expect("read"), [again]);
}

/// An issuer that lost its lease and does not know cannot undo what the next one did.
pub async fn a_certificate_of_another_order_is_not_stored(stores: &Stores) {
    want(stores, &["a.example.com"], 0).await;
    let a = name("a.example.com");
    assert!(
        !stores.certificates.complete(&certificate("a.example.com", b"mine", 1), at(2)).await.expect("ok")
    );
    let theirs = Order { url: None, sealed_key: b"theirs".to_vec() };
    stores.certificates.set_order(&a, Some(&theirs)).await.expect("noted");
    assert!(
        !stores.certificates.complete(&certificate("a.example.com", b"mine", 1), at(2)).await.expect("ok")
    );
    assert!(stores.served.load(std::slice::from_ref(&a)).await.expect("read").is_empty());
    let record = &stores.certificates.find(&[a]).await.expect("read")[0];
    assert_eq!(record.order, Some(theirs));
}

/// The owner sees why, may ask for another try, and the next success clears it.
pub async fn a_failure_is_kept_until_it_works(stores: &Stores) {
    want(stores, &["a.example.com"], 0).await;
    let a = name("a.example.com");
    assert!(!stores.certificates.hasten(&a, at(0)).await.expect("ok"), "there is nothing to try again");
    let failure = Failure { reason: "no „A“ record".to_owned(), at: at(1), count: 3 };
    stores.certificates.fail(&a, &failure, at(600)).await.expect("noted");
    let record = &stores.certificates.find(std::slice::from_ref(&a)).await.expect("read")[0];
    assert_eq!((record.failure.as_ref(), record.due_at), (Some(&failure), at(600)));
    assert!(stores.certificates.due(at(599), 10).await.expect("read").is_empty());
    assert!(stores.certificates.hasten(&a, at(20)).await.expect("ok"));
    assert!(stores.certificates.hasten(&a, at(30)).await.expect("ok"));
    assert_eq!(stores.certificates.due(at(20), 10).await.expect("read").len(), 1, "never later");
    issue(stores, "a.example.com", b"key", 40).await;
    assert_eq!(stores.certificates.find(std::slice::from_ref(&a)).await.expect("read")[0].failure, None);
    assert!(!stores.certificates.hasten(&a, at(50)).await.expect("ok"));
}

/// Whether the server asks for it sooner or later.
pub async fn a_renewal_can_be_moved(stores: &Stores) {
    want(stores, &["a.example.com"], 0).await;
    issue(stores, "a.example.com", b"key", 1).await;
    let a = name("a.example.com");
    stores.certificates.reschedule(&a, at(100), at(50)).await.expect("moved");
    let record = &stores.certificates.find(&[a]).await.expect("read")[0];
    assert_eq!((record.renew_at, record.due_at), (Some(at(100)), at(50)));
    assert!(!record.is_to_be_ordered(at(50)));
}

/// Nobody takes it away before its time; whoever has it may keep it.
pub async fn one_holder_has_the_lease(stores: &Stores) {
    let issuer = &stores.issuer;
    assert!(issuer.lease("one", at(0), at(30)).await.expect("ok"));
    assert!(!issuer.lease("two", at(29), at(60)).await.expect("ok"));
    assert!(issuer.lease("one", at(29), at(60)).await.expect("ok"));
    assert!(!issuer.lease("two", at(59), at(90)).await.expect("ok"));
    assert!(issuer.lease("two", at(60), at(90)).await.expect("ok"));
    issuer.release("one").await.expect("not its own");
    assert!(!issuer.lease("one", at(61), at(90)).await.expect("ok"));
    issuer.release("two").await.expect("its own");
    assert!(issuer.lease("one", at(61), at(90)).await.expect("ok"));
}

/// Another server is another account.
pub async fn the_account_is_kept_per_directory(stores: &Stores) {
    let issuer = &stores.issuer;
    assert_eq!(issuer.account("https://one.example/").await.expect("ok"), None);
    issuer.put_account("https://one.example/", b"first", at(0)).await.expect("stored");
    issuer.put_account("https://one.example/", b"second", at(1)).await.expect("stored");
    assert_eq!(issuer.account("https://one.example/").await.expect("ok"), Some(b"second".to_vec()));
    assert_eq!(issuer.account("https://two.example/").await.expect("ok"), None);
}

/// Edges see what is alive, and the table does not grow.
pub async fn challenges_go_when_they_expire(stores: &Stores) {
    let challenge = |token: &str, until| Challenge {
        token: token.to_owned(),
        answer: format!("{token}.thumbprint"),
        expires_at: at(until),
    };
    let (old, new) = (challenge("evaGxfADs6pSRb2LAv9IZf17", 10), challenge("DGyRejmCefe7v4NfDGDKfA00", 20));
    stores.issuer.put_challenge(&old, at(0)).await.expect("stored");
    stores.issuer.put_challenge(&new, at(1)).await.expect("stored");
    assert_eq!(stores.served.challenges(at(9), 10).await.expect("read"), [new.clone(), old.clone()]);
    assert_eq!(stores.served.challenges(at(9), 1).await.expect("read"), std::slice::from_ref(&new));
    assert_eq!(stores.served.challenges(at(10), 10).await.expect("read"), std::slice::from_ref(&new));
    stores.issuer.put_challenge(&new, at(10)).await.expect("stored");
    assert_eq!(
        stores.served.challenges(at(0), 10).await.expect("read"),
        std::slice::from_ref(&new),
        "old is gone"
    );
    stores.issuer.remove_challenge(&new.token).await.expect("removed");
    assert!(stores.served.challenges(at(0), 10).await.expect("read").is_empty());
}

/// The first proposal of a period is everybody's key, and old ones are gone.
pub async fn edges_agree_on_keys_of_tickets(stores: &Stores) {
    let key = |period, text: &str| TicketKey { period, sealed: text.as_bytes().to_vec() };
    let one = stores.tickets.exchange(&[key(5, "one"), key(6, "one")], 4).await.expect("ok");
    assert_eq!(one, [key(5, "one"), key(6, "one")]);
    let two = stores.tickets.exchange(&[key(6, "two"), key(7, "two")], 5).await.expect("ok");
    assert_eq!(two, [key(5, "one"), key(6, "one"), key(7, "two")]);
    let later = stores.tickets.exchange(&[key(8, "three")], 7).await.expect("ok");
    assert_eq!(later, [key(7, "two"), key(8, "three")]);
    assert_eq!(stores.tickets.exchange(&[], 0).await.expect("ok"), later);
}
