//! `SELinux`, with Debian's policy and ours. People are unconfined, as Debian has them, but for two.

use mfa_tests::Machine;
use mfa_tests::person::{CODE, PASSWORD};

use crate::everyday::{self, SECRET, SHELL, enrol, log_in, said};

/// A `sendmail` that tries what it should not, and tells.
const CURIOUS: &str = "#!/usr/bin/python3
import os, sys
sys.stdin.read()
for place, look in (('the key', open), ('the records', os.listdir)):
    try:
        look({'the key': '/etc/pam_mfa/store.key', 'the records': '/var/lib/pam_mfa/users'}[place])
        print('saw', place, file=sys.stderr)
    except PermissionError:
        pass
sys.exit('ran as ' + open('/proc/self/attr/current').read())
";

/// Says whether it can connect to root's socket, which anybody may by its mode for once.
const CONNECT: &str =
    "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/run/pam_mfa/root.sock\")'";

#[test]
fn people_do_what_they_do_in_enforcing_mode_and_programs_are_refused_what_is_not_theirs() {
    let mut machine = Machine::boot("security=selinux selinux=1 enforcing=1");
    assert_eq!(machine.shell("getenforce"), "Enforcing\n");
    files_have_their_types_whoever_makes_them(&machine);
    everyday::live(&mut machine);
    a_verifier_has_its_domain_whoever_starts_it(&machine);
    confined_people_reach_a_verifier(&machine);
    let refused = machine.denials();
    let (asked_for, others): (Vec<_>, Vec<_>) = refused
        .into_iter()
        .filter(|event| event.contains("mfa"))
        .partition(|event| event.contains(":user_t:") && event.contains("root.sock"));
    assert!(!asked_for.is_empty() && others.is_empty(), "{others:#?}");

    what_sends_mail_sees_neither_key_nor_records(&machine);
}

fn type_of(machine: &Machine, path: &str) -> String {
    let context = machine.shell(&format!("stat --format %C {path}"));
    context.split(':').nth(2).unwrap().to_owned()
}

fn files_have_their_types_whoever_makes_them(machine: &Machine) {
    let listening = "mfa-verifier.socket mfa-verifier.service mfa-verifier-users.service";
    let afresh = |unit: &str| {
        machine.shell(&format!(
            "systemctl stop {listening} mfa-verifier-user.socket
             rm -r /run/pam_mfa /var/lib/pam_mfa
             systemctl start {unit}
             until ls /run/pam_mfa/*.sock >/dev/null 2>&1; do sleep 0.1; done"
        ));
        assert_eq!(type_of(machine, "/run/pam_mfa"), "mfa_runtime_t", "{unit}");
    };
    for unit in ["mfa-verifier-user.socket", "mfa-verifier-users.service"] {
        afresh(unit);
        assert_eq!(type_of(machine, "/run/pam_mfa/user.sock"), "mfa_user_runtime_t", "{unit}");
        assert_eq!(type_of(machine, "/var/lib/pam_mfa"), "mfa_store_t", "{unit}");
    }
    afresh("mfa-verifier.socket");
    assert_eq!(type_of(machine, "/run/pam_mfa/root.sock"), "mfa_runtime_t");
    // Key and store, as an administrator makes them.
    machine.shell(&format!(
        "systemctl stop {listening}
         rm /etc/pam_mfa/store.key
         mfa-setup init
         systemctl start mfa-verifier.socket mfa-verifier-users.service"
    ));
    assert_eq!(type_of(machine, "/etc/pam_mfa/store.key"), "mfa_key_t");
    assert_eq!(type_of(machine, "/var/lib/pam_mfa"), "mfa_store_t");
    assert_eq!(type_of(machine, "/var/lib/pam_mfa/users"), "mfa_store_t");
}

/// The domains of what runs by this name.
fn domains_of(machine: &Machine, program: &str) -> Vec<String> {
    let said = machine.shell(&format!("ps -o label= -C {program} || true"));
    let mut domains: Vec<_> =
        said.lines().map(|label| label.split(':').nth(2).unwrap().to_owned()).collect();
    domains.dedup();
    domains
}

fn a_verifier_has_its_domain_whoever_starts_it(machine: &Machine) {
    // systemd has started both that stay.
    assert_eq!(domains_of(machine, "mfa-verifier"), ["mfa_verifier_t"]);
    machine.shell(
        "systemctl stop mfa-verifier.socket mfa-verifier.service mfa-verifier-users.service",
    );
    assert!(domains_of(machine, "mfa-verifier").is_empty());
    let mut ssh = machine.ssh("alice", &[], SHELL);
    ssh.expect(PASSWORD);
    ssh.send_line(SECRET);
    ssh.expect(CODE);
    assert_eq!(domains_of(machine, "mfa-verifier"), ["mfa_verifier_t"]);
    ssh.send_line("");
    ssh.end();
    machine.shell("systemctl start mfa-verifier.socket mfa-verifier-users.service");
}

/// bob is `user_u`, carol `staff_u`.
fn confined_people_reach_a_verifier(machine: &Machine) {
    let mut token = enrol(machine, "bob", "hotp");
    let mut bob = log_in(machine, "bob", Some(&token.code()));
    assert!(said(&mut bob, "id -Z").contains(":user_t:"));
    said(&mut bob, "mfa-setup status");
    machine.shell("chmod 666 /run/pam_mfa/root.sock");
    bob.send_line(CONNECT);
    bob.expect("Permission denied");

    let mut hers = enrol(machine, "carol", "hotp");
    let mut carol = log_in(machine, "carol", Some(&hers.code()));
    assert!(said(&mut carol, "id -Z").contains(":staff_t:"));
    for resides in [true, false] {
        if !resides {
            machine.shell("systemctl stop mfa-verifier.socket mfa-verifier.service");
        }
        everyday::su(&mut carol, &token.code());
        carol.send_line("sudo -k; sudo id -Z");
        carol.expect("password for carol: ");
        carol.send_line(SECRET);
        carol.expect(CODE);
        assert_eq!(domains_of(machine, "mfa-verifier"), ["mfa_verifier_t"]);
        carol.send_line(&hers.code());
        carol.expect(":sysadm_t:");
    }
    machine.shell("systemctl start mfa-verifier.socket");
}

fn what_sends_mail_sees_neither_key_nor_records(machine: &Machine) {
    machine
        .run_with_input("cat > /usr/local/bin/curious; chmod 755 /usr/local/bin/curious", CURIOUS);
    everyday::mail_by(machine, "/usr/local/bin/curious");
    let told = machine.logged("ran as");
    assert!(told.iter().any(|line| line.contains(":mfa_mail_t:")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("saw")), "{told:?}");
    let refused = machine.denials();
    let key = |event: &String| event.contains(":mfa_mail_t:") && event.contains("store.key");
    assert!(refused.iter().any(key), "{refused:#?}");
}
