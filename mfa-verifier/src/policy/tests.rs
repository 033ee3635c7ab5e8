//! Policies as an administrator writes them, and what each asks of whom.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{Networks, Rules};
use crate::local_time::Zone;
use crate::source::{address, is_console};

const PLAIN: &str = "[policy]\nmode = \"required\"\n";
const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const OFF: &str = "[policy]\nmode = \"off\"\n";

/// Everybody but the backup robot, which comes from one address.
const ROBOT: &str = r#"
[[rule]]
name = "robot"
users = ["backup"]
services = ["sshd"]
from = ["192.0.2.44"]
mode = "off"
"#;

/// Only wheel.
const WHEEL: &str = r#"
[policy]
mode = "off"
[[rule]]
groups = ["wheel", "admin"]
mode = "required"
"#;

/// Only from outside the office.
const OFFICE: &str = r#"
[policy]
trusted = ["192.0.2.0/24", "2001:db8:1::/48"]
"#;

/// Required from a day.
const DATED: &str = "[policy]\nrequired_from = 2026-12-01\n";
const MOMENT: &str = "[policy]\nrequired_from = 2026-12-01T08:00:00+01:00\n";

const BOUND: &str = r#"
[policy]
allow_from = ["192.0.2.0/24", "2001:db8::/32"]
"#;
const BOUND_BUT_CODES: &str = r#"
[policy]
allow_from = ["192.0.2.0/24"]
backup_codes_anywhere = true
"#;

const SOME_SERVICES: &str = "[policy]\nservices = [\"sshd\", \"sudo\"]\n";
const LEFT_OUT: &str = "[policy]\nservices = [\"!dovecot\"]\n";

/// At the console nobody is asked, at night everybody, in the day who has enrolled.
const HOURS: &str = r#"
[[rule]]
console = true
mode = "off"
[[rule]]
time = ["Mon-Fri 08:00-18:00", "Sat 22:00-02:00"]
mode = "optional"
"#;

const NOT_AT_CONSOLE: &str =
    "[policy]\nmode = \"off\"\n[[rule]]\nconsole = false\nmode = \"required\"\n";

/// Several keys must match, and the first rule holds.
const LAYERS: &str = r#"
[[rule]]
users = ["alice"]
groups = ["wheel"]
from = ["10.0.0.0/8"]
mode = "off"
[[rule]]
users = ["alice"]
methods = ["totp"]
[[rule]]
services = ["sudo", "su"]
mode = "optional"
[[rule]]
allow_from = ["10.0.0.0/8"]
"#;

/// A rule that lifts what `[policy]` says.
const LIFTED: &str = r#"
[policy]
allow_from = ["10.0.0.0/8"]
required_from = 2026-12-01
[[rule]]
users = ["alice"]
allow_from = []
required_from = ""
"#;

/// Cron is nobody's; who is on call is asked, and everybody else is not.
const LISTS: &str = r#"
[policy]
mode = "off"
[[rule]]
services = ["cron"]
mode = "off"
[[rule]]
users = ["robot"]
mode = "off"
[[rule]]
users = ["oncall"]
mode = "required"
"#;

const SCOPES: &str = r#"
[policy]
trusted = ["fe80::/10", "192.0.2.0/24", "::1"]
"#;

/// The policy in `text`.
fn config(text: &str) -> Config {
    Config::parse(Path::new("config.toml"), text).unwrap()
}

/// What is asked, in words. `who`: a name and what is known of it (`alice enrolled wheel`), or `?`.
/// `place`: a service and where from (`sshd 192.0.2.7`, `login tty1`), and what else is to be said.
fn asked(config: &Config, who: &str, place: &str, at: &str) -> String {
    let zone = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let now = zone.moment(at).unwrap();
    let mut who = who.split(' ');
    let user = who.next().filter(|name| *name != "?");
    let known: Vec<&str> = who.collect();
    let mut place = place.split(' ');
    let (service, from) = (place.next().unwrap(), place.next().unwrap_or_default());
    let said: Vec<&str> = place.collect();
    let tty =
        service != "sshd" && (is_console(from) || from.starts_with("pts/") || from.is_empty());
    let rhost = Some(from).filter(|from| !tty && !from.is_empty());
    let source = Source::of(service, rhost);
    let situation = Situation {
        service,
        user,
        groups: known.iter().map(|group| (*group).to_owned()).collect(),
        source,
        address: rhost.and_then(address),
        console: source == Source::Local && is_console(from),
        now,
        local: Some(zone.local(now)),
        first_factor: !said.contains(&"unproven"),
        nullok: said.contains(&"nullok"),
    };
    let ruling = ruling(config, &situation);
    let enrolled = known.contains(&"enrolled");
    let mut asked = match requirement(&ruling.config.policy, &situation, enrolled) {
        Requirement::Exempt(Exemption::NotRequiredYet { days }) => format!("notice {days}"),
        Requirement::Exempt(exemption) => format!("exempt {exemption:?}"),
        Requirement::Deny(denial) => format!("deny {denial:?}"),
        Requirement::Enrol(how) => format!("enrol {how:?}"),
        Requirement::Challenge => "challenge".to_owned(),
    };
    let accepted = ruling.config.policy.methods;
    if asked == "challenge" && accepted != Methods::default() {
        write!(asked, " for {:?}", accepted.names()).unwrap();
    }
    if let Some((number, _)) = ruling.held() {
        assert_eq!(ruling.passed_over.len(), number - 1);
        write!(asked, " #{number}").unwrap();
    }
    asked
}

#[test]
#[allow(clippy::too_many_lines)]
fn every_policy_asks_what_it_says() {
    let monday = "2026-11-23 10:00";
    let rows: &[(&str, &str, &str, &str, &str)] = &[
        // The modes, and a first factor that sshd must have seen.
        (OFF, "alice enrolled", "sshd 192.0.2.7", monday, "exempt ModeOff"),
        (OFF, "alice enrolled", "sshd 192.0.2.7 unproven", monday, "deny NoFirstFactor"),
        (OFF, "?", "sshd 192.0.2.7", monday, "deny UnknownUser"),
        (OFF, "alice", "login tty1 unproven", monday, "exempt ModeOff"),
        (OFF, "alice enrolled", "su pts/0 nullok", monday, "exempt ModeOff"),
        (OPTIONAL, "alice", "sshd 192.0.2.7", monday, "exempt NotEnrolled"),
        (OPTIONAL, "alice", "sshd 192.0.2.7 unproven", monday, "deny NoFirstFactor"),
        (OPTIONAL, "alice", "sudo pts/0 unproven", monday, "exempt NotEnrolled"),
        (OPTIONAL, "alice enrolled", "sudo pts/0", monday, "challenge"),
        (OPTIONAL, "alice enrolled", "sshd 192.0.2.7", monday, "challenge"),
        (OPTIONAL, "?", "sshd 192.0.2.7", monday, "challenge"),
        (PLAIN, "alice", "sshd 192.0.2.7", monday, "challenge"),
        (PLAIN, "alice enrolled", "sshd 192.0.2.7 unproven", monday, "challenge"),
        (PLAIN, "?", "su pts/0", monday, "challenge"),
        (PLAIN, "alice", "su pts/0 nullok", monday, "exempt NotEnrolled"),
        (PLAIN, "alice", "sshd 192.0.2.7 nullok unproven", monday, "deny NoFirstFactor"),
        (PLAIN, "alice enrolled", "sshd 192.0.2.7 nullok", monday, "challenge"),
        (PLAIN, "alice enrolled", "mfa-setup pts/0", monday, "exempt ReAuthentication"),
        (PLAIN, "?", "mfa-setup pts/0", monday, "deny UnknownUser"),
        // The backup robot.
        (ROBOT, "backup", "sshd 192.0.2.44", monday, "exempt ModeOff #1"),
        (ROBOT, "backup", "sshd 192.0.2.44 unproven", monday, "deny NoFirstFactor #1"),
        (ROBOT, "backup", "sshd ::ffff:192.0.2.44", monday, "exempt ModeOff #1"),
        (ROBOT, "backup", "sshd 192.0.2.45", monday, "challenge"),
        (ROBOT, "backup", "sshd backup.example.org", monday, "challenge"),
        (ROBOT, "backup", "sshd", monday, "challenge"),
        (ROBOT, "backup", "sudo pts/0", monday, "challenge"),
        (ROBOT, "alice", "sshd 192.0.2.44", monday, "challenge"),
        (ROBOT, "?", "sshd 192.0.2.44", monday, "challenge"),
        // Only wheel. Who does not exist is asked as an administrator is, who has not enrolled, too.
        (WHEEL, "alice wheel", "sshd 192.0.2.7", monday, "challenge #1"),
        (WHEEL, "alice admin enrolled", "sudo pts/0", monday, "challenge #1"),
        (WHEEL, "bob", "sshd 192.0.2.7", monday, "exempt ModeOff"),
        (WHEEL, "bob enrolled staff", "sshd 192.0.2.7", monday, "exempt ModeOff"),
        (WHEEL, "bob", "sshd 192.0.2.7 unproven", monday, "deny NoFirstFactor"),
        (WHEEL, "?", "sshd 192.0.2.7", monday, "challenge #1"),
        // Only from outside the office.
        (OFFICE, "alice", "sshd 192.0.2.7", monday, "exempt Trusted"),
        (OFFICE, "alice enrolled", "sshd 2001:db8:1:9::7", monday, "exempt Trusted"),
        (OFFICE, "alice", "sshd 192.0.2.7 unproven", monday, "deny NoFirstFactor"),
        (OFFICE, "alice", "sshd 192.0.3.7", monday, "challenge"),
        (OFFICE, "alice", "sshd 2001:db8:2::7", monday, "challenge"),
        (OFFICE, "alice", "sshd office.example.org", monday, "challenge"),
        (OFFICE, "alice", "sshd", monday, "challenge"),
        (OFFICE, "alice", "sudo pts/0", monday, "challenge"),
        (OFFICE, "?", "sshd 192.0.2.7", monday, "deny UnknownUser"),
        // A scope makes another host of it; so does a name.
        (SCOPES, "alice", "sshd fe80::1%eth0", monday, "challenge"),
        (SCOPES, "alice", "sshd fe80::1", monday, "exempt Trusted"),
        (SCOPES, "alice", "sshd ::1", monday, "exempt Trusted"),
        (SCOPES, "alice", "sshd localhost", monday, "challenge"),
        (SCOPES, "alice", "sshd 192.0.2.7%eth0", monday, "challenge"),
        // Required from a day, at midnight on this host, an hour before UTC's.
        (DATED, "alice", "sshd 192.0.2.7", monday, "notice 8"),
        (DATED, "alice", "sshd 192.0.2.7", "2026-11-30 23:59:59", "notice 1"),
        (DATED, "alice", "sshd 192.0.2.7", "2026-12-01 00:00:00", "challenge"),
        (DATED, "alice", "sshd 192.0.2.7 unproven", monday, "deny NoFirstFactor"),
        (DATED, "alice enrolled", "sshd 192.0.2.7", monday, "challenge"),
        (DATED, "?", "sshd 192.0.2.7", monday, "challenge"),
        (MOMENT, "alice", "sshd 192.0.2.7", "2026-12-01 07:59:59", "notice 1"),
        (MOMENT, "alice", "sshd 192.0.2.7", "2026-11-30 07:59:59", "notice 2"),
        (MOMENT, "alice", "sshd 192.0.2.7", "2026-12-01 08:00", "challenge"),
        // Nothing from outside, or backup codes alone; nobody gets in there by having nothing.
        (BOUND, "alice enrolled", "sshd 192.0.2.7", monday, "challenge"),
        (BOUND, "alice enrolled", "sshd 2001:db8::7", monday, "challenge"),
        (BOUND, "alice enrolled", "sshd 198.51.100.7", monday, "challenge for []"),
        (BOUND, "alice enrolled", "sshd home.example.org", monday, "challenge for []"),
        (BOUND, "alice enrolled", "sshd", monday, "challenge for []"),
        (BOUND, "alice enrolled", "sshd fe80::1%eth0", monday, "challenge for []"),
        (BOUND, "alice enrolled", "login tty1", monday, "challenge"),
        (BOUND, "alice enrolled", "sudo pts/0", monday, "challenge"),
        (BOUND, "alice", "sshd 198.51.100.7 nullok", monday, "challenge for []"),
        (BOUND, "?", "sshd 198.51.100.7", monday, "challenge for []"),
        (
            BOUND_BUT_CODES,
            "alice enrolled",
            "sshd 198.51.100.7",
            monday,
            "challenge for [\"backup_code\"]",
        ),
        (BOUND_BUT_CODES, "alice enrolled", "sshd 192.0.2.7", monday, "challenge"),
        // Services that are not asked.
        (SOME_SERVICES, "alice", "sshd 192.0.2.7", monday, "challenge"),
        (SOME_SERVICES, "alice enrolled", "login tty1", monday, "exempt Service"),
        (SOME_SERVICES, "?", "login tty1", monday, "deny UnknownUser"),
        // A code that somebody only wants to know about is no less wrong for that.
        (SOME_SERVICES, "alice", "judge", monday, "challenge"),
        (SOME_SERVICES, "alice enrolled", "test pts/0", monday, "challenge"),
        (LEFT_OUT, "alice", "dovecot 198.51.100.7", monday, "exempt Service"),
        (LEFT_OUT, "alice", "sshd 198.51.100.7", monday, "challenge"),
        // Consoles and hours.
        (HOURS, "alice enrolled", "login tty1", monday, "exempt ModeOff #1"),
        (HOURS, "alice enrolled", "gdm-password :0", monday, "exempt ModeOff #1"),
        (HOURS, "alice", "sudo pts/0", monday, "exempt NotEnrolled #2"),
        (HOURS, "alice", "sshd 192.0.2.7", "2026-11-23 17:59", "exempt NotEnrolled #2"),
        (HOURS, "alice", "sshd 192.0.2.7", "2026-11-23 18:00", "challenge"),
        (HOURS, "alice", "sshd 192.0.2.7", "2026-11-29 01:59", "exempt NotEnrolled #2"),
        (HOURS, "alice", "sshd 192.0.2.7", "2026-11-28 01:59", "challenge"),
        (NOT_AT_CONSOLE, "alice", "login tty1", monday, "exempt ModeOff"),
        (NOT_AT_CONSOLE, "alice", "sshd 192.0.2.7", monday, "challenge #1"),
        (NOT_AT_CONSOLE, "alice", "sudo", monday, "challenge #1"),
        // All keys of a rule, the first rule of all.
        (LAYERS, "alice wheel", "sshd 10.1.2.3", monday, "exempt ModeOff #1"),
        (LAYERS, "alice", "sshd 10.1.2.3", monday, "challenge for [\"totp\"] #2"),
        (LAYERS, "alice wheel", "sshd 11.1.2.3", monday, "challenge for [\"totp\"] #2"),
        (LAYERS, "bob wheel", "sshd 10.1.2.3", monday, "challenge #4"),
        (LAYERS, "bob", "sudo pts/0", monday, "exempt NotEnrolled #3"),
        (LAYERS, "bob", "sshd 11.1.2.3", monday, "challenge for [] #4"),
        (LIFTED, "alice", "sshd 192.0.2.7", monday, "challenge #1"),
        (LIFTED, "bob", "sshd 10.1.2.3", monday, "notice 8"),
        (LIFTED, "bob", "sshd 192.0.2.7", monday, "challenge for []"),
        // Who is in no list that the system knows of.
        (LISTS, "oncall", "sshd 192.0.2.7", monday, "challenge #3"),
        (LISTS, "?", "sshd 192.0.2.7", monday, "challenge #3"),
        (LISTS, "alice", "sshd 192.0.2.7", monday, "exempt ModeOff"),
        (LISTS, "?", "cron", monday, "deny UnknownUser #1"),
    ];
    assert!(rows.len() >= 60, "{}", rows.len());
    for (text, who, place, at, expected) in rows {
        assert_eq!(
            asked(&config(text), who, place, at),
            *expected,
            "{who}, {place}, {at}:\n{text}"
        );
    }
}

#[test]
fn who_may_enrol_at_login_enrols_where_a_second_factor_is_required() {
    let office: Networks = config(OFFICE).policy.trusted;
    let rows = [
        (EnrolAtLogin::Anybody, false, "alice", "sshd 198.51.100.7", "enrol Anybody"),
        (EnrolAtLogin::Invite, false, "alice", "sshd 198.51.100.7", "enrol Invite"),
        (EnrolAtLogin::Anybody, false, "alice", "login tty1 unproven", "enrol Anybody"),
        (EnrolAtLogin::Anybody, false, "alice", "sshd 198.51.100.7 unproven", "challenge"),
        (EnrolAtLogin::Anybody, false, "alice enrolled", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, false, "?", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd 192.0.2.7", "enrol Anybody"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd home.example.org", "challenge"),
        (EnrolAtLogin::Off, false, "alice", "sshd 192.0.2.7", "challenge"),
    ];
    for (how, from_office, who, place, expected) in rows {
        let mut config = config(PLAIN);
        config.policy.enrol_at_login = how;
        if from_office {
            config.policy.enrol_from = office.clone();
        }
        assert_eq!(asked(&config, who, place, "2026-11-23"), expected, "{who} {place}");
    }
}

#[test]
fn a_rule_changes_what_it_sets_and_nothing_else() {
    let text = r#"
[policy]
help = "Ask the help desk."
[lockout]
longest_wait = 7200
[[rule]]
users = ["alice"]
help = "Ask Bob."
window = 3
lockout = { per_source = 3, longest_wait = 60 }
"#;
    let config = config(text);
    let changed = config.rules[0].applied_to(&config);
    assert_eq!(changed.policy.help, "Ask Bob.");
    assert_eq!((changed.totp.window, changed.lockout.per_source), (3, 3));
    assert_eq!(changed.lockout.longest_wait, 60);
    // A wait that was given where another rule held is not shortened by this one.
    assert_eq!((config.longest_wait(), changed.longest_wait()), (7_200, 7_200));
    assert_eq!((config.widest_window(), changed.widest_window()), (3, 3));
    let mut expected = config.clone();
    expected.policy.help = "Ask Bob.".to_owned();
    expected.totp.window = 3;
    expected.lockout.per_source = 3;
    expected.lockout.longest_wait = 60;
    // Beside what it remembers of the file.
    assert_eq!(format!("{:?}", changed.policy), format!("{:?}", expected.policy));
    assert_eq!((&changed.totp, &changed.lockout), (&expected.totp, &expected.lockout));
    assert_eq!((&changed.hotp, &changed.store), (&expected.hotp, &expected.store));
}

#[test]
fn the_system_is_asked_only_where_a_rule_needs_it() {
    let mut situation = Situation {
        service: "sshd",
        user: Some("alice"),
        groups: BTreeSet::new(),
        source: Source::Local,
        address: None,
        console: false,
        now: 0,
        local: None,
        first_factor: true,
        nullok: false,
    };
    let text = r#"
[[rule]]
services = ["sudo"]
groups = ["wheel"]
mode = "off"
[[rule]]
users = ["alice", "bob"]
mode = "off"
"#;
    let config = config(text);
    assert!(!needs_local_time(&config));
    assert!(groups_that_matter(&config, &situation).is_empty());
    situation.service = "sudo";
    assert_eq!(groups_that_matter(&config, &situation), BTreeSet::from(["wheel"]));
    situation.user = None;
    assert_eq!(groups_that_matter(&config, &situation), BTreeSet::from(["wheel"]));
    // A service that is not asked, and what stands behind a rule that asks nothing.
    let behind = r#"
[policy]
services = ["!cron"]
[[rule]]
users = ["alice"]
mode = "required"
[[rule]]
users = ["bob"]
mode = "off"
[[rule]]
console = true
mode = "off"
[[rule]]
groups = ["wheel"]
mode = "off"
"#;
    let rows = [
        ("alice", "sudo", false, true),
        ("bob", "sudo", false, false),
        ("carol", "sudo", false, true),
        ("carol", "sudo", true, false),
        ("carol", "cron", false, false),
        ("", "sudo", false, true),
        ("", "sudo", true, false),
        ("", "cron", false, false),
    ];
    for (user, service, console, expected) in rows {
        let user = Some(user).filter(|user| !user.is_empty());
        let situation = Situation { service, user, console, ..situation.clone() };
        let groups = groups_that_matter(&self::config(behind), &situation).len();
        assert_eq!(groups == 1, expected, "{user:?} {service} {console}");
    }
    for needing in [HOURS, DATED, LIFTED] {
        assert!(needs_local_time(&self::config(needing)), "{needing}");
    }
    assert!(!needs_local_time(&self::config(MOMENT)));
}

/// A thousand rules that all look at everything and of which the last holds.
fn thousand() -> Config {
    let rule = |n: u32| {
        format!(
            "[[rule]]\nusers = [\"user{n}\", \"other{n}\"]\nservices = [\"sshd\"]\n\
             from = [\"10.{}.{}.0/24\", \"2001:db8:{n:x}::/48\"]\nmode = \"required\"\n",
            n / 256,
            n % 256
        )
    };
    config(&(0..1_000).map(rule).collect::<String>())
}

#[test]
fn a_thousand_rules_are_evaluated_in_less_than_a_millisecond() {
    let config = thousand();
    for who in ["user999 enrolled", "alice", "?"] {
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let since = Instant::now();
                asked(&config, who, "sshd 10.3.231.7", "2026-11-23 10:00");
                since.elapsed()
            })
            .collect();
        times.sort();
        assert!(times[25] < Duration::from_millis(1), "{who}: {:?}", times[25]);
    }
    assert_eq!(asked(&config, "user999", "sshd 10.3.231.7", "2026-11-23"), "challenge #1000");
}

#[test]
fn no_rules_are_no_rules() {
    assert_eq!(Config::default().rules, Rules::default());
}
