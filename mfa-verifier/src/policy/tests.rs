//! What policies ask of whom, by their table, and at what price.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use mfa_protocol::message::Algorithm;

use super::table::{DATED, HOURS, LIFTED, MOMENT, OFFICE, PLAIN, ROWS, ZONE};
use super::*;
use crate::config::{Networks, Rules};
use crate::factor::otp::tests::device;
use crate::local_time::Zone;
use crate::mail::Address;
use crate::record::{Device, MovingFactor, UserRecord};
use crate::source::{Place, is_console};

/// The policy in `text`.
fn config(text: &str) -> Config {
    Config::parse(Path::new("config.toml"), text).unwrap()
}

/// What is asked, in words, as in the table.
fn asked(config: &Config, who: &str, place: &str, at: &str) -> String {
    let zone = Zone::of_rule(ZONE).unwrap();
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
    let place = Place::of(service, rhost, Some(from));
    let situation = Situation {
        service,
        user,
        groups: known.iter().map(|group| (*group).to_owned()).collect(),
        source: place.source(),
        address: place.address(),
        console: place == Place::Console,
        now,
        local: Some(zone.local(now)),
        first_factor: !said.contains(&"unproven"),
        nullok: said.contains(&"nullok"),
    };
    let ruling = ruling(config, &situation);
    let known =
        Known { has_factor: known.contains(&"enrolled"), required: known.contains(&"required") };
    let mut asked = match requirement(&ruling.config.policy, &situation, known) {
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
fn every_policy_asks_what_it_says() {
    assert!(ROWS.len() >= 60, "{}", ROWS.len());
    for (text, who, place, at, expected) in ROWS {
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
        (EnrolAtLogin::Anybody, false, "alice", "login tty1", "enrol Anybody"),
        (EnrolAtLogin::Anybody, false, "alice", "login tty1 unproven", "challenge"),
        (EnrolAtLogin::Invite, false, "alice", "login tty1 unproven", "enrol Invite"),
        (EnrolAtLogin::Invite, false, "alice", "sshd 198.51.100.7 unproven", "challenge"),
        (EnrolAtLogin::Anybody, false, "alice", "sshd 198.51.100.7 unproven", "challenge"),
        (EnrolAtLogin::Anybody, false, "alice enrolled", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, false, "?", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd 192.0.2.7", "enrol Anybody"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd 198.51.100.7", "challenge"),
        (EnrolAtLogin::Anybody, true, "alice", "sshd home.example.org", "challenge"),
        (EnrolAtLogin::Off, false, "alice", "sshd 192.0.2.7", "challenge"),
        // Whose own requirement it is.
        (EnrolAtLogin::Anybody, false, "alice required", "login tty1 nullok", "enrol Anybody"),
        (EnrolAtLogin::Invite, false, "alice required", "sshd 192.0.2.7 nullok", "enrol Invite"),
        (EnrolAtLogin::Off, false, "alice required", "login tty1 nullok", "challenge"),
    ];
    for (how, from_office, who, place, expected) in rows {
        let mut config = config(PLAIN);
        config.policy.enrol_at_login = how;
        if from_office {
            config.policy.enrol_from = office.clone();
        }
        assert_eq!(asked(&config, who, place, "2026-11-23"), expected, "{who} {place}");
    }
    // What is enrolled is an app, which would not let in here.
    let mut config = config("[policy]\nmethods = [\"hotp\", \"backup_code\"]\n");
    config.policy.enrol_at_login = EnrolAtLogin::Anybody;
    let asked = asked(&config, "alice", "sshd 192.0.2.7", "2026-11-23");
    assert_eq!(asked, "challenge for [\"hotp\", \"backup_code\"]");
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

/// Alice, over sshd from there.
fn alice_from(rhost: Option<&str>) -> Situation<'static> {
    let place = Place::of("sshd", rhost, None);
    Situation {
        service: "sshd",
        user: Some("alice"),
        groups: BTreeSet::new(),
        source: place.source(),
        address: place.address(),
        console: false,
        now: 1_800_000_000,
        local: None,
        first_factor: true,
        nullok: false,
    }
}

/// What alice has: an app, or a mailbox, or both; and where she got in a day before.
fn has(app: bool, mailbox: bool, seen: Option<&str>) -> UserRecord {
    let mut record = UserRecord::default();
    let device = device(b"0123456789", Algorithm::Sha1, 6);
    if mailbox {
        let moving = MovingFactor::Sent { address: Address::parse("a@example.org").unwrap() };
        record.devices.push(Device { id: 2, moving, ..device.clone() });
    }
    if app {
        record.devices.push(device);
    }
    if let Some(rhost) = seen {
        let (place, before) = (Place::of("sshd", Some(rhost), None), 1_800_000_000 - 86_400);
        record.lockout.clear_source(place.source(), before, &Config::default().lockout);
    }
    record
}

fn disabled(mut record: UserRecord) -> UserRecord {
    record.devices.iter_mut().for_each(|device| device.disabled = true);
    record
}

#[test]
fn a_new_address_leaves_codes_that_are_sent_backup_codes_and_tokens() {
    const NEW: &str = "[policy]\nverify_new_address = true\n";
    const EXEMPTS: &str =
        "[policy]\nverify_new_address = true\nnew_address_exempts_enrolled = true\n";
    const TOTP: &str = "[policy]\nverify_new_address = true\nmethods = [\"totp\", \"email\"]\n";
    const SENT: &[&str] = &["email", "backup_code", "token"];
    const ALL: &[&str] = &["totp", "hotp", "email", "backup_code", "token"];
    let home = Some("192.0.2.7");
    let rows = [
        (PLAIN, has(true, false, None), home, ALL),
        (NEW, has(true, false, None), home, SENT),
        (NEW, has(true, false, home), home, ALL),
        (NEW, has(true, false, home), Some("::ffff:192.0.2.7"), ALL),
        (NEW, has(true, false, home), Some("192.0.2.8"), SENT),
        (NEW, has(true, false, Some("2001:db8::1")), Some("2001:db8::2"), ALL),
        // A name is no address, and from there nobody was ever seen.
        (NEW, has(true, false, Some("home.example.org")), Some("home.example.org"), SENT),
        (NEW, has(true, false, None), None, SENT),
        (EXEMPTS, has(true, false, None), home, ALL),
        (EXEMPTS, has(true, true, None), home, ALL),
        (EXEMPTS, has(false, true, None), home, SENT),
        // Who has nothing looks like who has an app.
        (NEW, has(false, false, None), home, SENT),
        (EXEMPTS, has(false, false, None), home, ALL),
        (TOTP, has(true, true, None), home, &["email"]),
    ];
    for (policy, record, rhost, expected) in rows {
        let config = config(policy);
        let there = from_there(&config, &alice_from(rhost), &record, None);
        let names = there.policy.methods.names();
        assert_eq!(names, expected, "{policy} {rhost:?}");
        assert_eq!(there.policy.unseen, expected.len() < ALL.len(), "{policy} {rhost:?}");
    }
    let mut here = alice_from(None);
    here.source = Source::Local;
    let config = config(NEW);
    let there = from_there(&config, &here, &has(true, false, None), None);
    assert_eq!(there.policy.methods.names(), ALL, "this host is never new");
}

#[test]
fn a_mailbox_is_lent_to_who_has_not_enrolled_and_beyond_that_at_new_addresses_alone() {
    const MAIL: &str = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    let home = Some("192.0.2.7");
    let lends = |policy: &str, record: UserRecord, user: &str| {
        let config = config(&format!("{policy}{MAIL}"));
        let lent = lent(&config, &alice_from(home), user, &record);
        lent.and_then(|device| device.address().map(ToString::to_string))
    };
    let address = Some("alice@example.org".to_owned());
    let new = "[policy]\nverify_new_address = true\n";
    let exempts = &format!("{new}new_address_exempts_enrolled = true\n");
    let other = "[policy]\nmethods = [\"totp\"]\n";
    for (policy, record, user, expected) in [
        ("", has(false, false, None), "alice", address.clone()),
        ("", has(false, false, None), "Alice", None),
        (other, has(false, false, None), "alice", None),
        ("", has(true, false, None), "alice", None),
        (new, has(true, false, None), "alice", address),
        (new, has(true, false, home), "alice", None),
        (new, has(false, true, None), "alice", None),
        // The app alone is right there.
        (exempts, has(true, false, None), "alice", None),
        // Also where it is disabled: whoever has the phone may have the mail.
        (exempts, disabled(has(true, false, None)), "alice", None),
    ] {
        assert_eq!(lends(policy, record, user), expected, "{policy} {user}");
    }
    let config = Config::default();
    assert!(lent(&config, &alice_from(home), "alice", &UserRecord::default()).is_none());
}

#[test]
fn from_a_new_address_enrols_who_would_be_let_in_there_by_an_app() {
    const MAIL: &str = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    const NEW: &str = "[policy]\nenrol_at_login = \"anybody\"\nverify_new_address = true\n";
    let exempts = format!("{NEW}new_address_exempts_enrolled = true\n");
    let lends = format!("{NEW}{MAIL}");
    let lends_and_exempts = format!("{exempts}{MAIL}");
    let without_mail = format!("{exempts}methods = [\"totp\", \"backup_code\"]\n{MAIL}");
    let away = Some("192.0.2.7");
    let enrol = Requirement::Enrol(EnrolAtLogin::Anybody);
    let rows = [
        (NEW, away, Requirement::Challenge),
        (NEW, None, enrol),
        (&*exempts, away, enrol),
        // Who is lent a mailbox has something to give a code of, here and there.
        (&*lends, away, Requirement::Challenge),
        (&*lends, None, Requirement::Challenge),
        (&*lends_and_exempts, away, Requirement::Challenge),
        (&*without_mail, away, enrol),
    ];
    for (policy, rhost, expected) in rows {
        let (config, record) = (config(policy), UserRecord::default());
        let mut situation = alice_from(rhost);
        if rhost.is_none() {
            (situation.service, situation.source) = ("login", Source::Local);
        }
        let lent = lent(&config, &situation, "alice", &record);
        let there = from_there(&config, &situation, &record, lent.as_ref());
        let known = Known { has_factor: lent.is_some(), required: false };
        let asked = requirement(&there.policy, &situation, known);
        assert_eq!(asked, expected, "{policy} {rhost:?}");
    }
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

/// A thousand rules that exempt somebody, each of which is looked into for whom the host does not know.
fn thousand_exemptions() -> Config {
    let rule = |n: u32| format!("[[rule]]\nusers = [\"user{n}\"]\nmode = \"off\"\n");
    config(&(0..1_000).map(rule).collect::<String>())
}

#[test]
fn a_thousand_rules_are_evaluated_in_less_than_a_millisecond() {
    let (config, exemptions) = (thousand(), thousand_exemptions());
    for (who, config) in [
        ("user999 enrolled", &config),
        ("alice", &config),
        ("?", &config),
        ("alice", &exemptions),
        ("?", &exemptions),
    ] {
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let since = Instant::now();
                asked(config, who, "sshd 10.3.231.7", "2026-11-23 10:00");
                since.elapsed()
            })
            .collect();
        times.sort();
        assert!(times[25] < Duration::from_millis(1), "{who}: {:?}", times[25]);
    }
    assert_eq!(asked(&config, "user999", "sshd 10.3.231.7", "2026-11-23"), "challenge #1000");
    assert_eq!(asked(&exemptions, "?", "sshd 10.3.231.7", "2026-11-23"), "challenge");
}

#[test]
fn no_rules_are_no_rules() {
    assert_eq!(Config::default().rules, Rules::default());
}
