//! A first device enrolled at the login that asks for a code, with a store in memory and a person who
//! does what is asked, but for where a test has them do otherwise.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::conversation::{
    Answer, Conversation, ConversationError, Prompt, PromptKind, Scripted, Style,
};
use mfa_protocol::message::{Action, LoginRequest, Reply};
use mfa_protocol::{OLDEST_VERSION, Outcome, Verdict};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::{Config, EnrolAtLogin, Mode};
use mfa_verifier::login::login;
use mfa_verifier::record::UserRecord;
use mfa_verifier::store::{Owner, Store};

use host::{Host, NOW, alice, from, nobody};

/// Whose first factor the face is to have judged.
const FIRST_FACTOR: &str = "alice";
const ENROL: &str = "Enrol an authenticator app now? [y/N] ";
const INVITATION: &str = "Invitation code: ";
const FIRST_CODE: &str = "The code that it shows now: ";
const FIRST_CODE_OR_OTHER: &str =
    "The code that it shows now, or a for plain ASCII, i to invert the picture: ";
const FIRST_CODE_OR_PLAIN: &str = "The code that it shows now, or a for plain ASCII: ";
const FIRST_CODE_OR_INVERTED: &str = "The code that it shows now, or i to invert the picture: ";
const KEPT: &str = "Type one of these codes, to show that you have kept them: ";
const CODE: &str = "Verification code: ";

/// What an enrolment by password asks, in its order.
const QUESTIONS: [&str; 4] = [FIRST_FACTOR, ENROL, FIRST_CODE_OR_OTHER, KEPT];

/// Somebody with an app and a sheet of paper.
#[derive(Default)]
struct Person<'a> {
    /// What they do at a question in place of what is wanted, each once.
    otherwise: Vec<(&'a str, Otherwise<'a>)>,
    asked: Vec<Prompt>,
    told: Vec<(Style, String)>,
}

enum Otherwise<'a> {
    Say(String),
    GiveUp,
    RepeatPassword,
    /// Something else happens while they type what is wanted.
    Meanwhile(&'a dyn Fn()),
}
use Otherwise::{GiveUp, Meanwhile, RepeatPassword, Say};

fn say(text: &str) -> Otherwise<'_> {
    Say(text.to_owned())
}

impl<'a> Person<'a> {
    fn who(otherwise: impl IntoIterator<Item = (&'a str, Otherwise<'a>)>) -> Self {
        Self { otherwise: otherwise.into_iter().collect(), ..Self::default() }
    }

    fn questions(&self) -> Vec<&str> {
        self.asked.iter().map(|prompt| prompt.text.as_str()).collect()
    }

    fn text(&self) -> String {
        let texts: Vec<_> = self.told.iter().map(|(_, text)| text.as_str()).collect();
        texts.join("\n")
    }

    /// The code that an app into which the key was typed shows at that step.
    fn code(&self, step: u64) -> String {
        let text = self.text();
        let key = text.split("key into it: ").nth(1).unwrap().lines().next().unwrap();
        let key: String = key.split_whitespace().collect();
        let key = base32::decode(base32::Alphabet::Rfc4648 { padding: false }, &key).unwrap();
        let app = totp_rs::Builder::new().with_secret(key).with_step_duration(1).build().unwrap();
        app.generate(step).to_string()
    }

    /// The backup codes that were shown.
    fn sheet(&self) -> Vec<String> {
        let text = self.text();
        let codes = text.lines().filter(|line| line.starts_with("  ") && line.contains('-'));
        codes.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }

    fn wanted(&self, question: &str) -> String {
        match question {
            ENROL | "alice" | "bob" => "y".to_owned(),
            FIRST_CODE | FIRST_CODE_OR_OTHER | FIRST_CODE_OR_PLAIN | FIRST_CODE_OR_INVERTED => {
                self.code(NOW / 30)
            }
            KEPT => self.sheet().swap_remove(2),
            CODE => "000000".to_owned(),
            other => panic!("{other}"),
        }
    }
}

impl Conversation for Person<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.asked.push(prompt.clone());
        let meant = self.otherwise.iter().position(|(question, _)| *question == prompt.text);
        match meant.map(|index| self.otherwise.remove(index).1) {
            Some(Say(text)) => return Ok(Answer::Text(text.as_str().into())),
            Some(GiveUp) => return Err(ConversationError::Aborted),
            Some(RepeatPassword) => return Ok(Answer::RepeatsPassword),
            Some(Meanwhile(happens)) => happens(),
            None => {}
        }
        Ok(Answer::Text(self.wanted(&prompt.text).as_str().into()))
    }

    fn tell(&mut self, style: Style, text: &str) {
        self.told.push((style, text.to_owned()));
    }
}

fn host(how: EnrolAtLogin) -> Host {
    let mut host = Host::new(Mode::Required);
    host.config.policy.enrol_at_login = how;
    host
}

fn enrol(host: &Host, request: &LoginRequest, person: &mut Person) -> Outcome {
    host.world(|world| login(world, request, Purpose::Login, person))
}

fn of_alice() -> LoginRequest {
    from("alice", "192.0.2.7")
}

fn record(host: &Host) -> UserRecord {
    host.store.as_ref().unwrap().load(&alice()).unwrap().0
}

/// Nobody has ever written a record of alice's.
fn is_untouched(host: &Host) -> bool {
    host.store.as_ref().unwrap().load(&alice()).unwrap().1.0 == 0
}

fn invite(host: &Host) -> String {
    let reply = host.manage(Action::Invite { lifetime: 3_600 }, &mut nobody());
    let Reply::Invited { code, .. } = reply else { panic!("{reply:?}") };
    code.expose_str().unwrap().to_owned()
}

#[test]
fn who_has_no_device_enrols_one_and_is_let_in_by_its_first_code() {
    let host = host(EnrolAtLogin::Anybody);
    let mut person = Person::default();
    let outcome = enrol(&host, &of_alice(), &mut person);
    assert_eq!(outcome.verdict, Verdict::Granted, "{}", person.text());
    assert_eq!(outcome.factor.as_deref(), Some("totp"));
    assert_eq!(outcome.label.as_deref(), Some("phone"));
    assert_eq!(
        host.last_line(),
        "outcome=granted user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 tty=ssh \
         factor=totp device=\"phone\" reason=enrolled"
    );
    assert_eq!(person.questions(), QUESTIONS);
    let pictures = person.told.iter().filter(|(style, _)| *style == Style::Qr).count();
    assert_eq!(pictures, 1);

    let record = record(&host);
    let [phone] = record.devices.as_slice() else { panic!("{}", record.devices.len()) };
    let used = phone.last_used.unwrap();
    assert_eq!((used.at, used.from.to_string().as_str()), (NOW, "192.0.2.7"));
    assert_eq!(record.default, phone.id);
    assert!(record.lockout.sources.iter().any(|source| source.last_success == Some(NOW)));

    // What confirmed it has been used; the code that was typed to show that they are kept has not.
    assert_eq!(host.verdict("alice", &person.code(NOW / 30)), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=already_used"), "{}", host.last_line());
    assert_eq!(host.verdict("alice", &person.sheet()[2]), Verdict::Granted);
    assert_eq!(host.verdict("alice", &person.code(NOW / 30 + 1)), Verdict::Granted);
}

#[test]
fn text_comes_before_every_picture_and_none_before_the_first_factor_is_right() {
    let host = host(EnrolAtLogin::Anybody);
    let mut person = Person::default();
    enrol(&host, &of_alice(), &mut person);
    assert_eq!(person.asked[0].kind, PromptKind::FirstFactor);
    assert_eq!(person.asked[1].kind, PromptKind::YesNo);
    let first = person.told.iter().position(|(style, _)| *style == Style::Qr).unwrap();
    assert_eq!(person.told[first - 1], (Style::Info, "Scan this with the app:".to_owned()));

    let mut impostor = Person::who([("bob", say("n"))]);
    assert_eq!(enrol(&host, &from("bob", "192.0.2.7"), &mut impostor).verdict, Verdict::Denied);
    // Like everybody who has to give a code.
    assert_eq!(impostor.questions(), ["bob", CODE]);
    assert_eq!(impostor.told, []);
    assert!(host.last_line().ends_with("reason=not_enrolled"), "{}", host.last_line());
}

#[test]
fn giving_up_at_any_question_changes_nothing() {
    for question in QUESTIONS {
        let host = host(EnrolAtLogin::Anybody);
        let mut person = Person::who([(question, GiveUp)]);
        assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied, "{question}");
        assert!(is_untouched(&host), "{question}");
        assert!(host.last_line().starts_with("outcome=denied user=\"alice\""), "{question}");
    }
}

#[test]
fn whoever_does_not_say_yes_is_refused() {
    for answer in [say("n"), say(""), say("123456"), RepeatPassword] {
        let host = host(EnrolAtLogin::Anybody);
        let mut person = Person::who([(ENROL, answer)]);
        assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
        assert_eq!(person.questions(), QUESTIONS[..2]);
        assert!(host.last_line().ends_with("reason=declined"), "{}", host.last_line());
        assert!(is_untouched(&host));
    }
}

#[test]
fn what_sshd_has_seen_is_not_judged_again() {
    let host = host(EnrolAtLogin::Anybody);
    let mut request = of_alice();
    request.password_given = false;
    request.ssh_auth_info = Some("publickey ssh-ed25519 AAAA\n".to_owned());
    let mut person = Person::default();
    assert_eq!(enrol(&host, &request, &mut person).verdict, Verdict::Granted);
    assert_eq!(person.questions(), QUESTIONS[1..]);

    // What another service says of keys is not believed.
    let host = self::host(EnrolAtLogin::Anybody);
    request.service = "other".to_owned();
    let mut person = Person::who([(FIRST_FACTOR, say("n"))]);
    assert_eq!(enrol(&host, &request, &mut person).verdict, Verdict::Denied);
    assert!(is_untouched(&host));
}

#[test]
fn a_wrong_first_code_is_asked_again_and_five_are_the_end() {
    let host = host(EnrolAtLogin::Anybody);
    let wrong = ["", "12345", "000000", "abcdef"].map(|code| (FIRST_CODE_OR_OTHER, say(code)));
    let mut person = Person::who(wrong);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Granted);

    let host = self::host(EnrolAtLogin::Anybody);
    let wrong = [(); 5].map(|()| (FIRST_CODE_OR_OTHER, say("12345")));
    let mut person = Person::who(wrong);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    let told = "Nothing was enrolled: no right code was given.".to_owned();
    assert_eq!(person.told.last(), Some(&(Style::Error, told)));
    let line = host.last_line();
    assert!(line.ends_with("reason=enrolment_failed error=\"no right code was given\""), "{line}");
    assert!(is_untouched(&host));
}

/// The pictures of a person who asks for these, and then does what is wanted: their style, and whether
/// their first line, which is of the margin, is drawn.
fn pictures(asking: &[(&'static str, &str)]) -> Vec<(Style, bool, bool)> {
    let host = host(EnrolAtLogin::Anybody);
    let asking: Vec<_> = asking.iter().map(|(question, answer)| (*question, say(answer))).collect();
    let mut person = Person::who(asking);
    let verdict = enrol(&host, &of_alice(), &mut person).verdict;
    assert_eq!((verdict, person.otherwise.len()), (Verdict::Granted, 0), "{}", person.text());
    let followed = person.told.iter().zip(person.told.iter().skip(1));
    let pictures = followed.filter(|(before, _)| before.1 == "Scan this with the app:");
    let blank = |text: &str| text.lines().next().unwrap().trim().is_empty();
    pictures.map(|(_, (style, text))| (*style, text.is_ascii(), !blank(text))).collect()
}

#[test]
fn another_picture_is_drawn_for_who_asks_each_once() {
    const FIRST: (Style, bool, bool) = (Style::Qr, false, false);
    assert_eq!(pictures(&[]), [FIRST]);
    assert_eq!(pictures(&[(FIRST_CODE_OR_OTHER, " A")]), [FIRST, (Style::Qr, true, false)]);
    assert_eq!(pictures(&[(FIRST_CODE_OR_OTHER, "i")]), [FIRST, (Style::Info, false, true)]);
    let both = [(FIRST_CODE_OR_OTHER, "a"), (FIRST_CODE_OR_INVERTED, "I "), (FIRST_CODE, "i")];
    assert_eq!(pictures(&both), [FIRST, (Style::Qr, true, false), (Style::Info, true, true)]);
    let both = [(FIRST_CODE_OR_OTHER, "i"), (FIRST_CODE_OR_PLAIN, "a"), (FIRST_CODE, "a")];
    assert_eq!(pictures(&both), [FIRST, (Style::Info, false, true), (Style::Info, true, true)]);
    // A picture is no try, and who has had one gets it no second time.
    let wrong = [(FIRST_CODE_OR_OTHER, "a"), (FIRST_CODE_OR_INVERTED, "a")];
    let tries = [(FIRST_CODE_OR_INVERTED, "12345"); 3];
    assert_eq!(pictures(&[&wrong[..], &tries].concat()).len(), 2);
}

#[test]
fn an_invitation_is_asked_for_in_place_of_the_password_and_good_once() {
    let host = host(EnrolAtLogin::Invite);
    let invitation = invite(&host);
    let mut person = Person::who([(INVITATION, Say(invitation.to_uppercase()))]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Granted);
    assert_eq!(person.questions(), [ENROL, INVITATION, FIRST_CODE_OR_OTHER, KEPT]);
    assert_eq!(person.asked[1].kind, PromptKind::Hidden);
    assert_eq!(record(&host).invitation, None);
}

#[test]
fn giving_up_leaves_the_invitation_good() {
    let host = host(EnrolAtLogin::Invite);
    let invitation = invite(&host);
    for question in [ENROL, INVITATION, FIRST_CODE_OR_OTHER, KEPT] {
        let mut person = Person::who([(question, GiveUp), (INVITATION, Say(invitation.clone()))]);
        assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied, "{question}");
        assert!(!record(&host).is_enrolled(), "{question}");
    }
    let mut person = Person::who([(INVITATION, Say(invitation))]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Granted);
}

#[test]
fn who_is_not_invited_sees_what_a_wrong_code_shows() {
    let host = host(EnrolAtLogin::Invite);
    invite(&host);
    for answer in ["ABCDE-FGHJK-MNPQR", "123456", ""] {
        let refused = |user: &str| {
            let mut person = Person::who([(INVITATION, say(answer))]);
            let outcome = enrol(&host, &from(user, "192.0.2.7"), &mut person);
            assert_eq!(outcome.verdict, Verdict::Denied, "{user}");
            (person.asked, person.told)
        };
        assert_eq!(refused("alice"), refused("bob"), "{answer}");
    }
    assert!(host.last_line().ends_with("error=\"there is no invitation\""), "{}", host.last_line());
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    assert_eq!(host.store.as_ref().unwrap().load(&bob).unwrap().1.0, 0, "nothing was stored");
}

#[test]
fn wrong_invitation_codes_are_charged_to_where_they_come_from() {
    let host = host(EnrolAtLogin::Invite);
    let invitation = invite(&host);
    let give = |rhost: &str, code: &str| {
        let mut person = Person::who([(INVITATION, say(code))]);
        let verdict = enrol(&host, &from("alice", rhost), &mut person).verdict;
        (verdict, person.told.last().unwrap().1.clone())
    };
    for _ in 0..10 {
        give("192.0.2.7", "ABCDE-FGHJK-MNPQR");
    }
    // In the same words as before, and written down like a code that is compared.
    let revision = || host.store.as_ref().unwrap().load(&alice()).unwrap().1.0;
    let before = revision();
    let told = "Nothing was enrolled: the invitation code is not right.".to_owned();
    assert_eq!(give("192.0.2.7", &invitation), (Verdict::Denied, told));
    assert_eq!(revision(), before + 1);
    assert!(host.last_line().contains("too many codes were wrong"), "{}", host.last_line());
    assert_eq!(give("198.51.100.7", &invitation).0, Verdict::Granted);
}

#[test]
fn of_two_enrolments_at_once_the_first_one_wins_and_the_other_is_told() {
    let host = host(EnrolAtLogin::Anybody);
    let other = || {
        let outcome = enrol(&host, &from("alice", "198.51.100.7"), &mut Person::default());
        assert_eq!(outcome.verdict, Verdict::Granted);
    };
    let mut person = Person::who([(KEPT, Meanwhile(&other))]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    let told =
        "Nothing was enrolled: the enrolment was changed by somebody else meanwhile.".to_owned();
    assert_eq!(person.told.last(), Some(&(Style::Error, told)));
    let record = record(&host);
    assert_eq!(record.devices.len(), 1);
    assert_eq!(record.devices[0].last_used.unwrap().from.to_string(), "198.51.100.7");
    assert_eq!(host.verdict("alice", &person.sheet()[0]), Verdict::Denied);
}

#[test]
fn nobody_enrols_where_no_person_sees_it_or_there_is_nowhere_to_keep_it() {
    let host = host(EnrolAtLogin::Anybody);
    let mut script = Scripted::new(["000000"]);
    let outcome = host.world(|world| login(world, &of_alice(), Purpose::Unseen, &mut script));
    assert_eq!(outcome.verdict, Verdict::Denied);
    let asked: Vec<_> = script.asked.iter().map(|prompt| prompt.text.as_str()).collect();
    assert_eq!(asked, [CODE]);
    assert!(is_untouched(&host));

    // A login makes no store.
    let host = Host { store: None, ..self::host(EnrolAtLogin::Anybody) };
    let mut person = Person::default();
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Unavailable);
    assert!(person.asked.is_empty());
    assert!(host.last_line().contains("there is no store yet"), "{}", host.last_line());
}

#[test]
fn nobody_enrols_where_no_first_factor_was_given_unless_invited() {
    let console = |password_given: bool| LoginRequest {
        service: "login".to_owned(),
        rhost: None,
        tty: Some("tty1".to_owned()),
        password_given,
        ..of_alice()
    };
    for (how, password_given, asked) in [
        (EnrolAtLogin::Anybody, true, FIRST_FACTOR),
        (EnrolAtLogin::Anybody, false, CODE),
        (EnrolAtLogin::Invite, true, ENROL),
        (EnrolAtLogin::Invite, false, ENROL),
    ] {
        let host = host(how);
        let mut person = Person::who([(ENROL, GiveUp)]);
        enrol(&host, &console(password_given), &mut person);
        assert_eq!(person.questions()[0], asked, "{how:?} {password_given}");
    }
}

#[test]
fn a_face_that_cannot_have_the_first_factor_judged_asks_for_a_code() {
    let host = host(EnrolAtLogin::Anybody);
    host.face_version.set(OLDEST_VERSION);
    let mut person = Person::default();
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    assert_eq!((person.questions(), person.told.len()), (vec![CODE], 0));
    assert!(is_untouched(&host));
    // What sshd has seen needs no judging.
    let ssh_auth_info = Some("publickey ssh-ed25519 AAAA\n".to_owned());
    let by_key = LoginRequest { ssh_auth_info, ..of_alice() };
    assert_eq!(enrol(&host, &by_key, &mut Person::default()).verdict, Verdict::Granted);
}

/// That host, which sends mail and knows everybody's mailbox.
fn with_mail(host: Host, policy: &str) -> Host {
    let mail = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    let config = Config::parse(Path::new("config.toml"), &format!("{policy}{mail}")).unwrap();
    Host { config, ..host }
}

#[test]
fn to_whom_policy_lends_a_mailbox_a_code_is_sent_in_place_of_an_enrolment() {
    let host = with_mail(Host::new(Mode::Required), "[policy]\nenrol_at_login = \"anybody\"\n");
    let mut person = Person::who([(CODE, say(""))]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    assert_eq!(person.questions(), [CODE; 2]);
    assert_eq!(host.letters.borrow().len(), 1);
    assert!(!record(&host).is_enrolled());
}

#[test]
fn an_enrolment_at_a_login_is_told_to_the_mailbox_that_is_known() {
    let policy = "[policy]\nenrol_at_login = \"anybody\"\nmethods = [\"totp\", \"backup_code\"]\n";
    let host = with_mail(Host::new(Mode::Required), policy);
    let mut person = Person::who([(KEPT, GiveUp)]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    assert_eq!(host.letters.borrow().len(), 0);
    assert_eq!(enrol(&host, &of_alice(), &mut Person::default()).verdict, Verdict::Granted);
    let letters = host.letters.borrow();
    let [(to, body)] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(to, "alice@example.org");
    assert!(body.starts_with("alice: device \"phone\" was added, at a login."), "{body}");
    assert!(body.contains("sshd") && body.contains("192.0.2.7"), "{body}");
}

#[test]
fn nobody_enrols_from_a_new_address_where_the_app_would_not_let_in() {
    let verifying = |exempting: bool| {
        let mut host = host(EnrolAtLogin::Anybody);
        host.config.policy.verify_new_address = true;
        host.config.policy.new_address_exempts_enrolled = exempting;
        host
    };
    let host = verifying(false);
    let mut person = Person::default();
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    assert_eq!(person.questions(), [CODE]);
    assert!(is_untouched(&host));
    // At the console nothing is new.
    let console = LoginRequest {
        service: "login".to_owned(),
        rhost: None,
        tty: Some("tty1".to_owned()),
        ..of_alice()
    };
    assert_eq!(enrol(&host, &console, &mut Person::default()).verdict, Verdict::Granted);
    let host = verifying(true);
    assert_eq!(enrol(&host, &of_alice(), &mut Person::default()).verdict, Verdict::Granted);
}

#[test]
fn who_has_not_shown_to_be_the_owner_finds_out_by_no_list_that_nothing_is_enrolled() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    host.config.policy.enrol_at_login = EnrolAtLogin::Anybody;
    let see = |user: &str| {
        let mut person = Person::who([
            ("bob", say("n")),
            (CODE, say("?")),
            ("Which one, by number or name? ", say("1")),
            ("Code of \"phone\": ", say("000000")),
        ]);
        assert_eq!(enrol(&host, &from(user, "192.0.2.7"), &mut person).verdict, Verdict::Denied);
        person.asked.retain(|prompt| prompt.kind != PromptKind::FirstFactor);
        (person.asked, person.told)
    };
    let seen = [see("alice"), see("bob"), see("nobody")];
    assert_eq!(seen[0].0.len(), 3);
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");

    // At the question whether to enrol it is no yes.
    let host = self::host(EnrolAtLogin::Anybody);
    let mut person = Person::who([(ENROL, say("?"))]);
    assert_eq!(enrol(&host, &of_alice(), &mut person).verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=declined"), "{}", host.last_line());
}

#[test]
fn who_is_unknown_or_enrolled_or_elsewhere_is_asked_for_a_code() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    host.config.policy.enrol_at_login = EnrolAtLogin::Anybody;
    for user in ["alice", "nobody"] {
        let mut person = Person::default();
        enrol(&host, &from(user, "192.0.2.7"), &mut person);
        assert_eq!(person.questions(), [CODE], "{user}");
        assert_eq!(person.told, [], "{user}");
    }
}
