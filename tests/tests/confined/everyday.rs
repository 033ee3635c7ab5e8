//! What people do with a second factor, whatever confines the programs.

use std::time::Duration;

use mfa_tests::host::Enrolled;
use mfa_tests::person::{self, CODE, KEPT, LABEL, OWN_CODE, PASSWORD};
use mfa_tests::waiting::until_within;
use mfa_tests::{Backup, Device, Machine, Pty, USED};
use serde_json::Value;

/// What everybody's password is.
pub const SECRET: &str = "rabbit hole";

/// What the shells of these tests say when a command has ended, and what they are started by.
const READY: &str = "ready> ";
pub const SHELL: &str = "PS1='ready> ' exec bash --noprofile --norc --noediting";

/// A shell over ssh, for who has the password and this code.
pub fn log_in(machine: &Machine, user: &str, code: Option<&str>) -> Pty {
    let mut shell = machine.ssh(user, &[], SHELL);
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    if let Some(code) = code {
        shell.expect(CODE);
        shell.send_line(code);
    }
    shell.expect(READY);
    shell
}

/// What sshd says to who has the password and a code that is none.
pub fn refused(machine: &Machine, user: &str, code: &str) -> String {
    let mut ssh = machine.ssh(user, &[], "echo got in");
    ssh.expect(PASSWORD);
    ssh.send_line(SECRET);
    ssh.expect(CODE);
    ssh.send_line(code);
    let (status, told) = ssh.end();
    assert_eq!(status, Some(255), "{}", ssh.text());
    assert!(told.contains("Permission denied") && !told.contains("got in"), "{told}");
    told
}

/// The exit code of the command that was typed last.
#[track_caller]
pub fn ended(shell: &mut Pty) -> i32 {
    shell.expect(READY);
    shell.send_line("echo ended $?,");
    shell.expect("\nended ");
    let code = shell.expect(",").parse().unwrap();
    shell.expect(READY);
    code
}

/// What a command shows that asks nothing.
#[track_caller]
pub fn said(shell: &mut Pty, command: &str) -> String {
    shell.send_line(command);
    shell.expect("\n");
    let said = shell.expect(READY);
    shell.send_line("echo ended $?,");
    shell.expect("\nended ");
    assert_eq!(shell.expect(","), "0", "{said}");
    shell.expect(READY);
    said
}

/// Enrols a device for somebody, as root does: `hotp --label token`.
pub fn enrol(machine: &Machine, user: &str, device: &str) -> Device {
    let add = format!("mfa-setup add {device} --user {user} --json --yes --no-confirm");
    let answer: Value = machine.run(&add).json();
    Device::from_uri(answer["uri"].as_str().unwrap())
}

/// All of it, with every code that alice and bob have. They have none before.
pub fn live(machine: &mut Machine) {
    let Enrolled { device: mut phone, mut backup } = enrols_in_a_shell(machine);
    // The verifier that stays is started by the first who asks.
    let mut shell = log_in(machine, "alice", Some(&phone.code()));
    assert_eq!(machine.shell("systemctl is-active mfa-verifier.service"), "active\n");
    // Codes that are good for long, since everything takes long here.
    let mut bob = enrol(machine, "bob", "totp --period 300");
    let code = bob.code();
    log_in(machine, "bob", Some(&code));
    assert!(refused(machine, "bob", &code).contains(USED));
    assert!(!refused(machine, "bob", &bob.wrong_code()).contains(USED));
    let mut bob = enrol(machine, "bob", "hotp --label token");

    // In one shell: codes anew, another device and none of it again, sudo and su.
    shell.send_line("mfa-setup codes new --yes");
    shell.expect(PASSWORD);
    shell.send_line("looking glass");
    assert_eq!(ended(&mut shell), 1);
    shell.send_line("mfa-setup codes new --yes");
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    shell.expect(OWN_CODE);
    shell.send_line(&backup.code());
    let sheet = shell.expect(READY);
    backup.codes = person::numbered(&sheet);
    assert_eq!(backup.codes.len(), 4, "{sheet}");

    shell.send_line("mfa-setup add hotp --label token");
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    shell.expect(OWN_CODE);
    shell.send_line(&backup.code());
    let key = person::key_on_screen(&mut shell);
    let mut token = Device::from_uri(&format!("otpauth://hotp/x?secret={key}&counter=0"));
    shell.send_line(&token.code());
    assert_eq!(ended(&mut shell), 0, "{}", shell.text());
    let status: Value = serde_json::from_str(&said(&mut shell, "mfa-setup status --json")).unwrap();
    assert_eq!(status["devices"].as_array().unwrap().len(), 2, "{status}");

    sudo(&mut shell, &token.code());
    su(&mut shell, &bob.code());

    // Without one that stays, each of them starts a verifier.
    machine.shell("systemctl stop mfa-verifier.socket mfa-verifier.service");
    log_in(machine, "alice", Some(&token.code()));
    refused(machine, "alice", &token.wrong_code());
    sudo(&mut shell, &token.code());
    su(&mut shell, &bob.code());
    let again: Value = machine.run("mfa-setup status --user bob --json").json();
    assert_eq!(again["enrolled"], true, "{again}");
    assert_eq!(machine.shell("systemctl is-active mfa-verifier.service || true"), "inactive\n");
    machine.shell("systemctl start mfa-verifier.socket");

    at_the_terminal(machine, &token.code());

    mail(machine, &mut shell, &mut token);

    shell.send_line("mfa-setup remove token --yes");
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    shell.expect(OWN_CODE);
    shell.send_line(&backup.code());
    assert_eq!(ended(&mut shell), 0, "{}", shell.text());

    machine.shell(
        "mfa-setup --user bob reset --yes; mfa-setup check; mfa-setup explain alice --service sshd",
    );
    machine.shell("systemctl restart mfa-verifier.service mfa-verifier-users.service");
    log_in(machine, "alice", Some(&backup.code()));
    said(&mut shell, "mfa-setup status");
}

/// alice enrols a phone with nobody's help.
fn enrols_in_a_shell(machine: &Machine) -> Enrolled {
    let mut shell = log_in(machine, "alice", None);
    shell.send_line("mfa-setup");
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    shell.expect(LABEL);
    shell.send_line("");
    let mut device = person::app(&mut shell);
    shell.send_line(&device.code());
    let codes = person::numbered(&shell.expect(KEPT));
    shell.send_line(&codes[0]);
    assert_eq!(ended(&mut shell), 0, "{}", shell.text());
    Enrolled { device, backup: Backup { codes } }
}

fn sudo(shell: &mut Pty, code: &str) {
    shell.send_line("sudo -k; sudo id -un");
    shell.expect("password for alice: ");
    shell.send_line(SECRET);
    shell.expect(CODE);
    shell.send_line(code);
    shell.expect("\nroot");
    shell.expect(READY);
}

pub fn su(shell: &mut Pty, code: &str) {
    shell.send_line("su bob -c 'id -un'");
    shell.expect(PASSWORD);
    shell.send_line(SECRET);
    shell.expect(CODE);
    shell.send_line(code);
    shell.expect("\nbob");
    shell.expect(READY);
}

fn at_the_terminal(machine: &mut Machine, code: &str) {
    let console = machine.console();
    console.send_line("alice");
    console.expect(PASSWORD);
    console.send_line(SECRET);
    console.expect(CODE);
    console.send_line(code);
    console.expect("$ ");
    console.send_line("echo in as $USER; exit");
    console.expect("in as alice");
    console.expect("server login: ");
}

/// Codes by mail: to a server, and by a sendmail; asked for by alice's mfa-setup, and at a login.
fn mail(machine: &Machine, shell: &mut Pty, token: &mut Device) {
    machine.shell(
        "systemd-run --quiet --unit=mail-server python3 /usr/local/bin/mail-server.py plain 25
         until ss -Hltn sport = 25 | grep -q .; do sleep 0.1; done
         echo 'account default\nhost 127.0.0.1\nauth off\ntls off' > /etc/msmtprc
         cp /etc/pam_mfa/config.toml /root/config.toml",
    );
    for (label, way) in [("server", "smtp = \"smtp://localhost\""), ("program", "")] {
        let before = machine.letters().len();
        send_mail_by(machine, way);
        shell.send_line(&format!("mfa-setup add email --label {label}"));
        shell.expect(PASSWORD);
        shell.send_line(SECRET);
        shell.expect(OWN_CODE);
        shell.send_line(&token.code());
        shell.expect("E-mail address: ");
        shell.send_line(&format!("{label}@example.org"));
        shell.expect("The code that was sent");
        shell.send_line(&code_in_letter(machine, before, label));
        assert_eq!(ended(shell), 0, "{}", shell.text());

        let before = machine.letters().len();
        let mut ssh = machine.ssh("alice", &[], SHELL);
        ssh.expect(PASSWORD);
        ssh.send_line(SECRET);
        ssh.expect(CODE);
        ssh.send_line("?");
        ssh.expect("Which one, by number or name? ");
        ssh.send_line(label);
        ssh.expect("on its way");
        ssh.send_line(&code_in_letter(machine, before, label));
        ssh.expect(READY);
    }
    machine.shell("cp /root/config.toml /etc/pam_mfa; systemctl stop mail-server");
}

/// Has mail sent this way.
fn send_mail_by(machine: &Machine, way: &str) {
    let policy =
        format!("[policy]\nmode = \"optional\"\n[email]\nfrom = \"mfa@example.org\"\n{way}\n");
    let written = machine.run_with_input("cat > /etc/pam_mfa/config.toml", &policy);
    written.ok();
}

/// Root has a mail sent to alice by this program. Whatever becomes of it.
pub fn mail_by(machine: &Machine, program: &str) {
    send_mail_by(machine, &format!("sendmail = \"{program}\""));
    let mut setup = machine.terminal("mfa-setup --user alice add email");
    setup.expect("E-mail address: ");
    setup.send_line("alice@example.org");
    setup.end();
}

/// The code in a letter to this mailbox, behind the first `before` letters; others tell of what was changed.
fn code_in_letter(machine: &Machine, before: usize, label: &str) -> String {
    let mailbox = format!("{label}@example.org");
    let mut code = String::new();
    until_within(Duration::from_secs(60), "a letter with a code came", || {
        let letters = machine.letters();
        let sent = letters.iter().skip(before).filter(|letter| letter["recipients"][0] == mailbox);
        let codes = sent.map(|letter| letter["body"].as_str().unwrap()[..6].to_owned());
        code = codes.into_iter().find(|code| code.parse::<u32>().is_ok()).unwrap_or_default();
        !code.is_empty()
    });
    code
}
