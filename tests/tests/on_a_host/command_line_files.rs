//! Files that `mfa-setup` reads a key from, and those that it writes for people: pictures and pages.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;

use mfa_tests::Device;
use mfa_tests::command_line::{KEY, failed, host, log_in, setup, setup_with};
use mfa_tests::screen::codes_in;
use serde_json::Value;

#[test]
fn a_key_that_exists_already_is_taken_over_with_its_settings() {
    let host = host();
    let add = |line: &str, input: &str| {
        let line = format!("add {line} --user alice --json --yes --no-confirm");
        setup_with(&host, &line, input).json()
    };
    // As people and vendors write keys.
    let spaced = "gezd gnbv gy3t qojq-gezd gnbv gy3t qojq\r\n";
    host.write("/root/key", format!("{KEY}\n"));
    for (line, input) in [
        ("totp --label a --secret-file -", spaced),
        ("totp --label b --secret-file /root/key --algorithm sha256 --digits 8 --period 60", ""),
        ("hotp --label c --secret-file - --algorithm sha512 --counter 5 --digits 7", KEY),
    ] {
        let added = add(line, input);
        assert_eq!(added["secret"], KEY, "{line}");
        let mut device = Device::from_uri(added["uri"].as_str().unwrap());
        let code = device.code();
        assert_eq!(code.len(), device.digits as usize);
        assert_eq!(log_in(&host, &code), "PAM_SUCCESS", "{line}");
    }
    // A first code can be asked for all the same, and then the app must be right.
    let mut tty = host.pty(&[
        "mfa-setup",
        "add",
        "totp",
        "--label",
        "d",
        "--secret-file",
        "/root/key",
        "--user",
        "alice",
    ]);
    tty.expect("The code that it shows now: ");
    assert!(tty.text().contains("\"a\" has this key already"), "{}", tty.text());
    let mut device = Device::totp(KEY);
    tty.send_line(&device.code());
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
}

#[test]
fn a_picture_of_the_code_is_private_and_says_the_uri() {
    let host = host();
    for (user, name, is_svg) in
        [("alice", "/root/alice.png", false), ("bob", "/root/bob.svg", true)]
    {
        // Even where the umask would let everybody read it.
        let line = format!(
            "umask 0; mfa-setup add totp --user {user} --json --yes --no-confirm --qr {name}"
        );
        let added: Value = host.shell(&line).parse().unwrap();
        let metadata = host.path(name).metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 0));
        let mut picture = host.path(name);
        if is_svg {
            let png = host.path("/root/bob.png");
            let rsvg = std::process::Command::new("rsvg-convert")
                .args([picture.as_os_str(), OsStr::new("-o"), png.as_os_str()])
                .status();
            assert!(rsvg.expect("rsvg-convert").success());
            picture = png;
        }
        assert_eq!(codes_in(&picture), [added["uri"].as_str().unwrap()], "{name}");
    }
}

#[test]
fn an_existing_file_is_not_replaced_without_a_yes() {
    let host = host();
    host.enrol("alice");
    let before = setup(&host, "status --user alice --json").json();
    let codes = setup(&host, "codes --user alice --json").json();
    for (line, file) in [
        ("add totp --label second --no-confirm --qr /root/old.png --user alice", "/root/old.png"),
        ("add totp --label second --no-confirm --qr /root/old.svg --user alice", "/root/old.svg"),
        ("codes new --output /root/page --user alice", "/root/page"),
    ] {
        host.write(file, "mine\n");
        let link = file.replace("/root/", "/root/link-");
        host.shell(&format!("ln -s {file} {link}"));
        let files = host.shell("ls -A /root");
        // Nobody to ask; somebody who says no.
        failed(&setup(&host, line), 2, "a question was to be asked, and there is no terminal");
        let argv: Vec<&str> = ["mfa-setup"].into_iter().chain(line.split(' ')).collect();
        let mut tty = host.pty(&argv);
        if line.starts_with("codes") {
            tty.expect("The old ones end. [y/N] ");
            tty.send_line("y");
        }
        tty.expect(&format!("{file} exists. Replace it? [y/N] "));
        tty.send_line("");
        assert_eq!(tty.end().0, Some(1), "{}", tty.text());
        // What is no plain file is not replaced at all.
        let through = line.replace(file, &link);
        failed(&setup(&host, &format!("{through} --yes")), 2, "is not a regular file");
        assert_eq!(host.read(file), "mine\n", "{line}");
        assert_eq!(host.shell("ls -A /root"), files, "nothing half-made is left");
    }
    assert_eq!(setup(&host, "status --user alice --json").json(), before);
    assert_eq!(setup(&host, "codes --user alice --json").json(), codes);

    // A yes beforehand.
    setup(&host, "codes new --output /root/page --yes --user alice").ok();
    assert_eq!(host.path("/root/page").metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(host.read("/root/page").contains("Backup codes of alice on testhost"));
}

#[test]
fn a_page_of_new_codes_can_be_printed_and_its_codes_are_good() {
    let host = host();
    host.enrol("alice");
    let output = setup(&host, "codes new --output /root/page.txt --yes --user alice");
    assert_eq!(output.clone().ok(), "The backup codes of alice are in /root/page.txt.\n");
    assert_eq!(output.stderr, "");
    assert_eq!(host.path("/root/page.txt").metadata().unwrap().mode() & 0o7777, 0o600);
    let page = host.read("/root/page.txt");
    assert!(page.is_ascii() && page.lines().all(|line| line.len() <= 90), "{page}");
    for number in 1..=10 {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let row = page.lines().map(words).find(|row| row.first() == Some(&number.to_string()));
        let row = row.unwrap_or_else(|| panic!("no number {number} in {page}"));
        assert_eq!(log_in(&host, &row[1]), "PAM_SUCCESS", "number {number}");
    }
    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(status["backup_codes_left"], 0);
}
