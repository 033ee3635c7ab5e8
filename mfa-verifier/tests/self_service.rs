//! What owners do with their own records, and what keeps everybody else from it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use mfa_protocol::Verdict;
use mfa_protocol::conversation::{
    Answer, Conversation, ConversationError, Prompt, Scripted, Style,
};
use mfa_protocol::message::{
    Action, DeviceKind, Failure, FailureKind, ManageRequest, NewDevice, Reply,
};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::{Allow, Mode, Reauth};
use mfa_verifier::login::login;
use mfa_verifier::manage::manage;
use mfa_verifier::record::UserRecord;
use mfa_verifier::store::Store;

use host::{Host, NOW, alice, code, current, device, from, nobody, root};

const PASSWORD: &str = "Password: ";
const CODE: &str = "A code of a device that is enrolled, or a backup code: ";
const BACKUP_CODE: &str = "A backup code: ";
const INVITATION: &str = "Invitation code: ";
const INVITATION_OR_PASSWORD: &str = "Invitation code, or nothing to give the password: ";

/// A host where alice is enrolled with a phone and runs `mfa-setup`; her backup codes.
fn enrolled() -> (Host, Vec<String>) {
    let (host, codes) = Host::with_alice(Mode::Required);
    host.caller.replace(alice());
    (host, codes)
}

fn fresh() -> Host {
    let host = Host::new(Mode::Required);
    host.caller.replace(alice());
    host
}

/// A key that alice does not know before it is shown to her: no code of it can be right here.
fn guided() -> Action {
    let guided = NewDevice { secret: None, confirm: true, guided: true, show: true, ..device() };
    Action::Add(Box::new(NewDevice { label: None, ..guided }))
}

fn remove() -> Action {
    Action::Remove { label: "phone".to_owned() }
}

fn record(host: &Host) -> UserRecord {
    host.store.as_ref().unwrap().load(&alice()).unwrap().0
}

#[track_caller]
fn failed(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn asked(script: &Scripted) -> Vec<&str> {
    script.asked.iter().map(|prompt| prompt.text.as_str()).collect()
}

fn invite(host: &Host) -> String {
    let caller = host.caller.replace(root());
    let reply = host.manage(Action::Invite { lifetime: 3_600 }, &mut nobody());
    host.caller.replace(caller);
    let Reply::Invited { code, expires, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(expires, host.now.get() + 3_600);
    code.expose_str().unwrap().to_owned()
}

fn add_tablet(host: &Host) {
    let caller = host.caller.replace(root());
    let tablet = NewDevice { label: Some("tablet".to_owned()), ..device() };
    host.manage(Action::Add(Box::new(tablet)), &mut nobody());
    host.caller.replace(caller);
}

#[test]
fn every_change_asks_for_the_password_and_then_for_a_code_and_root_is_asked_nothing() {
    let changes: [fn() -> Action; 4] = [
        remove,
        || Action::MakeDefault { label: "tablet".to_owned() },
        || Action::NewCodes,
        || Action::Resync { label: "phone".to_owned() },
    ];
    for (number, change) in changes.iter().enumerate() {
        let (host, codes) = enrolled();
        add_tablet(&host);
        let mut script = Scripted::new(["rabbit hole", &codes[0]]);
        host.manage(change(), &mut script);
        let second = if matches!(change(), Action::Resync { .. }) { BACKUP_CODE } else { CODE };
        assert_eq!(asked(&script)[..2], [PASSWORD, second], "{number}");
        host.caller.replace(root());
        let mut script = nobody();
        host.manage(change(), &mut script);
        assert!(!asked(&script).iter().any(|text| [PASSWORD, second].contains(text)), "{number}");
    }
    let (host, codes) = enrolled();
    let mut script = Scripted::new(["rabbit hole", &codes[0]]);
    host.manage(guided(), &mut script);
    assert_eq!(asked(&script)[..3], [PASSWORD, CODE, "A name for the device [phone 2]: "]);
}

#[test]
fn without_a_right_password_or_a_right_code_nothing_changes() {
    let (host, codes) = enrolled();
    host.pam.set((false, true));
    let failure = failed(host.manage(remove(), &mut Scripted::new(["wrong", &codes[0]])));
    assert_eq!((failure.kind, failure.error.as_str()), (FailureKind::Refused, "PAM says no"));
    host.pam.set((true, true));
    for answer in ["", "nonsense", "000000", "ABCDE-FGHJK-23456"] {
        let failure = failed(host.manage(remove(), &mut Scripted::new(["right", answer])));
        assert_eq!(failure.kind, FailureKind::Refused, "{answer:?}");
    }
    assert!(record(&host).is_enrolled());
    // What was compared and wrong was charged, as at a login; the backup code is not used up.
    assert_eq!(record(&host).devices[0].failures, 1);
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Granted);
}

#[test]
fn a_code_lets_one_change_through_and_is_used_up_by_it() {
    let (host, _) = enrolled();
    let script = || Scripted::new(["rabbit hole".to_owned(), current()]);
    assert!(matches!(host.manage(Action::NewCodes, &mut script()), Reply::NewCodes { .. }));
    let failure = failed(host.manage(Action::NewCodes, &mut script()));
    assert_eq!(failure.error, "this code was already used");
    assert_eq!(failure.hint, "nothing was changed; wait for the next code and try again");
    assert_eq!(host.verdict("alice", &current()), Verdict::Denied);
    let line = host.lines.borrow().iter().find(|line| line.contains("service=mfa-setup")).cloned();
    assert!(line.unwrap().starts_with("outcome=granted user=\"alice\" uid=1000"));
}

#[test]
fn who_gives_a_backup_code_again_is_told_to_give_another_and_not_to_wait() {
    let (host, codes) = enrolled();
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Granted);
    let failure = failed(host.manage(remove(), &mut Scripted::new(["rabbit hole", &codes[0]])));
    assert_eq!(failure.error, "this code was already used");
    assert_eq!(failure.hint, "nothing was changed; each backup code is good once, so give another");
}

#[test]
fn too_many_wrong_codes_bar_changes_as_they_bar_logins() {
    let (host, codes) = enrolled();
    for _ in 0..5 {
        host.manage(remove(), &mut Scripted::new(["rabbit hole", "000000"]));
    }
    let failure =
        failed(host.manage(remove(), &mut Scripted::new(["rabbit hole".to_owned(), current()])));
    assert!(failure.error.contains("not before 2027-01-15T08:00:30Z"), "{}", failure.error);
    let done = host.manage(remove(), &mut Scripted::new(["rabbit hole", &codes[0]]));
    assert!(matches!(done, Reply::Done { .. }));
}

#[test]
fn what_is_roots_is_refused_before_anything_is_asked() {
    let (host, _) = enrolled();
    let with_key = device();
    let unconfirmed = NewDevice { secret: None, confirm: false, ..device() };
    for action in [
        Action::ShowKey { label: "phone".to_owned() },
        Action::Unlock,
        Action::Reset,
        Action::Invite { lifetime: 60 },
        Action::Add(Box::new(with_key)),
        Action::Add(Box::new(unconfirmed)),
    ] {
        let mut script = nobody();
        let failure = failed(host.manage(action, &mut script));
        assert_eq!(failure.kind, FailureKind::NotPermitted);
        assert!(script.asked.is_empty());
    }
    assert_eq!(record(&host).devices.len(), 1);
}

#[test]
fn policy_says_what_users_may_do_themselves() {
    let rows = [
        (Allow::None, false, Some(FailureKind::NotPermitted)),
        (Allow::None, true, Some(FailureKind::NotPermitted)),
        (Allow::First, false, None),
        (Allow::First, true, Some(FailureKind::NotPermitted)),
        (Allow::All, false, None),
        (Allow::All, true, None),
    ];
    for (allow, is_enrolled, expected) in rows {
        let mut host = if is_enrolled { enrolled().0 } else { fresh() };
        host.config.self_service.allow = allow;
        let mut script = nobody();
        let failure = failed(host.manage(guided(), &mut script));
        // Who may is asked for the password, which is not answered here.
        assert_eq!(asked(&script) == [PASSWORD], expected.is_none(), "{allow:?} {is_enrolled}");
        if let Some(kind) = expected {
            assert_eq!(failure.kind, kind);
        }
        // Looking is free.
        assert!(matches!(host.manage(Action::Status, &mut nobody()), Reply::Status(_)));
        assert!(matches!(host.manage(Action::Codes, &mut nobody()), Reply::Codes { .. }));
    }
    let failure = failed(fresh().manage(Action::NewCodes, &mut nobody()));
    assert_eq!(
        (failure.kind, failure.error.as_str()),
        (FailureKind::Usage, "alice is not enrolled")
    );
}

#[test]
fn an_invitation_stands_in_for_the_password_at_one_change() {
    let (mut host, codes) = enrolled();
    // An account without a password.
    host.pam.set((false, true));
    let invitation = invite(&host);
    assert!(host.last_line().contains("action=invite outcome=done user=\"alice\""));
    add_tablet(&host);
    let default = || Action::MakeDefault { label: "tablet".to_owned() };
    let answers = [invitation.to_uppercase().replace('-', " "), codes[0].clone()];
    let mut script = Scripted::new(answers);
    assert!(matches!(host.manage(default(), &mut script), Reply::Done { .. }));
    assert_eq!(asked(&script), [INVITATION_OR_PASSWORD, CODE]);
    // It is spent, and there is nothing left but the password.
    let default = || Action::MakeDefault { label: "phone".to_owned() };
    let mut script = Scripted::new([invitation.clone(), codes[1].clone()]);
    failed(host.manage(default(), &mut script));
    assert_eq!(asked(&script), [PASSWORD]);
    host.config.self_service.reauth = Reauth::Invite;
    let mut script = Scripted::new([invitation]);
    let failure = failed(host.manage(default(), &mut script));
    assert_eq!(failure.kind, FailureKind::NotPermitted);
    assert!(failure.hint.contains("mfa-setup invite alice"), "{}", failure.hint);
    assert!(script.asked.is_empty());
}

#[test]
fn an_invitation_that_led_to_no_change_is_good_once_more() {
    let mut host = fresh();
    host.config.self_service.reauth = Reauth::Invite;
    let invitation = invite(&host);
    for _ in 0..2 {
        // The label, and then nobody answers.
        let mut script = Scripted::new([invitation.as_str(), ""]);
        failed(host.manage(guided(), &mut script));
        let last = *asked(&script).last().unwrap();
        assert_eq!((asked(&script)[0], last), (INVITATION, "The code that it shows now: "));
    }
    assert!(!record(&host).is_enrolled());
}

#[test]
fn wrong_old_and_replaced_invitations_let_nobody_in_and_are_bounded() {
    let mut host = fresh();
    host.config.self_service.reauth = Reauth::Invite;
    let first = invite(&host);
    let second = invite(&host);
    let refused = |code: &str| {
        let mut script = Scripted::new([code]);
        failed(host.manage(guided(), &mut script)).error
    };
    assert_eq!(refused(&first), "the invitation code is not right");
    assert_eq!(refused("123456"), "that is no invitation code");
    host.now.set(NOW + 3_599);
    for _ in 0..9 {
        assert_eq!(refused(&first), "the invitation code is not right");
    }
    assert!(refused(&second).starts_with("too many codes were wrong; not before"));
    host.now.set(NOW + 3_600);
    assert_eq!(refused(&second), "this needs an invitation");
}

#[test]
fn an_account_that_may_not_be_used_is_no_use_with_an_invitation_either() {
    let host = fresh();
    let invitation = invite(&host);
    host.pam.set((true, false));
    let failure = failed(host.manage(guided(), &mut Scripted::new([invitation])));
    assert_eq!(failure.error, "PAM says no");
}

#[test]
fn an_empty_answer_to_the_invitation_leads_to_the_password() {
    let host = fresh();
    invite(&host);
    let mut script = Scripted::new(["", "rabbit hole", ""]);
    failed(host.manage(guided(), &mut script));
    assert_eq!(asked(&script)[..2], [INVITATION_OR_PASSWORD, PASSWORD]);
    assert_eq!(asked(&script)[2], "A name for the device [phone]: ");
}

/// A person who adds a device with the key of the tests in place of the lost phone.
#[test]
fn a_lost_phone_is_replaced_by_name_and_the_record_says_so_at_the_next_login() {
    let (host, codes) = enrolled();
    host.caller.replace(root());
    let replace = NewDevice { label: None, guided: true, confirm: true, ..device() };
    let declined = ["phone", "n", "phone", "no", "tablet", "000000"];
    let mut script = Scripted::new(declined);
    failed(host.manage(Action::Add(Box::new(replace.clone())), &mut script));
    assert_eq!(asked(&script)[1], "There is a device \"phone\" already. Replace it? [y/N] ");
    let mut script = Scripted::new(["phone".to_owned(), "y".to_owned(), current()]);
    host.now.set(NOW + 1);
    let reply = host.manage(Action::Add(Box::new(replace)), &mut script);
    let Reply::Added(added) = reply else { panic!("{reply:?}") };
    assert!(added.backup_codes.is_empty());
    let record = record(&host);
    assert_eq!(record.devices.len(), 1);
    assert_eq!((record.devices[0].id, record.default), (added.id, added.id));
    assert_ne!(added.id, 1);
    // The backup codes that were there before are still good, and older than the change.
    let told = |answer: &str| {
        let mut script = Scripted::new([answer]);
        assert_eq!(
            host.login(&from("alice", "192.0.2.7"), &mut script).verdict,
            Verdict::Granted,
            "{answer}"
        );
        script.told
    };
    let text = "2027-01-15T08:00:01Z: device \"phone\" was replaced by root.\n\
                If that was not you, tell your administrator.";
    assert_eq!(told(&code(NOW / 30 + 1)), [(Style::Info, text.to_owned())]);
    assert_eq!(told(&codes[0]), [(Style::Info, text.to_owned())]);
    assert_eq!(told(&codes[1]), []);
}

#[test]
fn a_first_enrolment_is_no_news_and_a_removal_of_the_last_device_is() {
    let (mut host, codes) = enrolled();
    let mut script = Scripted::new([current()]);
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut script).verdict, Verdict::Granted);
    assert_eq!(script.told, []);
    host.manage(remove(), &mut Scripted::new(["rabbit hole", &codes[0]]));
    host.config.policy.mode = Mode::Optional;
    let mut script = nobody();
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut script).verdict, Verdict::Exempt);
    assert!(script.told[0].1.starts_with("2027-01-15T08:00:00Z: device \"phone\" was removed.\n"));
}

#[test]
fn new_backup_codes_do_not_make_their_own_making_unseen_however_long_it_took() {
    let (host, codes) = enrolled();
    host.tick.set(1);
    let made = host.manage(Action::NewCodes, &mut Scripted::new(["rabbit hole", &codes[0]]));
    host.tick.set(0);
    let Reply::NewCodes { backup_codes, .. } = made else { panic!("{made:?}") };
    let told = |answer: &str| {
        let mut script = Scripted::new([answer]);
        let outcome = host.login(&from("alice", "192.0.2.7"), &mut script);
        assert_eq!(outcome.verdict, Verdict::Granted);
        script.told.iter().any(|(_, text)| text.contains("new backup codes were made."))
    };
    for code in &backup_codes[..3] {
        assert!(told(code.expose_str().unwrap()));
    }
    assert!(told(&code(host.now.get() / 30)));
    assert!(!told(backup_codes[3].expose_str().unwrap()));
}

#[test]
fn a_device_three_hours_off_is_brought_back_by_a_backup_code_and_three_codes() {
    let (host, codes) = enrolled();
    let resync = || Action::Resync { label: "phone".to_owned() };
    let step = NOW / 30 - 360;
    let row = [code(step), code(step + 1), code(step + 2)];
    // A code of the device shows nothing: it could have been seen over a shoulder at noon.
    let failure =
        failed(host.manage(resync(), &mut Scripted::new(["rabbit hole".to_owned(), current()])));
    assert_eq!(failure.error, "that is no backup code");
    let answers = ["rabbit hole", &codes[0], &row[0], &row[1], "000000", &row[0], &row[1], &row[2]];
    let mut script = Scripted::new(answers);
    assert!(matches!(host.manage(resync(), &mut script), Reply::Done { .. }));
    let device = &record(&host).devices[0];
    assert_eq!(device.drift(), -358);
    // None of the three is good any more, and the next one is.
    for used in &row {
        assert_eq!(host.verdict("alice", used), Verdict::Denied);
    }
    assert_eq!(host.verdict("alice", &code(step + 3)), Verdict::Granted);
}

/// Somebody who does something of their own at a question, and then goes on.
struct Meanwhile<'a> {
    person: Scripted,
    at: &'a str,
    act: &'a dyn Fn(),
}

impl Conversation for Meanwhile<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        if prompt.text == self.at {
            (self.act)();
        }
        self.person.ask(prompt)
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[test]
fn a_permission_is_void_when_what_it_rests_on_has_gone_meanwhile() {
    let resync = || Action::Resync { label: "phone".to_owned() };
    let step = NOW / 30 + 100;
    for what in ["reset and enrolled anew", "new codes", "nothing"] {
        let (host, codes) = enrolled();
        let by_root = |action| {
            let caller = host.caller.replace(root());
            host.manage(action, &mut nobody());
            host.caller.replace(caller);
        };
        let act = || match what {
            "new codes" => by_root(Action::NewCodes),
            "nothing" => {}
            _ => {
                by_root(Action::Reset);
                by_root(Action::Add(Box::new(device())));
            }
        };
        let row = [code(step), code(step + 1), code(step + 2)];
        let person = Scripted::new(["rabbit hole", &codes[0], &row[0], &row[1], &row[2]]);
        let mut person = Meanwhile { person, at: "And the one after that: ", act: &act };
        let reply = host.world(|world| {
            let request = ManageRequest { user: None, action: resync() };
            manage(world, &request, &mut person)
        });
        if what == "nothing" {
            assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
        } else {
            assert!(failed(reply).error.contains("used or replaced meanwhile"), "{what}");
            assert_eq!(record(&host).devices[0].drift(), 0);
        }
    }
}

/// A person at a HOTP token who enrols it by what is shown, and takes their time.
struct Slowly<'a> {
    host: &'a Host,
    key: Option<String>,
    code: Option<String>,
    proof: &'a str,
    seconds: u64,
}

impl Conversation for Slowly<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        let text = match prompt.text.as_str() {
            PASSWORD => "rabbit hole".to_owned(),
            CODE | INVITATION => self.proof.to_owned(),
            "The code that it shows now: " => {
                self.host.now.set(self.host.now.get() + self.seconds);
                token(self.key.as_ref().unwrap(), 0)
            }
            _ => self.code.clone().unwrap(),
        };
        Ok(Answer::Text(text.as_str().into()))
    }

    fn tell(&mut self, _: Style, text: &str) {
        if let Some((_, key)) = text.split_once("key into it: ") {
            self.key = Some(key.replace([' ', '\n'], ""));
        }
        if let Some((_, codes)) = text.split_once("   1  ") {
            self.code = codes.lines().next().map(str::to_owned);
        }
    }
}

impl Slowly<'_> {
    fn enrols(&mut self, label: &str) -> Reply {
        let wanted = NewDevice {
            kind: DeviceKind::Hotp,
            label: Some(label.to_owned()),
            secret: None,
            confirm: true,
            show: true,
            ..device()
        };
        let action = Action::Add(Box::new(wanted));
        self.host.world(|world| manage(world, &ManageRequest { user: None, action }, self))
    }
}

/// HOTP of a key as it is shown, by a crate that the verifier does not judge with in this way.
fn token(key: &str, counter: u64) -> String {
    let key = mfa_verifier::enrol::key::parse(key).unwrap();
    let builder = totp_rs::Builder::new().with_secret(key.expose().to_vec());
    builder.with_step_duration(1).build().unwrap().generate(counter).to_string()
}

#[test]
fn a_permission_is_good_for_half_an_hour_and_an_invitation_until_its_end() {
    for (seconds, good) in [(1_800, true), (1_801, false)] {
        let host = fresh();
        let reply =
            Slowly { host: &host, key: None, code: None, proof: "", seconds }.enrols("token");
        assert_eq!(matches!(reply, Reply::Added(_)), good, "{seconds}: {reply:?}");
        assert_eq!(record(&host).is_enrolled(), good);
    }
    for (seconds, good) in [(599, true), (600, false)] {
        let mut host = fresh();
        host.config.self_service.reauth = Reauth::Invite;
        let proof = invite(&host);
        host.now.set(NOW + 3_000);
        let mut person = Slowly { host: &host, key: None, code: None, proof: &proof, seconds };
        assert_eq!(matches!(person.enrols("token"), Reply::Added(_)), good, "{seconds}");
    }
}

#[test]
fn whoever_binds_a_device_with_one_stolen_code_cannot_hide_it_by_what_it_can_do() {
    let (host, _) = enrolled();
    let stolen = current();
    let mut thief = Slowly { host: &host, key: None, code: None, proof: &stolen, seconds: 0 };
    assert!(matches!(thief.enrols("x"), Reply::Added(_)));
    let key = thief.key.unwrap();
    host.now.set(NOW + 1);
    // Changes back and forth, new codes, a trial, logins: all with the new token.
    for n in 1..=9 {
        let label = if n % 2 == 0 { "phone" } else { "x" }.to_owned();
        let answers = ["rabbit hole".to_owned(), token(&key, n)];
        host.manage(Action::MakeDefault { label }, &mut Scripted::new(answers));
        host.now.set(host.now.get() + 1);
    }
    let answers = ["rabbit hole".to_owned(), token(&key, 10)];
    let Reply::NewCodes { backup_codes, .. } =
        host.manage(Action::NewCodes, &mut Scripted::new(answers))
    else {
        panic!();
    };
    host.now.set(host.now.get() + 1);
    assert_eq!(host.verdict("alice", &token(&key, 11)), Verdict::Granted);
    assert_eq!(host.verdict("alice", backup_codes[0].expose_str().unwrap()), Verdict::Granted);

    let next = |steps: u64| code(NOW / 30 + steps);
    host.now.set(NOW + 90);
    // The owner at sudo, which shows no text, or a helpdesk that judges a code.
    let unseen = host.world(|world| {
        let mut owner = Scripted::new([next(3)]);
        login(world, &from("alice", "192.0.2.7"), Purpose::Unseen, &mut owner)
    });
    assert_eq!(unseen.verdict, Verdict::Granted);
    host.now.set(NOW + 120);
    let mut owner = Scripted::new([next(4)]);
    host.login(&from("alice", "192.0.2.7"), &mut owner);
    assert!(owner.told[0].1.contains("device \"x\" was added."), "{:?}", owner.told);
}

#[test]
fn a_mistake_in_what_is_asked_for_costs_no_code() {
    let (host, _) = enrolled();
    let wanted = || NewDevice { secret: None, confirm: true, ..device() };
    for action in [
        Action::Resync { label: "fone".to_owned() },
        Action::Remove { label: "fone".to_owned() },
        Action::MakeDefault { label: "fone".to_owned() },
        Action::Add(Box::new(wanted())),
        Action::Add(Box::new(NewDevice { label: Some(String::new()), ..wanted() })),
        Action::Add(Box::new(NewDevice { label: None, digits: Some(5), ..wanted() })),
        Action::Add(Box::new(NewDevice { label: None, period: Some(5), ..wanted() })),
    ] {
        let mut script = nobody();
        assert_eq!(failed(host.manage(action, &mut script)).kind, FailureKind::Usage);
        assert!(script.asked.is_empty());
    }
}

#[test]
fn in_the_service_of_re_authentication_the_module_asks_nothing() {
    let (host, _) = enrolled();
    let mut request = from("alice", "192.0.2.7");
    request.service = "mfa-setup".to_owned();
    let mut script = nobody();
    assert_eq!(host.login(&request, &mut script).verdict, Verdict::Exempt);
    assert!(script.asked.is_empty());
    assert!(host.last_line().ends_with("reason=reauthentication"), "{}", host.last_line());
    request.user = b"nobody".to_vec();
    assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Denied);
}
