//! Self-service that is broken off: by the person, by a signal, by the end of a process in the middle.
//! The old state holds or the new one, and logins go on.

use mfa_tests::codes::{Backup, Device};
use mfa_tests::listener::Listener;
use mfa_tests::pam::Attempt;
use mfa_tests::person::{self, BACKUP_CODE, FIRST_CODE, KEPT, LABEL, OWN_CODE, PASSWORD};
use mfa_tests::traced::{SOCKET, Traced};
use mfa_tests::waiting::until;
use mfa_tests::{Host, Person, Pty, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
/// What the guided enrolment of a first device asks, in this order.
const QUESTIONS: [&str; 4] = [PASSWORD, LABEL, FIRST_CODE, KEPT];
const NEW_LABEL: &str = "A name for the device [phone 2]: ";
const REPLACE: &str = "There is a device \"phone\" already. Replace it? [y/N] ";
/// What it asks of who replaces the phone.
const QUESTIONS_OF_A_REPLACEMENT: [&str; 5] = [PASSWORD, OWN_CODE, NEW_LABEL, REPLACE, FIRST_CODE];

fn host() -> Running {
    let host = Host::new().user("alice", "rabbit hole").config(REQUIRED);
    host.pam("code", "auth required pam_mfa.so\n").pam_example("sshd", "sshd").start()
}

fn alice(host: &Running) -> Person<'_> {
    Person::new(host, "alice", "rabbit hole")
}

/// Answers until that question stands there. `own` is what is given where a code of one's own is
/// asked for.
#[track_caller]
fn go_to(tty: &mut Pty, questions: &[&str], question: &str, own: &mut Device) {
    for next in questions {
        let shown = tty.expect(next);
        if *next == question {
            return;
        }
        let answer = match *next {
            PASSWORD => "rabbit hole".to_owned(),
            OWN_CODE => own.code(),
            NEW_LABEL => "phone".to_owned(),
            REPLACE => "y".to_owned(),
            FIRST_CODE => Device::totp(&person::key_in(&shown)).code(),
            _ => String::new(),
        };
        tty.send_line(&answer);
    }
}

/// A token of alice's beside her phone, whose codes do not run out. They are longer than the phone's, so that
/// none of those is one of these by chance.
fn token(host: &Running) -> Device {
    host.enrol_with("alice", &["hotp", "--label", "token", "--digits", "8"]).device
}

/// alice with a phone and a token, who sets about replacing the phone, guided.
struct Replacing<'a> {
    alice: Person<'a>,
    host: &'a Running,
    secret: String,
    token: Device,
}

impl<'a> Replacing<'a> {
    fn new(host: &'a Running) -> Self {
        let secret = host.enrol("alice").device.secret;
        Self { alice: alice(host), host, secret, token: token(host) }
    }

    /// A terminal on which that question stands.
    #[track_caller]
    fn at(&mut self, question: &str) -> Pty {
        let mut tty = self.alice.setup(&[]);
        go_to(&mut tty, &QUESTIONS_OF_A_REPLACEMENT, question, &mut self.token);
        tty
    }

    /// She must have what she had.
    #[track_caller]
    fn unchanged(&self, question: &str) {
        assert_eq!(self.alice.devices(), ["phone*", "token"], "{question}");
        assert_eq!(key(self.host), self.secret, "{question}");
    }

    #[track_caller]
    fn log_in(&mut self) {
        log_in(self.host, &self.token.code());
    }
}

#[track_caller]
fn log_in(host: &Running, code: &str) {
    assert_eq!(Attempt::new("code", "alice").answer(code).run(host).code(), "PAM_SUCCESS");
}

/// The key of alice's phone, as root can see it.
#[track_caller]
fn key(host: &Running) -> String {
    let argv = ["mfa-setup", "show-key", "phone", "--user", "alice", "--json"];
    host.run(&argv).json()["secret"].as_str().unwrap().to_owned()
}

/// Waits until nobody is served any more.
fn wait_for_silence(host: &Running) {
    let ours = "pgrep -x 'mfa-setup|mfa-reauth|strace' || pgrep -f -x mfa-verifier";
    until("nothing runs", || host.run(&["sh", "-c", ours]).code == Some(1));
}

#[test]
fn giving_up_at_any_question_changes_nothing() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let nobody = &mut Device::totp("");
    let mut times = 0;
    for question in QUESTIONS {
        for keys in ["\x03", "\x04", "123\x03"] {
            let mut tty = alice.setup(&[]);
            go_to(&mut tty, &QUESTIONS, question, nobody);
            tty.send(keys);
            tty.expect("mfa-setup: error: interrupted");
            assert_eq!(person::exit(&mut tty), 130, "{question} {keys:?}");
            times += 1;
        }
    }
    assert!(!host.path("/var/lib/pam_mfa").exists(), "not even a store was made");
    let mut replacing = Replacing::new(&host);
    for question in QUESTIONS_OF_A_REPLACEMENT {
        let mut tty = replacing.at(question);
        tty.send("\x03");
        tty.expect("mfa-setup: error: interrupted");
        assert_eq!(person::exit(&mut tty), 130, "{question}");
        replacing.unchanged(question);
        times += 1;
    }
    replacing.log_in();
    wait_for_silence(&host);
    println!("gave up {times} times");
}

#[test]
fn a_signal_at_any_question_leaves_a_terminal_that_echoes() {
    let host = host();
    let _listener = host.listen_for_users();
    let mut replacing = Replacing::new(&host);
    for question in QUESTIONS_OF_A_REPLACEMENT {
        for signal in ["TERM", "HUP", "INT", "QUIT"] {
            let mut tty = replacing.at(question);
            host.shell(&format!("kill -{signal} $(pgrep -x mfa-setup)"));
            // It says whether the terminal is as it was.
            assert_ne!(person::exit(&mut tty), 0, "{question} {signal}");
        }
        replacing.unchanged(question);
    }
    replacing.log_in();
    wait_for_silence(&host);
}

#[test]
fn a_terminal_that_is_closed_at_any_question_changes_nothing() {
    let host = host();
    let _listener = host.listen_for_users();
    let mut replacing = Replacing::new(&host);
    for question in QUESTIONS_OF_A_REPLACEMENT {
        drop(replacing.at(question));
        wait_for_silence(&host);
        replacing.unchanged(question);
    }
    replacing.log_in();
}

#[test]
fn a_verifier_that_is_killed_at_any_question_changes_nothing() {
    let host = host();
    let listener = host.listen_for_users();
    let alice = alice(&host);
    let told = |tty: &mut Pty, what: &str| {
        // It is the answer that finds nobody.
        tty.send_line("");
        tty.expect(what);
        tty.expect("mfa-setup: hint: ");
        assert_eq!(person::exit(tty), 3);
    };
    let gone = "mfa-setup: error: the verifier cannot be used: ";
    let kill = |listener: &Listener| host.shell(&format!("kill -KILL {}", listener.serving()));
    let nobody = &mut Device::totp("");
    for question in QUESTIONS {
        let mut tty = alice.setup(&[]);
        go_to(&mut tty, &QUESTIONS, question, nobody);
        kill(&listener);
        told(&mut tty, gone);
        wait_for_silence(&host);
    }
    assert!(!host.path("/var/lib/pam_mfa").exists(), "not even a store was made");
    let mut replacing = Replacing::new(&host);
    for question in QUESTIONS_OF_A_REPLACEMENT {
        let mut tty = replacing.at(question);
        kill(&listener);
        replacing.log_in();
        told(&mut tty, gone);
        replacing.unchanged(question);
    }
    // The program that asks PAM is another one.
    let mut tty = alice.setup(&[]);
    tty.expect(PASSWORD);
    host.shell("kill -KILL $(pgrep -x mfa-reauth)");
    told(&mut tty, "mfa-setup: error: mfa-reauth: ");
    wait_for_silence(&host);
    alice.change(&["default", "token"], &replacing.token.code());
    replacing.log_in();
}

#[test]
fn who_is_being_served_is_served_to_the_end_when_the_listener_ends() {
    let host = host();
    let listener = host.listen_for_users();
    let alice = alice(&host);
    let mut tty = alice.setup_with_password(&[]);
    tty.expect(LABEL);
    assert_eq!(listener.stop(), Some(0));
    assert_eq!(alice.run(&["mfa-setup", "status"]).code, Some(3));
    tty.send_line("");
    let mut phone = person::app(&mut tty);
    tty.send_line(&phone.code());
    let sheet = person::sheet(&mut tty);
    tty.send_line(&sheet[0]);
    assert_eq!(person::exit(&mut tty), 0);
    log_in(&host, &phone.code());
    let _listener = host.listen_for_users();
    assert_eq!(alice.devices(), ["phone*"]);
}

#[test]
fn a_first_enrolment_that_is_killed_is_there_or_not() {
    // One backup code: hashing ten would take most of the test's time.
    let policy = format!("{REQUIRED}[backup_codes]\ncount = 1\n");
    let host = Host::new().user("alice", "rabbit hole").user("bob", "builder").config(&policy);
    let host = host.pam("code", "auth required pam_mfa.so\n").start();
    let mut bobs = host.enrol_with("bob", &["hotp"]).device;
    kill_at_each_call(&host, &[], &["pwrite64", "fsync", "rename", "sendto"], |tty| {
        let mut phone = None;
        let exit = answer_all(tty, &QUESTIONS, |question, shown| match question {
            PASSWORD => "rabbit hole".to_owned(),
            FIRST_CODE => phone.insert(Device::totp(&person::key_in(shown))).code(),
            KEPT => person::numbered(shown).remove(0),
            _ => String::new(),
        });
        let devices = alice(&host).devices_as_root();
        assert!(devices.is_empty() || devices == ["phone*"], "{devices:?}");
        if let Some(phone) = phone.filter(|_| !devices.is_empty()) {
            assert_eq!(key(&host), phone.secret);
            log_in(&host, &phone.code_at_step(phone.step() + 1));
        }
        let attempt = Attempt::new("code", "bob").answer(bobs.code()).run(&host);
        assert_eq!(attempt.code(), "PAM_SUCCESS");
        host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
        (exit, !devices.is_empty())
    });
}

#[test]
fn a_replacement_that_is_killed_leaves_the_old_device_or_the_new_one() {
    let host = host();
    let mut before = host.enrol("alice").device.secret;
    let mut token = token(&host);
    kill_at_each_call(&host, &[], &["pwrite64", "fdatasync", "sync_file_range", "sendto"], |tty| {
        let mut secret = None;
        let exit = answer_all(tty, &QUESTIONS_OF_A_REPLACEMENT, |question, shown| match question {
            PASSWORD => "rabbit hole".to_owned(),
            OWN_CODE => token.code(),
            NEW_LABEL => "phone".to_owned(),
            REPLACE => "y".to_owned(),
            _ => {
                let mut new = Device::totp(&person::key_in(shown));
                secret = Some(new.secret.clone());
                new.code()
            }
        });
        settle(&host, &mut token);
        let devices = alice(&host).devices_as_root();
        assert!(["phone*", "token"].iter().all(|label| devices.contains(&(*label).to_owned())));
        assert_eq!(devices.len(), 2, "{devices:?}");
        let after = key(&host);
        let changed = secret.as_ref() == Some(&after);
        assert!(changed || after == before, "neither the old key nor the new one");
        before = after;
        (exit, changed)
    });
}

#[test]
fn new_backup_codes_that_are_killed_in_the_making_leave_the_old_ones_or_are_there() {
    let policy = format!("{REQUIRED}[backup_codes]\ncount = 2\n");
    let host = Host::new().user("alice", "rabbit hole").config(&policy);
    let host = host.pam("code", "auth required pam_mfa.so\n").start();
    let mut backup = host.enrol("alice").backup;
    let mut token = token(&host);
    log_in(&host, &backup.code());
    let command = ["codes", "new", "--yes", "--output", "/home/alice/page"];
    kill_at_each_call(&host, &command, &["fdatasync", "pwrite64", "sendto"], |tty| {
        let exit = answer_all(tty, &[PASSWORD, OWN_CODE], |question, _| match question {
            PASSWORD => "rabbit hole".to_owned(),
            _ => token.code(),
        });
        settle(&host, &mut token);
        let argv = ["mfa-setup", "status", "--user", "alice", "--json"];
        let left = host.run(&argv).json()["backup_codes_left"].as_u64().unwrap();
        // Of the old ones one is left, and both of the new ones.
        assert!([1, 2].contains(&left), "{left}");
        // Nothing is left of a page that could not be written.
        let pages = host.shell("cd /home/alice; ls -A; cat page 2>/dev/null || true; rm -f page");
        assert_eq!(pages.starts_with("page\n"), exit == 0, "{pages}");
        if left == 1 {
            log_in(&host, &backup.code());
        } else if exit == 0 {
            log_in(&host, &person::numbered(&pages)[0]);
        }
        // As it was before, for the next round.
        let argv = ["mfa-setup", "codes", "new", "--yes", "--user", "alice", "--json"];
        backup = Backup::new(host.run(&argv).json()["backup_codes"].as_array().unwrap());
        log_in(&host, &backup.code());
        (exit, left == 2)
    });
}

#[test]
fn a_removal_that_is_killed_has_happened_or_not() {
    let host = host();
    host.enrol("alice");
    let mut token = token(&host);
    let command = ["remove", "phone", "--yes"];
    kill_at_each_call(&host, &command, &["fdatasync", "pwrite64", "sendto"], |tty| {
        let exit = answer_all(tty, &[PASSWORD, OWN_CODE], |question, _| match question {
            PASSWORD => "rabbit hole".to_owned(),
            _ => token.code(),
        });
        let at_first = alice(&host).devices_as_root();
        settle(&host, &mut token);
        let devices = alice(&host).devices_as_root();
        let removed = devices == ["token*"];
        assert!(at_first == devices || removed, "it was there again: {devices:?}");
        if removed {
            host.enrol("alice");
        } else {
            assert_eq!(devices.len(), 2, "{devices:?}");
        }
        (exit, removed)
    });
}

#[test]
fn a_second_device_that_is_killed_in_the_adding_is_there_or_not() {
    let host = host();
    let phone = host.enrol("alice").device.secret;
    let mut token = token(&host);
    let command = ["add", "totp", "--label", "tablet"];
    kill_at_each_call(&host, &command, &["fdatasync", "pwrite64", "sendto"], |tty| {
        let mut tablet = None;
        let exit =
            answer_all(tty, &[PASSWORD, OWN_CODE, FIRST_CODE], |question, shown| match question {
                PASSWORD => "rabbit hole".to_owned(),
                OWN_CODE => token.code(),
                _ => tablet.insert(Device::totp(&person::key_in(shown))).code(),
            });
        settle(&host, &mut token);
        let devices = alice(&host).devices_as_root();
        let added = devices == ["phone*", "token", "tablet"];
        assert!(added || devices == ["phone*", "token"], "{devices:?}");
        assert_eq!(key(&host), phone);
        if added {
            // What confirmed it is used.
            log_in(&host, &tablet.expect("its key was shown").code());
            host.run(&["mfa-setup", "remove", "tablet", "--user", "alice", "--yes"]).ok();
        }
        (exit, added)
    });
}

#[test]
fn a_default_that_is_killed_in_the_setting_is_the_new_one_or_the_old_one() {
    let host = host();
    host.enrol("alice");
    let mut token = token(&host);
    let command = ["default", "token"];
    kill_at_each_call(&host, &command, &["fdatasync", "pwrite64", "sendto"], |tty| {
        let exit = answer_all(tty, &[PASSWORD, OWN_CODE], |question, _| match question {
            PASSWORD => "rabbit hole".to_owned(),
            _ => token.code(),
        });
        settle(&host, &mut token);
        let devices = alice(&host).devices_as_root();
        let set = devices == ["phone", "token*"];
        assert!(set || devices == ["phone*", "token"], "{devices:?}");
        host.run(&["mfa-setup", "default", "phone", "--user", "alice", "--yes"]).ok();
        (exit, set)
    });
}

#[test]
fn a_resynchronisation_that_is_killed_has_happened_or_not() {
    const QUESTIONS: [&str; 5] =
        [PASSWORD, BACKUP_CODE, FIRST_CODE, "The one after it: ", "And the one after that: "];
    let policy = format!("{REQUIRED}[backup_codes]\ncount = 1\n");
    let host = Host::new().user("alice", "rabbit hole").config(&policy);
    let host = host.pam("code", "auth required pam_mfa.so\n").start();
    let enrolled = host.enrol("alice");
    let (phone, mut backup) = (enrolled.device, enrolled.backup);
    let mut token = token(&host);
    // Each time its clock is further ahead than it was brought back from before.
    let mut ahead = phone.step() + 120;
    let command = ["test", "phone", "--resync"];
    kill_at_each_call(&host, &command, &["fdatasync", "pwrite64", "sendto"], |tty| {
        ahead += 10;
        let mut row = ahead..;
        let exit = answer_all(tty, &QUESTIONS, |question, _| match question {
            PASSWORD => "rabbit hole".to_owned(),
            BACKUP_CODE => backup.code(),
            _ => phone.code_at_step(row.next().unwrap()),
        });
        settle(&host, &mut token);
        let next = phone.code_at_step(ahead + 3);
        let moved = Attempt::new("code", "alice").answer(next).run(&host).code() == "PAM_SUCCESS";
        // As it was before, for the next round.
        let argv = ["mfa-setup", "codes", "new", "--yes", "--user", "alice", "--json"];
        backup = Backup::new(host.run(&argv).json()["backup_codes"].as_array().unwrap());
        settle(&host, &mut token);
        (exit, moved)
    });
}

/// Logs in. What was being written when the verifier was killed is there for good after that, or is
/// not: a look at the record alone does not bring about which.
#[track_caller]
fn settle(host: &Running, token: &mut Device) {
    log_in(host, &token.code());
}

/// Does something with each of these calls as the verifier's last one. `attempt` gets the terminal and
/// says how it ended and whether the change is there afterwards.
fn kill_at_each_call(
    host: &Running,
    command: &[&str],
    calls: &[&str],
    mut attempt: impl FnMut(&mut Pty) -> (i32, bool),
) {
    let alice = alice(host);
    let (mut kills, mut kept) = (0, 0);
    for call in calls {
        for number in 1..=60 {
            let option = format!("inject={call}:signal=KILL:when={number}");
            let traced = Traced::start(host, &["-e", &format!("trace={call}"), "-e", &option]);
            host.set_mode(SOCKET, 0o666);
            let mut tty = alice.setup(&[command, &["--socket", SOCKET]].concat());
            let (exit, changed) = attempt(&mut tty);
            traced.end();
            if exit == 0 {
                assert!(changed, "{option}: answered and lost");
                break;
            }
            assert_eq!(exit, 3, "{option}: {}", tty.text());
            assert!(tty.text().contains("mfa-setup: error: "), "{}", tty.text());
            assert_ne!(number, 60, "{call} is the last call each time");
            (kills, kept) = (kills + 1, kept + usize::from(changed));
        }
    }
    println!("{command:?}: killed {kills} times, {kept} of them after it was saved");
    assert!(kills > 5 && kept > 0 && kept < kills);
}

/// Answers one question after another until the command has ended: its exit code.
fn answer_all(
    tty: &mut Pty,
    questions: &[&str],
    mut answer: impl FnMut(&str, &str) -> String,
) -> i32 {
    for question in questions {
        let (which, shown) = tty.expect_any(&[question, "exit "]);
        if which == 1 {
            return tty.expect(", terminal as before").parse().unwrap();
        }
        tty.send_line(&answer(question, &shown));
    }
    person::exit(tty)
}
