//! Another method at the prompt: `?`, codes by e-mail, and addresses at which nobody was seen.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::conversation::Style;
use mfa_protocol::message::{Action, DeviceKind, FailureKind, NewDevice, Reply};
use mfa_protocol::{PromptKind, Verdict};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::login::login;
use mfa_verifier::store::{Owner, Store};

use host::mail::{
    ADDRESS, HOME, Person, by_mail, email, letters, mailbox, mailed, status, with_app, with_both,
    wrong,
};
use host::{Host, NOW, alice, current, device, from, nobody};

#[test]
fn a_question_mark_lists_the_ways_and_the_next_prompt_names_the_one_that_was_chosen() {
    let (host, codes) = Host::with_alice(Mode::Required);
    let mut person = Person::new(&host, &["?", "phone", &current()]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    let prompts = person.prompts();
    assert_eq!(
        prompts,
        ["Verification code: ", "Which one, by number or name? ", "Code of \"phone\": "]
    );
    let list = "A code can be given by:\n  1  phone (app)\n  2  one of the backup codes";
    assert_eq!(person.told, [(Style::Info, list.to_owned())]);
    let hidden = person.asked.iter().map(|prompt| prompt.kind == PromptKind::Hidden);
    assert_eq!(hidden.collect::<Vec<_>>(), [true, false, true]);
    // Whatever was chosen, each code is right.
    let mut person = Person::new(&host, &[" ? ", "1", &codes[0]]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    let mut person = Person::new(&host, &["?", &codes[1]]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
}

#[test]
fn asking_for_another_way_is_not_counted_and_comes_to_an_end() {
    let (host, _) = Host::with_alice(Mode::Required);
    let endless = ["?", "1"].repeat(40);
    let mut person = Person::new(&host, &endless);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert_eq!(person.asked.len(), 13, "six times the two, and the last");
    assert!(host.last_line().ends_with("reason=misshapen"), "{}", host.last_line());
    let mut person = Person::new(&host, &["?", "nonsense", "?", "99", "?", "", "000000"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert_eq!(person.told.iter().filter(|(_, told)| told == "That is none of them.").count(), 3);
    assert_eq!(status(&host).failures, 1, "the code alone");
}

#[test]
fn who_is_unknown_not_enrolled_or_locked_sees_the_same_list_and_the_same_prompts() {
    let (host, _) = Host::with_alice(Mode::Required);
    let see = |user: &str| {
        let mut person = Person::new(&host, &["?", "phone", "?", "2", "000000"]);
        assert_ne!(person.login(user, HOME).verdict, Verdict::Granted);
        (person.asked, person.told)
    };
    let seen = [see("nobody"), see("bob"), see("alice")];
    for _ in 0..5 {
        host.verdict("alice", "000000");
    }
    assert!(host.last_line().contains("reason=locked"), "{}", host.last_line());
    for other in [&seen[1], &seen[2], &see("alice")] {
        assert_eq!(*other, seen[0]);
    }
}

#[test]
fn enter_alone_has_a_code_sent_to_a_default_mailbox_and_nothing_is_sent_before_it() {
    let host = by_mail("");
    let mut person = Person::new(&host, &[]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert_eq!(letters(&host), 0, "only asked");
    let mut person = Person::new(&host, &["", "<mail>"]);
    let outcome = person.login("alice", HOME);
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert_eq!(
        (outcome.factor.as_deref(), outcome.label.as_deref()),
        (Some("email"), Some("e-mail"))
    );
    assert_eq!(person.prompts(), ["Verification code: "; 2]);
    assert_eq!(host.letters.borrow()[0].0, ADDRESS);
    assert!(person.was_told("one is on its way") && person.was_told("5 minutes"));
    let used = mailed(&host);
    assert_eq!(host.verdict("alice", &used), Verdict::Denied);
    let mailbox = &status(&host).devices[1];
    assert_eq!((mailbox.kind, mailbox.default), (DeviceKind::Email, true));
    assert_eq!(mailbox.last_from.as_deref(), Some(HOME));
}

#[test]
fn a_code_that_is_given_at_once_is_judged_at_once_and_no_mail_goes() {
    let host = by_mail("");
    let app = host::code((NOW + 7_200) / 30);
    // As `forward_pass` answers the first question.
    let mut person = Person::new(&host, &[&app]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert_eq!(letters(&host), 0);
}

#[test]
fn a_mailbox_that_is_not_the_default_is_sent_to_only_when_it_was_chosen() {
    let host = with_both("");
    let mut person = Person::new(&host, &["", "?", "e-mail", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert_eq!(letters(&host), 1);
    assert_eq!(person.prompts()[3], "Code sent to \"e-mail\": ");
    assert!(person.was_told("2  e-mail (e-mail; a code is sent)"), "{:?}", person.told);
    // Once chosen, Enter has it sent there once more; the first code is void.
    let mut person = Person::new(&host, &["?", "2", "", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert_eq!(letters(&host), 3);
    // Enter is for the mailbox also where an app was chosen before.
    let host = by_mail("");
    let mut person = Person::new(&host, &["?", "phone", "", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
}

#[test]
fn enter_is_answered_by_the_same_words_whoever_asks_and_mail_goes_to_the_owner_alone() {
    let host = by_mail("");
    let see = |user: &str| {
        let mut person = Person::new(&host, &["", "", "000000"]);
        assert_ne!(person.login(user, HOME).verdict, Verdict::Granted);
        (person.asked, person.told)
    };
    let seen = [see("nobody"), see("bob")];
    assert_eq!(letters(&host), 0);
    assert_eq!(see("alice"), seen[0]);
    assert_eq!(letters(&host), 2);
    assert_eq!(seen[1], seen[0]);
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    let (_, revision) = host.store.as_ref().unwrap().load(&bob).unwrap();
    assert_eq!(revision.0, 0, "nothing is saved of who has not enrolled");
}

#[test]
fn a_resend_takes_no_failure_off_and_so_many_mails_go_in_an_hour() {
    let host = by_mail("[lockout]\nper_source = 100\nper_user = 100");
    for failures in 1..=5 {
        let mut person = Person::new(&host, &["", "<wrong>"]);
        assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
        assert_eq!(status(&host).failures, failures);
    }
    assert_eq!(letters(&host), 5);
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_ne!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert_eq!(letters(&host), 5, "barred for an hour, and told as anybody is");
    assert!(person.was_told("one is on its way"));
    let lines = host.lines.borrow();
    let refused = "action=send_code user=\"alice\" service=sshd rhost=192.0.2.7 device=\"e-mail\" \
                   outcome=refused reason=locked not_before=";
    assert!(lines.iter().any(|line| line.starts_with(refused)), "{lines:?}");
}

#[test]
fn right_answers_do_not_lift_the_number_of_mails_in_an_hour() {
    let host = by_mail("");
    assert_eq!(host.verdict("alice", &host::code((NOW + 7_200) / 30 - 1)), Verdict::Granted);
    for _ in 0..5 {
        let mut person = Person::new(&host, &["", "<mail>"]);
        assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    }
    let mut person = Person::new(&host, &["", &host::code((NOW + 7_200) / 30)]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted, "the app, as ever");
    assert_eq!(letters(&host), 5);
    host.now.set(NOW + 7_200 + 3_600);
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
}

#[test]
fn nobody_is_sent_a_code_who_could_not_give_it() {
    let host = by_mail("");
    for _ in 0..5 {
        host.verdict("alice", "000000");
    }
    let mut person = Person::new(&host, &["", "000000"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Locked);
    assert_eq!(letters(&host), 0);
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", "198.51.100.1").verdict, Verdict::Granted, "not locked there");
}

#[test]
fn a_mail_that_fails_is_told_with_the_next_answer_and_the_app_works() {
    let host = by_mail("");
    host.unsendable.set(true);
    let mut person = Person::new(&host, &["", "", "?", "1", &host::code((NOW + 7_200) / 30)]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    let unsent = person.told.iter().filter(|(style, told)| {
        *style == Style::Error && told.starts_with("The code could not be sent.")
    });
    assert_eq!(unsent.count(), 2, "{:?}", person.told);
    let mut person = Person::new(&host, &["", "000000"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert!(person.was_told("The code could not be sent."));
}

#[test]
fn a_mail_that_fails_after_the_last_wish_or_while_the_list_is_shown_is_told_as_well() {
    let host = by_mail("");
    host.unsendable.set(true);
    let last = [["?", "1"].repeat(5), vec!["", "000000"]].concat();
    let mut person = Person::new(&host, &last);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert_eq!(person.asked.len(), last.len());
    assert!(person.was_told("The code could not be sent."), "{:?}", person.told);
}

#[test]
fn without_a_sender_enter_is_an_empty_answer_and_mailboxes_are_not_listed() {
    let mut host = by_mail("");
    host.config.email.from = None;
    let mut person = Person::new(&host, &[""]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=empty") && person.told.is_empty());
    let mut person = Person::new(&host, &["?", "e-mail", "000000"]);
    person.login("alice", HOME);
    assert!(!person.was_told("e-mail") && person.was_told("none of them"), "{:?}", person.told);
}

const FROM_THE_FIRST_DAY: &str = "{user}@example.org";

fn from_the_first_day(policy: &str) -> Host {
    let mut host = Host::new(Mode::Required);
    host.config = email(policy);
    let text = format!("from = \"mfa@example.org\"\naddress = \"{FROM_THE_FIRST_DAY}\"");
    host.config.email =
        Config::parse(Path::new("config.toml"), &format!("[email]\n{text}")).unwrap().email;
    host
}

#[test]
fn who_has_not_enrolled_is_asked_by_mail_from_the_first_day_until_an_app_is_enrolled() {
    for policy in ["", "[policy]\nmode = \"optional\""] {
        let host = from_the_first_day(policy);
        let mut person = Person::new(&host, &["", "<mail>"]);
        let outcome = person.login("alice", HOME);
        assert_eq!(outcome.verdict, Verdict::Granted, "{policy}");
        assert_eq!(outcome.factor.as_deref(), Some("email"));
        assert_eq!(host.letters.borrow()[0].0, ADDRESS);
        assert!(status(&host).devices.is_empty(), "lent, and not enrolled");
        assert!(!person.was_told("backup code"), "who has no device gets none: {:?}", person.told);
        let again = mailed(&host);
        assert_eq!(host.verdict("alice", &again), Verdict::Denied);
        assert!(host.last_line().ends_with("reason=not_sent"), "{}", host.last_line());
        // What is lent has budgets, too.
        for _ in 0..6 {
            Person::new(&host, &["", "<wrong>"]).login("alice", HOME);
        }
        // One from where alice was not known yet, and five from where she is.
        assert_eq!(letters(&host), 6);
        host.manage(Action::Add(Box::new(device())), &mut nobody());
        host.now.set(NOW + 7_200);
        host.letters.borrow_mut().clear();
        let mut person = Person::new(&host, &["", "?", "e-mail", "?", "2", "000000"]);
        person.login("alice", HOME);
        assert_eq!(letters(&host), 0, "an app is enrolled");
    }
}

#[test]
fn a_name_that_would_mean_something_else_in_an_address_gets_no_mail_and_sees_the_same() {
    let host = from_the_first_day("");
    let see = |user: &str| {
        let mut person = Person::new(&host, &["", "000000"]);
        assert_eq!(person.login(user, HOME).verdict, Verdict::Denied);
        (person.asked, person.told)
    };
    let seen = see("alice");
    assert_eq!(letters(&host), 1);
    for user in ["nobody", "-oQ", "a b", "x\r\nBcc: eve", "Alice", "alice@example.org,"] {
        assert_eq!(see(user), seen, "{user:?}");
    }
    assert_eq!(letters(&host), 1);
    // Who is unknown has the list of who has not enrolled.
    let list = |user: &str| {
        let mut person = Person::new(&host, &["?", "1", "000000"]);
        person.login(user, HOME);
        (person.asked, person.told)
    };
    assert_eq!(list("nobody"), list("bob"));
}

#[test]
fn where_there_is_no_store_nobody_is_lent_a_mailbox() {
    let mut host = from_the_first_day("");
    host.store = None;
    let mut person = Person::new(&host, &["", "000000"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert_eq!(letters(&host), 0);
    // Nor is anybody let in for it whom a mailbox would be lent.
    for grace in ["", "required_from = 2100-01-01\n"] {
        let policy = format!("[policy]\nmode = \"optional\"\n{grace}");
        let policy = if grace.is_empty() { policy } else { policy.replace("optional", "required") };
        let mut host = from_the_first_day(&policy);
        host.store = None;
        for user in ["alice", "nobody"] {
            let mut person = Person::new(&host, &[]);
            assert_ne!(person.login(user, HOME).verdict, Verdict::Exempt, "{policy}{user}");
        }
        let mut person = Person::new(&host, &[]);
        assert_eq!(person.login("alice", HOME).verdict, Verdict::Unavailable, "{policy}");
        assert!(host.last_line().contains("there is no store yet"), "{}", host.last_line());
    }
    let mut host = from_the_first_day("[policy]\nmode = \"off\"\n");
    host.store = None;
    let mut person = Person::new(&host, &[]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Exempt);
}

#[test]
fn who_was_let_in_by_a_mailbox_that_is_lent_can_be_remembered() {
    let host = from_the_first_day("[policy]\nremember = \"12h\"\nwithout_key = true");
    let mut person = Person::new(&host, &["", "<mail>", "y"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert!(host.last_line().contains("action=remember outcome=done"), "{}", host.last_line());
    let mut person = Person::new(&host, &[]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert!(person.asked.is_empty());
    let forget = Action::Forget { number: None };
    assert!(matches!(host.manage(forget, &mut nobody()), Reply::Done { .. }));
    let mut person = Person::new(&host, &[]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
}

#[test]
fn who_is_lent_a_mailbox_can_be_unlocked_and_nobody_of_whom_nothing_is_noted() {
    let host = from_the_first_day("");
    let unlock = || host.manage(Action::Unlock, &mut nobody());
    assert!(matches!(unlock(), Reply::Failed(_)), "nothing to unlock");
    for _ in 0..5 {
        Person::new(&host, &["", "<wrong>"]).login("alice", HOME);
    }
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Locked);
    assert!(matches!(unlock(), Reply::Done { .. }));
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    // Root makes no codes for who has no device.
    assert!(matches!(host.manage(Action::NewCodes, &mut nobody()), Reply::Failed(_)));
}

#[test]
fn unlock_forgets_what_bars_mails_too() {
    let host = by_mail("[lockout]\nper_source = 100\nper_user = 100");
    for _ in 0..5 {
        Person::new(&host, &["", "<wrong>"]).login("alice", HOME);
    }
    host.manage(Action::Unlock, &mut nobody());
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
}

const NEW: &str = "[policy]\nverify_new_address = true\n";
const EXEMPTING: &str =
    "[policy]\nverify_new_address = true\nnew_address_exempts_enrolled = true\n";

#[test]
fn from_a_new_address_only_a_code_by_mail_lets_in_and_later_any_from_there() {
    let host = with_both(NEW);
    let app = |step: u64| host::code((NOW + 7_200) / 30 + step);
    let mut person = Person::new(&host, &[&app(0)]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=new_address"), "{}", host.last_line());
    assert_eq!(status(&host).failures, 0, "compared in vain");
    assert!(person.was_told("you were not seen before"));
    // The app is the default, and cannot be meant.
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    assert_eq!(host.verdict("alice", &app(0)), Verdict::Granted);
    // A second address is new again; this host never is.
    let mut person = Person::new(&host, &[&app(1)]);
    assert_eq!(person.login("alice", "198.51.100.1").verdict, Verdict::Denied);
    let mut request = from("alice", HOME);
    (request.service, request.rhost) = ("sudo".to_owned(), None);
    let mut person = Person::new(&host, &[&app(1)]);
    let outcome = host.world(|world| login(world, &request, Purpose::Login, &mut person));
    assert_eq!(outcome.verdict, Verdict::Granted);
    // After known_source_days it is new once more.
    host.now.set(NOW + 32 * 86_400);
    let later = host::code((NOW + 32 * 86_400) / 30);
    assert_eq!(host.verdict("alice", &later), Verdict::Denied);
}

#[test]
fn from_a_new_address_backup_codes_are_right_and_who_has_an_app_can_be_exempted() {
    let (mut host, codes) = Host::with_alice(Mode::Required);
    host.config = email(NEW);
    assert_eq!(host.verdict("alice", &current()), Verdict::Denied);
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Granted);
    let host = with_app(EXEMPTING);
    assert_eq!(host.verdict("alice", &current()), Verdict::Granted);
}

#[test]
fn the_address_of_an_organisation_serves_for_new_addresses_and_for_nothing_else() {
    let host = from_the_first_day(NEW);
    host.manage(Action::Add(Box::new(device())), &mut nobody());
    host.letters.borrow_mut().clear();
    let mut person = Person::new(&host, &["", "<mail>"]);
    assert_eq!(person.login("alice", HOME).verdict, Verdict::Granted);
    let mut person = Person::new(&host, &["", "?", "e-mail", "000000"]);
    person.login("alice", HOME);
    assert_eq!(letters(&host), 1, "known here by now");
}

#[test]
fn an_address_is_verified_by_a_code_that_survives_leaving_and_coming_back() {
    let host = with_app("");
    let mut person = Person::new(&host, &["not an address", "-f@example.org", ADDRESS]);
    let Reply::Failed(failure) = person.manage(mailbox()) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Usage, "nobody answers any more");
    assert_eq!(person.prompts()[..3], ["E-mail address: "; 3]);
    assert_eq!(person.prompts()[3], "The code that was sent to alice@example.org: ");
    assert_eq!(status(&host).devices.len(), 1);
    let code = mailed(&host);
    host.now.set(NOW + 7_199);
    let mut person = Person::new(&host, &[ADDRESS, &wrong(&code), "12345", &code]);
    let Reply::Added(added) = person.manage(mailbox()) else { panic!() };
    assert_eq!((added.label.as_str(), added.kind), ("e-mail", DeviceKind::Email));
    assert!(added.secret.expose().is_empty() && added.uri.expose().is_empty());
    assert_eq!(letters(&host), 1, "the first one was still good");
    assert!(person.was_told("A code was sent already."));
    assert!(person.was_told("That code is not right.") && person.was_told("A code has 6 digits."));
}

#[test]
fn after_a_mail_that_failed_nobody_is_told_that_a_code_was_sent() {
    let host = with_app("");
    host.unsendable.set(true);
    let mut person = Person::new(&host, &[ADDRESS]);
    let Reply::Failed(failure) = person.manage(mailbox()) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Unusable);
    host.unsendable.set(false);
    let mut person = Person::new(&host, &[ADDRESS, "<mail>"]);
    assert!(matches!(person.manage(mailbox()), Reply::Added(_)));
    assert!(!person.was_told("A code was sent already."));
    assert_eq!(letters(&host), 1);
}

#[test]
fn a_code_for_one_address_verifies_no_other_and_dies_after_two_hours() {
    let host = with_app("");
    Person::new(&host, &[ADDRESS]).manage(mailbox());
    let code = mailed(&host);
    let mut person = Person::new(&host, &["eve@example.org", &code]);
    assert!(matches!(person.manage(mailbox()), Reply::Failed(_)));
    assert!(person.was_told("That code is not right."));
    host.now.set(NOW + 7_200);
    let mut person = Person::new(&host, &[ADDRESS, &code, "<mail>"]);
    assert!(matches!(person.manage(mailbox()), Reply::Added(_)));
    assert_eq!(letters(&host), 2);
    // It is no code for a login, and the other way round.
    let code = mailed(&host);
    assert_eq!(host.verdict("alice", &code), Verdict::Denied);
}

#[test]
fn five_wrong_answers_end_a_verification_and_mails_to_strangers_are_bounded() {
    let host = with_app("");
    let answers = [ADDRESS, "<wrong>", "<wrong>", "<wrong>", "<wrong>", "<wrong>"];
    let Reply::Failed(failure) = Person::new(&host, &answers).manage(mailbox()) else { panic!() };
    assert_eq!(
        (failure.kind, failure.error.as_str()),
        (FailureKind::Refused, "no right code was given")
    );
    let Reply::Failed(failure) = Person::new(&host, &[ADDRESS]).manage(mailbox()) else { panic!() };
    assert!(failure.error.starts_with("too many codes were wrong"), "{}", failure.error);
    let host = with_app("");
    let answers = [ADDRESS, "", "", "", "", ""];
    let Reply::Failed(failure) = Person::new(&host, &answers).manage(mailbox()) else { panic!() };
    assert!(failure.error.starts_with("too many mails were sent"), "{}", failure.error);
    assert_eq!(letters(&host), 5);
}

#[test]
fn mails_that_a_clock_which_ran_ahead_has_noted_keep_nobody_from_a_verification_for_ever() {
    let host = with_app("");
    host.now.set(NOW + 365 * 86_400);
    Person::new(&host, &[ADDRESS, "", "", "", "", ""]).manage(mailbox());
    assert_eq!(letters(&host), 5);
    for now in [NOW, NOW + 3_599] {
        host.now.set(now);
        let reply = Person::new(&host, &[ADDRESS]).manage(mailbox());
        let Reply::Failed(failure) = reply else { panic!() };
        assert!(failure.error.starts_with("too many mails were sent"), "{}", failure.error);
    }
    host.now.set(NOW + 3_600);
    let mut person = Person::new(&host, &[ADDRESS, "<mail>"]);
    assert!(matches!(person.manage(mailbox()), Reply::Added(_)));
}

#[test]
fn a_mailbox_needs_a_sender_and_takes_no_options_and_a_mailer_that_fails_is_told_with_a_hint() {
    let (host, _) = Host::with_alice(Mode::Required);
    let add = |host: &Host, action: Action| match Person::new(host, &[ADDRESS]).manage(action) {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    };
    assert!(add(&host, mailbox()).error.contains("no mail is sent from this host"));
    let host = with_app("");
    for alter in [
        (|device: &mut NewDevice| device.digits = Some(8)) as fn(&mut NewDevice),
        |device| device.confirm = false,
        |device| device.period = Some(30),
        |device| device.secret = Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into()),
    ] {
        let Action::Add(mut device) = mailbox() else { panic!() };
        alter(&mut device);
        assert_eq!(add(&host, Action::Add(device)).kind, FailureKind::Usage);
    }
    host.unsendable.set(true);
    let failure = add(&host, mailbox());
    assert_eq!(failure.kind, FailureKind::Unusable);
    assert!(!failure.hint.is_empty());
}

#[test]
fn a_mailbox_can_be_the_first_device_and_its_owner_changes_the_record_by_its_codes() {
    let mut host = Host::new(Mode::Required);
    host.config = email("");
    *host.caller.borrow_mut() = alice();
    let Reply::Added(added) =
        Person::new(&host, &["password", ADDRESS, "<mail>"]).manage(mailbox())
    else {
        panic!()
    };
    assert_eq!(added.backup_codes.len(), 10);
    assert!(status(&host).devices[0].default);
    let remove = || Action::Remove { label: "e-mail".to_owned() };
    let mut person = Person::new(&host, &["password", "000000"]);
    assert!(matches!(person.manage(remove()), Reply::Failed(_)));
    let mut person = Person::new(&host, &["password", "", "<mail>"]);
    assert!(matches!(person.manage(remove()), Reply::Done { .. }));
    assert!(status(&host).devices.is_empty());
}

#[test]
fn what_is_altered_is_told_by_mail_to_the_addresses_that_were_there_before() {
    let host = with_both("");
    let done = |action: Action| {
        host.letters.borrow_mut().clear();
        let reply = host.manage(action, &mut nobody());
        assert!(!matches!(reply, Reply::Failed(_)), "{reply:?}");
        host.letters.borrow().clone()
    };
    let told = done(Action::NewCodes);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, ADDRESS);
    assert!(told[0].1.starts_with("alice: new backup codes were made by root."), "{}", told[0].1);
    assert!(done(Action::Status).is_empty());
    let told = done(Action::Remove { label: "e-mail".to_owned() });
    assert!(told[0].1.contains("was removed by root"), "{}", told[0].1);
    assert!(done(Action::NewCodes).is_empty(), "no address is known any more");
    // A mailer that fails does not keep anything from being done.
    let host = with_both("");
    host.unsendable.set(true);
    assert!(matches!(host.manage(Action::NewCodes, &mut nobody()), Reply::NewCodes { .. }));
}
