//! Remembered logins over a real sshd, and of sudo in login sessions that the kernel knows.

use mfa_tests::clock;
use mfa_tests::pam::Attempt;
use mfa_tests::{Device, Host, Pty, Running};

const POLICY: &str =
    "[policy]\nmode = \"required\"\nremember = \"12h\"\nremember_session = \"10m\"\n";
const CODE: &str = "Verification code: ";
const QUESTION: &str = "Remember this login for 12 hours? [y/N] ";
const REST: &str = "auth required pam_permit.so\naccount required pam_permit.so\n\
                    session required pam_permit.so\n";

/// Some time that the verifier's clock shows.
const NOW: u64 = 1_800_000_000;

fn host(policy: &str) -> (Running, Device) {
    let sudo = format!("auth requisite pam_unix.so nodelay\n{}{REST}", clock::module());
    let host = Host::new()
        .clock()
        .user("alice", "rabbit hole")
        .config(policy)
        .pam("sshd", &format!("{}{REST}", clock::module()))
        .pam("sudo", &sudo)
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        .sshd_example("pam_mfa-key.conf")
        .start();
    host.make_key("alice");
    host.set_clock(NOW);
    let phone = host.enrol_by_clock("alice", &["totp"]).device;
    (host, phone)
}

/// Logs in with the code of that time, and has it remembered.
fn remember(host: &Running, phone: &Device, now: u64) {
    host.set_clock(now);
    let mut ssh = host.ssh("alice").key().open();
    let code = phone.code_at_step(now / 30);
    ssh.answer(CODE, &code).answer(QUESTION, "y").end().let_in("alice");
}

#[track_caller]
fn is_let_in_unasked(host: &Running) {
    let ended = host.ssh("alice").key().open().end();
    assert!(!ended.text.contains(CODE), "{}", ended.text);
    ended.let_in("alice");
}

#[track_caller]
fn is_asked(host: &Running) {
    host.ssh("alice").key().open().answer(CODE, "").end().refused();
}

#[test]
fn a_login_by_key_is_remembered_until_it_ends_and_for_no_other_key_or_address() {
    let (host, phone) = host(POLICY);
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, &phone.code_at_step(NOW / 30)).answer(QUESTION, "").end().let_in("alice");
    is_asked(&host);

    let begun = NOW + 60;
    remember(&host, &phone, begun);
    is_let_in_unasked(&host);
    let line = host.wait_for_log("reason=remembered");
    assert!(line.contains("outcome=granted user=\"alice\" uid=1000 service=sshd"), "{line}");

    host.ssh("alice").key().from("192.0.2.7").open().answer(CODE, "").end().refused();
    host.shell(
        "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/other
         cat /root/.ssh/other.pub >> /home/alice/.ssh/authorized_keys",
    );
    let mut ssh = host.ssh("alice").option("-oIdentityFile=/root/.ssh/other").open();
    ssh.answer(CODE, "").end().refused();

    host.set_clock(begun + 12 * 3_600 - 1);
    is_let_in_unasked(&host);
    host.set_clock(begun + 12 * 3_600 - 2);
    is_asked(&host);
    host.set_clock(begun + 12 * 3_600);
    is_asked(&host);
}

#[test]
fn a_changed_factor_forget_and_policy_end_it() {
    let (host, phone) = host(POLICY);
    let by_clock = |arguments: &[&str]| host.setup_by_clock("alice", arguments);
    remember(&host, &phone, NOW);
    let listed = by_clock(&["remembered", "--json"]).json();
    let login = &listed["remembered"][0];
    assert_eq!((login["by"].as_str(), login["from"].as_str()), (Some("key"), Some("127.0.0.1")));
    assert_eq!(login["until"], "2027-01-15T20:00:00Z");
    let table = by_clock(&["remembered"]).ok();
    assert!(table.contains("1       sshd     127.0.0.1  key"), "{table}");
    by_clock(&["forget", "1"]).ok();
    is_asked(&host);
    assert_eq!(by_clock(&["forget", "1"]).code, Some(2));
    assert_eq!(by_clock(&["remembered"]).ok(), "No login of alice is remembered.\n");

    remember(&host, &phone, NOW + 60);
    by_clock(&["codes", "new", "--json"]).ok();
    is_asked(&host);
    remember(&host, &phone, NOW + 120);
    by_clock(&["add", "totp", "--label", "tablet", "--json", "--no-confirm"]).ok();
    is_asked(&host);
    remember(&host, &phone, NOW + 180);
    by_clock(&["forget", "--all"]).ok();
    is_asked(&host);
    remember(&host, &phone, NOW + 240);
    is_let_in_unasked(&host);
    host.write("/etc/pam_mfa/config.toml", "[policy]\nmode = \"required\"\n");
    is_asked(&host);
}

#[test]
fn another_service_is_asked_whatever_it_claims_of_a_key() {
    let (host, phone) = host(POLICY);
    host.write("/etc/pam.d/other", format!("{}{REST}", clock::module()));
    let attempt = |service| Attempt::new(service, "alice").from("192.0.2.7").after_a_key();
    let code = phone.code_at_step(NOW / 30);
    assert_eq!(attempt("sshd").answer(code).answer("y").run(&host).code(), "PAM_SUCCESS");
    assert_eq!(attempt("sshd").run(&host).code(), "PAM_SUCCESS");
    assert_eq!(attempt("other").run(&host).code(), "PAM_AUTH_ERR");
    host.wait_for_log("service=other rhost=192.0.2.7 tty=- factor=- reason=no_answer");
    let without_key = Attempt::new("sshd", "alice").from("192.0.2.7");
    assert_eq!(without_key.run(&host).code(), "PAM_AUTH_ERR");
}

#[test]
fn a_client_that_can_answer_one_question_only_is_let_in_all_the_same() {
    // sshd's password method fails at any question whose answer is shown.
    let stack = format!(
        "auth required pam_mfa.so forward_pass\nauth requisite pam_unix.so use_first_pass nodelay\n{}{REST}",
        clock::module()
    );
    let host = Host::new()
        .clock()
        .user("alice", "rabbit hole")
        .config(&format!("{POLICY}without_key = true\n"))
        .pam("sshd", &stack)
        .sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication no\n")
        .start();
    host.set_clock(NOW);
    let phone = host.enrol_by_clock("alice", &["totp"]).device;
    let mut ssh = host.ssh("alice").methods("password").open();
    let both = format!("rabbit hole{}", phone.code_at_step(NOW / 30));
    ssh.answer("password: ", &both).end().let_in("alice");
    let listed = host.setup_by_clock("alice", &["remembered", "--json"]).json();
    assert_eq!(listed["remembered"].as_array().unwrap().len(), 0);
}

/// A terminal in a login session of its own, as `pam_loginuid` begins one, where alice uses sudo twice:
/// the second time after a line is typed.
fn sudo_twice(host: &Running) -> Pty {
    host.terminal(
        "echo 1000 > /proc/self/loginuid
         as='setpriv --reuid alice --regid alice --init-groups'
         $as sudo -k echo done once
         # sudo throws away what was typed when it ends.
         echo once is over
         read line
         $as sudo -k echo done twice",
    )
}

fn give_password(terminal: &mut Pty) {
    terminal.expect("password for alice: ");
    terminal.send_line("rabbit hole");
}

#[test]
fn sudo_asks_once_in_ten_minutes_of_a_session_and_in_every_other_session() {
    let (host, phone) = host(POLICY);
    let [mut first, mut second] = [sudo_twice(&host), sudo_twice(&host)];
    give_password(&mut first);
    first.expect(CODE);
    first.send_line(&phone.code_at_step(NOW / 30));
    first.expect("done once");
    // Another terminal knows nothing of it.
    give_password(&mut second);
    second.expect(CODE);
    host.set_clock(NOW + 60);
    second.send_line(&phone.code_at_step(NOW / 30 + 2));
    second.expect("done once");

    host.set_clock(NOW + 599);
    first.expect("once is over");
    first.send_line("");
    give_password(&mut first);
    first.expect("done twice");
    let line = host.wait_for_log("reason=remembered");
    assert!(line.contains("user=\"alice\"") && line.contains("service=sudo"), "{line}");
    let listed = host.setup_by_clock("alice", &["remembered", "--json"]).json();
    let by = |n: usize| listed["remembered"][n]["by"].as_str();
    assert_eq!((by(0), by(1), by(2)), (Some("session"), Some("session"), None));

    host.set_clock(NOW + 60 + 600);
    second.expect("once is over");
    second.send_line("");
    give_password(&mut second);
    second.expect(CODE);
}

#[test]
fn sudo_outside_of_a_login_session_is_asked_each_time() {
    let (host, phone) = host(POLICY);
    let mut terminal = host.terminal(
        "as='setpriv --reuid alice --regid alice --init-groups'
         echo 4294967295 > /proc/self/loginuid
         cat /proc/self/sessionid; echo
         $as sudo -k echo done once
         $as sudo -k echo done twice",
    );
    // proc(5) has no name for it: none.
    terminal.expect("4294967295");
    give_password(&mut terminal);
    terminal.expect(CODE);
    terminal.send_line(&phone.code_at_step(NOW / 30));
    terminal.expect("done once");
    give_password(&mut terminal);
    terminal.expect(CODE);
    assert!(host.logged_by_now("action=remember").is_empty());
}
