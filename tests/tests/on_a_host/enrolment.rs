//! Enrolments as a person makes them: at a terminal, with an app that knows only what the screen
//! shows, and hands that slip.
//!
//! The codes come from `oathtool`, fed with the key that stands on the screen. The QR code is read by
//! `zbarimg` from a picture of what a terminal emulator makes of the program's output.

use std::time::{Duration, Instant};

use mfa_tests::USED;
use mfa_tests::mode::is_whole;
use mfa_tests::pam::Attempt;
use mfa_tests::person::{
    CODE, FIRST_CODE, KEPT, LABEL, PASSWORD, app, exit, key_in, key_on_screen, sheet,
};
use mfa_tests::screen::{Screen, Theme};
use mfa_tests::{Device, Host, Output, Pty, Running};
use serde_json::Value;

/// All that a guided enrolment asks, in its order.
const QUESTIONS: [&str; 3] = [LABEL, FIRST_CODE, KEPT];

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
/// A service that asks for a code alone.
const CODE_ALONE: &str = "auth required pam_mfa.so\n";

fn host() -> Running {
    let host = Host::new().user("alice", "rabbit hole").config(REQUIRED);
    host.pam("code", CODE_ALONE).start()
}

#[test]
fn a_person_enrols_by_what_the_screen_shows_and_logs_in_with_it() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    let mut tty = host.pty(&["mfa-setup", "--user", "alice"]);
    tty.expect(LABEL);
    tty.send_line("Alice's phone");
    let mut phone = app(&mut tty);
    let first = phone.code();
    tty.send_line(&first);
    let sheet = sheet(&mut tty);
    // As a person types it who reads it aloud.
    tty.send_line(&sheet[2].to_uppercase().replace('-', " "));
    let (code, rest) = tty.end();
    assert_eq!(code, Some(0), "{}", tty.text());
    assert!(rest.ends_with("Added the totp device \"Alice's phone\" of alice.\r\n"), "{rest:?}");

    let log_in = |code: &str| {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
    };
    // What confirmed the enrolment has been used; what comes next has not.
    assert!(log_in(&first).refused().contains(USED));
    log_in(&phone.code()).let_in("alice");
    // The backup code that was typed has not been used up.
    assert_eq!(status(&host, "alice")["backup_codes_left"], 10);
    log_in(&sheet[2]).let_in("alice");
    let codes = host.run(&["mfa-setup", "codes", "--user", "alice", "--json"]).json();
    let used: Vec<&Value> =
        codes["codes"].as_array().unwrap().iter().filter(|c| !c["used_at"].is_null()).collect();
    assert_eq!(used.len(), 1);
    assert_eq!((&used[0]["number"], &used[0]["used_from"]), (&3.into(), &"127.0.0.1".into()));
}

#[test]
fn root_enrols_itself_and_takes_the_name_that_is_proposed() {
    let host = host();
    let mut tty = host.pty(&["mfa-setup"]);
    tty.expect("A second factor for root: ");
    tty.expect(LABEL);
    tty.send_line("");
    let mut phone = app(&mut tty);
    tty.send_line(&phone.code());
    let sheet = sheet(&mut tty);
    tty.send_line(&sheet[0]);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    let status = status(&host, "root");
    assert_eq!((&status["uid"], &status["devices"][0]["label"]), (&0.into(), &"phone".into()));
    let attempt = || Attempt::new("code", "root");
    assert_eq!(attempt().answer(phone.code()).run(&host).code(), "PAM_SUCCESS");
    assert_eq!(attempt().answer(phone.wrong_code()).run(&host).code(), "PAM_AUTH_ERR");
}

#[test]
fn a_hardware_token_is_enrolled_by_a_press_of_its_button() {
    let host = host();
    let mut tty = host.pty(&["mfa-setup", "add", "hotp", "--user", "alice"]);
    let key = key_on_screen(&mut tty);
    let mut token = Device::from_uri(&format!("otpauth://hotp/x?secret={key}&counter=0"));
    // The button was pressed before.
    let _ = token.code();
    let first = token.code();
    tty.send_line(&first);
    let sheet = sheet(&mut tty);
    tty.send_line(&sheet[9]);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    let log_in =
        |code: &str| Attempt::new("code", "alice").answer(code).run(&host).code().to_owned();
    assert_eq!(log_in(&first), "PAM_AUTH_ERR");
    assert_eq!(log_in(&token.code()), "PAM_SUCCESS");
}

#[test]
fn the_qr_code_on_the_screen_says_the_key_that_is_typed() {
    use Theme::{Dark, Light};
    // What the terminal is, its size, its background, and how many pixels the camera makes one of:
    // the gaps between the lines of `#` go away for who is not too near.
    let terminals = [
        ("xterm-256color", "en_GB.UTF-8", (80, 24), &[Light, Dark][..], 1),
        ("xterm", "C.UTF-8", (132, 50), &[Light, Dark], 1),
        ("screen", "C.UTF-8", (39, 40), &[Light, Dark], 1),
        ("xterm", "C", (80, 50), &[Light, Dark], 1),
        ("xterm", "", (132, 60), &[Light, Dark], 1),
        ("dumb", "C.UTF-8", (80, 24), &[Light], 1),
        ("", "C.UTF-8", (132, 50), &[Light], 1),
        ("dumb", "C", (132, 60), &[Light], 8),
    ];
    let host = host();
    let mut read = 0;
    for (term, locale, (columns, lines), themes, coarseness) in terminals {
        let what = format!("TERM={term} LANG={locale} {columns}x{lines}");
        let (mut tty, key) = at_the_key(&host, term, locale, columns, lines);
        let seen = tty.text();
        let screen = Screen::new(seen.as_bytes(), columns, lines);
        assert_eq!(seen.contains('█'), locale.contains("UTF-8"), "{what}: {seen}");
        assert_eq!(seen.contains('\x1b'), !["dumb", ""].contains(&term), "{what}: {seen}");
        // The question is seen together with the code.
        assert!(screen.text().trim_end().ends_with(FIRST_CODE.trim_end()), "{}", screen.text());
        for theme in themes {
            let codes = screen.picture(*theme).coarser(coarseness).codes();
            let uri = format!("otpauth://totp/testhost:alice?secret={key}&issuer=testhost");
            assert_eq!(codes, [uri], "{what} {theme:?}\n{}", screen.text());
            read += 1;
        }
        tty.send("\x03");
    }
    println!("read {read} pictures of {} terminals", terminals.len());
}

#[test]
fn where_the_qr_code_has_no_room_the_key_stands_alone() {
    let host = host();
    for (term, locale, columns) in
        [("xterm", "C.UTF-8", 30), ("dumb", "C.UTF-8", 30), ("xterm", "C", 60), ("dumb", "C", 30)]
    {
        let (mut tty, key) = at_the_key(&host, term, locale, columns, 24);
        assert_eq!(key.len(), 32);
        let seen = tty.text();
        assert!(!seen.contains(['█', '▀', '▄', '#', '\x1b']), "{seen}");
        let screen = Screen::new(seen.as_bytes(), columns, 24);
        assert_eq!(screen.picture(Theme::Light).codes(), [""; 0], "{}", screen.text());
        let mut phone = Device::totp(&key);
        tty.send_line(&phone.code());
        tty.expect("Backup codes.");
    }
}

#[test]
fn giving_up_at_any_question_leaves_no_trace() {
    let host = host();
    let before = files(&host);
    let mut times = 0;
    for question in QUESTIONS {
        // Ctrl-C, Ctrl-\ and Ctrl-D on an empty line; Ctrl-C behind something.
        for keys in ["\x03", "\x1c", "\x04", "123\x03"] {
            let mut tty = at(&host, question);
            tty.send(keys);
            tty.expect("mfa-setup: error: interrupted");
            tty.expect("exit 130, terminal as before");
            assert_eq!(files(&host), before, "{question} {keys:?}");
            times += 1;
        }
    }
    assert_eq!(status(&host, "alice")["enrolled"], false);
    assert_eq!(files(&host), before);
    println!("gave up {times} times");
}

#[test]
fn a_terminal_that_is_closed_at_any_question_leaves_no_trace() {
    let host = host();
    let before = files(&host);
    for question in QUESTIONS {
        // `script` is the terminal's other end here: what a window is, or sshd.
        let mut tty = host.terminal("mfa-setup --user alice");
        go_to(&mut tty, question);
        host.shell("kill -KILL $(pgrep -x script)");
        wait_for_silence(&host);
        assert_eq!(files(&host), before, "{question}");
    }
    assert_eq!(status(&host, "alice")["enrolled"], false);
}

#[test]
fn a_program_that_is_killed_at_any_question_leaves_no_trace() {
    let host = host();
    let before = files(&host);
    for question in QUESTIONS {
        let mut tty = at(&host, question);
        host.shell("kill -KILL $(pgrep -x mfa-setup)");
        tty.expect("exit 137");
        wait_for_silence(&host);
        assert_eq!(files(&host), before, "{question}");

        let mut tty = at(&host, question);
        host.shell("kill -KILL $(pgrep -x mfa-verifier)");
        tty.send_line("");
        tty.expect("mfa-setup: error: the verifier cannot be used: ");
        tty.expect("mfa-setup: hint: ");
        tty.expect("exit 3, terminal as before");
        assert_eq!(files(&host), before, "{question}");
    }
    assert_eq!(status(&host, "alice")["enrolled"], false);
}

#[test]
fn giving_up_at_a_question_about_what_is_enrolled_changes_nothing() {
    let host = host();
    let phone = host.enrol("alice").device;
    host.write("/root/page", "mine\n");
    let before = status(&host, "alice");
    let asked = [
        ("remove phone", "Remove device \"phone\" of alice? [y/N] "),
        ("reset", "Forget every device, code and token of alice? [y/N] "),
        ("codes new", "Make new backup codes for alice? The old ones end. [y/N] "),
        ("add totp --qr /root/page.svg", FIRST_CODE),
        ("test", CODE),
    ];
    let mut times = 0;
    for (command, question) in asked {
        for keys in ["\x03", "\x04"] {
            let mut tty = around(&host, &format!("mfa-setup {command} --user alice"));
            tty.expect(question);
            tty.send(keys);
            tty.expect("exit 130, terminal as before");
            times += 1;
        }
        if question.ends_with("[y/N] ") {
            for no in ["", "n", "yess"] {
                let mut tty = around(&host, &format!("mfa-setup {command} --user alice"));
                tty.expect(question);
                tty.send_line(no);
                tty.expect("mfa-setup: error: nothing was changed");
                tty.expect("exit 1, terminal as before");
                times += 1;
            }
        }
    }
    let mut tty = around(&host, "mfa-setup codes new --yes --output /root/page --user alice");
    // `--yes` was said beforehand.
    assert_eq!(exit(&mut tty), 0);
    assert_ne!(host.read("/root/page"), "mine\n");
    host.write("/root/page", "mine\n");
    let mut tty = around(&host, "mfa-setup codes new --output /root/page --user alice");
    tty.expect("[y/N] ");
    tty.send_line("y");
    tty.expect("/root/page exists. Replace it? [y/N] ");
    tty.send("\x03");
    tty.expect("exit 130, terminal as before");
    assert_eq!(host.read("/root/page"), "mine\n");
    assert!(!host.path("/root/page.svg").exists());
    assert_eq!(status(&host, "alice"), before);
    let mut phone = phone;
    assert_eq!(Attempt::new("code", "alice").answer(phone.code()).run(&host).code(), "PAM_SUCCESS");
    println!("gave up or said no {times} times");
}

#[test]
fn a_wrong_first_code_is_never_answered_with_the_right_one() {
    let host = host();
    let before = files(&host);
    let mut tty = at(&host, FIRST_CODE);
    let phone = Device::totp(&key_in(&tty.text()));
    for (typed, told) in [
        (phone.wrong_code(), "That code is not right."),
        (String::new(), "A code has 6 digits."),
        ("1234567".to_owned(), "A code has 6 digits."),
        ("١٢٣٤٥٦".to_owned(), "this answer has other characters."),
    ] {
        tty.send_line(&typed);
        tty.expect(told);
        tty.expect(FIRST_CODE);
    }
    tty.send_line(&phone.wrong_code());
    tty.expect("mfa-setup: error: no right code was given");
    tty.expect("mfa-setup: hint: nothing was changed");
    tty.expect("exit 1, terminal as before");
    let now = phone.step();
    for step in now - 5..now + 6 {
        assert!(!tty.text().contains(&phone.code_at_step(step)), "{}", tty.text());
    }
    assert_eq!(files(&host), before);
}

#[test]
fn a_first_code_of_another_time_says_how_far_the_clock_is_off() {
    let host = host();
    let mut tty = at(&host, FIRST_CODE);
    let mut phone = Device::totp(&key_in(&tty.text()));
    // A step more or less, should one end meanwhile, changes none of these.
    for (offset, told) in [
        (240, "2 h 0 min ahead of this host's"),
        (-479, "4 h 0 min behind this host's"),
        (2_800, "23 h 20 min ahead of this host's"),
    ] {
        let code = phone.code_at_step(phone.step().saturating_add_signed(offset));
        tty.send_line(&code);
        let shown = tty.expect(FIRST_CODE).replace("\r\n", " ");
        assert!(shown.contains("the device's clock is about"), "{shown}");
        assert!(shown.contains(told), "{offset}: {shown}");
    }
    // The clock was set right; that one was never near.
    tty.send_line(&phone.code_at_step(phone.step() + 100_000));
    tty.expect("That code is not right.");
    tty.expect(FIRST_CODE);
    tty.send_line(&phone.code());
    tty.expect("Backup codes.");
}

#[test]
fn who_has_not_kept_the_backup_codes_is_not_enrolled() {
    let host = host();
    let before = files(&host);
    let mut tty = at(&host, KEPT);
    for typed in ["xndhn-he5hr-3a4qg", "yes", "", "123456"] {
        tty.send_line(typed);
        tty.expect("That is none of the codes above.");
        tty.expect(KEPT);
    }
    tty.send_line("1");
    tty.expect("mfa-setup: error: none of the codes was typed");
    tty.expect("mfa-setup: hint: nothing was changed");
    tty.expect("exit 1, terminal as before");
    assert_eq!(files(&host), before);
}

#[test]
fn a_label_that_cannot_be_shown_is_asked_for_again_and_one_that_is_taken_is_refused_at_once() {
    let host = host();
    host.enrol("alice");
    let before = status(&host, "alice");
    let long = "x".repeat(4_000);
    // U+009B is an escape sequence's beginning, U+202E turns the line around.
    for (label, told) in [
        ("a\u{9b}b", "\"a\\u{9b}b\" is no label"),
        ("a\u{202e}b", "\"a\\u{202e}b\" is no label"),
        ("a\x1b[2Jb", "\"a\\u{1b}[2Jb\" is no label"),
        (&long, "is no label"),
    ] {
        let mut tty = around(&host, "mfa-setup --user alice");
        for _ in 0..5 {
            tty.expect("A name for the device [phone 2]: ");
            tty.send_line(label);
            tty.expect(told);
        }
        tty.expect("mfa-setup: error: ");
        tty.expect(told);
        tty.expect("mfa-setup: hint: ");
        tty.expect("exit 2, terminal as before");
    }
    // Who is asked may replace what has the name; who says it beforehand is not asked.
    let mut tty = around(&host, "mfa-setup add totp --label phone --user alice");
    tty.expect("mfa-setup: error: there is a device \"phone\" already");
    tty.expect("mfa-setup: hint: ");
    tty.expect("exit 2, terminal as before");
    assert_eq!(status(&host, "alice"), before);
}

#[test]
fn a_second_device_brings_no_new_codes_and_the_last_one_takes_them_along() {
    let host = host();
    let mut backup = host.enrol("alice").backup;
    let mut tty = host.pty(&["mfa-setup", "--user", "alice"]);
    tty.expect("A name for the device [phone 2]: ");
    tty.send_line("tablet");
    let mut tablet = app(&mut tty);
    tty.send_line(&tablet.code());
    assert_eq!(tty.end().0, Some(0));
    assert!(!tty.text().contains("Backup codes"), "{}", tty.text());
    let log_in =
        |code: &str| Attempt::new("code", "alice").answer(code).run(&host).code().to_owned();
    assert_eq!(log_in(&backup.code()), "PAM_SUCCESS", "the old codes still hold");

    let change = |arguments: &[&str]| {
        let argv = [&["mfa-setup", "--user", "alice", "--yes"], arguments].concat();
        host.run(&argv).ok();
        let status = status(&host, "alice");
        let devices = status["devices"].as_array().unwrap();
        devices
            .iter()
            .map(|device| (device["label"].as_str().unwrap().to_owned(), device["default"] == true))
            .collect::<Vec<_>>()
    };
    let (phone, tablet_) = ("phone".to_owned(), "tablet".to_owned());
    assert_eq!(change(&["default", "tablet"]), [(phone.clone(), false), (tablet_.clone(), true)]);
    assert_eq!(change(&["default", "phone"]), [(phone, true), (tablet_.clone(), false)]);
    assert_eq!(change(&["remove", "phone"]), [(tablet_, true)], "the default moves");
    assert_eq!(status(&host, "alice")["backup_codes_left"], 9);
    assert_eq!(log_in(&tablet.code()), "PAM_SUCCESS");
    assert_eq!(change(&["remove", "tablet"]), []);
    let status = status(&host, "alice");
    assert_eq!((&status["enrolled"], &status["backup_codes_left"]), (&false.into(), &0.into()));
    assert_eq!(log_in(&backup.code()), "PAM_AUTH_ERR");
    let codes = host.run(&["mfa-setup", "codes", "--user", "alice", "--json"]).json();
    assert_eq!(codes["codes"], Value::Array(vec![]));
}

#[test]
fn of_two_first_enrolments_at_once_one_wins_and_the_other_is_told() {
    const ROUNDS: usize = 6;
    let host = host();
    for round in 0..ROUNDS {
        let mut people = [(); 2].map(|()| {
            let mut tty = at(&host, FIRST_CODE);
            let mut phone = Device::totp(&key_in(&tty.text()));
            tty.send_line(&phone.code());
            let sheet = sheet(&mut tty);
            (tty, phone, sheet)
        });
        for (tty, _, sheet) in &mut people {
            tty.send_line(&sheet[0]);
        }
        let ends = people.each_mut().map(|(tty, ..)| exit(tty));
        assert!(matches!(ends, [0, 1] | [1, 0]), "round {round}: {ends:?}");
        let winner = usize::from(ends[1] == 0);
        let told = people[1 - winner].0.text();
        assert!(told.contains("error: the enrolment was changed by somebody else"), "{told}");
        assert!(told.contains("mfa-setup: hint: nothing was changed"), "{told}");
        // The winner's device and codes, and nothing of the other's.
        let status = status(&host, "alice");
        assert_eq!(status["devices"].as_array().unwrap().len(), 1);
        assert_eq!(status["backup_codes_left"], 10);
        let log_in = |code: &str| Attempt::new("code", "alice").answer(code).run(&host);
        let (lost, won) = (&people[1 - winner], &people[winner]);
        assert_eq!(log_in(&lost.2[1]).code(), "PAM_AUTH_ERR");
        assert_eq!(log_in(&won.2[1]).code(), "PAM_SUCCESS");
        assert_eq!(log_in(&won.1.clone().code()).code(), "PAM_SUCCESS");
        host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
    }
    println!("{ROUNDS} rounds");
}

#[test]
fn two_more_devices_at_once_are_both_kept_unless_their_names_are_the_same() {
    let host = host();
    host.enrol("alice");
    for (labels, expected) in [(["tablet", "watch"], [0, 0]), (["laptop", "laptop"], [0, 2])] {
        let mut people = labels.map(|label| {
            let command = format!("mfa-setup add totp --label {label} --user alice");
            let mut tty = around(&host, &command);
            let phone = app(&mut tty);
            (tty, phone)
        });
        for (tty, phone) in &mut people {
            tty.send_line(&phone.code());
        }
        let mut ends = people.each_mut().map(|(tty, _)| exit(tty));
        ends.sort_unstable();
        assert_eq!(ends, expected, "{labels:?}");
    }
    assert_eq!(status(&host, "alice")["devices"].as_array().unwrap().len(), 4);
}

/// The system calls that change or say something, and every how many-th is the last one.
const CALLS: [(&str, usize); 8] = [
    ("mkdir", 2),
    ("rename", 1),
    ("pwrite64", 1),
    ("write", 2),
    ("fsync", 4),
    ("sync_file_range", 1),
    ("fdatasync", 1),
    ("sendto", 1),
];

#[test]
fn an_enrolment_that_is_killed_in_the_making_of_the_store_is_there_or_not() {
    // One backup code: hashing ten would take most of the test's time.
    let policy = format!("{REQUIRED}[backup_codes]\ncount = 1\n");
    let host = Host::new().user("alice", "rabbit hole").config(&policy).start();
    let sparing = if is_whole() { 1 } else { 2 };
    let (kills, kept) = kill_at_each_call(sparing, |strace| {
        host.shell("rm -rf /var/lib/pam_mfa /etc/pam_mfa/store.key*");
        let ended = killed(&host, strace);
        let left = labels(&host);
        assert!(left.is_empty() || left == ["killed"], "{strace}: {left:?}");
        // It leads on from whatever was left.
        host.run(&add("another")).ok();
        let mut expected = left.clone();
        expected.push("another".to_owned());
        assert_eq!(labels(&host), expected, "{strace}");
        (ended, !left.is_empty())
    });
    println!("killed {kills} times, {kept} of them after it was saved");
    assert!(kills > 15 && kept > 0 && kept < kills);
}

#[test]
fn an_enrolment_that_is_killed_is_there_or_not_and_harms_no_other_device() {
    let host = host();
    let mut enrolled = host.enrol("alice");
    let (kills, kept) = kill_at_each_call(1, |strace| {
        let ended = killed(&host, strace);
        let labels = labels(&host);
        assert!(labels == ["phone"] || labels == ["phone", "killed"], "{strace}: {labels:?}");
        if labels.len() == 2 {
            host.run(&["mfa-setup", "remove", "killed", "--yes", "--user", "alice"]).ok();
        }
        (ended, labels.len() == 2)
    });
    println!("killed {kills} times, {kept} of them after it was saved");
    assert!(kills > 10 && kept > 0 && kept < kills);
    for code in [enrolled.device.code(), enrolled.backup.code()] {
        assert_eq!(Attempt::new("code", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
    }
}

/// Tries with each call of [`CALLS`] as the last one, or every so many-th of those, until there are no more of
/// it. A try says how the command ended and whether the device is there. Returns how many were killed, and how many of
/// these had been saved.
fn kill_at_each_call(
    sparing: usize,
    mut attempt: impl FnMut(&str) -> (Output, bool),
) -> (usize, usize) {
    let (mut kills, mut kept) = (0, 0);
    for (call, each) in CALLS {
        // Behind the first that is sent it is soon saved.
        let step = if call == "sendto" { each } else { each * sparing };
        for number in (1..=200).step_by(step) {
            let strace = format!("--inject={call}:signal=KILL:when={number}");
            let (ended, saved) = attempt(&strace);
            assert!(saved || ended.stdout.is_empty(), "{strace}: answered and lost");
            if ended.code == Some(0) {
                assert!(saved, "{strace}: {ended:?}");
                break;
            }
            assert!(number + step <= 200, "{call} is the last call each time");
            (kills, kept) = (kills + 1, kept + usize::from(saved));
        }
    }
    (kills, kept)
}

/// An enrolment under `strace` with that option: whichever program comes to that call is killed.
fn killed(host: &Running, option: &str) -> Output {
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", option];
    let ended = host.run(&[&strace[..], &add("killed")].concat());
    wait_for_silence(host);
    ended
}

fn labels(host: &Running) -> Vec<String> {
    let status = status(host, "alice");
    let devices = status["devices"].as_array().unwrap();
    devices.iter().map(|device| device["label"].as_str().unwrap().to_owned()).collect()
}

/// An enrolment without a question.
fn add(label: &str) -> [&str; 10] {
    let add = ["mfa-setup", "add", "totp", "--label", label];
    let unasked = ["--json", "--yes", "--no-confirm", "--user", "alice"];
    std::array::from_fn(|i| if i < 5 { add[i] } else { unasked[i - 5] })
}

/// At the question of a guided enrolment of alice, on a terminal whose state is looked at.
fn at(host: &Running, question: &str) -> Pty {
    let mut tty = around(host, "mfa-setup --user alice");
    go_to(&mut tty, question);
    tty
}

/// A command line of which the end is told: `exit N, terminal as before`.
fn around(host: &Running, command_line: &str) -> Pty {
    let script = "before=$(stty -g); \"$@\"; code=$?
                  [ \"$(stty -g)\" = \"$before\" ] && as=before || as=\"not before\"
                  echo \"exit $code, terminal as $as\"";
    let mut argv = vec!["sh", "-c", script, "sh"];
    argv.extend(command_line.split_whitespace());
    host.pty(&argv)
}

/// Answers until that question stands there.
fn go_to(tty: &mut Pty, question: &str) {
    for next in QUESTIONS {
        if next == question {
            tty.expect(next);
            return;
        }
        if next == LABEL {
            tty.expect(LABEL);
            tty.send_line("");
        } else {
            let code = app(tty).code();
            tty.send_line(&code);
        }
    }
}

/// A guided enrolment on some terminal, at its first code: the terminal and the key on its screen.
fn at_the_key(host: &Running, term: &str, locale: &str, columns: u16, lines: u16) -> (Pty, String) {
    let mut command = host.command(&["mfa-setup", "--user", "alice"]);
    command.env("TERM", term).env("LANG", locale);
    let mut tty = Pty::spawn_sized(&command, columns, lines);
    tty.expect(LABEL);
    tty.send_line("");
    let key = key_on_screen(&mut tty);
    (tty, key)
}

fn status(host: &Running, user: &str) -> Value {
    host.run(&["mfa-setup", "status", "--json", "--user", user]).json()
}

/// Everything that an enrolment could have made or changed.
fn files(host: &Running) -> String {
    host.shell(
        "find /etc/pam_mfa /var/lib /run /tmp /root -not -path '/var/lib/dpkg*' \
             -printf '%p %M %s %T@\\n' | grep -v -e '^/run/ ' | sort",
    )
}

/// Waits until nothing of ours runs any more.
fn wait_for_silence(host: &Running) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while host.run(&["pgrep", "-l", "-x", "mfa-setup|mfa-verifier"]).code != Some(1) {
        assert!(Instant::now() < deadline, "something still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}
