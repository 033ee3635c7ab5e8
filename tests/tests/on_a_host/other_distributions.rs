//! The stacks for Fedora and Arch: the examples in `config/pam.d-fedora` and `config/pam.d-arch`, and the
//! profile of authselect, through libpam.
//!
//! libpam and its modules are Debian's. What the examples include is written here as these distributions
//! have it; `pam_sss.so` is not in Debian, and where somebody is to be let in by it another module stands in.

use std::collections::BTreeSet;
use std::fs;

use mfa_tests::pam::{Attempt, Call, Function, Plan, Report, Surroundings, run};
use mfa_tests::{Device, Host, Running, authselect, cache};

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

/// Fedora's, as authselect's profile `local` gives them: a right password ends the stack.
const FEDORA: &str = "auth required pam_env.so\n\
                      auth sufficient pam_unix.so nullok\n\
                      auth required pam_deny.so\n\
                      account required pam_unix.so\n\
                      session required pam_unix.so\n";

/// Arch's, of its package pambase.
const ARCH: [(&str, &str); 4] = [
    (
        "system-auth",
        "auth required pam_faillock.so preauth\n\
         -auth [success=2 default=ignore] pam_systemd_home.so\n\
         auth [success=1 default=bad] pam_unix.so try_first_pass nullok\n\
         auth [default=die] pam_faillock.so authfail\n\
         auth optional pam_permit.so\n\
         auth required pam_env.so\n\
         auth required pam_faillock.so authsucc\n\
         account required pam_unix.so\n",
    ),
    (
        "system-login",
        "auth required pam_shells.so\n\
         auth requisite pam_nologin.so\n\
         auth include system-auth\n\
         account include system-auth\n",
    ),
    ("system-local-login", "auth include system-login\naccount include system-login\n"),
    ("system-remote-login", "auth include system-login\naccount include system-login\n"),
];

#[test]
fn the_stacks_for_fedora_ask_for_a_code_after_a_right_password_and_after_no_other() {
    let included = ["system-auth", "password-auth"].map(|name| (name, FEDORA));
    examples_ask("fedora", &[&included[..], &[("postlogin", "")]].concat());
}

#[test]
fn the_stacks_for_arch_ask_for_a_code_after_a_right_password_and_after_no_other() {
    examples_ask("arch", &ARCH);
}

fn examples_ask(distribution: &str, included: &[(&str, &str)]) {
    let examples = cache::tree().join(format!("config/pam.d-{distribution}"));
    let mut services = BTreeSet::new();
    let mut host = host();
    for (name, stack) in included {
        host = host.pam(name, &at_once(stack));
    }
    for example in fs::read_dir(examples).unwrap().flatten() {
        let name = example.file_name().into_string().unwrap();
        host = host.pam(&name, &at_once(&fs::read_to_string(example.path()).unwrap()));
        services.insert(name);
    }
    let all = ["login", "mfa-setup", "sshd", "sshd-forward-pass", "sshd-key", "su", "sudo"];
    assert_eq!(services, all.map(str::to_owned).into());
    let host = host.start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    for service in ["login", "sshd", "sudo"] {
        asks(&host, service, &mut token);
    }
    // Root is asked nothing, so somebody else calls it.
    let by_bob = Surroundings { real_uid: Some(1001), ..Surroundings::default() };
    asks_in(&host, by_bob, "su", &mut token);
    // The password and the code at one question; and one that is wrong, before a right code.
    let code = token.code();
    let one = |answer: &str| Attempt::new("sshd-forward-pass", "alice").answer(answer).run(&host);
    assert_eq!(one(&format!("walrus{code}")).code(), "PAM_AUTH_ERR");
    assert_eq!(one(&format!("rabbit hole{}", token.wrong_code())).code(), "PAM_AUTH_ERR");
    assert_eq!(one(&format!("rabbit hole{code}")).code(), "PAM_SUCCESS");
    let key = |code: &str| Attempt::new("sshd-key", "alice").after_a_key().answer(code).run(&host);
    assert_eq!(key(&token.wrong_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(key(&token.code()).code(), "PAM_SUCCESS");
    // Who changes the own second factor is not asked for it by the stack.
    let report = Attempt::new("mfa-setup", "alice").answer("rabbit hole").run(&host);
    assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec![PASSWORD]));
    assert_eq!(with_password(&host, "mfa-setup", "walrus").code(), "PAM_AUTH_ERR");

    for service in services {
        let account = Attempt::new(&service, "alice").calls([Call::new(Function::AcctMgmt)]);
        assert_eq!(account.run(&host).code(), "PAM_SUCCESS", "{service}");
    }

    // With enrolment at login more is at stake, and `check` looks at stacks.
    host.write("/etc/pam_mfa/config.toml", "[policy]\nenrol_at_login = \"anybody\"\n");
    let said = host.run(&["mfa-setup", "check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let text = said.stdout + &said.stderr;
    for service in ["login", "sshd", "sshd-forward-pass", "su", "sudo"] {
        assert!(!text.contains(&format!("/etc/pam.d/{service}:")), "{text}");
    }
}

#[test]
fn the_profile_of_authselect_asks_for_a_code_whatever_else_is_enabled() {
    let host = host().start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    for (service, control) in [("included", "include"), ("taken", "substack")] {
        for file in ["system-auth", "password-auth"] {
            let stack = format!("auth {control} {file}\naccount include {file}\n");
            host.write(format!("/etc/pam.d/{service}-{file}"), stack);
        }
    }
    let features = ["with-mfa", "with-sssd", "with-faillock", "without-nullok"];
    for bits in 0..1 << features.len() {
        let all = features.iter().enumerate();
        let enabled: Vec<_> =
            all.filter(|(n, _)| bits & 1 << n != 0).map(|(_, feature)| *feature).collect();
        for file in ["system-auth", "password-auth"] {
            let stack = at_once(&rendered(file, &enabled));
            let sssd_knows_nobody = stack.replace("pam_sss.so", "pam_debug.so auth=user_unknown");
            host.write(format!("/etc/pam.d/{file}"), sssd_knows_nobody);
        }
        for service in ["included-system-auth", "taken-password-auth"] {
            host.shell("mkdir -p /run/faillock; rm -f /run/faillock/*");
            if enabled.contains(&"with-mfa") {
                asks(&host, service, &mut token);
            } else {
                let report = with_password(&host, service, "rabbit hole");
                assert_eq!((report.code(), report.asked()), ("PAM_SUCCESS", vec![PASSWORD]));
                assert_eq!(with_password(&host, service, "walrus").code(), "PAM_AUTH_ERR");
            }
        }
    }
    // Whom SSSD lets in is asked, too.
    let stack = rendered("system-auth", &["with-mfa", "with-sssd", "with-faillock"]);
    assert!(stack.contains(" pam_sss.so "), "{stack}");
    host.shell("mkdir -p /run/faillock; rm -f /run/faillock/*");
    let stack = at_once(&stack).replace("pam_sss.so", "pam_debug.so auth=success");
    host.write("/etc/pam.d/system-auth", stack);
    let log_in = |code: &str| {
        let attempt = Attempt::new("included-system-auth", "alice");
        attempt.answer("what SSSD knows").answer(code).run(&host)
    };
    assert_eq!(log_in(&token.wrong_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(log_in(&token.code()).code(), "PAM_SUCCESS");
}

/// A question for the code tells that the password was right, and whose account is locked tries passwords.
#[test]
fn the_profile_of_authselect_asks_nobody_for_a_code_whose_account_is_locked() {
    let host = host().file("/etc/security/faillock.conf", "deny = 2\n").start();
    host.shell("mkdir -p /run/faillock");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    for file in ["system-auth", "password-auth"] {
        host.write(
            format!("/etc/pam.d/{file}"),
            at_once(&rendered(file, &["with-mfa", "with-faillock"])),
        );
    }
    for (service, control, file) in
        [("included", "include", "system-auth"), ("taken", "substack", "password-auth")]
    {
        let stack = format!("auth {control} {file}\naccount include {file}\n");
        host.write(format!("/etc/pam.d/{service}"), stack);
        let attempt = |password: &str, code: &str| {
            Attempt::new(service, "alice").answer(password).answer(code)
        };
        let refused = |password: &str, code: &str| {
            let report = attempt(password, code).run(&host);
            assert_eq!(report.code(), "PAM_AUTH_ERR", "{service}");
            report.shown
        };
        let lets_in = |code: &str| {
            let calls = [Call::authenticate(), Call::new(Function::AcctMgmt)];
            let report = attempt("rabbit hole", code).calls(calls).run(&host);
            assert_eq!(report.returned, ["PAM_SUCCESS", "PAM_SUCCESS"], "{service}: {report:#?}");
        };
        // A login forgets what was wrong before it.
        let code = token.code();
        refused("walrus", &code);
        lets_in(&code);
        let code = token.code();
        refused("walrus", &code);
        refused("walrus", &code);
        assert_eq!(refused("rabbit hole", &code), refused("walrus", &code), "{service}");
        host.shell("faillock --user alice --reset");
        lets_in(&code);
    }
}

/// authselect replaces the whole of the file, and what has no line is looked up by glibc's own idea.
#[test]
fn the_profile_of_authselect_says_where_each_name_is_looked_up() {
    let host = host().start();
    let all =
        ["with-altfiles", "with-libvirt", "with-mdns4", "with-sssd", "with-subid", "with-sudo"];
    for enabled in [&[][..], &["with-sssd"], &all] {
        let switch = rendered("nsswitch.conf", enabled);
        let databases: Vec<_> = switch.lines().filter_map(|line| line.split_once(':')).collect();
        let sources = |name: &str| {
            let of = databases.iter().find(|(database, _)| *database == name);
            of.map(|(_, sources)| sources.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        // nsswitch.conf(5) has these and two that no host has had for decades.
        for name in [
            "aliases",
            "ethers",
            "group",
            "gshadow",
            "hosts",
            "netgroup",
            "networks",
            "passwd",
            "protocols",
            "publickey",
            "rpc",
            "services",
            "shadow",
        ] {
            let sources = sources(name).unwrap_or_else(|| panic!("{name}: {switch}"));
            assert!(sources.starts_with("files"), "{switch}");
        }
        assert!(sources("hosts").unwrap().ends_with(" resolve [!UNAVAIL=return] dns"), "{switch}");
        let sssd = enabled.contains(&"with-sssd");
        let users = sources("passwd").unwrap();
        assert_eq!(users.contains(" sss "), sssd, "{switch}");
        assert_eq!(users.contains(" altfiles "), enabled == all, "{switch}");
        let ids = sources("subid");
        assert_eq!(ids.as_deref(), (enabled == all).then_some("sss"), "{switch}");
        host.write("/etc/nsswitch.conf", &switch);
        for name in ["passwd alice", "group root", "hosts localhost"] {
            host.shell(&format!("getent {name}"));
        }
    }
}

#[test]
fn the_profile_of_authselect_says_what_each_of_its_features_is() {
    let profile = cache::tree().join("packaging/authselect/pam_mfa");
    let readme = fs::read_to_string(profile.join("README")).unwrap();
    let mut features = BTreeSet::new();
    for file in fs::read_dir(profile).unwrap().flatten() {
        let text = fs::read_to_string(file.path()).unwrap();
        features.extend(authselect::features(&text).map(str::to_owned));
    }
    let documented = readme.lines().filter_map(|line| line.strip_suffix("::"));
    assert_eq!(features, documented.map(str::to_owned).collect());
    // What is not of these services has no stack of ours to pass by.
    for file in ["smartcard-auth", "fingerprint-auth"] {
        assert!(rendered(file, &[]).starts_with("auth        required    pam_deny.so\n"));
    }
    // As authselect's own without the feature: the display manager goes on to ask the password's service.
    let switchable = rendered("switchable-auth", &[]);
    let first = switchable.lines().next().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(first, ["auth", "required", "pam_debug.so", "auth=authinfo_unavail"]);
    // And it offers none of the three, whatever a user sets.
    let settings = rendered("dconf-db", &[]);
    let mut lines = settings.lines();
    assert_eq!(lines.next(), Some("[org/gnome/login-screen]"));
    let off = lines
        .map(|line| format!("/org/gnome/login-screen/{}", line.strip_suffix("=false").unwrap()));
    let off: Vec<_> = off.collect();
    assert_eq!(off.len(), 3, "{off:?}");
    assert_eq!(rendered("dconf-locks", &[]).lines().collect::<Vec<_>>(), off);
}

fn host() -> Host {
    Host::new().user("alice", "rabbit hole").config(
        "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
         [lockout]\nper_source = 100\nper_user = 100\n",
    )
}

/// Refusals come at once.
fn at_once(stack: &str) -> String {
    [
        "pam_unix.so",
        "pam_faillock.so preauth",
        "pam_faillock.so authfail",
        "pam_faillock.so authsucc",
    ]
    .iter()
    .fold(stack.to_owned(), |stack, line| stack.replace(line, &format!("{line} nodelay")))
}

/// A right password and a right code let in; nothing less does, and whoever has the password wrong is not
/// asked for a code.
#[track_caller]
fn asks(host: &Running, service: &str, token: &mut Device) {
    asks_in(host, Surroundings::default(), service, token);
}

#[track_caller]
fn asks_in(host: &Running, surroundings: Surroundings, service: &str, token: &mut Device) {
    let attempt = |answers: &[&str]| {
        let attempt = Attempt::new(service, "alice");
        answers.iter().fold(attempt, |attempt, answer| attempt.answer(*answer))
    };
    let code = token.code();
    let attempts = vec![
        attempt(&["walrus", &code]),
        attempt(&["", &code]),
        attempt(&["rabbit hole", &token.wrong_code()]),
        attempt(&["rabbit hole"]),
        attempt(&["rabbit hole", &code]),
        attempt(&["rabbit hole", &code]),
    ];
    let reports = run(host, &Plan { surroundings, attempts, ..Plan::default() });
    let outcomes: Vec<_> =
        reports.iter().map(|report| (report.code(), report.asked().len())).collect();
    let refused = "PAM_AUTH_ERR";
    let expected =
        [(refused, 1), (refused, 1), (refused, 2), (refused, 2), ("PAM_SUCCESS", 2), (refused, 2)];
    assert_eq!(outcomes, expected, "{service}: {reports:#?}");
    assert_eq!(reports[4].asked(), [PASSWORD, CODE], "{service}");
}

fn with_password(host: &Running, service: &str, password: &str) -> Report {
    Attempt::new(service, "alice").answer(password).run(host)
}

/// A file of the profile as authselect writes it.
fn rendered(file: &str, enabled: &[&str]) -> String {
    authselect::rendered(&template(file), enabled)
}

fn template(file: &str) -> String {
    let path = cache::tree().join("packaging/authselect/pam_mfa").join(file);
    fs::read_to_string(path).unwrap()
}
