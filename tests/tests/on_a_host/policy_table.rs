//! The table of policies over a real sshd: of each policy one row for each thing that it may ask.

use std::collections::BTreeSet;

use mfa_tests::{Host, Running, clock};
use mfa_verifier::local_time::Zone;

use table::{ROWS, Row, ZONE};

/// What the pure policy is held against, too.
#[path = "../../../mfa-verifier/src/policy/table.rs"]
mod table;

const POLICY: &str = "/etc/pam_mfa/config.toml";
const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

/// The address of a row that a person with an ssh client can come from, behind the password.
fn address(place: &str) -> Option<&str> {
    let from = place.strip_prefix("sshd ")?;
    let networks = ["192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"];
    let is_here = networks.iter().any(|network| from.starts_with(network));
    // What stands behind it is of another stack, or no address.
    (is_here && !from.contains([' ', '%'])).then_some(from)
}

#[test]
fn each_policy_asks_over_ssh_what_the_table_says() {
    let stack = format!(
        "auth requisite pam_unix.so nodelay\n{}account required pam_permit.so\n\
         session required pam_permit.so\n",
        clock::module()
    );
    let people = ["alice", "bob", "robot", "oncall"];
    let host = people.iter().fold(Host::new(), |host, name| host.user(name, "rabbit hole"));
    let host =
        host.clock().config("").pam("sshd", &stack).sshd_example("pam_mfa-password.conf").start();
    host.shell("rm -f /etc/localtime; groupadd wheel");
    host.write("/etc/localtime", clock::zone_file(ZONE));
    let mut tried = BTreeSet::new();
    for row in ROWS {
        let (policy, who, place, _, asked) = *row;
        let is_a_person = people.iter().any(|name| who.split(' ').next() == Some(name));
        if is_a_person
            && let Some(from) = address(place)
            && tried.insert((policy, asked, who.contains("required")))
        {
            walk(&host, *row, from);
        }
    }
    assert!(tried.len() >= 12, "{}", tried.len());
}

/// The user of a row comes from its address, with the password and, where a code is asked for, with a
/// right one of those who have one.
fn walk(host: &Running, row: Row, from: &str) {
    let (policy, who, _, at, asked) = row;
    let now = Zone::of_rule(ZONE).unwrap().moment(at).unwrap();
    host.set_clock(now);
    host.write(POLICY, policy);
    let mut words = who.split(' ');
    let user = words.next().unwrap();
    let (known, groups): (Vec<_>, Vec<_>) =
        words.partition(|word| ["enrolled", "required"].contains(word));
    let is_enrolled = known.contains(&"enrolled");
    let is_required = known.contains(&"required");
    host.shell(&format!("usermod -G '{}' {user}", groups.join(",")));
    let code = if is_enrolled {
        host.enrol_by_clock(user, &["totp"]).device.code_at_step(now / 30)
    } else {
        "000000".to_owned()
    };
    if is_required {
        host.run(&["mfa-setup", "require", user]).ok();
    }
    let (asked, rule) = asked.split_once(" #").unwrap_or((asked, ""));
    let is_asked = asked.starts_with("challenge");

    let seen = host.log().len();
    let mut ssh = host.ssh(user).from(from).open();
    ssh.answer(PASSWORD, "rabbit hole");
    if is_asked {
        ssh.answer(CODE, &code);
    }
    let ended = ssh.end();
    let line = host.wait_for_log_behind(seen, "pam_mfa: outcome=");
    let told = format!("{row:?}\n{line}\n{}", ended.text);

    let days = asked.strip_prefix("notice ");
    let (outcome, reason) = match asked {
        "challenge" if is_enrolled => ("granted", "accepted"),
        _ if is_asked && is_enrolled => ("denied", "outside"),
        _ if is_asked => ("denied", "not_enrolled"),
        "exempt ModeOff" => ("exempt", "mode_off"),
        "exempt NotEnrolled" => ("exempt", "not_enrolled"),
        "exempt Trusted" => ("exempt", "trusted"),
        _ if days.is_some() => ("exempt", "not_required_yet"),
        _ => panic!("{told}"),
    };
    assert!(line.contains(&format!("outcome={outcome} user=\"{user}\"")), "{told}");
    assert!(line.contains(&format!(" reason={reason}")), "{told}");
    let rule = if rule.is_empty() { String::new() } else { format!(" rule={rule}") };
    assert!(line.ends_with(&rule) && line.contains(" rule=") != rule.is_empty(), "{told}");
    assert_eq!(ended.text.contains(CODE), is_asked, "{told}");
    assert_eq!(ended.who.is_some(), outcome != "denied", "{told}");
    if let Some(days) = days {
        assert!(ended.text.contains(&format!(" {days} day")), "{told}");
    }
    if is_enrolled {
        host.setup_by_clock(user, &["reset"]).ok();
    }
    if is_required {
        host.run(&["mfa-setup", "require", user, "--off"]).ok();
    }
}
