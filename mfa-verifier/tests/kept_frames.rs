//! The bytes of the protocol, kept as they were when version 2 was current: what its faces send, and
//! what they are sent. While a display manager still has the module of the version before in its
//! memory, these must mean the same.
//!
//! They were written by hand from the layout that `mfa_protocol::message` describes and postcard
//! defines: fields in their order, numbers and lengths as varints, a variant by its number, `None` as
//! 0 and `Some` as 1. The first two bytes of a request are its version.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod connection;

use std::fmt::Debug;

use mfa_protocol::message::{
    Action, Added, Algorithm, Asking, BypassStatus, Checked, CodeStatus, DeviceKind, DeviceStatus,
    Examined, Explained, ExplainedRule, ExportFormat, Exported, ExportedDevice, Failure,
    FailureKind, Finding, FromFace, FullStatus, GaveUp, Import, ImportLine, Imported,
    ImportedDevice, Initialised, Key, Level, ListedDevice, ListedUser, LoginRequest, MadeBypass,
    MadeToken, ManageRequest, NewDevice, NewToken, Origin, Outcome, Packed, RememberedLogin, Reply,
    Request, SkippedLine, Standing, Status, Supposed, Terminal, Tie, ToFace, TokenStatus, UserList,
    Verdict,
};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{Answer, Prompt, Style};
use serde::Serialize;
use serde::de::DeserializeOwned;

use connection::{Connection, Site};

/// The key of RFC 4226, "12345678901234567890", in base32.
const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// What the current code makes of a message must be these bytes, and the other way round.
fn is_kept<T: Serialize + DeserializeOwned + Debug>(message: &T, bytes: &[u8]) {
    assert_eq!(
        encode(message).unwrap().escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
    let decoded: T = decode(bytes).unwrap();
    assert_eq!(format!("{decoded:?}"), format!("{message:?}"));
    assert_eq!(*encode(&decoded).unwrap(), bytes, "what Debug does not show");
}

#[test]
fn logins_are_kept() {
    let login = || LoginRequest {
        user: b"alice".to_vec(),
        service: "sshd".to_owned(),
        rhost: Some("192.0.2.7".to_owned()),
        tty: Some("ssh".to_owned()),
        ruser: Some("bob".to_owned()),
        ssh_auth_info: Some("publickey".to_owned()),
        password_given: true,
        password: Some("rabbit".into()),
        nullok: false,
        prompt: Some("Code: ".to_owned()),
        echo: true,
        debug: false,
    };
    let bytes = b"\x05alice\x04sshd\x01\x09192.0.2.7\x01\x03ssh\x01\x03bob\x01\x09publickey\
                  \x01\x01\x06rabbit\x00\x01\x06Code: \x01\x00";
    is_kept(&Request::Login(Box::new(login())), &[b"\x00", &bytes[..]].concat());
    is_kept(&Request::Unseen(Box::new(login())), &[b"\x02", &bytes[..]].concat());
    let other = LoginRequest { nullok: true, debug: true, ..LoginRequest::default() };
    is_kept(&other, b"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01");
}

#[test]
fn requests_about_a_record_are_kept() {
    let label = || "phone".to_owned();
    let supposed = Supposed {
        service: "sshd".to_owned(),
        rhost: Some("::1".to_owned()),
        tty: None,
        at: Some("now".to_owned()),
    };
    let token = NewToken {
        name: "robot".to_owned(),
        lifetime: 3_600,
        networks: vec!["::1".to_owned()],
        services: vec!["sshd".to_owned()],
    };
    let import = |origin, label, without_pin, dry_run| {
        let line = ImportLine { number: 300, text: "HOTP".into() };
        let import = Import {
            origin,
            lines: vec![line],
            label,
            without_pin,
            dry_run,
            only_newcomers: without_pin,
        };
        Action::Import(Packed::new(&import).unwrap())
    };
    let rows: [(Action, &[u8]); 34] = [
        (Action::Status, b"\x01"),
        (Action::Remove { label: label() }, b"\x02\x05phone"),
        (Action::MakeDefault { label: label() }, b"\x03\x05phone"),
        (Action::Codes, b"\x04"),
        (Action::NewCodes, b"\x05"),
        (Action::ShowKey { label: label() }, b"\x06\x05phone"),
        (Action::Unlock, b"\x07"),
        (Action::Reset, b"\x08"),
        (Action::Resync { label: label() }, b"\x09\x05phone"),
        (Action::Invite { lifetime: 3_600 }, b"\x0a\x90\x1c"),
        (Action::Check, b"\x0b"),
        (Action::Explain(Box::new(supposed)), b"\x0c\x04sshd\x01\x03::1\x00\x01\x03now"),
        (Action::NewToken(Box::new(token)), b"\x0d\x05robot\x90\x1c\x01\x03::1\x01\x04sshd"),
        (Action::Tokens, b"\x0e"),
        (Action::RevokeToken { name: "robot".to_owned() }, b"\x0f\x05robot"),
        (Action::Remembered, b"\x10"),
        (Action::Forget { number: Some(7) }, b"\x11\x01\x07"),
        (Action::Forget { number: None }, b"\x11\x00"),
        (Action::Initialise, b"\x12"),
        (Action::Users { after: None }, b"\x13\x00"),
        (Action::Users { after: Some(1_000) }, b"\x13\x01\xe8\x07"),
        (Action::FullStatus, b"\x14"),
        (Action::MakeBypass { lifetime: 3_600, uses: 2 }, b"\x15\x90\x1c\x02"),
        (Action::RevokeBypass, b"\x16"),
        (Action::Disable { label: label() }, b"\x17\x05phone"),
        (Action::Enable { label: label() }, b"\x18\x05phone"),
        (Action::Require { required: true }, b"\x19\x01"),
        (Action::Require { required: false }, b"\x19\x00"),
        (Action::Examine, b"\x1a"),
        (
            import(Origin::GoogleAuthenticator, Some(label()), false, true),
            b"\x1b\x13\x00\x01\xac\x02\x04HOTP\x01\x05phone\x00\x01\x00",
        ),
        (
            import(Origin::PamOath, None, true, false),
            b"\x1b\x0d\x01\x01\xac\x02\x04HOTP\x00\x01\x00\x01",
        ),
        (Action::Export { format: ExportFormat::Uri }, b"\x1c\x00"),
        (Action::Export { format: ExportFormat::GoogleAuthenticator }, b"\x1c\x01"),
        (Action::Export { format: ExportFormat::PamOath }, b"\x1c\x02"),
    ];
    for (action, bytes) in rows {
        let of_alice = ManageRequest { user: Some(b"alice".to_vec()), action };
        let kept = [b"\x01\x01\x05alice", bytes].concat();
        is_kept(&Request::Manage(of_alice), &kept);
    }
    let own = ManageRequest { user: None, action: Action::Status };
    is_kept(&Request::Manage(own), b"\x01\x00\x01");
}

#[test]
fn new_devices_are_kept() {
    let phone = NewDevice {
        kind: DeviceKind::Totp,
        label: Some("phone".to_owned()),
        algorithm: Some(Algorithm::Sha512),
        digits: Some(8),
        period: Some(300),
        counter: None,
        secret: None,
        confirm: true,
        guided: false,
        show: true,
        terminal: Terminal { columns: 132, utf8: false },
    };
    is_kept(
        &Action::Add(Box::new(phone)),
        b"\x00\x00\x01\x05phone\x01\x02\x01\x08\x01\xac\x02\x00\x00\x01\x00\x01\x84\x01\x00",
    );
    let token = NewDevice {
        kind: DeviceKind::Hotp,
        label: None,
        algorithm: Some(Algorithm::Sha1),
        digits: None,
        period: None,
        counter: Some(1_000),
        secret: Some(KEY.into()),
        confirm: false,
        guided: true,
        show: false,
        terminal: Terminal { columns: 80, utf8: true },
    };
    is_kept(
        &Action::Add(Box::new(token)),
        b"\x00\x01\x00\x01\x00\x00\x00\x01\xe8\x07\x01\x20GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
          \x00\x01\x00\x50\x01",
    );
    is_kept(&Algorithm::Sha256, b"\x01");
    is_kept(&DeviceKind::Email, b"\x02");
}

#[test]
fn answers_are_kept() {
    is_kept(&FromFace::Answer(Answer::Text("755224".into())), b"\x00\x00\x06755224");
    is_kept(&FromFace::Answer(Answer::RepeatsPassword), b"\x00\x01");
    is_kept(&FromFace::GaveUp(GaveUp::Aborted), b"\x01\x00");
    is_kept(&FromFace::GaveUp(GaveUp::NobodyThere), b"\x01\x01");
    is_kept(&FromFace::GaveUp(GaveUp::Broken), b"\x01\x02");
}

#[test]
fn what_is_asked_and_told_is_kept() {
    is_kept(&ToFace::Ask(Prompt::hidden("Code: ")), b"\x00\x06Code: \x00");
    is_kept(&ToFace::Ask(Prompt::visible("Code: ")), b"\x00\x06Code: \x01");
    is_kept(&ToFace::Ask(Prompt::yes_no("Code? ")), b"\x00\x06Code? \x02");
    is_kept(&ToFace::Ask(Prompt::first_factor("Word: ")), b"\x00\x06Word: \x03");
    is_kept(&ToFace::Tell(Style::Info, "hello".to_owned()), b"\x01\x00\x05hello");
    is_kept(&ToFace::Tell(Style::Error, "hello".to_owned()), b"\x01\x01\x05hello");
    is_kept(&ToFace::Tell(Style::Qr, "##  ".to_owned()), b"\x01\x02\x04##  ");
    is_kept(&ToFace::Wait, b"\x03");
}

#[test]
fn outcomes_are_kept() {
    let outcome = Outcome {
        verdict: Verdict::Granted,
        user: Some("alice".to_owned()),
        factor: Some("totp".to_owned()),
        label: Some("phone".to_owned()),
    };
    is_kept(
        &ToFace::Done(Box::new(Reply::Outcome(outcome))),
        b"\x02\x00\x00\x01\x05alice\x01\x04totp\x01\x05phone",
    );
    let verdicts =
        [Verdict::Granted, Verdict::Exempt, Verdict::Denied, Verdict::Locked, Verdict::Unavailable];
    for (verdict, number) in verdicts.into_iter().zip(0..) {
        let outcome = Outcome { verdict, user: None, factor: None, label: None };
        let done = ToFace::Done(Box::new(Reply::Outcome(outcome)));
        is_kept(&done, &[2, 0, number, 0, 0, 0]);
    }
}

#[test]
fn other_replies_are_kept() {
    let alice = || "alice".to_owned();
    let added = Added {
        user: alice(),
        uid: 1_000,
        id: 1,
        label: "phone".to_owned(),
        kind: DeviceKind::Totp,
        secret: "GEZDG".into(),
        uri: "otpauth:".into(),
        backup_codes: vec!["kk".into(), "mm".into()],
        codes_shown: true,
    };
    let device = DeviceStatus {
        id: 2,
        label: "token".to_owned(),
        kind: DeviceKind::Hotp,
        default: true,
        added: 1_800_000_000,
        last_used: Some(1),
        last_from: Some("local".to_owned()),
        drift: -1,
        failures: 3,
        disabled: false,
    };
    let status = Status {
        user: alice(),
        uid: 1_000,
        devices: vec![device],
        backup_codes_left: 9,
        failures: 4,
        locked_until: Some(300),
    };
    let used = CodeStatus { number: 1, used_at: Some(5), used_from: Some("local".to_owned()) };
    let unused = CodeStatus { number: 2, used_at: None, used_from: None };
    let key = Key {
        user: alice(),
        label: "phone".to_owned(),
        secret: "GEZDG".into(),
        uri: "otpauth:".into(),
    };
    let rows: [(Reply, &[u8]); 7] = [
        (
            Reply::Added(added),
            b"\x01\x05alice\xe8\x07\x01\x05phone\x00\x05GEZDG\x08otpauth:\x02\x02kk\x02mm\x01",
        ),
        (
            Reply::Status(status),
            b"\x02\x05alice\xe8\x07\x01\x02\x05token\x01\x01\x80\xa4\xa7\xda\x06\x01\x01\
              \x01\x05local\x01\x03\x00\x09\x04\x01\xac\x02",
        ),
        (
            Reply::Codes { user: alice(), codes: vec![used, unused] },
            b"\x03\x05alice\x02\x01\x01\x05\x01\x05local\x02\x00\x00",
        ),
        (
            Reply::NewCodes { user: alice(), backup_codes: vec!["kk".into()] },
            b"\x04\x05alice\x01\x02kk",
        ),
        (Reply::Key(key), b"\x05\x05alice\x05phone\x05GEZDG\x08otpauth:"),
        (Reply::Done { user: alice() }, b"\x06\x05alice"),
        (
            Reply::Invited { user: alice(), code: "kkkk".into(), expires: 300 },
            b"\x08\x05alice\x04kkkk\xac\x02",
        ),
    ];
    for (reply, bytes) in rows {
        is_kept(&ToFace::Done(Box::new(reply)), &[b"\x02", bytes].concat());
    }
    let kinds = [
        FailureKind::Refused,
        FailureKind::Usage,
        FailureKind::Unusable,
        FailureKind::NotPermitted,
        FailureKind::Interrupted,
    ];
    for (kind, number) in kinds.into_iter().zip(0..) {
        let failure = Failure { kind, error: "no".to_owned(), hint: "look".to_owned() };
        let done = ToFace::Done(Box::new(Reply::Failed(failure)));
        is_kept(&done, &[b"\x02\x07", &[number][..], b"\x02no\x04look"].concat());
    }
}

#[test]
fn what_policy_says_is_kept() {
    let checked =
        Checked { path: "/p".to_owned(), exists: true, rules: 2, warnings: vec!["w".to_owned()] };
    let explained = Explained {
        user: "alice".to_owned(),
        uid: 1_000,
        enrolled: Some(true),
        service: "sshd".to_owned(),
        source: "local".to_owned(),
        console: true,
        at: 5,
        local: None,
        rules: vec![ExplainedRule {
            number: 1,
            name: Some("r".to_owned()),
            line: 7,
            mismatch: Some("time".to_owned()),
        }],
        rules_left_out: 0,
        requirement: "exempt".to_owned(),
        reason: Some("trusted".to_owned()),
        notice: None,
        prompt: None,
        methods: vec!["totp".to_owned()],
        outside: false,
        remember: 43_200,
        required: Some(true),
    };
    let rows: [(Reply, &[u8]); 2] = [
        (Reply::Checked(checked), b"\x09\x02/p\x01\x02\x01\x01w"),
        (
            Reply::Explained(Box::new(explained)),
            b"\x0a\x05alice\xe8\x07\x01\x01\x04sshd\
              \x05local\x01\x05\x00\x01\x01\x01\x01r\x07\x01\x04time\
              \x00\x06exempt\x01\x07trusted\x00\x00\x01\x04totp\x00\xc0\xd1\x02\x01\x01",
        ),
    ];
    for (reply, bytes) in rows {
        is_kept(&ToFace::Done(Box::new(reply)), &[b"\x02", bytes].concat());
    }
}

#[test]
fn what_stands_in_for_a_code_is_kept() {
    let alice = || "alice".to_owned();
    let token = TokenStatus {
        name: "robot".to_owned(),
        made: 5,
        expires: 300,
        networks: vec!["::1/128".to_owned()],
        services: vec![],
        last_used: Some(6),
        last_from: Some("local".to_owned()),
    };
    let login = |by: Tie| RememberedLogin {
        number: 7,
        service: "sshd".to_owned(),
        from: "::/64".to_owned(),
        by,
        since: 5,
        until: 300,
        last_used: None,
    };
    let logins = vec![login(Tie::Key), login(Tie::Source), login(Tie::Session)];
    let made = MadeToken { user: alice(), secret: "mfatok".into(), token: token.clone() };
    let rows: [(Reply, &[u8]); 4] = [
        (
            Reply::TokenMade(Box::new(made)),
            b"\x0b\x05alice\x06mfatok\x05robot\x05\xac\x02\x01\x07::1/128\x00\x01\x06\x01\x05local",
        ),
        (
            Reply::Tokens { user: alice(), tokens: vec![token] },
            b"\x0c\x05alice\x01\x05robot\x05\xac\x02\x01\x07::1/128\x00\x01\x06\x01\x05local",
        ),
        (
            Reply::Remembered { user: alice(), logins },
            b"\x0d\x05alice\x03\x07\x04sshd\x05::/64\x00\x05\xac\x02\x00\
              \x07\x04sshd\x05::/64\x01\x05\xac\x02\x00\x07\x04sshd\x05::/64\x02\x05\xac\x02\x00",
        ),
        (
            Reply::Initialised(Initialised {
                store: "/store".to_owned(),
                key_file: "/key".to_owned(),
                made: true,
            }),
            b"\x0e\x06/store\x04/key\x01",
        ),
    ];
    for (reply, bytes) in rows {
        is_kept(&ToFace::Done(Box::new(reply)), &[b"\x02", bytes].concat());
    }
}

#[test]
fn a_list_of_users_is_kept() {
    let phone = ListedDevice {
        label: "phone".to_owned(),
        kind: DeviceKind::Totp,
        default: true,
        disabled: false,
        last_used: Some(5),
    };
    let standing = Standing {
        devices: vec![phone],
        backup_codes_left: 9,
        tokens: 2,
        last_used: Some(300),
        last_from: Some("local".to_owned()),
        failures: 4,
        locked_until: None,
        bypass: Some(BypassStatus { uses_left: 2, expires: 300 }),
        required: true,
    };
    let failure =
        Failure { kind: FailureKind::Unusable, error: "no".to_owned(), hint: "look".to_owned() };
    let alice = ListedUser { uid: 1_000, user: Some("alice".to_owned()), standing: Ok(standing) };
    let gone = ListedUser { uid: 1_001, user: None, standing: Err(failure) };
    let list = UserList { users: vec![alice, gone], next: Some(1_001) };
    is_kept(
        &ToFace::Done(Box::new(Reply::Users(list))),
        b"\x02\x0f\x02\xe8\x07\x01\x05alice\x00\x01\x05phone\x00\x01\x00\x01\x05\
          \x09\x02\x01\xac\x02\x01\x05local\x04\x00\x01\x02\xac\x02\x01\
          \xe9\x07\x00\x01\x02\x02no\x04look\x01\xe9\x07",
    );
}

#[test]
fn what_a_helpdesk_is_told_is_kept() {
    let alice = || "alice".to_owned();
    let bypass = BypassStatus { uses_left: 2, expires: 300 };
    let status = Status {
        user: alice(),
        uid: 1_000,
        devices: vec![],
        backup_codes_left: 9,
        failures: 4,
        locked_until: None,
    };
    let full = FullStatus { status, bypass: Some(bypass), required: true };
    let made = MadeBypass { user: alice(), code: "bypass".into(), bypass };
    let rows: [(Reply, &[u8]); 3] = [
        (
            Reply::FullStatus(Box::new(full)),
            b"\x10\x05alice\xe8\x07\x00\x09\x04\x00\x01\x02\xac\x02\x01",
        ),
        (Reply::BypassMade(Box::new(made)), b"\x11\x05alice\x06bypass\x02\xac\x02"),
        (Reply::Disabled { user: alice(), enabled: 3 }, b"\x12\x05alice\x03"),
    ];
    for (reply, bytes) in rows {
        assert_eq!(reply.since(), 3);
        is_kept(&ToFace::Done(Box::new(reply)), &[b"\x02", bytes].concat());
    }
}

#[test]
fn what_comes_from_elsewhere_and_leaves_is_kept() {
    let imported = Imported {
        user: "alice".to_owned(),
        uid: 1_000,
        devices: vec![ImportedDevice { label: "oath".to_owned(), kind: DeviceKind::Hotp }],
        known: vec!["phone".to_owned()],
        backup_codes: 5,
        skipped: vec![SkippedLine { line: 300, why: "no".to_owned() }],
        notes: vec!["w".to_owned()],
        changed: true,
    };
    let exported = Exported {
        user: "alice".to_owned(),
        uid: 1_000,
        devices: vec![ExportedDevice {
            label: "phone".to_owned(),
            kind: DeviceKind::Totp,
            text: "otpauth:".into(),
        }],
        left_out: vec![("e-mail".to_owned(), "no".to_owned())],
        backup_codes: 9,
    };
    let rows: [(Reply, &[u8]); 2] = [
        (
            Reply::Imported(Packed::new(&imported).unwrap()),
            b"\x14\x21\x05alice\xe8\x07\x01\x04oath\x01\x01\x05phone\x05\x01\xac\x02\x02no\x01\x01w\x01",
        ),
        (
            Reply::Exported(Packed::new(&exported).unwrap()),
            b"\x15\x25\x05alice\xe8\x07\x01\x05phone\x00\x08otpauth:\x01\x06e-mail\x02no\x09",
        ),
    ];
    for (reply, bytes) in rows {
        is_kept(&ToFace::Done(Box::new(reply)), &[b"\x02", bytes].concat());
    }
}

#[test]
fn what_was_found_on_a_host_is_kept() {
    let finding = |level, hint: &str| Finding {
        level,
        about: "pam.d".to_owned(),
        found: "f".to_owned(),
        hint: hint.to_owned(),
    };
    let findings =
        vec![finding(Level::Fine, ""), finding(Level::Warning, "h"), finding(Level::Problem, "h")];
    let asking = vec![Asking { service: "sshd".to_owned(), forward_pass: true, code_alone: false }];
    is_kept(
        &ToFace::Done(Box::new(Reply::Examined(Examined { findings, asking }))),
        b"\x02\x13\x03\x00\x05pam.d\x01f\x00\x01\x05pam.d\x01f\x01h\x02\x05pam.d\x01f\x01h\x01\x04sshd\x01\x00",
    );
}

/// A face's frames and what it must hear, in order.
enum Turn {
    /// The face says this; a request goes out after the version.
    Says(&'static [u8]),
    /// The verifier says exactly this.
    Hears(&'static [u8]),
    /// The verifier says something that begins so: the rest is random, or a time.
    HearsAtFirst(&'static [u8]),
}
use Turn::{Hears, HearsAtFirst, Says};

/// Root's life with a token, a request each.
const EXCHANGES: [&[Turn]; 15] = [
    &[
        Says(b"\x01\x01\x04root\x00\x01\x01\x05token\x00\x00\x00\x01\x00\
               \x01\x20GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\x00\x00\x00\x50\x00"),
        HearsAtFirst(b"\x02\x01\x04root\x00\x01\x05token\x01\x20GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
    ],
    &[Says(b"\x01\x01\x04root\x01"), HearsAtFirst(b"\x02\x02\x04root\x00\x01\x01\x05token\x01\x01")],
    // The first two codes of RFC 4226.
    &[
        Says(b"\x02\x04root\x04test\0\0\0\0\0\0\0\x01\x06Code: \x00\x00"),
        Hears(b"\x00\x06Code: \x00"),
        Says(b"\x00\x00\x06755224"),
        Hears(b"\x02\x00\x00\x01\x04root\x01\x04hotp\x01\x05token"),
    ],
    &[
        Says(b"\x00\x04root\x04test\0\0\0\0\0\0\0\x01\x06Code: \x01\x00"),
        Hears(b"\x00\x06Code: \x01"),
        Says(b"\x00\x00\x06287082"),
        Hears(b"\x02\x00\x00\x01\x04root\x01\x04hotp\x01\x05token"),
    ],
    // It was used.
    &[
        Says(b"\x00\x04root\x04test\0\0\0\0\0\0\0\x00\x00\x00"),
        Hears(b"\x00\x13Verification code: \x00"),
        Says(b"\x00\x00\x06287082"),
        Hears(b"\x01\x01\x32This code was already used; wait for the next one."),
        Hears(b"\x02\x00\x02\x01\x04root\x01\x04hotp\x01\x05token"),
    ],
    &[
        Says(b"\x00\x04root\x04test\0\0\0\0\0\0\0\x00\x00\x00"),
        Hears(b"\x00\x13Verification code: \x00"),
        Says(b"\x00\x01"),
        Hears(b"\x02\x00\x02\x01\x04root\x00\x00"),
    ],
    &[
        Says(b"\x00\x04root\x04test\0\0\0\0\0\0\0\x00\x00\x00"),
        Hears(b"\x00\x13Verification code: \x00"),
        Says(b"\x01\x01"),
        Hears(b"\x02\x00\x02\x01\x04root\x00\x00"),
    ],
    &[Says(b"\x01\x01\x04root\x03\x05token"), Hears(b"\x02\x06\x04root")],
    &[
        Says(b"\x01\x00\x04"),
        Hears(b"\x02\x03\x04root\x0a\x01\0\0\x02\0\0\x03\0\0\x04\0\0\x05\0\0\x06\0\0\x07\0\0\x08\0\0\x09\0\0\x0a\0\0"),
    ],
    &[Says(b"\x01\x01\x04root\x05"), HearsAtFirst(b"\x02\x04\x04root\x0a")],
    &[
        Says(b"\x01\x01\x04root\x06\x05token"),
        HearsAtFirst(b"\x02\x05\x04root\x05token\x20GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
    ],
    &[Says(b"\x01\x01\x04root\x07"), Hears(b"\x02\x06\x04root")],
    &[Says(b"\x01\x01\x04root\x0a\x90\x1c"), HearsAtFirst(b"\x02\x08\x04root")],
    &[Says(b"\x01\x01\x04root\x02\x05token"), Hears(b"\x02\x06\x04root")],
    &[Says(b"\x01\x01\x04root\x08"), Hears(b"\x02\x06\x04root")],
];

fn is_served(version: u16, exchange: &[Turn], connection: &mut Connection) {
    let mut prefix = version.to_le_bytes().to_vec();
    for turn in exchange {
        match turn {
            Says(bytes) => {
                connection.send(&[std::mem::take(&mut prefix).as_slice(), bytes].concat());
            }
            Hears(bytes) => {
                let heard = connection.next().expect("it hung up");
                assert_eq!(heard.escape_ascii().to_string(), bytes.escape_ascii().to_string());
            }
            HearsAtFirst(bytes) => {
                let heard = connection.next().expect("it hung up");
                assert!(heard.starts_with(bytes), "{}", heard.escape_ascii());
            }
        }
    }
    assert_eq!(connection.next(), None, "the end");
}

#[test]
fn a_spawned_verifier_serves_faces_of_this_version_and_the_one_before() {
    for version in [2, 3] {
        let site = Site::new(&format!("spawned-{version}"));
        for exchange in EXCHANGES {
            let (verifier, mut connection) = site.spawn();
            is_served(version, exchange, &mut connection);
            verifier.end();
        }
    }
}

#[test]
fn a_resident_verifier_serves_faces_of_this_version_and_the_one_before() {
    for version in [2, 3] {
        let site = Site::new(&format!("resident-{version}"));
        let _resident = site.reside();
        for exchange in EXCHANGES {
            // Faces of version 2 take the greeting for what it was to them: they wait on.
            is_served(version, exchange, &mut site.greeted());
        }
    }
}

/// Under this policy root, who has given a password at `sshd`, enrols at the login.
const ENROLS: &str = "[policy]\nenrol_at_login = \"anybody\"\n";

/// An invitation makes the store.
const INVITATION: &[Turn] =
    &[Says(b"\x01\x01\x04root\x0a\x90\x1c"), HearsAtFirst(b"\x02\x08\x04root")];

/// What a face of this version is asked for root's first factor, which is wrong.
const JUDGED_ANEW: &[Turn] = &[
    Says(b"\x00\x04root\x04sshd\0\0\0\0\x01\0\0\x00\x00\x00"),
    Hears(b"\x00\x04root\x03"),
    Says(b"\x00\x00\x01n"),
    Hears(b"\x00\x13Verification code: \x00"),
    Says(b"\x01\x00"),
    Hears(b"\x02\x00\x02\x01\x04root\x00\x00"),
];

/// The one before has never heard of that question.
const NOT_JUDGED_ANEW: &[Turn] = &[
    Says(b"\x00\x04root\x04sshd\0\0\0\0\x01\0\0\x00\x00\x00"),
    Hears(b"\x00\x13Verification code: \x00"),
    Says(b"\x01\x00"),
    Hears(b"\x02\x00\x02\x01\x04root\x00\x00"),
];

/// What policy says: an answer that came with version 3, and one that says so to whoever is older.
const CHECKED: &[Turn] = &[Says(b"\x01\x01\x04root\x0b"), HearsAtFirst(b"\x02\x09")];
const NOT_READ: &[Turn] = &[Says(b"\x01\x01\x04root\x0b"), HearsAtFirst(b"\x02\x07\x02")];

#[test]
fn a_face_is_told_and_asked_nothing_that_its_version_does_not_have() {
    for (version, exchanges) in
        [(2, [INVITATION, NOT_JUDGED_ANEW, NOT_READ]), (3, [INVITATION, JUDGED_ANEW, CHECKED])]
    {
        let spawned = Site::with(&format!("old-spawned-{version}"), ENROLS);
        let resident = Site::with(&format!("old-resident-{version}"), ENROLS);
        let _resident = resident.reside();
        for exchange in exchanges {
            let (verifier, mut connection) = spawned.spawn();
            is_served(version, exchange, &mut connection);
            verifier.end();
            is_served(version, exchange, &mut resident.greeted());
        }
    }
}

#[test]
fn an_answer_with_a_mailbox_in_it_is_none_for_faces_before_version_3() {
    let device = |kind: DeviceKind| DeviceStatus {
        id: 1,
        label: "x".to_owned(),
        kind,
        default: false,
        added: 0,
        last_used: None,
        last_from: None,
        drift: 0,
        failures: 0,
        disabled: false,
    };
    let status = |kinds: &[DeviceKind]| {
        let devices = kinds.iter().copied().map(device).collect();
        Reply::Status(Status {
            user: "alice".to_owned(),
            uid: 1_000,
            devices,
            backup_codes_left: 0,
            failures: 0,
            locked_until: None,
        })
    };
    assert_eq!(status(&[]).since(), 2);
    assert_eq!(status(&[DeviceKind::Totp, DeviceKind::Hotp]).since(), 2);
    assert_eq!(status(&[DeviceKind::Email, DeviceKind::Totp]).since(), 3);
}
