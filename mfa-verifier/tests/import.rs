//! `mfa-setup import` and `export`: what becomes of a record, of codes that were used, of scratch codes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::Secret;
use mfa_protocol::Verdict;
use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::{
    Action, DeviceKind, ExportFormat, Exported, Failure, FailureKind, Import, ImportLine, Imported,
    NewDevice, Origin, Packed, Reply,
};
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::record::{MovingFactor, UserRecord};
use mfa_verifier::store::Store;

use host::{Host, KEY, NOW, alice, code, current, device, from, nobody};

/// [`KEY`] in hex.
const HEX: &str = "3132333435363738393031323334353637383930";

const STEP: u64 = NOW / 30;

fn asked(origin: Origin, file: &str) -> Import {
    let line = |(text, number): (&str, u32)| ImportLine { number, text: Secret::from(text) };
    Import {
        origin,
        lines: file.split('\n').zip(1..).map(line).collect(),
        label: None,
        without_pin: false,
        dry_run: false,
        only_newcomers: false,
    }
}

fn google(file: &str) -> Import {
    asked(Origin::GoogleAuthenticator, file)
}

/// The file of somebody who has just given the code of now, with two scratch codes left.
fn usual() -> Import {
    google(&format!("{KEY}\n\" DISALLOW_REUSE {STEP}\n\" TOTP_AUTH\n12345678\n87654321\n"))
}

fn reply(host: &Host, asked: &Import) -> Reply {
    host.manage(Action::Import(Packed::new(asked).unwrap()), &mut nobody())
}

fn import(host: &Host, asked: &Import) -> Imported {
    match reply(host, asked) {
        Reply::Imported(imported) => imported.open().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn failure(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn labels(imported: &Imported) -> Vec<&str> {
    imported.devices.iter().map(|device| device.label.as_str()).collect()
}

fn record(host: &Host) -> UserRecord {
    host.store.as_ref().unwrap().load(&alice()).unwrap().0
}

fn revision(host: &Host) -> u64 {
    host.store.as_ref().unwrap().load(&alice()).unwrap().1.0
}

fn reason(host: &Host) -> String {
    host.last_line().split("reason=").nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_code_that_was_used_before_stays_used_and_the_next_one_lets_in() {
    let host = Host::new(Mode::Required);
    let imported = import(&host, &usual());
    assert_eq!(labels(&imported), ["google-authenticator"]);
    assert_eq!((imported.devices[0].kind, imported.backup_codes), (DeviceKind::Totp, 2));
    assert_eq!(host.verdict("alice", &current()), Verdict::Denied);
    assert_eq!(reason(&host), "already_used");
    assert_eq!(host.verdict("alice", &code(STEP + 1)), Verdict::Granted);
}

#[test]
fn of_pam_oath_each_line_is_a_device_and_what_it_used_stays_used() {
    let host = Host::new(Mode::Required);
    // The clock shows an hour more here.
    let used = current();
    let file = format!(
        "HOTP/T30/6 alice - {HEX} 0 {used} 2027-01-15T09:00:00L\n\
         HOTP alice + 0{}1 2 000000 2027-01-15T09:00:00L\n\
         HOTP alice 1234 {HEX}00\nHOTP/T30 alice - {HEX}\n",
        &HEX[1..39]
    );
    let imported = import(&host, &asked(Origin::PamOath, &file));
    assert_eq!(labels(&imported), ["oath", "oath 2"]);
    assert_eq!(imported.skipped.iter().map(|line| line.line).collect::<Vec<_>>(), [3]);
    let record = record(&host);
    assert_eq!((record.default, record.devices[1].id), (record.devices[0].id, 2));
    assert_eq!(record.devices[1].moving, MovingFactor::Counter { next: 3, candidate: None });
    assert!(record.backup_codes.is_none());
    assert_eq!(host.verdict("alice", &used), Verdict::Denied);
    assert_eq!(reason(&host), "already_used");
    assert_eq!(host.verdict("alice", &code(STEP + 1)), Verdict::Granted);
}

#[test]
fn a_second_import_adds_nothing_and_takes_nothing_back() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    assert_eq!(host.verdict("alice", &code(STEP + 1)), Verdict::Granted);
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Granted);
    let (before, lines) = (revision(&host), host.lines.borrow().len());
    // Of what the file does not know, the step that was just used here is the last that can have been.
    for file in [usual(), google(&format!("{KEY}\n\" TOTP_AUTH\n12345678\n"))] {
        let again = import(&host, &file);
        assert_eq!((again.devices.len(), again.backup_codes), (0, 0));
        assert_eq!(again.known, ["google-authenticator"]);
    }
    assert_eq!((revision(&host), host.lines.borrow().len()), (before, lines));
    assert_eq!(host.verdict("alice", &code(STEP + 1)), Verdict::Denied);
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Denied);
    // What was used over there meanwhile is used here, too, and what can have been where that is not known.
    host.now.set(NOW + 300);
    import(&host, &google(&format!("{KEY}\n\" TOTP_AUTH\n12345678\n")));
    assert!(host.last_line().starts_with("action=import outcome=done"), "{}", host.last_line());
    assert!(!host.last_line().contains("device="), "{}", host.last_line());
    assert_eq!(host.verdict("alice", &code(STEP + 11)), Verdict::Denied);
    assert_eq!(reason(&host), "already_used");
    host.now.set(NOW + 330);
    assert_eq!(host.verdict("alice", &code(STEP + 12)), Verdict::Granted);
    let later = format!("{KEY}\n\" DISALLOW_REUSE {}\n\" TOTP_AUTH\n", STEP + 14);
    assert_eq!(import(&host, &google(&later)).known, ["google-authenticator"]);
    host.now.set(NOW + 14 * 30);
    assert_eq!(host.verdict("alice", &code(STEP + 14)), Verdict::Denied);
    assert_eq!(host.verdict("alice", &code(STEP + 15)), Verdict::Granted);
}

#[test]
fn who_is_enrolled_gets_no_key_by_an_import_of_all() {
    let host = Host::new(Mode::Required);
    let all = || Import { only_newcomers: true, ..usual() };
    assert_eq!(labels(&import(&host, &all())), ["google-authenticator"]);
    let secret = Some(Secret::from("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR"));
    host.manage(Action::Add(Box::new(NewDevice { secret, ..device() })), &mut nobody());
    let label = "google-authenticator".to_owned();
    host.manage(Action::Remove { label }, &mut nobody());
    let again = import(&host, &all());
    assert_eq!((again.known.len(), again.skipped[0].line), (0, 1));
    let other = google("2SH3V3GDW7ZNMGYE\n\" TOTP_AUTH\n12345678\n");
    let refused = import(&host, &Import { only_newcomers: true, ..other.clone() });
    assert_eq!((refused.devices.len(), refused.backup_codes, refused.changed), (0, 0, false));
    assert!(refused.skipped[0].why.contains("name the user by --user"));
    assert_eq!(record(&host).devices.len(), 1);
    assert_eq!(record(&host).devices[0].label, "phone");
    assert_eq!(import(&host, &other).devices.len(), 1);
}

#[test]
fn scratch_codes_come_once_also_behind_a_reset_and_with_a_new_device_only() {
    let host = Host::new(Mode::Required);
    import(&host, &google(&format!("{KEY}\n\" TOTP_AUTH\n\" DISALLOW_REUSE\n")));
    // The key is known: whoever took the codes away may have had a reason.
    let known = import(&host, &usual());
    assert_eq!((known.known.len(), known.backup_codes), (1, 0));
    assert!(record(&host).backup_codes.is_none());
    host.manage(Action::Reset, &mut nobody());
    assert_eq!(import(&host, &usual()).backup_codes, 2);
    let label = || "google-authenticator".to_owned();
    for ending in [Action::Remove { label: label() }, Action::Reset] {
        host.manage(ending, &mut nobody());
        for dry_run in [true, false] {
            let again = import(&host, &Import { dry_run, ..usual() });
            assert_eq!((again.devices.len(), again.backup_codes), (1, 0));
            assert!(again.notes.iter().any(|note| note.contains("came once before")));
        }
        assert_eq!(host.verdict("alice", "12345678"), Verdict::Denied);
    }
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let host = Host::new(Mode::Required);
    let dry = import(&host, &Import { dry_run: true, ..usual() });
    assert_eq!((revision(&host), host.lines.borrow().len()), (0, 0));
    assert_eq!(import(&host, &usual()), dry);
    let (before, lines) = (revision(&host), host.lines.borrow().len());
    import(&host, &Import { dry_run: true, ..google("2SH3V3GDW7ZNMGYE\n\" TOTP_AUTH\n") });
    assert_eq!((revision(&host), host.lines.borrow().len()), (before, lines));
}

#[test]
fn without_a_key_nothing_is_taken_over_and_no_record_is_made() {
    let host = Host::new(Mode::Required);
    let imported = import(&host, &google("no key\n\" TOTP_AUTH\n12345678\n"));
    assert_eq!((imported.devices.len(), imported.backup_codes), (0, 0));
    assert_eq!(imported.skipped[0].line, 1);
    assert_eq!(revision(&host), 0);
    let many = "\n".repeat(300);
    assert_eq!(failure(reply(&host, &google(&many))).kind, FailureKind::Usage);
}

#[test]
fn a_scratch_code_lets_in_once_and_until_there_are_new_codes() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    for (code, verdict, why) in [
        ("1234 5678", Verdict::Granted, "accepted"),
        ("12345678", Verdict::Denied, "already_used"),
        ("12345679", Verdict::Denied, "wrong_code"),
        // Neither is one of the shape.
        ("02345678", Verdict::Denied, "misshapen"),
        ("1234567", Verdict::Denied, "misshapen"),
    ] {
        assert_eq!(host.verdict("alice", code), verdict, "{code}");
        assert!(reason(&host).starts_with(why), "{code}: {}", host.last_line());
    }
    assert!(host.lines.borrow().iter().any(|line| line.contains("factor=backup_code")));
    // Once, and as a device's code is.
    let Reply::Status(status) = host.manage(Action::Status, &mut nobody()) else { panic!() };
    assert_eq!((status.failures, status.backup_codes_left), (1, 1));

    let mut told = nobody();
    host.manage(Action::Codes, &mut told);
    assert!(told.told[0].1.contains("eight digits"), "{:?}", told.told);
    host.manage(Action::NewCodes, &mut nobody());
    assert_eq!(host.verdict("alice", "87654321"), Verdict::Denied);
    assert_eq!(reason(&host), "misshapen");
    let mut told = nobody();
    host.manage(Action::Codes, &mut told);
    assert!(told.told.is_empty());
}

/// A login with a code from an address of 198.18.0.0/15.
fn from_afar(host: &Host, number: u32, code: &str) -> Verdict {
    let address = format!("198.18.{}.{}", number / 200, number % 200 + 1);
    host.login(&from("alice", &address), &mut Scripted::new([code])).verdict
}

#[test]
fn guessing_scratch_codes_ends_after_five_from_a_source_and_touches_no_other() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    for guess in 20_000_000..20_000_005 {
        assert_eq!(host.verdict("alice", &guess.to_string()), Verdict::Denied);
    }
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Locked);
    assert_eq!(from_afar(&host, 1, "12345678"), Verdict::Granted);
    host.now.set(NOW + 30);
    assert_eq!(host.verdict("alice", "87654321"), Verdict::Granted);
}

#[test]
fn guessing_scratch_codes_from_many_addresses_ends_after_a_hundred_and_the_owner_gets_in() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    assert_eq!(host.verdict("alice", &code(STEP + 1)), Verdict::Granted);
    let guesses = (0..250).filter(|number| {
        // The longest wait is over each time.
        host.now.set(NOW + 60 + u64::from(*number) * 3_601);
        from_afar(&host, *number, &(20_000_000 + number).to_string()) == Verdict::Denied
    });
    // And one for each of the ten days, of those that come when the hundred are used up.
    let compared = guesses.count();
    assert!((100..=111).contains(&compared), "{compared}");
    assert_eq!(from_afar(&host, 250, "12345678"), Verdict::Locked);
    assert!(host.last_line().contains("reason=too_many_failures"), "{}", host.last_line());
    host.now.set(NOW + 60 + 20 * 86_400);
    assert_eq!(host.verdict("alice", "87654321"), Verdict::Granted);
}

#[test]
fn a_scratch_code_brings_back_a_device_as_a_backup_code_does() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    *host.caller.borrow_mut() = alice();
    let step = STEP + 360;
    let row = [code(step), code(step + 1), code(step + 2)];
    let answers =
        |given: &'static str| ["rabbit", given, &row[0], &row[1], &row[2]].map(str::to_owned);
    let resync = |given| {
        let label = "google-authenticator".to_owned();
        host.manage(Action::Resync { label }, &mut Scripted::new(answers(given)))
    };
    assert_eq!(failure(resync("02345678")).error, "that is no backup code");
    assert_eq!(failure(resync("12345679")).error, "the code is not right");
    assert!(matches!(resync("12345678"), Reply::Done { .. }));
    assert!(record(&host).devices[0].drift() > 300);
}

#[test]
fn the_owner_is_told_by_mail_as_well() {
    let mail = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    let config = Config::parse(Path::new("config.toml"), mail).unwrap();
    let host = Host { config, ..Host::new(Mode::Required) };
    import(&host, &Import { dry_run: true, ..usual() });
    assert_eq!(host.letters.borrow().len(), 0);
    import(&host, &usual());
    import(&host, &usual());
    let letters = host.letters.borrow();
    let [(to, body)] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(to, "alice@example.org");
    assert!(
        body.starts_with("alice: device \"google-authenticator\" was added; 2 scratch codes became backup codes by root."),
        "{body}"
    );
}

#[test]
fn eight_digits_of_who_has_brought_none_along_are_a_devices_and_never_a_backup_codes() {
    let (host, _) = Host::with_alice(Mode::Required);
    let imported = import(&host, &google("2SH3V3GDW7ZNMGYE\n\" TOTP_AUTH\n12345678\n"));
    // Who has codes of ours keeps those.
    assert_eq!((labels(&imported), imported.backup_codes), (vec!["google-authenticator"], 0));
    assert!(imported.notes.iter().any(|note| note.contains("backup codes that there are stay")));
    assert!(!record(&host).has_scratch_codes());
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Denied);
    assert_eq!(reason(&host), "misshapen");
}

#[test]
fn with_a_device_of_eight_digits_both_let_in_and_what_is_neither_is_charged_as_both() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    let eight = NewDevice {
        label: Some("eight".to_owned()),
        digits: Some(8),
        secret: Some(Secret::from("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR")),
        ..device()
    };
    host.manage(Action::Add(Box::new(eight)), &mut nobody());
    let key = b"12345678901234567891".to_vec();
    let app = totp_rs::Builder::new().with_secret(key).with_digits(8).with_step_duration(1);
    let app = app.build().unwrap();
    // Two in a row that do not begin with zero.
    let shown = |step| app.generate(step).to_string();
    let is_plain = |step: &u64| ![*step, step + 1].iter().any(|step| shown(*step).starts_with('0'));
    let step = (STEP..STEP + 50).find(is_plain).unwrap();
    let (right, next) = (shown(step), shown(step + 1));
    host.now.set(step * 30);
    assert_eq!(host.verdict("alice", &right), Verdict::Granted);
    assert!(host.last_line().contains("device=\"eight\""), "{}", host.last_line());
    assert_eq!(host.verdict("alice", &right), Verdict::Denied);
    assert_eq!(reason(&host), "already_used");
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Granted);
    assert!(host.last_line().contains("factor=backup_code"), "{}", host.last_line());
    let state = |host: &Host| {
        let record = record(host);
        let sources = record.lockout.sources.iter();
        let sources = sources.map(|source| (source.failures, source.wrong_codes));
        (
            sources.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1)),
            record.devices[1].failures,
        )
    };
    assert_eq!(state(&host), ((0, 0), 0));
    assert_eq!(host.verdict("alice", "12345678"), Verdict::Denied);
    assert_eq!((reason(&host).as_str(), state(&host)), ("already_used", ((0, 0), 0)));
    assert_eq!(host.verdict("alice", "11111112"), Verdict::Denied);
    assert_eq!((reason(&host).as_str(), state(&host)), ("wrong_code", ((1, 1), 1)));
    // While the one has to wait, the other has, too.
    for _ in 0..4 {
        host.verdict("alice", "11111112");
    }
    assert_eq!(host.verdict("alice", &next), Verdict::Locked);
    assert_eq!(host.verdict("alice", "87654321"), Verdict::Locked);
    assert_eq!(state(&host), ((5, 5), 5));
    host.now.set(step * 30 + 30);
    assert_eq!(host.verdict("alice", "87654321"), Verdict::Granted);
}

#[test]
fn root_alone_may_ask_and_each_new_device_is_written_down_and_told() {
    let host = Host::new(Mode::Required);
    *host.caller.borrow_mut() = alice();
    assert_eq!(failure(reply(&host, &usual())).kind, FailureKind::NotPermitted);
    let export = Action::Export { format: ExportFormat::Uri };
    assert_eq!(failure(host.manage(export, &mut nobody())).kind, FailureKind::NotPermitted);
    *host.caller.borrow_mut() = host::root();
    host.lines.borrow_mut().clear();
    import(&host, &usual());
    assert_eq!(
        host.last_line(),
        "action=import outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0 \
         device=\"google-authenticator\""
    );
    // With the first device nothing was altered that anybody could miss.
    assert!(record(&host).alterations.is_empty());
    import(&host, &google("2SH3V3GDW7ZNMGYE\n\" TOTP_AUTH\n"));
    let alterations = record(&host).alterations;
    assert_eq!(alterations.len(), 1);
    assert!(alterations[0].by_root && alterations[0].label == "google-authenticator 2");
    let all = host.lines.borrow().join("\n");
    assert!(!all.contains(KEY) && !all.contains("12345678"), "{all}");
}

#[test]
fn a_ninth_device_is_skipped_and_so_is_a_label_that_is_none() {
    let host = Host::new(Mode::Required);
    let line = |n: u32| format!("HOTP alice - {HEX}{n:02}\n");
    let nine: String = (10..19).map(line).collect();
    let imported = import(&host, &asked(Origin::PamOath, &nine));
    assert_eq!((imported.devices.len(), imported.skipped.len()), (8, 1));
    assert!(imported.skipped[0].line == 9 && imported.skipped[0].why.contains("8 devices"));
    let named = Import { label: Some("a\nb".to_owned()), ..usual() };
    assert_eq!(failure(reply(&host, &named)).kind, FailureKind::Usage);
}

#[test]
fn all_devices_are_exported_with_what_was_used_and_come_back_as_they_were() {
    let host = Host::new(Mode::Required);
    import(&host, &usual());
    host.manage(
        Action::Add(Box::new(NewDevice {
            kind: DeviceKind::Hotp,
            label: Some("token".to_owned()),
            counter: Some(3),
            ..device()
        })),
        &mut nobody(),
    );
    let export = |format| -> Exported {
        match host.manage(Action::Export { format }, &mut nobody()) {
            Reply::Exported(exported) => exported.open().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let uris = export(ExportFormat::Uri);
    let text = |exported: &Exported| -> String {
        exported.devices.iter().map(|device| device.text.expose_str().unwrap()).collect()
    };
    assert_eq!(
        text(&uris),
        format!(
            "otpauth://totp/host:alice?secret={KEY}&issuer=host\n\
             otpauth://hotp/host:alice?secret={KEY}&issuer=host&counter=3\n"
        )
    );
    assert_eq!((uris.backup_codes, uris.left_out.len()), (2, 0));
    assert!(host.last_line().starts_with("action=export outcome=done user=\"alice\""));
    let file = export(ExportFormat::GoogleAuthenticator);
    assert_eq!((file.devices.len(), file.left_out[0].0.as_str()), (1, "token"));
    let lines = export(ExportFormat::PamOath);
    let before = record(&host).devices;
    for (origin, text, count) in
        [(Origin::GoogleAuthenticator, text(&file), 1), (Origin::PamOath, text(&lines), 2)]
    {
        host.manage(Action::Reset, &mut nobody());
        import(&host, &asked(origin, &text));
        let moving = |device: &mfa_verifier::record::Device| device.moving.clone();
        let (after, before) = (record(&host).devices, &before[..count]);
        assert!(after.iter().map(moving).eq(before.iter().map(moving)), "{origin:?}");
    }
    host.manage(Action::Reset, &mut nobody());
    let failed = host.manage(Action::Export { format: ExportFormat::Uri }, &mut nobody());
    assert_eq!(failure(failed).kind, FailureKind::Usage);
}
