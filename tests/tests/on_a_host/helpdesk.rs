//! What root does for somebody else, by the installed programs and through PAM: bypass codes, devices that are
//! disabled, and a second factor that is required of one user.

use mfa_tests::command_line::{REQUIRED, failed, host, log_in, setup};
use mfa_tests::pam::{self, Attempt, IGNORED, Plan, Report, exact};
use mfa_tests::person::{self, OWN_CODE};
use mfa_tests::{Host, Person, Running, USED};
use serde_json::{Value, json};

const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const CODE: &str = "Verification code: ";
const PASSWORD: &str = "Password: ";

/// A bypass code for alice.
fn bypass(host: &Running, options: &str) -> String {
    let made = setup(host, &format!("bypass alice --json {options}")).json();
    assert_eq!(made["user"], "alice");
    made["code"].as_str().unwrap().to_owned()
}

fn status(host: &Running) -> Value {
    setup(host, "status --user alice --json").json()
}

/// Alice at the service `code`.
fn give(host: &Running, code: &str) -> Report {
    Attempt::new("code", "alice").from("192.0.2.7").answer(code).run(host)
}

#[test]
fn who_is_locked_gets_in_by_a_bypass_code_once() {
    let host = host();
    let mut phone = host.enrol("alice").device;
    let wrong = phone.wrong_code();
    for _ in 0..5 {
        assert_eq!(give(&host, &wrong).code(), "PAM_AUTH_ERR");
    }
    let locked = give(&host, &phone.code());
    assert_eq!(locked.code(), "PAM_AUTH_ERR");
    host.wait_for_log("outcome=locked user=\"alice\"");

    let code = bypass(&host, "");
    host.wait_for_log(
        "action=bypass outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0 left=1",
    );
    assert_eq!(status(&host)["bypass"]["uses_left"], 1);
    let granted = give(&host, &code);
    assert_eq!(granted.code(), "PAM_SUCCESS");
    assert!(granted.told()[0].contains("a bypass code was made by root"), "{granted:?}");
    let line = host.wait_for_log("factor=bypass");
    assert!(line.ends_with("reason=accepted left=0"), "{line}");
    assert_eq!(status(&host)["bypass"], Value::Null);

    let again = give(&host, &code);
    assert_eq!((again.code(), again.told()), ("PAM_AUTH_ERR", vec![USED]));
    // The wait is over with it, and no wrong word was told of anybody.
    assert_eq!(give(&host, &phone.code()).code(), "PAM_SUCCESS");
    for record in host.log() {
        assert!(!record.text.contains(&code[7..]), "{}", record.text);
    }
}

#[test]
fn a_wrong_bypass_code_is_refused_in_the_same_words_whoever_has_one() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config("[policy]\nmode = \"required\"\nhelp = \"Ask the help desk.\"\n")
        .pam("code", "auth required pam_mfa.so\n")
        .start();
    let phone = host.enrol("alice").device;
    let code = bypass(&host, "--uses 2");
    let seen = |user: &str, answer: &str| {
        let report = Attempt::new("code", user).from("192.0.2.7").answer(answer).run(&host);
        (report.code().to_owned(), report.asked().join(""), report.told().join(""))
    };
    let refused = seen("alice", &phone.wrong_code());
    assert_eq!(refused.2, "Ask the help desk.");
    let wrong = "bypass-kkkkk-kkkkk-kkkkk";
    for user in ["alice", "bob", "nobody-of-that-name"] {
        assert_eq!(seen(user, wrong), refused, "{user}");
    }
    assert_eq!(seen("bob", &code), refused);
    // Right ones of a device that is disabled, too.
    setup(&host, "disable phone --user alice").ok();
    let right = phone.code_at_step(phone.step());
    assert_eq!(seen("alice", &right), refused);
    host.wait_for_log("factor=totp device=\"phone\" reason=device_disabled");
    // With ten wrong ones from one address in an hour none from there is judged.
    for _ in 0..9 {
        assert_eq!(seen("alice", wrong), refused);
    }
    assert_eq!(seen("alice", &code), refused);
    host.wait_for_log("factor=bypass reason=locked");
    assert_eq!(log_in(&host, &code), "PAM_SUCCESS", "from elsewhere");
}

#[test]
fn one_of_64_logins_with_one_bypass_code_gets_in() {
    const ROUNDS: usize = 2;
    const CROWD: usize = 64;
    let host = host();
    host.enrol("alice");
    for round in 0..ROUNDS {
        let code = bypass(&host, "");
        let attempt = Attempt::new("code", "alice").answer(code).wait_at(0);
        let plan = Plan { race: true, attempts: vec![attempt; CROWD], ..Plan::default() };
        let reports = pam::run(&host, &plan);
        let ended = |code: &str| reports.iter().filter(|report| report.code() == code).count();
        assert_eq!(ended("PAM_SUCCESS"), 1, "round {round}: {reports:?}");
        assert_eq!(ended("PAM_AUTH_ERR"), CROWD - 1, "round {round}: {reports:?}");
    }
    assert_eq!(host.logged_by_now("reason=already_used").len(), ROUNDS * (CROWD - 1));
}

#[test]
fn a_bypass_code_is_shown_once_with_its_bounds_and_replaced_or_revoked() {
    let host = host();
    host.enrol("alice");
    let made = setup(&host, "bypass alice --for 2h --uses 3 --json").json();
    let first = made["code"].as_str().unwrap();
    assert_eq!(made["uses"], 3);
    let groups: Vec<&str> = first.split('-').collect();
    assert_eq!(groups[0], "bypass");
    assert_eq!(groups[1..].iter().map(|group| group.len()).collect::<Vec<_>>(), [5, 5, 5]);
    let shown = json!({"uses_left": 3, "expires": made["expires"]});
    assert_eq!(status(&host)["bypass"], shown);
    assert_eq!(setup(&host, "users --json").json()["users"][0]["bypass"], shown);

    let text = setup(&host, "bypass alice").ok();
    assert!(text.starts_with("alice can give this in place of a device's code, once,\n"), "{text}");
    let second = text.split_whitespace().last().unwrap();
    assert_eq!(log_in(&host, first), "PAM_AUTH_ERR");
    let table = setup(&host, "status --user alice").ok();
    assert!(table.contains("Bypass code:   good once until "), "{table}");
    assert!(setup(&host, "users").ok().contains("bypass code good once until "));

    let done = json!({"user": "alice", "done": true});
    assert_eq!(setup(&host, "bypass alice --revoke --json").json(), done);
    assert_eq!(log_in(&host, second), "PAM_AUTH_ERR");
    failed(&setup(&host, "bypass alice --revoke"), 2, "alice has no bypass code");
    for (options, error) in [
        ("--for 0s", "that is no time for a bypass code"),
        ("--for 32d", "that is no time for a bypass code"),
        ("--uses 0", "good for 1 to 100 logins"),
        ("--uses 101", "good for 1 to 100 logins"),
    ] {
        failed(&setup(&host, &format!("bypass alice {options}")), 2, error);
    }
    let invite = setup(&host, "bypass bob");
    failed(&invite, 2, "bob is not enrolled");
    assert!(invite.stderr.contains("mfa-setup invite bob"), "{}", invite.stderr);
    failed(&setup(&host, "bypass nobody-of-that-name"), 2, "there is no user");
}

#[test]
fn who_lost_the_phone_gets_in_over_ssh_and_enrols_another() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    let _listener = host.listen_for_users();
    let alice = Person::new(&host, "alice", "rabbit hole");
    alice.enrol();
    setup(&host, "disable phone --user alice").ok();
    let code = bypass(&host, "--uses 2");
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &code).end().let_in("alice");
    let mut tty = alice.setup_with_password(&["add", "totp", "--label", "new"]);
    tty.expect(OWN_CODE);
    tty.send_line(&code);
    let mut new = person::app(&mut tty);
    tty.send_line(&new.code());
    assert_eq!(person::exit(&mut tty), 0);
    alice.log_in(&new.code());
    assert_eq!(alice.devices_as_root(), ["phone*", "new"]);
}

#[test]
fn behind_a_password_that_is_typed_in_one_go_a_bypass_code_is_known() {
    let stack = "auth required pam_mfa.so forward_pass\n\
                 auth requisite pam_unix.so use_first_pass nodelay\nauth required pam_mfa.so\n";
    let host = Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("both", stack).start();
    host.enrol("alice");
    let code = bypass(&host, "");
    let both = |typed: &str| Attempt::new("both", "alice").answer(typed).run(&host);
    assert_eq!(both(&format!("looking glass{code}")).code(), "PAM_AUTH_ERR");
    assert_eq!(both(&format!("rabbit hole{code}")).code(), "PAM_SUCCESS");
    assert_eq!(both(&format!("rabbit hole{code}")).told(), [USED]);
}

#[test]
fn a_disabled_device_is_refused_until_it_is_enabled_again() {
    let host = host();
    let mut phone = host.enrol("alice").device;
    let mut tablet = host.enrol_with("alice", &["hotp", "--label", "tablet"]).device;
    let first = setup(&host, "disable phone --user alice");
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("alice: done\n", ""));
    let row = |label: &str| {
        let devices = status(&host)["devices"].clone();
        let all = devices.as_array().unwrap();
        all.iter().find(|device| device["label"] == label).unwrap()["disabled"].clone()
    };
    assert_eq!((row("phone"), row("tablet")), (json!(true), json!(false)));
    let code = phone.code();
    assert_eq!(log_in(&host, &code), "PAM_AUTH_ERR");
    assert_eq!(log_in(&host, &tablet.code()), "PAM_SUCCESS");

    let last = setup(&host, "disable tablet --user alice --json");
    assert!(last.stderr.starts_with("mfa-setup: hint: alice has no device now"), "{last:?}");
    assert!(last.stderr.contains("mfa-setup bypass alice"), "{last:?}");
    assert_eq!(last.json(), json!({"user": "alice", "done": true}));
    // Who has nothing left that is right is no newcomer, neither here nor where it is optional.
    for policy in [OPTIONAL, REQUIRED] {
        host.write("/etc/pam_mfa/config.toml", policy);
        assert_eq!(log_in(&host, &tablet.code()), "PAM_AUTH_ERR", "{policy}");
    }
    host.wait_for_log("action=disable outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0");
    setup(&host, "enable phone --user alice").ok();
    // It was neither used up nor counted.
    assert_eq!(log_in(&host, &code), "PAM_SUCCESS");
    failed(&setup(&host, "disable telephone --user alice"), 2, "there is no device \"telephone\"");
    failed(&setup(&host, "disable phone --user bob"), 2, "bob is not enrolled");
}

#[test]
fn of_whom_it_is_required_is_refused_without_a_device_also_under_nullok() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(OPTIONAL)
        .pam("plain", &exact(""))
        .pam("lenient", &exact("nullok"))
        .start();
    let ended = |service: &str, user: &str| {
        Attempt::new(service, user).answer("000000").run(&host).code().to_owned()
    };
    assert_eq!(
        (ended("plain", "bob").as_str(), ended("lenient", "bob").as_str()),
        (IGNORED, IGNORED)
    );
    // He has no record yet, and there is no store.
    let done = json!({"user": "bob", "done": true});
    assert_eq!(setup(&host, "require bob --json").json(), done);
    host.wait_for_log("action=require outcome=done user=\"bob\" uid=1001 by=\"root\" by_uid=0");
    for policy in [OPTIONAL, REQUIRED, "[policy]\nrequired_from = 2999-12-31\n"] {
        host.write("/etc/pam_mfa/config.toml", policy);
        for service in ["plain", "lenient"] {
            assert_eq!(ended(service, "bob"), "PAM_AUTH_ERR", "{policy}{service}");
        }
    }
    host.write("/etc/pam_mfa/config.toml", OPTIONAL);
    assert_eq!(ended("lenient", "alice"), IGNORED);
    let explained = setup(&host, "explain bob --service plain").ok();
    assert!(explained.contains("Required:  of this user by name"), "{explained}");
    let explain =
        |user: &str| setup(&host, &format!("explain {user} --service plain --json")).json();
    assert_eq!(
        (&explain("bob")["required"], &explain("bob")["requirement"]),
        (&json!(true), &json!("challenge"))
    );
    assert_eq!(explain("alice")["required"], false);

    // It is kept where nothing else is.
    host.enrol("bob");
    assert_eq!(setup(&host, "reset --user bob --yes --json").json(), done);
    let bob = setup(&host, "show bob --json").json();
    assert_eq!((&bob["enrolled"], &bob["required"]), (&json!(false), &json!(true)));
    assert!(setup(&host, "show bob").ok().contains("Required:      of this user"));
    let listed = setup(&host, "users --json").json();
    assert_eq!(
        (&listed["users"][0]["user"], &listed["users"][0]["required"]),
        (&json!("bob"), &json!(true))
    );
    assert_eq!(ended("lenient", "bob"), "PAM_AUTH_ERR");

    for policy in [
        "[policy]\nmode = \"off\"\n",
        "[policy]\nmode = \"optional\"\nservices = [\"!plain\", \"!lenient\"]\n",
    ] {
        host.write("/etc/pam_mfa/config.toml", policy);
        assert_eq!(ended("plain", "bob"), IGNORED, "{policy}");
        assert_eq!(explain("bob")["required"], Value::Null);
    }
    host.write("/etc/pam_mfa/config.toml", OPTIONAL);
    assert_eq!(setup(&host, "require bob --off --json").json(), done);
    assert_eq!(ended("plain", "bob"), IGNORED);
}
