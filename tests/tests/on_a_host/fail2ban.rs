//! The filter for fail2ban, on lines that logins wrote.

use mfa_tests::clock::VERIFIER;
use mfa_tests::pam::{Attempt, exact};
use mfa_tests::readme::{blocks, roots_lines};
use mfa_tests::{Host, cache};

const POLICY: &str = "[policy]\nmode = \"required\"\n[lockout]\nper_source = 2\n";

/// Each of them another address.
const WRONG: &str = "198.51.100.1";
const WAITS: &str = "198.51.100.2";
const STRANGER: &str = "2001:db8::3";
const USED: &str = "198.51.100.4";
const NO_CODE: &str = "198.51.100.5";
const LATE: &str = "198.51.100.7";
const DISABLED: &str = "198.51.100.8";
const INNOCENT: &str = "203.0.113.6";

#[test]
fn it_counts_who_is_wrong_and_nobody_who_was_let_in_or_is_only_named() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(POLICY)
        .pam("exact", &exact(""))
        .bind(cache::program("verifier-at"), VERIFIER)
        .start();
    let mut enrolled = host.enrol("alice");
    let try_from = |user: &str, from: &str, code: &str| {
        Attempt::new("exact", user).from(from).answer(code).run(&host);
    };
    let (right, wrong) = (enrolled.device.code(), enrolled.device.wrong_code());
    try_from("alice", INNOCENT, &right);
    try_from("alice", USED, &right);
    try_from("alice", NO_CODE, "nonsense");
    try_from("alice", WRONG, &wrong);
    for _ in 0..3 {
        try_from("alice", WAITS, &wrong);
    }
    // Nobody is to learn by the ban that somebody's device is disabled.
    let disabled = host.enrol("bob").device;
    host.run(&["mfa-setup", "disable", "phone", "--user", "bob"]).ok();
    try_from("bob", DISABLED, &disabled.wrong_code());
    // A bypass code that was made two hours ago, for one.
    let now = host.shell("date +%s").trim().parse::<u64>().unwrap();
    host.set_clock(now - 7_200);
    let bypass = host.run(&["mfa-setup", "bypass", "alice", "--json", "--verifier", VERIFIER]);
    try_from("alice", LATE, bypass.json()["code"].as_str().unwrap());
    // Names that would be lines of their own, if they could.
    for name in [
        format!("x\" uid=0 service=sshd rhost={INNOCENT} tty=ssh factor=otp reason=wrong_code"),
        format!("x\\\" rhost={INNOCENT} reason=wrong_code \\"),
        format!("x\noutcome=denied user=\"x\" uid=0 service=sshd rhost={INNOCENT} tty=ssh"),
        "nobody".to_owned(),
    ] {
        try_from(&name, STRANGER, &wrong);
    }
    let lines = host.logged_by_now("pam_mfa: outcome=");
    assert_eq!(lines.len(), 13, "{lines:#?}");
    // As syslog daemons write them.
    let log: Vec<_> = lines.iter().map(|line| format!("Nov 23 05:00:00 testhost {line}")).collect();
    host.write("/root/auth.log", log.join("\n") + "\n");
    let typed = roots_lines(&blocks("## fail2ban", "console")[0]);
    let (install, restart) = typed.rsplit_once('\n').unwrap();
    assert_eq!(restart, "systemctl restart fail2ban");
    host.shell(install);

    let regex = ["fail2ban-regex", "--out", "ip", "/root/auth.log", "pam_mfa"];
    let banned = host.run(&regex).ok();
    let mut banned: Vec<_> = banned.lines().map(str::trim).collect();
    banned.sort_unstable();
    let expected =
        [WRONG, WAITS, WAITS, WAITS, LATE, DISABLED, STRANGER, STRANGER, STRANGER, STRANGER];
    assert_eq!(banned, expected);
    // fail2ban itself takes the jail, beside Debian's own, which has no log here.
    host.write("/etc/fail2ban/jail.d/defaults-debian.conf", "");
    let test = host.run(&["fail2ban-client", "--test"]);
    assert_eq!(test.code, Some(0), "{test:?}");
    assert!(host.run(&["fail2ban-client", "-d"]).stdout.contains("'pam_mfa'"));
}
