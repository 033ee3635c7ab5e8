//! The `AppArmor` profile, loaded as the guide says, by a kernel that has it.

use mfa_tests::{Machine, readme};

use crate::everyday;

/// A `sendmail` that the profile does not know.
const FOREIGN: &str = "#!/bin/sh\ncat >/dev/null\nlogger foreign program ran\n";

#[test]
fn people_do_what_they_do_under_the_profile_and_programs_are_refused_what_is_not_theirs() {
    let mut machine = Machine::boot("security=apparmor");
    let typed = readme::typed_by_root("## AppArmor");
    let typed: Vec<&str> = typed.lines().collect();
    let [complain, enforce, restart, remove] = typed[..] else { panic!("{typed:?}") };
    machine.shell(complain);
    assert_eq!(mode(&machine), "complain");
    machine.shell(enforce);
    assert_eq!(mode(&machine), "enforce");
    machine.shell(restart);
    machine.shell("until pgrep -x mfa-verifier >/dev/null; do sleep 0.1; done");
    assert_eq!(confinement(&machine), ["pam_mfa (enforce)"]);

    everyday::live(&mut machine);
    assert_eq!(confinement(&machine), ["pam_mfa (enforce)"]);
    let refused = machine.denials();
    assert!(!refused.iter().any(|event| event.contains("pam_mfa")), "{refused:#?}");

    machine.shell(&format!(
        "cat > /usr/local/bin/foreign <<'END'\n{FOREIGN}END
         chmod 755 /usr/local/bin/foreign"
    ));
    everyday::mail_by(&machine, "/usr/local/bin/foreign");
    assert!(machine.logged("foreign program ran").is_empty());
    let refused = machine.denials();
    let of_exec = |event: &String| {
        event.contains("profile=\"pam_mfa\"") && event.contains("name=\"/usr/local/bin/foreign\"")
    };
    assert!(refused.iter().any(of_exec), "{refused:#?}");

    machine.shell(remove);
    assert_eq!(mode(&machine), "");
}

/// The profile's, as the kernel has it.
fn mode(machine: &Machine) -> String {
    let profiles = machine.shell("cat /sys/kernel/security/apparmor/profiles");
    let ours = profiles.lines().find_map(|line| line.strip_prefix("pam_mfa ("));
    ours.unwrap_or_default().trim_end_matches(')').to_owned()
}

/// What confines the verifiers that run.
fn confinement(machine: &Machine) -> Vec<String> {
    let said = machine.shell(
        "for pid in $(pgrep -x mfa-verifier); do cat /proc/$pid/attr/apparmor/current; done",
    );
    let mut confined: Vec<_> = said.lines().map(str::to_owned).collect();
    confined.dedup();
    confined
}
