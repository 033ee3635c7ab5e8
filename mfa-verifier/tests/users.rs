//! `mfa-setup users`: who is listed, with what, and who may ask.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use mfa_protocol::message::{Action, Failure, FailureKind, ListedUser, Reply, UserList};
use mfa_verifier::config::Mode;
use mfa_verifier::record::UserRecord;
use mfa_verifier::store::{Owner, Revision, Store};

use host::{Host, NOW, alice, bob, current, nobody};

fn ask(host: &Host, after: Option<u32>) -> Reply {
    host.manage(Action::Users { after }, &mut nobody())
}

fn list(host: &Host, after: Option<u32>) -> UserList {
    match ask(host, after) {
        Reply::Users(list) => list,
        other => panic!("{other:?}"),
    }
}

fn users(host: &Host) -> Vec<ListedUser> {
    let UserList { users, next } = list(host, None);
    assert_eq!(next, None);
    users
}

fn failure(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn keep(host: &Host, owner: &Owner) {
    let record = UserRecord::default();
    let saved = host.store.as_ref().unwrap().save(owner, &record, Revision::NONE);
    let _ = saved.unwrap();
}

#[test]
fn who_has_a_record_is_listed_and_decoys_are_not() {
    let (host, _) = Host::with_alice(Mode::Required);
    keep(&host, &bob());
    let [alice, bob] = &users(&host)[..] else { panic!() };
    assert_eq!((alice.uid, alice.user.as_deref()), (1000, Some("alice")));
    let standing = alice.standing.as_ref().unwrap();
    assert_eq!(standing.backup_codes_left, 10);
    let [phone] = &standing.devices[..] else { panic!() };
    assert!(phone.default);
    assert_eq!((bob.uid, bob.user.as_deref()), (1001, Some("bob")));
    assert!(bob.standing.as_ref().unwrap().devices.is_empty());
    assert_eq!(list(&host, Some(999)).users.len(), 2);
    assert_eq!(list(&host, Some(1000)).users[0].uid, 1001);
    assert_eq!(list(&host, Some(1001)), UserList::default());
}

#[test]
fn a_login_and_wrong_codes_show_and_looking_is_not_written_down() {
    let (host, _) = Host::with_alice(Mode::Required);
    assert_eq!(users(&host)[0].standing.as_ref().unwrap().last_used, None);
    host.verdict("alice", &current());
    let lines = host.lines.borrow().len();
    let standing = users(&host)[0].standing.clone().unwrap();
    assert_eq!((standing.last_used, standing.last_from.as_deref()), (Some(NOW), Some("192.0.2.7")));
    assert_eq!(standing.locked_until, None);
    assert_eq!(host.lines.borrow().len(), lines);
    for _ in 0..5 {
        host.verdict("alice", "000000");
    }
    let standing = users(&host)[0].standing.clone().unwrap();
    assert_eq!((standing.failures, standing.locked_until), (5, Some(NOW + 30)));
}

#[test]
fn whose_user_is_gone_or_another_is_listed_with_what_to_do() {
    let (host, _) = Host::with_alice(Mode::Required);
    keep(&host, &Owner { uid: 1001, name: "rob".to_owned() });
    keep(&host, &Owner { uid: 1002, name: "carol".to_owned() });
    let [_, renamed, gone] = &users(&host)[..] else { panic!() };
    let why = renamed.standing.as_ref().unwrap_err();
    assert_eq!(renamed.user.as_deref(), Some("bob"));
    assert!(why.error.contains("another user name"), "{why:?}");
    assert!(why.hint.contains("mfa-setup status --user bob"), "{why:?}");
    let why = gone.standing.as_ref().unwrap_err();
    assert_eq!((gone.uid, &gone.user), (1002, &None));
    assert_eq!(why.error, "no user has this uid now");
    assert!(why.hint.contains("getent passwd 1002"), "{why:?}");
    assert!(why.hint.ends_with("rm -r /var/lib/pam_mfa/users/1002"), "{why:?}");
}

#[test]
fn a_host_without_a_store_has_nobody_to_list() {
    let host = Host { store: None, ..Host::new(Mode::Required) };
    assert_eq!(list(&host, None), UserList::default());
}

#[test]
fn root_alone_may_ask() {
    let (host, _) = Host::with_alice(Mode::Required);
    *host.caller.borrow_mut() = alice();
    assert_eq!(failure(ask(&host, None)).kind, FailureKind::NotPermitted);
}
