//! Access tokens: who makes them, what they let in, and what they do not.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::{Action, Failure, FailureKind, NewToken, Reply, TokenStatus};
use mfa_protocol::{Secret, Verdict};
use mfa_verifier::config::{Allow, Config, Mode};

use host::{Host, NOW, alice, current, from, nobody, root};

fn token(networks: &[&str], services: &[&str]) -> Action {
    Action::NewToken(Box::new(NewToken {
        name: "backup".to_owned(),
        lifetime: 90 * 86_400,
        networks: networks.iter().map(ToString::to_string).collect(),
        services: services.iter().map(ToString::to_string).collect(),
    }))
}

/// A host where alice is enrolled, and what she or root was given.
fn with_token(networks: &[&str], services: &[&str]) -> (Host, Secret) {
    let (host, _) = Host::with_alice(Mode::Required);
    let reply = host.manage(token(networks, services), &mut nobody());
    let Reply::TokenMade(made) = reply else { panic!("{reply:?}") };
    (host, made.secret)
}

fn list(host: &Host) -> Vec<TokenStatus> {
    match host.manage(Action::Tokens, &mut nobody()) {
        Reply::Tokens { tokens, .. } => tokens,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_lets_in_at_the_prompt_as_often_as_it_is_given() {
    let (host, secret) = with_token(&["192.0.2.0/24"], &["sshd"]);
    assert_eq!(list(&host)[0].last_used, None);
    for later in 0..3 {
        host.now.set(NOW + later);
        let mut script = Scripted::new([secret.clone()]);
        let outcome = host.login(&from("alice", "192.0.2.7"), &mut script);
        assert_eq!(outcome.verdict, Verdict::Granted);
        assert_eq!(
            (outcome.factor.as_deref(), outcome.label.as_deref()),
            (Some("token"), Some("backup"))
        );
        assert!(script.told.is_empty(), "a script reads nothing: {:?}", script.told);
    }
    assert_eq!(
        host.last_line(),
        "outcome=granted user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 tty=ssh \
         factor=token device=\"backup\" reason=accepted"
    );
    let [listed] = &list(&host)[..] else { panic!() };
    assert_eq!((listed.last_used, listed.last_from.as_deref()), (Some(NOW + 2), Some("192.0.2.7")));
    assert_eq!((listed.made, listed.expires), (NOW, NOW + 90 * 86_400));
    assert_eq!((&listed.networks[0][..], &listed.services[0][..]), ("192.0.2.0/24", "sshd"));
}

#[test]
fn outside_of_its_scope_a_token_is_refused_as_a_wrong_one_is_and_the_log_says_why() {
    let (host, secret) = with_token(&["192.0.2.0/24"], &["sshd"]);
    let refused = |answer: Secret, service: &str, rhost: &str, reason: &str| {
        let mut request = from("alice", rhost);
        request.service = service.to_owned();
        let mut script = Scripted::new([answer]);
        let outcome = host.login(&request, &mut script);
        assert!(host.last_line().contains(&format!(" reason={reason}")), "{}", host.last_line());
        (outcome, script.asked, script.told)
    };
    let wrong = Secret::from("mfatok-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa");
    let as_wrong = refused(wrong, "sshd", "192.0.2.7", "wrong_code");
    assert_eq!(as_wrong.0.verdict, Verdict::Denied);
    assert_eq!(refused(secret.clone(), "login", "192.0.2.7", "token_service"), as_wrong);
    assert_eq!(refused(secret.clone(), "sshd", "198.51.100.7", "token_source"), as_wrong);
    assert!(host.last_line().contains("device=\"backup\""), "{}", host.last_line());
    host.now.set(NOW + 90 * 86_400);
    assert_eq!(refused(secret, "sshd", "192.0.2.7", "token_expired"), as_wrong);
}

#[test]
fn where_methods_has_no_token_none_is_right_and_none_is_counted() {
    let (mut host, secret) = with_token(&[], &[]);
    let wrong = "mfatok-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa";
    for (policy, reason) in [
        ("methods = [\"totp\", \"hotp\", \"backup_code\"]", "method"),
        ("allow_from = [\"198.51.100.0/24\"]", "outside"),
        ("allow_from = [\"198.51.100.0/24\"]\nbackup_codes_anywhere = true", "outside"),
    ] {
        let policy = format!("[policy]\n{policy}\n");
        host.config = Config::parse(Path::new("config.toml"), &policy).unwrap();
        // More often than wrong ones are borne.
        for answer in [secret.expose_str().unwrap(), wrong].repeat(6) {
            assert_eq!(host.verdict("alice", answer), Verdict::Denied, "{policy}");
            assert!(host.last_line().contains("factor=token"), "{}", host.last_line());
            assert!(
                host.last_line().ends_with(&format!("reason={reason}")),
                "{}",
                host.last_line()
            );
        }
    }
    assert_eq!(list(&host)[0].last_used, None);
    let policy = "[policy]\nmethods = [\"token\"]\n";
    host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
    assert_eq!(host.verdict("alice", secret.expose_str().unwrap()), Verdict::Granted);
    assert_eq!(host.verdict("alice", &current()), Verdict::Denied);
}

#[test]
fn a_revoked_token_is_a_wrong_one_and_others_stay() {
    let (host, secret) = with_token(&[], &[]);
    let Action::NewToken(other) = token(&[], &[]) else { panic!() };
    let other = NewToken { name: "robot".to_owned(), ..*other };
    let reply = host.manage(Action::NewToken(Box::new(other)), &mut nobody());
    let Reply::TokenMade(made) = reply else { panic!("{reply:?}") };
    let revoke = || Action::RevokeToken { name: "backup".to_owned() };
    assert!(matches!(host.manage(revoke(), &mut nobody()), Reply::Done { .. }));
    assert_eq!(failed(host.manage(revoke(), &mut nobody())).kind, FailureKind::Usage);
    assert_eq!(host.verdict("alice", secret.expose_str().unwrap()), Verdict::Denied);
    assert!(host.last_line().contains("reason=wrong_code"), "{}", host.last_line());
    assert_eq!(host.verdict("alice", made.secret.expose_str().unwrap()), Verdict::Granted);
    // As if they had never been there, for who has none.
    assert_eq!(host.verdict("bob", secret.expose_str().unwrap()), Verdict::Denied);
    assert_eq!(host.verdict("nobody", secret.expose_str().unwrap()), Verdict::Denied);
}

#[test]
fn its_owner_makes_one_with_password_and_code_and_learns_of_it_at_the_next_login() {
    let (host, codes) = Host::with_alice(Mode::Required);
    host.caller.replace(alice());
    assert!(matches!(
        host.manage(token(&[], &[]), &mut Scripted::new(["rabbit hole", "000000"])),
        Reply::Failed(_)
    ));
    let mut script = Scripted::new(["rabbit hole", &codes[0]]);
    let reply = host.manage(token(&[], &[]), &mut script);
    let Reply::TokenMade(made) = reply else { panic!("{reply:?}") };
    host.caller.replace(root());
    assert!(matches!(
        host.manage(Action::RevokeToken { name: "backup".to_owned() }, &mut nobody()),
        Reply::Done { .. }
    ));
    // The script's own login would not be the one that is told.
    assert_eq!(host.verdict("alice", made.secret.expose_str().unwrap()), Verdict::Denied);
    let mut script = Scripted::new([current()]);
    host.login(&from("alice", "192.0.2.7"), &mut script);
    let told = &script.told[0].1;
    assert!(told.contains("access token \"backup\" was made.\n"), "{told}");
    assert!(told.contains("access token \"backup\" was revoked by root.\n"), "{told}");
}

#[test]
fn what_was_altered_is_still_to_be_told_after_a_scripts_login() {
    let (host, secret) = with_token(&[], &[]);
    host.now.set(NOW + 60);
    for _ in 0..2 {
        let mut script = Scripted::new([secret.clone()]);
        assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut script).verdict, Verdict::Granted);
        assert!(script.told.is_empty());
    }
    let mut script = Scripted::new([host::code((NOW + 60) / 30)]);
    host.login(&from("alice", "192.0.2.7"), &mut script);
    assert!(script.told[0].1.contains("access token \"backup\" was made by root.\n"));
}

#[test]
fn a_token_changes_no_record_and_self_service_says_who_makes_one() {
    let (mut host, secret) = with_token(&[], &[]);
    host.caller.replace(alice());
    let mut script = Scripted::new([Secret::from("rabbit hole"), secret]);
    let failure = failed(host.manage(Action::NewCodes, &mut script));
    assert_eq!(failure.error, "an access token changes nothing");
    for allow in [Allow::None, Allow::First] {
        host.config.self_service.allow = allow;
        let failure = failed(host.manage(token(&[], &[]), &mut nobody()));
        assert_eq!(failure.kind, FailureKind::NotPermitted);
    }
}

#[test]
fn with_the_last_device_tokens_go_too_and_without_one_none_is_made() {
    let (host, secret) = with_token(&[], &[]);
    host.manage(Action::Remove { label: "phone".to_owned() }, &mut nobody());
    assert!(list(&host).is_empty());
    assert_eq!(host.verdict("alice", secret.expose_str().unwrap()), Verdict::Denied);
    let failure = failed(host.manage(token(&[], &[]), &mut nobody()));
    assert_eq!(failure.error, "alice is not enrolled");
}
