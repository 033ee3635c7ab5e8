//! login(1), su and sudo, each at a terminal of the host, set up as `config/pam.d/` shows it.

use mfa_tests::{Device, Host, Running};

const CODE: &str = "Verification code: ";

fn host() -> (Running, Device, Device) {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config("[policy]\nmode = \"optional\"\n")
        .pam_example("login", "login")
        .pam_example("su", "su")
        .pam_example("su-l", "su")
        .pam_example("sudo", "sudo")
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        .start();
    let (alice, bob) = (host.enrol("alice").device, host.enrol("bob").device);
    (host, alice, bob)
}

#[test]
fn login_asks_for_password_and_code() {
    let (host, mut alice, _) = host();
    let code = alice.code();
    let mut login = host.terminal("/bin/login");
    login.expect("login: ");
    login.send_line("alice");
    login.expect("Password: ");
    login.send_line("rabbit hole");
    login.expect(CODE);
    login.send_line(&code);
    login.expect("$ ");
    login.send_line("id -un; exit");
    login.expect("alice");
    login.end();
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("service=login"), "{line}");
    assert!(line.contains("rhost=- tty=/dev/pts/"), "{line}");

    let mut login = host.terminal("/bin/login alice");
    login.expect("Password: ");
    login.send_line("rabbit hole");
    login.expect(CODE);
    login.send_line(&code);
    login.expect("This code was already used; wait for the next one.");
    login.expect("Login incorrect");
}

#[test]
fn su_asks_for_password_and_code_of_the_one_that_is_become() {
    let (host, alice, mut bob) = host();
    let su = |code: &str| {
        let mut su =
            host.terminal("setpriv --reuid alice --regid alice --init-groups su bob -c 'id -un'");
        su.expect("Password: ");
        su.send_line("walrus");
        su.expect(CODE);
        su.send_line(code);
        su.end()
    };
    let (code, shown) = su(&bob.code());
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("bob"), "{shown}");
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("user=\"bob\"") && line.contains("service=su"), "{line}");
    assert_ne!(su(&alice.code_at_step(alice.step())).0, Some(0), "the caller's code is not bob's");

    // Root is asked for nothing.
    assert_eq!(host.run(&["su", "bob", "-c", "id -un"]).ok(), "bob\n");
}

#[test]
fn sudo_asks_for_password_and_code_of_the_caller() {
    let (host, mut alice, _) = host();
    let sudo = |code: &str| {
        let mut sudo =
            host.terminal("setpriv --reuid alice --regid alice --init-groups sudo -k id -un");
        sudo.expect("password for alice: ");
        sudo.send_line("rabbit hole");
        sudo.expect(CODE);
        sudo.send_line(code);
        sudo
    };
    let code = alice.code();
    let (status, shown) = sudo(&code).end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("root"), "{shown}");
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("user=\"alice\"") && line.contains("service=sudo"), "{line}");

    let mut again = sudo(&code);
    // sudo forbids its modules to say anything (PAM_SILENT); the log tells.
    host.wait_for_log("reason=already_used");
    again.expect("Sorry, try again.");
    again.expect("password for alice: ");
    again.send("\x03");
    assert_ne!(again.end().0, Some(0));
}
