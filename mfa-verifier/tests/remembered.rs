//! Remembered logins from the question to their end.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::conversation::{Conversation, Prompt, Scripted};
use mfa_protocol::message::{Action, LoginRequest, NewDevice, NewToken, RememberedLogin, Reply};
use mfa_protocol::{Answer, ConversationError, Outcome, Secret, Style, Verdict};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::login::login;
use mfa_verifier::manage::manage;
use mfa_verifier::session::Session;
use mfa_verifier::store::Store;

use host::mail::mailed;
use host::{Host, NOW, alice, code, device, from, nobody};

const KEY: &str = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne\n";
const QUESTION: &str = "Remember this login for 12 hours? [y/N] ";
const HOUR: u64 = 3_600;

/// A host that remembers for twelve hours, and sudo's sessions for ten minutes.
fn remembering() -> (Host, Vec<String>) {
    let (mut host, codes) = Host::with_alice(Mode::Required);
    host.config.policy.remember = 12 * HOUR;
    host.config.policy.remember_session = 600;
    (host, codes)
}

fn by_key(user: &str) -> LoginRequest {
    LoginRequest {
        ssh_auth_info: Some(KEY.to_owned()),
        password_given: false,
        ..from(user, "192.0.2.7")
    }
}

fn by_sudo() -> LoginRequest {
    LoginRequest {
        user: b"alice".to_vec(),
        service: "sudo".to_owned(),
        tty: Some("/dev/pts/3".to_owned()),
        ruser: Some("alice".to_owned()),
        password_given: true,
        ..LoginRequest::default()
    }
}

fn session(audit: u32) -> Session {
    Session { boot: "boot".to_owned(), audit, terminal: 0x8803, leader: 100, began: 5_000 }
}

/// Logs in with the code of this moment, and answers `answer` to the question.
fn give_code(host: &Host, answer: &str) -> Outcome {
    let mut script = Scripted::new([code(host.now.get() / 30), answer.to_owned()]);
    let outcome = host.login(&by_key("alice"), &mut script);
    assert_eq!(script.asked.last().unwrap(), &Prompt::yes_no(QUESTION));
    outcome
}

/// Whether this login goes through without a question.
#[track_caller]
fn is_remembered(host: &Host, request: &LoginRequest) -> bool {
    let mut script = nobody();
    let outcome = host.login(request, &mut script);
    assert_eq!(outcome.verdict == Verdict::Granted, script.asked.is_empty(), "{outcome:?}");
    script.asked.is_empty()
}

fn list(host: &Host) -> Vec<RememberedLogin> {
    match host.manage(Action::Remembered, &mut nobody()) {
        Reply::Remembered { logins, .. } => logins,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_is_remembered_if_its_owner_says_yes_and_then_nothing_is_asked() {
    let (host, _) = remembering();
    assert_eq!(give_code(&host, "n").verdict, Verdict::Granted);
    host.now.set(NOW + 60);
    assert!(!is_remembered(&host, &by_key("alice")));
    assert_eq!(give_code(&host, "y").verdict, Verdict::Granted);
    assert_eq!(
        host.last_line(),
        "action=remember outcome=done user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 \
         until=2027-01-15T20:01:00Z"
    );
    host.now.set(NOW + 120);
    let mut script = nobody();
    let outcome = host.login(&by_key("alice"), &mut script);
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert_eq!((outcome.factor, outcome.label), (None, None));
    assert!(script.asked.is_empty() && script.told.is_empty(), "{script:?}");
    assert_eq!(
        host.last_line(),
        "outcome=granted user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 tty=ssh factor=- \
         reason=remembered since=2027-01-15T08:01:00Z until=2027-01-15T20:01:00Z"
    );
    let [listed] = &list(&host)[..] else { panic!() };
    assert_eq!(
        (listed.number, listed.service.as_str(), listed.from.as_str()),
        (1, "sshd", "192.0.2.7")
    );
    assert_eq!((listed.since, listed.until), (NOW + 60, NOW + 60 + 12 * HOUR));
    assert_eq!((listed.by.name(), listed.last_used), ("key", Some(NOW + 120)));
}

#[test]
fn another_key_address_service_or_user_is_asked_and_so_is_everybody_after_the_end() {
    let (host, _) = remembering();
    give_code(&host, "y");
    assert!(is_remembered(&host, &by_key("alice")));
    let other_key = Some(KEY.replace("One", "Two"));
    for (what, other) in [
        ("key", LoginRequest { ssh_auth_info: other_key, ..by_key("alice") }),
        ("no key", LoginRequest { ssh_auth_info: None, password_given: true, ..by_key("alice") }),
        ("address", LoginRequest { rhost: Some("192.0.2.8".to_owned()), ..by_key("alice") }),
        ("service", LoginRequest { service: "login".to_owned(), ..by_key("alice") }),
        ("user", by_key("bob")),
        ("nobody", by_key("nobody")),
    ] {
        assert!(!is_remembered(&host, &other), "{what}");
    }
    host.now.set(NOW + 12 * HOUR - 1);
    assert!(is_remembered(&host, &by_key("alice")));
    host.now.set(NOW + 12 * HOUR - 2);
    assert!(!is_remembered(&host, &by_key("alice")), "the clock was set back");
    host.now.set(NOW + 12 * HOUR);
    assert!(!is_remembered(&host, &by_key("alice")));
    assert!(list(&host).is_empty());
}

#[test]
fn every_change_of_what_is_enrolled_ends_it_whoever_makes_it() {
    let label = || "phone".to_owned();
    let tablet = || NewDevice { label: Some("tablet".to_owned()), ..device() };
    let token = || NewToken {
        name: "backup".to_owned(),
        lifetime: HOUR,
        networks: Vec::new(),
        services: Vec::new(),
    };
    for changed in [
        vec![Action::Add(Box::new(tablet()))],
        vec![Action::NewCodes],
        vec![Action::NewToken(Box::new(token()))],
        vec![Action::Forget { number: None }],
        vec![Action::Forget { number: Some(1) }],
        vec![Action::Reset, Action::Add(Box::new(device()))],
        vec![Action::Remove { label: label() }, Action::Add(Box::new(device()))],
    ] {
        let (host, _) = remembering();
        give_code(&host, "y");
        assert!(is_remembered(&host, &by_key("alice")));
        let what = format!("{changed:?}");
        for action in changed {
            host.manage(action, &mut nobody());
        }
        assert!(!is_remembered(&host, &by_key("alice")), "{what}");
        assert!(list(&host).is_empty(), "{what}");
    }
    // Helpdesk's unlock does not: it forgets failures.
    let (host, _) = remembering();
    give_code(&host, "y");
    host.manage(Action::Unlock, &mut nobody());
    assert!(is_remembered(&host, &by_key("alice")));
}

#[test]
fn policy_ends_it_by_saying_no_or_less() {
    let (mut host, _) = remembering();
    give_code(&host, "y");
    host.now.set(NOW + HOUR);
    host.config.policy.remember = HOUR;
    assert!(!is_remembered(&host, &by_key("alice")));
    assert!(list(&host).is_empty());
    host.config.policy.remember = HOUR + 1;
    assert!(is_remembered(&host, &by_key("alice")));
    assert_eq!(list(&host)[0].until, NOW + HOUR + 1);
    host.config.policy.remember = 0;
    assert!(!is_remembered(&host, &by_key("alice")));
}

/// The host's policy becomes this one.
fn set_policy(host: &mut Host, policy: &str) {
    host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
}

#[test]
fn from_outside_nothing_is_remembered_and_nothing_that_was_is_good() {
    let (mut host, codes) = remembering();
    give_code(&host, "y");
    let here = "[policy]\nremember = \"12h\"\nallow_from = [\"192.0.2.0/24\"]\n";
    let elsewhere = &here.replace("192.0.2.0", "198.51.100.0");
    set_policy(&mut host, here);
    assert!(is_remembered(&host, &by_key("alice")));
    assert_eq!(list(&host).len(), 1);
    set_policy(&mut host, elsewhere);
    assert!(!is_remembered(&host, &by_key("alice")));
    assert!(list(&host).is_empty());
    // Nor by a code that is right there.
    set_policy(&mut host, &format!("{elsewhere}backup_codes_anywhere = true\n"));
    let mut script = Scripted::new([codes[0].as_str(), "y"]);
    let outcome = host.login(&by_key("alice"), &mut script);
    assert_eq!((outcome.verdict, script.asked.len()), (Verdict::Granted, 1));
    assert!(!is_remembered(&host, &by_key("alice")));
    set_policy(&mut host, here);
    assert!(is_remembered(&host, &by_key("alice")));
}

#[test]
fn the_rule_that_holds_says_for_how_long_and_the_list_asks_it_for_each() {
    let (mut host, _) = remembering();
    set_policy(
        &mut host,
        "[policy]\nremember_session = \"10m\"\n\
         [[rule]]\nusers = [\"alice\"]\nservices = [\"sshd\"]\nfrom = [\"192.0.2.0/28\"]\nremember = \"12h\"\n\
         [[rule]]\nservices = [\"sudo\"]\nremember_session = \"5m\"\n",
    );
    give_code(&host, "y");
    host.session.replace(Some(session(7)));
    host.now.set(NOW + 30);
    let mut script = Scripted::new([code(host.now.get() / 30)]);
    assert_eq!(host.login(&by_sudo(), &mut script).verdict, Verdict::Granted);
    let ends = |host: &Host| list(host).iter().map(|login| login.until).collect::<Vec<_>>();
    assert_eq!(ends(&host), [NOW + 12 * HOUR, NOW + 30 + 300]);
    // By another address nothing is, so nobody is asked whether it should be.
    let elsewhere = LoginRequest { rhost: Some("192.0.2.16".to_owned()), ..by_key("alice") };
    host.now.set(NOW + 60);
    let mut script = Scripted::new([code(host.now.get() / 30)]);
    let outcome = host.login(&elsewhere, &mut script);
    assert_eq!((outcome.verdict, script.asked.len()), (Verdict::Granted, 1));
    host.now.set(NOW + 30 + 300);
    assert!(!is_remembered(&host, &by_sudo()));
    assert!(is_remembered(&host, &by_key("alice")));
    assert_eq!(ends(&host), [NOW + 12 * HOUR]);
}

#[test]
fn what_is_good_at_one_address_of_a_network_or_at_a_console_is_listed() {
    let (mut host, _) = remembering();
    set_policy(
        &mut host,
        "[[rule]]\nfrom = [\"2001:db8::42/128\"]\nremember = \"12h\"\n\
         [[rule]]\nconsole = true\nremember_session = \"10m\"\n",
    );
    let at = |rhost: &str| LoginRequest { rhost: Some(rhost.to_owned()), ..by_key("alice") };
    let mut script = Scripted::new([code(NOW / 30), "y".to_owned()]);
    host.login(&at("2001:db8::42"), &mut script);
    assert!(is_remembered(&host, &at("2001:db8::42")));
    assert!(!is_remembered(&host, &at("2001:db8::43")));
    host.session.replace(Some(session(7)));
    host.now.set(NOW + 60);
    let console = LoginRequest { tty: Some("/dev/tty1".to_owned()), ..by_sudo() };
    let mut script = Scripted::new([code(host.now.get() / 30)]);
    assert_eq!(host.login(&console, &mut script).verdict, Verdict::Granted);
    assert!(is_remembered(&host, &console));
    let listed: Vec<_> = list(&host).into_iter().map(|login| (login.from, login.until)).collect();
    let expected = [("2001:db8::/64", NOW + 12 * HOUR), ("local", NOW + 60 + 600)]
        .map(|(from, until)| (from.to_owned(), until));
    assert_eq!(listed, expected);
}

#[test]
fn what_was_given_must_still_be_accepted() {
    let (mut host, _) = remembering();
    give_code(&host, "y");
    let policy = |methods: &str| format!("[policy]\nremember = \"12h\"\nmethods = [{methods}]\n");
    set_policy(&mut host, &policy("\"hotp\", \"backup_code\", \"token\""));
    assert!(!is_remembered(&host, &by_key("alice")));
    assert!(list(&host).is_empty());
    set_policy(&mut host, &policy("\"totp\""));
    assert!(is_remembered(&host, &by_key("alice")));
}

#[test]
fn for_whom_nobody_waits_any_more_nothing_is_noted_or_remembered() {
    let (host, _) = remembering();
    let mut late = Late { host: &host, answers: vec![code(NOW / 30).into(), "y".into()] };
    let outcome = host.world(|w| login(w, &by_key("alice"), Purpose::Login, &mut late));
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert!(host.last_line().contains("action=remember outcome=failed"), "{}", host.last_line());
    host.late.set(false);
    assert!(!is_remembered(&host, &by_key("alice")));

    host.now.set(NOW + 60);
    give_code(&host, "y");
    host.now.set(NOW + 120);
    host.late.set(true);
    let outcome = host.login(&by_key("alice"), &mut nobody());
    assert_eq!(outcome.verdict, Verdict::Unavailable);
    host.late.set(false);
    assert_eq!(list(&host)[0].last_used, None);
}

/// Answers until the question whether to remember, which takes too long.
struct Late<'a> {
    host: &'a Host,
    answers: Vec<Secret>,
}

impl Conversation for Late<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.host.late.set(prompt.text == QUESTION);
        Ok(Answer::Text(self.answers.remove(0)))
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[test]
fn a_remembered_login_that_is_carried_out_twice_leaves_what_one_leaves() {
    let (host, _) = remembering();
    give_code(&host, "y");
    let record = |host: &Host| {
        let (record, _) = host.store.as_ref().unwrap().load(&alice()).unwrap();
        record.encode().unwrap().to_vec()
    };
    let before = record(&host);
    host.now.set(NOW + 60);
    assert!(is_remembered(&host, &by_key("alice")));
    let once = record(&host);
    assert_ne!(before, once);
    assert!(is_remembered(&host, &by_key("alice")));
    assert_eq!(record(&host), once);
}

#[test]
fn who_asks_for_nothing_of_it_sees_what_there_was_before() {
    let (mut host, codes) = remembering();
    // Not for who has no key, nor for a script, nor where the code came along.
    let seen = |host: &Host, request: &LoginRequest, answer: &str| {
        let mut script = Scripted::new([answer]);
        let outcome = host.login(request, &mut script);
        (outcome.verdict, script.asked.len())
    };
    let by_password = from("alice", "192.0.2.7");
    assert_eq!(seen(&host, &by_password, &codes[0]), (Verdict::Granted, 1));
    let token = NewToken {
        name: "backup".to_owned(),
        lifetime: HOUR,
        networks: Vec::new(),
        services: Vec::new(),
    };
    let reply = host.manage(Action::NewToken(Box::new(token)), &mut nobody());
    let Reply::TokenMade(made) = reply else { panic!() };
    let secret = made.secret.expose_str().unwrap().to_owned();
    assert_eq!(seen(&host, &by_key("alice"), &secret), (Verdict::Granted, 1));
    let brought = Some(Secret::from(codes[1].as_str()));
    let with_code = LoginRequest { password: brought, ..by_key("alice") };
    let mut script = nobody();
    assert_eq!(host.login(&with_code, &mut script).verdict, Verdict::Granted);
    assert!(script.asked.is_empty());
    // Refused, unknown and not enrolled people are asked one question, as ever.
    for user in ["alice", "bob", "nobody"] {
        assert_eq!(seen(&host, &by_key(user), "000000"), (Verdict::Denied, 1));
    }
    // Nobody who sees nothing is asked.
    let mut script = Scripted::new([codes[2].as_str()]);
    let outcome = host.world(|w| login(w, &by_key("alice"), Purpose::Unseen, &mut script));
    assert_eq!((outcome.verdict, script.asked.len()), (Verdict::Granted, 1));
    host.config.policy.remember = 0;
    assert_eq!(seen(&host, &by_key("alice"), &codes[3]), (Verdict::Granted, 1));
    assert!(list(&host).is_empty());
}

#[test]
fn who_does_not_answer_the_question_is_let_in_and_not_remembered() {
    let (host, _) = remembering();
    let mut script = Scripted::new([code(NOW / 30)]);
    let outcome = host.login(&by_key("alice"), &mut script);
    assert_eq!((outcome.verdict, script.asked.len()), (Verdict::Granted, 2));
    assert!(!is_remembered(&host, &by_key("alice")));
}

/// Says yes, but only after root has changed the record.
struct Slow<'a> {
    host: &'a Host,
    answers: Vec<Secret>,
    meanwhile: Action,
}

impl Conversation for Slow<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        if prompt.text == QUESTION {
            let reply = self.host.manage(self.meanwhile.clone(), &mut nobody());
            assert!(!matches!(reply, Reply::Failed(_)), "{reply:?}");
        }
        Ok(Answer::Text(self.answers.remove(0)))
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[test]
fn a_factor_that_was_changed_while_the_question_stood_there_leaves_nothing_remembered() {
    let (host, _) = remembering();
    say_yes_after(&host, Action::NewCodes);
    assert!(list(&host).is_empty());
}

/// Logs in with the code of this moment, and says yes when this has been done.
fn say_yes_after(host: &Host, meanwhile: Action) {
    let answers = vec![code(host.now.get() / 30).into(), "y".into()];
    let mut slow = Slow { host, answers, meanwhile };
    let outcome = host.world(|w| login(w, &by_key("alice"), Purpose::Login, &mut slow));
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert!(host.last_line().contains("action=remember outcome=failed"), "{}", host.last_line());
}

#[test]
fn who_forgets_while_the_question_stands_there_is_not_remembered_by_it() {
    let (host, _) = remembering();
    say_yes_after(&host, Action::Forget { number: None });
    assert!(!is_remembered(&host, &by_key("alice")));
    // Which number the open one will have, nobody knows.
    let elsewhere = LoginRequest { rhost: Some("192.0.2.8".to_owned()), ..by_key("alice") };
    host.now.set(NOW + 60);
    let mut script = Scripted::new([code(host.now.get() / 30), "y".to_owned()]);
    host.login(&elsewhere, &mut script);
    assert!(is_remembered(&host, &elsewhere));
    host.now.set(NOW + 120);
    say_yes_after(&host, Action::Forget { number: Some(1) });
    assert!(!is_remembered(&host, &by_key("alice")));
    assert!(list(&host).is_empty());
    // The next question is none of those.
    host.now.set(NOW + 180);
    give_code(&host, "y");
    assert!(is_remembered(&host, &by_key("alice")));
}

#[test]
fn a_record_that_was_reset_while_the_question_stood_there_remembers_nothing() {
    let (mut host, _) = remembering();
    host.config.email = Config::parse(
        Path::new("config.toml"),
        "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n",
    )
    .unwrap()
    .email;
    host.manage(Action::Reset, &mut nobody());
    // A mailbox that is lent leaves no device behind by which this would be seen.
    let mut reader = Reader { host: &host, asked: 0 };
    let outcome = host.world(|w| login(w, &by_key("alice"), Purpose::Login, &mut reader));
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert!(host.last_line().contains("action=remember outcome=failed"), "{}", host.last_line());
    assert!(!is_remembered(&host, &by_key("alice")));
}

/// Has a code sent, gives it, and says yes when root has reset the record.
struct Reader<'a> {
    host: &'a Host,
    asked: u32,
}

impl Conversation for Reader<'_> {
    fn ask(&mut self, _: &Prompt) -> Result<Answer, ConversationError> {
        self.asked += 1;
        let answer = match self.asked {
            1 => String::new(),
            2 => mailed(self.host),
            _ => {
                self.host.manage(Action::Reset, &mut nobody());
                // Somebody has another code sent meanwhile, which makes a record again.
                let mut other = Scripted::new(["", "000000"]);
                assert_eq!(self.host.login(&by_key("alice"), &mut other).verdict, Verdict::Denied);
                "y".to_owned()
            }
        };
        Ok(Answer::Text(answer.into()))
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[test]
fn sudo_is_remembered_unasked_in_its_session_and_asks_in_another() {
    let (host, _) = remembering();
    host.session.replace(Some(session(7)));
    let unseen = |request: &LoginRequest, script: &mut Scripted| {
        host.world(|world| login(world, request, Purpose::Unseen, script)).verdict
    };
    let mut script = Scripted::new([code(NOW / 30)]);
    assert_eq!(unseen(&by_sudo(), &mut script), Verdict::Granted);
    assert_eq!(script.asked.len(), 1);
    host.now.set(NOW + 599);
    assert_eq!(unseen(&by_sudo(), &mut nobody()), Verdict::Granted);
    assert!(host.last_line().contains("service=sudo rhost=- "), "{}", host.last_line());
    assert!(host.last_line().contains("reason=remembered"), "{}", host.last_line());
    assert_eq!(list(&host)[0].by.name(), "session");
    for other in [Some(session(8)), None] {
        host.session.replace(other);
        assert_eq!(unseen(&by_sudo(), &mut nobody()), Verdict::Denied);
    }
    host.session.replace(Some(session(7)));
    let su = LoginRequest { service: "su".to_owned(), ..by_sudo() };
    assert_eq!(unseen(&su, &mut nobody()), Verdict::Denied);
    assert_eq!(unseen(&by_sudo(), &mut nobody()), Verdict::Granted);
    // Since the last code, and not since the last use.
    host.now.set(NOW + 600);
    assert_eq!(unseen(&by_sudo(), &mut nobody()), Verdict::Denied);
}

#[test]
fn its_owner_forgets_without_a_question_and_only_what_is_there() {
    let (host, _) = remembering();
    give_code(&host, "y");
    let act = |action| host.manage(action, &mut nobody());
    assert!(matches!(act(Action::Forget { number: Some(2) }), Reply::Failed(_)));
    assert!(is_remembered(&host, &by_key("alice")));
    host.caller.replace(alice());
    let request = mfa_protocol::message::ManageRequest {
        user: None,
        action: Action::Forget { number: Some(1) },
    };
    let reply = host.world(|world| manage(world, &request, &mut nobody()));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    assert!(host.last_line().contains("action=forget outcome=done"), "{}", host.last_line());
    assert!(!is_remembered(&host, &by_key("alice")));
}
