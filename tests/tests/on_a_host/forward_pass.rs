//! `forward_pass`: password and code at one question, and no code is judged without the password.

use std::path::Path;

use mfa_tests::USED;
use mfa_tests::pam::{self, Attempt, Call, Function, Plan, Report, SILENT, Shown, Style, Text};
use mfa_tests::{Device, Host, Running, readme};

const BOTH: &str = "Password and verification code: ";
const CODE: &str = "Verification code: ";
const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";

const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

/// The ways of sshd to ask.
const QUESTIONS: &str = "AuthenticationMethods keyboard-interactive\n";
const PASSWORD_ONLY: &str = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n";

const SPLITS: &str = "auth required pam_mfa.so forward_pass\n";
const UNIX: &str = "auth requisite pam_unix.so use_first_pass nodelay\n";
const JUDGES: &str = "auth required pam_mfa.so\n";

/// The lines of the example, `arguments` on the one that splits.
fn stack(arguments: &str) -> String {
    format!("auth required pam_mfa.so forward_pass {arguments}\n{UNIX}{JUDGES}")
}

/// Alice and bob have passwords, and sshd is set up by the example.
fn over_ssh(policy: &str, sshd: &str) -> Running {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(policy)
        .pam_example("sshd", "sshd-forward-pass")
        .sshd(sshd)
        .start();
    // Refusals come at once, and the log is as talkative as it can be.
    host.shell("sed -i 's/try_first_pass/& nodelay/; s/pam_mfa.so.*/& debug/' /etc/pam.d/sshd");
    host
}

/// Alice has a token, bob has none; everybody must give a code.
fn host() -> (Running, Device) {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config("[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n")
        .pam("both", &stack(""))
        .start();
    let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    (host, token)
}

/// A login of alice's.
fn log_in(host: &Running, service: &str, answers: &[&str]) -> Report {
    let mut attempt = Attempt::new(service, "alice").from("192.0.2.7");
    attempt.answers = answers.iter().map(|answer| (*answer).into()).collect();
    attempt.run(host)
}

fn ssh(host: &Running, user: &str, typed: &str) -> mfa_tests::ssh::Ended {
    host.ssh(user).methods("keyboard-interactive").open().answer(BOTH, typed).end()
}

/// A client that knows the method `password` alone, as many that copy files do.
fn ssh_by_password(host: &Running, user: &str, typed: &str) -> mfa_tests::ssh::Ended {
    host.ssh(user).methods("password").open().answer("password: ", typed).end()
}

fn status(host: &Running) -> serde_json::Value {
    host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json()
}

fn failures(host: &Running) -> u64 {
    status(host)["lockout"]["failures"].as_u64().unwrap()
}

fn nothing_in_the_log(host: &Running, secrets: &[&str]) {
    let debug = host.logged_by_now("forward_pass code_given=").len();
    assert!(debug > 0, "debug says more than this");
    for record in host.log() {
        for secret in secrets {
            assert!(!record.text.contains(secret), "{secret}: {}", record.text);
        }
    }
}

#[test]
fn one_answer_over_ssh_lets_in_and_its_code_only_once() {
    let host = over_ssh(REQUIRED, QUESTIONS);
    let mut phone = host.enrol("alice").device;
    let code = phone.code();
    let typed = format!("rabbit hole{code}");

    let ended = ssh(&host, "alice", &typed);
    assert!(!ended.text.contains(CODE) && !ended.text.contains("rabbit"), "{}", ended.text);
    ended.let_in("alice");
    let line = host.wait_for_log("pam_mfa: outcome=granted");
    assert!(line.contains("factor=totp"), "{line}");

    let shown = ssh(&host, "alice", &typed).refused();
    assert!(shown.contains(USED) && !shown.contains(CODE), "{shown}");
    assert_eq!(failures(&host), 0);
    let next = phone.code();
    ssh(&host, "alice", &format!("rabbit hole{next}")).let_in("alice");
    nothing_in_the_log(&host, &["rabbit", &code, &next]);
}

#[test]
fn a_client_that_can_only_give_a_password_gets_in_with_a_code_behind_it() {
    let host = over_ssh(OPTIONAL, PASSWORD_ONLY);
    let enrolled = host.enrol("alice");
    let (mut phone, mut backup) = (enrolled.device, enrolled.backup);
    let code = phone.code();
    ssh_by_password(&host, "alice", &format!("rabbit hole{code}")).let_in("alice");
    host.wait_for_log("pam_mfa: outcome=granted");
    let other = backup.code();
    ssh_by_password(&host, "alice", &format!("rabbit hole{other}")).let_in("alice");
    host.wait_for_log("factor=backup_code");
    // Used already; wrong; none, where sshd repeats the password.
    ssh_by_password(&host, "alice", &format!("rabbit hole{code}")).refused();
    assert_eq!(failures(&host), 0);
    let wrong = phone.wrong_code();
    ssh_by_password(&host, "alice", &format!("rabbit hole{wrong}")).refused();
    assert_eq!(failures(&host), 1);
    ssh_by_password(&host, "alice", "rabbit hole").refused();
    host.wait_for_log("reason=repeats_password");
    assert_eq!(failures(&host), 1);
    ssh_by_password(&host, "alice", &phone.code()).refused();
    ssh_by_password(&host, "bob", "walrus").let_in("bob");

    for user in ["alice", "root", "carol"] {
        ssh_by_password(&host, user, &format!("looking glass{}", phone.code())).refused();
    }
    assert_eq!(failures(&host), 1);
    nothing_in_the_log(&host, &["rabbit", "walrus", "looking", &code, &other, &wrong]);
}

#[test]
fn sshd_may_offer_both_ways_of_asking() {
    // As README.md says.
    let lines = "PasswordAuthentication yes\nAuthenticationMethods keyboard-interactive password\n";
    let host = over_ssh(REQUIRED, lines);
    host.make_key("alice");
    let mut phone = host.enrol("alice").device;
    ssh(&host, "alice", &format!("rabbit hole{}", phone.code())).let_in("alice");
    ssh_by_password(&host, "alice", &format!("rabbit hole{}", phone.code())).let_in("alice");
    host.ssh("alice").key().methods("publickey").open().end().refused();
}

#[test]
fn a_backup_code_as_it_is_shown_is_split_off_and_no_other_form_of_it() {
    let host = over_ssh(REQUIRED, QUESTIONS);
    let mut backup = host.enrol("alice").backup;
    ssh(&host, "alice", &format!("rabbit hole{}", backup.code())).let_in("alice");
    host.wait_for_log("factor=backup_code");
    ssh(&host, "alice", &format!("rabbit hole{}", backup.code().to_uppercase())).let_in("alice");
    assert_eq!(status(&host)["backup_codes_left"], 8);
    // Without its dashes it is part of a password, which is wrong.
    let plain = backup.codes[0].replace('-', "");
    ssh(&host, "alice", &format!("rabbit hole{plain}")).refused();
    assert_eq!((failures(&host), status(&host)["backup_codes_left"].as_u64()), (0, Some(8)));
}

#[test]
fn the_password_alone_is_asked_the_code_behind_it() {
    let host = over_ssh(REQUIRED, QUESTIONS);
    let mut phone = host.enrol("alice").device;
    let mut session = host.ssh("alice").open();
    session.answer(BOTH, "rabbit hole").answer(CODE, &phone.code()).end().let_in("alice");
    let mut session = host.ssh("alice").open();
    session.answer(BOTH, "rabbit hole").answer(CODE, "rabbit hole").end().refused();
    host.wait_for_log("reason=repeats_password");
    let shown = ssh(&host, "alice", "looking glass").refused();
    assert!(!shown.contains(CODE), "{shown}");
}

#[test]
fn with_a_wrong_password_the_code_is_neither_judged_nor_used_up() {
    let (host, mut token) = host();
    let code = token.code();
    // Without the dbs, which a resident verifier may write later.
    let store = "find /var/lib/pam_mfa -type f ! -path '*/db/*' -exec sha256sum {} + | sort";
    let before = host.shell(store);
    for password in ["looking glass", "", "rabbit hole ", "rabbit hol"] {
        let report = log_in(&host, "both", &[&format!("{password}{code}")]);
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{password}");
        assert_eq!(report.asked(), [BOTH], "{password}");
        assert!(report.changed.is_empty(), "{:?}", report.changed);
    }
    assert_eq!(host.logged_by_now("pam_mfa: outcome=").len(), 0, "no verifier was asked");
    assert_eq!(host.shell(store), before);
    assert_eq!(log_in(&host, "both", &[&format!("rabbit hole{code}")]).code(), "PAM_SUCCESS");
}

#[test]
fn who_has_no_password_tries_no_code() {
    let (host, mut token) = host();
    // Right codes, wrong codes and backup codes, behind passwords that are wrong.
    let mut codes = token.codes(50);
    codes.extend(std::iter::repeat_n(token.wrong_code(), 25));
    codes.extend(std::iter::repeat_n("kkkkk-kkkkk-kkkkk".to_owned(), 25));
    let attempts = codes.iter().enumerate().map(|(number, code)| {
        Attempt::new("both", "alice").from("192.0.2.7").answer(format!("guess {number}{code}"))
    });
    let reports = pam::run(&host, &Plan { attempts: attempts.collect(), ..Plan::default() });
    assert_eq!(reports.len(), 100);
    assert!(reports.iter().all(|report| report.code() == "PAM_AUTH_ERR"));
    assert_eq!(failures(&host), 0);
    assert_eq!(host.logged_by_now("pam_mfa: outcome=").len(), 0);
    let first = format!("rabbit hole{}", codes[0]);
    assert_eq!(log_in(&host, "both", &[&first]).code(), "PAM_SUCCESS");
}

#[test]
fn a_wrong_code_behind_the_right_password_is_charged_once_and_asked_for_no_more() {
    let (host, token) = host();
    let typed = format!("rabbit hole{}", token.wrong_code());
    // There are answers for more questions than one.
    let report = log_in(&host, "both", &[&typed, &typed, &typed]);
    assert_eq!((report.code(), report.asked()), ("PAM_AUTH_ERR", vec![BOTH]));
    assert_eq!(failures(&host), 1);
    host.wait_for_log("reason=wrong_code");
}

#[test]
fn nobody_learns_from_the_questions_who_exists_or_is_enrolled() {
    let (host, token) = host();
    let code = token.wrong_code();
    for typed in [format!("looking glass{code}"), "looking glass".into(), code, String::new()] {
        let attempts = ["alice", "bob", "carol", "root"]
            .map(|user| Attempt::new("both", user).answer(typed.as_str()));
        let plan = Plan { attempts: attempts.to_vec(), ..Plan::default() };
        for report in pam::run(&host, &plan) {
            assert_ne!(report.code(), "PAM_SUCCESS", "{typed:?}");
            assert_eq!(
                report.shown,
                [Shown { style: Style::Hidden, text: BOTH.into() }],
                "{typed:?}"
            );
        }
    }
    // Over ssh, where the password of who does not exist is replaced by one that is wrong.
    let host = over_ssh(REQUIRED, QUESTIONS);
    host.enrol("alice");
    let refused = |user: &str| ssh(&host, user, "looking glass123456").refused();
    assert_eq!(refused("alice"), refused("carol").replace("carol", "alice"));
    // Behind a right password: enrolled or not, it is one refusal.
    let shown = |user: &str, password: &str| {
        ssh(&host, user, &format!("{password}000007")).refused().replace(user, "somebody")
    };
    assert_eq!(shown("alice", "rabbit hole"), shown("bob", "walrus"));
}

#[test]
fn codes_of_other_lengths_are_split_off_where_the_line_says_so() {
    let (host, _) = host();
    host.write("/etc/pam.d/eight", stack("digits=8"));
    let mut long = host.enrol_with("alice", &["hotp", "--label", "long", "--digits", "8"]).device;
    let code = long.code();
    assert_eq!(code.len(), 8);
    let typed = format!("rabbit hole{code}");
    // Two digits of eight belong to a password that is then wrong.
    assert_eq!(log_in(&host, "both", &[&typed]).code(), "PAM_AUTH_ERR");
    assert_eq!(log_in(&host, "eight", &[&typed]).code(), "PAM_SUCCESS");
    assert_eq!(failures(&host), 0);

    for arguments in ["forward_pass digits=5", "forward_pass digits=9", "digits=6"] {
        host.write("/etc/pam.d/refused", format!("auth required pam_mfa.so {arguments}\n"));
        let report = log_in(&host, "refused", &[&typed]);
        assert_eq!((report.code(), report.asked().len()), (UNAVAILABLE, 0), "{arguments}");
    }
}

#[test]
fn a_stack_in_which_nobody_judges_the_code_lets_nobody_in() {
    let (host, mut token) = host();
    let typed = format!("rabbit hole{}", token.code());
    let permit = "auth required pam_permit.so\n";
    host.write("/etc/pam.d/has-none", UNIX);
    host.shell("ln -s has-none /etc/pam.d/link");
    let incomplete = [
        [SPLITS, UNIX].concat(),
        [SPLITS, UNIX, permit].concat(),
        [JUDGES, SPLITS, UNIX].concat(),
        [SPLITS, UNIX, "#", JUDGES].concat(),
        [SPLITS, UNIX, "account required pam_mfa.so\n"].concat(),
        [SPLITS, "@include has-none\n"].concat(),
        [SPLITS, "auth include link\n"].concat(),
        [SPLITS, "auth substack has-none\n"].concat(),
        [SPLITS, "auth sufficient pam_unix.so use_first_pass nodelay\n"].concat(),
        "auth requisite \\\n pam_mfa.so debug \\\n forward_pass\n".to_owned() + UNIX,
    ];
    for stack in incomplete {
        host.write("/etc/pam.d/incomplete", &stack);
        let seen = host.logged_by_now("").len();
        for answer in [typed.as_str(), "rabbit hole"] {
            let report = log_in(&host, "incomplete", &[answer, answer]);
            assert_ne!(report.code(), "PAM_SUCCESS", "{stack}");
            assert!(!report.asked().contains(&BOTH), "{stack}: {:?}", report.shown);
        }
        let lines = host.logged_by_now("").split_off(seen);
        let told = "pam_mfa(incomplete:auth): error: behind the line with forward_pass there is none \
                    that judges the code; hint: add ";
        assert_eq!(lines.iter().filter(|line| line.contains(told)).count(), 2, "{lines:#?}");
    }
    // The password is set without anybody having judged it.
    host.write("/etc/pam.d/incomplete", [SPLITS, JUDGES, permit].concat());
    let report = Attempt::new("incomplete", "bob").answer("any password").run(&host);
    assert_ne!(report.code(), "PAM_SUCCESS");
    host.wait_for_log("none that judges the password");
    // Whatever has to stand there, in whichever file, is enough.
    host.write("/etc/pam.d/rest", [UNIX, JUDGES].concat());
    host.write("/etc/pam.d/complete", [SPLITS, "auth include rest\n"].concat());
    assert_eq!(log_in(&host, "complete", &[&typed]).code(), "PAM_SUCCESS");
}

/// Each of these stacks lets in without the code, where nobody looks at it: a directory of its own.
#[test]
fn a_stack_that_passes_by_the_line_that_judges_lets_nobody_in() {
    let (host, token) = host();
    let wrong = format!("rabbit hole{}", token.wrong_code());
    let sufficient = UNIX.replace("requisite", "sufficient");
    let permit = "auth required pam_permit.so\n";
    let judges = |control: &str| JUDGES.replace("required", control);
    host.shell("mkdir -p /opt/pam.d");
    for directory in ["/etc/pam.d", "/opt/pam.d"] {
        host.write(format!("{directory}/ends"), &sufficient);
        host.write(format!("{directory}/both"), [&sufficient, JUDGES].concat());
    }
    let skipped = "error: before the line that judges the code, another one ends the stack; hint: ";
    let not_counted =
        "error: the stack goes on when the line that judges the code refuses; hint: make ";
    for (stack, told) in [
        ([SPLITS, &sufficient, JUDGES].concat(), skipped),
        (
            [SPLITS, &UNIX.replace("requisite", "[success=done default=die]"), JUDGES].concat(),
            skipped,
        ),
        ([SPLITS, "@include ends\n", JUDGES].concat(), skipped),
        ([SPLITS, "auth include ends\n", JUDGES].concat(), skipped),
        ([SPLITS, "auth substack both\n"].concat(), skipped),
        ([SPLITS, UNIX, &judges("optional")].concat(), not_counted),
        ([SPLITS, UNIX, &judges("sufficient")].concat(), not_counted),
        ([SPLITS, UNIX, &judges("[success=ok default=ignore]"), permit].concat(), not_counted),
    ] {
        host.write("/opt/pam.d/elsewhere", &stack);
        let attempt = Attempt::new("elsewhere", "alice").answer(wrong.as_str());
        let unseen = Attempt { confdir: "/opt/pam.d".to_owned(), ..attempt }.run(&host);
        assert_eq!(unseen.code(), "PAM_SUCCESS", "{stack}");

        host.write("/etc/pam.d/passes-by", &stack);
        let seen = host.logged_by_now("").len();
        let report = log_in(&host, "passes-by", &[&wrong, "rabbit hole"]);
        assert_ne!(report.code(), "PAM_SUCCESS", "{stack}");
        assert!(!report.asked().contains(&BOTH), "{stack}: {:?}", report.shown);
        let lines = host.logged_by_now("").split_off(seen);
        let told = format!("pam_mfa(passes-by:auth): {told}");
        assert_eq!(lines.iter().filter(|line| line.contains(&told)).count(), 1, "{lines:#?}");
    }
}

#[test]
fn a_stack_may_be_written_in_other_ways_as_long_as_a_wrong_code_makes_it_fail() {
    let (host, mut token) = host();
    let sufficient = UNIX.replace("requisite", "sufficient");
    let deny = "auth requisite pam_deny.so\n";
    let permit = "auth required pam_permit.so\n";
    let judges = |control: &str| JUDGES.replace("required", control);
    host.write("/etc/pam.d/ends", [&sufficient, deny].concat());
    for stack in [
        [SPLITS, "auth substack ends\n", JUDGES].concat(),
        [SPLITS, "@include common-auth\n", JUDGES].concat(),
        [SPLITS, UNIX, &judges("sufficient"), deny].concat(),
        [SPLITS, UNIX, &judges("[success=1 default=ignore]"), deny, permit].concat(),
        [SPLITS, UNIX, &judges("[success=ok default=die]"), permit].concat(),
    ] {
        host.write("/etc/pam.d/other-ways", &stack);
        let wrong = format!("rabbit hole{}", token.wrong_code());
        assert_ne!(log_in(&host, "other-ways", &[&wrong]).code(), "PAM_SUCCESS", "{stack}");
        let right = format!("rabbit hole{}", token.code());
        let report = log_in(&host, "other-ways", &[&right]);
        assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec![BOTH]), "{stack}");
    }
}

#[test]
fn over_ssh_a_stack_in_which_nobody_judges_the_code_lets_nobody_in() {
    let host = over_ssh(OPTIONAL, PASSWORD_ONLY);
    let mut phone = host.enrol("alice").device;
    host.shell(
        "sed -i '/pam_mfa.so debug/d' /etc/pam.d/sshd; grep -q forward_pass /etc/pam.d/sshd",
    );
    ssh_by_password(&host, "alice", &format!("rabbit hole{}", phone.code())).refused();
    ssh_by_password(&host, "alice", "rabbit hole").refused();
    host.wait_for_log("pam_mfa(sshd:auth): error: behind the line with forward_pass there is none");
}

#[test]
fn over_ssh_a_sufficient_password_lets_nobody_in() {
    let host = over_ssh(OPTIONAL, PASSWORD_ONLY);
    let mut phone = host.enrol("alice").device;
    host.shell("sed -i 's/requisite *pam_unix/sufficient pam_unix/' /etc/pam.d/sshd");
    ssh_by_password(&host, "alice", &format!("rabbit hole{}", phone.code())).refused();
    ssh_by_password(&host, "alice", "rabbit hole").refused();
    ssh_by_password(&host, "bob", "walrus").refused();
    let line = host.wait_for_log("pam_mfa(sshd:auth): error: before the line that judges the code");
    assert!(line.contains("requisite"), "{line}");
}

/// What the module cannot look at it cannot refuse: an application that reads its stack from a
/// directory of its own (`pam_start_confdir`) is on its own, and the log says so.
#[test]
fn a_stack_that_is_not_in_pam_d_is_used_and_the_log_says_that_nobody_looked_at_it() {
    let (host, mut token) = host();
    let elsewhere = |service: &str, user: &str, answer: &str| {
        let attempt = Attempt::new(service, user).answer(answer);
        Attempt { confdir: "/opt/pam.d".to_owned(), ..attempt }.run(&host).code().to_owned()
    };
    host.write("/opt/pam.d/own", stack(""));
    let typed = format!("rabbit hole{}", token.code());
    assert_eq!(elsewhere("own", "alice", &typed), "PAM_SUCCESS");
    let warning = "pam_mfa(own:auth): warning: the stack of service own is not known: ";
    let line = host.wait_for_log(warning);
    assert!(line.contains("its file cannot be read; hint: "), "{line}");
    let record = host.log().into_iter().find(|record| record.text == line).unwrap();
    assert_eq!(record.severity, 4, "LOG_WARNING");

    host.write("/opt/pam.d/own", [SPLITS, UNIX].concat());
    assert_eq!(elsewhere("own", "alice", "rabbit hole"), "PAM_SUCCESS", "the password alone");
    assert_eq!(host.logged_by_now(warning).len(), 2);

    // Nor does what others can write say anything, wherever it leads, nor what never ends.
    host.shell(&format!(
        "mkdir /home/alice/d; printf '{SPLITS}' > /home/alice/d/x; chown -R alice /home/alice/d
         cd /etc/pam.d
         ln -s /home/alice/d/x a; cp -p /home/alice/d/x b; mkfifo c; mkdir d; ln -s e e
         printf '{SPLITS}' > f; chmod 666 f; ln -s /dev/zero g
         yes '# nothing' | head -c 100000 > h; printf '{SPLITS}' >> h
         printf '@include i\n@include i\n{SPLITS}@include i\n' > i
         printf '{SPLITS}@include c\n' > j; printf '{SPLITS}auth include ../../home/alice/d/x\n' > k
         printf '{UNIX}{JUDGES}' > l; printf '{SPLITS}auth include /home/alice/d/x\n' > m"
    ));
    for service in
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n o", "\u{e4}"]
    {
        host.write(Path::new("/opt/pam.d").join(service), stack(""));
        let typed = format!("rabbit hole{}", token.code());
        assert_eq!(elsewhere(service, "alice", &typed), "PAM_SUCCESS", "{service}");
        host.wait_for_log(&format!("the stack of service {service} is not known"));
    }
}

#[test]
fn who_need_not_give_a_code_gets_in_with_the_password() {
    let host = over_ssh(OPTIONAL, QUESTIONS);
    host.enrol("alice");
    ssh(&host, "bob", "walrus").let_in("bob");
    host.wait_for_log("outcome=exempt user=\"bob\"");
    // A code behind it makes no difference, as long as it has the shape of one.
    ssh(&host, "bob", "walrus123456").let_in("bob");
    ssh(&host, "bob", "walruskkkkk-kkkkk-kkkkk").let_in("bob");
    ssh(&host, "bob", "walrus12345").refused();
    // What is typed there and is no password is no first factor either: that is asked for.
    for typed in ["123456", ""] {
        let by_himself = || host.ssh("bob").methods("keyboard-interactive").open();
        by_himself().answer(BOTH, typed).answer("Password: ", "walrus").end().let_in("bob");
        by_himself().answer(BOTH, typed).answer("Password: ", "123456").end().refused();
    }
}

#[test]
fn one_line_before_the_usual_ones_is_enough_and_can_be_taken_out_again() {
    // As README.md has it: the lines of Debian's own file, with ours around common-auth.
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd(QUESTIONS)
        .start();
    let mut phone = host.enrol("alice").device;
    let command = "sed -i '/^@include common-auth/i auth       required     pam_mfa.so forward_pass' \
                   /etc/pam.d/sshd";
    assert!(readme::README.contains(&format!("\n# {command}\n")));
    host.shell(command);
    ssh(&host, "alice", &format!("rabbit hole{}", phone.code())).let_in("alice");
    ssh(&host, "alice", &format!("looking glass{}", phone.code())).refused();
    assert_eq!(failures(&host), 0);

    // The way out of README.md, from this stack and from the example.
    let ways_out = |host: &Running| {
        host.shell(r"sed -i '/^[^#].*pam_mfa\.so/s/^/#/' /etc/pam.d/*");
        host.ssh("alice").open().answer("Password: ", "rabbit hole").end().let_in("alice");
        host.ssh("alice").open().answer("Password: ", "looking glass").end().refused();
    };
    ways_out(&host);
    ways_out(&over_ssh(REQUIRED, QUESTIONS));
}

#[test]
fn a_code_without_a_password_gives_the_first_factor_nothing_to_judge() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("dave", "dormouse")
        .config(REQUIRED)
        .pam("both", &stack(""))
        .pam("nullok", &stack("").replace("use_first_pass", "use_first_pass nullok"))
        .pam("asks", &stack("").replace("use_first_pass ", ""))
        .start();
    host.shell("sed -i 's/^dave:[^:]*/dave:/' /etc/shadow");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let mut blank = host.enrol_with("dave", &["hotp"]).device;
    let code = token.code();
    for service in ["both", "nullok"] {
        assert_eq!(log_in(&host, service, &[&code]).code(), "PAM_AUTH_ERR", "{service}");
        assert_eq!(log_in(&host, service, &[""]).code(), "PAM_AUTH_ERR", "{service}");
    }
    // pam_unix that may ask does so, and the code is still judged behind it.
    let report = log_in(&host, "asks", &[&code, "rabbit hole"]);
    assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec![BOTH, "Password: "]));
    assert_eq!(failures(&host), 0);

    // Who has no password at all, and where that is allowed, still needs the code.
    let dave = |service: &str, typed: &str| {
        Attempt::new(service, "dave").answer(typed).answer("").run(&host).code().to_owned()
    };
    let code = blank.code();
    assert_eq!(dave("both", &code), "PAM_AUTH_ERR");
    assert_eq!(dave("nullok", ""), "PAM_AUTH_ERR");
    assert_eq!(dave("nullok", &blank.wrong_code()), "PAM_AUTH_ERR");
    assert_eq!(dave("nullok", &code), "PAM_SUCCESS");
}

#[test]
fn the_line_asks_as_it_is_told_to_and_never_shows_what_is_typed() {
    let (host, mut token) = host();
    let mut asked = |arguments: &str| {
        host.write("/etc/pam.d/asks", stack(arguments));
        let report = log_in(&host, "asks", &[&format!("rabbit hole{}", token.code())]);
        assert_eq!(report.code(), "PAM_SUCCESS", "{arguments}");
        let [Shown { style, text }] = report.shown.as_slice() else { panic!("{report:?}") };
        assert_eq!(*style, Style::Hidden, "{arguments}");
        text.clone()
    };
    assert_eq!(asked(""), BOTH);
    assert_eq!(asked("echo"), BOTH);
    assert_eq!(asked("[prompt=Both: ] echo_verification_code"), "Both: ");

    // What another module has asked for is split where that is wished, and else asked for anew.
    let first = "auth optional pam_unix.so nodelay\n";
    host.write("/etc/pam.d/given", [first, &stack("try_first_pass")].concat());
    let report = log_in(&host, "given", &[&format!("rabbit hole{}", token.code())]);
    assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec!["Password: "]));
    host.write("/etc/pam.d/given", [first, &stack("")].concat());
    let typed = format!("rabbit hole{}", token.code());
    let report = log_in(&host, "given", &[&typed, &typed]);
    assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec!["Password: ", BOTH]));

    // Nobody is named yet: that comes first.
    let nobody = Attempt { user: None, ..Attempt::new("both", "") };
    let typed = format!("rabbit hole{}", token.code());
    let report = nobody.answer("alice").answer(typed.clone()).run(&host);
    assert_eq!((report.code(), report.asked()[1]), ("PAM_SUCCESS", BOTH));

    // Under PAM_SILENT there are questions only.
    let silent = Call::authenticate().flags(SILENT);
    let report = Attempt::new("both", "alice").answer(typed).calls([silent]).run(&host);
    assert_eq!(
        (report.code(), report.shown.len()),
        ("PAM_AUTH_ERR", 1),
        "used, and nobody says so"
    );
}

#[test]
fn an_answer_that_is_none_is_a_refusal_and_not_charged() {
    let (host, mut token) = host();
    for answer in [
        pam::Answer::Null,
        pam::Answer::Fail(0),
        pam::Answer::Fail(19),
        pam::Answer::Fail(26),
        "x".repeat(1025).into(),
        Text::Bytes(b"rabbit hole\xff123456".to_vec()).into(),
    ] {
        let report = Attempt::new("both", "alice").answer(answer.clone()).run(&host);
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{answer:?}");
        assert!(report.changed.is_empty(), "{answer:?}: {:?}", report.changed);
    }
    let nobody = Attempt { no_conversation: true, ..Attempt::new("both", "alice") };
    assert_eq!(nobody.run(&host).code(), "PAM_AUTH_ERR");
    assert_eq!(failures(&host), 0);
    let typed = format!("rabbit hole{}", token.code());
    assert_eq!(log_in(&host, "both", &[&typed]).code(), "PAM_SUCCESS");
}

#[test]
fn a_code_is_kept_for_one_login_of_one_handle() {
    let (host, mut token) = host();
    let twice = |answers: &[&str]| {
        let mut attempt = Attempt::new("both", "alice");
        attempt.answers = answers.iter().map(|answer| (*answer).into()).collect();
        attempt.calls(vec![Call::authenticate(); 2]).run(&host)
    };
    let refused_then = |code: &str| vec!["PAM_AUTH_ERR".to_owned(), code.to_owned()];
    let (wrong, right) = (token.wrong_code(), token.code());

    // The code of the login that failed is forgotten: it is neither judged nor kept.
    let report = twice(&[&format!("looking glass{wrong}"), &format!("rabbit hole{right}")]);
    assert_eq!(report.returned, refused_then("PAM_SUCCESS"));
    let right = token.code();
    let report = twice(&[&format!("looking glass{right}"), "rabbit hole", &wrong]);
    assert_eq!(report.returned, refused_then("PAM_AUTH_ERR"));
    assert_eq!(report.asked(), [BOTH, BOTH, CODE]);
    assert_eq!(failures(&host), 1, "the wrong one was judged");
    // So is the code of one that went through.
    let next = token.code();
    let report = twice(&[&format!("rabbit hole{right}"), "rabbit hole", &next]);
    assert_eq!(report.returned, ["PAM_SUCCESS", "PAM_SUCCESS"]);
    assert_eq!(report.asked(), [BOTH, BOTH, CODE]);

    // As a host such as sudo goes on after a login.
    let mut calls = vec![Call::authenticate()];
    for function in [Function::Setcred, Function::Setcred] {
        calls.push(Call::new(function).flags(pam::ESTABLISH_CRED));
    }
    let typed = format!("rabbit hole{}", token.code());
    let report = Attempt::new("both", "alice").answer(typed).calls(calls).run(&host);
    assert_eq!(report.returned, ["PAM_SUCCESS"; 3]);
    assert!(report.changed.is_empty(), "{:?}", report.changed);
}

#[test]
fn what_one_copy_of_the_module_keeps_no_other_copy_takes() {
    // As where a module of another version, with other types in it, is named by its path.
    let (host, mut token) = host();
    host.shell("mkdir /opt/mfa; cp /usr/lib/*/security/pam_mfa.so /opt/mfa/");
    let by_path = |line: &str| line.replace("pam_mfa.so", "/opt/mfa/pam_mfa.so");
    let typed = format!("rabbit hole{}", token.code());
    for stack in
        [[&by_path(SPLITS), UNIX, JUDGES].concat(), [SPLITS, UNIX, &by_path(JUDGES)].concat()]
    {
        host.write("/etc/pam.d/mixed", &stack);
        let report = log_in(&host, "mixed", &[&typed, &token.code()]);
        assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec![BOTH, CODE]), "{stack}");
    }
    host.write("/etc/pam.d/mixed", by_path(&stack("")));
    let typed = format!("rabbit hole{}", token.code());
    assert_eq!(log_in(&host, "mixed", &[&typed]).code(), "PAM_SUCCESS");
}
